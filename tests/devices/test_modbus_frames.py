"""Modbus ASCII frames, and RTU frames in a TCP stream: check sums and sizes from the specification, damage,
halves, and where pymodbus does otherwise."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymodbus.framer import FramerAscii, FramerRTU
from pymodbus.pdu import DecodePDU

from tests.devices.test_modbus_server import device, rtu
from twinloop.devices.modbus.frames import (
    ASCII_BYTES_MAX,
    CHARACTER_PAUSE_MAX_NS,
    STREAM_PAUSE_MAX_NS,
    AsciiFrames,
    RtuRequests,
    answer_bytes,
    ascii_body,
    request_bytes,
    rtu_body,
)
from twinloop.devices.modbus.server import ModbusServer
from twinloop.devices.model import check_sums
from twinloop.devices.model.check_sums import crc, lrc, rtu_frame

READ = b":1103006B00037E\r\n"
"""read holding registers 40108 to 40110 of unit 17: 11 + 03 + 00 + 6B + 00 + 03 = 82, its two's complement is
7E (MODBUS over Serial Line V1.02 appendix B: the sum without carry, complemented, and one)"""


def ascii_frame(body: bytes) -> bytes:
    """By hand: what the specification says, without the code that is tested."""
    return b":" + "".join(f"{byte:02X}" for byte in (*body, -sum(body) & 0xFF)).encode() + b"\r\n"


# ---- ASCII ---------------------------------------------------------------------------------------
def test_the_lrc_of_a_worked_example() -> None:
    assert ascii_body(READ) == bytes.fromhex("11 03 006b 0003")
    assert ascii_frame(bytes.fromhex("11 03 006b 0003")) == READ
    assert ascii_body(READ.replace(b"7E", b"7F")) is None


def test_the_example_is_answered() -> None:
    """Application Protocol section 6.3, between colon and CR LF: 11+03+06+02+2B+64 = AB, so 55."""
    server = ModbusServer(device(holding_107=0x022B, holding_109=0x64), unit_id=0x11)
    assert server.respond_ascii(READ, 0) == b":110306022B0000006455\r\n"
    assert server.respond_ascii(READ.lower(), 0) == b":110306022B0000006455\r\n", (
        "small letters mean the same"
    )


def test_an_exception_another_unit_and_a_broadcast() -> None:
    found = device()
    server = ModbusServer(found)
    assert server.respond_ascii(ascii_frame(bytes.fromhex("01 03 03e7 0001")), 0) == b":0183027A\r\n"
    assert server.respond_ascii(ascii_frame(bytes.fromhex("02 03 0000 0001")), 0) is None
    assert server.respond_ascii(ascii_frame(bytes.fromhex("00 06 0001 0003")), 0) is None
    assert found.image.read_words("holding", 1, 1) == [3]


def test_the_longest_frame_has_513_characters() -> None:
    body = bytes(254)
    assert len(ascii_frame(body)) == ASCII_BYTES_MAX == 1 + 2 + 2 + 2 * 252 + 2 + 2
    assert ascii_body(ascii_frame(body)) == body
    assert ascii_body(ascii_frame(bytes(255))) is None
    assert ascii_body(ascii_frame(b"\1\2")) == b"\1\2"
    assert ascii_body(ascii_frame(b"\1")) is None


@settings(max_examples=60, deadline=None)
@given(st.binary(min_size=2, max_size=254))
def test_there_and_back_and_as_pymodbus_has_it(body: bytes) -> None:
    framer = FramerAscii(DecodePDU(True))
    frame = framer.encode(body[1:], body[0], 0)
    assert frame == ascii_frame(body)
    assert ascii_body(frame) == body
    assert framer.decode(frame) == (len(frame), body[0], 0, body[1:])


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_no_damaged_character_makes_another_frame(data: st.DataObject) -> None:
    """Any one character becomes any other: the same bytes (a digit as a small letter) or none."""
    at = data.draw(st.integers(0, len(READ) - 1))
    damaged = READ[:at] + bytes((data.draw(st.integers(0, 255)),)) + READ[at + 1 :]
    assert ascii_body(damaged) in (None, ascii_body(READ))


@pytest.mark.parametrize("lrc", [b" A", b"+A", b"-1", b"0x", b"1_", "５".encode()[:2]])
def test_only_hexadecimal_digits_make_a_frame(lrc: bytes) -> None:
    """pymodbus reads the LRC by ``int``, which takes blanks and signs."""
    body = bytes.fromhex("01 03 0000 00f2")  # its LRC is 0A
    assert ascii_frame(body)[-4:-2] == b"0A"
    assert ascii_body(ascii_frame(body)[:-4] + lrc + b"\r\n") is None
    assert FramerAscii(DecodePDU(True)).decode(ascii_frame(body)[:-4] + b" A\r\n")[3]
    with pytest.raises(ValueError, match="invalid literal"):
        FramerAscii(DecodePDU(True)).decode(b":zz03000000010000\r\n")


def test_a_colon_begins_a_frame_wherever_it_comes() -> None:
    """Section 2.5.2.1; pymodbus takes all from the first colon on."""
    frames = AsciiFrames()
    assert frames.feed(b"\xff\x00noise:0103" + READ, 0, 0) == [READ]
    assert frames.feed(READ + b"\r\n" + READ[:5], 0, 0) == [READ]
    assert frames.feed(READ[5:] + READ, 0, 0) == [READ, READ]
    assert FramerAscii(DecodePDU(True)).decode(b":0103" + READ)[3] == b""


def test_characters_may_be_a_second_apart() -> None:
    frames, now = AsciiFrames(), 10
    for byte in READ[:-1]:
        assert frames.feed(bytes((byte,)), now, now) == []
        now += CHARACTER_PAUSE_MAX_NS
    assert frames.feed(READ[-1:], now, now) == [READ]
    assert frames.feed(READ[:9], now, now) == []
    now += CHARACTER_PAUSE_MAX_NS + 1
    assert frames.feed(READ[9:], now, now) == [], "more than a second: an error"
    assert frames.feed(READ[:9], now, now) == []
    later = now + CHARACTER_PAUSE_MAX_NS + 1
    assert frames.feed(READ[9:], now, later) == [READ], "they were long, and not late"


def test_a_frame_without_an_end_is_not_kept_for_ever() -> None:
    frames = AsciiFrames()
    for _ in range(100):
        assert frames.feed(b"0" * 100, 0, 0) == []
        assert frames.feed(b":" + b"0" * 600, 0, 0) == []
    assert frames.feed(READ, 0, 0) == [READ]


# ---- RTU in a stream -----------------------------------------------------------------------------
REQUESTS = {
    "01 00 13 00 13": 8, "02 00 c4 00 16": 8, "03 00 6b 00 03": 8, "04 00 08 00 01": 8, "05 00 ac ff 00": 8,
    "06 00 01 00 03": 8, "0f 00 13 00 0a 02 cd 01": 11, "10 00 01 00 02 04 00 0a 01 02": 13,
    "16 00 04 00 f2 00 25": 10, "17 00 03 00 06 00 0e 00 03 06 00 ff 00 ff 00 ff": 19, "2b 0e 01 00": 7, "07": 4,
}  # fmt: skip
"""the requests of the Application Protocol's examples -> bytes with unit and CRC"""


@pytest.mark.parametrize(("pdu", "size"), REQUESTS.items())
def test_a_requests_length_follows_from_its_function(pdu: str, size: int) -> None:
    frame = rtu(1, pdu)
    assert len(frame) == size == request_bytes(frame)
    stream = RtuRequests()
    for byte in frame[:-1]:
        assert stream.feed(bytes((byte,)), 0) == []
    assert stream.feed(frame[-1:], 0) == [frame]
    assert stream.feed(frame * 3, 0) == [frame] * 3
    assert stream.discarded == 0


@pytest.mark.parametrize(
    ("pdu", "size"),
    [("83 02", 5), ("03 06 022b 0000 0064", 11), ("01 03 cd6b05", 8), ("06 0001 0003", 8), ("10 0001 0002", 8),
     ("16 0004 00f2 0025", 10), ("17 0c 00fe 0acd 0001 0003 000d 00ff", 17)],
)  # fmt: skip
def test_an_answers_length_follows_from_its_head(pdu: str, size: int) -> None:
    frame = rtu(1, pdu)
    assert answer_bytes(frame[:5]) == size == len(frame)


def test_a_stream_is_answered_like_a_line() -> None:
    server = ModbusServer(device(holding_0=7), framing="rtu")
    ask = rtu(1, "0300000001")
    assert server.respond(ask, 0) == [rtu(1, "03020007")] == [server.respond_rtu(ask, 0)]
    assert server.respond(ask + ask, 0) == [rtu(1, "03020007")] * 2
    assert server.respond(rtu(9, "0300000001"), 0) == [], "another unit: silence, as behind a converter"
    assert server.respond(rtu(0, "0600010003"), 0) == []
    assert server.respond(rtu(1, "41"), 0) == [rtu(1, "c101")], "pymodbus is silent"
    framer = FramerRTU(DecodePDU(True))
    assert framer.decode(rtu(1, "41")) == (0, 0, 0, b"")


def test_garbage_is_discarded_and_what_follows_is_answered() -> None:
    server, ask = ModbusServer(device(holding_0=7), framing="rtu"), rtu(1, "0300000001")
    for garbage in (
        b"\xff",
        b"GET / HTTP/1.1\r\n\r\n",
        ask[:-1] + b"\0",
        bytes(300),
        b"\1\x10\0\0\0\x7b\xff" + bytes(260),
    ):
        server.reset()
        assert server.respond(garbage, 0) == []
        assert server.respond(ask, STREAM_PAUSE_MAX_NS + 1) == [rtu(1, "03020007")]


def test_half_a_request_is_discarded_after_a_while() -> None:
    """pymodbus waits for the rest, and takes the next request for it."""
    server, ask = ModbusServer(device(holding_0=7), framing="rtu"), rtu(1, "0300000001")
    assert server.respond(ask[:5], 0) == []
    assert server.respond(ask[5:], STREAM_PAUSE_MAX_NS) == [rtu(1, "03020007")]
    assert server.respond(ask[:5], 0) == []
    assert server.respond(ask, STREAM_PAUSE_MAX_NS + 1) == [rtu(1, "03020007")]
    assert server.respond(ask[:5], 0) == []
    server.reset()
    assert server.respond(ask, 0) == [rtu(1, "03020007")], "a new connection"
    framer = FramerRTU(DecodePDU(True))
    assert framer.decode(ask[:5] + ask)[3] == b""


@settings(max_examples=80, deadline=None)
@given(st.lists(st.sampled_from([rtu(1, pdu) for pdu in REQUESTS]), max_size=6), st.data())
def test_however_a_stream_is_cut_its_requests_are_the_same(frames: list[bytes], data: st.DataObject) -> None:
    sent, found, stream = b"".join(frames), [], RtuRequests()
    while sent:
        size = data.draw(st.integers(1, len(sent)))
        found += stream.feed(sent[:size], 0)
        sent = sent[size:]
    assert found == frames
    assert all(rtu_body(frame) == frame[:-2] for frame in found)


@settings(max_examples=80, deadline=None)
@given(st.binary(max_size=600), st.binary(max_size=600))
def test_no_bytes_are_too_much(one: bytes, other: bytes) -> None:
    server, stream = ModbusServer(device(), framing="rtu"), RtuRequests()
    for data in (one, other):
        server.respond(data, 0)
        assert all(rtu_body(frame) is not None for frame in stream.feed(data, 0))
    assert server.respond(rtu(1, "0300000001"), 2 * STREAM_PAUSE_MAX_NS) == [rtu(1, "03020000")]


@given(st.binary(min_size=1, max_size=254))
@settings(max_examples=300)
def test_check_sums_and_frames_are_pymodbuss(body: bytes) -> None:
    assert crc(body) == FramerRTU.compute_CRC(body).to_bytes(2, "big")
    assert lrc(body) == FramerAscii.compute_LRC(body)
    unit, pdu = body[0], body[1:]
    assert rtu_frame(body) == FramerRTU(DecodePDU(True)).encode(pdu, unit, 0)
    assert (
        check_sums.ascii_frame(body) == FramerAscii(DecodePDU(True)).encode(pdu, unit, 0) == ascii_frame(body)
    )


def test_the_check_sum_of_the_specification() -> None:
    """MODBUS over Serial Line V1.02 appendix B: 02 07 has the CRC 12 41, which goes out as 41 12."""
    assert crc(b"\x02\x07") == b"\x41\x12"
