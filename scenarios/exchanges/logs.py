"""Logs of gateways and of Modbus tools: lines with the bytes that went out and came in.

Belongs here: which lines are some, and their times. Never: what the bytes mean. Three kinds are known: ours
(``TIME > HEX``, ``TIME < HEX``), pymodbus's debug log (``send: 0x0 0x1 ...``, ``recv: 0x0 ...``), and what
libmodbus prints, so mbpoll -v, too (``[00][01]...`` and ``<00><01>...``). Other lines are left out and
counted.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

from twinloop.scenarios.exchanges.frames import Seen
from twinloop.scenarios.text.errors import ScenarioError

SERVER = "the log"
LINE_CHARACTERS_MAX = 10_000
_OURS = re.compile(r"\s*(?P<time>\S+(?: \d\d:\S+)?)\s+(?P<way>[<>])\s*(?P<hex>(?:[0-9A-Fa-f]{2}[\s:]*)+)$")
_PYMODBUS = re.compile(
    r"\b(?P<way>send|recv)\b:?\s+(?P<hex>(?:0x[0-9a-f]{1,2}\s*)+)(?:extra data:.*)?$", re.IGNORECASE
)
_LIBMODBUS = re.compile(r"\s*(?:(?P<out>(?:\[[0-9A-Fa-f]{2}\])+)|(?P<come>(?:<[0-9A-Fa-f]{2}>)+))\s*$")
_DATE = re.compile(r"\s*\[?(\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?:Z|[+-]\d\d:?\d\d)?)")
_SECONDS = re.compile(r"\d{1,12}(?:\.\d{1,9})?")


class Log:
    """One file. ``left_out``: lines that have no bytes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.left_out = 0

    def frames(self) -> Iterator[Seen]:
        """In the order in which they stand there; raises ScenarioError."""
        try:
            with self._path.open(encoding="utf-8", errors="replace") as file:
                for number, line in enumerate(file, 1):
                    found = self._frame(line.rstrip("\r\n")[:LINE_CHARACTERS_MAX], number)
                    if found is None:
                        self.left_out += bool(line.strip())
                    else:
                        yield found
        except OSError as error:
            raise ScenarioError(str(self._path), None, "", error.strerror or str(error)) from error

    def _frame(self, line: str, number: int) -> Seen | None:
        if ours := _OURS.match(line):
            at_ns = time_ns(ours["time"])
            if at_ns is None:
                text = f'"{ours["time"][:40]}" is no time; expected seconds (12.5) or 2026-01-31T12:00:00.5Z'
                raise ScenarioError(str(self._path), number, "", text)
            data = bytes.fromhex(re.sub(r"[\s:]", "", ours["hex"]))
            return Seen(at_ns, ours["way"] == ">", data, SERVER)
        dated = _DATE.match(line)
        at_ns = time_ns(dated[1]) if dated else None
        if theirs := _PYMODBUS.search(line):
            data = bytes(int(one, 16) for one in theirs["hex"].split())
            return Seen(at_ns, theirs["way"].lower() == "send", data, SERVER)
        if printed := _LIBMODBUS.match(line):
            digits = re.sub(r"[^0-9A-Fa-f]", "", printed[0])
            return Seen(at_ns, printed["out"] is not None, bytes.fromhex(digits), SERVER)
        return None


def time_ns(text: str) -> int | None:
    """ns since 1970 (a date without a zone is UTC), or since whenever a count of seconds began; None for what
    is no time."""
    if _SECONDS.fullmatch(text):
        return int(Decimal(text) * 1_000_000_000)
    if not _DATE.fullmatch(text):
        return None
    whole, _, part = text.replace(",", ".").partition(".")
    digits = re.match(r"\d*", part)
    fraction = digits[0] if digits else ""
    try:
        then = datetime.fromisoformat(whole.replace(" ", "T") + part[len(fraction) :])
    except ValueError:
        return None
    since = (then if then.tzinfo else then.replace(tzinfo=UTC)) - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1_000_000_000 + int(f"{fraction:0<9}"[:9])
