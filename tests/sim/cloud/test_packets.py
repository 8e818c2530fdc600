"""What crosses an uplink is MQTT: every packet is read back by our decoder and by amqtt's, and bytes that say
something else are noticed."""

from __future__ import annotations

from typing import Any

import pytest
from amqtt.mqtt.publish import PublishPacket

from tests.components.ways import compiled_part
from tests.devices.mqtt.test_mqtt_packet import by_amqtt
from tests.plants import paired, plant, run, upgradable
from tests.sim.test_world import conserved
from twinloop.components.host.host import Host
from twinloop.devices.mqtt.packet import (
    Connack,
    Connect,
    PacketReader,
    Pingreq,
    Pingresp,
    Puback,
    Publish,
    Subscribe,
    encode,
    publish_parts,
)
from twinloop.sim.accounts.rows import Row
from twinloop.sim.cloud import mqtt_wire as packets
from twinloop.sim.cloud.leases import LeaseAnswer, LeaseRequest
from twinloop.sim.cloud.messages import TLS_RECORD_BYTES, Command, Message
from twinloop.sim.cloud.releases import BlockRequest, ReleaseBlock
from twinloop.sim.kernel.clock import S
from twinloop.sim.kernel.invariants import InvariantError
from twinloop.sim.network.tcp import TcpStream
from twinloop.sim.trouble.verbs import act


def message(body: bytes = b'{"device":"presses/1"}') -> Message:
    return Message(Row(0, 3, 0, 1, S), 1, 1, b"twinloop/presses/1", body)


@pytest.fixture(params=["pure", "compiled"])
def way(request: pytest.FixtureRequest) -> tuple[Any, Any]:
    """(sample, take_sample) of each of the two."""
    if request.param == "pure":
        return packets.plain_sample, packets.plain_take_sample
    return packets.compiled(compiled_part().engine)


@pytest.mark.parametrize("size", [1, 20, 90, 91, 92, 100, 5000, 16_350, 16_360, 16_370, 60_000])
def test_a_sample_is_a_publish_of_the_size_that_was_foreseen(size: int, way: tuple[Any, Any]) -> None:
    one, (sample, take_sample) = message(b"x" * size), way
    data = sample(one, 77)
    assert PacketReader().feed(data) == [Publish("twinloop/presses/1", one.body, 1, packet=77)]
    assert one.size_bytes == len(data) + TLS_RECORD_BYTES
    assert take_sample(data, one) == 77
    assert publish_parts(data) == (b"twinloop/presses/1", 77, one.body)
    theirs = by_amqtt(PublishPacket, data)
    assert (theirs.topic_name, bytes(theirs.data), theirs.packet_id, theirs.qos) == (
        "twinloop/presses/1",
        one.body,
        77,
        1,
    )


def test_what_is_no_packet_is_an_error_in_c() -> None:
    engine = compiled_part().engine
    for call in (
        lambda: engine.sample(b"t", b"b"),
        lambda: engine.sample("t", b"b", 1),
        lambda: engine.take_sample(b"", b"", ""),
    ):
        with pytest.raises(TypeError):
            call()
    for packet in (-1, 1 << 16):
        with pytest.raises(OverflowError):
            engine.sample(b"t", b"b" * 200, packet)


def test_an_acknowledgement_is_one() -> None:
    assert packets.puback(0x1234) == encode(Puback(0x1234))


@pytest.mark.parametrize("size", [22, 300])
def test_bytes_that_say_something_else_are_noticed(size: int, way: tuple[Any, Any]) -> None:
    one, (sample, take_sample) = message(b"x" * size), way
    data = sample(one, 1)
    for spoilt in (
        data[:-1],
        data[:-1] + b"y",
        data + b"x",
        data.replace(b"presses/1", b"presses/2"),
        b"\x30" + data[1:],
        b"",
        b"\x32\xff\xff\xff\xff",
        data[:3],
    ):
        with pytest.raises(InvariantError, match="doesn't say what was sent"):
            take_sample(spoilt, one)
    command = Command(4, 0, 9, 7.5, 0)
    with pytest.raises(InvariantError, match="doesn't say what was sent"):
        packets.take(packets.publish(Command(4, 0, 9, 7.6, 0), 1), command)
    with pytest.raises(InvariantError, match="2 packets"):
        packets.take(packets.PINGREQ * 2, None)


THINGS: list[tuple[Any, str, int]] = [
    (Command(4, 0, 9, 7.5, 0), packets.COMMANDS, 1),
    (LeaseRequest(0, 1, 5, S), packets.LEASES, 0),
    (LeaseAnswer(5, True, 2), packets.LEASES, 0),
    (BlockRequest(1, "route", "1.2.0", 16_384), packets.BLOCKS, 0),
    (ReleaseBlock(1, 16_384, bytes(16_384)), packets.BLOCKS, 0),
]


@pytest.mark.parametrize(
    ("thing", "topic", "qos"), THINGS, ids=[type(thing).__name__ for thing, _, _ in THINGS]
)
def test_orders_questions_and_answers_are_publishes(thing: Any, topic: str, qos: int) -> None:
    packet = packets.take(packets.publish(thing, 9), thing)
    assert isinstance(packet, Publish)
    assert (packet.topic, packet.qos, packet.packet) == (topic, qos, 9 * qos)


def test_the_session_is_one_of_mqtt(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything on the wire of a run with commands, an upgrade and a pair is a packet; the order of a
    session's is the standard's."""
    up: list[Any] = []
    down: list[Any] = []
    send_up, send_down = TcpStream.send_up, TcpStream.send_down

    def seen(into: list[Any], payload: Any, size_bytes: int) -> None:
        data = payload[0] if isinstance(payload, tuple) else b""
        if (
            isinstance(data, bytes)
            and data
            and not data.endswith(b"hello")
            and payload[1].__class__ is not int
        ):
            into.append((PacketReader().feed(data), size_bytes - len(data)))

    monkeypatch.setattr(
        TcpStream,
        "send_up",
        lambda self, payload, size: seen(up, payload, size) or send_up(self, payload, size),
    )
    monkeypatch.setattr(
        TcpStream,
        "send_down",
        lambda self, payload, size, *when: seen(down, payload, size) or send_down(self, payload, size, *when),
    )
    timeline = (
        act(2 * S, "write", "presses/1", point="setpoint", value=7.5),
        act(3 * S, "upgrade", "gw/route", version="1.1.0"),
    )
    spec = upgradable(paired(plant(host, count=2, duration_ns=6 * S, timeline=timeline)))
    world = run(spec, host)
    conserved(world)
    assert world.commands.ended == {"done": 1}
    sent = [packet for found, _ in up for packet in found]
    got = [packet for found, _ in down for packet in found]
    assert all(len(found) == 1 and around == TLS_RECORD_BYTES for found, around in [*up, *down])
    assert isinstance(sent[0], Connect)
    assert [type(packet) for packet in sent].count(Connect) == 2
    assert [type(packet) for packet in sent].count(Subscribe) == 2
    assert {packet.topic for packet in sent if isinstance(packet, Publish)} <= {
        "twinloop/presses/1",
        "twinloop/presses/2",
        packets.LEASES,
        packets.BLOCKS,
    }
    assert {packet.topic for packet in got if isinstance(packet, Publish)} == {
        packets.COMMANDS,
        packets.UPGRADES,
        packets.LEASES,
        packets.BLOCKS,
    }
    assert any(isinstance(packet, Puback) for packet in sent), "orders are acknowledged"
    assert any(isinstance(packet, Pingreq) for packet in sent)
    assert any(isinstance(packet, Pingresp) for packet in got)


def test_identifiers_begin_again_and_pass_over_those_in_flight(host: Host) -> None:
    world = run(plant(host, count=1, duration_ns=2 * S), host)
    uplink = world.gateways[0].outbox.uplink
    assert uplink._packet == uplink.counts.published
    assert encode(Connack(True)) == packets.connack(True)
