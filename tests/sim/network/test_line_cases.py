"""A serial line obeys its wires: one table of cases, by hand computation, one body, three arms: simulated,
served, attached to what is served.

9600 Bd, 11 bits: a character takes 1 145 833 ns, 3.5 of them 4 010 416 ns. A read of one register is a
request of 8 characters (9 166 666 ns) and an answer of 7 (8 020 833 ns).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from tests.plants import plant
from twinloop.components.host.host import Host
from twinloop.devices.model.misbehaviour import Misbehaviour
from twinloop.sim.field.real_line import AttachedLine, AttachedSerialPort
from twinloop.sim.kernel.clock import LATE, MS, S, Steps, Task
from twinloop.sim.kernel.random import RandomStreams
from twinloop.sim.model.spec import LinkSpec, PlaceSpec, WorldSpec
from twinloop.sim.network.link import Link, LinkModel
from twinloop.sim.serving.modbus import LineCaller
from twinloop.sim.serving.plant import ServedPlant
from twinloop.sim.trouble.verbs import act

GAP, REQUEST, ANSWER = 4_010_416, 9_166_666, 8_020_833
SILENCE = ("silence", None)
ASKS = {1: bytes.fromhex("010300000001840a"), 2: bytes.fromhex("0203000000018439")}
"""read holding register 0 of unit 1 and 2; the CRC is that of MODBUS over Serial Line, low byte first"""


@dataclass(frozen=True)
class Case:
    """``asks``: (when, unit, timeout). ``ends``: for each when it is over, and with what: unit of the answer,
    or 0 for a timeout."""

    asks: tuple[tuple[int, int, int], ...]
    ends: tuple[tuple[int, int], ...]
    response_ns: int = 20 * MS
    slow_ns: int = 0
    """how much longer unit 1 thinks"""
    turnaround_ns: int = 0


def whole(response_ns: int, turnaround_ns: int = 0) -> int:
    """From the request's first character to the whole answer, its silence included."""
    return REQUEST + GAP + turnaround_ns + response_ns + ANSWER + GAP


EXACT = GAP + 20 * MS + ANSWER + GAP
"""from the request's last character to the whole answer"""
NEXT = REQUEST + 100 * MS + GAP
"""when the next request may go out after one whose timeout was 100 ms"""
CASES = {
    "in time": Case(((0, 1, 500 * MS),), ((whole(20 * MS), 1),)),
    "at the very instant of its timeout": Case(((0, 1, EXACT),), ((whole(20 * MS), 1),)),
    "a nanosecond late": Case(((0, 1, EXACT - 1),), ((REQUEST + EXACT - 1, 0),)),
    "thirty milliseconds are too few (A4)": Case(((0, 1, 30 * MS),), ((REQUEST + 30 * MS, 0),)),
    "a turnaround longer than the timeout (A4)": Case(
        ((0, 1, 50 * MS),), ((REQUEST + 50 * MS, 0),), turnaround_ns=100 * MS
    ),
    "who thinks leaves the line silent (A5)": Case(
        ((0, 1, 100 * MS), (NEXT, 2, 500 * MS)),
        ((REQUEST + 100 * MS, 0), (NEXT + whole(20 * MS), 2)),
        slow_ns=680 * MS,
    ),
    "a late answer is taken for the next one's (A5)": Case(
        ((0, 1, 100 * MS), (NEXT, 2, 500 * MS)),
        ((REQUEST + 100 * MS, 0), (whole(120 * MS), 1)),
        response_ns=40 * MS,
        slow_ns=80 * MS,
    ),
    "a late answer collides with the next request (A5)": Case(
        ((0, 1, 100 * MS), (NEXT, 2, 200 * MS)),
        ((REQUEST + 100 * MS, 0), (NEXT + REQUEST + 200 * MS, 0)),
        slow_ns=80 * MS,
    ),
}


def spec_of(host: Host, case: Case) -> WorldSpec:
    spec = plant(host, count=2, serial_bd=9600, response_ns=case.response_ns, phase_ns=0)
    return replace(
        spec,
        links=(
            LinkSpec("plant", LinkModel(), 9600, turnaround_ns=case.turnaround_ns, parity=True),
            spec.links[1],
        ),
    )


def open_plant(host: Host, case: Case) -> ServedPlant:
    plant_ = ServedPlant(replace(spec_of(host, case), gateways=(), components=()), 0)
    plant_.boot()
    plant_.run_to(0)
    if case.slow_ns:
        plant_.field.servers[0].misbehave(Misbehaviour("slow", 1, case.slow_ns))
    return plant_


class Ended:
    """When each request was over, and with whose answer."""

    def __init__(self, count: int) -> None:
        self.ends: list[tuple[int, int] | None] = [None] * count

    def end(self, index: int, at_ns: int, frame: bytes | None) -> None:
        if self.ends[index] is None:
            self.ends[index] = at_ns, frame[0] if frame else 0


def simulated(host: Host, case: Case) -> list[Any]:
    """Ports of one gateway on the line."""
    from twinloop.sim.field.serial_port import Master, SerialPort

    plant_, ended = open_plant(host, case), Ended(len(case.asks))
    line = plant_.field.line(plant_.spec.devices[0])
    master = Master(line)
    ports = [
        SerialPort(
            env=plant_.env,
            trace=plant_.trace,
            device=i,
            line=line,
            server=plant_.field.servers[i],
            response_ns=case.response_ns,
            master=master,
        )  # type: ignore[arg-type]
        for i in range(2)
    ]
    ask_through(plant_, case, ended, lambda unit: ports[unit - 1])
    return ended.ends


def ask_through(plant_: ServedPlant, case: Case, ended: Ended, port_of: Callable[[int], Any]) -> None:
    began = plant_.env.now
    for index, (at_ns, unit, timeout_ns) in enumerate(case.asks):

        def asking(index: int = index, unit: int = unit, timeout_ns: int = timeout_ns) -> Steps:
            ok, value = yield port_of(unit).transact(ASKS[unit], SILENCE, timeout_ns, 10 * S)
            ended.end(index, plant_.env.now - began, value if ok else None)

        def ask(asking: Callable[[], Steps] = asking) -> None:
            Task(plant_.env, asking())

        plant_.env.call_at(began + at_ns, ask, priority=LATE + 1)
    plant_.run_to(began + 3 * S)


def served(host: Host, case: Case) -> list[Any]:
    """A client with a timeout of its own on a served line: what is written to it in time is its answer, 3.5
    characters later."""
    plant_, ended = open_plant(host, case), Ended(len(case.asks))
    began, env = plant_.env.now, plant_.env
    waiting: list[int] = []

    def written(frame: bytes) -> None:
        for index in waiting:
            env.call_in(GAP, lambda index=index: answered(index, frame))  # type: ignore[misc]

    def answered(index: int, frame: bytes) -> None:
        if index in waiting:
            waiting.remove(index)
            ended.end(index, env.now - began, frame)

    def gave_up(index: int) -> None:
        if index in waiting:
            waiting.remove(index)
            ended.end(index, env.now - began, None)

    caller = LineCaller(plant_, plant_.field.line(plant_.spec.devices[0]), [0, 1], written)
    for index, (at_ns, unit, timeout_ns) in enumerate(case.asks):
        env.call_at(began + at_ns, caller.received, ASKS[unit], priority=LATE + 1)
        env.call_at(began + at_ns + REQUEST, waiting.append, index)
        env.call_at(began + at_ns + REQUEST + timeout_ns, gave_up, index, priority=LATE)
    plant_.run_to(began + 3 * S)
    return ended.ends


def attached(host: Host, case: Case) -> list[Any]:
    """The ports of ``attach`` at the end of such a line."""
    plant_, ended = open_plant(host, case), Ended(len(case.asks))

    class Outside:
        def open(
            self, place: PlaceSpec, link: LinkSpec, heard: Callable[[bytes], None], lost: Callable[[], None]
        ) -> Any:
            caller = LineCaller(plant_, plant_.field.line(plant_.spec.devices[0]), [0, 1], heard)

            class Far:
                def write(self, data: bytes) -> None:
                    caller.received(data)

                def hang_up(self) -> None:
                    """Nothing stands."""

            return Far()

    link = plant_.spec.links[0]
    place = PlaceSpec("rtu:///dev/x", path="/dev/x")
    line = AttachedLine(
        env=plant_.env,
        name="plant/1",
        outside=Outside(),
        place=place,
        spec=link,
        link=Link("bare", LinkModel(), RandomStreams(1)),
    )  # type: ignore[arg-type]
    ports = [AttachedSerialPort(plant_.env, plant_.trace, i, line) for i in range(2)]
    ask_through(plant_, case, ended, lambda unit: ports[unit - 1])
    return ended.ends


@pytest.mark.parametrize("case", CASES.values(), ids=list(CASES))
@pytest.mark.parametrize("arm", [simulated, served, attached])
def test_the_line_obeys_its_wires(host: Host, arm: Callable[[Host, Case], list[Any]], case: Case) -> None:
    assert arm(host, case) == list(case.ends)


def test_a5_the_next_device_waits_for_a_timeout_and_a_gap(host: Host) -> None:
    """The case as it was met: 9.17 ms of request, 500 ms, a gap of 4.01 ms, then 45.2 ms: the second device's
    bus stage is 558 ms, less the 1 ms by which it is due after the first: who is due at once asks first whose
    driver happens to be quicker."""
    from tests.plants import driver, run
    from twinloop.devices.catalogue.catalog import model

    one = replace(
        model("press-sensor"),
        name="one",
        points=(replace(model("press-sensor").points[4], address=0, type="u16"),),
    )
    spec = plant(
        host,
        count=2,
        serial_bd=9600,
        phase_ns=0,
        poll_ns=5 * S,
        duration_ns=5 * S,
        response_ns=20 * MS,
        drivers={i: driver(host, options=(("timeout", "500 ms"),), deadline_ns=4 * S) for i in (1, 2)},
    )
    spec = replace(spec, devices=tuple(replace(device, model=one, phase_ns=i * MS) for i, device in enumerate(spec.devices)),
                   timeline=(act(0, "device-fault", "presses/1", 5 * S, kind="slow", delay_ns=680 * MS),))  # fmt: skip
    world = run(spec, host)
    from twinloop.sim.accounts.rows import End

    assert world.ledger.count(End.MISSED, "timeout", [0]) == 1
    assert world.ledger.count(End.DELIVERED, None, [1]) == 1
    assert round(world.latencies.of().stages[2].percentile(500) / MS) == 557  # type: ignore[operator]
    assert world.field.lines["plant/1"].timeouts == 1


@pytest.mark.parametrize("size", [4097, 1 << 20])
def test_d6_what_is_sent_has_a_size_and_a_time(host: Host, size: int) -> None:
    """A driver that sends a megabyte is refused, and nobody waits; one that sends what takes longer than it
    said has a timeout."""
    from twinloop.sim.field.serial_port import Master, SerialPort

    plant_ = open_plant(host, CASES["in time"])
    line = plant_.field.line(plant_.spec.devices[0])
    master = Master(line)
    ports = [
        SerialPort(
            env=plant_.env,
            trace=plant_.trace,
            device=i,
            line=line,
            server=plant_.field.servers[i],
            response_ns=MS,
            master=master,
        )
        for i in range(2)
    ]  # type: ignore[arg-type]
    refused = ports[0].send(bytes(size), S)
    assert refused.value == (False, ("other", "more than 4096 bytes at once"))
    assert ports[0].transact(bytes(size), SILENCE, S, S).value[0] is False
    began = plant_.env.now
    slow = ports[0].send(bytes(4000), 100 * MS)
    plant_.run_to(began + 100 * MS)
    assert slow.value == (False, ("timeout", None)), "its characters take 4.6 s"
    answer = ports[1].transact(ASKS[2], SILENCE, 200 * MS, 10 * S)
    plant_.run_to(began + 10 * S)
    assert answer.value[0], "whoever waited has the line afterwards"
