"""``twinloop run``: run scenarios, print their reports, exit with the worst verdict."""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path
from typing import Annotated

import typer

from twinloop.scenarios.cli.running import STRICT_HELP, Outputs, run_all, scenarios_of
from twinloop.scenarios.text.errors import ScenarioError

CLOCKS = ("virtual", "paced", "wire")


def run(
    files: Annotated[
        list[str],
        typer.Argument(
            help="scenario files, folders of them, or names of shipped scenarios", metavar="FILE|DIR..."
        ),
    ],
    seed: Annotated[int | None, typer.Option(help="instead of the scenario's", min=0, max=2**63 - 1)] = None,
    board: Annotated[
        list[str] | None, typer.Option(help="run a gateway on another board", metavar="GATEWAY=BOARD")
    ] = None,
    json_file: Annotated[
        str | None, typer.Option("--json", help="write the result as JSON; - is stdout", metavar="FILE")
    ] = None,
    junit: Annotated[Path | None, typer.Option(help="write a JUnit report", metavar="FILE")] = None,
    github: Annotated[
        bool, typer.Option("--github", help="annotations and a job summary for GitHub Actions")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="write result, trace and samples into a folder", metavar="DIR")
    ] = None,
    strict: Annotated[
        bool,
        typer.Option("--strict", help=STRICT_HELP),
    ] = False,
    check: Annotated[
        bool, typer.Option("--check", help="run twice and show the first differing event")
    ] = False,
    clock: Annotated[
        str,
        typer.Option(
            help="virtual: as fast as possible; paced: at the wall's pace; wire: over real sockets",
            metavar="virtual|paced|wire",
        ),
    ] = "virtual",
    speed: Annotated[
        str | None, typer.Option(help="with --clock paced: so many times the wall's pace", metavar="X")
    ] = None,
) -> int:
    """Run scenarios and judge them.

    Exit codes: 0 PASS or UNSURE, 1 FAIL, 2 BROKEN, 3 scenario or usage error, 4 NO-DATA, 5 INVALID, 70 a
    mistake in twinloop, 71 this machine, 130 ABORTED; of several scenarios the worst: 70, 2, 71, 130, 3, 5,
    1, 4, 0.
    """
    from twinloop.scenarios.runner import Options  # --help must not wait for it

    pace = _pace(clock, speed)
    if check and clock == "wire":
        raise ScenarioError(
            "--check", None, "", "no two runs over real sockets are equal: it goes with virtual and paced"
        )
    outputs = Outputs(json_file, junit, out, github)
    outputs.check()
    options = Options(
        seed=seed, boards=_boards(board or []), check=check, strict=strict, speed=pace, wire=clock == "wire"
    )
    return run_all(scenarios_of(files, outputs, strict), options, outputs)


def _boards(pairs: list[str]) -> dict[str, str]:
    boards: dict[str, str] = {}
    for pair in pairs:
        gateway, equals, board = pair.partition("=")
        if not equals or not gateway or not board:
            raise ScenarioError("--board", None, "", f'expected GATEWAY=BOARD, got "{pair}"')
        if gateway in boards:
            raise ScenarioError("--board", None, "", f'gateway "{gateway}" is given twice')
        boards[gateway] = board
    return boards


def _pace(clock: str, speed: str | None) -> Fraction | None:
    """How many times the wall's pace, None for as fast as possible; raises ScenarioError."""
    from twinloop.scenarios.text.errors import unknown
    from twinloop.sim.kernel.pacer import SPEED_MAX

    if clock not in CLOCKS:
        raise ScenarioError("--clock", None, "", unknown("clock", clock, CLOCKS))
    if clock != "paced":
        if speed is not None:
            why = (
                "clock virtual is as fast as possible"
                if clock == "virtual"
                else "real sockets have the wall's pace"
            )
            raise ScenarioError("--speed", None, "", f"goes with --clock paced: {why}")
        return None
    if not re.fullmatch(r"\d{1,9}(\.\d{1,9})?", speed or "1") or not 0 < Fraction(speed or "1") <= SPEED_MAX:
        raise ScenarioError(
            "--speed",
            None,
            "",
            f'expected a number over 0, at most {SPEED_MAX}, e.g. 10 or 0.5, got "{speed}"',
        )
    return Fraction(speed or "1")
