"""Serial lines without a plug: a pseudo-terminal each, which a client opens like any serial port.

Belongs here: bytes and where a frame ends. Never: times on the wires (the line's model), what frames mean. A
pseudo-terminal has no baud rate: bytes come at once, and an RTU frame ends where its check sum holds, or
where nothing more comes for ``SILENCE_S``. An ASCII frame ends with CR LF.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import termios
import tty
from collections.abc import Callable

from twinloop.devices.modbus.frames import (
    ASCII_BYTES_MAX,
    CHARACTER_PAUSE_MAX_NS,
    RTU_BYTES_MAX,
    rtu_body,
)
from twinloop.devices.model.check_sums import ASCII_END

SILENCE_S = 0.02
"""after that long what has come is a frame, whole or not; ten times the gap at 19200 Bd: a client's own
pauses aren't those of a wire"""
FREED_S = 1.0
"""how often a client's claim to have the line alone (TIOCEXCL) is undone; and what wasn't read for that long
is discarded"""
READ_BYTES = 4096
"""at a time; of more than a frame only that it is too long is kept (limit ``line-overlong``)"""
UNREAD_BYTES_MAX = 4096
"""that a client hasn't read (a pty's own buffer); more is dropped (limit ``line-unread``)"""


class Frames:
    """Bytes in, frames out: ``heard`` gets each, ``met`` is told of limits. ``ascii``: the transmission mode,
    else RTU."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        heard: Callable[[bytes], None],
        on_limit: Callable[[str], None],
        ascii: bool = False,  # the standard's word
    ) -> None:
        self._ascii = ascii
        self._loop, self._heard, self._on_limit = loop, heard, on_limit
        self._buffer = b""
        self._timer: asyncio.TimerHandle | None = None

    def feed(self, data: bytes) -> None:
        """Some of a frame, or one and more."""
        self.close()
        if self._ascii:
            self._feed_characters(data)
            return
        self._buffer = (self._buffer + data)[: RTU_BYTES_MAX + 1]
        if rtu_body(self._buffer) is not None:
            self._end()
        else:
            self._timer = self._loop.call_later(SILENCE_S, self._end)

    def _feed_characters(self, data: bytes) -> None:
        *frames, rest = (self._buffer + data).split(ASCII_END)
        for frame in frames:
            self._buffer = frame + ASCII_END
            self._end()
        self._buffer = rest[: ASCII_BYTES_MAX + 1]
        if rest:
            self._timer = self._loop.call_later(CHARACTER_PAUSE_MAX_NS / 1e9, self._end)

    def _end(self) -> None:
        self._timer = None
        frame, self._buffer = self._buffer, b""
        if len(frame) > (ASCII_BYTES_MAX if self._ascii else RTU_BYTES_MAX):
            self._on_limit("line-overlong")
        elif frame:
            self._heard(frame)

    def close(self) -> None:
        """Nobody waits for silence any more."""
        if self._timer is not None:
            self._timer.cancel()


class SerialLine:
    """One line: ``path`` is what a client opens. ``heard`` gets each frame, ``met`` is told of limits.
    ``ascii``: as of ``Frames``."""

    def __init__(
        self,
        heard: Callable[[bytes], None],
        on_limit: Callable[[str], None],
        ascii: bool = False,
    ) -> None:
        self._on_limit = on_limit
        self._near, self._far = os.openpty()
        tty.setraw(self._far)  # its end stays open here: else a client that closes its own would end the line
        os.set_blocking(self._near, False)
        self.path = os.ttyname(self._far)
        self._loop = asyncio.get_running_loop()
        self._frames = Frames(self._loop, heard, on_limit, ascii)
        self._written_s = 0.0
        self._loop.add_reader(self._near, self._read)
        self._freeing = self._loop.call_later(FREED_S, self._free)

    def _read(self) -> None:
        self._frames.feed(os.read(self._near, READ_BYTES))

    def _free(self) -> None:
        """This end is open all the time, so what a client leaves behind outlives it: its claim to the line,
        and answers that it hasn't read."""
        fcntl.ioctl(self._far, termios.TIOCNXCL)
        if self._loop.time() - self._written_s >= FREED_S:
            termios.tcflush(self._far, termios.TCIFLUSH)
        self._freeing = self._loop.call_later(FREED_S, self._free)

    def write(self, data: bytes) -> None:
        """To the client; what it has no room for is lost, as on a wire."""
        self._written_s = self._loop.time()
        try:
            written = os.write(self._near, data)
        except BlockingIOError:
            written = 0
        if written < len(data):
            self._on_limit("line-unread")

    def close(self) -> None:
        """The line is taken away."""
        self._loop.remove_reader(self._near)
        self._frames.close()
        self._freeing.cancel()
        os.close(self._near)
        os.close(self._far)
