"""How the points of a device lie in its four Modbus tables: the same for all devices of a model.

Belongs here: what follows from points, constants and holes alone. Never: what a device holds (registers.py).
"""

from __future__ import annotations

from twinloop.devices.model.cell import Cell
from twinloop.devices.model.points import BITS, TABLES, Point


class Layout:
    """``first[table]`` is the lowest address that exists, ``length[table]`` how many there are from it on;
    ``cells``: of each point, None for coils and discrete inputs. ``holes``: addresses that no point and no
    constant has don't exist.

    ``unreadable`` and ``unwritable``: table -> 1 for each address in it that doesn't exist for who reads, or
    writes; no key: all do. Nobody changes any of it: images of one model share it.
    """

    __slots__ = ("cells", "first", "length", "scaled_live", "unreadable", "unwritable")

    def __init__(self, points: tuple[Point, ...], constants: dict[tuple[str, int], int], holes: bool) -> None:
        self.first: dict[str, int] = {}
        self.length: dict[str, int] = {}
        spans = [(p.table, p.address, p.width) for p in points] + [
            (table, address, 1) for table, address in constants
        ]
        for table in TABLES:
            mine = [(address, address + width) for name, address, width in spans if name == table]
            first = self.first[table] = min((low for low, _ in mine), default=0)
            self.length[table] = max((high for _, high in mine), default=0) - first
        self.cells = [None if p.table in BITS else Cell(p, self.first[p.table]) for p in points]
        self.scaled_live = any(point.power is not None for point in points)
        """is there a point whose power of ten another one holds?"""
        self.unreadable: dict[str, bytearray] = {}
        self.unwritable: dict[str, bytearray] = {}
        self._forbid(points, spans if holes else None)

    def _forbid(self, points: tuple[Point, ...], spans: list[tuple[str, int, int]] | None) -> None:
        """Say which addresses don't exist: those outside ``spans``, and for who reads those that can only be
        written."""
        for table in TABLES:
            first, length = self.first[table], self.length[table]
            gone = bytearray(length)
            if spans is not None:
                gone = bytearray(b"\1" * length)
                for name, address, width in spans:
                    if name == table:
                        gone[address - first : address - first + width] = bytes(width)
            hidden = bytearray(gone)
            for p in points:
                if p.table == table and not p.readable:
                    hidden[p.address - first : p.address - first + p.width] = b"\1" * p.width
            if any(gone):
                self.unwritable[table] = gone
            if any(hidden):
                self.unreadable[table] = hidden
