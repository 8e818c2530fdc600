"""Simulated time: an environment on integer nanoseconds, with timers cheaper than processes.

Belongs here: the clock and how something is put on the timeline. Never: what happens then.
At one instant events run in (priority, creation) order; trouble has priority -1 and goes first.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import simpy
from simpy.events import Event

US, MS, S = 1_000, 1_000_000, 1_000_000_000
"""one microsecond, millisecond and second in nanoseconds"""
TROUBLE, URGENT, NORMAL = -1, 0, 1
"""priorities of events at one instant"""


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


class Environment(simpy.Environment):
    """SimPy's environment in which ``now`` is an int of nanoseconds."""

    def __init__(self, initial_time: int = 0) -> None:
        super().__init__(initial_time)

    def call_at(self, at_ns: int, action: Callable[..., None], *arguments: Any, priority: int = NORMAL) -> Timer:
        """Call ``action(*arguments)`` at ``at_ns`` (not in the past)."""
        timer = Timer(action, arguments)
        self.schedule(timer, priority, at_ns - self._now)  # type: ignore[arg-type]  # SimPy takes anything with callbacks and _ok
        return timer

    def call_in(self, delay_ns: int, action: Callable[..., None], *arguments: Any) -> Timer:
        """Call ``action(*arguments)`` after ``delay_ns`` (0 or more)."""
        timer = Timer(action, arguments)
        self.schedule(timer, NORMAL, delay_ns)  # type: ignore[arg-type]
        return timer

    def answer(self, event: Event, value: Any) -> None:
        """Succeed an event that nobody may have answered yet; a second answer is ignored."""
        if event._value is _PENDING:
            event.succeed(value)


_PENDING: Any = simpy.events.PENDING
