"""io/streams: standard output as lines, and what reads and writes of any stream do.

Belongs here: the functions of input-stream and output-stream, standard streams. Never: files (files.py) and
sockets (sockets.py), which bring streams of their own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twinloop.components.contract.contract import Result
from twinloop.components.contract.errors import GuestEnded
from twinloop.components.wasi.interfaces import resource_number
from twinloop.sim.kernel.clock import Steps
from twinloop.sim.wasi.guest import OK, TRANSFER_BYTES_MAX, Guest, Handler
from twinloop.sim.wasi.waiting import Pollable, Waiting

LINE_BYTES_MAX = 4 << 10
"""of standard output: a longer line is cut there and goes on as the next one"""
TAIL_BYTES = 4 << 10
"""of standard error that a fault tells"""
CHECK_BYTES = 4096
"""``blocking-write-and-flush`` and its like for zeroes take at most so many (WASI says so)"""
CLOSED: Result = (False, ("closed", None))


class StreamError:
    """wasi:io's error."""

    resource = resource_number("error")

    def __init__(self, text: str, code: str | None = None) -> None:
        self.text, self.code = text, code

    def dropped(self) -> None:
        """It held nothing."""


def failed(text: str, code: str | None = None) -> Result:
    """A stream's last operation failed; ``code``: filesystem's error-code, if there is one."""
    return False, ("last-operation-failed", StreamError(text, code))


class Input:
    """An input that is at its end; others say more."""

    resource = resource_number("input-stream")

    def read(self, count: int) -> Result:
        """At most ``count`` bytes, as many as are there; ``closed`` at the end."""
        return CLOSED

    def pollable(self) -> Pollable:
        """Ready when there is something to read, or nothing will ever come."""
        return Pollable()

    def dropped(self) -> None:
        """The guest has let it go."""


class Output:
    """An output that takes everything; others say more."""

    resource = resource_number("output-stream")

    def room(self) -> Result:
        """How many bytes it takes now."""
        return True, TRANSFER_BYTES_MAX

    def write(self, data: bytes) -> Result:
        """Take them all."""
        return OK

    def flush(self, until_ns: int) -> Steps:
        """Until what was written has gone where it goes; its result."""
        yield from ()  # it has nothing to wait for
        return OK

    def pollable(self) -> Pollable:
        """Ready when it takes something."""
        return Pollable()

    def dropped(self) -> None:
        """The guest has let it go."""


class Lines(Output):
    """Standard output or standard error of a component: its lines are events, like what it logs."""

    def __init__(self, guest: Guest, level: str) -> None:
        self._guest, self._level = guest, level
        self._begun = bytearray()
        self.tail = bytearray()
        """the end of all that was written"""

    def write(self, data: bytes) -> Result:
        """Whole lines are told; what follows the last one waits for its end."""
        self._guest.carried(len(data))
        self.tail += data[-TAIL_BYTES:]
        del self.tail[:-TAIL_BYTES]
        *lines, rest = (bytes(self._begun) + data).split(b"\n")
        for line in lines:
            self._say(self._last_of(line))
        self._begun = bytearray(self._last_of(rest))
        return OK

    def _last_of(self, line: bytes) -> bytes:
        """What is left of a line when all that is too long of it is told."""
        while len(line) > LINE_BYTES_MAX:
            end = LINE_BYTES_MAX
            while line[end] & 0xC0 == 0x80 and end > LINE_BYTES_MAX - 4:
                end -= 1  # a character isn't cut
            self._say(line[:end])
            line = line[end:]
        return line

    def _say(self, line: bytes) -> None:
        self._guest.say(self._level, line.decode(errors="replace").rstrip("\r"))

    def end(self) -> None:
        """The instance is gone: what it had begun to say is said, and forgotten."""
        if self._begun:
            self._say(bytes(self._begun))
        self._begun, self.tail = bytearray(), bytearray()


class Streams:
    """io/streams and io/error of one guest."""

    def __init__(self, guest: Guest, waiting: Waiting) -> None:
        self._guest, self._waiting = guest, waiting
        out, into = "io/streams#[method]output-stream.", "io/streams#[method]input-stream."
        self.now: dict[str, Handler] = {
            "io/error#[method]error.to-debug-string": lambda error: error.text,
            f"{into}read": self._read,
            f"{into}skip": self._skip,
            f"{into}subscribe": lambda stream: stream.pollable(),
            f"{out}check-write": lambda stream: stream.room(),
            f"{out}write": self._write,
            f"{out}flush": self._flush,
            f"{out}subscribe": lambda stream: stream.pollable(),
            f"{out}write-zeroes": self._write_zeroes,
            f"{out}splice": self._splice,
        }
        self.later: dict[str, Callable[..., Any]] = {
            f"{into}blocking-read": self._blocking_read,
            f"{into}blocking-skip": self._blocking_skip,
            f"{out}blocking-write-and-flush": self._blocking_write,
            f"{out}blocking-flush": self._blocking_flush,
            f"{out}blocking-write-zeroes-and-flush": self._blocking_zeroes,
            f"{out}blocking-splice": self._blocking_splice,
        }

    # ---- in --------------------------------------------------------------------------------------
    def _read(self, stream: Input, count: int) -> Result:
        result = stream.read(min(count, TRANSFER_BYTES_MAX))
        if result[0]:
            self._guest.carried(len(result[1]))
        return result

    def _skip(self, stream: Input, count: int) -> Result:
        result = stream.read(min(count, TRANSFER_BYTES_MAX))
        return (True, len(result[1])) if result[0] else result

    def _blocking_read(self, stream: Input, count: int, until_ns: int) -> Steps:
        if count:
            yield from self._waiting.wait([stream.pollable()], until_ns)
        return stream.read(min(count, TRANSFER_BYTES_MAX))

    def _blocking_skip(self, stream: Input, count: int, until_ns: int) -> Steps:
        result = yield from self._blocking_read(stream, count, until_ns)
        return (True, len(result[1])) if result[0] else result

    # ---- out -------------------------------------------------------------------------------------
    def _write(self, stream: Output, data: bytes) -> Result:
        _permitted(len(data), TRANSFER_BYTES_MAX, "write")
        return stream.write(data)

    def _flush(self, stream: Output) -> Result:
        room = stream.room()
        return OK if room[0] else room

    def _write_zeroes(self, stream: Output, count: int) -> Result:
        return stream.write(bytes(_permitted(count, TRANSFER_BYTES_MAX, "write-zeroes")))

    def _splice(self, stream: Output, source: Input, count: int) -> Result:
        room = stream.room()
        if not room[0]:
            return room
        result = source.read(min(count, room[1], TRANSFER_BYTES_MAX))
        if not result[0]:
            return result
        written = stream.write(result[1])
        return (True, len(result[1])) if written[0] else written

    def _blocking_splice(self, stream: Output, source: Input, count: int, until_ns: int) -> Steps:
        yield from self._waiting.wait([source.pollable()], until_ns)
        yield from self._waiting.wait([stream.pollable()], until_ns)
        return self._splice(stream, source, count)

    def _blocking_write(self, stream: Output, data: bytes, until_ns: int) -> Steps:
        _permitted(len(data), CHECK_BYTES, "blocking-write-and-flush")
        written = 0
        while written < len(data):
            yield from self._waiting.wait([stream.pollable()], until_ns)
            room = stream.room()
            if not room[0]:
                return room
            if not room[1]:
                return OK  # the time is over: the call's deadline ends it
            part = data[written : written + room[1]]
            result = stream.write(part)
            if not result[0]:
                return result
            written += len(part)
        return (yield from stream.flush(until_ns))

    def _blocking_flush(self, stream: Output, until_ns: int) -> Steps:
        return (yield from stream.flush(until_ns))

    def _blocking_zeroes(self, stream: Output, count: int, until_ns: int) -> Steps:
        zeroes = bytes(_permitted(count, CHECK_BYTES, "blocking-write-zeroes-and-flush"))
        return (yield from self._blocking_write(stream, zeroes, until_ns))


def _permitted(count: int, most: int, function: str) -> int:
    """WASI: writing more than is permitted traps."""
    if count > most:
        raise GuestEnded("contract", f"{function} of {count} bytes at once, {most} are permitted")
    return count
