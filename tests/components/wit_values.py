"""Values of WIT types as Python has them: random ones, what is wrong as one, and whether two are the same.

Belongs here: what docs and codec.py's docstrings promise of values, said once more by hand. Never: code of
codec.py.
"""

from __future__ import annotations

import math
import random
import struct
from typing import Any

from tests.components.wit_types import Wit

INTEGERS = {
    kind: (kind[0] == "s", int(kind[1:])) for kind in ("s8", "u8", "s16", "u16", "s32", "u32", "s64", "u64")
}
_TEXTS = (
    "",
    "a",
    "grün",
    "日本",
    "\0",
    "\U0001f600",
    "x\U0010ffff\ud7ff\ue000y",
    "line\r\n",
    "a" * 300,
    "é" * 5000,
)
_CHARS = ("\0", "a", "é", "\ud7ff", "\ue000", "\uffff", "\U00010000", "\U0010ffff")
_FLOATS = (0.0, -0.0, 1.5, -2.25, math.inf, -math.inf, math.nan, 5e-324, 1.7976931348623157e308, 0.1)


def bounds(kind: str) -> tuple[int, int]:
    """The least and the greatest of an integer type."""
    signed, bits = INTEGERS[kind]
    return (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)


def _single(value: float) -> float:
    try:
        (narrow,) = struct.unpack("<f", struct.pack("<f", value))
    except OverflowError:
        return 3.4028234663852886e38
    return float(narrow)


def random_value(dice: random.Random, wit: Wit) -> Any:
    """A value of that type."""
    kind = wit.kind
    if kind in ("list", "string", "char", "f32", "f64", "bool") or kind in INTEGERS:
        return _plain(dice, wit)
    if kind in ("tuple", "record"):
        return tuple(random_value(dice, part) for part in wit.some())
    if kind == "enum":
        return dice.choice((wit.names[0], wit.names[-1], dice.choice(wit.names)))
    if kind == "flags":
        return frozenset(name for name in wit.names if dice.random() < dice.choice((0, 0.3, 1)))
    if kind == "variant":
        at = dice.randrange(len(wit.names))
        part = wit.parts[at]
        return wit.names[at], None if part is None else random_value(dice, part)
    if kind == "result":
        ok = dice.random() < 0.5
        part = wit.parts[0 if ok else 1]
        return ok, None if part is None else random_value(dice, part)
    assert kind == "option", kind
    (part,) = wit.some()
    if dice.random() < 0.4:
        return None
    inner = random_value(dice, part)
    return (inner,) if part.kind == "option" else inner


def _plain(dice: random.Random, wit: Wit) -> Any:
    kind = wit.kind
    if kind == "bool":
        return dice.random() < 0.5
    if kind in INTEGERS:
        low, high = bounds(kind)
        return dice.choice((low, high, max(low, -1), 0, 1, dice.randint(low, high)))
    if kind in ("f32", "f64"):
        value = dice.choice((*_FLOATS, dice.uniform(-1e9, 1e9)))
        return value if kind == "f64" else _single(value)
    if kind == "char":
        return dice.choice(_CHARS)
    if kind == "string":
        return dice.choice(_TEXTS)
    (part,) = wit.some()
    if part.kind == "u8":
        return dice.randbytes(dice.choice((0, 1, 5, 40, 4095, 4096, 4097)))
    return [random_value(dice, part) for _ in range(dice.choice((0, 0, 1, 2, 5)))]


# ---- the same ------------------------------------------------------------------------------------
def difference(wit: Wit, sent: Any, came: Any, where: str = "it") -> str:
    """What is wrong with ``came`` where ``sent`` was sent, with its place; empty: nothing. A number has to come
    as the number's own Python type, a NaN as any NaN."""
    kind = wit.kind
    wrong = f"{where}: sent {sent!r}, came {came!r}"
    if kind in ("tuple", "record"):
        if not isinstance(came, tuple) or len(came) != len(sent):
            return wrong
        parts = zip(wit.some(), sent, came, strict=True)
        return _first(difference(part, x, y, f"{where}[{at}]") for at, (part, x, y) in enumerate(parts))
    if kind == "list" and wit.parts[0] != Wit("u8"):
        if type(came) is not list or len(came) != len(sent):
            return wrong
        (part,) = wit.some()
        return _first(
            difference(part, x, y, f"{where}[{at}]") for at, (x, y) in enumerate(zip(sent, came, strict=True))
        )
    if kind == "variant":
        if (sent[0], type(came).__name__) != (came.tag, "Case"):
            return wrong
        return _payload(wit.parts[wit.names.index(sent[0])], sent[1], came.value, f"{where}.{sent[0]}")
    if kind == "result":
        if (sent[0], type(came).__name__) != (came.ok, "WitResult"):
            return wrong
        return _payload(wit.parts[0 if sent[0] else 1], sent[1], came.value, f"{where}.{sent[0]}")
    if kind == "option":
        return _option(wit, sent, came, where)
    if kind in ("f32", "f64") and type(came) is float and math.isnan(sent):
        return "" if math.isnan(came) else wrong
    if kind in ("f32", "f64") and math.copysign(1, sent) != math.copysign(1, came):
        return wrong
    return "" if type(came) is type(sent) and came == sent else wrong


def _option(wit: Wit, sent: Any, came: Any, where: str) -> str:
    (part,) = wit.some()
    if sent is None or came is None:
        return "" if sent is came else f"{where}: sent {sent!r}, came {came!r}"
    if part.kind == "option":
        if type(came).__name__ != "Some":
            return f"{where}: {came!r} doesn't say whether it is there"
        sent, came = sent[0], came.value
    return difference(part, sent, came, f"{where}.some")


def _payload(part: Wit | None, sent: Any, came: Any, where: str) -> str:
    if part is None:
        return "" if came is None else f"{where}: came with {came!r}"
    return difference(part, sent, came, where)


def _first(found: Any) -> str:
    return next((one for one in found if one), "")


# ---- wrong ones ----------------------------------------------------------------------------------
def wrong_values(wit: Wit) -> list[Any]:
    """Values that are none of that type: of a neighbouring one, out of its range, of another length."""
    kind = wit.kind
    if kind in INTEGERS:
        low, high = bounds(kind)
        return [low - 1, high + 1, 1 << 70, "1", None, 1.5]
    if kind == "bool":
        return ["yes", None, 2, []]
    if kind == "char":
        return ["", "ab", "\ud800", "\udfff", 97, None]
    if kind == "string":
        return [b"a", None, 1, "\ud800"]
    if kind in ("f32", "f64"):
        return ["1", None, *([1e39] if kind == "f32" else [])]
    if kind == "list":
        return [None, 5, *([[256], "text", [1, 2]] if wit.parts[0] == Wit("u8") else [{}])]
    if kind in ("tuple", "record"):
        return [None, 5, (), (None,) * (len(wit.parts) + 1)]
    if kind == "enum":
        return ["no-such-case", None, 0]
    if kind == "flags":
        return [("no-such-flag",), None, 3, "ab"]
    if kind == "variant":
        odd = [("no-such-case", None), None, 5, (), "ab"]
        return odd + [(name, 1) for name, part in zip(wit.names, wit.parts, strict=True) if part is None]
    if kind == "result":
        odd = [None, 5, (2, None), ("yes", None), (), (-1, None)]
        return odd + [(ok, 1) for ok, part in ((True, wit.parts[0]), (False, wit.parts[1])) if part is None]
    (part,) = wit.some()
    return [5, "a", ()] if part.kind == "option" else []
