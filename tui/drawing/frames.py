"""What a frame says, in a few words: Modbus, OPC UA, MQTT.

Belongs here: reading what a person wants to know of a frame. Never: checking it; what can't be read is so
many bytes.
"""

from __future__ import annotations

from collections.abc import Callable

from twinloop.devices.modbus.frames import ANSWER_HEAD_BYTES, ascii_body
from twinloop.devices.mqtt.fields import ProtocolError
from twinloop.devices.mqtt.packet import PacketReader, Publish

_FUNCTIONS = {
    1: "read coils",
    2: "read discrete inputs",
    3: "read holding",
    4: "read input",
    5: "write coil",
    6: "write register",
    15: "write coils",
    16: "write registers",
    22: "mask write",
    23: "read and write",
    43: "identify",
}
"""MODBUS Application Protocol V1.1b3 section 6"""
_READS = (1, 2, 3, 4)
_SERVICES = {
    397: "ServiceFault",
    422: "FindServers",
    425: "FindServers",
    428: "GetEndpoints",
    431: "GetEndpoints",
    446: "OpenSecureChannel",
    449: "OpenSecureChannel",
    452: "CloseSecureChannel",
    461: "CreateSession",
    464: "CreateSession",
    467: "ActivateSession",
    470: "ActivateSession",
    473: "CloseSession",
    476: "CloseSession",
    527: "Browse",
    530: "Browse",
    631: "Read",
    634: "Read",
    673: "Write",
    676: "Write",
    751: "CreateMonitoredItems",
    754: "CreateMonitoredItems",
    787: "CreateSubscription",
    790: "CreateSubscription",
    826: "Publish",
    829: "Publish",
    847: "DeleteSubscriptions",
    850: "DeleteSubscriptions",
}
"""numeric NodeIds of the binary encodings, OPC 10000-6 Annex A (a test holds them against asyncua's)"""
_CHUNKS = {
    b"HEL": "hello",
    b"ACK": "acknowledge",
    b"ERR": "error",
    b"OPN": "OpenSecureChannel",
    b"CLO": "CloseSecureChannel",
}
_MESSAGE_HEAD_BYTES = 24
"""type, size, channel, token, sequence number, request id: OPC 10000-6 section 6.7.2"""


def words(protocol: str, way: str, data: bytes) -> str:
    """``way``: > to the device, < from it."""
    return (READERS[protocol](way, data) if protocol in READERS else "") or f"{len(data)} bytes"


def _modbus(way: str, pdu: bytes) -> str:
    if not pdu:
        return ""
    code = pdu[0]
    if code & 0x80:
        return (
            f"exception {pdu[1]:02x} to {_FUNCTIONS.get(code & 0x7F, code & 0x7F)}"
            if len(pdu) > 1
            else "half an exception"
        )
    name = _FUNCTIONS.get(code, f"function {code}")
    if way == ">" and len(pdu) >= 5:
        return f"{name} {int.from_bytes(pdu[1:3], 'big')}, {int.from_bytes(pdu[3:5], 'big')}"
    return f"{name}: {pdu[1]} bytes" if code in _READS and len(pdu) > 1 else name


def _rtu_tcp(way: str, data: bytes) -> str:
    """An answer comes in two pieces: its head, which says what it is, and the rest."""
    if way == ">":
        return _modbus(way, data[1:-2])
    return _modbus(way, data[1:]) if len(data) == ANSWER_HEAD_BYTES else ""


def _ascii(way: str, data: bytes) -> str:
    body = ascii_body(data[max(0, data.rfind(b":")) :])
    return "" if body is None else _modbus(way, body[1:])


def _opcua(way: str, data: bytes) -> str:
    if data[:3] != b"MSG" or len(data) < _MESSAGE_HEAD_BYTES + 4:
        return _CHUNKS.get(data[:3], "")
    node = data[_MESSAGE_HEAD_BYTES : _MESSAGE_HEAD_BYTES + 4]
    # four-byte NodeId, namespace in node[1]
    service = int.from_bytes(node[2:4], "little") if node[0] == 1 else -1
    name = _SERVICES.get(service, f"service {service}")
    part = "" if data[3:4] == b"F" else " (a part)"
    return f"{name} {'request' if way == '>' else 'response'}{part}, {len(data)} bytes"


def _mqtt(way: str, data: bytes) -> str:
    try:
        packets = PacketReader().feed(data)
    except ProtocolError:
        return ""
    return ", ".join(
        f"publish {one.topic}: {len(one.payload)} bytes"
        if isinstance(one, Publish)
        else type(one).__name__.lower()
        for one in packets
    )


READERS: dict[str, Callable[[str, bytes], str]] = {
    "modbus-tcp": lambda way, data: _modbus(way, data[7:]),
    "modbus-rtu": lambda way, data: _modbus(way, data[1:-2]),
    "modbus-ascii": _ascii,
    "modbus-rtu-over-tcp": _rtu_tcp,
    "opcua": _opcua,
    "mqtt": _mqtt,
}
