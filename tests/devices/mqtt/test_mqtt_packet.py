"""MQTT 3.1.1 packets: the standard's figures, every packet there and back however it is split, amqtt's codec,
and what must be refused."""

from __future__ import annotations

import asyncio
import random
import re
from typing import Any

import pytest
from amqtt.adapters import BufferReader
from amqtt.mqtt.packet import MQTTFixedHeader
from amqtt.mqtt.publish import PublishPacket
from amqtt.mqtt.subscribe import SubscribePacket
from hypothesis import given
from hypothesis import strategies as st

from twinloop.devices.mqtt.fields import ProtocolError, check_filter, check_topic, matches
from twinloop.devices.mqtt.packet import (
    PACKET_BYTES_MAX,
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

VECTORS: dict[str, tuple[Packet, str]] = {
    "3.1.2 figure 3.6, 3.1.3": (
        Connect("c", True, 10, Will("w", b"x", 1), "u", b"p"),
        "10 19 00 04 4D 51 54 54 04 CE 00 0A 00 01 63 00 01 77 00 01 78 00 01 75 00 01 70",
    ),
    "3.2 figure 3.8": (Connack(True), "20 02 01 00"),
    "3.3 figure 3.11": (Publish("a/b", b"", 1, packet=10), "32 07 00 03 61 2F 62 00 0A"),
    "3.4": (Puback(0x1234), "40 02 12 34"),
    "3.8 figure 3.20 to 3.23": (
        Subscribe(10, (("a/b", 1), ("c/d", 2))),
        "82 0E 00 0A 00 03 61 2F 62 01 00 03 63 2F 64 02",
    ),
    "3.9 figure 3.26": (Suback(10, (0, 2, 0x80)), "90 05 00 0A 00 02 80"),
    "3.10 figure 3.30": (Unsubscribe(10, ("a/b", "c/d")), "A2 0C 00 0A 00 03 61 2F 62 00 03 63 2F 64"),
    "3.11": (Unsuback(10), "B0 02 00 0A"),
    "3.12": (Pingreq(), "C0 00"),
    "3.13": (Pingresp(), "D0 00"),
    "3.14": (Disconnect(), "E0 00"),
}


@pytest.mark.parametrize("section", VECTORS)
def test_the_standards_figures(section: str) -> None:
    packet, text = VECTORS[section]
    assert encode(packet) == bytes.fromhex(text)
    assert PacketReader().feed(bytes.fromhex(text)) == [packet]


@pytest.mark.parametrize(
    ("size", "length"),
    [(0, "00"), (127, "7F"), (128, "80 01"), (16_383, "FF 7F"), (16_384, "80 80 01"), (200_000, "C0 9A 0C")],
)
def test_remaining_length(size: int, length: str) -> None:
    """2.2.3, table 2.4 and its algorithm."""
    payload = bytes(size - 3) if size >= 3 else b""
    if size < 3:
        assert encode(Pingreq())[1:] == bytes.fromhex(length)
        return
    data = encode(Publish("a", payload))
    assert data[1 : 1 + len(bytes.fromhex(length))] == bytes.fromhex(length)
    assert PacketReader().feed(data) == [Publish("a", payload)]


texts = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=12)
topics = st.text(
    st.characters(exclude_categories=("Cs",), exclude_characters="\0+#"), min_size=1, max_size=12
)
numbers = st.integers(1, 65_535)


def made(kind: Any, *fields: Any) -> Any:
    """Of 3.1.1: without the fields of other levels."""
    return st.tuples(*fields).map(lambda values: kind(*values))


wills = st.none() | made(Will, topics, st.binary(max_size=9), st.integers(0, 1), st.booleans())
packets = st.one_of(
    made(
        Connect,
        texts.filter(bool),
        st.booleans(),
        st.integers(0, 65_535),
        wills,
        texts,
        st.none() | st.binary(max_size=9),
    ),
    made(Connack, st.just(False), st.integers(0, 5)),
    made(Publish, topics, st.binary(max_size=300), st.just(0), st.booleans(), st.just(False), st.just(0)),
    made(Publish, topics, st.binary(max_size=300), st.just(1), st.booleans(), st.booleans(), numbers),
    made(Puback, numbers),
    made(
        Subscribe, numbers, st.lists(st.tuples(topics, st.integers(0, 2)), min_size=1, max_size=4).map(tuple)
    ),
    made(Suback, numbers, st.lists(st.sampled_from([0, 1, 2, 0x80]), min_size=1, max_size=4).map(tuple)),
    made(Unsubscribe, numbers, st.lists(topics, min_size=1, max_size=4).map(tuple)),
    made(Unsuback, numbers),
    st.just(Pingreq()),
    st.just(Pingresp()),
    st.just(Disconnect()),
)


@given(st.lists(packets, max_size=5), st.lists(st.integers(1, 40), max_size=60))
def test_every_packet_comes_back_however_the_stream_is_cut(sent: list[Packet], cuts: list[int]) -> None:
    data = b"".join(encode(packet) for packet in sent)
    reader, came = PacketReader(), []
    for size in cuts:
        came += reader.feed(data[:size])
        data = data[size:]
    came += reader.feed(data)
    assert came == sent


def by_amqtt(kind: Any, data: bytes) -> Any:
    async def read() -> Any:
        reader = BufferReader(data)
        return await kind.from_stream(reader, fixed_header=await MQTTFixedHeader.from_stream(reader))

    return asyncio.run(read())


def test_amqtt_reads_what_we_write_and_writes_what_we_read() -> None:
    ours = Publish("plant/press", b'{"a":1}', 1, True, False, 77)
    theirs = by_amqtt(PublishPacket, encode(ours))
    assert (theirs.topic_name, bytes(theirs.data), theirs.qos, theirs.retain_flag, theirs.packet_id) == (
        "plant/press",
        b'{"a":1}',
        1,
        True,
        77,
    )
    assert PacketReader().feed(bytes(theirs.to_bytes())) == [ours]
    asked = by_amqtt(SubscribePacket, encode(Subscribe(9, (("plant/#", 1), ("x/+", 0)))))
    assert asked.payload.topics == [("plant/#", 1), ("x/+", 0)]
    assert PacketReader().feed(bytes(asked.to_bytes())) == [Subscribe(9, (("plant/#", 1), ("x/+", 0)))]


WRONG: dict[str, tuple[str, str]] = {
    "length of five bytes": ("30 FF FF FF FF 01", "more than four bytes"),
    "beyond our limit": ("30 FF FF FF 7F", f"at most {PACKET_BYTES_MAX}"),
    "type 0": ("00 00", "packet type 0"),
    "type 15": ("F0 00", "packet type 15"),
    "QoS 3": ("36 05 00 01 61 00 01", "publish flags"),
    "DUP with QoS 0": ("38 03 00 01 61", "publish flags"),
    "flags of PUBREL": ("60 02 00 01", "flags 0x0 of packet type 6"),
    "flags of SUBSCRIBE": ("80 06 00 01 00 01 61 00", "flags 0x0 of packet type 8"),
    "flags of PINGREQ": ("C1 00", "flags 0x1"),
    "identifier 0": ("40 02 00 00", "packet identifier 0"),
    "no identifier": ("40 01 00", "2 bytes expected"),
    "bytes too many": ("40 03 00 01 00", "1 bytes too many"),
    "wildcard in a topic": ("30 03 00 01 23", "topic name"),
    "empty topic": ("30 02 00 00", "topic name"),
    "topic not UTF-8": ("30 03 00 01 FF", "isn't UTF-8"),
    "surrogate": ("30 05 00 03 ED A0 80", "isn't UTF-8"),
    "U+0000": ("30 03 00 01 00", "U+0000"),
    "string longer than the packet": ("30 03 00 09 61", "9 bytes expected"),
    "no filter": ("82 02 00 01", "2 bytes expected"),
    "filter with # in the middle": ("82 08 00 01 00 03 23 2F 61 00", "topic filter"),
    "requested QoS 3": ("82 06 00 01 00 01 61 03", "requested QoS 3"),
    "suback code": ("90 03 00 01 03", "suback codes"),
    "suback of nothing": ("90 02 00 01", "suback codes"),
    "connack flags": ("20 02 02 00", "connack"),
    "present and refused": ("20 02 01 01", "connack"),
    "protocol name": ("10 0C 00 04 4D 51 54 58 04 02 00 0A 00 00", "protocol name"),
    "protocol level": ("10 0C 00 04 4D 51 54 54 05 02 00 0A 00 00", "protocol level 5"),
    "reserved connect flag": ("10 0C 00 04 4D 51 54 54 04 03 00 0A 00 00", "connect flags"),
    "will QoS without will": ("10 0C 00 04 4D 51 54 54 04 0A 00 0A 00 00", "connect flags"),
    "will QoS 3": ("10 0C 00 04 4D 51 54 54 04 1E 00 0A 00 00", "connect flags"),
    "level 4 of MQIsdp": ("10 0E 00 06 4D 51 49 73 64 70 04 02 00 0A 00 00", "protocol level 4"),
    "password without user": ("10 0C 00 04 4D 51 54 54 04 42 00 0A 00 00", "connect flags"),
    "session without a name": ("10 0C 00 04 4D 51 54 54 04 00 00 0A 00 00", "client identifier"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_breaks_the_protocol_is_refused_with_the_reason(name: str) -> None:
    data, reason = WRONG[name]
    with pytest.raises(ProtocolError, match=re.escape(reason)):
        PacketReader().feed(bytes.fromhex(data))


def test_topics_and_filters_match_as_the_standard_says() -> None:
    """4.7.1.2, 4.7.1.3, 4.7.2."""
    for pattern, topic, expected in [
        ("sport/tennis/player1/#", "sport/tennis/player1", True),
        ("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", True),
        ("sport/#", "sport", True),
        ("#", "anything/at/all", True),
        ("sport/tennis/+", "sport/tennis/player1", True),
        ("sport/tennis/+", "sport/tennis/player1/ranking", False),
        ("sport/+", "sport", False),
        ("sport/+", "sport/", True),
        ("+/+", "/finance", True),
        ("/+", "/finance", True),
        ("+", "/finance", False),
        ("#", "$SYS/x", False),
        ("+/monitor/Clients", "$SYS/monitor/Clients", False),
        ("$SYS/#", "$SYS/x", True),
        ("a", "A", False),
    ]:
        assert matches(pattern, topic) is expected, (pattern, topic)
    for wrong in ("sport/tennis#", "sport/tennis/#/ranking", "sport+", "", "a" * 1025):
        with pytest.raises(ProtocolError):
            check_filter(wrong)
    for wrong in ("a/+", "#", "", "a" * 1025):
        with pytest.raises(ProtocolError):
            check_topic(wrong)
    assert check_filter("+/a/#") == "+/a/#"


def test_any_bytes_are_packets_or_a_protocol_error() -> None:
    chance = random.Random(3)
    good = [bytes.fromhex(text) for _, text in VECTORS.values()]
    broken = 0
    for _ in range(20_000):
        data = bytearray(chance.choice(good))
        for _ in range(chance.randint(1, 3)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        try:
            for packet in PacketReader().feed(bytes(data)):
                assert PacketReader().feed(encode(packet)) == [packet]
        except ProtocolError:
            broken += 1
    assert 5000 < broken < 20_000
