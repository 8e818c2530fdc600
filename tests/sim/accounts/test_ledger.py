"""The ledger by itself: what each question answers after hand-made histories; shared rows; words of its
errors."""

from __future__ import annotations

from itertools import permutations

import pytest

from twinloop.sim.accounts.ledger import Ledger, due_instants
from twinloop.sim.accounts.rows import BETTER, End, Row, Sample, SharedRow
from twinloop.sim.kernel.clock import NEVER_NS
from twinloop.sim.kernel.invariants import InvariantError

BAD, UNCERTAIN = 0x80000000, 0x40000000
ALL = 0b111


def ledger() -> Ledger:
    return Ledger(["a", "b"], [("x", "y", "z"), ("x", "y", "z")])


def shared(books: Ledger, led: int | None = 0, device: int = 0, k: int = 0, holders: int = 2) -> SharedRow:
    row = books.open_row(device, k, 0, ALL, 1000, holders)
    assert isinstance(row, SharedRow)
    for number, share in enumerate(row.shares):
        share.led = number == led
    return row


# ---- rows ----------------------------------------------------------------------------------------
def test_a_fresh_row_is_open_and_nothing_else() -> None:
    row = Row(1, 2, 3, 0b101, 7)
    assert (row.device, row.k, row.due_ns, row.period_ns, row.due, row.open) == (1, 2, 3, 7, 0b101, 0b101)
    assert (row.read, row.carried, row.delivered, row.void, row.marks, row.whole) == (0, 0, 0, 0, None, None)
    books = ledger()
    plain = books.open_row(0, 5, 9, ALL)
    assert plain.period_ns == NEVER_NS
    assert not isinstance(plain, SharedRow)
    whole = shared(books, None)
    assert [
        (one.device, one.k, one.due_ns, one.open, one.period_ns, one.led, one.cared, one.whole is whole)
        for one in whole.shares
    ] == [(0, 0, 0, ALL, 1000, False, 0, True)] * 2
    assert whole.given_up == []
    fresh = books.open_row(1, 9, 0, ALL, 1000, 2)
    assert isinstance(fresh, SharedRow)
    assert [share.led for share in fresh.shares] == [False, False]
    assert books.asked == [ALL, ALL]


def test_opening_and_closing_are_counted() -> None:
    books = ledger()
    assert books.balanced()
    assert (books.due, books.open, books.ended, books.due_of, books.last_touched) == (0, 0, 0, [0, 0], None)
    first, second = books.open_row(0, 0, 0, ALL), books.open_row(1, 0, 0, 0b11)
    assert (books.due, books.open, books.ended, books.due_of, books.last_touched) == (
        5,
        5,
        0,
        [3, 2],
        (1, 0, 0b11),
    )
    told: list[tuple[Row, int, End, str]] = []
    books.on_end = lambda *what: told.append(what)
    assert books.close(first, 0b101, End.MISSED, "timeout") == 0b101
    assert books.close(first, 0b010, End.LOST, "crash") == 0b010
    assert books.deliver(second, 0b01) == 0b01
    assert told == [
        (first, 0b101, End.MISSED, "timeout"),
        (first, 0b010, End.LOST, "crash"),
        (second, 0b01, End.DELIVERED, ""),
    ]
    assert (books.due, books.open, books.ended, books.last_touched) == (5, 1, 4, (1, 0, 0b01))
    assert list(books.rows) == [(1, 0)]
    assert second.delivered == 0b01
    assert books.ends == {(0, End.MISSED, "timeout"): 2, (0, End.LOST, "crash"): 1, (1, End.DELIVERED, ""): 1}
    assert books.close(second, 0, End.LOST, "crash") == 0
    again = books.open_row(0, 1, 0, ALL)
    books.close(again, 0b001, End.MISSED, "timeout")
    assert books.ends[0, End.MISSED, "timeout"] == 3


def test_what_can_not_be_is_named() -> None:
    books = ledger()
    row = books.open_row(0, 4, 0, 0b110)
    with pytest.raises(InvariantError, match=r"^a k=4 point y was opened twice$"):
        books.open_row(0, 4, 0, 0b110)
    with pytest.raises(InvariantError, match=r"^a k=4 point x ended a second time, as lost crash$"):
        books.close(row, 0b111, End.LOST, "crash")
    with pytest.raises(InvariantError, match=r"^a k=4 point y ended as lost for unknown cause 'timeout'$"):
        books.close(row, 0b110, End.LOST, "timeout")
    odd = books.open_row(1, 0, 0, 0b001)
    with pytest.raises(InvariantError, match=r"^b k=0 point z ended a second time, as lost crash$"):
        books.close(odd, 0b101, End.LOST, "crash")
    assert books.sample(1, 3, 0b110) == Sample("b", 3, "y"), "the first of several"
    assert (books.open, row.open) == (3, 0b110)
    assert books.sample(1, 3, 0b100) == Sample("b", 3, "z")
    assert books.sample(1, 3, 0b1000) == Sample("b", 3, "#3")
    assert books.sample(1, 3, 0) == Sample("b", 3, "#-1")


def test_books_that_do_not_balance_name_what_was_touched_last() -> None:
    books = ledger()
    books.require_balance()
    books.due += 1
    with pytest.raises(InvariantError, match=r"^due 1 != open 0 \+ ended 0; last touched: no sample$"):
        books.require_balance()
    books.due -= 1
    books.close(books.open_row(1, 7, 0, 0b100), 0b100, End.DELIVERED)
    books.require_balance()
    books.ended += 1
    with pytest.raises(InvariantError, match=r"^due 1 != open 0 \+ ended 2; last touched: b k=7 point z$"):
        books.require_balance()
    with pytest.raises(InvariantError, match="due 1"):
        books.audit(lambda device: 1)


def test_an_audit_looks_at_rows_counters_and_the_closed_form() -> None:
    books = ledger()
    row = books.open_row(1, 2, 0, 0b110)
    with pytest.raises(InvariantError, match=r"^b k=2 point y is still open at the end \(2 points are\)$"):
        books.audit(lambda device: 2 * device)
    books.close(row, 0b110, End.DELIVERED)
    books.audit(lambda device: 2 * device)
    with pytest.raises(InvariantError, match=r"^a: 0 points were due, the closed form says 1$"):
        books.audit(lambda device: 1)
    books.ends[1, End.DELIVERED, ""] = 1
    with pytest.raises(InvariantError, match=r"^2 points ended, the table of ends has 1$"):
        books.audit(lambda device: 2 * device)
    books.open, books.ended = 1, 1
    with pytest.raises(InvariantError, match=r"^1 points are counted as open, but no row is$"):
        books.audit(lambda device: 2 * device)


# ---- counters ------------------------------------------------------------------------------------
def test_counts_by_state_cause_and_device() -> None:
    books = ledger()
    for device, k, end, cause in (
        (0, 0, End.MISSED, "timeout"),
        (0, 1, End.MISSED, "bad"),
        (1, 0, End.MISSED, "timeout"),
        (1, 1, End.LOST, "end-of-run"),
        (1, 2, End.MISSED, "end-of-run"),
        (0, 2, End.DELIVERED, ""),
        (1, 3, End.CACHED, ""),
    ):
        books.close(books.open_row(device, k, 0, ALL), ALL, end, cause)
    assert books.count() == 21
    assert books.count(End.MISSED) == 12
    assert books.count(End.MISSED, "timeout") == 6
    assert books.count(cause="end-of-run") == 6
    assert books.count(devices=[0]) == 9
    assert books.count(End.MISSED, devices=[1]) == 6
    assert books.count(End.LOST, devices=[]) == 0
    assert books.by_cause(End.MISSED) == {"timeout": 6, "bad": 3, "end-of-run": 3}
    assert list(books.by_cause(End.MISSED)) == ["timeout", "bad", "end-of-run"]
    assert books.by_cause(End.LOST) == {"end-of-run": 3}
    assert books.by_cause(End.CACHED) == {"": 3}


def test_duplicates_misordered_and_late_by_device() -> None:
    books = ledger()
    for device, count in ((0, 2), (1, 5), (0, 1)):
        books.duplicates_of[device] += count
        books.misordered_of[device] += count + 10
        books.late_of[device] += count + 20
    assert (books.duplicates, books.duplicates_of) == (8, {0: 3, 1: 5})
    assert (books.misordered, books.misordered_of) == (38, {0: 23, 1: 15})
    assert (books.late, books.late_of) == (68, {0: 43, 1: 25})


def test_a_second_delivery_is_a_duplicate_and_no_end() -> None:
    books = ledger()
    row = books.open_row(0, 0, 0, ALL)
    assert books.deliver(row, 0b011) == 0b011
    assert books.deliver(row, 0b110) == 0b100
    assert (books.duplicates_of, books.count(End.DELIVERED), row.delivered) == ({0: 1}, 3, ALL)
    late = books.open_row(0, 1, 0, ALL)
    books.close(late, ALL, End.LOST, "crash")
    assert books.deliver(late, ALL) == 0, "it has come after all, but its end was told"
    assert (books.duplicates, books.count(End.DELIVERED)) == (1, 3)
    books.deliver(late, 0b001)
    assert books.duplicates == 2


# ---- quality -------------------------------------------------------------------------------------
def test_the_quality_of_what_ends() -> None:
    books = ledger()
    row = books.open_row(0, 0, 0, ALL)
    row.marks = {BAD: 0b001, UNCERTAIN: 0b110}
    books.deliver(row, 0b011)
    books.close(row, 0b100, End.LOST, "crash")
    more = books.open_row(0, 1, 0, ALL)
    more.marks = {UNCERTAIN: 0b001}
    books.deliver(more, ALL)
    assert books.marked == {
        (0, End.DELIVERED, "", BAD): 1,
        (0, End.DELIVERED, "", UNCERTAIN): 2,
        (0, End.LOST, "crash", UNCERTAIN): 1,
    }
    plain = books.open_row(0, 2, 0, ALL)
    books.deliver(plain, ALL)
    assert sum(books.marked.values()) == 4


def test_what_drivers_returned() -> None:
    """Uncertain has a value, Bad has none; 0x80000000 is the first Bad (OPC 10000-4 section 7.39)."""
    books = ledger()
    row = books.open_row(0, 0, 0, ALL)
    row.marks = {UNCERTAIN: 0b010, BAD: 0b100}
    books.returned(row, 0b001)
    books.returned(row, 0b001)
    assert (books.good_of, books.status_of, books.valued) == (
        [2, 0],
        {(0, UNCERTAIN): 2, (0, BAD): 2},
        [0b011, 0],
    )
    assert books.readings == 6
    assert books.valueless() == {0: 0b100}
    row.marks = None
    books.returned(row, 0b100)
    assert (books.good_of, books.valued, books.valueless()) == ([3, 0], [ALL, 0], {})
    other = books.open_row(1, 0, 0, ALL)
    other.marks = {BAD - 1: 0b001}
    books.returned(other, 0)
    assert books.valued[1] == 0b001, "the last that isn't Bad"
    assert books.valueless() == {1: 0b110}, "of b nothing was Good, but something was read"
    books.asked[1] = 0b011
    assert books.valueless() == {1: 0b010}, "of what was asked"
    assert ledger().valueless() == {}, "of what nothing was read nothing is said"
    alone = ledger()
    alone.returned(alone.open_row(0, 0, 0, ALL), 0b001)
    assert alone.valueless() == {0: 0b110}


# ---- shares --------------------------------------------------------------------------------------
def test_a_shared_row_ends_when_the_last_holder_gives_it_up() -> None:
    books = ledger()
    row = shared(books, None, holders=3)
    first, second, third = row.shares
    assert books.close(first, 0b011, End.MISSED, "timeout") == 0
    assert books.close(third, 0b001, End.MISSED, "bad") == 0
    assert (first.open, row.open, books.open) == (0b100, ALL, 3)
    assert books.close(second, 0b101, End.LOST, "crash") == 0b001
    assert books.ends == {(0, End.LOST, "crash"): 1}
    assert books.close(third, 0b110, End.MISSED, "bad") == 0
    assert books.close(first, 0b100, End.MISSED, "timeout") == 0b100
    assert books.close(second, 0b010, End.EVICTED, "ttl") == 0b010
    assert books.ends == {(0, End.LOST, "crash"): 2, (0, End.EVICTED, "ttl"): 1}
    assert (books.rows, books.open) == ({}, 0)
    assert books.close(first, 0, End.LOST, "crash") == 0
    assert len(row.given_up) == 6, "nothing isn't given up"
    with pytest.raises(InvariantError, match="a k=0 point x ended a second time"):
        books.close(first, 0b001, End.LOST, "crash")


@pytest.mark.parametrize(("worse", "better"), [(a, b) for i, a in enumerate(BETTER) for b in BETTER[i + 1 :]])
def test_of_two_that_did_not_lead_the_better_end_holds(worse: End, better: End) -> None:
    causes = {
        End.MISSED: "timeout",
        End.LOST: "crash",
        End.EVICTED: "ttl",
        End.DROPPED: "policy",
        End.CACHED: "",
    }
    for order in permutations((worse, better)):
        books = ledger()
        row = shared(books, None)
        for share, end in zip(row.shares, order, strict=True):
            books.close(share, ALL, end, causes[end])
        assert books.ends == {(0, better, causes[better]): 3}


def test_of_equal_ends_the_leaders_cause_holds_then_the_later() -> None:
    for led, expected in ((0, "timeout"), (1, "bad"), (None, "bad")):
        books = ledger()
        row = shared(books, led)
        books.close(row.shares[0], ALL, End.MISSED, "timeout")
        books.close(row.shares[1], ALL, End.MISSED, "bad")
        assert books.ends == {(0, End.MISSED, expected): 3}


def test_what_the_leader_missed_is_missed_whatever_a_standby_made_of_it() -> None:
    for end, cause in ((End.CACHED, ""), (End.DROPPED, "policy"), (End.LOST, "no-store")):
        for first in (0, 1):
            books = ledger()
            row = shared(books, 0)
            ends = [(row.shares[0], End.MISSED, "timeout"), (row.shares[1], end, cause)]
            for share, how, why in ends if first == 0 else reversed(ends):
                books.close(share, ALL, how, why)
            assert books.ends == {(0, End.MISSED, "timeout"): 3}


def test_what_a_standby_took_care_of_as_a_leader_later_counts() -> None:
    """Of the points that it cared for, and of no others."""
    books = ledger()
    row = shared(books, 0)
    row.shares[1].cared = 0b010
    books.close(row.shares[0], ALL, End.MISSED, "timeout")
    books.close(row.shares[1], 0b010, End.CACHED)
    books.close(row.shares[1], 0b101, End.CACHED)
    assert books.ends == {(0, End.MISSED, "timeout"): 2, (0, End.CACHED, ""): 1}
    alone = ledger()
    row = shared(alone, None)
    row.shares[1].cared = 0
    alone.close(row.shares[0], ALL, End.MISSED, "timeout")
    alone.close(row.shares[1], ALL, End.CACHED)
    assert alone.ends == {(0, End.CACHED, ""): 3}, "when nobody led, a standby is as good as any"


def test_the_quality_of_a_shared_row_is_that_of_whose_end_holds() -> None:
    books = ledger()
    row = shared(books, 0)
    row.shares[0].marks, row.shares[1].marks = {BAD: ALL}, {UNCERTAIN: ALL}
    books.close(row.shares[0], 0b001, End.CACHED)
    books.close(row.shares[1], 0b001, End.MISSED, "timeout")
    assert books.marked == {(0, End.CACHED, "", BAD): 1}
    assert books.deliver(row.shares[1], 0b010) == 0b010
    assert books.marked[0, End.DELIVERED, "", UNCERTAIN] == 1


def test_a_delivery_by_one_ends_it_for_all() -> None:
    books = ledger()
    row = shared(books)
    assert books.deliver(row.shares[1], 0b011) == 0b011
    assert [share.open for share in row.shares] == [0b100, 0b100]
    assert books.deliver(row.shares[0], 0b001) == 0
    assert books.duplicates == 1
    row.shares[0].void = 0b100
    assert books.deliver(row.shares[0], 0b100) == 0, "what arrived there was no value"
    assert (row.open, books.duplicates) == (0b100, 1)
    assert books.deliver(row.shares[1], 0b100) == 0b100
    plain = books.open_row(1, 0, 0, ALL)
    books.close(plain, 0b001, End.MISSED, "bad")
    plain.void = 0b001
    assert books.deliver(plain, ALL) == 0b110
    assert books.deliver(plain, ALL) == 0
    assert books.duplicates_of == {0: 1, 1: 2}, "what has no value is no duplicate, however often it arrives"


def test_due_instants() -> None:
    assert [
        due_instants(0, 10, 30),
        due_instants(0, 10, 31),
        due_instants(9, 10, 30),
        due_instants(29, 10, 30),
        due_instants(30, 10, 30),
    ] == [3, 4, 3, 1, 0]
    assert due_instants(31, 10, 30) == 0
    for phase in range(5):
        for period in range(1, 4):
            for duration in range(12):
                assert due_instants(phase, period, duration) == len(
                    [at for at in range(phase, 40, period) if at < duration]
                )
