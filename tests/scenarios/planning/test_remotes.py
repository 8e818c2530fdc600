"""Grants of sockets: what a scenario may say, and what it is told when it may not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.scenarios.cases import COMPONENTS, scenario
from twinloop.components.host.host import Host
from twinloop.scenarios.file.load import load_text
from twinloop.scenarios.planning.plan import Planner
from twinloop.scenarios.text.errors import ScenarioError
from twinloop.sim.model.wasi import Remote


def planned(
    tmp_path: Path, host: Host, grants: list[Any], component: str = "modbus-driver", **changes: Any
) -> tuple[Remote, ...]:
    """Where the component may connect to."""
    components = {
        **COMPONENTS,
        component: {**COMPONENTS[component], "grants": [*COMPONENTS[component]["grants"], *grants]},
    }
    text = scenario(tmp_path, **{"components": components, **changes})
    spec = Planner(load_text(text, tmp_path / "case.yaml"), host).world()
    return next(one.wasi.remotes for one in spec.components if one.name == component)


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ([["tcp://device:502"]], [("device", 502)]),
        ([["tcp://m/1:5020"]], [("m/1", 5020)]),
        ([["tcp://m/1:502", "tcp://m/2:503"]], [("m/1", 502), ("m/2", 503)]),
        ([["tcp://device:502"], ["tcp://m/2:502"]], [("device", 502), ("m/2", 502)]),
    ],
)
def test_a_driver_is_granted_its_device(tmp_path: Path, host: Host, said: Any, found: Any) -> None:
    grants = [{"wasi:sockets": one} for one in said]
    assert planned(tmp_path, host, grants, fleet={"count": 2}) == tuple(Remote(*one) for one in found)


@pytest.mark.parametrize(
    ("grants", "says"),
    [
        (
            ["wasi:sockets"],
            "wasi:sockets needs to say what of it, as in {wasi:sockets: ['tcp://device:502']}",
        ),
        ([{"wasi:sockets": []}], "expected at least one entry"),
        ([{"wasi:sockets": ["device:502"]}], "'device:502' is no host and port to connect to"),
        ([{"wasi:sockets": ["tcp://device"]}], "expected tcp://device:502"),
        ([{"wasi:sockets": ["tcp://device:0"]}], "is no host and port"),
        ([{"wasi:sockets": ["tcp://device:65536"]}], "is no host and port"),
        ([{"wasi:sockets": [502]}], "502 is no host and port"),
        ([{"wasi:sockets": ["udp://device"]}], "expected udp://device:502"),
        ([{"wasi:sockets": ["udp://plc:502"]}], "which each knows as device: udp://device:502"),
        ([{"wasi:sockets": ["tcp://device:502", "udp://device:503"]}], "502 or 503, not both"),
        ([{"wasi:sockets": ["tcp://m/3:502"]}], '"m/3" is no device that modbus-driver reads'),
        ([{"wasi:sockets": ["tcp://plc:502"]}], "which each knows as device: tcp://device:502"),
        (
            [{"wasi:sockets": ["tcp://device:502", "tcp://m/1:503"]}],
            "listens at one port: 502 or 503, not both",
        ),
        ([{"wasi:sockets": ["tcp://device:502"]}, {"wasi:sockets": ["tcp://device:503"]}], "not both"),
        (["wasi:http"], "no simulated host speaks HTTP"),
        ([{"wasi:http": ["http://device/"]}], "no simulated host speaks HTTP"),
    ],
)
def test_what_is_no_grant_is_refused_with_its_place(
    tmp_path: Path, host: Host, grants: list[Any], says: str
) -> None:
    with pytest.raises(ScenarioError) as refused:
        planned(tmp_path, host, grants, fleet={"count": 2})
    assert says in str(refused.value)
    assert "components.modbus-driver.grants[" in str(refused.value)


@pytest.mark.parametrize(("component", "role"), [("normalize", "transform"), ("route", "policy")])
def test_only_a_driver_has_a_device(tmp_path: Path, host: Host, component: str, role: str) -> None:
    with pytest.raises(ScenarioError, match=f"a {role} can't be granted wasi:sockets"):
        planned(tmp_path, host, [{"wasi:sockets": ["tcp://device:502"]}], component)


@pytest.mark.parametrize(
    ("fleet", "links", "driver", "why"),
    [
        ({"protocol": "modbus-rtu"}, {"serial": "9600 Bd"}, "modbus-driver", "share a serial line"),
        ({"protocol": "mqtt", "publish": "1 s", "poll": None}, {}, "mqtt-driver", "speak to a broker"),
        ({"protocol": "opcua", "sampling": "1 s", "poll": None}, {}, "opcua-driver", "are subscribed to"),
    ],
)
def test_sockets_reach_what_is_polled_over_tcp(
    tmp_path: Path, host: Host, fleet: Any, links: Any, driver: str, why: str
) -> None:
    grants = ["fieldbus", "clock", "log", {"wasi:sockets": ["tcp://device:502"]}]
    components = {**COMPONENTS, driver: {"wasm": f"{driver}.wasm", "grants": grants}}
    used = {name: one for name, one in components.items() if name != "modbus-driver" or driver == name}
    with pytest.raises(ScenarioError, match=why):
        planned(
            tmp_path, host, [], fleet={"driver": driver, **fleet}, links={"plant": links, "cloud": {}},
            components=used,
        )  # fmt: skip


def test_another_fleet_s_device_is_not_its_own(tmp_path: Path, host: Host) -> None:
    """An override gives one device another driver."""
    grants = ["fieldbus", "clock", "log", {"wasi:sockets": ["tcp://m/2:502"]}]
    components = {**COMPONENTS, "own": {"wasm": "modbus-driver.wasm", "grants": grants}}
    base = {
        "device": "press-sensor",
        "protocol": "modbus-tcp",
        "poll": "1 s",
        "link": "plant",
        "gateway": "gw",
    }
    for number, fine in ((2, True), (1, False)):
        fleets = {"m": {**base, "driver": "modbus-driver", "count": 2}, f"m/{number}": {"driver": "own"}}
        text = scenario(tmp_path, components=components, fleets=fleets)
        if fine:
            Planner(load_text(text, tmp_path / "case.yaml"), host).world()
        else:
            with pytest.raises(ScenarioError, match='"m/2" is no device that own reads'):
                Planner(load_text(text, tmp_path / "case.yaml"), host).world()
