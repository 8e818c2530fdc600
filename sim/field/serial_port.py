"""A gateway's end of a serial line: whose turn it is, one exchange, its timeout, and what comes too late.

Belongs here: what `fieldbus` means for a device on a line. Never: the wires and their times (serial_line.py),
real ports (real_line.py). The timeout runs from the request's last character to the whole frame; a frame that
is whole at that very instant has come in time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from twinloop.components.contract.contract import Framing, Result
from twinloop.devices.modbus.server import ModbusServer
from twinloop.sim.field.framing import cut_frame
from twinloop.sim.field.tcp_port import OK_NOTHING, TIMEOUT
from twinloop.sim.kernel.clock import LATE, Environment, Event
from twinloop.sim.kernel.trace import Trace
from twinloop.sim.network.serial_line import Answered, Burst, Line

QUEUE_MAX = 4096
"""exchanges that wait for one line: one a device, so only a wiring mistake comes near"""
SEND_BYTES_MAX = 4096
"""of one frame that a driver sends: sixteen of Modbus's longest; more is refused (limit ``line-send``)"""
BUFFER_BYTES_MAX = 64 << 10
"""unread bytes of a gateway's end; beyond it they are dropped"""
SEND_TOO_LONG: Result = (False, ("other", f"more than {SEND_BYTES_MAX} bytes at once"))


def _nothing() -> None:
    """Nobody waits for an answer to have passed."""


class Master:
    """A gateway's end of a line: one request at a time, of whichever of its drivers; what comes is for who
    asked last."""

    def __init__(self, line: Line) -> None:
        self.line = line
        self._queue: deque[Callable[[], None]] = deque()
        self._taken = False
        self.buffer = b""
        self.user: SerialPort | None = None
        """who has asked last"""
        line.listeners.append(self)

    def take(self, start: Callable[[], None]) -> None:
        """Call ``start`` when the line is yours; give it back with ``release``."""
        if not self._taken:
            self._taken = True
            self.line.occupancy.taken()
            start()
            return
        if len(self._queue) >= QUEUE_MAX:
            raise OverflowError(f"line {self.line.name}: more than {QUEUE_MAX} exchanges wait")
        self._queue.append(start)
        self.line.longest_queue = max(self.line.longest_queue, len(self._queue))

    def release(self) -> None:
        """The exchange is over: who is next?"""
        if self._queue:
            self._queue.popleft()()
        else:
            self._taken = False
            self.line.occupancy.given_back()

    def echo(self, frame: bytes, burst: Burst) -> None:
        """Its own characters are back, as they were on the wires."""
        heard = self.line.damaged(frame) if burst.garbled else frame
        if heard is not None:
            self._heard(heard)

    def overheard(self, frame: bytes) -> None:
        """Another gateway's request: to who waits for an answer it is one."""
        if self.user is not None and self.user.waits:
            self._heard(frame)

    def came(self, frame: bytes, answered: Answered) -> None:
        """Somebody's answer."""
        self._heard(frame)

    def _heard(self, frame: bytes) -> None:
        """A frame that ends in silence is whole when that is over, any other at its last character."""
        user = self.user
        if user is None:
            return
        if user.by_silence:
            self.line.env.call_in(self.line.timing.gap_ns, self._whole, user, frame)
        else:
            self._whole(user, frame)

    def _whole(self, user: SerialPort, frame: bytes) -> None:
        self.buffer += frame
        if len(self.buffer) > BUFFER_BYTES_MAX:
            self.buffer = b""
        if user is self.user:
            user.look()


class _Exchange:
    """One request on its way over a line. ``over``: its caller knows; ``holds``: the line is still its
    own."""

    __slots__ = ("ended", "event", "framing", "holds", "request", "sent", "timeout_ns")

    def __init__(self, request: bytes, framing: Framing | None, timeout_ns: int, event: Event) -> None:
        self.request, self.framing, self.timeout_ns, self.event = request, framing, timeout_ns, event
        self.ended = self.holds = self.sent = False


class SerialPort:
    """A device on a line, as its driver sees it: unread bytes are discarded when its request goes out."""

    def __init__(
        self,
        *,
        env: Environment,
        trace: Trace,
        device: int,
        line: Line,
        server: ModbusServer,
        response_ns: int,
        master: Master,
    ) -> None:
        self._env, self._trace, self._index = env, trace, device
        self._line, self._master = line, master
        self.server = line.add_device(server, response_ns, device).server
        self._current: _Exchange | None = None
        self._echoed: _Exchange | None = None
        """an exchange whose echo its driver has, and whose answer is still to come"""
        self.by_silence = True

    @property
    def waits(self) -> bool:
        """Is an answer awaited?"""
        exchange = self._current
        return exchange is not None and exchange.sent and not exchange.ended and exchange.framing is not None

    # ---- the contract ----------------------------------------------------------------------------
    def transact(self, request: bytes, reply: Framing, timeout_ns: int, limit_ns: int) -> Event:
        """Wait for the line, send, wait for the answer; ``timeout_ns`` runs from the request's last
        character, ``limit_ns`` from now."""
        exchange = self._current = _Exchange(request, reply, timeout_ns, Event(self._env))
        if len(request) > SEND_BYTES_MAX:
            self._refuse(exchange)
            return exchange.event
        self._env.call_at(self._env.now + limit_ns, self._finish, exchange, TIMEOUT, priority=LATE)
        self._master.take(lambda: self._transmit(exchange))
        return exchange.event

    def send(self, data: bytes, timeout_ns: int) -> Event:
        """Send without waiting for an answer: done when its last character is out, which must be within
        ``timeout_ns``; an answer that comes is kept for ``receive``."""
        exchange = self._current = _Exchange(data, None, 0, Event(self._env))
        if len(data) > SEND_BYTES_MAX:
            self._refuse(exchange)
            return exchange.event
        self._env.call_at(self._env.now + timeout_ns, self._finish, exchange, TIMEOUT, priority=LATE)
        self._master.take(lambda: self._transmit(exchange))
        return exchange.event

    def receive(self, frame: Framing, timeout_ns: int) -> Event:
        """What came after the last frame, or what comes within ``timeout_ns``."""
        exchange = self._current = _Exchange(b"", frame, timeout_ns, Event(self._env))
        self.by_silence = frame[0] == "silence"
        self._env.call_at(self._env.now + timeout_ns, self._finish, exchange, TIMEOUT, priority=LATE)
        exchange.sent = True
        self.look()
        return exchange.event

    def reset(self) -> None:
        """Discard what is unread; a line has no connection."""
        if self._master.user is self:
            self._master.buffer = b""

    def abandon(self) -> None:
        """The driver is gone: nobody waits, a request that isn't on the wire yet never goes out."""
        self.reset()
        exchange, self._current = self._current, None
        if exchange is not None and not exchange.ended:
            exchange.ended = True
            self._env.call_in(0, exchange.event.fire, TIMEOUT)

    def _refuse(self, exchange: _Exchange) -> None:
        """More than a line takes at a time."""
        self._trace.emit("limit", self._index, "line-send", len(exchange.request))
        exchange.ended = True
        exchange.event.fire(SEND_TOO_LONG)

    # ---- an exchange -----------------------------------------------------------------------------
    def _transmit(self, exchange: _Exchange) -> None:
        """The line is ours: the request's characters go out."""
        if exchange.ended:
            self._master.release()
            return
        line, master = self._line, self._master
        exchange.holds = True
        line.exchanges += 1
        master.buffer, master.user, self._echoed = b"", self, None
        self.by_silence = exchange.framing is None or exchange.framing[0] == "silence"
        burst = line.begin()
        if burst.garbled:
            self._trace.emit("collision", line.name, self._index)
        self._env.call_in(line.timing.frame_ns(len(exchange.request)), self._sent, exchange, burst)

    def _sent(self, exchange: _Exchange, burst: Burst) -> None:
        """Its last character is out: the timeout begins, and devices hear it when the gap is over."""
        line = self._line
        line.end(burst)
        exchange.sent = True
        arrived = line.carry(line.up, exchange.request, burst)
        if line.echoes and exchange.framing is not None:
            self._master.echo(exchange.request, burst)
        if arrived is not None and len(line.listeners) > 1:
            line.spoken(self._master, arrived)
        self._env.call_in(line.timing.gap_ns + line.timing.turnaround_ns, self._asked, exchange, arrived)
        if exchange.framing is None:
            self._finish(exchange, OK_NOTHING)
        else:
            self._env.call_at(self._env.now + exchange.timeout_ns, self._timed_out, exchange, priority=LATE)

    def _asked(self, exchange: _Exchange, request: bytes | None) -> None:
        """At the devices. Who only sent holds the line until an answer has passed, if there is one."""
        sent_only = exchange.framing is None
        answered = self._line.ask(request, (lambda: self._release_later(exchange)) if sent_only else _nothing)
        if sent_only and not answered:
            self._release(exchange)

    def _timed_out(self, exchange: _Exchange) -> None:
        """No whole frame has come in time: the next request may go out after the gap that each frame has
        before it, whoever still thinks."""
        if exchange.holds:
            self._line.timeouts += 1
            self._finish(exchange, TIMEOUT)
            self._env.call_in(self._line.timing.gap_ns, self._release, exchange)

    def look(self) -> None:
        """Something has come: is it a whole frame?"""
        exchange, master = self._current, self._master
        if (
            exchange is None
            or exchange.framing is None
            or not exchange.sent
            or exchange.ended
            or not master.buffer
            or master.user is not self
        ):
            return
        frame = (
            master.buffer
            if exchange.framing[0] == "silence"
            else cut_frame(master.buffer, exchange.framing)[0]
        )
        if frame is not None:
            master.buffer = master.buffer[len(frame) :]
            self._finish(exchange, (True, frame))
            if exchange.holds and self._line.echoes and frame == exchange.request:
                self._echoed = exchange  # the line is its own until the answer, or the timeout
                return
            self._release_later(exchange)
            if self._echoed is not None:
                self._release_later(self._echoed)

    def _release_later(self, exchange: _Exchange) -> None:
        """The next request goes out after the gap, which a frame that ends in silence has had already, and
        the turnaround."""
        timing = self._line.timing
        self._env.call_in(
            timing.turnaround_ns + (0 if self.by_silence and exchange.framing is not None else timing.gap_ns),
            self._release,
            exchange,
        )

    def _release(self, exchange: _Exchange) -> None:
        if exchange.holds:
            exchange.holds = False
            self._master.release()

    def _finish(self, exchange: _Exchange, value: Result) -> None:
        if exchange.ended:
            return
        exchange.ended = True
        if self._current is exchange and exchange.framing is not None:
            self._current = None
        if not value[0]:
            self._trace.emit("bus-error", self._index, value[1][0])
        exchange.event.fire(value)
