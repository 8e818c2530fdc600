"""``twinloop check``: read scenarios, resolve everything, say what can be foreseen; run nothing."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from scenarios.errors import ScenarioError, shown_path
from scenarios.verdict import SCENARIO_ERROR


def check(
    files: Annotated[list[str], typer.Argument(help="scenario files, folders of them, or names of shipped scenarios", metavar="FILE|DIR...")],
    strict: Annotated[bool, typer.Option("--strict", help="a warning exits with 1")] = False,
) -> int:
    """Check scenarios without running them: keys, names, components, expectations, lines that can't hold their polls."""
    from components.host import Host  # --help must not wait for wasmtime
    from scenarios.cli.finding import expand
    from scenarios.feasibility import warnings
    from scenarios.load import load
    from scenarios.plan import Planner
    from scenarios.thresholds import read_expectations

    code = 0
    for file in expand(files):
        host = Host()
        try:
            loaded = load(file)
            read_expectations(loaded)
            planner = Planner(loaded, host)
            spec = planner.world()
        except ScenarioError as error:
            print(f"error: {error}", file=sys.stderr)
            code = SCENARIO_ERROR
            continue
        finally:
            host.close()
        found = warnings(spec)
        for warning in found:
            print(f"warning: {shown_path(file)}: {warning}", file=sys.stderr)
        for note in planner.notes:
            print(f"note: {shown_path(file)}: {note}", file=sys.stderr)
        print(f"{shown_path(file)}: {'ok' if not found else f'ok, {len(found)} warnings'}, {len(spec.devices)} devices, "
              f"{len(spec.timeline)} timeline entries, {len(loaded.scenario.expect)} expectations")  # fmt: skip
        if found and strict and not code:
            code = 1
    return code
