"""Types: how a raw number lies in big-endian registers.

Belongs here: one encoding a type, its range, its bytes. Never: orders of bytes and words, scales (points.py).
Integers and floats follow IEEE 754 and two's complement. Binary coded decimals have four bits a digit. Modulo
10000 has four digits a register, each register signed (as power meters of several makers have their energy).
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct

from twinloop.records import dataclass

F32_MAX = 3.4028234663852886e38
"""largest finite f32 (IEEE 754 binary32)"""
F16_MAX = 65504.0
"""largest finite f16 (IEEE 754 binary16)"""
INFINITY = float("inf")
NAN = float("nan")
TEXT = "text"
"""the type whose points are texts; ``length`` of a point says how many registers"""
TEXT_REGISTERS_MAX = 125
"""what one request reads"""


@dataclass(frozen=True, slots=True)
class Encoding:
    """One type. ``pack``: a raw number within ``low`` to ``high`` -> bytes; ``unpack``: the reverse, NaN for
    bytes that are no number of the type. ``code``: of struct, empty where struct has none.

    ``field``: the low bits of its registers that it takes, 0: all of them. ``floating``: no integer.
    """

    name: str
    registers: int
    low: float
    high: float
    pack: Callable[[float], bytes]
    unpack: Callable[[bytes], float]
    code: str = ""
    floating: bool = False
    field: int = 0

    @property
    def signed(self) -> bool:
        """Has it negative numbers?"""
        return self.low < 0


def _of_struct(name: str, code: str) -> Encoding:
    struct = Struct(f">{code}")
    bits = 8 * struct.size
    if name[0] == "f":
        low, high = -INFINITY, INFINITY
    else:
        low, high = (0, (1 << bits) - 1) if name[0] == "u" else (-(1 << bits - 1), (1 << bits - 1) - 1)

    def unpack(data: bytes) -> float:
        number: float = struct.unpack(data)[0]
        return number

    return Encoding(name, struct.size // 2, low, high, struct.pack, unpack, code, name[0] == "f")


def _of_bits(name: str, registers: int, bits: int) -> Encoding:
    """An integer in the low bits of its registers; the others aren't its own."""
    signed, mask, size = name[0] == "i", (1 << bits) - 1, 2 * registers
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, mask)

    def unpack(data: bytes) -> float:
        number = int.from_bytes(data, "big") & mask
        return number - (mask + 1) if signed and number >> bits - 1 else number

    field = 0 if bits == 16 * registers else bits
    return Encoding(
        name, registers, low, high, lambda n: (int(n) & mask).to_bytes(size, "big"), unpack, "", False, field
    )


def _bcd(registers: int) -> Encoding:
    digits = 4 * registers

    def unpack(data: bytes) -> float:
        text = data.hex()
        return int(text) if text.isdigit() else NAN

    return Encoding(
        f"bcd{16 * registers}",
        registers,
        0,
        10**digits - 1,
        lambda n: bytes.fromhex(f"{int(n):0{digits}d}"),
        unpack,
    )


def _modulo(registers: int) -> Encoding:
    most = 10_000**registers - 1

    def pack(n: float) -> bytes:
        sign, rest = (-1 if n < 0 else 1), abs(int(n))
        words = []
        for _ in range(registers):
            rest, word = divmod(rest, 10_000)
            words.append((sign * word & 0xFFFF).to_bytes(2, "big"))
        return b"".join(reversed(words))

    def unpack(data: bytes) -> float:
        total = 0
        for at in range(0, len(data), 2):
            word = int.from_bytes(data[at : at + 2], "big", signed=True)
            if not -10_000 < word < 10_000:
                return NAN
            total = total * 10_000 + word
        return total

    return Encoding(f"mod10k{16 * registers}", registers, -most, most, pack, unpack)


ENCODINGS = {
    one.name: one
    for one in (
        _of_struct("u16", "H"),
        _of_struct("i16", "h"),
        _of_struct("u32", "I"),
        _of_struct("i32", "i"),
        _of_struct("u64", "Q"),
        _of_struct("i64", "q"),
        _of_struct("f32", "f"),
        _of_struct("f64", "d"),
        _of_bits("u8", 1, 8),
        _of_bits("i8", 1, 8),
        _of_bits("u24", 2, 24),
        _of_bits("i24", 2, 24),
        _of_bits("u48", 3, 48),
        _of_bits("i48", 3, 48),
        _of_struct("f16", "e"),
        *(_bcd(registers) for registers in (1, 2, 3, 4)),
        *(_modulo(registers) for registers in (2, 3, 4)),
    )
}
"""by name"""
NO_DIGITS = {name: b"\xff" if name[0] == "b" else b"\x80" for name in ENCODINGS if name[:3] in ("bcd", "mod")}
"""a type of decimal digits -> a byte that makes registers full of it no number: 0xFF is no digit, and 0x8080
as a signed number is beyond four digits"""
TYPES = (*ENCODINGS, TEXT)
"""all names"""
EVERYWHERE = ("u16", "i16", "u32", "i32", "u64", "i64", "f32", "f64")
"""those that numpy and struct have, too: a whole fleet of them is moved at once"""
