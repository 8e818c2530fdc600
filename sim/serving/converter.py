"""A Modbus TCP to RTU converter of a served field: one TCP port, its clients, one queue behind all of them.

Belongs here: clients of the real world at a simulated converter. Never: the queue and the line
(sim/network/converter.py), sockets (devices/live/). A client's requests cross the converter's leg of the
network as in a run. A connection too many is closed as soon as it stands: the machine has accepted it.
"""

from __future__ import annotations

from collections.abc import Callable

from twinloop.devices.modbus.server import MBAP_BYTES, ModbusServer
from twinloop.sim.field.tcp_port import BUS_USER_TIMEOUT_NS
from twinloop.sim.network.converter import Guest
from twinloop.sim.network.serial_line import Answered
from twinloop.sim.network.tcp import TcpStream
from twinloop.sim.serving.modbus import ModbusCaller
from twinloop.sim.serving.plant import ServedPlant, Write


class ConverterPort:
    """The port of one converter; ``devices``: (index, unit id) of those behind it."""

    def __init__(self, plant: ServedPlant, name: str) -> None:
        self.plant, self.converter = plant, plant.field.converters[name]
        self.link = next(one.link for one in plant.spec.converters if one.name == name)
        self.converter.on_limit = plant.limit_met
        self.devices = [
            (index, device.unit_id)
            for index, device in enumerate(plant.spec.devices)
            if device.behind == name
        ]
        for index, _ in self.devices:
            server = plant.field.servers[index]
            assert isinstance(server, ModbusServer)
            server.witnesses = (*server.witnesses, lambda look, index=index: plant.on_look(index, look))  # type: ignore[misc]

    def accept(self, write: Write, hang_up: Callable[[], None]) -> ConverterCaller:
        """A client has connected, now."""
        return ConverterCaller(self, write, hang_up)


class ConverterCaller(ModbusCaller):
    """One client of a converter."""

    def __init__(self, port: ConverterPort, write: Write, hang_up: Callable[[], None]) -> None:
        plant = port.plant
        super().__init__(plant, {}, write, hang_up)
        self._converter = port.converter
        self._index_of = {unit: index for index, unit in port.devices}
        self._guest = Guest(port.converter, self._hand, self._fallen)
        self._on_way = 0
        """requests that are not over"""
        self._stream = TcpStream(
            env=plant.env,
            link=plant.links[port.link],
            leg=port.converter.name,
            near=self._back,
            far=self._asked,
            lost=self._broken,
            user_timeout_ns=BUS_USER_TIMEOUT_NS,
        )
        self._stream.open = True
        if not port.converter.enter(self._guest):
            self.lost()
            self.hang_up()

    def _ask(self, frame: bytes) -> None:
        self._wait()
        self._on_way += 1
        self._stream.send_up(frame, len(frame))

    def _asked(self, frame: bytes) -> None:
        """A whole request is at the converter."""
        told, index = self.plant.on_frame, self._index_of.get(frame[6])
        if told is not None and index is not None:
            told(index, ">", frame)
        self._guest.feed(frame)

    def _hand(self, answer: bytes, answered: Answered | None) -> None:
        self._stream.send_down((answer, answered), len(answer))

    def _fallen(self) -> None:
        self._on_way -= 1
        self.fell(1)

    def _back(self, payload: tuple[bytes, Answered | None]) -> None:
        answer, answered = payload
        if self.plant.on_frame is not None and answered is not None:
            self.plant.on_frame(answered.device.index, "<", answer)
        told = self.plant.on_answer
        if told is not None and answered is not None and answered.right and not self.gone:
            told(answered.device.index, answered.request[1:-2], answer[MBAP_BYTES:])
        self._on_way -= 1
        self.answered(answer)

    def _broken(self) -> None:
        """Nothing got through for too long: as with a real one, the connection is over."""
        if not self.gone:
            self.plant.trace.emit("limit", self._converter.name, "converter-broken", 1)
            self.plant.limit_met("converter-broken")
            self.lost()
            self.hang_up()

    def lost(self) -> None:
        """The client is no more, and what it asked is dropped, but for what is on the line."""
        if self.gone:
            return
        super().lost()
        self._stream.close()
        self._converter.leave(self._guest)
        on_way, self._on_way = self._on_way, 0
        self.fell(on_way)
