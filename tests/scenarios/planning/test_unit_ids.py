"""``unit`` of a model file: the driver of a simulated gateway asks by it, ``serve`` puts the device there, and
on a serial line nobody else has it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import twinloop
from twinloop.components.host.host import Host
from twinloop.scenarios.planning.plan import Planner
from twinloop.scenarios.text.errors import ScenarioError
from twinloop.scenarios.wire.places import attached
from twinloop.scenarios.wire.wire import UNITS_MAX, ports_of

MODEL = """\
format: 1
title: Pump
source: none, a test
step: 1 s
unit: 17
points:
  speed: {type: u16, address: 3, signal: {level: 1450}}
"""
SCENARIO = """\
format: 2
name: units
duration: 5 s
fleets:
  plain: {device: press-sensor, protocol: PROTOCOL, count: 2, poll: 1 s, link: plant, gateway: gw, driver: modbus-driver}
  pumps: {device: model/pump.yaml, protocol: PROTOCOL, count: COUNT, poll: 1 s, link: plant, gateway: gw, driver: modbus-driver}
links:
  plant: {LINK}
  cloud: {preset: lan}
components:
  modbus-driver: {wasm: modbus-driver.wasm, grants: [fieldbus, clock, log]}
  normalize: {wasm: normalize.wasm, grants: [log]}
  route: {wasm: route.wasm, grants: [log]}
gateways:
  gw: {board: raspberry-pi-4, transform: normalize, policy: route, uplink: {link: cloud}}
expect:
  - count(samples.missed) == 0
  - last(value{device=pumps/1,point=speed}) == 1450
"""


def scenario(folder: Path, link: str, count: int, unit: int = 17) -> twinloop.Scenario:
    (folder / "model").mkdir(exist_ok=True)
    (folder / "model" / "pump.yaml").write_text(MODEL.replace("17", str(unit)))
    protocol = "modbus-rtu" if "serial" in link else "modbus-tcp"
    text = SCENARIO.replace("LINK", link).replace("COUNT", str(count)).replace("PROTOCOL", protocol)
    (folder / "units.yaml").write_text(text)
    return twinloop.load(folder / "units.yaml")


def served_at(plant: twinloop.Scenario) -> dict[str, str]:
    """Device -> what its URL says behind the port, with the port's rank before it."""

    async def told() -> dict[str, str]:
        async with twinloop.serve(plant) as served:
            ports: dict[str, int] = {}
            out = {}
            for device, endpoint in served.endpoints.items():
                head, _, unit = endpoint.url.rpartition("=" if "?" in endpoint.url else "/")
                out[device] = f"{ports.setdefault(head, len(ports))}/{unit}"
            return out

    return asyncio.run(told())


@pytest.mark.parametrize("unit", [17, 1, 0, 255])
def test_over_tcp_all_devices_of_a_fleet_have_it(tmp_path: Path, unit: int) -> None:
    plant = scenario(tmp_path, "preset: lan", 3, unit)
    assert twinloop.run(plant).verdict is twinloop.Verdict.PASS
    first = ("0/2", "0/3") if unit == 1 else ("0/1", "0/2")
    assert list(served_at(plant).values()) == [*first, f"0/{unit}", f"1/{unit}", f"2/{unit}"]


@pytest.mark.parametrize("unit", [17, 1, 2])
def test_on_a_line_the_others_have_what_is_left(tmp_path: Path, unit: int) -> None:
    plant = scenario(tmp_path, "serial: 19200 Bd", 1, unit)
    assert twinloop.run(plant).verdict is twinloop.Verdict.PASS
    left = [f"0/{one}" for one in (1, 2, 3) if one != unit][:2]
    assert list(served_at(plant).values()) == [*left, f"0/{unit}"]


def test_a_real_device_is_asked_by_it_unless_its_place_says_another(tmp_path: Path, host: Host) -> None:
    spec = Planner(scenario(tmp_path, "preset: lan", 2), host).world()
    found, _ = attached(spec, {"pumps/1": "tcp://h:502", "pumps/2": "tcp://h:502/0", "plain/1": "tcp://g"})
    assert [one.unit_id for one in found.devices] == [1, 1, 17, 0]


def test_each_line_has_it_once(tmp_path: Path) -> None:
    plant = scenario(tmp_path, "serial: 19200 Bd, lines: 2", 2)
    assert twinloop.run(plant).verdict is twinloop.Verdict.PASS
    assert list(served_at(plant).values()) == ["0/1", "1/1", "0/17", "1/17"]


@pytest.mark.parametrize(
    ("count", "unit", "told"),
    [
        (2, 17, 'pumps/1 and pumps/2 are both unit 17 on line 1 of "plant", as model/pump.yaml says'),
        (1, 0, "says unit: 0; on a serial line a device has 1 to 247"),
        (1, 248, "says unit: 248; on a serial line a device has 1 to 247"),
    ],
)
def test_what_a_line_has_not(tmp_path: Path, count: int, unit: int, told: str) -> None:
    with pytest.raises(ScenarioError, match=told) as found:
        twinloop.run(scenario(tmp_path, "serial: 19200 Bd", count, unit))
    assert found.value.path == "$.fleets.pumps.device"


@given(st.lists(st.one_of(st.none(), st.integers(0, 255)), max_size=300))
def test_every_device_has_a_unit_of_a_port_and_its_own_where_it_names_one(own: list[int | None]) -> None:
    ports = ports_of(dict(enumerate(own)))
    assert sorted(index for port in ports for index in port.values()) == list(range(len(own)))
    for port in ports:
        assert port
        for unit, index in port.items():
            assert unit == own[index] if own[index] is not None else 1 <= unit <= UNITS_MAX
