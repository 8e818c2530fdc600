"""Devices that speak wrongly: the bytes that come, and that each is followed by right ones when the fault has
ended."""

from __future__ import annotations

from typing import Any

import pytest

from twinloop.devices.catalogue.catalog import model
from twinloop.devices.modbus.server import ModbusServer
from twinloop.devices.model.device import Device
from twinloop.devices.model.misbehaviour import KINDS, SPOKEN, Misbehaviour

ASK_TCP = bytes.fromhex("002a00000006010300000002")
ASK_RTU = bytes.fromhex("010300000002c40b")
ASK_ASCII = b":010300000002FA\r\n"
"""read holding registers 0 and 1 of unit 1; the CRC is that of MODBUS over Serial Line, low byte first;
the LRC: 0x100 - (01 + 03 + 02)"""


def servers() -> tuple[ModbusServer, ModbusServer]:
    return ModbusServer(Device(model=model("press-sensor"), name="d", unit_id=1, key=5)), ModbusServer(
        Device(model=model("press-sensor"), name="d", unit_id=1, key=5)
    )


def tcp(kind: str, amount: int = 0) -> tuple[bytes, list[bytes] | None]:
    right, wrong = servers()
    end = wrong.misbehave(Misbehaviour(kind, 1, amount))
    (good,) = right.respond_tcp(ASK_TCP, 0) or []
    bad = wrong.respond_tcp(ASK_TCP, 0)
    end()
    assert wrong.respond_tcp(ASK_TCP, 0) == [good]
    assert wrong.slow_ns == 0
    return good, bad


def rtu(kind: str, amount: int = 0) -> tuple[bytes, bytes | None]:
    right, wrong = servers()
    end = wrong.misbehave(Misbehaviour(kind, 1, amount))
    good, bad = right.respond_rtu(ASK_RTU, 0), wrong.respond_rtu(ASK_RTU, 0)
    end()
    assert good is not None
    assert wrong.respond_rtu(ASK_RTU, 0) == good
    return good, bad


def ascii_line(kind: str, amount: int = 0) -> tuple[bytes, bytes | None]:
    right, wrong = servers()
    end = wrong.misbehave(Misbehaviour(kind, 1, amount))
    good, bad = right.respond_ascii(ASK_ASCII, 0), wrong.respond_ascii(ASK_ASCII, 0)
    end()
    assert good is not None
    assert wrong.respond_ascii(ASK_ASCII, 0) == good
    return good, bad


def rtu_tcp(kind: str, amount: int = 0) -> tuple[bytes, list[bytes]]:
    right, wrong = servers()
    end = wrong.misbehave(Misbehaviour(kind, 1, amount))
    (good,), bad = right.respond_rtu_tcp(ASK_RTU, 0), wrong.respond_rtu_tcp(ASK_RTU, 0)
    end()
    assert wrong.respond_rtu_tcp(ASK_RTU, 0) == [good]
    return good, bad


def test_over_tcp() -> None:
    good = tcp("slow", 10)[0]
    assert tcp("silent") == (good, [])
    assert tcp("slow", 10) == (good, [good])
    assert tcp("busy") == (good, [bytes.fromhex("002a00000003018306")])
    assert tcp("exception", 4) == (good, [bytes.fromhex("002a00000003018304")])
    assert tcp("truncated") == (good, [good[: len(good) // 2]])
    assert tcp("wrong-transaction") == (good, [b"\0\x2b" + good[2:]])
    assert tcp("wrong-unit") == (good, [good[:6] + b"\0" + good[7:]])
    assert tcp("length-lie") == (good, [good[:8] + bytes((good[8] + 2,)) + good[9:]])


def test_on_a_line() -> None:
    good = rtu("slow", 10)[0]
    assert rtu("silent") == (good, None)
    assert rtu("slow", 10) == (good, good)
    assert rtu("busy")[1] == bytes.fromhex("018306c132")
    assert rtu("bad-crc") == (good, good[:-1] + bytes((good[-1] ^ 0xFF,)))
    lie = rtu("length-lie")[1]
    assert lie is not None
    assert lie[2] == good[2] + 2
    assert len(lie) == len(good)


def test_on_a_line_in_ascii() -> None:
    good = ascii_line("slow", 10)[0]
    assert (len(good), good[:7]) == (19, b":010304")
    assert ascii_line("silent") == (good, None)
    assert ascii_line("slow", 10) == (good, good)
    assert ascii_line("busy")[1] == b":01830676\r\n", "0x100 - (01 + 83 + 06)"
    assert ascii_line("exception", 4)[1] == b":01830478\r\n"
    assert ascii_line("truncated") == (good, good[:9]), "half of its characters"
    assert ascii_line("bad-crc")[1] == good[:-4] + f"{int(good[-4:-2], 16) ^ 0xFF:02X}".encode() + b"\r\n"
    lrc = int(good[-4:-2], 16)
    assert ascii_line("wrong-unit")[1] == b":02" + good[3:-4] + f"{lrc - 1 & 255:02X}".encode() + b"\r\n"
    assert ascii_line("length-lie")[1] == (
        good[:5] + b"06" + good[7:-4] + f"{lrc - 2 & 255:02X}".encode() + b"\r\n"
    )


def test_in_a_stream_without_mbap() -> None:
    """What a device on a line says, and nothing else: its faults are RTU's."""
    for kind in (kind for kind, spoken in SPOKEN.items() if "modbus-rtu-over-tcp" in spoken):
        good, bad = rtu(kind, 4)
        assert rtu_tcp(kind, 4) == (good, [] if bad is None else [bad])


def test_a_slow_device_says_by_how_much() -> None:
    _, server = servers()
    server.misbehave(Misbehaviour("slow", 1, 7))
    server.misbehave(Misbehaviour("slow", 2, 5))
    server.respond_tcp(ASK_TCP, 0)
    assert server.slow_ns == 12


def test_a_share_of_requests_is_hit() -> None:
    _, server = servers()
    server.misbehave(Misbehaviour("silent", 77, share=0.3))
    silent = sum(not server.respond_tcp(ASK_TCP, 0) for _ in range(1000))
    assert 230 < silent < 370


def test_pipelined_requests_have_each_their_fate() -> None:
    _, server = servers()
    server.misbehave(Misbehaviour("silent", 77, share=0.5))
    answers = server.respond_tcp(ASK_TCP * 40, 0)
    assert answers is not None
    assert 5 < len(answers) < 35


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_an_effect(kind: str) -> None:
    assert list(SPOKEN) == list(KINDS)
    if "modbus-tcp" in SPOKEN[kind]:
        good, bad = tcp(kind, 6)
        assert bad != [good] or kind == "slow"
    if "modbus-rtu" in SPOKEN[kind]:
        frame, spoilt = rtu(kind, 6)
        assert spoilt != frame or kind == "slow"
    if "modbus-ascii" in SPOKEN[kind]:
        frame, spoilt = ascii_line(kind, 6)
        assert spoilt != frame or kind == "slow"


@pytest.mark.parametrize("count", [2, 3])
def test_d1_faults_at_once_never_trip_over_each_other(count: int) -> None:
    """Every pair and triple of kinds, whatever order they began in, on answers of every kind; afterwards the
    device answers well."""
    from itertools import permutations

    requests = {"tcp": [ASK_TCP, bytes.fromhex("002a00000006010600000001")],
                "rtu": [ASK_RTU], "ascii": [ASK_ASCII, b":010600000001F8\r\n"]}  # fmt: skip
    for protocol, name in (("tcp", "modbus-tcp"), ("rtu", "modbus-rtu"), ("ascii", "modbus-ascii")):
        kinds = [kind for kind in KINDS if name in SPOKEN.get(kind, ())]
        for some in permutations(kinds, count):
            _, server = servers()
            ends = [server.misbehave(Misbehaviour(kind, i + 1, 4)) for i, kind in enumerate(some)]
            for request in requests[protocol]:
                respond = {
                    "tcp": server.respond_tcp,
                    "rtu": server.respond_rtu,
                    "ascii": server.respond_ascii,
                }[protocol]
                answer: Any = respond(request, 0)
                if "silent" in some:
                    assert not answer
                elif "truncated" in some and answer:
                    assert len(answer[0] if isinstance(answer, list) else answer) < 30
            for end in ends:
                end()
            right, _ = servers()
            assert server.respond_tcp(ASK_TCP, 0) == right.respond_tcp(ASK_TCP, 0)


def test_d1_faults_of_an_opc_ua_server_at_once() -> None:
    from itertools import permutations

    from twinloop.devices.opcua.faults import SPOIL

    for some in permutations(SPOIL, 3):
        for answer in (b"", b"M", b"MSGF\x08\0\0\0", b"MSGF" + bytes(60), b"OPNF" + bytes(40)):
            out: bytes | None = answer
            for kind in some:
                out = None if out is None else SPOIL[kind](out, 0x80100000)
