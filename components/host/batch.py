"""Batches where they lie: the points and readings of a C value, and a result taken over from its instance.

A batch has two lists in the contract 0.1, readings and texts, and three since 0.2: integers are the third.
Between components of different contracts a batch is handed over in the receiver's form (``StageArguments``).

Belongs here: reading wasmtime's values in place, for the hot path only (codec.py does everything else). The
layout is asserted in capi.py and by a round trip in tests/components/test_batch.py.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable
from ctypes import addressof, c_uint64, create_string_buffer
from functools import lru_cache
from itertools import repeat
from struct import Struct, calcsize
from typing import TYPE_CHECKING, Any, NamedTuple

from twinloop.components.contract.contract import TextReading
from twinloop.components.host.call_state import CallWords
from twinloop.components.host.capi import ENTRY_BYTES, MEMORY, QQ, VAL_BYTES, Q, quick_delete, word
from twinloop.components.native.choice import CHOICE

BATCH_BYTES_MAX = 256 << 10
"""of one batch: more would have a whole gateway carry what one of its components makes up"""
_READING_BYTES, _TEXT_BYTES, _INTEGER_BYTES = 32, 32, 40
"""that each takes beside its text, as the guest has it (its canonical ABI)"""
UNCERTAIN = 0x4000_0000
"""the OPC UA StatusCode of an integer that was rounded because its receiver knows none (Part 4, 7.39)"""
_KEPT_MAX = 500
"""lengths of lists for which a struct is kept: as many as a device may have points"""


@lru_cache(_KEPT_MAX)
def _reader(count: int) -> Callable[..., tuple[int, ...]]:
    return Struct("<" + count * "16xQ8x").unpack_from


def _pointers(count: int, at: int) -> tuple[int, ...]:
    """The pointers to their entries of that many record values (kind, count, pointer) in a row."""
    if count <= _KEPT_MAX:
        return _reader(count)(MEMORY, at)
    return tuple(entries for (entries,) in _RECORD_VALUE.iter_unpack(MEMORY[at : at + VAL_BYTES * count]))


_RECORD_VALUE = Struct("<16xQ8x")


_READING = Struct("<24xH46xd40xI44xQ16x")
"""the four entries (name, value) of a reading: point, value, status, measured"""
_POINT = Struct("<24xH")
_ENTRY_VALUE = ENTRY_BYTES - VAL_BYTES + 8


_word, _pair, _reading = Q.unpack_from, QQ.unpack_from, _READING.unpack_from
_put_word, _put_pair = Q.pack_into, QQ.pack_into
"""by names of their own: what belongs to an imported object Python looks up anew at each call"""


class Batch(NamedTuple):
    """A decoded batch by columns: of each reading its point, value, status and instant, those of integers
    behind the others, with an int as their value; then the texts."""

    points: tuple[int, ...]
    values: tuple[float, ...]
    statuses: tuple[int, ...]
    times: tuple[int, ...]
    texts: tuple[TextReading, ...]

    def every_point(self) -> tuple[int, ...]:
        """The points that it is about, those of texts too."""
        return (*self.points, *(text.point for text in self.texts)) if self.texts else self.points

    def only(self, wanted: Container[int]) -> Batch:
        """The part of it that is about the points in ``wanted``."""
        rows = [row for row in zip(*self[:4], strict=True) if row[0] in wanted]
        points, values, statuses, times = zip(*rows, strict=True) if rows else _NO_READINGS
        return Batch(
            points, values, statuses, times, tuple(text for text in self.texts if text.point in wanted)
        )


_NO_READINGS: tuple[Any, Any, Any, Any] = ((), (), (), ())


class Held:
    """Room at ``at`` for one call's result, moved out of its instance."""

    __slots__ = ("_other", "_word", "at", "full")

    def __init__(self, at: int) -> None:
        self.at, self._word = at, word(at).c
        self.full = False
        self._other: Any = None
        """room of the compiled part, for what its words hold"""

    def take(self, words: CallWords) -> None:
        """Move the result that an instance has in its words here (its payload stays where it is); what was
        held before must have been released."""
        assert not self.full
        self.full = True
        compiled = getattr(words, "held", None)
        if compiled is None:
            kind, ok, payload = _value(MEMORY, words.at)
            _put_value(MEMORY, self.at, kind, ok, payload)
        else:
            self._other = compiled(self.at)

    def release(self) -> None:
        """Free it; its payload must have no reader any more. Twice is once."""
        if self.full:
            self.full = False
            if self._other is None:
                quick_delete(self._word)
            else:
                self._other.release()
                self._other = None


_VALUE = Struct("<B7xB7xQ8x")
_value, _put_value = _VALUE.unpack_from, _VALUE.pack_into
"""of a result: kind, is it ok, pointer to its payload"""

Lists = tuple[int, int, int, int, int, int, int]
"""where a batch's lists lie: readings and their address, texts and their address, the address of the batch's
entries; how many integers, and where it says at which address (0 and 0 in the contract 0.1)"""


def batch_in(result_at: int) -> Lists | None:
    """The batch in the result at that address; None when the result is an err."""
    _, ok, payload = _value(MEMORY, result_at)
    if not ok:
        return None
    fields, entries = _pair(MEMORY, payload + 8)
    if fields == 2:
        return (*_LISTS.unpack_from(MEMORY, entries), entries, 0, 0)
    count, at, texts, texts_at, integers = _THREE_LISTS.unpack_from(MEMORY, entries)
    return count, at, texts, texts_at, entries, integers, entries + _INTEGERS_AT


def batch_bytes(lists: Lists) -> int:
    """How large it is, as the guest has it; what is over BATCH_BYTES_MAX isn't looked at closely."""
    count, _, texts, texts_at, _, integers, _ = lists
    size = _READING_BYTES * count + _TEXT_BYTES * texts + _INTEGER_BYTES * integers
    if texts and size <= BATCH_BYTES_MAX:
        value = ENTRY_BYTES + _ENTRY_VALUE
        size += sum(Q.unpack_from(MEMORY, entries + value)[0] for entries in _pointers(texts, texts_at))
    return size


_LISTS, _THREE_LISTS = Struct("<24xQQ32xQQ"), Struct("<24xQQ32xQQ32xQ")
"""the two entries (name, value) of a batch, or three: each a list's count and pointer"""
_INTEGERS_AT = 2 * ENTRY_BYTES + _ENTRY_VALUE + 8
"""where the third one's pointer is"""


class StageWords:
    """What of the arguments of a transform's or policy's call changes with each sample. The compiled part has
    it by the same names (components/native/stage.h)."""

    __slots__ = ("_fields_at", "_link_at", "_made", "_sequence_at")
    _fields_at: int
    """where the batch's record says how many fields it has, and where they are"""
    _link_at: int
    """of the link-state's first value"""
    _made: Any
    """what was made of a batch that its receiver takes in another form"""
    _sequence_at: int

    def set_batch(self, sequence: int, lists: Lists, knows_integers: bool) -> int:
        """The sample's k, and a batch (which must outlive the call), for a receiver of the contract 0.2 or
        0.1. Returns how many integers were rounded because an f64 had to do."""
        _put_word(MEMORY, self._sequence_at, sequence)
        if knows_integers and lists[6]:  # as it lies
            _put_pair(MEMORY, self._fields_at, 3, lists[4])
            return 0
        fields, entries, rounded = 3 if knows_integers else 2, lists[4], 0
        if knows_integers:
            self._made = made = _with_third_list(entries)
            entries = addressof(made)
        elif lists[5]:
            made, rounded = _as_readings(lists)
            self._made, entries = made, addressof(made)
        QQ.pack_into(MEMORY, self._fields_at, fields, entries)
        return rounded

    def set_link(self, up: bool, since: int, backlog: int, round_trip: int, store_used: float) -> None:
        """The link-state."""
        at = self._link_at
        _put_word(MEMORY, at + ENTRY_BYTES, since)
        _put_word(MEMORY, at + 3 * ENTRY_BYTES, round_trip)
        MEMORY[at] = up
        _put_word(MEMORY, at + 2 * ENTRY_BYTES, backlog)
        _F.pack_into(MEMORY, at + 4 * ENTRY_BYTES, store_used)


if TYPE_CHECKING or CHOICE.crossing is None:
    _StageWords = StageWords
else:
    _StageWords = CHOICE.crossing.StageWords
    CHOICE.crossing.bind_stage(StageWords.set_batch)


class StageArguments(_StageWords):
    """The arguments of a transform's or policy's call as C values that are made once and patched for each
    sample.

    (origin, batch) or (origin, batch, link-state): what ``codec`` would write, which a test compares.
    """

    __slots__ = ("_buffer", "at", "held", "word")

    def __init__(self, device: str, room: Callable[[int], Held] = Held) -> None:
        names = {
            name: name.encode()
            for name in ("device", "sequence", "up", "since", "backlog", "round-trip", "store-used")
        }
        text = device.encode() + b"".join(names.values())
        entries_bytes = 7 * ENTRY_BYTES
        size = 4 * VAL_BYTES + entries_bytes + len(text)
        self._buffer = (c_uint64 * (size // 8 + 1))()
        self.at = addressof(self._buffer)
        self.word = word(self.at)
        """the same for ``Instance.call_at``"""
        self.held = room(self.at + 3 * VAL_BYTES)
        """where the transform's result lies until the policy has had it"""
        entries, text_at = self.at + 4 * VAL_BYTES, self.at + 4 * VAL_BYTES + entries_bytes
        MEMORY[text_at : text_at + len(text)] = text
        at = text_at + len(device.encode())
        for i, raw in enumerate(names.values()):
            QQ.pack_into(MEMORY, entries + i * ENTRY_BYTES, len(raw), at)
            at += len(raw)
        MEMORY[self.at] = MEMORY[self.at + VAL_BYTES] = MEMORY[self.at + 2 * VAL_BYTES] = _RECORD
        QQ.pack_into(MEMORY, self.at + 8, 2, entries)
        QQ.pack_into(MEMORY, self.at + VAL_BYTES + 8, 2, 0)
        self._fields_at = self.at + VAL_BYTES + 8
        self._made = None
        QQ.pack_into(MEMORY, self.at + 2 * VAL_BYTES + 8, 5, entries + 2 * ENTRY_BYTES)
        self._set_kind(entries, 0, _STRING)
        QQ.pack_into(MEMORY, entries + _ENTRY_VALUE, len(device.encode()), text_at)
        for i, kind in enumerate((_U64, _BOOL, _U64, _U32, _U64, _F32)):
            self._set_kind(entries, i + 1, kind)
        self._sequence_at = entries + ENTRY_BYTES + _ENTRY_VALUE
        self._link_at = entries + 2 * ENTRY_BYTES + _ENTRY_VALUE

    @staticmethod
    def _set_kind(entries: int, index: int, kind: int) -> None:
        Q.pack_into(MEMORY, entries + index * ENTRY_BYTES + _ENTRY_VALUE - 8, kind)


_BOOL, _U32, _U64, _F32, _F64, _STRING, _LIST, _RECORD = 0, 6, 8, 9, 10, 12, 13, 14
"""kinds of wasmtime_component_val_t"""
_F = Struct("<f")


def forward_lane(result_at: int) -> int:
    """The lane of a policy's result that is ``forward(lane)`` for the whole batch; -1 for any other (decode
    it)."""
    _, ok, payload = _value(MEMORY, result_at)
    if not ok:
        return -1
    size, at, lane_at, exceptions = _decision(MEMORY, _word(MEMORY, payload + 16)[0])
    if size != 7 or exceptions or _seven(MEMORY, at)[0] != b"forward":
        return -1
    return int(MEMORY[lane_at + 8])


_seven, _decision = Struct("7s").unpack_from, Struct("<24xQQQ24xQ").unpack_from
"""the two entries of a decision: the verdict's tag (size, pointer) and payload, how many exceptions"""


def read_batch(lists: Lists) -> Batch:
    """The whole batch."""
    count, at, texts, texts_at, _, integers, integers_at = lists
    found = tuple(_text(entries) for entries in _pointers(texts, texts_at)) if texts else ()
    if not count and not integers:
        return Batch(*_NO_READINGS, found)
    # the readings without a loop in Python, the tuple without its Python constructor: it is made twice a poll
    places = _reader(count)(MEMORY, at) if count <= _KEPT_MAX else _pointers(count, at)
    rows: Iterable[tuple[Any, ...]] = map(_reading, repeat(MEMORY, count), places)
    if integers:
        rows = *rows, *map(_integer, _pointers(integers, Q.unpack_from(MEMORY, integers_at)[0]))
    return _new(Batch, (*zip(*rows), found))  # noqa: B905  # rows of four


_new = tuple.__new__


def doubt(lists: Lists, whole: Container[int]) -> bool:
    """A double that stands for a whole number of 64 bits may have been rounded when it is 2^53 or more: such
    a reading that was said to be Good is marked Uncertain where it lies. ``whole``: the points that hold such
    numbers. Were there any?"""
    count, at, *_ = lists
    found = False
    for entries in _pointers(count, at):
        point, value, status, _ = _READING.unpack_from(MEMORY, entries)
        if point in whole and not status and not -EXACT_BELOW < value < EXACT_BELOW:
            _STATUS.pack_into(MEMORY, entries + _STATUS_AT, UNCERTAIN)
            found = True
    return found


EXACT_BELOW = 2.0**53
"""up to here doubles count by ones"""
_STATUS, _STATUS_AT = Struct("<I"), calcsize("<24xH46xd40x")


def _integer(entries: int) -> tuple[int, int, int, int]:
    point, tag_bytes, _, value_at, status, measured = _INTEGER.unpack_from(MEMORY, entries)
    number = (_SIGNED if tag_bytes == _SIGNED_BYTES else _UNSIGNED).unpack_from(MEMORY, value_at)[0]
    return point, number, status, measured


_INTEGER = Struct("<24xH46xQQQ24xI44xQ16x")
"""the four entries (name, value) of an integer-reading: point, value (its tag and where its payload lies),
status, measured"""
_SIGNED, _UNSIGNED, _SIGNED_BYTES = Struct("<8xq"), Struct("<8xQ"), len("signed")


def _with_third_list(entries: int) -> Any:
    """The entries of a batch of 0.1 as 0.2 has them: no integers."""
    made = (c_uint64 * (3 * ENTRY_BYTES // 8))()
    at, two = addressof(made), 2 * ENTRY_BYTES
    MEMORY[at : at + two] = MEMORY[entries : entries + two]
    QQ.pack_into(MEMORY, at + two, len(_THIRD) - 1, addressof(_THIRD))
    Q.pack_into(MEMORY, at + two + _ENTRY_VALUE - 8, _LIST)
    return made


_THIRD = create_string_buffer(b"integers")


def _as_readings(lists: Lists) -> tuple[Any, int]:
    """The entries of a batch of 0.2 as 0.1 has them, with its integers behind its readings, and how many of
    these an f64 can't hold: Uncertain then, unless their status was worse."""
    count, at, _, _, entries, integers, integers_at = lists
    places = _pointers(integers, Q.unpack_from(MEMORY, integers_at)[0])
    row_bytes = 4 * ENTRY_BYTES
    made = (c_uint64 * ((2 * ENTRY_BYTES + VAL_BYTES * (count + integers) + row_bytes * integers) // 8))()
    out = addressof(made)
    values = out + 2 * ENTRY_BYTES
    new = values + VAL_BYTES * (count + integers)
    MEMORY[out:values] = MEMORY[entries : entries + 2 * ENTRY_BYTES]
    QQ.pack_into(MEMORY, out + _ENTRY_VALUE, count + integers, values)
    MEMORY[values : values + VAL_BYTES * count] = MEMORY[at : at + VAL_BYTES * count]
    rounded = 0
    for i, place in enumerate(places):
        row = new + row_bytes * i
        MEMORY[row : row + row_bytes] = MEMORY[place : place + row_bytes]
        _, number, status, _ = _integer(place)
        value = row + ENTRY_BYTES + _ENTRY_VALUE
        _REAL.pack_into(MEMORY, value - 8, _F64, float(number))
        if int(float(number)) != number:
            rounded += 1
            if not status >> 30:
                MEMORY[value + ENTRY_BYTES : value + ENTRY_BYTES + 4] = UNCERTAIN.to_bytes(4, "little")
        one = values + VAL_BYTES * (count + i)
        MEMORY[one] = _RECORD
        QQ.pack_into(MEMORY, one + 8, 4, row)
    return made, rounded


_REAL = Struct("<B7xd")


def _text(entries: int) -> TextReading:
    value = entries + ENTRY_BYTES + _ENTRY_VALUE
    size, at = QQ.unpack_from(MEMORY, value)
    status = MEMORY[entries + 2 * ENTRY_BYTES + _ENTRY_VALUE : entries + 2 * ENTRY_BYTES + _ENTRY_VALUE + 4]
    measured = Q.unpack_from(MEMORY, entries + 3 * ENTRY_BYTES + _ENTRY_VALUE)[0]
    return TextReading(
        _POINT.unpack_from(MEMORY, entries)[0],
        str(MEMORY[at : at + size], "utf-8"),
        int.from_bytes(status, "little"),
        measured,
    )
