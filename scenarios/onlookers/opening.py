"""Onlookers of one serving, if there are to be any: from the port that was asked for to the last word.

Belongs here: the order of things. Never: what is told (state.py), sockets (door.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TextIO

from twinloop.scenarios.onlookers.door import Door
from twinloop.scenarios.onlookers.state import State

if TYPE_CHECKING:
    from collections.abc import Sequence

    from twinloop.scenarios.report.result import Result
    from twinloop.scenarios.wire.hil import Hil
    from twinloop.scenarios.wire.wire import Endpoint, Wire


class Onlookers:
    """``port`` None: nobody looks on, and nothing is counted. ``name``: the scenario's; ``ends_ns``: when it
    is over at the latest, None: when somebody stops it."""

    def __init__(
        self, wire: Wire, name: str, port: int | None, hil: Hil | None = None, ends_ns: int | None = None
    ) -> None:
        self._port = port
        self._state = None if port is None else State(wire, name, hil, ends_ns)
        self._door: Door | None = None

    async def open(self, endpoints: Sequence[Endpoint], stream: TextIO) -> None:
        """Let them in, and print how; raises ScenarioError when the port isn't to be had."""
        if self._state is None or self._port is None:
            return
        self._state.found(endpoints)
        door = Door(self._state)
        url = await door.open(self._port)
        self._door = door
        print(f"watch   twinloop tui --attach '{url}'", file=stream, flush=True)

    def judged(self, result: Result) -> None:
        """With --judge: how it ended."""
        if self._state is not None:
            self._state.end(result.verdict.value, result.judged)

    async def end(self) -> None:
        """It is over: onlookers hear of it, then nobody can ask any more."""
        if self._door is None or self._state is None:
            return
        if not self._state.over:
            self._state.end()
        door, self._door = self._door, None
        await door.farewell()
        await door.close()
