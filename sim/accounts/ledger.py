"""The ledger: every sample that was due is open, or has ended in exactly one state with one cause.

Belongs here: rows, end states, conservation. Never: time spent (latency.py) or why something happened.
A source's plan opens rows; pipelines and uplinks only close them. A row is one (device, k) with its points as
bits of the device's mask; when two gateways of a pair were told of it, each has a share. due = open + ended
holds after every event (``World`` asks), and a row that ends twice, or a point that was never due, is an
InvariantError that names the sample.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from twinloop.components.native.choice import CHOICE
from twinloop.devices.model.statuses import BAD
from twinloop.sim.kernel.clock import NEVER_NS
from twinloop.sim.kernel.invariants import InvariantError


class End(StrEnum):
    """How a sample ends."""

    __hash__ = str.__hash__  # Enum's own is a Python function: several calls of it for each sample that ends

    DELIVERED = "delivered"
    """acknowledged by the cloud, first time"""
    CACHED = "cached"
    """in a store whose gateway lives at the end"""
    DROPPED = "dropped"
    EVICTED = "evicted"
    MISSED = "missed"
    """before a reading existed"""
    LOST = "lost"
    """after a reading existed"""


_DELIVERED = End.DELIVERED  # an enum's members are looked up slowly, and each sample that is well asks

CAUSES: dict[End, tuple[str, ...]] = {
    End.DELIVERED: ("",),
    End.CACHED: ("",),
    End.DROPPED: ("policy", "transform"),
    End.EVICTED: ("capacity", "ttl"),
    End.MISSED: (
        "timeout",
        "disconnected",
        "rejected",
        "malformed",
        "bad",
        "device",
        "overrun",
        "driver-fault",
        "gateway-down",
        "no-active",
        "quarantined",
        "deadline",
        "unread",
        "end-of-run",
    ),
    End.LOST: (
        "transform-error",
        "transform-fault",
        "policy-error",
        "policy-fault",
        "quarantined",
        "deadline",
        "crash",
        "no-store",
        "power-cut",
        "stranded",
        "retries",
        "unseen",
        "end-of-run",
    ),
}
"""state -> its causes, in the order in which they are reported"""


class Sample(NamedTuple):
    """The identity of a sample: device name, its k-th due instant, point name."""

    device: str
    k: int
    point: str

    def __str__(self) -> str:
        return f"{self.device} k={self.k} point {self.point}"


Marks = dict[int, int]
"""StatusCode -> the points whose reading has it; what isn't named is Good"""


class Row:
    """One (device, k) that was due, as the one gateway that may deliver it sees it.

    Masks of points: ``due``; ``open``; ``read`` (a reading exists); ``carried`` (its verdict was carried out:
    the uplink or the store has it, or the handover of a standby); ``delivered``; ``void`` (the reading that
    exists has no value: the point was missed when the driver returned it, and what travels on is no end of it
    any more).
    """

    __slots__ = (
        "carried",
        "delivered",
        "device",
        "due",
        "due_ns",
        "k",
        "marks",
        "open",
        "period_ns",
        "read",
        "void",
    )
    whole: SharedRow | None = None
    """the row of which this is a share"""

    def __init__(self, device: int, k: int, due_ns: int, mask: int, period_ns: int) -> None:
        self.device, self.k, self.due_ns, self.period_ns = device, k, due_ns, period_ns
        self.due = self.open = mask
        self.read = self.carried = self.delivered = self.void = 0
        self.marks: Marks | None = None


class SharedRow(Row):
    """One (device, k) that several gateways were told of. What each makes of it is in its share; a point is
    open until one of them has delivered it, or the last has given it up: then it ends as the best of what
    became of it (BETTER)."""

    __slots__ = ("derived", "given_up", "shares")

    def __init__(self, device: int, k: int, due_ns: int, mask: int, period_ns: int, holders: int) -> None:
        super().__init__(device, k, due_ns, mask, period_ns)
        self.shares = [Share(self) for _ in range(holders)]
        self.given_up: list[tuple[int, End, str, Share]] = []
        """(points, end, cause, whose) of shares that have ended, in order"""
        self.derived: dict[str, object] = {}
        """by name what transforms added to it: books of their own (derived.py)"""


class Share(Row):
    """A row as one of several gateways sees it: ``open`` until it has given the points up, or somebody has
    delivered them.

    ``led``: did that gateway lead when the sample was due? Then what became of it there is what became of it,
    unless another one, as a leader, took care of the points in ``cared``.
    """

    __slots__ = ("cared", "led", "whole")

    def __init__(self, whole: SharedRow) -> None:
        super().__init__(whole.device, whole.k, whole.due_ns, whole.open, whole.period_ns)
        self.whole: SharedRow = whole  # a slot where a Row has the class's None
        self.led = False
        self.cared = 0


BETTER = (End.MISSED, End.LOST, End.EVICTED, End.DROPPED, End.CACHED)
"""when several gateways gave a point up: the end further right holds, of equal ones the leader's, then the
later"""


class Sums:
    """Points that were due, are open, have ended: the loop looks at them after every event. The compiled part
    (sim/native/accounts.c) has them by the same name."""

    due: int
    open: int
    ended: int


if TYPE_CHECKING or CHOICE.engine is None:
    _Sums = Sums
else:
    _Sums = CHOICE.engine.Sums


class Ledger(_Sums):
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

    # ---- opening and closing ---------------------------------------------------------------------
    def open_row(
        self, device: int, k: int, due_ns: int, mask: int, period_ns: int = NEVER_NS, holders: int = 1
    ) -> Row:
        """A sample of every point in ``mask`` is due now, its successor ``period_ns`` later.

        With more than one of ``holders`` it is a SharedRow, of which each closes its own share.
        """
        if (device, k) in self.rows:
            raise InvariantError(f"{self.sample(device, k, mask)} was opened twice")
        row = (
            Row(device, k, due_ns, mask, period_ns)
            if holders == 1
            else SharedRow(device, k, due_ns, mask, period_ns, holders)
        )
        self.rows[device, k] = row
        count = mask.bit_count()
        self.due += count
        self.open += count
        self.due_of[device] += count
        self.last_touched = device, k, mask
        return row

    def close(self, row: Row, mask: int, end: End, cause: str = "") -> int:
        """End the points of ``mask``; returns those that really ended (of a share: another holder may still
        deliver the rest)."""
        if mask & ~row.open:
            raise InvariantError(
                f"{self.sample(row.device, row.k, mask & ~row.open)} ended a second time, as {end.value} "
                f"{cause}"
            )
        if cause not in CAUSES[end]:
            raise InvariantError(
                f"{self.sample(row.device, row.k, mask)} ended as {end.value} for unknown cause {cause!r}"
            )
        if row.whole is not None:
            return self._give_up(row, row.whole, mask, end, cause) if mask else 0
        row.open &= ~mask
        count = mask.bit_count()
        self.open -= count
        self.ended += count
        device, k = row.device, row.k
        key = device, end, cause
        self.ends[key] = self.ends.get(key, 0) + count
        how = end, cause
        self.totals[how] = self.totals.get(how, 0) + count
        if row.marks is not None:
            self._mark(row, mask, key)
        self.last_touched = device, k, mask
        if not row.open:
            self.rows.pop((device, k), None)  # of a row that has ended nothing may end once more
        if self.on_end is not None:
            self.on_end(row, mask, end, cause)
        return mask

    def _mark(self, row: Row, mask: int, key: tuple[int, End, str]) -> None:
        """The quality of what has just ended."""
        for status, points in (row.marks or {}).items():
            count = (points & mask).bit_count()
            if count:
                marked = *key, status
                self.marked[marked] = self.marked.get(marked, 0) + count

    def _give_up(self, share: Row, whole: SharedRow, mask: int, end: End, cause: str) -> int:
        """One holder gives points up; those that no other holds any more end, as the best that became of
        them."""
        assert isinstance(share, Share)
        share.open &= ~mask
        whole.given_up.append((mask, end, cause, share))
        held = 0
        for other in whole.shares:
            held |= other.open
        left = ended = mask & ~held
        led = any(other.led for other in whole.shares)
        ranked = sorted(enumerate(whole.given_up), key=lambda one: _rank(one[0], one[1], led), reverse=True)
        for _, (points, how, why, whose) in ranked:
            part = left & points
            if part:
                left &= ~part
                whole.marks = whose.marks
                self.close(whole, part, how, why)
        return ended

    def deliver(self, row: Row, mask: int) -> int:
        """The cloud has these points. Those that are open end as delivered; those it already had are
        duplicates."""
        whole = row.whole
        # of these no value has arrived, however often they come; another gateway may still have one
        mask &= ~row.void
        if whole is not None:
            for share in whole.shares:
                share.open &= ~mask
            whole.marks = row.marks
            row = whole
        again = mask & row.delivered
        if again:
            self.duplicates_of[row.device] += again.bit_count()
        fresh = mask & row.open
        row.delivered |= mask
        return self.close(row, fresh, _DELIVERED) if fresh else 0

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


def _rank(number: int, given_up: tuple[int, End, str, Share], led: bool) -> tuple[int, bool, int]:
    """By which the end of a shared row is chosen: what a standby made of it for itself comes behind
    everything, if somebody led."""
    points, end, _, share = given_up
    own = led and not share.led and not points & share.cared
    return BETTER.index(end) - (len(BETTER) if own else 0), share.led, number


def due_instants(phase_ns: int, period_ns: int, duration_ns: int) -> int:
    """The closed form: how many k have phase + k * period in [0, duration). Period over 0."""
    return 0 if phase_ns >= duration_ns else (duration_ns - phase_ns - 1) // period_ns + 1
