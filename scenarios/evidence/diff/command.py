"""``twinloop diff``: is B worse than A?"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from twinloop.scenarios.text.errors import ScenarioError

if TYPE_CHECKING:
    from twinloop.scenarios.evidence.diff.changes import Change, Difference, Scenario

WORSE = 1
FORMAT = 1


def diff(
    results: Annotated[
        list[str],
        typer.Argument(
            help="A and B: documents of --json, or folders of --out; several of one side separated by commas",
            metavar="A B",
        ),
    ],
    against: Annotated[
        list[str] | None,
        typer.Option("--against", help="A; then every argument is B. May be repeated", metavar="A"),
    ] = None,
    margin: Annotated[
        str, typer.Option("--margin", help="what got worse by less is no regression", metavar="PERCENT")
    ] = "5 %",
    markdown_file: Annotated[
        str | None,
        typer.Option("--markdown", help="write it for a pull request; - is stdout", metavar="FILE"),
    ] = None,
    json_file: Annotated[
        str | None, typer.Option("--json", help="write it as JSON; - is stdout", metavar="FILE")
    ] = None,
) -> int:
    """Compare results: what got worse from A to B, and could it be noise?

    Scenarios are paired by name, their runs by seed; of two --out folders with one seed the samples are
    paired. Exit code 1 when something got worse: a figure significantly and by more than --margin, a verdict,
    an expectation, samples missed or lost by a cause that wasn't there. 0 when nothing did, 3 for usage
    errors.
    """
    from twinloop.scenarios.evidence.diff.difference import compared
    from twinloop.scenarios.evidence.diff.documents import read
    from twinloop.scenarios.evidence.diff.markdown import markdown
    from twinloop.scenarios.evidence.diff.told import report
    from twinloop.scenarios.report.console import console_of

    before, after = _sides(results, against or [])
    share = _margin(margin)
    if markdown_file == json_file == "-":
        raise ScenarioError("--markdown", None, "", "--json goes to stdout, too: give one of them a file")
    _check("--markdown", markdown_file)
    _check("--json", json_file)
    found = compared(read(before), read(after), share)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    report(console_of(aside="-" in (markdown_file, json_file)), found)
    if markdown_file is not None:
        _write("--markdown", markdown_file, markdown(found))
    if json_file is not None:
        _write("--json", json_file, json.dumps(as_json(found), indent=2, allow_nan=False) + "\n")
    return WORSE if found.regressions else 0


def _sides(results: list[str], against: list[str]) -> tuple[list[str], list[str]]:
    if against:
        return against, results
    if len(results) != 2:
        got = f"{len(results)} arguments" if len(results) > 1 else f"{results[0]} alone"
        raise ScenarioError(
            "diff",
            None,
            "",
            f"expected A and B, got {got}; separate several files of one side by commas, "
            "or name A with --against: twinloop diff --against main.json B.json",
        )
    return [results[0]], [results[1]]


def _margin(text: str) -> float:
    from twinloop.scenarios.text.units import ratio

    try:
        return ratio(text)
    except ValueError as error:
        raise ScenarioError("--margin", None, "", str(error)) from error


def _check(flag: str, target: str | None) -> None:
    """Before anything is compared: can it be written?"""
    if target in (None, "-"):
        return
    path = Path(str(target))
    if path.is_dir() or not path.parent.is_dir():
        why = "it is a folder" if path.is_dir() else f"no such folder: {path.parent}"
        raise ScenarioError(flag, None, "", f"{path}: {why}")


def _write(flag: str, target: str, text: str) -> None:
    if target == "-":
        sys.stdout.write(text)
        return
    try:
        Path(target).write_text(text, encoding="utf-8")
    except OSError as error:
        raise ScenarioError(flag, None, "", f"{target}: {error.strerror}") from error


def as_json(found: Difference) -> dict[str, Any]:
    """The comparison for programs. A figure that never came in any run is null."""
    from twinloop.scenarios.evidence.diff.significance import ALPHA

    return {
        "format": FORMAT,
        "kind": "difference",
        "a": found.before,
        "b": found.after,
        "margin": found.margin,
        "false_alarms": ALPHA,
        "regressions": found.regressions,
        "improvements": found.improvements,
        "errors": found.errors,
        "only": {"a": found.only[0], "b": found.only[1]},
        "scenarios": [_scenario(one) for one in found.scenarios],
    }


def _scenario(one: Scenario) -> dict[str, Any]:
    return {
        "scenario": one.name,
        "how": one.how.value,
        "seeds": {"a": [run.seed for run in one.before], "b": [run.seed for run in one.after]},
        "tested": one.tested,
        "blocks": one.blocks,
        "seeds_needed": one.needed,
        "changed": one.changed,
        "findings": one.findings,
        "verdicts": [
            {"of": change.whose, "a": change.before, "b": change.after, "worse": change.worse}
            for change in one.verdicts
        ],
        "expectations": [
            {
                "expression": told.expression,
                "unit": told.unit,
                "a": _number(told.before),
                "b": _number(told.after),
                "ratio": _number(told.ratio),
                "held": {"a": told.held[0], "b": told.held[1]},
                "runs": {"a": told.runs[0], "b": told.runs[1]},
            }
            for told in one.expectations
        ],
        "figures": [_figure(change) for change in one.figures],
        "figures_only": {"a": one.only[0], "b": one.only[1]},
    }


def _figure(change: Change) -> dict[str, Any]:
    return {
        "figure": change.name,
        "group": change.figure.group,
        "unit": change.figure.unit,
        "worse": "more" if change.figure.worse > 0 else "less",
        "a": _number(change.before),
        "b": _number(change.after),
        "ratio": _number(change.ratio),
        "never": {"a": change.never[0], "b": change.never[1]},
        "p": change.p,
        "mark": change.mark.value,
    }


def _number(value: float | None) -> float | None:
    return None if value is None or math.isinf(value) else value
