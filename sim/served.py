"""A field that is served: the devices of a plant, and clients of the real world whose bytes cross its simulated links to them.

Belongs here: a client's connection from its bytes to the device's, and back; limits. Never: sockets (devices/live/), wall clocks (pacer.py).
A client comes in with bytes at some instant; they cross the device's leg as in a run (delayed, lost, cut), the device answers in its own
time, and what comes back is handed out. A device's TCP connection needs no handshake: the client has had one with us.
Modbus: units of one port are devices in their order; what the port itself refuses it refuses at once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from devices.modbus_server import MBAP_BYTES, PDU_BYTES_MAX, ModbusServer
from sim.bus import BUS_USER_TIMEOUT_NS, END
from sim.line import Line
from sim.plant import Plant
from sim.spec import WorldSpec
from sim.stream import Stream
from sim.wallclock import BOOT_HORIZON_NS

if TYPE_CHECKING:
    from sim.stacks import Accepted

WAITING_MAX = 256
"""requests of one client that are on their way or being answered; with more, nothing is read from it until there are fewer"""
TURN_EVENTS = 1 << 16
"""events between two looks at whether somebody wants to stop"""
_NO_TARGET = 11
"""exception: gateway target device failed to respond (MODBUS Application Protocol V1.1b3 section 7)"""

Write = Callable[[bytes], None]


class _Nothing:
    """The books of a field that nobody polls for us: always balanced."""

    due = open = ended = 0

    def require_balance(self) -> None:
        """They are."""


class ServedPlant(Plant):
    """A plant whose clients are real. Its clock is moved by whoever keeps the pace: ``run_to`` and ``at``."""

    def __init__(self, spec: WorldSpec, epoch_ns: int) -> None:
        super().__init__(spec, -BOOT_HORIZON_NS, epoch_ns)
        self.requests = 0
        """of clients, that a device or its port has answered or let fall"""
        self.limits: dict[str, int] = {}
        """limit -> how often it was met"""
        self._books = _Nothing()

    def boot(self) -> None:
        """Libraries start before t = 0, then the timeline; raises InvariantError when one doesn't come up."""
        self.run_to(-1)
        self.field.require_started()
        self.put_trouble()

    @property
    def next_ns(self) -> int | None:
        """When something is due next."""
        return self.env._queue[0][0] if self.env._queue else None  # type: ignore[return-value]

    def run_to(self, until_ns: int) -> None:
        """Let everything happen that is due by then."""
        with self.field.inside():
            while self.env.run_to(until_ns, self._books, TURN_EVENTS) == TURN_EVENTS and not self.env.stopped:
                self.trace.flush()
        self.trace.flush()

    def at(self, now_ns: int, action: Callable[..., None], *arguments: Any) -> None:
        """Do it at that instant, after what is due before; an instant that is past is now."""
        self.env.call_at(max(now_ns, self.env._now), action, *arguments)
        self.run_to(max(now_ns, self.env._now))

    def met(self, limit: str) -> None:
        """A named limit was met."""
        self.limits[limit] = self.limits.get(limit, 0) + 1

    def close(self) -> None:
        """Libraries are left."""
        self.field.close()


class Guest:
    """One client's connection. ``write`` hands bytes to it, ``hang_up`` ends it; ``full``: read no more until ``on_room`` is called."""

    def __init__(self, plant: ServedPlant, write: Write, hang_up: Callable[[], None]) -> None:
        self.plant, self.write, self.hang_up = plant, write, hang_up
        self.on_room: Callable[[], None] = lambda: None
        self._waiting = 0
        self.gone = False

    def received(self, data: bytes) -> None:
        """Bytes of the client."""
        raise NotImplementedError

    def lost(self) -> None:
        """The client is no more: nothing is written any more."""
        self.gone = True

    @property
    def full(self) -> bool:
        """Too much is on its way."""
        return self._waiting >= WAITING_MAX

    def _wait(self) -> None:
        self._waiting += 1
        if self._waiting == WAITING_MAX:
            self.plant.met("client-requests")

    def _over(self, count: int = 1) -> None:
        """So many requests are on their way no more."""
        before, self._waiting = self._waiting, self._waiting - count
        self.plant.requests += count
        if before >= WAITING_MAX > self._waiting and not self.gone:
            self.on_room()


class ModbusGuest(Guest):
    """A Modbus TCP client on a port on which ``devices`` (indices) are units 1, 2, ..."""

    def __init__(self, plant: ServedPlant, devices: list[int], write: Write, hang_up: Callable[[], None]) -> None:
        super().__init__(plant, write, hang_up)
        self._devices = devices
        self._ways: dict[int, _Way] = {}
        self._buffer = b""

    def received(self, data: bytes) -> None:
        """Every whole request that is there by now sets out for its device; what can't be one ends the connection."""
        buffer = self._buffer + data
        while len(buffer) >= MBAP_BYTES and not self.gone:
            length = int.from_bytes(buffer[4:6], "big")
            if buffer[2:4] != b"\0\0" or not 2 <= length <= PDU_BYTES_MAX + 1:
                self.plant.met("not-modbus")
                self.lost()
                self.hang_up()
                return
            if len(buffer) < length + 6:
                break
            frame, buffer = buffer[: length + 6], buffer[length + 6 :]
            self._ask(frame)
        self._buffer = buffer

    def _ask(self, frame: bytes) -> None:
        unit = frame[6]
        self._wait()
        if not 1 <= unit <= len(self._devices):
            self._over()
            self.write(frame[:4] + b"\0\x03" + bytes((unit, frame[7] & 0x7F | 0x80, _NO_TARGET)))
            return
        way = self._ways.get(unit)
        if way is None:
            way = self._ways[unit] = _Way(self, self._devices[unit - 1], unit)
        way.ask(frame)

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


class _Way:
    """A client's requests to one device, over the device's leg."""

    def __init__(self, guest: ModbusGuest, index: int, unit: int) -> None:
        plant = guest.plant
        spec = plant.spec.devices[index]
        server = plant.field.servers[index]
        assert isinstance(server, ModbusServer)
        self._guest, self._unit, self._env = guest, unit, plant.env
        self._server = ModbusServer(server.device, server, unit)
        self._response_ns = spec.response_ns
        self._waiting = 0
        self._stream = Stream(plant.env, plant.links[spec.link], spec.name, self._back, self._asked, self._broken, BUS_USER_TIMEOUT_NS)
        self._stream.open = True

    def ask(self, frame: bytes) -> None:
        """One whole request sets out."""
        self._waiting += 1
        self._stream.send_up(frame, len(frame))

    def _asked(self, frame: bytes) -> None:
        answers = self._server.respond_tcp(frame, self._env._now)
        if not answers:
            self._over()
            self._guest.fell(1)
            return
        for answer in answers:
            self._stream.send_down(answer, len(answer), self._response_ns + self._server.slow_ns)

    def _back(self, answer: bytes) -> None:
        self._over()
        self._guest.answered(answer)

    def _over(self) -> None:
        self._waiting -= 1

    def _broken(self) -> None:
        """Nothing got through for too long: what was on its way is gone."""
        self._guest.plant.trace.emit("bus-error", self._guest.plant.device_index[self._server.device.name], "disconnected")
        self._guest.forget(self._unit)
        waiting, self._waiting = self._waiting, 0
        self._server.leave()
        self._guest.fell(waiting)

    def close(self) -> None:
        """The client is gone."""
        self._stream.close()
        self._server.leave()
        waiting, self._waiting = self._waiting, 0
        self._guest.fell(waiting)


class LineGuest(Guest):
    """The client of a serial line, which sends whole frames: every device on the line hears them.

    A frame takes its time on the wires, then a gap and the turnaround; so does the answer. Who sends while another exchange is under way
    garbles both.
    """

    def __init__(self, plant: ServedPlant, line: Line, devices: list[int], write: Write) -> None:
        super().__init__(plant, write, lambda: None)
        self._line = line
        self._servers = []
        for index in devices:
            server = plant.field.servers[index]
            assert isinstance(server, ModbusServer)
            self._servers.append((server, plant.spec.devices[index].response_ns))
        self._under_way: _Frame | None = None

    @property
    def gap_ns(self) -> int:
        """The silence that ends a frame."""
        return self._line.timing.gap_ns

    def received(self, data: bytes) -> None:
        """One frame."""
        frame = _Frame()
        if self._under_way is not None:
            self._under_way.garbled = frame.garbled = True
            self._line.collisions += 1
        self._under_way = frame
        self._wait()
        self._line.exchanges += 1
        timing, env = self._line.timing, self.plant.env
        arrives = self._line.carry(self._line.up, data)
        env.call_in(timing.frame_ns(len(data)) + timing.gap_ns + timing.turnaround_ns, self._heard, frame, arrives)

    def _heard(self, frame: _Frame, data: bytes | None) -> None:
        """At the devices, 3.5 characters after the request."""
        timing, env, answered = self._line.timing, self.plant.env, False
        for server, response_ns in self._servers if data is not None and not frame.garbled else ():
            assert data is not None
            if data[0] not in (0, server.device.unit_id):
                continue
            answer = server.respond_rtu(data, env._now)
            if answer is not None:
                answered = True
                lasts_ns = response_ns + server.slow_ns + timing.frame_ns(len(answer))
                env.call_in(lasts_ns, self._answered, frame, answer)
        if not answered:
            self._end(frame)

    def _answered(self, frame: _Frame, answer: bytes) -> None:
        arrived = self._line.carry(self._line.down, answer)
        if frame.garbled and arrived is not None:
            arrived = self._line.damaged(arrived)
        self._end(frame)
        if arrived is not None and not self.gone:
            self.write(arrived)

    def _end(self, frame: _Frame) -> None:
        if self._under_way is frame:
            self._under_way = None
        self._over()


class _Frame:
    """A request on the wires."""

    __slots__ = ("garbled",)

    def __init__(self) -> None:
        self.garbled = False


class OpcUaGuest(Guest):
    """A client of one OPC UA device's server, whose own name for itself is ``name`` (host, port)."""

    def __init__(self, plant: ServedPlant, index: int, name: tuple[str, int], peer: str, write: Write, hang_up: Callable[[], None]) -> None:
        from devices.opcua_device import PORT, OpcUaServer, host_of

        super().__init__(plant, write, hang_up)
        spec, server, stacks = plant.spec.devices[index], plant.field.servers[index], plant.field.stacks
        assert isinstance(server, OpcUaServer)
        assert stacks is not None
        self._server, self._stacks, self._response_ns = server, stacks, spec.response_ns
        self._stream = Stream(plant.env, plant.links[spec.link], spec.name, self._back, self._asked, self._broken, BUS_USER_TIMEOUT_NS)
        self._stream.open = True
        self._peer: Accepted | None = stacks.accept(host_of(spec.name), PORT, self._answered, self._hung_up, peer, name)
        if self._peer is None:
            self._broken()

    def received(self, data: bytes) -> None:
        """Bytes of the client."""
        if not self.gone:
            self._wait()
            self._stream.send_up(data, len(data))

    def _asked(self, data: bytes) -> None:
        self._over()
        if self._peer is not None:
            self._peer.received(data)

    def _answered(self, data: bytes) -> None:
        spoilt = self._server.spoilt(data)
        if spoilt is not None:
            self._stream.send_down(spoilt, len(spoilt), self._response_ns + self._server.slow_ns)

    def _hung_up(self, at_once: bool) -> None:
        if self._stacks.over:
            return
        if at_once:
            self._stream.break_off()
        else:
            self._stream.send_down(END, 0, self._response_ns)

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
        """The client is no more; its session waits for its timeout, as at any server."""
        super().lost()
        self._stream.close()
        peer, self._peer = self._peer, None
        if peer is not None:
            peer.gone()
