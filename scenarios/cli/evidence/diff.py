"""``twinloop diff``: is B worse than A?

Belongs here: flags and output. Never: comparing (scenarios/evidence/diff/).
"""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from twinloop.scenarios.cli.evidence.files import apart, cleared, writable
from twinloop.scenarios.text.errors import ScenarioError

WORSE = 1


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
    html: Annotated[
        Path | None, typer.Option(help="write a report page with pictures", metavar="FILE")
    ] = None,
) -> int:
    """Compare results: what got worse from A to B, and could it be noise?

    Scenarios are paired by name, their runs by seed; of two --out folders with one seed the samples are
    paired. Exit code 1 when something got worse: a figure significantly and by more than --margin, a verdict,
    an expectation, samples missed or lost by a cause that wasn't there. 0 when nothing did, 3 for usage
    errors.
    """
    from twinloop.scenarios.evidence.diff.data import as_json
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
    writable("--html", html)
    named = {"--markdown": markdown_file, "--json": json_file}
    files = {flag: None if name in (None, "-") else Path(str(name)) for flag, name in named.items()}
    apart({**files, "--html": html}, [one for name in (*before, *after) for one in (name, *name.split(","))])
    cleared(*files.values(), html)
    found = compared(read(before), read(after), share)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    report(console_of(aside="-" in (markdown_file, json_file)), found)
    if markdown_file is not None:
        _write("--markdown", markdown_file, markdown(found))
    if json_file is not None:
        _write("--json", json_file, json.dumps(as_json(found), indent=2, allow_nan=False) + "\n")
    if html is not None:
        from twinloop.scenarios.page.evidence.diff import diff_page

        _write("--html", str(html), diff_page(found, _again(before, after, margin)))
    return WORSE if found.regressions else 0


def _again(before: list[str], after: list[str], margin: str) -> str:
    """The command that compares them again."""
    against = [part for name in before for part in ("--against", name)]
    return shlex.join(["twinloop", "diff", *against, *after, "--margin", margin])


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
    writable(flag, None if target in (None, "-") else Path(str(target)))


def _write(flag: str, target: str, text: str) -> None:
    if target == "-":
        sys.stdout.write(text)
        return
    try:
        Path(target).write_text(text, encoding="utf-8")
    except OSError as error:
        raise ScenarioError(flag, None, "", f"{target}: {error.strerror}") from error
