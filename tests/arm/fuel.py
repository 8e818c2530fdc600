"""``python -m tests.arm.fuel``: what the shipped guests spend and give on the machine that runs it, as JSON.

Belongs here: the calls. Never: what is compared with what (test_arm.py). For each call its units of fuel, and the
SHA-256 of what it gave.
"""

from __future__ import annotations

import hashlib
import json
import math
import platform
import struct
import sys
from collections.abc import Callable, Iterator
from typing import Any

from benchmarks.hosts.cases import CASES
from tests import opcua_peer
from tests.components import test_modbus_driver as modbus
from tests.components import test_mqtt_driver as mqtt
from tests.plants import WASM
from twinloop.components.contract.contract import LinkState, Origin, PointConfig, Reading, Settings
from twinloop.components.host.host import Host
from twinloop.components.host.instance import Instance
from twinloop.devices.mqtt.broker import Broker

FUEL = 200_000_000
SIZES = (0, 1, 10, 80)
"""readings of a batch"""
STAGES: dict[str, tuple[str, str, dict[str, str]]] = {
    "normalize": ("transform", "transform-readings", {"convert": "degF->degC, bar->kPa", "range": "mark"}),
    "smooth": ("transform", "transform-readings", {"window": "5", "passes": "2"}),
    "derive": ("transform", "transform-readings", {"of": "p3", "a": "p0", "b": "p1", "factor": "0.001"}),
    "route": ("policy", "decide", {}),
}
"""guest -> (role, export, options)"""
VALUES = (212.0, 1 / 3, -0.0, 1e308, 5e-324, math.pi * 1e9, math.nan, -math.nan, math.inf, -math.inf)
"""units are converted, medians and products taken: processors differ in the bits of a NaN that comes of it"""
UNITS = ("degF", "bar", "", "kbar")
IMAGE = bytes(i * 7 & 255 for i in range(2 << 16))
"""a device's registers"""
STATE = LinkState(True, 5, 3, 40_000_000, 0.25)
Row = tuple[str, int, str]


def asked(instance: Instance, export: str, arguments: tuple[Any, ...], answer: Callable[[Any], Any]) -> Row:
    """One call to its end. A fault is what it gave, too."""
    instance.begin(export, arguments, FUEL)
    fuel = instance.advance()
    while instance.request is not None:
        instance.answer(answer(instance.request))
        fuel += instance.advance()
    gave = bits(instance.fault if instance.fault is not None else instance.result())
    return export, fuel, hashlib.sha256(repr(gave).encode()).hexdigest()


def bits(value: Any) -> Any:
    """The value with each float as its 64 bits: all NaNs print alike."""
    if isinstance(value, float):
        return struct.pack(">d", value).hex()
    return [bits(one) for one in value] if isinstance(value, list | tuple) else value


def nobody(request: Any) -> Any:
    """Of a stage, which asks for nothing."""
    raise AssertionError(f"a stage asks for {request}")


def stages(host: Host) -> Iterator[tuple[str, Row]]:
    """Transforms and the policy."""
    points = [PointConfig(i, f"p{i}", "x", UNITS[i % 4], 1.0, 0.0, 0.0, 250.0) for i in range(80)]
    for guest, (role, export, options) in STAGES.items():
        linked = host.link(host.load(WASM / f"{guest}.wasm", role), ["log"])
        for size in SIZES:
            instance = host.instantiate(linked, {"log.log": lambda level, text: None}, FUEL)
            settings = Settings("", points, [*options.items()])
            yield f"{guest} {size}", asked(instance, "configure", (settings,), nobody)
            for k in range(3):
                readings = [Reading(i, VALUES[(i + k) % len(VALUES)], 0, 5 + i) for i in range(size)]
                given: tuple[Any, ...] = (Origin("d", k), (readings, [], []))
                given = (*given, STATE) if role == "policy" else given
                yield f"{guest} {size} call {k}", asked(instance, export, given, nobody)
            instance.close()


def polls(host: Host) -> Iterator[tuple[str, Row]]:
    """modbus-driver, with the points that its prices are counted with, and a write."""
    answer = modbus.tcp(modbus.registers(IMAGE))
    for case in CASES:
        if case.guest != "modbus-driver":
            continue
        name = f"modbus-driver {case.size} step {case.step}"
        points = [modbus.point(i, f"holding:{i * case.step}:u16", 0.1) for i in range(case.size)]
        with modbus.driver(host, points, protocol="modbus-tcp", unit="1", gap="32") as instance:
            yield name, ("configure", instance.fuel_used(), "")
            yield name, asked(instance, "read-sensor", (), answer)
    floats = [modbus.point(i, f"holding:{4 * i}:f64", 1.8, 32.0) for i in range(20)]
    with modbus.driver(host, floats, protocol="modbus-tcp", unit="1") as instance:
        yield "modbus-driver f64", asked(instance, "read-sensor", (), answer)
        yield "modbus-driver f64", asked(instance, "write-register", (3, ("real", 1 / 3)), _written)
        yield "modbus-driver f64", asked(instance, "get-status", (), answer)


def _written(request: Any) -> Any:
    """A device that takes what is written: function 16 is answered with its address and count."""
    return modbus.tcp(lambda pdu: struct.pack(">BHH", *struct.unpack_from(">BHH", pdu)))(request)


def messages(host: Host) -> Iterator[tuple[str, Row]]:
    """mqtt-driver at the broker model: it connects and subscribes, then two messages."""
    bus = mqtt.Bus(broker=Broker())
    instance = mqtt.driver(host, bus)
    yield "mqtt-driver", ("configure", instance.fuel_used(), "")
    yield "mqtt-driver connects", asked(instance, "read-sensor", (), bus.answer)
    assert bus.broker is not None
    mqtt.publish(bus.broker, mqtt.document(a=1.5, b=-2, c=3e3))
    mqtt.publish(bus.broker, mqtt.document(a=1 / 3, b=True, c=None))
    for name in ("first", "second", "nothing"):
        yield f"mqtt-driver {name}", asked(instance, "read-sensor", (), bus.answer)
    instance.close()


def nodes(host: Host) -> Iterator[tuple[str, Row]]:
    """opcua-driver at asyncua's server: a channel, a session and a read, then a read in them."""
    peer = opcua_peer.Peer()
    bus = opcua_peer.Bus(peer.talk)
    instance = opcua_peer.driver(host)
    yield "opcua-driver", ("configure", instance.fuel_used(), "")
    for name in ("connects", "reads"):
        yield f"opcua-driver {name}", asked(instance, "read-sensor", (), bus.answer)
    instance.close()
    peer.close()


def spent() -> dict[str, list[Any]]:
    """``guest, sizes: export`` -> [units of fuel, SHA-256 of what it gave]."""
    host = Host()
    rows: dict[str, list[Any]] = {}
    for part in (stages, polls, messages, nodes):
        for name, (export, fuel, gave) in part(host):
            key = f"{name}: {export}"
            assert key not in rows, key
            rows[key] = [fuel, gave]
    host.close()
    return rows


if __name__ == "__main__":
    json.dump({"machine": platform.machine(), "spent": spent()}, sys.stdout, indent=1)
