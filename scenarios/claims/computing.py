"""Claims about computing: guest code against native code, and what crossing a boundary costs.

Belongs here: those two claims. Never: the kernels and their native build (benchmarks/claims), what a crossing
is on a board (scenarios/file/boards/hosts.yaml).
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from twinloop.components.probes import least_call
from twinloop.scenarios.claims.claim import (
    HERE,
    KEPT,
    Bound,
    Claim,
    Figure,
    Holds,
    boards_where,
    here,
    of_what,
    shown,
    some,
)
from twinloop.scenarios.claims.measured import kept, measured, said
from twinloop.scenarios.claims.workbench import Workbench, clock_mhz, tried
from twinloop.scenarios.file.boards.reading import shipped
from twinloop.sim.model.boards import Board, End, HostProgram
from twinloop.sim.model.boards import Figure as Price

_SLOWER = Bound(most=1.2)
_FEW = Bound(most=10)
"""cycles: what "a few" is taken to be here; ours"""
_THOUSAND = 1000
MEAN = "time of guest code in times of native code, mean of the kernels"
BEST = "the same, the kernel that loses least"
WORST = "the same, the kernel that loses most"
COUNTED = "the same, mean, when instructions are counted for a CPU limit"
BOARD = "time of guest code in times of native code"
BOARD_COUNTED = "the same with a CPU limit"
CALL = "an empty core function called by the host"
SCALAR = "a call of another component with a number"
BYTES = "a call of another component with 64 bytes"
LIFTED = "a call of a component by the host, lists and records not counted"


# ---- against native code -----------------------------------------------------------------------------------
def ratios(kernels: dict[str, dict[str, float]], name: str) -> list[float]:
    """Time of each kernel in one way (``wasm_ns``, ``metered_ns``) over its time as native code."""
    return [one[name] / one["native_ns"] for one in kernels.values()]


def native_on(board: Board, plain: Sequence[float]) -> list[Figure]:
    """On a board: the ratios that were measured on x86-64, times how much slower its runtime is than the one
    that they were measured with; and what its file says that counting costs."""
    mean = statistics.geometric_mean(plain)
    slower = board.runtime.fuel
    low, high = (slower.at(end).value / _THOUSAND for end in (End.LOW, End.HIGH))
    value = mean * slower.value / _THOUSAND
    ends = min(plain) * low, max(plain) * high
    how = "the kernels' ratios on x86-64, times the board's runtime against Cranelift; band: all kernels"
    found = [Figure(BOARD, board.name, value, "times", _SLOWER, ends[0], ends[1], how=how)]
    counting = board.metered_fuel_ps.value / board.fuel_ps.value
    how = f"as above, times {counting:.2f}: the board's price of counted fuel over that of fuel"
    values = [one * counting for one in (value, *ends)]
    found.append(
        Figure(BOARD_COUNTED, board.name, values[0], "times", _SLOWER, values[1], values[2], how=how)
    )
    return found


def native(bench: Workbench) -> list[Figure]:
    """Kernels as guest code and as native code."""
    part = measured()["native"]
    if "missing" in part:
        return [Figure(MEAN, KEPT, None, "times", _SLOWER, how=str(part["missing"]))]
    kernels, how = part["kernels"], f"{part['how']}; {said()}"
    plain, counted = ratios(kernels, "wasm_ns"), ratios(kernels, "metered_ns")
    found = [
        Figure(what, KEPT, value, "times", _SLOWER, how=how)
        for what, value in (
            (MEAN, statistics.geometric_mean(plain)),
            (BEST, min(plain)),
            (WORST, max(plain)),
            (COUNTED, statistics.geometric_mean(counted)),
        )
    ]
    for board in bench.each_board():
        found += native_on(board, plain)
    return found


def why_native(figures: Sequence[Figure]) -> str:
    """The reason of the verdict."""
    mean, best, worst, counted = (of_what(figures, what) for what in (MEAN, BEST, WORST, COUNTED))
    if not mean:
        return "It was not measured: native code needs a compiler."
    words = [
        f"It is {_percent(mean[0].value)} on x86-64 in the mean of the kernels, from "
        f"{_percent(best[0].value)} to {_percent(worst[0].value)}, and {_percent(counted[0].value)} when "
        f"instructions are counted."
    ]
    interpreted = [one for one in of_what(figures, BOARD) if shipped(one.where).runtime.interpreter]
    if interpreted:
        names = some([one.where for one in interpreted])
        times = shown(max(one.value or 0 for one in interpreted), "count")
        words.append(f"Where code is interpreted ({names}) it takes {times} times as long as native code.")
    return " ".join(words)


def _percent(ratio: float | None) -> str:
    percent = round(((ratio or 0) - 1) * 100)
    return f"{percent} % slower" if percent >= 0 else f"{-percent} % faster"


# ---- a crossing --------------------------------------------------------------------------------------------
def call_cycles(board: Board, program: HostProgram) -> Figure:
    """One call of a component on a board: counted instructions, times their time, times the clock."""
    price: Price = board.instruction_ps.times(program.call, _THOUSAND)
    value, low, high = (
        price.at(end).value * board.clock_mhz / 1e6 for end in (End.NOMINAL, End.LOW, End.HIGH)
    )
    how = f"{program.call.value / _THOUSAND:.0f} instructions, counted ({program.call.source})"
    return Figure(LIFTED, board.name, value, "cycles", _FEW, low, high, program.name, how)


def crossing(bench: Workbench) -> list[Figure]:
    """Crossings here, in cycles of the clock that the kernel tells, and a component's call on boards."""
    mhz = clock_mhz()
    told = "this kernel tells no clock"
    if mhz is None:
        found = [Figure(what, HERE, None, "cycles", _FEW, how=told) for what in (CALL, SCALAR, BYTES)]
    else:
        found = crossings_here(bench, mhz)
    quiet = kept("native", "empty_call_cycles")
    found.append(Figure(CALL, KEPT, quiet.value, "cycles", _FEW, how=f"from C; {quiet.how}"))
    for board in bench.each_board():
        found += [call_cycles(board, program) for program in bench.programs(board)]
    return found


def crossings_here(bench: Workbench, mhz: float) -> list[Figure]:
    """What this machine's crossings take, in cycles of a clock of so many MHz."""

    def cycles(found: float | None) -> float | None:
        return None if found is None else found * mhz / 1e3

    between = least_call.components_ns(4 * bench.rounds)
    how = f"CPU time at {mhz:.0f} MHz"
    called = tried(lambda: cycles(least_call.host_ns(4 * bench.rounds)))
    return [
        here(
            CALL,
            called,
            "cycles",
            _FEW,
            f"{how}, by wasmtime's C interface, the way through Python taken off",
        ),
        here(SCALAR, tried(lambda: cycles(between["scalar"])), "cycles", _FEW, f"{how}, no host between"),
        here(BYTES, tried(lambda: cycles(between["bytes"])), "cycles", _FEW, f"{how}, the bytes copied"),
    ]


def why_crossing(figures: Sequence[Figure]) -> str:
    """The reason of the verdict."""
    words = []
    scalar, called = of_what(figures, SCALAR), of_what(figures, CALL)
    if scalar:
        words.append(f"Between two components, with one number, it is {scalar[0].text}.")
    if called:
        words.append(f"From the host into an empty core function it is {called[-1].text}.")
    lifted = of_what(figures, LIFTED)
    if lifted:
        least = min(lifted, key=lambda one: one.value or 0)
        words.append(
            f"But a gateway's host calls components, whose values are lifted and lowered: {least.text} at "
            f"the least ({least.where}, {least.host}), before a single reading."
        )
    if not boards_where(figures, Holds.NO, Holds.BAND) and not words:
        return "Nothing was measured."
    return " ".join(words)


CLAIMS = (
    Claim(
        "native",
        "WebAssembly is 5 to 20 % slower than native code",
        "https://edge-computing-guide.pages.dev/blog/webassembly-at-the-edge/: "
        '"80–95% of native speed"; others: https://avisi.org.uk/publications/leaps-and-bounds: '
        "within 20 % on x86-64, within 35 % on Armv8",
        native,
        why_native,
    ),
    Claim(
        "crossing",
        "Crossing a boundary costs a few cycles",
        "unchecked; the like of it: https://bytecodealliance.github.io/zulip-archive/stream/217126-wasmtime/topic/"
        ".E2.9C.94.20Host.20call.20performance.html: single-digit nanoseconds for an import",
        crossing,
        why_crossing,
    ),
)
