"""Where the command ``twinloop`` begins: nothing is imported yet, so that Ctrl-C during the imports is no traceback either.

Belongs here: the console script. Never: a command (main.py).
"""

from __future__ import annotations

import os
import signal
from types import FrameType

ABORTED = 130
"""128 + SIGINT, as ``scenarios.verdict`` has it"""


def _leave(number: int, frame: FrameType | None) -> None:
    os._exit(ABORTED)  # nothing is open yet


def script() -> None:
    """The console script."""
    signal.signal(signal.SIGINT, _leave)
    from scenarios.cli.main import main

    signal.signal(signal.SIGINT, signal.default_int_handler)
    raise SystemExit(main())
