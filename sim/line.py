"""A serial line: RS-485, half-duplex, one exchange at a time; a device that doesn't answer blocks it for its timeout.

Belongs here: baud timing, gaps, turn-around, the line's queue. Never: what the frames mean.
MODBUS over Serial Line V1.02 section 2.5.1: 11 bits a character (10 where somebody has left out the second stop bit), 3.5 characters of
silence between frames, fixed at 1750 us above 19200 Bd. A character with a wrong parity bit is discarded by the receiver, and its frame with
it: then a damaged frame is silence. The queue in front of the line is part of the exchange: stage ``bus``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from devices.modbus_server import ModbusServer
from sim.bus import OK_NOTHING, TIMEOUT, cut_frame
from sim.clock import US, Environment, S, Signal
from sim.link import Link, Way
from sim.streams import Streams
from sim.trace import Trace

CHARACTER_BITS = 11
"""start, 8 data, parity or a second stop bit, stop; 10 with neither"""
GAP_FIXED_NS = 1750 * US
GAP_FIXED_ABOVE_BD = 19_200
QUEUE_MAX = 4096
"""exchanges that wait for one line: one a device, so only a wiring mistake comes near"""


@dataclass(frozen=True, slots=True)
class LineTiming:
    """Times of a line at ``rate_bd``. ``turnaround_ns``: what each change of direction costs beside the gap; ``parity``: is it checked?"""

    rate_bd: int
    character_bits: int = CHARACTER_BITS
    turnaround_ns: int = 0
    parity: bool = False

    @property
    def character_ns(self) -> int:
        """One character."""
        return self.character_bits * S // self.rate_bd

    @property
    def gap_ns(self) -> int:
        """3.5 characters of silence."""
        return GAP_FIXED_NS if self.rate_bd > GAP_FIXED_ABOVE_BD else 7 * self.character_bits * S // (2 * self.rate_bd)

    def frame_ns(self, size_bytes: int) -> int:
        """A frame without its gap."""
        return size_bytes * self.character_bits * S // self.rate_bd

    def exchange_ns(self, request_bytes: int, reply_bytes: int, response_ns: int) -> int:
        """A whole exchange: request, gap, turnaround, the device's time, reply, gap, turnaround."""
        return self.frame_ns(request_bytes) + self.frame_ns(reply_bytes) + 2 * (self.gap_ns + self.turnaround_ns) + response_ns


class Line:
    """One pair of wires with several devices. ``busy_ns`` is how long it was occupied.

    A client (a gateway) sends one request at a time; two clients know nothing of one another, and exchanges that overlap are
    garbled, both of them.
    """

    def __init__(self, env: Environment, name: str, timing: LineTiming, link: Link, streams: Streams) -> None:
        self.env, self.name, self.timing, self.link = env, name, timing, link
        self.noise = streams.stream(f"line/{name}/corrupt-bit")
        self.up, self.down = link.legs(name)
        self._queues: dict[str, deque[Callable[[], None]]] = {}
        self._clients: dict[str, None] = {}
        """whose turn it is: one of each gateway"""
        self._busy_since_ns = 0
        self._on_wire: list[_Exchange] = []
        self.busy_ns = 0
        self.exchanges = self.timeouts = self.collisions = 0
        self.longest_queue = 0

    def take(self, start: Callable[[], None], client: str) -> None:
        """Call ``start`` when the line is yours; give it back with ``release``. Other clients aren't waited for."""
        if client not in self._clients:
            if not self._clients:
                self._busy_since_ns = self.env._now
            self._clients[client] = None
            start()
            return
        queue = self._queues.setdefault(client, deque())
        if len(queue) >= QUEUE_MAX:
            raise OverflowError(f"line {self.name}: more than {QUEUE_MAX} exchanges wait")
        queue.append(start)
        self.longest_queue = max(self.longest_queue, len(queue))

    def release(self, client: str) -> None:
        """The exchange is over, its last gap too."""
        now = self.env._now
        self.busy_ns += now - self._busy_since_ns
        self._busy_since_ns = now
        del self._clients[client]
        queue = self._queues.get(client)
        if queue:
            self._clients[client] = None
            queue.popleft()()

    def begin(self, exchange: _Exchange) -> bool:
        """A request goes onto the wires; True when another client's exchange was under way: both are garbled."""
        self.exchanges += 1
        for other in self._on_wire:
            other.garbled = exchange.garbled = True
        self.collisions += exchange.garbled
        self._on_wire.append(exchange)
        return exchange.garbled

    def end(self, exchange: _Exchange) -> None:
        """It is off the wires."""
        self._on_wire.remove(exchange)

    def carry(self, way: Way, frame: bytes) -> bytes | None:
        """What comes out at the other end of the wires: the frame, a damaged one, or nothing."""
        arrivals = way.offer(len(frame), self.env._now)
        if not arrivals:
            return None
        return self.damaged(frame) if arrivals[0][1] else frame

    def damaged(self, frame: bytes) -> bytes | None:
        """The frame with a flipped bit: no CRC holds then, and no parity bit."""
        if self.timing.parity:
            return None
        bit = self.noise.below(8 * len(frame))
        damaged = bytearray(frame)
        damaged[bit >> 3] ^= 1 << (bit & 7)
        return bytes(damaged)


class _Exchange:
    """One request on its way over a line. ``over``: answered, given up or abandoned; what still comes is for nobody."""

    __slots__ = ("asked_at_ns", "event", "framing", "garbled", "over", "request", "timeout_ns")

    def __init__(self, request: bytes, framing: Any, timeout_ns: int, event: Signal) -> None:
        self.request, self.framing, self.timeout_ns, self.event = request, framing, timeout_ns, event
        self.asked_at_ns = 0
        self.over = self.garbled = False


class SerialPort:
    """A device on a line, as its driver sees it: unread bytes are discarded when its request goes out."""

    def __init__(self, env: Environment, trace: Trace, device: int, line: Line, server: ModbusServer, response_ns: int, client: str) -> None:
        self._env, self._trace, self._index, self._client = env, trace, device, client
        self._line, self._server, self._response_ns = line, server, response_ns
        self._buffer = b""
        self._current: _Exchange | None = None

    # ---- the contract -------------------------------------------------------------------------------------------
    def transact(self, request: bytes, reply: Any, timeout_ns: int, limit_ns: int) -> Signal:
        """Wait for the line, send, wait for the answer; ``timeout_ns`` runs from the request's last character, ``limit_ns`` from now."""
        exchange = self._current = _Exchange(request, reply, timeout_ns, Signal(self._env))
        self._env.call_in(limit_ns, self._give_up, exchange)
        self._line.take(lambda: self._transmit(exchange), self._client)
        return exchange.event

    def send(self, data: bytes, timeout_ns: int) -> Signal:
        """Send without waiting for an answer: done when its last character is out; an answer that comes is kept for ``receive``."""
        exchange = self._current = _Exchange(data, None, 0, Signal(self._env))
        self._line.take(lambda: self._transmit(exchange), self._client)
        return exchange.event

    def receive(self, frame: Any, timeout_ns: int) -> Signal:
        """What came after the last frame, or what comes within ``timeout_ns``."""
        exchange = self._current = _Exchange(b"", frame, timeout_ns, Signal(self._env))
        self._env.call_in(timeout_ns, self._give_up, exchange)
        self._look()
        return exchange.event

    def reset(self) -> None:
        """Discard what is unread; a line has no connection."""
        self._buffer = b""

    def abandon(self) -> None:
        """The driver is gone: nobody waits, a request that isn't on the wire yet never goes out."""
        self._buffer = b""
        if self._current is not None:
            if not self._current.over:
                self._env.call_in(0, self._current.event.fire, TIMEOUT)
            self._current.over = True
            self._current = None

    # ---- an exchange --------------------------------------------------------------------------------------------
    def _transmit(self, exchange: _Exchange) -> None:
        if exchange.over:
            self._line.release(self._client)
            return
        timing = self._line.timing
        if self._line.begin(exchange):
            self._trace.emit("collision", self._line.name, self._index)
        self._buffer = b""
        arrived = self._line.carry(self._line.up, exchange.request)
        sent_ns = timing.frame_ns(len(exchange.request))
        if exchange.framing is None:
            self._env.call_in(sent_ns, self._finish, exchange, OK_NOTHING)
        self._env.call_in(sent_ns + timing.gap_ns + timing.turnaround_ns, self._asked, exchange, arrived)

    def _asked(self, exchange: _Exchange, request: bytes | None) -> None:
        """At the device, 3.5 characters after the request."""
        exchange.asked_at_ns = self._env._now
        answer = None if request is None or exchange.garbled else self._server.respond_rtu(request, self._env._now)
        if answer is None:
            self._env.call_in(exchange.timeout_ns, self._silent, exchange)
            return
        response_ns = self._response_ns + self._server.slow_ns
        timing = self._line.timing
        ends_ns = response_ns + timing.frame_ns(len(answer)) + timing.gap_ns + timing.turnaround_ns
        if exchange.framing is not None and response_ns >= exchange.timeout_ns:
            self._env.call_in(exchange.timeout_ns, self._give_up, exchange)
        self._env.call_in(ends_ns, self._answered, exchange, answer)

    def _silent(self, exchange: _Exchange) -> None:
        """Nothing came: the line was blocked for the whole timeout."""
        self._line.timeouts += 1
        self._line.end(exchange)
        self._line.release(self._client)
        self._give_up(exchange)

    def _answered(self, exchange: _Exchange, answer: bytes) -> None:
        arrived = self._line.carry(self._line.down, answer)
        if exchange.garbled and arrived is not None:
            arrived = self._line.damaged(arrived)
        left_ns = exchange.asked_at_ns + exchange.timeout_ns - self._env._now
        if arrived is None and left_ns > 0:
            self._env.call_in(left_ns, self._silent, exchange)
            return
        self._line.end(exchange)
        self._line.release(self._client)
        if arrived is not None and (exchange is self._current or exchange.framing is None):
            self._buffer += arrived
            self._look()
        if exchange.framing is not None and not exchange.over:
            self._env.call_in(max(0, left_ns), self._give_up, exchange)

    def _look(self) -> None:
        exchange = self._current
        if exchange is None or exchange.framing is None or not self._buffer:
            return
        frame = self._buffer if exchange.framing[0] == "silence" else cut_frame(self._buffer, exchange.framing)[0]
        if frame is not None:
            self._buffer = self._buffer[len(frame) :]
            self._finish(exchange, (True, frame))

    def _give_up(self, exchange: _Exchange) -> None:
        if not exchange.over:
            self._trace.emit("bus-error", self._index, "timeout")
            self._finish(exchange, TIMEOUT)

    def _finish(self, exchange: _Exchange, value: tuple[bool, Any]) -> None:
        if exchange.over:
            return
        exchange.over = True
        if self._current is exchange and exchange.framing is not None:
            self._current = None
        exchange.event.fire(value)
