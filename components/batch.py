"""Batches where they lie: the points and readings of a C value, and a result taken over from its instance.

Belongs here: reading wasmtime's values in place, for the hot path only (codec.py does everything else). The layout is
asserted in capi.py and by a round trip in tests/components/test_batch.py.
"""

from __future__ import annotations

from ctypes import addressof, c_uint64
from struct import Struct
from typing import NamedTuple

from components.capi import ENTRY_BYTES, MEMORY, QQ, VAL_BYTES, Q, val_delete
from components.contract import TextReading

_RECORDS = Struct("<16xQ8x")
"""a record value: kind, count, pointer to its entries"""
_READING = Struct("<24xH46xd40xI44xQ16x")
"""the four entries (name, value) of a reading: point, value, status, measured"""
_POINT = Struct("<24xH")
_ENTRY_VALUE = ENTRY_BYTES - VAL_BYTES + 8


class Batch(NamedTuple):
    """A decoded batch: readings as (point, value, status, measured)."""

    readings: list[tuple[int, float, int, int]]
    texts: list[TextReading]


class Held:
    """A call's result, moved out of its instance; ``ok_at`` is the address of the ok payload, 0 for an err."""

    __slots__ = ("_block", "at", "ok_at")

    def __init__(self, source: int) -> None:
        self._block = (c_uint64 * 4)()
        self.at = addressof(self._block)
        MEMORY[self.at : self.at + VAL_BYTES] = MEMORY[source : source + VAL_BYTES]
        self.ok_at = Q.unpack_from(MEMORY, self.at + 16)[0] if MEMORY[self.at + 8] else 0

    def release(self) -> None:
        """Free it; its payload must have no reader any more. Twice is once."""
        if self._block[0] or self._block[1] or self._block[2]:
            val_delete(self.at)
            self._block[0] = self._block[1] = self._block[2] = self._block[3] = 0


def _list_at(batch_at: int, field: int) -> tuple[int, int]:
    """(count, address) of a list field of the record at ``batch_at``."""
    entries = Q.unpack_from(MEMORY, batch_at + 16)[0]
    count, at = QQ.unpack_from(MEMORY, entries + field * ENTRY_BYTES + _ENTRY_VALUE)
    return int(count), int(at)


def is_ok(result_at: int) -> bool:
    """The result value at that address is ok."""
    return bool(MEMORY[result_at + 8])


def readings_in(result_at: int) -> int:
    """How many readings the ok payload of the result<batch, ...> at that address has; 0 for an err."""
    if not MEMORY[result_at + 8]:
        return 0
    return _list_at(Q.unpack_from(MEMORY, result_at + 16)[0], 0)[0]


def points_of(batch_at: int) -> list[int]:
    """The point ids of a batch, readings first, without decoding the rest."""
    count, at = _list_at(batch_at, 0)
    point = _POINT.unpack_from
    found = [point(MEMORY, entries)[0] for (entries,) in _RECORDS.iter_unpack(MEMORY[at : at + VAL_BYTES * count])]
    texts, texts_at = _list_at(batch_at, 1)
    if texts:
        found += [point(MEMORY, entries)[0] for (entries,) in _RECORDS.iter_unpack(MEMORY[texts_at : texts_at + VAL_BYTES * texts])]
    return found


def read_batch(batch_at: int) -> Batch:
    """The whole batch."""
    count, at = _list_at(batch_at, 0)
    reading = _READING.unpack_from
    readings = [reading(MEMORY, entries) for (entries,) in _RECORDS.iter_unpack(MEMORY[at : at + VAL_BYTES * count])]
    texts, texts_at = _list_at(batch_at, 1)
    if not texts:
        return Batch(readings, [])
    return Batch(
        readings, [_text(entries) for (entries,) in _RECORDS.iter_unpack(MEMORY[texts_at : texts_at + VAL_BYTES * texts])]
    )


def _text(entries: int) -> TextReading:
    value = entries + ENTRY_BYTES + _ENTRY_VALUE
    size, at = QQ.unpack_from(MEMORY, value)
    status = MEMORY[entries + 2 * ENTRY_BYTES + _ENTRY_VALUE : entries + 2 * ENTRY_BYTES + _ENTRY_VALUE + 4]
    measured = Q.unpack_from(MEMORY, entries + 3 * ENTRY_BYTES + _ENTRY_VALUE)[0]
    return TextReading(_POINT.unpack_from(MEMORY, entries)[0], str(MEMORY[at : at + size], "utf-8"), int.from_bytes(status, "little"), measured)


