"""Claims about starting: an instance in less than a millisecond, and what a start and its memory are said to
be.

Belongs here: those two claims. Never: many instances at once (density.py), containers (containers.py).
"""

from __future__ import annotations

from collections.abc import Sequence

from twinloop.scenarios.claims.claim import (
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
from twinloop.scenarios.claims.measured import kept
from twinloop.scenarios.claims.workbench import INSTANCES, Workbench, tried
from twinloop.scenarios.file.boards.reading import shipped
from twinloop.sim.model.boards import Board, End

MS, MB = 1e6, 1 << 20
_QUICK, _SMALL = Bound(most=1 * MS), Bound(most=5 * MB)
START = "an instance starts in a program that runs already"
PROCESS_START = "a process of its own with a runtime starts"
PYTHON_START = "a Python process with the runtime starts"
MEMORY = "memory that an instance takes"
PROCESS_MEMORY = "memory of a process of its own with a runtime"


def started_on(board: Board) -> Figure:
    """An instance on a board, by its file."""
    one = board.instantiate_ns
    ends = one.at(End.LOW).value, one.at(End.HIGH).value
    return Figure(
        START, board.name, one.value, "ns", _QUICK, ends[0], ends[1], how="the board's price of an instance"
    )


def instantiate(bench: Workbench) -> list[Figure]:
    """The start of an instance, here and on boards."""
    return [started_here(bench), *(started_on(board) for board in bench.each_board())]


def started_here(bench: Workbench) -> Figure:
    """An instance here."""
    how = "CPU time of a store and an instance of normalize.wasm, made and closed, through the Python host"
    return here(START, tried(bench.instantiate_ns), "ns", _QUICK, how)


def why_instantiate(figures: Sequence[Figure]) -> str:
    """The reason of the verdict."""
    late = boards_where(figures, Holds.NO, Holds.BAND)
    what = "That is an instance of code that was compiled before."
    boards = [shipped(one.where) for one in of_what(figures, START, measured=False)]
    if boards:
        costs = sorted(board.work_ns["compile_kib"].value for board in boards)
        compiling = " to ".join(dict.fromkeys((shown(costs[0], "ns"), shown(costs[-1], "ns"))))
        what += f" Compiling takes {compiling} a KiB."
    if late:
        return f"Not on {some(late)}, or not at the slow end of the band. {what}"
    times = sorted(of_what(figures, START, measured=False), key=lambda one: one.value or 0)
    measured = of_what(figures, START, measured=True)
    words = [f"{measured[0].text} here, through a host in Python"] if measured else []
    if times:
        words.append(f"{times[0].text} on {times[0].where} to {times[-1].text} on {times[-1].where}")
    return f"{'; '.join(words)}. {what}"


def start_and_memory(bench: Workbench) -> list[Figure]:
    """An instance against a process, in time and memory."""
    start, memory = kept("process", "start_ns"), kept("process", "resident_bytes")
    grown = tried(lambda: bench.crowd().resident_bytes)
    linear_bytes = bench.driver_bytes()
    how = f"growth of this process by each of {INSTANCES} drivers that were configured"
    return [
        *instantiate(bench),
        Figure(PROCESS_START, KEPT, start.value, "ns", _QUICK, how=f"wall time; {start.how}"),
        here(PYTHON_START, tried(bench.python_ns), "ns", _QUICK, "wall time until it has ended"),
        here(MEMORY, grown, "bytes", _SMALL, how),
        *(memory_on(board, linear_bytes) for board in bench.each_board()),
        Figure(PROCESS_MEMORY, KEPT, memory.value, "bytes", _SMALL, how=memory.how),
    ]


def memory_on(board: Board, linear_bytes: int) -> Figure:
    """An instance's memory on a board, all of its linear memory counted as touched."""
    size = float(linear_bytes + board.runtime.instance_bytes)
    how = "its linear memory, and what the runtime keeps beside it"
    return Figure(MEMORY, board.name, size, "bytes", _SMALL, size, size, how=how)


def why_start_and_memory(figures: Sequence[Figure]) -> str:
    """The reason of the verdict."""
    start, memory = of_what(figures, START, measured=True), of_what(figures, MEMORY, measured=True)
    words = [
        f"True of an instance in a program that runs already: {start[0].text} and {memory[0].text} here."
        if start and memory
        else "No instance was measured here."
    ]
    process, size = of_what(figures, PROCESS_START), of_what(figures, PROCESS_MEMORY)
    if process and size:
        holds = process[0].holds is Holds.YES and size[0].holds is Holds.YES
        words.append(
            f"{'True' if holds else 'Not true'} of a process of its own, even a small one in C: "
            f"{process[0].text} and {size[0].text}."
        )
    python = of_what(figures, PYTHON_START)
    if python:
        words.append(f"A Python process with the runtime takes {python[0].text}.")
    return " ".join(words)


CLAIMS = (
    Claim(
        "instantiate",
        "An instance starts in less than 1 ms",
        "https://zenriotech.com/blog/wasm-webassembly-serverless-functions-beyond-browser: "
        '"startup times of less than 1 millisecond"',
        instantiate,
        why_instantiate,
    ),
    Claim(
        "start-and-memory",
        "A module starts in 0.5 to 1 ms and takes 2 to 5 MB of memory",
        "unchecked; the like of it: https://buildeverything.ai/docs/benchmarks: 0.105 ms and 0.1 MB an "
        "instance, 22 MB with the process",
        start_and_memory,
        why_start_and_memory,
    ),
)
