"""Claims about many instances: a thousand drivers on one board, and how many fit into 4 GB.

Belongs here: those two claims and their arithmetic. Never: one instance (starting.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from twinloop.scenarios.claims.claim import (
    Bound,
    Claim,
    Figure,
    Holds,
    boards_where,
    here,
    of_what,
    some,
    where_interpreted,
)
from twinloop.scenarios.claims.plants import SENSORS
from twinloop.scenarios.claims.workbench import INSTANCES, Workbench, tried
from twinloop.scenarios.file.boards.reading import shipped
from twinloop.sim.model.boards import (
    MAPS_PER_MEMORY,
    SMALL_GUARDS_BYTES,
    SMALL_RESERVATION_BYTES,
    SMALL_RESERVATION_FACTOR,
    Board,
    memories_that_fit,
)

GB, S = 1 << 30, 1e9
FOUR_GB = 4 << 30
_SOON, _ROOM = Bound(most=0.5 * S), Bound(most=3 * GB)
_ALL, _MANY = Bound(least=INSTANCES), Bound(least=800)
BOOT = f"{INSTANCES} drivers are up"
MEMORY = f"memory of {INSTANCES} drivers"
FIT = "memories that fit, 4 GiB of addresses each"
IN_4_GB = "instances that fit into 4 GB, 4 GiB of addresses each"
IN_4_GB_SMALL = "instances that fit into 4 GB, 64 MiB of addresses each"


def drivers_fit(board: Board) -> Figure:
    """How many memories the board's addresses and its kernel's maps hold as wasmtime reserves them."""
    fits = float(memories_that_fit(board, board.runtime.reserves(board.isa)))
    how = f"{board.va_bits} bits of addresses, {MAPS_PER_MEMORY} of the kernel's maps each"
    return Figure(FIT, board.name, fits, "count", _ALL, fits, fits, how=how)


def drivers_memory(board: Board, linear_bytes: int) -> Figure:
    """RAM of a thousand drivers; the bound is 3 GB, or what the board has, if that is less."""
    size = float(INSTANCES * (linear_bytes + board.runtime.instance_bytes))
    bound = Bound(most=min(3 * GB, board.memory_bytes))
    how = "linear memory, and what the runtime keeps beside it; the bound is no more than the board has"
    return Figure(MEMORY, board.name, size, "bytes", bound, size, size, how=how)


def thousand(bench: Workbench) -> list[Figure]:
    """A thousand drivers here, and on boards."""
    booted = tried(lambda: bench.crowd().cpu_ns)
    grown = tried(lambda: bench.crowd().resident_bytes * INSTANCES)
    how = f"CPU time of {INSTANCES} instances of modbus-driver.wasm, made and configured"
    found = [
        here(BOOT, booted, "ns", _SOON, how),
        here(MEMORY, grown, "bytes", _ROOM, "growth of this process"),
    ]
    linear_bytes = bench.driver_bytes()
    times = INSTANCES // SENSORS
    for board in bench.each_board():
        for program in bench.programs(board):
            boot = bench.ran(board.name, program.name).boot
            found.append(
                Figure(
                    BOOT,
                    board.name,
                    boot.value * times,
                    "ns",
                    _SOON,
                    boot.low * times,
                    boot.high * times,
                    program.name,
                    f"{times} times the boot of {SENSORS} drivers, which run one after another on all cores",
                )
            )
        found += [drivers_memory(board, linear_bytes), drivers_fit(board)]
    return found


def why_thousand(figures: Sequence[Figure]) -> str:
    """The reason of the verdict."""
    late = boards_where(of_what(figures, BOOT), Holds.NO)
    unsure = [name for name in boards_where(of_what(figures, BOOT), Holds.BAND) if name not in late]
    full = boards_where(of_what(figures, FIT), Holds.NO)
    large = boards_where(of_what(figures, MEMORY), Holds.NO)
    words = []
    slower = SMALL_RESERVATION_FACTOR.value / 1000
    if full:
        words.append(
            f"As wasmtime reserves addresses, fewer than {INSTANCES} start on {some(full)}; with 64 MiB "
            f"reserved each they all do, and guest code takes {slower:g} times as long."
        )
    if late:
        words.append(f"They take longer than 0.5 s on {some(late)}{where_interpreted(late)}.")
    if unsure:
        words.append(f"On {some(unsure)} the band decides about 0.5 s.")
    if large:
        words.append(f"The RAM of {some(large)} doesn't hold them.")
    return " ".join(words) or "It holds wherever it was tried."


def in_4_gb(board: Board, instance_bytes: float, small: bool) -> Figure:
    """By RAM (at most 4 GiB of what the board has), addresses and maps."""
    reserved = board.runtime.reserves(board.isa)
    if small and reserved:
        reserved = SMALL_RESERVATION_BYTES + SMALL_GUARDS_BYTES
    by_ram = int(min(FOUR_GB, board.memory_bytes) // instance_bytes)
    fits = float(min(by_ram, memories_that_fit(board, reserved)) if reserved else by_ram)
    how = "RAM of the board, at most 4 GiB of it; addresses; maps: the least of the three"
    return Figure(IN_4_GB_SMALL if small else IN_4_GB, board.name, fits, "count", _MANY, fits, fits, how=how)


def maps_max() -> int | None:
    """How many maps this kernel gives a process; None where it doesn't say."""
    try:
        return int(Path("/proc/sys/vm/max_map_count").read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


def four_gb(bench: Workbench) -> list[Figure]:
    """Instances in 4 GB here, by what one was measured to take, and on boards."""

    def fits() -> float:
        by_ram = FOUR_GB // max(1.0, bench.crowd().resident_bytes)
        maps = maps_max()
        return by_ram if maps is None else float(min(by_ram, maps // MAPS_PER_MEMORY))

    how = f"4 GiB by the growth of this process for each of {INSTANCES} drivers, and this kernel's maps"
    found = [here(IN_4_GB, tried(fits), "count", _MANY, how)]
    linear_bytes = bench.driver_bytes()
    for board in bench.each_board():
        size = float(linear_bytes + board.runtime.instance_bytes)
        found += [in_4_gb(board, size, small) for small in (False, True)]
    return found


def why_four_gb(figures: Sequence[Figure]) -> str:
    """The reason of the verdict."""
    few = boards_where(of_what(figures, IN_4_GB), Holds.NO)
    small = boards_where(of_what(figures, IN_4_GB_SMALL), Holds.NO)
    words = []
    if few:
        bits = list(dict.fromkeys(str(shipped(name).va_bits) for name in few))
        least = min(one.value or 0 for one in of_what(figures, IN_4_GB) if one.holds is Holds.NO)
        words.append(
            f"Addresses run out before RAM does: {least:.0f} fit on {some(few)}, whose kernels have "
            f"{some(bits)} bits of them, unless 64 MiB are reserved for each."
        )
    if small:
        words.append(f"{some(small)} hold fewer even so.")
    more = boards_where(
        [one for one in of_what(figures, IN_4_GB_SMALL) if (one.value or 0) > 2000], Holds.YES
    )
    if more:
        words.append(f"With 64 MiB reserved for each, more than the claimed 2000 fit on {some(more)}.")
    return " ".join(words) or "It holds wherever it was tried."


CLAIMS = (
    Claim(
        "thousand-drivers",
        "1000 drivers start in 0.5 s and take 3 GB",
        "unchecked; the like of it: https://buildeverything.ai/docs/benchmarks: 90 MB for 1000 instances",
        thousand,
        why_thousand,
    ),
    Claim(
        "instances-in-4-gb",
        "800 to 2000 instances fit into 4 GB",
        "unchecked; the like of it: https://buildeverything.ai/docs/benchmarks: 0.1 MB an instance",
        four_gb,
        why_four_gb,
    ),
)
