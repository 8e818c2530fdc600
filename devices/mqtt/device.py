"""A device that publishes to an MQTT broker: its session, what it has said and what waits, sans-IO.

Belongs here: the publisher's side of MQTT 3.1.1 and its payload. Never: a network, or when a sample is due.
Time is an argument.
Payload: ``{"ts":ms since 1970,"values":{"point":number,...}}`` on TOPIC, all points of one instant.
``online`` and, as its last will, ``offline`` on TOPIC/status, retained. It listens to TOPIC/set:
``{"point":number,...}``.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable
from typing import Any

from twinloop.devices.model.device import Device
from twinloop.devices.model.misbehaviour import Misbehaviour
from twinloop.devices.model.nodes import NodeImage
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
    Will,
    encode,
)

OUTBOX_MAX = 100
"""QoS 1 messages that a device keeps while it has no session; beyond it the oldest is given up (a sensor has
little RAM; ours)"""
SAID_MAX = 64
"""messages of which it is known what they said: more than usually wait"""
INFLIGHT_MAX = 10
"""of them sent and not acknowledged"""
TOPIC_PREFIX = "plant/"


def topic_of(device: str) -> str:
    """Where a device publishes."""
    return f"{TOPIC_PREFIX}{device}"


class _Image(NodeImage):
    """The points of a device, and how a payload has them when all is well with them: most of all samples."""

    def __init__(self, device: Device) -> None:
        super().__init__(device)
        self._reals = tuple(kind == "Float" for kind in self.types)
        names = [point.name.replace("%", "%%") for point in device.model.points]
        values = [
            f'"{name}":{"%.7g" if real else "%r"}' for name, real in zip(names, self._reals, strict=True)
        ]
        self._all_well = f'{{"ts":%d,"values":{{{",".join(values)}}}}}'

    def all_well(self, now_ns: int, epoch_ns: int) -> bytes | None:
        """The payload as of now; None where a value isn't Good, or no number: it says so one by one."""
        good = self.good_values(now_ns)
        if good is None:
            return None
        total = sum(good)
        if total - total != 0.0:
            return None
        numbers = [
            value if real else whole if (whole := int(value)) == value else value
            for real, value in zip(self._reals, good, strict=True)
        ]
        return (self._all_well % ((epoch_ns + now_ns) // 1_000_000, *numbers)).encode()


class MqttDevice:
    """``send(bytes, tag)`` is set while a connection stands; ``on_gone(k, why)``: a sample was given up by
    the device itself."""

    def __init__(self, device: Device, qos: int, retain: bool, keep_alive_s: int, epoch_ns: int) -> None:
        self.device = device
        self._image = _Image(device)
        self.qos, self._retain, self.keep_alive_s, self._epoch_ns = qos, retain, keep_alive_s, epoch_ns
        self.topic = topic_of(device.name)
        self.faults: list[Misbehaviour] = []
        self.send: Callable[[bytes, Any], None] | None = None
        self.accepted = False
        """the broker has said so"""
        self.on_gone: Callable[[int, str], None] = lambda k, why: None
        self.on_done: Callable[[int], None] = lambda k: None
        """the broker has a sample: the device won't send it again"""
        self.on_limit: Callable[[str], None] = lambda limit: None
        self.on_set: list[Callable[[list[int]], None]] = []
        """told which points a message has set"""
        self.said: dict[int, bytes] = {}
        """k -> what the sample's message says, of the last SAID_MAX"""
        self._reader = PacketReader()
        self._packet = 0
        self._waiting: deque[tuple[int, bytes]] = deque()
        self._inflight: dict[int, tuple[int, bytes]] = {}
        self._answers = 0

    # ---- the session -----------------------------------------------------------------------------
    def connected(self, send: Callable[[bytes, Any], None]) -> None:
        """A network connection stands."""
        self.send, self._reader, self.accepted = send, PacketReader(), False
        will = Will(f"{self.topic}/status", b"offline", 1, True)
        send(encode(Connect(self.device.name, clean=False, keep_alive_s=self.keep_alive_s, will=will)), None)

    def lost(self) -> None:
        """It stands no more; what isn't acknowledged waits for the next."""
        self.send, self.accepted = None, False

    def ping(self) -> bool:
        """Ask the broker for a sign of life; False when the last wasn't answered, and the connection is no
        good."""
        if self.send is None or self._answers > 0:
            return False
        self._answers = 1
        self.send(encode(Pingreq()), None)
        return True

    def received(self, data: bytes, now_ns: int) -> bool:
        """Bytes from the broker; False when they break the protocol."""
        try:
            for packet in self._reader.feed(data):
                self._answers = 0
                if not self._handle(packet, now_ns):
                    return False
        except ProtocolError:
            return False
        return True

    def _handle(self, packet: Packet, now_ns: int) -> bool:
        if isinstance(packet, Connack):
            if packet.code:
                return False
            self._accepted()
        elif isinstance(packet, Puback):
            done = self._inflight.pop(packet.packet, None)
            self._pump()
            if done is not None:
                self.on_done(done[0])
        elif isinstance(packet, Publish):
            if packet.qos:
                self._say(encode(Puback(packet.packet)))
            self._set(packet.payload, now_ns)
        else:
            return isinstance(packet, Suback | Pingresp)
        return True

    def _say(self, data: bytes, tag: Any = None) -> None:
        if self.send is not None:
            self.send(data, tag)

    def _next(self) -> int:
        self._packet = self._packet % 65_535 + 1
        return self._packet

    def _accepted(self) -> None:
        self.accepted = True
        self._say(encode(Subscribe(self._next(), ((f"{self.topic}/set", 1),))))
        self._say(encode(Publish(f"{self.topic}/status", b"online", 1, True, packet=self._next())))
        for number, (k, payload) in list(self._inflight.items()):
            self._say(encode(Publish(self.topic, payload, 1, self._retain, True, number)), k)
        self._pump()

    # ---- samples ---------------------------------------------------------------------------------
    def payload(self, now_ns: int) -> bytes:
        """All points as of now. A float has the digits that its register has."""
        good = self._image.all_well(now_ns, self._epoch_ns)
        if good is not None:
            return good
        values = []
        for index, point in enumerate(self.device.model.points):
            value, status, _ = self._image.read(index, now_ns)
            bad = status >> 31 or value - value != 0.0
            number = (
                f"{value:.7g}"
                if self._image.types[index] == "Float"
                else repr(int(value) if value == int(value) else value)
                if not bad
                else ""
            )
            values.append(f'"{point.name}":{"null" if bad else number}')
        return f'{{"ts":{(self._epoch_ns + now_ns) // 1_000_000},"values":{{{",".join(values)}}}}}'.encode()

    def publish(self, k: int, now_ns: int) -> None:
        """The k-th sample is due."""
        said = self.said[k] = self.payload(now_ns)
        if len(self.said) > SAID_MAX:
            del self.said[next(iter(self.said))]
        payload = self._spoilt(said)
        if payload is None:
            self.on_gone(k, "device")
        elif not self.qos:
            if self.accepted:
                self._say(encode(Publish(self.topic, payload, 0, self._retain)), k)
            else:
                self.on_gone(k, "disconnected")
        else:
            self._waiting.append((k, payload))
            self._pump()
            if len(self._waiting) > OUTBOX_MAX:
                self.on_limit("mqtt-outbox")
                self.on_gone(self._waiting.popleft()[0], "overrun")

    def _pump(self) -> None:
        while self.accepted and self._waiting and len(self._inflight) < INFLIGHT_MAX:
            k, payload = self._waiting.popleft()
            number = self._next()
            while number in self._inflight:
                number = self._next()
            self._inflight[number] = k, payload
            self._say(encode(Publish(self.topic, payload, 1, self._retain, packet=number)), k)

    def holds(self, k: int) -> bool:
        """Will the device send that sample (again)?"""
        return any(k == mine for mine, _ in self._waiting) or any(
            k == mine for mine, _ in self._inflight.values()
        )

    # ---- writes and faults -----------------------------------------------------------------------
    def _set(self, payload: bytes, now_ns: int) -> None:
        """What isn't ``{"point":number}`` with points that can be written means nothing to the device."""
        try:
            wanted = json.loads(payload)
            numbers = [
                (name, float(value))
                for name, value in wanted.items()
                if isinstance(value, int | float) and not isinstance(value, bool)
            ]
        except (ValueError, AttributeError, OverflowError, RecursionError):
            return
        told = [
            (index, value) for name, value in numbers if (index := self.device.model.index(name)) is not None
        ]
        for index, value in told:
            self._image.write(index, value, now_ns)
        for heard in self.on_set:
            heard([index for index, _ in told])

    def misbehave(self, fault: Misbehaviour) -> Callable[[], None]:
        """A fault of the protocol begins; returns what ends it."""
        self.faults.append(fault)
        return lambda: self.faults.remove(fault)

    def _spoilt(self, payload: bytes) -> bytes | None:
        """What is published instead, None for nothing."""
        out: bytes | None = payload
        for fault in self.faults:
            if out is not None and fault.hits():
                out = (
                    None
                    if fault.kind == "silent"
                    else out[: len(out) // 2]
                    if fault.kind == "truncated"
                    else out
                )
        return out

    def slow_ns(self) -> int:
        """How much later than due the next sample is published, by faults."""
        return sum(fault.amount for fault in self.faults if fault.kind == "slow" and fault.hits())
