"""The broker model: who gets what, what a session keeps, wills, limits, hostile clients; and a device that
publishes to it."""

from __future__ import annotations

import os
import random
from typing import Any

import pytest

from twinloop.devices.catalogue.catalog import model
from twinloop.devices.model.device import Device
from twinloop.devices.model.misbehaviour import Misbehaviour
from twinloop.devices.model.nodes import NodeImage
from twinloop.devices.mqtt import broker as mqtt_broker
from twinloop.devices.mqtt import retained as mqtt_retained
from twinloop.devices.mqtt.broker import CONNECT_WITHIN_NS, INFLIGHT_MAX, UNRELEASED_MAX, Broker
from twinloop.devices.mqtt.delivery import QUEUED_MAX
from twinloop.devices.mqtt.device import OUTBOX_MAX, MqttDevice
from twinloop.devices.mqtt.packet import (
    Connack,
    Connect,
    Disconnect,
    Packet,
    PacketReader,
    Pingreq,
    Pingresp,
    Puback,
    Publish,
    Suback,
    Subscribe,
    Unsuback,
    Unsubscribe,
    Will,
    encode,
)

S = 1_000_000_000


class Client:
    """One connection, from the client's side."""

    def __init__(self, broker: Broker, now_ns: int = 0) -> None:
        self.reader, self.came, self.tags = PacketReader(), [], []
        self.closed = False
        self.connection = broker.connection(self._sent, self._closed, now_ns)

    def _sent(self, data: bytes, tag: Any, packet: int) -> None:
        self.came += self.reader.feed(data)
        if tag is not None:
            self.tags.append(tag)

    def _closed(self) -> None:
        self.closed = True

    def say(self, *packets: Packet, now_ns: int = 0, tag: Any = None) -> list[Packet]:
        self.came.clear()
        self.connection.received(b"".join(encode(packet) for packet in packets), now_ns, tag)
        return list(self.came)


def connected(
    broker: Broker, name: str, clean: bool = True, *filters: tuple[str, int], **rest: Any
) -> Client:
    client = Client(broker)
    assert isinstance(client.say(Connect(name, clean, **rest))[0], Connack)
    if filters:
        client.say(Subscribe(1, filters))
    return client


def test_messages_go_to_who_asked_with_the_lower_qos() -> None:
    broker = Broker()
    reader = connected(broker, "a", True, ("plant/+", 1))
    other = connected(broker, "b", True, ("plant/x", 0))
    writer = connected(broker, "w")
    reader.came.clear()
    other.came.clear()
    assert writer.say(Publish("plant/x", b"1", 1, packet=7)) == [Puback(7)]
    assert reader.came == [Publish("plant/x", b"1", 1, packet=1)]
    assert other.came == [Publish("plant/x", b"1")]
    writer.say(Publish("elsewhere", b"1"))
    assert len(reader.came) == len(other.came) == 1
    assert other.say(Unsubscribe(2, ("plant/x",))) == [Unsuback(2)]
    writer.say(Publish("plant/x", b"2"))
    assert len(other.came) == 1


def test_a_kept_session_gets_what_it_missed_in_order_and_again_what_it_did_not_acknowledge() -> None:
    broker = Broker()
    reader = connected(broker, "a", False, ("t", 1))
    writer = connected(broker, "w")
    for k in range(3):
        writer.say(Publish("t", b"%d" % k, 1, packet=k + 1))
    reader.say(Puback(1))
    reader.connection.lost(0)
    for k in range(3, 5):
        writer.say(Publish("t", b"%d" % k, 1, packet=k + 1))
    writer.say(Publish("t", b"gone"))
    again = Client(broker)
    came = again.say(Connect("a", False))
    assert came[0] == Connack(True)
    assert [(p.payload, p.dup, p.packet) for p in came[1:] if isinstance(p, Publish)] == [
        (b"1", True, 2), (b"2", True, 3), (b"3", False, 4), (b"4", False, 5)]  # fmt: skip
    assert Client(broker).say(Connect("a", True)) == [Connack(False)], (
        "a clean one begins anew, and takes the name over"
    )
    assert again.closed


def test_tags_come_back_and_what_is_given_up_is_told() -> None:
    broker = Broker()
    gone: list[Any] = []
    sent: list[Any] = []
    broker.on_gone = lambda client, tag, why: gone.append((client, tag, why))
    broker.on_message = lambda topic, tag, clients: sent.append((tag, clients))
    reader = connected(broker, "a", True, ("t", 1))
    writer = connected(broker, "w")
    for k in range(3):
        writer.say(Publish("t", b"", 1, packet=1), tag=(0, k))
    assert reader.tags == [(0, 0), (0, 1), (0, 2)]
    reader.say(Puback(1))
    assert not broker.sessions["a"].holds((0, 0))
    assert broker.sessions["a"].holds((0, 1))
    reader.connection.lost(0)
    assert gone == [("a", (0, 1), "disconnected"), ("a", (0, 2), "disconnected")]
    writer.say(Publish("t", b"", 1, packet=1), tag=(0, 3))
    assert sent[-1] == ((0, 3), [])


def test_retained_messages_and_wills() -> None:
    broker = Broker()
    dying = connected(broker, "d", True, will=Will("d/status", b"offline", 1, True))
    dying.say(Publish("d/status", b"online", 1, True, packet=1))
    reader = connected(broker, "r", True, ("d/#", 1))
    assert reader.came[-1] == Publish("d/status", b"online", 1, True, packet=1)
    dying.connection.lost(0)
    assert reader.came[-1] == Publish("d/status", b"offline", 1, False, packet=2), (
        "a live message isn't marked as retained"
    )
    leaving = connected(broker, "d", True, will=Will("d/status", b"offline", 1, True))
    leaving.say(Disconnect())
    assert leaving.closed
    assert len([p for p in reader.came if isinstance(p, Publish) and p.payload == b"offline"]) == 1
    connected(broker, "w").say(Publish("d/status", b"", 0, True))
    assert broker.kept.messages == {}


def test_silent_clients_are_closed_after_one_and_a_half_keep_alives() -> None:
    broker = Broker()
    client = connected(broker, "a", True, keep_alive_s=10, will=Will("w", b"x"))
    watcher = connected(broker, "b", True, ("w", 0), keep_alive_s=0)
    mute = Client(broker)
    broker.tick(15 * S)
    assert (client.closed, mute.closed) == (False, True)
    assert client.say(Pingreq(), now_ns=15 * S) == [Pingresp()]
    broker.tick(30 * S)
    assert not client.closed
    broker.tick(30 * S + 1)
    assert client.closed
    assert watcher.came[-1] == Publish("w", b"x")
    assert not watcher.closed
    assert CONNECT_WITHIN_NS < 15 * S


def test_limits_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    broker = Broker()
    limits: list[str] = []
    broker.on_limit = lambda limit, client: limits.append(limit)
    away = connected(broker, "a", False, ("t", 1))
    writer = connected(broker, "w")
    for k in range(INFLIGHT_MAX + QUEUED_MAX + 5):
        writer.say(Publish("t", b"", 1, packet=1 + k))
    assert len(broker.sessions["a"].inflight) == INFLIGHT_MAX
    assert len(broker.sessions["a"].queued) == QUEUED_MAX
    assert limits == ["mqtt-queued"] * 5
    assert len(away.came) == 1 + INFLIGHT_MAX
    monkeypatch.setattr(mqtt_broker, "SUBSCRIPTIONS_MAX", 1)
    assert writer.say(Subscribe(3, (("a", 0), ("b", 1)))) == [Suback(3, (0, 0x80))]
    monkeypatch.setattr(mqtt_retained, "RETAINED_MAX", 0)
    writer.say(Publish("new", b"x", 0, True))
    monkeypatch.setattr(mqtt_broker, "SESSIONS_MAX", 2)
    late = Client(broker)
    assert late.say(Connect("c")) == [Connack(False, 3)]
    assert late.closed
    assert limits[5:] == ["mqtt-subscriptions", "mqtt-retained", "mqtt-sessions"]


@pytest.mark.parametrize(
    "packets",
    [
        (Pingreq(),),
        (Connect("a"), Connect("a")),
        (Connect("a"), Suback(1, (0,))),
        (Connect("a"), Connack(False)),
    ],
    ids=str,
)
def test_a_packet_that_has_no_business_there_ends_the_connection(packets: tuple[Packet, ...]) -> None:
    broker = Broker()
    client = Client(broker)
    client.say(*packets)
    assert client.closed
    assert broker.connections == {}
    assert sum(broker.broken_by.values()) == 1


def test_mutated_clients_disturb_nobody() -> None:
    """Each followed by a valid publish that must reach its reader; what the broker keeps stays bounded."""
    chance = random.Random(5)
    broker = Broker()
    script = [
        Connect("m", True, 10, Will("w", b"x", 1)),
        Subscribe(2, (("a/#", 1), ("b", 0))),
        Publish("a/b", b"payload", 1, packet=3),
        Puback(1),
        Unsubscribe(4, ("b",)),
        Pingreq(),
        Publish("c", b"", 0, True),
        Disconnect(),
    ]
    good = b"".join(encode(packet) for packet in script)
    reader, writer = connected(broker, "r", True, ("probe", 0)), connected(broker, "p")
    rounds = 25_000 if os.environ.get("TWINLOOP_SOAK") else 3000
    for k in range(rounds):
        data = bytearray(good)
        for _ in range(chance.randint(1, 4)):
            kind = chance.randrange(4)
            if kind == 0:
                data[chance.randrange(len(data))] = chance.randrange(256)
            elif kind == 1 and len(data) > 4:
                del data[chance.randrange(len(data)) :]
            elif kind == 2:
                at = chance.randrange(len(data) + 1)
                data[at:at] = chance.randbytes(chance.randint(1, 9))
            else:
                a, b = sorted((chance.randrange(len(data) + 1), chance.randrange(len(data) + 1)))
                data[b:b] = data[a:b]
            if not data:
                data = bytearray(good)
        client = Client(broker)
        while data:  # split anywhere
            size = chance.randint(1, len(data))
            client.connection.received(bytes(data[:size]), 0)
            del data[:size]
        if not client.closed:
            client.connection.lost(0)
        assert writer.say(Publish("probe", b"%d" % k, 1, packet=1 + k % 60_000)) == [Puback(1 + k % 60_000)]
        assert reader.came[-1] == Publish("probe", b"%d" % k)
        reader.came.clear()
        if k % 500 == 0:
            for name in list(broker.sessions):
                if name not in ("r", "p"):
                    Client(broker).say(Connect(name, True), Disconnect())
            assert len(broker.sessions) < 600
    assert len(broker.connections) == 2
    assert len(broker.kept.messages) < 600 + rounds // 10


# ---- a device ------------------------------------------------------------------------------------
def device(qos: int = 1, retain: bool = False) -> MqttDevice:
    return MqttDevice(
        Device(model=model("press-sensor"), name="presses/1", unit_id=1, key=5), qos, retain, 30, 0
    )


class Wire:
    """A device and a broker, byte by byte."""

    def __init__(self, speaker: MqttDevice, broker: Broker) -> None:
        self.speaker = speaker
        self.connection = broker.connection(lambda data, tag, packet: self.down(data), lambda: None, 0)
        self.up = True
        speaker.connected(lambda data, tag: self.connection.received(data, 0, tag))

    def down(self, data: bytes) -> None:
        if self.up:
            assert self.speaker.received(data, 0)


def test_a_payload_is_the_same_written_at_once_and_point_by_point(monkeypatch: pytest.MonkeyPatch) -> None:
    instants = [0, 1, 17_500_000_000, 120_000_000_000]
    at_once = [device().payload(now_ns) for now_ns in instants]
    monkeypatch.setattr(NodeImage, "good_values", lambda self, now_ns: None)
    assert [device().payload(now_ns) for now_ns in instants] == at_once


def test_a_device_publishes_its_points_and_says_that_it_is_online() -> None:
    broker, speaker = Broker(), device(retain=True)
    reader = connected(broker, "r", True, ("plant/#", 1))
    wire = Wire(speaker, broker)
    assert speaker.accepted
    speaker.publish(0, 3 * S)
    status, sample = [p for p in reader.came if isinstance(p, Publish)]
    assert (status.topic, status.payload) == ("plant/presses/1/status", b"online")
    assert sample.topic == "plant/presses/1"
    assert sample.payload.startswith(b'{"ts":3000,"values":{"pressure":')
    assert broker.kept.messages["plant/presses/1"].payload == sample.payload
    wire.connection.lost(0)
    assert reader.came[-1].payload == b"offline"  # type: ignore[union-attr]


def test_what_a_device_could_not_say_waits_and_the_oldest_goes_first() -> None:
    broker, speaker = Broker(), device()
    gone: list[tuple[int, str]] = []
    speaker.on_gone = lambda k, why: gone.append((k, why))
    for k in range(OUTBOX_MAX + 3):
        speaker.publish(k, 0)
    assert gone == [(0, "overrun"), (1, "overrun"), (2, "overrun")]
    assert speaker.holds(3)
    reader = connected(broker, "r", True, ("plant/presses/1", 1))
    Wire(speaker, broker)
    assert len([p for p in reader.came if isinstance(p, Publish)]) == INFLIGHT_MAX, (
        "as many as the reader's window takes"
    )
    assert not speaker.holds(3)


def test_qos_0_without_a_session_is_gone_and_an_unacknowledged_one_comes_again() -> None:
    gone: list[tuple[int, str]] = []
    plain = device(qos=0)
    plain.on_gone = lambda k, why: gone.append((k, why))
    plain.publish(0, 0)
    assert gone == [(0, "disconnected")]
    broker, speaker = Broker(), device()
    reader = connected(broker, "r", True, ("plant/presses/1", 1))
    wire = Wire(speaker, broker)
    wire.up = False
    speaker.publish(0, 0)
    assert speaker.holds(0)
    wire.connection.lost(0)
    speaker.lost()
    Wire(speaker, broker)
    assert not speaker.holds(0)
    first, again = [p.payload for p in reader.came if isinstance(p, Publish)]
    assert first == again


def test_writes_and_faults_of_a_device() -> None:
    broker, speaker = Broker(), device()
    gone: list[tuple[int, str]] = []
    speaker.on_gone = lambda k, why: gone.append((k, why))
    reader, writer = connected(broker, "r", True, ("plant/presses/1", 0)), connected(broker, "w")
    Wire(speaker, broker)
    for payload in (
        b'{"setpoint":7.5}',
        b"{",
        b"[1]",
        b'{"setpoint":true}',
        b'{"pressure":1,"nowhere":2}',
        b'{"setpoint":99}',
    ):
        writer.say(Publish("plant/presses/1/set", payload, 1, packet=9))
    speaker.publish(0, 0)
    assert b'"setpoint":7.5}' in reader.came[-1].payload  # type: ignore[union-attr]
    over = speaker.misbehave(Misbehaviour("truncated", 1))
    speaker.publish(1, 0)
    assert not reader.came[-1].payload.endswith(b"}")  # type: ignore[union-attr]
    over()
    speaker.misbehave(Misbehaviour("silent", 1))
    speaker.publish(2, 0)
    assert gone == [(2, "device")]
    assert speaker.slow_ns() == 0
    speaker.misbehave(Misbehaviour("slow", 1, 5))
    assert speaker.slow_ns() == 5


def test_a_device_leaves_a_broker_that_speaks_wrongly() -> None:
    for answer in (encode(Connack(False, 5)), b"\xf0\0", encode(Subscribe(1, (("a", 0),)))):
        speaker = device()
        speaker.connected(lambda data, tag: None)
        assert not speaker.received(answer, 0)
    speaker = device()
    assert not speaker.ping()
    speaker.connected(lambda data, tag: None)
    assert speaker.ping()
    assert not speaker.ping(), "the last one wasn't answered"
    assert speaker.received(encode(Pingresp()), 0)
    assert speaker.ping()


# ---- what ordinary bridges are (B6) --------------------------------------------------------------
def hello(name: bytes, level: int, client: bytes = b"b") -> bytes:
    body = (
        len(name).to_bytes(2, "big")
        + name
        + bytes((level, 2, 0, 10))
        + len(client).to_bytes(2, "big")
        + client
    )
    return bytes((0x10, len(body))) + body


@pytest.mark.parametrize(
    ("name", "level", "answer"),
    [
        (b"MQTT", 4, "20 02 00 00"), (b"MQTT", 0x84, "20 02 00 00"), (b"MQIsdp", 3, "20 02 00 00"), (b"MQIsdp", 0x83, "20 02 00 00"),
        (b"MQTT", 5, "20 03 00 81 00"), (b"MQTT", 0x85, "20 03 00 84 00"), (b"MQTT", 6, "20 02 00 01"), (b"MQTT", 3, "20 02 00 01"),
    ],
)  # fmt: skip
def test_b6_every_protocol_level_gets_an_answer(name: bytes, level: int, answer: str) -> None:
    """[MQTT-3.1.2-2], MQTT 5.0 section 3.2.2: 0x84 is Unsupported Protocol Version, 0x81 a CONNECT of level 5
    that isn't one (the rest of it is 3.1.1's); bridges set the highest bit of the level."""
    broker, sent, closed = Broker(), [], []
    connection = broker.connection(
        lambda data, tag, packet: sent.append(data), lambda: closed.append(True), 0
    )
    connection.received(hello(name, level), 0)
    assert b"".join(sent) == bytes.fromhex(answer)
    assert bool(closed) is (bytes.fromhex(answer)[3] != 0)


def test_b6_a_bridge_isnt_sent_its_own_messages() -> None:
    """Who sets the highest bit of its level is a broker itself, and has them; what others retain it hears as
    retained."""
    broker = Broker()
    bridge = connected(broker, "b", True, ("both/#", 1), bridge=True)
    writer = connected(broker, "w", True, ("both/#", 1))
    assert bridge.say(Publish("both/x", b"own", 1, packet=1)) == [Puback(1)]
    assert writer.came[-1] == Publish("both/x", b"own", 1, packet=1)
    writer.say(Publish("both/x", b"theirs", 0, True))
    assert bridge.came[-1] == Publish("both/x", b"theirs", 0, True)


def test_b6_qos_2_is_delivered_exactly_once() -> None:
    from twinloop.devices.mqtt.packet import Pubcomp, Pubrec, Pubrel

    broker = Broker()
    reader, writer = connected(broker, "r", True, ("a", 1)), connected(broker, "w", False)
    assert writer.say(Publish("a", b"1", 2, packet=7)) == [Pubrec(7)]
    assert writer.say(Publish("a", b"1", 2, dup=True, packet=7)) == [Pubrec(7)], (
        "sent again: the same message"
    )
    assert writer.say(Pubrel(7)) == [Pubcomp(7)]
    assert writer.say(Pubrel(7)) == [Pubcomp(7)]
    assert writer.say(Publish("a", b"2", 2, packet=7)) == [Pubrec(7)], "released: another one"
    assert [packet.payload for packet in reader.came if isinstance(packet, Publish)] == [b"1", b"2"]
    again = Client(broker)
    again.say(Connect("w", False))
    assert again.say(Publish("a", b"2", 2, dup=True, packet=7)) == [Pubrec(7)], (
        "the session has kept what wasn't released"
    )
    assert len([packet for packet in reader.came if isinstance(packet, Publish)]) == 2


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_b6_a_will_of_any_qos(qos: int) -> None:
    broker = Broker()
    reader = connected(broker, "r", True, ("gone", 1))
    client = Client(broker)
    client.say(Connect("w", True, will=Will("gone", b"x", qos)))
    reader.came.clear()
    client.connection.lost(0)
    assert [(packet.payload, packet.qos) for packet in reader.came if isinstance(packet, Publish)] == [
        (b"x", min(qos, 1))
    ]


def test_a_session_to_keep_needs_a_name() -> None:
    """[MQTT-3.1.3-8]: return code 2, then closed."""
    client, sent = Client(Broker()), []
    client.connection.send = lambda data, tag, packet: sent.append(data)
    client.connection.received(bytes.fromhex("10 0C 00 04 4D 51 54 54 04 00 00 0A 00 00"), 0)
    assert (sent, client.closed) == ([b"\x20\x02\0\x02"], True)


def test_no_rule_is_broken_by_who_releases_late() -> None:
    """3.1.1 has no receive maximum: the oldest is forgotten, and that is an event; nothing is lost."""
    broker, limits = Broker(), []
    broker.on_limit = lambda limit, client: limits.append(limit)
    reader, writer = connected(broker, "r", True, ("a", 0)), connected(broker, "w", False)
    for k in range(1, UNRELEASED_MAX + 4):
        writer.say(Publish("a", b"%d" % k, 2, packet=k))
    assert limits == ["mqtt-unreleased"] * 3
    assert len([packet for packet in reader.came if isinstance(packet, Publish)]) == UNRELEASED_MAX + 3
    assert (writer.closed, broker.broken_by) == (False, {})
