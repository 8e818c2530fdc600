"""Integers of 64 bits are exact, from a register to the cloud and back: 2^53 + 1 is the first whole number that an
f64 can't hold (IEEE 754 binary64 has 53 bits)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.scenarios.cases import COMPONENTS, result, scenario, text_of
from twinloop.components.host.host import Host
from twinloop.scenarios.file.load import load_text
from twinloop.scenarios.judging.verdict import Verdict

OLD = Path(__file__).parent.parent / "guests" / "contract-0.1"
METER = """\
format: 1
title: a meter whose registers hold whole numbers of 64 bits
source: ours
step: 1 s
points:
  odd: {address: 0, type: u64, signal: {kind: constant, level: 9007199254740993}}
  top: {address: 4, type: u64, order: sw, nan: [0], signal: {kind: constant, level: 18446744073709551615}}
  low: {address: 8, type: i64, order: le, signal: {kind: constant, level: -9223372036854775808}}
  energy: {address: 12, type: u64, unit: Wh, signal: {kind: counter, level: 9007199254740993, swing: 1}}
  scaled: {address: 16, type: u64, scale: 0.001, unit: kWh, signal: {kind: constant, level: 12.5}}
  limit: {address: 20, type: u64, order: bs, writable: true, high: 1.8446744073709552e19}
  plain: {address: 24, type: u16, signal: {kind: constant, level: 7}}
"""
ODD = (1 << 53) + 1


def with_files(**files: Path) -> dict[str, Any]:
    return {
        name: {**block, "wasm": str(files[name])} if name in files else block
        for name, block in COMPONENTS.items()
    }


def run_meter(tmp_path: Path, host: Host, **changes: Any) -> Any:
    fleet = {"device": "model/meter.yaml", "count": 1, "protocol": changes.pop("protocol", "modbus-tcp")}
    return result(tmp_path, host, fleet=fleet, models={"meter.yaml": METER}, **{"duration": "5 s", **changes})


def test_every_digit_reaches_the_cloud(tmp_path: Path, host: Host, bodies: list[Any]) -> None:
    found = run_meter(
        tmp_path,
        host,
        expect=[
            f"last(value{{device=m/1,point=energy}}) == {ODD + 4} Wh",
            f"max(value{{point=odd}}) == {ODD}",
            f"max(value{{point=odd}}) < {ODD}",
            f"max(value{{point=odd}}) == {ODD - 1}",
            f"min(value{{point=top}}) == {(1 << 64) - 1}",
            f"max(value{{point=low}}) == {-(1 << 63)}",
            "max(value{point=scaled}) == 12.5 kWh",
        ],
    )
    passes = [one.verdict is Verdict.PASS for one in found.judged]
    assert passes == [True, True, False, False, True, True, True], [one.why for one in found.judged]
    assert found.data["truth"]["wrong"] == 0
    assert found.data["truth"]["checked"] == found.data["truth"]["readings"] == 35
    assert [body["values"] for body in bodies] == [
        {
            "odd": ODD,
            "top": (1 << 64) - 1,
            "low": -(1 << 63),
            "energy": ODD + k,
            "scaled": 12.5,
            "limit": 0,
            "plain": 7.0,
        }
        for k in range(5)
    ]
    assert str(ODD) in text_of(found), "the report rounds nothing"


def test_statistics_and_bounds_of_whole_numbers_round_nothing(tmp_path: Path, host: Host) -> None:
    """The mean of equal numbers is that number; 2^53 + 1 is the same bound however it is written."""
    top, odd = (1 << 64) - 1, f"{ODD // 10**15}.{ODD % 10**15:015}e15"
    expect = [
        f"mean(value{{point=top}}) <= {top}", f"mean(value{{point=top}}) == {top}.0", f"mean(value{{point=odd}}) == {ODD}.0",
        f"min(value{{point=odd}}) >= {odd}", f"min(value{{point=odd}}) > {ODD - 1}.0", "max(value{point=scaled}) == 12.50 kWh",
        f"mean(value{{point=energy}}) == {ODD + 2} Wh",
    ]  # fmt: skip
    found = run_meter(tmp_path, host, expect=expect)
    assert [one.verdict for one in found.judged] == [Verdict.PASS] * len(expect), [
        one.measured for one in found.judged
    ]


def test_a_driver_of_0_1_rounds_and_a_transform_of_0_1_is_told_so(
    tmp_path: Path, host: Host, bodies: list[Any]
) -> None:
    """Between a driver of 0.2 and a transform of 0.1 what is rounded is Uncertain, and said to be."""
    old = run_meter(tmp_path, host, components=with_files(normalize=OLD / "normalize.wasm"))
    assert old.verdict is Verdict.PASS
    assert old.data["quality"]["readings"]["good"] == 35, "what the driver has read is Good"
    first = bodies[0]
    assert first["values"]["odd"] == float(ODD - 1)
    assert first["values"]["low"] == float(-(1 << 63))
    assert first["status"] == {"odd": 0x4000_0000, "top": 0x4000_0000, "energy": 0x4000_0000}
    assert "integers beyond 2^53 reach it rounded" in text_of(old)


def test_what_a_driver_of_0_1_may_have_rounded_is_uncertain_and_counted(
    tmp_path: Path, host: Host, bodies: list[Any]
) -> None:
    """Of seven points three are beyond 2^53 and are no power of two, and -2^63 is beyond it as well: nobody
    can tell from a double what the register held."""
    old = run_meter(tmp_path, host, components=with_files(**{"modbus-driver": OLD / "modbus-driver.wasm"}))
    assert old.data["quality"]["readings"] == {"good": 15, "uncertain": {"Uncertain": 20}, "bad": {}}
    assert old.data["truth"]["wrong"] == 0, "rounded to the nearest double, and said to be doubtful"
    assert bodies[0]["values"]["odd"] == float(ODD - 1)
    assert bodies[0]["status"] == dict.fromkeys(("odd", "top", "low", "energy"), 0x4000_0000)


@pytest.mark.parametrize("name", ["modbus-driver", "normalize", "route"])
def test_components_of_both_contracts_make_one_gateway(tmp_path: Path, host: Host, name: str) -> None:
    """Each of the three as it was before 0.2, beside the others."""
    found = result(tmp_path, host, components=with_files(**{name: OLD / f"{name}.wasm"}))
    assert found.verdict is Verdict.PASS
    assert found.data["ledger"]["delivered"] == found.data["ledger"]["due"] > 0
    assert found.data["truth"]["wrong"] == 0


@pytest.mark.parametrize("value", [ODD, (1 << 64) - 1, 0, 5.0])
def test_what_is_written_is_exact(tmp_path: Path, host: Host, value: float) -> None:
    found = run_meter(
        tmp_path,
        host,
        timeline=[{"at": "1500 ms", "write": "m/1", "point": "limit", "value": value}],
        expect=[f"last(value{{device=m/1,point=limit}}) == {int(value)}"],
    )
    assert found.verdict is Verdict.PASS, [one.why for one in found.judged]
    assert found.data["truth"]["commands_checked"] == 1
    assert found.data["truth"]["commands_wrong"] == 0


def test_a_driver_of_0_1_that_rounds_what_is_written_is_found_out(tmp_path: Path, host: Host) -> None:
    """It is given an f64: 2^53 + 1 gets to the device as 2^53, and the command says done."""
    found = run_meter(
        tmp_path,
        host,
        components=with_files(**{"modbus-driver": OLD / "modbus-driver.wasm"}),
        timeline=[{"at": "1500 ms", "write": "m/1", "point": "limit", "value": ODD}],
    )
    assert found.data["commands"] == {"issued": 1, "done": 1}
    assert found.data["truth"]["commands_wrong"] == 1
    assert f"{ODD - 1}" in found.data["truth"]["command_example"]


def test_a_sensor_that_lies_may_lie_exactly(tmp_path: Path, host: Host) -> None:
    fault = {"at": "0 s", "device-fault": "m", "kind": "force", "point": "odd", "value": ODD + 2}
    found = run_meter(tmp_path, host, timeline=[fault], expect=[f"min(value{{point=odd}}) == {ODD + 2}"])
    assert found.verdict is Verdict.PASS, [one.why for one in found.judged]
    sentinel = {**fault, "kind": "nan", "point": "top"}
    del sentinel["value"]
    found = run_meter(tmp_path, host, timeline=[sentinel])
    assert found.data["quality"]["readings"]["bad"] == {"BadNoData": 5}


@pytest.mark.parametrize("protocol", ["opcua", "mqtt"])
def test_nodes_and_payloads_hold_them_too(
    tmp_path: Path, host: Host, bodies: list[Any], protocol: str
) -> None:
    driver = f"{protocol}-driver"
    components = {**COMPONENTS, driver: {**COMPONENTS["modbus-driver"], "wasm": f"{driver}.wasm"}}
    del components["modbus-driver"]
    fleet = {"device": "model/meter.yaml", "count": 1, "protocol": protocol, "driver": driver}
    if protocol == "mqtt":
        fleet["poll"] = None
        fleet["publish"] = "1 s"
    found = result(
        tmp_path,
        host,
        fleet=fleet,
        models={"meter.yaml": METER},
        components=components,
        duration="5 s",
        expect=[f"max(value{{point=odd}}) == {ODD}", f"max(value{{point=top}}) == {(1 << 64) - 1}"],
    )
    assert found.verdict is Verdict.PASS, [one.why for one in found.judged]
    assert found.data["truth"]["wrong"] == 0
    assert bodies[-1]["values"]["low"] == -(1 << 63)


def test_a_whole_number_in_a_file_stays_one(tmp_path: Path) -> None:
    loaded = load_text(
        scenario(tmp_path, fleet={"device": "model/meter.yaml"}, models={"meter.yaml": METER}),
        tmp_path / "case.yaml",
    )
    model = loaded.models.of("model/meter.yaml", ())
    levels = {point.name: point.signal.level for point in model.points}
    assert levels["odd"] == ODD
    assert type(levels["odd"]) is int
    assert type(levels["plain"]) is float
