"""The broker in the north of a served field: clients of the real world cross the simulated uplink to it.

Belongs here: their bytes on the uplink's leg, so that its trouble acts on them. Never: sockets, packets (devices/mqtt_broker.py).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from devices.mqtt_broker import Broker
from sim.bus import END
from sim.link import Link
from sim.mqtt import TICK_NS
from sim.served import Caller, ServedPlant, Write
from sim.stream import Stream


class North:
    """A broker behind the leg ``leg`` of a link. Whoever observes it is a client without a network."""

    def __init__(self, plant: ServedPlant, link: Link, leg: str) -> None:
        self.plant, self.link, self.leg = plant, link, leg
        self.broker = Broker()
        self.broker.on_limit = lambda limit, client: plant.met(limit)
        plant.env.call_at(max(0, plant.env._now), self._tick)

    def _tick(self) -> None:
        self.broker.tick(self.plant.env._now)
        self.plant.env.call_in(TICK_NS, self._tick)

    def accept(self, write: Write, hang_up: Callable[[], None]) -> BrokerCaller:
        """A client has connected."""
        return BrokerCaller(self, write, hang_up)


class BrokerCaller(Caller):
    """A client of the broker."""

    def __init__(self, north: North, write: Write, hang_up: Callable[[], None]) -> None:
        super().__init__(north.plant, write, hang_up)
        env = north.plant.env
        self._stream = Stream(env, north.link, north.leg, self._back, self._asked, self._broken)
        self._stream.open = True
        self._connection = north.broker.connection(self._say, lambda: self._say(END, None, 0), env._now)

    def received(self, data: bytes) -> None:
        """Bytes of the client set out."""
        if not self.gone:
            self._wait()
            self._stream.send_up(data, len(data))

    def _asked(self, data: bytes) -> None:
        self._over()
        self._connection.received(data, self.plant.env._now)

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
        self._connection.lost(self.plant.env._now)
