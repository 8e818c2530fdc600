"""The wires by themselves: who hears what, what collides, how long they are taken; devices stand in for
servers."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from twinloop.sim.kernel.clock import MS, US, Environment, S
from twinloop.sim.kernel.random import RandomStreams
from twinloop.sim.network.link import Link, LinkModel
from twinloop.sim.network.serial_line import GAP_FIXED_NS, LINE_FULL, Answered, Line, LineTiming


class Balanced:
    due = open = ended = 0

    def require_balance(self) -> None:
        raise AssertionError


class Server:
    """Answers every frame of its unit with what it was told, and keeps the requests."""

    def __init__(self, unit: int, answer: bytes | None = b"answer") -> None:
        self.device = SimpleNamespace(unit_id=unit)
        self.faults: list[Any] = []
        self.slow_ns = 0
        self.untouched = True
        self.echoes = self.mannered = False
        self.answer = answer
        self.heard: list[tuple[bytes, int]] = []

    def spoke(self, now_ns: int) -> None:
        """Its answer is out."""

    def respond_rtu(self, frame: bytes, now_ns: int) -> bytes | None:
        self.heard.append((frame, now_ns))
        return self.answer


class Ear:
    """A listener that writes down what it hears, and when."""

    def __init__(self, line: Line) -> None:
        self.line = line
        self.log: list[tuple[Any, ...]] = []
        line.listeners.append(self)

    def came(self, frame: bytes, answered: Answered) -> None:
        self.log.append((self.line.env.now, frame, answered))

    def overheard(self, frame: bytes) -> None:
        self.log.append((self.line.env.now, frame))


TIMING = LineTiming(9600)


def line(timing: LineTiming = TIMING, **figures: Any) -> Line:
    return Line(
        Environment(),
        "plant/1",
        timing,
        Link("plant", LinkModel(**figures), RandomStreams(3)),
        RandomStreams(3),
    )


def run(wires: Line, until_ns: int) -> None:
    wires.env.call_at(until_ns, lambda: None)
    wires.env.run_to(until_ns, Balanced(), 10_000)


# ---- timing --------------------------------------------------------------------------------------
def test_times_of_characters_and_gaps() -> None:
    assert (TIMING.character_ns, TIMING.frame_ns(8), TIMING.gap_ns) == (1_145_833, 9_166_666, 4_010_416)
    assert LineTiming(19_200).gap_ns == 7 * 11 * S // (2 * 19_200)
    assert LineTiming(19_201).gap_ns == GAP_FIXED_NS == 1750 * US
    assert (
        LineTiming(9600, 11, 3 * MS).exchange_ns(8, 7, 5 * MS)
        == 9_166_666 + 8_020_833 + 2 * (4_010_416 + 3 * MS) + 5 * MS
    )
    assert TIMING.frame_ns(0) == 0


def test_a_fresh_line() -> None:
    wires = line()
    assert (
        wires.occupancy.busy_ns,
        wires.occupancy.busy_in_run_ns,
        wires.exchanges,
        wires.timeouts,
        wires.collisions,
        wires.longest_queue,
    ) == (0, None, 0, 0, 0, 0)
    assert (wires.occupancy.window_ns, wires.occupancy.full_windows, wires.devices, wires.listeners) == (
        S,
        0,
        {},
        [],
    )
    assert wires.occupancy.busy_until(5) == 0
    assert wires.up is wires.link.legs("plant/1")[0]
    assert wires.down is wires.link.legs("plant/1")[1]


# ---- devices -------------------------------------------------------------------------------------
def test_a_device_thinks_speaks_and_is_heard_by_all() -> None:
    wires = line()
    server: Any = Server(7)
    device = wires.add_device(server, 20 * MS, 4)
    assert (device.index, device.server, device.busy) == (4, server, False)
    ears = Ear(wires), Ear(wires)
    done: list[int] = []
    assert wires.ask(b"\x07req", lambda: done.append(wires.env.now)) is True
    assert device.busy is True
    assert wires.ask(b"\x07again", lambda: done.append(-1)) is False, "while it thinks it hears nothing"
    assert server.heard == [(b"\x07req", 0)]
    ends = 20 * MS + TIMING.frame_ns(6)
    run(wires, ends - 1)
    assert not ears[0].log
    run(wires, S)
    answered = Answered(device, b"\x07req", b"answer", True)
    assert ears[0].log == ears[1].log == [(ends, b"answer", answered)]
    assert done == [ends]
    assert device.busy is False
    assert wires.ask(b"\x07next", lambda: None) is True


def test_who_has_no_answer_stays_free() -> None:
    wires = line()
    server: Any = Server(7, None)
    device = wires.add_device(server, 0, 0)
    assert wires.ask(b"\x07req", lambda: None) is False
    assert device.busy is False
    assert wires.ask(b"\x08req", lambda: None) is False, "nobody has that unit"
    assert wires.ask(None, lambda: None) is False
    assert wires.ask(b"", lambda: None) is False
    assert len(server.heard) == 1


@pytest.mark.parametrize(
    ("faults", "untouched", "right"), [(0, True, True), (1, True, True), (1, False, False)]
)
def test_an_answer_is_right_unless_a_fault_spoils_it(faults: int, untouched: bool, right: bool) -> None:
    """Whether there are faults is no matter: one with a share of 1 % spoils one answer of a hundred."""
    wires = line()
    server: Any = Server(7)
    server.faults, server.untouched = [SimpleNamespace()] * faults, untouched
    server.slow_ns = 30 * MS
    wires.add_device(server, 20 * MS, 0)
    ear = Ear(wires)
    wires.ask(b"\x07req", lambda: None)
    run(wires, S)
    assert [(at, answered.right) for at, _, answered in ear.log] == [(50 * MS + TIMING.frame_ns(6), right)]


def test_a_broadcast_is_heard_by_all_and_awaited_by_nobody() -> None:
    wires = line()
    servers: list[Any] = [Server(1, None), Server(2, None), Server(2, None)]
    for index, server in enumerate(servers):
        wires.add_device(server, 0, index)
    done: list[int] = []
    assert wires.ask(b"\x00all", lambda: done.append(1)) is False
    assert [[frame for frame, _ in server.heard] for server in servers] == [[b"\x00all"]] * 3
    loud: Any = Server(3)
    wires.add_device(loud, MS, 3)
    assert wires.ask(b"\x00all", lambda: done.append(1)) is False
    run(wires, S)
    assert done == [1], "one that answers a broadcast all the same ends as any other"


def test_two_with_one_unit_both_hear_and_collide() -> None:
    wires = line()
    first, second = Server(5), Server(5, b"other!")
    devices = [wires.add_device(server, MS, index) for index, server in enumerate((first, second))]  # type: ignore[arg-type]
    assert devices[0] is not devices[1]
    assert wires.add_device(second, 9, 9) is devices[1], "twice is once"  # type: ignore[arg-type]
    assert wires.devices == {5: devices}
    ear = Ear(wires)
    assert wires.ask(b"\x05req", lambda: None) is True
    run(wires, S)
    assert wires.collisions == 1, "the second met the first"
    assert [len(frame) for _, frame, _ in ear.log] == [6, 6]
    assert all(frame not in (b"answer", b"other!") for _, frame, _ in ear.log)


# ---- the wires -----------------------------------------------------------------------------------
def test_what_is_on_the_wires_at_once_is_garbled() -> None:
    wires = line()
    first = wires.begin()
    assert first.garbled is False
    wires.end(first)
    second, third = wires.begin(), wires.begin()
    assert (first.garbled, second.garbled, third.garbled, wires.collisions) == (False, True, True, 1)
    wires.end(second)
    fourth = wires.begin()
    assert (fourth.garbled, wires.collisions) == (True, 2)
    wires.end(third)
    wires.end(fourth)
    assert wires.begin().garbled is False


def test_a_frame_arrives_damaged_or_not_at_all() -> None:
    burst = line().begin()
    assert line().carry(line().up, b"frame", burst) == b"frame"
    lossy = line(loss=1.0)
    assert lossy.carry(lossy.up, b"frame", burst) is None
    assert lossy.link.stats().offered == 1
    burst.garbled = True
    for wires in (line(), line(corrupt=1.0)):
        damaged = wires.carry(wires.up, bytes(40), burst if wires.link.model.corrupt == 0 else wires.begin())
        assert damaged is not None
        assert len(damaged) == 40
        assert sum(byte.bit_count() for byte in damaged) == 1, "one bit"
    checked = line(LineTiming(9600, parity=True))
    assert checked.carry(checked.up, b"frame", burst) is None, "no parity bit holds"
    slow = line(rate_bps=8000)
    slow.carry(slow.up, bytes(1000), slow.begin())
    assert slow.up._free_at_ns == S, "the whole frame is offered"


def test_any_bit_may_flip() -> None:
    wires = line()
    assert wires.noise is not line().noise
    assert [wires.noise.word() for _ in range(3)] == [
        word.word() for word in [RandomStreams(3).stream("line/plant/1/corrupt-bit")] for _ in range(3)
    ]
    places = [
        next((i, byte) for i, byte in enumerate(found) if byte)
        for _ in range(400)
        for found in [wires.damaged(bytes(3))]
        if found
    ]
    assert {i for i, _ in places} == {0, 1, 2}
    assert {byte for _, byte in places} == {1 << i for i in range(8)}
    full = wires.damaged(b"\xff\xff")
    assert full is not None
    assert sum(byte.bit_count() for byte in full) == 15


def test_a_request_is_overheard_by_the_others() -> None:
    wires = line()
    speaker, other, third = Ear(wires), Ear(wires), Ear(wires)
    wires.spoken(speaker, b"req")
    assert speaker.log == []
    assert other.log == third.log == [(0, b"req")]


def test_an_answer_that_is_lost_ends_all_the_same() -> None:
    wires = line(loss=1.0)
    server: Any = Server(7)
    device = wires.add_device(server, MS, 0)
    ear = Ear(wires)
    done: list[int] = []
    wires.ask(b"\x07req", lambda: done.append(1))
    run(wires, S)
    assert (ear.log, done, device.busy) == ([], [1], False)
    assert wires.begin().garbled is False, "and its burst is over"


# ---- who has it ----------------------------------------------------------------------------------
def test_busy_is_while_anybody_has_it() -> None:
    wires = line()
    run(wires, 100)
    wires.occupancy.taken()
    run(wires, 130)
    assert wires.occupancy.busy_until(130) == 30
    wires.occupancy.taken()
    run(wires, 150)
    wires.occupancy.given_back()
    assert wires.occupancy.busy_ns == 0
    run(wires, 160)
    wires.occupancy.given_back()
    assert (wires.occupancy.busy_ns, wires.occupancy.busy_until(500)) == (60, 60)
    run(wires, 200)
    wires.occupancy.taken()
    assert wires.occupancy.busy_until(210) == 70
    run(wires, 230)
    wires.occupancy.given_back()
    assert wires.occupancy.busy_ns == 90


def test_windows_that_were_full() -> None:
    """98 % of the time: of windows of 1000 ns those that were taken for 980 ns or more; the one that goes on
    isn't counted yet."""
    wires = line()
    wires.occupancy.window_ns = 1000
    assert LINE_FULL == 0.98
    for since, until in (
        (0, 980),
        (1000, 1979),
        (2000, 2500),
        (2510, 3500),
        (3500, 3990),
        (4000, 6600),
        (8000, 8979),
        (8979, 8980),
        (9100, 9101),
        (11_000, 11_001),
    ):
        wires.occupancy._fill(since, until)
    assert wires.occupancy.full_windows == 6, "0, 2, 3, 4, 5 and 8; not 1, 6, 7, 9"
    exact = line()
    exact.occupancy.window_ns = 1000
    exact.occupancy._fill(0, 979)
    exact.occupancy._fill(1000, 1001)
    assert exact.occupancy.full_windows == 0
    fresh = line()
    fresh.occupancy.window_ns = 1000
    fresh.occupancy._fill(5000, 5000)
    assert fresh.occupancy._window == 0
    fresh.occupancy._fill(1000, 2000)
    fresh.occupancy._fill(2000, 2001)
    assert fresh.occupancy.full_windows == 1
