"""Batches where they lie: the points and readings of a C value, and a result taken over from its instance.

Belongs here: reading wasmtime's values in place, for the hot path only (codec.py does everything else). The
layout is asserted in capi.py and by a round trip in tests/components/test_batch.py.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from ctypes import addressof, c_uint64
from functools import lru_cache
from struct import Struct
from typing import Any, NamedTuple

from twinloop.components.contract.contract import TextReading
from twinloop.components.host.capi import ENTRY_BYTES, MEMORY, QQ, VAL_BYTES, Q, val_delete

BATCH_BYTES_MAX = 256 << 10
"""of one batch: more would have a whole gateway carry what one of its components makes up"""
_READING_BYTES, _TEXT_BYTES = 32, 32
"""that each takes beside its text, as the guest has it (its canonical ABI)"""
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


class Batch(NamedTuple):
    """A decoded batch by columns: of each reading its point, value, status and instant; then the texts."""

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

    __slots__ = ("at", "full")

    def __init__(self, at: int) -> None:
        self.at = at
        self.full = False

    def take(self, result_at: int) -> None:
        """Move the result at that address here (its payload stays where it is); what was held before must
        have been released."""
        assert not self.full
        self.full = True
        _VALUE.pack_into(MEMORY, self.at, *_VALUE.unpack_from(MEMORY, result_at))

    def release(self) -> None:
        """Free it; its payload must have no reader any more. Twice is once."""
        if self.full:
            self.full = False
            val_delete(self.at)


_VALUE = Struct("<B7xB7xQ8x")
"""of a result: kind, is it ok, pointer to its payload"""

Lists = tuple[int, int, int, int, int]
"""where a batch's two lists lie: readings and their address, texts and their address, and the address of the
batch's entries"""


def batch_in(result_at: int) -> Lists | None:
    """The batch in the result at that address; None when the result is an err."""
    _, ok, payload = _VALUE.unpack_from(MEMORY, result_at)
    if not ok:
        return None
    entries: int = Q.unpack_from(MEMORY, payload + 16)[0]
    return (*_LISTS.unpack_from(MEMORY, entries), entries)


def batch_bytes(lists: Lists) -> int:
    """How large it is, as the guest has it; what is over BATCH_BYTES_MAX isn't looked at closely."""
    count, _, texts, texts_at, _ = lists
    size = _READING_BYTES * count + _TEXT_BYTES * texts
    if texts and size <= BATCH_BYTES_MAX:
        value = ENTRY_BYTES + _ENTRY_VALUE
        size += sum(Q.unpack_from(MEMORY, entries + value)[0] for entries in _pointers(texts, texts_at))
    return size


_LISTS = Struct("<24xQQ32xQQ")
"""the two entries (name, value) of a batch: each a list's count and pointer"""


class StageArguments:
    """The arguments of a transform's or policy's call as C values that are made once and patched for each
    sample.

    (origin, batch) or (origin, batch, link-state): what ``codec`` would write, which a test compares.
    """

    __slots__ = (
        "_buffer", "_entries_at", "_link_at", "_sequence_at", "at", "held",
    )  # fmt: skip

    def __init__(self, device: str) -> None:
        names = {
            name: name.encode()
            for name in ("device", "sequence", "up", "since", "backlog", "round-trip", "store-used")
        }
        text = device.encode() + b"".join(names.values())
        entries_bytes = 7 * ENTRY_BYTES
        size = 4 * VAL_BYTES + entries_bytes + len(text)
        self._buffer = (c_uint64 * (size // 8 + 1))()
        self.at = addressof(self._buffer)
        self.held = Held(self.at + 3 * VAL_BYTES)
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
        self._entries_at = self.at + VAL_BYTES + 16
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

    def set_batch(self, sequence: int, lists: Lists) -> None:
        """The sample's k, and a batch (which must outlive the call)."""
        pack = Q.pack_into
        pack(MEMORY, self._sequence_at, sequence)
        pack(MEMORY, self._entries_at, lists[4])

    def set_link(self, up: bool, since: int, backlog: int, round_trip: int, store_used: float) -> None:
        """The link-state."""
        at, pack = self._link_at, Q.pack_into
        MEMORY[at] = up
        pack(MEMORY, at + ENTRY_BYTES, since)
        pack(MEMORY, at + 2 * ENTRY_BYTES, backlog)
        pack(MEMORY, at + 3 * ENTRY_BYTES, round_trip)
        _F.pack_into(MEMORY, at + 4 * ENTRY_BYTES, store_used)


_BOOL, _U32, _U64, _F32, _STRING, _RECORD = 0, 6, 8, 9, 12, 14
"""kinds of wasmtime_component_val_t"""
_F = Struct("<f")


def forward_lane(result_at: int) -> int:
    """The lane of a policy's result that is ``forward(lane)`` for the whole batch; -1 for any other (decode
    it)."""
    _, ok, payload = _VALUE.unpack_from(MEMORY, result_at)
    if not ok:
        return -1
    size, at, lane_at, exceptions = _DECISION.unpack_from(MEMORY, Q.unpack_from(MEMORY, payload + 16)[0])
    if size != 7 or exceptions or MEMORY[at : at + 7].tobytes() != b"forward":
        return -1
    return int(MEMORY[lane_at + 8])


_DECISION = Struct("<24xQQQ24xQ")
"""the two entries of a decision: the verdict's tag (size, pointer) and payload, how many exceptions"""


def read_batch(lists: Lists) -> Batch:
    """The whole batch."""
    count, at, texts, texts_at, _ = lists
    reading = _READING.unpack_from
    rows = [reading(MEMORY, entries) for entries in _pointers(count, at)]
    found = [_text(entries) for entries in _pointers(texts, texts_at)] if texts else ()
    points, values, statuses, times = zip(*rows, strict=True) if rows else _NO_READINGS
    return Batch(points, values, statuses, times, tuple(found))


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
