"""`wasm:` as a list, and what an adapter makes a driver: in whole scenarios, and what is refused."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.scenarios.cases import COMPONENTS, SPARSE, scenario
from twinloop.components.host.host import Host
from twinloop.scenarios.file.load import load_text
from twinloop.scenarios.report.result import Result
from twinloop.scenarios.runner import Options, run
from twinloop.scenarios.text.errors import ScenarioError

GUESTS = Path(__file__).parents[2] / "guests"
FILES = {
    "logging.wasm": GUESTS / "logging" / "logging.wasm",
    "theirs.wasm": GUESTS / "example-device" / "example-device.wasm",
    "stream.wasm": GUESTS / "rust-stream-driver" / "rust-stream-driver.wasm",
}


def result(host: Host, tmp_path: Path, wasm: Any, **driver: Any) -> Result:
    """A run in which the driver is made of those files; the device has two registers, the first at 0."""
    for name, file in FILES.items():
        shutil.copy(file, tmp_path / name)
    used = {**COMPONENTS, "modbus-driver": {"wasm": wasm, "grants": ["fieldbus", "clock", "log"], **driver}}
    text = scenario(tmp_path, {"device": "model/sparse.yaml"}, {"sparse.yaml": SPARSE}, components=used)
    return run(load_text(text, tmp_path / "scenario.yaml"), Options(), host)


def test_a_list_is_one_component(host: Host, tmp_path: Path) -> None:
    found = result(host, tmp_path, ["modbus-driver.wasm", "logging.wasm"])
    again = result(host, tmp_path, "modbus-driver.wasm")
    assert found.data["ledger"]["delivered"] == found.data["ledger"]["due"] > 0
    assert found.data["ledger"] == again.data["ledger"]
    assert found.data["components"]["modbus-driver"] != again.data["components"]["modbus-driver"]
    assert not [note for note in found.notes if "adapter" in note]


@pytest.mark.parametrize(
    ("wasm", "interface"), [("theirs.wasm", "example:device/sensor@0.1.0"), ("stream.wasm", "twinloop:gateway/driver-stream@0.2.0")]
)  # fmt: skip
def test_another_interface_is_adapted(host: Host, tmp_path: Path, wasm: str, interface: str) -> None:
    found = result(host, tmp_path, wasm, grants=["fieldbus", "clock"])
    assert f"component modbus-driver: {wasm} exports {interface}: an adapter makes it a driver" in found.notes
    ledger = found.data["ledger"]
    assert ledger["delivered"] == ledger["due"] // 2 > 0  # of two points it reads the first
    assert ledger["missed"] == {"device": ledger["due"] - ledger["delivered"]}
    assert found.data["gateways"]["gw"]["faults"] == {}
    assert not found.data["truth"]["wrong"]


def refused(host: Host, tmp_path: Path, wasm: Any, **driver: Any) -> str:
    with pytest.raises(ScenarioError) as caught:
        result(host, tmp_path, wasm, **driver)
    return str(caught.value)


def test_what_is_refused_says_which_file(host: Host, tmp_path: Path) -> None:
    at = "$.components.modbus-driver.wasm"
    assert f"{at}: expected one file, or a list of 2 to 8, got a list of 1" in refused(
        host, tmp_path, ["modbus-driver.wasm"]
    )
    assert f"{at}[1]: nowhere.wasm: no such file (looked beside" in refused(
        host, tmp_path, ["modbus-driver.wasm", "nowhere.wasm"]
    )
    assert f"{at}[1]: expected text, got 3" in refused(host, tmp_path, ["modbus-driver.wasm", 3])
    assert f"{at}: expected text, got {{'a': 'b'}}" in refused(host, tmp_path, {"a": "b"})
    assert "route.wasm is not used by anything: it exports twinloop:gateway/policy@0.2.0" in refused(
        host, tmp_path, ["modbus-driver.wasm", "route.wasm"]
    )
    assert "modbus-driver.wasm is not used by anything" in refused(
        host, tmp_path, ["logging.wasm", "modbus-driver.wasm"]
    )
    long = "x" * 300
    assert f"{at}[1]: {long}: cannot be read: File name too long" in refused(
        host, tmp_path, ["modbus-driver.wasm", long]
    )
    assert "theirs.wasm imports fieldbus, clock, which it is not granted" in refused(
        host, tmp_path, "theirs.wasm", grants=[]
    )


def test_options_of_the_adapter(host: Host, tmp_path: Path) -> None:
    grants = ["fieldbus", "clock"]
    for options, said in (
        ({"interval": "1 h"}, "bad-option 'interval'"),
        ({"interval": "2 s", "gain": "2"}, "unknown-option 'gain'"),
        ({"point": "c"}, "bad-option 'point'"),
    ):
        assert f"with: gw/driver/m/1 refused its settings: {said}" in refused(
            host, tmp_path, "theirs.wasm", grants=grants, **{"with": options}
        )
    second = result(host, tmp_path, "theirs.wasm", grants=grants, **{"with": {"point": "b"}})
    assert second.data["ledger"]["delivered"] == second.data["ledger"]["due"] // 2
    assert second.data["truth"]["wrong"] > 0  # the component reads register 0, which isn't that of b
