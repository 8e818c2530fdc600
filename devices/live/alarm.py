"""An alarm clock for an event loop that is late by microseconds, where asyncio's own timers are by a
millisecond (epoll's unit).

Belongs here: Linux's timerfd_create(2), reached by ctypes (os.timerfd_create needs Python 3.13). Elsewhere
asyncio's timers do.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import sys
from collections.abc import Callable

_S = 1_000_000_000
_CLOCK_MONOTONIC, _CLOEXEC_NONBLOCK, _ABSOLUTE = 1, 0o2004000, 1


class _Times(ctypes.Structure):
    """struct itimerspec: interval and value, each in seconds and nanoseconds."""

    _fields_ = [(name, ctypes.c_long) for name in ("interval_s", "interval_ns", "value_s", "value_ns")]


class Alarm:
    """Calls ``rings`` once at the instant of ``set``; setting it again moves it. ``loop`` None: the running
    one. Close it."""

    def __init__(self, rings: Callable[[], None], loop: asyncio.AbstractEventLoop | None = None) -> None:
        self._rings = rings
        self._loop = loop or asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._file = -1
        if sys.platform == "linux":
            self._library = ctypes.CDLL(None, use_errno=True)
            self._file = self._library.timerfd_create(_CLOCK_MONOTONIC, _CLOEXEC_NONBLOCK)
        if self._file >= 0:
            self._loop.add_reader(self._file, self._rung)

    def set(self, in_ns: int, at_ns: int) -> None:
        """Ring at ``at_ns`` of the monotonic clock, which is in ``in_ns`` from now."""
        if self._file >= 0:
            times = _Times(0, 0, at_ns // _S, at_ns % _S)
            self._library.timerfd_settime(self._file, _ABSOLUTE, ctypes.byref(times), None)
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(max(0, in_ns) / _S, self._rings)

    def _rung(self) -> None:
        try:
            os.read(self._file, 8)
        except BlockingIOError:
            return  # it was moved meanwhile
        self._rings()

    def close(self) -> None:
        """It rings no more."""
        if self._file >= 0:
            self._loop.remove_reader(self._file)
            os.close(self._file)
        if self._timer is not None:
            self._timer.cancel()
