"""What registers may mean, by what they held in several looks: a type each, and the reason for it.

Belongs here: guesses. Never: asking (mapping.py). Registers don't say their types: each guess is one, and its
reason is for who compares it with the datasheet.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Sequence
from itertools import pairwise
from struct import pack, unpack
from typing import Any, NamedTuple

from twinloop.devices.model.cell import reorder
from twinloop.scenarios.text.words import number_of

TEXT_MIN = 5
"""printable characters that make a text"""
F32_SMALLEST, F32_LARGEST = 1e-4, 1e7
"""of a measured value that is taken for an f32"""
WILD = 4096
"""so much the lower half of an f32 moves between looks; neighbouring u16 values move less"""
STEADY = 0.2
"""of its largest value, which an f32 with its bytes swapped moves at most: else it may be two u16"""
DIGITS_MAX = 5
"""that a constant f32 has, if somebody wrote it down in decimals"""
COUNT_STEP_MAX = 1 << 20
"""that a counter moves from one look to the next"""
UPPER_MAX = 0x1000
"""upper half of a counter: more than 268 million units are rare"""
SENTINELS = {0x8000: "i16", 0xFFFF: "u16", 0x7FFF: "i16"}
"""registers that often mean that there is no value -> the type that they do it in"""
JUMP = 0x4000
_JUMPS = ": it jumps as part of a wider number does"
_PRINTABLE = frozenset(range(0x20, 0x7F))
_WORDS = frozenset((string.ascii_letters + string.digits).encode())
_ORDERS = ("be", "sw", "le", "bs")


class Guess(NamedTuple):
    """``width`` registers from ``address`` on: the keys of a point, and why."""

    address: int
    width: int
    keys: dict[str, Any]
    reason: str


Looks = Sequence[Sequence[int]]
"""one look after the other: the registers of one island"""


def guessed(first: int, looks: Looks) -> list[Guess]:
    """A guess for all registers of an island, from its first address on; those that are 0 in all looks and
    belong to nothing else get none."""
    found: list[Guess] = []
    size, at = len(looks[0]), 0
    while at < size:
        guess = next((one for rule in _RULES if (one := rule(looks, at)) is not None), None)
        if guess is None:
            at += 1
            continue
        found.append(guess._replace(address=first + at))
        at += guess.width
    return found


def _column(looks: Looks, at: int) -> list[int]:
    return [look[at] for look in looks]


def _held(looks: Looks, at: int) -> bool:
    """The same in all looks?"""
    return len(dict.fromkeys(_column(looks, at))) == 1


def _same(looks: Looks) -> str:
    return f"the same in {number_of(len(looks), 'look')}" if len(looks) > 1 else "seen once"


# ---- texts ---------------------------------------------------------------------------------------
def _text(looks: Looks, at: int) -> Guess | None:
    """Printable ASCII up to a zero byte. With the bytes of each register swapped it would be printable, too:
    a last register that has its zero byte first tells of that."""
    data = b""
    while (
        at + len(data) // 2 < len(looks[0]) and _held(looks, at + len(data) // 2) and not data.endswith(b"\0")
    ):
        two = looks[0][at + len(data) // 2].to_bytes(2, "big")
        if two[0] not in _PRINTABLE or (two[1] and two[1] not in _PRINTABLE):
            break
        data += two
    said = data.rstrip(b"\0")
    if len(said) < TEXT_MIN or 2 * sum(byte in _WORDS for byte in said) <= len(said):
        return None
    reason = f"{len(said)} printable characters, {_same(looks)}"
    behind = looks[0][at + len(data) // 2] if at + len(data) // 2 < len(looks[0]) else 0
    if behind in _PRINTABLE:
        swapped = reorder(data + behind.to_bytes(2, "big"), "bs").rstrip(b"\0").decode()
        reason += f'; with the bytes of each register swapped (order BA) "{swapped}"'
    return Guess(0, len(data) // 2, {"type": "text", "length": len(data) // 2, "text": said.decode()}, reason)


# ---- floats --------------------------------------------------------------------------------------
def _f32(looks: Looks, at: int) -> Guess | None:
    """Two registers that are a plausible number in one order of bytes, in all looks."""
    if at + 1 >= len(looks[0]):
        return None
    upper, lower = _column(looks, at), _column(looks, at + 1)
    pairs = [a.to_bytes(2, "big") + b.to_bytes(2, "big") for a, b in zip(upper, lower, strict=True)]
    found: list[tuple[float, str, list[float]]] = []
    for order in _ORDERS:
        values = [float(unpack(">f", reorder(pair, order))[0]) for pair in pairs]
        if any(values) and all(not one or F32_SMALLEST <= abs(one) <= F32_LARGEST for one in values):
            found.append(((max(values) - min(values)) / max(map(abs, values)), order, values))
    if _held(looks, at) and _held(looks, at + 1):
        whole = bool(upper[0] and lower[0])
        return next((one for _, order, values in found if whole or order == "be"
                     if (one := _constant_f32(values[0], order, looks))), None)  # fmt: skip
    found = [one for one in found if one[0] <= STEADY or one[1] in ("be", "sw")]
    if not found:
        return None
    _, order, values = min(found)
    tails = [int.from_bytes(reorder(pair, order)[2:], "big") for pair in pairs]
    if _spread(tails) < WILD and not (order == "be" and not any(tails)):
        return None
    reason = f"{min(values):.6g} to {max(values):.6g} as f32; its halves move as those of a fraction do"
    return Guess(0, 2, _moving("f32", order, [_shortest(one) for one in values]), reason)


def _spread(words: Sequence[int]) -> int:
    """How far registers move, read without or with a sign: the shorter way."""
    signed = [_signed(word) for word in words]
    return min(max(words) - min(words), max(signed) - min(signed))


def _constant_f32(value: float, order: str, looks: Looks) -> Guess | None:
    shown = f"{value:.{DIGITS_MAX}g}"
    if _f32_of(shown) != value:
        return None
    return Guess(
        0, 2, _keys("f32", order, level=float(shown)), f"{shown} as f32, of few digits, {_same(looks)}"
    )


def _f32_of(text: str) -> float:
    return float(unpack(">f", pack(">f", float(text)))[0])


def _shortest(value: float) -> float:
    """The shortest decimal that is the same f32."""
    return next((float(f"{value:.{n}g}") for n in range(1, 10) if _f32_of(f"{value:.{n}g}") == value), value)


# ---- counters ------------------------------------------------------------------------------------
def _counts(values: Sequence[int]) -> bool:
    steps = [b - a for a, b in pairwise(values)]
    return all(0 <= step <= COUNT_STEP_MAX for step in steps) and sum(step > 0 for step in steps) >= 2


def _u32(looks: Looks, at: int) -> Guess | None:
    """Two registers that count together; which half moves says the order."""
    if at + 1 >= len(looks[0]):
        return None
    one, two = _column(looks, at), _column(looks, at + 1)
    for order, upper, lower in (("be", one, two), ("sw", two, one)):
        values = [a << 16 | b for a, b in zip(upper, lower, strict=True)]
        carried = len(dict.fromkeys(upper)) > 1
        if not _counts(values) or max(upper) >= UPPER_MAX:
            continue
        if order == "sw" and not carried and not _alone(looks, at + 1):
            continue
        why = "and carry over" if carried else "the upper half hasn't moved: look longer to be sure"
        half = "lower" if order == "sw" else "upper"
        reason = f"{half} half first, counts from {values[0]} to {values[-1]}, {why}"
        return Guess(0, 2, _counter("u32", order, values), reason)
    return _i32(one, two)


def _alone(looks: Looks, at: int) -> bool:
    """Is a register that stays not the upper half of a counter behind it?"""
    return at + 1 >= len(looks[0]) or not _counts(_column(looks, at + 1))


def _i32(one: list[int], two: list[int]) -> Guess | None:
    """The upper half is the sign of the lower one, which moves."""
    for order, upper, lower in (("be", one, two), ("sw", two, one)):
        signs = dict.fromkeys(upper)
        if (
            0xFFFF not in signs
            or any(sign not in (0, 0xFFFF) for sign in signs)
            or lower.count(lower[0]) == len(lower)
        ):
            continue
        values = [(a << 16 | b) - ((a >> 15) << 32) for a, b in zip(upper, lower, strict=True)]
        if max(map(abs, values)) > 0x10000:
            continue
        which = "second" if order == "sw" else "first"
        reason = f"{min(values)} to {max(values)}: the {which} register is the sign of the other"
        return Guess(0, 2, _moving("i32", order, values), reason)
    return None


# ---- single registers ----------------------------------------------------------------------------
def _single(looks: Looks, at: int) -> Guess | None:
    values = _column(looks, at)
    constant = values.count(values[0]) == len(values)
    if constant and not values[0]:
        return None
    nan = next((one for one in SENTINELS if one in values), None)
    if constant:
        if nan is None:
            return Guess(0, 1, _keys("u16", "be", level=values[0]), _same(looks))
        kind = SENTINELS[nan]
        keys = _keys(kind, "be", level=_signed(nan) if kind == "i16" else nan) | {"nan": [nan]}
        return Guess(0, 1, keys, f"0x{nan:04X}, {_same(looks)}: often that means that there is no value")
    rest = [one for one in values if one != nan]
    low, high = min(rest), max(rest)
    negative = any(one >= 0xF000 for one in rest) and all(one < 0x1000 or one >= 0xF000 for one in rest)
    kind = "i16" if negative or (nan is not None and SENTINELS[nan] == "i16") else "u16"
    shown = [_signed(one) if kind == "i16" else one for one in rest]
    if _counts(rest):
        guess = Guess(0, 1, _counter(kind, "be", shown), f"counts from {rest[0]} to {rest[-1]}")
    elif negative:
        guess = Guess(
            0, 1, _moving(kind, "be", shown), f"{min(shown)} to {max(shown)}: beside 0, or below it"
        )
    else:
        guess = Guess(
            0, 1, _moving(kind, "be", shown), f"{low} to {high}{_JUMPS if high - low > JUMP else ''}"
        )
    if nan is None:
        return guess
    return guess._replace(
        keys=guess.keys | {"nan": [nan]},
        reason=f"{guess.reason}; 0x{nan:04X} in {values.count(nan)} of {len(values)} looks: no value",
    )


def _signed(word: int) -> int:
    return word - ((word >> 15) << 16)


# ---- keys of a point -----------------------------------------------------------------------------
def _keys(kind: str, order: str, level: float) -> dict[str, Any]:
    keys: dict[str, Any] = {"type": kind}
    if order != "be":
        keys["order"] = order
    return keys | {"signal": {"level": level}}


def _counter(kind: str, order: str, values: Sequence[int]) -> dict[str, Any]:
    """A step of the file is the time from one look to the next."""
    rate = (values[-1] - values[0]) / (len(values) - 1)
    keys = _keys(kind, order, values[0])
    keys["signal"] = {"kind": "counter", "level": values[0], "swing": rate}
    if kind == "u16":
        keys["signal"]["rollover"] = 65_536
    return keys


def _moving(kind: str, order: str, values: Sequence[float]) -> dict[str, Any]:
    """Between the lowest and the highest value that was seen, as fast as it moved."""
    keys = _keys(kind, order, 0)
    low, high = min(values), max(values)
    steps = [abs(b - a) for a, b in pairwise(values)]
    if low == high:
        keys["signal"] = {"level": low}
        return keys
    keys["signal"] = {
        "kind": "walk",
        "level": (low + high) / 2,
        "swing": sum(steps) / len(steps),
        "limit": (high - low) / 2,
        "start": values[0],
    }
    return keys


_RULES: tuple[Callable[[Looks, int], Guess | None], ...] = (_text, _u32, _f32, _single)
