"""A serial line: RS-485, half-duplex. A request holds it until its answer or its timeout; what is on the
wires at once is garbled.

Belongs here: baud timing, gaps, turn-around, the wires, the devices on them. Never: a driver's side
(serial_port.py), what frames mean. MODBUS over Serial Line V1.02 section 2.5.1, RTU: 11 bits a character (10
where somebody has left out the second stop bit), 3.5 characters of silence between frames, fixed at 1750 us
above 19200 Bd. Section 2.5.2, ASCII: two characters a byte, of 10 bits each with seven data bits; a frame is
from a colon to CR LF, with no silence around it. A character with a wrong parity bit is discarded by the
receiver, and its frame with it: then a damaged frame is silence. The queue in front of the line is part of
the exchange: stage ``bus``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Protocol

from twinloop.devices.modbus.frames import AsciiFrames, ascii_body
from twinloop.devices.modbus.server import ModbusServer
from twinloop.records import dataclass
from twinloop.sim.kernel.clock import US, Environment, S
from twinloop.sim.kernel.random import RandomStreams
from twinloop.sim.network.link import Link, Way

CHARACTER_BITS = 11
"""start, 8 data, parity or a second stop bit, stop; 10 with neither"""
GAP_FIXED_NS = 1750 * US
GAP_FIXED_ABOVE_BD = 19_200


LINE_FULL = 0.98
"""share of a poll period from which a line has no room left in it"""


@dataclass(frozen=True, slots=True)
class LineTiming:
    """Times of a line at ``rate_bd``. ``turnaround_ns``: what each change of direction costs beside the gap;
    ``parity``: is it checked? ``data_bits`` of a character, 7 or 8; ``ascii``: the transmission mode, else
    RTU."""

    rate_bd: int
    character_bits: int = CHARACTER_BITS
    turnaround_ns: int = 0
    parity: bool = False
    data_bits: int = 8
    ascii: bool = False

    @property
    def character_ns(self) -> int:
        """One character."""
        return self.character_bits * S // self.rate_bd

    @property
    def gap_ns(self) -> int:
        """3.5 characters of silence; none in ASCII, whose frames end with a character."""
        if self.ascii:
            return 0
        return (
            GAP_FIXED_NS
            if self.rate_bd > GAP_FIXED_ABOVE_BD
            else 7 * self.character_bits * S // (2 * self.rate_bd)
        )

    def framed(self, size_bytes: int) -> int:
        """How many characters unit and PDU of that size are: in RTU one a byte, and the CRC; in ASCII two a
        byte, the LRC's too, colon, CR LF."""
        return 1 + 2 * (size_bytes + 1) + 2 if self.ascii else size_bytes + 2

    def frame_ns(self, size_bytes: int) -> int:
        """A frame without its gap."""
        return size_bytes * self.character_bits * S // self.rate_bd

    def exchange_ns(self, request_bytes: int, reply_bytes: int, response_ns: int) -> int:
        """A whole exchange: request, gap, turnaround, the device's time, reply, gap, turnaround."""
        return (
            self.frame_ns(request_bytes)
            + self.frame_ns(reply_bytes)
            + 2 * (self.gap_ns + self.turnaround_ns)
            + response_ns
        )


class Burst:
    """One frame on the wires. ``garbled``: something else was on them meanwhile."""

    __slots__ = ("garbled",)

    def __init__(self) -> None:
        self.garbled = False


class LineListener(Protocol):
    """Who hears what devices say: a gateway's end of the line, or a client from outside."""

    def came(self, frame: bytes, answered: Answered) -> None:
        """A whole frame, damaged perhaps, whose last character has come just now."""
        ...

    def overheard(self, frame: bytes) -> None:
        """Another client's request: who waits for an answer hears that, too."""
        ...


class Answered(NamedTuple):
    """Whose answer it is, and to what. ``right``: is it the right one, as the device meant it?"""

    device: LineDevice
    request: bytes
    answer: bytes
    right: bool


class LineDevice:
    """A device on the wires: it hears whole requests, thinks in silence, and answers when it has thought,
    whoever speaks then.

    While it thinks or speaks it hears nothing.
    """

    def __init__(self, line: Line, server: ModbusServer, response_ns: int, index: int) -> None:
        self._line, self.server, self._response_ns, self.index = line, server, response_ns, index
        self.busy = False

    def hear(self, request: bytes, done: Callable[[], None]) -> bool:
        """A whole frame; will it answer? Then ``done`` is called when the answer has passed."""
        if self.busy:
            return False
        env, server = self._line.env, self.server
        answer = (
            server.respond_ascii(request, env.now)
            if self._line.timing.ascii
            else server.respond_rtu(request, env.now)
        )
        if answer is None:
            return False
        self.busy = True
        right = not server.faults or server.untouched
        env.call_in(
            self._response_ns + server.slow_ns, self._speak, Answered(self, request, answer, right), done
        )
        return True

    def _speak(self, answered: Answered, done: Callable[[], None]) -> None:
        line = self._line
        line.env.call_in(
            line.timing.frame_ns(len(answered.answer)), self._spoken, line.begin(), answered, done
        )

    def _spoken(self, burst: Burst, answered: Answered, done: Callable[[], None]) -> None:
        self.busy = False
        line = self._line
        if self.server.mannered:
            self.server.spoke(line.env.now)
        line.end(burst)
        arrived = line.carry(line.down, answered.answer, burst)
        if arrived is not None:
            for listener in line.listeners:
                listener.came(arrived, answered)
        done()


class Occupancy:
    """How long clients had a line. ``busy_ns``: somebody had it."""

    def __init__(self, env: Environment) -> None:
        self._env = env
        self._users = 0
        self._busy_since_ns = 0
        self.window_ns = S
        """the longest poll period of its devices: only a line that is taken all that time has no room left"""
        self._window, self._window_busy_ns = 0, 0
        self.full_windows = 0
        """of them in which it was taken for LINE_FULL of the time"""
        self.busy_ns = 0
        self.busy_in_run_ns: int | None = None
        """of it, until the duration was over"""

    def taken(self) -> None:
        """One more client has the line."""
        if not self._users:
            self._busy_since_ns = self._env.now
        self._users += 1

    def given_back(self) -> None:
        """One client less."""
        self._users -= 1
        if not self._users:
            self.busy_ns += self._env.now - self._busy_since_ns
            self._fill(self._busy_since_ns, self._env.now)

    def _fill(self, since_ns: int, until_ns: int) -> None:
        """It was taken from then until then: count the windows that were full."""
        while since_ns < until_ns:
            window = since_ns // self.window_ns
            if window != self._window:
                self.full_windows += self._window_busy_ns >= LINE_FULL * self.window_ns
                self._window, self._window_busy_ns = window, 0
            ends_ns = min(until_ns, (window + 1) * self.window_ns)
            self._window_busy_ns += ends_ns - since_ns
            since_ns = ends_ns

    def busy_until(self, now_ns: int) -> int:
        """How long it was occupied by then, what goes on included."""
        return self.busy_ns + (now_ns - self._busy_since_ns if self._users else 0)


class Line:
    """One pair of wires with several devices, and gateways or other clients that ask them.

    A client sends one request at a time and knows nothing of the others: what is on the wires at once is
    garbled, all of it. It has the line until its answer has come or its timeout is over; a device that still
    thinks then is silent, and may answer later, into whatever is on the wires.
    """

    def __init__(
        self, env: Environment, name: str, timing: LineTiming, link: Link, streams: RandomStreams
    ) -> None:
        self.env, self.name, self.timing, self.link = env, name, timing, link
        self.noise = streams.stream(f"line/{name}/corrupt-bit")
        self.up, self.down = link.legs(name)
        self.devices: dict[int, list[LineDevice]] = {}
        """unit id -> who has it"""
        self.listeners: list[LineListener] = []
        self._heard = AsciiFrames()
        """what devices make of characters, in ASCII"""
        self._on_wire: list[Burst] = []
        self.occupancy = Occupancy(env)
        self.exchanges = self.timeouts = self.collisions = 0
        self.longest_queue = 0
        self.echoes = False
        """does it bring back what is sent?"""

    def add_device(self, server: ModbusServer, response_ns: int, index: int) -> LineDevice:
        """A device is on the wires; twice is once."""
        mine = self.devices.setdefault(server.device.unit_id, [])
        for device in mine:
            if device.server.device is server.device:
                return device
        mine.append(LineDevice(self, server, response_ns, index))
        self.echoes = self.echoes or server.echoes
        return mine[-1]

    def spoken(self, speaker: LineListener, frame: bytes) -> None:
        """A client's request has passed undamaged: the other clients have heard it."""
        for listener in self.listeners:
            if listener is not speaker:
                listener.overheard(frame)

    # ---- the wires -------------------------------------------------------------------------------
    def begin(self) -> Burst:
        """A frame goes onto the wires: with what is on them it garbles itself."""
        burst = Burst()
        for other in self._on_wire:
            other.garbled = burst.garbled = True
        self.collisions += burst.garbled
        self._on_wire.append(burst)
        return burst

    def end(self, burst: Burst) -> None:
        """Its last character is out."""
        self._on_wire.remove(burst)

    def carry(self, way: Way, frame: bytes, burst: Burst) -> bytes | None:
        """What comes out at the other end of the wires: the frame, a damaged one, or nothing."""
        arrivals = way.offer(len(frame), self.env.now)
        if not arrivals:
            return None
        return self.damaged(frame) if arrivals[0][1] or burst.garbled else frame

    def damaged(self, frame: bytes) -> bytes | None:
        """The frame with a flipped bit: no check sum holds then, and no parity bit. (Of an ASCII digit it may
        be the one that makes a small letter of a capital one, which means the same.)"""
        if self.timing.parity:
            return None
        bits = self.timing.data_bits
        bit = self.noise.below(bits * len(frame))
        damaged = bytearray(frame)
        damaged[bit // bits] ^= 1 << (bit % bits)
        return bytes(damaged)

    def pdu(self, frame: bytes) -> bytes:
        """Of a frame that is right, in this line's mode."""
        body = ascii_body(frame) if self.timing.ascii else frame[:-2]
        return b"" if body is None else body[1:]

    def unit(self, frame: bytes) -> int | None:
        """To or of whom a frame is; None when it can't be told."""
        if not self.timing.ascii:
            return frame[0] if frame else None
        body = ascii_body(frame)
        return None if body is None else body[0]

    def ask(self, frame: bytes | None, done: Callable[[], None]) -> bool:
        """A frame has come to all devices, 3.5 characters after its end; will one of them answer? Then
        ``done`` is called when that has passed."""
        if not frame:
            return False
        if not self.timing.ascii:
            return self._ask(frame, frame[0], done)
        now = self.env.now
        frames = self._heard.feed(frame, now - self.timing.frame_ns(len(frame)), now)
        afoot = 0

        def passed() -> None:  # one transmission may hold several frames
            nonlocal afoot
            afoot -= 1
            if not afoot:
                done()

        for one in frames:
            unit = self.unit(one)
            afoot += unit is not None and self._ask(one, unit, passed)
        return afoot > 0

    def _ask(self, frame: bytes, unit: int, done: Callable[[], None]) -> bool:
        if unit:
            # all of them hear it
            heard = [device.hear(frame, done) for device in self.devices.get(unit, ())]
            return any(heard)
        for devices in self.devices.values():  # a broadcast
            for device in devices:
                device.hear(frame, done)
        return False
