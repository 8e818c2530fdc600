"""An MQTT 3.1.1 broker, sans-IO: sessions, subscriptions, retained messages, wills, QoS 0 and 1 with redelivery, QoS 2 from publishers.

Belongs here: who gets which message. Never: a network or a clock: connections are pairs of callbacks, time is an argument, and somebody must
call ``tick``. A message may carry a ``tag``: whose sample it is; it comes back with the bytes that carry it, and in ``on_gone`` when the
broker gives a client's copy up, in ``on_acknowledged`` when it has done its duty. Limits are named; hitting one gives the newest message up
(as Mosquitto does with max_queued_messages).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from devices.mqtt_packet import (
    Connack,
    Connect,
    Disconnect,
    LevelError,
    Packet,
    Pingreq,
    Pingresp,
    ProtocolError,
    Puback,
    Pubcomp,
    Publish,
    Pubrec,
    Pubrel,
    Reader,
    Suback,
    Subscribe,
    Unsuback,
    Unsubscribe,
    encode,
    matches,
)

S = 1_000_000_000
INFLIGHT_MAX = 20
"""QoS 1 messages of one session that are sent and not acknowledged (mosquitto.conf(5), max_inflight_messages)"""
QUEUED_MAX = 1000
"""QoS 1 messages that wait for one session (mosquitto.conf(5), max_queued_messages)"""
UNRELEASED_MAX = 1000
"""QoS 2 messages of one session that have come and wait for their PUBREL"""
SUBSCRIPTIONS_MAX = 1000
"""of one session; more are refused with 0x80"""
RETAINED_MAX = 100_000
"""topics with a retained message; a new one beyond it isn't retained"""
SESSIONS_MAX = 100_000
"""clients that are known; a new one beyond it is refused (server unavailable)"""
CONNECT_WITHIN_NS = 10 * S
"""a connection that says nothing for so long is closed (3.1.4: a reasonable time)"""
_UNAVAILABLE, _BAD_CLIENT = 3, 2


@dataclass(slots=True)
class _Copy:
    """One message on its way to one session."""

    topic: str
    payload: bytes
    tag: Any
    qos: int
    retain: bool = False
    packet: int = 0
    sent: bool = False
    """once before: DUP"""


@dataclass(slots=True)
class Session:
    """What the broker keeps of a client; ``connection`` None: it is away."""

    client: str
    clean: bool
    filters: dict[str, int] = field(default_factory=dict)
    inflight: dict[int, _Copy] = field(default_factory=dict)
    queued: deque[_Copy] = field(default_factory=deque)
    connection: Connection | None = None
    packet: int = 0
    unreleased: dict[int, None] = field(default_factory=dict)
    """packet identifiers of QoS 2 messages that have come and were not released yet: the same one again is the same message (4.3.3)"""

    def holds(self, tag: Any) -> bool:
        """Will a message with that tag be sent (again) when its client is back?"""
        return any(copy.tag == tag for copy in self.inflight.values()) or any(copy.tag == tag for copy in self.queued)


def _is_wild(pattern: str) -> bool:
    return "+" in pattern or "#" in pattern


class Connection:
    """One network connection at the broker: ``send(bytes, tag, packet identifier or 0)``, ``hang_up()``."""

    def __init__(self, broker: Broker, send: Callable[[bytes, Any, int], None], hang_up: Callable[[], None], now_ns: int) -> None:
        self._broker, self.send, self.hang_up = broker, send, hang_up
        self._reader = Reader()
        self.session: Session | None = None
        self.connect: Connect | None = None
        self.over = False
        self.heard_ns = now_ns

    def received(self, data: bytes, now_ns: int, tag: Any = None) -> None:
        """Bytes from the client; ``tag``: of the messages in them. What breaks the protocol ends the connection."""
        if self.over:
            return
        self.heard_ns = now_ns
        try:
            for packet in self._reader.feed(data):
                self._broker.handled += 1
                self._broker.handle(self, packet, now_ns, tag)
                if self.over:
                    return
        except LevelError as error:
            self.send(error.answer, None, 0)
            self._broker.broken(self, str(error), now_ns)
        except ProtocolError as error:
            self._broker.broken(self, str(error), now_ns)

    def lost(self, now_ns: int) -> None:
        """The network connection is gone: the will is due."""
        self._broker.end(self, now_ns, will=True)


class Broker:
    """``on_gone(client, tag, why)``: a client's copy was given up; ``on_message(topic, tag, clients)``: who a message went to."""

    def __init__(self) -> None:
        self.sessions: dict[str, Session] = {}
        self.retained: dict[str, tuple[bytes, int]] = {}
        self.connections: dict[Connection, None] = {}
        self._readers: dict[str, dict[str, Session]] = {}
        """topic -> clients that asked for just that one; the others are in ``_wild``: a fleet's drivers each want their own device"""
        self._wild: dict[str, Session] = {}
        self.on_gone: Callable[[str, Any, str], None] = lambda client, tag, why: None
        self.on_message: Callable[[str, Any, list[str]], None] = lambda topic, tag, clients: None
        self.on_acknowledged: Callable[[str, Any], None] = lambda client, tag: None
        self.on_limit: Callable[[str, str], None] = lambda limit, client: None
        self.handled = 0
        """packets of clients so far: the work that it has had"""
        self.broken_by: dict[str, int] = {}
        """what was wrong -> connections that it ended"""

    # ---- connections --------------------------------------------------------------------------------------------
    def connection(self, send: Callable[[bytes, Any, int], None], hang_up: Callable[[], None], now_ns: int) -> Connection:
        """Somebody has connected."""
        made = Connection(self, send, hang_up, now_ns)
        self.connections[made] = None
        return made

    def tick(self, now_ns: int) -> None:
        """Close connections that are silent for longer than one and a half times their keep alive [MQTT-3.1.2-24]."""
        for connection in list(self.connections):
            silent_ns = now_ns - connection.heard_ns
            keep = connection.connect.keep_alive_s if connection.connect is not None else 0
            limit_ns = CONNECT_WITHIN_NS if connection.connect is None else keep * S * 3 // 2
            if limit_ns and silent_ns > limit_ns:
                self.end(connection, now_ns, will=True)
                connection.hang_up()

    def broken(self, connection: Connection, why: str, now_ns: int) -> None:
        """It broke the protocol: closed, its will published."""
        self.broken_by[why] = self.broken_by.get(why, 0) + 1
        self.end(connection, now_ns, will=True)
        connection.hang_up()

    def end(self, connection: Connection, now_ns: int, will: bool) -> None:
        """The connection is over; a session that isn't to be kept goes with it."""
        if connection.over:
            return
        connection.over = True
        self.connections.pop(connection, None)
        session = connection.session
        if session is not None and session.connection is connection:
            session.connection = None
            if session.clean:
                self._forget(session)
        last = connection.connect.will if connection.connect is not None else None
        if will and last is not None:
            self.publish(Publish(last.topic, last.payload, last.qos, last.retain), None)

    def _forget(self, session: Session) -> None:
        self.sessions.pop(session.client, None)
        for pattern in list(session.filters):
            self._unsubscribe(session, pattern)
        for copy in [*session.inflight.values(), *session.queued]:
            self.on_gone(session.client, copy.tag, "disconnected")

    # ---- packets ------------------------------------------------------------------------------------------------
    def handle(self, connection: Connection, packet: Packet, now_ns: int, tag: Any) -> None:
        """One packet of a client; raises ProtocolError for one that has no business there."""
        session = connection.session
        if isinstance(packet, Connect):
            self._connect(connection, packet, now_ns)
        elif session is None:
            raise ProtocolError(f"{type(packet).__name__} before Connect")
        elif isinstance(packet, Publish):
            if packet.qos == 2:
                self._exactly_once(connection, session, packet, tag)
                return
            if packet.qos:
                connection.send(encode(Puback(packet.packet)), None, 0)
            self.publish(packet, tag)
        elif isinstance(packet, Pubrel):
            session.unreleased.pop(packet.packet, None)
            connection.send(encode(Pubcomp(packet.packet)), None, 0)
        elif isinstance(packet, Puback):
            done = session.inflight.pop(packet.packet, None)
            if done is not None:
                self.on_acknowledged(session.client, done.tag)
            self._pump(session)
        elif isinstance(packet, Subscribe):
            self._subscribe(session, connection, packet)
        elif isinstance(packet, Unsubscribe):
            for pattern in packet.filters:
                self._unsubscribe(session, pattern)
            connection.send(encode(Unsuback(packet.packet)), None, 0)
        elif isinstance(packet, Pingreq):
            connection.send(encode(Pingresp()), None, 0)
        elif isinstance(packet, Disconnect):
            self.end(connection, now_ns, will=False)
            connection.hang_up()
        else:
            raise ProtocolError(f"{type(packet).__name__} from a client")

    def _exactly_once(self, connection: Connection, session: Session, packet: Publish, tag: Any) -> None:
        """4.3.3, method B: published when it comes, known until it is released. Subscribers get QoS 1 at most."""
        if packet.packet not in session.unreleased:
            if len(session.unreleased) >= UNRELEASED_MAX:
                self.on_limit("mqtt-unreleased", session.client)
                raise ProtocolError(f"more than {UNRELEASED_MAX} QoS 2 messages that aren't released")
            session.unreleased[packet.packet] = None
            self.publish(packet, tag)
        connection.send(encode(Pubrec(packet.packet)), None, 0)

    def _connect(self, connection: Connection, packet: Connect, now_ns: int) -> None:
        if connection.session is not None:
            raise ProtocolError("a second Connect")
        client = packet.client or f"auto-{len(self.sessions)}-{now_ns}"
        before = self.sessions.get(client)
        if before is None and len(self.sessions) >= SESSIONS_MAX:
            self.on_limit("mqtt-sessions", client)
            connection.send(encode(Connack(False, _UNAVAILABLE)), None, 0)
            self.end(connection, now_ns, will=False)
            connection.hang_up()
            return
        if before is not None and before.connection is not None:  # [MQTT-3.1.4-2]: the older one is disconnected
            older = before.connection
            self.end(older, now_ns, will=True)
            older.hang_up()
            before = self.sessions.get(client)
        if before is not None and packet.clean:
            self._forget(before)
            before = None
        session = before or Session(client, packet.clean)
        session.clean = packet.clean
        self.sessions[client] = session
        session.connection = connection
        connection.session, connection.connect = session, packet
        connection.send(encode(Connack(before is not None)), None, 0)
        for copy in list(session.inflight.values()):  # [MQTT-4.4.0-1]: again, in order
            self._send(session, copy)
        self._pump(session)

    def _subscribe(self, session: Session, connection: Connection, packet: Subscribe) -> None:
        codes, told = [], []
        for pattern, qos in packet.filters:
            if pattern not in session.filters and len(session.filters) >= SUBSCRIPTIONS_MAX:
                self.on_limit("mqtt-subscriptions", session.client)
                codes.append(0x80)
                continue
            session.filters[pattern] = min(qos, 1)
            if _is_wild(pattern):
                self._wild[session.client] = session
            else:
                self._readers.setdefault(pattern, {})[session.client] = session
            codes.append(min(qos, 1))
            told.append(pattern)
        connection.send(encode(Suback(packet.packet, tuple(codes))), None, 0)
        for pattern in told:
            for topic, (payload, qos) in self.retained.items():
                if matches(pattern, topic):
                    self._enqueue(session, _Copy(topic, payload, None, min(qos, session.filters[pattern]), retain=True))

    def _unsubscribe(self, session: Session, pattern: str) -> None:
        if session.filters.pop(pattern, None) is None:
            return
        if not _is_wild(pattern):
            readers = self._readers[pattern]
            del readers[session.client]
            if not readers:
                del self._readers[pattern]
        elif not any(_is_wild(other) for other in session.filters):
            del self._wild[session.client]

    def _asked_for(self, topic: str) -> dict[str, tuple[Session, int]]:
        """client -> (session, the largest QoS that it asked for), in the order in which they asked."""
        found = {client: (session, session.filters[topic]) for client, session in self._readers.get(topic, {}).items()}
        for client, session in self._wild.items():
            granted = max((qos for pattern, qos in session.filters.items() if matches(pattern, topic)), default=-1)
            if granted >= 0:
                found[client] = session, granted
        return found

    # ---- messages -----------------------------------------------------------------------------------------------
    def publish(self, packet: Publish, tag: Any) -> None:
        """To every session that asked for it; retained if it says so (an empty payload takes the retained one away)."""
        if packet.retain and not packet.payload:
            self.retained.pop(packet.topic, None)
        elif packet.retain and (packet.topic in self.retained or len(self.retained) < RETAINED_MAX):
            self.retained[packet.topic] = packet.payload, packet.qos
        elif packet.retain:
            self.on_limit("mqtt-retained", packet.topic)
        clients = []
        for client, (session, granted) in self._asked_for(packet.topic).items():
            if self._enqueue(session, _Copy(packet.topic, packet.payload, tag, min(granted, packet.qos))):
                clients.append(client)
        self.on_message(packet.topic, tag, clients)

    def _enqueue(self, session: Session, copy: _Copy) -> bool:
        """False when it was given up at once: QoS 0 for a client that is away, or no room."""
        if not copy.qos:
            if session.connection is None:
                return False
            self._send(session, copy)
            return True
        if len(session.queued) >= QUEUED_MAX:
            self.on_limit("mqtt-queued", session.client)
            return False
        session.queued.append(copy)
        self._pump(session)
        return True

    def _pump(self, session: Session) -> None:
        """Send what waits, as far as the window allows."""
        while session.connection is not None and session.queued and len(session.inflight) < INFLIGHT_MAX:
            copy = session.queued.popleft()
            session.packet = session.packet % 65_535 + 1
            while session.packet in session.inflight:
                session.packet = session.packet % 65_535 + 1
            copy.packet = session.packet
            session.inflight[copy.packet] = copy
            self._send(session, copy)

    @staticmethod
    def _send(session: Session, copy: _Copy) -> None:
        assert session.connection is not None
        packet = Publish(copy.topic, copy.payload, copy.qos, copy.retain, copy.sent and copy.qos > 0, copy.packet)
        copy.sent = True
        session.connection.send(encode(packet), copy.tag, copy.packet)
