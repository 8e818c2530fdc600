"""Points, and how an engineering value lies in registers.

Belongs here: types, word orders, a point's place. Never: what registers hold (registers.py), what a value
does (signal.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from typing import Any

import numpy as np

from twinloop.devices.model.signal import Signal

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
    """One point of a device model: where it lies, what it means, what it does. value = raw * scale +
    offset."""

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
    """its sentinels: bit patterns of its registers, as one big-endian number, that mean that there is no
    value"""

    @property
    def width(self) -> int:
        """Registers (or coils) it takes."""
        return 1 if self.table in ("coil", "discrete") else WIDTHS[self.type]

    @property
    def exact(self) -> bool:
        """Its values are ints: a float counts by ones up to 2^53 only, and 64 bits hold more."""
        return self.type in ("u64", "i64") and self.width == 4 and self.scale == 1.0 and not self.offset

    def whole(self, value: float) -> float:
        """An int where it is exact and the value is whole; else a float."""
        return int(value) if self.exact and value == value // 1 else float(value)

    def check(self) -> None:
        """Raises ValueError for a table, type, order or number that can't be."""
        for what, value, known in (
            ("table", self.table, TABLES),
            ("type", self.type, tuple(WIDTHS)),
            ("order", self.order, ORDERS),
        ):
            if value not in known:
                raise ValueError(f"unknown {what} {value!r}; known: {', '.join(known)}")
        if not 0 <= self.address <= 65_536 - self.width:
            raise ValueError(f"address {self.address} with {self.width} registers; 0 to 65535 exist")
        if not self.scale or self.scale - self.scale != 0.0 or self.offset - self.offset != 0.0:
            raise ValueError(f"scale {self.scale} and offset {self.offset}: finite numbers, and scale not 0")
        for sentinel in self.nan:
            if self.table in ("coil", "discrete") or not 0 <= sentinel < 1 << 16 * self.width:
                raise ValueError(
                    f"sentinel {sentinel:#x}: expected the {16 * self.width} bits of its registers, and no "
                    f"coil has one"
                )
        if len(self.nan) > SENTINELS_MAX:
            raise ValueError(f"{len(self.nan)} sentinels; at most {SENTINELS_MAX} are taken")
        self.signal.check()

    def address_text(self) -> str:
        """In modbus-driver's syntax: ``holding:40:f32:be``, ``coil:3``."""
        if self.table in ("coil", "discrete"):
            return f"{self.table}:{self.address}"
        return f"{self.table}:{self.address}:{self.type}:{self.order}"


class Cell:
    """How one point lies in its table: ``size`` bytes from ``position``."""

    __slots__ = (
        "exact",
        "floating",
        "high",
        "low",
        "offset",
        "order",
        "position",
        "scale",
        "sentinels",
        "signed",
        "size",
        "struct",
    )

    def __init__(self, point: Point, first: int) -> None:
        self.struct = _STRUCTS[point.type]
        self.size = self.struct.size
        self.position = 2 * (point.address - first)
        self.order = point.order
        self.floating = point.type[0] == "f"
        self.scale, self.offset = point.scale, point.offset
        bits = 16 * point.width
        self.signed = point.type[0] != "u"
        self.low, self.high = (
            (0, (1 << bits) - 1) if point.type[0] == "u" else (-(1 << bits - 1), (1 << bits - 1) - 1)
        )
        self.exact = point.exact
        self.sentinels = tuple(self._ordered(one.to_bytes(self.size, "big")) for one in point.nan)
        """what its registers hold when there is no value, by the point's own statement"""

    def _ordered(self, data: bytes) -> bytes:
        return data if self.order == "be" else reorder(data, self.order)

    def encode(self, value: float) -> bytes:
        """Registers for an engineering value; integers are rounded and saturate, as a sensor's converter
        does."""
        raw: Any = value
        if not self.exact or type(value) is not int:
            raw = (value - self.offset) / self.scale
        if not self.floating:
            if raw >= self.low:
                raw = self.high if raw > self.high else round(raw)
            else:  # NaN too: it compares as false
                raw = self.low
        elif self.size == 4 and (raw > F32_MAX or raw < -F32_MAX):
            raw = INFINITY if raw > 0 else -INFINITY
        data = self.struct.pack(raw)
        return data if self.order == "be" else reorder(data, self.order)

    def decode(self, data: bytes) -> float:
        """The engineering value of its registers; an int where it is ``exact``."""
        number = self.struct.unpack(data if self.order == "be" else reorder(data, self.order))[0]
        if self.exact:
            whole: int = number
            return whole
        return float(number) * self.scale + self.offset

    @property
    def not_a_number(self) -> bytes:
        """Its first sentinel, if it states one; else NaN; of an integer what SunSpec reserves for a point
        that isn't implemented: 0x8000 if signed, 0xFFFF if not (pysunspec2, sunspec2/mb.py,
        SUNS_UNIMPL_*)."""
        if self.sentinels:
            return self.sentinels[0]
        if self.floating:
            return (
                self.struct.pack(float("nan"))
                if self.order == "be"
                else reorder(self.struct.pack(float("nan")), self.order)
            )
        number = self.low if self.signed else self.high
        return (
            self.struct.pack(number) if self.order == "be" else reorder(self.struct.pack(number), self.order)
        )


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
