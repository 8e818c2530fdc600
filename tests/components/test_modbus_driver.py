"""The C driver against a device that is right, slow, wrong or hostile: readings, typed errors, never a wrong
reading."""

from __future__ import annotations

import os
import random
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from pymodbus.framer import FramerRTU

from tests.plants import WASM
from twinloop.components.contract.contract import PointConfig, Settings
from twinloop.components.host.call_state import Request
from twinloop.components.host.host import Host
from twinloop.components.host.instance import Instance

FUEL = 50_000_000
Answer = Callable[[bytes], Any]


def point(number: int, address: str, scale: float = 1.0, offset: float = 0.0) -> PointConfig:
    return PointConfig(number, f"p{number}", address, "", scale, offset, None, None)


@contextmanager
def driver(
    host: Host, points: list[PointConfig], clock: Callable[[], int] = lambda: 0, **options: str
) -> Iterator[Instance]:
    instance = host.instantiate(
        host.link(host.load(WASM / "modbus-driver.wasm", "driver"), ["fieldbus", "clock", "log"]),
        {"clock.now": lambda: 42, "clock.monotonic": clock, "log.log": lambda level, text: None}, FUEL,
    )  # fmt: skip
    try:
        instance.begin("configure", (Settings("d/1", points, list(options.items())),), FUEL)
        instance.advance()
        assert instance.result().ok, instance.result()
        yield instance
    finally:
        instance.close()


def ask(
    instance: Instance,
    answer: Callable[[Request], Any],
    export: str = "read-sensor",
    arguments: tuple[Any, ...] = (),
) -> Any:
    instance.begin(export, arguments, FUEL)
    instance.advance()
    while instance.request is not None:
        instance.answer(answer(instance.request))
        instance.advance()
    assert instance.fault is None, instance.fault
    return instance.result()


def tcp(reply: Callable[[bytes], bytes]) -> Callable[[Request], Any]:
    """A device that answers PDUs over Modbus TCP."""

    def answer(request: Request) -> Any:
        if request.name != "fieldbus.transact":
            return None
        adu = request.arguments[0]
        pdu = reply(adu[7:])
        return True, adu[:4] + struct.pack(">H", len(pdu) + 1) + adu[6:7] + pdu

    return answer


def registers(image: bytes) -> Callable[[bytes], bytes]:
    def reply(pdu: bytes) -> bytes:
        _, start, count = struct.unpack(">BHH", pdu)
        return bytes((pdu[0], 2 * count)) + image[2 * start : 2 * (start + count)]

    return reply


@pytest.mark.parametrize(
    ("kind", "raw", "value"),
    [
        ("u16", "ff9c", 65436.0), ("i16", "ff9c", -100.0), ("u32", "00010002", 65538.0), ("i32", "ffffffff", -1.0),
        ("u32:sw", "00020001", 65538.0), ("u16:bs", "0100", 1.0), ("u32:le", "02000100", 65538.0), ("f32", "41c80000", 25.0),
        ("f64", "4039000000000000", 25.0), ("bit3", "0008", 1.0),
        ("bit4", "0008", 0.0),
    ],
)  # fmt: skip
def test_types_and_word_orders(host: Host, kind: str, raw: str, value: float) -> None:
    image = bytes.fromhex(raw).ljust(8, b"\0")
    with driver(host, [point(7, f"holding:0:{kind}")]) as instance:
        result = ask(instance, tcp(registers(image)))
        assert result.value.readings == [(7, value, 0, 42)]


def test_points_are_grouped_into_block_reads_and_scaled(host: Host) -> None:
    seen: list[bytes] = []

    def reply(pdu: bytes) -> bytes:
        seen.append(pdu)
        return registers(bytes(range(250)))(pdu)

    points = [
        point(1, "holding:10"),
        point(2, "holding:0:u16", 0.1, 5.0),
        point(3, "holding:40"),
        point(4, "holding:5:u32"),
    ]
    with driver(host, points) as instance:
        values = {r.point: r.value for r in ask(instance, tcp(reply)).value.readings}
    assert [pdu.hex() for pdu in seen] == ["030000000b", "0300280001"]
    assert values == {2: 5.0 + 0.1 * 0x0001, 4: float(0x0A0B0C0D), 1: float(0x1415), 3: float(0x5051)}


def test_coils_come_least_significant_bit_first(host: Host) -> None:
    """MODBUS Application Protocol V1.1b3 section 6.1: the coils CD 6B 05."""
    points = [point(i, f"coil:{19 + i}") for i in range(19)]
    with driver(host, points) as instance:
        result = ask(instance, tcp(lambda pdu: bytes.fromhex("0103cd6b05")))
    bits = "".join(str(int(r.value)) for r in result.value.readings)
    assert bits == "1011001111010110101"


HOSTILE: dict[str, tuple[Callable[[bytes], Any], tuple[str, Any]]] = {
    "timeout": (lambda adu: (False, ("timeout", None)), ("bus", ("timeout", None))),
    "disconnected": (lambda adu: (False, ("disconnected", None)), ("bus", ("disconnected", None))),
    "exception": (lambda adu: (True, adu[:4] + b"\0\3" + adu[6:7] + b"\x83\x02"), ("rejected", 2)),
    "wrong unit": (lambda adu: (True, adu[:4] + b"\0\5\x09\x03\x02\0\1"), ("malformed", "unit")),
    "wrong function": (
        lambda adu: (True, adu[:4] + b"\0\5" + adu[6:7] + b"\x04\x02\0\1"),
        ("malformed", "function"),
    ),
    "length lie": (
        lambda adu: (True, adu[:4] + b"\0\x50" + adu[6:7] + b"\x03\x02\0\1"),
        ("malformed", "length"),
    ),
    "byte count lie": (
        lambda adu: (True, adu[:4] + b"\0\5" + adu[6:7] + b"\x03\x20\0\1"),
        ("malformed", "byte count"),
    ),
    "truncated": (lambda adu: (True, adu[:4]), ("malformed", "length")),
    "protocol": (
        lambda adu: (True, adu[:2] + b"\0\1\0\5" + adu[6:7] + b"\x03\x02\0\1"),
        ("malformed", "protocol"),
    ),
    "future transaction": (
        lambda adu: (True, b"\xee\xee\0\0\0\5" + adu[6:7] + b"\x03\x02\0\1"),
        ("malformed", "transaction"),
    ),
    "empty": (lambda adu: (True, b""), ("malformed", "length")),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_answer_is_a_typed_error(host: Host, name: str) -> None:
    answer, expected = HOSTILE[name]
    with driver(host, [point(1, "holding:0")]) as instance:
        result = ask(
            instance,
            lambda request: (
                answer(request.arguments[0])
                if request.name == "fieldbus.transact"
                else (False, ("timeout", None))
                if request.name == "fieldbus.receive"
                else None
            ),
        )
        assert result == (False, expected)
        result = ask(instance, tcp(registers(b"\0\7")))
        assert result.value.readings[0].value == 7.0, "the next poll is answered right"


def test_every_truncation_and_bit_flip_of_an_answer_is_refused_or_right(host: Host) -> None:
    """Over TCP a flipped data bit is the device's value; a flip anywhere else must not become a reading."""
    with driver(host, [point(1, "holding:0")]) as instance:
        for flip in range(8 * 11):

            def answer(request: Request, bit: int = flip) -> Any:
                if request.name != "fieldbus.transact":
                    return False, ("timeout", None)
                frame = bytearray(
                    request.arguments[0][:4] + b"\0\5" + request.arguments[0][6:7] + b"\x03\x02\0\1"
                )
                frame[bit // 8] ^= 1 << bit % 8
                return True, bytes(frame)

            result = ask(instance, answer)
            assert result.ok == (flip // 8 >= 9), f"bit {flip}"


def test_a_late_answer_to_an_earlier_request_is_put_aside(host: Host) -> None:
    late: list[bytes] = []

    def answer(request: Request) -> Any:
        if request.name == "fieldbus.receive":
            return True, late.pop()
        adu = request.arguments[0]
        frame = adu[:4] + b"\0\5" + adu[6:7] + b"\x03\x02\0"
        late.append(frame + b"\2")
        stale = struct.pack(">H", struct.unpack(">H", adu[:2])[0] - 1) + frame[2:] + b"\1"
        return True, stale

    with driver(host, [point(1, "holding:0")]) as instance:
        assert ask(instance, answer).value.readings[0].value == 2.0


def test_retries_are_made_as_often_as_asked(host: Host) -> None:
    asked: list[int] = []

    def answer(request: Request) -> Any:
        if request.name == "fieldbus.receive":  # is there half an answer?
            assert request.arguments == [("some", 513), 0]
            return False, ("timeout", None)
        asked.append(request.arguments[2])
        return (False, ("timeout", None)) if len(asked) < 3 else tcp(registers(b"\0\7"))(request)

    with driver(host, [point(1, "holding:0")], retries="2", timeout="150 ms") as instance:
        assert ask(instance, answer).ok
    assert asked == [150_000_000] * 3


def test_a_block_that_fails_alone_is_bad_and_the_others_are_read(host: Host) -> None:
    def reply(pdu: bytes) -> bytes:
        return bytes.fromhex("8302") if pdu[1:3] == b"\0\x64" else registers(b"\0\7" * 200)(pdu)

    with driver(host, [point(1, "holding:0"), point(2, "holding:100")]) as instance:
        readings = ask(instance, tcp(reply)).value.readings
    assert [(r.point, r.value, r.status) for r in readings] == [(1, 7.0, 0), (2, 0.0, 0x808B0000)]


def test_rtu_checks_the_crc(host: Host) -> None:
    def rtu(body: bytes, good: bool) -> bytes:
        crc = FramerRTU.compute_CRC(body)
        return body + (crc if good else crc ^ 1).to_bytes(2, "big")

    with driver(host, [point(1, "holding:0")], protocol="modbus-rtu", unit="9") as instance:
        for good in (True, False):

            def answer(request: Request, good: bool = good) -> Any:
                assert request.arguments[0] == rtu(bytes.fromhex("090300000001"), True)
                assert request.arguments[1] == ("silence", None)
                return True, rtu(bytes.fromhex("0903020007"), good)

            result = ask(instance, lambda r, a=answer: a(r) if r.name == "fieldbus.transact" else None)
            assert result.ok is good
    assert result == (False, ("malformed", "crc"))


@pytest.mark.parametrize(
    ("address", "scale", "value", "pdu"),
    [
        ("holding:4", 1.0, 3.0, "0600040003"), ("holding:4:u16", 0.1, 4.2, "060004002a"), ("coil:172", 1.0, 1.0, "0500acff00"),
        ("holding:4:f32", 1.0, 42.0, "10000400020442280000"), ("holding:4:i16", 1.0, -1.0, "060004ffff"),
    ],
)  # fmt: skip
def test_writes_undo_scale_and_choose_their_function(
    host: Host, address: str, scale: float, value: float, pdu: str
) -> None:
    seen: list[str] = []

    def reply(request: bytes) -> bytes:
        seen.append(request.hex())
        return request[:5]

    with driver(host, [point(1, address, scale)]) as instance:
        assert ask(instance, tcp(reply), "write-register", (1, ("real", value))).ok
    assert seen == [pdu]


@pytest.mark.parametrize(
    ("address", "value"),
    [
        ("holding:4:u16", 70000.0),
        ("holding:4:u16", -1.0),
        ("input:4", 1.0),
        ("holding:4:f32", 1e39),
    ],
)
def test_what_can_not_be_written_is_said_without_touching_the_bus(
    host: Host, address: str, value: float
) -> None:
    with driver(host, [point(1, address)]) as instance:
        result = ask(
            instance, lambda request: pytest.fail("touched the bus"), "write-register", (1, ("real", value))
        )
        assert result.value[0] == "other"
        none = ask(instance, lambda request: None, "write-register", (99, ("real", 1.0)))
        assert none.value == ("no-such-point", 99)


@pytest.mark.parametrize(
    ("points", "options", "error"),
    [
        ([point(1, "holding:99999")], {}, ("bad-address", "holding:99999")), ([point(1, "holding:65535:f32")], {}, ("bad-address", "holding:65535:f32")),
        ([point(1, "coil:1:u16")], {}, ("bad-address", "coil:1:u16")), ([], {"timeout": "200"}, ("bad-option", "timeout")),
        ([], {"timout": "1 s"}, ("unknown-option", "timout")), ([], {"retries": "11"}, ("bad-option", "retries")),
        ([point(1, "holding:0", 0.0)], {}, ("bad-address", "holding:0")),
    ],
)  # fmt: skip
def test_bad_settings_are_refused_by_name(
    host: Host, points: list[PointConfig], options: dict[str, str], error: tuple[str, str]
) -> None:
    linked = host.link(host.load(WASM / "modbus-driver.wasm", "driver"), ["fieldbus", "clock", "log"])
    instance = host.instantiate(linked, {"clock.now": lambda: 0, "log.log": lambda level, text: None}, FUEL)
    instance.begin("configure", (Settings("d", points, list(options.items())),), FUEL)
    instance.advance()
    assert instance.result() == (False, error)
    instance.begin("read-sensor", (), FUEL)
    instance.advance()
    assert instance.result() == (False, ("not-configured", None))
    instance.close()


def said(answer: bytes, asked: bytes, rtu: bool) -> list[int] | None:
    """The registers that a frame says, if it is a right answer to a read of three; as the specification has
    it, in Python."""
    if rtu:
        if len(answer) < 5 or FramerRTU.compute_CRC(answer[:-2]) != int.from_bytes(answer[-2:], "big"):
            return None
        unit, pdu = answer[0], answer[1:-2]
    else:
        if (
            len(answer) < 9
            or answer[:4] != asked[:2] + b"\0\0"
            or int.from_bytes(answer[4:6], "big") != len(answer) - 6
        ):
            return None
        unit, pdu = answer[6], answer[7:]
    if unit != 1 or len(pdu) != 8 or pdu[:2] != b"\x03\x06":
        return None
    return list(struct.unpack(">3H", pdu[2:]))


@pytest.mark.parametrize("protocol", ["modbus-tcp", "modbus-rtu"])
def test_no_mutation_of_an_answer_becomes_a_wrong_reading(host: Host, protocol: str) -> None:
    """What the driver takes for a reading is what a right frame says; else a typed error. The valid answer
    that follows is read right."""
    chance, rtu = random.Random(17), protocol == "modbus-rtu"
    rounds = 12_500 if os.environ.get("TWINLOOP_SOAK") else 2000
    errors: dict[str, int] = {}

    def right(asked: bytes) -> bytes:
        pdu = b"\x03\x06" + struct.pack(">3H", 7, 8, 9)
        if rtu:
            return b"\x01" + pdu + FramerRTU.compute_CRC(b"\x01" + pdu).to_bytes(2, "big")
        return asked[:4] + struct.pack(">H", len(pdu) + 1) + b"\x01" + pdu

    with driver(host, [point(i, f"holding:{i}") for i in range(3)], protocol=protocol) as instance:
        for _ in range(rounds):
            told: list[list[int] | None] = []

            def answer(request: Request, told: list[list[int] | None] = told) -> Any:
                if request.name != "fieldbus.transact":
                    return (False, ("timeout", None)) if request.name == "fieldbus.receive" else None
                asked = request.arguments[0]
                data = bytearray(right(asked))
                kind = chance.randrange(6)
                if kind == 0:
                    for _ in range(chance.randint(1, 3)):
                        data[chance.randrange(len(data))] = chance.randrange(256)
                elif kind == 1:
                    del data[chance.randrange(len(data)) :]
                elif kind == 2:
                    data += chance.randbytes(chance.randint(1, 9))
                elif kind == 3:
                    struct.pack_into(
                        ">H",
                        data,
                        chance.randrange(min(9, len(data) - 1)),
                        chance.choice((0, 1, 2, 8, 254, 0xFFFF)),
                    )
                elif kind == 4:
                    a, b = sorted((chance.randrange(len(data)), chance.randrange(len(data))))
                    data = data[:b] + data[a:]
                if rtu and chance.random() < 0.7 and len(data) > 3:  # a wrong frame with a right check
                    data[-2:] = FramerRTU.compute_CRC(bytes(data[:-2])).to_bytes(2, "big")
                told.append(said(bytes(data), asked, rtu))
                return True, bytes(data)

            result = ask(instance, answer)
            if result.ok:
                assert [reading.value for reading in result.value.readings] == told[0]
            else:
                errors[result.value[0]] = errors.get(result.value[0], 0) + 1
                assert result.value[0] in ("bus", "rejected", "malformed")
            result = ask(
                instance,
                lambda request: (
                    (True, right(request.arguments[0])) if request.name == "fieldbus.transact" else None
                ),
            )
            assert [reading.value for reading in result.value.readings] == [7.0, 8.0, 9.0]
    assert errors["malformed"] > rounds / 2
