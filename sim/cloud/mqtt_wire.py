"""What crosses an uplink, as MQTT 3.1.1 bytes: sessions, samples, orders, questions. TLS records are counted
around them, not made.

Belongs here: topics, payloads and how they are taken apart again. Never: sessions (uplink.py), what an order
does. The thing that bytes carry travels beside them (it knows its row); that the bytes say the same is
checked where they arrive, and a difference is an InvariantError.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from struct import Struct
from typing import Any

from twinloop.components.native.choice import CHOICE
from twinloop.devices.mqtt.packet import (
    Connack,
    Connect,
    Packet,
    PacketReader,
    Pingreq,
    Pingresp,
    Publish,
    Suback,
    Subscribe,
    encode,
    publish_bytes,
    publish_parts,
)
from twinloop.sim.cloud.leases import LeaseAnswer, LeaseRequest
from twinloop.sim.cloud.messages import TOPIC_PREFIX, Command, Message
from twinloop.sim.cloud.orders import Upgrade
from twinloop.sim.cloud.releases import BlockRequest, ReleaseBlock
from twinloop.sim.kernel.invariants import InvariantError

COMMANDS, UPGRADES, LEASES, BLOCKS = (
    f"{TOPIC_PREFIX}{name}" for name in ("commands", "upgrades", "leases", "blocks")
)
"""topics beside those of devices"""
PINGREQ, PINGRESP = encode(Pingreq()), encode(Pingresp())
SUBSCRIBE = encode(
    Subscribe(
        1, tuple((topic, qos) for topic, qos in ((COMMANDS, 1), (UPGRADES, 1), (LEASES, 0), (BLOCKS, 0)))
    )
)
SUBACK = encode(Suback(1, (1, 1, 0, 0)))


def connack(present: bool) -> bytes:
    """The cloud's answer to a CONNECT: does it know the session?"""
    return encode(Connack(present))


def connect(gateway: str, keep_alive_ns: int) -> bytes:
    """A gateway's CONNECT: its name, a session that is kept."""
    return encode(Connect(gateway, clean=False, keep_alive_s=min(65_535, keep_alive_ns // 1_000_000_000)))


def puback(packet: int) -> bytes:
    """The acknowledgement of a packet: ``encode(Puback(packet))``, written out for the hot path."""
    return b"\x40\x02" + packet.to_bytes(2, "big")


def plain_sample(message: Message, packet: int) -> bytes:
    """A message with samples, QoS 1; ``publish_bytes`` written out for the usual length."""
    topic, body = message.topic, message.body
    size = len(topic) + len(body) + 4
    if not 127 < size < 16_384:
        return publish_bytes(topic, body, 1, packet)
    head = _HEAD(0x32, size & 0x7F | 0x80, size >> 7, len(topic))
    return b"".join((head, topic, packet.to_bytes(2, "big"), body))


_HEAD = Struct(">BBBH").pack
"""first byte, a length of two bytes, the topic's"""


def plain_take_sample(data: bytes, message: Message) -> int:
    """At the cloud: the packet identifier; raises InvariantError when the bytes aren't that message's."""
    topic, body = message.topic, message.body
    at = 5 + len(topic)  # where the packet identifier is, behind a length of two bytes
    size = at + len(body) - 1
    if 127 < size < 16_384 and len(data) == size + 3:
        # ``publish_parts`` written out for the usual length: nothing is copied to be compared
        head = _HEAD(0x32, size & 0x7F | 0x80, size >> 7, len(topic))
        if data.startswith(head + topic) and data.endswith(body):
            return data[at] << 8 | data[at + 1]
    parts = publish_parts(data)
    if parts is None or parts[0] != message.topic or parts[2] != message.body:
        raise InvariantError(
            f"the PUBLISH of device {message.device} k={message.k} doesn't say what was sent"
        )
    return parts[1]


def compiled(engine: Any) -> tuple[Callable[[Message, int], bytes], Callable[[bytes, Message], int]]:
    """The two of a compiled module (sim/native/writing.c), which leaves unusual lengths, and what isn't that
    message's, to Python."""
    made, taken = engine.sample, engine.take_sample

    def sample(message: Message, packet: int) -> bytes:
        found: bytes | None = made(message.topic, message.body, packet)
        return plain_sample(message, packet) if found is None else found

    def take_sample(data: bytes, message: Message) -> int:
        found: int | None = taken(data, message.topic, message.body)
        return plain_take_sample(data, message) if found is None else found

    return sample, take_sample


sample, take_sample = (plain_sample, plain_take_sample) if CHOICE.engine is None else compiled(CHOICE.engine)
"""those of this process"""


def _payload(thing: Any) -> tuple[str, bytes, int]:
    """(topic, payload, QoS) of anything else that is published."""
    if isinstance(thing, Command):
        fields = {"number": thing.number, "device": thing.device, "point": thing.point, "value": thing.value}
        return COMMANDS, json.dumps(fields, separators=(",", ":")).encode(), 1
    if isinstance(thing, Upgrade):
        return UPGRADES, thing.release.to_json().encode(), 1
    if isinstance(thing, ReleaseBlock):
        return BLOCKS, thing.upgrade.to_bytes(4, "big") + thing.offset.to_bytes(4, "big") + thing.data, 0
    topic = LEASES if isinstance(thing, LeaseRequest | LeaseAnswer) else BLOCKS
    return topic, json.dumps(thing._asdict(), separators=(",", ":")).encode(), 0


def publish(
    thing: Command | Upgrade | ReleaseBlock | BlockRequest | LeaseRequest | LeaseAnswer, packet: int
) -> bytes:
    """An order, a question or an answer; ``packet`` counts only with QoS 1."""
    topic, payload, qos = _payload(thing)
    return publish_bytes(topic.encode(), payload, qos, packet)


def take(data: bytes, thing: Any) -> Packet:
    """The one packet that arrived whole; raises InvariantError when it isn't, or isn't what travelled beside
    it."""
    found = PacketReader().feed(data)
    if len(found) != 1:
        raise InvariantError(f"{len(found)} packets in what an uplink carried as one")
    packet = found[0]
    if isinstance(packet, Publish) and (packet.topic, packet.payload) != _payload(thing)[:2]:
        raise InvariantError(f"a PUBLISH to {packet.topic} doesn't say what was sent")
    return packet
