"""``twinloop tui [SCENARIO] [--seed N] [--screenshot FILE [--at T] [--screen NAME] [--size WxH]]``, found by its entry point.

Belongs here: the command line. Never: the application.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from scenarios.errors import ScenarioError

SIZE_MIN, SIZE_MAX = (40, 12), (500, 200)
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@app.command("tui")
def tui(
    scenario: Annotated[str | None, typer.Argument(help="a scenario file or a shipped one's name; none: choose", metavar="SCENARIO")] = None,
    seed: Annotated[int | None, typer.Option(help="instead of the scenario's", min=0, max=2**63 - 1)] = None,
    screenshot: Annotated[Path | None, typer.Option(help="write a picture (SVG), without a terminal", metavar="FILE")] = None,
    at: Annotated[str | None, typer.Option(help="with --screenshot: when", metavar="DURATION")] = None,
    screen: Annotated[str | None, typer.Option(help="with --screenshot: overview, fleet, device, gateway, latency, trouble, help")] = None,
    size: Annotated[str | None, typer.Option(help="with --screenshot: cells, e.g. 120x40", metavar="WxH")] = None,
) -> int:
    """See the plant, hold the clock, cause the trouble. ? shows the keys."""
    if screenshot is None:
        for flag, given in (("--at", at), ("--screen", screen), ("--size", size)):
            if given is not None:
                raise ScenarioError(flag, None, "", "goes with --screenshot")
    file = _file(scenario)
    if file is None:
        return 0
    if screenshot is not None:
        return _picture(file, seed, screenshot, at or "30 s", screen or "overview", size or "120x40")
    from tui.app import Twinloop

    return Twinloop(file, seed).run() or 0


def _file(scenario: str | None) -> Path | None:
    from scenarios.load import find

    if scenario is None:
        from tui.chooser import Chooser

        scenario = Chooser().run()
        if scenario is None:
            return None
    file = find(scenario)
    if not file.is_file():
        raise ScenarioError(scenario, None, "", "no such scenario file")
    return file


def _picture(file: Path, seed: int | None, target: Path, at: str, screen: str, size: str) -> int:
    from scenarios.errors import unknown
    from scenarios.units import duration
    from tui.app import PANES
    from tui.picture import picture

    try:
        at_ns = duration(at if " " in at else re.sub(r"([0-9.])([a-z])", r"\1 \2", at))
    except ValueError as error:
        raise ScenarioError("--at", None, "", str(error)) from error
    if screen not in PANES:
        raise ScenarioError("--screen", None, "", unknown("screen", screen, PANES))
    cells = re.fullmatch(r"([0-9]{1,3})x([0-9]{1,3})", size)
    wide, high = (int(cells[1]), int(cells[2])) if cells else (0, 0)
    if not (SIZE_MIN[0] <= wide <= SIZE_MAX[0] and SIZE_MIN[1] <= high <= SIZE_MAX[1]):
        raise ScenarioError("--size", None, "", f'expected 40x12 to 500x200, got "{size}"')
    if not target.parent.is_dir():
        raise ScenarioError("--screenshot", None, "", f"{target}: no such folder: {target.parent}")
    picture(file, seed, target, at_ns, screen, (wide, high))
    print(target)
    return 0


def command(arguments: list[str]) -> int:
    """The command with the arguments after its name; returns the exit code."""
    import sys

    from typer.exceptions import TyperException

    try:
        return app(arguments, standalone_mode=False) or 0
    except ScenarioError as error:
        print(f"error: {error}", file=sys.stderr)
    except TyperException as error:
        show = getattr(error, "show", None)
        show(file=sys.stderr) if show is not None else print(f"error: {error}", file=sys.stderr)
    return 3
