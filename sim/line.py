"""A serial line: RS-485, half-duplex, one exchange at a time; a device that doesn't answer blocks it for its timeout.

Belongs here: baud timing, gaps, turn-around, the line's queue. Never: what the frames mean.
MODBUS over Serial Line V1.02 section 2.5.1: 11 bits a character, 3.5 characters of silence between frames, fixed at
1750 us above 19200 Bd. The queue in front of the line is part of the exchange: stage ``bus``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from simpy.events import Event

from devices.modbus_server import ModbusServer
from sim.bus import OK_NOTHING, TIMEOUT, cut_frame
from sim.clock import US, Environment, S, Signal
from sim.link import Link, Way
from sim.streams import Streams
from sim.trace import Trace

CHARACTER_BITS = 11
"""start, 8 data, parity or a second stop bit, stop"""
GAP_FIXED_NS = 1750 * US
GAP_FIXED_ABOVE_BD = 19_200
QUEUE_MAX = 4096
"""exchanges that wait for one line: one a device, so only a wiring mistake comes near"""


@dataclass(frozen=True, slots=True)
class LineTiming:
    """Times of a line at ``rate_bd``."""

    rate_bd: int

    @property
    def character_ns(self) -> int:
        """One character of 11 bits."""
        return CHARACTER_BITS * S // self.rate_bd

    @property
    def gap_ns(self) -> int:
        """3.5 characters of silence."""
        return GAP_FIXED_NS if self.rate_bd > GAP_FIXED_ABOVE_BD else 7 * CHARACTER_BITS * S // (2 * self.rate_bd)

    def frame_ns(self, size_bytes: int) -> int:
        """A frame without its gap."""
        return size_bytes * CHARACTER_BITS * S // self.rate_bd

    def exchange_ns(self, request_bytes: int, reply_bytes: int, response_ns: int) -> int:
        """A whole exchange: request, gap, the device's time, reply, gap."""
        return self.frame_ns(request_bytes) + self.frame_ns(reply_bytes) + 2 * self.gap_ns + response_ns


class Line:
    """One pair of wires with several devices. ``busy_ns`` is how long it was occupied."""

    def __init__(self, env: Environment, name: str, timing: LineTiming, link: Link, streams: Streams) -> None:
        self.env, self.name, self.timing, self.link = env, name, timing, link
        self.noise = streams.stream(f"line/{name}/corrupt-bit")
        self.up, self.down = link.legs(name)
        self._queue: deque[Callable[[], None]] = deque()
        self._taken_at_ns: int | None = None
        self.busy_ns = 0
        self.exchanges = self.timeouts = 0
        self.longest_queue = 0

    def take(self, start: Callable[[], None]) -> None:
        """Call ``start`` when the line is yours; give it back with ``release``."""
        if self._taken_at_ns is None:
            self._taken_at_ns = self.env._now
            start()
            return
        if len(self._queue) >= QUEUE_MAX:
            raise OverflowError(f"line {self.name}: more than {QUEUE_MAX} exchanges wait")
        self._queue.append(start)
        self.longest_queue = max(self.longest_queue, len(self._queue))

    def release(self) -> None:
        """The exchange is over, its last gap too."""
        now = self.env._now
        assert self._taken_at_ns is not None
        self.busy_ns += now - self._taken_at_ns
        self._taken_at_ns = None
        if self._queue:
            self._taken_at_ns = now
            self._queue.popleft()()

    def carry(self, way: Way, frame: bytes) -> bytes | None:
        """What comes out at the other end of the wires: the frame, a damaged one, or nothing."""
        arrivals = way.offer(len(frame), self.env._now)
        if not arrivals:
            return None
        if not arrivals[0][1]:
            return frame
        bit = self.noise.below(8 * len(frame))
        damaged = bytearray(frame)
        damaged[bit >> 3] ^= 1 << (bit & 7)
        return bytes(damaged)


class SerialPort:
    """A device on a line, as its driver sees it: unread bytes are discarded before each exchange."""

    def __init__(self, env: Environment, trace: Trace, device: int, line: Line, server: ModbusServer, response_ns: int) -> None:
        self._env, self._trace, self._index = env, trace, device
        self._line, self._server, self._response_ns = line, server, response_ns
        self._buffer = b""
        self._event: Signal | None = None
        self._framing: Any = ("silence", None)
        self.busy = False

    def transact(self, request: bytes, reply: Any, timeout_ns: int) -> Event:
        """Wait for the line, send, wait for the answer; ``timeout_ns`` runs from the request's last character."""
        event = Signal(self._env)
        self._buffer, self._framing, self._event, self.busy = b"", reply, event, True
        self._line.take(lambda: self._transmit(request, timeout_ns, event))
        return event

    def send(self, data: bytes, timeout_ns: int) -> Event:
        """Send without waiting for an answer; an answer that comes is kept for ``receive``."""
        event = Signal(self._env)
        self._line.take(lambda: self._transmit(data, 0, None))
        event.fire(OK_NOTHING)
        return event

    def receive(self, frame: Any, timeout_ns: int) -> Event:
        """What came after the last frame, or what comes within ``timeout_ns``."""
        event = Signal(self._env)
        self._framing, self._event, self.busy = frame, event, True
        self._env.call_in(timeout_ns, self._give_up, event)
        self._look()
        return event

    def reset(self) -> None:
        """Discard what is unread; a line has no connection."""
        self._buffer = b""

    # ---- an exchange --------------------------------------------------------------------------------------------
    def _transmit(self, request: bytes, timeout_ns: int, event: Signal | None) -> None:
        timing = self._line.timing
        self._line.exchanges += 1
        arrived = self._line.carry(self._line.up, request)
        sent_ns = timing.frame_ns(len(request))
        self._env.call_in(sent_ns + timing.gap_ns, self._asked, arrived, timeout_ns, event)

    def _asked(self, request: bytes | None, timeout_ns: int, event: Signal | None) -> None:
        """At the device, 3.5 characters after the request."""
        answer = None if request is None else self._server.respond_rtu(request, self._env._now)
        if answer is None:
            self._env.call_in(timeout_ns, self._silent, event)
            return
        begins_ns = self._response_ns
        if timeout_ns and begins_ns > timeout_ns and event is not None:
            self._env.call_in(timeout_ns, self._give_up, event)
        ends_ns = begins_ns + self._line.timing.frame_ns(len(answer)) + self._line.timing.gap_ns
        self._env.call_in(ends_ns, self._answered, answer, event)

    def _silent(self, event: Signal | None) -> None:
        self._line.timeouts += 1
        self._line.release()
        if event is not None:
            self._give_up(event)

    def _answered(self, answer: bytes, event: Signal | None) -> None:
        arrived = self._line.carry(self._line.down, answer)
        if arrived is not None:
            self._buffer += arrived
        self._line.release()
        self._look()
        if event is not None and event is self._event:
            self._give_up(event)

    def _look(self) -> None:
        event = self._event
        if event is None or not self._buffer:
            return
        frame, _ = (self._buffer, False) if self._framing[0] == "silence" else cut_frame(self._buffer, self._framing)
        if frame is not None:
            self._buffer = self._buffer[len(frame) :]
            self._event, self.busy = None, False
            event.fire((True, frame))

    def _give_up(self, event: Signal) -> None:
        if event is self._event:
            self._event, self.busy = None, False
            self._trace.emit("bus-error", self._index, "timeout")
            event.fire(TIMEOUT)
