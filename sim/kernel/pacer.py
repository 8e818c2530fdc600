"""The wall's clock: how far a run may go by now, and how late what happens is.

Belongs here: the only clock of the wall in sim/. Never: what happens, which is the same at any pace. Every
target is computed from one origin, so that neither a long sleep nor a rounded one adds up.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from fractions import Fraction

from twinloop.sim.kernel.histogram import Histogram

SLICE_NS = 50_000_000
"""the longest sleep in one piece: whoever stops the run is heard within that, and progress is told"""
SPEED_MAX = 1_000_000
_S = 1_000_000_000


def _sleep(delay_ns: int) -> None:
    time.sleep(delay_ns / _S)


class Pacer:
    """Simulated time at ``speed`` times the wall's (above 0, at most SPEED_MAX), from the first target on.

    ``now_ns`` and ``sleep``: a monotonic clock of the wall in ns, and how to wait for some ns of it.
    ``wire``: the real world takes part, and ``sleep`` is when it comes in: then it is called even when there
    is no time to wait (with 0), and may end early.
    """

    def __init__(
        self,
        speed: Fraction = Fraction(1),
        now_ns: Callable[[], int] = time.monotonic_ns,
        sleep: Callable[[int], None] = _sleep,
        wire: bool = False,
    ) -> None:
        if not 0 < speed <= SPEED_MAX:
            raise ValueError(f"speed {speed}: expected more than 0, at most {SPEED_MAX}")
        self.speed, self.wire = speed, wire
        self._now_ns, self._sleep = now_ns, sleep
        self._origin_ns: int | None = None
        self.lag = Histogram()
        """ns of the wall by which a thing happened later than it should have; one count each time that the
        run went on"""

    def begin(self, at_ns: int = 0) -> None:
        """It is ``at_ns`` now."""
        self._origin_ns = self._now_ns() - self.wall_ns(at_ns)

    def begin_at(self, origin_ns: int) -> None:
        """It is 0 when the wall's clock says that, which may lie ahead."""
        self._origin_ns = origin_ns

    def wall_at(self, at_ns: int) -> tuple[int, int]:
        """When it is ``at_ns``: (in how many ns of the wall, what its clock says then)."""
        assert self._origin_ns is not None, "nothing has begun"
        at = self._origin_ns + self.wall_ns(at_ns)
        return at - self._now_ns(), at

    @property
    def begun(self) -> bool:
        """Is it known when it is 0?"""
        return self._origin_ns is not None

    def kept(self, tolerance_ns: int) -> bool:
        """Was the 99th percentile of lateness within that? Else it was this machine that was measured."""
        return (self.lag.percentile(990) or 0) <= tolerance_ns

    def late(self, at_ns: int) -> None:
        """What was due at ``at_ns`` happens now."""
        self.lag.add(max(0, -self.wall_at(at_ns)[0]))

    def position_ns(self) -> int:
        """The simulated instant that it is now by the wall; 0 before anything was waited for."""
        if self._origin_ns is None:
            return 0
        return (self._now_ns() - self._origin_ns) * self.speed.numerator // self.speed.denominator

    def wall_ns(self, at_ns: int) -> int:
        """ns of the wall from the origin until it is ``at_ns``; rounded up, so that it is not before."""
        return -(-at_ns * self.speed.denominator // self.speed.numerator)

    def reach(self, at_ns: int) -> int:
        """Wait for ``at_ns`` (0 or more), a slice at most; returns how far the run may go now, which is less
        when it isn't time yet."""
        if self._origin_ns is None:
            self.begin()
        left_ns, _ = self.wall_at(at_ns)
        if left_ns > 0 or self.wire:
            self._sleep(max(0, min(left_ns, SLICE_NS)))
            left_ns, _ = self.wall_at(at_ns)
        if left_ns <= 0:
            self.lag.add(-left_ns)
        return self.position_ns()
