"""``--perfetto`` and ``--parquet``: what other tools get of a run.

Belongs here: which flags go together. Never: a format, whose module is loaded when it is asked for.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from twinloop.scenarios.text.errors import ScenarioError, printable

if TYPE_CHECKING:
    from twinloop.scenarios.export.perfetto import PerfettoTrace
    from twinloop.scenarios.runner import Options, Watch


@dataclass(frozen=True)
class Exports:
    """Who looks on at a run for other tools."""

    watches: tuple[Watch, ...] = ()
    trace: PerfettoTrace | None = None

    def tell(self) -> None:
        """What must be known of what was written, on stderr."""
        if self.trace is not None and self.trace.told:
            print(f"note: {printable(self.trace.told)}", file=sys.stderr)


def exports_of(
    perfetto: Path | None, parquet: bool, out: Path | None, options: Options, scenarios: int
) -> Exports:
    """What is asked for, before anything runs. Raises ScenarioError when flags don't go together, a package
    is missing."""
    watches: list[Watch] = []
    trace = None
    if perfetto is not None:
        _refuse(
            "--perfetto",
            {
                "--check runs a scenario twice, and a trace shows one run": options.check,
                "--clock wire has the times of real sockets, and a trace shows simulated time": options.wire,
                f"a trace shows one run, and {scenarios} scenarios are given; give one": scenarios > 1,
            },
        )
        from twinloop.scenarios.export.perfetto import PerfettoTrace

        trace = PerfettoTrace(perfetto)
        watches.append(trace)
    if parquet:
        _refuse(
            "--parquet",
            {
                "it goes with --out DIR, the folder for samples.parquet": out is None,
                "--check runs a scenario twice, and samples are kept of one run": options.check,
                "--clock wire has the times of real sockets, and samples have simulated ones": options.wire,
            },
        )
        from twinloop.scenarios.export.samples import SamplesTable

        watches.append(SamplesTable())
    return Exports(tuple(watches), trace)


def _refuse(flag: str, unfit: dict[str, bool]) -> None:
    """Raises ScenarioError for the first that is true."""
    for why, given in unfit.items():
        if given:
            raise ScenarioError(flag, None, "", why)
