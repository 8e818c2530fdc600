"""Pictures: static SVG that Python writes.

Belongs here: lines, shades, axes, legends. Never: which values (figures.py), colours (style.css).

No plotting library is shipped: a page with one is larger than all of its figures, has to be kept up to date
and shows nothing where scripts are forbidden. These pictures are there without any script; the few lines in
script.js only read a value off them. Lines differ by dashes, not by colour alone; whoever reads with a screen
reader has a sentence for each picture, and its values as a table.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from html import escape
from typing import Any

from twinloop.scenarios.page.scales import Scale, label, upright
from twinloop.scenarios.text.units import show_duration

WIDE, HIGH = 760, 250
LEFT, RIGHT, TOP, BOTTOM = 80, 14, 24, 30
"""margins in which axes and the numbers of shades stand"""
SHADES_MAX = 40
"""stretches of trouble in one picture; all of them are in the table of trouble"""
NAMED_MAX = 4
"""of them named below it"""
NUMBER_WIDE = 30
"""room that a shade's number takes"""
Value = float | str | None


@dataclass(frozen=True)
class Shade:
    """A stretch of time with trouble: ``number`` in the table of trouble, ``end_ns`` None for an instant."""

    number: int
    begin_ns: int
    end_ns: int | None
    text: str


def over_time(name: str, title: str, chart: dict[str, Any], end_ns: int, shades: list[Shade]) -> str:
    """A picture of values over the time of a run, from t = 0 to ``end_ns``. ``name``: of its figures in the
    page's data, and its id."""
    across = Scale(0, end_ns, LEFT, WIDE - RIGHT, "ns")
    positions = [across.at(at_ns) for at_ns in chart["at_ns"]]
    ticks = [(across.at(tick), label(tick, "ns") if tick else "0") for tick in across.ticks()]
    behind = _shades(shades[:SHADES_MAX], across)
    beside = _shaded(shades)
    return _figure(name, title, chart, positions, ticks, behind, beside)


def over_ranks(name: str, title: str, ranks: dict[str, Any]) -> str:
    """The percentile curve: to the right each step is a tenth of the samples that are left."""
    far = math.log10(5000)
    across = Scale(0, far, LEFT, WIDE - RIGHT, "")

    def at(permille: float) -> float:
        return across.at(-math.log10(1 - permille / 1000) if permille < 1000 else far)

    chart = {"lines": ranks["lines"], "unit": "ns", "limit": None, "at_ns": ranks["permille"]}
    ticks = [(at(permille), f"p{permille / 10:g}") for permille in (0, 500, 900, 990, 999)]
    ticks.append((across.at(far), "max"))
    return _figure(name, title, chart, [at(one) for one in ranks["permille"]], ticks, "", "")


def _figure(
    name: str,
    title: str,
    chart: dict[str, Any],
    positions: list[float],
    ticks: list[tuple[float, str]],
    behind: str,
    beside: str,
) -> str:
    lines, limit, unit = chart["lines"], chart["limit"], chart["unit"]
    numbers = [value for line in lines for value in line["values"] if isinstance(value, int | float)]
    up = upright(numbers + ([limit["value"]] if limit else []), unit, HIGH - BOTTOM, TOP)
    parts = [behind, axes(up, ticks)]
    parts += [_line(number, line["values"], positions, up) for number, line in enumerate(lines)]
    if limit:
        at = short(up.at(limit["value"]))
        parts.append(
            f'<line class="limit" x1="{LEFT}" x2="{WIDE - RIGHT}" y1="{at}" y2="{at}"/>'
            f'<text class="limit-text" x="{WIDE - RIGHT}" y="{short(up.at(limit["value"]) - 4)}" '
            f'text-anchor="end">limit {escape(limit["text"])}</text>'
        )
    spread = ",".join(short(position) for position in positions)
    told = " ".join(filter(None, [summary(chart), beside]))
    return (
        f'<figure id="{escape(name)}" class="chart">'
        f'<svg viewBox="0 0 {WIDE} {HIGH}" role="img" tabindex="0" data-x="{spread}" '
        f'aria-label="{escape(f"{title}. {told}")}">{"".join(parts)}'
        f'<line class="cursor" y1="{TOP}" y2="{HIGH - BOTTOM}" x1="-9" x2="-9"/></svg>'
        f"{_legend(lines, limit)}"
        f'<output aria-live="polite"></output>'
        f"<figcaption>{escape(told)}{_beside(chart)}</figcaption></figure>"
    )


def _beside(chart: dict[str, Any]) -> str:
    """What a picture has to say of itself beside its values."""
    words = [chart["how"][0].upper() + chart["how"][1:] + "."] if chart.get("how") else []
    if chart.get("left_out"):
        words.append(f"{chart['left_out']} more are lower, and not shown.")
    return escape(" " + " ".join(words)) if words else ""


def summary(chart: dict[str, Any]) -> str:
    """A picture in words: of each line the least and the most."""
    said = []
    for line in chart["lines"]:
        numbers = [value for value in line["values"] if isinstance(value, int | float)]
        never = sum(value == "never" for value in line["values"])
        if numbers:
            low, high = (_told(value, chart["unit"]) for value in (min(numbers), max(numbers)))
            said.append(f"{line['name']} {low}" + (f" to {high}" if low != high else ""))
        if never:
            said.append(f"{line['name']} later than any bound in {never} of {len(line['values'])}")
    return f"{'; '.join(said)}." if said else "Nothing was measured."


def _told(value: float, unit: str) -> str:
    return show_duration(value) if unit == "ns" else label(value, unit)


def axes(up: Scale, ticks: list[tuple[float, str]]) -> str:
    """Lines and labels of both axes; ``ticks``: (place, label) of the one across."""
    parts = []
    for value in up.ticks():
        at = short(up.at(value))
        parts.append(
            f'<line class="grid" x1="{LEFT}" x2="{WIDE - RIGHT}" y1="{at}" y2="{at}"/>'
            f'<text x="{LEFT - 6}" y="{at}" dy="4" text-anchor="end">{escape(label(value, up.unit))}</text>'
        )
    for position, text in ticks:
        at, anchor = short(position), "end" if position > WIDE - RIGHT - 14 else "middle"
        parts.append(
            f'<line class="grid" x1="{at}" x2="{at}" y1="{HIGH - BOTTOM}" y2="{HIGH - BOTTOM + 4}"/>'
            f'<text x="{at}" y="{HIGH - BOTTOM + 18}" text-anchor="{anchor}">{escape(text)}</text>'
        )
    return "".join(parts)


def _line(number: int, values: list[Value], positions: list[float], up: Scale) -> str:
    """One line with gaps where nothing was measured; a lone value is a dot, "never" a mark at the top."""
    path, dots = [], []
    for index, value in enumerate(values):
        at = short(positions[index])
        if value == "never":
            dots.append(f'<path class="never" d="M{at} {TOP - 1}l4 7h-8z"/>')
        if not isinstance(value, int | float):
            continue
        height = short(up.at(value))
        joined = index > 0 and isinstance(values[index - 1], int | float)
        path.append(f"{'L' if joined else 'M'}{at} {height}")
        if not joined and not (index + 1 < len(values) and isinstance(values[index + 1], int | float)):
            dots.append(f'<circle cx="{at}" cy="{height}" r="2.2"/>')
    drawn = f'<path class="curve" d="{"".join(path)}"/>' if path else ""
    return f'<g class="l{number % 6}">{drawn}{"".join(dots)}</g>'


def _shades(shades: list[Shade], across: Scale) -> str:
    """Each with its number, where there is room for that."""
    parts, free = [], 0.0
    for one in shades:
        begin = across.at(one.begin_ns)
        parts.append(_shade(one, across, begin >= free))
        free = begin + NUMBER_WIDE if begin >= free else free
    return "".join(parts)


def _shade(one: Shade, across: Scale, numbered: bool) -> str:
    begin = across.at(one.begin_ns)
    end = begin if one.end_ns is None else across.at(one.end_ns)
    at, wide = short(begin), short(max(1.2, end - begin))
    return (
        f'<g class="trouble"><title>{escape(one.text)}</title>'
        f'<rect x="{at}" y="{TOP}" width="{wide}" height="{HIGH - TOP - BOTTOM}"/>'
        f'<line x1="{at}" x2="{at}" y1="{TOP}" y2="{HIGH - BOTTOM}"/>'
        + (f'<text x="{at}" y="{TOP - 6}">{one.number}</text></g>' if numbered else "</g>")
    )


def _shaded(shades: list[Shade]) -> str:
    """Which trouble is shaded, in words."""
    if not shades:
        return ""
    words = [f"{one.number} {one.text}" for one in shades[:NAMED_MAX]]
    more = len(shades) - len(words)
    return f"Shaded: {'; '.join(words)}{f'; and {more} more, in the table of trouble' if more else ''}."


def _legend(lines: list[dict[str, Any]], limit: dict[str, Any] | None) -> str:
    """What each kind of line means."""
    if len(lines) < 2 and not limit:
        return ""
    samples = [(f"l{number % 6}", "curve", line["name"]) for number, line in enumerate(lines)]
    samples += [("", "limit", f"limit {limit['text']}")] if limit else []
    items = "".join(
        f'<li><svg viewBox="0 0 36 10" aria-hidden="true"><g class="{group}">'
        f'<path class="{kind}" d="M0 5H36"/></g></svg>{escape(text)}</li>'
        for group, kind, text in samples
    )
    return f'<ul class="legend">{items}</ul>'


def short(number: float) -> str:
    """A coordinate."""
    return f"{number:.1f}".removesuffix(".0")
