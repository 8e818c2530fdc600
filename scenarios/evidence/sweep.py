"""``--vary PATH=[…]``: every combination of values, run and put side by side.

Belongs here: the combinations, table and CSV. Never: running (points.py), flags (cli/evidence/sweep.py).
"""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from twinloop.scenarios.evidence.points import Point, beside, setting_of
from twinloop.scenarios.evidence.seeds_report import figure_text
from twinloop.scenarios.file.settings import Setting, parse_setting, path_of
from twinloop.scenarios.judging.verdict import Verdict
from twinloop.scenarios.report.console import STYLES, UNWRAPPED
from twinloop.scenarios.report.total import ERROR
from twinloop.scenarios.text.errors import ScenarioError

RUNS_MAX = 100_000
"""of one sweep"""
_FIGURES = ("held", "p5", "median", "p95", "worst", "worst_seed", "never")


def read_vary(text: str) -> list[Setting]:
    """``fleets.presses.poll=[1 s, 2 s]``: a setting for each value; raises ScenarioError."""
    try:
        whole = parse_setting(text)
    except ScenarioError as error:
        raise ScenarioError(error.file.replace("--set", "--vary", 1), None, error.path, error.text) from error
    if not isinstance(whole.value, list) or not whole.value:
        raise ScenarioError(
            f"--vary {text}", None, "", "expected a list of values, e.g. fleets.presses.poll=[1 s, 2 s, 5 s]"
        )
    found = [setting_of(whole.path, value) for value in whole.value]
    texts = [one.text for one in found]
    twice = next((one for one in texts if texts.count(one) > 1), None)
    if twice is not None:
        raise ScenarioError(f"--vary {text}", None, "", f"{twice} is there twice")
    return found


def combinations(varies: Sequence[Sequence[Setting]], seeds: int) -> list[tuple[Setting, ...]]:
    """Every combination, the last --vary first to change. Raises ScenarioError for too many runs."""
    paths = [path_of(one[0].path) for one in varies]
    for path in paths:
        if paths.count(path) > 1:
            raise ScenarioError(
                "--vary", None, "", f"{path} is varied twice: give all its values in one list"
            )
    count = 1
    for one in varies:
        count *= len(one)
    if count * seeds > RUNS_MAX:
        raise ScenarioError(
            "--vary", None, "", f"{count} combinations under {seeds} seeds are more than {RUNS_MAX} runs"
        )
    return list(itertools.product(*varies))


def value_of(setting: Setting) -> str:
    """The value of a setting, as it is written."""
    return setting.text[len(path_of(setting.path)) + 1 :]


def told(console: Console, points: list[Point]) -> None:
    """The table: what was set, the verdict, and of each expectation what was measured, the median over
    seeds."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for setting in points[0].settings:
        table.add_column(escape(path_of(setting.path)), overflow="fold")
    table.add_column("verdict")
    many = any(point.summary["seeds"] > 1 for point in points)
    if many:
        table.add_column("held", justify="right")
    texts = expressions(points)
    for text in texts:
        table.add_column(escape(text), justify="right", overflow="fold")
    for point in points:
        word = point.summary["verdict"] or ERROR
        style = STYLES[Verdict(word)] if point.summary["verdict"] else "bold red"
        held = [f"{point.summary['held']}/{point.summary['seeds']}"] if many else []
        rows = {row["expression"]: row for row in point.summary["expectations"]}
        cells = [
            f"[{STYLES[Verdict(rows[text]['verdict'])]}]{escape(figure_text(rows[text], 'median'))}[/]"
            if text in rows
            else "-"
            for text in texts
        ]
        settings = [escape(value_of(one)) for one in point.settings]
        table.add_row(*settings, f"[{style}]{word}[/]", *held, *cells)
    if console.width >= UNWRAPPED:  # no terminal: as wide as it has to be, and no wider
        console = Console(file=console.file, width=40 * (len(points[0].settings) + len(texts)) + 40)
    console.print(table)
    for point in points:
        if beside(point):
            where = ", ".join(one.text for one in point.settings)
            console.print(f"[yellow]beside {escape(where)}[/]  {escape(beside(point))}")
        if point.summary["errors"]:
            text = next(entry["error"] for entry in point.entries if entry["kind"] == "error")
            console.print(
                f"[bold red]{escape(', '.join(one.text for one in point.settings))}[/]  {escape(text)}"
            )


def expressions(points: list[Point]) -> list[str]:
    """Every expectation of any point, in the order in which they are met."""
    found = dict.fromkeys(row["expression"] for point in points for row in point.summary["expectations"])
    return list(found)


def as_csv(points: list[Point]) -> str:
    """A line a point: what was set, verdict, seeds, held, then seven columns an expectation, in its unit."""
    out = io.StringIO()
    write = csv.writer(out, lineterminator="\n")
    texts = expressions(points)
    units: dict[str, str] = {}
    for point in points:
        units |= {row["expression"]: row["unit"] for row in point.summary["expectations"]}
    head = [path_of(one.path) for one in points[0].settings]
    write.writerow(
        [*head, "verdict", "seeds", "seeds_held"]
        + [f"{text} [{units[text]}] {name}" for text in texts for name in _FIGURES]
    )
    for point in points:
        rows = {row["expression"]: row for row in point.summary["expectations"]}
        figures = [
            "" if text not in rows or rows[text][name] is None else rows[text][name]
            for text in texts
            for name in _FIGURES
        ]
        write.writerow(
            [value_of(one) for one in point.settings]
            + [point.summary["verdict"] or ERROR, point.summary["seeds"], point.summary["held"], *figures]
        )
    return out.getvalue()


def document(points: list[Point]) -> dict[str, Any]:
    """The points as plain data."""
    return {
        "format": 1,
        "kind": "sweep",
        "vary": [path_of(one.path) for one in points[0].settings],
        "points": [{"set": [one.text for one in point.settings], **point.summary} for point in points],
    }
