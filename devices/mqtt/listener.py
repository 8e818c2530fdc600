"""A client that only listens at an MQTT broker: sans-IO.

Belongs here: the subscriber's side of MQTT 3.1.1. Never: a network, a clock, what messages mean. Its session
is kept (clean session 0), so that what is published while its connection is down comes when it is back; a
session that is gone when it comes back has lost something, and is told. Retained messages that the
subscription itself brings are of another time, and are dropped.
"""

from __future__ import annotations

from collections.abc import Callable

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

KEEP_ALIVE_S = 30
_REFUSED = 0x80


class MqttListener:
    """Asks for ``pattern`` with QoS 1, as ``client``; ``heard`` gets (topic, payload).

    ``why``: what went wrong last; ``lost_session``: how often the broker had forgotten us.
    """

    def __init__(self, client: str, pattern: str, heard: Callable[[str, bytes], None]) -> None:
        self._client, self._pattern, self._heard = client, pattern, heard
        self._send: Callable[[bytes], None] | None = None
        self._reader = PacketReader()
        self.listening = self.has_listened = False
        """the broker has granted the subscription: now, once"""
        self.why = ""
        self.lost_session = 0
        self._unanswered = False

    def connected(self, send: Callable[[bytes], None]) -> None:
        """A connection stands."""
        self._send, self._reader, self.listening, self._unanswered = send, PacketReader(), False, False
        send(encode(Connect(self._client, clean=False, keep_alive_s=KEEP_ALIVE_S)))

    def farewell(self) -> bytes:
        """On a connection of its own, when all is over: the broker needs to keep nothing."""
        return encode(Connect(self._client, clean=True, keep_alive_s=KEEP_ALIVE_S))

    def lost(self) -> None:
        """It doesn't any more."""
        self._send, self.listening = None, False

    def ping(self) -> bool:
        """A sign of life, due every half of KEEP_ALIVE_S; False when the last one wasn't answered: the
        connection is to be closed."""
        if self._send is None or not self.listening:
            return True
        if self._unanswered:
            self.why = "it doesn't answer"
            return False
        self._unanswered = True
        self._send(encode(Pingreq()))
        return True

    def received(self, data: bytes) -> bool:
        """Bytes of the broker; False: the connection is to be closed, and opened again."""
        self._unanswered = False
        try:
            return all(self._handle(packet) for packet in self._reader.feed(data))
        except ProtocolError as error:
            self.why = str(error)
            return False

    def _handle(self, packet: Packet) -> bool:
        if self._send is None:
            return False
        if isinstance(packet, Connack):
            if packet.code:
                self.why = f"it refuses connections with code {packet.code} (MQTT 3.1.1 table 3.1)"
                return False
            self.lost_session += self.has_listened and not packet.present
            self._send(encode(Subscribe(1, ((self._pattern, 1),))))
        elif isinstance(packet, Suback):
            if _REFUSED in packet.codes:
                self.why = f"it refuses the subscription to {self._pattern}"
                return False
            self.listening = self.has_listened = True
        elif isinstance(packet, Publish):
            if packet.qos:
                self._send(encode(Puback(packet.packet)))
            if not packet.retain:
                self._heard(packet.topic, packet.payload)
        else:
            return isinstance(packet, Pingresp)
        return True
