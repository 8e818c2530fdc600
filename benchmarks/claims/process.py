"""A process of its own with a runtime in it: process.c, built and timed.

Belongs here: the time from starting it until it has ended, and the memory that it had. The module was
compiled before; what takes its time is the process, the library and the instance.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.runtimes.modes import KERNELS_WASM, LIBRARY

SOURCE = Path(__file__).with_name("process.c")
FLAGS = ("-O2", "-fno-sanitize=all", "-Wall", "-Wextra")
HOW = "process.c: a C program with wasmtime's library, a module compiled before, one instance, one call"


def measure(times: int) -> dict[str, Any]:
    """The part ``process`` of measured.json; ``missing`` in it when it can't be built or run."""
    with tempfile.TemporaryDirectory() as folder:
        program, compiled = Path(folder) / "process", Path(folder) / "kernels.compiled"
        build = [sys.executable, "-m", "ziglang", "cc", *FLAGS, "-o", str(program), str(SOURCE), "-ldl"]
        try:
            subprocess.run(build, check=True, capture_output=True)
            prepare = [str(program), str(LIBRARY), str(KERNELS_WASM), str(compiled)]
            subprocess.run(prepare, check=True, capture_output=True)
            took, sizes = _runs([str(program), str(LIBRARY), str(compiled)], times)
        except (OSError, subprocess.CalledProcessError) as error:
            return {"missing": f"a small host in C can't be built or run here: {error}"}
    return {"how": HOW, "times": times, "start_ns": min(took), "resident_bytes": min(sizes)}


def _runs(words: list[str], times: int) -> tuple[list[int], list[int]]:
    took, sizes = [], []
    for _ in range(times):
        began = time.perf_counter_ns()
        ran = subprocess.run(words, check=True, capture_output=True, text=True)
        took.append(time.perf_counter_ns() - began)
        sizes.append(int(ran.stdout))
    return took, sizes
