"""What is wrong with a Python value that was meant as one of a WIT type: the place in it, and why.

Belongs here: saying so, after codec.py has failed to encode it. Never: the quick way, which looks at nothing
twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import index
from typing import Any

from wasmtime import component as wc

from twinloop.components.contract.contract import describe

SHOWN_MAX = 60
"""characters of a value or a type in a message"""
F32_MAX = 3.4028235677973366e38
"""from here on a number is rounded to more than the largest f32"""
SURROGATES = range(0xD800, 0xE000)
"""code points that are no characters: WIT's char and string have none"""
_BITS = {
    wc.S8: -8, wc.U8: 8, wc.S16: -16, wc.U16: 16, wc.S32: -32, wc.U32: 32, wc.S64: -64, wc.U64: 64,
}  # fmt: skip


def misfit(wit: Any, value: Any, where: str) -> str | None:
    """``points[2].scale: 'x' is no f64``; None when nothing is wrong with it."""
    kind = type(wit)
    if kind in _BITS:
        return None if _whole(value, _BITS[kind]) else _no(wit, value, where)
    if kind is wc.ListType:
        return _list(wit, value, where)
    if kind in (wc.RecordType, wc.TupleType):
        return _row(wit, value, where)
    if kind is wc.OptionType:
        return _option(wit, value, where)
    if kind in (wc.VariantType, wc.ResultType):
        return _case(wit, value, where)
    return None if _fits(wit, value) else _no(wit, value, where)


def _fits(wit: Any, value: Any) -> bool:
    kind = type(wit)
    if kind is wc.Bool:
        return bool(value in (True, False))
    if kind in (wc.F32, wc.F64):
        return _number(value, kind is wc.F32)
    if kind is wc.Char:
        return isinstance(value, str) and len(value) == 1 and ord(value) not in SURROGATES
    if kind is wc.String:
        return isinstance(value, str) and not any(ord(one) in SURROGATES for one in value)
    if kind is wc.EnumType:
        return isinstance(value, str) and value in wit.names
    if kind is wc.FlagsType:
        return not isinstance(value, str) and _iterable(value) and all(flag in wit.names for flag in value)
    return hasattr(value, "resource")


def _whole(value: Any, bits: int) -> bool:
    try:
        number = index(value)
    except TypeError:
        return False
    low, high = (0, 1 << bits) if bits > 0 else (-1 << -bits - 1, 1 << -bits - 1)
    return low <= number < high


def _number(value: Any, single: bool) -> bool:
    if isinstance(value, str | bytes):
        return False
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return False
    return not single or number in (float("inf"), float("-inf")) or not abs(number) >= F32_MAX


def _iterable(value: Any) -> bool:
    try:
        iter(value)
    except TypeError:
        return False
    return True


def _list(wit: Any, value: Any, where: str) -> str | None:
    if type(wit.element) is wc.U8:
        return None if isinstance(value, bytes | bytearray | memoryview) else _no(wit, value, where)
    if isinstance(value, str | Mapping) or not isinstance(value, Sequence):
        return _no(wit, value, where)
    return next(
        filter(None, (misfit(wit.element, one, f"{where}[{at}]") for at, one in enumerate(value))), None
    )


def _row(wit: Any, value: Any, where: str) -> str | None:
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Sequence):
        return _no(wit, value, where)
    fields = (
        [(f".{name}", field) for name, field in wit.fields]
        if type(wit) is wc.RecordType
        else [(f"[{at}]", element) for at, element in enumerate(wit.elements)]
    )
    if len(value) != len(fields):
        return f"{where}: expected {len(fields)} values, got {len(value)}: {_short(value)}"
    pairs = zip(fields, value, strict=True)
    return next(filter(None, (misfit(field, one, where + name) for (name, field), one in pairs)), None)


def _option(wit: Any, value: Any, where: str) -> str | None:
    if value is None:
        return None
    if type(wit.payload) is not wc.OptionType:
        return misfit(wit.payload, value, where)
    if not isinstance(value, tuple) or len(value) != 1:
        return f"{where}: {_short(value)} is neither None nor Some(...)"
    return misfit(wit.payload, value[0], f"{where}.value")


def _case(wit: Any, value: Any, where: str) -> str | None:
    """A variant, or a result, whose cases are True and False."""
    cases: dict[Any, Any] = {True: wit.ok, False: wit.err} if type(wit) is wc.ResultType else dict(wit.cases)
    if isinstance(value, str) or not isinstance(value, Sequence) or len(value) != 2:
        return _no(wit, value, where)
    tag, content = value
    if not isinstance(tag, bool | int | str) or tag not in cases:
        return f"{where}: {_short(tag)} is no case of {_short(describe(wit), plain=True)}"
    said = ("ok" if tag else "error") if type(wit) is wc.ResultType else tag
    if cases[tag] is not None:
        return misfit(cases[tag], content, f"{where}.{said}")
    return None if content is None else f"{where}.{said}: {_short(content)}, where there is no value"


def _no(wit: Any, value: Any, where: str) -> str:
    return f"{where}: {_short(value)} is no {_short(describe(wit), plain=True)}"


def _short(value: Any, plain: bool = False) -> str:
    text = value if plain else repr(value)
    return text if len(text) <= SHOWN_MAX else text[: SHOWN_MAX - 1] + "…"
