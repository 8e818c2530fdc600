"""Metrics of failover: how long nobody leads a pair, how often both do.

Belongs here: rows on pairs. Never: who leads (sim/redundancy/).
"""

from __future__ import annotations

from twinloop.scenarios.judging.expectation import Expectation
from twinloop.scenarios.judging.measure import Measures
from twinloop.scenarios.judging.metrics.metric import TREND, Metric, Values, of_values
from twinloop.sim.kernel.histogram import Histogram
from twinloop.sim.redundancy.pair import Pair


def _pairs(measures: Measures, expectation: Expectation) -> list[Pair]:
    name = dict(expectation.keys).get("gateway")
    return [pair for pair in measures.world.pairs if name in (None, *pair.names)]


def _absent(measures: Measures, expectation: Expectation) -> str:
    return "" if _pairs(measures, expectation) else "there is no such pair"


def _took(gap: bool) -> Values:
    """From when nobody leads to the new leader, or to its first verdict."""

    def values(measures: Measures, expectation: Expectation) -> Histogram:
        times = Histogram()
        for pair in _pairs(measures, expectation):
            for takeover in pair.takeovers:
                ends_ns = takeover.first_ns if gap else takeover.led_ns
                if ends_ns < 0 and takeover.led_ns >= measures.world.spec.duration_ns:
                    continue  # nothing was due any more
                if ends_ns < 0:
                    times.never += 1
                else:
                    times.add(ends_ns - takeover.gone_ns)
            times.never += pair.gone_ns is not None
        return times

    return values


def _splits(measures: Measures, expectation: Expectation) -> float | None:
    return sum(len(pair.splits) for pair in _pairs(measures, expectation))


_ONE = ("gateway",)
TAKEOVER = Metric(
    name="failover.takeover",
    kind="trend",
    unit="ns",
    keys=_ONE,
    statistics=TREND,
    meaning="how long nobody of a pair led",
    read=of_values(_took(gap=False)),
    values=_took(gap=False),
    absent=_absent,
)
GAP = Metric(
    name="failover.gap",
    kind="trend",
    unit="ns",
    keys=_ONE,
    statistics=TREND,
    read=of_values(_took(gap=True)),
    values=_took(gap=True),
    absent=_absent,
    meaning="from when nobody of a pair led until the new leader's first verdict",
)
SPLIT_BRAIN = Metric(
    name="failover.split-brain", kind="counter", unit="count", keys=_ONE, statistics=("count",),
    meaning="how often both gateways of a pair came to lead", read=_splits, absent=_absent,
)  # fmt: skip
