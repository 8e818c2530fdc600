"""What ``mbpoll`` printed to the keys of a model file.

Belongs here: its header and its lines (mbpoll 1.0). Never: asking a device (probing.py).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from twinloop.scenarios.text.errors import ScenarioError, shown_path

_TYPE = re.compile(r"^Data type\.*:\s*(.*?)\s*$")
_LINE = re.compile(r"^\[(\d+)\]:\s*(\S+)(?:\s+\((-?\d+)\))?\s*$")
_TABLES = (
    ("discrete output", "coil"),
    ("discrete input", "discrete"),
    ("input register table", "input"),
    ("output (holding) register table", "holding"),
)
_TYPES = (("32-bit integer", "i32"), ("32-bit float", "f32"), ("16-bit register", "u16"))
_WIDTH = {"i32": 2, "f32": 2, "u16": 1}


@dataclass(slots=True)
class Printed:
    """Points as a model file has them, all of them constant. ``lines``: point -> its line."""

    file: str
    points: dict[str, dict[str, Any]] = field(default_factory=dict)
    lines: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def looks_printed(text: str) -> bool:
    """Has mbpoll printed this?"""
    return any(_TYPE.match(line) for line in text.splitlines()) and "-- Polling" in text


def read_printed(text: str, file: Path, addresses_from: int | None = None) -> Printed:
    """The first value of each reference; raises ScenarioError. ``addresses_from``: 0 if mbpoll was called
    with -0, None: as the text shows, which is 1 unless a reference is 0."""
    found = Printed(shown_path(file))
    lines = text.splitlines()
    references = [int(one[1]) for one in map(_LINE.match, lines) if one]
    counted = addresses_from if addresses_from is not None else 0 if 0 in references else 1
    kind: tuple[str, str, str] | None = None
    changed = 0
    for number, line in enumerate(lines, 1):
        told = _TYPE.match(line)
        if told:
            kind = _kind(told[1], found.file, number)
            continue
        value = _LINE.match(line)
        if value is None:
            continue
        if kind is None:
            raise ScenarioError(
                found.file,
                number,
                "",
                'a value before the line "Data type": expected all that mbpoll printed',
            )
        changed += _take(found, number, kind, int(value[1]) - counted, value[2])
    if not found.points:
        raise ScenarioError(found.file, None, "", 'no values: expected lines such as "[1]:  100" of mbpoll')
    if addresses_from is None and counted:
        found.notes.append(
            "references are taken to count from 1, as mbpoll does without -0: address = reference - 1. If it "
            "was called with -0, say --addresses-from 0"
        )
    if changed:
        found.notes.append(
            f"{changed} later values differ from the first ones: points stay at their first value"
        )
    return found


def _kind(text: str, file: str, line: int) -> tuple[str, str, str]:
    """(table, type, order) of a line ``Data type``."""
    table = next((ours for theirs, ours in _TABLES if theirs in text), None)
    type_ = "u16" if table in ("coil", "discrete") else next(
        (ours for theirs, ours in _TYPES if text.startswith(theirs)), None
    )  # fmt: skip
    if table is None or type_ is None:
        raise ScenarioError(file, line, "", f'expected a data type that mbpoll prints, got "{text}"')
    return table, type_, "sw" if "little endian" in text else "be"


def _take(found: Printed, line: int, kind: tuple[str, str, str], address: int, text: str) -> bool:
    """One value. Returns whether it is another than the one that its point has."""
    table, type_, order = kind
    if not 0 <= address <= 65_536 - _WIDTH[type_]:
        raise ScenarioError(found.file, line, "", f"reference of {table} address {address}: 0 to 65535 exist")
    try:
        level: float = float(text) if type_ == "f32" else int(text, 16 if text.startswith("0x") else 10)
    except ValueError as error:
        raise ScenarioError(found.file, line, "", f'expected a number, got "{text}"') from error
    point: dict[str, Any] = {"table": table, "address": address, "type": type_}
    if order != "be" and _WIDTH[type_] > 1:
        point["order"] = order
    if level - level != 0.0:
        found.notes.append(f"{found.file}:{line}: {text} is no number that a signal can have: the point is 0")
        level = 0.0
    point["signal"] = {"level": level}
    name = f"{table}-{address}"
    if name in found.points:
        return found.points[name] != point
    found.points[name], found.lines[name] = point, line
    return False
