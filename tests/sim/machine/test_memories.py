"""Memories of a gateway's instances, counted: all or none, and which of a pool's were used before."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from twinloop.scenarios.file.boards.programs import hosts, runtimes
from twinloop.scenarios.file.boards.reading import shipped
from twinloop.sim.machine.memories import Memories
from twinloop.sim.model.boards import End, Figure, prices
from twinloop.sim.model.pool import Pool, pool_bytes, pool_that_fits

MIB = 1 << 20
BOARD = shipped("raspberry-pi-4")
WASMTIME, PULLEY = runtimes()["wasmtime"], runtimes()["wasmtime-pulley"]


class Guest(NamedTuple):
    sha256: str
    memories: int


ONE, TWO, OTHER = Guest("a", 1), Guest("b", 2), Guest("c", 1)


def test_a_pool_of_a_hundred_reserves_what_was_measured() -> None:
    """Each memory has 4 GiB, a guard of 32 MiB, a stack of 2 MiB and 4 KiB, two tables of 160 KiB; a guard
    lies before the first: 413 063.64 MiB, as ``python -m benchmarks.pooling`` says. Pulley has no guards."""
    beside_bytes = 2 * MIB + (4 << 10) + 2 * (160 << 10)
    assert pool_bytes(100, WASMTIME, small=False) == 100 * (4128 * MIB + beside_bytes) + 32 * MIB
    assert round(pool_bytes(100, WASMTIME, small=False) / MIB, 2) == 413_063.64
    assert round(pool_bytes(100, WASMTIME, small=True) / MIB, 2) == 6_637.95
    assert round(pool_bytes(100, PULLEY, small=False) / MIB, 2) == 409_831.64


def test_how_many_fit_into_39_bits() -> None:
    """512 GiB: 126 were measured with 4 GiB each, 7897 with 64 MiB (the program itself takes some)."""
    assert pool_that_fits(BOARD, WASMTIME, small=False) == 126
    assert pool_that_fits(BOARD, WASMTIME, small=True) == 7898
    assert pool_bytes(126, WASMTIME, small=False) <= 1 << 39 < pool_bytes(127, WASMTIME, small=False)


def test_the_kernels_maps_limit_a_pool_where_addresses_do_not() -> None:
    """65 530 maps, four for each."""
    assert pool_that_fits(replace(BOARD, va_bits=48), WASMTIME, small=False) == 16_382


def test_without_a_pool_addresses_run_out_by_that_name() -> None:
    memories = Memories(3)
    assert memories.take(TWO) == 2
    assert memories.take(TWO) == 0, "all or none"
    assert memories.used == 2
    assert (memories.why_none()[0], memories.each_bytes) == ("addresses", None)
    memories.give_back(TWO, 2)
    assert not memories.again(TWO), "what is reserved anew was never used"
    assert Memories().take(Guest("c", 1_000_000)) == 1_000_000


def test_a_pool_is_full_by_its_own_name_and_has_room_again_after_an_end() -> None:
    memories = Memories(None, Pool(2, MIB))
    assert [memories.take(ONE) for _ in range(3)] == [1, 1, 0]
    assert memories.why_none() == ("pool", "the gateway's pool has no memory left for it: all 2 are taken")
    memories.give_back(ONE, 1)
    assert memories.take(OTHER) == 1
    assert memories.each_bytes == MIB


def test_a_component_gets_the_memory_again_that_it_has_left() -> None:
    memories = Memories(None, Pool(3, MIB))
    assert not memories.again(ONE), "nobody has used it yet"
    memories.take(ONE)
    memories.give_back(ONE, 1)
    assert memories.again(ONE)
    assert not memories.again(OTHER), "another component's image lies in it"
    memories.take(ONE)
    assert not memories.again(ONE), "taken"


def test_another_component_takes_what_was_left_when_nothing_else_is() -> None:
    memories = Memories(None, Pool(2, MIB))
    memories.take(TWO)
    memories.give_back(TWO, 2)
    assert memories.again(TWO)
    memories.take(OTHER)
    assert not memories.again(TWO), "one of two is another's now"


def test_a_new_process_has_a_new_pool() -> None:
    memories = Memories(None, Pool(2, MIB))
    memories.take(ONE)
    memories.give_back(ONE, 1)
    memories.end_life()
    assert not memories.again(ONE)


def test_what_an_instance_takes_with_a_pool_and_without() -> None:
    """A board of 100 us: 108 us in a new memory, 68 us in a used one; both bands come together with the
    board's own."""
    board = replace(BOARD, instantiate_ns=Figure(100_000, "by hand", 1.0))
    alone = prices(board, hosts()["rust-typed"], None, False, False)
    pooled = prices(board, hosts()["rust-typed"], None, False, False, pooled=True)
    assert (alone.instantiate_ns.value, alone.instantiate_again_ns.value) == (100_000, 100_000)
    assert (pooled.instantiate_ns.value, pooled.instantiate_again_ns.value) == (108_000, 68_000)
    assert (pooled.instantiate_ns.band, pooled.instantiate_again_ns.band) == (1.2, 1.3)
    assert pooled.at(End.HIGH).instantiate_again_ns.value == 88_400
    assert pooled.fuel_ps == alone.fuel_ps
