"""The uplink: an MQTT session with QoS 1 over a stream, a window, and a way back after each loss.

Belongs here: connect, publish, acknowledge, retry. Never: which messages (gateway.py) or where they wait
(store.py).
Reconnects: backoff doubling from first to max with jitter. A lost session gives its unacknowledged messages
back.
"""

from __future__ import annotations

from typing import Any, Protocol

from twinloop.devices.mqtt.packet import Connect, Packet, Pingreq, Publish, Subscribe
from twinloop.records import dataclass
from twinloop.sim.cloud.cloud import Cloud
from twinloop.sim.cloud.leases import LeaseAnswer, LeaseRequest
from twinloop.sim.cloud.messages import TLS_RECORD_BYTES, Command, Message
from twinloop.sim.cloud.mqtt_wire import (
    PINGREQ,
    PINGRESP,
    SUBACK,
    SUBSCRIBE,
    connack,
    connect,
    puback,
    publish,
    sample,
    take,
    take_sample,
)
from twinloop.sim.cloud.orders import Upgrade
from twinloop.sim.cloud.releases import BlockRequest, ReleaseBlock
from twinloop.sim.kernel.clock import Timer
from twinloop.sim.kernel.invariants import InvariantError
from twinloop.sim.kernel.random import RandomStream
from twinloop.sim.kernel.state_machine import StateMachine
from twinloop.sim.machine.machine import Machine
from twinloop.sim.model.spec import UplinkSpec
from twinloop.sim.network.link import Link
from twinloop.sim.network.tcp import TcpStream

TRANSITIONS = StateMachine(
    "uplink session",
    {
        ("down", "dial"): "connecting",
        ("connecting", "accepted"): "up",
        ("connecting", "lost"): "waiting",
        ("up", "lost"): "waiting",
        ("waiting", "dial"): "connecting",
        ("connecting", "stop"): "down",
        ("up", "stop"): "down",
        ("waiting", "stop"): "down",
        ("down", "stop"): "down",
    },
)
"""(state, event) -> state of the session"""

HELLO, SERVER_HELLO = b"client hello", b"server hello"
_HELLO_BYTES, _SERVER_HELLO_BYTES = 320, 2800
"""a TLS 1.3 client hello, a server flight with one certificate chain (both unchecked); not made, only their
sizes"""
_PUBACK, _CONNACK = 0x40, 0x20
"""first bytes of what comes down"""
PUBACK_BYTES = 4 + TLS_RECORD_BYTES


class Outgoing(Protocol):
    """Whose messages an uplink carries."""

    def acknowledged(self, message: Message) -> None:
        """The cloud has it: the window has room again."""
        ...

    def session_lost(self) -> None:
        """The session has broken; ``keep`` is told of what was in the window next."""
        ...

    def keep(self, message: Message) -> None:
        """It wasn't acknowledged."""
        ...


class Inbox(Protocol):
    """Who hears what comes down."""

    def session_up(self) -> None:
        """A session stands."""
        ...

    def command(self, command: Command) -> None:
        """A command."""
        ...

    def order(self, upgrade: Upgrade) -> None:
        """An order to install a release."""
        ...

    def block(self, block: ReleaseBlock) -> None:
        """A block of one."""
        ...

    def answered(self, answer: LeaseAnswer) -> None:
        """What the cloud says to a question for a lease."""
        ...


@dataclass(slots=True)
class UplinkCounts:
    """Of one uplink: sessions begun and lost, messages published and given back unacknowledged, segments sent
    again, most messages in the window."""

    sessions: int = 0
    lost_sessions: int = 0
    published: int = 0
    resent: int = 0
    retransmitted: int = 0
    window_peak: int = 0


class Uplink:
    """A gateway's session with the cloud."""

    sender: Outgoing

    def __init__(
        self,
        *,
        machine: Machine,
        cloud: Cloud,
        receiver: Inbox,
        spec: UplinkSpec,
        link: Link,
        jitter: RandomStream,
    ) -> None:
        self._machine = machine
        self._cloud = cloud
        self._receiver = receiver
        self.spec = spec
        self._link = link
        self._jitter = jitter
        env = self._env = machine.env
        self.state = "down"
        self.since_ns = env.now
        self._stream: TcpStream | None = None
        self._holds_file = False
        self._flight: dict[int, Message] = {}
        self._packet = self._order = 0
        """identifiers of the last packet each way"""
        self.attempts = 0
        self._backoff_ns = spec.retry_first_ns
        self._timer: Timer | None = None
        self.round_trip_ns = 0
        self.counts = UplinkCounts()

    # ---- asked by the gateway --------------------------------------------------------------------
    def ready(self) -> bool:
        """Up, and the window has room."""
        return self.state == "up" and len(self._flight) < self.spec.window

    @property
    def in_flight(self) -> int:
        """Messages sent and not acknowledged."""
        return len(self._flight)

    def unacknowledged(self) -> list[Message]:
        """Messages sent and not acknowledged, in order."""
        return list(self._flight.values())

    def publish(self, message: Message) -> None:
        """Hand a message to the stream; only when ``ready``."""
        stream, flight = self._stream, self._flight
        if stream is None or self.state != "up" or len(flight) >= self.spec.window:
            raise InvariantError(
                f"gateway {self._machine.name}: publish without a session or room in the window"
            )
        packet = self._packet % 65_535 + 1
        while packet in flight:
            packet = packet % 65_535 + 1
        self._packet = packet
        flight[packet] = message
        counts = self.counts
        if len(flight) > counts.window_peak:
            counts.window_peak = len(flight)
        counts.published += 1
        machine, now, size = self._machine, self._env.now, message.size_bytes
        message.sent_ns = now
        add = machine.trace.add
        add((now, "publish", machine.index, message.device, message.k, size, message.crc))
        stream.up.send((sample(message, packet), message), size, now)

    def tell(self, request: LeaseRequest | BlockRequest) -> None:
        """Send a request that isn't a message: for a lease, for a block of a release; nothing happens without
        a session."""
        if self._stream is not None and self.state == "up":
            self._say(self._stream, publish(request, 0), request)

    # ---- the session -----------------------------------------------------------------------------
    def _move(self, event: str) -> None:
        following = TRANSITIONS.after(self._machine.name, self.state, event)
        if (following == "up") != (self.state == "up"):
            self.since_ns = self._env.now
        self.state = following
        self._machine.trace.emit("session", self._machine.index, following, self.attempts)

    def dial(self) -> None:
        """Open a connection, shake hands, start a session; goes on by itself until it stands or is
        stopped."""
        self.attempts += 1
        self._move("dial")
        if not self._machine.take_file():
            self._holds_file = False
            self._env.call_in(0, self._refused, self._machine.epoch)
            return
        self._holds_file = True
        stream = self._stream = TcpStream(
            env=self._env,
            link=self._link,
            leg=self._machine.name,
            near=self._down,
            far=self._up,
            lost=self._lost,
            user_timeout_ns=self.spec.user_timeout_ns,
        )
        stream.connect(lambda: self._greet(stream))

    @staticmethod
    def _greet(stream: TcpStream) -> None:
        stream.send_up((HELLO, None), _HELLO_BYTES)

    def _refused(self, epoch: int) -> None:
        """No socket was to be had: as if the connection had been lost."""
        if self._machine.epoch == epoch and self.state == "connecting" and self._stream is None:
            self._lost()

    @staticmethod
    def _say(stream: TcpStream, data: bytes, what: Any = None) -> None:
        stream.send_up((data, what), len(data) + TLS_RECORD_BYTES)

    @staticmethod
    def _reply(stream: TcpStream, data: bytes, what: Any = None) -> None:
        stream.send_down((data, what), len(data) + TLS_RECORD_BYTES)

    def _up(self, payload: tuple[bytes, Any]) -> None:
        """At the cloud: bytes, and what they carry."""
        stream = self._stream
        if stream is None:
            return
        data, what = payload
        cloud, index = self._cloud, self._machine.index
        if isinstance(what, Message):
            packet = take_sample(data, what)
            cloud.accept(index, what)
            stream.send_down((puback(packet), None), PUBACK_BYTES)
        elif data is HELLO:
            stream.send_down((SERVER_HELLO, None), _SERVER_HELLO_BYTES)
        else:
            self._asked(stream, take(data, what), what)

    def _asked(self, stream: TcpStream, packet: Packet, what: Any) -> None:
        """At the cloud: anything but a sample."""
        cloud, index = self._cloud, self._machine.index
        if isinstance(what, LeaseRequest):
            answer = cloud.leases.ask(what, self._env.now)
            self._reply(stream, publish(answer, 0), answer)
        elif isinstance(what, BlockRequest):
            block = cloud.release_store.block(what)
            self._reply(stream, publish(block, 0), block)
        elif isinstance(packet, Connect):
            self._reply(stream, connack(cloud.knows(index)))
        elif isinstance(packet, Subscribe):
            self._reply(stream, SUBACK)
        elif isinstance(packet, Pingreq):
            self._reply(stream, PINGRESP)

    def _down(self, payload: tuple[bytes, Any]) -> None:
        """At the gateway: bytes, and what they carry."""
        stream, machine = self._stream, self._machine
        if stream is None:
            return
        data, what = payload
        if what is None and data[0] == _PUBACK:
            machine.cores.work(machine.budget.host("ack"), self._acknowledged, data[2] << 8 | data[3])
        elif data is SERVER_HELLO:
            machine.cores.work(
                machine.budget.host("tls_handshake"),
                self._say,
                stream,
                connect(machine.name, self.spec.keep_alive_ns),
            )
        elif what is not None:
            self._told(stream, take(data, what), what)
        elif data[0] == _CONNACK:
            self._accepted(stream, present=bool(data[2]))

    def _told(self, stream: TcpStream, packet: Packet, what: Any) -> None:
        """At the gateway: an order, which is acknowledged, or an answer."""
        machine = self._machine
        if isinstance(what, Command | Upgrade):
            assert isinstance(packet, Publish)
            self._say(stream, puback(packet.packet))
            self._cloud.confirmed(machine.index, what)
            if isinstance(what, Command):
                self._receiver.command(what)
            else:
                self._receiver.order(what)
        elif isinstance(what, LeaseAnswer):
            self._receiver.answered(what)
        elif isinstance(what, ReleaseBlock):
            machine.cores.work(machine.budget.host("ack"), self._receiver.block, what)

    def _accepted(self, stream: TcpStream, present: bool) -> None:
        self._move("accepted")
        if not present:
            self._say(stream, SUBSCRIBE)
        self.counts.sessions += 1
        self._backoff_ns = self.spec.retry_first_ns
        self.attempts = 0
        self._cloud.session(self._machine.index, self._send_command)
        self._timer = self._env.call_in(self.spec.keep_alive_ns, self._ping, self._stream)
        self._receiver.session_up()

    def _send_command(self, command: Command | Upgrade) -> None:
        if self._stream is not None:
            self._order = self._order % 65_535 + 1
            self._reply(self._stream, publish(command, self._order), command)

    def _ping(self, stream: TcpStream) -> None:
        if stream is self._stream and self.state == "up":
            self._say(stream, PINGREQ)
            self._timer = self._env.call_in(self.spec.keep_alive_ns, self._ping, stream)

    def _acknowledged(self, packet: int) -> None:
        message = self._flight.pop(packet, None)
        if message is None:
            return
        took_ns = self._env.now - message.sent_ns
        self.round_trip_ns = took_ns if not self.round_trip_ns else (7 * self.round_trip_ns + took_ns) // 8
        self.sender.acknowledged(message)

    def _lost(self) -> None:
        """The stream broke: back off, and give the unacknowledged messages back."""
        self._end_stream()
        self.counts.lost_sessions += self.state == "up"
        self._move("lost")
        wait_ns = self._backoff_ns
        if self.spec.retry_jitter:
            wait_ns += self._jitter.spread(int(wait_ns * self.spec.retry_jitter))
        self._backoff_ns = min(2 * self._backoff_ns, self.spec.retry_max_ns)
        self._timer = self._env.call_in(wait_ns, self.dial)
        flight, self._flight = self._flight, {}
        self.sender.session_lost()
        for message in flight.values():
            self.counts.resent += 1
            self.sender.keep(message)

    def _end_stream(self) -> None:
        self._cloud.session(self._machine.index, None)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._stream is not None:
            self.counts.retransmitted += self._stream.retransmitted
            self._stream.close()
            self._stream = None
        if self._holds_file:
            self._holds_file = False
            self._machine.budget.files.give()

    def stop(self) -> list[Message]:
        """The gateway goes down: the connection is gone; returns what was unacknowledged."""
        self._end_stream()
        self._move("stop")
        flight, self._flight = self._flight, {}
        self._backoff_ns = self.spec.retry_first_ns
        return list(flight.values())
