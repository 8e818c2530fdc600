"""Pollables: what a guest waits for, and how it waits for several at once.

Belongs here: io/poll, and clocks' timers. Never: what makes a socket ready (sockets.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twinloop.components.contract.errors import GuestEnded
from twinloop.components.wasi.interfaces import resource_number
from twinloop.sim.kernel.clock import Event, S, Steps
from twinloop.sim.wasi.guest import Guest, Handler

_BILLION = 1_000_000_000


class Pollable:
    """Ready from the beginning: an output that is kept, an input that is at its end."""

    resource = resource_number("pollable")
    outside = False
    """is it about what happens outside the gateway? Such waiting is time of the bus"""

    def ready(self, instant_ns: int) -> bool:
        """At that instant of simulated time?"""
        return True

    def due_ns(self, instant_ns: int) -> int | None:
        """When it will be ready, if that is known."""
        return instant_ns

    def on_change(self, told: Callable[[], None]) -> Callable[[], None]:
        """Call ``told`` when ``ready`` may have changed by what happens outside; returns what ends that."""
        return lambda: None

    def dropped(self) -> None:
        """Nothing waits for it any more."""


def waits_outside(arguments: Sequence[Any]) -> bool:
    """Is one of what a function that parks was called with about what happens outside?"""
    things = [thing for one in arguments for thing in (one if type(one) is list else [one])]
    return any(getattr(thing, "outside", False) for thing in things)


class Timer(Pollable):
    """Ready when the gateway's monotonic clock shows ``at_ns``."""

    def __init__(self, guest: Guest, at_ns: int) -> None:
        self._clock, self._at_ns = guest.machine.clock, at_ns

    def ready(self, instant_ns: int) -> bool:
        """Does the clock show it?"""
        return self._clock.monotonic(instant_ns) >= self._at_ns

    def due_ns(self, instant_ns: int) -> int:
        """By the clock's rate of today: who waits asks again then."""
        left_ns = self._at_ns - self._clock.monotonic(instant_ns)
        rate = _BILLION + self._clock.rate_ppb
        if rate <= 0:  # troubles have added up: it stands
            return instant_ns + S
        return instant_ns + max(1, -(-left_ns * _BILLION // rate))


class Waiting:
    """io/poll of one guest."""

    def __init__(self, guest: Guest) -> None:
        self._guest = guest
        self.now: dict[str, Handler] = {"io/poll#[method]pollable.ready": self._ready}
        self.later: dict[str, Callable[..., Any]] = {
            "io/poll#[method]pollable.block": self._block,
            "io/poll#poll": self._poll,
        }

    def _ready(self, pollable: Pollable) -> bool:
        return pollable.ready(self._guest.instant_ns())

    def _block(self, pollable: Pollable, until_ns: int) -> Steps:
        yield from self.wait([pollable], until_ns)

    def _poll(self, pollables: list[Pollable], until_ns: int) -> Steps:
        if not pollables:  # WASI: "traps if the list is empty"
            raise GuestEnded("contract", "wasi:io/poll#poll was called with an empty list, which traps")
        yield from self.wait(pollables, until_ns)
        now_ns = self._guest.machine.env.now
        return [index for index, pollable in enumerate(pollables) if pollable.ready(now_ns)]

    def wait(self, pollables: Sequence[Pollable], until_ns: int) -> Steps:
        """Until one is ready, or it is ``until_ns``."""
        env = self._guest.machine.env
        while env.now < until_ns and not any(pollable.ready(env.now) for pollable in pollables):
            known = [due for pollable in pollables if (due := pollable.due_ns(env.now)) is not None]
            event = Event(env)
            ends = [pollable.on_change(event.fire) for pollable in pollables]
            timer = env.call_in(min([*known, until_ns]) - env.now, event.fire)
            try:
                yield event
            finally:
                timer.cancel()
                for end in ends:
                    end()
