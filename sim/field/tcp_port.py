"""The field bus: what `fieldbus` means in simulated time, for a TCP device. The only caller of devices on a
reading's way.

Belongs here: exchanges, framing, timeouts, connections. Never: protocols (the guests') or CPU time
(pipeline.py). A port's ``transact``, ``send``, ``receive`` and ``reset`` return signals whose value is what
the WIT says: a result of bytes or of a bus-error. The pipeline never asks which clock a port runs under.
Serial lines: serial_line.py.
"""

from __future__ import annotations

from typing import Any, Protocol

from twinloop.components.contract.contract import Framing, Result
from twinloop.sim.field.files import Client
from twinloop.sim.field.framing import REPLY_BYTES_MAX, cut_frame
from twinloop.sim.kernel.clock import LATE, MS, NEVER_NS, Environment, Event, Timer
from twinloop.sim.kernel.trace import Trace
from twinloop.sim.network.link import Link
from twinloop.sim.network.tcp import TcpStream

BUFFER_BYTES_MAX = 256 << 10
"""unread bytes of a connection; beyond it the connection is reset (limit ``bus-buffer``)"""
BUS_USER_TIMEOUT_NS = 3_000 * MS
"""a field connection on which nothing gets through for that long is given up"""
END = object()
"""comes after a far end's last bytes: it has closed"""

OPENING: tuple[str, Any] = ("opening", None)
"""in a framing's place: what is waited for is the connection"""

OK_NOTHING: Result = (True, None)
TIMEOUT: Result = (False, ("timeout", None))
DISCONNECTED: Result = (False, ("disconnected", None))
NO_FILE: Result = (False, ("other", "too many open files"))
FULL: Result = (False, ("other", "too many unsent bytes"))
TOO_LONG: Result = (False, ("too-long", REPLY_BYTES_MAX))


class Port(Protocol):
    """One device's own line or connection, as its driver sees it."""

    def transact(self, request: bytes, reply: Framing, timeout_ns: int, limit_ns: int) -> Event:
        """Send, then wait for one frame, at most ``timeout_ns`` from when the medium is ours: a line that is
        free, a connection that is open.
        ``limit_ns``: the call's deadline, however long that takes."""
        ...

    def send(self, data: bytes, timeout_ns: int) -> Event:
        """Send only, once the medium is ours, which must be within ``timeout_ns``."""
        ...

    def receive(self, frame: Framing, timeout_ns: int) -> Event:
        """Wait for one frame."""
        ...

    def reset(self) -> None:
        """Drop the connection and what is unread."""
        ...

    def abandon(self) -> None:
        """The driver that used it is gone: as ``reset``; a call that still waits is woken, in turn, and finds
        its instance closed."""
        ...


class TcpPort:
    """A device behind a TCP connection over a link, opened at the first exchange and again after each loss.
    ``server``: a Modbus server, answering at once (stacks.py has ports to others); ``leg``: the device's, of
    the link. Connecting has a timeout of its own, as long as the exchange's that follows: as libmodbus and
    pymodbus have it, whose connect and response timeouts run one after the other.
    """

    __slots__ = (
        "_answer_ns",
        "_buffer",
        "_client",
        "_deadline_ns",
        "_env",
        "_framing",
        "_index",
        "_leg",
        "_limit_at",
        "_link",
        "_response_ns",
        "_stream",
        "_timer",
        "_trace",
        "_unsent",
        "_waiting",
        "server",
    )

    def __init__(
        self,
        *,
        env: Environment,
        trace: Trace,
        device: int,
        link: Link,
        server: Any,
        leg: str,
        response_ns: int,
        client: Client,
    ) -> None:
        self._env, self._trace, self._index, self._client = env, trace, device, client
        self._link, self.server, self._response_ns = link, server, response_ns
        self._leg = leg
        self._stream: TcpStream | None = None
        self._buffer = b""
        self._waiting: Event | None = None
        self._deadline_ns = 0
        self._answer_ns = self._limit_at = 0
        """how long an answer is waited for once the connection is open, and until when at most"""
        self._framing: Framing = ("silence", None)
        self._timer: Timer | None = None
        self._unsent: list[bytes] = []

    def wiring(self) -> dict[str, Any]:
        """What another connection of this client to this device is made of."""
        names = "env", "trace", "link", "leg", "response_ns", "client"
        return {name: getattr(self, f"_{name}") for name in names} | {"device": self._index}

    # ---- the contract ----------------------------------------------------------------------------
    def transact(self, request: bytes, reply: Framing, timeout_ns: int, limit_ns: int) -> Event:
        """Send a request and wait for the frame that ``reply`` describes; value: result<bytes, bus-error>."""
        stream = self._stream
        if stream is not None and stream.open and not self._buffer and len(request) <= BUFFER_BYTES_MAX:
            # All is well: the request's arrival is known, and the answer's will be, so that no timer is
            # needed (``_asked`` sees to it).
            now = self._env.now
            event = self._waiting = Event(self._env)
            self._framing = reply
            self._deadline_ns = now + (timeout_ns if timeout_ns < limit_ns else limit_ns)
            if stream.up.send(request, len(request), now) >= self._deadline_ns:
                self._arm()
            return event
        refused = self._put(request)
        if refused is not None:
            event = Event(self._env)
            event.fire(refused)
            return event
        return self._wait(reply, timeout_ns, limit_ns)

    def send(self, data: bytes, timeout_ns: int) -> Event:
        """Hand bytes to the connection: done when it is open and has them."""
        refused = self._put(data)
        if refused is None and self._stream is not None and not self._stream.open:
            return self._wait(OPENING, timeout_ns, timeout_ns)
        event = Event(self._env)
        event.fire(refused or OK_NOTHING)
        return event

    def receive(self, frame: Framing, timeout_ns: int) -> Event:
        """Wait for a frame, at most ``timeout_ns``; what came too late stays for the next call. A look (0 ns)
        at nothing is no error."""
        if not timeout_ns and not self._buffer:
            event = Event(self._env)
            event.fire(DISCONNECTED if self._stream is None else TIMEOUT)
            return event
        return self._wait(frame, timeout_ns, timeout_ns)

    def _wait(self, frame: Framing, timeout_ns: int, limit_ns: int) -> Event:
        event = Event(self._env)
        self._waiting, self._framing = event, frame
        self._answer_ns, self._limit_at = timeout_ns, self._env.now + limit_ns
        self._deadline_ns = self._env.now + min(timeout_ns, limit_ns)
        if self._stream is None:
            self._finish(DISCONNECTED)
            return event
        self._arm()
        if self._buffer:
            self._look()
        return event

    def _arm(self) -> None:
        """Keep the time of the exchange; while all is well its end is known and needs no timer."""
        if self._waiting is not None and self._timer is None:
            self._timer = self._env.call_at(
                max(self._env.now, self._deadline_ns), self._timed_out, self._waiting, priority=LATE
            )

    def _drop(self) -> None:
        if self._stream is not None:
            self._stream.close()
            self._client.files.give()
        self._stream = None
        self._buffer = b""
        self._unsent.clear()

    def reset(self) -> None:
        """Drop the connection and what is unread."""
        self._drop()
        if self._waiting is not None:
            self._finish(DISCONNECTED)

    def abandon(self) -> None:
        """The driver is gone: the connection is dropped; whoever still waits learns of it when that is
        done."""
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            self._env.call_in(0, waiting.fire, DISCONNECTED)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.reset()

    # ---- the connection --------------------------------------------------------------------------
    def _put(self, data: bytes) -> Result | None:
        """Hand bytes to the connection, opening it first if need be; returns why not: too many wait for it to
        open, or no socket is left."""
        if sum(map(len, self._unsent)) + len(data) > BUFFER_BYTES_MAX:
            self._trace.emit("limit", self._index, "bus-unsent", len(data))
            return FULL
        stream = self._stream
        if stream is None:
            if not self._client.take_file():
                return NO_FILE
            self._connect()
            self._unsent.append(data)
        elif stream.open:
            stream.send_up(data, len(data))
        else:
            self._unsent.append(data)
        return None

    def _connect(self) -> None:
        self.server.reset()
        stream = self._stream = TcpStream(
            env=self._env,
            link=self._link,
            leg=self._leg,
            near=self._arrived,
            far=self._asked,
            lost=self._lost,
            user_timeout_ns=BUS_USER_TIMEOUT_NS,
            via=self._client.name,
            second=self._client.second,
        )
        stream.troubled = self._arm
        stream.connect(self._opened)

    def _opened(self) -> None:
        stream = self._stream
        if stream is None:
            return
        unsent, self._unsent = self._unsent, []
        for data in unsent:
            stream.send_up(data, len(data))
        if self._waiting is None:
            return
        if self._framing is OPENING:
            self._finish(OK_NOTHING)
            return
        self._deadline_ns = min(self._env.now + self._answer_ns, self._limit_at)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._arm()

    def _asked(self, data: bytes) -> None:
        """At the device: the request's bytes have come."""
        stream = self._stream
        if stream is None:
            return
        answers = self.server.respond(data, self._env.now)
        if answers is None:
            stream.break_off()
            return
        arrives = NEVER_NS
        at_ns, by_ns = self._env.now + self._response_ns + self.server.slow_ns, self._deadline_ns
        for answer in answers:
            arrives = stream.down.send(answer, len(answer), at_ns, by_ns)
        if arrives >= self._deadline_ns:
            self._arm()

    def _arrived(self, data: bytes) -> None:
        if self._waiting is not None and not self._buffer:
            frame, _ = cut_frame(data, self._framing)
            if frame is not None and len(frame) == len(data):
                self._finish((True, frame))
                return
        self._buffer += data
        if len(self._buffer) > BUFFER_BYTES_MAX:
            self._trace.emit("limit", self._index, "bus-buffer", len(self._buffer))
            self.reset()
        elif self._waiting is not None:
            self._look()

    def _look(self) -> None:
        frame, too_long = cut_frame(self._buffer, self._framing)
        if too_long:
            self._trace.emit("limit", self._index, "bus-reply", len(self._buffer))
            self._finish(TOO_LONG)
        elif frame is not None:
            self._buffer = self._buffer[len(frame) :]
            self._finish((True, frame))
        else:
            self._arm()  # half a frame: the rest is on nobody's schedule

    def _lost(self) -> None:
        if self._stream is not None:
            self._client.files.give()
        self._stream = None
        self._buffer = b""
        self._unsent.clear()
        if self._waiting is not None:
            self._finish(DISCONNECTED)

    def _timed_out(self, event: Event) -> None:
        if event is self._waiting:
            if self._stream is not None and not self._stream.open:
                # a connection that doesn't come about in time is given up, and what waited for it
                self._drop()
            self._finish(TIMEOUT)

    def _finish(self, value: Result) -> None:
        event, timer = self._waiting, self._timer
        self._waiting = self._timer = None
        if timer is not None:
            timer.cancel()
        if not value[0]:
            self._trace.emit("bus-error", self._index, value[1][0])
        assert event is not None
        event.fire(value)


class DialoguePort(TcpPort):
    """A connection whose far end, which a subclass knows, answers in its own time, and may speak unasked."""

    __slots__ = ("_listening", "_nudged", "_untold", "stateful")

    def __init__(self, **wiring: Any) -> None:
        super().__init__(**wiring)
        self._nudged = self._listening = self._untold = False
        self.stateful = False
        """its driver keeps state with the connection: one that was lost between two calls isn't dialled anew
        behind its back"""

    def _put(self, data: bytes) -> Result | None:
        """As ``TcpPort``'s; a driver that doesn't know yet that its connection is gone is told."""
        if self._untold:
            self._untold = False
            return DISCONNECTED
        return super()._put(data)

    def transact(self, request: bytes, reply: Framing, timeout_ns: int, limit_ns: int) -> Event:
        """As ``TcpPort``'s; nothing is known of when the answer comes."""
        refused = self._put(request)
        self._listening = False
        if refused is not None:
            event = Event(self._env)
            event.fire(refused)
            return event
        return self._wait(reply, timeout_ns, limit_ns)

    def send(self, data: bytes, timeout_ns: int) -> Event:
        """As ``TcpPort``'s; who sends doesn't listen."""
        self._listening = False
        return super().send(data, timeout_ns)

    def receive(self, frame: Framing, timeout_ns: int) -> Event:
        """As ``TcpPort``'s; over at once when it was nudged before and nothing is there."""
        self._listening = True
        event = super().receive(frame, timeout_ns)
        if self._nudged and self._waiting is event:
            self._nudged = False
            self._finish(TIMEOUT)
        return event

    def nudge(self) -> None:
        """Whoever listens has waited for long enough, or will have when it comes to it; an exchange under way
        is not disturbed."""
        if self._waiting is not None and self._listening:
            self._finish(TIMEOUT)
        else:
            self._nudged = True

    def calm(self) -> None:
        """Nobody is to be hurried any more."""
        self._nudged = False

    def _connect(self) -> None:
        stream = self._stream = TcpStream(
            env=self._env,
            link=self._link,
            leg=self._leg,
            near=self._arrived,
            far=self._asked,
            lost=self._lost,
            user_timeout_ns=BUS_USER_TIMEOUT_NS,
            via=self._client.name,
            second=self._client.second,
        )
        stream.connect(self._opened)

    def _opened(self) -> None:
        stream = self._stream
        if stream is None:
            return
        if self._reach_far_end(stream):
            super()._opened()
        else:
            stream.break_off()  # refused

    def _reach_far_end(self, stream: TcpStream) -> bool:
        """The far end learns of the connection; False when nobody is there."""
        raise NotImplementedError

    def _left(self) -> None:
        """The far end learns that it is over; it may have been told before."""
        raise NotImplementedError

    def _arrived(self, data: Any) -> None:
        if data is END:
            if self._stream is not None:
                self._stream.break_off()
            return
        super()._arrived(data)

    def reset(self) -> None:
        """Drop the connection and what is unread."""
        super().reset()
        self._untold = False
        self._left()

    def _lost(self) -> None:
        self._untold = self.stateful and self._waiting is None and self._stream is not None
        super()._lost()
        self._left()
