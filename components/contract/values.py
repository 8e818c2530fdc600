"""Values of WIT types in a file: as YAML writes them, and as components take them.

Belongs here: the mapping, by type. Never: which functions there are. A record is a mapping, a variant its
case's name or ``{case: payload}``, a result ``{ok: value}`` or ``{err: value}``, bytes are hexadecimal
digits, a list of pairs of texts may be a mapping, options and lists may be left out.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from wasmtime import component as wc

from twinloop.components.contract.contract import describe

_RANGES = {
    wc.U8: (0, 0xFF), wc.U16: (0, 0xFFFF), wc.U32: (0, 0xFFFFFFFF), wc.U64: (0, (1 << 64) - 1),
    wc.S8: (-0x80, 0x7F), wc.S16: (-0x8000, 0x7FFF), wc.S32: (-(1 << 31), (1 << 31) - 1),
    wc.S64: (-(1 << 63), (1 << 63) - 1),
}  # fmt: skip
_NO_NUMBERS = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


class ValueProblem(ValueError):
    """A value in a file that isn't of its type; the message names the place in it."""


def from_file(wit: Any, data: Any, where: str) -> Any:
    """What a component takes for ``data``; raises ValueProblem."""
    kind = type(wit)
    if kind in _RANGES:
        low, high = _RANGES[kind]
        if type(data) is not int or not low <= data <= high:
            raise _problem(where, f"{describe(wit)}, {low} to {high}", data)
        return data
    if kind in (wc.F32, wc.F64):
        if isinstance(data, str) and data in _NO_NUMBERS:
            return _NO_NUMBERS[data]
        if type(data) not in (int, float):
            raise _problem(where, "a number, nan, inf or -inf", data)
        return float(data)
    if kind is wc.Bool or kind in (wc.String, wc.Char):
        if type(data) is not (bool if kind is wc.Bool else str):
            raise _problem(where, describe(wit), data)
        return data
    if kind is wc.OptionType:
        return None if data is None else from_file(wit.payload, data, where)
    if kind is wc.ListType:
        return _list(wit, data, where)
    if kind is wc.TupleType:
        return _tuple(wit, data, where)
    if kind is wc.RecordType:
        return _record(wit, data, where)
    return _case(wit, data, where)


def _problem(where: str, expected: str, data: Any) -> ValueProblem:
    return ValueProblem(f"{where}: expected {expected}, got {data!r}")


def _list(wit: Any, data: Any, where: str) -> Any:
    if type(wit.element) is wc.U8:
        try:
            return bytes.fromhex(data)
        except (TypeError, ValueError):
            raise _problem(where, "hexadecimal digits in text", data) from None
    if isinstance(data, dict) and type(wit.element) is wc.TupleType:
        data = [list(pair) for pair in data.items()]
    if data is None:
        return []
    if not isinstance(data, list):
        raise _problem(where, "a list", data)
    return [from_file(wit.element, one, f"{where}[{index}]") for index, one in enumerate(data)]


def _tuple(wit: Any, data: Any, where: str) -> Any:
    if not isinstance(data, list) or len(data) != len(wit.elements):
        raise _problem(where, f"a list of {len(wit.elements)}", data)
    pairs = zip(wit.elements, data, strict=True)
    return tuple(from_file(element, one, f"{where}[{index}]") for index, (element, one) in enumerate(pairs))


def _record(wit: Any, data: Any, where: str) -> Any:
    fields = dict(wit.fields)
    if not isinstance(data, dict):
        raise _problem(where, f"a mapping ({', '.join(fields)})", data)
    unknown = [key for key in data if key not in fields]
    if unknown:
        raise ValueProblem(f'{where}: unknown key "{unknown[0]}"; known: {", ".join(fields)}')
    for name, field in fields.items():
        if name not in data and type(field) not in (wc.OptionType, wc.ListType):
            raise ValueProblem(f'{where}: missing key "{name}"')
    return tuple(from_file(field, data.get(name), f"{where}.{name}") for name, field in fields.items())


def _case(wit: Any, data: Any, where: str) -> Any:
    """Of an enum, a variant, a result."""
    if type(wit) is wc.EnumType:
        if data not in wit.names:
            raise _problem(where, " or ".join(wit.names), data)
        return data
    cases = {"ok": wit.ok, "err": wit.err} if type(wit) is wc.ResultType else dict(getattr(wit, "cases", ()))
    name, payload = next(iter(data.items())) if isinstance(data, dict) and len(data) == 1 else (data, None)
    if not isinstance(name, str) or name not in cases:
        raise _problem(where, f"one of {', '.join(cases)}", data)
    wanted = cases[name]
    if wanted is None and payload is not None:
        raise _problem(where, f"{name} without a payload", data)
    value = None if wanted is None else from_file(wanted, payload, f"{where}.{name}")
    return (name == "ok", value) if type(wit) is wc.ResultType else (name, value)


def to_file(wit: Any, value: Any) -> Any:
    """What a file has for what a component gave."""
    return filed(wit)(value)


def filed(wit: Any) -> Callable[[Any], Any]:
    """``to_file`` of one type, for who has many values of it: asking wasmtime for fields takes longer than
    all else."""
    kind = type(wit)
    if kind is wc.OptionType:
        inner = filed(wit.payload)
        return lambda value: None if value is None else inner(value)
    if kind is wc.ListType:
        if type(wit.element) is wc.U8:
            return lambda value: value.hex()
        element = filed(wit.element)
        return lambda value: [element(one) for one in value]
    if kind is wc.TupleType:
        elements = [filed(one) for one in wit.elements]
        return lambda value: [one(part) for one, part in zip(elements, value, strict=True)]
    if kind is wc.RecordType:
        fields = [(name, filed(field)) for name, field in wit.fields]
        return lambda value: {name: field(one) for (name, field), one in zip(fields, value, strict=True)}
    if kind is wc.ResultType:
        sides = {True: ("ok", _filed_side(wit.ok)), False: ("err", _filed_side(wit.err))}
        return lambda value: {sides[bool(value[0])][0]: sides[bool(value[0])][1](value[1])}
    if kind is wc.VariantType:
        cases = {name: None if payload is None else filed(payload) for name, payload in wit.cases}
        return lambda value: _case_to_file(cases, value)
    return _number_to_file if kind in (wc.F32, wc.F64) else lambda value: value


def _filed_side(wit: Any) -> Callable[[Any], Any]:
    """As ``filed``, of a side of a result that may have no type."""
    return (lambda value: None) if wit is None else filed(wit)


def _case_to_file(cases: dict[str, Callable[[Any], Any] | None], value: Any) -> Any:
    payload = cases[value[0]]
    return value[0] if payload is None else {value[0]: payload(value[1])}


def _number_to_file(value: float) -> Any:
    if not math.isfinite(value):
        return "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"
    return value


def differs(expected: Any, given: Any, where: str) -> str:
    """Empty, or where and how ``given`` isn't what was expected; of a mapping only the stated keys count."""
    if isinstance(expected, dict) and isinstance(given, dict):
        for key, one in expected.items():
            if key not in given:
                return f"{where}: expected {key}, got {', '.join(given) or 'nothing'}"
            found = differs(one, given[key], f"{where}.{key}")
            if found:
                return found
        return ""
    if isinstance(expected, str) and isinstance(given, dict) and len(given) == 1:
        given = next(iter(given))  # a case whatever its payload
    if isinstance(expected, list) and isinstance(given, list):
        if len(expected) != len(given):
            return f"{where}: expected {len(expected)} entries, got {len(given)}"
        for index, (one, other) in enumerate(zip(expected, given, strict=True)):
            found = differs(one, other, f"{where}[{index}]")
            if found:
                return found
        return ""
    return "" if expected == given else f"{where}: expected {expected!r}, got {given!r}"
