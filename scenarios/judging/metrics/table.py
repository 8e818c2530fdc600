"""All metrics, by name: the table that the grammar, the evaluation and the documentation share.

Belongs here: gathering. Never: a row: a Metric in one of the files beside this one is in the table as soon as
it stands there.
"""

from __future__ import annotations

from twinloop.scenarios.judging.metrics import (
    commands,
    derived,
    gateways,
    latency,
    pairs,
    readings,
    samples,
    upgrades,
)
from twinloop.scenarios.judging.metrics.metric import Metric

_MODULES = latency, samples, readings, derived, gateways, pairs, upgrades, commands
METRICS: dict[str, Metric] = {
    one.name: one for module in _MODULES for one in vars(module).values() if isinstance(one, Metric)
}
"""name -> row"""
STATISTICS = tuple(dict.fromkeys(name for metric in METRICS.values() for name in metric.statistics))
SAMPLE_ENDS = {one.name: one.end for one in METRICS.values() if one.end is not None}
"""metric -> the end of samples that it counts"""
