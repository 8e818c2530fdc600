"""A gateway's CPU: cores that serve in order of arrival. Guest code runs at the instant at which it gets one.

Belongs here: waiting and holding. Never: how long a piece of work takes (boards.py).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from sim.clock import Environment, Signal, Steps

WAITERS_MAX = 1 << 20
"""work that waits for a core; only a gateway in runaway comes near"""


class Cores:
    """``count`` cores, first come first served. ``busy_ns`` is the integral of cores in use."""

    __slots__ = ("_alive", "_env", "_waiters", "busy_ns", "count", "free", "longest_queue")

    def __init__(self, env: Environment, count: int) -> None:
        self._env = env
        self.count = self.free = count
        self._waiters: deque[Callable[[], object]] = deque()
        self.busy_ns = 0
        self.longest_queue = 0
        self._alive = True

    def wait(self) -> Signal:
        """Fires when a core is handed over; only for when ``free`` is 0."""
        signal = Signal(self._env)
        self._queue(signal.fire)
        return signal

    def _queue(self, start: Callable[[], object]) -> None:
        if len(self._waiters) >= WAITERS_MAX:
            raise OverflowError(f"more than {WAITERS_MAX} pieces of work wait for a core")
        self._waiters.append(start)
        self.longest_queue = max(self.longest_queue, len(self._waiters))

    def release(self, held_ns: int) -> None:
        """Give a core back after ``held_ns``; the first waiter has it at this instant."""
        self.busy_ns += held_ns
        if self._waiters:
            self._waiters.popleft()()
        else:
            self.free += 1

    def hold(self, time_ns: int) -> Steps:
        """Take a core, hold it for ``time_ns``; returns the time spent waiting for it."""
        asked = self._env._now
        if self.free:
            self.free -= 1
        else:
            yield self.wait()
        waited = self._env._now - asked
        if time_ns:
            yield time_ns
        self.release(time_ns)
        return waited

    def work(self, time_ns: int, then: Callable[..., object], *arguments: Any) -> None:
        """Work that nobody waits for in line: hold a core for ``time_ns`` when one is free, then call ``then(*arguments)``."""
        if self.free:
            self.free -= 1
            self._env.call_in(time_ns, self._done, time_ns, then, arguments)
        else:
            self._queue(lambda: self._env.call_in(time_ns, self._done, time_ns, then, arguments))

    def _done(self, time_ns: int, then: Callable[..., object], arguments: tuple[Any, ...]) -> None:
        if self._alive:
            self.release(time_ns)
            then(*arguments)

    def stop(self) -> None:
        """The gateway has died: nobody gets a core any more, work under way comes to nothing."""
        self._alive = False
        self._waiters.clear()
