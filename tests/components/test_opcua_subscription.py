"""The C driver with a subscription, against asyncua's server in simulated time: each change once, in order,
in batches of one instant."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.opcua_peer import Bus, Peer, Replay, ask, driver
from twinloop.components.host.host import Host
from twinloop.components.host.instance import Instance
from twinloop.devices.model.overlay import ValueFault
from twinloop.devices.model.statuses import STATUS_CODES
from twinloop.sim.kernel.wallclock import EPOCH_NS

MS, S = 1_000_000, 1_000_000_000
NOTHING = (False, ("bus", ("timeout", None)))


class LiveBus(Bus):
    """Waiting lets the server's time pass; the driver's clock is the server's."""

    def __init__(self, peer: Peer) -> None:
        super().__init__(peer.talk)
        self.peer = peer

    def answer(self, request: Any) -> Any:
        result = super().answer(request)
        left_ns = request.arguments[-1] if request.name in ("fieldbus.receive", "fieldbus.transact") else 0
        while result == (False, ("timeout", None)) and left_ns > 0:
            self.peer.heard.clear()
            with self.peer.stacks.inside():
                self.peer.stacks.loop.run_until_complete(asyncio.sleep(min(left_ns, 20 * MS) / S))
            left_ns -= 20 * MS
            self.unread += b"".join(self.peer.heard)
            size = int.from_bytes(self.unread[4:8], "little") if len(self.unread) >= 8 else 1 << 40
            if size <= len(self.unread):
                result, self.unread = (True, self.unread[:size]), self.unread[size:]
        return result


def subscribed(host: Host, peer: Peer, **options: str) -> tuple[Instance, LiveBus]:
    given = {"mode": "subscribe", "publishing": "1 s", "sampling": "500 ms", "wait": "5 s", **options}
    clock = {"clock.now": lambda: EPOCH_NS + peer.env.now, "clock.monotonic": lambda: 1000 * S + peer.env.now}
    return driver(host, clock=clock, **given), LiveBus(peer)


def seen(instance: Instance, bus: LiveBus, until_ns: int) -> list[Any]:
    """Every batch that comes until then."""
    batches = []
    while bus.peer.env.now < until_ns:
        result = ask(instance, bus)
        if result.ok:
            batches.append(result.value.readings)
        else:
            assert result == NOTHING
    return batches


def test_first_all_points_then_what_changes_at_each_step_once_and_in_order(host: Host) -> None:
    peer = Peer()
    instance, bus = subscribed(host, peer)
    batches = seen(instance, bus, 20 * S)
    instants = [batch[0].measured for batch in batches]
    assert instants == sorted(set(instants)), "in order, none twice"
    assert [r.point for r in batches[0]] == list(range(10))
    assert len(batches) >= 36, "the device steps every 500 ms"
    shown = {r.point: r.value for r in batches[0]}
    for batch in batches[1:]:
        at_ns = batch[0].measured - EPOCH_NS
        assert {r.measured for r in batch} == {batch[0].measured}
        assert len({r.point for r in batch}) == len(batch)
        for reading in batch:
            true = peer.server.image.read(reading.point, at_ns)
            assert reading.value == pytest.approx(true.value, rel=1e-6)
            assert reading.value != shown[reading.point], "news only"
            shown[reading.point] = reading.value
    assert 9 not in [r.point for batch in batches[1:] for r in batch], (
        "a set value that nobody changes is told once"
    )
    instance.close()
    peer.close()


def test_writes_go_between_and_lose_no_notification(host: Host) -> None:
    peer = Peer()
    instance, bus = subscribed(host, peer)
    count = len(seen(instance, bus, 3 * S))
    assert count
    for value in (1.0, 2.0, 3.0):
        assert ask(instance, bus, "write-register", (9, ("real", value))).ok
        batches = seen(instance, bus, peer.env.now + 2 * S)
        assert [r.value for batch in batches for r in batch if r.point == 9] == [value]
        assert len({batch[0].measured for batch in batches}) >= 3
    assert bus.resets == 0
    instance.close()
    peer.close()


def test_a_killed_session_is_subscribed_anew(host: Host) -> None:
    peer = Peer()
    instance, bus = subscribed(host, peer)
    seen(instance, bus, 3 * S)
    peer.server.kill_sessions()
    batches = []
    for _ in range(40):
        result = ask(instance, bus)
        if result.ok:
            batches.append(result.value.readings)
    assert bus.resets == 1
    assert any(len(batch) == 10 for batch in batches), "the first of the new subscription has all points"
    instance.close()
    peer.close()


def test_a_subscription_that_falls_silent_is_given_up(host: Host) -> None:
    peer = Peer()
    instance, bus = subscribed(host, peer, timeout="1 s")
    seen(instance, bus, 2 * S)
    talk, bus.talk = bus.talk, lambda data: None
    peer.heard = type("Deaf", (list,), {"append": lambda self, data: None})()
    results = [ask(instance, bus) for _ in range(4)]
    assert ("bus", ("disconnected", None)) in [
        result.value for result in results if not result.ok
    ] or bus.resets > 0
    bus.talk = talk
    instance.close()
    peer.close()


def test_status_changes_are_news_and_a_missing_node_is_refused(host: Host) -> None:
    peer = Peer()
    instance, bus = subscribed(host, peer)
    seen(instance, bus, 2 * S)
    over = peer.device.lie(ValueFault("bad-status", 9, status=STATUS_CODES["BadOutOfService"]), peer.env.now)
    batches = seen(instance, bus, peer.env.now + 3 * S)
    assert [r.status for batch in batches for r in batch if r.point == 9] == [STATUS_CODES["BadOutOfService"]]
    over()
    batches = seen(instance, bus, peer.env.now + 3 * S)
    assert [(r.status, r.value) for batch in batches for r in batch if r.point == 9] == [(0, 6.0)]
    instance.close()
    from twinloop.components.contract.contract import PointConfig

    clock = {"clock.now": lambda: EPOCH_NS + peer.env.now, "clock.monotonic": lambda: peer.env.now}
    lost = driver(
        host,
        points=[PointConfig(0, "p", "ns=2;s=nowhere", "", 1.0, 0.0, None, None)],
        clock=clock,
        mode="subscribe",
    )
    assert ask(lost, LiveBus(peer)) == (False, ("rejected", STATUS_CODES["BadNodeIdUnknown"]))
    lost.close()
    peer.close()


def test_a_queue_keeps_the_last_values(host: Host) -> None:
    """Publishing every 5 s, 500 ms a step: of ten values of an item three are kept, the youngest."""
    peer = Peer()
    instance, bus = subscribed(host, peer, publishing="5 s", queue="3", wait="20 s")
    batches = seen(instance, bus, 20 * S)
    steps = [batch[0].measured // (500 * MS) for batch in batches if any(r.point == 0 for r in batch)]
    assert 8 <= len(steps) <= 16
    instance.close()
    peer.close()


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("mode", "poll"),
        ("publishing", "0 s"),
        ("sampling", "1 us"),
        ("queue", "0"),
        ("queue", "1001"),
        ("wait", "1 ns"),
    ],
)
def test_options_out_of_range_are_refused_by_name(host: Host, option: str, value: str) -> None:
    instance = driver(host, **{option: value})
    assert instance.result() == (False, ("bad-option", option))
    instance.close()


def test_spoilt_notifications_are_typed_errors_or_right(host: Host) -> None:
    import random

    chance = random.Random(21)
    peer = Peer()
    instance, bus = subscribed(host, peer)
    seen(instance, bus, 2 * S)
    errors: dict[str, int] = {}
    append = peer.heard.append

    class Spoiling(list):  # type: ignore[type-arg]
        def append(self, data: bytes) -> None:
            if Replay.kind(data) == b"MSG\x01\x00\x3d\x03" and chance.random() < 0.5:  # PublishResponse
                spoilt = bytearray(data)
                for _ in range(chance.randint(1, 3)):
                    at = chance.randrange(8, len(spoilt))
                    spoilt[at] = chance.randrange(256)
                data = bytes(spoilt)
            super().append(data)

    peer.heard = Spoiling()
    peer.connection._answer = peer.heard.append  # type: ignore[union-attr]
    for _ in range(300):
        result = ask(instance, bus)
        kind = "ok" if result.ok else result.value[0]
        errors[kind] = errors.get(kind, 0) + 1
        assert kind in ("ok", "bus", "malformed", "rejected")
        if peer.connection is not None:
            peer.connection._answer = peer.heard.append
    assert errors["ok"] > 50
    assert errors.get("malformed", 0) > 3
    assert append is not None
    instance.close()
    peer.close()
