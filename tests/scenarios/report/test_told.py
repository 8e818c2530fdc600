"""Who is to blame, in the report: one instance, or all of a component's."""

from __future__ import annotations

from pathlib import Path

from tests.scenarios.cases import scenario, text_of
from twinloop.components.host.host import Host
from twinloop.scenarios.file.load import load_text
from twinloop.scenarios.runner import Options, run


def told(tmp_path: Path, host: Host, count: int) -> tuple[list[str], int]:
    """(lines of faults, instances of the first kind) of drivers with a CPU limit that none can keep."""
    components = {
        "modbus-driver": {
            "wasm": "modbus-driver.wasm",
            "grants": ["fieldbus", "clock", "log"],
            "limits": {"cpu": "1 us"},
        },
        "normalize": {"wasm": "normalize.wasm", "grants": ["log"]},
        "route": {"wasm": "route.wasm", "grants": ["log"]},
    }
    text = scenario(tmp_path, fleet={"count": count}, components=components)
    result = run(load_text(text, tmp_path / "case.yaml"), Options(), host)
    lines = [line for line in text_of(result).splitlines() if line.startswith("  fault ")]
    return lines, result.data["gateways"]["gw"]["told"]["faults"][0]["instances"]


def test_one_instance_is_named(tmp_path: Path, host: Host) -> None:
    lines, instances = told(tmp_path, host, count=1)
    assert instances == 1
    assert lines[0].startswith("  fault  gw/driver/m/1 (modbus-driver) out-of-fuel, ")


def test_of_several_no_single_one_is_blamed(tmp_path: Path, host: Host) -> None:
    lines, instances = told(tmp_path, host, count=3)
    assert instances == 3
    assert lines[0].startswith("  fault  modbus-driver out-of-fuel, ")
    assert " in 3 instances, first gw/driver/m/1 " in lines[0]
