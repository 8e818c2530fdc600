"""``twinloop check``: read scenarios, resolve everything, boot the gateways, say all that is wrong and what
can be foreseen; run nothing."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from twinloop.scenarios.cli.finding import SET_HELP, expand, settings_of
from twinloop.scenarios.judging.verdict import SCENARIO_ERROR
from twinloop.scenarios.text.errors import printable, shown_path
from twinloop.scenarios.text.words import number_of


def check(
    files: Annotated[
        list[str],
        typer.Argument(
            help="scenario files, folders of them, or names of shipped scenarios", metavar="FILE|DIR..."
        ),
    ],
    set_: Annotated[list[str] | None, typer.Option("--set", help=SET_HELP, metavar="PATH=VALUE")] = None,
    strict: Annotated[bool, typer.Option("--strict", help="a warning exits with 1")] = False,
) -> int:
    """Check scenarios without running them: keys, names, components and their options, expectations, lines
    that can't hold their polls."""
    from twinloop.scenarios.checking import checked  # --help must not wait for wasmtime

    code, settings = 0, settings_of(set_)
    for file in expand(files):
        found = checked(file, settings)
        for error in found.errors:
            print(f"error: {printable(str(error))}", file=sys.stderr)
        if found.errors or found.spec is None or found.loaded is None:
            code = SCENARIO_ERROR
            continue
        for warning in found.warnings:
            print(f"warning: {shown_path(file)}: {warning}", file=sys.stderr)
        for note in found.notes:
            print(f"note: {shown_path(file)}: {note}", file=sys.stderr)
        told = "ok" if not found.warnings else f"ok, {number_of(len(found.warnings), 'warning')}"
        print(
            f"{shown_path(file)}: {told}, {number_of(len(found.spec.devices), 'device')}, "
            f"{number_of(len(found.spec.timeline), 'timeline entry', 'timeline entries')}, "
            f"{number_of(len(found.loaded.scenario.expect), 'expectation')}"
        )
        if found.warnings and strict and not code:
            code = 1
    return code
