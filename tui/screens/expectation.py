"""The page of an expectation: what it says and how it is measured, its value over time against its limit,
its worst moments.

Belongs here: those lines, and where its moments stand. Never: what is measured (engine/followed.py).
"""

from __future__ import annotations

import math
import textwrap

from rich.text import Text

from twinloop.scenarios.page.watched import GROWING
from twinloop.scenarios.report.console import value_text
from twinloop.tui.drawing import plot
from twinloop.tui.drawing.look import BAD, LATE, VERDICTS
from twinloop.tui.drawing.spots import Spot
from twinloop.tui.drawing.text import DIM, HEAD, clock_text, fit, row
from twinloop.tui.engine.explored import ExpectationView, Moment
from twinloop.tui.engine.messages import Ready, View
from twinloop.tui.screens import strip
from twinloop.tui.screens.closer import Closer
from twinloop.tui.screens.targets import ToWindow

HEADS = (("worst at", 12), ("value", -12))
REST = 24
"""cells of the columns beside these, at the least"""
CURVE_HEAD = 1
"""lines above the curve"""


def found(view: View, closer: Closer) -> ExpectationView | None:
    """The page that is wanted, once it has come."""
    one = view.closer.expectation
    return one if one is not None and one.number == closer.expectation else None


def shown(one: ExpectationView, value: float) -> str:
    """A value of the curve, with its unit."""
    if math.isnan(value):
        return "-"
    return "never" if math.isinf(value) else value_text(value, one.unit, one.bound_unit)


def about(plan: Ready, view: View, width: int, height: int, closer: Closer) -> list[Text]:
    """What it says, how it stands, how it is measured, and why."""
    one = found(view, closer)
    if one is None:
        return [Text("...")]
    token = VERDICTS.get(one.verdict, BAD)
    head = Text.assemble((f"{token.sign} {one.verdict}  ", token.style), (one.text, HEAD))
    measured = Text.assemble(("measured ", HEAD), (one.measured, token.style), f", wanted {one.limit}")
    out = [head, measured]
    if one.why:
        out += [Text(line, style=LATE.style) for line in textwrap.wrap(f"why: {one.why}", width)]
    return [*out, *map(Text, textwrap.wrap(one.how, width))][:height]


def over_time(plan: Ready, view: View, width: int, height: int, closer: Closer) -> list[Text]:
    """Its curve; or why it has none, and what there is instead."""
    one = found(view, closer)
    if one is None:
        return [Text("...")]
    said = [Text(line, style=DIM) for line in textwrap.wrap(one.said, width)]
    if not one.values:
        return [*said, Text(""), *_records(one, width, height - len(said) - 1)][:height]
    now = max(0, view.snapshot.now_ns)
    spans = {**dict.fromkeys(plan.spans), **dict.fromkeys(view.entries.spans)}
    shades = tuple((span.at_ns, max(span.at_ns, span.until_ns)) for span in spans if span.at_ns <= now)
    axes = plot.Axes(
        0,
        _until_ns(one, view),
        lambda value: shown(one, value),
        lambda at_ns: strip.short_clock(at_ns // 10**9),
        one.bound,
        shades,
        now,
        from_zero=True,
        reddens=one.limit[0] == "<",
    )
    return [*said[:CURVE_HEAD], *plot.lines(one.values, axes, width, height - CURVE_HEAD)][:height]


def curve_spots(plan: Ready, view: View, width: int, height: int, closer: Closer) -> list[Spot]:
    """Each value of the curve. Those that fall into one cell are one: of a count that grows the last, with
    all of their windows, else the one that is hardest to accept, as the curve shows it there."""
    one = found(view, closer)
    out = list[Spot]()
    if one is None or not one.values:
        return out
    to_ns = _until_ns(one, view)
    most = dict[int, float]()
    """cell -> the value that stands there"""
    for (from_ns, until_ns), (at_ns, value) in zip(_windows(one, to_ns), one.values, strict=True):
        x = plot.place_of(at_ns, 0, to_ns, width)
        if out and out[-1].x0 == x:
            before = out.pop().target
            assert isinstance(before, ToWindow)
            if one.said == GROWING:
                from_ns = before.from_ns
            elif not _harder(one, value, most[x]):
                from_ns, until_ns, value = before.from_ns, before.to_ns, most[x]
        most[x] = value
        when = until_ns if one.said == GROWING else from_ns
        says = f"{shown(one, value)} at {strip.short_clock(when // 10**9)}, enter: its samples"
        out.append(Spot(ToWindow(one.number, from_ns, until_ns), says, CURVE_HEAD, x, x + 1, height - 1 - 2))
    return out


def _windows(one: ExpectationView, to_ns: int) -> list[tuple[int, int]]:
    """From when until when each value is: of a count that grows it stands at the end of its window."""
    at_ns = [at_ns for at_ns, _ in one.values]
    if one.said == GROWING:
        pairs = zip([0, *at_ns], at_ns, strict=False)
    else:
        pairs = zip(at_ns, [*at_ns[1:], to_ns], strict=True)
    return [(begins, max(begins + 1, ends)) for begins, ends in pairs]


def _harder(one: ExpectationView, value: float, than: float) -> bool:
    """Is a value harder to accept?"""
    if math.isnan(than) or math.isnan(value):
        return math.isnan(than)
    return value < than if one.limit[0] == ">" else value > than


def _until_ns(one: ExpectationView, view: View) -> int:
    return max(1, view.snapshot.now_ns, one.values[-1][0])


def moments(plan: Ready, view: View, width: int, height: int, closer: Closer) -> list[Text]:
    """Windows, the worst first; without a curve the records that belong to it."""
    one = found(view, closer)
    if one is None:
        return [Text("...")]
    if not one.moments:
        text = "nothing has been counted yet" if one.values else "there are no windows of time for it"
        return [Text(text, style=DIM), *(_records(one, width, height - 1) if one.values else [])][:height]
    half = max(8, (width - 28) // 2)
    heads = [*HEADS, ("trouble then", half), ("behind it", half)]
    return [row(heads, f"{HEAD} {DIM}"), *(_moment(one, each, heads) for each in one.moments)][:height]


def _moment(one: ExpectationView, moment: Moment, heads: list[tuple[str, int]]) -> Text:
    cells = clock_text(moment.from_ns), shown(one, moment.value), moment.trouble or "none", moment.behind
    over = BAD.style if one.limit[0] == "<" and moment.value > one.bound else ""
    return row([(text, size) for text, (_, size) in zip(cells, heads, strict=True)], over)


def moment_spots(plan: Ready, view: View, width: int, height: int, closer: Closer) -> list[Spot]:
    """Each of its moments."""
    one = found(view, closer)
    return [] if one is None else [
        Spot(
            ToWindow(one.number, moment.from_ns, moment.to_ns),
            "enter: the samples of that window",
            y,
            0,
            width,
        )
        for y, moment in enumerate(one.moments[: height - 1], 1)
    ]  # fmt: skip


def _records(one: ExpectationView, width: int, height: int) -> list[Text]:
    if not one.records:
        return [Text("and nothing that belongs to it has happened yet", style=DIM)]
    lines = [
        Text.assemble((fit(clock_text(at_ns), 14) + fit(kind, 10), DIM), fit(text, max(4, width - 25)))
        for at_ns, kind, text in one.records
    ]
    return lines[-max(1, height) :]
