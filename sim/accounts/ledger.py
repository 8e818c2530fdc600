"""The ledger: every sample that was due is open, or has ended in exactly one state with one cause.

Belongs here: counters over all rows, questions to them, the audit. Never: a row by itself and how its points
end (rows.py), time spent (latency.py) or why something happened.
A source's plan opens rows; pipelines and uplinks only close them. A row is one (device, k) with its points as
bits of the device's mask; when two gateways of a pair were told of it, each has a share. due = open + ended
holds after every event (``World`` asks), and a row that ends twice, or a point that was never due, is an
InvariantError that names the sample.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

from twinloop.devices.model.statuses import BAD
from twinloop.sim.accounts.rows import CAUSES, BookedRows, End, Row, Sample
from twinloop.sim.kernel.invariants import InvariantError


class Ledger(BookedRows):
    """All rows of a run, folded into counters as they end. ``names`` are devices, ``points[d]`` device d's
    points."""

    tells_quality = True
    """are statuses of readings known?"""

    def __init__(self, names: list[str], points: list[tuple[str, ...]]) -> None:
        self.names, self.points = names, points
        self.due = self.open = self.ended = 0
        self.due_of = [0] * len(names)
        self.rows: dict[tuple[int, int], Row] = {}
        self.ends: dict[tuple[int, End, str], int] = {}
        self.totals: dict[tuple[End, str], int] = {}
        """the sums of ``ends`` over all devices: whoever looks at a running plant asks for them again and
        again"""
        self.marked: dict[tuple[int, End, str, int], int] = {}
        """(device, end, cause, StatusCode) -> those of ``ends`` whose reading wasn't Good"""
        self.good_of = [0] * len(names)
        """Good readings that drivers returned, by device"""
        self.status_of: dict[tuple[int, int], int] = {}
        """(device, StatusCode) -> the others"""
        self.valued = [0] * len(names)
        """of each device the points of which at least one reading had a value"""
        self.asked = [(1 << len(mine)) - 1 for mine in points]
        """of each device the points that are due, of one whose news alone is due those that were"""
        self.duplicates_of: Counter[int] = Counter()
        """device -> points that a gateway got a second time"""
        self.misordered_of: Counter[int] = Counter()
        """device -> points that the cloud got after younger ones of the same device"""
        self.late_of: Counter[int] = Counter()
        """device -> points whose verdict came after their successor was due (of subscribed ones: a publishing
        interval after that)"""
        self.last_touched: tuple[int, int, int] | None = None
        self.on_end: Callable[[Row, int, End, str], None] | None = None

    def returned(self, row: Row, good: int) -> None:
        """A driver has returned the readings of a sample: those of ``good`` are Good, ``row.marks`` names the
        others."""
        device = row.device
        self.good_of[device] += good.bit_count()
        self.valued[device] |= good
        for status, points in (row.marks or {}).items():
            key = device, status
            self.status_of[key] = self.status_of.get(key, 0) + points.bit_count()
            if status < BAD:
                self.valued[device] |= points

    @property
    def readings(self) -> int:
        """Readings that drivers have returned with samples."""
        return sum(self.good_of) + sum(self.status_of.values())

    def valueless(self) -> dict[int, int]:
        """device -> the points that were due and never had a value, of devices of which something was
        read."""
        read = {device for device, _ in self.status_of}
        some = [device for device in range(len(self.names)) if device in read or self.good_of[device]]
        never = {device: self.asked[device] & ~self.valued[device] for device in some}
        return {device: points for device, points in never.items() if points}

    @property
    def duplicates(self) -> int:
        """Points that were got a second time."""
        return self.duplicates_of.total()

    @property
    def misordered(self) -> int:
        """Points that the cloud got after younger ones."""
        return self.misordered_of.total()

    @property
    def late(self) -> int:
        """Points whose verdict came late."""
        return self.late_of.total()

    # ---- asking ----------------------------------------------------------------------------------
    def balanced(self) -> bool:
        """due = open + ended, in counters that are kept apart."""
        return self.due == self.open + self.ended

    def count(
        self, end: End | None = None, cause: str | None = None, devices: Iterable[int] | None = None
    ) -> int:
        """Ended points, of one state, one cause, some devices; None means all."""
        if devices is None:
            return sum(
                count
                for (state, why), count in self.totals.items()
                if (end is None or state is end) and (cause is None or why == cause)
            )
        wanted = dict.fromkeys(devices)
        return sum(
            count
            for (device, state, why), count in self.ends.items()
            if (end is None or state is end) and (cause is None or why == cause) and device in wanted
        )

    def by_cause(self, end: End) -> dict[str, int]:
        """cause -> points, in the order of CAUSES, only causes that occurred."""
        found = {cause: self.count(end, cause) for cause in CAUSES[end]}
        return {cause: count for cause, count in found.items() if count}

    def sample(self, device: int, k: int, mask: int) -> Sample:
        """The first sample of a mask, by name."""
        bit = (mask & -mask).bit_length() - 1
        points = self.points[device]
        return Sample(self.names[device], k, points[bit] if 0 <= bit < len(points) else f"#{bit}")

    # ---- auditing --------------------------------------------------------------------------------
    def require_balance(self) -> None:
        """Raise InvariantError with the sample that was touched last when the counters don't add up."""
        if not self.balanced():
            where = self.sample(*self.last_touched) if self.last_touched else "no sample"
            raise InvariantError(
                f"due {self.due} != open {self.open} + ended {self.ended}; last touched: {where}"
            )

    def audit(self, expected_due: Callable[[int], int]) -> None:
        """At the end: nothing open, rows and counters agree, and each device was due as often as the closed
        form says."""
        self.require_balance()
        if self.rows:
            device, k = next(iter(self.rows))
            raise InvariantError(
                f"{self.sample(device, k, self.rows[device, k].open)} is still open at the end "
                f"({self.open} points are)"
            )
        if self.open:
            raise InvariantError(f"{self.open} points are counted as open, but no row is")
        total = sum(self.ends.values())
        if total != self.ended or sum(self.totals.values()) != total:
            raise InvariantError(f"{self.ended} points ended, the table of ends has {total}")
        for device, name in enumerate(self.names):
            if self.due_of[device] != expected_due(device):
                raise InvariantError(
                    f"{name}: {self.due_of[device]} points were due, the closed form says "
                    f"{expected_due(device)}"
                )


def due_instants(phase_ns: int, period_ns: int, duration_ns: int) -> int:
    """The closed form: how many k have phase + k * period in [0, duration). Period over 0."""
    return 0 if phase_ns >= duration_ns else (duration_ns - phase_ns - 1) // period_ns + 1
