"""What an MQTT broker keeps of its clients: sessions with what they asked for and what waits for them,
connections with what their level says.

Belongs here: state, and a client's own limits. Never: who gets which message (broker.py).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import field
from typing import Any, Protocol

from twinloop.devices.mqtt.fields import ProtocolError
from twinloop.devices.mqtt.packet import (
    ClientError,
    Connect,
    Disconnect,
    LevelError,
    Packet,
    PacketReader,
    Will,
    encode,
)
from twinloop.devices.mqtt.packet5 import LEVEL, NO_LOCAL, decode, encode5, is_connect
from twinloop.devices.mqtt.topics import FilterTree
from twinloop.records import dataclass


class Handler(Protocol):
    """What a connection needs of its broker."""

    work: int
    """how much it has had to do so far"""

    def handle(self, connection: MqttConnection, packet: Packet, now_ns: int, tag: Any) -> None:
        """One packet of a client; raises ProtocolError for one that has no business there."""
        ...

    def broken(self, connection: MqttConnection, why: str, now_ns: int, reason: int) -> None:
        """It broke the protocol."""
        ...

    def end(self, connection: MqttConnection, now_ns: int, will: bool) -> None:
        """The connection is over."""
        ...


@dataclass(slots=True)
class Copy:
    """One message on its way to one session."""

    topic: str
    payload: bytes
    tag: Any
    qos: int
    retain: bool = False
    packet: int = 0
    sent: bool = False
    """once before: DUP"""
    properties: bytes = b""


@dataclass(slots=True)
class MqttSession:
    """What the broker keeps of a client; ``connection`` None: it is away. ``clean``: not for longer than it
    is connected."""

    client: str
    clean: bool
    filters: dict[str, int] = field(default_factory=dict)
    tree: FilterTree = field(default_factory=FilterTree)
    """of the same filters"""
    options: dict[str, int] = field(default_factory=dict)
    """filter -> the options byte of MQTT 5.0 (3.8.3.1), of those that have any"""
    inflight: dict[int, Copy] = field(default_factory=dict)
    queued: deque[Copy] = field(default_factory=deque)
    connection: MqttConnection | None = None
    packet: int = 0
    unreleased: dict[int, None] = field(default_factory=dict)
    """packet identifiers of QoS 2 messages that have come and were not released yet: the same one again is
    the same message (4.3.3)"""
    ends_ns: int | None = None
    """away, it is kept until then; None: for ever"""
    will: tuple[int, Will] | None = None
    """away, its will is published then, unless it comes back"""

    def holds(self, tag: Any) -> bool:
        """Will a message with that tag be sent (again) when its client is back?"""
        return any(copy.tag == tag for copy in self.inflight.values()) or any(
            copy.tag == tag for copy in self.queued
        )

    def wants(self, topic: str, sender: str) -> tuple[int, int]:
        """(largest QoS that it asked for of that topic, all options with which it did); -1: it doesn't want
        it, of that sender."""
        granted, options = -1, 0
        for pattern in self.tree.found(topic):
            asked = self.options.get(pattern, 0)
            if not (asked & NO_LOCAL and sender == self.client):  # [MQTT-3.8.3-3]
                granted, options = max(granted, self.filters[pattern]), options | asked
        return granted, options


class MqttConnection:
    """One network connection at the broker: ``send(bytes, tag, packet identifier or 0)``, ``hang_up()``."""

    def __init__(
        self,
        broker: Handler,
        send: Callable[[bytes, Any, int], None],
        hang_up: Callable[[], None],
        now_ns: int,
    ) -> None:
        self._broker, self.send, self.hang_up = broker, send, hang_up
        self._reader = PacketReader(self._other)
        self.level = 4
        self.encode: Callable[[Packet], bytes] = encode
        """a packet's bytes, as this client reads them"""
        self.packet_max = self.window = 0
        """bytes of one packet (0: any) and messages that aren't acknowledged, that the client takes"""
        self.session: MqttSession | None = None
        self.connect: Connect | None = None
        self.closed = False
        self.heard_ns = now_ns

    def _other(self, kind: int, flags: int, body: bytes) -> Packet | None:
        """Whoever begins with a CONNECT of MQTT 5.0 goes on in it; who begins otherwise doesn't."""
        if self.level != LEVEL and is_connect(kind, body):
            self.level, self.encode = LEVEL, encode5
        if self.level == LEVEL:
            return decode(kind, flags, body)
        self._reader.other = None
        return None

    def say(self, packet: Packet, tag: Any = None, number: int = 0) -> None:
        """To the client."""
        self.send(self.encode(packet), tag, number)

    def dismiss(self, reason: int) -> None:
        """Hang up, and say why to who understands it (MQTT 5.0, 4.13)."""
        if self.level == LEVEL and self.connect is not None:
            self.say(Disconnect(reason))
        self.hang_up()

    def received(self, data: bytes, now_ns: int, tag: Any = None) -> None:
        """Bytes from the client; ``tag``: of the messages in them. What breaks the protocol ends the
        connection."""
        if self.closed:
            return
        self.heard_ns = now_ns
        try:
            for packet in self._reader.feed(data):
                self._broker.work += 1
                self._broker.handle(self, packet, now_ns, tag)
                if self.closed:
                    return
        except (LevelError, ClientError) as error:
            self.send(error.answer, None, 0)
            self._broker.broken(self, str(error), now_ns, error.reason)
        except ProtocolError as error:
            self._broker.broken(self, str(error), now_ns, error.reason)

    def lost(self, now_ns: int) -> None:
        """The network connection is gone: the will is due."""
        self._broker.end(self, now_ns, will=True)
