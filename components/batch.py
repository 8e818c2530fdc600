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


class StageArguments:
    """The arguments of a transform's or policy's call as C values that are made once and patched for each sample.

    (origin, batch) or (origin, batch, link-state): what ``codec`` would write, which a test compares.
    """

    __slots__ = (
        "_buffer", "_link_at", "_sequence_at", "at",
    )  # fmt: skip

    def __init__(self, device: str) -> None:
        names = {name: name.encode() for name in ("device", "sequence", "up", "since", "backlog", "round-trip", "store-used")}
        text = device.encode() + b"".join(names.values())
        entries_bytes = 7 * ENTRY_BYTES
        size = 3 * VAL_BYTES + entries_bytes + len(text)
        self._buffer = (c_uint64 * (size // 8 + 1))()
        self.at = addressof(self._buffer)
        entries, text_at = self.at + 3 * VAL_BYTES, self.at + 3 * VAL_BYTES + entries_bytes
        MEMORY[text_at : text_at + len(text)] = text
        at = text_at + len(device.encode())
        for i, raw in enumerate(names.values()):
            QQ.pack_into(MEMORY, entries + i * ENTRY_BYTES, len(raw), at)
            at += len(raw)
        MEMORY[self.at] = MEMORY[self.at + 2 * VAL_BYTES] = _RECORD
        QQ.pack_into(MEMORY, self.at + 8, 2, entries)
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

    def set_batch(self, sequence: int, batch_at: int) -> None:
        """The sample's k, and the batch at that address (which must outlive the call)."""
        Q.pack_into(MEMORY, self._sequence_at, sequence)
        at = self.at + VAL_BYTES
        MEMORY[at : at + VAL_BYTES] = MEMORY[batch_at : batch_at + VAL_BYTES]

    def set_link(self, up: bool, since: int, backlog: int, round_trip: int, store_used: float) -> None:
        """The link-state."""
        at = self._link_at
        MEMORY[at] = up
        Q.pack_into(MEMORY, at + ENTRY_BYTES, since)
        Q.pack_into(MEMORY, at + 2 * ENTRY_BYTES, backlog)
        Q.pack_into(MEMORY, at + 3 * ENTRY_BYTES, round_trip)
        _F.pack_into(MEMORY, at + 4 * ENTRY_BYTES, store_used)


_BOOL, _U32, _U64, _F32, _STRING, _RECORD = 0, 6, 8, 9, 12, 14
"""kinds of wasmtime_component_val_t"""
_F = Struct("<f")


def forward_lane(result_at: int) -> int:
    """The lane of a policy's result that is ``forward(lane)`` for the whole batch; -1 for any other (decode it)."""
    if not MEMORY[result_at + 8]:
        return -1
    entries = Q.unpack_from(MEMORY, Q.unpack_from(MEMORY, result_at + 16)[0] + 16)[0]
    if Q.unpack_from(MEMORY, entries + ENTRY_BYTES + _ENTRY_VALUE)[0]:
        return -1
    size, at, payload = _QQQ.unpack_from(MEMORY, entries + _ENTRY_VALUE)
    if size != 7 or bytes(MEMORY[at : at + 7]) != b"forward":
        return -1
    return int(MEMORY[payload + 8])


_QQQ = Struct("<QQQ")


def is_ok(result_at: int) -> bool:
    """The result value at that address is ok."""
    return bool(MEMORY[result_at + 8])


def ok_at(result_at: int) -> int:
    """Address of the ok payload of the result at that address."""
    return int(Q.unpack_from(MEMORY, result_at + 16)[0])


def readings_in(batch_at: int) -> int:
    """How many readings a batch has."""
    return _list_at(batch_at, 0)[0]


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


