"""A client that only listens at an MQTT broker: sans-IO.

Belongs here: the subscriber's side of MQTT 3.1.1. Never: a network, a clock, what messages mean. Its session is kept (clean session 0), so that what
is published while its connection is down comes when it is back; one that an earlier run has left is cleared first, by a connection of its own.
Retained messages that the subscription itself brings are of another time, and are dropped.
"""

from __future__ import annotations

from collections.abc import Callable

from devices.mqtt_packet import Connack, Connect, Disconnect, Packet, Pingreq, ProtocolError, Puback, Publish, Reader, Suback, Subscribe, encode

CLIENT = "twinloop-observer"
KEEP_ALIVE_S = 30
_REFUSED = 0x80


class MqttListener:
    """Asks for ``pattern`` with QoS 1; ``heard`` gets (topic, payload). ``refused`` says why, once the broker doesn't want it.

    ``cleared``: nothing of an earlier run can be there.
    """

    def __init__(self, pattern: str, heard: Callable[[str, bytes], None], cleared: bool = False) -> None:
        self._pattern, self._heard, self._cleared = pattern, heard, cleared
        self._send: Callable[[bytes], None] | None = None
        self._reader = Reader()
        self.listening = False
        """the broker has granted the subscription"""
        self.refused = ""

    def connected(self, send: Callable[[bytes], None]) -> None:
        """A connection stands."""
        self._send, self._reader, self.listening = send, Reader(), False
        send(encode(Connect(CLIENT, clean=not self._cleared, keep_alive_s=KEEP_ALIVE_S)))

    def lost(self) -> None:
        """It doesn't any more."""
        self._send, self.listening = None, False

    def ping(self) -> None:
        """A sign of life, due every half of KEEP_ALIVE_S."""
        if self._send is not None and self.listening:
            self._send(encode(Pingreq()))

    def received(self, data: bytes) -> bool:
        """Bytes of the broker; False: the connection is to be closed, and opened again unless ``refused`` says why not."""
        cleared = self._cleared
        try:
            for packet in self._reader.feed(data):
                self._handle(packet)
        except ProtocolError as error:
            self.refused = str(error)
            return False
        return not self.refused and self._cleared == cleared

    def _handle(self, packet: Packet) -> None:
        assert self._send is not None
        if isinstance(packet, Connack):
            if packet.code:
                self.refused = f"it refuses connections with code {packet.code} (MQTT 3.1.1 table 3.1)"
                return
            if not self._cleared:
                self._cleared = True
                self._send(encode(Disconnect()))
                return
            self._send(encode(Subscribe(1, ((self._pattern, 1),))))
        elif isinstance(packet, Suback):
            if _REFUSED in packet.codes:
                self.refused = f"it refuses the subscription to {self._pattern}"
            self.listening = not self.refused
        elif isinstance(packet, Publish):
            if packet.qos:
                self._send(encode(Puback(packet.packet)))
            if not packet.retain:
                self._heard(packet.topic, packet.payload)
