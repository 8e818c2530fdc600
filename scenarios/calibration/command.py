"""``twinloop calibrate``: measure the machine that it runs on, and write its board file.

Belongs here: flags, what is said. Never: measuring (calibrate.py).
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from twinloop.scenarios.text.errors import ScenarioError, printable, shown_path

if TYPE_CHECKING:
    from twinloop.scenarios.calibration.writing import Measured
    from twinloop.scenarios.file.load import Loaded

TITLE_MAX = 500
"""characters of a board file's title"""


def calibrate(
    out: Annotated[
        Path, typer.Argument(help="the board file to write; it must not be there", metavar="OUT.yaml")
    ],
    scenario: Annotated[
        list[str] | None,
        typer.Option(
            help="measure its components, too, with the inputs that they get in it; may be repeated",
            metavar="SCENARIO",
        ),
    ] = None,
    host_binary: Annotated[
        list[str] | None,
        typer.Option(
            help="a host program built for this board, e.g. rust-typed=./typed-host", metavar="NAME=PATH"
        ),
    ] = None,
    flash: Annotated[
        Path | None,
        typer.Option(help="a folder on the flash that gateways write to; default: OUT's", metavar="DIR"),
    ] = None,
    title: Annotated[str, typer.Option(help="what the board is, in a line")] = "",
    clock: Annotated[
        str | None,
        typer.Option(help='its clock, where the kernel doesn\'t tell, e.g. "1.1 GHz"', metavar="CLOCK"),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="fewer rounds, wider bands: for a first look")
    ] = False,
) -> int:
    """Measure the board that this runs on, and write a board file for scenarios.

    It takes some minutes, and should have the board to itself: probe guests, calls through host
    programs, instances, flash. With --scenario, each component of it gets a figure of its own, which is
    known much better than the board's. Nothing is changed but OUT.yaml, and 64 MiB that are written and
    removed again."""
    from twinloop.scenarios.calibration import programs
    from twinloop.scenarios.calibration.calibrate import Plan, calibrated
    from twinloop.scenarios.calibration.writing import board_file, derived
    from twinloop.scenarios.file.boards.reading import read_board
    from twinloop.scenarios.interrupts import interruptible

    folder = _checked(out, flash, title)
    plan = Plan(
        scenarios=[_loaded(name) for name in scenario or ()],
        given=[programs.given(text) for text in host_binary or ()],
        flash=folder,
        title=title,
        clock_mhz=_megahertz(clock),
        quick=quick,
        say=_say,
    )
    with interruptible():  # also when the connection to the board ends: what was begun is removed again
        found = calibrated(plan)
    text = board_file(found)
    read_board(text, out, out.stem)  # what is written can be read
    try:
        with out.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise ScenarioError(shown_path(out), None, "", f"{error.strerror}") from error
    _told(found, out)
    if note := derived(found):
        print(f"note: {note}")
    return 0


def _checked(out: Path, flash: Path | None, title: str) -> Path:
    """Can the file be written in the end? Returns the folder whose flash is measured; raises
    ScenarioError."""
    if out.exists():
        raise ScenarioError(shown_path(out), None, "", "it is there already: calibrate writes a new file")
    if not out.parent.is_dir():
        raise ScenarioError(shown_path(out), None, "", f"no folder {shown_path(out.parent)}")
    folder = out.parent if flash is None else flash
    if not folder.is_dir():
        raise ScenarioError("--flash", None, "", f"{shown_path(folder)}: no such folder")
    for place in (out.parent, folder):  # said now, not after minutes
        if not os.access(place, os.W_OK | os.X_OK):
            raise ScenarioError(shown_path(place), None, "", "no file can be written into this folder")
    if len(title) > TITLE_MAX:
        raise ScenarioError("--title", None, "", f"expected at most {TITLE_MAX} characters, got {len(title)}")
    return folder


def _loaded(name: str) -> Loaded:
    """A scenario that can run; raises ScenarioError for all that is wrong with it."""
    from twinloop.scenarios.checking import checked
    from twinloop.scenarios.file.load import find

    found = checked(find(name))
    if found.errors or found.loaded is None:
        for error in found.errors[:-1]:
            print(f"error: {printable(str(error))}", file=sys.stderr)
        raise found.errors[-1]
    return found.loaded


def _say(text: str) -> None:
    end = "\r" if sys.stderr.isatty() else "\n"
    print(f"{text:<70}" if end == "\r" else text, end=end, file=sys.stderr, flush=True)


def _megahertz(clock: str | None) -> int:
    from twinloop.scenarios.text.units import parse

    if clock is None:
        return 0
    try:
        found = parse(clock, {"MHz": 1, "GHz": 1000}, "a clock", "1.8 GHz")
    except ValueError as error:
        raise ScenarioError("--clock", None, "", str(error)) from error
    if found <= 0:
        raise ScenarioError("--clock", None, "", f'expected a clock over 0, got "{clock}"')
    return found


def _told(found: Measured, out: Path) -> None:
    figures = found.figures
    print(f"{shown_path(out)}: {found.title}")
    rows = [
        ("a unit of fuel", figures.fuel),
        ("the same while it is counted", figures.metered_fuel),
        *((f"an instruction of {name}", one) for name, one in figures.hosts.items()),
        *((f"fuel of {one.name}", one.metered) for one in found.components if not one.why_not),
    ]
    for name, one in rows:
        print(f"  {name:<34} {one.value:>8.3g} ns  x/÷ {one.band:.2f}")
    for left in found.components:
        if left.why_not:
            print(f"  fuel of {left.name}: the board's, as {left.why_not}")
