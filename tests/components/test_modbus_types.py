"""The shipped driver's types, orders, bits, live scales and texts: by hand, and against the device models."""

from __future__ import annotations

import struct
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.components.test_modbus_driver import ask, driver, point, registers, tcp
from tests.devices.test_encodings import BY_HAND
from twinloop.components.host.host import Host
from twinloop.devices.modbus.server import ModbusServer
from twinloop.devices.model.device import Device, DeviceModel
from twinloop.devices.model.encodings import ENCODINGS
from twinloop.devices.model.points import ORDERS, ORDERS_64, Point, Power, Text
from twinloop.devices.model.registers import RegisterImage
from twinloop.devices.model.signal import Signal
from twinloop.sim.gateway.reader import point_configs

NO_DATA, BAD_SENSOR, BAD_DECODING = 0x809B0000, 0x808C0000, 0x80070000
WHOLE = ("u64", "i64", "bcd64", "mod10k64")


def values_of(batch: Any) -> dict[int, Any]:
    """id -> value of what is Good, status of what isn't."""
    out = {r.point: r.value if not r.status else hex(r.status) for r in (*batch.readings, *batch.texts)}
    return out | {r.point: r.value[1] if not r.status else hex(r.status) for r in batch.integers}


@pytest.mark.parametrize(("kind", "order", "value", "raw"), BY_HAND)
def test_read_by_hand(host: Host, kind: str, order: str, value: float, raw: str) -> None:
    with driver(host, [point(7, f"holding:0:{kind}:{order}")]) as instance:
        got = ask(instance, tcp(registers(bytes.fromhex(raw)))).value
        assert values_of(got) == {7: value}
        assert bool(got.integers) == (kind in WHOLE)


@pytest.mark.parametrize(("kind", "order", "value", "raw"), BY_HAND)
def test_written_by_hand(host: Host, kind: str, order: str, value: float, raw: str) -> None:
    """Of types that leave bits of their registers to others those are read first, and kept."""
    size = len(raw) // 2
    mask = (1 << ENCODINGS[kind].field) - 1 if ENCODINGS[kind].field else (1 << 8 * size) - 1
    shared = mask != (1 << 8 * size) - 1
    written: list[bytes] = []

    def reply(pdu: bytes) -> bytes:
        if pdu[0] == 3:
            assert shared
            return registers(bytes.fromhex("A5" * size))(pdu)
        written.append(pdu)
        return pdu[:5]

    with driver(host, [point(7, f"holding:0:{kind}:{order}")]) as instance:
        case = (
            ("integer", ("unsigned" if value >= 0 else "signed", value))
            if kind in WHOLE
            else ("real", float(value))
        )
        assert ask(instance, tcp(reply), "write-register", (7, case)).ok
    (pdu,) = written
    got = pdu[3:] if pdu[0] == 6 else pdu[6:]
    if not shared:
        assert got.hex().upper() == raw
        return
    image = RegisterImage((Point("p", "holding", 0, kind, order),), {})
    image.raw["holding"][:] = bytes.fromhex("A5" * size)
    image.write_value(0, value)
    assert got == bytes(image.raw["holding"])


@pytest.mark.parametrize(
    ("address", "raw", "value"),
    [
        ("u16:be:bits=4+3", "00D0", 5),
        ("i16:be:bits=4+3", "00D0", -3),
        ("u32:sw:bits=15+2", "80000001", 3),
        ("bit3", "0008", 1),
        ("bcd32", "1234567A", hex(BAD_SENSOR)),
        ("bcd64", "123456789012345F", hex(BAD_SENSOR)),
        ("mod10k64", "0000000000002710", hex(BAD_SENSOR)),
        ("text3", "414220000000", "AB"),
        ("text3:bs", "424100200000", "AB"),
        ("text2", "C3A42020", "ä"),
        ("text2", "FFFE0000", hex(BAD_DECODING)),
        ("text1", "0041", ""),
    ],
)
def test_bits_texts_and_what_is_no_number(host: Host, address: str, raw: str, value: Any) -> None:
    with driver(host, [point(7, f"holding:0:{address}")]) as instance:
        assert values_of(ask(instance, tcp(registers(bytes.fromhex(raw)))).value) == {7: value}


@pytest.mark.parametrize(
    "address",
    [
        "holding:0:u16:be:bits=16+1", "holding:0:u16:be:bits=3", "holding:0:f32:be:bits=0+1", "holding:0:u8:be:bits=0+1", "holding:0:u32:ds",
        "holding:0:text0", "holding:0:text126", "holding:0:text2:sw", "holding:0:text2:be:power=1", "holding:0:u16:be:power=65536", "coil:0:bits=0+1",
        "holding:65534:u48", "holding:0:mod10k16", "holding:0:bcd8", "holding:0:u16:be:be",
    ],
)  # fmt: skip
def test_an_address_that_can_t_be_is_refused(host: Host, address: str) -> None:
    with pytest.raises(AssertionError, match="bad-address"), driver(host, [point(7, address)]):
        pass


def test_a_power_that_nobody_reads_is_refused(host: Host) -> None:
    with (
        pytest.raises(AssertionError, match="a power of ten that no point reads"),
        driver(host, [point(7, "holding:0:u16:be:power=40")]),
    ):
        pass


@pytest.mark.parametrize(
    ("power", "value"), [(-1, 1234.5), (0, 12345), (2, 1234500), (-0x8000, hex(NO_DATA)), (23, hex(NO_DATA))]
)
@pytest.mark.parametrize("at", [1, 40])
def test_a_live_scale_is_that_of_the_same_poll(host: Host, power: int, value: Any, at: int) -> None:
    """It may lie in a block that comes later by its address: that is read first."""
    image = bytearray(200)
    struct.pack_into(">H", image, 0, 12345)
    struct.pack_into(">h", image, 2 * at, power)
    points = [point(1, f"holding:0:u16:be:power={at}"), point(2, f"holding:{at}:i16")]
    with driver(host, points, gap="0") as instance:
        assert values_of(ask(instance, tcp(registers(bytes(image)))).value) == {1: value, 2: power}


def test_a_live_scale_that_can_t_be_read_says_why(host: Host) -> None:
    def reply(pdu: bytes) -> bytes:
        return bytes.fromhex("8302") if pdu[2] == 40 else registers(bytes(200))(pdu)

    points = [point(1, "holding:0:u16:be:power=40"), point(2, "holding:40:i16")]
    with driver(host, points) as instance:
        assert values_of(ask(instance, tcp(reply)).value) == {1: hex(0x808B0000), 2: hex(0x808B0000)}


def test_what_can_only_be_written_is_never_read(host: Host) -> None:
    asked: list[bytes] = []

    def reply(pdu: bytes) -> bytes:
        asked.append(pdu)
        return registers(b"\0\7" * 20)(pdu) if pdu[0] == 3 else pdu[:5]

    points = [
        point(1, "holding:0:u16"),
        point(2, "holding:1:u16:be:write-only"),
        point(3, "coil:5:write-only"),
    ]
    with driver(host, points) as instance:
        assert values_of(ask(instance, tcp(reply)).value) == {1: 7}
        assert asked == [bytes.fromhex("0300000001")]
        assert ask(instance, tcp(reply), "write-register", (2, ("real", 9.0))).ok
        assert ask(instance, tcp(reply), "write-register", (3, ("real", 1.0))).ok
        assert asked[1:] == [bytes.fromhex("0600010009"), bytes.fromhex("050005FF00")]


@pytest.mark.parametrize(
    ("address", "value", "why"),
    [
        ("bcd16", ("real", 10000.0), "does not fit"),
        ("bcd16", ("real", -1.0), "does not fit"),
        ("f16", ("real", 65520.0), "does not fit"),
        ("u24", ("real", 2.0**24), "does not fit"),
        ("mod10k32", ("integer", ("signed", -100000000)), "does not fit"),
        ("bcd64", ("integer", ("unsigned", 10**16)), "does not fit"),
        ("mod10k64", ("integer", ("unsigned", 2**64 - 1)), "does not fit"),
        ("text2", ("text", "abcde"), "does not fit"),
        ("text2", ("real", 1.0), "does not fit"),
        ("u16", ("text", "abc"), "no text"),
    ],
)
def test_a_value_that_has_no_room_is_refused(host: Host, address: str, value: Any, why: str) -> None:
    with driver(host, [point(7, f"holding:0:{address}")]) as instance:
        result = ask(instance, tcp(registers(bytes(8))), "write-register", (7, value))
        assert not result.ok
        assert why in result.value[1]


def test_a_text_is_written_whole(host: Host) -> None:
    written: list[bytes] = []

    def reply(pdu: bytes) -> bytes:
        written.append(pdu)
        return pdu[:5]

    with driver(host, [point(7, "holding:16:text4:bs")]) as instance:
        assert ask(instance, tcp(reply), "write-register", (7, ("text", "pump"))).ok
    assert written == [bytes.fromhex("10 0010 0004 08 7570 706D 0000 0000")]


@st.composite
def maps(draw: st.DrawFn) -> tuple[Point, ...]:
    """Points of any type and order, some as bits, some scaled live, some texts, with gaps."""
    points: list[Point] = []
    at = draw(st.integers(0, 50))
    for i in range(draw(st.integers(1, 10))):
        at += draw(st.sampled_from([0, 0, 1, 20]))
        kind = draw(st.sampled_from([*ENCODINGS, "text"]))
        if kind == "text":
            text = draw(
                st.text(
                    st.characters(codec="utf-8", exclude_characters="\0 ", exclude_categories=("Cs",)),
                    max_size=5,
                )
            )
            points.append(
                Point(f"p{i}", "holding", at, kind, draw(st.sampled_from(["be", "bs"])), text=Text(10, text))
            )
            at += 10
            continue
        width = ENCODINGS[kind].registers
        order = draw(st.sampled_from([o for o in ORDERS if o not in ORDERS_64 or width == 4]))
        level = draw(st.integers(-200, 200_000) | st.integers(-(1 << 63), (1 << 64) - 1))
        new = Point(f"p{i}", "holding", at, kind, order, signal=Signal(level=level))
        if not new.exact:
            new = replace(new, signal=Signal(level=float(level)))
        if kind[0] in "ui" and kind[1:] in ("16", "32", "64") and draw(st.booleans()):
            count = draw(st.integers(1, 16 * width))
            new = replace(
                new, bits=(draw(st.integers(0, 16 * width - count)), count), signal=Signal(level=float(level))
            )
        elif draw(st.integers(0, 3)) == 0:
            power = Point(
                f"p{i}-sf", "holding", at + width, "i16", signal=Signal(level=float(draw(st.integers(-4, 4))))
            )
            new = replace(new, power=Power(power.name, power.address), signal=Signal(level=float(level)))
            points.append(power)
            at += 1
        points.append(new)
        at += width
    return tuple(points)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(points=maps(), gap=st.integers(0, 32))
def test_random_maps_are_read_as_the_device_shows_them(
    host: Host, points: tuple[Point, ...], gap: int
) -> None:
    model = DeviceModel("m", "", "ours", ("modbus-tcp",), points)
    server = ModbusServer(Device(model, "d", 1, 7))

    def answer(request: Any) -> Any:
        if request.name != "fieldbus.transact":
            return None
        (reply,) = server.respond_tcp(request.arguments[0], 0) or [b""]
        return True, reply

    with driver(host, point_configs(model, 0, "modbus-tcp"), gap=str(gap)) as instance:
        got = values_of(ask(instance, answer).value)
    image = server.device.image
    for i, one in enumerate(points):
        cell = image.cell(i)
        assert cell is not None
        if one.text is not None:
            assert got[i] == one.text.content
        else:
            value = image.value(i)
            wanted = hex(BAD_SENSOR) if value - value != 0.0 else value
            assert got[i] == wanted, one
