"""The C driver over Modbus ASCII and over RTU in a TCP stream: what it asks the bus for, what it refuses, and
that no damaged answer becomes a wrong reading."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from pymodbus.framer import FramerRTU

from tests.components.test_modbus_driver import FUEL, ask, point
from tests.plants import WASM
from twinloop.components.contract.contract import PointConfig, Settings
from twinloop.components.host.call_state import Request
from twinloop.components.host.host import Host
from twinloop.components.host.instance import Instance

TIMEOUT = (False, ("timeout", None))


@contextmanager
def driver(
    host: Host, protocol: str, points: list[PointConfig], now: Callable[[], int] = lambda: 0, **options: str
) -> Iterator[Instance]:
    linked = host.link(host.load(WASM / "modbus-driver.wasm", "driver"), ["fieldbus", "clock", "log"])
    handlers = {"clock.now": lambda: 42, "clock.monotonic": now, "log.log": lambda level, text: None}
    instance = host.instantiate(linked, handlers, FUEL)
    told = [("protocol", protocol), *options.items()]
    instance.begin("configure", (Settings("d/1", points, told),), FUEL)
    instance.advance()
    assert instance.result().ok, instance.result()
    yield instance
    instance.close()


def ascii_frame(body: str | bytes) -> bytes:
    data = bytes.fromhex(body) if isinstance(body, str) else body
    return b":" + (data + bytes((-sum(data) & 0xFF,))).hex().upper().encode() + b"\r\n"


def rtu(body: str | bytes) -> bytes:
    data = bytes.fromhex(body) if isinstance(body, str) else body
    return data + FramerRTU.compute_CRC(data).to_bytes(2, "big")


class Stream:
    """A device over TCP without MBAP: ``said`` is what comes to a request, cut as the driver asks for it."""

    def __init__(self, said: Callable[[bytes], bytes]) -> None:
        self._said = said
        self.buffer = b""
        self.log: list[tuple[str, Any]] = []

    def __call__(self, request: Request) -> Any:
        name = request.name.removeprefix("fieldbus.")
        if name == "reset":
            self.buffer = b""
            self.log.append((name, None))
            return None
        if name == "transact":
            self.buffer += self._said(request.arguments[0])
        framing, timeout_ns = request.arguments[-2:]
        assert framing[0] == "exactly"
        self.log.append((name, (framing[1], timeout_ns)))
        if len(self.buffer) < framing[1]:
            return TIMEOUT
        frame, self.buffer = self.buffer[: framing[1]], self.buffer[framing[1] :]
        return True, frame


# ---- ASCII ---------------------------------------------------------------------------------------
def test_a_request_in_ascii_is_the_specifications_and_its_answer_is_read(host: Host) -> None:
    """Registers 40108 to 40110 of unit 17, the answer of Application Protocol section 6.3."""
    seen: list[Any] = []

    def answer(request: Request) -> Any:
        seen.append(tuple(request.arguments))
        return True, b":110306022B0000006455\r\n"

    points = [point(i, f"holding:{107 + i}") for i in range(3)]
    with driver(host, "modbus-ascii", points, unit="17", timeout="300 ms") as instance:
        values = [reading.value for reading in ask(instance, answer).value.readings]
    assert values == [555.0, 0.0, 100.0]
    assert seen == [(b":1103006B00037E\r\n", ("until", b"\r\n"), 300_000_000)]


ASCII_ANSWERS = {
    "noise before": (b"\xff\x0003" + ascii_frame("0103020007"), (True, None)),
    "begun again": (b":010302" + ascii_frame("0103020007"), (True, None)),
    "small letters": (ascii_frame("01030200fa").lower(), (True, None)),
    "exception": (ascii_frame("018302"), (False, ("rejected", 2))),
    "lrc": (b":01030200070B\r\n", (False, ("malformed", "lrc"))),
    "unit": (ascii_frame("0203020007"), (False, ("malformed", "unit"))),
    "function": (ascii_frame("0104020007"), (False, ("malformed", "function"))),
    "byte count": (ascii_frame("0103040007"), (False, ("malformed", "byte count"))),
    "no colon": (b"0103020007F3\r\n", (False, ("malformed", "start"))),
    "odd": (b":0103020007F\r\n", (False, ("malformed", "length"))),
    "short": (b":01FF\r\n", (False, ("malformed", "length"))),
    "no digit": (b":01030200G7F3\r\n", (False, ("malformed", "character"))),
    "too long": (b":" + b"00" * 256 + b"\r\n", (False, ("malformed", "length"))),
    "end only": (b"\r\n", (False, ("malformed", "start"))),
}


@pytest.mark.parametrize("name", ASCII_ANSWERS)
def test_answers_in_ascii(host: Host, name: str) -> None:
    said, expected = ASCII_ANSWERS[name]
    with driver(host, "modbus-ascii", [point(1, "holding:0")]) as instance:
        result = ask(instance, lambda request: (True, said) if request.name == "fieldbus.transact" else None)
        assert result.ok if expected[0] else result == expected, result


def test_the_longest_answer_in_ascii(host: Host) -> None:
    """125 registers: colon, 2 x (1 + 2 + 250 + 1), CR LF; the driver has room for it."""
    data = struct.pack(">125H", *range(125))
    frame = ascii_frame(b"\1\3\xfa" + data)
    assert len(frame) == 511
    with driver(host, "modbus-ascii", [point(i, f"holding:{i}") for i in range(125)]) as instance:
        values = [reading.value for reading in ask(instance, lambda request: (True, frame)).value.readings]
    assert values == [float(i) for i in range(125)]


def test_a_write_in_ascii(host: Host) -> None:
    seen: list[bytes] = []

    def answer(request: Request) -> Any:
        seen.append(request.arguments[0])
        return True, request.arguments[0]

    with driver(host, "modbus-ascii", [point(1, "holding:4")]) as instance:
        assert ask(instance, answer, "write-register", (1, ("real", 3.0))).ok
    assert seen == [b":010600040003F2\r\n"], "0x100 - (01 + 06 + 04 + 03)"


# ---- RTU over TCP --------------------------------------------------------------------------------
def test_it_reads_exactly_what_is_due(host: Host) -> None:
    """The five bytes that every answer has, then as many as its byte count says; an exception has no more."""
    points, clock = [point(i, f"holding:{107 + i}") for i in range(3)], iter((1000, 71_001_000))
    device = Stream(lambda request: rtu("1103 06022b00000064"))
    with driver(
        host, "modbus-rtu-over-tcp", points, lambda: next(clock), unit="17", timeout="300 ms"
    ) as instance:
        values = [reading.value for reading in ask(instance, device).value.readings]
    assert values == [555.0, 0.0, 100.0]
    assert device.log == [("transact", (5, 300_000_000)), ("receive", (6, 229_000_000))], (
        "the rest has what is left of the timeout"
    )
    device = Stream(lambda request: rtu("018302"))
    with driver(host, "modbus-rtu-over-tcp", [point(1, "holding:0")]) as instance:
        assert ask(instance, device) == (False, ("rejected", 2))
    assert [name for name, _ in device.log] == ["transact"]
    assert device.buffer == b""


@pytest.mark.parametrize("kind", ["u16", "f32"])
def test_a_write_over_a_stream(host: Host, kind: str) -> None:
    """Its answer has eight bytes: address and value, or address and count."""
    device = Stream(lambda request: rtu(request[:6]))
    with driver(host, "modbus-rtu-over-tcp", [point(1, f"holding:4:{kind}")]) as instance:
        assert ask(instance, device, "write-register", (1, ("real", 3.0))).ok
    assert [told[0] for _, told in device.log] == [5, 3]
    assert device.buffer == b""


RIGHT = rtu("0103020007")
STREAMS = {
    "silence": (b"", ("bus", ("timeout", None))),
    "half a head": (RIGHT[:3], ("bus", ("timeout", None))),
    "half a frame": (RIGHT[:6], ("bus", ("timeout", None))),
    "a byte count too large": (rtu("0103040007"), ("bus", ("timeout", None))),
    "crc": (RIGHT[:-1] + b"\0", ("malformed", "crc")),
    "unit": (rtu("0203020007"), ("malformed", "unit")),
    "another function, the answer behind it": (rtu("010600010003") + RIGHT, ("malformed", "function")),
    "more registers, the answer behind it": (rtu("01030400070008") + RIGHT, ("malformed", "byte count")),
    "garbage": (b"\xff" * 300, ("malformed", "crc")),
    "too long": (b"\1\3\xff" + bytes(300), ("malformed", "length")),
}


@pytest.mark.parametrize("name", STREAMS)
def test_after_garbage_the_connection_is_given_up_and_the_next_answer_is_right(host: Host, name: str) -> None:
    """There is no transaction id and no length: what is left in the stream would be taken for the next
    answer."""
    said, error = STREAMS[name]
    answers = iter((said, RIGHT))
    device = Stream(lambda request: next(answers))
    with driver(host, "modbus-rtu-over-tcp", [point(1, "holding:0")]) as instance:
        assert ask(instance, device) == (False, error)
        assert device.log[-1][0] == "reset"
        assert [reading.value for reading in ask(instance, device).value.readings] == [7.0]


def test_a_retry_never_reads_the_answer_to_the_try_before(host: Host) -> None:
    """Its connection is another one: what comes late is dropped with the first."""
    answers = iter((rtu("01 03 02 00 01")[:6], RIGHT))
    device = Stream(lambda request: next(answers))
    with driver(host, "modbus-rtu-over-tcp", [point(1, "holding:0")], retries="1") as instance:
        assert [reading.value for reading in ask(instance, device).value.readings] == [7.0]
    assert [name for name, _ in device.log] == ["transact", "receive", "reset", "transact", "receive"]


# ---- both ----------------------------------------------------------------------------------------
@pytest.mark.parametrize("protocol", ["modbus-ascii", "modbus-rtu-over-tcp"])
def test_no_mutation_of_an_answer_becomes_a_wrong_reading(host: Host, protocol: str) -> None:
    """One or more bytes change, go or come: three registers of 7, 8, 9 are read, or none."""
    chance, body = random.Random(11), b"\x01\x03\x06" + struct.pack(">3H", 7, 8, 9)
    right = ascii_frame(body) if protocol == "modbus-ascii" else rtu(body)
    said = right

    def in_ascii(request: Request) -> Any:
        if request.name != "fieldbus.transact":
            return None
        end = said.find(b"\r\n")
        return (True, said[: end + 2]) if end >= 0 else TIMEOUT

    stream = Stream(lambda request: said)
    answer: Callable[[Request], Any] = in_ascii if protocol == "modbus-ascii" else stream
    refused = 0
    with driver(host, protocol, [point(i, f"holding:{i}") for i in range(3)]) as instance:
        for _ in range(600):
            changed = bytearray(right)
            for _ in range(chance.choice((1, 1, 2, 5))):
                at = chance.randrange(len(changed)) if changed else 0
                what = chance.randrange(3)
                if what == 0 and changed:
                    changed[at] = chance.randrange(256)
                elif what == 1:
                    changed.insert(at, chance.randrange(256))
                else:
                    del changed[at : at + chance.randrange(1, 8)]
            said = bytes(changed)
            result = ask(instance, answer)
            refused += not result.ok
            if result.ok:
                assert [reading.value for reading in result.value.readings] == [7.0, 8.0, 9.0], said
            said = right
            stream.buffer = b""
            assert [reading.value for reading in ask(instance, answer).value.readings] == [7.0, 8.0, 9.0]
    assert refused > 450
