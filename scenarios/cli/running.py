"""What commands that run scenarios have in common: reports, files, progress, SIGINT, the worst exit code.

Belongs here: the way from options to output. Never: a command's own flags, where scenarios lie (finding.py).
What one scenario dies of costs no other its result.
"""

from __future__ import annotations

import io
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twinloop.scenarios.interrupts import Interrupts, interruptible
from twinloop.scenarios.judging.verdict import (
    ABORTED,
    INTERNAL_ERROR,
    MACHINE,
    SCENARIO_ERROR,
    exit_code,
    worst,
)
from twinloop.scenarios.outcome import Ran, died
from twinloop.scenarios.text.errors import MachineError, ScenarioError, printable, shown_path

if TYPE_CHECKING:
    from rich.console import Console

    from twinloop.scenarios.evidence.many import Many, Seeded
    from twinloop.scenarios.file.settings import Setting
    from twinloop.scenarios.runner import Options


STRICT_HELP = "exit with 1 for UNSURE, too, and for PASS beside something that no expectation speaks of"
"""of the flag ``--strict``: what ``exit_code`` makes of it"""


@dataclass(frozen=True)
class Outputs:
    """Where a command's results go beside the terminal. ``json_file``: ``-`` is stdout."""

    json_file: str | None = None
    junit: Path | None = None
    out: Path | None = None
    perfetto: Path | None = None

    def check(self) -> None:
        """Before anything runs: can they be written? Raises ScenarioError."""
        _writable("--json", None if self.json_file in (None, "-") else Path(str(self.json_file)))
        _writable("--junit", self.junit)
        _writable("--perfetto", self.perfetto)


def _writable(flag: str, target: Path | None) -> None:
    if target is not None and (target.is_dir() or not target.parent.is_dir()):
        why = "it is a folder" if target.is_dir() else f"no such folder: {target.parent}"
        raise ScenarioError(flag, None, "", f"{target}: {why}")


def run_all(
    scenarios: list[Path], options: Options, outputs: Outputs, settings: tuple[Setting, ...] = ()
) -> int:
    """Run scenarios, each with these settings, report each, write what was asked for; returns the worst exit
    code."""
    from twinloop.scenarios.report.console import report  # --help must not wait for it
    from twinloop.scenarios.report.total import total

    console = _console(outputs)
    ran: list[Ran] = []
    out = outputs.out
    stems = [file.stem for file in scenarios]
    if out is not None and len(stems) != len(dict.fromkeys(stems)):
        raise ScenarioError(
            "--out", None, "", "two scenarios have one file name; their folders would overwrite each other"
        )
    with interruptible() as interrupts:
        for file in scenarios:
            folder = None if out is None else out if len(scenarios) == 1 else out / file.stem
            one = _run_one(file, settings, replace(options, out=folder), interrupts)
            ran.append(one)
            if not isinstance(one.outcome, Exception):
                report(console, one.outcome, shown_path(file))
            if one.code == ABORTED or interrupts.asked:
                break
        write_out(ran, outputs, options.strict)
        left = len(scenarios) - len(ran)
        if len(scenarios) > 1:
            total(console, [(shown_path(one.file), one.outcome, one.code) for one in ran], left)
    return worst([one.code for one in ran] + ([ABORTED] if left else []))


def _console(outputs: Outputs) -> Console:
    """Where reports go."""
    from twinloop.scenarios.report.console import console_of  # --help must not wait for it

    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without ✓ gets a question mark, not a traceback
    return console_of(aside=outputs.json_file == "-")


def run_many(
    scenarios: list[Path],
    options: Options,
    outputs: Outputs,
    many: Many,
    settings: tuple[Setting, ...] = (),
) -> int:
    """Run scenarios under many seeds, report each, write what was asked for; returns the worst exit code."""
    from twinloop.scenarios.evidence.many import run_seeds
    from twinloop.scenarios.evidence.seeds_document import written
    from twinloop.scenarios.evidence.seeds_junit import write_seeds_junit
    from twinloop.scenarios.file.load import load

    console = _console(outputs)
    done: list[Seeded | Ran] = []
    with interruptible() as interrupts:
        for file in scenarios:
            out = outputs.out if len(scenarios) == 1 or outputs.out is None else outputs.out / file.stem
            try:
                done.append(
                    run_seeds(load(file, settings), replace(options, out=out), many, interrupts, console)
                )
            except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001  # told, with a code of its own; the other scenarios' results are kept
                done.append(_told(died(file, error)))
            if interrupts.asked:
                break
        if outputs.junit is not None:
            write_seeds_junit(outputs.junit, done)
        if outputs.json_file is not None:
            _write_json(outputs.json_file, written(done))
    left = len(scenarios) - len(done)
    codes = [one.code if isinstance(one, Ran) else int(one.summary["code"]) for one in done]
    return worst(codes + ([ABORTED] if left else []))


def write_out(ran: list[Ran], outputs: Outputs, strict: bool) -> None:
    """The files that were asked for."""
    from twinloop.scenarios.report import document
    from twinloop.scenarios.report.junit import write_junit

    if outputs.junit is not None:
        write_junit(outputs.junit, [(one.file, one.outcome) for one in ran], strict)
    if outputs.json_file is None:
        return
    text = document.text([document.entry(one.file, one.outcome, one.code) for one in ran])
    _write_json(outputs.json_file, text)


def _write_json(target: str, text: str) -> None:
    if target == "-":
        sys.stdout.write(text)
        return
    try:
        Path(target).write_text(text, encoding="utf-8")
    except OSError as error:
        raise MachineError(f"--json {target}: {error.strerror}") from error


def _run_one(file: Path, settings: tuple[Setting, ...], options: Options, interrupts: Interrupts) -> Ran:
    """Whatever a scenario dies of is said, counted and nobody else's trouble."""
    from twinloop.scenarios.file.load import load
    from twinloop.scenarios.runner import run

    try:
        try:
            interrupts.load()
            loaded = load(file, settings)
            with _progress(loaded.scenario.name) as told:
                result = run(loaded, replace(options, progress=told, started=interrupts.started))
        finally:
            interrupts.over()
        return Ran(file, result, exit_code(result.verdict, options.strict, bool(result.data["unspoken"])))
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001  # told, with a code of its own; the other scenarios' results are kept
        return _told(died(file, error))


def _told(ran: Ran) -> Ran:
    """What a scenario died of, on stderr."""
    assert isinstance(ran.outcome, Exception)
    if ran.code == SCENARIO_ERROR:
        print(f"error: {printable(str(ran.outcome))}", file=sys.stderr)
    elif ran.code == MACHINE:
        print(f"error: this machine: {shown_path(ran.file)}: {printable(str(ran.outcome))}", file=sys.stderr)
    elif ran.code == INTERNAL_ERROR:
        traceback.print_exception(ran.outcome)
        print(
            f"error: {shown_path(ran.file)}: a mistake in twinloop itself, please report it with the lines "
            f"above",
            file=sys.stderr,
        )
    return ran


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
