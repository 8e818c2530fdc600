"""MODBUS Application Protocol Specification V1.1b3 on three arms: a simulated TCP connection, a simulated
serial line, a loopback socket.

The worked examples of section 6 with their hex as printed; every function code against the exceptions of its
state diagram.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from pymodbus.client import ModbusTcpClient
from pymodbus.framer import FramerRTU

from tests.conformance.arms import Ask, LoopbackServer, loopback_tcp, simulated_rtu, simulated_tcp
from tests.devices.test_modbus_server import device
from twinloop.devices.modbus.server import ModbusServer

ARMS: dict[str, Any] = {
    "simulated-tcp": simulated_tcp,
    "simulated-rtu": simulated_rtu,
    "loopback-tcp": loopback_tcp,
}


class Arm:
    """Asks for PDUs, whatever is around them."""

    def __init__(self, ask: Ask, rtu: bool, server: ModbusServer) -> None:
        self._ask, self._rtu, self.server = ask, rtu, server
        self._transaction = 0

    def __call__(self, pdu: str) -> str:
        request = bytes.fromhex(pdu)
        if self._rtu:
            body = b"\x01" + request
            answer = self._ask(body + FramerRTU.compute_CRC(body).to_bytes(2, "big"))
            assert answer is not None
            assert FramerRTU.compute_CRC(answer[:-2]) == int.from_bytes(answer[-2:], "big")
            assert answer[0] == 1
            return answer[1:-2].hex(" ").upper()
        self._transaction += 1
        answer = self._ask(
            self._transaction.to_bytes(2, "big")
            + b"\0\0"
            + (len(request) + 1).to_bytes(2, "big")
            + b"\x01"
            + request
        )
        assert answer is not None
        assert (answer[:2], answer[2:4], answer[6]) == (self._transaction.to_bytes(2, "big"), b"\0\0", 1)
        assert int.from_bytes(answer[4:6], "big") == len(answer) - 6
        return answer[7:].hex(" ").upper()


@pytest.fixture(params=ARMS)
def arm(request: pytest.FixtureRequest) -> Iterator[Arm]:
    server = ModbusServer(device())
    with ARMS[request.param](server) as ask:
        yield Arm(ask, request.param == "simulated-rtu", server)


Setup = tuple[tuple[str, int, list[int]], ...]


def bits(text: str) -> list[int]:
    return [int(bit) for bit in text]


EXAMPLES: dict[str, tuple[Setup, str, str, Setup]] = {
    "6.1 read coils": ((("coil", 19, bits("1011001111010110101")),), "01 00 13 00 13", "01 03 CD 6B 05", ()),
    "6.2 read discrete inputs": (
        (("discrete", 196, bits("0011010111011011101011")),),
        "02 00 C4 00 16",
        "02 03 AC DB 35",
        (),
    ),
    "6.3 read holding registers": (
        (("holding", 107, [0x022B, 0, 0x64]),),
        "03 00 6B 00 03",
        "03 06 02 2B 00 00 00 64",
        (),
    ),
    "6.4 read input registers": ((("input", 8, [0x0A]),), "04 00 08 00 01", "04 02 00 0A", ()),
    "6.5 write single coil": ((), "05 00 AC FF 00", "05 00 AC FF 00", (("coil", 172, [1]),)),
    "6.6 write single register": ((), "06 00 01 00 03", "06 00 01 00 03", (("holding", 1, [3]),)),
    "6.11 write multiple coils": (
        (),
        "0F 00 13 00 0A 02 CD 01",
        "0F 00 13 00 0A",
        (("coil", 19, bits("1011001110")),),
    ),
    "6.12 write multiple registers": (
        (),
        "10 00 01 00 02 04 00 0A 01 02",
        "10 00 01 00 02",
        (("holding", 1, [0x0A, 0x0102]),),
    ),
    "6.16 mask write register": (
        (("holding", 4, [0x12]),),
        "16 00 04 00 F2 00 25",
        "16 00 04 00 F2 00 25",
        (("holding", 4, [0x17]),),
    ),
    "6.17 read/write multiple registers": (
        (("holding", 3, [0x00FE, 0x0ACD, 1, 3, 13, 255]),),
        "17 00 03 00 06 00 0E 00 03 06 00 FF 00 FF 00 FF",
        "17 0C 00 FE 0A CD 00 01 00 03 00 0D 00 FF",
        (("holding", 14, [255, 255, 255]),),
    ),
}


@pytest.mark.parametrize("section", EXAMPLES)
def test_the_worked_examples_of_section_6(arm: Arm, section: str) -> None:
    before, request, answer, after = EXAMPLES[section]
    image = arm.server.device.image
    for table, address, values in before:
        image.write(table, address, values)
    assert arm(request) == answer
    for table, address, values in after:
        if table == "coil":
            assert image.read_bits(table, address, len(values)) == [bool(value) for value in values]
        else:
            assert image.read_words(table, address, len(values)) == values


def w(value: int) -> str:
    return f"{value:04X}"


# Each function's state diagram (figures 11 to 26): a count out of range or a length that doesn't fit is 03,
# an address that isn't there is 02. The device has coils and holding registers 0 to 199, input registers 0 to
# 19, discrete inputs 196 to 217.
MATRIX: dict[str, list[tuple[str, str]]] = {
    "01": [
        ("01" + w(0) + w(0), "81 03"),
        ("01" + w(0) + w(2001), "81 03"),
        ("01" + w(200) + w(1), "81 02"),
        ("01" + w(199) + w(2), "81 02"),
        ("01" + w(0), "81 03"),
        ("01" + w(65535) + w(2), "81 02"),
    ],
    "02": [
        ("02" + w(196) + w(0), "82 03"),
        ("02" + w(196) + w(2001), "82 03"),
        ("02" + w(195) + w(1), "82 02"),
        ("02" + w(217) + w(2), "82 02"),
        ("02" + w(196), "82 03"),
    ],
    "03": [
        ("03" + w(0) + w(0), "83 03"),
        ("03" + w(0) + w(126), "83 03"),
        ("03" + w(200) + w(1), "83 02"),
        ("03" + w(199) + w(2), "83 02"),
        ("03" + w(0), "83 03"),
        ("03" + w(65535) + w(1), "83 02"),
    ],
    "04": [
        ("04" + w(0) + w(0), "84 03"),
        ("04" + w(0) + w(126), "84 03"),
        ("04" + w(20) + w(1), "84 02"),
        ("04" + w(19) + w(2), "84 02"),
        ("04", "84 03"),
    ],
    "05": [
        ("05" + w(0) + "0001", "85 03"),
        ("05" + w(0) + "FF01", "85 03"),
        ("05" + w(200) + "FF00", "85 02"),
        ("05" + w(0) + "FF", "85 03"),
    ],
    "06": [("06" + w(200) + w(1), "86 02"), ("06" + w(0) + "00", "86 03")],
    "0F": [
        ("0F" + w(0) + w(0) + "00", "8F 03"),
        ("0F" + w(0) + w(1969) + "F7" + "00" * 247, "8F 03"),
        ("0F" + w(0) + w(8) + "02" + "0000", "8F 03"),
        ("0F" + w(0) + w(8) + "01", "8F 03"),
        ("0F" + w(195) + w(8) + "01FF", "8F 02"),
    ],
    "10": [
        ("10" + w(0) + w(0) + "00", "90 03"),
        ("10" + w(0) + w(124) + "F8" + "00" * 246, "90 03"),
        ("10" + w(0) + w(1) + "01" + "00", "90 03"),
        ("10" + w(0) + w(1) + "02" + "00", "90 03"),
        ("10" + w(199) + w(2) + "0400010002", "90 02"),
    ],
    "16": [("16" + w(200) + "FFFF0000", "96 02"), ("16" + w(0) + "FFFF", "96 03")],
    "17": [
        ("17" + w(0) + w(0) + w(0) + w(1) + "02" + w(1), "97 03"),
        ("17" + w(0) + w(126) + w(0) + w(1) + "02" + w(1), "97 03"),
        ("17" + w(0) + w(1) + w(0) + w(0) + "00", "97 03"),
        ("17" + w(0) + w(1) + w(0) + w(122) + "F4" + "00" * 243, "97 03"),
        ("17" + w(0) + w(1) + w(0) + w(1) + "03" + w(1), "97 03"),
        ("17" + w(200) + w(1) + w(0) + w(1) + "02" + w(1), "97 02"),
        ("17" + w(0) + w(1) + w(200) + w(1) + "02" + w(1), "97 02"),
    ],
    "2B": [
        ("2B 0E 01", "AB 03"),
        ("2B 0E 05 00", "AB 03"),
        ("2B 0E 04 77", "AB 02"),
        ("2B 0D 01 00", "AB 01"),
    ],
}
NOT_SPOKEN = [0x07, 0x08, 0x0B, 0x0C, 0x11, 0x14, 0x15, 0x18, 0x09, 0x41, 0x64, 0x7F]


@pytest.mark.parametrize(("request_hex", "answer"), [pair for pairs in MATRIX.values() for pair in pairs])
def test_the_exception_of_each_state_diagram(arm: Arm, request_hex: str, answer: str) -> None:
    before = {table: bytes(raw) for table, raw in arm.server.device.image.raw.items()}
    assert arm(request_hex) == answer
    assert {table: bytes(raw) for table, raw in arm.server.device.image.raw.items()} == before, (
        "nothing was written"
    )
    assert arm("03" + w(0) + w(1)) == "03 02 00 00", "and the next request is answered"


@pytest.mark.parametrize("code", NOT_SPOKEN)
def test_a_function_that_is_not_spoken_is_exception_01(arm: Arm, code: int) -> None:
    """Section 7: ILLEGAL FUNCTION, with the request's code and its highest bit."""
    assert arm(f"{code:02X} 00 00 00 01") == f"{code | 0x80:02X} 01"


def test_every_function_that_is_spoken_is_in_the_matrix() -> None:
    assert sorted(MATRIX) == sorted(["01", "02", "03", "04", "05", "06", "0F", "10", "16", "17", "2B"])
    assert len(EXAMPLES) == 10


def test_a_client_that_nobody_here_wrote_reads_and_writes_over_a_socket() -> None:
    server = LoopbackServer(ModbusServer(device(holding_107=0x022B, input_8=7)))
    with ModbusTcpClient("127.0.0.1", port=server.port) as client:
        assert client.read_holding_registers(107, count=1).registers == [0x022B]
        assert client.read_input_registers(8, count=1).registers == [7]
        assert not client.write_registers(1, [10, 258]).isError()
        assert client.read_holding_registers(1, count=2).registers == [10, 258]
        assert not client.write_coils(19, [True, False, True]).isError()
        assert client.read_coils(19, count=3).bits[:3] == [True, False, True]
        assert not client.write_coil(5, True).isError()
        assert not client.mask_write_register(address=1, and_mask=0xF0, or_mask=0x0F).isError()
        assert client.readwrite_registers(
            read_address=1, read_count=1, write_address=50, values=[3]
        ).registers == [0x0F]
        refused = client.read_holding_registers(500, count=1)
        assert refused.isError()
        assert refused.exception_code == 2
        information = client.read_device_information()
        assert not information.isError()
    server.close()
