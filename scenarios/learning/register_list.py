"""A register list as CSV to the keys of a model file.

Belongs here: separators, lines, rows, and which line a mistake is in. Never: what a cell says (columns.py).
Python's ``csv`` reads quoted cells.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from twinloop.devices.model.points import BITS
from twinloop.scenarios.learning.columns import COLUMNS
from twinloop.scenarios.text.errors import ScenarioError, shown_path, unknown

SEPARATORS = (",", ";", "\t")
_WORDS = {",": "a comma", ";": "a semicolon", "\t": "a tab"}


@dataclass(slots=True)
class Rows:
    """Points as a model file has them. ``lines``: point -> where its row begins; ``notes``: what was changed
    without being asked."""

    file: str
    points: dict[str, dict[str, Any]] = field(default_factory=dict)
    lines: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def place(self, error: ScenarioError) -> ScenarioError:
        """A mistake of the model file as one of the row that it came from."""
        parts = error.path.removeprefix("$.points").removeprefix(".")
        for name in sorted(self.lines, key=len, reverse=True):
            if parts == name or parts.startswith((f"{name}.", f"{name}[")):
                key = re.split(r"[.\[]", parts.removeprefix(name).lstrip("."))[0]
                column = {"signal": "value"}.get(key, key)
                path = f"column {column}" if column in COLUMNS else name
                return ScenarioError(self.file, self.lines[name], path, error.text)
        named = [
            name for name in self.lines if re.search(rf"(?<![\w.-]){re.escape(name)}(?![\w.-])", error.text)
        ]
        line = max((self.lines[name] for name in named), default=None)
        return ScenarioError(self.file, line, "", error.text)


def decoded(data: bytes, file: Path) -> str:
    """The text of a file that a spreadsheet has written: UTF-8 or, with its mark, UTF-16; raises
    ScenarioError."""
    try:
        return data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise ScenarioError(
            shown_path(file), None, "", f'not UTF-8 at byte {error.start}: save it as "CSV UTF-8"'
        ) from error


def read_rows(text: str, file: Path, addresses_from: int = 0) -> Rows:
    """Raises ScenarioError with line and column. ``addresses_from``: 0 or 1, of the column ``address``."""
    rows = Rows(shown_path(file))
    separator = _separator(text)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    header: list[str] | None = None
    line = 1
    try:
        for cells in reader:
            begin, line = line, reader.line_num + 1
            cells = [cell.strip() for cell in cells]
            if not any(cells) or cells[0].startswith("#"):
                continue
            if header is None:
                header = _header(cells, rows.file, begin)
                continue
            _take(rows, begin, _row(cells, header, rows.file, begin, separator), addresses_from)
    except csv.Error as error:
        raise ScenarioError(rows.file, reader.line_num, "", f"no CSV: {error}") from error
    if not rows.points:
        raise ScenarioError(
            rows.file, None, "", "no points: expected a line of column names, then a line a point"
        )
    return rows


def _separator(text: str) -> str:
    """What separates the names of columns: the one that shows most of those that are known."""
    first = next((one for one in text.splitlines() if one.strip() and not one.startswith("#")), "")

    def found(separator: str) -> int:
        return sum(_plain(cell) in COLUMNS for cell in next(csv.reader([first], delimiter=separator), []))

    return max(SEPARATORS, key=lambda one: (found(one), first.count(one)))


def _plain(cell: str) -> str:
    return cell.strip().lower()


def _header(cells: list[str], file: str, line: int) -> list[str]:
    header = [_plain(cell) for cell in cells]
    while header and not header[-1]:
        header.pop()
    for place, name in enumerate(header):
        if name not in COLUMNS:
            raise ScenarioError(file, line, "", unknown("column", cells[place], COLUMNS))
        if name in header[:place]:
            raise ScenarioError(file, line, "", f'column "{name}" is there twice')
    if "address" not in header and "register" not in header:
        raise ScenarioError(file, line, "", 'expected a column "address" or "register": where a point lies')
    return header


def _row(cells: list[str], header: list[str], file: str, line: int, separator: str) -> dict[str, Any]:
    """column -> value, of the cells that aren't empty."""
    if any(cells[len(header) :]):
        raise ScenarioError(
            file, line, "", f"{len(cells)} cells, and {len(header)} columns have a name; {_WORDS[separator]} "
            f"separates cells: a cell that has one in it stands in quotes"
        )  # fmt: skip
    found: dict[str, Any] = {}
    for name, cell in zip(header, cells, strict=False):
        if not cell:
            continue
        try:
            found[name] = COLUMNS[name].read(cell, separator == ";")
        except ValueError as error:
            told = str(error)
            got = "" if told.startswith("unknown") else f', got "{cell}"'
            raise ScenarioError(file, line, f"column {name}", told + got) from error
    return found


def _take(rows: Rows, line: int, found: Mapping[str, Any], addresses_from: int) -> None:
    """One row as one point; raises ScenarioError."""

    def wrong(column: str, text: str) -> ScenarioError:
        return ScenarioError(rows.file, line, f"column {column}", text)

    table, address = found.get("table"), found.get("address")
    if address is not None:
        address -= addresses_from
        if address < 0:
            raise wrong("address", "0, and addresses of this file count from 1")
    if "register" in found:
        of_reference, place = found["register"]
        if table not in (None, of_reference):
            raise wrong("table", f"{table}, and the reference number is one of {of_reference}")
        if address not in (None, place):
            raise wrong("address", f"{found['address']}, and the reference number is address {place}")
        table, address = of_reference, place
    if address is None:
        raise wrong("address" if "register" not in found else "register", "empty: where does the point lie?")
    table = table or "holding"
    name = _name(rows, line, found.get("name"), table, address)
    point: dict[str, Any] = {"table": table, "address": address, "type": found.get("type", "u16")}
    if table in BITS and point["type"] not in ("u16", "u8"):
        raise wrong("type", f"{point['type']}, and a {table} is one bit: leave it empty")
    keys = ("length", "bits", "order", "unit", "scale", "offset", "low", "high", "access", "nan", "text")
    point |= {key: found[key] for key in keys if key in found}
    if "value" in found:
        if point["type"] == "text":
            raise wrong("value", 'a text has no value: what it says goes into the column "text"')
        point["signal"] = {"level": found["value"]}
    rows.points[name], rows.lines[name] = point, line


def _name(rows: Rows, line: int, given: str | None, table: str, address: int) -> str:
    name = re.sub(r"[^\w.-]+", "-", given or "", flags=re.ASCII).strip("-.") or f"{table}-{address}"
    if given and name != given:
        rows.notes.append(
            f'{rows.file}:{line}: "{given}" is called {name}: letters, digits, ".", "-" and "_"'
        )
    if name in rows.lines:
        raise ScenarioError(
            rows.file,
            line,
            "column name",
            f'"{name}" is the name of the point in line {rows.lines[name]}, too',
        )
    return name
