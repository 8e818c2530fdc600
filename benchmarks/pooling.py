"""``python -m benchmarks.pooling``: what wasmtime's pooling allocator reserves, what an instance out of it
costs, and what it refuses, measured on this machine through wasmtime's C interface.

Belongs here: engines with a pool and without one, side by side. Never: what a pool means to a simulated
gateway (sim/model/boards.py), whose arithmetic is printed beside what is measured. An engine that can't be
made ends the process, so those are tried in processes of their own.
"""

from __future__ import annotations

import argparse
import gc
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from ctypes import addressof, c_void_p
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import wasmtime
from wasmtime import _bindings
from wasmtime import _ffi as ffi

from twinloop.components.host import capi
from twinloop.components.host.cache import CodeCache
from twinloop.components.host.component import Linked
from twinloop.components.host.engines import Engine
from twinloop.components.host.host import Host
from twinloop.scenarios.file.boards.programs import runtimes
from twinloop.scenarios.file.boards.reading import shipped
from twinloop.sim.model.boards import SMALL_GUARDS_BYTES, SMALL_RESERVATION_BYTES
from twinloop.sim.model.pool import pool_bytes, pool_that_fits

SHIPPED = Path(__file__).parents[1] / "components" / "wasm"
DRIVERS = ["fieldbus", "clock", "log"]
COMPONENTS = {
    "modbus-driver": ("driver", DRIVERS),
    "mqtt-driver": ("driver", DRIVERS),
    "opcua-driver": ("driver", DRIVERS),
    "normalize": ("transform", ["log"]),
    "smooth": ("transform", ["log", "state"]),
    "route": ("policy", ["log"]),
}
"""shipped component -> its role, what it is granted. Drivers start on a stack of their own, others don't"""
MIB, FUEL = 1 << 20, 1 << 40
CROWD = 100
"""memories of the pool that is looked at, and instances that live side by side"""


class Pool(NamedTuple):
    """So many memories and stacks and twice as many tables, each memory of at most ``memory_bytes`` (None:
    what wasmtime takes by itself). ``rest``: the other totals are set so that they aren't what is full first;
    else they stay at wasmtime's 1000."""

    memories: int
    memory_bytes: int | None = None
    rest: bool = True

    def totals(self) -> dict[str, int]:
        """What is set of the allocator's totals, by name."""
        many = self.memories
        rest = {
            "core_instances": 8 * many,
            "component_instances": 8 * many,
            "tables": 2 * many,
            "stacks": many,
        }
        return {"memories": many, **(rest if self.rest else {})}


def engine(pool: Pool | None, small: bool = False, target: str = "", images: bool = True) -> wasmtime.Engine:
    """An engine as wasmtime sets it up by itself, fuel aside. ``small``: memories reserve 64 MiB; ``images``:
    memories begin as copy-on-write images. Ends the process when there is no room for the pool."""
    config = wasmtime.Config()
    config.consume_fuel = True
    config.parallel_compilation = False
    if target:
        config.target = target
    _bindings.wasmtime_config_concurrency_support_set(config.ptr(), False)
    _bindings.wasmtime_config_memory_init_cow_set(config.ptr(), images)
    if small:
        _bindings.wasmtime_config_memory_reservation_set(config.ptr(), SMALL_RESERVATION_BYTES)
        _bindings.wasmtime_config_memory_guard_size_set(config.ptr(), SMALL_GUARDS_BYTES)
    if pool is not None:
        pooling = _bindings.wasmtime_pooling_allocation_config_new()
        for what, total in pool.totals().items():
            getattr(_bindings, f"wasmtime_pooling_allocation_config_total_{what}_set")(pooling, total)
        if pool.memory_bytes is not None:
            _bindings.wasmtime_pooling_allocation_config_max_memory_size_set(pooling, pool.memory_bytes)
        _bindings.wasmtime_pooling_allocation_strategy_set(config.ptr(), pooling)
        _bindings.wasmtime_pooling_allocation_config_delete(pooling)
    return wasmtime.Engine(config)


# ---- what this process has ---------------------------------------------------------------------------
def process_bytes() -> tuple[int, int]:
    """(addresses, resident memory) of this process."""
    pages = Path("/proc/self/statm").read_text().split()
    return int(pages[0]) * resource.getpagesize(), int(pages[1]) * resource.getpagesize()


def maps() -> int:
    """How many of the kernel's maps this process has."""
    return Path("/proc/self/maps").read_bytes().count(b"\n")


def addresses_of(pool: Pool, small: bool = False, target: str = "") -> int:
    """Addresses that an engine with that pool takes when it is made."""
    engine(None, small, target)  # what the first engine of a process sets up once
    before = process_bytes()[0]
    made = engine(pool, small, target)
    after = process_bytes()[0]
    del made
    return after - before


# ---- instances ---------------------------------------------------------------------------------------
class Made:
    """A shipped component compiled for one engine, and instances of it: ``one`` makes another."""

    def __init__(self, raw: wasmtime.Engine, name: str) -> None:
        self.host = Host(threads=False)
        self.host.engines.plain = Engine(raw, CodeCache("", None), fibers=False)
        role, grants = COMPONENTS[name]
        self.linked: Linked = self.host.link(self.host.load(SHIPPED / f"{name}.wasm", role), grants)
        self._raw = ffi.wasmtime_component_instance_t()
        self._words = (
            capi.address(self.linked.linker.ptr()),
            capi.address(self.linked.component.raw.ptr()),
            addressof(self._raw),
        )

    def one(self) -> wasmtime.Store:
        """A store with an instance in it. Raises WasmtimeError."""
        store = wasmtime.Store(self.linked.component.engine.raw)
        context = capi.address(store._context())
        capi.set_fuel(context, FUEL)
        linker, component, instance = self._words
        if self.linked.parks:  # it has imports that wait, and so starts on a stack of its own
            failed = c_void_p(0)
            future = capi.instantiate_async(linker, context, component, instance, addressof(failed))
            while not capi.future_poll(future):
                continue
            capi.future_delete(future)
            error = failed.value
        else:
            error = capi.instantiate(linker, context, component, instance)
        if error:
            raise capi.error_at(error)
        return store


def crowds_ns(pool: Pool | None, name: str) -> tuple[float, float]:
    """CPU ns to make one of CROWD instances that then live side by side: of the first ones of a new engine,
    and again when those are closed."""
    gc.collect()  # else engines of before go meanwhile
    made = Made(engine(pool), name)
    if pool is None:
        made.one().close()  # what the first instance of a process sets up once; a pool's memory would be used
    found = []
    for _ in range(2):
        began = time.process_time_ns()
        live = [made.one() for _ in range(CROWD)]
        found.append((time.process_time_ns() - began) / CROWD)
        for store in live:
            store.close()
    return found[0], found[1]


def ratios(name: str, rounds: int) -> tuple[float, float]:
    """What making an instance takes with a pool, in times of what it takes without: in memories that nobody
    has used yet, and in used ones. Of the quickest of ``rounds``, with and without by turns, because others
    use this machine, too."""
    pooled = alone = float("inf"), float("inf")
    for _ in range(rounds):
        first, again = crowds_ns(None, name)
        alone = min(alone[0], first), min(alone[1], again)
        first, again = crowds_ns(Pool(CROWD), name)
        pooled = min(pooled[0], first), min(pooled[1], again)
    print(
        f"{name}: {alone[1] / 1000:.1f} us without, {pooled[0] / 1000:.1f} us in a new memory of a pool, "
        f"{pooled[1] / 1000:.1f} us in a used one"
    )
    return pooled[0] / min(alone), pooled[1] / min(alone)


class Crowd(NamedTuple):
    """Of an instance among CROWD that live side by side: maps, resident memory."""

    maps: float
    resident_bytes: float


def crowd(pool: Pool | None, name: str, images: bool) -> Crowd:
    """CROWD instances made, looked at and closed, and what their engine takes with them."""
    engine(None)  # what the first engine of a process sets up once
    gc.collect()  # else engines of before go while this one is looked at
    maps_before = maps()
    made = Made(engine(pool, images=images), name)
    _, before = process_bytes()
    live = [made.one() for _ in range(CROWD)]
    found = Crowd((maps() - maps_before) / CROWD, (process_bytes()[1] - before) / CROWD)
    for store in live:
        store.close()
    return found


# ---- what is refused ---------------------------------------------------------------------------------
def refusal(made: Made, most: int) -> tuple[int, str]:
    """(how many instances there are when one is refused, wasmtime's words)."""
    live: list[wasmtime.Store] = []
    try:
        for _ in range(most):
            live.append(made.one())
    except wasmtime.WasmtimeError as error:
        return len(live), str(error).strip().splitlines()[-1].strip()
    finally:
        for store in live:
            store.close()
    return len(live), "nothing was refused"


def too_large(raw: wasmtime.Engine, pages: int) -> str:
    """What wasmtime says to a module whose memory begins with so many pages of 64 KiB; empty: it fits."""
    try:
        wasmtime.Module(raw, f"(module (memory {pages}))")
    except wasmtime.WasmtimeError as error:
        return str(error).strip().splitlines()[-1].strip()
    return ""


def pages_reached(raw: wasmtime.Engine) -> int:
    """To how many pages of 64 KiB a memory of one page grows, page by page (at most 65 536)."""
    text = """(module (memory 1) (func (export "most") (result i32)
        (loop $more (br_if $more (i32.ne (memory.grow (i32.const 1)) (i32.const -1))))
        (memory.size)))"""
    store = wasmtime.Store(raw)
    store.set_fuel(FUEL)
    most = wasmtime.Instance(store, wasmtime.Module(raw, text), []).exports(store)["most"]
    assert isinstance(most, wasmtime.Func)
    return int(most(store))


def is_made(memories: int, small: bool, bits: int) -> bool:
    """Can a process with so many bits of addresses make that pool?"""
    words = [sys.executable, "-m", "benchmarks.pooling", "--make", str(memories), "--bits", str(bits)]
    run = subprocess.run(words + ["--small"] * small, capture_output=True, check=False)
    return run.returncode == 0


def most_memories(small: bool, bits: int, most: int) -> int:
    """The largest pool, of at most ``most`` memories, that a process with so many bits of addresses makes."""
    low, high = 0, most + 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if is_made(middle, small, bits) else (low, middle)
    return low


# ---- the command -------------------------------------------------------------------------------------
def report(quick: bool) -> None:
    """Measure, and print a line for each figure."""
    today = datetime.now(tz=UTC).date()
    print(f"{today}, {os.cpu_count()} cores, {platform.machine()}, wasmtime {capi.WASMTIME}")
    for words, pool, small, target in (
        ("4 GiB each", Pool(CROWD), False, ""),
        ("4 GiB each, at most 16 MiB used", Pool(CROWD, 16 * MIB), False, ""),
        ("64 MiB each", Pool(CROWD, SMALL_RESERVATION_BYTES), True, ""),
        ("4 GiB each, Pulley", Pool(CROWD), False, "pulley64"),
    ):
        runtime = runtimes()["wasmtime-pulley" if target else "wasmtime"]
        reckoned, taken = pool_bytes(CROWD, runtime, small) / MIB, addresses_of(pool, small, target) / MIB
        print(f"addresses of {CROWD} memories, {words}: {taken:.2f} MiB, by arithmetic {reckoned:.2f}")
    board = shipped("raspberry-pi-4")
    for words, small in (("4 GiB", False), ("64 MiB", True)):
        reckoned_most = pool_that_fits(board, runtimes()["wasmtime"], small)
        most = most_memories(small, board.va_bits, 2 * reckoned_most)
        print(f"largest pool in {board.va_bits} bits, {words} each: {most}, by arithmetic {reckoned_most}")
    found = [ratios(name, 2 if quick else 15) for name in COMPONENTS]
    for words, each in zip(("a new memory", "a used one"), zip(*found, strict=True), strict=True):
        mean = statistics.geometric_mean(each)
        print(f"made in {words} of a pool: x{mean:.3f} (x{min(each):.3f} to x{max(each):.3f})")
    for name, images in (
        ("modbus-driver", True),
        ("modbus-driver", False),
        ("route", True),
        ("route", False),
    ):
        with_images = "" if images else ", no images"
        for words, shared in {"without": None, "pooled": Pool(CROWD)}.items():
            one = crowd(shared, name, images)
            resident = f"{one.resident_bytes / 1024:.1f} KiB resident"
            print(f"an instance of {name} {words}{with_images}: {one.maps:.2f} maps, {resident}")
    print("a pool of 10 memories holds {} policies: {}".format(*refusal(_made(Pool(10), "route"), 12)))
    by_default = refusal(_made(Pool(1000, rest=False), "modbus-driver"), 1001)
    print("wasmtime's own totals of 1000 hold {} drivers: {}".format(*by_default))
    small_slots = engine(Pool(10, 16 * MIB))
    print(f"16 MiB at most: a memory grows to {pages_reached(small_slots) / 16:g} MiB")
    print(f"16 MiB at most, one of 257 pages: {too_large(small_slots, 257)}")


def _made(pool: Pool, name: str) -> Made:
    return Made(engine(pool), name)


def main(words: Sequence[str] | None = None) -> None:
    """The command line: ``--make`` is what it calls itself with."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pooling")
    parser.add_argument("--quick", action="store_true", help="fewer rounds: to see that it works")
    parser.add_argument("--make", type=int, help="only make a pool of so many memories")
    parser.add_argument("--bits", type=int, default=47, help="in so many bits of addresses")
    parser.add_argument("--small", action="store_true", help="memories reserve 64 MiB")
    asked = parser.parse_args(words)
    if asked.make is None:
        report(asked.quick)
        return
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (1 << asked.bits, 1 << asked.bits))
    engine(Pool(asked.make, SMALL_RESERVATION_BYTES if asked.small else None), asked.small)


if __name__ == "__main__":
    main()
