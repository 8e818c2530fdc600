"""A real serial line in simulated time: one exchange at a time, whoever of the devices on it is asked.

Belongs here: whose turn it is, and how long an answer is waited for. Never: ports (devices/live/tty.py), what
frames mean. Baud rate and gaps are the link's (serial_line.py); bytes on the wire take their own time, and
are waited for.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from twinloop.components.contract.contract import Framing, Result
from twinloop.sim.field.framing import cut_frame
from twinloop.sim.field.real_port import OnExchange, Peer, RealWorld
from twinloop.sim.field.serial_port import QUEUE_MAX, SEND_BYTES_MAX, SEND_TOO_LONG
from twinloop.sim.field.tcp_port import DISCONNECTED, OK_NOTHING, TIMEOUT
from twinloop.sim.kernel.clock import LATE, Environment, Event
from twinloop.sim.kernel.trace import Trace
from twinloop.sim.model.spec import LinkSpec, PlaceSpec
from twinloop.sim.network.link import Link


class AttachedLine:
    """One serial port and everybody who uses it. ``name``: the leg of the link that its trouble hits."""

    def __init__(
        self, *, env: Environment, name: str, outside: RealWorld, place: PlaceSpec, spec: LinkSpec, link: Link
    ) -> None:
        assert spec.timing is not None
        self.env, self.timing = env, spec.timing
        self.up, self.down = link.legs(name)
        self._outside, self._place, self._spec = outside, place, spec
        self._far: Peer | None = None
        self._queue: deque[Callable[[], None]] = deque()
        self._taken = False
        self.user: AttachedSerialPort | None = None
        """who is told of frames: whoever has sent last"""

    def take(self, start: Callable[[], None]) -> None:
        """Call ``start`` when the line is yours; give it back with ``release``."""
        if not self._taken:
            self._taken = True
            start()
            return
        if len(self._queue) >= QUEUE_MAX:
            raise OverflowError(f"line {self._place.url}: more than {QUEUE_MAX} exchanges wait")
        self._queue.append(start)

    def release(self, pause_ns: int = 0) -> None:
        """Whoever is next, after a pause."""
        if pause_ns:
            self.env.call_in(pause_ns, self.release)
            return
        if self._queue:
            self._queue.popleft()()
        else:
            self._taken = False

    def transmit(self, user: AttachedSerialPort, frame: bytes) -> bool:
        """Put a frame onto the wires, if the rules let it; False when there is no port."""
        if self._far is None:
            self._far = self._outside.open(self._place, self._spec, self._heard, self._lost)
        if self._far is None:
            return False
        self.user = user
        if self.up.offer(len(frame), self.env.now):
            self._far.write(frame)
        return True

    def _heard(self, frame: bytes) -> None:
        if self.user is not None and self.down.offer(len(frame), self.env.now):
            self.user.heard(frame)

    def _lost(self) -> None:
        self._far = None
        if self.user is not None:
            self.user.unplugged()


class _Exchange:
    """A request on its way. ``over``: its caller has its answer; ``on_wire``: the line is its own."""

    __slots__ = ("ended", "event", "framing", "on_wire", "timeout_ns")

    def __init__(self, framing: Framing | None, timeout_ns: int, event: Event) -> None:
        self.framing, self.timeout_ns, self.event = framing, timeout_ns, event
        self.ended = self.on_wire = False


class AttachedSerialPort:
    """A real device on a serial line, as its driver sees it: unread bytes are discarded when its request goes
    out."""

    def __init__(
        self, env: Environment, trace: Trace, device: int, line: AttachedLine, echoes: bool = False
    ) -> None:
        self._env, self._trace, self._index, self._line = env, trace, device, line
        self._echoes, self._echoed = echoes, False
        """does the line bring back what is sent; has it, and the answer is still to come?"""
        self._sent: _Exchange | None = None
        """of the last request"""
        self._buffer = b""
        self._current: _Exchange | None = None
        self._request = b""
        self.on_exchange: OnExchange = lambda request, reply: None
        """told of each (request, frame that came after it) that its driver gets"""

    # ---- the contract ----------------------------------------------------------------------------
    def transact(self, request: bytes, reply: Framing, timeout_ns: int, limit_ns: int) -> Event:
        """Wait for the line, send, wait for the answer; ``timeout_ns`` runs from the request's last
        character, ``limit_ns`` from now."""
        self._request = request
        exchange = self._current = _Exchange(reply, timeout_ns, Event(self._env))
        if len(request) > SEND_BYTES_MAX:
            self._refuse(exchange, request)
            return exchange.event
        self._env.call_at(self._env.now + limit_ns, self._finish, exchange, TIMEOUT, priority=LATE)
        self._line.take(lambda: self._transmit(exchange, request))
        return exchange.event

    def send(self, data: bytes, timeout_ns: int) -> Event:
        """Send without waiting for an answer: done when its last character is out, which must be within
        ``timeout_ns``."""
        exchange = self._current = _Exchange(None, 0, Event(self._env))
        if len(data) > SEND_BYTES_MAX:
            self._refuse(exchange, data)
            return exchange.event
        self._env.call_at(self._env.now + timeout_ns, self._finish, exchange, TIMEOUT, priority=LATE)
        self._line.take(lambda: self._transmit(exchange, data))
        return exchange.event

    def receive(self, frame: Framing, timeout_ns: int) -> Event:
        """What came after the last frame, or what comes within ``timeout_ns``."""
        exchange = self._current = _Exchange(frame, timeout_ns, Event(self._env))
        self._env.call_at(self._env.now + timeout_ns, self._finish, exchange, TIMEOUT, priority=LATE)
        self._look()
        return exchange.event

    def reset(self) -> None:
        """Discard what is unread; a line has no connection."""
        self._buffer = b""

    def abandon(self) -> None:
        """The driver is gone: nobody waits, a request that isn't on the wire yet never goes out."""
        self._buffer = b""
        exchange, self._current = self._current, None
        if exchange is not None and not exchange.ended:
            exchange.ended = True
            self._env.call_in(0, exchange.event.fire, TIMEOUT)

    def _refuse(self, exchange: _Exchange, data: bytes) -> None:
        """More than a line takes at a time."""
        self._trace.emit("limit", self._index, "line-send", len(data))
        exchange.ended = True
        exchange.event.fire(SEND_TOO_LONG)

    # ---- an exchange -----------------------------------------------------------------------------
    def _transmit(self, exchange: _Exchange, frame: bytes) -> None:
        if exchange.ended:
            self._line.release()
            return
        self._buffer, self._sent, self._echoed = b"", exchange, False
        if not self._line.transmit(self, frame):
            self._line.release()
            self._finish(exchange, DISCONNECTED)
            return
        exchange.on_wire = True
        sent_ns = self._line.timing.frame_ns(len(frame))
        if exchange.framing is None:
            self._env.call_in(sent_ns, self._finish, exchange, OK_NOTHING)
        else:
            self._env.call_at(
                self._env.now + sent_ns + exchange.timeout_ns,
                self._finish,
                exchange,
                TIMEOUT,
                True,
                priority=LATE,
            )

    def heard(self, frame: bytes) -> None:
        """A frame's last character has come while this device's exchange was the last: one that ends in
        silence is whole after that."""
        exchange = self._current
        if exchange is not None and exchange.framing is not None and exchange.framing[0] == "silence":
            self._env.call_in(self._line.timing.gap_ns, self._whole, frame)
        else:
            self._whole(frame)

    def _whole(self, frame: bytes) -> None:
        self._buffer += frame
        self._look()

    def unplugged(self) -> None:
        """The port has gone."""
        if self._current is not None:
            self._finish(self._current, DISCONNECTED, True)

    def _look(self) -> None:
        exchange = self._current
        if exchange is None or exchange.framing is None or not self._buffer:
            return
        frame = (
            self._buffer if exchange.framing[0] == "silence" else cut_frame(self._buffer, exchange.framing)[0]
        )
        if frame is not None:
            self._buffer = self._buffer[len(frame) :]
            if self._echoes and exchange is self._sent and frame == self._request:
                self._echoed = True  # the line is its own until the answer, or the timeout
                self._finish(exchange, (True, frame))
                return
            self._finish(exchange, (True, frame), True)
            if self._echoed and self._sent is not None:
                self._finish(self._sent, (True, frame), True)

    def _tell(self, frame: bytes, first: bool) -> None:
        """Its driver gets a frame; an echo, or one in front of the answer, is none."""
        if self._echoes and first and frame.startswith(self._request):
            frame = frame[len(self._request) :]
        if frame:
            self.on_exchange(self._request, frame)

    def _finish(self, exchange: _Exchange, value: Result, off: bool = False) -> None:
        """Its caller is told, once; ``off``: the line is free again (a caller that gave up early leaves it
        blocked until its timeout)."""
        if exchange.on_wire and (off or value is OK_NOTHING):
            exchange.on_wire = False
            timing = self._line.timing
            silent = exchange.framing is not None and exchange.framing[0] == "silence"
            # before the next frame there is a gap, unless the end of this one was that, and after an answer
            # the turnaround, too
            self._line.release(
                (timing.turnaround_ns if value[0] else timing.gap_ns)
                + (timing.gap_ns if value[0] and not silent else 0)
            )
        if exchange.ended:
            return
        exchange.ended = True
        if self._current is exchange and exchange.framing is not None:
            self._current = None
        if value[0] and value[1]:
            self._tell(value[1], exchange is self._sent)
        if not value[0]:
            self._trace.emit("bus-error", self._index, value[1][0])
        exchange.event.fire(value)
