"""How an engineering value lies in registers: its scale, its bytes, their order, its bits among others.

Belongs here: values to registers and back. Never: types (encodings.py), what registers hold (registers.py).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from struct import Struct

from twinloop.devices.model.encodings import (
    ENCODINGS,
    F16_MAX,
    F32_MAX,
    INFINITY,
    NAN,
    NO_DIGITS,
)
from twinloop.devices.model.points import ORDERS_64, Point

_FLOAT_MAX = {"f16": F16_MAX, "f32": F32_MAX}
POWERS = tuple(float(10**n) for n in range(23))
"""of ten that a double holds exactly"""


@cache
def _struct(code: str) -> Struct:
    return Struct(f">{code}")


def scaled(value: float, power: int) -> float:
    """``value`` * 10^``power``, rounded once; NaN beyond 22."""
    if not -len(POWERS) < power < len(POWERS):
        return NAN
    return value * POWERS[power] if power >= 0 else value / POWERS[-power]


class Cell:
    """How one point lies in its table: ``size`` bytes from ``position``. ``power``: asks for the power of ten
    that a live scale has now; None without one."""

    __slots__ = (
        "encoding",
        "exact",
        "field",
        "floating",
        "high",
        "low",
        "mask",
        "offset",
        "order",
        "position",
        "power",
        "quick",
        "scale",
        "sentinels",
        "signed",
        "size",
        "struct",
        "text",
    )

    def __init__(self, point: Point, first: int) -> None:
        self.size = 2 * point.width
        self.position = 2 * (point.address - first)
        self.order = point.order
        self.scale, self.offset = point.scale, point.offset
        self.exact = point.exact
        self.power: Callable[[], int] | None = None
        self.text = point.text is not None
        self.encoding = encoding = ENCODINGS["u16" if self.text else point.type]
        self.struct = _struct(encoding.code) if encoding.code and not self.text else None
        self.quick = point.plain and self.order == "be" and self.struct is not None and not self.exact
        """its value is one of struct's, scaled"""
        self.floating = encoding.floating
        self.signed = encoding.signed
        self.low, self.high = encoding.low, encoding.high
        self.field = point.field
        self.mask: bytes | None = None
        """a field's own bits, in the order of its registers"""
        if self.field is not None:
            begin, count = self.field
            self.mask = self._ordered((((1 << count) - 1) << begin).to_bytes(self.size, "big"))
            self.low, self.high = (
                (-(1 << count - 1), (1 << count - 1) - 1) if self.signed else (0, (1 << count) - 1)
            )
        self.sentinels = tuple(self._ordered(self._placed(one)) for one in point.nan)
        """what its registers hold when there is no value, by the point's own statement"""

    def _placed(self, bits: int) -> bytes:
        return (bits << self.field[0] if self.field else bits).to_bytes(self.size, "big")

    def _ordered(self, data: bytes) -> bytes:
        return data if self.order == "be" else reorder(data, self.order)

    # ---- values ----------------------------------------------------------------------------------
    def encode(self, value: float) -> bytes:
        """Registers for an engineering value; integers are rounded and saturate, as a sensor's converter
        does. Of a field the other bits are 0."""
        raw = value
        if not self.exact or type(value) is not int:
            raw = (value - self.offset) / self.scale
            if self.power is not None:
                raw = scaled(raw, -self.power())
        if not self.floating:
            if raw >= self.low:
                raw = self.high if raw > self.high else round(raw)
            else:  # NaN too: it compares as false
                raw = self.low
        elif self.size < 8:
            most = _FLOAT_MAX[self.encoding.name]
            if raw > most or raw < -most:
                raw = INFINITY if raw > 0 else -INFINITY
        if self.field is not None:
            return self._ordered(self._placed(int(raw) & (1 << self.field[1]) - 1))
        data = self.encoding.pack(raw)
        return data if self.order == "be" else reorder(data, self.order)

    def raw(self, data: bytes) -> float:
        """The raw number of its registers; NaN when they hold none of its type."""
        if self.order != "be":
            data = reorder(data, self.order)
        if self.field is None:
            return self.encoding.unpack(data)
        begin, count = self.field
        number = int.from_bytes(data, "big") >> begin & (1 << count) - 1
        return number - (1 << count) if self.signed and number >> count - 1 else number

    def decode(self, data: bytes, power: int | None = None) -> float:
        """The engineering value of its registers; an int where it is ``exact``. ``power``: of ten, if the
        live scale isn't to be asked."""
        number = self.raw(data)
        if self.exact:
            return number
        if self.power is not None:
            return scaled(float(number) * self.scale, self.power() if power is None else power) + self.offset
        return float(number) * self.scale + self.offset

    def is_none(self, data: bytes) -> bool:
        """Do its registers hold one of its sentinels?"""
        if not self.sentinels:
            return False
        return (data if self.mask is None else masked(data, self.mask)) in self.sentinels

    def merged(self, there: bytes, data: bytes) -> bytes:
        """``data`` for its own bits, ``there`` for those of others."""
        if self.mask is None:
            return data
        others = bytes(byte ^ 0xFF for byte in self.mask)
        return bytes(a | b for a, b in zip(masked(there, others), masked(data, self.mask), strict=True))

    # ---- texts -----------------------------------------------------------------------------------
    def encode_text(self, text: str) -> bytes:
        """Registers for a text, filled up with zeros; what has no room is cut off."""
        return self._ordered(text.encode()[: self.size].ljust(self.size, b"\0"))

    def decode_text(self, data: bytes) -> str | None:
        """The text of its registers up to the first zero byte, without the blanks that fill it up; None for
        what isn't UTF-8."""
        plain = (data if self.order == "be" else reorder(data, self.order)).partition(b"\0")[0]
        try:
            return plain.decode().rstrip(" ")
        except UnicodeDecodeError:
            return None

    @property
    def not_a_number(self) -> bytes:
        """Its first sentinel, if it states one; else NaN; of an integer what SunSpec reserves for a point
        that isn't implemented: 0x8000 if signed, 0xFFFF if not (pysunspec2, sunspec2/mb.py,
        SUNS_UNIMPL_*); of decimals what is no digit."""
        if self.sentinels:
            return self.sentinels[0]
        if self.floating:
            return self._ordered(self.encoding.pack(NAN))
        if self.encoding.name in NO_DIGITS:
            return NO_DIGITS[self.encoding.name] * self.size
        number = int(self.low if self.signed else self.high)
        if self.field is not None:
            return self._ordered(self._placed(number & (1 << self.field[1]) - 1))
        return self._ordered(self.encoding.pack(number))


def masked(data: bytes, mask: bytes) -> bytes:
    """The bits of ``data`` that are set in ``mask``; they have one length."""
    return (int.from_bytes(data, "big") & int.from_bytes(mask, "big")).to_bytes(len(data), "big")


def reorder(data: bytes, order: str) -> bytes:
    """Big-endian bytes into another word order (and back: each order is its own inverse)."""
    if order == "le":
        return data[::-1]
    words = [data[i : i + 2] for i in range(0, len(data), 2)]
    if order == "sw":
        words.reverse()
    elif order == "bs":
        words = [word[::-1] for word in words]
    elif order in ORDERS_64:
        first, second = data[:4], data[4:]
        if order in ("ds", "dsbs"):
            return reorder(second + first, "bs" if order == "dsbs" else "be")
        inner = "sw" if order == "sw32" else "le"
        return reorder(first, inner) + reorder(second, inner)
    return b"".join(words)
