"""A pool of linear memories, as wasmtime's pooling allocator has one: what it reserves, and how many fit.

Belongs here: what a scenario says of a pool, and its addresses by arithmetic. Never: who has which of its
memories (machine/memories.py), memories that are reserved one by one (boards.py). The figures were measured
by ``python -m benchmarks.pooling``: addresses that an engine takes when it is made.
"""

from __future__ import annotations

from twinloop.records import dataclass
from twinloop.sim.model.boards import (
    MAPS_MAX,
    MAPS_PER_MEMORY,
    SMALL_GUARDS_BYTES,
    SMALL_RESERVATION_BYTES,
    Board,
    Runtime,
)

FULL_RESERVATION_BYTES = 4 << 30
"""all that a wasm32 memory can have, and what is reserved for each unless a scenario says 64 MiB"""
BESIDE_BYTES = (2 << 20) + (4 << 10) + 2 * (160 << 10)
"""beside each memory: a stack with its guard page, and two tables, as each shipped driver has"""


@dataclass(frozen=True, slots=True)
class Pool:
    """So many memories of at most ``memory_bytes`` (a larger one isn't made, and none grows beyond)."""

    memories: int
    memory_bytes: int


def reservation_bytes(small: bool) -> int:
    """What a memory of a pool reserves, guards aside: 64 MiB if ``small``, else 4 GiB."""
    return SMALL_RESERVATION_BYTES if small else FULL_RESERVATION_BYTES


def _guard_bytes(runtime: Runtime, small: bool) -> int:
    """In a pool each memory has one guard, behind it; by itself it has one before it, too."""
    if small:
        return SMALL_GUARDS_BYTES
    return max(0, runtime.reservation_bytes - FULL_RESERVATION_BYTES) // 2


def pool_bytes(memories: int, runtime: Runtime, small: bool) -> int:
    """Addresses of a pool of so many memories: each with its guard and what is beside it, and one guard
    before the first."""
    guard = _guard_bytes(runtime, small)
    return memories * (reservation_bytes(small) + guard + BESIDE_BYTES) + guard


def pool_that_fits(board: Board, runtime: Runtime, small: bool) -> int:
    """The most memories of a pool that the board's user addresses hold, and its kernel's maps when all are in
    use. What the program itself takes is left aside."""
    guard = _guard_bytes(runtime, small)
    each = reservation_bytes(small) + guard + BESIDE_BYTES
    return min(((1 << board.va_bits) - guard) // each, MAPS_MAX // MAPS_PER_MEMORY)
