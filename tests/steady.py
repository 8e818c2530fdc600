"""For tests over real sockets at the wall's pace: on a shared machine everything may stand still for longer
than a poll.

Belongs here: noticing that, and trying again. A failure without a standstill is a failure at once.
"""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

TICK_S = 0.01
STALL_S = 0.12
"""half of the shortest poll in those tests"""
TRIES = 4


class _Stalls:
    """The longest that a thread which only sleeps was late by."""

    def __init__(self) -> None:
        self.longest_s = 0.0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def _watch(self) -> None:
        before = time.monotonic()
        while not self._over.wait(TICK_S):
            now = time.monotonic()
            self.longest_s = max(self.longest_s, now - before - TICK_S)
            before = now

    def __enter__(self) -> _Stalls:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()


def steady(test: Callable[..., None], stall_s: float = STALL_S) -> Callable[..., None]:
    """A test that may fail when the machine stood still for ``stall_s`` meanwhile; then it is tried again in a
    folder of its own."""

    @functools.wraps(test)
    def tried(*args: Any, tmp_path: Path, **kwargs: Any) -> None:
        for attempt in range(1, TRIES + 1):
            folder = tmp_path / str(attempt)
            folder.mkdir()
            with _Stalls() as stalls:
                try:
                    return test(*args, tmp_path=folder, **kwargs)
                except AssertionError:
                    if attempt == TRIES or stalls.longest_s < stall_s:
                        raise
        return None

    return tried
