"""A runner is a process with one runtime in one mode that has compiled the module, and answers a line a line.

    version            -> its words (wasmtime's runner isn't asked: the package knows)
    compile N          -> CPU ns of compiling the module N times
    instantiate N      -> CPU ns of N times a store and an instance, made and dropped
    calls N            -> CPU ns of N calls of the export `empty`, and its result
    kernel NAME N      -> CPU ns of one call of an export that does its work N times, and its result
    memory NAME N      -> addresses and memory in bytes by which the process grew for N instances, each of
                          which was called once

Belongs here: asking. Never: what is made of the answers.
"""

from __future__ import annotations

import subprocess
from typing import IO

from benchmarks.runtimes.modes import Mode


class Runner:
    """A runner's process. Raises RuntimeError with what it printed when it ends before it has answered."""

    def __init__(self, mode: Mode) -> None:
        self.mode = mode
        self.process = subprocess.Popen(
            mode.words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.asks: IO[str] = self.process.stdin
        self.answers: IO[str] = self.process.stdout

    def ask(self, question: str) -> str:
        """One answer."""
        try:
            self.asks.write(question + "\n")
            self.asks.flush()
        except BrokenPipeError:
            return self._ended(question)
        return self.answers.readline().strip() or self._ended(question)

    def _ended(self, question: str) -> str:
        _, words = self.process.communicate()
        raise RuntimeError(f"{self.mode.name}: the runner ended at {question!r}: {words.strip()[-400:]}")

    def numbers(self, question: str) -> tuple[int, int]:
        """Both numbers of an answer."""
        first, second = self.ask(question).split()
        return int(first), int(second)

    def close(self) -> None:
        """End it: no more questions."""
        if self.process.poll() is None:
            self.process.communicate()
