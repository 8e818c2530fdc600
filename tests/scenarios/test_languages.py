"""Components of each language's own toolchain in a whole scenario: a sleep takes simulated time, and two runs
under two hash seeds are one, to the unit of fuel.

The big ones are built by ``make guests-all``; without them they are skipped.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.plants import WASM

ROOT = Path(__file__).parents[2]
GUESTS, BUILT, STARTERS = (
    ROOT / "tests" / "guests",
    ROOT / "build" / "guests",
    WASM.parent / "starters" / "built",
)
SLEEPS = {
    "c-wasi": (GUESTS / "c-wasi" / "c-wasi.wasm", {"do": "sleep stderr random"}),
    "rust-wasip1": (
        GUESTS / "rust-wasi" / "rust-wasi-wasip1.wasm",
        {"sleep": "2500", "err": "x", "random": "1"},
    ),
    "rust-wasip2": (
        GUESTS / "rust-wasi" / "rust-wasi-wasip2.wasm",
        {"sleep": "2500", "err": "x", "random": "1"},
    ),
    "rust-async": (GUESTS / "rust-async" / "transform.wasm", {"sleep": "500", "together": "2000 1000"}),
    "python-async": (BUILT / "python-async.wasm", {"sleep": "500", "together": "2000 1000"}),
    "rust-async-0.1": (GUESTS / "rust-async" / "transform-01.wasm", {"sleep": "2500"}),
    "go": (BUILT / "go-wasi.wasm", {"sleep": "2500", "err": "x", "garbage": "100000"}),
    "python": (BUILT / "python-wasi.wasm", {"do": "sleep stderr random", "seconds": "2.5"}),
}
RUNS = {
    "js": (BUILT / "js-wasi.wasm", {"do": "stderr random"}),
    "js-starter": (BUILT / "starter-js-transform.wasm", {"factor": "2"}),
    "qjs-starter": (BUILT / "starter-qjs-transform.wasm", {"factor": "2"}),
    "qjs-async-starter": (BUILT / "starter-qjs-async-transform.wasm", {"factor": "2"}),
    "python-starter": (BUILT / "starter-python-transform.wasm", {"factor": "2"}),
    "c-starter": (STARTERS / "c-transform.wasm", {"factor": "2"}),
    "rust-starter": (STARTERS / "rust-transform.wasm", {"factor": "2"}),
    "rust-starter-wasip2": (STARTERS / "rust-transform-wasip2.wasm", {"factor": "2"}),
}


def outcome(tmp_path: Path, wasm: Path, options: dict[str, str], hash_seed: str) -> dict[str, Any]:
    """The result of a run in a process of its own."""
    scenario = {
        "format": 2,
        "name": "language",
        "seed": 5,
        "duration": "20 s",
        "fleets": {
            "presses": {
                "device": "press-sensor",
                "protocol": "modbus-tcp",
                "poll": "5 s",
                "link": "plant",
                "gateway": "gw",
                "driver": "modbus-driver",
            }
        },
        "links": {"plant": {"preset": "lan"}},
        "components": {
            "modbus-driver": {"wasm": "modbus-driver.wasm", "grants": ["fieldbus", "clock", "log"]},
            "own": {
                "wasm": str(wasm),
                "grants": ["clock", "log", "state", "wasi:clocks"],
                "limits": {"deadline": "4 s", "memory": "64 MiB"},
                "with": options,
            },
            "route": {"wasm": "route.wasm", "grants": ["log"]},
        },
        "gateways": {
            "gw": {
                "board": "raspberry-pi-4",
                "transform": "own",
                "policy": "route",
                "uplink": {"link": "plant"},
            }
        },
        "expect": ["count(component.faults) == 0"],
    }
    return ran(tmp_path, scenario, hash_seed)


def ran(folder: Path, scenario: dict[str, Any], hash_seed: str) -> dict[str, Any]:
    """The result of a scenario that passes, run in a process of its own."""
    file, out = folder / f"{scenario['name']}.yaml", folder / f"out-{hash_seed}"
    file.write_text(json.dumps(scenario))
    command = [sys.executable, "-m", "twinloop", "run", str(file), "--out", str(out)]
    ended = subprocess.run(
        command, env={**os.environ, "PYTHONHASHSEED": hash_seed}, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    found: dict[str, Any] = json.loads((out / "result.json").read_text())["results"][0]
    return found


def twice(tmp_path: Path, wasm: Path, options: dict[str, str]) -> dict[str, Any]:
    """The result of two runs that must be one."""
    if not wasm.exists():
        pytest.skip(f"{wasm.name} is not built: make guests-all")
    one, other = (outcome(tmp_path, wasm, options, hash_seed) for hash_seed in ("0", "1"))
    assert one["digest"] == other["digest"]
    used = [result["gateways"]["gw"]["components"]["own"] for result in (one, other)]
    assert used[0] == used[1]
    assert used[0]["fuel"] > 0
    assert one["ledger"]["delivered"] == one["ledger"]["due"] > 0
    return one


@pytest.mark.parametrize("name", SLEEPS)
def test_two_and_a_half_seconds_take_as_long_in_simulated_time(name: str, tmp_path: Path) -> None:
    result = twice(tmp_path, *SLEEPS[name])
    stage = result["latency"]["stages"]["transform"]
    assert 2_500_000_000 <= stage["p50_ns"] <= stage["max_ns"] < 2_600_000_000


@pytest.mark.parametrize("name", RUNS)
def test_what_a_toolchain_made_runs_and_repeats(name: str, tmp_path: Path) -> None:
    twice(tmp_path, *RUNS[name])
