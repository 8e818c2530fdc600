"""Simulated time in Python: SimPy's environment on integer nanoseconds, with timers and tasks cheaper than
its events and processes.

Belongs here: the clock and how something is put on the timeline. Never: what happens then; which timeline a
process has (clock.py: others import from there). The compiled part (sim/native/timeline.c) has Timer, Event,
Task and what Environment does by the same names.
Whatever is due lies in SimPy's own queue as (ns, priority, number, occurrence) and is told ``happen``.
SimPy's events and processes may be used beside ours: ``schedule`` wraps them. Relied on privately (hence
simpy 4.1): ``_queue``, ``_eid``, ``_now``, ``_active_proc``. At one instant things happen in (priority,
creation) order; trouble has -1 and goes first.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator
from heapq import heapify, heappop, heappush
from typing import Any, Protocol

import simpy
from simpy.core import EmptySchedule
from simpy.events import Event as SimpyEvent

US, MS, S = 1_000, 1_000_000, 1_000_000_000
"""one microsecond, millisecond and second in nanoseconds"""
NEVER_NS = 1 << 62
"""an instant that doesn't come"""
TROUBLE, START, NORMAL, LATE = -1, 0, 1, 2
"""priorities at one instant; samples that are due, new tasks and SimPy's own urgent events share START; what
comes at the very instant of a timeout has come in time: timeouts are LATE"""


class Occurrence(ABC):
    """Something that can lie on the timeline: ``happen`` is called when it is due. May be put there again and
    again."""

    __slots__ = ()

    @abstractmethod
    def happen(self) -> None:
        """It is due."""


class Timer(Occurrence):
    """A call at an instant. ``cancel`` makes it a no-op; it stays on the timeline until due."""

    __slots__ = ("action", "arguments")

    def __init__(self, action: Callable[..., None], arguments: tuple[Any, ...]) -> None:
        self.action: Callable[..., None] | None = action
        self.arguments = arguments

    def happen(self) -> None:
        """Call, unless cancelled."""
        if self.action is not None:
            self.action(*self.arguments)

    def cancel(self) -> None:
        """Do nothing when due."""
        self.action = None


class Turn(Occurrence):
    """The turn of a SimPy event."""

    __slots__ = ("_event",)

    def __init__(self, event: SimpyEvent) -> None:
        self._event = event

    def happen(self) -> None:
        """What SimPy's ``step`` does with an event."""
        event = self._event
        callbacks, event.callbacks = event.callbacks, None  # type: ignore[assignment]  # SimPy's mark of a processed event
        for callback in callbacks:
            callback(event)
        if not event._ok and not event.defused:
            raise event._value


class Event:
    """What one task waits for, and what may be answered on the spot, without a turn of the timeline. Answered
    once."""

    __slots__ = ("_env", "fired", "task", "value")

    def __init__(self, env: Environment) -> None:
        self._env = env
        self.fired = False
        self.task: Task | None = None
        self.value: Any = None

    def fire(self, value: Any = None) -> None:
        """Resume whoever waits, now, when no task is running; else at this instant, in turn. A second answer
        is ignored."""
        if self.fired:
            return
        self.fired, self.value = True, value
        task, env = self.task, self._env
        if task is None:
            return
        if env._active_proc is None:
            task.happen(value)
        else:
            env.call_in(0, task.happen, value)


Steps = Generator[Any, Any, Any]
"""what a task runs: yields an int (wait that many ns) or a Signal (wait for its value)"""


class Task(Occurrence):
    """A process over a generator of ``Steps``; on the timeline it is the end of its own pause."""

    __slots__ = ("_env", "_send", "_steps", "done", "value")

    def __init__(self, env: Environment, steps: Steps) -> None:
        self._env, self._steps, self._send = env, steps, steps.send
        self.done = False
        self.value: Any = None
        """what the generator returned"""
        heappush(env._queue, (env.now, START, next(env._eid), self))  # type: ignore[misc]  # ours, not one of simpy's

    def happen(self, value: Any = None) -> None:
        """Its pause is over, or its signal has fired with ``value``: run to the next wait."""
        if self.done:
            return
        env, send = self._env, self._send  # by a name of its own, which Python calls faster than an attribute
        env._active_proc = self  # type: ignore[assignment]  # SimPy expects one of its own
        try:
            wanted = send(value)
            while type(wanted) is not int and not self.done:
                if not wanted.fired:
                    wanted.task = self
                    return
                wanted = send(wanted.value)
        except StopIteration as ended:
            self.done, self.value = True, ended.value
            return
        finally:
            env._active_proc = None
        if self.done:
            self._steps.close()  # it was stopped from within
        else:
            heappush(env._queue, (env.now + wanted, NORMAL, next(env._eid), self))  # type: ignore[misc]

    def stop(self) -> None:
        """It runs no further: what it waits for comes to nobody."""
        self.done = True
        if self._env._active_proc is not self:  # type: ignore[comparison-overlap]
            self._steps.close()


class Environment(simpy.Environment):
    """SimPy's environment in which ``now`` is an int of nanoseconds, and a plain attribute: it is read some
    hundred times for each sample. SimPy's own code finds it under its own name."""

    now: int = 0

    def __init__(self, initial_time: int = 0) -> None:
        super().__init__(initial_time)
        self.stopped = False
        """set from a signal handler: the loop ends between two events"""

    @property
    def _now(self) -> int:  # SimPy has a property over an attribute, we the reverse
        return self.now

    @_now.setter
    def _now(self, now_ns: int) -> None:
        self.now = now_ns

    @property
    def next_ns(self) -> int | None:
        """When the next thing is due; None: nothing is."""
        return self._queue[0][0] if self._queue else None  # type: ignore[return-value]  # SimPy says float

    def schedule(self, event: SimpyEvent, priority: Any = NORMAL, delay: Any = 0) -> None:
        """Put one of SimPy's own events on the timeline."""
        heappush(self._queue, (self.now + delay, priority, next(self._eid), Turn(event)))  # type: ignore[misc]

    def call_at(
        self, at_ns: int, action: Callable[..., None], *arguments: Any, priority: int = NORMAL
    ) -> Timer:
        """Call ``action(*arguments)`` at ``at_ns`` (not in the past)."""
        timer = Timer(action, arguments)
        heappush(self._queue, (at_ns, priority, next(self._eid), timer))  # type: ignore[misc]
        return timer

    def trouble_at(self, at_ns: int) -> bool:
        """Is there trouble on the timeline at that instant (a cancelled timer counts)? Looks at everything
        that is due: not for the hot path."""
        return any(entry[0] == at_ns and entry[1] == TROUBLE for entry in self._queue)

    def call_in(self, delay_ns: int, action: Callable[..., None], *arguments: Any) -> Timer:
        """Call ``action(*arguments)`` after ``delay_ns`` (0 or more)."""
        timer = Timer(action, arguments)
        heappush(self._queue, (self.now + delay_ns, NORMAL, next(self._eid), timer))  # type: ignore[misc]
        return timer

    def expect(self, at_ns: int, occurrence: Occurrence, priority: int = NORMAL) -> None:
        """Let it happen at ``at_ns`` (not in the past); it must not be on the timeline already. Segments and
        schedules, of which a poll has most, have this written out: a call costs a thousandth of a poll."""
        heappush(self._queue, (at_ns, priority, next(self._eid), occurrence))  # type: ignore[misc]

    def drop(self, kept: Callable[[Any], bool]) -> None:
        """Nothing of the timeline will happen, but for the occurrences of which ``kept`` says so."""
        self._queue[:] = [entry for entry in self._queue if kept(entry[3])]
        heapify(self._queue)

    def step(self) -> None:
        """The next thing that is due."""
        if not self._queue:
            raise EmptySchedule
        self.now, _, _, occurrence = heappop(self._queue)  # type: ignore[assignment]
        occurrence.happen()  # type: ignore[attr-defined]

    def run_to(self, until_ns: int, ledger: Balance, limit: int) -> int:
        """Let everything due at or before ``until_ns`` happen, at most ``limit`` times; returns how often.
        ``step``, written out.

        After every event the ledger must balance, else ``require_balance`` is asked to raise.
        """
        queue: Any = self._queue
        for events in range(limit):
            if self.stopped or not queue or queue[0][0] > until_ns:
                return events
            self.now, _, _, occurrence = heappop(queue)
            occurrence.happen()
            if ledger.due != ledger.open + ledger.ended:
                ledger.require_balance()
        return limit


class Balance(Protocol):
    """What the loop asks of a ledger."""

    due: int
    open: int
    ended: int

    def require_balance(self) -> None:
        """Raise when the three don't add up."""
        ...
