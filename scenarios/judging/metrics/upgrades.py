"""Metrics of upgrades: how many were ordered and what became of them, how long they took.

Belongs here: rows on upgrades. Never: their steps (sim/upgrade/).
"""

from __future__ import annotations

from twinloop.components.host.outcome import Cause
from twinloop.scenarios.judging.expectation import Expectation
from twinloop.scenarios.judging.measure import Measures
from twinloop.scenarios.judging.metrics.metric import TREND, Metric, of_values
from twinloop.sim.cloud.orders import CAUSES, Upgrade
from twinloop.sim.kernel.histogram import Histogram


def _orders(measures: Measures, expectation: Expectation) -> list[Upgrade]:
    keys = dict(expectation.keys)
    return [
        one for one in measures.world.rollout.orders
        if keys.get("gateway") in (None, one.gateway) and keys.get("component") in (None, one.component)
    ]  # fmt: skip


def _absent(measures: Measures, expectation: Expectation) -> str:
    return "" if _orders(measures, expectation) else "no such upgrade was ordered"


def _ordered(measures: Measures, expectation: Expectation) -> float | None:
    return len(_orders(measures, expectation))


def _done(measures: Measures, expectation: Expectation) -> float | None:
    return sum(one.state == "done" for one in _orders(measures, expectation))


def _failed(measures: Measures, expectation: Expectation) -> float | None:
    cause = dict(expectation.keys).get("cause")
    return sum(one.state != "done" and cause in (None, one.cause) for one in _orders(measures, expectation))


def _downtime(measures: Measures, expectation: Expectation) -> Histogram:
    times = Histogram()
    for one in _orders(measures, expectation):
        if one.downtime_ns is not None:
            times.add(one.downtime_ns)
    return times


def _duration(measures: Measures, expectation: Expectation) -> Histogram:
    times = Histogram()
    for one in _orders(measures, expectation):
        if one.state == "done":
            times.add(one.ended_ns - one.issued_ns)
        else:
            times.never += 1
    return times


_KEYS = ("gateway", "component")
DOWNTIME = Metric(
    name="upgrade.downtime",
    kind="trend",
    unit="ns",
    keys=_KEYS,
    statistics=TREND,
    read=of_values(_downtime),
    values=_downtime,
    absent=_absent,
    meaning="the longest time for which an instance that was upgraded could not be called, from the swap to "
    "the end",
)
DURATION = Metric(
    name="upgrade.duration",
    kind="trend",
    unit="ns",
    keys=_KEYS,
    statistics=TREND,
    read=of_values(_duration),
    values=_duration,
    absent=_absent,
    meaning="from the order until the commit; an upgrade that wasn't committed counts as never",
)
ORDERED = Metric(
    name="upgrades.ordered",
    kind="counter",
    unit="count",
    keys=_KEYS,
    statistics=("count",),
    meaning="upgrades that the cloud ordered",
    read=_ordered,
)
DONE = Metric(
    name="upgrades.done",
    kind="counter",
    unit="count",
    keys=_KEYS,
    statistics=("count",),
    meaning="upgrades that were committed",
    read=_done,
    absent=_absent,
)
FAILED = Metric(
    name="upgrades.failed",
    kind="counter",
    unit="count",
    keys=(*_KEYS, "cause"),
    statistics=("count",),
    read=_failed,
    absent=_absent,
    meaning="upgrades that were refused, abandoned, rolled back, or not finished",
    causes=(*CAUSES, *(cause.value for cause in Cause)),
)
