"""Rows of the ledger: one (device, k) that was due with its points, how each of them may end, and the opening
and closing that keeps due = open + ended.

Belongs here: end states and their causes, rows, shares of a pair, what happens when points end. Never: what a
whole run adds up to (ledger.py), time spent (latency.py).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from twinloop.components.native.choice import CHOICE
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


class Rows:
    """Rows of a ledger, and the sums at which the loop looks after every event. The compiled part has plain
    rows (sim/native/accounts.c: Sums), by the same names."""

    due: int
    """points that were due; open; have ended"""
    open: int
    ended: int
    rows: dict[tuple[int, int], Row]
    """those of which something is open"""
    ends: dict[tuple[int, End, str], int]
    totals: dict[tuple[End, str], int]
    """the sums of ``ends`` over all devices: whoever looks at a running plant asks for them again and
    again"""
    due_of: list[int]
    """points that were due, by device"""
    marked: dict[tuple[int, End, str, int], int]
    """(device, end, cause, StatusCode) -> those of ``ends`` whose reading wasn't Good"""
    duplicates_of: Counter[int]
    """device -> points that a gateway got a second time"""
    last_touched: tuple[int, int, int] | None
    on_end: Callable[[Row, int, End, str], None] | None

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

    def sample(self, device: int, k: int, mask: int) -> Sample:
        """The first sample of a mask, by name."""
        raise NotImplementedError


def _rank(number: int, given_up: tuple[int, End, str, Share], led: bool) -> tuple[int, bool, int]:
    """By which the end of a shared row is chosen: what a standby made of it for itself comes behind
    everything, if somebody led."""
    points, end, _, share = given_up
    own = led and not share.led and not points & share.cared
    return BETTER.index(end) - (len(BETTER) if own else 0), share.led, number


if TYPE_CHECKING or CHOICE.engine is None:
    BookedRows = Rows
else:

    class BookedRows(CHOICE.engine.Sums, Rows):
        """Plain rows of the compiled part, and what is rare."""

    CHOICE.engine.bind_ledger(Row, Rows.open_row, Rows.close, Rows.deliver, _DELIVERED, "")
