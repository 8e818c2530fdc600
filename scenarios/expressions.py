"""The grammar of expectations: ``["never"] stat(metric{key=name}) op quantity [over span] [within span after event]``.

Belongs here: text to a checked Expectation. Never: values (thresholds.py). Messages name the nearest known word.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal

from scenarios import units
from scenarios.errors import unknown
from scenarios.metrics import METRICS, STATISTICS
from sim.latency import STAGES

_TERM = re.compile(r"^(?:(?P<stat>[a-z][a-z0-9.]*)\((?P<inner>[^()]*)\)|(?P<gauge>[a-z][a-z.]*(?:\{[^}]*\})?))$")
_METRIC = re.compile(r"^(?P<name>[a-z][a-z.-]*)(?:\{(?P<keys>[^}]*)\})?$")
_WITHIN = re.compile(r"^(?P<rest>.*?)\s+within\s+(?P<span>\S+\s*[a-z]*)\s+after\s+(?P<event>.+)$")
_OVER = re.compile(r"^(?P<rest>.*?)\s+over\s+(?P<span>\S+\s*[a-z]*)$")
_COMPARE = re.compile(r"^(?P<term>.*?)\s*(?P<op><=|>=|==|!=|<|>)\s*(?P<quantity>.+)$")


class ExpressionError(ValueError):
    """An expectation that can't be read; the message says what was expected and what came."""


@dataclass(frozen=True, slots=True)
class Expectation:
    """One expectation. ``statistic`` is empty for a gauge; ``bound`` in the metric's unit (ns, bytes, count, ratio)."""

    text: str
    statistic: str
    metric: str
    keys: tuple[tuple[str, str], ...]
    operator: str
    bound: float
    never: bool = False
    over_ns: int | None = None
    within_ns: int | None = None
    event: str = ""

    @property
    def unit(self) -> str:
        """Of the measured value."""
        if self.statistic == "ratio":
            return "ratio"
        return "count" if self.statistic == "count" else METRICS[self.metric].unit

    def holds(self, value: float) -> bool:
        """Does a measured value satisfy operator and bound?"""
        bound = self.bound
        return {
            "<=": value <= bound, ">=": value >= bound, "==": value == bound, "!=": value != bound, "<": value < bound, ">": value > bound,
        }[self.operator]  # fmt: skip


def parse(text: str) -> Expectation:
    """Read one expectation; raises ExpressionError."""
    rest = " ".join(text.split())
    never = rest.startswith("never ")
    rest = rest.removeprefix("never ")
    within_ns, event, over_ns = None, "", None
    if found := _WITHIN.match(rest):
        rest, event = found["rest"], found["event"]
        within_ns = _span(found["span"], "within")
    if found := _OVER.match(rest):
        rest, over_ns = found["rest"], _span(found["span"], "over")
    for word, form in (("within", "within 60 s after heal cloud"), ("over", "over 10 s")):
        if re.search(rf"\b{word}\b", rest):
            raise ExpressionError(f'"{word}" is not where it belongs; expected it at the end: ... {form}, got "{text}"')
    compared = _COMPARE.match(rest)
    if not compared:
        raise ExpressionError(f'expected "stat(metric) op quantity", e.g. "p99(latency.gateway) <= 50 ms", got "{text}"')
    statistic, metric, keys = _term(compared["term"].strip())
    bound = _quantity(compared["quantity"].strip(), statistic, metric)
    expectation = Expectation(text, statistic, metric, keys, compared["op"], bound, never, over_ns, within_ns, event)
    _check_time(expectation)
    return expectation


def _span(text: str, word: str) -> int:
    try:
        return units.positive_duration(text)
    except ValueError as error:
        raise ExpressionError(f"after {word}: {error}") from error


def _term(text: str) -> tuple[str, str, tuple[tuple[str, str], ...]]:
    found = _TERM.match(text)
    if not found:
        raise ExpressionError(f'expected "stat(metric)" or a gauge, got "{text}"')
    statistic = found["stat"] or ""
    inner = _METRIC.match((found["inner"] if statistic else found["gauge"]).strip())
    if not inner:
        raise ExpressionError(f'expected "metric" or "metric{{key=name}}", got "{found["inner"] or found["gauge"]}"')
    name = inner["name"]
    if name not in METRICS:
        raise ExpressionError(unknown("metric", name, METRICS))
    metric = METRICS[name]
    if statistic and statistic not in STATISTICS:
        raise ExpressionError(unknown("statistic", statistic, STATISTICS))
    if statistic and statistic not in metric.statistics:
        allowed = ", ".join(metric.statistics) or "none: it stands alone"
        raise ExpressionError(f"{statistic} does not go with {name} (a {metric.kind}); allowed: {allowed}")
    if not statistic and metric.kind != "gauge":
        raise ExpressionError(f"{name} is a {metric.kind} and needs a statistic: {', '.join(metric.statistics)}")
    return statistic, name, _keys(inner["keys"] or "", name, metric.keys)


def _keys(text: str, name: str, known: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    keys: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals or not value:
            raise ExpressionError(f'expected key=name in braces, got "{part}"')
        if key not in known:
            raise ExpressionError(unknown(f"key of {name}", key, known))
        if key in keys:
            raise ExpressionError(f'key "{key}" is given twice')
        keys[key] = value
    if name == "latency.stage":
        if "stage" not in keys:
            raise ExpressionError(f"latency.stage needs a stage, e.g. latency.stage{{stage=bus}}; known: {', '.join(STAGES)}")
        if keys["stage"] not in STAGES:
            raise ExpressionError(unknown("stage", keys["stage"], STAGES))
    return tuple(keys.items())


def _quantity(text: str, statistic: str, metric: str) -> float:
    unit = "ratio" if statistic == "ratio" else "count" if statistic == "count" else METRICS[metric].unit
    try:
        if unit == "ns":
            return units.duration(text)
        if unit == "bytes":
            return units.size(text)
        if unit == "ratio":
            return units.ratio(text)
    except ValueError as error:
        raise ExpressionError(str(error)) from error
    if not re.fullmatch(r"[0-9]+", text):
        raise ExpressionError(f'expected a whole number without a unit (the {statistic or "gauge"} of {metric} is a count), got "{text}"')
    return int(Decimal(text))


def _check_time(expectation: Expectation) -> None:
    metric = METRICS[expectation.metric]
    watched = expectation.metric in ("backlog", "stuck") and not expectation.statistic
    if expectation.within_ns is not None and not watched:
        raise ExpressionError("within ... after ... goes with a gauge that is watched: backlog, stuck")
    if expectation.never and (not watched or expectation.within_ns is not None):
        raise ExpressionError("never goes with a gauge that is watched, alone: never backlog > 1000")
    if expectation.over_ns is not None and expectation.metric not in ("latency.gateway", "latency.cloud"):
        raise ExpressionError(f"over goes with latency.gateway and latency.cloud, not with {expectation.metric} (a {metric.kind})")
