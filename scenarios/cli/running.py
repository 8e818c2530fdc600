"""What commands that run scenarios have in common: reports, files, progress, SIGINT, the worst exit code.

Belongs here: the way from options to output. Never: a command's own flags, where scenarios lie (finding.py).
What one scenario dies of costs no other its result.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twinloop.records import dataclass
from twinloop.scenarios.cli.evidence.files import apart, cleared, writable
from twinloop.scenarios.cli.finding import expand
from twinloop.scenarios.interrupts import Interrupts, interruptible
from twinloop.scenarios.judging.verdict import ABORTED, exit_code, worst
from twinloop.scenarios.outcome import Ran, died, tell
from twinloop.scenarios.text.errors import MachineError, ScenarioError, shown_path

if TYPE_CHECKING:
    from twinloop.scenarios.file.settings import Setting
    from twinloop.scenarios.page.gathering import Gathering
    from twinloop.scenarios.report.result import Result
    from twinloop.scenarios.runner import Options
    from twinloop.sim.world import World


STRICT_HELP = "exit with 1 for UNSURE, too, and for PASS beside something that no expectation speaks of"
"""of the flag ``--strict``: what ``exit_code`` makes of it"""


@dataclass(frozen=True)
class Outputs:
    """Where a command's results go beside the terminal. ``json_file``: ``-`` is stdout; ``html``: of one
    scenario alone."""

    json_file: str | None = None
    junit: Path | None = None
    out: Path | None = None
    github: bool = False
    """annotations and a job summary of GitHub Actions"""
    html: Path | None = None
    perfetto: Path | None = None
    otlp: Path | None = None
    pcap: Path | None = None
    exchanges: Path | None = None

    def check(self, scenarios: Sequence[str] = ()) -> None:
        """Before anything runs: can they be written, each for itself? ``scenarios``: as the command line has
        them. Raises ScenarioError."""
        json_file = None if self.json_file in (None, "-") else Path(str(self.json_file))
        named = {"--json": json_file, "--junit": self.junit, "--html": self.html, "--perfetto": self.perfetto}
        named |= {"--otlp": self.otlp, "--pcap": self.pcap, "--exchanges": self.exchanges}
        apart(named, scenarios)
        for flag, target in named.items():
            writable(flag, target)

    def files(self) -> list[Path]:
        """All that is written, the folder of --out included."""
        named = None if self.json_file in (None, "-") else Path(str(self.json_file))
        found = (named, self.junit, self.out, self.html, self.perfetto, self.otlp, self.pcap, self.exchanges)
        return [one for one in found if one is not None]

    def begin(self) -> None:
        """What has no way to say that there is no result goes first. Raises MachineError."""
        cleared(self.html, self.perfetto, self.otlp, self.pcap, self.exchanges)


def run_all(
    scenarios: list[Path], options: Options, outputs: Outputs, settings: tuple[Setting, ...] = ()
) -> int:
    """Run scenarios, each with these settings, report each, write what was asked for; returns the worst exit
    code."""
    ran: list[Ran] = []
    out = outputs.out
    stems = [file.stem for file in scenarios]
    if out is not None and len(stems) != len(dict.fromkeys(stems)):
        why = "two scenarios have one file name; their folders would overwrite each other"
        raise refused(ScenarioError("--out", None, "", why), outputs, options.strict)
    if outputs.html is not None and len(scenarios) != 1:
        text = f"a page is of one scenario, and {len(scenarios)} were given: run each with a page of its own"
        raise refused(ScenarioError("--html", None, "", text), outputs, options.strict)
    gathering = None if outputs.html is None else _gathering()
    with interruptible() as interrupts:
        for file in scenarios:
            folder = None if out is None else out if len(scenarios) == 1 else out / file.stem
            one = _run_one(file, settings, replace(options, out=folder), interrupts, gathering)
            ran.append(one)
            if not isinstance(one.outcome, Exception):
                _report(one.outcome, file, outputs)
            if one.code == ABORTED or interrupts.asked:
                break
        left = len(scenarios) - len(ran)
        try:
            came = ran[0].outcome
            if gathering is not None and outputs.html is not None and not isinstance(came, Exception):
                gathering.write(outputs.html, came)
        finally:
            try:
                write_out(ran, outputs, options.strict, scenarios[len(ran) :])
            finally:
                if outputs.github:
                    tell_github(ran, left, options.strict, aside=outputs.json_file == "-")
        if len(scenarios) > 1:
            _report_all(ran, left, outputs)
    return worst([one.code for one in ran] + ([ABORTED] if left else []))


def _report(result: Result, file: Path, outputs: Outputs) -> None:
    """On the terminal. What prints is loaded when there is something to print."""
    from twinloop.scenarios.report.console import console_of, patient, report

    patient()
    report(console_of(aside=outputs.json_file == "-"), result, shown_path(file))


def _report_all(ran: list[Ran], left: int, outputs: Outputs) -> None:
    """The last lines of a command with several scenarios."""
    from twinloop.scenarios.report.console import console_of
    from twinloop.scenarios.report.total import total

    told = [(shown_path(one.file), one.outcome, one.code) for one in ran]
    total(console_of(aside=outputs.json_file == "-"), told, left)


def scenarios_of(files: list[str], outputs: Outputs, strict: bool) -> list[Path]:
    """``expand``, whose ScenarioError is in the files that were asked for, too."""
    try:
        return expand(files)
    except ScenarioError as error:
        raise refused(error, outputs, strict) from error


def refused(error: ScenarioError, outputs: Outputs, strict: bool) -> ScenarioError:
    """To be raised: nothing has run. An older result must not stand in for this one."""
    ran = [died(Path(error.file), error)]
    write_out(ran, outputs, strict)
    if outputs.github:
        tell_github(ran, 0, strict, aside=outputs.json_file == "-")
    return error


def write_out(ran: list[Ran], outputs: Outputs, strict: bool, left: Sequence[Path] = ()) -> None:
    """The files that were asked for. ``left``: scenarios that nobody got round to. JUnit comes last: what
    went wrong with the others is in it."""
    from twinloop.scenarios.report.junit import write_junit

    told: list[tuple[Path, Result | Exception]] = [(one.file, one.outcome) for one in ran]
    told += [(file, RuntimeError("not run: interrupted")) for file in left]
    try:
        if outputs.json_file is not None:
            _write_json(ran, outputs.json_file)
    except MachineError as error:
        told.append((Path(outputs.json_file or ""), error))
        raise
    finally:
        if outputs.junit is not None:
            write_junit(outputs.junit, told, strict)


def _write_json(ran: list[Ran], json_file: str) -> None:
    from twinloop.scenarios.report import document

    text = document.text([document.entry(one.file, one.outcome, one.code) for one in ran])
    if json_file == "-":
        sys.stdout.write(text)
        return
    try:
        Path(json_file).write_text(text, encoding="utf-8")
    except OSError as error:
        raise MachineError(f"--json {json_file}: {error.strerror}") from error


def tell_github(ran: list[Ran], left: int, strict: bool, aside: bool) -> None:
    """Annotations on stdout, or ``aside`` on stderr, which GitHub reads as well; the job summary into the
    file that it names. ``left``: how many scenarios nobody got round to. Raises MachineError."""
    from twinloop.scenarios.report.github import (
        SUMMARY_BYTES_MAX,
        SUMMARY_VARIABLE,
        summary,
        workflow_commands,
    )

    for line in workflow_commands([(one.file, one.outcome) for one in ran], left, strict):
        print(line, file=sys.stderr if aside else sys.stdout)
    named = os.environ.get(SUMMARY_VARIABLE, "")
    if not named:
        print(
            f"note: {SUMMARY_VARIABLE} isn't set: --github wrote annotations and no job summary",
            file=sys.stderr,
        )
        return
    try:
        with Path(named).open("ab") as file:
            room = SUMMARY_BYTES_MAX - file.tell()  # other commands of this step may have written
            text = summary([(one.file, one.outcome, one.code) for one in ran], left, room)
            if len(text.encode("utf-8", "replace")) > room:
                print(f"note: {SUMMARY_VARIABLE}: the file is full: no job summary", file=sys.stderr)
                return
            file.write(text.encode("utf-8", "replace"))
    except (OSError, ValueError) as error:
        raise MachineError(f"{SUMMARY_VARIABLE}={named}: {getattr(error, 'strerror', error)}") from error


def _run_one(
    file: Path,
    settings: tuple[Setting, ...],
    options: Options,
    interrupts: Interrupts,
    gathering: Gathering | None = None,
) -> Ran:
    """Whatever a scenario dies of is said, counted and nobody else's trouble."""
    from twinloop.scenarios.file.load import load
    from twinloop.scenarios.runner import run

    try:
        try:
            interrupts.load()
            loaded = load(file, settings)
            if gathering is not None:
                gathering.loaded(loaded)

            def started(world: World) -> None:
                interrupts.started(world)
                if gathering is not None:
                    gathering.started(world)

            with _progress(loaded.scenario.name) as told:
                result = run(loaded, replace(options, progress=told, started=started))
        finally:
            interrupts.over()
        return Ran(file, result, exit_code(result.verdict, options.strict, bool(result.data["unspoken"])))
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001  # told, with a code of its own; the other scenarios' results are kept
        return tell(died(file, error))


def _gathering() -> Gathering:
    """Who listens for a report page; nobody else loads it."""
    from twinloop.scenarios.page.gathering import Gathering

    return Gathering()


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
