"""``twinloop run``: run scenarios, print their reports, exit with the worst verdict."""

from __future__ import annotations

import io
import json
import re
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from scenarios.errors import ScenarioError, shown_path
from scenarios.verdict import exit_code, worst

if TYPE_CHECKING:
    from scenarios.result import Result
    from scenarios.runner import Options
    from sim.world import World

CLOCKS = ("virtual", "paced")


def run(
    files: Annotated[list[str], typer.Argument(help="scenario files, folders of them, or names of shipped scenarios", metavar="FILE|DIR...")],
    seed: Annotated[int | None, typer.Option(help="instead of the scenario's", min=0, max=2**63 - 1)] = None,
    board: Annotated[list[str] | None, typer.Option(help="run a gateway on another board", metavar="GATEWAY=BOARD")] = None,
    json_file: Annotated[str | None, typer.Option("--json", help="write the result as JSON; - is stdout", metavar="FILE")] = None,
    junit: Annotated[Path | None, typer.Option(help="write a JUnit report", metavar="FILE")] = None,
    out: Annotated[Path | None, typer.Option(help="write result, trace and samples into a folder", metavar="DIR")] = None,
    strict: Annotated[bool, typer.Option("--strict", help="UNSURE exits with 1")] = False,
    check: Annotated[bool, typer.Option("--check", help="run twice and show the first differing event")] = False,
    clock: Annotated[str, typer.Option(help="virtual: as fast as possible; paced: at the wall's pace", metavar="virtual|paced")] = "virtual",
    speed: Annotated[str | None, typer.Option(help="with --clock paced: so many times the wall's pace", metavar="X")] = None,
) -> int:
    """Run scenarios and judge them.

    Exit codes: 0 PASS or UNSURE, 1 FAIL, 2 BROKEN, 3 scenario or usage error, 4 NO-DATA, 5 INVALID, 130 ABORTED.
    """
    from rich.console import Console  # --help must not wait for it

    from scenarios.report.console import report
    from scenarios.report.junit import write_junit
    from scenarios.runner import Options

    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without ✓ gets a question mark, not a traceback
    pace = _pace(clock, speed)
    _writable("--json", None if json_file in (None, "-") else Path(str(json_file)))
    _writable("--junit", junit)
    console = Console(stderr=json_file == "-", highlight=False, soft_wrap=True)
    results: list[tuple[Path, Result | ScenarioError]] = []
    codes: list[int] = []
    scenarios = expand(files)
    stems = [file.stem for file in scenarios]
    if out is not None and len(stems) != len(dict.fromkeys(stems)):
        raise ScenarioError("--out", None, "", "two scenarios have one file name; their folders would overwrite each other")
    for file in scenarios:
        folder = None if out is None else out if len(scenarios) == 1 else out / file.stem
        try:
            result = _run_one(file, Options(seed=seed, boards=_boards(board or []), out=folder, check=check, strict=strict, speed=pace))
        except ScenarioError as error:
            print(f"error: {error}", file=sys.stderr)
            results.append((file, error))
            codes.append(3)
            continue
        report(console, result, shown_path(file))
        results.append((file, result))
        codes.append(exit_code(result.verdict, strict))
        if codes[-1] == 130:
            break
    if junit is not None:
        write_junit(junit, results, strict)
    if json_file is not None:
        _write_json(json_file, [found.data for _, found in results if not isinstance(found, ScenarioError)], len(scenarios) == 1)
    return worst(codes)


def _writable(flag: str, target: Path | None) -> None:
    """Before anything runs: can this report be written?"""
    if target is not None and (target.is_dir() or not target.parent.is_dir()):
        why = "it is a folder" if target.is_dir() else f"no such folder: {target.parent}"
        raise ScenarioError(flag, None, "", f"{target}: {why}")


def expand(names: list[str]) -> list[Path]:
    """Files, the scenarios of folders, shipped scenarios by name; raises ScenarioError."""
    from scenarios.load import find

    out: list[Path] = []
    for name in names:
        path = find(name)
        if path.is_dir():
            inside = sorted(path.rglob("*.yaml"))
            if not inside:
                raise ScenarioError(name, None, "", "no *.yaml in this folder")
            out += inside
        else:
            out.append(path)
    return out


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
    from scenarios.errors import unknown
    from sim.pacer import SPEED_MAX

    if clock not in CLOCKS:
        raise ScenarioError("--clock", None, "", unknown("clock", clock, CLOCKS))
    if clock == "virtual":
        if speed is not None:
            raise ScenarioError("--speed", None, "", "goes with --clock paced: clock virtual is as fast as possible")
        return None
    if not re.fullmatch(r"\d{1,9}(\.\d{1,9})?", speed or "1") or not 0 < Fraction(speed or "1") <= SPEED_MAX:
        raise ScenarioError("--speed", None, "", f'expected a number over 0, at most {SPEED_MAX}, e.g. 10 or 0.5, got "{speed}"')
    return Fraction(speed or "1")


def _run_one(file: Path, options: Options) -> Result:
    from scenarios.load import load
    from scenarios.runner import run

    loaded = load(file)
    with _progress(loaded.scenario.name) as told, _interruptible() as started:
        return run(loaded, replace(options, progress=told, started=started))


@contextmanager
def _interruptible() -> Iterator[Any]:
    """SIGINT sets a flag: the world stops between two events. Set explicitly: a shell's background job ignores it."""
    worlds: list[World] = []

    def interrupt(number: int, frame: Any) -> None:
        if not worlds:
            raise KeyboardInterrupt  # still loading or compiling: nothing to save
        for world in worlds:
            world.stop()

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        yield worlds.append
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _progress(name: str) -> Iterator[Any]:
    """A bar on stderr while it runs, on a terminal only."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(name, total=1.0)
        yield lambda now_ns, whole_ns: progress.update(task, completed=max(0, now_ns) / whole_ns)


def _write_json(target: str, objects: list[dict[str, Any]], single: bool) -> None:
    if single and not objects:
        return
    data: Any = objects[0] if single else objects
    text = json.dumps(data, indent=2) + "\n"
    if target == "-":
        sys.stdout.write(text)
        return
    try:
        Path(target).write_text(text, encoding="utf-8")
    except OSError as error:
        raise ScenarioError("--json", None, "", f"{target}: {error.strerror}") from error


