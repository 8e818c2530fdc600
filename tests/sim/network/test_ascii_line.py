"""A serial line in ASCII mode: how long an exchange is on the wires, computed by hand, and what devices make of
characters."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sim.network.test_line import Ear, line, run
from twinloop.components.host.codec import Case
from twinloop.devices.catalogue.catalog import model
from twinloop.devices.modbus.server import ModbusServer
from twinloop.devices.model.device import Device
from twinloop.devices.model.misbehaviour import Misbehaviour
from twinloop.scenarios.planning.feasibility import poll_ns
from twinloop.sim.field.serial_port import Master, SerialPort
from twinloop.sim.kernel.clock import MS, S
from twinloop.sim.kernel.trace import Trace
from twinloop.sim.network.serial_line import Line, LineTiming

TIMING = LineTiming(9600, 10, 0, False, 7, True)
"""9600 Bd, 7E1: start, seven data bits, parity, stop"""
READ, LINE_END = b":010300000002FA\r\n", Case("until", b"\r\n")
"""holding registers 0 and 1 of unit 1; LRC: 0x100 - (01 + 03 + 02)"""


def server(unit: int = 1) -> ModbusServer:
    return ModbusServer(Device(model=model("press-sensor"), name=f"d/{unit}", unit_id=unit, key=5))


def port(wires: Line, served: ModbusServer) -> SerialPort:
    return SerialPort(
        env=wires.env,
        trace=Trace(wires.env),
        device=0,
        line=wires,
        server=served,
        response_ns=5 * MS,
        master=Master(wires),
    )


def test_an_exchange_at_9600_baud() -> None:
    """A character has 10 bits: 1.0416 ms. The request has 17 characters (colon, 2 x 7, CR LF): 170 bits in
    17.708333 ms. The device hears it with its last character, as there is no gap of silence, and takes 5 ms.
    The answer with 4 bytes has 19 (2 x 8 and three): 190 bits in 19.791666 ms."""
    wires = line(TIMING)
    exchange = port(wires, server()).transact(READ, LINE_END, S, S)
    over: list[int] = []
    ends = 17_708_333 + 5 * MS + 19_791_666
    for at in (ends - 1, ends):
        wires.env.call_at(at, lambda: over.append(int(exchange.fired)), priority=9)
    run(wires, S)
    assert over == [0, 1]
    assert exchange.value == (True, server().respond_ascii(READ, 0))
    assert wires.occupancy.busy_ns == ends
    assert TIMING.exchange_ns(17, 19, 5 * MS) == ends
    assert (TIMING.gap_ns, LineTiming(115_200, ascii=True).gap_ns) == (0, 0)
    assert (TIMING.framed(6), TIMING.framed(7)) == (17, 19)
    assert (LineTiming(9600).framed(6), LineTiming(9600).framed(7)) == (8, 9)


def test_a_polls_time_is_foreseen() -> None:
    """16 registers: the answer has 2 x (3 + 32 + 1) and three characters."""
    device: Any = type("Spec", (), {"response_at_ns": lambda _, part: 5 * MS})()
    assert poll_ns(TIMING, device, [16]) == 17_708_333 + 5 * MS + 75 * 10 * S // 9600


@pytest.mark.parametrize("sent", [b":0103" + READ, READ[1:] + READ, b"\r\n" + READ])
def test_a_colon_begins_anew(sent: bytes) -> None:
    wires = line(TIMING)
    exchange = port(wires, server()).transact(sent, LINE_END, S, S)
    run(wires, 2 * S)
    assert exchange.value == (True, server().respond_ascii(READ, 0))


def test_a_frame_may_come_in_pieces_a_second_apart() -> None:
    for pause_ns, answers in ((990 * MS, 1), (1001 * MS, 0)):
        wires = line(TIMING)
        ear = Ear(wires)
        wires.add_device(server(), 5 * MS, 0)
        wires.env.call_at(100 * MS, wires.ask, READ[:8], lambda: None)
        piece_ns = TIMING.frame_ns(len(READ) - 8)
        wires.env.call_at(100 * MS + pause_ns + piece_ns, wires.ask, READ[8:], lambda: None)
        run(wires, 3 * S)
        assert len(ear.log) == answers


def test_several_frames_at_once_are_each_heard_and_what_passes_is_told_once() -> None:
    """Two devices speak at the same time then, which is garbled."""
    wires, over = line(TIMING), []
    ear = Ear(wires)
    for unit in (1, 2):
        wires.add_device(server(unit), 5 * MS, unit)
    both = READ + b":020300000002F9\r\n"
    assert wires.ask(both, lambda: over.append(wires.env.now)) is True
    run(wires, S)
    assert over == [5 * MS + TIMING.frame_ns(19)]
    assert wires.collisions == 1
    assert len(ear.log) == 2
    assert wires.ask(b":030300000002F8\r\n", lambda: None) is False
    assert wires.ask(b":010300000002FB\r\n", lambda: None) is False, "a wrong LRC is heard by nobody"


def test_a_damaged_character_has_seven_bits_and_parity_makes_it_silence() -> None:
    wires = line(TIMING)
    for _ in range(300):
        damaged = wires.damaged(READ)
        assert damaged is not None
        assert all(byte < 128 for byte in damaged)
        assert sum((one ^ other).bit_count() for one, other in zip(READ, damaged, strict=True)) == 1
    assert line(LineTiming(9600, 10, 0, True, 7, True)).damaged(READ) is None


def test_half_an_answer_is_no_frame() -> None:
    wires, served = line(TIMING), server()
    driver = port(wires, served)
    end = served.misbehave(Misbehaviour("truncated", 1))
    first = driver.transact(READ, LINE_END, 200 * MS, S)
    run(wires, S)
    assert first.value == (False, ("timeout", None))
    end()
    second = driver.transact(READ, LINE_END, 200 * MS, S)
    run(wires, 2 * S)
    ok, answer = second.value
    assert (ok, answer[:7], len(answer)) == (True, b":010304", 19), "what was unread is discarded"
