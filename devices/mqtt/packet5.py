"""MQTT 5.0 control packets as a broker needs them: what is other than in 3.1.1, whose packets (packet.py) are
the same tuples.

Belongs here: sections 2 and 3 of the OASIS standard (7 March 2019), whose numbers are beside the code:
properties, reason codes, options of subscriptions; a client's packets in, a broker's out. Never: sessions
(broker.py), what a property means there. Of a PUBLISH and a will the properties that a broker hands on
(3.3.2.3) are kept as they came; topic aliases and subscription identifiers aren't offered, and are refused.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twinloop.devices.mqtt.fields import Cursor, ProtocolError, check_filter, check_topic
from twinloop.devices.mqtt.packet import (
    Connack,
    Connect,
    Disconnect,
    Packet,
    Pingreq,
    Puback,
    Pubcomp,
    Publish,
    Pubrec,
    Pubrel,
    Suback,
    Subscribe,
    Unsuback,
    Unsubscribe,
    Will,
    encode,
    length_bytes,
    text_bytes,
    whole_packet,
)

LEVEL = 5
NO_SUBSCRIPTION, PROTOCOL_ERROR, UNAVAILABLE = 0x11, 0x82, 0x88
BAD_AUTHENTICATION = 0x8C
KEEP_ALIVE_TIMEOUT = 0x8D
TAKEN_OVER = 0x8E
NOT_FOUND = 0x92
RECEIVE_MAXIMUM = 0x93
TOPIC_ALIAS = 0x94
QUOTA, SHARED, IDENTIFIERS = 0x97, 0x9E, 0xA1
"""reason codes (2.4)"""
FORMAT = 1
MESSAGE_EXPIRY = 2
CONTENT_TYPE = 3
RESPONSE_TOPIC = 8
CORRELATION = 9
IDENTIFIER = 11
SESSION_EXPIRY = 17
ASSIGNED, METHOD, DATA, PROBLEMS, WILL_DELAY, RESPONSES, SERVER, REASON = 18, 21, 22, 23, 24, 25, 28, 31
RECEIVES, ALIASES, ALIAS, USER, PACKET_MAX = 33, 34, 35, 38, 39
IDENTIFIERS_OFFERED, SHARED_OFFERED = 41, 42
"""properties (2.2.2.2)"""
FOR_EVER = 0xFFFF_FFFF
"""a session expiry interval that never ends (3.1.2.11.2)"""
NO_LOCAL, AS_PUBLISHED = 4, 8
"""bits of a subscription's options (3.8.3.1); bits 4 and 5: whether retained messages are sent"""
HANDED_ON = (FORMAT, MESSAGE_EXPIRY, CONTENT_TYPE, RESPONSE_TOPIC, CORRELATION, USER)


def _varint(cursor: Cursor) -> int:
    """1.5.5: at most four bytes, and as few as will do."""
    value = shift = 0
    while True:
        byte = cursor.take(1)[0]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if not byte and shift:
                raise ProtocolError("a variable byte integer longer than it need be")
            return value
        shift += 7
        if shift > 21:
            raise ProtocolError("a variable byte integer of more than four bytes")


def _pair(cursor: Cursor) -> tuple[str, str]:
    return cursor.text(), cursor.text()


def _byte(cursor: Cursor) -> int:
    return cursor.take(1)[0]


def _long(cursor: Cursor) -> int:
    return int.from_bytes(cursor.take(4), "big")


_TYPES: dict[int, Callable[[Cursor], Any]] = {
    FORMAT: _byte,
    MESSAGE_EXPIRY: _long,
    CONTENT_TYPE: Cursor.text,
    RESPONSE_TOPIC: Cursor.text,
    CORRELATION: Cursor.binary,
    IDENTIFIER: _varint,
    SESSION_EXPIRY: _long,
    METHOD: Cursor.text,
    DATA: Cursor.binary,
    PROBLEMS: _byte,
    WILL_DELAY: _long,
    RESPONSES: _byte,
    REASON: Cursor.text,
    RECEIVES: Cursor.number,
    ALIASES: Cursor.number,
    ALIAS: Cursor.number,
    USER: _pair,
    PACKET_MAX: _long,
    SERVER: Cursor.text,
}
_OF_CONNECT = (SESSION_EXPIRY, METHOD, DATA, PROBLEMS, RESPONSES, RECEIVES, ALIASES, USER, PACKET_MAX)
_OF_WILL = (FORMAT, MESSAGE_EXPIRY, CONTENT_TYPE, RESPONSE_TOPIC, CORRELATION, WILL_DELAY, USER)
_OF_PUBLISH = (*HANDED_ON, ALIAS, IDENTIFIER)
_OF_ANSWER = (REASON, USER)
_OF_SUBSCRIBE = (IDENTIFIER, USER)
_OF_UNSUBSCRIBE = (USER,)
_OF_DISCONNECT = (SESSION_EXPIRY, REASON, USER)
_FLAGS_ONLY = (FORMAT, PROBLEMS, RESPONSES)
_NOT_ZERO = (RECEIVES, PACKET_MAX, IDENTIFIER)


def _properties(cursor: Cursor, allowed: tuple[int, ...]) -> tuple[dict[int, Any], bytes]:
    """(property -> value, those that are handed on as they came); raises ProtocolError for what doesn't
    belong there or comes twice (2.2.2.2)."""
    inside = Cursor(cursor.take(_varint(cursor)))
    found: dict[int, Any] = {}
    handed_on = b""
    while inside.left:
        begun = inside.at
        number = _varint(inside)
        if number not in allowed:
            raise ProtocolError(f"property {number} has no business there", PROTOCOL_ERROR)
        value = _TYPES[number](inside)
        if number in found and number != USER:
            raise ProtocolError(f"property {number} comes twice", PROTOCOL_ERROR)
        if (number in _FLAGS_ONLY and value > 1) or (number in _NOT_ZERO and not value):
            raise ProtocolError(f"property {number} is {value}", PROTOCOL_ERROR)
        found[number] = value
        if number in HANDED_ON:
            handed_on += inside.since(begun)
    return found, handed_on


# ---- decoding ------------------------------------------------------------------------------------
def is_connect(kind: int, body: bytes) -> bool:
    """Is it a CONNECT of this level?"""
    return kind == 1 and body[:7] == b"\0\x04MQTT\x05"


def _connect(cursor: Cursor, flags: int) -> Connect:
    cursor.take(7)
    bits = cursor.take(1)[0]
    keep_alive, will_qos = cursor.number(), bits >> 3 & 3
    if bits & 1 or will_qos > 2 or (not bits & 4 and bits & 0x38):
        raise ProtocolError(f"connect flags {bits:#04x}")
    asked, _ = _properties(cursor, _OF_CONNECT)
    if DATA in asked and METHOD not in asked:
        raise ProtocolError("authentication data without a method", PROTOCOL_ERROR)
    client = cursor.text()
    will = None
    if bits & 4:
        of_will, handed_on = _properties(cursor, _OF_WILL)
        will = Will(
            check_topic(cursor.text()),
            cursor.binary(),
            will_qos,
            bool(bits & 0x20),
            of_will.get(WILL_DELAY, 0),
            handed_on,
        )
    user = cursor.text() if bits & 0x80 else None
    password = cursor.binary() if bits & 0x40 else None
    return Connect(
        client,
        bool(bits & 2),
        keep_alive,
        will,
        user,
        password,
        LEVEL,
        asked.get(SESSION_EXPIRY, 0),
        asked.get(RECEIVES, 65_535),
        asked.get(PACKET_MAX, 0),
        asked.get(METHOD),
    )


def _publish(cursor: Cursor, flags: int) -> Publish:
    qos = flags >> 1 & 3
    if qos > 2 or (not qos and flags & 8):
        raise ProtocolError(f"publish flags {flags:#x}")
    topic = cursor.text()
    packet = cursor.identifier() if qos else 0
    asked, handed_on = _properties(cursor, _OF_PUBLISH)
    if ALIAS in asked:
        raise ProtocolError(f"topic alias {asked[ALIAS]}, where none was offered", TOPIC_ALIAS)
    if IDENTIFIER in asked:
        raise ProtocolError("a subscription identifier from a client", PROTOCOL_ERROR)
    if RESPONSE_TOPIC in asked:
        check_topic(asked[RESPONSE_TOPIC])
    return Publish(
        check_topic(topic), cursor.take(cursor.left), qos, bool(flags & 1), bool(flags & 8), packet, handed_on
    )


def _answer(made: Callable[..., Packet]) -> Callable[[Cursor, int], Packet]:
    """3.4.2.1: with a remaining length of 2 the reason is success."""

    def decoded(cursor: Cursor, flags: int) -> Packet:
        packet = cursor.identifier()
        code = cursor.take(1)[0] if cursor.left else 0
        if cursor.left:
            _properties(cursor, _OF_ANSWER)
        return made(packet, code)

    return decoded


def _subscribe(cursor: Cursor, flags: int) -> Subscribe:
    packet = cursor.identifier()
    asked, _ = _properties(cursor, _OF_SUBSCRIBE)
    if IDENTIFIER in asked:
        raise ProtocolError("a subscription identifier, where none was offered", IDENTIFIERS)
    filters: list[tuple[str, int]] = []
    options: list[int] = []
    while cursor.left or not filters:
        pattern = check_filter(cursor.text())
        bits = cursor.take(1)[0]
        if bits & 3 == 3 or bits >> 4 & 3 == 3 or bits & 0xC0:
            raise ProtocolError(f"subscription options {bits:#04x}")
        if pattern.startswith("$share/") and bits & NO_LOCAL:
            raise ProtocolError("no local on a shared subscription", PROTOCOL_ERROR)
        filters.append((pattern, bits & 3))
        options.append(bits)
    return Subscribe(packet, tuple(filters), tuple(options))


def _unsubscribe(cursor: Cursor, flags: int) -> Unsubscribe:
    packet = cursor.identifier()
    _properties(cursor, _OF_UNSUBSCRIBE)
    filters: list[str] = []
    while cursor.left or not filters:
        filters.append(check_filter(cursor.text()))
    return Unsubscribe(packet, tuple(filters))


def _disconnect(cursor: Cursor, flags: int) -> Disconnect:
    code = cursor.take(1)[0] if cursor.left else 0
    asked = _properties(cursor, _OF_DISCONNECT)[0] if cursor.left else {}
    return Disconnect(code, asked.get(SESSION_EXPIRY))


_DECODERS: dict[int, Callable[[Cursor, int], Packet]] = {
    1: _connect,
    3: _publish,
    4: _answer(Puback),
    5: _answer(Pubrec),
    6: _answer(Pubrel),
    7: _answer(Pubcomp),
    8: _subscribe,
    10: _unsubscribe,
    12: lambda *_: Pingreq(),
    14: _disconnect,
}
_FLAGS = {6: 2, 8: 2, 10: 2}


def decode(kind: int, flags: int, body: bytes) -> Packet:
    """A client's packet; raises ProtocolError."""
    if kind not in _DECODERS:
        raise ProtocolError(f"packet type {kind}", PROTOCOL_ERROR)
    if kind != 3 and flags != _FLAGS.get(kind, 0):
        raise ProtocolError(f"flags {flags:#x} of packet type {kind}")
    cursor = Cursor(body)
    packet = _DECODERS[kind](cursor, flags)
    cursor.end()
    return packet


# ---- encoding ------------------------------------------------------------------------------------
def offered(packet_bytes_max: int, receives: int, assigned: str = "") -> bytes:
    """What a broker says of itself in its CONNACK (3.2.2.3); ``assigned``: the name that it has given a
    client without one."""
    named = bytes((ASSIGNED,)) + text_bytes(assigned) if assigned else b""
    limits = (
        bytes((RECEIVES,))
        + receives.to_bytes(2, "big")
        + bytes((PACKET_MAX,))
        + packet_bytes_max.to_bytes(4, "big")
    )
    return limits + named + bytes((IDENTIFIERS_OFFERED, 0, SHARED_OFFERED, 0))


def _with(properties: bytes) -> bytes:
    return length_bytes(len(properties)) + properties


def encode5(packet: Packet) -> bytes:
    """A broker's packet."""
    if isinstance(packet, Publish):
        number = packet.packet.to_bytes(2, "big") if packet.qos else b""
        flags = packet.dup << 3 | packet.qos << 1 | packet.retain
        return whole_packet(
            3, flags, text_bytes(packet.topic) + number + _with(packet.properties) + packet.payload
        )
    if isinstance(packet, Connack):
        return whole_packet(2, 0, bytes((packet.present, packet.code)) + _with(packet.properties))
    if isinstance(packet, Suback):
        return whole_packet(9, 0, packet.packet.to_bytes(2, "big") + b"\0" + bytes(packet.codes))
    if isinstance(packet, Unsuback):
        return whole_packet(11, 0, packet.packet.to_bytes(2, "big") + b"\0" + bytes(packet.codes))
    if isinstance(packet, Disconnect):
        return whole_packet(14, 0, bytes((packet.code, 0)))
    if isinstance(packet, Puback | Pubrec | Pubcomp) and packet.code:
        return whole_packet(
            {Puback: 4, Pubrec: 5, Pubcomp: 7}[type(packet)],
            0,
            packet.packet.to_bytes(2, "big") + bytes((packet.code,)),
        )
    return encode(packet)
