"""How points ended, beside the ledger's sums: in which phase, with which quality, and who wants to know of
each.

Belongs here: books that a judge reads after a run. Never: the ledger itself, or a bound (scenarios/).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from twinloop.sim.accounts.latency import Latencies
from twinloop.sim.accounts.rows import End, Row
from twinloop.sim.kernel.clock import Environment
from twinloop.sim.kernel.trace import Trace
from twinloop.sim.model.spec import PhaseSpec

_LOST_OR_MISSED = (End.MISSED, End.LOST)
_WELL = (End.DELIVERED, End.DROPPED)


class Ends:
    """Of one run. ``sees_gateways``: it is known whether a sample that was lost had got its verdict."""

    def __init__(
        self,
        env: Environment,
        trace: Trace,
        latencies: Latencies,
        phases: Sequence[PhaseSpec],
        sees_gateways: bool = True,
    ) -> None:
        self._env = env
        self._trace = trace
        self._latencies = latencies
        self._phases = phases
        self._sees_gateways = sees_gateways
        self.in_phase: dict[tuple[str, int, End, str], int] = {}
        """(phase, device, end, cause) -> points, of samples that were due in a phase"""
        self.marked_in_phase: dict[tuple[str, int, End, str, int], int] = {}
        """the same by StatusCode, of readings that weren't Good"""
        self.never_carried: dict[tuple[int, End, str], int] = {}
        """(device, end, cause) -> points that never got a verdict"""
        self.never_accepted: dict[tuple[int, End, str], int] = {}
        """the same of points that never reached the cloud"""
        self.on_end: list[Callable[[Row, int, End, str], None]] = []
        """told of each that was neither delivered nor dropped: its row, the mask of points, end, cause"""

    def ended(self, row: Row, mask: int, end: End, cause: str) -> None:
        """Points of a sample have their end."""
        add = self._trace.add
        add((self._env.now, "end", row.device, row.k, mask, end._value_, cause))  # ``value``, straight
        if self._phases:
            self._book_phase(row, mask, end, cause)
        if end in _WELL:
            return
        for told in self.on_end:
            told(row, mask, end, cause)
        device, key = row.device, (row.device, end, cause)
        if self._sees_gateways and end in _LOST_OR_MISSED:
            never = (mask & ~row.carried).bit_count()
            if never:
                self._latencies.never_carried(device, never, row.due_ns)
                self.never_carried[key] = self.never_carried.get(key, 0) + never
        self.never_accepted[key] = self.never_accepted.get(key, 0) + mask.bit_count()
        self._latencies.never_accepted(device, mask.bit_count(), row.due_ns)

    def phase_of(self, due_ns: int) -> str:
        """The phase to which a sample belongs; empty for none."""
        for phase in self._phases:
            if phase.start_ns <= due_ns < phase.end_ns:
                return phase.name
        return ""

    def _book_phase(self, row: Row, mask: int, end: End, cause: str) -> None:
        """It is booked in the phase in which it was due, with its quality."""
        key = self.phase_of(row.due_ns), row.device, end, cause
        self.in_phase[key] = self.in_phase.get(key, 0) + mask.bit_count()
        for status, points in (row.marks or {}).items():
            marked = *key, status
            self.marked_in_phase[marked] = self.marked_in_phase.get(marked, 0) + (points & mask).bit_count()
