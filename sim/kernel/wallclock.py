"""A gateway's own clocks, as its components see them: a wall clock that may be stepped, both may run fast or
slow.

Belongs here: what a gateway believes the time is. Never: simulated time itself. Nothing of a run's timeline
depends on it but what the gateway does with its clock: a store's TTL, a component's own reckoning.
"""

from __future__ import annotations

from twinloop.sim.kernel.clock import S

EPOCH_NS = 1_767_225_600 * S
"""2026-01-01T00:00:00Z: what a gateway's wall clock says at t = 0"""
BOOT_HORIZON_NS = 600 * S
"""gateways boot in the ten minutes before t = 0, in which nothing is due"""
LATEST_NS = (1 << 63) - 1
"""the year 2262: no clock says more, and none says less than 1970"""
_BILLION = 1_000_000_000


class WallClock:
    """``wall`` and ``monotonic`` for an instant of the run; steps move the first only, skew both."""

    __slots__ = ("_drift_ns", "_epoch_ns", "_ppb", "_since_ns", "_step_ns")

    def __init__(self, epoch_ns: int = EPOCH_NS) -> None:
        self._epoch_ns = epoch_ns
        self._step_ns = self._drift_ns = self._ppb = self._since_ns = 0

    def step(self, shift_ns: int) -> None:
        """The wall clock jumps."""
        self._step_ns += shift_ns

    def skew(self, now_ns: int, ppb: int) -> None:
        """From now on the clocks gain ``ppb`` billionths more than before (lose when negative)."""
        self._drift_ns, self._since_ns = self._drifted(now_ns), now_ns
        self._ppb += ppb

    def _drifted(self, now_ns: int) -> int:
        return self._drift_ns + (now_ns - self._since_ns) * self._ppb // _BILLION

    @property
    def rate_ppb(self) -> int:
        """How many billionths too fast the clocks run now (negative: slow)."""
        return self._ppb

    def wall(self, now_ns: int) -> int:
        """ns since 1970, 0 to LATEST_NS."""
        believed = (
            self._epoch_ns
            + now_ns
            + self._step_ns
            + (self._drifted(now_ns) if self._ppb or self._drift_ns else 0)
        )
        return 0 if believed < 0 else LATEST_NS if believed > LATEST_NS else believed

    def monotonic(self, now_ns: int) -> int:
        """ns since power on; never steps."""
        return BOOT_HORIZON_NS + now_ns + (self._drifted(now_ns) if self._ppb or self._drift_ns else 0)
