"""Host programs on this machine: what an instruction that was counted for them takes here.

Belongs here: the programs (Python's ships, C's is compiled if there is a compiler, others are given), their
times. Never: what was counted (benchmarks/hosts), what follows (fitting.py). A program makes so many calls,
then three times as many, and says what CPU time both took: their difference is of calls alone."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from twinloop.components.probes.hosts import python_host
from twinloop.components.probes.work import library
from twinloop.scenarios.calibration.fitting import Level, level
from twinloop.scenarios.calibration.shapes import Shape, decide_values, poll_values, transform_values
from twinloop.scenarios.file.boards.programs import hosts
from twinloop.scenarios.planning.components import SHIPPED
from twinloop.scenarios.text.errors import MachineError, ScenarioError

SOURCES = Path(python_host.__file__).parent
C_API, PYTHON = "c-api", "python"
LASTS_NS = 60_000_000
"""CPU time that the shorter of the two shall take at least"""
FIRST_RUNS = 4
TIMEOUT_S = 300


@dataclass(frozen=True, slots=True)
class Asked:
    """A call as the programs' command lines have it."""

    guest: str
    word: str
    values: int
    frames: int = 0


CALLS = (
    *(Asked("normalize", f"transform:{size}", transform_values(size)) for size in (1, 10, 40)),
    *(Asked("route", f"decide:{size}", decide_values(size)) for size in (1, 10, 40)),
    Asked("modbus-driver", "poll:10", poll_values(10), 1),
    Asked("modbus-driver", "poll:10:200", poll_values(10), 10),
)


@dataclass(frozen=True, slots=True)
class Program:
    """A host program: which, and the words that start it."""

    name: str
    words: tuple[str, ...]


def given(text: str) -> Program:
    """``NAME=PATH`` of ``--host-binary``; raises ScenarioError."""
    name, sign, path = text.partition("=")
    able = [one for one in hosts() if one not in ("by-hand", PYTHON)]
    if not sign or name not in able:
        raise ScenarioError(
            "--host-binary", None, "", f"expected NAME=PATH with NAME one of {', '.join(able)}, got {text!r}"
        )
    found = Path(path)
    if not found.is_file() or not os.access(found, os.X_OK):
        raise ScenarioError("--host-binary", None, "", f"{path}: no program that can be run")
    return Program(name, (str(found.resolve()),))


def own(folder: Path, say: Callable[[str], None]) -> list[Program]:
    """Python's program, and C's if it can be compiled into ``folder``."""
    found = [Program(PYTHON, (sys.executable, str(SOURCES / "python_host.py")))]
    compiler = _compiler()
    if compiler is None:
        say("no C compiler (pip install ziglang brings one): the C API is measured as twinloop calls it")
        return found
    made, shared = folder / "c-host", library()
    words = [
        *compiler,
        "-O2",
        "-o",
        str(made),
        str(SOURCES / "host.c"),
        str(shared),
        f"-Wl,-rpath,{shared.parent}",
    ]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        say(f"host.c can't be compiled, so the C API is measured as twinloop calls it: {_end(done)}")
        return found
    return [*found, Program(C_API, (str(made),))]


def _compiler() -> list[str] | None:
    for name in ("cc", "gcc", "clang"):
        if shutil.which(name):
            return [name]
    return [sys.executable, "-m", "ziglang", "cc"] if find_spec("ziglang") else None


def _end(done: subprocess.CompletedProcess[str]) -> str:
    return " / ".join((done.stdout + done.stderr).strip().splitlines()[-3:])


# ---- measuring -----------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class ProgramTime:
    """What one call took in one program, guest code included."""

    call: str
    shape: Shape
    took_ns: float


def measured(program: Program, rounds: int, calls: Sequence[Asked] = CALLS) -> list[ProgramTime]:
    """Each call in that program; of ``rounds`` times of it the smallest. Raises MachineError when it
    fails."""
    by_guest = [
        [one for one in calls if one.guest == guest] for guest in dict.fromkeys(c.guest for c in calls)
    ]
    return [one for asked in by_guest for one in _of_a_guest(program, asked, rounds)]


def _of_a_guest(program: Program, calls: Sequence[Asked], rounds: int) -> list[ProgramTime]:
    shapes = [
        _shape(asked, said) for asked, (said, _) in zip(calls, _run(program, calls, 1, True), strict=True)
    ]
    least: list[float] = []
    for asked in calls:  # each alone: another number of runs lasts long enough
        runs = FIRST_RUNS
        while (took := _took(program, asked, runs)) * runs < LASTS_NS:
            runs = max(2 * runs, min(64 * runs, int(LASTS_NS / took) + 1))
        least.append(min(took, *(_took(program, asked, runs) for _ in range(rounds - 1))))
    return [
        ProgramTime(f"{asked.guest} {asked.word}", shape, took)
        for asked, shape, took in zip(calls, shapes, least, strict=True)
    ]


def _shape(asked: Asked, said: tuple[int, ...]) -> Shape:
    imports, carried, fuel = said
    waits = imports // 2 if asked.frames else 0
    return Shape(1, imports - waits, waits, asked.values, carried, fuel)


def _took(program: Program, asked: Asked, runs: int) -> float:
    """Nanoseconds of a call."""
    ((_, (few, many)),) = _run(program, [asked], runs, False)
    return max(1.0, (many - few) / (2 * runs))


def _run(
    program: Program, calls: Sequence[Asked], runs: int, metered: bool
) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Of each call: (imports, bytes, fuel), and what RUNS and 3 RUNS of it took."""
    guest = SHIPPED / f"{calls[0].guest}.wasm"
    words = [*program.words, str(guest), str(int(metered)), str(runs), *(one.word for one in calls)]
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=TIMEOUT_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise MachineError(f"the host program {program.name}: {error}") from error
    if done.returncode:
        raise MachineError(f"the host program {program.name} ended with {done.returncode}: {_end(done)}")
    lines = [line.split() for line in done.stdout.splitlines()]
    try:
        shapes = [tuple(map(int, line)) for line in lines if line[0] != "spent"]
        spent = [tuple(map(int, line[1:])) for line in lines if line[0] == "spent"]
        found = list(zip(shapes, spent, strict=True))
        right = len(found) == len(calls) and all(len(one) == 3 and len(two) == 2 for one, two in found)
    except (ValueError, IndexError):
        right = False
    if not right:
        raise MachineError(
            f"the host program {program.name}: expected for each call a line of imports, bytes and fuel, and "
            f"a line of spent and two times in ns (docs/calibration.md), got {done.stdout[:200]!r}"
        )
    return found


def instruction(name: str, times: Sequence[ProgramTime], fuel_ns: float) -> Level:
    """Nanoseconds here of an instruction that was counted for that host program; ``fuel_ns``: of a unit of
    fuel that isn't metered, which is taken off first."""
    host = hosts()[name]
    return level(
        [
            max(one.took_ns - one.shape.fuel * fuel_ns, one.took_ns / 10) / one.shape.instructions(host)
            for one in times
        ]
    )
