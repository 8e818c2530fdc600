"""Open files and sockets of a gateway's process: how many there are, how many there may be.

Belongs here: the count, and what a port must know of the process that uses it. Never: what a refused one
leads to (tcp_port.py, the gateway).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple


class Files:
    """Open files and sockets of a gateway's process, of which there are ``limit`` at most (RLIMIT_NOFILE,
    getrlimit(2)); None: any number."""

    __slots__ = ("limit", "open", "peak", "refused")

    def __init__(self, limit: int | None) -> None:
        self.limit = limit
        self.open = self.peak = self.refused = 0

    def take(self) -> bool:
        """One more; False when there is none left (EMFILE)."""
        if self.limit is not None and self.open >= self.limit:
            self.refused += 1
            return False
        self.open += 1
        self.peak = max(self.peak, self.open)
        return True

    def give(self) -> None:
        """One is closed."""
        self.open -= 1


class Client(NamedTuple):
    """The process at a port's near end. ``take_file``: one more open socket, or False and an event;
    ``second``: it isn't the gateway that the device was planned for, but the other one of its pair."""

    name: str
    files: Files
    take_file: Callable[[], bool]
    second: bool = False
