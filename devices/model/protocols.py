"""The protocols that devices speak: what everybody else has to know of one.

Belongs here: one descriptor a protocol. Never: frames and servers (devices/modbus, devices/opcua,
devices/mqtt), or how a gateway reads one (sim/field/, sim/gateway/readers.py).
"""

from __future__ import annotations

from collections.abc import Callable

from twinloop.devices.model.nodes import node_address, node_id
from twinloop.devices.model.points import Point
from twinloop.records import dataclass

MBAP, RTU, ASCII = "mbap", "rtu", "ascii"
"""how a Modbus PDU is framed: MODBUS Messaging on TCP/IP V1.0b section 3.1.3; MODBUS over Serial Line V1.02
sections 2.5.1 and 2.5.2"""


def member(point: str) -> str:
    """The path of a point in a payload, in mqtt-driver's syntax."""
    return f"values.{point}"


@dataclass(frozen=True, slots=True)
class DeviceProtocol:
    """One protocol. ``address``: of a point, as a driver is told it; ``shown``: the same for a reader.

    ``registers``: it carries raw numbers, which drivers scale; the others carry values in the point's unit.
    ``serial``: its devices share a line, else each has a host in a network. ``publishes``: its devices speak
    by themselves, to a broker; ``subscribable``: they may be subscribed to instead of polled;
    ``datagrams``: they answer over UDP, too. ``framing``: of a Modbus PDU, MBAP, RTU or ASCII.
    ``scheme``: of the URL of a real device, with its registered ``port`` (0: it has none); empty: none can be
    attached.
    """

    name: str
    address: Callable[[Point], str]
    shown: Callable[[Point], str]
    registers: bool = False
    serial: bool = False
    publishes: bool = False
    subscribable: bool = False
    datagrams: bool = False
    framing: str = ""
    scheme: str = ""
    port: int = 0


def _register(point: Point) -> str:
    return point.address_text()


def _member(point: Point) -> str:
    return member(point.name)


PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        DeviceProtocol(
            "modbus-tcp",
            _register,
            _register,
            registers=True,
            datagrams=True,
            framing=MBAP,
            scheme="tcp",
            port=502,
        ),
        DeviceProtocol(
            "modbus-rtu", _register, _register, registers=True, serial=True, framing=RTU, scheme="rtu"
        ),
        DeviceProtocol(
            "modbus-ascii", _register, _register, registers=True, serial=True, framing=ASCII, scheme="ascii"
        ),
        DeviceProtocol(
            "modbus-rtu-over-tcp", _register, _register, registers=True, framing=RTU, scheme="rtu+tcp"
        ),
        DeviceProtocol("opcua", node_address, node_id, subscribable=True, scheme="opc.tcp", port=4840),
        DeviceProtocol("mqtt", _member, _member, publishes=True),
    )
}
"""by name; ports as registered (IANA: mbap, opcua-tcp)"""
EVERY = tuple(PROTOCOLS)
"""all names, for a model that can speak each"""
