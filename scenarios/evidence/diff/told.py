"""A difference told to people on a console, and the words that its Markdown shares.

Belongs here: words and tables. Never: figures that aren't in the Difference.
"""

from __future__ import annotations

import math

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from twinloop.scenarios.evidence.diff.changes import (
    Change,
    Difference,
    ExpectationChange,
    How,
    Mark,
    Scenario,
)
from twinloop.scenarios.evidence.diff.significance import ALPHA, RELABELLINGS
from twinloop.scenarios.report.console import UNWRAPPED
from twinloop.scenarios.text.errors import printable
from twinloop.scenarios.text.units import show_duration, show_number, show_ratio, show_size
from twinloop.scenarios.text.words import number_of

_MARKS = {
    Mark.REGRESSION: "worse",
    Mark.IMPROVEMENT: "better",
    Mark.DOUBTFUL: "not told from noise",
    Mark.NONE: "",
}
_STYLES = {Mark.REGRESSION: "bold red", Mark.IMPROVEMENT: "green", Mark.DOUBTFUL: "yellow", Mark.NONE: "dim"}
DOUBTFUL_MAX = 12
"""figures beyond the margin that may be chance, of one scenario, that the console tells"""


def value_text(value: float | None, unit: str) -> str:
    """A figure with its unit."""
    if value is None:
        return "no data"
    if math.isinf(value):
        return "never"
    if unit == "ns":
        return show_duration(value)
    if unit == "bytes":
        return show_size(value)
    return show_ratio(value) if unit == "ratio" else show_number(value)


def change_texts(change: Change) -> tuple[str, str]:
    """A figure before and after; where it never came in some of the runs, in how many."""
    first, second = (
        f"never in {number_of(never, 'run')}"
        if never and not math.isinf(value)
        else value_text(value, change.figure.unit)
        for value, never in zip((change.before, change.after), change.never, strict=True)
    )
    return first, second


def ratio_text(change: Change | ExpectationChange) -> str:
    """By how much, e.g. ``+12.3 %``; empty for what has no ratio."""
    if isinstance(change, Change) and not change.before and change.after:
        return "was 0"
    ratio = change.ratio
    if ratio is None or math.isinf(ratio):
        return ""
    return f"x{ratio:.3g}" if ratio >= 3 else f"{100 * (ratio - 1):+.3g} %"


def chance_text(change: Change) -> str:
    """How likely it would be by chance."""
    if change.p is None:
        return "not tested"
    return f"p {change.p:.2g}" if change.p >= 1e-3 else "p < 0.001"


def mark_text(change: Change) -> str:
    """What the change is, in a word or two."""
    if change.mark is Mark.DOUBTFUL and (change.p is None or change.p <= ALPHA):
        return "told only"
    return _MARKS[change.mark]


def headline(difference: Difference) -> str:
    """The whole in a line."""
    if difference.regressions:
        text = f"REGRESSION: {number_of(difference.regressions, 'thing')} got worse"
    else:
        text = "NO REGRESSION"
    better = difference.improvements
    return f"{text}; {number_of(better, 'figure')} got better" if better else text


def how_text(one: Scenario, margin: float) -> list[str]:
    """How its figures were judged, and how far that goes."""
    beyond = f"and worse by more than {show_ratio(margin)}"
    seeds = [seeds_text([run.seed for run in runs]) for runs in (one.before, one.after)]
    if one.how is How.SAME:
        return [f"{seeds[0]}: both sides are the same to the last event."]
    relabelled = f"all relabellings, or at least {RELABELLINGS} of them"
    rate = (
        f"{number_of(one.tested, 'figure')} tested together ({relabelled}; Westfall and Young within a "
        f"scenario, Holm over scenarios). A figure is a regression when it is significantly worse {beyond}. "
        f"Where nothing has changed, at most {show_ratio(ALPHA)} of such reports raise a false alarm "
        "about figures."
    )
    rules = "Verdicts, expectations and new causes of the gateway's own are compared by rule, not tested."
    if one.how is How.PAIRED:
        return [f"{seeds[0]} on both sides, paired by seed.", rate, rules]
    if one.how is How.UNPAIRED:
        return [
            f"{seeds[0]} beside {seeds[1]}: two groups, not paired.",
            rate,
            "Broken expectations are tested as figures.",
        ]
    if one.how is How.BLOCKS:
        return [
            f"{seeds[0]}: one run on each side, samples paired by device and number, in "
            f"{one.blocks} blocks of time.",
            rate,
            "Latency of gateway and cloud and the ends of samples are tested; what is exact (fuel, memory) "
            f"counts beyond {show_ratio(margin)}; the other figures are told only.",
            rules,
        ]
    return [
        f"{seeds[0]} on both sides." if one.paired else f"{seeds[0]} beside {seeds[1]}.",
        ("One pair of figures" if len(one.before) == len(one.after) == 1 else "So few runs")
        + " can't tell noise from change: books, fuel and memory are exact; of everything else what is "
        f"beyond {show_ratio(margin)} counts as changed, and no rate of false alarms can be stated.",
        f"Too few seeds to tell: at least {one.needed} on each side"
        + (", or two --out folders of one seed, which have the samples." if len(one.before) == 1 else "."),
    ]


def seeds_text(seeds: list[int]) -> str:
    """``seed 7``, ``seeds 1 to 8``, ``seeds 1, 3, 9``."""
    if len(seeds) == 1:
        return f"seed {seeds[0]}"
    if seeds == list(range(seeds[0], seeds[0] + len(seeds))):
        return f"seeds {seeds[0]} to {seeds[-1]}"
    return (
        "seeds " + ", ".join(map(str, seeds[:8])) + (f" and {len(seeds) - 8} more" if len(seeds) > 8 else "")
    )


def report(console: Console, difference: Difference) -> None:
    """The whole report."""
    _say(console, f"A  {', '.join(difference.before)}")
    _say(console, f"B  {', '.join(difference.after)}")
    for side, names in zip("AB", difference.only, strict=True):
        if names:
            _say(console, f"only {side} has: {', '.join(names)}", "yellow")
    for text in difference.errors:
        _say(console, f"✗ {text}", "bold red")
    for one in difference.scenarios:
        console.print()
        _scenario(console, one, difference.margin)
    console.print()
    _say(console, headline(difference), "bold red" if difference.regressions else "bold green")


def _say(console: Console, text: str, style: str = "") -> None:
    console.print(escape(printable(text)), style=style or None)


def _scenario(console: Console, one: Scenario, margin: float) -> None:
    _say(console, one.name, "bold")
    for text in how_text(one, margin):
        _say(console, f"  {text}", "dim")
    for text in one.changed:
        _say(console, f"  changed: {text}")
    for change in one.verdicts:
        _say(
            console,
            f"  verdict of {change.whose}: {change.before} -> {change.after}",
            "red" if change.worse else "",
        )
    for text in one.findings:
        _say(console, f"  ✗ {text}", "bold red")
    if one.how is How.SAME:
        return
    expected = [
        told for told in one.expectations if told.before != told.after or told.held[0] != told.held[1]
    ]
    if expected:
        _table(console, ("expectation", "A", "B", "", "held"), [_cells(told) for told in expected])
    shown = (
        one.marked(Mark.REGRESSION) + one.marked(Mark.IMPROVEMENT) + one.marked(Mark.DOUBTFUL)[:DOUBTFUL_MAX]
    )
    if shown:
        _table(
            console,
            ("figure", "A", "B", "", "chance", ""),
            [
                (
                    change.name,
                    *change_texts(change),
                    ratio_text(change),
                    chance_text(change),
                    mark_text(change),
                )
                for change in shown
            ],
            [_STYLES[change.mark] for change in shown],
        )
    left = len(one.figures) - len(shown)
    _say(console, f"  {number_of(left, 'other figure')}, {rest_text(one, left)}", "dim")


def rest_text(one: Scenario, left: int) -> str:
    """What the figures that aren't shown are."""
    doubtful = max(0, len(one.marked(Mark.DOUBTFUL)) - DOUBTFUL_MAX)
    changed = sum(change.mark is Mark.NONE and change.before != change.after for change in one.figures)
    text = f"{left - doubtful - changed} unchanged, {changed} changed within the margin"
    return f"{text}, {doubtful} not told from noise" if doubtful else text


def _cells(told: ExpectationChange) -> tuple[str, ...]:
    return (
        told.expression,
        value_text(told.before, told.unit),
        value_text(told.after, told.unit),
        ratio_text(told),
        held_text(told),
    )


def held_text(told: ExpectationChange) -> str:
    """``yes -> no`` of one run, ``8 of 8 -> 6 of 8`` of several."""
    if told.runs == (1, 1):
        return " -> ".join("yes" if held else "no" for held in told.held)
    return " -> ".join(f"{held} of {runs}" for held, runs in zip(told.held, told.runs, strict=True))


def _table(
    console: Console, head: tuple[str, ...], rows: list[tuple[str, ...]], styles: list[str] | None = None
) -> None:
    shown = [tuple(printable(" ".join(cell.split())) for cell in row) for row in rows]
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", expand=False)
    if console.width >= UNWRAPPED:
        widths = [max(len(row[i]) for row in [head, *shown]) for i in range(len(head))]
        for number, row in enumerate([head, *shown]):
            text = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            console.print(
                escape(f"  {text}"), style=(styles or [])[number - 1] if styles and number else "dim"
            )
        return
    for i, name in enumerate(head):
        table.add_column(name, justify="right" if 0 < i < 4 else "left", overflow="fold")
    for i, row in enumerate(shown):
        table.add_row(*map(escape, row), style=styles[i] if styles else None)
    console.print(table)
