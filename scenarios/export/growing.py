"""A file that grows while a run goes on: opened before it, written in pieces, told when there is no room.

Belongs here: opening, writing, closing, and what this machine can't do. Never: what stands in it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from twinloop.scenarios.text.errors import MachineError, ScenarioError


class GrowingFile:
    """``flag`` asked for it; ``what`` it is, for who reads that it ends early. Raises ScenarioError when it
    can't be made."""

    def __init__(self, path: Path, flag: str, what: str) -> None:
        self._path, self._flag, self._what = path, flag, what
        try:
            self._file = path.open("wb")
        except OSError as error:
            text = f"{path}: {error.strerror}; give the name of a file in a folder that can be written"
            raise ScenarioError(flag, None, "", text) from error

    def write(self, data: bytes | bytearray) -> None:
        """One piece; raises MachineError when there is no room."""
        with self._told():
            self._file.write(data)

    def flush(self) -> None:
        """What was written is in the file now, whatever becomes of this process; raises MachineError."""
        with self._told():
            self._file.flush()

    def close(self) -> None:
        """No more comes; raises MachineError when there is no room for what was written last."""
        with self._told():
            self._file.close()

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            ends = f"the {self._what} ends there: is there room for it?"
            raise MachineError(f"{self._flag} {self._path}: {error.strerror}; {ends}") from error
