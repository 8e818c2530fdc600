"""Register images: the four Modbus tables of one device.

Belongs here: tables and what they hold. Never: function codes (server.py), types and word orders (points.py).
Addresses are the protocol's own, from 0.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from typing import TYPE_CHECKING, Any

import numpy as np

from twinloop.devices.model.cell import Cell
from twinloop.devices.model.layout import Layout
from twinloop.devices.model.points import BITS, REGISTERS, Point, Power

if TYPE_CHECKING:
    from twinloop.devices.model.overlay import Overlay

NO_POWER = 1 << 15
"""no power of ten: what a live scale has that isn't there"""
_EMPTY: np.ndarray[Any, Any] = np.zeros(0, np.uint16)


_Way = tuple[Callable[..., tuple[Any, ...]], bytearray | memoryview, int, float, float]
"""how to unpack a point, from where, its scale and offset"""
_NO_BITS: dict[str, np.ndarray[Any, Any]] = dict.fromkeys(BITS, _EMPTY)
_NO_REGISTERS = bytearray()


class RegisterImage:
    """The tables of one device. ``first[table]`` is the lowest address that exists, length follows from the
    points.

    ``raw[table]``: registers as they go over the wire; ``bits[table]``: (n,) bool. ``room``: memory for
    ``raw`` that is somebody else's and holds the constants already (fleet.py). ``holes``: registers and coils
    that no point and no constant has don't exist; else they read 0. ``like``: an image of the same points,
    constants and holes, made before: how they lie is told once for all of them, since a fleet has thousands.
    """

    __slots__ = ("_cells", "_points", "_ways", "bits", "layout", "now_ns", "overlays", "raw")

    def __init__(
        self,
        points: tuple[Point, ...],
        constants: dict[tuple[str, int], int],
        room: dict[str, memoryview] | None = None,
        holes: bool = False,
        like: RegisterImage | None = None,
    ) -> None:
        layout = Layout(points, constants, holes) if like is None else like.layout
        self.layout: Layout = layout
        self._points = points
        length = layout.length
        self.bits: dict[str, np.ndarray[Any, Any]] = _NO_BITS
        if any(length[table] for table in BITS):
            self.bits = {table: np.zeros(length[table], np.bool_) for table in BITS}
        self.raw: dict[str, bytearray | memoryview] = {}
        for table in REGISTERS:
            size = 2 * length[table]
            self.raw[table] = (bytearray(size) if room is None else room[table]) if size else _NO_REGISTERS
        for (table, address), value in constants.items():
            if table in BITS:
                self.bits[table][address - layout.first[table]] = value
            else:
                at = 2 * (address - layout.first[table])
                self.raw[table][at : at + 2] = value.to_bytes(2, "big")
        self._cells = layout.cells
        if layout.scaled_live:  # how they are read depends on what this device holds
            self._cells = [
                cell if cell is None or point.power is None else self._with_power(copy(cell), point.power)
                for point, cell in zip(points, layout.cells, strict=True)
            ]
        self._ways: list[_Way | None] | None = None
        for point, cell in zip(points, self._cells, strict=True):
            if cell is not None and point.text is not None:
                self._put(point.table, cell, cell.encode_text(point.text.content))
        self.overlays: tuple[Overlay, ...] = ()
        """sensors that lie, in the order in which they began"""
        self.now_ns = 0
        """the instant for which overlays are asked; its device keeps it"""

    @property
    def first(self) -> dict[str, int]:
        """Of each table the lowest address that exists."""
        return self.layout.first

    @property
    def length(self) -> dict[str, int]:
        """Of each table how many registers or bits there are from there on."""
        return self.layout.length

    def _with_power(self, cell: Cell, power: Power) -> Cell:
        cell.power = self._power_of(power.point)
        return cell

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
            self.bits[point.table][point.address - self.layout.first[point.table]] = value != 0
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
            return float(self.bits[point.table][point.address - self.layout.first[point.table]])
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
        layout = self.layout
        start = address - layout.first[table]
        if start < 0 or start + count > layout.length[table]:
            return None
        if layout.unreadable and self._missing(layout.unreadable, table, start, count):
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
        if self.layout.unreadable and not true and self._missing(self.layout.unreadable, table, start, count):
            return None
        if self.overlays and not true:
            data = self.read_raw(table, address, count) or b""
            return [data[i] << 8 | data[i + 1] for i in range(0, len(data), 2)]
        words: list[int] = self._words(table)[start : start + count].tolist()
        return words

    def read_bits(self, table: str, address: int, count: int, true: bool = False) -> list[bool] | None:
        """Coils or discrete inputs, None when one of them doesn't exist; ``true``: as they are."""
        start = address - self.first[table]
        if start < 0 or start + count > self.length[table]:
            return None
        if self.layout.unreadable and not true and self._missing(self.layout.unreadable, table, start, count):
            return None
        bits: list[bool] = self.bits[table][start : start + count].tolist()
        for overlay in () if true else self.overlays:
            point = self._points[overlay.point]
            at = point.address - address
            if point.table == table and 0 <= at < count:
                bits[at] = overlay.show(bytes((bits[at],)), self.now_ns) != b"\0"
        return bits

    def _words(self, table: str) -> np.ndarray[Any, Any]:
        """(n,) big-endian uint16 over the memory of ``raw[table]``: made when it is asked for, since most
        devices are only read."""
        return np.frombuffer(self.raw[table], ">u2") if self.raw[table] else _EMPTY

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
        if self.layout.unwritable and self._missing(self.layout.unwritable, table, start, len(values)):
            return False
        there = self.bits[table] if table in BITS else self._words(table)
        there[start : start + len(values)] = values
        return True
