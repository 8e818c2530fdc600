"""Manners of devices to clients from outside: what comes back, when, by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.plants import plant
from tests.sim.serving.test_served import Desk, bare, line, read, rtu
from twinloop.components.host.host import Host
from twinloop.devices.model.manners import Manners
from twinloop.sim.kernel.clock import MS, US, S
from twinloop.sim.serving.mannered import ServedPort
from twinloop.sim.serving.modbus import LineCaller

DELAY_NS = 300 * US
WAY_NS = 2 * DELAY_NS + MS
"""there, the device's time, back"""


def desk_of(host: Host, *manners: Manners) -> tuple[Desk, ServedPort]:
    """A port with a device for each of them, and its first client, connected at 0."""
    spec = bare(plant(host, count=len(manners)), delay_ns=DELAY_NS)
    devices = tuple(replace(one, own_manners=own) for one, own in zip(spec.devices, manners, strict=True))
    desk = Desk(replace(spec, devices=devices))
    port = ServedPort(desk.plant, {i + 1: i for i in range(len(devices))})
    connected(desk, port, 0)
    return desk, port


def connected(desk: Desk, port: ServedPort, at_ns: int) -> None:
    """Its client connects at that instant."""
    desk.plant.at(at_ns, lambda: setattr(desk, "caller", port.accept(desk.write, desk.hang_up)))


def asked(desk: Desk, *at_ns: int, pdus: dict[int, bytes] | None = None) -> dict[int, str]:
    """Instant of the request -> the answer's PDU, for those that were answered, and on time."""
    for number, at in enumerate(at_ns):
        frame = read(number, 1, 0, 1)
        pdu = (pdus or {}).get(at)
        if pdu is not None:
            frame = frame[:4] + (len(pdu) + 1).to_bytes(2, "big") + frame[6:7] + pdu
        desk.say(at, frame)
    desk.plant.run_to(max(at_ns) + 5 * S)
    return {at_ns[int.from_bytes(data[:2], "big")]: data[7:9].hex() for _, data in desk.heard}


def late(desk: Desk, *at_ns: int) -> list[int]:
    """By how much each answer came later than usual."""
    return [when - at_ns[int.from_bytes(data[:2], "big")] - WAY_NS for when, data in desk.heard]


def test_quiet_after_connect(host: Host) -> None:
    desk, _ = desk_of(host, Manners(quiet_after_connect_ns=S))
    assert asked(desk, 100 * MS, 999 * MS, 1000 * MS, 1500 * MS) == {1000 * MS: "0302", 1500 * MS: "0302"}
    assert desk.plant.field.bites == {(0, "quiet"): 2}
    assert desk.plant.requests == 4, "what is swallowed isn't waited for"
    desk.close()


def test_a_pause(host: Host) -> None:
    """From when it begins to answer: 1 ms after a request has come."""
    desk, _ = desk_of(host, Manners(pause_ns=50 * MS))
    answered = asked(desk, S, S + 50 * MS, S + 51 * MS, S + 300 * MS)
    assert list(answered) == [S, S + 51 * MS, S + 300 * MS]
    desk.close()


def test_a_slow_first_answer(host: Host) -> None:
    desk, _ = desk_of(host, Manners(first_answer_ns=400 * MS, asleep_after_ns=3 * S))
    at = (S, 2 * S, 6 * S, 7 * S)
    asked(desk, *at)
    assert late(desk, *at) == [400 * MS, 0, 400 * MS, 0]
    desk.close()


def test_functions_and_exceptions(host: Host) -> None:
    write = {S: bytes.fromhex("0600060001"), 2 * S: bytes.fromhex("1000060001020001")}
    desk, _ = desk_of(host, Manners(write_single=False, write_takes_ns=500 * MS))
    answered = asked(desk, S, 2 * S, 2 * S + 400 * MS, 2 * S + 600 * MS, pdus=write)
    assert answered[S] == "8601"
    assert answered[2 * S] in ("9005", "9002"), "05, or 02 where there is no such register"
    if answered[2 * S] == "9005":
        assert answered[2 * S + 400 * MS] == "8306"
    assert answered[2 * S + 600 * MS] == "0302"
    desk.close()


def test_busy(host: Host) -> None:
    """20 % of 500 requests: 100, within four standard deviations of 8.9; the same ones in each run."""
    found = []
    for _ in range(2):
        desk, _ = desk_of(host, Manners(busy_share=0.2))
        answered = asked(desk, *(n * 20 * MS for n in range(500)))
        found.append([at for at, pdu in answered.items() if pdu == "8306"])
        desk.close()
    assert 64 <= len(found[0]) <= 136
    assert found[0] == found[1]


@pytest.mark.parametrize("more", ["refuse", "drop-first"])
def test_one_connection(host: Host, more: str) -> None:
    """Two devices behind a port, both with one connection: so has the port."""
    one = Manners(connections=1, more=more)
    desk, port = desk_of(host, one, one)
    second = Desk.__new__(Desk)
    second.heard, second.hung_up = [], False
    second.plant = desk.plant
    connected(second, port, S)
    assert (desk.hung_up, second.hung_up) == ((False, True) if more == "refuse" else (True, False))
    left = desk if more == "refuse" else second
    assert list(asked(left, 2 * S)) == [2 * S]
    left.caller.lost()
    third: list[bool] = []
    port.accept(lambda data: None, lambda: third.append(True))
    assert not third, "there is room again"
    desk.plant.close()


def test_a_port_has_manners_of_connection_when_all_its_devices_have(host: Host) -> None:
    desk, port = desk_of(host, Manners(connections=1, idle_ns=S), Manners())
    assert (port.doors.most, port.idle_ns) == (0, 0)
    desk.close()
    desk, port = desk_of(host, Manners(connections=3, idle_ns=S), Manners(connections=2, idle_ns=2 * S))
    assert (port.doors.most, port.idle_ns) == (2, 2 * S)
    desk.close()


def test_hanging_up_when_idle(host: Host) -> None:
    desk, _ = desk_of(host, Manners(idle_ns=2 * S))
    desk.say(1500 * MS, read(0, 1))
    desk.plant.run_to(3500 * MS - 1)
    assert not desk.hung_up
    desk.plant.run_to(3500 * MS)
    assert desk.hung_up
    assert len(desk.heard) == 1
    desk.close()


# ---- lines ---------------------------------------------------------------------------------------
ASK = b"\x03\0\0\0\1"


def line_of(host: Host, manners: Manners, units: tuple[int, ...] = (1, 2, 3)) -> Desk:
    spec = bare(plant(host, count=3, serial_bd=9600))
    devices: Any = tuple(
        replace(one, own_manners=manners, unit_id=unit) for one, unit in zip(spec.devices, units, strict=True)
    )
    desk = Desk(replace(spec, devices=devices))
    desk.caller = LineCaller(desk.plant, desk.plant.field.line(devices[0]), [0, 1, 2], desk.write)
    return desk


def test_an_echo_comes_when_the_request_is_out(host: Host) -> None:
    """8 characters of 11 bits at 9600 Bd: 9.167 ms; then the answer, as without an echo."""
    desk, plain = line_of(host, Manners(echo=True)), line(host)
    for one in (desk, plain):
        one.say(S, rtu(2, ASK))
        one.plant.run_to(2 * S)
    assert desk.heard[0] == (S + 8 * 11 * S // 9600, rtu(2, ASK))
    assert desk.heard[1:] == plain.heard
    desk.close()
    plain.close()


def test_two_devices_with_one_unit_id_garble_each_other(host: Host) -> None:
    desk = line_of(host, Manners(), (1, 2, 2))
    desk.say(S, rtu(2, ASK))
    desk.say(3 * S, rtu(1, ASK))
    desk.plant.run_to(5 * S)
    *garbled, good = [data for _, data in desk.heard]
    assert len(garbled) == 2
    assert all(rtu(data[0], data[1:-2]) != data for data in garbled)
    assert rtu(good[0], good[1:-2]) == good
    desk.close()
