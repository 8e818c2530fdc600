"""What a signal does to a command that runs worlds: the world stops between two events, and what is known is
told.

Belongs here: the handler. Never: what a command does when it was asked to end.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from twinloop.sim.world import World


_heard = [0]


def heard() -> int:
    """How many signals have come to this process's commands by now."""
    return _heard[0]


class Interrupts:
    """What a signal does to a command that runs worlds, one scenario after the other; ``asked`` is whether
    one came."""

    def __init__(self) -> None:
        self.asked, self._loading = False, True
        self._worlds: list[World] = []

    def load(self) -> None:
        """Until a world has started there is nothing to save: a signal is a KeyboardInterrupt, one that has
        come before, too."""
        self._loading, self._worlds = True, []
        if self.asked:
            self._loading = False
            raise KeyboardInterrupt

    def started(self, world: World) -> None:
        """From now on a signal sets a flag, and the world stops between two events."""
        self._worlds.append(world)
        self._loading = False

    def over(self) -> None:
        """What has come of it is told: the first signal breaks off no report or file, the second does."""
        self._loading, self._worlds = False, []

    def heard(self, number: int, frame: Any) -> None:
        """The handler."""
        _heard[0] += 1
        if self._loading or (self.asked and not self._worlds):
            self._loading, self.asked = False, True
            raise KeyboardInterrupt
        self.asked = True
        for world in self._worlds:
            world.stop()


@contextmanager
def interruptible() -> Iterator[Interrupts]:
    """SIGINT, SIGTERM and SIGHUP are heard. Set explicitly: a shell's background job ignores SIGINT."""
    interrupts = Interrupts()
    before = {
        number: signal.signal(number, interrupts.heard)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    }
    try:
        yield interrupts
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
