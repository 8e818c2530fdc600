"""The grammar of expectations: ``["never"] stat(metric{key=name}) op quantity [over span] [within span after
event]``.

Belongs here: text to a checked Expectation. Never: values (thresholds.py). Messages name the nearest known
word. Keywords are whole words outside braces, so that a fleet may be called ``left-over`` and a link
``within-reach``.
"""

from __future__ import annotations

import re

from twinloop.scenarios.judging.expectation import Expectation
from twinloop.scenarios.judging.metrics.table import METRICS, STATISTICS
from twinloop.scenarios.text import units
from twinloop.scenarios.text.errors import unknown
from twinloop.sim.accounts.latency import STAGES

TEXT_MAX = 1000
"""characters of one expectation"""
_TERM = re.compile(
    r"^(?:(?P<stat>[a-z][a-z0-9.]*)\((?P<inner>[^()]*)\)|(?P<gauge>[a-z][a-z.]*(?:\{[^}]*\})?))$"
)
_METRIC = re.compile(r"^(?P<name>[a-z][a-z.-]*)(?:\{(?P<keys>[^}]*)\})?$")
_OPERATOR = re.compile(r"<=|>=|==|!=|<|>")
_NUMBER = re.compile(
    r"^(?P<number>[+-]?[0-9]{1,18}(?:\.[0-9]{1,18})?(?:e[+-]?[0-9]{1,3})?) ?(?P<unit>\S.*)?$"
)


class ExpressionError(ValueError):
    """An expectation that can't be read; the message says what was expected and what came."""


def parse(text: str) -> Expectation:
    """Read one expectation; raises ExpressionError."""
    if len(text) > TEXT_MAX:
        raise ExpressionError(f"an expectation of {len(text)} characters; at most {TEXT_MAX} are read")
    words = _words(text)
    never = words[:1] == ["never"]
    words = words[1:] if never else words
    within_ns, event, over_ns = None, "", None
    if "within" in words:
        at = words.index("within")
        if "after" not in words[at:]:
            raise ExpressionError(
                f'"within" is not where it belongs; expected it at the end: ... within 60 s after heal '
                f'cloud, got "{text}"'
            )
        after = words.index("after", at)
        within_ns, event = _span(words[at + 1 : after], "within"), " ".join(words[after + 1 :])
        words = words[:at]
        if not event:
            raise ExpressionError(f'expected an event after "after", e.g. after heal cloud, got "{text}"')
    if "over" in words:
        at = words.index("over")
        over_ns, words = _span(words[at + 1 :], "over"), words[:at]
    term, operator, quantity = _compared(" ".join(words), text)
    statistic, metric, keys = _term(term)
    bound, unit = _quantity(quantity, statistic, metric)
    expectation = Expectation(
        text,
        statistic,
        metric,
        keys,
        operator,
        bound,
        never,
        over_ns,
        within_ns,
        event,
        unit,
        METRICS[metric].unit,
    )
    _check_time(expectation)
    return expectation


def _words(text: str) -> list[str]:
    """Split at spaces, but not within braces or parentheses."""
    words, depth, word = [], 0, ""
    for letter in " ".join(text.split()):
        depth += (letter in "({") - (letter in ")}")
        if letter == " " and depth <= 0:
            words.append(word)
            word = ""
        else:
            word += letter
    return [word for word in [*words, word] if word]


def _compared(rest: str, text: str) -> tuple[str, str, str]:
    """(term, operator, quantity), split at the first operator outside braces."""
    depth = 0
    for at, letter in enumerate(rest):
        depth += (letter in "({") - (letter in ")}")
        found = _OPERATOR.match(rest, at) if depth <= 0 else None
        if found:
            term, quantity = rest[:at].strip(), rest[found.end() :].strip()
            if term and quantity:
                return term, found[0], quantity
            break
    raise ExpressionError(
        f'expected "stat(metric) op quantity", e.g. "p99(latency.gateway) <= 50 ms", got "{text}"'
    )


def _span(words: list[str], word: str) -> int:
    try:
        return units.positive_duration(" ".join(words))
    except ValueError as error:
        raise ExpressionError(f"after {word}: {error}") from error


def _term(text: str) -> tuple[str, str, tuple[tuple[str, str], ...]]:
    found = _TERM.match(text)
    if not found:
        raise ExpressionError(f'expected "stat(metric)" or a gauge, got "{text}"')
    statistic = found["stat"] or ""
    inner = _METRIC.match((found["inner"] if statistic else found["gauge"]).strip())
    if not inner:
        raise ExpressionError(
            f'expected "metric" or "metric{{key=name}}", got "{found["inner"] or found["gauge"]}"'
        )
    name = inner["name"]
    if name not in METRICS:
        raise ExpressionError(unknown("metric", name, METRICS))
    metric = METRICS[name]
    if statistic and statistic not in STATISTICS:
        raise ExpressionError(unknown("statistic", statistic, STATISTICS))
    if statistic and statistic not in metric.statistics:
        allowed = ", ".join(metric.statistics) or "none: it stands alone"
        raise ExpressionError(f"{statistic} does not go with {name} (a {metric.kind}); allowed: {allowed}")
    if not statistic and metric.kind not in ("gauge", "value"):
        raise ExpressionError(
            f"{name} is a {metric.kind} and needs a statistic: {', '.join(metric.statistics)}"
        )
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
            raise ExpressionError(
                f"latency.stage needs a stage, e.g. latency.stage{{stage=bus}}; known: {', '.join(STAGES)}"
            )
        if keys["stage"] not in STAGES:
            raise ExpressionError(unknown("stage", keys["stage"], STAGES))
    if name == "value" and "point" not in keys:
        raise ExpressionError(
            "value needs a point, e.g. max(value{fleet=boilers,point=temperature}) <= 90 degC"
        )
    return tuple(keys.items())


def _quantity(text: str, statistic: str, metric: str) -> tuple[float, str]:
    """(the bound, the unit that it was written in, of a value only)."""
    unit = "ratio" if statistic == "ratio" else "count" if statistic == "count" else METRICS[metric].unit
    try:
        if unit == "ns":
            return units.duration(text), ""
        if unit == "bytes":
            return units.size(text), ""
        if unit == "ratio":
            return units.ratio(text), ""
    except ValueError as error:
        raise ExpressionError(str(error)) from error
    if unit == "value":
        found = _NUMBER.match(text)
        if not found:
            raise ExpressionError(f'expected a number with the point\'s unit, e.g. "90 degC", got "{text}"')
        number = float(found["number"])
        if number - number != 0.0:
            raise ExpressionError(f'expected a number that a float can hold, got "{text}"')
        return number, found["unit"] or ""
    if not re.fullmatch(r"[0-9]{1,18}", text):
        raise ExpressionError(
            f"expected a whole number without a unit (the {statistic or 'gauge'} of {metric} is a count), "
            f'got "{text}"'
        )
    return int(text), ""


def _check_time(expectation: Expectation) -> None:
    metric = METRICS[expectation.metric]
    watched = metric.watched and not expectation.statistic
    if expectation.within_ns is not None and not watched:
        raise ExpressionError(
            f"within ... after ... goes with what is watched: "
            f"{', '.join(name for name, one in METRICS.items() if one.watched)}"
        )
    if expectation.never and (not watched or expectation.within_ns is not None):
        raise ExpressionError("never goes with what is watched, alone: never backlog > 1000")
    if expectation.metric == "value" and not (
        expectation.statistic or expectation.never or expectation.within_ns is not None
    ):
        known = ", ".join(metric.statistics)
        raise ExpressionError(
            f'value needs a statistic ({known}), "never" in front, or "within ... after ..." behind it'
        )
    if expectation.over_ns is not None and expectation.metric not in ("latency.gateway", "latency.cloud"):
        raise ExpressionError(
            f"over goes with latency.gateway and latency.cloud, not with {expectation.metric} (a "
            f"{metric.kind})"
        )
