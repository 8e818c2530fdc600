"""What a job of GitHub Actions shows: an annotation at each expectation that doesn't hold, and a job summary.

Belongs here: workflow commands and Markdown, escaped as GitHub reads them. Never: where they go (cli/), words
of the report for people (console.py).

Workflow commands are lines of a step's output: ``::error file=…,line=…,title=…::message``. In the message %,
CR and LF are escaped, in a property : and , as well. A step shows ten errors and ten warnings at most.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from twinloop.scenarios.judging.judged import Judged
from twinloop.scenarios.judging.verdict import Verdict, exit_code
from twinloop.scenarios.report.console import beside, measured_text
from twinloop.scenarios.report.result import Result
from twinloop.scenarios.report.total import why, words_of
from twinloop.scenarios.text.errors import ScenarioError, printable, shown_path
from twinloop.scenarios.text.words import number_of

SUMMARY_VARIABLE, ROOT_VARIABLE = "GITHUB_STEP_SUMMARY", "GITHUB_WORKSPACE"
SUMMARY_BYTES_MAX = 1 << 20
"""of all that a step writes: GitHub takes nothing of a larger one"""
LAST_WORDS_BYTES = 300
"""of it, kept free to say what was left out"""
CELL_MAX = 500
"""characters"""
MEANING = "&<>|`*_[]~#@\\!$:"
"""for Markdown as GitHub reads it, with mentions, emoji, links and formulas"""
MARKS = {Verdict.PASS: "✅", Verdict.UNSURE: "⚠️"}
FAILED = "❌"


# ---- annotations ---------------------------------------------------------------------------------
def workflow_commands(
    ran: Sequence[tuple[Path, Result | Exception]], not_run: int, strict: bool
) -> Iterator[str]:
    """Workflow commands, a line each: errors for whatever makes the exit code another than 0, warnings for
    what is UNSURE, and for what went wrong beside a verdict that holds. ``strict``: those are errors, too."""
    for file, outcome in ran:
        if isinstance(outcome, Exception):
            yield from _refused(file, outcome)
        else:
            yield from _of_result(file, outcome, strict)
    if not_run:
        yield command(
            "error", f"{number_of(not_run, 'scenario')} not run: interrupted", None, None, "twinloop"
        )


def _refused(file: Path, error: Exception) -> Iterator[str]:
    if not isinstance(error, ScenarioError):
        yield command("error", str(error) or type(error).__name__, file, None, f"twinloop: {file.stem}")
        return
    for one in error.all:
        text = f"{one.path}: {one.text}" if one.path else one.text
        at = Path(one.file) if one.line or one.file == shown_path(file) else file
        yield command("error", text, at, one.line, "twinloop: scenario error")


def _of_result(file: Path, result: Result, strict: bool) -> Iterator[str]:
    doubt, failed = "error" if strict else "warning", False
    for one in result.judged:
        if one.verdict is Verdict.PASS:
            continue
        level = doubt if one.verdict is Verdict.UNSURE else "error"
        failed |= level == "error"
        title = f"{one.verdict.value}: {one.expectation.text}"
        yield command(level, _message(one, result), file, one.expectation.line, title)
    told = beside(result.data["unspoken"], result.verdict).removeprefix("; ")
    if told:
        failed |= strict
        yield command(doubt, _again(told, result), file, None, f"{result.verdict.value}: {result.name}")
    if exit_code(result.verdict, strict, bool(result.data["unspoken"])) and not failed:
        text = (
            "; ".join(filter(None, [why(result), result.divergence])) or f"the run is {result.verdict.value}"
        )
        yield command("error", _again(text, result), file, None, f"{result.verdict.value}: {result.name}")


def _message(one: Judged, result: Result) -> str:
    return _again(f"measured {measured_text(one)}" + (f": {one.why}" if one.why else ""), result)


def _again(text: str, result: Result) -> str:
    return f"{text}\nreproduce: {result.reproduce}"


def command(level: str, message: str, file: Path | None, line: int | None, title: str) -> str:
    """One workflow command. ``level``: error or warning; a ``file`` outside the repository isn't named, nor
    is its line."""
    where = None if file is None else in_repository(file)
    properties = {
        **({} if where is None else {"file": where}),
        **({} if where is None or line is None else {"line": str(line)}),
        "title": title,
    }
    listed = ",".join(f"{name}={_property(text)}" for name, text in properties.items())
    return f"::{level} {listed}::{_data(message)}"


def in_repository(file: Path) -> str | None:
    """A file as its repository knows it: relative to $GITHUB_WORKSPACE, or to the working folder where that
    isn't set; None for one that lies elsewhere."""
    try:
        root = Path(os.environ.get(ROOT_VARIABLE) or Path.cwd()).resolve()
        return file.resolve().relative_to(root).as_posix()
    except (ValueError, OSError, RuntimeError):
        return None


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


# ---- job summary ---------------------------------------------------------------------------------
def summary(ran: Sequence[tuple[Path, Result | Exception, int]], not_run: int, room: int) -> str:
    """The Markdown of a job summary, of at most ``room`` bytes: a row for each scenario, then the
    expectations of each. ``ran``: (file, what came of it, its exit code). Its last line counts what had no
    room."""
    left = f", {not_run} not run" if not_run else ""
    head = f"## twinloop: {number_of(len(ran) + not_run, 'scenario')}{left}\n\n"
    head += _row("verdict", "scenario", "file", "seed", "why") + _row(*["---"] * 5)
    rows = [_scenario_row(*one) for one in ran]
    parts = [_details(file, outcome) for file, outcome, _ in ran if not isinstance(outcome, Exception)]
    told: list[str] = []
    room -= len(head.encode()) + LAST_WORDS_BYTES
    for text in [*rows, *parts]:
        room -= len(text.encode("utf-8", "replace"))
        if room < 0:
            break
        told.append(text)
    without_row = max(0, len(rows) - len(told))
    without_part = len(parts) - max(0, len(told) - len(rows))
    out = [
        *([f"{number_of(without_row, 'row')} of this table"] if without_row else []),
        *([f"the expectations of {number_of(without_part, 'scenario')}"] if without_part else []),
    ]
    if out:
        told.append(
            f"\nLeft out: {' and '.join(out)}. GitHub takes {SUMMARY_BYTES_MAX >> 20} MiB of a step; the log "
            f"has the rest.\n"
        )
    return head + "".join(told) + "\n"


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |\n"


def _scenario_row(file: Path, outcome: Result | Exception, code: int) -> str:
    word, told = words_of(outcome, code)
    mark = FAILED if code else MARKS.get(Verdict(word), FAILED)
    name, seed = (file.stem, "") if isinstance(outcome, Exception) else (outcome.name, str(outcome.seed))
    return _row(f"{mark} {word}", cell(name), cell(in_repository(file) or shown_path(file)), seed, cell(told))


def _details(file: Path, result: Result) -> str:
    """The expectations of one scenario, and the command that repeats it."""
    text = f"\n### {cell(result.name)}: {result.verdict.value}\n\n"
    if result.judged:
        text += _row("verdict", "expectation", "measured", "why") + _row(*["---"] * 4)
        for one in result.judged:
            mark = MARKS.get(one.verdict, FAILED)
            text += _row(
                f"{mark} {one.verdict.value}",
                cell(one.expectation.text),
                cell(measured_text(one)),
                cell(one.why),
            )
    ticks = "`" * max([3, *(len(found) + 1 for found in re.findall("`+", result.reproduce))])
    return f"{text}\n{ticks}sh\n{printable(result.reproduce)}\n{ticks}\n"


def cell(text: str) -> str:
    """A user's text inside a table or heading: one line, and no letter of it means anything to Markdown."""
    text = " ".join(printable(text).split())
    text = text if len(text) <= CELL_MAX else f"{text[:CELL_MAX]}…"
    return "".join(f"&#{ord(letter)};" if letter in MEANING else letter for letter in text)
