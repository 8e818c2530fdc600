"""The broker in the north of a served field: clients of the real world cross the simulated uplink to it.

Belongs here: their bytes on the uplink's leg, so that its trouble acts on them. Never: sockets, packets
(devices/mqtt/broker.py).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twinloop.devices.mqtt.broker import Broker
from twinloop.sim.field.mqtt_site import TICK_NS
from twinloop.sim.field.tcp_port import END
from twinloop.sim.network.half import MSS_BYTES
from twinloop.sim.network.link import Link
from twinloop.sim.network.tcp import TcpStream
from twinloop.sim.serving.plant import Caller, ServedPlant, Write

AFOOT_BYTES_MAX = 64 << 10
"""of one client on their way to the broker: what a socket's buffer holds; then it isn't read from"""


class North:
    """A broker behind the leg ``leg`` of a link. Whoever observes it is a client without a network."""

    def __init__(self, plant: ServedPlant, link: Link, leg: str) -> None:
        self.plant, self.link, self.leg = plant, link, leg
        self.broker = Broker()
        self.broker.on_limit = lambda limit, client: plant.limit_met(limit)
        self.broker.later = self._later
        plant.env.call_at(max(0, plant.env.now), self._tick)

    def _tick(self) -> None:
        self.broker.tick(self.plant.env.now)
        self.plant.env.call_in(TICK_NS, self._tick)

    def _later(self, rest: Callable[[], None]) -> None:
        self.plant.env.call_in(0, self.do, rest)

    def do(self, action: Callable[..., None], *arguments: Any) -> None:
        """Something for the broker to do; what it is in work counts for the turn."""
        before = self.broker.work
        action(*arguments)
        self.plant.worked += self.broker.work - before

    def accept(self, write: Write, hang_up: Callable[[], None]) -> BrokerCaller:
        """A client has connected."""
        return BrokerCaller(self, write, hang_up)


class BrokerCaller(Caller):
    """A client of the broker."""

    def __init__(self, north: North, write: Write, hang_up: Callable[[], None]) -> None:
        super().__init__(north.plant, write, hang_up)
        env = north.plant.env
        self._north = north
        self._stream = TcpStream(
            env=env, link=north.link, leg=north.leg, near=self._back, far=self._asked, lost=self._broken
        )
        self._stream.open = True
        self._afoot = 0
        """bytes of the client that are on their way"""
        self._connection = north.broker.connection(self._say, lambda: self._say(END, None, 0), env.now)

    def received(self, data: bytes) -> None:
        """Bytes of the client set out."""
        if self.gone:
            return
        # piece by piece, so that a flood of small packets is many things that happen, not one
        for at in range(0, len(data), MSS_BYTES):
            piece = data[at : at + MSS_BYTES]
            self._afoot += len(piece)
            self._stream.send_up(piece, len(piece))
        if self._afoot >= AFOOT_BYTES_MAX and not self.full:
            self.full = True
            self.plant.limit_met("broker-unread")

    def _asked(self, data: bytes) -> None:
        self._afoot -= len(data)
        self._north.do(self._connection.received, data, self.plant.env.now)
        if self.full and self._afoot < AFOOT_BYTES_MAX // 2 and not self.gone:
            self.full = False
            self.on_room()

    def _say(self, data: Any, tag: Any, packet: int) -> None:
        self._stream.send_down(data, 0 if data is END else len(data))

    def _back(self, data: Any) -> None:
        if self.gone:
            return
        if data is END:
            self._broken()
        else:
            self.write(data)

    def _broken(self) -> None:
        if not self.gone:
            self.lost()
            self.hang_up()

    def lost(self) -> None:
        """The client is no more: its will is due."""
        super().lost()
        self._stream.close()
        self._connection.lost(self.plant.env.now)
