"""What frames say: vectors of the specifications, and the names that asyncua has for the same numbers."""

from __future__ import annotations

import pytest
from asyncua import ua

from twinloop.devices.mqtt.packet import Pingreq, Publish, encode
from twinloop.tui.drawing.frames import _SERVICES, words


@pytest.mark.parametrize(
    ("way", "frame", "said"),
    [
        (">", "000100000006110300 6b 0003", "read holding 107, 3"),  # MODBUS Application Protocol V1.1b3, 6.3
        ("<", "000100000009110306022b00000064", "read holding: 6 bytes"),
        ("<", "000100000003118302", "exception 02 to read holding"),
        ("<", "000100000006110600010003", "write register"),
        ("<", "0001000000021183", "half an exception"),
    ],
)
def test_modbus(way: str, frame: str, said: str) -> None:
    assert words("modbus-tcp", way, bytes.fromhex(frame)) == said


def test_rtu_has_a_unit_in_front_and_a_checksum_behind() -> None:
    assert (
        words("modbus-rtu", ">", bytes.fromhex("11 03 006b 0003 7687")) == "read holding 107, 3"
    )  # the serial line's guide V1.02
    assert words("modbus-rtu", "<", b"") == "0 bytes"
    assert words("modbus-ascii", ">", b":1103006B00037E\r\n") == "read holding 107, 3"
    assert words("modbus-ascii", "<", b"noise:11830769\r\n") == "16 bytes"
    assert words("modbus-ascii", "<", b":11830765\r\n") == "exception 07 to read holding"
    assert words("modbus-rtu-over-tcp", ">", bytes.fromhex("11 03 006b 0003 7687")) == "read holding 107, 3"
    assert words("modbus-rtu-over-tcp", "<", bytes.fromhex("11 03 06 022b")) == "read holding: 6 bytes"
    assert words("modbus-rtu-over-tcp", "<", bytes.fromhex("0000 0064 c8ba")) == "6 bytes"


def test_opcua_services_have_the_names_of_the_standard() -> None:
    names = {value: name for name, value in vars(ua.ObjectIds).items() if isinstance(value, int)}
    for number, name in _SERVICES.items():
        assert names[number].startswith(name), number
        assert names[number].endswith("_Encoding_DefaultBinary"), number
    head = b"MSGF" + bytes(20)
    assert words("opcua", ">", head + bytes.fromhex("0100 7702")) == "Read request, 28 bytes"
    assert (
        words("opcua", "<", b"MSGC" + bytes(20) + bytes.fromhex("0100 7a02"))
        == "Read response (a part), 28 bytes"
    )
    assert words("opcua", ">", b"HELF" + bytes(20)) == "hello"
    assert words("opcua", ">", b"??") == "2 bytes"


def test_mqtt() -> None:
    assert (
        words("mqtt", "<", encode(Publish("plant/a", b"12", 0)) + encode(Pingreq()))
        == "publish plant/a: 2 bytes, pingreq"
    )
    assert words("mqtt", "<", b"\xf0\x00") == "2 bytes"
