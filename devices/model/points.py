"""Points: where a value of a device lies in its registers, and what it means.

Belongs here: a point's place, meaning and limits. Never: types (encodings.py), how a value lies in registers
(cell.py), what registers hold (registers.py), what a value does (signal.py).
"""

from __future__ import annotations

from typing import NamedTuple

from twinloop.devices.model.encodings import ENCODINGS, TEXT, TEXT_REGISTERS_MAX, TYPES
from twinloop.devices.model.signal import Signal
from twinloop.records import dataclass

TABLES = ("coil", "discrete", "holding", "input")
BITS = ("coil", "discrete")
"""those whose addresses are bits"""
REGISTERS = ("holding", "input")
"""those whose addresses are registers"""
CONSTANT = Signal()
WITH_FIELDS = ("u16", "i16", "u32", "i32", "u64", "i64")
"""types of which a point may be some bits"""
WHOLE = ("u64", "i64", "bcd64", "mod10k64")
"""types with more digits than a double has"""
SENTINELS_MAX = 4
"""of one point: as many as modbus-driver keeps"""
ORDERS = ("be", "sw", "bs", "le", "sw32", "ds", "le32", "dsbs")
"""ABCD, CDAB (words swapped), BADC (bytes swapped), DCBA; of 64 bits also CDABGHEF (words of each half
swapped), EFGHABCD (halves swapped), DCBAHGFE (bytes of each half reversed), FEHGBADC (halves swapped, and
bytes)"""
ORDERS_64 = ORDERS[4:]
"""those of 64 bits only"""


@dataclass(frozen=True, slots=True)
class ServerNode:
    """A point's node of an OPC UA server. ``id``: NodeId as text, empty: made of the point's name; ``type``:
    built-in type, empty: follows from the register's; ``uri``: of the namespace, if another server may have
    that at another index."""

    id: str = ""
    type: str = ""
    uri: str = ""


BY_NAME = ServerNode()


class Text(NamedTuple):
    """A text in ``registers`` of two bytes each."""

    registers: int
    content: str = ""


class Power(NamedTuple):
    """A live power of ten: that point of the same device and table, at that address."""

    point: str
    address: int


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
    node: ServerNode = BY_NAME
    """where it is found over OPC UA"""
    nan: tuple[int, ...] = ()
    """its sentinels: bit patterns of its registers (of its field, if it is one), as one big-endian number,
    that mean that there is no value"""
    bits: tuple[int, int] | None = None
    """it is a field of its registers: the first bit, counted from the lowest, and how many"""
    text: Text | None = None
    """of type text: its room, and what it is"""
    power: Power | None = None
    """what scales it, too: value = raw * scale * 10^power + offset"""
    readable: bool = True
    """False: it can be written only"""
    view: bool = False
    """other points lie in its registers: it shows what they make of them, and has no signal"""

    @property
    def width(self) -> int:
        """Registers (or coils) it takes."""
        if self.table in BITS:
            return 1
        if self.type == TEXT:
            return 1 if self.text is None else self.text.registers
        return ENCODINGS[self.type].registers

    @property
    def field(self) -> tuple[int, int] | None:
        """(first bit, how many) of its registers that are its own, None for all."""
        if self.table in BITS or self.type == TEXT:
            return None
        of_type = ENCODINGS[self.type].field
        return self.bits or ((0, of_type) if of_type else None)

    @property
    def moves(self) -> bool:
        """Does its signal, or its model's process, move it?"""
        return not (self.writable or self.view or self.type == TEXT)

    @property
    def plain(self) -> bool:
        """Is it all of its registers, and is its value told by them alone?"""
        return self.table not in BITS and self.type != TEXT and self.field is None and self.power is None

    @property
    def exact(self) -> bool:
        """Its values are ints: a float counts by ones up to 2^53 only, and 64 bits hold more."""
        return self.type in WHOLE and self.plain and self.scale == 1.0 and not self.offset

    def whole(self, value: float) -> float:
        """An int where it is exact and the value is whole; else a float."""
        return int(value) if self.exact and value == value // 1 else float(value)

    def check(self) -> None:
        """Raises ValueError for a table, type, order or number that can't be."""
        for what, value, known in (
            ("table", self.table, TABLES),
            ("type", self.type, TYPES),
            ("order", self.order, ORDERS),
        ):
            if value not in known:
                raise ValueError(f"unknown {what} {value!r}; known: {', '.join(known)}")
        if not 0 <= self.address <= 65_536 - self.width:
            raise ValueError(f"address {self.address} with {self.width} registers; 0 to 65535 exist")
        if self.order in ORDERS_64 and self.width != 4:
            raise ValueError(f"order {self.order} is of 64 bits, and {self.type} has {16 * self.width}")
        self._check_bits()
        if not self.scale or self.scale - self.scale != 0.0 or self.offset - self.offset != 0.0:
            raise ValueError(f"scale {self.scale} and offset {self.offset}: finite numbers, and scale not 0")
        for sentinel in self.nan:
            bits = self.field[1] if self.field else 16 * self.width
            if self.table in BITS or self.type == TEXT or not 0 <= sentinel < 1 << bits:
                raise ValueError(
                    f"sentinel {sentinel:#x}: expected the {bits} bits of its registers, and no coil and no "
                    f"text has one"
                )
        if len(self.nan) > SENTINELS_MAX:
            raise ValueError(f"{len(self.nan)} sentinels; at most {SENTINELS_MAX} are taken")
        self.signal.check()

    def _check_bits(self) -> None:
        """Raises ValueError for a field, a text or a live scale that can't be."""
        if self.bits is not None:
            first, count = self.bits
            if self.table in BITS or self.type not in WITH_FIELDS:
                raise ValueError(f"bits are taken of {', '.join(WITH_FIELDS)} registers, not of {self.type}")
            if first < 0 or count < 1 or first + count > 16 * self.width:
                last = 16 * self.width - 1
                raise ValueError(f"bits {first} to {first + count - 1}: {self.type} has the bits 0 to {last}")
        if (self.type == TEXT) != (self.text is not None):
            raise ValueError(f"a point of type text, and no other, has a text; this is {self.type}")
        if self.text is not None:
            self._check_text(self.text)
        if self.power is not None and self.table in BITS:
            raise ValueError("a bit is not scaled")

    def _check_text(self, text: Text) -> None:
        size = len(text.content.encode())
        if self.table in BITS:
            raise ValueError(f"a text lies in registers, not in a {self.table}")
        if not 1 <= text.registers <= TEXT_REGISTERS_MAX or size > 2 * text.registers:
            raise ValueError(
                f"a text of {size} bytes in {text.registers} registers: a register holds 2 bytes, and 1 to "
                f"{TEXT_REGISTERS_MAX} are read at once"
            )
        if self.order not in ("be", "bs"):
            raise ValueError(f"a text's order is be or bs (bytes of each register swapped), not {self.order}")
        if (self.scale, self.offset, self.power, self.low, self.high) != (1.0, 0.0, None, None, None):
            raise ValueError("a text has no scale, offset and limits")

    def address_text(self) -> str:
        """In modbus-driver's syntax: ``holding:40:f32:be``, ``coil:3``."""
        only = "" if self.readable else ":write-only"
        if self.table in BITS:
            return f"{self.table}:{self.address}{only}"
        length = "" if self.text is None else str(self.text.registers)
        bits = f":bits={self.bits[0]}+{self.bits[1]}" if self.bits else ""
        power = "" if self.power is None else f":power={self.power.address}"
        return f"{self.table}:{self.address}:{self.type}{length}:{self.order}{bits}{power}{only}"
