"""Each protocol is described once: whoever names protocols names those."""

from __future__ import annotations

from typing import get_args

from twinloop.devices.model.misbehaviour import SPOKEN
from twinloop.devices.model.points import Point
from twinloop.devices.model.protocols import PROTOCOLS
from twinloop.scenarios.file.blocks import Fleet
from twinloop.tui.drawing.frames import READERS


def test_whoever_names_protocols_names_those() -> None:
    assert get_args(Fleet.model_fields["protocol"].annotation) == tuple(PROTOCOLS)
    assert {name for spoken in SPOKEN.values() for name in spoken} == set(PROTOCOLS)
    assert set(READERS) == set(PROTOCOLS)


def test_a_point_has_an_address_in_each() -> None:
    point = Point("flow", "holding", 40, "f32", unit="m3/h")
    told = {name: speaks.address(point) for name, speaks in PROTOCOLS.items()}
    register = "holding:40:f32:be"
    assert told == {
        "modbus-tcp": register,
        "modbus-rtu": register,
        "modbus-ascii": register,
        "modbus-rtu-over-tcp": register,
        "opcua": "ns=2;s=flow",
        "mqtt": "values.flow",
    }


def test_ports_and_schemes_are_those_of_the_registry() -> None:
    found = {name: (speaks.scheme, speaks.port) for name, speaks in PROTOCOLS.items()}
    assert found == {
        "modbus-tcp": ("tcp", 502),
        "modbus-rtu": ("rtu", 0),
        "modbus-ascii": ("ascii", 0),
        "modbus-rtu-over-tcp": ("rtu+tcp", 0),
        "opcua": ("opc.tcp", 4840),
        "mqtt": ("", 0),
    }
