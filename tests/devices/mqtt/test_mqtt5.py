"""MQTT 5.0 at the broker: bytes as the OASIS standard (7 March 2019) has them. A real peer: test_paho.py."""

from __future__ import annotations

import os
import random

import pytest

from tests.devices.mqtt.test_mqtt_broker import Client, connected
from twinloop.devices.mqtt.broker import UNRELEASED_MAX, Broker
from twinloop.devices.mqtt.packet import PACKET_BYTES_MAX, Connack, Connect, Puback, Publish, encode

S = 1_000_000_000


def text(value: str) -> bytes:
    return len(value).to_bytes(2, "big") + value.encode()


def packet(first: int, body: bytes) -> bytes:
    assert len(body) < 128
    return bytes((first, len(body))) + body


def with_length(properties: bytes) -> bytes:
    return bytes((len(properties),)) + properties


def hello(
    client: str = "n",
    clean: bool = True,
    properties: bytes = b"",
    will: bytes = b"",
    keep_alive_s: int = 0,
    bits: int = 0,
) -> bytes:
    flags = clean << 1 | bool(will) << 2 | bits
    return packet(
        0x10,
        b"\0\x04MQTT\x05"
        + bytes((flags,))
        + keep_alive_s.to_bytes(2, "big")
        + with_length(properties)
        + text(client)
        + will,
    )


def subscribe(*filters: tuple[str, int], properties: bytes = b"") -> bytes:
    return packet(
        0x82,
        b"\0\x01"
        + with_length(properties)
        + b"".join(text(name) + bytes((options,)) for name, options in filters),
    )


def publish(
    topic: str, payload: bytes, properties: bytes = b"", first: int = 0x30, number: bytes = b""
) -> bytes:
    return packet(first, text(topic) + number + with_length(properties) + payload)


OFFERED = bytes.fromhex("21 03E8 27 00040000 29 00 2A 00")
EXPIRES = bytes.fromhex("11 0000000A")
"""a session that is kept for 10 s"""


class Newer:
    """A client of MQTT 5.0, in bytes."""

    def __init__(self, broker: Broker, *said: bytes, now_ns: int = 0) -> None:
        self.heard: list[bytes] = []
        self.closed = False
        self.connection = broker.connection(
            lambda data, tag, number: self.heard.append(data), self._closed, now_ns
        )
        if said:
            self.say(*said, now_ns=now_ns)

    def _closed(self) -> None:
        self.closed = True

    def say(self, *said: bytes, now_ns: int = 0) -> list[bytes]:
        self.heard.clear()
        self.connection.received(b"".join(said), now_ns)
        return list(self.heard)


def test_a_client_is_told_what_the_broker_takes() -> None:
    """3.2.2.3: receive maximum, maximum packet size, no subscription identifiers, no shared subscriptions; a
    name for who has none."""
    assert (UNRELEASED_MAX, PACKET_BYTES_MAX) == (0x03E8, 0x40000)
    broker = Broker()
    assert Newer(broker).say(hello()) == [packet(0x20, b"\0\0" + with_length(OFFERED))]
    named = Newer(broker).say(hello(""))[0]
    assigned = text(next(name for name in broker.sessions if name != "n"))
    assert named == packet(0x20, b"\0\0" + with_length(OFFERED[:8] + b"\x12" + assigned + OFFERED[8:]))


def test_a_message_takes_its_properties_to_who_understands_them() -> None:
    """3.3.2.3: handed on as they came; a client of 3.1.1 gets the payload."""
    broker = Broker()
    newer, older = Newer(broker, hello("a"), subscribe(("t", 1))), connected(broker, "b", True, ("t", 1))
    properties = (
        bytes.fromhex("01 01 02 0000003C")
        + b"\x03"
        + text("text/plain")
        + b"\x08"
        + text("back")
        + b"\x09\0\x02xy"
        + b"\x26"
        + text("k")
        + text("v")
    )
    writer = Newer(broker, hello("w"))
    newer.heard.clear()
    assert writer.say(publish("t", b"1", properties, 0x32, b"\0\x07")) == [packet(0x40, b"\0\x07")]
    assert newer.heard == [packet(0x32, text("t") + b"\0\x01" + with_length(properties) + b"1")]
    assert older.came[-1] == Publish("t", b"1", 1, packet=1)
    writer.say(publish("t", b"2", properties, 0x31))
    late = Newer(broker, hello("c"))
    assert late.say(subscribe(("t", 0)))[1] == packet(0x31, text("t") + with_length(properties) + b"2"), (
        "retained with them"
    )


def test_exactly_once_from_a_client_of_5() -> None:
    broker = Broker()
    reader, writer = connected(broker, "r", True, ("t", 1)), Newer(broker, hello("w"))
    assert writer.say(publish("t", b"1", b"", 0x34, b"\0\x07")) == [packet(0x50, b"\0\x07")]
    assert writer.say(publish("t", b"1", b"", 0x3C, b"\0\x07")) == [packet(0x50, b"\0\x07")]
    assert writer.say(packet(0x62, b"\0\x07\0\0")) == [packet(0x70, b"\0\x07")]
    assert writer.say(packet(0x62, b"\0\x07")) == [packet(0x70, b"\0\x07\x92")], (
        "3.7.2.1: packet identifier not found"
    )
    assert [one.payload for one in reader.came if isinstance(one, Publish)] == [b"1"]


@pytest.mark.parametrize(
    ("options", "own", "retained", "flags"),
    [(0x00, 1, 1, 0x30), (0x04, 0, 1, 0x30), (0x08, 1, 1, 0x31), (0x10, 1, 1, 0x30), (0x20, 1, 0, 0x30), (0x2C, 0, 0, 0x31)],
)  # fmt: skip
def test_options_of_a_subscription(options: int, own: int, retained: int, flags: int) -> None:
    """3.8.3.1: no local (what a bridge says lest it hear itself), retain as published, retain handling."""
    broker = Broker()
    writer = Newer(broker, hello("w"), publish("t/1", b"kept", first=0x31))
    bridge = Newer(broker, hello("bridge"))
    answers = bridge.say(subscribe(("t/#", options)))
    assert answers[0] == packet(0x90, b"\0\x01\0\0")
    assert len(answers) - 1 == retained
    assert len(bridge.say(publish("t/2", b"own"))) == own
    bridge.heard.clear()
    writer.say(publish("t/3", b"theirs", first=0x31))
    assert bridge.heard == [publish("t/3", b"theirs", first=flags)]
    assert len(bridge.say(subscribe(("t/#", options & 0x0C | 0x10)))) == 1, (
        "retain handling 1: only for a subscription that is new"
    )


def test_no_local_on_one_topic_and_an_overlap() -> None:
    broker = Broker()
    bridge = Newer(broker, hello("bridge"), subscribe(("t", 0x04)))
    assert bridge.say(publish("t", b"own")) == []
    bridge.say(subscribe(("+", 0x00)))
    assert bridge.say(publish("t", b"own")) == [publish("t", b"own")], "it has asked for its own, too"
    older = connected(broker, "old", True, ("t", 0))
    bridge.say(publish("t", b"1"))
    assert older.came[-1] == Publish("t", b"1")


def test_reasons_of_subscriptions() -> None:
    """3.9.3, 3.11.3: shared subscriptions aren't offered; nothing to end."""
    broker = Broker()
    client = Newer(broker, hello())
    assert client.say(subscribe(("$share/g/t", 1), ("u", 2))) == [packet(0x90, b"\0\x01\0\x9e\x01")]
    assert client.say(packet(0xA2, b"\0\x02\0" + text("u") + text("v"))) == [packet(0xB0, b"\0\x02\0\0\x11")]


def test_a_session_is_kept_for_as_long_as_it_says() -> None:
    """3.1.2.11.2: whatever clean start says, which only begins anew; on DISCONNECT it may say so anew."""
    broker = Broker()
    client = Newer(broker, hello(properties=EXPIRES), subscribe(("t", 1)))
    client.connection.lost(0)
    connected(broker, "w").say(Publish("t", b"1", 1, packet=1))
    broker.tick(10 * S - 1)
    back = Newer(broker)
    answers = back.say(hello(clean=False, properties=EXPIRES), now_ns=10 * S - 1)
    assert answers[0][2] == 1, "session present"
    assert answers[1] == packet(0x32, text("t") + b"\0\x01\0" + b"1")
    broker.tick(30 * S)
    assert "n" in broker.sessions, "it is there"
    back.say(packet(0xE0, b"\0" + with_length(bytes.fromhex("11 00000014"))), now_ns=40 * S)
    assert back.closed
    broker.tick(59 * S)
    assert "n" in broker.sessions
    broker.tick(60 * S)
    assert "n" not in broker.sessions
    assert Newer(broker).say(hello(clean=False), now_ns=61 * S)[0][2] == 0
    for_ever = Newer(broker, hello("e", properties=bytes.fromhex("11 FFFFFFFF")))
    for_ever.connection.lost(61 * S)
    Newer(broker, hello("o")).connection.lost(61 * S)
    broker.tick(10**9 * S)
    assert "e" in broker.sessions
    assert "o" not in broker.sessions, "without an expiry interval it ends with its connection"


def test_a_will_waits_for_who_comes_back() -> None:
    """3.1.3.2.2: the delay, or the session's end, whichever is first; an ordinary DISCONNECT takes it away,
    reason 0x04 doesn't."""
    broker = Broker()
    reader = Newer(broker, hello("r"), subscribe(("gone", 0)))
    will = with_length(bytes.fromhex("18 00000005") + b"\x03" + text("t")) + text("gone") + text("x")
    said = publish("gone", b"x", b"\x03" + text("t"))

    def lost(properties: bytes, *ticks_s: float, back: bool = False, last: bytes = b"") -> list[float]:
        reader.heard.clear()
        client = Newer(broker, hello(properties=properties, will=will))
        if last:
            client.say(last)
        client.connection.lost(0)
        came = []
        for at_s in (0.0, *ticks_s):
            if back and at_s == ticks_s[0]:
                Newer(broker, hello(clean=False, properties=properties))
            broker.tick(round(at_s * S))
            came += [at_s] * reader.heard.count(said)
            reader.heard.clear()
        return came

    assert lost(EXPIRES, 4.9, 5) == [5]
    assert lost(EXPIRES, 4.9, 5, back=True) == []
    assert lost(bytes.fromhex("11 00000002"), 1.9, 2, 5) == [2]
    assert lost(b"") == [0], "no session: at once"
    assert lost(EXPIRES, 5, last=packet(0xE0, b"")) == []
    for reason in (b"\x04", b"\x80", b"\x81", b"\x98\0"):
        assert lost(EXPIRES, 4.9, 5, last=packet(0xE0, reason)) == [5]


def test_limits_of_a_client() -> None:
    """3.1.2.11.3 and .4: so many that aren't acknowledged, so large a packet."""
    broker = Broker()
    client = Newer(
        broker, hello(properties=bytes.fromhex("21 0002 27 00000014"), clean=False), subscribe(("t", 1))
    )
    writer = connected(broker, "w")
    limits: list[str] = []
    broker.on_limit = lambda limit, name: limits.append(f"{limit} {name}")
    client.heard.clear()
    for k in range(4):
        writer.say(Publish("t", b"%d" % k, 1, packet=1 + k))
    assert [data[-1:] for data in client.heard] == [b"0", b"1"]
    assert [data[-1:] for data in client.say(packet(0x40, b"\0\x01"))] == [b"2"]
    assert [data[-1:] for data in client.say(packet(0x40, b"\0\x02\x10"))] == [b"3"], "with a reason"
    client.heard.clear()
    writer.say(Publish("t", b"x" * 14, 0), Publish("t", b"x" * 15, 0), Publish("t", b"x" * 13, 1, packet=9))
    assert [len(data) for data in client.heard] == [20]
    assert limits == ["mqtt-packet-bytes n"] * 2


def test_who_comes_back_with_smaller_limits_is_sent_no_more_than_that() -> None:
    """3.1.2.11.3 and .4 hold for what is sent again, too: the rest waits behind it, what is too large is
    given up."""
    broker = Broker()
    writer, first = connected(broker, "w"), Newer(broker, hello(properties=EXPIRES), subscribe(("t", 1)))
    for k in range(6):
        writer.say(Publish("t", b"x" * 40 if k == 1 else b"%d" % k, 1, packet=1 + k))
    assert len(first.heard) == 2 + 6
    first.connection.lost(0)
    gone: list[tuple[str, str]] = []
    broker.on_gone = lambda client, tag, why: gone.append((client, why))
    back = Newer(broker)
    heard = back.say(hello(clean=False, properties=EXPIRES + bytes.fromhex("21 0003 27 00000014")))
    assert [data[-1:] for data in heard[1:]] == [b"0", b"2", b"3"]
    assert [(data[0], data[6]) for data in heard[1:]] == [(0x3A, 1), (0x3A, 3), (0x3A, 4)], (
        "again, by their identifiers"
    )
    assert gone == [("n", "overrun")]
    rest = [data[-1:] for number in (1, 3, 4, 5, 6) for data in back.say(packet(0x40, bytes((0, number))))]
    assert rest == [b"4", b"5"]


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (hello(properties=bytes.fromhex("11 00000001 11 00000001")), 0x82), (hello(properties=b"\x23\0\x01"), 0x82), (hello(properties=b"\x21\0\0"), 0x82),
        (hello(properties=b"\x15" + text("SCRAM")), 0x8C), (hello(properties=b"\x16\0\x01a"), 0x82), (hello(bits=1), 0x81),
        (b"\x10\x0d\0\x04MQTT\x05\x02\0\0\x80\x80\x80\x80", 0x81), (b"\x10\x0a\0\x04MQTT\x05\x02\0\0", 0x81),
    ],
)  # fmt: skip
def test_a_connect_that_is_refused_says_why(said: bytes, reason: int) -> None:
    broker = Broker()
    client = Newer(broker)
    assert client.say(said) == [bytes((0x20, 3, 0, reason, 0))]
    assert client.closed
    assert broker.connections == broker.sessions == {}


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (publish("t", b"1", b"\x23\0\x01"), 0x94), (publish("t", b"1", b"\x0b\x01"), 0x82), (publish("t", b"1", b"\x11\0\0\0\0"), 0x82),
        (publish("t", b"1", b"\x01\x02"), 0x82), (publish("t", b"1", first=0x36, number=b"\0\1"), 0x81), (publish("t/#", b"1"), 0x81),
        (subscribe(("t", 1), properties=b"\x0b\x05"), 0xA1), (subscribe(("t", 3)), 0x81), (subscribe(("t", 0x40)), 0x81), (subscribe(("t", 0x30)), 0x81),
        (subscribe(("$share/g/t", 0x04)), 0x82), (subscribe(), 0x81), (hello(), 0x82), (packet(0xF0, b""), 0x82), (packet(0x20, b"\0\0\0"), 0x82),
        (packet(0x42, b"\0\x01"), 0x81), (packet(0xE0, b"\0" + with_length(EXPIRES)), 0x82), (packet(0x40, b"\0\0"), 0x81),
        (b"\x30\x06" + text("t") + b"\x80\x00" + b"1", 0x81),
    ],
)  # fmt: skip
def test_a_client_that_breaks_the_protocol_is_told_what_it_did(said: bytes, reason: int) -> None:
    """4.13: DISCONNECT with the reason, its will is said, and it is counted by what was wrong."""
    broker = Broker()
    reader = connected(broker, "r", True, ("gone", 0))
    client = Newer(broker, hello(will=b"\0" + text("gone") + text("x")))
    assert client.say(said) == [bytes((0xE0, 2, reason, 0))]
    assert client.closed
    assert reader.came[-1] == Publish("gone", b"x")
    assert sum(broker.broken_by.values()) == 1


def test_who_is_silent_or_replaced_is_told() -> None:
    """0x8D keep alive timeout, 0x8E session taken over."""
    broker = Broker()
    client = Newer(broker, hello(keep_alive_s=10))
    client.heard.clear()
    broker.tick(15 * S)
    assert not client.closed
    broker.tick(15 * S + 1)
    assert (client.closed, client.heard) == (True, [bytes.fromhex("E0 02 8D 00")])
    first = Newer(broker, hello(), now_ns=20 * S)
    first.heard.clear()
    connected(broker, "n")
    assert (first.closed, first.heard) == (True, [bytes.fromhex("E0 02 8E 00")])
    second = Client(broker)
    second.say(Connect("n"))
    Newer(broker, hello())
    assert second.closed


def test_mutated_clients_of_5_disturb_nobody() -> None:
    """Each followed by a valid publish that must reach its reader; what the broker keeps stays bounded."""
    chance, broker = random.Random(6), Broker()
    will = with_length(bytes.fromhex("18 00000001")) + text("w") + text("x")
    good = b"".join(
        (
            hello("m", properties=EXPIRES + b"\x26" + text("k") + text("v"), will=will),
            subscribe(("a/#", 0x05), ("b", 0x28)),
            publish("a/b", b"payload", b"\x02\0\0\0\x09", 0x34, b"\0\x03"),
            packet(0x62, b"\0\x03\0"),
            packet(0x40, b"\0\x01\x10\0"),
            packet(0xA2, b"\0\x04\0" + text("b")),
            b"\xc0\0",
            publish("c", b"", first=0x31),
            packet(0xE0, b"\x04\0"),
        )
    )
    reader = connected(broker, "r", True, ("probe", 0), keep_alive_s=0)
    writer = connected(broker, "p", keep_alive_s=0)
    for k in range(25_000 if os.environ.get("TWINLOOP_SOAK") else 3000):
        data = bytearray(good)
        for _ in range(chance.randint(1, 4)):
            kind = chance.randrange(3)
            at = chance.randrange(len(data) or 1)
            if kind == 0 and data:
                data[at] = chance.randrange(256)
            elif kind == 1:
                del data[at : at + chance.randint(1, 9)]
            else:
                data[at:at] = chance.randbytes(chance.randint(1, 9))
        client = Newer(broker)
        while data:  # split anywhere
            size = chance.randint(1, len(data))
            client.say(bytes(data[:size]), now_ns=k * S)
            del data[:size]
        if not client.closed:
            client.connection.lost(k * S)
        assert writer.say(Publish("probe", b"%d" % k, 1, packet=1 + k % 60_000)) == [Puback(1 + k % 60_000)]
        assert reader.came[-1] == Publish("probe", b"%d" % k)
        reader.came.clear()
        broker.tick(0 if k % 50 else k * S)
        if k % 500 == 0:
            for name in list(broker.sessions):
                if name not in ("r", "p"):
                    Client(broker).connection.received(encode(Connect(name, True)) + b"\xe0\0", 0)
    assert len(broker.connections) <= 2 + 50
    assert len(broker.sessions) < 600


@pytest.mark.parametrize(("head", "goes_on"), [(b"\0\x06MQIsdp\x03", True), (b"\0\x04MQTT\x04", False)])
def test_b6_packets_of_mqtt_3_1_may_say_that_they_are_sent_again(head: bytes, goes_on: bool) -> None:
    """DUP on SUBSCRIBE, UNSUBSCRIBE and PUBREL is MQTT 3.1's (MQTT V3.1, 2.1); 3.1.1 calls it malformed
    [MQTT-2.2.2-2]."""
    for again in (b"\x8a\x06\0\x01\0\x01a\0", b"\xaa\x05\0\x01\0\x01a", b"\x6a\x02\0\x09"):
        client = Client(Broker())
        body = head + b"\x02\0\x3c\0\x01c"
        client.connection.received(bytes((0x10, len(body))) + body, 0)
        assert client.came == [Connack(False, 0)]
        client.connection.received(again, 0)
        assert client.closed != goes_on
        assert (len(client.came) == 2) == goes_on
