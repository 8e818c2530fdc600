"""Frames, by the specification's own examples."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from pymodbus.framer import FramerRTU

from twinloop.components.contract.contract import Result
from twinloop.scenarios.exchanges.lines import Call, Exchange, Place
from twinloop.scenarios.exchanges.modbus import (
    RTU,
    TCP,
    Asked,
    Frame,
    answer_to,
    built,
    crc,
    key,
    parsed,
    read_of,
    renumbered,
    shown,
)
from twinloop.scenarios.exchanges.registers import Evidence, Registers, Room


def tcp(pdu: str, transaction: int = 1, unit: int = 1) -> bytes:
    return built(TCP, Frame(unit, bytes.fromhex(pdu), transaction))


READ = tcp("03006B0003")
"""Modbus Application Protocol V1.1b3, 6.3: read holding registers 108 to 110"""
ANSWER = tcp("0306022B00000064")


def test_the_specifications_read() -> None:
    assert READ.hex() == "0001000000060103006b0003"
    assert read_of(TCP, READ) == Asked(1, 3, 107, 3)
    assert shown(TCP, READ, ANSWER) == (Asked(1, 3, 107, 3), [0x022B, 0, 0x64])
    assert answer_to(TCP, READ, [0x022B, 0, 0x64]) == ANSWER


def test_the_specifications_coils() -> None:
    """6.1: coils 20 to 38, of which 27 to 20 are CD, 35 to 28 6B, 38 to 36 05."""
    asked, answer = tcp("0100130013"), tcp("0103CD6B05")
    found = shown(TCP, asked, answer)
    assert found is not None
    assert found[1] == [1, 0, 1, 1, 0, 0, 1, 1, 1, 1, 0, 1, 0, 1, 1, 0, 1, 0, 1]
    assert answer_to(TCP, asked, found[1]) == answer


def test_what_shows_nothing() -> None:
    for answer in (
        tcp("8302"),
        tcp("0304022B0000"),
        tcp("0306022B00000064", 2),
        tcp("0306022B00000064", 1, 2),
        b"",
    ):
        assert shown(TCP, READ, answer) is None
    for request in (tcp("0300000000"), tcp("030000007E"), tcp("03FFFF0002"), tcp("0600010003"), READ[:-1]):
        assert read_of(TCP, request) is None


@given(st.binary(min_size=2, max_size=250))
def test_the_crc_is_pymodbuss(data: bytes) -> None:
    assert int.from_bytes(crc(data)) == FramerRTU.compute_CRC(data)
    whole = data + crc(data)
    assert parsed(RTU, whole) == Frame(data[0], data[1:], None)
    assert parsed(RTU, whole[:-1] + bytes((whole[-1] ^ 1,))) is None


def test_requests_are_one_but_for_their_transaction() -> None:
    assert key(TCP, READ) == key(TCP, tcp("03006B0003", 77))
    assert key(TCP, READ) != key(TCP, tcp("03006B0003", 1, 2))
    assert key(RTU, b"\1\2") != key(RTU, b"\2\2")
    assert renumbered(TCP, ANSWER, READ, tcp("03006B0003", 77)) == tcp("0306022B00000064", 77)
    late = tcp("0306022B00000064", 0)
    assert renumbered(TCP, late, READ, tcp("03006B0003", 0))[:2] == b"\xff\xff"
    assert renumbered(RTU, ANSWER, READ, READ) == ANSWER


def exchange(request: bytes, gets: Result | None, at_ns: int = 0) -> Exchange:
    return Exchange("transact", request, ("silence", None), 10, at_ns, gets, 1)


def test_the_nearest_in_time() -> None:
    registers = Registers(Room())
    place: Place = object.__new__(Place)
    object.__setattr__(place, "protocol", TCP)
    calls = [
        Call(0, 0, "read-sensor", at, bus=[exchange(tcp("0300050001"), (True, tcp(f"0302{value}")))])
        for at, value in ((99, "0001"), (199, "0002"), (299, "0003"))
    ]
    registers.gather(place, calls)
    asked = Asked(1, 3, 5, 1)
    nearest = {at: registers.nearest(asked, at) for at in (0, 100, 150, 151, 251, 999)}
    assert nearest == {0: [1], 100: [1], 150: [1], 151: [2], 251: [3], 999: [3]}
    assert registers.nearest(Asked(1, 3, 5, 2), 0) is None
    assert registers.nearest(Asked(1, 4, 5, 1), 0) is None


def evidence(*pairs: tuple[bytes, Result | None]) -> Evidence:
    return Evidence(TCP, [exchange(*pair) for pair in pairs], Asked(1, 3, 0, 4))


def test_a_call_says_itself_what_its_device_refused() -> None:
    low, high = tcp("0300000002"), tcp("0300020002")
    right = (True, tcp("030400070008"))
    busy: Result = (True, tcp("8306"))
    assert evidence((low, right)).values == {0: 7, 1: 8}
    assert evidence((low, busy), (high, right)).refusal() == bytes.fromhex("8306")
    assert evidence((low, busy), (low, right)).refusal() is None, "the retry was answered"
    assert evidence((low, (False, ("timeout", None)))).silence()
    hole: Result = (True, tcp("8302"))
    assert evidence((tcp("0300000010"), hole)).refusal() is None, "a smaller block may have no hole"
    assert evidence((low, hole)).refusal() == bytes.fromhex("8302")
    assert evidence((tcp("0400000002"), busy)).refusal() is None, "other registers"
