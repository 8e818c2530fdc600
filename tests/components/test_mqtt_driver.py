"""The C driver for MQTT against the broker model, and against packets that are spoilt: right readings, typed
errors, never a wrong reading."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable
from typing import Any

import pytest

from tests.plants import WASM
from twinloop.components.contract.contract import PointConfig, Settings
from twinloop.components.host.host import Host
from twinloop.components.host.instance import Instance
from twinloop.components.host.outcome import Fault
from twinloop.devices.mqtt.broker import Broker
from twinloop.devices.mqtt.fields import ProtocolError
from twinloop.devices.mqtt.packet import (
    Connack,
    Connect,
    Packet,
    PacketReader,
    Pingreq,
    Pingresp,
    Puback,
    Publish,
    Suback,
    Subscribe,
    encode,
)

FUEL = 50_000_000
S = 1_000_000_000
TOPIC = "plant/presses/1"
POINTS = [
    PointConfig(i, name, f"values.{name}", "", 1.0, 0.0, None, None) for i, name in enumerate(("a", "b", "c"))
]


class Bus:
    """`fieldbus` over a broker or a function (bytes -> bytes), on a clock that only waiting moves."""

    def __init__(self, talk: Callable[[bytes], bytes] | None = None, broker: Broker | None = None) -> None:
        self.now_ns, self.unread, self.resets = 1000 * S, b"", 0
        self.sent: list[Packet] = []
        self.broker, self._talk = broker, talk
        self._connection: Any = None
        self._reader = PacketReader()
        self.nudged = False

    def _say(self, data: bytes) -> None:
        self.sent += self._reader.feed(data)
        if self._talk is not None:
            self.unread += self._talk(data)
            return
        assert self.broker is not None
        if self._connection is None or self._connection.closed:
            self._connection = self.broker.connection(
                lambda got, tag, packet: self.hear(got), lambda: None, self.now_ns
            )
        self._connection.received(data, self.now_ns)

    def hear(self, data: bytes) -> None:
        self.unread += data

    def answer(self, request: Any) -> Any:
        name, arguments = request
        if name == "fieldbus.reset":
            self.unread, self.resets, self._reader = b"", self.resets + 1, PacketReader()
            if self._connection is not None:
                self._connection.lost(self.now_ns)
            return None
        if name == "fieldbus.send":
            self._say(arguments[0])
            return True, None
        framing, timeout_ns = arguments
        if self.unread:
            data, self.unread = self.unread[: framing[1]], self.unread[framing[1] :]
            return True, data
        self.now_ns += 1000 if self.nudged else timeout_ns
        return False, ("timeout", None)


def driver(host: Host, bus: Bus, points: list[PointConfig] | None = None, **options: str) -> Instance:
    clock = {
        "clock.now": lambda: bus.now_ns,
        "clock.monotonic": lambda: bus.now_ns,
        "log.log": lambda level, text: None,
    }
    instance = host.instantiate(
        host.link(host.load(WASM / "mqtt-driver.wasm", "driver"), ["fieldbus", "clock", "log"]), clock, FUEL
    )
    given = {"protocol": "mqtt", "topic": TOPIC, "client": "gw:presses/1", **options}
    instance.begin(
        "configure", (Settings("presses/1", POINTS if points is None else points, list(given.items())),), FUEL
    )
    instance.advance()
    return instance


def ask(instance: Instance, bus: Bus, export: str = "read-sensor", arguments: tuple[Any, ...] = ()) -> Any:
    instance.begin(export, arguments, FUEL)
    instance.advance()
    while instance.request is not None:
        instance.answer(bus.answer(instance.request))
        instance.advance()
    return instance.fault if instance.fault is not None else instance.result()


def publish(broker: Broker, payload: bytes, qos: int = 1, topic: str = TOPIC, retain: bool = False) -> None:
    broker.publish(Publish(topic, payload, qos, retain, packet=qos), None)


def document(**values: Any) -> bytes:
    return json.dumps({"ts": 5000, "values": values}).encode()


NOTHING = (False, ("bus", ("timeout", None)))


def test_a_message_is_a_batch_and_is_acknowledged_when_the_next_is_asked_for(host: Host) -> None:
    bus = Bus(broker=Broker())
    instance = driver(host, bus)
    assert ask(instance, bus) == NOTHING, "connected and subscribed; nothing was said"
    assert bus.broker is not None
    assert bus.broker.sessions["gw:presses/1"].filters == {TOPIC: 1, f"{TOPIC}/status": 1}
    publish(bus.broker, document(a=1.5, b=-2, c=3e3))
    publish(bus.broker, document(a=2, b=True, c=None))
    batch = ask(instance, bus).value
    assert batch.readings == [(0, 1.5, 0, 5 * S), (1, -2.0, 0, 5 * S), (2, 3000.0, 0, 5 * S)]
    assert len(bus.broker.sessions["gw:presses/1"].inflight) == 2
    second = ask(instance, bus).value
    assert [(r.value, r.status) for r in second.readings] == [(2.0, 0), (1.0, 0), (0.0, 0x809B0000)]
    assert len(bus.broker.sessions["gw:presses/1"].inflight) == 1
    assert ask(instance, bus) == NOTHING
    assert len(bus.broker.sessions["gw:presses/1"].inflight) == 0
    instance.close()


def test_what_was_said_while_it_was_away_comes_first_and_a_second_copy_is_no_batch(host: Host) -> None:
    bus = Bus(broker=Broker())
    instance = driver(host, bus)
    ask(instance, bus)
    assert bus.broker is not None
    publish(bus.broker, document(a=1))
    assert ask(instance, bus).ok
    bus._connection.lost(bus.now_ns)  # before it was acknowledged
    publish(bus.broker, document(a=2))
    bus.unread = b""
    bus.nudged = True
    result = ask(instance, bus)
    for _ in range(40):  # the pings go unanswered until it finds out
        if result.ok:
            break
        bus.now_ns += 2 * S
        result = ask(instance, bus)
    assert [r.value for r in result.value.readings] == [2.0]
    assert bus.broker.sessions["gw:presses/1"].connection is not None
    instance.close()


def test_retained_and_foreign_messages_are_no_batch_and_a_last_will_is_a_status(host: Host) -> None:
    bus = Bus(broker=Broker())
    assert bus.broker is not None
    publish(bus.broker, document(a=9), retain=True)
    publish(bus.broker, b"offline", topic=f"{TOPIC}/status", retain=True)
    instance = driver(host, bus)
    assert ask(instance, bus) == NOTHING
    assert ask(instance, bus, "get-status").detail == "the device is offline (last will)"
    assert ask(instance, bus, "get-status").health == "degraded"
    publish(bus.broker, document(a=1))
    assert ask(instance, bus).ok
    assert ask(instance, bus, "get-status").health == "ok"
    instance.close()


def test_points_that_the_payload_lacks_are_absent_texts_travel_beside_and_paths_go_deep(host: Host) -> None:
    points = [
        PointConfig(1, "x", "values.deep.x", "", 2.0, 1.0, None, None),
        PointConfig(2, "mode", "mode", "", 1.0, 0.0, None, None),
        PointConfig(3, "gone", "values.gone", "", 1.0, 0.0, None, None),
        PointConfig(4, "list", "values.list", "", 1.0, 0.0, None, None),
    ]
    bus = Bus(broker=Broker())
    instance = driver(host, bus, points, time="at")
    ask(instance, bus)
    assert bus.broker is not None
    publish(
        bus.broker,
        b'{"at": 7000, "mode":"au\\u00E9to \\ud83d\\ude00 \\ud800 \\n", "values":{"list":[1,{"x":2}],"deep":{"x":3},"x":9}}',
    )
    batch = ask(instance, bus).value
    assert batch.readings == [(1, 7.0, 0, 7 * S), (4, 0.0, 0x80740000, 7 * S)]
    assert [(t.point, t.value) for t in batch.texts] == [(2, "au\u00e9to \U0001f600 \ufffd \n")]
    instance.close()


def test_keep_alive_and_a_broker_that_stays_silent(host: Host) -> None:
    bus = Bus(broker=Broker())
    instance = driver(host, bus, **{"keep-alive": "30 s", "wait": "100 s"})
    ask(instance, bus)
    pings = [packet for packet in bus.sent if isinstance(packet, Pingreq)]
    assert 5 <= len(pings) <= 7
    assert bus.broker is not None
    bus.broker.tick(bus.now_ns)
    assert len(bus.broker.connections) == 1
    mute = Bus(
        lambda data: (
            encode(Connack(False))
            if data[0] == 0x10
            else encode(Suback(1, (1, 1)))
            if data[0] == 0x82
            else b""
        )
    )
    deaf = driver(host, mute, **{"keep-alive": "30 s", "wait": "100 s", "timeout": "3 s"})
    assert ask(deaf, mute) == (False, ("bus", ("disconnected", None)))
    assert mute.resets == 1
    assert mute.now_ns == 1000 * S + 18 * S + 1, "half the keep alive, the timeout, and a last look"
    instance.close()
    deaf.close()


def test_a_nudge_ends_the_wait(host: Host) -> None:
    bus = Bus(broker=Broker())
    instance = driver(host, bus)
    ask(instance, bus)
    before, bus.nudged = bus.now_ns, True
    assert ask(instance, bus) == NOTHING
    assert bus.now_ns - before < S
    instance.close()


def test_writes_are_published_and_wait_for_the_broker(host: Host) -> None:
    bus = Bus(broker=Broker())
    instance = driver(host, bus)
    assert bus.broker is not None
    seen: list[bytes] = []
    watcher = bus.broker.connection(
        lambda data, tag, packet: seen.extend(
            p.payload for p in PacketReader().feed(data) if isinstance(p, Publish)
        ),
        lambda: None,
        0,
    )
    watcher.received(encode(Connect("w")) + encode(Subscribe(1, ((f"{TOPIC}/set", 0),))), 0)
    for value in (7.5, -3.0, 0.1, 123456789.0, 1e-7, 0.0):
        assert ask(instance, bus, "write-register", (1, ("real", value))).ok
    assert [json.loads(payload) for payload in seen] == [
        {"b": pytest.approx(v, abs=1e-9)} for v in (7.5, -3.0, 0.1, 123456789.0, 1e-7, 0.0)
    ]
    assert ask(instance, bus, "write-register", (9, ("real", 1.0))) == (False, ("no-such-point", 9))
    assert ask(instance, bus, "write-register", (1, ("real", float("nan")))) == (
        False,
        ("other", "a number that JSON can't say"),
    )
    seen.clear()
    for value in (1e300, -1e-10, 1.23456789e-7, 5e-324, 123456.789012345, -0.0):
        assert ask(instance, bus, "write-register", (1, ("real", value))).ok, value
    assert [json.loads(payload)["b"] for payload in seen] == [
        pytest.approx(v, rel=1e-15) for v in (1e300, -1e-10, 1.23456789e-7, 5e-324, 123456.789012345, 0.0)
    ]
    publish(bus.broker, document(a=1))
    assert ask(instance, bus, "write-register", (1, ("real", 1.0))).ok, "a message that came first waits"
    assert ask(instance, bus).value.readings[0].value == 1.0
    instance.close()


@pytest.mark.parametrize(
    ("option", "value"),
    [("topic", ""), ("topic", "a/#"), ("topic", "a/+/b"), ("client", ""), ("client", "x" * 129), ("qos", "2"), ("keep-alive", "0 s"), ("wait", "0 s"),
     ("keep-alive", "70000 s"), ("timeout", "5"), ("protocol", "opcua"), ("time", "")],
)  # fmt: skip
def test_options_out_of_range_are_refused_by_name(host: Host, option: str, value: str) -> None:
    instance = driver(host, Bus(broker=Broker()), **{option: value})
    assert instance.result() == (False, ("bad-option", option))
    instance.close()


BAD_JSON = [
    b"",
    b"{",
    b"}",
    b"[1,]",
    b'{"a":}',
    b'{"a":1,}',
    b'{"a":01}',
    b'{"a":1.}',
    b'{"a":.5}',
    b'{"a":1e}',
    b'{"a":+1}',
    b'{"a":"\x01"}',
    b'{"a":"\\x"}',
    b'{"a":"\\u12g4"}',
    b'{"a":"',
    b"nul",
    b'{"a":1} x',
    b"{a:1}",
    b"[" * 40 + b"]" * 40,
    b'{"a" 1}',
    b"\xff",
]


@pytest.mark.parametrize("payload", BAD_JSON, ids=range(len(BAD_JSON)))
@pytest.mark.parametrize("qos", [0, 1])
def test_a_payload_that_is_no_json_is_malformed_and_the_next_is_right(
    host: Host, payload: bytes, qos: int
) -> None:
    bus = Bus(broker=Broker())
    instance = driver(host, bus)
    ask(instance, bus)
    assert bus.broker is not None
    publish(bus.broker, payload, qos)
    publish(bus.broker, document(a=4), qos)
    assert ask(instance, bus) == (False, ("malformed", "payload is no JSON"))
    assert ask(instance, bus).value.readings[0].value == 4.0
    assert bus.resets == 0
    instance.close()


CONNACK, SUBACK = encode(Connack(False)), encode(Suback(1, (1, 1)))
HOSTILE: dict[str, tuple[dict[int, bytes], Any]] = {
    "silent": ({0x10: b""}, ("bus", ("timeout", None))),
    "refused": ({0x10: encode(Connack(False, 5))}, ("rejected", 5)),
    "subscription refused": ({0x82: encode(Suback(1, (0x80, 1)))}, ("rejected", 0x80)),
    "one code for two filters": ({0x82: encode(Suback(1, (1,)))}, ("malformed", "suback")),
    "another identifier": ({0x82: encode(Suback(9, (1, 1)))}, ("malformed", "suback")),
    "no answer to a subscription": ({0x82: b""}, ("bus", ("timeout", None))),
    "status refused": ({0x82: encode(Suback(1, (1, 0x80)))}, ("rejected", 0x80)),
    "an endless length": ({0x10: b"\x20\xff\xff\xff\xff\xff"}, ("malformed", "packet length")),
    "a length beyond the limit": ({0x10: b"\x20\xff\xff\xff\x7f"}, ("malformed", "packet length")),
    "connack of three bytes": ({0x10: b"\x20\x03\0\0\0"}, ("malformed", "connack")),
    "connack with flags": ({0x10: b"\x21\x02\0\0"}, ("malformed", "answer")),
    "a packet from a client": ({0x82: SUBACK + encode(Pingreq())}, ("malformed", "packet type")),
    "QoS 2": ({0x82: SUBACK + b"\x34\x06\0\1a\0\1x"}, ("malformed", "publish")),
    "a topic beyond its packet": ({0x82: SUBACK + b"\x30\x03\0\x09a"}, ("malformed", "publish")),
    "identifier 0": ({0x82: SUBACK + b"\x32\x05\0\1a\0\0"}, ("malformed", "publish")),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_broker_is_a_typed_error(host: Host, name: str) -> None:
    spoilt, expected = HOSTILE[name]
    right = {0x10: CONNACK, 0x82: SUBACK, 0xC0: encode(Pingresp())}
    answers = {**right, **spoilt}
    state = {"asked": 0}

    def talk(data: bytes) -> bytes:
        if data[0] == 0x82:  # identifiers go on counting
            state["asked"] += 1
            return answers[0x82].replace(SUBACK, encode(Suback(int.from_bytes(data[2:4], "big"), (1, 1))))
        return answers.get(data[0], b"")

    bus = Bus(talk)
    instance = driver(host, bus)
    assert ask(instance, bus) == (False, expected)
    assert bus.resets == 1
    answers = right
    bus.unread = b""
    assert ask(instance, bus) == NOTHING
    bus.hear(encode(Publish(TOPIC, document(a=6), 1, packet=1)))
    assert ask(instance, bus).value.readings[0].value == 6.0
    instance.close()


def test_no_mutation_of_what_a_broker_sends_becomes_a_wrong_reading(host: Host) -> None:
    """What the driver takes for a reading is what our own decoder and json find in the bytes; else a typed
    error. Then a valid message is read."""
    chance = random.Random(13)
    bus = Bus(broker=Broker())
    assert bus.broker is not None
    instance = driver(host, bus, wait="1 s")
    ask(instance, bus)
    errors: dict[str, int] = {}
    rounds = 25_000 if os.environ.get("TWINLOOP_SOAK") else 3000
    number = 0
    for k in range(rounds):
        payload = json.dumps(
            {"ts": 5000, "values": {"a": chance.choice((1.5, -2, 1e9)), "b": k, "c": 0}}
        ).encode()
        data = bytearray(encode(Publish(TOPIC, payload, k % 2, packet=k % 2 and 1 + k % 60_000)))
        kind = chance.randrange(5)
        if kind == 0:
            for _ in range(chance.randint(1, 3)):
                data[chance.randrange(len(data))] = chance.randrange(256)
        elif kind == 1:
            del data[chance.randrange(1, len(data)) :]
        elif kind == 2:
            at = chance.randrange(len(data))
            data[at:at] = chance.randbytes(chance.randint(1, 5))
        elif kind == 3:
            data += bytes(data)
        else:
            data = bytearray(encode(Publish(TOPIC, payload[: chance.randrange(len(payload))], 0)))
        bus.hear(bytes(data))
        try:
            told = [
                json.loads(packet.payload)
                for packet in PacketReader().feed(bytes(data))
                if isinstance(packet, Publish)
            ]
        except (ProtocolError, ValueError):
            told = None  # type: ignore[assignment]
        result = ask(instance, bus)
        while not isinstance(result, Fault) and result.ok:
            if told is not None:
                for reading in result.value.readings:
                    want = told[0]["values"][POINTS[reading.point].name]
                    assert reading.status >> 31 or reading.value == want, (bytes(data), reading)
                told = told[1:]
            result = ask(instance, bus)
        assert not isinstance(result, Fault), (bytes(data), result)
        errors[result.value[0]] = errors.get(result.value[0], 0) + 1
        for _ in range(
            4
        ):  # a half packet lies in the stream until the driver finds out: then the connection is new
            number += 1
            publish(bus.broker, document(a=number), 0)
            result = ask(instance, bus)
            if (
                not isinstance(result, Fault)
                and result.ok
                and result.value.readings
                and result.value.readings[0].value == float(number)
            ):
                break
            bus._connection.lost(bus.now_ns)
            bus.unread = b""
            instance.close()
            instance = driver(host, bus, wait="1 s")
            ask(instance, bus)
        else:
            raise AssertionError(f"after {bytes(data)!r}: {result}")
    assert errors["malformed"] > rounds / 20
    assert errors["bus"] > rounds / 20
    instance.close()


def test_unused_packets_are_ignored(host: Host) -> None:
    bus = Bus(broker=Broker())
    instance = driver(host, bus)
    ask(instance, bus)
    bus.hear(encode(Puback(9)) + encode(Suback(9, (0,))) + encode(Pingresp()))
    assert ask(instance, bus) == NOTHING
    assert bus.resets == 0
    instance.close()
