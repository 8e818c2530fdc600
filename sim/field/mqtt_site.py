"""MQTT in the field: a plant's broker in simulated time, the devices that publish to it, and a gateway's
connection to it.

Belongs here: streams, timers and fates between devices/mqtt_*.py. Never: packets. Topology: the broker sits
at the hub of its link; devices on their legs, a gateway's drivers on the leg ``broker``. A sample is tagged
with its (device, k) beside the bytes that carry it: so it is known when a driver has taken it, and when it
can't come any more.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from twinloop.components.contract.contract import Result
from twinloop.devices.mqtt.broker import Broker
from twinloop.devices.mqtt.device import MqttDevice
from twinloop.devices.mqtt.session import MqttConnection
from twinloop.sim.field.files import Client
from twinloop.sim.field.tcp_port import END, DialoguePort
from twinloop.sim.kernel.clock import Environment, S, Timer
from twinloop.sim.kernel.trace import Trace
from twinloop.sim.network.link import Link
from twinloop.sim.network.tcp import TcpStream

BROKER_LEG = "broker"
TICK_NS = 5 * S
"""how often the broker looks for clients that are silent"""
_PUBACK = b"\x40\x02"
REDIAL_FIRST_NS, REDIAL_MAX_NS = 1 * S, 30 * S
"""a device that has lost its connection tries again: doubling from the one to the other"""


class Hears(Protocol):
    """Who wants one device's messages: a gateway's driver, known at the broker as ``client``. ``k``: which
    sample."""

    client: str

    def gone(self, k: int, why: str) -> None:
        """One copy of it won't come."""
        ...

    def settled(self, k: int) -> None:
        """The device has done its duty: it won't send it again."""
        ...

    def acknowledged(self, k: int) -> None:
        """The broker was told that it isn't needed any more."""
        ...


class BrokerSite:
    """One link's broker and everybody who speaks to it."""

    def __init__(self, env: Environment, trace: Trace, link: Link) -> None:
        self.env, self.trace, self.link = env, trace, link
        self.broker = Broker()
        self.broker.on_gone, self.broker.on_message = self._gone, self._sent
        self.broker.on_acknowledged = self._acknowledged
        self.broker.on_limit = lambda limit, client: trace.emit("limit", client, limit, 1)
        self.publishers: dict[int, Publisher] = {}
        self.receivers: dict[int, list[Hears]] = {}
        self._receiver_of: dict[str, Hears] = {}
        env.call_in(TICK_NS, self._tick)

    def _tick(self) -> None:
        self.broker.tick(self.env.now)
        self.env.call_in(TICK_NS, self._tick)

    def add_receiver(self, index: int, client: str, receiver: Hears) -> None:
        """A gateway wants device ``index``'s messages, as that client."""
        self.receivers.setdefault(index, []).append(receiver)
        self._receiver_of[client] = receiver

    def _gone(self, client: str, tag: Any, why: str) -> None:
        receiver = self._receiver_of.get(client)
        if tag is not None and receiver is not None:
            receiver.gone(tag[1], why)

    def _acknowledged(self, client: str, tag: Any) -> None:
        receiver = self._receiver_of.get(client)
        if tag is not None and receiver is not None:
            receiver.acknowledged(tag[1])

    def _sent(self, topic: str, tag: Any, clients: list[str]) -> None:
        """A sample's message has gone to those clients; the others won't have it."""
        if tag is not None:
            for receiver in self.receivers.get(tag[0], ()):
                if receiver.client not in clients:
                    receiver.gone(tag[1], "disconnected")

    def device_gone(self, index: int, k: int, why: str) -> None:
        """The device itself won't send it."""
        for receiver in self.receivers.get(index, ()):
            receiver.gone(k, why)

    def device_done(self, index: int, k: int) -> None:
        """The device won't send it again: who doesn't have it by now, and for whom the broker keeps nothing,
        won't get it."""
        for receiver in self.receivers.get(index, ()):
            receiver.settled(k)

    def owes(self, device: MqttDevice) -> bool:
        """Has the broker a message for that device that it hasn't acknowledged?"""
        session = self.broker.sessions.get(device.device.name)
        return session is not None and bool(session.inflight or session.queued)

    def holds(self, client: str, index: int, k: int) -> bool:
        """May that sample still come to that client?"""
        session = self.broker.sessions.get(client)
        return (session is not None and session.holds((index, k))) or self.publishers[index].holds(k)


class Publisher:
    """One device's connection to the broker, which it opens by itself and opens again."""

    def __init__(self, site: BrokerSite, index: int, device: MqttDevice) -> None:
        self._site, self._env, self._index, self.device = site, site.env, index, device
        device.on_gone = lambda k, why: site.device_gone(index, k, why)
        device.on_done = lambda k: site.device_done(index, k)
        device.on_limit = lambda limit: site.trace.emit("limit", index, limit, 1)
        self._stream: TcpStream | None = None
        self._connection: MqttConnection | None = None
        self._backoff_ns = REDIAL_FIRST_NS
        self._timer: Timer | None = None
        self._late: dict[int, None] = {}
        """due, and published later because the device is slow"""
        self._afoot: dict[int, None] = {}
        """QoS 0, sent and not yet at the broker"""
        site.publishers[index] = self
        site.env.call_in(0, self._dial)

    def holds(self, k: int) -> bool:
        """Will it still come from the device?"""
        return k in self._late or k in self._afoot or self.device.holds(k)

    # ---- the connection --------------------------------------------------------------------------
    def _dial(self) -> None:
        stream = self._stream = TcpStream(
            env=self._env,
            link=self._site.link,
            leg=self.device.device.name,
            near=self._at_broker,
            far=self._at_device,
            lost=self._lost,
        )
        stream.connect(lambda: self._opened(stream))

    def _opened(self, stream: TcpStream) -> None:
        self._connection = self._site.broker.connection(
            lambda data, tag, packet: self._up(stream, data), lambda: self._up(stream, END), self._env.now
        )
        self.device.connected(lambda data, tag: self._say(stream, data, tag))
        self._timer = self._env.call_in(self.device.keep_alive_s * S // 2, self._ping, stream)

    @staticmethod
    def _up(stream: TcpStream, data: Any) -> None:
        stream.send_up(data, 0 if data is END else len(data))

    def _say(self, stream: TcpStream, data: bytes, k: int | None) -> None:
        if k is not None:
            self._site.trace.emit("published", self._index, k, len(data))
            if not self.device.qos:
                self._afoot[k] = None
        stream.send_down((data, k), len(data))

    def _at_broker(self, payload: Any) -> None:
        data, k = payload
        if k is not None:
            self._afoot.pop(k, None)
        if self._connection is not None:
            self._connection.received(data, self._env.now, None if k is None else (self._index, k))

    def _at_device(self, data: Any) -> None:
        if self._stream is None:
            return
        if data is END or not self.device.received(data, self._env.now):
            self._stream.break_off()
        elif self.device.accepted:
            self._backoff_ns = REDIAL_FIRST_NS

    def _ping(self, stream: TcpStream) -> None:
        if stream is not self._stream:
            return
        if self.device.ping():
            self._timer = self._env.call_in(self.device.keep_alive_s * S // 2, self._ping, stream)
        else:
            stream.break_off()

    def _lost(self) -> None:
        self._stream = None
        self.device.lost()
        if self._timer is not None:
            self._timer.cancel()
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.lost(self._env.now)
        afoot, self._afoot = self._afoot, {}
        for k in afoot:
            self._site.device_gone(self._index, k, "disconnected")
        self._env.call_in(self._backoff_ns, self._dial)
        self._backoff_ns = min(2 * self._backoff_ns, REDIAL_MAX_NS)

    # ---- samples ---------------------------------------------------------------------------------
    def publish(self, k: int) -> None:
        """The k-th sample is due."""
        slow_ns = self.device.slow_ns()
        if slow_ns:
            self._late[k] = None
            self._env.call_in(slow_ns, self._publish_late, k)
        else:
            self.device.publish(k, self._env.now)

    def _publish_late(self, k: int) -> None:
        del self._late[k]
        self.device.publish(k, self._env.now)


class MqttPort(DialoguePort):
    """A driver's connection to the broker.

    ``on_taken(k, packet)``: the driver has the last byte of that sample's message, which has that identifier
    (0: QoS 0); ``on_settled(packet)``: it has acknowledged one; ``on_reset()``: what it has taken and not
    returned is forgotten; ``on_gone(k)``: a sample on its way won't come.
    """

    __slots__ = (
        "_afoot",
        "_peer",
        "_read_bytes",
        "_site",
        "_tags",
        "_written_bytes",
        "on_gone",
        "on_reset",
        "on_settled",
        "on_taken",
    )

    def __init__(self, env: Environment, trace: Trace, device: int, site: BrokerSite, client: Client) -> None:
        super().__init__(
            env=env,
            trace=trace,
            device=device,
            link=site.link,
            server=None,
            leg=BROKER_LEG,
            response_ns=0,
            client=client,
        )
        self._site = site
        self._peer: MqttConnection | None = None
        self._afoot: dict[int, None] = {}
        """sent by the broker on this connection, and not yet taken"""
        self._tags: deque[tuple[int, int, int]] = deque()
        """(bytes of the connection up to the end of its message, k, packet identifier), unread"""
        self._written_bytes = self._read_bytes = 0
        self.on_taken: Callable[[int, int], None] = lambda k, packet: None
        self.on_settled: Callable[[int], None] = lambda packet: None
        self.on_reset: Callable[[], None] = lambda: None
        self.on_gone: Callable[[int], None] = lambda k: None

    def _reach_far_end(self, stream: TcpStream) -> bool:
        self._written_bytes = self._read_bytes = 0
        self._peer = self._site.broker.connection(
            lambda data, tag, packet: self._from_broker(stream, data, tag, packet),
            lambda: self._hung_up(stream),
            self._env.now,
        )
        return True

    @staticmethod
    def _hung_up(stream: TcpStream) -> None:
        stream.send_down(END, 0)

    def carries(self, k: int) -> bool:
        """Is that sample on its way on this connection?"""
        return k in self._afoot

    def _from_broker(self, stream: TcpStream, data: bytes, tag: Any, packet: int) -> None:
        k = None if tag is None or tag[0] != self._index else tag[1]
        if k is not None:
            self._afoot[k] = None
        stream.send_down((data, k, packet), len(data))

    def _put(self, data: bytes) -> Result | None:
        refused = super()._put(data)
        if refused is None and len(data) == 4 and data[:2] == _PUBACK:
            self.on_settled(int.from_bytes(data[2:], "big"))
        return refused

    def _asked(self, data: bytes) -> None:
        if self._peer is not None:
            self._peer.received(data, self._env.now)

    def _arrived(self, data: Any) -> None:
        if data is END:
            super()._arrived(data)
            return
        content, k, packet = data
        self._written_bytes += len(content)
        if k is not None:
            self._tags.append((self._written_bytes, k, packet))
        super()._arrived(content)

    def _finish(self, value: Result) -> None:
        if value[0] and value[1]:
            self._read_bytes += len(value[1])
            while self._tags and self._tags[0][0] <= self._read_bytes:
                _, k, packet = self._tags.popleft()
                self._afoot.pop(k, None)
                self.on_taken(k, packet)
        super()._finish(value)

    def reset(self) -> None:
        """Drop the connection and what is unread, here and in the driver."""
        super().reset()
        self.on_reset()

    def _left(self) -> None:
        peer, self._peer = self._peer, None
        if peer is not None:
            peer.lost(self._env.now)
        afoot, self._afoot = self._afoot, {}
        self._tags.clear()
        for k in afoot:
            self.on_gone(k)
