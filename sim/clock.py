"""Simulated time: an environment on integer nanoseconds, with timers cheaper than processes.

Belongs here: the clock and how something is put on the timeline. Never: what happens then.
Relied on privately (hence simpy 4.1): ``_queue``, ``_eid``, ``_now``, ``_active_proc`` and an event's ``_ok``, ``_value``.
At one instant events run in (priority, creation) order; trouble has priority -1 and goes first.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any, Protocol

import simpy
from simpy.events import Event

US, MS, S = 1_000, 1_000_000, 1_000_000_000
"""one microsecond, millisecond and second in nanoseconds"""
NEVER_NS = 1 << 62
"""an instant that doesn't come"""
TROUBLE, NORMAL = -1, 1
"""priorities of events at one instant; SimPy's own urgent ones (0) lie between"""


class Timer:
    """A call at an instant. ``cancel`` makes it a no-op; it stays on the timeline until due, as SimPy's events do."""

    __slots__ = ("_ok", "_value", "action", "arguments", "callbacks", "defused")

    def __init__(self, action: Callable[..., None], arguments: tuple[Any, ...]) -> None:
        self.callbacks: Any = _FIRE
        self._ok, self._value, self.defused = True, None, True
        self.action: Callable[..., None] | None = action
        self.arguments = arguments

    def cancel(self) -> None:
        """Do nothing when due."""
        self.action = None


def _fire(timer: Any) -> None:
    if timer.action is not None:
        timer.action(*timer.arguments)


_FIRE = (_fire,)


class Signal(Event):
    """An event that one process waits for and that can be answered on the spot, without a turn of the timeline."""

    def fire(self, value: Any = None) -> None:
        """Resume whoever waits, now, when no process is running; else at this instant, in turn. A second answer is ignored."""
        if self._value is not _PENDING:
            return
        callbacks = self.callbacks
        if self.env._active_proc is not None or not callbacks:
            self.succeed(value)
            return
        self._ok, self._value = True, value
        self.callbacks = None  # type: ignore[assignment]  # SimPy's mark of a processed event
        for callback in callbacks:
            callback(self)


class Occurrence(ABC):
    """Something that is itself an entry of the timeline: ``happen`` is called when it is due. May be put there again and again."""

    __slots__ = ("callbacks",)
    _ok, _value, defused = True, None, True
    callbacks: Any

    @abstractmethod
    def happen(self) -> None:
        """It is due."""


def _happen(occurrence: Any) -> None:
    occurrence.happen()


_HAPPEN = (_happen,)


class Pause:
    """A timeout that a process waits for, without SimPy's bookkeeping for values."""

    __slots__ = ("callbacks",)
    _ok, _value, defused = True, None, True

    def __init__(self) -> None:
        self.callbacks: Any = []


class Environment(simpy.Environment):
    """SimPy's environment in which ``now`` is an int of nanoseconds."""

    _now: int

    def __init__(self, initial_time: int = 0) -> None:
        super().__init__(initial_time)
        self.stopped = False
        """set from a signal handler: the loop ends between two events"""

    def call_at(self, at_ns: int, action: Callable[..., None], *arguments: Any, priority: int = NORMAL) -> Timer:
        """Call ``action(*arguments)`` at ``at_ns`` (not in the past)."""
        timer = Timer(action, arguments)
        heappush(self._queue, (at_ns, priority, next(self._eid), timer))  # type: ignore[misc]  # a duck type of Event
        return timer

    def call_in(self, delay_ns: int, action: Callable[..., None], *arguments: Any) -> Timer:
        """Call ``action(*arguments)`` after ``delay_ns`` (0 or more)."""
        timer = Timer(action, arguments)
        heappush(self._queue, (self._now + delay_ns, NORMAL, next(self._eid), timer))  # type: ignore[misc]
        return timer

    def expect(self, at_ns: int, occurrence: Occurrence) -> None:
        """Let it happen at ``at_ns`` (not in the past); it must not be on the timeline already."""
        occurrence.callbacks = _HAPPEN
        heappush(self._queue, (at_ns, NORMAL, next(self._eid), occurrence))  # type: ignore[misc]  # a duck type of Event

    def pause(self, delay_ns: int) -> Any:
        """What a process yields to wait ``delay_ns`` (0 or more)."""
        pause = Pause()
        heappush(self._queue, (self._now + delay_ns, NORMAL, next(self._eid), pause))  # type: ignore[misc]
        return pause

    def run_to(self, until_ns: int, ledger: Balance, limit: int) -> int:
        """Run events due at or before ``until_ns``, at most ``limit``; returns how many. ``step`` of SimPy, written out.

        After every event the ledger must balance, else ``require_balance`` is asked to raise.
        """
        queue, events = self._queue, 0
        while queue and queue[0][0] <= until_ns and events < limit and not self.stopped:
            self._now, _, _, event = heappop(queue)  # type: ignore[assignment]  # SimPy allows floats, nothing here makes one
            callbacks, event.callbacks = event.callbacks, None  # type: ignore[assignment]
            for callback in callbacks:
                callback(event)
            events += 1
            if not event._ok and not event.defused:
                raise event._value  # an exception of ours that no process caught
            if ledger.due != ledger.open + ledger.ended:
                ledger.require_balance()
        return events


class Balance(Protocol):
    """What the loop asks of a ledger."""

    due: int
    open: int
    ended: int

    def require_balance(self) -> None:
        """Raise when the three don't add up."""
        ...


_PENDING: Any = simpy.events.PENDING
