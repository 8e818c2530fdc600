"""mqtt-driver and whole numbers: those beyond 2^53 keep their digits; what is written becomes JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.components.test_mqtt_driver import POINTS, TOPIC, Bus, ask, driver, publish
from twinloop.components.contract.contract import PointConfig
from twinloop.components.host.host import Host
from twinloop.components.host.instance import Instance
from twinloop.devices.mqtt.broker import Broker
from twinloop.devices.mqtt.packet import Connect, PacketReader, Publish, Subscribe, encode


def opened(host: Host, points: list[PointConfig] | None = None) -> tuple[Instance, Bus, list[bytes]]:
    """A driver that is in session, its bus, and what is published for the device to be set."""
    bus, seen = Bus(broker=Broker()), []
    instance = driver(host, bus, points)
    ask(instance, bus)
    assert bus.broker is not None
    watcher = bus.broker.connection(
        lambda data, tag, packet: seen.extend(
            p.payload for p in PacketReader().feed(data) if isinstance(p, Publish)
        ),
        lambda: None,
        0,
    )
    watcher.received(encode(Connect("w")) + encode(Subscribe(1, ((f"{TOPIC}/set", 0),))), 0)
    return instance, bus, seen


def whole(value: int) -> Any:
    return "integer", ("signed" if value < 0 else "unsigned", value)


@pytest.mark.parametrize(
    "value", [2**53 + 1, 2**53 + 2, -(2**53) - 1, 2**63, 2**64 - 1, -(2**63), 2**63 - 1, 10_000_000_000_000_000_000]
)  # fmt: skip
def test_a_whole_number_beyond_2_53_keeps_its_digits(host: Host, value: int) -> None:
    instance, bus, _ = opened(host)
    assert bus.broker is not None
    publish(bus.broker, b'{"ts": 5000, "values": {"a": 1, "b": %d, "c": "t"}}' % value)
    batch = ask(instance, bus).value
    case = "signed" if value < 0 else "unsigned"
    assert [tuple(i) for i in batch.integers] == [(1, (case, value), 0, 5_000_000_000)]
    assert [(r.point, r.value) for r in batch.readings] == [(0, 1.0)]
    assert [(t.point, t.value) for t in batch.texts] == [(2, "t")]
    instance.close()


@pytest.mark.parametrize(
    "number",
    ["9007199254740992", "-9007199254740992", "0", "-0", "18446744073709551616", "-9223372036854775809", "9007199254740993.0",
     "9007199254740993e0", "1e19", "123456789012345678901234567890", "1.5"],
)  # fmt: skip
def test_every_other_number_is_a_double(host: Host, number: str) -> None:
    instance, bus, _ = opened(host)
    assert bus.broker is not None
    publish(bus.broker, b'{"values": {"a": %s}}' % number.encode())
    batch = ask(instance, bus).value
    assert not batch.integers
    assert [(r.point, r.value, r.status) for r in batch.readings] == [(0, float(number), 0)]
    instance.close()


def test_a_scaled_member_is_a_double(host: Host) -> None:
    points = [
        PointConfig(0, "a", "a", "", 0.5, 0.0, None, None),
        PointConfig(1, "b", "a", "", 1.0, 1.0, None, None),
    ]
    instance, bus, _ = opened(host, points)
    assert bus.broker is not None
    publish(bus.broker, b'{"a": 9007199254740994}')
    batch = ask(instance, bus).value
    assert not batch.integers
    assert [r.value for r in batch.readings] == [2.0**52 + 1, 2.0**53 + 4]
    instance.close()


@pytest.mark.parametrize("value", [0, 5, -5, 2**53 + 1, 2**63, 2**64 - 1, -(2**63), -1])
def test_a_whole_number_is_written_with_all_its_digits(host: Host, value: int) -> None:
    instance, bus, seen = opened(host)
    for case in ["signed"] * (value < 2**63) + ["unsigned"] * (value >= 0):
        seen.clear()
        assert ask(instance, bus, "write-register", (1, ("integer", (case, value)))).ok
        assert seen == [b'{"b":%d}' % value]
    instance.close()


def test_a_whole_number_of_a_scaled_point_is_written_where_a_double_holds_it(host: Host) -> None:
    instance, bus, seen = opened(host, [PointConfig(1, "b", "values.b", "", 0.5, 1.0, None, None)])
    assert ask(instance, bus, "write-register", (1, whole(5))).ok
    assert seen == [b'{"b":8}']
    assert ask(instance, bus, "write-register", (1, whole(2**53 + 1))) == (
        False,
        ("other", "a whole number that its scale would round"),
    )
    instance.close()


@pytest.mark.parametrize("text", ["", "on", 'a "b"\\ \n\t\x00\x1f\x7f é 🙂', "x" * 16_384])
def test_a_text_is_written_as_json(host: Host, text: str) -> None:
    instance, bus, seen = opened(host)
    assert ask(instance, bus, "write-register", (1, ("text", text))).ok
    assert [json.loads(payload) for payload in seen] == [{"b": text}]
    assert bus.resets == 0
    instance.close()


def test_a_text_that_is_too_long_is_refused(host: Host) -> None:
    instance, bus, seen = opened(host, POINTS)
    too_long = ask(instance, bus, "write-register", (1, ("text", "x" * 16_385)))
    assert too_long == (False, ("other", "a text that is too long"))
    assert ask(instance, bus, "write-register", (9, ("text", "x"))) == (False, ("no-such-point", 9))
    assert not seen
    instance.close()
