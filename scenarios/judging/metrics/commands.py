"""Metrics of writes from the cloud: how many, what became of them, how long they took, whether the device
holds them.

Belongs here: rows on commands. Never: how they travel (sim/cloud/, sim/gateway/).
"""

from __future__ import annotations

from twinloop.scenarios.judging.expectation import Expectation
from twinloop.scenarios.judging.measure import Measures
from twinloop.scenarios.judging.metrics.metric import TREND, Metric, of_values
from twinloop.sim.cloud.messages import COMMAND_CAUSES
from twinloop.sim.kernel.histogram import Histogram


def _mine(measures: Measures, expectation: Expectation, device: int) -> bool:
    keys, spec = dict(expectation.keys), measures.world.spec
    return keys.get("device") in (None, spec.devices[device].name) and keys.get("fleet") in (
        None,
        spec.fleets[spec.devices[device].fleet],
    )


def _issued(measures: Measures, expectation: Expectation) -> float | None:
    return sum(_mine(measures, expectation, command.device) for command in measures.world.commands.issued)


def _absent(measures: Measures, expectation: Expectation) -> str:
    return "" if _issued(measures, expectation) else "no such command was issued"


def _latency(measures: Measures, expectation: Expectation) -> Histogram:
    total = Histogram()
    for device, histogram in measures.commands_of.items():
        if _mine(measures, expectation, device):
            total.merge(histogram)
    total.never += sum(_mine(measures, expectation, device) for device, _ in measures.failed)
    return total


def _done(measures: Measures, expectation: Expectation) -> float | None:
    return sum(
        histogram.count
        for device, histogram in measures.commands_of.items()
        if _mine(measures, expectation, device)
    )


def _wrong(measures: Measures, expectation: Expectation) -> float | None:
    truth = measures.world.truth
    if truth is None:
        return None
    return sum(
        count for device, count in truth.wrong_commands.items() if _mine(measures, expectation, device)
    )


def _failed(measures: Measures, expectation: Expectation) -> float | None:
    wanted = dict(expectation.keys).get("cause")
    return sum(
        _mine(measures, expectation, device) and wanted in (None, cause) for device, cause in measures.failed
    )


_KEYS = ("fleet", "device")
LATENCY = Metric(
    name="command.latency",
    kind="trend",
    unit="ns",
    keys=_KEYS,
    statistics=TREND,
    read=of_values(_latency),
    values=_latency,
    absent=_absent,
    meaning="from issue until written to the device; a write that failed counts as never",
)
ISSUED = Metric(
    name="commands.issued",
    kind="counter",
    unit="count",
    keys=_KEYS,
    statistics=("count",),
    meaning="writes that came from the cloud",
    read=_issued,
)
DONE = Metric(
    name="commands.done",
    kind="counter",
    unit="count",
    keys=_KEYS,
    statistics=("count",),
    meaning="writes that reached their device",
    read=_done,
    absent=_absent,
)
WRONG = Metric(
    name="commands.wrong",
    kind="counter",
    unit="count",
    keys=_KEYS,
    statistics=("count",),
    read=_wrong,
    absent=_absent,
    meaning="writes that drivers called done and that the device doesn't hold",
)
FAILED = Metric(
    name="commands.failed",
    kind="counter",
    unit="count",
    keys=(*_KEYS, "cause"),
    statistics=("count",),
    meaning="writes that failed",
    read=_failed,
    absent=_absent,
    causes=COMMAND_CAUSES,
)
