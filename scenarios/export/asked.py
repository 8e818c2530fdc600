"""``--perfetto``, ``--parquet``, ``--pcap``, ``--exchanges`` and ``--otlp``: what other tools get of a run.

Belongs here: which flags go together. Never: a format, whose module is loaded when it is asked for.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import field
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from twinloop.records import dataclass
from twinloop.scenarios.judging.verdict import MACHINE, worst
from twinloop.scenarios.text.errors import MachineError, ScenarioError, printable

if TYPE_CHECKING:
    from twinloop.scenarios.export.exchanges import ExchangesFile
    from twinloop.scenarios.export.otlp.output import OtlpOutput
    from twinloop.scenarios.export.perfetto import PerfettoTrace
    from twinloop.scenarios.file.settings import Setting
    from twinloop.scenarios.runner import Options, Watch


@dataclass(frozen=True)
class Exports:
    """Who looks on at a run for other tools."""

    watches: tuple[Watch, ...] = ()
    trace: PerfettoTrace | None = None
    otlp: OtlpOutput | None = None
    exchanges: ExchangesFile | None = None

    @contextmanager
    def telling(self) -> Iterator[Callable[[int], int]]:
        """``tell``, and also when what was to be written beside breaks off."""
        told: list[int] = []

        def tell(code: int) -> int:
            told.append(self.tell(code))
            return told[-1]

        try:
            yield tell
        finally:
            if not told:
                self.tell(MACHINE)

    def tell(self, code: int) -> int:
        """The runs are over and reported: send what is for a receiver, and say on stderr what must be known
        of what was written; returns the exit code, which is this machine's when the receiver didn't take
        it."""
        for writer in (self.trace, self.exchanges):
            if writer is not None and writer.told:
                print(f"note: {printable(writer.told)}", file=sys.stderr)
        if self.otlp is None:
            return code
        try:
            self.otlp.send()
        except MachineError as error:
            print(f"error: this machine: {printable(str(error))}", file=sys.stderr)
            code = worst([code, MACHINE])
        finally:
            self.otlp.close()
        for note in self.otlp.notes:
            print(f"note: {printable(note)}", file=sys.stderr)
        return code


@dataclass(frozen=True)
class Otlp:
    """The flags of OTLP, as they were given. Raises ScenarioError for those that go with another one that
    wasn't."""

    target: str | None = None
    samples: str | None = None
    start: str | None = None

    def __post_init__(self) -> None:
        for flag, given in {"--otlp-samples": self.samples, "--otlp-start": self.start}.items():
            if given is not None and self.target is None:
                raise ScenarioError(flag, None, "", f"{flag} goes with --otlp FILE or --otlp URL")

    @property
    def file(self) -> Path | None:
        """None: nothing is asked for, or it is for a receiver."""
        return Path(self.target) if self.target is not None and not self._is_url else None

    @property
    def _is_url(self) -> bool:
        return "://" in (self.target or "")

    def output(self, scenario: Path, settings: tuple[Setting, ...], options: Options) -> OtlpOutput | None:
        """Who gathers it, if it is asked for. Raises ScenarioError."""
        if self.target is None:
            return None
        if self._is_url and not re.match(r"https?://", self.target, re.IGNORECASE):
            why = f'expected a file, or an address that begins with http:// or https://, got "{self.target}"'
            raise ScenarioError("--otlp", None, "", why)
        share, epoch_ns = _share(self.samples), _since_1970_ns(self.start)
        from twinloop.scenarios.export.otlp.output import OtlpOutput, Wanted
        from twinloop.scenarios.file.load import load

        return OtlpOutput(
            Wanted(
                target=self.file or self.target,
                loaded=lambda: load(scenario, settings),
                share=share,
                epoch_ns=epoch_ns,
                boards=tuple(options.boards.items()),
            )
        )


def _share(text: str | None) -> Fraction:
    """Of the samples, those that have spans."""
    found = re.fullmatch(r"(\d{1,3}(?:\.\d{1,6})?) ?%", text or "100 %")
    share = Fraction(found[1]) / 100 if found else Fraction(-1)
    if not 0 <= share <= 1:
        raise ScenarioError("--otlp-samples", None, "", f'expected 0 % to 100 %, e.g. "1 %", got "{text}"')
    return share


def _since_1970_ns(text: str | None) -> int:
    """What t = 0 of the scenario is."""
    from twinloop.sim.kernel.wallclock import EPOCH_NS

    if text is None:
        return EPOCH_NS
    try:
        then = datetime.fromisoformat(text)
    except ValueError:
        then = None
    if then is None or then.tzinfo is None or not 1971 <= then.year <= 2200:
        why = f'expected a date with time and zone, e.g. 2026-01-01T00:00:00Z (1971 to 2200), got "{text}"'
        raise ScenarioError("--otlp-start", None, "", why)
    since = then - datetime(1970, 1, 1, tzinfo=UTC)
    return ((since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds) * 1000


@dataclass(frozen=True)
class Asked:
    """What the flags say. ``pcap_of``: names of what is captured, none for everything. Raises ScenarioError
    for flags that go with another one that wasn't given."""

    perfetto: Path | None = None
    parquet: bool = False
    pcap: Path | None = None
    pcap_of: tuple[str, ...] = ()
    otlp: Otlp = field(default_factory=Otlp)
    exchanges: Path | None = None
    exchanges_of: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.exchanges_of and self.exchanges is None:
            text = "it goes with --exchanges FILE, and says whose exchanges are recorded"
            raise ScenarioError("--exchanges-of", None, "", text)
        if self.pcap_of and self.pcap is None:
            text = "it goes with --pcap FILE, and says what is captured"
            raise ScenarioError("--pcap-of", None, "", text)

    def flags(self) -> dict[str, bool]:
        """Each flag that is of one run, and whether it was given."""
        return {
            "--perfetto": self.perfetto is not None,
            "--parquet": self.parquet,
            "--pcap": self.pcap is not None,
            "--otlp": self.otlp.target is not None,
            "--exchanges": self.exchanges is not None,
        }


_WHOSE = {
    "--perfetto": ("a trace shows one run", "times of real sockets, and a trace shows simulated time"),
    "--parquet": (
        "samples are kept of one run",
        "times of real sockets, and samples have simulated ones",
    ),
    "--pcap": ("a capture shows one run", "real sockets: capture them with tcpdump"),
    "--otlp": ("spans are of one run", "times of real sockets, and spans have simulated ones"),
    "--exchanges": ("a recording is of one run", ""),
}
"""flag -> why it isn't of two runs, what is different on the wire (empty: it is for the wire, too)"""


def exports_of(
    asked: Asked, out: Path | None, options: Options, found: list[Path], settings: tuple[Setting, ...]
) -> Exports:
    """What is asked for of the scenarios ``found``, before anything runs. Raises ScenarioError when flags
    don't go together, a package is missing."""
    if asked.parquet and out is None:
        raise ScenarioError("--parquet", None, "", "it goes with --out DIR, the folder for samples.parquet")
    for flag, given in asked.flags().items():
        one_run, on_the_wire = _WHOSE[flag]
        several = len(found) if flag != "--parquet" else 1  # each has a folder of its own
        unfit = {
            f"--check runs a scenario twice, and {one_run}": options.check,
            f"--clock wire has {on_the_wire}": options.wire and bool(on_the_wire),
            f"{one_run}, and {several} scenarios are given; give one": several > 1,
        }
        for why, is_so in unfit.items():
            if given and is_so:
                raise ScenarioError(flag, None, "", why)
    watches: list[Watch] = []
    trace = None
    if asked.perfetto is not None:
        from twinloop.scenarios.export.perfetto import PerfettoTrace

        trace = PerfettoTrace(asked.perfetto)
        watches.append(trace)
    if asked.parquet:
        from twinloop.scenarios.export.samples import SamplesTable

        watches.append(SamplesTable())
    if asked.pcap is not None:
        from twinloop.scenarios.export.capture import Capture

        watches.append(Capture(asked.pcap, asked.pcap_of))
    output = asked.otlp.output(found[0], settings, options)
    if output is not None:
        watches.append(output)
    recorder = None
    if asked.exchanges is not None:
        recorder = recording_of(asked.exchanges, asked.exchanges_of, found[0], settings)
        watches.append(recorder)
    return Exports(tuple(watches), trace, output, recorder)


def recording_of(
    path: Path, of: tuple[str, ...], scenario: Path, settings: tuple[Setting, ...]
) -> ExchangesFile:
    """Who writes ``--exchanges`` of a scenario."""
    from twinloop.scenarios.export.exchanges import ExchangesFile
    from twinloop.scenarios.file.load import load
    from twinloop.scenarios.report.result import scenario_digest

    def about() -> tuple[str, str]:
        loaded = load(scenario, settings)
        return loaded.scenario.name, scenario_digest(loaded)

    return ExchangesFile(path, of, about)
