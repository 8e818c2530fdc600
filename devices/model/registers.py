"""Register images: the four Modbus tables of one device, and how an engineering value lies in registers.

Belongs here: tables, types, word orders. Never: function codes (server.py) or what a value does (signal.py).
Addresses are the protocol's own, from 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from typing import TYPE_CHECKING, Any

import numpy as np

from twinloop.devices.model.signal import Signal

if TYPE_CHECKING:
    from twinloop.devices.model.overlay import Overlay

TABLES = ("coil", "discrete", "holding", "input")
WIDTHS = {"u16": 1, "i16": 1, "u32": 2, "i32": 2, "u64": 4, "i64": 4, "f32": 2, "f64": 4}
"""type -> registers"""
CONSTANT = Signal()
_EMPTY: np.ndarray[Any, Any] = np.zeros(0, np.uint16)
TYPE_CODES = {"u16": "H", "i16": "h", "u32": "I", "i32": "i", "u64": "Q", "i64": "q", "f32": "f", "f64": "d"}
"""type -> struct code"""
_STRUCTS = {kind: Struct(f">{code}") for kind, code in TYPE_CODES.items()}
F32_MAX = 3.4028234663852886e38
"""largest finite f32 (IEEE 754 binary32)"""
INFINITY = float("inf")
SENTINELS_MAX = 4
"""of one point: as many as modbus-driver keeps"""
ORDERS = ("be", "sw", "bs", "le")
"""ABCD, CDAB (words swapped), BADC (bytes swapped), DCBA"""


@dataclass(frozen=True, slots=True)
class Point:
    """One point of a device model: where it lies, what it means, what it does. value = raw * scale + offset."""

    name: str
    table: str
    address: int
    type: str = "u16"
    order: str = "be"
    unit: str = ""
    scale: float = 1.0
    offset: float = 0.0
    low: float | None = None
    high: float | None = None
    signal: Signal = CONSTANT
    writable: bool = False
    """a written value stays: the signal is only its first one"""
    output: str = ""
    """the output of its model's process that it shows, instead of a signal"""
    node: str = ""
    """its OPC UA NodeId as text, if that isn't made of its name"""
    node_type: str = ""
    """its built-in type there, if that doesn't follow from the register's"""
    node_uri: str = ""
    """the URI of its NodeId's namespace, if another server may have that at another index"""
    nan: tuple[int, ...] = ()
    """its sentinels: bit patterns of its registers, as one big-endian number, that mean that there is no value"""

    @property
    def width(self) -> int:
        """Registers (or coils) it takes."""
        return 1 if self.table in ("coil", "discrete") else WIDTHS[self.type]

    def check(self) -> None:
        """Raises ValueError for a table, type, order or number that can't be."""
        for what, value, known in (("table", self.table, TABLES), ("type", self.type, tuple(WIDTHS)), ("order", self.order, ORDERS)):
            if value not in known:
                raise ValueError(f"unknown {what} {value!r}; known: {', '.join(known)}")
        if not 0 <= self.address <= 65_536 - self.width:
            raise ValueError(f"address {self.address} with {self.width} registers; 0 to 65535 exist")
        if not self.scale or self.scale - self.scale != 0.0 or self.offset - self.offset != 0.0:
            raise ValueError(f"scale {self.scale} and offset {self.offset}: finite numbers, and scale not 0")
        for sentinel in self.nan:
            if self.table in ("coil", "discrete") or not 0 <= sentinel < 1 << 16 * self.width:
                raise ValueError(f"sentinel {sentinel:#x}: expected the {16 * self.width} bits of its registers, and no coil has one")
        if len(self.nan) > SENTINELS_MAX:
            raise ValueError(f"{len(self.nan)} sentinels; at most {SENTINELS_MAX} are taken")
        self.signal.check()

    def address_text(self) -> str:
        """In modbus-driver's syntax: ``holding:40:f32:be``, ``input:0:u16:be:nan=0xFFFF``, ``coil:3``."""
        if self.table in ("coil", "discrete"):
            return f"{self.table}:{self.address}"
        sentinels = "".join(f":nan=0x{one:0{4 * self.width}X}" for one in self.nan)
        return f"{self.table}:{self.address}:{self.type}:{self.order}{sentinels}"


class Cell:
    """How one point lies in its table: ``size`` bytes from ``position``."""

    __slots__ = ("floating", "high", "low", "offset", "order", "position", "scale", "sentinels", "signed", "size", "struct")

    def __init__(self, point: Point, first: int) -> None:
        self.struct = _STRUCTS[point.type]
        self.size = self.struct.size
        self.position = 2 * (point.address - first)
        self.order = point.order
        self.floating = point.type[0] == "f"
        self.scale, self.offset = point.scale, point.offset
        bits = 16 * point.width
        self.signed = point.type[0] != "u"
        self.low, self.high = (0, (1 << bits) - 1) if point.type[0] == "u" else (-(1 << bits - 1), (1 << bits - 1) - 1)
        self.sentinels = tuple(self._ordered(one.to_bytes(self.size, "big")) for one in point.nan)
        """what its registers hold when there is no value, by the point's own statement"""

    def _ordered(self, data: bytes) -> bytes:
        return data if self.order == "be" else reorder(data, self.order)

    def encode(self, value: float) -> bytes:
        """Registers for an engineering value; integers are rounded and saturate, as a sensor's converter does."""
        raw: Any = (value - self.offset) / self.scale
        if not self.floating:
            raw = self.low if raw != raw else self.low if raw < self.low else self.high if raw > self.high else round(raw)  # noqa: PLR0124  # NaN
        elif self.size == 4 and (raw > F32_MAX or raw < -F32_MAX):
            raw = INFINITY if raw > 0 else -INFINITY
        data = self.struct.pack(raw)
        return data if self.order == "be" else reorder(data, self.order)

    def decode(self, data: bytes) -> float:
        """The engineering value of its registers."""
        number = self.struct.unpack(data if self.order == "be" else reorder(data, self.order))[0]
        return float(number) * self.scale + self.offset

    @property
    def not_a_number(self) -> bytes:
        """Its first sentinel, if it states one; else NaN; of an integer what SunSpec reserves for a point that isn't implemented: 0x8000
        if signed, 0xFFFF if not (pysunspec2, sunspec2/mb.py, SUNS_UNIMPL_*)."""
        if self.sentinels:
            return self.sentinels[0]
        if self.floating:
            return self.struct.pack(float("nan")) if self.order == "be" else reorder(self.struct.pack(float("nan")), self.order)
        number = self.low if self.signed else self.high
        return self.struct.pack(number) if self.order == "be" else reorder(self.struct.pack(number), self.order)


def reorder(data: bytes, order: str) -> bytes:
    """Big-endian bytes into another word order (and back: each order is its own inverse)."""
    if order == "le":
        return data[::-1]
    words = [data[i : i + 2] for i in range(0, len(data), 2)]
    if order == "sw":
        words.reverse()
    elif order == "bs":
        words = [word[::-1] for word in words]
    return b"".join(words)


class RegisterImage:
    """The tables of one device. ``first[table]`` is the lowest address that exists, length follows from the points.

    ``words[table]``: (n,) big-endian uint16 over the same memory as ``raw[table]``; ``bits[table]``: (n,) bool. ``room``: memory
    for ``raw`` that is somebody else's and holds the constants already (fleet.py).
    """

    def __init__(
        self, points: tuple[Point, ...], constants: dict[tuple[str, int], int], room: dict[str, memoryview] | None = None
    ) -> None:
        self.first: dict[str, int] = {}
        self.length: dict[str, int] = {}
        self.raw: dict[str, bytearray | memoryview] = {}
        self.words: dict[str, np.ndarray[Any, Any]] = {}
        self.bits: dict[str, np.ndarray[Any, Any]] = {}
        spans = [(p.table, p.address, p.width) for p in points] + [(table, address, 1) for table, address in constants]
        for table in TABLES:
            mine = [(address, address + width) for name, address, width in spans if name == table]
            first = self.first[table] = min((low for low, _ in mine), default=0)
            length = self.length[table] = max((high for _, high in mine), default=0) - first
            if table in ("coil", "discrete"):
                self.bits[table] = np.zeros(length, np.bool_) if length else _EMPTY
            else:
                self.raw[table] = bytearray(2 * length) if room is None else room[table]
                self.words[table] = np.frombuffer(self.raw[table], ">u2") if length else _EMPTY
        for (table, address), value in constants.items():
            self.words[table][address - self.first[table]] = value
        self._cells = [None if p.table in self.bits else Cell(p, self.first[p.table]) for p in points]
        self._points = points
        self.overlays: list[Overlay] = []
        """sensors that lie, in the order in which they began"""
        self.now_ns = 0
        """the instant for which overlays are asked; its device keeps it"""

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
        self.raw[point.table][cell.position : cell.position + cell.size] = cell.encode(value)

    def value(self, index: int) -> float:
        """The engineering value of a point as it is, whatever lies."""
        cell, point = self._cells[index], self._points[index]
        if cell is None:
            return float(self.bits[point.table][point.address - self.first[point.table]])
        raw = self.raw[point.table]
        if cell.order == "be":
            return float(cell.struct.unpack_from(raw, cell.position)[0]) * cell.scale + cell.offset
        return cell.decode(bytes(raw[cell.position : cell.position + cell.size]))

    def read_raw(self, table: str, address: int, count: int) -> bytes | None:
        """Registers as they go over the wire, None when one of them doesn't exist."""
        start = address - self.first[table]
        if start < 0 or start + count > self.length[table]:
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
                whole[span] = overlay.show(bytes(whole[span]), self.now_ns)
        return bytes(whole[first_byte : first_byte + len(data)])

    def read_words(self, table: str, address: int, count: int, true: bool = False) -> list[int] | None:
        """Registers as ints, None when one of them doesn't exist; ``true``: as they are, whatever lies."""
        start = address - self.first[table]
        if start < 0 or start + count > self.length[table]:
            return None
        if self.overlays and not true:
            data = self.read_raw(table, address, count) or b""
            return [data[i] << 8 | data[i + 1] for i in range(0, len(data), 2)]
        words: list[int] = self.words[table][start : start + count].tolist()
        return words

    def read_bits(self, table: str, address: int, count: int) -> list[bool] | None:
        """Coils or discrete inputs, None when one of them doesn't exist."""
        start = address - self.first[table]
        if start < 0 or start + count > self.length[table]:
            return None
        bits: list[bool] = self.bits[table][start : start + count].tolist()
        for overlay in self.overlays:
            point = self._points[overlay.point]
            at = point.address - address
            if point.table == table and 0 <= at < count:
                bits[at] = overlay.show(bytes((bits[at],)), self.now_ns) != b"\0"
        return bits

    def writable(self, table: str, address: int, count: int) -> bool:
        """Do all of these registers or coils belong to points that can be written?"""
        mine = [(point.address, point.address + point.width) for point in self._points if point.writable and point.table == table]
        return all(any(low <= one < high for low, high in mine) for one in range(address, address + count))

    def write(self, table: str, address: int, values: list[int]) -> bool:
        """Write registers or coils; False when one of them doesn't exist (then none is written)."""
        start = address - self.first[table]
        if start < 0 or start + len(values) > self.length[table]:
            return False
        (self.bits if table in self.bits else self.words)[table][start : start + len(values)] = values
        return True
