"""Many seeds for people: how far it is, then how often each expectation held and how its value spread.

Belongs here: words and tables. Never: figures that aren't in the summary.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from twinloop.scenarios.judging.expressions import ExpressionError, parse
from twinloop.scenarios.judging.verdict import Verdict
from twinloop.scenarios.report.console import STYLES, UNWRAPPED, value_text
from twinloop.scenarios.report.total import ERROR
from twinloop.scenarios.text.errors import printable
from twinloop.scenarios.text.units import show_duration, show_ratio
from twinloop.scenarios.text.words import number_of

Entry = dict[str, Any]
_MARKS = {
    Verdict.PASS: "✓",
    Verdict.FAIL: "✗",
    Verdict.UNSTABLE: "✗",
    Verdict.NO_DATA: "?",
    Verdict.UNSURE: "~",
}
ERRORS_SHOWN = 5
"""errors of seeds that are told; the result file has all"""
PLAIN_EVERY_S = 30
"""between two lines of progress where there is no terminal"""


def seeds_report(console: Console, summary: dict[str, Any], entries: list[Entry]) -> None:
    """One scenario's summary, its verdict last."""
    shard = f" (shard {summary['shard']})" if summary["shard"] else ""
    name = f"[bold]{escape(summary['scenario'])}[/]  " if summary["scenario"] else ""
    console.print(
        f"{name}{escape(summary['file'])}  "
        f"{number_of(summary['seeds'], 'seed')} of {escape(summary['asked'])}{shard}"
    )
    if summary["scenario_digest"]:
        console.print(f"[dim]scenario {summary['scenario_digest'][:16]}[/]")
    console.print()
    if summary["expectations"]:
        _expectations(console, summary["expectations"])
    _errors(console, [entry for entry in entries if entry["kind"] == "error"])
    if summary["unspoken"]:
        console.print(unspoken_words(summary))
    _last(console, summary)


def unspoken_words(summary: dict[str, Any]) -> str:
    """In how many seeds a PASS would say too little."""
    seeds = number_of(summary["unspoken"], "seed")
    return f"beside them: in {seeds} something went wrong of which no expectation speaks"


def _expectations(console: Console, rows: list[dict[str, Any]]) -> None:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column()
    table.add_column("expected", overflow="fold")
    for name in ("held", "95 % interval", "p5", "median", "p95", "worst", "in seed"):
        table.add_column(name, justify="right")
    for row in rows:
        verdict = Verdict(row["verdict"])
        style = STYLES[verdict]
        spread = [escape(figure_text(row, name)) for name in ("p5", "median", "p95", "worst")]
        table.add_row(
            f"[{style}]{_MARKS.get(verdict, '!')}[/]",
            escape(row["expression"]),
            f"[{style}]{row['held']}/{row['seeds']}[/]",
            share_text(row["interval"]),
            *spread,
            "-" if row["worst_seed"] is None else str(row["worst_seed"]),
        )
    if console.width >= UNWRAPPED:  # no terminal: as wide as it has to be, and no wider
        console = Console(file=console.file, width=_width(rows), highlight=False)
    console.print(table)
    console.print()


def _width(rows: list[dict[str, Any]]) -> int:
    return max(len(row["expression"]) for row in rows) + 120


def figure_text(row: dict[str, Any], name: str) -> str:
    """A figure of an expectation's row, with its unit."""
    value = row[name]
    if value is None:
        return "never" if row["never"] else "-"
    return unit_text(row["expression"], value, row["unit"])


def unit_text(expression: str, value: float, unit: str) -> str:
    """A value of an expectation with its unit; that of a ``value`` is the point's own."""
    return value_text(value, unit, _bound_unit(expression))


@lru_cache(maxsize=1024)
def _bound_unit(expression: str) -> str:
    try:
        return parse(expression).bound_unit
    except ExpressionError:
        return ""


def share_text(interval: list[float]) -> str:
    """An interval of shares."""
    return f"{show_ratio(interval[0])} to {show_ratio(interval[1])}"


def _errors(console: Console, errors: list[Entry]) -> None:
    """Each text once, with the seeds that died of it."""
    told, left = error_texts(errors)
    for seeds, text in told:
        console.print(f"[bold red]{seeds}[/]  {escape(text)}")
    if left:
        console.print(f"and {number_of(left, 'other error')}")


def error_texts(errors: list[Entry]) -> tuple[list[tuple[str, str]], int]:
    """(which seeds, what they died of), each text once; how many texts aren't told."""
    by_text: dict[str, list[int]] = {}
    for entry in errors:
        by_text.setdefault(entry["error"], []).append(entry["seed"])
    told = [
        (f"seed {seeds[0]}" + (f" and {len(seeds) - 1} more" if len(seeds) > 1 else ""), printable(text))
        for text, seeds in list(by_text.items())[:ERRORS_SHOWN]
    ]
    return told, max(0, len(by_text) - ERRORS_SHOWN)


def _last(console: Console, summary: dict[str, Any]) -> None:
    word = ERROR if summary["verdict"] is None else summary["verdict"]
    style = "bold red" if summary["verdict"] is None else STYLES[Verdict(word)]
    console.print(f"[{style}]{word}[/]  {held_words(summary)}")
    if summary["require"]:
        verdict, text = required_words(summary)
        style = "bold green" if verdict == Verdict.PASS.value else "bold red"
        console.print(f"[{style}]{verdict}[/]  {escape(text)}" if verdict else escape(text))
    if "reproduce" in summary:
        console.print(f"worst seed {summary['worst_seed']}: {escape(summary['reproduce'])}")


def held_words(summary: dict[str, Any]) -> str:
    """How many seeds held, what that says about all seeds, and which verdicts there were."""
    interrupted = summary.get("interrupted", 0)
    counts = [
        f"{count} {name}" for name, count in summary["verdicts"].items() if name != Verdict.ABORTED.value
    ]
    counts += [number_of(summary["errors"], "error")] if summary["errors"] else []
    ran = summary["seeds"] - interrupted
    held = f"{summary['held']} of {number_of(ran, 'seed')} held"
    words = f"{held}, 95 % interval {share_text(summary['interval'])}: {', '.join(counts)}" if ran else held
    return words + (f"; {interrupted} of {summary['seeds']} broken off" if interrupted else "")


def required_words(summary: dict[str, Any]) -> tuple[str, str]:
    """What became of the share that is required: PASS, FAIL or nothing yet, and the words."""
    low = show_ratio(math.floor(summary["interval"][0] * 1000) / 1000)  # "at least" isn't rounded up
    require = summary["require"]
    if summary["shard"]:
        return "", f"required are {require}: twinloop merge says it of all shards together"
    if summary["code"] == 0:
        return Verdict.PASS.value, f"{require} are required, and at least {low} hold"
    if summary["code"] == 1:
        return Verdict.FAIL.value, f"{require} are required, and only {low} are certain to hold"
    who = summary["verdict"] or "an error"
    return "", f"{require} are required: nothing is said while a seed is {who}"


@contextmanager
def progress(name: str, runs: int, noun: str = "seed") -> Iterator[Callable[[Entry], None]]:
    """How many of so many seeds (or another ``noun``) have ended, how many didn't hold, and how long it will
    take, on stderr: a bar on a terminal, else a line now and then. The value is told of each entry."""
    began, bad, done = time.monotonic(), 0, 0
    if sys.stderr.isatty():
        with _bar(name, runs) as bar:
            yield bar
        return
    said = began

    def tell(entry: Entry) -> None:
        nonlocal bad, done, said
        done += 1
        bad += entry["verdict"] != Verdict.PASS.value
        now = time.monotonic()
        if now - said < PLAIN_EVERY_S or done == runs:
            return
        said = now
        left = show_duration(int((now - began) / done * (runs - done) * 1e9))
        print(
            f"{name}: {done} of {number_of(runs, noun)}, {bad} of them not PASS, {left} left", file=sys.stderr
        )

    yield tell


@contextmanager
def _bar(name: str, seeds: int) -> Iterator[Callable[[Entry], None]]:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    bad = 0
    # refreshed by hand: a thread would be alive while processes are forked
    with Progress(*columns, console=Console(stderr=True), transient=True, auto_refresh=False) as bar:
        task = bar.add_task(name, total=seeds)
        bar.refresh()

        def tell(entry: Entry) -> None:
            nonlocal bad
            bad += entry["verdict"] != Verdict.PASS.value
            bar.update(task, advance=1, description=f"{name}, {bad} not PASS" if bad else name, refresh=True)

        yield tell
