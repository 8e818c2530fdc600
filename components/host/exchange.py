"""What crosses at ``fieldbus.transact``, where it lies: its arguments read in one go, its answer written into
a prepared value.

Belongs here: this one import, for the hot path only; codec.py does everything else, and a test compares the
two. The layout is asserted in capi.py, the types in contract.py. Never: what the bytes mean.
"""

from __future__ import annotations

from collections.abc import Callable
from ctypes import addressof, c_uint64
from struct import Struct
from typing import Any, NamedTuple

from twinloop.components.host.capi import MEMORY, QQ, VAL_BYTES, Q, val_clone
from twinloop.components.host.codec import Case

_arguments = Struct("<8xQQ8x8xQQQ8xQ").unpack_from
"""three values: (count, pointer) of the request, (tag size, tag pointer, payload pointer) of the framing, the
timeout"""
_fields = Struct("<24xB47xB47x?47xi").unpack_from
"""the four entries (name, value) of a length-field"""
_U32 = Struct("<8xI")
_FRAMINGS_MAX = 256
_RESULT, _LIST, _U8 = 19, 13, 2
"""kinds of wasmtime_component_val_t"""
_word, _put_word = Q.unpack_from, Q.pack_into
PREPARED_BYTES = 512
"""replies up to this length go into the prepared value: above any Modbus frame"""


class LengthField(NamedTuple):
    """Where a frame's length lies: the WIT's ``length-field``."""

    offset: int
    size: int
    big_endian: bool
    adjust: int


_framings: dict[tuple[int, int, bool, int], Case] = {}
"""a cache of equal values, which changes nothing"""


def framing(tag_size: int, tag_at: int, payload_at: int) -> Case:
    """The framing that has such a tag, and such a payload at that address."""
    if tag_size == 12:  # the only tag of that length: length-field
        fields = _fields(MEMORY, _word(MEMORY, payload_at + 16)[0])
        found = _framings.get(fields)
        if found is None:
            if len(_framings) >= _FRAMINGS_MAX:
                _framings.clear()
            found = _framings[fields] = Case("length-field", LengthField(*fields))
        return found
    tag = str(MEMORY[tag_at : tag_at + tag_size], "ascii")
    if tag_size == 5:  # the only tag of that length: until
        count, at = QQ.unpack_from(MEMORY, payload_at + 8)
        return Case(tag, MEMORY[at + 8 : at + 8 + VAL_BYTES * count : VAL_BYTES].tobytes())
    return Case(tag, _U32.unpack_from(MEMORY, payload_at)[0] if payload_at else None)


def read_transact(at: int) -> list[Any]:
    """The arguments of ``transact`` at that address: [request, framing, timeout in ns]."""
    count, request_at, tag_size, tag_at, payload_at, timeout_ns = _arguments(MEMORY, at)
    request = MEMORY[request_at + 8 : request_at + 8 + VAL_BYTES * count : VAL_BYTES].tobytes()
    return [request, framing(tag_size, tag_at, payload_at), timeout_ns]


class Replies:
    """Writes the results of one import, result<list<u8>, bus-error>; errors and long replies by
    ``otherwise``, which is the codec's."""

    def __init__(self, otherwise: Callable[[Any, int], None]) -> None:
        self._otherwise = otherwise
        self._block = (c_uint64 * ((2 + PREPARED_BYTES) * VAL_BYTES // 8))()
        self._at = addressof(self._block)
        boxed, elements = self._at + VAL_BYTES, self._at + 2 * VAL_BYTES
        MEMORY[self._at], MEMORY[self._at + 8] = _RESULT, True
        Q.pack_into(MEMORY, self._at + 16, boxed)
        MEMORY[boxed] = _LIST
        Q.pack_into(MEMORY, boxed + 16, elements)
        MEMORY[elements : elements + VAL_BYTES * PREPARED_BYTES] = (
            bytes((_U8,)) + bytes(VAL_BYTES - 1)
        ) * PREPARED_BYTES
        self._count_at, self._data_at = boxed + 8, elements + 8

    def write(self, value: Any, slot: int) -> None:
        """As ``Signature.put_result``."""
        data = value[1]
        if value[0] and len(data) <= PREPARED_BYTES:
            count, at = len(data), self._data_at
            _put_word(MEMORY, self._count_at, count)
            MEMORY[at : at + VAL_BYTES * count : VAL_BYTES] = data
            val_clone(self._at, slot)
        else:
            self._otherwise(value, slot)
