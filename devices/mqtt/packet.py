"""MQTT 3.1.1 control packets: bytes to tuples and back, for a broker, a device and an uplink. Sans-IO. Of
MQTT 5.0: packet5.py.

Belongs here: sections 2 and 3 of the OASIS standard (29 October 2014), whose numbers are beside the code.
Never: sessions (broker.py). Every length has a limit; whatever is wrong is a ProtocolError that says what; a
CONNECT of a protocol level that isn't spoken says which.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from twinloop.devices.mqtt.fields import Cursor, ProtocolError, check_filter, check_topic

PACKET_BYTES_MAX = 256 << 10
"""of one packet; the standard allows 256 MiB, no broker in the field takes that from a sensor"""
_CONNECT, _CONNACK, _PUBLISH, _PUBACK, _SUBSCRIBE, _SUBACK, _UNSUBSCRIBE, _UNSUBACK = 1, 2, 3, 4, 8, 9, 10, 11
_PINGREQ, _PINGRESP, _DISCONNECT = 12, 13, 14
_PUBREC, _PUBREL, _PUBCOMP = 5, 6, 7
_FLAGS = {_SUBSCRIBE: 2, _UNSUBSCRIBE: 2, _PUBREL: 2}
"""fixed by table 2.2; 0 for the others but PUBLISH"""


LEVELS = {"MQIsdp": 3, "MQTT": 4}
"""protocol name -> the level that is spoken with it: MQTT 3.1 and 3.1.1"""
_BRIDGE = 0x80
"""bit of the level by which bridges between brokers say that they are one (mosquitto.conf(5), try_private):
they aren't sent their own messages"""


class LevelError(ProtocolError):
    """A CONNECT of another protocol level: answered with a CONNACK that says so, then closed
    [MQTT-3.1.2-2]."""

    def __init__(self, level: int) -> None:
        super().__init__(f"protocol level {level}")
        self.level = level

    @property
    def answer(self) -> bytes:
        """To a client of MQTT 5 in its own form (reason 0x84, no properties: MQTT 5.0 section 3.2.2), to
        others return code 1."""
        return b"\x20\x03\0\x84\0" if self.level & ~_BRIDGE == 5 else b"\x20\x02\0\x01"


class ClientError(ProtocolError):
    """A CONNECT whose client identifier can't be taken: answered with return code 2, then closed
    [MQTT-3.1.3-8]."""

    answer = b"\x20\x02\0\x02"


class Will(NamedTuple):
    """What the broker publishes for a client that is lost."""

    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False
    delay_s: int = 0
    properties: bytes = b""
    """these two are of MQTT 5.0"""


class Connect(NamedTuple):
    """3.1. ``clean``: no session is kept; ``keep_alive_s`` 0: none. From ``level`` on of MQTT 5.0, where
    ``clean`` only begins anew: ``expiry_s`` says for how long the session is kept, ``receives`` and
    ``packet_max`` (0: any) what the client takes."""

    client: str
    clean: bool = True
    keep_alive_s: int = 60
    will: Will | None = None
    user: str | None = None
    password: bytes | None = None
    level: int = 4
    expiry_s: int = 0
    receives: int = 65_535
    packet_max: int = 0
    method: str | None = None
    """of authentication, beyond user and password"""
    bridge: bool = False
    """of 3.1 and 3.1.1: it is another broker, and says so"""


class Connack(NamedTuple):
    """3.2. ``code`` 0: accepted, 1 to 5: refused. ``properties``: of MQTT 5.0, as bytes."""

    present: bool
    code: int = 0
    properties: bytes = b""


class Publish(NamedTuple):
    """3.3. ``packet`` is 0 with QoS 0. ``properties``: of MQTT 5.0, those that a broker hands on, as
    bytes."""

    topic: str
    payload: bytes
    qos: int = 0
    retain: bool = False
    dup: bool = False
    packet: int = 0
    properties: bytes = b""


class Puback(NamedTuple):
    """3.4. ``code``: of MQTT 5.0."""

    packet: int
    code: int = 0


class Pubrec(NamedTuple):
    """3.5. ``code``: of MQTT 5.0."""

    packet: int
    code: int = 0


class Pubrel(NamedTuple):
    """3.6. ``code``: of MQTT 5.0."""

    packet: int
    code: int = 0


class Pubcomp(NamedTuple):
    """3.7. ``code``: of MQTT 5.0."""

    packet: int
    code: int = 0


class Subscribe(NamedTuple):
    """3.8. ``filters``: (topic filter, largest QoS); ``options``: of MQTT 5.0, the options byte of each."""

    packet: int
    filters: tuple[tuple[str, int], ...]
    options: tuple[int, ...] = ()


class Suback(NamedTuple):
    """3.9. ``codes``: granted QoS, 0x80 for refused."""

    packet: int
    codes: tuple[int, ...]


class Unsubscribe(NamedTuple):
    """3.10."""

    packet: int
    filters: tuple[str, ...]


class Unsuback(NamedTuple):
    """3.11. ``codes``: of MQTT 5.0, of each filter."""

    packet: int
    codes: tuple[int, ...] = ()


class Pingreq(NamedTuple):
    """3.12."""


class Pingresp(NamedTuple):
    """3.13."""


class Disconnect(NamedTuple):
    """3.14. Of MQTT 5.0: the reason, and for how long the session is kept after all."""

    code: int = 0
    expiry_s: int | None = None


Packet = (
    Connect
    | Connack
    | Publish
    | Puback
    | Pubrec
    | Pubrel
    | Pubcomp
    | Subscribe
    | Suback
    | Unsubscribe
    | Unsuback
    | Pingreq
    | Pingresp
    | Disconnect
)


# ---- decoding ------------------------------------------------------------------------------------
def _connect(cursor: Cursor, flags: int) -> Connect:
    name = cursor.text()
    if name not in LEVELS:
        raise ProtocolError("protocol name")
    level, bits = cursor.take(1)[0], cursor.take(1)[0]
    if level & ~_BRIDGE != LEVELS[name]:
        raise LevelError(level)
    keep_alive, will_qos = cursor.number(), bits >> 3 & 3
    if bits & 1 or will_qos > 2 or (not bits & 4 and bits & 0x38) or (bits & 0x40 and not bits & 0x80):
        raise ProtocolError(f"connect flags {bits:#04x}")
    client = cursor.text()
    if not client and not bits & 2:
        raise ClientError("a session to keep needs a client identifier")
    will = (
        Will(check_topic(cursor.text()), cursor.binary(), will_qos, bool(bits & 0x20)) if bits & 4 else None
    )
    user = cursor.text() if bits & 0x80 else None
    password = cursor.binary() if bits & 0x40 else None
    return Connect(client, bool(bits & 2), keep_alive, will, user, password, bridge=bool(level & _BRIDGE))


def _connack(cursor: Cursor, flags: int) -> Connack:
    present, code = cursor.take(2)
    if present > 1 or code > 5 or (present and code):
        raise ProtocolError(f"connack {present} {code}")
    return Connack(bool(present), code)


def _publish(cursor: Cursor, flags: int) -> Publish:
    qos = flags >> 1 & 3
    if qos > 2 or (not qos and flags & 8):
        raise ProtocolError(f"publish flags {flags:#x}")
    topic = check_topic(cursor.text())
    packet = cursor.identifier() if qos else 0
    return Publish(topic, cursor.take(cursor.left), qos, bool(flags & 1), bool(flags & 8), packet)


def _subscribe(cursor: Cursor, flags: int) -> Subscribe:
    packet = cursor.identifier()
    filters: list[tuple[str, int]] = []
    while cursor.left or not filters:
        pattern = check_filter(cursor.text())
        qos = cursor.take(1)[0]
        if qos > 2:
            raise ProtocolError(f"requested QoS {qos}")
        filters.append((pattern, qos))
    return Subscribe(packet, tuple(filters))


def _suback(cursor: Cursor, flags: int) -> Suback:
    packet, codes = cursor.identifier(), tuple(cursor.take(cursor.left))
    if not codes or any(code not in (0, 1, 2, 0x80) for code in codes):
        raise ProtocolError("suback codes")
    return Suback(packet, codes)


def _unsubscribe(cursor: Cursor, flags: int) -> Unsubscribe:
    packet = cursor.identifier()
    filters: list[str] = []
    while cursor.left or not filters:
        filters.append(check_filter(cursor.text()))
    return Unsubscribe(packet, tuple(filters))


_DECODERS: dict[int, Callable[[Cursor, int], Packet]] = {
    _CONNECT: _connect,
    _CONNACK: _connack,
    _PUBLISH: _publish,
    _PUBACK: lambda cursor, _: Puback(cursor.identifier()),
    _PUBREC: lambda cursor, _: Pubrec(cursor.identifier()),
    _PUBREL: lambda cursor, _: Pubrel(cursor.identifier()),
    _PUBCOMP: lambda cursor, _: Pubcomp(cursor.identifier()),
    _SUBSCRIBE: _subscribe,
    _SUBACK: _suback,
    _UNSUBSCRIBE: _unsubscribe,
    _UNSUBACK: lambda cursor, _: Unsuback(cursor.identifier()),
    _PINGREQ: lambda *_: Pingreq(),
    _PINGRESP: lambda *_: Pingresp(),
    _DISCONNECT: lambda *_: Disconnect(),
}


_REPEATED = {_PUBREL: 0xA, _SUBSCRIBE: 0xA, _UNSUBSCRIBE: 0xA}
"""flags of MQTT 3.1's packets when they are sent again, with DUP (MQTT V3.1, 2.1)"""


def _decode(kind: int, flags: int, body: bytes, old: bool) -> Packet:
    if kind not in _DECODERS:
        raise ProtocolError(f"packet type {kind}")
    if old and flags == _REPEATED.get(kind):
        flags = _FLAGS[kind]
    if kind != _PUBLISH and flags != _FLAGS.get(kind, 0):
        raise ProtocolError(f"flags {flags:#x} of packet type {kind}")
    cursor = Cursor(body)
    packet = _DECODERS[kind](cursor, flags)
    cursor.end()
    return packet


class PacketReader:
    """Packets out of a stream's bytes. ``other``: told (packet type, body) of each; what it takes and decodes
    isn't looked at here."""

    __slots__ = ("_buffer", "_old", "other")

    def __init__(self, other: Callable[[int, int, bytes], Packet | None] | None = None) -> None:
        self._buffer, self.other = b"", other
        self._old = False
        """it began with a CONNECT of MQTT 3.1"""

    def feed(self, data: bytes) -> list[Packet]:
        """Every packet that is whole now. Raises ProtocolError at the first that is wrong, after which the
        reader is of no use."""
        buffer = self._buffer + data if self._buffer else data
        packets: list[Packet] = []
        while len(buffer) >= 2:
            size, at = buffer[1], 2
            if size >= 0x80:
                size, shift, at = 0, 0, 1
                while True:  # 2.2.3: seven bits a byte, least significant first, four at most
                    byte = buffer[at]
                    size, shift, at = size | (byte & 0x7F) << shift, shift + 7, at + 1
                    if byte < 0x80 or at >= len(buffer) or at == 5:
                        break
                if byte >= 0x80:
                    if at == 5:
                        raise ProtocolError("remaining length of more than four bytes")
                    break
            if size > PACKET_BYTES_MAX:
                raise ProtocolError(f"a packet of {size} bytes, at most {PACKET_BYTES_MAX} are taken")
            if len(buffer) < at + size:
                break
            kind, flags, body = buffer[0] >> 4, buffer[0] & 15, buffer[at : at + size]
            packet = (self.other(kind, flags, body) if self.other is not None else None) or _decode(
                kind, flags, body, self._old
            )
            if kind == _CONNECT:
                self._old = body.startswith(b"\0\x06MQIsdp")
            packets.append(packet)
            buffer = buffer[at + size :]
        self._buffer = buffer
        return packets


# ---- encoding ------------------------------------------------------------------------------------
def length_bytes(size: int) -> bytes:
    """2.2.3: seven bits a byte."""
    if size < 0x4000:  # the usual ones, written out
        return bytes((size,)) if size < 0x80 else bytes((size & 0x7F | 0x80, size >> 7))
    out = bytearray()
    while True:
        size, low = size >> 7, size & 0x7F
        out.append(low | 0x80 if size else low)
        if not size:
            return bytes(out)


def whole_packet(kind: int, flags: int, body: bytes) -> bytes:
    """A packet: its fixed header, and the rest."""
    return bytes((kind << 4 | flags,)) + length_bytes(len(body)) + body


def _binary(data: bytes) -> bytes:
    return len(data).to_bytes(2, "big") + data


def text_bytes(text: str) -> bytes:
    """A string behind its length."""
    return _binary(text.encode())


def publish_bytes(
    topic: bytes, payload: bytes, qos: int, packet: int, retain: bool = False, dup: bool = False
) -> bytes:
    """A PUBLISH, for those who send many: ``topic`` is checked already."""
    body = _binary(topic) + (packet.to_bytes(2, "big") if qos else b"") + payload
    return whole_packet(_PUBLISH, dup << 3 | qos << 1 | retain, body)


def publish_parts(data: bytes) -> tuple[bytes, int, bytes] | None:
    """(topic, packet identifier, payload) of exactly one PUBLISH with QoS 1 and no flags; None for anything
    else. For those who read many."""
    length = len(data)
    if length > 2 and data[1] >= 0x80 > data[2]:  # the loop below, written out for the usual length
        size, at = data[1] & 0x7F | data[2] << 7, 3
    else:
        size, shift, at = 0, 0, 1
        while True:
            if at >= length or at == 5:
                return None
            byte = data[at]
            size |= (byte & 0x7F) << shift
            at, shift = at + 1, shift + 7
            if byte < 0x80:
                break
    body = at + 2 + int.from_bytes(data[at : at + 2], "big")
    if data[0] != 0x32 or size != length - at or body + 2 > length:
        return None
    return data[at + 2 : body], int.from_bytes(data[body : body + 2], "big"), data[body + 2 :]


_ACKNOWLEDGES: dict[type, int] = {
    Puback: _PUBACK,
    Pubrec: _PUBREC,
    Pubrel: _PUBREL,
    Pubcomp: _PUBCOMP,
    Unsuback: _UNSUBACK,
}


def encode(packet: Packet) -> bytes:
    """A packet's bytes."""
    if isinstance(packet, Publish):
        return publish_bytes(
            packet.topic.encode(), packet.payload, packet.qos, packet.packet, packet.retain, packet.dup
        )
    if isinstance(packet, Connect):
        will = packet.will
        bits = 2 * packet.clean | (0 if will is None else 4 | will.qos << 3 | will.retain << 5)
        bits |= (packet.user is not None) << 7 | (packet.password is not None) << 6
        body = (
            b"\0\x04MQTT"
            + bytes((4 | packet.bridge << 7, bits))
            + packet.keep_alive_s.to_bytes(2, "big")
            + text_bytes(packet.client)
        )
        if will is not None:
            body += text_bytes(will.topic) + _binary(will.payload)
        body += (b"" if packet.user is None else text_bytes(packet.user)) + (
            b"" if packet.password is None else _binary(packet.password)
        )
        return whole_packet(_CONNECT, 0, body)
    if isinstance(packet, Subscribe):
        asked = b"".join(text_bytes(name) + bytes((qos,)) for name, qos in packet.filters)
        return whole_packet(_SUBSCRIBE, 2, packet.packet.to_bytes(2, "big") + asked)
    if isinstance(packet, Unsubscribe):
        return whole_packet(
            _UNSUBSCRIBE,
            2,
            packet.packet.to_bytes(2, "big") + b"".join(text_bytes(name) for name in packet.filters),
        )
    if isinstance(packet, Suback):
        return whole_packet(_SUBACK, 0, packet.packet.to_bytes(2, "big") + bytes(packet.codes))
    if isinstance(packet, Connack):
        return whole_packet(_CONNACK, 0, bytes((packet.present, packet.code)))
    # a union would be built for each packet
    if isinstance(packet, (Puback, Pubrec, Pubrel, Pubcomp, Unsuback)):
        kind = _ACKNOWLEDGES[type(packet)]
        return whole_packet(kind, _FLAGS.get(kind, 0), packet.packet.to_bytes(2, "big"))
    return whole_packet(
        {Pingreq: _PINGREQ, Pingresp: _PINGRESP, Disconnect: _DISCONNECT}[type(packet)], 0, b""
    )
