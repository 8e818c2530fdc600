"""The grammar of expectations: ``["never"] stat(metric{key=name}) op quantity [over span] [within span after
event]``.

Belongs here: text to a checked Expectation. Never: values (thresholds.py). Messages say what could stand at
the place that can't be read, and name the nearest known word.
"""

from __future__ import annotations

import re
from dataclasses import field
from fractions import Fraction
from functools import cache
from typing import TYPE_CHECKING

from twinloop.records import dataclass
from twinloop.scenarios.judging.expectation import Expectation
from twinloop.scenarios.judging.metrics.table import METRICS, STATISTICS
from twinloop.scenarios.text import units
from twinloop.scenarios.text.errors import unknown
from twinloop.sim.accounts.latency import STAGES

if TYPE_CHECKING:
    from lark import Lark
    from lark.exceptions import UnexpectedInput

TEXT_MAX = 1000
"""characters of one expectation"""
_GRAMMAR = r"""
    expectation: NEVER? (STATISTIC "(" metric ")" | metric) OPERATOR QUANTITY over? within?
    metric: NAME ["{" [pair ("," pair?)*] "}"]
    pair: KEY "=" VALUE
    over: "over" SPAN
    within: "within" SPAN "after" EVENT

    NEVER.2: /never(?=\s)/
    STATISTIC.2: /[A-Za-z][A-Za-z0-9.]*(?=\s*\()/
    NAME: /[A-Za-z][A-Za-z0-9._-]*/
    KEY: /[^\s=,{}]+/
    VALUE: /[^\s=,{}](?:[^,{}]*[^\s,{}])?/
    OPERATOR: /<=|>=|==|!=|<(?!\s*=)|>(?!\s*=)/
    QUANTITY: /[^\s<>=!](?:(?!\s(?:over|within)(?:\s|$)).)*/
    SPAN: /\S(?:(?!\s(?:after|within)(?:\s|$)).)*/
    EVENT: /.+/
    %ignore /\s+/
"""
"""what stands where; a word of it is one only where it may stand, so that a fleet may be called ``left-over``
and a link ``within``"""
_NAME = r"[A-Za-z][A-Za-z0-9._-]*+"
_PAIR = r"[^\s=,{}]++\s*+=\s*+[^\s=,{}](?:[^,{}]*[^\s,{}])?+"
_METRIC = rf"{_NAME}(?:\s*+\{{\s*+(?:{_PAIR}(?:\s*+,\s*+(?:{_PAIR})?+)*+)?+\s*+\}})?+"
_SPAN = r"(?>\S(?:(?!\s(?:after|within)(?:\s|$)).)*)"
_LINE = re.compile(
    r"(?:(?P<never>never)(?=\s)(?!\s*\()\s*+)?+"
    rf"(?:(?P<statistic>[A-Za-z][A-Za-z0-9.]*+)\s*+\(\s*+(?P<of>{_METRIC})\s*+\)|(?P<alone>{_METRIC}))\s*+"
    r"(?P<operator><=|>=|==|!=|<(?!\s*=)|>(?!\s*=))\s*+"
    r"(?P<quantity>(?>[^\s<>=!](?:(?!\s(?:over|within)(?:\s|$)).)*))"
    rf"(?:\s*+over\s*+(?P<over>{_SPAN}))?+(?:\s*+within\s*+(?P<within>{_SPAN})\s*+after\s*+(?P<event>.+))?+"
)
"""the same as the grammar, for a line that has no mistake: to make a parser of the grammar takes a tenth of a
second, and all that it is for is to say what was expected. What this doesn't match is the parser's; tests
hold one against the other"""
_WORDS = {
    "STATISTIC": 'a statistic and a metric, e.g. "p99(latency.gateway)"',
    "NAME": 'a metric, e.g. "backlog"',
    "LPAR": '"("',
    "RPAR": '")"',
    "LBRACE": '"{key=name}"',
    "RBRACE": '"}"',
    "COMMA": '","',
    "KEY": '"key=name"',
    "EQUAL": '"="',
    "VALUE": "a name",
    "OPERATOR": "one of <= >= == != < >",
    "QUANTITY": 'a quantity, e.g. "50 ms"',
    "SPAN": 'a duration, e.g. "60 s"',
    "OVER": '"over 10 s"',
    "WITHIN": '"within 60 s after heal cloud"',
    "AFTER": '"after" and an event, e.g. "after heal cloud"',
    "EVENT": 'an event, e.g. "heal cloud"',
    "$END": "the end",
}
"""the grammar's names, as a reader is told them"""
_OPERATORS = {"=<": "<=", "=>": ">=", "< =": "<=", "> =": ">=", "=": "==", "<>": "!=", "≤": "<=", "≥": ">="}
"""what is written instead -> what is meant"""
_NUMBER = re.compile(
    r"^(?P<number>[+-]?[0-9]{1,20}(?:\.[0-9]{1,18})?(?:e[+-]?[0-9]{1,3})?) ?(?P<unit>\S.*)?$"
)


class ExpressionError(ValueError):
    """An expectation that can't be read; the message says what was expected and what came."""


def parse(text: str) -> Expectation:
    """Read one expectation; raises ExpressionError."""
    if len(text) > TEXT_MAX:
        raise ExpressionError(f"an expectation of {len(text)} characters; at most {TEXT_MAX} are read")
    parts = _parts(text)
    statistic, metric, keys = _term(parts)
    bound, unit = _quantity(parts.quantity, statistic, metric)
    never, operator, event = parts.never, parts.operator, parts.event
    over_ns = _span(parts.over, "over") if parts.over else None
    within_ns = _span(parts.within, "within") if parts.within else None
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


@dataclass
class _Parts:
    """The words of an expectation, by what they are."""

    never: bool = False
    statistic: str = ""
    metric: str = ""
    pairs: list[tuple[str, str]] = field(default_factory=list)
    operator: str = ""
    quantity: str = ""
    over: str = ""
    within: str = ""
    event: str = ""


@cache
def _parser() -> Lark:
    from lark import Lark  # only for what can't be read

    return Lark(_GRAMMAR, start="expectation", parser="lalr")


def _parts(text: str) -> _Parts:
    line = " ".join(text.split())
    return _matched(line) or _parsed(line)


def _matched(line: str) -> _Parts | None:
    """The words of a line without a mistake; None leaves it to the parser."""
    found = _LINE.fullmatch(line)
    if found is None:
        return None
    metric, _, keys = (found["of"] or found["alone"]).partition("{")
    pairs = [pair.partition("=") for pair in keys.rstrip("}").split(",") if pair.strip()]
    return _Parts(
        found["never"] is not None,
        found["statistic"] or "",
        metric.strip(),
        [(key.strip(), value.strip()) for key, _, value in pairs],
        found["operator"],
        found["quantity"],
        found["over"] or "",
        found["within"] or "",
        found["event"] or "",
    )


def _parsed(line: str) -> _Parts:
    """The words of any line, by the grammar; raises ExpressionError."""
    from lark import Token
    from lark.exceptions import UnexpectedInput

    try:
        tree = _parser().parse(line)
    except UnexpectedInput as error:
        raise ExpressionError(_expected(line, error)) from error
    parts = _Parts()
    for child in tree.children:
        if isinstance(child, Token):
            name = child.type.lower()
            setattr(parts, name, True if name == "never" else str(child))
        elif child.data == "metric":
            parts.metric = str(child.children[0])
            parts.pairs = [(str(pair.children[0]), str(pair.children[1])) for pair in child.find_data("pair")]
        elif child.data == "over":
            parts.over = str(child.children[0])
        else:
            parts.within, parts.event = (str(one) for one in child.children)
    return parts


def _expected(line: str, error: UnexpectedInput) -> str:
    """What could stand at the place that can't be read, and what came."""
    from lark.exceptions import UnexpectedCharacters, UnexpectedToken

    at = error.pos_in_stream if error.pos_in_stream is not None and error.pos_in_stream >= 0 else len(line)
    if isinstance(error, UnexpectedToken) and error.token.type == "$END":
        at = len(line)
    before, rest = line[:at].rstrip(), line[at:].strip()
    wanted = error.allowed if isinstance(error, UnexpectedCharacters) else getattr(error, "accepts", ()) or ()
    words = [_WORDS[name] for name in _WORDS if name in wanted]
    if "OPERATOR" in wanted:
        for written in sorted(_OPERATORS, key=len, reverse=True):
            if rest.startswith(written):
                words = [f'"{_OPERATORS[written]}"']
                break
        if before.rpartition(" ")[2] in STATISTICS:
            words = ['"(" and a metric']
    place = f' after "{before}"' if before else ""
    came = f'"{rest}"' if rest else "nothing more"
    return f"expected {' or '.join(words)}{place}, got {came}"


def _span(text: str, word: str) -> int:
    try:
        return units.positive_duration(text)
    except ValueError as error:
        raise ExpressionError(f"after {word}: {error}") from error


def _term(parts: _Parts) -> tuple[str, str, tuple[tuple[str, str], ...]]:
    statistic, name = parts.statistic, parts.metric
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
    return statistic, name, _keys(parts.pairs, name, metric.keys)


def _keys(pairs: list[tuple[str, str]], name: str, known: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    keys: dict[str, str] = {}
    for key, value in pairs:
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
    if METRICS[name].kind == "value" and "point" not in keys:
        example = "fleet=boilers,point=temperature" if name == "value" else "point=power"
        bound = "90 degC" if name == "value" else "5 kW"
        raise ExpressionError(f"{name} needs a point, e.g. max({name}{{{example}}}) <= {bound}")
    return tuple(keys.items())


def _quantity(text: str, statistic: str, metric: str) -> tuple[float, str]:
    """(the bound, the unit that it was written in, of a value only)."""
    if " after " in text:
        bound, _, rest = text.partition(" ")
        raise ExpressionError(f'expected "{bound} within {rest.partition(" ")[2]}", got "{text}"')
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
        digits = found["number"]
        number = float(digits)
        exact = Fraction(digits) if number - number == 0.0 else Fraction(0)
        if exact.denominator == 1 and number - number == 0.0 and (abs(number) >= 1 << 53 or digits.isdigit()):
            number = int(exact)  # as integers of 64 bits are: a float counts by ones up to 2^53 only
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
    if metric.kind == "value" and not (
        expectation.statistic or expectation.never or expectation.within_ns is not None
    ):
        known = ", ".join(metric.statistics)
        raise ExpressionError(
            f'{expectation.metric} needs a statistic ({known}), "never" in front, or "within ... after ..." '
            "behind it"
        )
    if expectation.over_ns is not None and expectation.metric not in ("latency.gateway", "latency.cloud"):
        raise ExpressionError(
            f"over goes with latency.gateway and latency.cloud, not with {expectation.metric} (a "
            f"{metric.kind})"
        )
