"""Register images: the four Modbus tables of one device.

Belongs here: tables and what they hold. Never: function codes (server.py), types and word orders (points.py).
Addresses are the protocol's own, from 0.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from twinloop.devices.model.cell import Cell
from twinloop.devices.model.points import BITS, TABLES, Point

if TYPE_CHECKING:
    from twinloop.devices.model.overlay import Overlay

NO_POWER = 1 << 15
"""no power of ten: what a live scale has that isn't there"""
_EMPTY: np.ndarray[Any, Any] = np.zeros(0, np.uint16)


_Way = tuple[Callable[..., tuple[Any, ...]], bytearray | memoryview, int, float, float]
"""how to unpack a point, from where, its scale and offset"""


class RegisterImage:
    """The tables of one device. ``first[table]`` is the lowest address that exists, length follows from the
    points.

    ``words[table]``: (n,) big-endian uint16 over the same memory as ``raw[table]``; ``bits[table]``: (n,)
    bool. ``room``: memory for ``raw`` that is somebody else's and holds the constants already (fleet.py).
    ``holes``: registers and coils that no point and no constant has don't exist; else they read 0.
    """

    def __init__(
        self,
        points: tuple[Point, ...],
        constants: dict[tuple[str, int], int],
        room: dict[str, memoryview] | None = None,
        holes: bool = False,
    ) -> None:
        self.first: dict[str, int] = {}
        self.length: dict[str, int] = {}
        self.raw: dict[str, bytearray | memoryview] = {}
        self.words: dict[str, np.ndarray[Any, Any]] = {}
        self.bits: dict[str, np.ndarray[Any, Any]] = {}
        spans = [(p.table, p.address, p.width) for p in points] + [
            (table, address, 1) for table, address in constants
        ]
        for table in TABLES:
            mine = [(address, address + width) for name, address, width in spans if name == table]
            first = self.first[table] = min((low for low, _ in mine), default=0)
            length = self.length[table] = max((high for _, high in mine), default=0) - first
            if table in BITS:
                self.bits[table] = np.zeros(length, np.bool_) if length else _EMPTY
            else:
                self.raw[table] = bytearray(2 * length) if room is None else room[table]
                self.words[table] = np.frombuffer(self.raw[table], ">u2") if length else _EMPTY
        for (table, address), value in constants.items():
            (self.bits if table in BITS else self.words)[table][address - self.first[table]] = value
        self._cells = [None if p.table in BITS else Cell(p, self.first[p.table]) for p in points]
        self._points = points
        self._ways: list[_Way | None] | None = None
        self.unreadable: dict[str, bytearray] = {}
        self.unwritable: dict[str, bytearray] = {}
        """table -> 1 for each address in it that doesn't exist for who reads, or writes; no key: all do"""
        self._forbid(spans if holes else None)
        for point, cell in zip(points, self._cells, strict=True):
            if cell is None:
                continue
            if point.power is not None:
                cell.power = self._power_of(point.power.point)
            if point.text is not None:
                self._put(point.table, cell, cell.encode_text(point.text.content))
        self.overlays: list[Overlay] = []
        """sensors that lie, in the order in which they began"""
        self.now_ns = 0
        """the instant for which overlays are asked; its device keeps it"""

    def _forbid(self, spans: list[tuple[str, int, int]] | None) -> None:
        """Say which addresses don't exist: those outside ``spans``, and for who reads those that can only be
        written."""
        for table in TABLES:
            first, length = self.first[table], self.length[table]
            gone = bytearray(length)
            if spans is not None:
                gone = bytearray(b"\1" * length)
                for name, address, width in spans:
                    if name == table:
                        gone[address - first : address - first + width] = bytes(width)
            hidden = bytearray(gone)
            for p in self._points:
                if p.table == table and not p.readable:
                    hidden[p.address - first : p.address - first + p.width] = b"\1" * p.width
            if any(gone):
                self.unwritable[table] = gone
            if any(hidden):
                self.unreadable[table] = hidden

    def _power_of(self, name: str) -> Callable[[], int]:
        """The power of ten that a point holds now; out of all range when it holds no number."""
        index = next(i for i, point in enumerate(self._points) if point.name == name)

        def power() -> int:
            value = self.value(index)
            return round(value) if value - value == 0.0 else NO_POWER

        return power

    def cell(self, index: int) -> Cell | None:
        """How a point lies in its table; None for a coil or discrete input."""
        return self._cells[index]

    def write_value(self, index: int, value: float) -> None:
        """Put an engineering value where point ``index`` lies."""
        cell = self._cells[index]
        point = self._points[index]
        if cell is None:
            self.bits[point.table][point.address - self.first[point.table]] = value != 0
            return
        self._put(point.table, cell, cell.encode(value))

    def _put(self, table: str, cell: Cell, data: bytes) -> None:
        raw = self.raw[table]
        span = slice(cell.position, cell.position + cell.size)
        raw[span] = data if cell.mask is None else cell.merged(bytes(raw[span]), data)

    def value(self, index: int) -> float:
        """The engineering value of a point as it is, whatever lies."""
        cell, point = self._cells[index], self._points[index]
        if cell is None:
            return float(self.bits[point.table][point.address - self.first[point.table]])
        raw = self.raw[point.table]
        if cell.text:
            return 0.0
        if cell.quick:
            assert cell.struct is not None
            return float(cell.struct.unpack_from(raw, cell.position)[0]) * cell.scale + cell.offset
        return cell.decode(bytes(raw[cell.position : cell.position + cell.size]))

    def values(self) -> list[float]:
        """``value`` of every point, in their order: where most of each is looked up once and for all."""
        ways = self._ways
        if ways is None:
            ways = self._ways = [self._way(index) for index in range(len(self._points))]
        out = []
        for index, way in enumerate(ways):
            if way is None:
                out.append(self.value(index))
            else:
                unpack, raw, position, scale, offset = way
                out.append(float(unpack(raw, position)[0]) * scale + offset)
        return out

    def _way(self, index: int) -> _Way | None:
        """How a point that is nothing but scaled registers is read; None for any other."""
        cell = self._cells[index]
        if cell is None or cell.text or not cell.quick:
            return None
        assert cell.struct is not None
        raw = self.raw[self._points[index].table]
        return cell.struct.unpack_from, raw, cell.position, cell.scale, cell.offset

    def text(self, index: int) -> str | None:
        """The text of a point that is one, as it is; None for another point, or when it holds no text."""
        cell, point = self._cells[index], self._points[index]
        if cell is None or not cell.text:
            return None
        return cell.decode_text(bytes(self.raw[point.table][cell.position : cell.position + cell.size]))

    def read_raw(self, table: str, address: int, count: int) -> bytes | None:
        """Registers as they go over the wire, None when one of them doesn't exist."""
        start = address - self.first[table]
        if start < 0 or start + count > self.length[table]:
            return None
        if self.unreadable and self._missing(self.unreadable, table, start, count):
            return None
        data = bytes(self.raw[table][2 * start : 2 * (start + count)])
        return self._overlaid(table, 2 * start, data) if self.overlays else data

    def _overlaid(self, table: str, first_byte: int, data: bytes) -> bytes:
        """``data`` with what lying points show; a point that is only partly in it shows that part."""
        whole = bytearray(self.raw[table])
        for overlay in self.overlays:
            cell = overlay.cell
            if cell is not None and self._points[overlay.point].table == table:
                span = slice(cell.position, cell.position + cell.size)
                true = bytes(whole[span])
                whole[span] = cell.merged(true, overlay.show(true, self.now_ns))
        return bytes(whole[first_byte : first_byte + len(data)])

    def read_words(self, table: str, address: int, count: int, true: bool = False) -> list[int] | None:
        """Registers as ints, None when one of them doesn't exist; ``true``: as they are, whatever lies."""
        start = address - self.first[table]
        if start < 0 or start + count > self.length[table]:
            return None
        if self.unreadable and not true and self._missing(self.unreadable, table, start, count):
            return None
        if self.overlays and not true:
            data = self.read_raw(table, address, count) or b""
            return [data[i] << 8 | data[i + 1] for i in range(0, len(data), 2)]
        words: list[int] = self.words[table][start : start + count].tolist()
        return words

    def read_bits(self, table: str, address: int, count: int, true: bool = False) -> list[bool] | None:
        """Coils or discrete inputs, None when one of them doesn't exist; ``true``: as they are."""
        start = address - self.first[table]
        if start < 0 or start + count > self.length[table]:
            return None
        if self.unreadable and not true and self._missing(self.unreadable, table, start, count):
            return None
        bits: list[bool] = self.bits[table][start : start + count].tolist()
        for overlay in () if true else self.overlays:
            point = self._points[overlay.point]
            at = point.address - address
            if point.table == table and 0 <= at < count:
                bits[at] = overlay.show(bytes((bits[at],)), self.now_ns) != b"\0"
        return bits

    @staticmethod
    def _missing(gone: dict[str, bytearray], table: str, start: int, count: int) -> bool:
        """Is one of these addresses among those that don't exist?"""
        mine = gone.get(table)
        return mine is not None and 1 in mine[start : start + count]

    def writable(self, table: str, address: int, count: int) -> bool:
        """Do all of these registers or coils belong to points that can be written?"""
        mine = [
            (point.address, point.address + point.width)
            for point in self._points
            if point.writable and point.table == table
        ]
        return all(any(low <= one < high for low, high in mine) for one in range(address, address + count))

    def write(self, table: str, address: int, values: list[int]) -> bool:
        """Write registers or coils; False when one of them doesn't exist (then none is written)."""
        start = address - self.first[table]
        if start < 0 or start + len(values) > self.length[table]:
            return False
        if self.unwritable and self._missing(self.unwritable, table, start, len(values)):
            return False
        (self.bits if table in self.bits else self.words)[table][start : start + len(values)] = values
        return True
