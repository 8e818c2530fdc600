"""The columns of a register list as CSV, and what one cell may say.

Belongs here: a column's name, a cell to a value. Never: lines, separators (register_list.py), what keys of a
model file mean (scenarios/file/datasheet/).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from twinloop.devices.model.encodings import TYPES
from twinloop.devices.model.points import TABLES
from twinloop.scenarios.file.datasheet.blocks import ORDERS
from twinloop.scenarios.text.errors import unknown

TABLE_DIGITS = {"0": "coil", "1": "discrete", "3": "input", "4": "holding"}
"""first digit of a reference number, as in 40001 (Modicon Modbus Protocol Reference Guide PI-MBUS-300)"""
_TABLES = {
    **{one: one for one in TABLES},
    "coils": "coil",
    "discrete output": "coil",
    "discrete inputs": "discrete",
    "discrete input": "discrete",
    "input register": "input",
    "input registers": "input",
    "holding register": "holding",
    "holding registers": "holding",
}
_TYPES = {
    **{one: one for one in TYPES},
    **{f"{word}{bits}": f"{letter}{bits}" for bits in (8, 16, 24, 32, 48, 64) for word, letter in (
        ("uint", "u"), ("int", "i"), ("s", "i"), ("sint", "i"))},
    "float": "f32",
    "float16": "f16",
    "float32": "f32",
    "float64": "f64",
    "double": "f64",
    "string": "text",
}  # fmt: skip
_ACCESS = {
    "r": "read-only",
    "ro": "read-only",
    "read": "read-only",
    "read-only": "read-only",
    "rw": "read-write",
    "r/w": "read-write",
    "read/write": "read-write",
    "read-write": "read-write",
    "w": "write-only",
    "wo": "write-only",
    "write": "write-only",
    "write-only": "write-only",
}
_TRUTH = {"true": 1.0, "on": 1.0, "false": 0.0, "off": 0.0}
_WHOLE = re.compile(r"[-+]?[0-9]+|[-+]?0[xX][0-9A-Fa-f]+|[0-9A-Fa-f]+[hH]")
_NUMBER = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]{1,3})?")
_BITS = re.compile(r"([0-9]{1,2})(?:\s*(?:\.\.|-|:)\s*([0-9]{1,2}))?")
_REFERENCE = re.compile(r"[0134][0-9]{4,5}")


@dataclass(frozen=True, slots=True)
class Column:
    """One column. ``read``: a cell that isn't empty, and whether a comma is its decimal point -> the value;
    raises ValueError that says what was expected. ``meaning`` stands in the documentation."""

    name: str
    meaning: str
    read: Callable[[str, bool], Any]


def whole(text: str, comma: bool = False) -> int:
    """``768``, ``0x300`` or ``300h``."""
    if not _WHOLE.fullmatch(text):
        raise ValueError("expected a whole number, such as 768, 0x300 or 300h")
    if text[-1] in "hH":
        return int(text[:-1], 16)
    return int(text, 16 if "x" in text.lower() else 10)


def number(text: str, comma: bool) -> float:
    """A number; a whole one stays one, so that none of its digits is lost."""
    plain = text.replace(",", ".") if comma else text
    if re.fullmatch(r"[-+]?[0-9]+|[-+]?0[xX][0-9A-Fa-f]+", plain):
        return whole(plain)
    if not _NUMBER.fullmatch(plain) or float(plain) - float(plain) != 0.0:
        point = (
            '"0,1"; in this file ";" separates cells, so the decimal point is a comma' if comma else '"0.1"'
        )
        raise ValueError(f"expected a number, such as {point}")
    return float(plain)


def _scale(text: str, comma: bool) -> float:
    """A number, or ``1/10``."""
    over, slash, under = text.partition("/")
    if not slash:
        return float(number(text, comma))
    below = number(under.strip(), comma)
    if not below:
        raise ValueError("expected a number other than 0 below the stroke")
    return number(over.strip(), comma) / below


def _value(text: str, comma: bool) -> float:
    return _TRUTH[text.lower()] if text.lower() in _TRUTH else number(text, comma)


def _register(text: str, comma: bool) -> tuple[str, int]:
    """(table, address from 0) of a reference number."""
    if not _REFERENCE.fullmatch(text):
        raise ValueError(
            "expected a reference number of 5 or 6 digits that begins with 0 (coil), 1 (discrete), 3 (input) "
            'or 4 (holding), such as 40001 or 400001; an address from 0 goes into a column "address"'
        )
    place = int(text[1:])
    if not 1 <= place <= 65_536:
        raise ValueError("expected a reference number from 1 to 65536 behind its first digit")
    return TABLE_DIGITS[text[0]], place - 1


def _address(text: str, comma: bool) -> int:
    found = whole(text)
    if not 0 <= found <= 65_535:
        raise ValueError("expected an address from 0 to 65535")
    return found


def _length(text: str, comma: bool) -> int:
    found = whole(text)
    if found < 1:
        raise ValueError("expected the registers of a text, 1 or more")
    return found


def _bits(text: str, comma: bool) -> str:
    found = _BITS.fullmatch(text)
    if found is None:
        raise ValueError("expected a bit or bits, such as 3 or 0..3, counted from the lowest")
    return f"{found[1]}..{found[2] or found[1]}"


def _nan(text: str, comma: bool) -> list[int]:
    return [whole(one) for one in re.split(r"[\s|,;]+", text) if one]


def _of(kind: str, known: dict[str, str], shown: tuple[str, ...]) -> Callable[[str, bool], str]:
    def read(text: str, comma: bool) -> str:
        plain = " ".join(text.lower().replace("_", " ").split())
        if plain not in known:
            raise ValueError(unknown(kind, text, shown))
        return known[plain]

    return read


def _order(text: str, comma: bool) -> str:
    for one in (text, text.upper(), text.lower()):
        if one in ORDERS:
            return one
    raise ValueError(unknown("order", text, ORDERS))


def _as_it_is(text: str, comma: bool) -> str:
    return text


COLUMNS = {
    column.name: column
    for column in (
        Column("name", "of the point; left out, it is made of table and address", _as_it_is),
        Column("address", "as the protocol has it, from 0 (or from 1: `--addresses-from 1`)", _address),
        Column("register", "instead of `address`: a reference number, as 40001 or 400001. Its first digit "
               "is the table (0 coil, 1 discrete, 3 input, 4 holding), the others count from 1", _register),
        Column("table", "`coil`, `discrete`, `holding`, `input`; left out: as `register` says, or `holding`",
               _of("table", _TABLES, TABLES)),
        Column("type", "as in a model file, or a usual name: `u16` or `uint16`, `f32` or `float`; left out: "
               "`u16`", _of("type", _TYPES, TYPES)),
        Column("length", "registers of a text", _length),
        Column("bits", "of the registers that are its own: `3` or `0..3`", _bits),
        Column("order", "of bytes: `ABCD`, `CDAB` and so on, or `be`, `sw` and so on", _order),
        Column("unit", "of the value", _as_it_is),
        Column("scale", "value = raw number * scale + offset; `0.1` or `1/10`", _scale),
        Column("offset", "see `scale`", number),
        Column("low", "the lowest value that is plausible", number),
        Column("high", "the highest value that is plausible", number),
        Column("access", "`R`, `RW` or `W`, or in words: `read-only`, `read-write`, `write-only`",
               _of("access", _ACCESS, ("read-only", "read-write", "write-only"))),
        Column("nan", "raw numbers that mean that there is no value, blanks between them: `0x8000`", _nan),
        Column("value", "what the point shows, in its unit; left out: 0", _value),
        Column("text", "what a text says", _as_it_is),
    )
}  # fmt: skip
"""by name, in the order of the documentation"""
