"""A Modbus TCP to RTU converter (the field's word: gateway): one TCP endpoint, one queue, one serial line of
which it is the master.

Belongs here: whose request is next, one exchange at a time, what a converter answers by itself, its books.
Never: connections (sim/field/converter_port.py, sim/serving/converter.py), the wires and what is on them
(serial_line.py). MODBUS Application Protocol V1.1b3 section 7: exceptions 06, 0A and 0B. MODBUS Messaging on
TCP/IP V1.0b: the unit identifier says which device behind a gateway is meant; 255, and 0, mean the one that
has the IP address. That is the converter, which has no registers: it answers exception 01, and a 0 is never
passed on as a broadcast. MODBUS over Serial Line V1.02 section 2.2 reserves 248 to 254.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from twinloop.devices.modbus.frames import rtu_body
from twinloop.devices.modbus.server import MBAP_BYTES, PDU_BYTES_MAX
from twinloop.devices.model.check_sums import rtu_frame
from twinloop.records import dataclass
from twinloop.sim.kernel.clock import LATE, Environment, S
from twinloop.sim.kernel.trace import Trace
from twinloop.sim.network.serial_line import Answered, Burst, Line

ILLEGAL_FUNCTION, BUSY, NO_PATH, NO_ANSWER = 1, 6, 10, 11
"""exceptions: illegal function, server device busy, gateway path unavailable, gateway target device failed to
respond"""
ITSELF = (0, 255)
"""unit ids by which the converter is meant"""
UNITS_LAST = 247


@dataclass(frozen=True, slots=True)
class ConverterModel:
    """How a converter behaves. ``queue`` requests may wait for the line; ``timeout_ns`` from a request's last
    character to the whole answer; ``connections`` 0: any number.

    ``silent``: it answers nothing where others answer exceptions 06 and 0B. ``refuse_absent``: it knows its
    devices, and answers 0A for others at once.
    """

    queue: int = 32
    timeout_ns: int = S
    connections: int = 0
    silent: bool = False
    refuse_absent: bool = False


@dataclass(slots=True)
class ConverterBooks:
    """What became of a converter's requests. They are ``answered`` + ``timeouts`` + ``refused`` + ``own`` +
    ``no_path`` + ``left``, and those that are in it now."""

    requests: int = 0
    answered: int = 0
    """a device's answer came in time"""
    timeouts: int = 0
    """none did: 0B, or silence"""
    refused: int = 0
    """the queue was full: 06, or silence"""
    own: int = 0
    """for the converter itself: 01"""
    no_path: int = 0
    """unit ids that it doesn't pass on: 0A"""
    left: int = 0
    """whose connection ended while they waited"""
    strays: int = 0
    """answers on the line that nobody waited for, or of another device or function: put aside"""
    turned_away: int = 0
    """connections too many"""

    @property
    def ended(self) -> int:
        """Requests that are in it no more."""
        return self.answered + self.timeouts + self.refused + self.own + self.no_path + self.left


class Guest:
    """One connection at the converter's end: bytes in, whole requests to the queue. ``hand`` is given each
    answer, with the device's own unless it is the converter's; ``fell`` is called for a request that has
    none."""

    __slots__ = ("_buffer", "_converter", "fell", "gone", "hand")

    def __init__(
        self,
        converter: Converter,
        hand: Callable[[bytes, Answered | None], None],
        fell: Callable[[], None] = lambda: None,
    ) -> None:
        self._converter, self.hand, self.fell = converter, hand, fell
        self._buffer = b""
        self.gone = False

    def feed(self, data: bytes) -> bool:
        """Bytes of the client; False: what can't be Modbus has come, and the connection must end."""
        self._buffer += data
        while len(self._buffer) >= MBAP_BYTES:
            length = int.from_bytes(self._buffer[4:6], "big")
            if self._buffer[2:4] != b"\0\0" or not 2 <= length <= PDU_BYTES_MAX + 1:
                return False
            if len(self._buffer) < length + 6:
                break
            frame, self._buffer = self._buffer[: length + 6], self._buffer[length + 6 :]
            self._converter.ask(self, frame)
        return True


class _Exchange:
    """One request on the line. ``frame`` as it came over TCP, ``sent`` as it goes over the line."""

    __slots__ = ("frame", "guest", "heard", "sent")

    def __init__(self, guest: Guest, frame: bytes) -> None:
        self.guest, self.frame = guest, frame
        self.sent = rtu_frame(frame[6:])
        self.heard = False
        """has its last character gone out?"""


def _nothing() -> None:
    """A converter waits for the answer, not for its having passed."""


class Converter:
    """The master of ``line``, for whoever is connected. ``on_limit`` is told of each limit that is met,
    beside the trace."""

    def __init__(self, env: Environment, trace: Trace, name: str, model: ConverterModel, line: Line) -> None:
        self._env, self._trace = env, trace
        self.name, self.model, self.line = name, model, line
        self.books = ConverterBooks()
        self.on_limit: Callable[[str], None] = lambda limit: None
        self._guests: list[Guest] = []
        self._queue: deque[_Exchange] = deque()
        self._current: _Exchange | None = None
        """on the line, and not over"""
        self._taken = False
        line.listeners.append(self)

    @property
    def inside(self) -> int:
        """Requests that wait or are on the line."""
        return len(self._queue) + (self._current is not None)

    # ---- connections -----------------------------------------------------------------------------
    def enter(self, guest: Guest) -> bool:
        """A connection stands; is there room for it?"""
        if self.model.connections and len(self._guests) >= self.model.connections:
            self.books.turned_away += 1
            self._met("converter-connections", len(self._guests) + 1)
            return False
        self._guests.append(guest)
        return True

    def leave(self, guest: Guest) -> None:
        """It is over: what waits is dropped, what is on the line goes on there, for nobody."""
        if guest in self._guests:
            self._guests.remove(guest)
        guest.gone = True
        kept = [one for one in self._queue if one.guest is not guest]
        for _ in range(len(self._queue) - len(kept)):
            self.books.left += 1
            guest.fell()
        self._queue = deque(kept)

    def _met(self, limit: str, count: int) -> None:
        self._trace.emit("limit", self.name, limit, count)
        self.on_limit(limit)

    # ---- requests --------------------------------------------------------------------------------
    def ask(self, guest: Guest, frame: bytes) -> None:
        """A whole request has come over TCP."""
        books, model, unit = self.books, self.model, frame[6]
        books.requests += 1
        if unit in ITSELF:
            books.own += 1
            self._except(guest, frame, ILLEGAL_FUNCTION)
        elif unit > UNITS_LAST or (model.refuse_absent and unit not in self.line.devices):
            books.no_path += 1
            self._except(guest, frame, NO_PATH)
        elif not self._taken:
            self._taken = True
            self.line.occupancy.taken()
            self._transmit(_Exchange(guest, frame))
        elif len(self._queue) >= model.queue:
            books.refused += 1
            self._met("converter-queue", len(self._queue) + 1)
            self._fail(guest, frame, BUSY)
        else:
            self._queue.append(_Exchange(guest, frame))
            self.line.longest_queue = max(self.line.longest_queue, len(self._queue))

    def _fail(self, guest: Guest, frame: bytes, code: int) -> None:
        """An exception, of a converter that says them."""
        if not self.model.silent:
            self._except(guest, frame, code)
        elif not guest.gone:
            guest.fell()

    def _except(self, guest: Guest, frame: bytes, code: int) -> None:
        if not guest.gone:
            answer = bytes((frame[6], frame[7] & 0x7F | 0x80, code))
            guest.hand(frame[:4] + len(answer).to_bytes(2, "big") + answer, None)

    # ---- the line --------------------------------------------------------------------------------
    def _transmit(self, exchange: _Exchange) -> None:
        line = self.line
        self._current = exchange
        line.exchanges += 1
        burst = line.begin()
        if burst.garbled:
            self._trace.emit("collision", line.name, self.name)
        self._env.call_in(line.timing.frame_ns(len(exchange.sent)), self._transmitted, exchange, burst)

    def _transmitted(self, exchange: _Exchange, burst: Burst) -> None:
        """Its last character is out: the timeout begins, and devices hear it when the gap is over."""
        line, timing = self.line, self.line.timing
        line.end(burst)
        exchange.heard = True
        arrived = line.carry(line.up, exchange.sent, burst)
        self._env.call_in(timing.gap_ns + timing.turnaround_ns, self._asked, arrived)
        self._env.call_at(self._env.now + self.model.timeout_ns, self._timed_out, exchange, priority=LATE)

    def _asked(self, arrived: bytes | None) -> None:
        """At the devices."""
        self.line.ask(arrived, _nothing)

    def overheard(self, frame: bytes) -> None:
        """There is no other master."""

    def came(self, frame: bytes, answered: Answered) -> None:
        """A device has spoken: its frame is whole when the silence after it is over."""
        self._env.call_in(self.line.timing.gap_ns, self._whole, frame, answered)

    def _whole(self, frame: bytes, answered: Answered) -> None:
        body, exchange = rtu_body(frame), self._current
        if body is None:
            return  # damaged: as if nothing had come
        if exchange is None or not exchange.heard or not _fits(exchange.frame, body):
            self.books.strays += 1
            return
        self.books.answered += 1
        self._current = None
        if not exchange.guest.gone:
            answer = exchange.frame[:4] + len(body).to_bytes(2, "big") + body
            mine = frame == answered.answer and answered.request == exchange.sent
            exchange.guest.hand(answer, answered if mine else answered._replace(right=False))
        self._env.call_in(self.line.timing.turnaround_ns, self._next)

    def _timed_out(self, exchange: _Exchange) -> None:
        """No answer has come in time: the next request may go out after the gap, whoever still thinks."""
        if exchange is not self._current:
            return
        self._current = None
        self.line.timeouts += 1
        self.books.timeouts += 1
        self._fail(exchange.guest, exchange.frame, NO_ANSWER)
        self._env.call_in(self.line.timing.gap_ns, self._next)

    def _next(self) -> None:
        """The line is free: who is next?"""
        if self._queue:
            self._transmit(self._queue.popleft())
        else:
            self._taken = False
            self.line.occupancy.given_back()


def _fits(request: bytes, body: bytes) -> bool:
    """Is an answer's unit and function that of the request? A line's frames say no more: what a device says
    too late to one request may be taken for the answer to the next one of the same kind."""
    return body[0] == request[6] and body[1] & 0x7F == request[7] & 0x7F
