"""Scenarios under many seeds: run, summarised, reported.

Belongs here: the order of things. Never: flags (scenarios/cli), files.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

from rich.console import Console

from twinloop.records import dataclass
from twinloop.scenarios.evidence.cluster import Cluster, run_on_cluster
from twinloop.scenarios.evidence.interval import runs_to_show, wilson
from twinloop.scenarios.evidence.seeds import Shard, read_seeds
from twinloop.scenarios.evidence.seeds_report import progress, seeds_report
from twinloop.scenarios.evidence.summary import Asked, share_of, summary
from twinloop.scenarios.evidence.workers import Entry, Task, Work, processes, run_tasks, unfinished
from twinloop.scenarios.file.load import Loaded
from twinloop.scenarios.interrupts import Interrupts
from twinloop.scenarios.judging.thresholds import read_expectations
from twinloop.scenarios.runner import Options
from twinloop.scenarios.text.errors import ScenarioError
from twinloop.scenarios.text.units import show_ratio


@dataclass(frozen=True)
class Many:
    """What is asked of many seeds. ``seeds`` as it was written; ``jobs``: processes, None: as many as are
    worth it; ``cluster``: the address of a Dask scheduler, or ``local``, empty: this machine's processes."""

    seeds: str
    jobs: int | None = None
    require: str = ""
    shard: Shard | None = None
    cluster: str = ""

    def check(self) -> None:
        """Before anything runs; raises ScenarioError."""
        count = len(read_seeds(self.seeds))
        if self.cluster:
            Cluster(self.cluster, self.jobs).check()
        if self.require:
            check_required(self.require, count)
        if self.shard is not None and self.shard.number > count:
            raise ScenarioError(
                "--shard", None, "", f"{self.shard} of {count} seeds: there is nothing for it to run"
            )


def check_required(require: str, seeds: int) -> None:
    """Is it a share, and can so many seeds show it? Raises ScenarioError."""
    if not re.fullmatch(r"\d{1,3}(\.\d{1,9})? ?%|0?\.\d{1,9}", require):
        raise ScenarioError("--require", None, "", f'expected a share such as 99 % or 0.99, got "{require}"')
    share = share_of(require)
    if not 0 < share < 1:
        raise ScenarioError(
            "--require", None, "", f"expected more than 0 % and less than 100 %, got {require}; no number of "
            f"seeds shows that all of them hold: without --require one that fails is exit code 1"
        )  # fmt: skip
    needed = runs_to_show(share)
    if seeds < needed:
        best = math.floor(wilson(seeds, seeds)[0] * 1000) / 1000
        raise ScenarioError(
            "--require", None, "", f"{seeds} seeds can't show {require}: if all of them hold, no more "
            f"than {show_ratio(best)} are certain (95 %); it takes at least {needed}: --seeds 1..{needed}"
        )  # fmt: skip


@dataclass(frozen=True)
class Seeded:
    """One scenario under many seeds: the entry of each that was run, in the order of seeds, and what they say
    together."""

    file: Path
    entries: list[Entry]
    summary: dict[str, Any]


def run_seeds(
    loaded: Loaded, options: Options, many: Many, interrupts: Interrupts, console: Console
) -> Seeded:
    """Run one scenario under all its seeds, and report it; what is interrupted has the seeds that had ended.

    Raises:
        ScenarioError: for a mistake in the scenario that shows before a seed is run.
        MachineError: when processes die again and again, or a cluster can't run the seeds.
    """
    read_expectations(loaded)  # before anything is compiled: the author waits for it
    asked = read_seeds(many.seeds)
    seeds = asked if many.shard is None else many.shard.of(asked)
    entries: list[Entry] = []
    tasks: list[Task] = [(0, seed) for seed in seeds]
    work = Work((loaded,), options)
    with progress(loaded.scenario.name, len(seeds)) as told:

        def tell(_: Task, entry: Entry) -> None:
            entries.append(entry)
            told(entry)

        if many.cluster:
            run_on_cluster(work, tasks, Cluster(many.cluster, many.jobs), tell, interrupts)
        else:
            run_tasks(work, tasks, processes(many.jobs, len(seeds)), tell, interrupts)
    if interrupts.asked:
        done = {entry["seed"] for entry in entries}
        entries += [unfinished(loaded.file, seed) for seed in seeds if seed not in done]
    entries.sort(key=lambda entry: int(entry["seed"]))
    shard = "" if many.shard is None else str(many.shard)
    found = summary(entries, Asked(many.seeds, many.require, options.strict, shard))
    seeds_report(console, found, entries)
    return Seeded(loaded.file, entries, found)
