"""The life of an OPC UA session at the driver: renewed, refused, left in order, given up in time; memory that
stays flat."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

import pytest

from tests.opcua_peer import DEVICE, FUEL, OPN_SEQUENCE_AT, Bus, Peer, Replay, ask, driver
from twinloop.components.contract.contract import PointConfig, Settings
from twinloop.components.host.host import Host
from twinloop.components.host.instance import Instance
from twinloop.devices.model.statuses import STATUS_CODES
from twinloop.devices.opcua.device import endpoint

S = 1_000_000_000
READ, CLOSE = b"MSG\x01\x00\x77\x02", b"MSG\x01\x00\xd9\x01"


@pytest.fixture(scope="module")
def replay(host: Host) -> Iterator[Replay]:
    peer = Peer()
    yield Replay(peer, host)
    peer.close()


class Clock:
    """A driver's clock that tests move; waiting on a bus moves it, too."""

    def __init__(self) -> None:
        self.now_ns = 100 * S


class TimedBus(Bus):
    """A timeout takes its time."""

    def __init__(self, talk: Any, clock: Clock) -> None:
        super().__init__(talk)
        self.clock = clock

    def answer(self, request: Any) -> Any:
        result = super().answer(request)
        if result == (False, ("timeout", None)):
            self.clock.now_ns += request.arguments[-1]
        return result


def timed(host: Host, clock: Clock, **options: str) -> Instance:
    from tests.plants import WASM
    from twinloop.devices.catalogue.catalog import model
    from twinloop.devices.model.nodes import node_id

    points = [
        PointConfig(i, p.name, node_id(p), p.unit, 1.0, 0.0, p.low, p.high)
        for i, p in enumerate(model("press-sensor").points)
    ]
    handlers = {
        "clock.now": lambda: clock.now_ns,
        "clock.monotonic": lambda: clock.now_ns,
        "log.log": lambda level, text: None,
    }
    instance = host.instantiate(
        host.link(host.load(WASM / "opcua-driver.wasm", "driver"), ["fieldbus", "clock", "log"]),
        handlers,
        FUEL,
    )
    given = {"protocol": "opcua", "endpoint": endpoint(DEVICE), "timeout": "1 s", **options}
    instance.begin("configure", (Settings(DEVICE, points, list(given.items())),), FUEL)
    instance.advance()
    return instance


def counted(replay: Replay, seen: list[bytes]) -> Any:
    def talk(request: bytes) -> bytes | None:
        seen.append(Replay.kind(request))
        return replay.talk(request)

    return talk


def test_a_token_is_renewed_at_three_quarters_of_its_life_and_reads_go_on(host: Host, replay: Replay) -> None:
    clock, seen = Clock(), list[bytes]()
    instance, bus = timed(host, clock), TimedBus(counted(replay, seen), clock)
    assert ask(instance, bus).ok
    lifetime_ms = struct.unpack_from(
        "<I", replay.answers[b"OPN"], OPN_SEQUENCE_AT + 8 + 4 + 8 + 4 + 4 + 1 + 4 + 3 + 4 + 4 + 4 + 8
    )[0]
    assert lifetime_ms == 3_600_000
    seen.clear()
    clock.now_ns += lifetime_ms * 750_000 - 1
    assert ask(instance, bus).value == replay.values
    assert seen == [READ]
    clock.now_ns += 1
    assert ask(instance, bus).value == replay.values
    assert seen == [READ, b"OPN", READ]
    assert bus.resets == 0
    instance.close()


def test_a_renewal_that_is_refused_makes_a_new_channel_within_the_poll(host: Host, replay: Replay) -> None:
    clock, seen = Clock(), list[bytes]()
    instance, bus = timed(host, clock), TimedBus(counted(replay, seen), clock)
    assert ask(instance, bus).ok
    clock.now_ns += 3000 * S
    renewals = [0]

    def refuse(answer: bytes) -> bytes:
        if answer[:3] != b"OPN" or renewals[0]:
            return answer
        renewals[0] = 1
        body = OPN_SEQUENCE_AT + 8
        fault = (
            b"\x01\x00\x8d\x01"
            + answer[body + 4 : body + 16]
            + struct.pack("<IBi", 0x80100000, 0, -1)
            + b"\0\0\0"
        )
        whole = answer[:body] + fault
        return whole[:4] + struct.pack("<I", len(whole)) + whole[8:]

    replay.spoil = refuse
    seen.clear()
    assert ask(instance, bus).value == replay.values
    replay.spoil = lambda answer: answer
    assert renewals == [1]
    assert bus.resets == 1
    assert seen[:4] == [b"OPN", CLOSE, b"HEL", b"OPN"]
    instance.close()


def test_who_gives_a_session_up_says_so(host: Host) -> None:
    """Sessions that nobody ends fill a server until they time out."""
    peer = Peer()
    instance = driver(host)
    spoilt = [False]

    def talk(data: bytes) -> bytes:
        answer = peer.talk(data)
        return answer[:-1] + b"\xff" if spoilt[0] and Replay.kind(data) == READ else answer

    bus = Bus(talk)
    for round_ in range(6):
        spoilt[0] = bool(round_ % 2)
        assert ask(instance, bus).ok is not spoilt[0]
    assert len(peer.server._server.iserver._external_sessions) == 0, "the last one was given up, too"
    assert bus.resets == 3
    instance.close()
    peer.close()


def test_configure_again_leaves_the_bus_alone_and_the_next_poll_begins_anew(
    host: Host, replay: Replay
) -> None:
    clock, seen = Clock(), list[bytes]()
    instance, bus = timed(host, clock), TimedBus(counted(replay, seen), clock)
    assert ask(instance, bus).ok
    seen.clear()
    points = [PointConfig(3, "p", "ns=2;s=pressure", "", 1.0, 0.0, None, None)]
    given = {"protocol": "opcua", "endpoint": endpoint(DEVICE), "timeout": "1 s"}
    instance.begin("configure", (Settings(DEVICE, points, list(given.items())),), FUEL)
    instance.advance()
    assert instance.request is None
    assert instance.result().ok
    assert seen == []
    ask(instance, bus)
    assert seen[:3] == [CLOSE, b"HEL", b"OPN"]
    instance.close()


def test_an_answer_in_many_chunks_has_one_timeout(host: Host, replay: Replay) -> None:
    clock = Clock()
    instance, bus = timed(host, clock), TimedBus(replay.talk, clock)
    assert ask(instance, bus).ok

    def dripping(answer: bytes) -> bytes:
        return b"MSGC" + answer[4:] if answer[24:28] == b"\x01\x00\x7a\x02" else answer

    replay.spoil = dripping
    before = clock.now_ns
    assert ask(instance, bus) == (False, ("bus", ("timeout", None)))
    replay.spoil = lambda answer: answer
    assert clock.now_ns - before == S
    instance.close()


def test_late_answers_of_any_kind_are_put_aside(host: Host, replay: Replay) -> None:
    """One of nine chunks; one with the token before; one that comes while a renewal is awaited."""
    clock = Clock()
    instance, bus = timed(host, clock), TimedBus(replay.talk, clock)
    assert ask(instance, bus).ok
    late: list[bytes] = []
    replay.spoil = lambda answer: late.append(answer) if answer[24:28] == b"\x01\x00\x7a\x02" else answer  # type: ignore[func-returns-value]
    assert ask(instance, bus) == (False, ("bus", ("timeout", None)))
    clock.now_ns += 3000 * S

    def renumbered(answer: bytes, sequence: int) -> bytes:
        at = OPN_SEQUENCE_AT if answer[:3] == b"OPN" else 16
        return answer[:at] + struct.pack("<I", sequence) + answer[at + 4 :]

    first = struct.unpack_from("<I", late[0], 16)[0]
    chunks = [
        renumbered(late[0][:3] + kind + late[0][4:], first + i) for i, kind in enumerate([b"C"] * 8 + [b"F"])
    ]
    replay.sequence = first + 8

    def with_late(answer: bytes) -> bytes:
        if answer[:3] == b"OPN":
            replay.sequence = first + 9
            return b"".join(chunks) + renumbered(answer, first + 9)
        return answer

    replay.spoil = with_late
    assert ask(instance, bus).value == replay.values
    replay.spoil = lambda answer: answer
    assert bus.resets == 0
    instance.close()


def test_a_fault_without_a_handle_keeps_its_code(host: Host, replay: Replay) -> None:
    instance, bus = driver(host), Bus(replay.talk)

    def fault(answer: bytes) -> bytes:
        if answer[24:28] != b"\x01\x00\x7a\x02":
            return answer
        body = (
            b"\x01\x00\x8d\x01"
            + answer[28:36]
            + bytes(4)
            + struct.pack("<IBi", STATUS_CODES["BadInternalError"], 0, -1)
            + b"\0\0\0"
        )
        return answer[:4] + struct.pack("<I", 24 + len(body)) + answer[8:24] + body

    replay.spoil = fault
    assert ask(instance, bus) == (False, ("rejected", STATUS_CODES["BadInternalError"]))
    replay.spoil = lambda answer: answer
    assert ask(instance, bus).ok
    assert bus.resets == 0
    instance.close()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_what_is_no_number_is_not_written(host: Host, replay: Replay, value: float) -> None:
    instance, bus = driver(host), Bus(replay.talk)
    assert ask(instance, bus).ok
    assert ask(instance, bus, "write-register", (9, ("real", value))) == (
        False,
        ("other", "value does not fit the node's type"),
    )
    instance.close()


def test_memory_stays_flat_over_polls_failures_and_reconnects(host: Host, replay: Replay) -> None:
    instance, bus = driver(host, block="4"), Bus(replay.talk)
    chance = 0

    def some(answer: bytes) -> bytes | None:
        nonlocal chance
        chance += 1
        if answer[24:28] != b"\x01\x00\x7a\x02":
            return answer
        return answer[:-3] if chance % 7 == 0 else answer[:-1] + b"\xff" if chance % 11 == 0 else answer

    def polls(count: int) -> None:
        for _ in range(count):
            ask(instance, bus)
            ask(instance, bus, "get-status")

    replay.spoil = some
    polls(300)
    before = instance.memory_bytes
    polls(3000)
    replay.spoil = lambda answer: answer
    assert instance.memory_bytes == before
    instance.close()
