"""Two runs side by side: their expectations row by row, their 99th percentiles on one scale, what went wrong
by fleet.

Belongs here: those lines. Never: the second run itself, and the heads of both (terminal/beside.py).
"""

from __future__ import annotations

import math
from typing import NamedTuple

from rich.text import Text

from twinloop.scenarios.report.console import value_text
from twinloop.sim.kernel.histogram import NEVER
from twinloop.tui.drawing import plot
from twinloop.tui.drawing.look import BAD, OFF, VERDICTS
from twinloop.tui.drawing.text import DIM, HEAD, count_text, fit, row, time_text
from twinloop.tui.engine.messages import LiveVerdict, Ready, View
from twinloop.tui.screens import latency, strip

FIGURE, COUNT = 12, 10
"""cells of a measured value with its sign, and of a difference; of a count of points"""
NAMES_MIN = 12
NARROW = 60
"""cells below which columns have less"""
HERE, THERE, GAP = "this run", "beside", "difference"
SAME = "="


class Side(NamedTuple):
    """One of the two."""

    plan: Ready
    view: View


class Wrong(NamedTuple):
    """Points of a fleet: due, and missed or lost."""

    due: int
    wrong: int


# ---- expectations --------------------------------------------------------------------------------
def figures(one: Side, other: Side, width: int, height: int) -> list[Text]:
    """Expectations, and fleets below them: all of them, though there may be room for some only."""
    count = len({*(verdict.text for side in (one, other) for verdict in side.view.verdicts)})
    out = expectations(one, other, width, max(height, count + 1))
    return [*out, Text(""), *fleets(one, other, width, len(one.plan.devices) + len(other.plan.devices) + 1)]


def expectations(one: Side, other: Side, width: int, height: int) -> list[Text]:
    """A row each, with what both measure and the difference; those of one run alone have no partner."""
    here = {verdict.text: verdict for verdict in one.view.verdicts}
    there = {verdict.text: verdict for verdict in other.view.verdicts}
    texts = list(dict.fromkeys((*here, *there)))
    if not texts:
        return [Text("nothing is expected: no verdict", style=DIM)]
    size = _column(FIGURE, width)
    room = max(1, width - 3 * (size + 1))
    head = row([("expectation", room), (HERE, -size), (THERE, -size), (GAP, -size)], f"{HEAD} {DIM}")
    spare = height - 1 - len(texts)
    """lines for texts that are too long to stand beside their figures"""
    out = [head]
    for text in texts:
        own = len(text) > room and spare > 0
        if own:
            spare -= 1
            out.append(Text(fit(text, width).rstrip()))
        figure = _figures(here.get(text), there.get(text), size)
        out.append(Text.assemble(fit("" if own else text, room), *figure))
    if len(out) > height:
        out = [*out[: height - 1], Text(f"and {len(out) - height + 1} more", style=DIM)]
    return out


def _column(size: int, width: int) -> int:
    """Cells of a figure where there are so many for the whole line."""
    return size if width >= NARROW else max(1, min(size, (width - NAMES_MIN) // 3 - 1))


def _figures(one: LiveVerdict | None, other: LiveVerdict | None, size: int) -> list[tuple[str, str]]:
    cells = []
    for verdict in (one, other):
        token = OFF if verdict is None else VERDICTS.get(verdict.verdict, BAD)
        said = "-" if verdict is None else f"{token.sign} {verdict.measured}"
        cells.append((f" {_right(said, size)}", token.style))
    return [*cells, (f" {_right(difference(one, other), size)}", HEAD)]


def _right(text: str, size: int) -> str:
    return fit(text, size) if len(text) > size else text.rjust(size)


def difference(one: LiveVerdict | None, other: LiveVerdict | None) -> str:
    """How much more is measured in the other one; - where that can't be said."""
    values = [None if verdict is None else verdict.value for verdict in (one, other)]
    first, second = values
    if one is None or first is None or second is None:
        return "-"
    if first == second:
        return SAME
    endless = one.unit == "ns" and max(first, second) >= NEVER
    if endless or not math.isfinite(first) or not math.isfinite(second):
        return "-"
    sign = "+" if second > first else "-"
    return f"{sign}{value_text(abs(second - first), one.unit, one.point_unit)}"


# ---- fleets --------------------------------------------------------------------------------------
def fleets(one: Side, other: Side, width: int, height: int) -> list[Text]:
    """Points that were missed or lost, by fleet; those in which most went wrong first where not all fit."""
    here, there = by_fleet(one), by_fleet(other)
    if not here or not there:
        return [Text("...", style=DIM)]
    names = list(dict.fromkeys((*here, *there)))
    room = max(NAMES_MIN, width - 5 * (COUNT + 1))
    dues = width >= NAMES_MIN + 5 * (COUNT + 1)
    size = _column(COUNT, width)
    room = room if dues else max(1, width - 3 * (size + 1))
    heads = [("wrong points", room), (HERE, -size), (THERE, -size), (GAP, -size)]
    heads += [("due here", -COUNT), ("due there", -COUNT)] if dues else []
    none = Wrong(0, 0)

    def worst(name: str) -> int:
        return -max(here.get(name, none).wrong, there.get(name, none).wrong)

    shown = names if len(names) < height else sorted(names, key=worst)[: max(0, height - 2)]
    out = [row(heads, f"{HEAD} {DIM}")]
    for name in sorted(shown, key=names.index):
        mine, theirs = here.get(name, none), there.get(name, none)
        more = theirs.wrong - mine.wrong
        gap = SAME if not more else f"{'+' if more > 0 else '-'}{count_text(abs(more))}"
        counts = [count_text(mine.wrong), count_text(theirs.wrong), gap]
        counts += [count_text(mine.due), count_text(theirs.due)] if dues else []
        sign = f"{BAD.sign} " if mine.wrong or theirs.wrong else "  "
        style = BAD.style if mine.wrong or theirs.wrong else ""
        out.append(row([(sign + name, room), *((text, -size) for text in counts)], style))
    if len(shown) < len(names):
        out.append(Text(f"and {len(names) - len(shown)} more fleets", style=DIM))
    return out[:height]


def by_fleet(side: Side) -> dict[str, Wrong]:
    """Fleet -> its points, in the order of the plan; nothing yet in a view that was made without them."""
    known = side.view.figures
    if not known.due:
        return {}
    return {
        fleet.name: Wrong(due, missed + lost)
        for fleet, due, missed, lost in zip(
            side.plan.fleets, known.due, known.missed, known.lost, strict=True
        )
    }


# ---- curves --------------------------------------------------------------------------------------
def curve(one: Side, other: Side, width: int, height: int) -> list[Text]:
    """p99 of the first run's latency at the gateway, on the scale that both have."""
    windows, others = _windows(one.view), _windows(other.view)
    now = max(0, one.view.snapshot.now_ns)
    ends = [at for some in (windows, others) for at, _ in some]
    to_ns = max([now, other.view.snapshot.now_ns, *ends, 1]) if ends else max(one.plan.duration_ns, 1)
    limit = float(one.plan.budget_ns) if one.plan.budget_ns else math.nan
    spans = dict.fromkeys((*one.plan.spans, *one.view.entries.spans))
    axes = plot.Axes(
        0,
        to_ns,
        latency.time_text_of,
        lambda at_ns: strip.short_clock(at_ns // 10**9),
        limit,
        tuple((span.at_ns, max(span.at_ns, span.until_ns)) for span in spans if span.at_ns <= now),
        now,
        from_zero=True,
        reddens="{" not in one.plan.budget,
        alongside=tuple(value for _, value in others if math.isfinite(value)),
    )
    known = [(at, value) for at, value in windows if math.isfinite(value)]
    said = "nothing yet"
    if known:
        at, value = known[-1]
        said = f"{time_text(round(value))} at {strip.short_clock(at // 10**9)}"
    return [Text.assemble(("p99 ", HEAD), said), *plot.lines(windows, axes, width, height - 1)][:height]


def _windows(view: View) -> list[tuple[int, float]]:
    """(from, p99) of each window; NaN where nothing was carried."""
    return [(one[0], math.nan if one[-1] < 0 else float(one[-1])) for one in view.latency]
