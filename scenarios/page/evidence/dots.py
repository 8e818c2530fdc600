"""Pictures of single runs: a mark for each, at its value, with the limit; what has no value is there, too.

Belongs here: marks, lanes, whiskers and bands as SVG. Never: which values (the modules of each page), how a
verdict looks (marks.py), axes (charts.py).

Two lanes beside the axis hold what it can't: "never" at the top for times later than any bound, "none" at
the bottom for runs without a value: nothing was measured, or the run ended before it could be.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from typing import Any

from twinloop.scenarios.judging.verdict import Verdict
from twinloop.scenarios.page.charts import BOTTOM, HIGH, LEFT, RIGHT, TOP, WIDE, Value, axes, short
from twinloop.scenarios.page.evidence.marks import LETTERS, legend, mark
from twinloop.scenarios.page.scales import LOG_FROM, Scale, upright

LANE = 22
"""height of what has no place on the axis"""
GAP = 10
"""between the axis and such a lane"""
LABEL_MAX = 16
"""characters of a label across"""
LETTER_WIDE = 11
"""of a label across, in a picture on a phone"""
LIMIT_WIDE = 56
"""room at the right end for the word beside the limit"""
FEW = 60
"""marks of one picture that may be large on a phone"""
SPREAD = ("p5", "median", "p95")


@dataclass(frozen=True)
class Frame:
    """Where things stand in one picture."""

    up: Scale
    never: float
    none: float
    places: list[float]


def dots(name: str, title: str, chart: dict[str, Any], told: str) -> str:
    """A picture. ``name``: of its figures in the page's data, and its id; ``told``: it in words.

    ``chart``: ``at`` labels across, ``x`` their places as numbers (null: in even steps), ``values``,
    ``verdicts``; ``without`` the verdicts of runs without a value (or empty); ``low`` and ``high`` the ends
    of whiskers (or null); ``spread`` p5, median and p95 over all of them (or null); ``limit``, ``unit``,
    ``letters``: are verdicts written beside marks? ``lines``: values across that are named.
    """
    frame = _frame(chart)
    told += " Equal steps across are equal ratios." if _logarithmic(chart) else ""
    parts = [_lanes(chart, frame), axes(frame.up, _ticks(chart, frame))]
    parts += [_spread(chart, frame), _limit(chart, frame), _named(chart, frame)]
    parts += [_whisker(chart, frame, i) for i in range(len(chart["at"]))]
    lettered = _lettered(chart, frame)
    parts += [_mark(chart, frame, i, lettered[i]) for i in _covering(chart["verdicts"])]
    few = ' class="few"' if len(chart["at"]) <= FEW else ""
    spread = ",".join(map(short, frame.places))
    return (
        f'<figure id="{escape(name)}" class="chart">'
        f'<svg{few} viewBox="0 0 {WIDE} {HIGH}" role="img" tabindex="0" data-x="{spread}" '
        f'aria-label="{escape(f"{title}. {told}")}">{"".join(parts)}'
        f'<line class="cursor" y1="{TOP}" y2="{HIGH - BOTTOM}" x1="-9" x2="-9"/></svg>'
        f'<ul class="legend">{legend(_verdicts(chart))}{_lines_of(chart)}</ul>'
        f'<output aria-live="polite"></output><figcaption>{escape(told)}</figcaption></figure>'
    )


def _verdicts(chart: dict[str, Any]) -> list[str]:
    """Those that are drawn."""
    drawn = [one for one, value in zip(chart["verdicts"], chart["values"], strict=True) if value is not None]
    return [one for one in (*drawn, *chart["without"]) if one]


def _frame(chart: dict[str, Any]) -> Frame:
    shown = [*chart["values"], *(chart["low"] or []), *(chart["high"] or [])]
    shown += list((chart["spread"] or {}).values())
    numbers = [one for one in shown if isinstance(one, int | float)]
    low = HIGH - BOTTOM - (LANE + GAP if any(chart["without"]) else 0)
    high = TOP + (LANE + GAP if "never" in shown else 0)
    limit = [chart["limit"]["value"]] if chart["limit"] else []
    up = _around([*numbers, *limit], chart["unit"], low, high)
    return Frame(up, TOP + LANE / 2, HIGH - BOTTOM - LANE / 2, _places(chart))


def _around(numbers: list[float], unit: str, low: float, high: float) -> Scale:
    """From 0 (or logarithmic, for times); with values below 0 from the least of them."""
    least, most = min(numbers, default=0.0), max(numbers, default=0.0)
    if least < 0:
        room = 0.08 * (most - least) or 1.0
        return Scale(least - room, most + room, low, high, unit)
    return upright(numbers, unit, low, high)


def _places(chart: dict[str, Any]) -> list[float]:
    """Across: where each run stands, with room at both ends."""
    numbers = chart["x"] or list(range(len(chart["at"])))
    first, last = (len(_cut(chart["at"][i])) * LETTER_WIDE / 2 for i in (0, -1))
    left = LEFT + max(16, first)
    right = WIDE - RIGHT - max(last, LIMIT_WIDE if chart["limit"] else 16)
    low, high = min(numbers, default=0), max(numbers, default=0)
    if low == high:
        return [(left + right) / 2 for _ in numbers]
    across = Scale(low, high, left, right, "", _logarithmic(chart))
    return [across.at(one) for one in numbers]


def _ticks(chart: dict[str, Any], frame: Frame) -> list[tuple[float, str]]:
    """The labels that find room, those of named lines and the last one first; a long one is cut."""
    found: list[tuple[float, str]] = []
    named = [one["at"] for one in chart["lines"]]
    ends = sorted(zip(frame.places, chart["at"], strict=True))
    first = [one for one in ends if one[1] in named]
    for place, text in [*first, *ends[-1:], *(one for one in ends[:-1] if one not in first)]:
        shown = _cut(text)
        half = len(shown) * LETTER_WIDE / 2
        if all(abs(place - other) > half + len(one) * LETTER_WIDE / 2 + 14 for other, one in found):
            found.append((place, shown))
    return found


def _logarithmic(chart: dict[str, Any]) -> bool:
    """Are distances across ratios?"""
    numbers = chart["x"] or [0]
    return bool(min(numbers) > 0 and max(numbers) / min(numbers) >= LOG_FROM)


def _cut(text: str) -> str:
    """A label that isn't too long."""
    return text if len(text) <= LABEL_MAX else f"{text[: LABEL_MAX - 1]}…"


def _lanes(chart: dict[str, Any], frame: Frame) -> str:
    out = ""
    for text, at, there in (
        ("never", frame.never, frame.up.at_high > TOP),
        ("none", frame.none, frame.up.at_low < HIGH - BOTTOM),
    ):
        if there:
            out += (
                f'<rect class="lane" x="{LEFT}" y="{short(at - LANE / 2)}" width="{WIDE - RIGHT - LEFT}" '
                f'height="{LANE}"/>'
                f'<text x="{LEFT - 6}" y="{short(at)}" dy="4" text-anchor="end">{text}</text>'
            )
    return out


def _spread(chart: dict[str, Any], frame: Frame) -> str:
    """Nine tenths of all values as a band, the median as a line."""
    if not chart["spread"]:
        return ""
    low, middle, high = (_at(frame, chart["spread"][one]) for one in SPREAD)
    if low is None or middle is None or high is None:
        return ""
    return (
        f'<rect class="spread" x="{LEFT}" y="{short(high)}" width="{WIDE - RIGHT - LEFT}" '
        f'height="{short(max(1.0, low - high))}"/>'
        f'<line class="middle" x1="{LEFT}" x2="{WIDE - RIGHT}" y1="{short(middle)}" y2="{short(middle)}"/>'
    )


def _limit(chart: dict[str, Any], frame: Frame) -> str:
    if not chart["limit"]:
        return ""
    place = frame.up.at(chart["limit"]["value"])
    at = short(place)
    text = short(place - 5 if place > TOP + 16 else place + 17)
    return (
        f'<line class="limit" x1="{LEFT}" x2="{WIDE - RIGHT}" y1="{at}" y2="{at}"/>'
        f'<text class="limit-text" x="{WIDE - RIGHT}" y="{text}" text-anchor="end">'
        "limit</text>"
    )


def _named(chart: dict[str, Any], frame: Frame) -> str:
    """Lines upright at values that have a name."""
    out = ""
    for one in chart["lines"]:
        at = short(frame.places[chart["at"].index(one["at"])])
        out += (
            f'<line class="named" x1="{at}" x2="{at}" y1="{TOP}" y2="{HIGH - BOTTOM}"/>'
            f'<text x="{at}" y="{TOP - 8}" text-anchor="middle">{escape(one["text"])}</text>'
        )
    return out


def _whisker(chart: dict[str, Any], frame: Frame, i: int) -> str:
    """From p5 to p95 of one point's seeds."""
    if not chart["low"] or not chart["high"]:
        return ""
    low, high = (_at(frame, chart[name][i]) for name in ("low", "high"))
    if low is None or high is None or abs(low - high) < 1:
        return ""
    at, left, right = (short(frame.places[i] + step) for step in (0, -4, 4))
    down, up = short(low), short(high)
    return f'<path class="whisker" d="M{at} {down}V{up}M{left} {down}H{right}M{left} {up}H{right}"/>'


def _mark(chart: dict[str, Any], frame: Frame, i: int, lettered: bool) -> str:
    """At the value, and in the lane for runs without one."""
    x, size = frame.places[i], _size(len(chart["at"]))
    out = ""
    for verdict, y in (
        (chart["verdicts"][i], _at(frame, chart["values"][i])),
        (chart["without"][i], frame.none),
    ):
        if verdict and y is not None:
            out += mark(verdict, x, y, size) + (_letter(verdict, x, y) if lettered else "")
    return out


def _lettered(chart: dict[str, Any], frame: Frame) -> list[bool]:
    """Which marks have their letter beside them: where there is room for it, those first whose neighbour has
    another verdict."""
    verdicts, places = chart["verdicts"], frame.places
    out, taken = [False] * len(verdicts), list[float]()
    if not chart["letters"]:
        return out
    ordered = sorted(range(len(verdicts)), key=lambda i: places[i])
    turns = [i for i, j in pairwise(ordered) if verdicts[i] != verdicts[j]]
    turns += [j for i, j in pairwise(ordered) if verdicts[i] != verdicts[j]]
    for i in dict.fromkeys([*turns, *ordered]):
        if all(abs(places[i] - other) >= LETTER_WIDE + 2 for other in taken):
            out[i] = True
            taken.append(places[i])
    return out


def _covering(verdicts: list[str]) -> list[int]:
    """Which mark is drawn after which: none that says more is covered by a PASS."""
    return sorted(range(len(verdicts)), key=lambda i: verdicts[i] != Verdict.PASS.value)


def _letter(verdict: str, x: float, y: float) -> str:
    above = y - 9 if y - 9 > TOP + 8 else y + 19
    letter = LETTERS[verdict]
    return f'<text class="letter" x="{short(x)}" y="{short(above)}" text-anchor="middle">{letter}</text>'


def _size(count: int) -> float:
    return 4.5 if count <= FEW else 3.2 if count <= 200 else 2.2


def _at(frame: Frame, value: Value) -> float | None:
    if value == "never":
        return frame.never
    return frame.up.at(value) if isinstance(value, int | float) and not math.isinf(value) else None


def _lines_of(chart: dict[str, Any]) -> str:
    """The legend's other items."""
    items = []
    if chart["spread"]:
        items.append(('<rect class="spread" width="36" height="10"/>', "p5 to p95"))
        items.append(('<path class="middle" d="M0 5H36"/>', "median"))
    if chart["low"]:
        items.append(
            (
                '<path class="whisker" d="M4 1V9M4 5H32M32 1V9"/>',
                "p5 to p95 over seeds, the mark is the median",
            )
        )
    if chart["limit"]:
        items.append(('<path class="limit" d="M0 5H36"/>', f"limit {chart['limit']['text']}"))
    return "".join(
        f'<li><svg viewBox="0 0 36 10" aria-hidden="true">{drawn}</svg>{escape(text)}</li>'
        for drawn, text in items
    )
