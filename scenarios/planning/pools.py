"""A gateway's pool of memories: does the board hold it, and does it hold the gateway's instances?

Belongs here: what is checked of the key `pool` before a run. Never: memories without a pool (gateways.py),
its arithmetic (sim/model/pool.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from twinloop.scenarios.file import schema
from twinloop.scenarios.file.load import Loaded
from twinloop.scenarios.text.document import Location
from twinloop.scenarios.text.errors import ScenarioError
from twinloop.scenarios.text.units import show_size
from twinloop.scenarios.text.words import number_of
from twinloop.sim.model.boards import MAPS_MAX, MAPS_PER_MEMORY, Board, Runtime
from twinloop.sim.model.pool import Pool, pool_bytes, pool_that_fits, reservation_bytes

SLOWER = "x1.7 (x1.3 to x2.2)"


class Planned(NamedTuple):
    """A pool that the board holds. ``small``: its memories reserve 64 MiB; ``notes``: what a reader of the
    result should know."""

    pool: Pool
    small: bool
    notes: list[str]


class PoolPlanner:
    """Of one gateway, on its board and runtime; ``block``: its key `pool`."""

    def __init__(self, loaded: Loaded, name: str, block: schema.Pool, board: Board, runtime: Runtime) -> None:
        self._loaded, self._name, self._block = loaded, name, block
        self._board, self._runtime = board, runtime
        self._reservation = loaded.scenario.gateways[name].reservation

    def planned(self, memories: int, components: Mapping[str, schema.Component]) -> Planned:
        """``memories``: of all instances of the gateway; ``components``: of those. Raises ScenarioError."""
        if not self._runtime.components:
            raise self._error((), f"a pool is a setting of wasmtime; {self._runtime.title} has none")
        if not self._runtime.reserves(self._board.isa):
            raise self._error(
                (),
                f"what a pool reserves on {self._board.isa} hasn't been measured; leave it out on this board",
            )
        small = self._small()
        notes = self._notes(memories, components)
        if small and self._reservation == "auto":
            notes.append(
                f"gateway {self._name}: {self._too_many(False)}: they reserve 64 MiB instead, {self._price}"
            )
        most_bytes = self._block.memory or reservation_bytes(small)
        return Planned(Pool(self._block.memories, most_bytes), small, notes)

    def _tried(self) -> tuple[bool, ...]:
        """Which reservations may be: True is 64 MiB each."""
        asked, largest = self._block.memory, reservation_bytes(small=True)
        fits = asked is None or asked <= largest
        if self._reservation == "64 MiB" and not fits:
            raise self._error(
                ("memory",),
                f"{show_size(asked or 0)} don't fit into reservation: 64 MiB, and wasmtime makes no such "
                "engine: at most 64 MiB, or reservation: 4 GiB",
            )
        return {"4 GiB": (False,), "64 MiB": (True,), "auto": (False, True) if fits else (False,)}[
            self._reservation
        ]

    def _fit(self, small: bool) -> int:
        return pool_that_fits(self._board, self._runtime, small)

    def _small(self) -> bool:
        """Do its memories reserve 64 MiB only?"""
        tried = self._tried()
        for small in tried:
            if self._block.memories <= self._fit(small):
                return small
        most, more, lifts = self._fit(tried[-1]), self._fit(small=True), ""
        if not tried[-1] and more > most:
            asked = self._block.memory or 0
            beside = " with memory: 64 MiB at most" if asked > reservation_bytes(small=True) else ""
            lifts = f", or reservation: 64 MiB{beside}, which holds {more}; {self._price}"
        raise self._error(("memories",), f"{self._too_many(tried[-1])}: at most {most}{lifts}")

    def _too_many(self, small: bool) -> str:
        count, board = self._block.memories, self._board
        taken = pool_bytes(count, self._runtime, small)
        if taken <= 1 << board.va_bits:
            return (
                f"{number_of(count, 'memory', 'memories')} take {count * MAPS_PER_MEMORY} of the kernel's "
                f"maps, Linux allows {MAPS_MAX}"
            )
        return (
            f"{number_of(count, 'memory of a pool', 'memories of a pool')} reserve {show_size(taken)} of "
            f"addresses when the gateway starts, {board.name} has {show_size(1 << board.va_bits)} "
            f"({board.va_bits} bits)"
        )

    @property
    def _price(self) -> str:
        return "guest code costs " + ("the same" if self._runtime.interpreter else SLOWER)

    def _notes(self, memories: int, components: Mapping[str, schema.Component]) -> list[str]:
        count = self._block.memories
        found: list[str] = []
        if memories > count:
            fits = memories <= max(self._fit(small) for small in self._tried())
            lifts = f"; pool: {{memories: {memories}}} lifts it" if fits else ""
            found.append(
                f"gateway {self._name}: its instances need {number_of(memories, 'memory', 'memories')}, its "
                f"pool has {count}: {memories - count} find none{lifts}"
            )
        for name, component in components.items():
            stated = "memory" in component.limits.model_fields_set
            if stated and self._block.memory is not None and component.limits.memory > self._block.memory:
                found.append(
                    f"gateway {self._name}: {name} may have {show_size(component.limits.memory)} (limits), "
                    f"but a memory of the pool ends at {show_size(self._block.memory)}"
                )
        return found

    def _error(self, within: Location, text: str) -> ScenarioError:
        return self._loaded.document.error(("gateways", self._name, "pool", *within), text)
