"""A real serial port, as the client of the devices on its line: pyserial opens it, bytes go out, frames come
in.

Belongs here: the port. Never: whose turn it is, how long an answer may take (the line's user). A frame ends
as on a pseudo-terminal (pty.py).
"""

from __future__ import annotations

import asyncio
import os
import termios
from collections.abc import Callable

import serial

from twinloop.devices.live.pty import READ_BYTES, Frames

_PSEUDO = range(136, 144)
"""major numbers of Unix98 PTY slaves (Linux, admin-guide/devices.txt)"""


class Tty:
    """Opened at once; raises OSError when it can't be. ``heard`` gets each frame, ``lost`` is told when the
    port has gone: it is closed then.

    ``framing``: of a character, e.g. ``8E1``; ``ascii``: the transmission mode, else RTU.
    """

    def __init__(
        self,
        *,
        loop: asyncio.AbstractEventLoop,
        path: str,
        rate_bd: int,
        framing: str,
        heard: Callable[[bytes], None],
        lost: Callable[[], None],
        on_limit: Callable[[str], None],
        ascii: bool = False,  # the standard's word
    ) -> None:
        bits, parity, stop = (8, "N", 1) if _pseudo(path) else (int(framing[0]), framing[1], int(framing[2]))
        try:
            self._port = serial.Serial(path, rate_bd, bits, parity, stop, timeout=0, write_timeout=0)
        except (ValueError, termios.error) as error:  # a rate or a framing that the port hasn't got
            raise OSError(str(error)) from error
        self._loop, self._lost, self._on_limit = loop, lost, on_limit
        self._frames = Frames(loop, heard, on_limit, ascii)
        self._file = self._port.fileno()
        os.set_blocking(self._file, False)
        loop.add_reader(self._file, self._read)

    def _read(self) -> None:
        try:
            data = os.read(self._file, READ_BYTES)
        except BlockingIOError:
            return
        except OSError:  # unplugged
            data = b""
        if data:
            self._frames.feed(data)
        else:
            self.hang_up()
            self._lost()

    def write(self, data: bytes) -> None:
        """Onto the line; what the port has no room for is lost (limit ``line-unsent``)."""
        if not self._port.is_open:
            return
        try:
            written = os.write(self._file, data)
        except OSError:
            written = 0
        if written < len(data):
            self._on_limit("line-unsent")

    def hang_up(self) -> None:
        """It is closed; twice is once."""
        if self._port.is_open:
            self._loop.remove_reader(self._file)
            self._frames.close()
            self._port.close()


def _pseudo(path: str) -> bool:
    """Is it a pseudo-terminal? Those have no characters, and refuse to be asked for parity."""
    return os.major(os.stat(path).st_rdev) in _PSEUDO
