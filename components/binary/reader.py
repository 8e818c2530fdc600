"""Bytes of the binary format one after the other: numbers, names, sections, each within its end.

Belongs here: reading with bounds, and the budget that keeps hostile input from taking long. Never: what a
section means.
"""

from __future__ import annotations

ITEMS_MAX = 1_000_000
"""definitions and sections of one component together: wasmtime's own limit for types alone"""
NAME_BYTES_MAX = 100_000
"""wasmtime's own limit"""


class SectionsError(ValueError):
    """Bytes that can't be read as a component: truncated, garbage, or beyond a limit; the message says
    where."""


class Reader:
    """A place in the bytes. Each call reads what lies before ``end`` and goes on behind it; raises
    SectionsError."""

    __slots__ = ("at", "data", "left")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0
        self.left = ITEMS_MAX

    def spend(self, items: int) -> None:
        """Count items against the limit."""
        self.left -= items
        if self.left < 0:
            raise SectionsError(f"byte {self.at}: more than {ITEMS_MAX} definitions")

    def byte(self, end: int) -> int:
        """One byte."""
        at = self.at
        if at >= end:
            raise SectionsError(f"byte {at}: the bytes end in the middle of a definition")
        self.at = at + 1
        return self.data[at]

    def number(self, end: int, bits: int = 32) -> int:
        """An unsigned LEB128 of at most that many bits."""
        value = shift = 0
        while True:
            byte = self.byte(end)
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                break
            shift += 7
            if shift >= bits:
                raise SectionsError(f"byte {self.at - 1}: a number of more than {bits} bits")
        if value >> bits:
            raise SectionsError(f"byte {self.at - 1}: a number of more than {bits} bits")
        return value

    def count(self, end: int) -> int:
        """How many items follow; each takes a byte at least."""
        found = self.number(end)
        if found > end - self.at:
            raise SectionsError(f"byte {self.at}: {found} items are announced, {end - self.at} bytes follow")
        self.spend(found)
        return found

    def name(self, end: int) -> str:
        """A name: its length and UTF-8."""
        size = self.number(end)
        at = self.at
        if size > end - at:
            raise SectionsError(f"byte {at}: a name of {size} bytes is announced, {end - at} follow")
        if size > NAME_BYTES_MAX:
            raise SectionsError(f"byte {at}: a name of {size} bytes; the limit is {NAME_BYTES_MAX}")
        self.at = at + size
        try:
            return self.data[at : at + size].decode()
        except UnicodeDecodeError:
            raise SectionsError(f"byte {at}: a name that is no UTF-8") from None

    def extern_name(self, end: int) -> str:
        """The name of a component's import or export, its attributes left out."""
        form = self.byte(end)
        if form > 2:
            raise SectionsError(f"byte {self.at - 1}: a name of unknown form {form:#x}")
        name = self.name(end)
        if form == 2:
            for _ in range(self.count(end)):
                self.byte(end)
                self.name(end)
        return name

    def section(self, end: int) -> tuple[int, int]:
        """A section's number, and where its content ends."""
        self.spend(1)
        kind = self.byte(end)
        size = self.number(end)
        if size > end - self.at:
            raise SectionsError(
                f"byte {self.at}: section {kind} should have {size} bytes, {end - self.at} follow (the file "
                f"is truncated?)"
            )
        return kind, self.at + size

    def preamble(self, expected: bytes, end: int) -> None:
        """The eight bytes that open a module or a component."""
        found = self.data[self.at : min(self.at + 8, end)]
        if found != expected:
            raise SectionsError(f"byte {self.at}: expected {expected.hex()}, got {found.hex() or 'nothing'}")
        self.at += 8
