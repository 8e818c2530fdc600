"""What wasmtime's pooling allocator does here is what the simulation says of it."""

from __future__ import annotations

from benchmarks.pooling import MIB, Made, Pool, addresses_of, engine, pages_reached, refusal, too_large
from twinloop.scenarios.file.boards.programs import runtimes
from twinloop.sim.model.pool import pool_bytes


def test_an_engine_takes_the_addresses_of_its_whole_pool() -> None:
    """Three memories: 12 GiB and what is beside them, to the MiB."""
    reckoned_bytes = pool_bytes(3, runtimes()["wasmtime"], small=False)
    assert abs(addresses_of(Pool(3)) - reckoned_bytes) < MIB


def test_an_instance_more_than_there_are_memories_is_refused() -> None:
    found = refusal(Made(engine(Pool(2)), "route"), 3)
    assert found == (2, "maximum concurrent limit of 2 for memory stripe 0 reached")


def test_a_memory_ends_where_the_pool_says() -> None:
    """Four pages of 64 KiB."""
    small = engine(Pool(2, 4 << 16))
    assert pages_reached(small) == 4
    assert too_large(small, 4) == ""
    assert "memory has a minimum byte size of 327680 which exceeds the limit of 0x40000" in too_large(
        small, 5
    )
