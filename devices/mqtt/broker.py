"""An MQTT broker, sans-IO: sessions, subscriptions, retained messages, wills, QoS 0 and 1 with redelivery,
QoS 2 from publishers.

It speaks 3.1, 3.1.1 and, as far as bridges and gateways need it, 5.0: session expiry, will delay, no local,
retain as published, retain handling, receive maximum, maximum packet size, properties handed on, reason
codes. It offers no topic aliases, no subscription identifiers, no shared subscriptions, and passes a message
expiry interval on as it came.

Belongs here: who gets which message. Never: a network or a clock: connections are pairs of callbacks, time is
an argument, and somebody must call ``tick``. A message may carry a ``tag``: whose sample it is; it comes back
with the bytes that carry it, and in ``on_gone`` when the broker gives a client's copy up, in
``on_acknowledged`` when it has done its duty. Limits are named; hitting one gives the newest message up (as
Mosquitto does with max_queued_messages).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from twinloop.devices.mqtt.delivery import enqueue, fits, pump, send
from twinloop.devices.mqtt.fields import ProtocolError
from twinloop.devices.mqtt.packet import (
    PACKET_BYTES_MAX,
    Connack,
    Connect,
    Disconnect,
    Packet,
    Pingreq,
    Pingresp,
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
)
from twinloop.devices.mqtt.packet5 import (
    AS_PUBLISHED,
    BAD_AUTHENTICATION,
    FOR_EVER,
    KEEP_ALIVE_TIMEOUT,
    LEVEL,
    NO_LOCAL,
    NO_SUBSCRIPTION,
    NOT_FOUND,
    PROTOCOL_ERROR,
    QUOTA,
    RECEIVE_MAXIMUM,
    SHARED,
    TAKEN_OVER,
    UNAVAILABLE,
    offered,
)
from twinloop.devices.mqtt.retained import RETAINED_A_TURN, Retained
from twinloop.devices.mqtt.session import Copy, MqttConnection, MqttSession
from twinloop.devices.mqtt.topics import is_wild

S = 1_000_000_000
INFLIGHT_MAX = 20
"""QoS 1 messages of one session that are sent and not acknowledged (mosquitto.conf(5),
max_inflight_messages)"""
UNRELEASED_MAX = 1000
"""QoS 2 messages of one session that have come and wait for their PUBREL"""
SUBSCRIPTIONS_MAX = 1000
"""of one session; more are refused with 0x80"""
SESSIONS_MAX = 100_000
"""clients that are known; a new one beyond it is refused (server unavailable)"""
LOOKS_A_PACKET = 20
"""so many looks at topics and filters are as much work as a packet"""
CONNECT_WITHIN_NS = 10 * S
"""a connection that says nothing for so long is closed (3.1.4: a reasonable time)"""
_UNAVAILABLE = 3


class Broker:
    """``on_gone(client, tag, why)``: a client's copy was given up; ``on_message(topic, tag, clients)``: who a
    message went to."""

    def __init__(self) -> None:
        self.sessions: dict[str, MqttSession] = {}
        self.kept = Retained()
        self._turns: Iterator[Any] | None = None
        """what is being told of it"""
        self._passing: dict[str, MqttSession] = {}
        """clients of MQTT 5.0 that are away: their session or their will has its time"""
        self.connections: dict[MqttConnection, None] = {}
        self._readers: dict[str, dict[str, MqttSession]] = {}
        """topic -> clients that asked for just that one; the others are in ``_wild``: a fleet's drivers each
        want their own device"""
        self._wild: dict[str, MqttSession] = {}
        self.on_gone: Callable[[str, Any, str], None] = lambda client, tag, why: None
        self.on_message: Callable[[str, Any, list[str]], None] = lambda topic, tag, clients: None
        self.on_acknowledged: Callable[[str, Any], None] = lambda client, tag: None
        self.on_limit: Callable[[str, str], None] = lambda limit, client: None
        self.work = 0
        """how much it has had to do so far: packets of clients, retained messages that it sent,
        LOOKS_A_PACKET looks for who wants what"""
        self._looks = 0
        self.later: Callable[[Callable[[], None]], None] | None = None
        """lets something happen soon, when others have had their turn; without it there are no others"""
        self.broken_by: dict[str, int] = {}
        """what was wrong -> connections that it ended"""

    # ---- connections -----------------------------------------------------------------------------
    def connection(
        self, send: Callable[[bytes, Any, int], None], hang_up: Callable[[], None], now_ns: int
    ) -> MqttConnection:
        """Somebody has connected."""
        made = MqttConnection(self, send, hang_up, now_ns)
        self.connections[made] = None
        return made

    def tick(self, now_ns: int) -> None:
        """Close connections that are silent for longer than one and a half times their keep alive
        [MQTT-3.1.2-24]; forget sessions and publish wills whose time has come."""
        for connection in list(self.connections):
            silent_ns = now_ns - connection.heard_ns
            keep = connection.connect.keep_alive_s if connection.connect is not None else 0
            limit_ns = CONNECT_WITHIN_NS if connection.connect is None else keep * S * 3 // 2
            if limit_ns and silent_ns > limit_ns:
                self.end(connection, now_ns, will=True)
                connection.dismiss(KEEP_ALIVE_TIMEOUT)
        for session in [one for one in self._passing.values() if one.connection is None]:
            if session.will is not None and now_ns >= session.will[0]:
                self._last_words(session)
            if session.ends_ns is not None and now_ns >= session.ends_ns:
                self._forget(session)

    def broken(self, connection: MqttConnection, why: str, now_ns: int, reason: int) -> None:
        """It broke the protocol: closed, its will published."""
        self.broken_by[why] = self.broken_by.get(why, 0) + 1
        if connection.connect is None and connection.level == LEVEL:  # 3.1.4: a CONNECT that can't be taken
            connection.say(Connack(False, reason))
        self.end(connection, now_ns, will=True)
        connection.dismiss(reason)

    def end(self, connection: MqttConnection, now_ns: int, will: bool) -> None:
        """The connection is over; a session that isn't to be kept goes with it."""
        if connection.closed:
            return
        connection.closed = True
        self.connections.pop(connection, None)
        session, connect = connection.session, connection.connect
        last = connect.will if will and connect is not None else None
        if session is not None and session.connection is connection:
            session.connection = None
            if connect is not None and connect.level == LEVEL and not session.clean:
                session.ends_ns = None if connect.expiry_s == FOR_EVER else now_ns + connect.expiry_s * S
                self._passing[session.client] = session
                if last is not None and last.delay_s:  # 3.1.3.2.2
                    session.will, last = (now_ns + last.delay_s * S, last), None
            if session.clean:
                self._forget(session)
        if last is not None:
            self._say_will(connection.session.client if connection.session is not None else "", last)

    def _say_will(self, client: str, will: Will) -> None:
        self.publish(
            Publish(will.topic, will.payload, will.qos, will.retain, properties=will.properties), None, client
        )

    def _last_words(self, session: MqttSession) -> None:
        """The will of a client that is away, if it hasn't been said."""
        if session.will is not None:
            will, session.will = session.will[1], None
            self._say_will(session.client, will)

    def _forget(self, session: MqttSession) -> None:
        self._passing.pop(session.client, None)
        self.sessions.pop(session.client, None)
        self._last_words(session)
        for pattern in list(session.filters):
            self._unsubscribe(session, pattern)
        for copy in [*session.inflight.values(), *session.queued]:
            self.on_gone(session.client, copy.tag, "disconnected")

    # ---- packets ---------------------------------------------------------------------------------
    def handle(self, connection: MqttConnection, packet: Packet, now_ns: int, tag: Any) -> None:
        """One packet of a client; raises ProtocolError for one that has no business there."""
        session = connection.session
        if isinstance(packet, Connect):
            self._connect(connection, packet, now_ns)
        elif session is None:
            raise ProtocolError(f"{type(packet).__name__} before Connect", PROTOCOL_ERROR)
        elif isinstance(packet, Publish):
            if packet.qos == 2:
                self._exactly_once(connection, session, packet, tag)
                return
            if packet.qos:
                connection.send(encode(Puback(packet.packet)), None, 0)
            self.publish(packet, tag, session.client)
        elif isinstance(packet, Pubrel):
            known = packet.packet in session.unreleased
            session.unreleased.pop(packet.packet, None)
            connection.say(Pubcomp(packet.packet, 0 if known else NOT_FOUND))
        elif isinstance(packet, Puback):
            done = session.inflight.pop(packet.packet, None)
            if done is not None:
                self.on_acknowledged(session.client, done.tag)
            pump(self, session)
        elif isinstance(packet, Subscribe):
            self._subscribe(session, connection, packet)
        elif isinstance(packet, Unsubscribe):
            codes = tuple(0 if pattern in session.filters else NO_SUBSCRIPTION for pattern in packet.filters)
            for pattern in packet.filters:
                self._unsubscribe(session, pattern)
            connection.say(Unsuback(packet.packet, codes))
        elif isinstance(packet, Pingreq):
            connection.say(Pingresp())
        elif isinstance(packet, Disconnect):
            self._leave(connection, session, packet, now_ns)
        else:
            raise ProtocolError(f"{type(packet).__name__} from a client", PROTOCOL_ERROR)

    def _leave(
        self, connection: MqttConnection, session: MqttSession, packet: Disconnect, now_ns: int
    ) -> None:
        """3.14: reason 0 discards the will, any other has it published; the client may say anew for how long
        its session is kept."""
        assert connection.connect is not None
        if packet.expiry_s is not None:
            if packet.expiry_s and not connection.connect.expiry_s:
                raise ProtocolError("a session expiry interval that CONNECT didn't ask for", PROTOCOL_ERROR)
            connection.connect = connection.connect._replace(expiry_s=packet.expiry_s)
            session.clean = not packet.expiry_s
        self.end(connection, now_ns, will=packet.code != 0)  # [MQTT-3.14.4-3]
        connection.hang_up()

    def _exactly_once(
        self, connection: MqttConnection, session: MqttSession, packet: Publish, tag: Any
    ) -> None:
        """4.3.3, method B: published when it comes, known until it is released. Subscribers get QoS 1 at
        most."""
        if packet.packet not in session.unreleased:
            if len(session.unreleased) >= UNRELEASED_MAX:
                self.on_limit("mqtt-unreleased", session.client)
                if connection.level == LEVEL:  # which was told so
                    raise ProtocolError(
                        f"more than {UNRELEASED_MAX} QoS 2 messages that aren't released", RECEIVE_MAXIMUM
                    )
                # no rule of 3.1.1 is broken; sent again the oldest would be another
                del session.unreleased[next(iter(session.unreleased))]
            session.unreleased[packet.packet] = None
            self.publish(packet, tag, session.client)
        connection.say(Pubrec(packet.packet))

    def _connect(self, connection: MqttConnection, packet: Connect, now_ns: int) -> None:
        if connection.session is not None:
            raise ProtocolError("a second Connect", PROTOCOL_ERROR)
        newer = packet.level == LEVEL
        client = packet.client or f"auto-{len(self.sessions)}-{now_ns}"
        before = self.sessions.get(client)
        refused = BAD_AUTHENTICATION if packet.method is not None else 0
        if before is None and len(self.sessions) >= SESSIONS_MAX:
            self.on_limit("mqtt-sessions", client)
            refused = UNAVAILABLE if newer else _UNAVAILABLE
        if refused:
            connection.say(Connack(False, refused))
            self.end(connection, now_ns, will=False)
            connection.hang_up()
            return
        # [MQTT-3.1.4-2]: the older one is disconnected
        if before is not None and before.connection is not None:
            older = before.connection
            self.end(older, now_ns, will=True)
            older.dismiss(TAKEN_OVER)
            before = self.sessions.get(client)
        if before is not None and packet.clean:
            self._forget(before)
            before = None
        session = before or MqttSession(client, packet.clean)
        session.clean = not packet.expiry_s if newer else packet.clean
        session.will = session.ends_ns = None
        self._passing.pop(client, None)
        self.sessions[client] = session
        session.connection = connection
        connection.session, connection.connect = session, packet
        connection.packet_max, connection.window = packet.packet_max, min(INFLIGHT_MAX, packet.receives)
        connection.say(
            Connack(
                before is not None,
                0,
                offered(PACKET_BYTES_MAX, UNRELEASED_MAX, "" if packet.client else client),
            )
        )
        self._resume(session, packet)
        pump(self, session)

    def _resume(self, session: MqttSession, connect: Connect) -> None:
        """[MQTT-4.4.0-1]: what wasn't acknowledged again, in order, as far as the client takes it now; the
        rest waits, or is given up."""
        before, session.inflight = list(session.inflight.values()), {}
        session.queued.extendleft(reversed(before[connect.receives :]))
        for copy in before[: connect.receives]:
            if session.connection is not None and not fits(self, session.connection, copy):
                self.on_gone(session.client, copy.tag, "overrun")
                continue
            session.inflight[copy.packet] = copy
            send(session, copy)

    def _subscribe(self, session: MqttSession, connection: MqttConnection, packet: Subscribe) -> None:
        codes, told = [], []
        for (pattern, qos), options in zip(
            packet.filters, packet.options or (0,) * len(packet.filters), strict=True
        ):
            if connection.level == LEVEL and pattern.startswith("$share/"):
                codes.append(SHARED)
                continue
            new = pattern not in session.filters
            if new and len(session.filters) >= SUBSCRIPTIONS_MAX:
                self.on_limit("mqtt-subscriptions", session.client)
                codes.append(QUOTA if connection.level == LEVEL else 0x80)
                continue
            session.filters[pattern] = min(qos, 1)
            session.tree.add(pattern)
            session.options.pop(pattern, None)
            if connection.connect is not None and connection.connect.bridge:
                options = NO_LOCAL | AS_PUBLISHED
            if options & ~3:
                session.options[pattern] = options
            if is_wild(pattern):
                self._wild[session.client] = session
            else:
                self._readers.setdefault(pattern, {})[session.client] = session
            codes.append(min(qos, 1))
            if not options >> 4 & 3 or (new and options >> 4 & 3 == 1):
                told.append(pattern)
        connection.say(Suback(packet.packet, tuple(codes)))
        for pattern in told:
            self.kept.owe(session, pattern)
        if self._turns is None:
            self._turns = self.kept.turns()
            self._tell_retained()

    def _tell_retained(self) -> None:
        """What is retained to who has subscribed, until others should have a turn."""
        for one in self._turns or ():
            if one is None:
                self.work += RETAINED_A_TURN // LOOKS_A_PACKET
                if self.later is not None:
                    self.later(self._tell_retained)
                    return
                continue
            session, pattern, kept = one
            self.work += 1
            qos = min(kept.qos, session.filters[pattern])
            enqueue(
                self,
                session,
                Copy(kept.topic, kept.payload, None, qos, retain=True, properties=kept.properties),
            )
        self._turns = None

    def _unsubscribe(self, session: MqttSession, pattern: str) -> None:
        if session.filters.pop(pattern, None) is None:
            return
        session.tree.discard(pattern)
        self.kept.forget(session, pattern)
        session.options.pop(pattern, None)
        if not is_wild(pattern):
            readers = self._readers[pattern]
            del readers[session.client]
            if not readers:
                del self._readers[pattern]
        elif not any(is_wild(other) for other in session.filters):
            del self._wild[session.client]

    def _asked_for(self, topic: str, sender: str) -> dict[str, tuple[MqttSession, int, int]]:
        """client -> (session, the largest QoS that it asked for, options with which it did), in the order in
        which they asked."""
        found = {}
        for client, session in self._readers.get(topic, {}).items():
            granted, options = (
                session.wants(topic, sender) if session.options else (session.filters[topic], 0)
            )
            if granted >= 0:
                found[client] = session, granted, options
        if not self._wild:
            return found
        for client, session in self._wild.items():
            before = session.tree.looks
            granted, options = session.wants(topic, sender)
            self._looks += session.tree.looks - before
            if granted >= 0:
                found[client] = session, granted, options
        done, self._looks = divmod(self._looks, LOOKS_A_PACKET)
        self.work += done
        return found

    # ---- messages --------------------------------------------------------------------------------
    def publish(self, packet: Publish, tag: Any, sender: str = "") -> None:
        """To every session that asked for it, of that client; retained if it says so (an empty payload takes
        the retained one away)."""
        if packet.retain and not self.kept.keep(packet):
            self.on_limit("mqtt-retained", packet.topic)
        clients = []
        for client, (session, granted, options) in self._asked_for(packet.topic, sender).items():
            retain = bool(packet.retain and options & AS_PUBLISHED)
            if enqueue(
                self,
                session,
                Copy(
                    packet.topic,
                    packet.payload,
                    tag,
                    min(granted, packet.qos),
                    retain,
                    properties=packet.properties,
                ),
            ):
                clients.append(client)
        self.on_message(packet.topic, tag, clients)
