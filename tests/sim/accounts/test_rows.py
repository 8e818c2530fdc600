"""Plain rows in C are booked as rows.py books them, whatever is asked of them, and so is what they leave to
it."""

from __future__ import annotations

import contextlib
import gc
import weakref
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.components.ways import compiled_part
from twinloop.sim.accounts.ledger import Ledger
from twinloop.sim.accounts.rows import CAUSES, End, Row, Rows, SharedRow
from twinloop.sim.kernel.invariants import InvariantError

POINTS = 70
"""of the second device: more than a mask of 64 bits has"""


def ledger_over(base: tuple[type, ...]) -> Ledger:
    """A ledger whose rows are booked by ``base``."""
    own = {name: value for name, value in vars(Ledger).items() if name not in {"__dict__", "__weakref__"}}
    made: Ledger = type("OtherLedger", base, own)(
        ["a", "b"], [("x", "y", "z"), tuple(f"p{i}" for i in range(POINTS))]
    )
    return made


def both() -> tuple[Ledger, Ledger]:
    engine = compiled_part().engine
    engine.bind_ledger(Row, Rows.open_row, Rows.close, Rows.deliver, End.DELIVERED, "")
    return ledger_over((Rows,)), ledger_over((engine.Sums, Rows))


class Told:
    """Opens rows and ends them as told, and keeps all that can be seen."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.rows: list[Row] = []
        self.seen: list[object] = []
        ledger.on_end = lambda row, mask, end, cause: self.seen.append((row.device, row.k, mask, end, cause))

    def do(self, what: tuple[Any, ...]) -> None:
        try:
            self.seen.append(getattr(self, what[0])(*what[1:]))
        except InvariantError as error:
            self.seen.append(str(error))

    def open(self, device: int, k: int, mask: int, holders: int) -> None:
        rest = () if holders == 0 else (holders,)
        row = self.ledger.open_row(device, k, 10 * k, mask, 1000, *rest)
        self.rows.extend(row.shares if isinstance(row, SharedRow) else [row])

    def close(self, which: int, mask: int, end: End, cause: str, named: bool) -> object:
        if not self.rows:
            return None
        row = self.rows[which % len(self.rows)]
        return (
            self.ledger.close(row, mask, end, cause=cause)
            if named
            else self.ledger.close(row, mask, end, cause)
        )

    def deliver(self, which: int, mask: int) -> object:
        return self.ledger.deliver(self.rows[which % len(self.rows)], mask) if self.rows else None

    def mark(self, which: int, void: int) -> None:
        if self.rows:
            self.rows[which % len(self.rows)].marks = {0x80000000: 0b10}
            self.rows[which % len(self.rows)].void = void

    def forget(self, on_end: bool) -> None:
        if on_end:
            self.ledger.on_end = None

    def books(self) -> list[object]:
        books = self.ledger
        rows = [
            (
                row.device,
                row.k,
                row.due_ns,
                row.period_ns,
                row.due,
                row.open,
                row.delivered,
                row.void,
                row.read,
                row.carried,
                row.marks,
            )
            for row in self.rows
        ]
        return [
            self.seen, rows, books.due, books.open, books.ended, books.due_of, list(books.rows),
            list(books.ends.items()), list(books.totals.items()), list(books.marked.items()),
            books.duplicates_of, books.last_touched,
        ]  # fmt: skip


masks = st.sampled_from((0b111, 0b001, 0b110, 0, (1 << POINTS) - 1, 1 << 62, 1 << 63, 1 << 69, (1 << 62) - 1))
ends = st.sampled_from([(end, cause) for end in End for cause in (*CAUSES[end][:2], "boredom")])
deeds = st.one_of(
    st.tuples(st.just("open"), st.integers(0, 1), st.integers(0, 3), masks, st.sampled_from((0, 0, 1, 2))),
    st.tuples(st.just("close"), st.integers(0, 5), masks, ends, st.booleans()).map(
        lambda one: (one[0], one[1], one[2], *one[3], one[4])
    ),
    st.tuples(st.just("deliver"), st.integers(0, 5), masks),
    st.tuples(st.just("deliver"), st.integers(0, 5), masks),
    st.tuples(st.just("mark"), st.integers(0, 5), st.sampled_from((0, 0b10))),
    st.tuples(st.just("forget"), st.booleans()),
)


@given(st.lists(deeds, max_size=25))
@settings(max_examples=200)
def test_rows_in_c_are_booked_the_same(history: list[tuple[Any, ...]]) -> None:
    one, other = (Told(ledger) for ledger in both())
    for deed in history:
        one.do(deed)
        other.do(deed)
        assert one.seen[-1:] == other.seen[-1:]
    assert one.books() == other.books()


def test_an_end_of_each_cause_is_booked_twice_the_same() -> None:
    """The first of its kind is rows.py's, the second the compiled part's."""
    one, other = (Told(ledger) for ledger in both())
    for told in (one, other):
        for number, (end, cause) in enumerate((one_end, why) for one_end in End for why in CAUSES[one_end]):
            for k in (2 * number, 2 * number + 1):
                told.do(("open", 0, k, 0b111, 1))
                told.do(("close", -1, 0b101, end, cause, False))
                told.do(("close", -1, 0b101, end, cause, False))  # a second time: a mistake of ours
                told.do(("close", -1, 0b010, end, cause, False))
    assert one.books() == other.books()
    assert sum("ended a second time" in str(one) for one in other.seen) == 2 * sum(map(len, CAUSES.values()))


def test_an_error_of_whoever_is_told_of_an_end_comes_out() -> None:
    for ledger in both():
        for _ in range(2):
            row = ledger.open_row(0, 0, 0, 1, 1000)
            ledger.on_end = None if not ledger.ends else (lambda *told: 1 // 0)
            if ledger.ends:
                with pytest.raises(ZeroDivisionError):
                    ledger.deliver(row, 1)
            else:
                ledger.deliver(row, 1)
        with pytest.raises(TypeError):
            ledger.close()  # type: ignore[call-arg]
        with pytest.raises((TypeError, AttributeError)):
            ledger.deliver(None, 1)  # type: ignore[arg-type]


def test_a_ledger_in_c_is_collected_with_what_it_tells() -> None:
    _, ledger = both()

    class Hears:
        def told(self, *what: object) -> None: ...

    hears = Hears()
    hears.ledger = ledger  # type: ignore[attr-defined]
    ledger.on_end = hears.told
    gone = weakref.ref(hears)
    del hears, ledger, _
    gc.collect()
    assert gone() is None


class Kept(dict[Any, Any]):
    """Somebody who looks on has put it in a dictionary's place."""

    def __setitem__(self, key: Any, value: Any) -> None:
        super().__setitem__(key, value)
        self.set = getattr(self, "set", 0) + 1


def close_and_open(ledger: Ledger, row: Row) -> None:
    ledger.close(row, 1, End.LOST, "crash")
    ledger.open_row(0, 2, 0, 1, 1000)


def test_what_rows_in_c_leave_to_python() -> None:
    """Devices that there aren't, causes that are none, dictionaries of others, what was taken away."""
    ends = []
    for ledger in both():
        told = Told(ledger)
        for device in (-1, 2, 1 << 70):
            with contextlib.suppress(IndexError):
                told.open(device, 0, 0b111, 1)
        told.seen.append((ledger.due, ledger.open, list(ledger.rows)))
        ledger.due = ledger.open = 0
        ledger.ends = Kept()
        for k in range(3):
            told.do(("open", 0, k, 0b111, 1))
            told.do(("close", -1, 0b11, End.LOST, ["crash"], False))
            told.do(("close", -1, 0b111, End.LOST, "crash", False))
        told.seen.append(ledger.ends.set)
        row = ledger.open_row(0, 9, 9, 0b111, 5)
        del row.k
        with pytest.raises(AttributeError):
            ledger.close(row, 0b111, End.LOST, "crash")
        ends.append(told.books()[:1])
    assert ends[0] == ends[1]
    for name in ("rows", "ends", "totals", "on_end", "due_of"):
        for ledger in both():
            row = ledger.open_row(0, 0, 0, 1, 1000)
            ledger.on_end = None
            ledger.close(row, 1, End.LOST, "crash")
            row = ledger.open_row(0, 1, 0, 1, 1000)
            delattr(ledger, name)
            with pytest.raises(AttributeError):
                close_and_open(ledger, row)
