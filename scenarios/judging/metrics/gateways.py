"""Metrics of gateways: what waits, what is stuck, cores, memory, flash, boots, faults of components.

Belongs here: rows on gateways. Never: what a gateway has and spends (sim/machine/, sim/gateway/), gauges over
time (judging/gauge.py).
"""

from __future__ import annotations

from twinloop.components.host.outcome import Cause
from twinloop.scenarios.judging.expectation import Expectation
from twinloop.scenarios.judging.measure import Measures, cpu_ratio
from twinloop.scenarios.judging.metrics.metric import Metric, of_values
from twinloop.sim.gateway.gateway import Gateway
from twinloop.sim.kernel.histogram import Histogram
from twinloop.sim.trouble.stuck import stuck

_CAUSES = tuple(cause.value for cause in Cause)


def _gateways(measures: Measures, expectation: Expectation) -> list[Gateway]:
    name = dict(expectation.keys).get("gateway")
    return [gateway for gateway in measures.world.gateways if name in (None, gateway.name)]


def _backlog(measures: Measures, expectation: Expectation) -> float | None:
    boxes = [gateway.outbox for gateway in _gateways(measures, expectation)]
    if expectation.statistic:
        return max(box.store.waiting_peak if box.store is not None else 0 for box in boxes)
    return max(box.backlog for box in boxes)


def _no_store(measures: Measures, expectation: Expectation) -> str:
    nowhere = all(gateway.outbox.store is None for gateway in _gateways(measures, expectation))
    return "no gateway that is meant has a store" if nowhere and expectation.within_ns is None else ""


def _stuck(measures: Measures, expectation: Expectation) -> float | None:
    return len(stuck(measures.world, _gateways(measures, expectation)))


def _cpu(measures: Measures, expectation: Expectation) -> float | None:
    return max(cpu_ratio(measures.world, gateway) for gateway in _gateways(measures, expectation))


def _memory(measures: Measures, expectation: Expectation) -> float | None:
    budgets = [gateway.machine.budget for gateway in _gateways(measures, expectation)]
    return max(
        budget.memory_peak_bytes if expectation.statistic else budget.memory_bytes for budget in budgets
    )


def _flash(measures: Measures, expectation: Expectation) -> float | None:
    stores = [gateway.outbox.store for gateway in _gateways(measures, expectation)]
    return sum(store.flash_bytes for store in stores if store is not None)


def _boots(measures: Measures, expectation: Expectation) -> Histogram:
    boots = Histogram()
    for gateway in _gateways(measures, expectation):
        for boot_ns in gateway.boots:
            boots.add(boot_ns)
        boots.never += gateway.state == "booting"
    return boots


def _faults(measures: Measures, expectation: Expectation) -> float | None:
    keys = dict(expectation.keys)
    return sum(
        count
        for gateway in _gateways(measures, expectation)
        for (component, cause), count in gateway.supervisor.faults.items()
        if keys.get("component") in (None, component) and keys.get("cause") in (None, cause)
    )


def _never_called(measures: Measures, expectation: Expectation) -> str:
    """A component that was never called, nor tried to be made, had no occasion for a fault."""
    component = dict(expectation.keys).get("component")
    called = any(
        meter.calls or meter.instantiate_ns or meter.faults
        for gateway in _gateways(measures, expectation)
        for name, meter in gateway.machine.budget.meters.items()
        if component in (None, name)
    )
    return "" if called else "no such component was called"


def _all_of_it(measures: Measures, expectation: Expectation, value: float) -> float:
    """All of it is modelled CPU time."""
    return value


_ONE = ("gateway",)
BACKLOG = Metric(
    name="backlog",
    kind="gauge",
    unit="count",
    keys=_ONE,
    statistics=("max",),
    meaning="messages that wait in the store",
    read=_backlog,
    absent=_no_store,
    watched=True,
)
STUCK = Metric(
    name="stuck",
    kind="gauge",
    unit="count",
    keys=_ONE,
    statistics=(),
    read=_stuck,
    watched=True,
    meaning="gateways not up, components not ready, uplinks down, stores not empty, links in trouble; "
    "looked at every 100 ms",
)
CPU = Metric(
    name="gateway.cpu",
    kind="gauge",
    unit="ratio",
    keys=_ONE,
    statistics=(),
    meaning="share of all cores' time that was used",
    read=_cpu,
    modelled=_all_of_it,
)
MEMORY = Metric(
    name="gateway.memory",
    kind="gauge",
    unit="bytes",
    keys=_ONE,
    statistics=("max",),
    meaning="instances and their linear memory",
    read=_memory,
)
FLASH = Metric(
    name="flash.written", kind="gauge", unit="bytes", keys=_ONE, statistics=(), read=_flash,
    meaning="bytes written to the store's flash: its wear (by a model of SQLite's pages)",
)  # fmt: skip
BOOT = Metric(
    name="gateway.boot",
    kind="trend",
    unit="ns",
    keys=_ONE,
    statistics=("count", "min", "max", "mean"),
    meaning="from power on until all are ready",
    read=of_values(_boots),
    values=_boots,
    modelled=_all_of_it,
)
FAULTS = Metric(
    name="component.faults",
    kind="counter",
    unit="count",
    keys=("gateway", "component", "cause"),
    statistics=("count",),
    meaning="calls of components that ended in a fault",
    read=_faults,
    absent=_never_called,
    causes=_CAUSES,
)
