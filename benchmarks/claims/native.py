"""The kernels of benchmarks/runtimes as native code and as guest code, in turns.

Belongs here: the native build and the measure. Both builds are made by one compiler with one level of
optimisation, and must return the same words.
"""

from __future__ import annotations

import ctypes
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from benchmarks.runtimes import building
from benchmarks.runtimes.measuring import KERNELS, WORD_N, times
from benchmarks.runtimes.modes import BUILT, HERE, MODES
from benchmarks.runtimes.runners import Runner

LIBRARY = BUILT / "kernels-native.so"
FLAGS = ("-O2", "-mcpu=baseline", "-fno-sanitize=all", "-shared", "-fPIC", "-Wno-unknown-attributes")
"""the level of the guests' build; a processor of the least kind, as distributions build for"""
MODES_ASKED = {"wasm_ns": "wasmtime", "metered_ns": "wasmtime+fuel"}
HOW = "kernels of make runtimes, both built by one clang with -O2; CPU time, the quickest of the rounds"


def build() -> None:
    """The kernels as a library of this machine, and wasmtime's runner; raises CalledProcessError."""
    BUILT.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "ziglang", "cc", *FLAGS, "-o", str(LIBRARY), *building.SOURCES]
    subprocess.run(command, check=True, cwd=HERE, stderr=subprocess.PIPE)
    building.RUNNERS["runner-wasmtime"][1]()


def compiler_version() -> str:
    """Of the compiler of both builds."""
    words = [sys.executable, "-m", "ziglang", "cc", "--version"]
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout.splitlines()[0]


def _native(library: ctypes.CDLL, name: str, n: int) -> tuple[int, int]:
    """(CPU ns, the word) of one call."""
    function = getattr(library, name)
    function.restype, function.argtypes = ctypes.c_uint32, (ctypes.c_uint32,)
    began = time.process_time_ns()
    word = function(n)
    return time.process_time_ns() - began, int(word)


def measure(rounds: int, clock_mhz: float | None, say: Callable[[str], None]) -> dict[str, Any]:
    """The part ``native`` of measured.json; ``missing`` in it when there is no compiler."""
    try:
        build()
        compiler = compiler_version()
    except (OSError, subprocess.CalledProcessError) as error:
        return {"missing": f"the kernels can't be built here: {error}"}
    library = ctypes.CDLL(str(LIBRARY))
    runners = {
        key: Runner(next(mode for mode in MODES if mode.name == name)) for key, name in MODES_ASKED.items()
    }
    try:
        found = _rounds(library, runners, rounds, say)
        call_ns = min(runners["wasm_ns"].numbers("calls 200000")[0] / 200_000 for _ in range(rounds))
    finally:
        for runner in runners.values():
            runner.close()
    part: dict[str, Any] = {
        "how": HOW,
        "compiler": compiler,
        "rounds": rounds,
        "kernels": found,
        "empty_call_ns": round(call_ns, 1),
    }
    if clock_mhz is not None:
        part["empty_call_cycles"] = round(call_ns * clock_mhz / 1e3, 1)
    return part


def _rounds(
    library: ctypes.CDLL, runners: dict[str, Runner], rounds: int, say: Callable[[str], None]
) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {}
    for name in KERNELS:
        say(f"kernel {name}, native and guest")
        words = {_native(library, name, WORD_N)[1]}
        words |= {runner.numbers(f"kernel {name} {WORD_N}")[1] for runner in runners.values()}
        if len(words) != 1:
            raise RuntimeError(f"kernel {name}: native and guest code return different words: {words}")
        n = times(runners["wasm_ns"], f"kernel {name}")
        samples: dict[str, list[float]] = {"native_ns": [], **{key: [] for key in runners}}
        for _ in range(rounds):
            samples["native_ns"].append(_native(library, name, n)[0] / n)
            for key, runner in runners.items():
                samples[key].append(runner.numbers(f"kernel {name} {n}")[0] / n)
        found[name] = {key: round(min(values), 1) for key, values in samples.items()}
    return found
