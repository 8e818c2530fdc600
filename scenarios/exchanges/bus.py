"""The device of a replay: it answers what was recorded.

Belongs here: which recorded exchange answers what a driver sends now, and when its answer comes. Never: what
a call gave (comparing.py), frames (modbus.py). In this order: the first exchange of this call that is unused
and asked the same; a Modbus read is composed of registers that the recording showed; what else is asked was
never asked in the field, and nothing answers.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from twinloop.components.contract.contract import Framing, Result
from twinloop.scenarios.exchanges.lines import Exchange
from twinloop.scenarios.exchanges.modbus import TCP, answer_to, built, key, parsed, read_of, renumbered
from twinloop.scenarios.exchanges.registers import Evidence, Nearest
from twinloop.sim.field.framing import cut_frame
from twinloop.sim.field.tcp_port import DISCONNECTED, OK_NOTHING, TIMEOUT, TOO_LONG
from twinloop.sim.kernel.clock import Environment, Event, Timer

FRESH_NS = 1_000_000
"""after which a composed answer comes when the recording has no answer to take the time from"""
NEVER_KEPT = 20
"""requests of one call that were never asked in the field and are told of; more are counted"""


@dataclass
class Counts:
    """What became of the exchanges of a replay. ``elsewhere``: of the reused, those whose turn it wasn't;
    ``unused``: of the recorded ones, those that nobody asked for."""

    reused: int = 0
    elsewhere: int = 0
    composed: int = 0
    never: int = 0
    unused: int = 0

    def add(self, other: Counts) -> None:
        """Those of another call, too."""
        for name in self.__dict__:
            setattr(self, name, getattr(self, name) + getattr(other, name))


@dataclass
class _Waiting:
    """Who waits for a frame."""

    event: Event
    framing: Framing
    timer: Timer


@dataclass
class Heard:
    """Of one call. ``never``: what was asked that the field never was, as hexadecimal digits."""

    counts: Counts = field(default_factory=Counts)
    never: list[str] = field(default_factory=list)
    composed: list[str] = field(default_factory=list)


class ReplayBus:
    """A driver's way to a device that isn't there. ``nearest``: the registers of a read, as they were shown
    nearest to an instant of the recording."""

    def __init__(self, env: Environment, protocol: str, nearest: Nearest) -> None:
        self._env, self._protocol, self._nearest = env, protocol, nearest
        self._bus: list[Exchange] = []
        self._used: list[bool] = []
        self._turn = 0
        self._call_at_ns = self._began_ns = 0
        self._sent = self._recorded = b""
        """the last request, and the recorded one that it was taken for"""
        self._buffer = b""
        self._waiting: _Waiting | None = None
        self._coming = 0
        """pieces of answers that are on their way"""
        self._answer_ns = FRESH_NS
        self._epoch = 0
        """counts resets: what was on its way before one doesn't come"""
        self.heard = Heard()

    def begin(self, bus: list[Exchange], at_ns: int) -> None:
        """A call begins, in which so many exchanges were recorded, at that instant of the recording."""
        self._bus, self._used, self._turn = bus, [False] * len(bus), 0
        self._call_at_ns, self._began_ns, self.heard = at_ns, self._env.now, Heard()

    def finish(self) -> Heard:
        """The call is over: what became of its exchanges."""
        unused = sum(not used and one.op != "reset" for used, one in zip(self._used, self._bus, strict=True))
        self.heard.counts.unused = unused
        return self.heard

    # ---- the contract ----------------------------------------------------------------------------
    def transact(self, request: bytes, reply: Framing, timeout_ns: int, limit_ns: int) -> Event:
        """Its answer, if the recording has one."""
        if self._protocol != TCP:
            self._buffer = b""  # of a line, unread bytes are discarded first
        found = self._taken("transact", request)
        if found is None:
            found = self._sent_and_received(request)
        event = Event(self._env)
        if found is not None:
            self._answered(event, found, request, reply, timeout_ns, limit_ns)
            return event
        self._sent = self._recorded = request
        return self._composed(event, request, reply, timeout_ns, limit_ns)

    def send(self, data: bytes, timeout_ns: int) -> Event:
        """It has gone, whether or not the recording knows it; an answer comes to who receives."""
        found = self._taken("send", data)
        event = Event(self._env)
        if found is not None:
            self._sent, self._recorded = data, found.asks
            self._fire(event, found.gets or TIMEOUT, min(found.after_ns, timeout_ns))
            return event
        found = self._taken("transact", data)
        self._sent, self._recorded = data, data if found is None else found.asks
        self._fire(event, OK_NOTHING, 0)
        if found is not None and found.gets is not None and found.gets[0]:
            self._later(found.after_ns, renumbered(self._protocol, found.gets[1], found.asks, data))
        elif found is None:
            answer = self._composition(data)
            if answer is None:
                self._unknown(data)
            elif answer:
                self._later(self._answer_ns, answer)
        return event

    def receive(self, frame: Framing, timeout_ns: int) -> Event:
        """What is still unread, or what the recording has next."""
        event = Event(self._env)
        if self._buffer or self._coming:
            return self._wait(event, frame, timeout_ns)
        found = self._taken("receive", b"")
        if found is None:
            self.heard.counts.never += 1
            return self._wait(event, frame, timeout_ns)
        self._answered(event, found, self._sent, frame, timeout_ns, timeout_ns)
        return event

    def reset(self) -> None:
        """Drop what is unread."""
        self._taken("reset", b"")
        self._buffer, self._epoch, self._coming = b"", self._epoch + 1, 0
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.timer.cancel()
            waiting.event.fire(DISCONNECTED)

    def abandon(self) -> None:
        """The driver is gone."""
        self.reset()

    # ---- which of the recorded -------------------------------------------------------------------
    def _taken(self, op: str, request: bytes) -> Exchange | None:
        """The first unused one that asked the same."""
        wanted = key(self._protocol, request)
        for index, one in enumerate(self._bus):
            if not self._used[index] and one.op == op and key(self._protocol, one.asks) == wanted:
                self._use(index)
                return one
        return None

    def _use(self, index: int) -> None:
        if self._bus[index].op != "reset":
            self.heard.counts.reused += 1
            self.heard.counts.elsewhere += index != self._next()
        self._used[index] = True
        self._turn = index + 1

    def _next(self) -> int:
        """Whose turn it is: the first that hasn't been taken behind the last that was, resets aside."""
        turn = self._turn
        while turn < len(self._bus) and (self._used[turn] or self._bus[turn].op == "reset"):
            turn += 1
        return turn

    def _sent_and_received(self, request: bytes) -> Exchange | None:
        """An exchange that was recorded in two pieces, as one."""
        sent = self._taken("send", request)
        if sent is None:
            return None
        got = self._taken("receive", b"")
        if got is None:
            return sent._replace(gets=TIMEOUT)
        return got._replace(asks=sent.asks, at_ns=sent.at_ns, after_ns=got.at_ns + got.after_ns - sent.at_ns)

    # ---- answers ---------------------------------------------------------------------------------
    def _answered(
        self,
        event: Event,
        found: Exchange,
        request: bytes,
        framing: Framing,
        timeout_ns: int,
        limit_ns: int,
    ) -> None:
        """Let that come to who asked, as late as it came then."""
        if found.op != "receive" or found.asks:
            self._sent, self._recorded = request, found.asks
        gets, after_ns = found.gets, found.after_ns
        if gets is None:  # the call was over before anything came
            self._fire(event, TIMEOUT, limit_ns)
            return
        if gets == TIMEOUT:
            early = after_ns < found.timeout_ns
            same = found.timeout_ns == timeout_ns
            after_ns = after_ns if same else min(after_ns, timeout_ns) if early else timeout_ns
            self._fire(event, TIMEOUT, min(after_ns, limit_ns))
            return
        if not gets[0]:
            self._fire(event, gets, min(after_ns, limit_ns))
            return
        self._answer_ns = after_ns
        data = renumbered(self._protocol, gets[1], self._recorded, self._sent)
        # a connection was opened first, perhaps: what came after the timeout came in time
        patient = timeout_ns >= min(found.timeout_ns, limit_ns)
        wait_ns = max(timeout_ns, after_ns) if patient else timeout_ns
        if framing == found.frame and not self._buffer and after_ns <= min(wait_ns, limit_ns):
            self._fire(event, (True, data), after_ns)
            return
        self._later(after_ns, data)
        self._wait(event, framing, min(wait_ns, limit_ns))

    def _composed(
        self, event: Event, request: bytes, framing: Framing, timeout_ns: int, limit_ns: int
    ) -> Event:
        """An answer from what registers held, or silence."""
        answer = self._composition(request)
        if answer is None:
            self._unknown(request)
        elif answer:
            self._later(self._answer_ns, answer)
        return self._wait(event, framing, min(timeout_ns, limit_ns))

    def _composition(self, request: bytes) -> bytes | None:
        """The answer to a read from what is known of its registers: this call's exchanges come first, an
        exception and silence among them; empty for silence, None when they were never shown."""
        asked, sent = read_of(self._protocol, request), parsed(self._protocol, request)
        if asked is None or sent is None:
            return None
        found = Evidence(self._protocol, self._bus, asked)
        answer, refusal = b"", found.refusal()
        if refusal is not None:
            answer = built(self._protocol, sent._replace(pdu=refusal))
        elif not found.silence():
            wanted = range(asked.address, asked.address + asked.many)
            values: list[int] | None = [found.values[at] for at in wanted if at in found.values]
            if len(values or ()) < asked.many:
                values = self._nearest(asked, self._call_at_ns + self._env.now - self._began_ns)
            if values is None:
                return None
            own = [found.values.get(at, value) for at, value in zip(wanted, values, strict=True)]
            answer = answer_to(self._protocol, request, own)
        self.heard.counts.composed += 1
        if len(self.heard.composed) < NEVER_KEPT:
            self.heard.composed.append(request.hex())
        return answer

    def _unknown(self, request: bytes) -> None:
        self.heard.counts.never += 1
        if len(self.heard.never) < NEVER_KEPT:
            self.heard.never.append(request.hex())

    # ---- bytes and time --------------------------------------------------------------------------
    def _fire(self, event: Event, value: Result, after_ns: int) -> None:
        self._env.call_in(max(0, after_ns), event.fire, value)

    def _later(self, after_ns: int, data: bytes) -> None:
        self._coming += 1
        self._env.call_in(after_ns, self._arrives, data, self._epoch)

    def _arrives(self, data: bytes, epoch: int) -> None:
        if epoch != self._epoch:
            return
        self._coming -= 1
        self._buffer += data
        self._look()

    def _wait(self, event: Event, framing: Framing, timeout_ns: int) -> Event:
        timer = self._env.call_in(max(0, timeout_ns), self._timed_out, event)
        self._waiting = _Waiting(event, framing, timer)
        if self._buffer:
            self._look()
        return event

    def _look(self) -> None:
        waiting = self._waiting
        if waiting is None:
            return
        frame, too_long = cut_frame(self._buffer, waiting.framing)
        if frame is None and not too_long:
            return
        self._waiting = None
        waiting.timer.cancel()
        if frame is None:
            waiting.event.fire(TOO_LONG)
            return
        self._buffer = self._buffer[len(frame) :]
        waiting.event.fire((True, frame))

    def _timed_out(self, event: Event) -> None:
        waiting = self._waiting
        if waiting is not None and waiting.event is event:
            self._waiting = None
            event.fire(TIMEOUT)
