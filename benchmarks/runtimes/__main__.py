"""``python -m benchmarks.runtimes``: builds what is missing, measures, writes.

Belongs here: the command line and the three files that it writes.
"""

from __future__ import annotations

import argparse
import datetime as dt
import hashlib
import importlib.metadata
import json
import os
import platform
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.runtimes import building, figures, measuring
from benchmarks.runtimes.modes import HERE, KERNELS_WASM, MODES, REFERENCE, ROOT
from benchmarks.runtimes.runners import Runner

MEASURED = HERE / "measured.json"
PROFILES_YAML = ROOT / "scenarios" / "file" / "boards" / "runtimes.yaml"
PAGE = ROOT / "docs" / "runtimes.md"
METHOD = (
    "Each runtime is a process that has compiled the module once. CPU time of the whole process, its threads "
    "included. Runners take turns within a round; the smallest sample of all rounds counts, and the median "
    "of the ratios within a round is kept beside it. Memory: growth of a fresh process by 200 instances that "
    "were called once each, the median of three processes."
)


def version(runner: Runner) -> str:
    """As the runner says it; wasmtime's library is the one of the Python package."""
    return (
        importlib.metadata.version("wasmtime")
        if runner.mode.name.startswith("wasmtime")
        else runner.ask("version")
    )


def measure(rounds: int, machine: str) -> dict[str, Any]:
    """The content of measured.json."""

    def say(words: str) -> None:
        print(words, flush=True)

    missing = building.build_runners()
    modes = [mode for mode in MODES if mode.needs.name not in missing]
    if REFERENCE not in [mode.name for mode in modes]:
        raise SystemExit(f"{REFERENCE}'s runner isn't there: {missing}")
    before = os.getloadavg()[0]
    found = measuring.measure(modes, rounds, version, say)
    measured: dict[str, Any] = {
        "machine": machine,
        "date": dt.datetime.now(tz=dt.UTC).date().isoformat(),
        "method": METHOD,
        "rounds": rounds,
        "load": [round(before, 1), round(os.getloadavg()[0], 1)],
        "kernels": {
            "sha256": hashlib.sha256(KERNELS_WASM.read_bytes()).hexdigest(),
            "bytes": KERNELS_WASM.stat().st_size,
            "command": "python " + " ".join(building.kernels_command(Path("kernels.wasm"))[1:]),
        },
        "missing": missing,
        "modes": found,
    }
    return {**measured, "profiles": figures.profiles(measured)}


def write(measured: dict[str, Any]) -> None:
    """The profiles and the page's tables."""
    PROFILES_YAML.parent.mkdir(exist_ok=True)
    PROFILES_YAML.write_text(figures.profiles_yaml(measured), encoding="utf-8")
    PAGE.write_text(figures.page(PAGE.read_text(encoding="utf-8"), measured), encoding="utf-8")


def kernels(check: bool) -> int:
    """Compile the kernels, or compare a build with the committed one; the exit code."""
    if not check:
        building.build_kernels()
        return 0
    with tempfile.TemporaryDirectory() as folder:
        built = Path(folder) / KERNELS_WASM.name
        building.build_kernels(built)
        same = built.read_bytes() == KERNELS_WASM.read_bytes()
    if not same:
        print("kernels.wasm isn't what its sources build to; run python -m benchmarks.runtimes --kernels")
    return 0 if same else 1


def main() -> int:
    """Command line."""
    machine = f"{os.cpu_count()} cores, {platform.machine().replace('_', '-')}"
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.runtimes", description="runtimes side by side"
    )
    parser.add_argument("--rounds", type=int, default=31, help="samples of each figure (default 31)")
    parser.add_argument("--machine", default=machine, help=f"how it is called (default {machine})")
    parser.add_argument("--kernels", action="store_true", help="only compile kernels.wasm from its sources")
    parser.add_argument(
        "--check", action="store_true", help="fail when kernels.wasm isn't what its sources are"
    )
    parser.add_argument("--write", action="store_true", help="only write what follows from measured.json")
    asked = parser.parse_args()
    if asked.rounds < 1:
        parser.error("--rounds: expected 1 or more")
    if asked.kernels or asked.check:
        return kernels(asked.check)
    try:
        measured = (
            json.loads(MEASURED.read_text(encoding="utf-8"))
            if asked.write
            else measure(asked.rounds, asked.machine)
        )
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return 1
    if not asked.write:
        MEASURED.write_text(json.dumps(measured, indent=1) + "\n", encoding="utf-8")
    write(measured)
    print(figures.tables(measured))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
