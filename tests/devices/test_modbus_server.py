"""The Modbus server: worked examples quoted by section, the exception matrix, its deviations, byte equality
with pymodbus."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymodbus.framer import FramerRTU

from twinloop.devices.catalogue.catalog import model
from twinloop.devices.modbus.server import DEVIATIONS, ModbusServer
from twinloop.devices.model.device import Device, DeviceModel
from twinloop.devices.model.misbehaviour import Misbehaviour
from twinloop.devices.model.points import Point


def device(**values: int) -> Device:
    """Tables as the specification's examples need them."""
    points = [Point(f"h{i}", "holding", i, writable=True) for i in range(200)] + [
        Point(f"i{i}", "input", i) for i in range(20)
    ]
    points += [Point(f"c{i}", "coil", i, writable=True) for i in range(200)] + [
        Point(f"d{i}", "discrete", 196 + i) for i in range(22)
    ]
    found = Device(
        model=DeviceModel(
            "spec", "tables of the specification's examples", "ours", ("modbus-tcp",), tuple(points)
        ),
        name="spec/1",
        unit_id=1,
        key=0,
    )
    found.advance(0)
    for key, value in values.items():
        table, address = key.split("_")
        found.image.write(table, int(address), [value])
    return found


def ask(found: Device, request: str) -> str:
    return ModbusServer(found).respond_pdu(bytes.fromhex(request), 0).hex(" ").upper()


# MODBUS Application Protocol Specification V1.1b3, the worked example of each section: hex as printed,
# addresses from 0.
def test_section_6_1_read_coils() -> None:
    found = device()
    found.image.write("coil", 19, [int(bit) for bit in "1011001111010110101"])
    assert ask(found, "01 00 13 00 13") == "01 03 CD 6B 05"


def test_section_6_2_read_discrete_inputs() -> None:
    found = device()
    found.image.write("discrete", 196, [int(bit) for bit in "0011010111011011101011"])
    assert ask(found, "02 00 C4 00 16") == "02 03 AC DB 35"


def test_section_6_3_read_holding_registers() -> None:
    assert (
        ask(device(holding_107=0x022B, holding_108=0, holding_109=0x64), "03 00 6B 00 03")
        == "03 06 02 2B 00 00 00 64"
    )


def test_section_6_4_read_input_registers() -> None:
    assert ask(device(input_8=0x000A), "04 00 08 00 01") == "04 02 00 0A"


def test_section_6_5_write_single_coil() -> None:
    found = device()
    assert ask(found, "05 00 AC FF 00") == "05 00 AC FF 00"
    assert found.image.read_bits("coil", 172, 1) == [True]


def test_section_6_6_write_single_register() -> None:
    found = device()
    assert ask(found, "06 00 01 00 03") == "06 00 01 00 03"
    assert found.image.read_words("holding", 1, 1) == [3]


def test_section_6_11_write_multiple_coils() -> None:
    found = device()
    assert ask(found, "0F 00 13 00 0A 02 CD 01") == "0F 00 13 00 0A"
    assert found.image.read_bits("coil", 19, 10) == [bool(int(bit)) for bit in "1011001110"]


def test_section_6_12_write_multiple_registers() -> None:
    found = device()
    assert ask(found, "10 00 01 00 02 04 00 0A 01 02") == "10 00 01 00 02"
    assert found.image.read_words("holding", 1, 2) == [0x0A, 0x0102]


def test_section_6_16_mask_write_register() -> None:
    found = device(holding_4=0x12)
    assert ask(found, "16 00 04 00 F2 00 25") == "16 00 04 00 F2 00 25"
    assert found.image.read_words("holding", 4, 1) == [0x17]


def test_section_6_17_read_write_multiple_registers() -> None:
    found = device(holding_3=0x00FE, holding_4=0x0ACD, holding_5=1, holding_6=3, holding_7=13, holding_8=255)
    assert (
        ask(found, "17 00 03 00 06 00 0E 00 03 06 00 FF 00 FF 00 FF")
        == "17 0C 00 FE 0A CD 00 01 00 03 00 0D 00 FF"
    )
    assert found.image.read_words("holding", 14, 3) == [0xFF] * 3


@pytest.mark.parametrize(
    ("request_hex", "answer"),
    [
        ("03 00 00 00 00", "83 03"), ("03 00 00 00 7E", "83 03"), ("03 00 00", "83 03"), ("03 FF FF 00 01", "83 02"), ("03 00 C7 00 02", "83 02"),
        ("01 00 00 07 D1", "81 03"), ("02 00 00 00 01", "82 02"), ("04 00 14 00 01", "84 02"), ("05 00 AC 12 34", "85 03"),
        ("06 0F FF 00 01", "86 02"), ("0F 00 00 00 0A 01 CD", "8F 03"), ("10 00 01 00 02 03 00 0A 01", "90 03"), ("10 00 01 00 7C F8", "90 03"),
        ("16 00 04 00 F2", "96 03"), ("17 00 03 00 00 00 0E 00 01 02 00 FF", "97 03"), ("41 00", "C1 01"), ("07", "87 01"), ("11", "91 01"),
        ("2B 0D 00", "AB 01"), ("2B 0E 09 00", "AB 03"), ("2B 0E 04 07", "AB 02"),
    ],
)  # fmt: skip
def test_section_7_exceptions(request_hex: str, answer: str) -> None:
    assert ask(device(), request_hex) == answer


def test_identification_is_the_devices_own() -> None:
    """Section 6.21: basic objects, streamed or one by one."""
    answer = ModbusServer(Device(model=model("press-sensor"), name="p/1", unit_id=1, key=0)).respond_pdu(
        bytes.fromhex("2b0e0100"), 0
    )
    assert answer[:7].hex() == "2b0e0181000003"
    assert b"press-sensor" in answer


READ_UDP = bytes.fromhex("0007 0000 0006 01 03 0000 0002")


def test_a_datagram_is_answered_as_its_request_over_tcp() -> None:
    server = ModbusServer(Device(model=model("press-sensor"), name="p/1", unit_id=1, key=0))
    answer = server.respond_udp(READ_UDP, 0)
    assert answer is not None
    assert [answer] == server.respond_tcp(READ_UDP, 0)
    other = server.respond_udp(READ_UDP[:6] + b"\x02" + READ_UDP[7:], 0)
    assert other is not None
    assert other[7:] == b"\x83\x0b", "another unit"


@pytest.mark.parametrize(
    "datagram",
    [
        b"", READ_UDP[:-1], READ_UDP + b"\0", READ_UDP + READ_UDP, READ_UDP[:7], READ_UDP[:6], b"\xff" * 12, bytes(300),
        READ_UDP[:2] + b"\0\1" + READ_UDP[4:], READ_UDP[:4] + b"\0\1\1", READ_UDP[:4] + b"\1\0\1" + bytes(255),
    ],
)  # fmt: skip
def test_a_datagram_that_is_not_one_whole_request_gets_no_answer(datagram: bytes) -> None:
    """And the next one is answered: nothing is kept of it."""
    server = ModbusServer(Device(model=model("press-sensor"), name="p/1", unit_id=1, key=0))
    assert server.respond_udp(datagram, 0) is None
    assert server.respond_udp(READ_UDP, 0) is not None


@pytest.mark.parametrize(
    ("kind", "amount", "answer"),
    [
        ("silent", 0, None),
        ("exception", 4, "0007 0000 0003 01 83 04"),
        ("busy", 0, "0007 0000 0003 01 83 06"),
        ("truncated", 0, "0007 0000 0007"),
        ("wrong-transaction", 0, "0008 0000 0007 01 03 04"),
        ("wrong-unit", 0, "0007 0000 0007 00 03 04"),
        ("length-lie", 0, "0007 0000 0007 01 03 06"),
        ("slow", 5, "0007 0000 0007 01 03 04"),
    ],
)
def test_a_device_s_faults_are_the_same_over_udp(kind: str, amount: int, answer: str | None) -> None:
    server = ModbusServer(Device(model=model("press-sensor"), name="p/1", unit_id=1, key=0))
    over = server.misbehave(Misbehaviour(kind, 1, amount))
    found = server.respond_udp(READ_UDP, 0)
    assert found == answer if answer is None or found is None else found.startswith(bytes.fromhex(answer))
    assert server.slow_ns == amount * (kind == "slow")
    over()
    assert server.respond_udp(READ_UDP, 0) == server.respond_tcp(READ_UDP, 0)[0]  # type: ignore[index]
    assert server.slow_ns == 0


def test_there_is_a_test_for_each_deviation() -> None:
    assert len(DEVIATIONS) == 11, (
        "a new deviation needs a test in this file, in test_modbus_frames.py or in tests/conformance"
    )


@pytest.mark.parametrize("request_", ["06 00 64 00 01", "10 00 63 00 02 04 00 01 00 02", "16 00 64 00 F2 00 25", "05 00 64 FF 00", "0F 00 64 00 01 01 01",
                                      "17 00 00 00 01 00 64 00 01 02 00 05"])  # fmt: skip
def test_b10_what_cannot_be_written_is_exception_02(request_: str) -> None:
    """Registers 0 to 99 can be written, 100 to 199 can't: section 6, an address that is not allowable for the
    server."""
    points = [
        Point(f"{table[0]}{i}", table, i, writable=i < 100)
        for table in ("holding", "coil")
        for i in range(200)
    ]
    found = Device(
        model=DeviceModel("half", "half of it is read-only", "ours", ("modbus-tcp",), tuple(points)),
        name="half/1",
        unit_id=1,
        key=0,
    )
    found.advance(0)
    code = int(request_[:2], 16)
    assert ask(found, request_) == f"{code | 0x80:02X} 02"
    assert found.image.read_words("holding", 99, 2) == [0, 0], (
        "nothing was written, not even the part that could be"
    )


def tcp(unit: int, pdu: str, transaction: int = 1) -> bytes:
    body = bytes((unit,)) + bytes.fromhex(pdu)
    return transaction.to_bytes(2, "big") + b"\0\0" + len(body).to_bytes(2, "big") + body


def test_pipelined_and_split_requests_are_all_answered() -> None:
    server = ModbusServer(device(holding_0=7))
    stream = tcp(1, "0300000001", 1) + tcp(1, "0300000001", 2) + tcp(1, "0300000001", 3)
    assert [answer[:2].hex() for answer in server.respond_tcp(stream, 0) or []] == ["0001", "0002", "0003"]
    answers: list[bytes] = []
    for byte in stream:
        answers += server.respond_tcp(bytes((byte,)), 0) or []
    assert len(answers) == 3


def test_an_unknown_unit_gets_0b_over_tcp_and_silence_on_a_line() -> None:
    server = ModbusServer(device())
    assert (server.respond_tcp(tcp(9, "0300000001"), 0) or [b""])[0][7:].hex() == "830b"
    assert server.respond_rtu(rtu(9, "0300000001"), 0) is None


def rtu(unit: int, pdu: str) -> bytes:
    body = bytes((unit,)) + bytes.fromhex(pdu)
    return body + FramerRTU.compute_CRC(body).to_bytes(2, "big")


def test_a_broadcast_writes_and_is_not_answered() -> None:
    found = device()
    assert ModbusServer(found).respond_rtu(rtu(0, "0600010003"), 0) is None
    assert found.image.read_words("holding", 1, 1) == [3]


def test_rtu_answers_and_refuses_damage() -> None:
    """MODBUS over Serial Line V1.02 section 2.5.1.2: a frame with a wrong CRC is not answered."""
    server = ModbusServer(device(holding_0=7))
    frame = rtu(1, "0300000001")
    assert server.respond_rtu(frame, 0) == rtu(1, "03020007")
    for i in range(len(frame)):
        assert server.respond_rtu(frame[:i] + bytes((frame[i] ^ 1,)) + frame[i + 1 :], 0) is None


@pytest.mark.parametrize("header", ["000100010006010300000001", "00010000ffff01", "000100000001"])
def test_a_stream_out_of_step_is_cut_off(header: str) -> None:
    assert ModbusServer(device()).respond_tcp(bytes.fromhex(header) + bytes(10), 0) is None


@settings(max_examples=150, deadline=None)
@given(code=st.sampled_from([3, 4]), start=st.integers(0, 210), count=st.integers(1, 125))
def test_the_short_way_of_reads_answers_what_pymodbus_does(code: int, start: int, count: int) -> None:
    found = device(holding_5=0xABCD, input_3=0x1234)
    server = ModbusServer(found)
    pdu = bytes((code,)) + start.to_bytes(2, "big") + count.to_bytes(2, "big")
    assert server.respond_pdu(pdu, 0) == server._ask_pymodbus(pdu)


@settings(max_examples=250, deadline=None)
@given(pdu=st.binary(min_size=1, max_size=253))
def test_any_request_gets_an_answer_of_its_function(pdu: bytes) -> None:
    server = ModbusServer(device(holding_0=7))
    answer = server.respond_pdu(pdu, 0)
    assert answer[0] & 0x7F == pdu[0] & 0x7F
    assert len(answer) <= 253
    assert ModbusServer(device(holding_0=7)).respond_pdu(bytes.fromhex("0300000001"), 0).hex() == "03020007"
