"""The same events on another instruction set: an ARM64 Python in qemu-user gives, to the last unit of fuel and the
last digit, what this machine gives.

Belongs here: what is compared. Never: how the other machine is had (machine.py), which calls are counted (fuel.py).
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from typing import Any

import pytest

from tests.arm.machine import HERE, prepare, run
from tests.plants import WASM
from tests.scenarios.test_library import DIGESTS
from twinloop.scenarios.file.load import library_names

pytestmark = [
    pytest.mark.skipif(
        "TWINLOOP_ARM" not in os.environ,
        reason="minutes in an emulator: make test-arm runs it (needs Debian and qemu-user)",
    ),
    pytest.mark.timeout(1800),
]
SCENARIOS = {
    "opcua-subscriptions": "OPC UA, by asyncua's servers",
    "slow-line": "Modbus RTU on a serial line, and a verdict of FAIL",
    "derived-power": "Modbus TCP, and a transform that multiplies",
    "mqtt-troubles": "MQTT; cuts, faults of devices, a crash of the gateway",
    "gateway-incidents": "a crash, a power cut, components that die",
    "upgrade": "releases whose signatures are checked",
    "hostile/recurses": "a stack that is full at another depth on each processor",
    "hostile/nan-as-good": "values that are no numbers, whose bits a processor chooses",
}
"""shipped scenario -> what makes it worth trying; the longest first"""
TRIED = library_names() if os.environ.get("TWINLOOP_ARM") == "all" else [*SCENARIOS]
PASS_OR_FAIL = (0, 1)
"""exit codes of a run that was judged: which of them it was is compared"""
OF_THE_MACHINE = (
    ("versions", "python"), ("versions", "twinloop"), ("versions", "core"), ("run", "wall_s"), ("run", "speedup"),
)  # fmt: skip
"""what a result says of the machine that ran it"""
FILES = """
import platform, sys, wasmtime._ffi as ffi, numpy._core._multiarray_umath as umath
print(platform.machine(), sys.byteorder, ffi.dll._name, umath.__file__)
"""
COMMAND = """
import json, platform, runpy
print(json.dumps(platform.machine()))
runpy.run_module("twinloop.scenarios.cli.main", run_name="__main__", alter_sys=True)
"""
"""``python -m twinloop.scenarios.cli.main``, below a line that says on what processor"""


@pytest.fixture(scope="module")
def there() -> list[str]:
    return prepare()


def result(python: Sequence[str], name: str) -> tuple[str, dict[str, Any]]:
    """The processor that has run a scenario, and the result without OF_THE_MACHINE."""
    said = run(python, "-c", COMMAND, "run", name, "--json", "-", accepted=PASS_OR_FAIL)
    processor, _, document = said.partition("\n")
    (found,) = json.loads(document)["results"]
    for block, key in OF_THE_MACHINE:
        del found[block][key]
    return json.loads(processor), found


def test_the_other_machine_is_an_arm64_one(there: list[str]) -> None:
    """Its interpreter, and libraries whose files' names say for what they were built."""
    processor, order, wasmtime, numpy = run(there, "-c", FILES).split()
    assert (processor, order) == ("aarch64", "little")
    assert "linux-aarch64" in wasmtime
    assert "aarch64-linux-gnu" in numpy


def test_each_shipped_guest_spends_and_gives_the_same(there: list[str]) -> None:
    one, other = (json.loads(run(python, "-m", "tests.arm.fuel")) for python in (HERE, there))
    assert other["machine"] == "aarch64"
    assert {key.split()[0].rstrip(":") for key in one["spent"]} == {path.stem for path in WASM.glob("*.wasm")}
    assert other["spent"] == one["spent"]


@pytest.mark.parametrize("name", TRIED)
def test_a_scenario_has_the_committed_digest_and_the_same_result(there: list[str], name: str) -> None:
    processor, other = result(there, name)
    assert processor == "aarch64"
    assert other["digest"] == json.loads(DIGESTS.read_text())[name]
    assert other == result(HERE, name)[1]
