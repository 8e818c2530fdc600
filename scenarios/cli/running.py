"""What commands that run scenarios have in common: reports, files, progress, SIGINT, the worst exit code.

Belongs here: the way from options to output. Never: a command's own flags.
"""

from __future__ import annotations

import io
import json
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scenarios.errors import ScenarioError, shown_path
from scenarios.verdict import exit_code, worst

if TYPE_CHECKING:
    from scenarios.result import Result
    from scenarios.runner import Options
    from sim.world import World


@dataclass(frozen=True)
class Outputs:
    """Where a command's results go beside the terminal. ``json_file``: ``-`` is stdout."""

    json_file: str | None = None
    junit: Path | None = None
    out: Path | None = None

    def check(self) -> None:
        """Before anything runs: can they be written? Raises ScenarioError."""
        _writable("--json", None if self.json_file in (None, "-") else Path(str(self.json_file)))
        _writable("--junit", self.junit)


def _writable(flag: str, target: Path | None) -> None:
    if target is not None and (target.is_dir() or not target.parent.is_dir()):
        why = "it is a folder" if target.is_dir() else f"no such folder: {target.parent}"
        raise ScenarioError(flag, None, "", f"{target}: {why}")


def run_all(scenarios: list[Path], options: Options, outputs: Outputs) -> int:
    """Run scenarios, report each, write what was asked for; returns the worst exit code."""
    from rich.console import Console  # --help must not wait for it

    from scenarios.report.console import report

    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without ✓ gets a question mark, not a traceback
    console = Console(stderr=outputs.json_file == "-", highlight=False, soft_wrap=True)
    results: list[tuple[Path, Result | ScenarioError]] = []
    codes: list[int] = []
    out = outputs.out
    stems = [file.stem for file in scenarios]
    if out is not None and len(stems) != len(dict.fromkeys(stems)):
        raise ScenarioError("--out", None, "", "two scenarios have one file name; their folders would overwrite each other")
    for file in scenarios:
        folder = None if out is None else out if len(scenarios) == 1 else out / file.stem
        try:
            result = _run_one(file, replace(options, out=folder))
        except ScenarioError as error:
            print(f"error: {error}", file=sys.stderr)
            results.append((file, error))
            codes.append(3)
            continue
        report(console, result, shown_path(file))
        results.append((file, result))
        codes.append(exit_code(result.verdict, options.strict, bool(result.data["unspoken"])))
        if codes[-1] == 130:
            break
    write_out(results, outputs, options.strict, len(scenarios) == 1)
    return worst(codes)


def write_out(results: list[tuple[Path, Result | ScenarioError]], outputs: Outputs, strict: bool, single: bool) -> None:
    """The files that were asked for; ``single``: one object, not a list of them."""
    from scenarios.report.junit import write_junit

    if outputs.junit is not None:
        write_junit(outputs.junit, results, strict)
    if outputs.json_file is not None:
        _write_json(outputs.json_file, [found.data for _, found in results if not isinstance(found, ScenarioError)], single)


def _run_one(file: Path, options: Options) -> Result:
    from scenarios.load import load
    from scenarios.runner import run

    loaded = load(file)
    with _progress(loaded.scenario.name) as told, interruptible() as started:
        return run(loaded, replace(options, progress=told, started=started))


@contextmanager
def interruptible() -> Iterator[Any]:
    """SIGINT, SIGTERM and SIGHUP set a flag: the world stops between two events. Set explicitly: a shell's background job ignores SIGINT."""
    worlds: list[World] = []

    def interrupt(number: int, frame: Any) -> None:
        if not worlds:
            raise KeyboardInterrupt  # still loading or compiling: nothing to save
        for world in worlds:
            world.stop()

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield worlds.append
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


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


