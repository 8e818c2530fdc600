"""The engine's process of a Feed without what its start costs (tests/processes.py): a fork of one that has
imported everything.

Belongs here: what a Feed asks of multiprocessing. The start itself is tested by test_feed.py and
test_terminal.py, which do without this.
"""

from __future__ import annotations

import json
import multiprocessing
import subprocess
import sys
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from tests.processes import Forked
from twinloop.tui.engine.process import main


class Process:
    """As multiprocessing.Process, for the engine's alone."""

    def __init__(
        self, target: Callable[..., None], args: tuple[Any, Any, Any, Any], daemon: bool, name: str
    ) -> None:
        assert target is main
        self._args = args
        self._forked: Forked | None = None

    @property
    def forked(self) -> Forked:
        assert self._forked is not None, "it wasn't started"
        return self._forked

    def start(self) -> None:
        connection, file, seed, settings = self._args
        self._forked = Forked(
            "tests.tui.forked_engine",
            (file, "" if seed is None else str(seed), json.dumps(settings)),
            descriptors=[connection.fileno()],
        )
        del self._args

    def join(self, timeout: float | None = None) -> None:
        try:
            self.forked.wait(timeout)
        except subprocess.TimeoutExpired:
            return

    def is_alive(self) -> bool:
        return self.forked.poll() is None

    def terminate(self) -> None:
        self.forked.terminate()

    def kill(self) -> None:
        self.forked.kill()

    @property
    def pid(self) -> int:
        return self.forked.pid

    @property
    def exitcode(self) -> int | None:
        return self.forked.poll()


class Context:
    """As multiprocessing.get_context gives one."""

    Pipe = staticmethod(multiprocessing.Pipe)
    Process = Process


if __name__ == "__main__":
    main(
        Connection(int(sys.argv[4])),
        sys.argv[1],
        int(sys.argv[2]) if sys.argv[2] else None,
        json.loads(sys.argv[3]),
    )
