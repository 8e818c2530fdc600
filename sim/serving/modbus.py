"""Modbus clients of a served field: on a TCP port with many units, on the TCP port of one device that speaks
RTU, or on a serial line.

Belongs here: frames from a client to devices and back, and how long they take. Never: sockets, what a PDU
means (devices/modbus/server.py). What a port itself refuses it refuses at once: a unit that isn't there, and
what can't be Modbus.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping

from twinloop.devices.modbus.frames import RtuRequests, ascii_body, rtu_body
from twinloop.devices.modbus.server import MBAP_BYTES, PDU_BYTES_MAX, ModbusServer
from twinloop.devices.model.protocols import MBAP
from twinloop.sim.field.tcp_port import BUS_USER_TIMEOUT_NS
from twinloop.sim.network.serial_line import Answered, Burst, Line
from twinloop.sim.network.tcp import TcpStream
from twinloop.sim.serving.plant import Caller, ServedPlant, Write

_NO_TARGET = 11
"""exception: gateway target device failed to respond (MODBUS Application Protocol V1.1b3 section 7)"""


class ModbusCaller(Caller):
    """A Modbus TCP client on a port; ``devices``: unit id -> index of the device."""

    def __init__(
        self, plant: ServedPlant, devices: Mapping[int, int], write: Write, hang_up: Callable[[], None]
    ) -> None:
        super().__init__(plant, write, hang_up)
        self._devices = devices
        self.since_ns = plant.env.now
        """when it has connected"""
        self._ways: dict[int, _Way] = {}
        self._buffer = b""
        self._cutting = False

    def received(self, data: bytes) -> None:
        """Every whole request that is there by now sets out for its device, as far as there is room; what
        can't be one ends the connection."""
        self._buffer += data
        self._cut()

    def _cut(self) -> None:
        if self._cutting:  # an answer at once has made room: whoever cuts goes on
            return
        self._cutting, at, buffer = True, 0, self._buffer
        while len(buffer) - at >= MBAP_BYTES and not self.gone and not self.full:
            length = int.from_bytes(buffer[at + 4 : at + 6], "big")
            if buffer[at + 2 : at + 4] != b"\0\0" or not 2 <= length <= PDU_BYTES_MAX + 1:
                self.plant.limit_met("not-modbus")
                self.lost()
                self.hang_up()
                break
            if len(buffer) - at < length + 6:
                break
            frame, at = buffer[at : at + length + 6], at + length + 6
            self._ask(frame)
        self._buffer, self._cutting = buffer[at:], False

    def go_on(self) -> None:
        """With what has come already."""
        self._cut()

    def _ask(self, frame: bytes) -> None:
        unit = frame[6]
        self._wait()
        if unit not in self._devices:
            self._over()
            self.write(frame[:4] + b"\0\x03" + bytes((unit, frame[7] & 0x7F | 0x80, _NO_TARGET)))
            return
        self.way(unit).ask(frame)

    def answered(self, frame: bytes) -> None:
        """An answer is back."""
        self._over()
        if not self.gone:
            self.write(frame)

    def fell(self, count: int) -> None:
        """So many requests will have no answer."""
        self._over(count)

    def lost(self) -> None:
        """The client is no more."""
        super().lost()
        for way in list(self._ways.values()):
            way.close()
        self._ways.clear()

    def forget(self, unit: int) -> None:
        """The way to a device is broken; the next request opens another."""
        self._ways.pop(unit, None)

    def way(self, unit: int) -> _Way:
        """To a unit of this port."""
        if unit not in self._ways:
            self._ways[unit] = _Way(self, self._devices[unit], unit)
        return self._ways[unit]


class RtuCaller(ModbusCaller):
    """A client of one device that speaks RTU over TCP, which is unit 1 of its port. What can't be a request
    is discarded (limit ``not-modbus``) and has no answer, as behind a converter."""

    def __init__(self, plant: ServedPlant, index: int, write: Write, hang_up: Callable[[], None]) -> None:
        super().__init__(plant, {1: index}, write, hang_up)
        self._requests = RtuRequests()
        self._due: deque[bytes] = deque()
        """requests that wait for room"""

    def received(self, data: bytes) -> None:
        """As a ModbusCaller's; nothing ends the connection."""
        before = self._requests.discarded
        self._due.extend(self._requests.feed(data, self.plant.env.now))
        for _ in range(self._requests.discarded - before):
            self.plant.limit_met("not-modbus")
        self._cut()

    def _cut(self) -> None:
        if self._cutting:
            return
        self._cutting = True
        while self._due and not self.gone and not self.full:
            self._wait()
            self.way(1).ask(self._due.popleft())
        self._cutting = False


class _Way:
    """A client's requests to one device, over the device's leg."""

    def __init__(self, caller: ModbusCaller, index: int, unit: int) -> None:
        plant = caller.plant
        spec = plant.spec.devices[index]
        server = plant.field.servers[index]
        assert isinstance(server, ModbusServer)
        self._caller, self._index, self._unit, self._env = caller, index, unit, plant.env
        self._server = server.beside(unit)
        if self._server.mannered:
            self._server.connected(caller.since_ns)
        self._server.witnesses = (lambda look: plant.on_look(index, look),)
        self._pdu = slice(MBAP_BYTES, None) if server.framing == MBAP else slice(1, -2)
        self._response_ns = spec.response_ns
        self._waiting = 0
        self._stream = TcpStream(
            env=plant.env,
            link=plant.links[spec.link],
            leg=spec.name,
            near=self._back,
            far=self._asked,
            lost=self._broken,
            user_timeout_ns=BUS_USER_TIMEOUT_NS,
        )
        self._stream.open = True

    def ask(self, frame: bytes) -> None:
        """One whole request sets out."""
        self._waiting += 1
        self._stream.send_up(frame, len(frame))

    def _asked(self, frame: bytes) -> None:
        told = self._caller.plant.on_frame
        if told is not None:
            told(self._index, ">", frame)
        answers = self._server.respond(frame, self._env.now)
        if not answers:
            self._over()
            self._caller.fell(1)
            return
        right = frame if not self._server.faults or self._server.untouched else b""
        for answer in answers:
            if told is not None:
                told(self._index, "<", answer)
            self._stream.send_down((answer, right), len(answer), self._response_ns + self._server.slow_ns)

    def _back(self, payload: tuple[bytes, bytes]) -> None:
        answer, frame = payload
        self._over()
        told = self._caller.plant.on_answer
        if told is not None and frame and not self._caller.gone:
            told(self._index, frame[self._pdu], answer[self._pdu])
        self._caller.answered(answer)

    def _over(self) -> None:
        self._waiting -= 1

    def _broken(self) -> None:
        """Nothing got through for too long: what was on its way is gone."""
        self._caller.plant.trace.emit(
            "bus-error", self._caller.plant.device_index[self._server.device.name], "disconnected"
        )
        self._caller.forget(self._unit)
        waiting, self._waiting = self._waiting, 0
        self._server.leave()
        self._caller.fell(waiting)

    def close(self) -> None:
        """The client is gone."""
        self._stream.close()
        self._server.leave()
        waiting, self._waiting = self._waiting, 0
        self._caller.fell(waiting)


class LineCaller(Caller):
    """The client of a serial line, which sends whole frames: every device on the line hears them.

    A frame takes its time on the wires, then a gap and the turnaround until it is heard. A device that thinks
    is silent, and may answer into what the client says next: what is on the wires at once is garbled.
    """

    def __init__(self, plant: ServedPlant, line: Line, devices: list[int], write: Write) -> None:
        super().__init__(plant, write, lambda: None)
        self._line = line
        self._units = {plant.spec.devices[index].unit_id: index for index in devices}
        for index in devices:
            server = plant.field.servers[index]
            assert isinstance(server, ModbusServer)
            line.add_device(server, plant.spec.devices[index].response_ns, index)
            server.witnesses = (*server.witnesses, lambda look, index=index: plant.on_look(index, look))  # type: ignore[misc]
        line.listeners.append(self)

    @property
    def gap_ns(self) -> int:
        """The silence that ends a frame."""
        return self._line.timing.gap_ns

    def received(self, data: bytes) -> None:
        """One frame."""
        if not data:
            return
        self._wait()
        line = self._line
        line.exchanges += 1
        line.occupancy.taken()
        burst = line.begin()
        if burst.garbled:
            self.plant.limit_met("line-collision")
        self.plant.env.call_in(line.timing.frame_ns(len(data)), self._sent, data, burst)

    def _sent(self, data: bytes, burst: Burst) -> None:
        line = self._line
        line.end(burst)
        arrived = line.carry(line.up, data, burst)
        if line.echoes and not self.gone:
            heard = line.damaged(data) if burst.garbled else data
            self.write(heard or b"")
        self.plant.env.call_in(line.timing.gap_ns + line.timing.turnaround_ns, self._heard, arrived)

    def _heard(self, data: bytes | None) -> None:
        """At the devices, 3.5 characters after the request."""
        if data and self.plant.on_frame is not None:
            body = ascii_body(data) if self._line.timing.ascii else rtu_body(data)
            if body and body[0] in self._units:
                self.plant.on_frame(self._units[body[0]], ">", data)
        if not self._line.ask(data, self._passed):
            self._passed()

    def _passed(self) -> None:
        """The answer is out, or there is none."""
        self._over()
        self._line.occupancy.given_back()

    def came(self, frame: bytes, answered: Answered) -> None:
        """A device has spoken."""
        if self.plant.on_frame is not None:
            self.plant.on_frame(answered.device.index, "<", frame)
        if not self.gone:
            told = self.plant.on_answer
            if told is not None and answered.right and frame == answered.answer:
                line = self._line
                told(answered.device.index, line.pdu(answered.request), line.pdu(answered.answer))
            self.write(frame)

    def overheard(self, frame: bytes) -> None:
        """There is no other client."""
