"""Metrics of latency: of a gateway, of the cloud, of each stage.

Belongs here: rows on latency. Never: where time is booked (sim/accounts/latency.py).
"""

from __future__ import annotations

from twinloop.scenarios.judging.expectation import Expectation
from twinloop.scenarios.judging.measure import Measures, modelled
from twinloop.scenarios.judging.metrics.metric import PHASED, TREND, Metric, of_values
from twinloop.sim.accounts.latency import QUEUE, STAGES
from twinloop.sim.kernel.histogram import Histogram


def _gateway(measures: Measures, expectation: Expectation) -> Histogram:
    return measures.latency(expectation).gateway


def _cloud(measures: Measures, expectation: Expectation) -> Histogram:
    return measures.latency(expectation).cloud


def _stage(measures: Measures, expectation: Expectation) -> Histogram:
    return measures.latency(expectation).stages[STAGES.index(dict(expectation.keys)["stage"])]


def _absent(measures: Measures, expectation: Expectation) -> str:
    return "none of these samples was due" if measures.none_due(expectation) else ""


def _of_gateway(measures: Measures, expectation: Expectation, value: float) -> float:
    return min(value, modelled(measures.latency(expectation), expectation.statistic))


def _of_stage(measures: Measures, expectation: Expectation, value: float) -> float:
    stage = dict(expectation.keys)["stage"]
    if stage != "queue":
        return 0.0 if stage == "bus" else value
    return min(value, modelled(measures.latency(expectation), expectation.statistic, QUEUE))


GATEWAY = Metric(
    name="latency.gateway",
    kind="trend",
    unit="ns",
    keys=PHASED,
    statistics=TREND,
    meaning="from due until its verdict took effect",
    read=of_values(_gateway),
    values=_gateway,
    absent=_absent,
    modelled=_of_gateway,
    windowed=True,
)
CLOUD = Metric(
    name="latency.cloud",
    kind="trend",
    unit="ns",
    keys=PHASED,
    statistics=TREND,
    meaning="from due until the cloud has acknowledged it",
    read=of_values(_cloud),
    values=_cloud,
    absent=_absent,
    windowed=True,
)
STAGE = Metric(
    name="latency.stage",
    kind="trend",
    unit="ns",
    keys=("stage", *PHASED, "version"),
    statistics=TREND,
    meaning="time of a sample in one stage; version: of the component there",
    read=of_values(_stage),
    values=_stage,
    absent=_absent,
    modelled=_of_stage,
)
