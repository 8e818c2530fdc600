"""The commands of a run: issued, open, ended.

Belongs here: their books. Never: the way down to a gateway (cloud.py), or what a gateway does with one.
"""

from __future__ import annotations

from collections.abc import Callable

from twinloop.sim.cloud.messages import Command
from twinloop.sim.kernel.trace import Trace


class Commands:
    """Of one run. Every one that was issued ends as ``done`` or with a cause."""

    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        self._count = 0
        self.issued: list[Command] = []
        self._open: dict[int, Command] = {}
        self.ended: dict[str, int] = {}
        """done or a cause -> how many"""
        self.on_done: list[Callable[[Command, str | None], None]] = []
        """told of each that has ended; the cause, None: it was done"""

    def next_number(self) -> int:
        """Commands count from 1."""
        self._count += 1
        return self._count

    def issue(self, command: Command) -> None:
        """It goes down."""
        self.issued.append(command)
        self._open[command.number] = command
        self._trace.emit("command", command.device, command.number, "issued", "")

    def done(self, command: Command, cause: str | None) -> None:
        """It has ended."""
        del self._open[command.number]
        state = cause or "done"
        self.ended[state] = self.ended.get(state, 0) + 1
        for told in self.on_done:
            told(command, cause)

    def open(self) -> list[Command]:
        """Those that are under way, in the order of issue."""
        return list(self._open.values())
