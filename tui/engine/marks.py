"""Marks to rewind to: forks of the engine's process that sleep at an instant each, until one is woken and
goes on in its place.

Belongs here: forking, sleeping, waking, which marks are kept. Never: what a world does. A fork shares nothing
that changes: memory is copied by the kernel when it is written, stores' files by ``FlashFile.copy``. Linux
only (``possible``); elsewhere rewinding replays from 0.

Every process of an engine holds the connection to the screen; the one that is awake uses it. All hang on the
root's lifeline: when the root is gone, or whoever is awake, the others end. The root adopts orphans and
outlives them (``root``).
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import resource
import select
import shutil
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NoReturn

from twinloop.sim.north.flash import FlashFile
from twinloop.sim.world import World

MARKS_MAX = 8
MARK_EVENTS = 2000
"""between two marks at least"""
MEMORY_SPARE = 2
"""no mark is made while this machine has less memory available than so many times what the engine has"""
MARK_SHARE = 0.02
"""of the engine's time that marks may take: making them, and the memory that the kernel copies after it"""
MARK_WITHIN_S = 10.0
"""after which there is another one whatever they take: not all of the kernel's time is theirs"""
RETRY_S = 5.0
"""after a mark that couldn't be made"""
GRACE_S = 2.0
"""for everybody to end by themselves"""
_PR_SET_CHILD_SUBREAPER = 36
"""prctl(2)"""


def possible() -> bool:
    """Can this system do it?"""
    return sys.platform == "linux" and os.path.isdir("/proc/self/fd")


@dataclass(frozen=True, slots=True)
class Errand:
    """What a sleeping mark is told to have done by another fork of itself, while it sleeps on: whoever is
    awake stays so."""

    order: Any


@dataclass(frozen=True, slots=True)
class Mark:
    """One sleeping process: where it stands, and the end of the pipe that wakes it."""

    at_ns: int
    events: int
    control: Connection


def root(play: Callable[[Path, Connection], int]) -> int:
    """Run ``play(folder, lifeline)`` in a fork, and outlive it and all that come of it; returns the worst
    exit code (128 + N: killed by signal N).

    The folder is theirs, and goes with them. SIGTERM and SIGHUP end them all.
    """
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    os.setpgid(0, 0)  # a terminal's signals are for the screen; we end when it does
    with TemporaryDirectory(prefix="twinloop-tui-") as folder:
        lifeline, held = Pipe(duplex=False)
        if os.fork() == 0:
            held.close()
            code = 70
            try:
                code = play(Path(folder), lifeline)
            finally:
                os._exit(code)  # nobody's finalizers: files and folders are the root's
        lifeline.close()

        def end(number: int, _: Any) -> None:
            """First by themselves, then not."""
            held.close()
            for process in _children() if number == signal.SIGALRM else []:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
            signal.setitimer(signal.ITIMER_REAL, GRACE_S)

        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGALRM):
            signal.signal(number, end)
        worst = 0
        while True:
            try:
                code = os.waitstatus_to_exitcode(os.wait()[1])
            except ChildProcessError:
                return worst
            worst = max(worst, code if code >= 0 else 128 - code)


def _children() -> list[int]:
    """Of this process: orphans of its descendants, too."""
    found = Path(f"/proc/self/task/{os.getpid()}/children")
    return [int(number) for number in found.read_text(encoding="ascii").split()] if found.exists() else []


class Marks:
    """Of one engine, seen from the process that is awake. ``kept``: the oldest first."""

    def __init__(self, folder: Path, lifeline: Connection) -> None:
        self._folder, self.lifeline = folder, lifeline
        self.kept: list[Mark] = []
        self._next_events = 0
        self._next_s = 0.0
        """not before then"""
        self._last_s: float | None = None
        """when the last one had been made; None: there is none"""
        self._took_s = self._kernel_s = 0.0
        """how long that took, and the kernel's time for this process until then"""
        self._made = 0
        self._mine: list[Path] = []
        """folders with files of this process alone"""
        self._watched: tuple[Connection, ...] = ()
        """of one that runs an errand: pipes at which it is seen that nobody waits for it any more"""

    def store_path(self) -> Callable[[str], Path]:
        """Where a new world's stores lie."""
        folder = self._room()
        self._mine.append(folder)
        return lambda gateway: folder / f"store-{gateway}.sqlite"

    def _room(self) -> Path:
        self._made += 1
        folder = self._folder / f"{os.getpid()}-{self._made}"
        folder.mkdir()
        return folder

    def answer_path(self) -> Path:
        """Where an errand leaves what it has found, for this process."""
        self._made += 1
        return self._folder / f"answer-{os.getpid()}-{self._made}.pickle"

    @property
    def forsaken(self) -> bool:
        """Of one that runs an errand: is nobody there any more who waits for it?"""
        poll = select.poll()
        for connection in self._watched:
            poll.register(connection.fileno(), 0)  # an end of the other side is told all the same
        return bool(self._watched and poll.poll(0))

    def leave(self) -> NoReturn:
        """This process has handed over: it ends, and its files go."""
        for folder in self._mine:
            shutil.rmtree(folder, ignore_errors=True)
        os._exit(0)

    def orphaned(self) -> None:
        """The root was killed: its folder is for whoever is awake to remove."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def due(self, events: int) -> bool:
        """Is it time for one? ``events``: of the world so far."""
        return events >= self._next_events and self._affordable() and _memory_for_one()

    def _affordable(self) -> bool:
        """What is written after a fork is copied first, page by page: more than the fork itself takes."""
        now_s = time.monotonic()
        if self._last_s is None or now_s < self._next_s:
            return now_s >= self._next_s
        since_s = now_s - self._last_s
        spent_s = self._took_s + _kernel_s() - self._kernel_s
        return since_s >= MARK_WITHIN_S or since_s * MARK_SHARE >= spent_s

    def take(self, world: World) -> Any:
        """Leave a mark here. Returns None and goes on; or, once somebody wakes it, what it was woken with:
        then it is who is awake now. An Errand: this is a fork beside the one that is awake, to carry it out
        and ``leave``."""
        gc.freeze()  # the collector would touch, and so copy, all that is shared
        order = None
        while True:
            came = self._fork(world)
            if came is None or isinstance(came, Errand):
                return order if came is None else came
            order = came  # woken: first it leaves another like itself

    def _fork(self, world: World) -> Any:
        began = time.monotonic()
        self._next_events = world.events + MARK_EVENTS
        folder = self._room()
        files = _stores(world, folder)
        near, far = Pipe(duplex=False)
        try:
            for file, path in files:
                file.copy(path)
            forked = os.fork()
        # no room on the disk, or for another process: a mark is nothing that a run depends on
        except OSError:
            near.close()
            far.close()
            shutil.rmtree(folder, ignore_errors=True)
            self._next_s = time.monotonic() + RETRY_S
            return None
        if forked == 0:
            far.close()
            for file, path in files:
                file.adopt(path)
            self._mine = [folder]
            return self._sleep(near, folder, world)
        near.close()
        self.kept.append(Mark(max(0, world.env.now), world.events, far))
        self._thin()
        ended = time.monotonic()
        self._last_s, self._took_s, self._kernel_s = ended, ended - began, _kernel_s()
        return None

    def _sleep(self, control: Connection, folder: Path, world: World) -> Any:
        """Until it is woken; it ends here, and its files with it, when it is told to or nobody can wake it
        any more. In a fork that it sends on an errand: that."""
        while True:
            order = None
            if self.lifeline not in wait([control, self.lifeline]):
                with contextlib.suppress(EOFError):
                    order = control.recv()
            if order is None:
                shutil.rmtree(folder, ignore_errors=True)
                os._exit(0)
            if not isinstance(order, Errand):
                control.close()
                return order
            if self._sent_off(control, world):
                return order

    def _sent_off(self, control: Connection, world: World) -> bool:
        """True in the fork. Nobody waits for it: the one between ends at once, so that the root adopts it."""
        room = self._room()
        files = _stores(world, room)
        try:
            for file, path in files:
                file.copy(path)
            between = os.fork()
            if between:
                os.waitpid(between, 0)
                return False
            if os.fork():
                os._exit(0)
        except OSError:  # no room: there will be no answer, and whoever asked gives up waiting
            shutil.rmtree(room, ignore_errors=True)
            return False
        for file, path in files:
            file.adopt(path)
        self._mine, self._watched = [room], (control, self.lifeline)
        return True

    def _thin(self) -> None:
        """Too many: of those between the first and the last the one goes that is missed least, so that
        distances grow with age."""
        if len(self.kept) <= MARKS_MAX:
            return
        now = self.kept[-1].events
        gaps = [
            (self.kept[i + 1].events - self.kept[i - 1].events) / (now - self.kept[i - 1].events)
            for i in range(1, len(self.kept) - 1)
        ]
        gone = self.kept.pop(1 + gaps.index(min(gaps)))
        _tell(gone.control, None)

    def wake(self, to_ns: int, order: Any) -> bool:
        """Wake the last mark at or before ``to_ns`` with an order; True: done, and the caller must end now.
        False: there is none."""
        return any(_tell(mark.control, order) for mark in reversed(self.kept) if mark.at_ns <= to_ns)

    def drop(self) -> None:
        """Nobody is to go on from those there are."""
        for mark in self.kept:
            _tell(mark.control, None)
        self.kept.clear()
        self._next_events = 0

    def send(self, before_ns: int, order: Any) -> bool:
        """Have an errand run from the last mark before an instant, by a fork of it. False: none is there, or
        this machine has no memory for it now."""
        if not _memory_for_one():
            return False
        for mark in reversed(self.kept):
            if mark.at_ns < before_ns or mark.at_ns == 0:
                with contextlib.suppress(BrokenPipeError, OSError):
                    mark.control.send(Errand(order))
                    return True
        return False


def _stores(world: World, folder: Path) -> list[tuple[FlashFile, Path]]:
    """The file of each store, and where a copy of it goes."""
    return [
        (gateway.outbox.store.file, folder / f"store-{gateway.name}.sqlite")
        for gateway in world.gateways
        if gateway.outbox.store is not None and gateway.outbox.store.file is not None
    ]


def _kernel_s() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_stime


def _memory_for_one() -> bool:
    """A mark comes to own what the engine changes after it: in the worst case as much as the engine has."""
    mine = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    found = next(
        line
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        if line.startswith("MemAvailable:")
    )
    return int(found.split()[1]) * 1024 >= MEMORY_SPARE * mine


def _tell(control: Connection, order: Any) -> bool:
    """False: it has ended already (one that came of it let it go)."""
    try:
        control.send(order)
    except (BrokenPipeError, OSError):
        return False
    finally:
        control.close()
    return True
