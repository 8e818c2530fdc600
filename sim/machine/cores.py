"""A gateway's CPU: cores that serve in order of arrival. Guest code runs at the instant at which it gets one.

Belongs here: waiting and holding. Never: how long a piece of work takes (boards.py).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from twinloop.sim.kernel.clock import Environment, Event, Occurrence, Steps

WAITERS_MAX = 1 << 20
"""work that waits for a core; only a gateway in runaway comes near"""


class Cores:
    """``count`` cores, first come first served. ``busy_ns`` is the integral of cores in use."""

    __slots__ = ("alive", "busy_ns", "count", "env", "free", "longest_queue", "waiters")

    def __init__(self, env: Environment, count: int) -> None:
        self.env = env
        self.count = self.free = count
        self.waiters: deque[Callable[[], object]] = deque()
        """what starts when a core is handed over, in order of arrival"""
        self.busy_ns = 0
        self.longest_queue = 0
        self.alive = True

    def wait(self) -> Event:
        """Fires when a core is handed over; only for when ``free`` is 0."""
        signal = Event(self.env)
        self._queue(signal.fire)
        return signal

    def _queue(self, start: Callable[[], object]) -> None:
        if len(self.waiters) >= WAITERS_MAX:
            raise OverflowError(f"more than {WAITERS_MAX} pieces of work wait for a core")
        self.waiters.append(start)
        self.longest_queue = max(self.longest_queue, len(self.waiters))

    def release(self, held_ns: int) -> None:
        """Give a core back after ``held_ns``; the first waiter has it at this instant. Calls of components
        have this written out."""
        self.busy_ns += held_ns
        if self.waiters:
            self.waiters.popleft()()
        else:
            self.free += 1

    def hold(self, time_ns: int) -> Steps:
        """Take a core, hold it for ``time_ns``; returns the time spent waiting for it."""
        asked = self.env.now
        if self.free:
            self.free -= 1
        else:
            yield self.wait()
        waited = self.env.now - asked
        if time_ns:
            yield time_ns
        self.release(time_ns)
        return waited

    def work(self, time_ns: int, then: Callable[..., object], *arguments: Any) -> None:
        """Work that nobody waits for in line: hold a core for ``time_ns`` when one is free, then call
        ``then(*arguments)``."""
        work = _Work(self, time_ns, then, arguments)
        if self.free:
            self.free -= 1
            work.start()
        else:
            self._queue(work.start)

    def stop(self) -> None:
        """The gateway has died: nobody gets a core any more, work under way comes to nothing."""
        self.alive = False
        self.waiters.clear()

    def anew(self) -> Cores:
        """As many for the gateway's next life, which nobody holds."""
        return Cores(self.env, self.count)


class _Work(Occurrence):
    """Work under way; it is its own end on the timeline."""

    __slots__ = ("_arguments", "_cores", "_then", "_time_ns")

    def __init__(
        self, cores: Cores, time_ns: int, then: Callable[..., object], arguments: tuple[Any, ...]
    ) -> None:
        self._cores, self._time_ns, self._then, self._arguments = cores, time_ns, then, arguments

    def start(self) -> None:
        env = self._cores.env
        env.expect(env.now + self._time_ns, self)

    def happen(self) -> None:
        cores = self._cores
        if cores.alive:
            cores.release(self._time_ns)
            self._then(*self._arguments)
