"""Physics of the plants: balances close, set values act, nothing depends on who looks when."""

from __future__ import annotations

import pytest

from twinloop.devices.catalogue import catalog
from twinloop.devices.modbus.server import ModbusServer
from twinloop.devices.model.device import Device
from twinloop.devices.model.nodes import NodeImage

S = 1_000_000_000
PLANTS = ["tank", "motor", "heater", "meter", "pv-day"]


def device(name: str, key: int = 5) -> Device:
    return Device(model=catalog.model(name), name=f"{name}/1", unit_id=1, key=key)


def values(found: Device, now_s: float) -> dict[str, float]:
    image = NodeImage(found)
    return {point.name: image.read(i, int(now_s * S)).value for i, point in enumerate(found.model.points)}


def put(found: Device, now_s: float, **wanted: float) -> None:
    for name, value in wanted.items():
        index = found.model.index(name)
        assert index is not None
        assert NodeImage(found).write(index, value, int(now_s * S)) == 0


@pytest.mark.parametrize("name", PLANTS)
def test_looking_changes_nothing(name: str) -> None:
    often, once = device(name), device(name)
    for second in range(120):
        values(often, second / 2)
    assert values(often, 60) == values(once, 60)
    assert values(device(name, 6), 60) != values(once, 60), "another device"
    assert values(device(name), -600) == values(device(name), 0), (
        "before the beginning it is as at the beginning"
    )


@pytest.mark.parametrize("name", PLANTS)
def test_a_write_acts_from_the_next_step_on_and_not_before(name: str) -> None:
    found = device(name)
    before = values(found, 30)
    writable = [point for point in found.model.points if point.writable]
    for point in writable:
        put(found, 30, **{point.name: 0.0 if point.table == "coil" else (point.high or 1.0) / 2})
    now = values(found, 30)
    assert {n: v for n, v in now.items() if n not in [p.name for p in writable]} == {
        n: v for n, v in before.items() if n not in [p.name for p in writable]
    }


def test_what_flows_in_and_not_out_stands_in_the_tank() -> None:
    found = device("tank")
    put(found, 0, speed=100.0, valve=0.0)
    start, total = values(found, 0)["level"], 0.0
    for second in range(1, 301):
        total += values(found, second)["inflow"] / 3600.0
    assert values(found, 300)["level"] - start == pytest.approx(total / 2.0, rel=0.02)
    put(found, 300, pump=0.0, valve=100.0)
    assert values(found, 310)["running"] == 0.0
    assert values(found, 4000)["level"] < 0.02
    put(found, 4000, pump=1.0, valve=0.0)
    full = values(found, 8000)
    assert full["high"] == 1.0 or full["level"] > 3.4, "the interlock holds it below the brim"
    assert full["spilt"] == 0.0


def test_a_tank_settles_where_in_and_out_are_equal() -> None:
    found = device("tank")
    at = values(found, 20_000)
    assert at["inflow"] == pytest.approx(at["outflow"], rel=0.02)
    assert at["pressure"] == pytest.approx(0.0981 * at["level"], rel=0.02)


def test_a_motor_that_is_overloaded_grows_hot_trips_and_runs_again_when_it_was_switched_off() -> None:
    found = device("motor")
    warm = values(found, 3600)
    assert warm["speed"] == pytest.approx(1200, abs=5)
    assert 40 < warm["winding"] < 100
    assert warm["hours"] == pytest.approx(1.0, abs=0.02)
    put(found, 3600, setpoint=1800.0, load=150.0)
    hot = values(found, 7200)
    assert hot["tripped"] == 1.0
    assert hot["speed"] == hot["current"] == 0.0
    put(found, 7200, run=0.0)
    assert values(found, 7202)["tripped"] == 0.0
    put(found, 7202, run=1.0, load=50.0)
    assert values(found, 7230)["speed"] == pytest.approx(1800, abs=5)
    assert values(found, 7230)["starts"] == 2.0


def test_a_heater_reaches_its_set_value_and_holds_it() -> None:
    found = device("heater")
    assert values(found, 10)["output"] == 100.0
    held = values(found, 3600)
    assert held["temperature"] == pytest.approx(65.0, abs=0.5)
    assert held["ready"] == 1.0
    assert held["output"] == pytest.approx(100 * (65 - 20) / 0.02 / 6000, rel=0.1), (
        "what is lost is what is given"
    )
    put(found, 3600, setpoint=40.0)
    assert values(found, 7200)["temperature"] == pytest.approx(40.0, abs=0.5)
    put(found, 7200, enable=0.0)
    off = values(found, 20_000)
    assert off["output"] == 0.0
    assert off["temperature"] < 21.0


def test_energy_is_power_over_time() -> None:
    for name, power, energy in (("meter", "power", "imported"), ("pv-day", "w", "wh")):
        found = device(name)
        begin, total = values(found, 0)[energy], 0.0
        for second in range(1, 1801):
            total += values(found, second)[power] / 3600.0
        assert values(found, 1800)[energy] - begin == pytest.approx(total, abs=2.0), name
    found = device("meter")
    put(found, 0, feed=20_000.0)
    fed = values(found, 3600)
    assert fed["power"] < 0
    assert fed["exported"] > 18_000 + 10_000
    assert fed["imported"] == pytest.approx(1_250_000, abs=2)


def test_a_pv_inverter_follows_the_day_and_its_limit() -> None:
    found = device("pv-day")
    noon = max(values(found, 3600 * hour)["w"] for hour in (1, 2, 3))
    assert noon > 4000
    put(found, 3 * 3600, limit=10.0)
    throttled = values(found, 3.1 * 3600)
    assert throttled["w"] <= 1000
    assert throttled["st"] == 5.0
    night = values(found, 14 * 3600)
    assert (night["w"], night["irradiance"], night["st"]) == (0.0, 0.0, 1.0)
    assert values(found, 24 * 3600)["irradiance"] > 0, "the next morning"


def test_a_register_that_is_written_over_the_wire_moves_the_process() -> None:
    found = device("tank")
    server = ModbusServer(found)
    level = server.respond_pdu(bytes.fromhex("0400000002"), 10 * S)
    assert server.respond_pdu(bytes.fromhex("0500000000"), 10 * S) == bytes.fromhex("0500000000"), "pump off"
    assert server.respond_pdu(bytes.fromhex("0400000002"), 10 * S) == level
    put(found, 10, valve=100.0)
    assert values(found, 1000)["level"] < 1.0
