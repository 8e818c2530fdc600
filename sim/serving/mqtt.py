"""A served field's MQTT devices: they publish to a broker of the real world when their plan says so.

Belongs here: when a device dials, publishes, asks for a sign of life and tries again. Never: sockets, packets
(devices/mqtt/device.py). A device's bytes cross its leg of its link on their way to the broker's socket, so a
cut cable keeps them: with QoS 1 in the device's outbox.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twinloop.devices.mqtt.device import MqttDevice
from twinloop.sim.field.mqtt_site import REDIAL_FIRST_NS, REDIAL_MAX_NS
from twinloop.sim.kernel.clock import S, Timer
from twinloop.sim.network.tcp import TcpStream
from twinloop.sim.serving.plant import Caller, ServedPlant, Write


class Sender:
    """One device. ``dial`` asks for a connection to the broker, which then calls ``opened`` or
    ``refused``."""

    def __init__(self, plant: ServedPlant, index: int, dial: Callable[[], None]) -> None:
        self.plant, self._env, self._dial_out = plant, plant.env, dial
        server, self._index = plant.field.servers[index], index
        assert isinstance(server, MqttDevice)
        self.device, self._spec = server, plant.spec.devices[index]
        server.on_limit = plant.limit_met
        self._stream: TcpStream | None = None
        self._broker: BrokerEnd | None = None
        self._backoff_ns = REDIAL_FIRST_NS
        self._timer: Timer | None = None
        self._env.call_at(max(self._env.now, self._spec.phase_ns), self._due, 0)
        self._env.call_at(max(self._env.now, 0), self._dial)

    # ---- the connection --------------------------------------------------------------------------
    def _dial(self) -> None:
        stream = self._stream = TcpStream(
            env=self._env,
            link=self.plant.links[self._spec.link],
            leg=self._spec.name,
            near=self._at_broker,
            far=self._at_device,
            lost=lambda: self._lost(stream),
        )
        stream.connect(self._dial_out)

    def opened(self, write: Write, hang_up: Callable[[], None]) -> BrokerEnd:
        """The broker's socket is there; who hears it."""
        broker = self._broker = BrokerEnd(self, write, hang_up)
        stream = self._stream
        # the cable was cut meanwhile: the device dials again
        if stream is None or stream.broken or not stream.open:
            broker.gone = True
            hang_up()
            return broker
        self.device.connected(lambda data, tag: self._say(stream, data, tag))
        self._timer = self._env.call_in(self.device.keep_alive_s * S // 2, self._ping, stream)
        return broker

    def refused(self) -> None:
        """Nobody listens there, or nobody is found."""
        self.plant.limit_met("broker-refused")
        if self._stream is not None:
            self._stream.break_off()

    def _say(self, stream: TcpStream, data: bytes, tag: Any) -> None:
        self.plant.requests += tag is not None
        if tag is not None and self.plant.on_frame is not None:
            self.plant.on_frame(self._index, "<", data)
        stream.send_down(data, len(data))

    def _at_broker(self, data: bytes) -> None:
        if self._broker is not None and not self._broker.gone:
            self._broker.write(data)

    def from_broker(self, data: bytes) -> None:
        """Bytes that the broker has sent."""
        if self._stream is not None:
            self._stream.send_up(data, len(data))

    def _at_device(self, data: bytes) -> None:
        stream = self._stream
        if stream is None:
            return
        if not self.device.received(data, self._env.now):
            stream.break_off()
        elif self.device.accepted:
            self._backoff_ns = REDIAL_FIRST_NS

    def _ping(self, stream: TcpStream) -> None:
        if stream is not self._stream:
            return
        if self.device.ping():
            self._timer = self._env.call_in(self.device.keep_alive_s * S // 2, self._ping, stream)
        else:
            stream.break_off()

    def broker_gone(self) -> None:
        """The broker's socket is closed."""
        if self._stream is not None:
            self._stream.break_off()

    def _lost(self, stream: TcpStream) -> None:
        if stream is not self._stream:
            return
        self._stream = None
        self.device.lost()
        if self._timer is not None:
            self._timer.cancel()
        broker, self._broker = self._broker, None
        if broker is not None and not broker.gone:
            broker.gone = True
            broker.hang_up()
        self._env.call_in(self._backoff_ns, self._dial)
        self._backoff_ns = min(2 * self._backoff_ns, REDIAL_MAX_NS)

    # ---- samples ---------------------------------------------------------------------------------
    def _due(self, k: int) -> None:
        self._env.call_at(self._spec.phase_ns + (k + 1) * self._spec.poll_ns, self._due, k + 1)
        slow_ns = self.device.slow_ns()
        if slow_ns:
            self._env.call_in(slow_ns, self._publish, k)
        else:
            self._publish(k)

    def _publish(self, k: int) -> None:
        self.device.publish(k, self._env.now)


class BrokerEnd(Caller):
    """The broker, as the other end of a device's connection."""

    def __init__(self, sender: Sender, write: Write, hang_up: Callable[[], None]) -> None:
        super().__init__(sender.plant, write, hang_up)
        self._sender = sender

    def received(self, data: bytes) -> None:
        """Bytes of the broker."""
        if not self.gone:
            self._sender.from_broker(data)

    def lost(self) -> None:
        """It has closed the connection."""
        if not self.gone:
            super().lost()
            self._sender.broker_gone()
