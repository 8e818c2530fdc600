"""Which seeds of a command are with a Dask cluster, and what becomes of each: one entry, whatever dies.

Belongs here: handing out, gathering, what is said of lost workers. Never: connecting (cluster.py). A few
seeds for each worker are with the cluster at a time, so that one that joins late gets its share. Dask runs
again what a lost worker had; what loses workers again and again is run alone in the end, so that no other
seed is blamed.
"""

from __future__ import annotations

import contextlib
import queue
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from distributed import Client, Future, KilledWorker, as_completed

from twinloop.scenarios.evidence.remote.worker import FITS, UNFIT, run_task
from twinloop.scenarios.evidence.workers import LOOK_S, Entry, Task, Tell, Work
from twinloop.scenarios.judging.verdict import MACHINE
from twinloop.scenarios.report import document
from twinloop.scenarios.runner import command
from twinloop.scenarios.text.errors import MachineError, shown_path
from twinloop.scenarios.text.words import number_of

WAITING_A_WORKER = 2
"""seeds that are with the cluster, for each of its workers"""
RETRIES = 2
"""of Dask's, where a worker's own machinery fails"""
LOST_MAX = 2
"""workers that died while they had a seed, until it is run alone; and again, until it is blamed"""
ASKED_EVERY_S = 1.0
STALLED_S = 3.0
"""that a seed is with no worker, until it is handed out anew: Dask doesn't look again when a worker becomes
fit"""
NOBODY_S = 60.0
"""without any worker that fits, until the seeds that are left are given up"""


@dataclass(frozen=True)
class _Handed:
    """A seed that is with the cluster."""

    task: Task
    future: Future
    since: float


class Runs:
    """The runs of one command. ``name``: that of the plugin which made the workers ready."""

    def __init__(self, client: Client, name: str, work: Work, tell: Tell) -> None:
        self._client, self._name, self._work, self._tell = client, name, work, tell
        self._ahead: deque[Task] = deque()
        self._suspects: deque[Task] = deque()
        self._alone: Task | None = None
        self._handed: dict[str, _Handed] = {}
        self._handed_out: Counter[Task] = Counter()
        self._lost: Counter[Task] = Counter()
        self._fit: dict[str, None] = {}
        self._events: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._ended = as_completed(loop=client.loop, with_results=True, raise_errors=False)
        self._asked_at = self._somebody_at = time.monotonic()

    def run(self, tasks: list[Task], stopped: Callable[[], bool]) -> None:
        """Until each has its entry, or somebody has stopped it. Seeds that can't be run any more, because
        the scheduler or all workers are gone, have an entry that says so."""
        self._ahead.extend(tasks)
        with self._listening():
            try:
                while (self._ahead or self._handed or self._suspects) and not stopped():
                    self._look()
                    self._hear()
                    self._hand_out()
                    if not self._gather():
                        time.sleep(LOOK_S / 5)
            except MachineError as error:
                self._give_up(error)
            finally:
                with contextlib.suppress(Exception):  # a scheduler that is gone has nothing to cancel
                    self._client.cancel([one.future for one in self._handed.values()], force=True)

    @contextlib.contextmanager
    def _listening(self) -> Iterator[None]:
        for topic in (self._name, "all"):
            self._client.subscribe_topic(topic, lambda event: self._events.put(event[1]))
        try:
            yield
        finally:
            with contextlib.suppress(Exception):  # as above
                for topic in (self._name, "all"):
                    self._client.unsubscribe_topic(topic)

    # ---- what the cluster is doing ---------------------------------------------------------------
    def _look(self) -> None:
        """Now and then: is the scheduler there, who works, what lies about? Raises MachineError."""
        now = time.monotonic()
        if now - self._asked_at < ASKED_EVERY_S:
            return
        self._asked_at = now
        try:
            processing = self._client.processing()
        except Exception as error:
            raise MachineError(f"the scheduler of the cluster is gone: {error}") from error
        self._fit = {address: None for address in self._fit if address in processing}
        if self._fit:
            self._somebody_at = now
        elif now - self._somebody_at > NOBODY_S:
            raise MachineError(
                f"the cluster has had no worker for {NOBODY_S:.0f} s; start some, and run the seeds again"
            )
        with_workers = {key for keys in processing.values() for key in keys}
        for key, one in list(self._handed.items()):
            if (
                self._fit
                and now - one.since > STALLED_S
                and key not in with_workers
                and not one.future.done()
            ):
                self._take_back(key)
                self._hand(one.task)

    def _hear(self) -> None:
        """What workers have said of themselves, and who was lost."""
        while not self._events.empty():
            event = self._events.get()
            if isinstance(event, dict) and event.get("action") == "remove-worker":
                self._worker_lost(event)
            elif isinstance(event, list | tuple) and event[0] == FITS:
                self._fit[event[1]] = None
            elif isinstance(event, list | tuple) and event[0] == UNFIT:
                print(f"worker {event[1]} isn't used: {event[2]}", file=sys.stderr)

    def _worker_lost(self, event: dict[str, Any]) -> None:
        self._fit.pop(event["worker"], None)
        running = [key for key in event["processing-tasks"] if str(key).startswith(self._name)]
        tasks = sorted(_task_of(str(key)) for key in running)
        done = sorted(_task_of(str(key)) for key in event["lost-computed-tasks"] if key in self._handed)
        again = [task for task in (*tasks, *done) if any(task == one.task for one in self._handed.values())]
        if again:
            seeds = ", ".join(str(seed) for _, seed in again)
            print(
                f"worker {event['worker']} was lost; {'seed' if len(again) == 1 else 'seeds'} {seeds}, which "
                f"it had, {'is' if len(again) == 1 else 'are'} run again",
                file=sys.stderr,
            )
        if event.get("expected"):
            return
        for task in tasks:
            self._lost[task] += 1
            if task == self._alone:
                if self._lost[task] >= LOST_MAX:
                    self._blame(task)
            elif self._lost[task] >= LOST_MAX and self._withdraw(task):
                self._suspects.append(task)

    # ---- seeds -----------------------------------------------------------------------------------
    def _hand_out(self) -> None:
        most = WAITING_A_WORKER * max(1, len(self._fit))
        while self._ahead and len(self._handed) < most:
            self._hand(self._ahead.popleft())
        if self._suspects and not self._handed:
            self._alone = self._suspects.popleft()
            self._lost[self._alone] = 0
            self._hand(self._alone)

    def _hand(self, task: Task) -> None:
        self._handed_out[task] += 1
        key = f"{self._name}/{task[0]}/{task[1]}/{self._handed_out[task]}"
        future = self._client.submit(
            run_task, self._name, task, key=key, retries=RETRIES, resources={self._name: 1}, pure=False
        )
        self._handed[key] = _Handed(task, future, time.monotonic())
        self._ended.add(future)

    def _take_back(self, key: str) -> None:
        one = self._handed.pop(key)
        self._client.cancel([one.future], force=True)

    def _withdraw(self, task: Task) -> bool:
        """It is no longer with the cluster, nor ahead; was it?"""
        keys = [key for key, one in self._handed.items() if one.task == task]
        for key in keys:
            self._take_back(key)
        if not keys and task in self._ahead:
            self._ahead.remove(task)
            return True
        return bool(keys)

    def _gather(self) -> bool:
        """What has ended since; was it anything?"""
        batch = self._ended.next_batch(block=False)
        for future, result in batch:
            one = self._handed.pop(future.key, None)
            if one is None:  # taken back
                continue
            if isinstance(result, dict):
                self._told(one.task, result)
            elif isinstance(result, KilledWorker) or future.status in ("cancelled", "lost"):
                self._ahead.appendleft(one.task)  # the lost workers were counted, or are about to be
            else:
                self._failed(one.task, MachineError(f"a worker of the cluster failed: {result!r}"))
        return bool(batch)

    def _told(self, task: Task, entry: Entry) -> None:
        loaded = self._work.scenarios[task[0]]
        entry["file"] = shown_path(loaded.file)
        if "reproduce" in entry:
            entry["reproduce"] = command(loaded, task[1], self._work.options)
        self._tell(task, entry)

    def _failed(self, task: Task, error: MachineError) -> None:
        file = self._work.scenarios[task[0]].file
        self._tell(task, document.entry(file, error, MACHINE) | {"seed": task[1]})

    def _blame(self, task: Task) -> None:
        if not self._withdraw(task):
            return
        error = MachineError(
            f"seed {task[1]} kills its worker again and again, {2 * LOST_MAX} times by now; is there memory "
            f"for it? It has no result"
        )
        print(f"error: {error}", file=sys.stderr)
        self._failed(task, error)

    def _give_up(self, error: MachineError) -> None:
        """All that have no entry yet have this one."""
        left = dict.fromkeys((*(one.task for one in self._handed.values()), *self._suspects, *self._ahead))
        print(f"error: {error}; {number_of(len(left), 'seed')} have no result", file=sys.stderr)
        self._handed.clear()
        for task in left:
            self._failed(task, error)


def _task_of(key: str) -> Task:
    _, index, seed, _ = key.rsplit("/", 3)
    return int(index), int(seed)
