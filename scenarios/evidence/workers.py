"""Scenarios under many seeds, in this process or in several: one entry of the result document for each run.

Belongs here: who runs which seed, and what happens when a process dies. Never: what the entries say together
(summary.py). A pool of the standard library hands out the seeds; a process that is killed takes the pool with
it, so that a new one is begun for the seeds that have no entry yet.
"""

from __future__ import annotations

import contextlib
import itertools
import multiprocessing
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

from twinloop.components.host.host import Host
from twinloop.records import dataclass
from twinloop.scenarios import runner
from twinloop.scenarios.file.load import Loaded
from twinloop.scenarios.interrupts import Interrupts
from twinloop.scenarios.judging.verdict import ABORTED, INTERNAL_ERROR, exit_code
from twinloop.scenarios.outcome import died
from twinloop.scenarios.report import document
from twinloop.scenarios.text.errors import MachineError
from twinloop.scenarios.text.words import number_of

SEEDS_A_PROCESS = 4
"""from which on another process is worth its start, where nobody says how many"""
DEATHS_MAX = 3
"""pools in a row that die before a single seed has ended"""
WAITING_A_PROCESS = 3
"""seeds that have been handed to the pool, for each of its processes"""
LOOK_S = 0.1
"""between two looks at whether the command was interrupted"""

Entry = dict[str, Any]
Task = tuple[int, int]
"""one run: the index of its scenario, its seed"""
Tell = Callable[[Task, Entry], None]


@dataclass(frozen=True)
class Work:
    """What is run: scenarios, and the options that all runs have in common."""

    scenarios: tuple[Loaded, ...]
    options: runner.Options

    def one(self, task: Task, host: Host) -> Entry:
        """The entry of one run; whatever it dies of is in it."""
        index, seed = task
        loaded, options = self.scenarios[index], self.options
        file = loaded.file
        out = None if options.out is None else options.out / f"seed-{seed}"
        try:
            result = runner.run_in(loaded, replace(options, seed=seed, out=out), host)
        except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001  # told, with a code of its own; the other seeds' results are kept
            ran = died(file, error)
            if ran.code == INTERNAL_ERROR:
                traceback.print_exc()
            return document.entry(file, ran.outcome, ran.code) | {"seed": seed}
        code = exit_code(result.verdict, options.strict, bool(result.data["unspoken"]))
        return document.entry(file, result, code)


def processes(wanted: int | None, seeds: int) -> int:
    """How many processes run so many seeds. ``wanted``: by the user; None: as many as there are cores, but
    none for fewer than SEEDS_A_PROCESS seeds."""
    if wanted is not None:
        return max(1, min(wanted, seeds))
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cores, seeds // SEEDS_A_PROCESS))


def here(work: Work, tasks: list[Task], tell: Tell, stopped: Callable[[], bool]) -> None:
    """Run them one after the other in this process; ``tell`` gets the entry of each."""
    host = Host(fibers=False)
    try:
        for task in tasks:
            if stopped():
                return
            entry = work.one(task, host)
            tell(task, entry)
            if entry["code"] == ABORTED:
                return
            if entry["kind"] == "error":  # what it died of may have left something in the host
                host.close()
                host = Host(fibers=False)
    finally:
        host.close()


def in_processes(work: Work, tasks: list[Task], jobs: int, tell: Tell, stopped: Callable[[], bool]) -> None:
    """Run them in ``jobs`` processes; ``tell`` gets the entry of each, in the order in which they end.

    Raises:
        MachineError: when processes die again and again and nothing ends.
    """
    left, deaths = dict.fromkeys(tasks), 0
    while left and not stopped():
        before = len(left)
        with _pool(work, min(jobs, len(left))) as pool:
            for task, entry in _ended(pool, list(left), jobs, stopped):
                del left[task]
                tell(task, entry)
        if not left or stopped():
            return
        deaths = 0 if len(left) < before else deaths + 1
        if deaths >= DEATHS_MAX:
            raise MachineError(
                f"processes that run seeds were killed before any seed had ended, {deaths} times in a row; "
                f"{number_of(len(left), 'seed')} are left. Is there memory "
                f"for {number_of(min(jobs, len(left)), 'process', 'processes')}? Fewer --jobs take less"
            )
        print(
            f"a process that ran seeds was killed; {number_of(len(left), 'seed')} without a result "
            f"{'is' if len(left) == 1 else 'are'} run again",
            file=sys.stderr,
        )


def _ended(
    pool: ProcessPoolExecutor, tasks: list[Task], jobs: int, stopped: Callable[[], bool]
) -> Iterator[tuple[Task, Entry]]:
    """Runs and their entries as they end, until all have, a process has died, or somebody has stopped it."""
    running: dict[Future[Entry], Task] = {}
    ahead = iter(tasks)
    broken = False
    while not stopped():
        try:
            for task in itertools.islice(ahead, 0 if broken else WAITING_A_PROCESS * jobs - len(running)):
                running[pool.submit(_run, task)] = task
        except BrokenProcessPool:
            broken = True
        done, _ = wait(running, LOOK_S, FIRST_COMPLETED)
        for future in done:
            task = running.pop(future)
            try:
                entry = future.result()
            except BrokenProcessPool:
                broken = True
            else:
                yield task, entry
        if not running:
            return


@contextlib.contextmanager
def _pool(work: Work, jobs: int) -> Iterator[ProcessPoolExecutor]:
    """Processes that have read the scenario; what still runs in the end is killed."""
    # forked where that is safe: this process has imported everything, and no thread of it runs yet
    import_module("twinloop.scenarios.judging.pressing")  # what a run imports when it is over, too
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    pool = ProcessPoolExecutor(jobs, context, _prepare, (work,))
    try:
        yield pool
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        for process in multiprocessing.active_children():
            process.terminate()
        pool.shutdown(wait=True)


class _Worker:
    """What a process keeps from seed to seed."""

    work: Work
    host: Host | None = None


def _prepare(work: Work) -> None:
    """In a process, before its first seed. A terminal's Ctrl-C reaches the whole group: the command that
    began it decides."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    _Worker.work, _Worker.host = work, None


def _run(task: Task) -> Entry:
    """In a process: one run."""
    if _Worker.host is None:
        _Worker.host = Host(fibers=False)
    entry = _Worker.work.one(task, _Worker.host)
    if entry["kind"] == "error":
        _Worker.host.close()
        _Worker.host = None
    return entry


def run_tasks(work: Work, tasks: list[Task], jobs: int, tell: Tell, interrupts: Interrupts) -> None:
    """Run them in so many processes; a signal ends it, and what has ended by then was told."""

    def stopped() -> bool:
        return interrupts.asked

    if jobs > 1:
        interrupts.over()  # a signal only says that it came: what has ended is told
        in_processes(work, tasks, jobs, tell, stopped)
        return
    interrupts.load()
    try:
        options = replace(work.options, started=interrupts.started)
        here(replace(work, options=options), tasks, tell, stopped)
    finally:
        interrupts.over()


def unfinished(file: Path, seed: int) -> Entry:
    """The entry of a seed that nobody got round to."""
    return document.entry(file, RuntimeError("interrupted before it began"), ABORTED) | {"seed": seed}
