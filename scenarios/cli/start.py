"""Where the command ``twinloop`` begins: nothing is imported yet, so that Ctrl-C during the imports is no
traceback either.

Belongs here: the console script. Never: a command (main.py).
"""

from __future__ import annotations

import gc
import io
import os
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

ABORTED = 130
"""128 + SIGINT, as ``scenarios.verdict`` has it"""


def _leave(number: int, frame: FrameType | None) -> None:
    os.write(2, b"interrupted before it began\n")
    os._exit(ABORTED)  # nothing is open yet


class _Patient:
    """A stream whose reader may go away: what is written then is nobody's, and the run goes on to its
    verdict."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _until_gone(self, action: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return action(*arguments)
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())
            return None

    def write(self, text: str) -> Any:
        """As the stream's."""
        return self._until_gone(self._stream.write, text)

    def flush(self) -> None:
        """As the stream's."""
        self._until_gone(self._stream.flush)


def script() -> None:
    """The console script."""
    signal.signal(signal.SIGINT, _leave)
    # threads for large matrices, which nothing here has: to start them takes longer than all of NumPy's code
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # a terminal or a file may have no sign for what a report says: then its number stands there
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.encoding.lower() != "utf-8":
        sys.stdout.reconfigure(errors="backslashreplace")
    sys.stdout, sys.stderr = _Patient(sys.stdout), _Patient(sys.stderr)
    from twinloop.scenarios import collector

    collector.wait_for_modules()
    from twinloop.scenarios.cli.main import main

    signal.signal(signal.SIGINT, signal.default_int_handler)
    code = main()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    # Python would search all that lives for garbage, several times, before the process goes: up to a second
    gc.freeze()
    raise SystemExit(code)
