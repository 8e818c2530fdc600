"""The screen's end of the engine's process: starts it, sends commands, takes what comes.

Belongs here: the process and the pipe. Never: drawing. Views are asked for one at a time, so that none ever
waits in the pipe: the newest wins.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import time
from pathlib import Path

from twinloop.tui.engine.messages import Command, Died, FinalReport, Look, Quit, Refused, Reply, View
from twinloop.tui.engine.process import main

QUIT_S = 5.0
"""for the engine to end by itself"""


class Feed:
    """One engine. ``take`` what it has said; ``look`` asks for a view, unless one is on its way. ``close``
    it. ``settings``: what is set in the scenario, each as PATH=VALUE."""

    def __init__(self, file: Path, seed: int | None, settings: tuple[str, ...] = ()) -> None:
        context = multiprocessing.get_context("spawn")
        self._near, far = context.Pipe()
        self._process = context.Process(
            target=main, args=(far, str(file), seed, settings), daemon=True, name="twinloop engine"
        )
        self._process.start()
        far.close()
        self._asked = self._over = False

    def send(self, command: Command) -> None:
        """Nothing when the engine is no more; ``take`` says so, and only it does."""
        if not self._over:
            with contextlib.suppress(OSError):
                self._near.send(command)

    def look(self, look: Look) -> None:
        """Ask for a view."""
        if not self._asked:
            self._asked = True
            self.send(look)

    def take(self) -> list[Reply]:
        """All that has come."""
        replies: list[Reply] = []
        try:
            while self._near.poll():
                reply: Reply = self._near.recv()
                self._asked = self._asked and not isinstance(reply, View)
                self._over = self._over or isinstance(reply, Refused | Died)
                replies.append(reply)
        except (EOFError, OSError):
            if not self._over:
                self._process.join(QUIT_S)
                replies.append(Died(f"the engine's process ended with code {self._process.exitcode}"))
            self._over = True
        return replies

    def left(self, width: int) -> str:
        """End the run, and the engine with it; its report, or why there is none."""
        self.send(Quit(width))
        ends = time.monotonic() + QUIT_S
        while not self._over and (left_s := ends - time.monotonic()) > 0:
            if self._near.poll(left_s):
                for reply in self.take():
                    if isinstance(reply, FinalReport):
                        self._over = True
                        return reply.text
        return (
            "no report: the engine has died\n"
            if self._over
            else f"no report: the engine didn't answer within {QUIT_S:g} s\n"
        )

    @property
    def alive(self) -> bool:
        """Is its process there?"""
        return self._process.is_alive()

    def close(self) -> None:
        """It ends, by itself or not."""
        self.send(Quit())
        self._process.join(QUIT_S)
        if self._process.is_alive():
            self._process.terminate()  # it sees to those that came of it
            self._process.join(QUIT_S)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        self._near.close()
