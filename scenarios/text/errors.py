"""The author's mistakes: a scenario that can't be run, with the place in the file, what was expected, what
came.

Belongs here: the error and nearest names. Never: faults of guests or devices, broken invariants.
"""

from __future__ import annotations

import difflib
import errno
import sqlite3
from collections.abc import Iterable
from pathlib import Path

_KNOWN_SHOWN_MAX = 20


class ScenarioError(Exception):
    """One mistake in one scenario; ``str`` is the whole message: ``file:line: $.path: text``, and behind it,
    in brackets, what a command line has set ``beside`` the place."""

    def __init__(self, file: str, line: int | None, path: str, text: str, beside: str = "") -> None:
        super().__init__(file, line, path, text, beside)
        self.file, self.line, self.path, self.text, self.beside = file, line, path, text, beside
        self.more: list[ScenarioError] = []
        """further mistakes that were found with it"""

    @property
    def all(self) -> list[ScenarioError]:
        """It and those that were found with it, each for itself."""
        count = f" (and {len(self.more)} more)" if self.more else ""
        text = self.text.removesuffix(count)
        return [ScenarioError(self.file, self.line, self.path, text, self.beside), *self.more]

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}" if self.line else self.file
        told = f"{where}: {self.path}: {self.text}" if self.path else f"{where}: {self.text}"
        return f"{told} (with {self.beside})" if self.beside else told


class MachineError(Exception):
    """This machine can't: no room on a disk, no memory, a folder that another run has. ``str`` says what to
    do."""


_OF_THE_MACHINE = (
    errno.ENOSPC,
    errno.EDQUOT,
    errno.ENOMEM,
    errno.EMFILE,
    errno.ENFILE,
    errno.EIO,
    errno.EROFS,
    errno.EFBIG,
)


def machine_error(error: BaseException) -> MachineError | None:
    """What this machine is to blame for, in words; None for everything else."""
    if isinstance(error, MachineError):
        return error
    if isinstance(error, MemoryError):
        return MachineError("no memory left; run fewer or smaller scenarios at a time")
    if isinstance(error, OSError) and error.errno in _OF_THE_MACHINE:
        where = f"{error.filename}: " if error.filename else ""
        return MachineError(f"{where}{error.strerror}")
    if isinstance(error, sqlite3.OperationalError) and any(
        word in str(error) for word in ("full", "disk I/O", "readonly", "unable to open")
    ):
        return MachineError(f"a database: {error}; is there room under --out and in the temporary folder?")
    return None


TEXT_MAX = 2000
"""characters of a message that others have made: a component's own words, a scalar of a file"""


def printable(text: str) -> str:
    """What others have made may hold what a terminal obeys: control characters are shown, and it isn't longer
    than TEXT_MAX."""
    shown = "".join(
        letter if letter.isprintable() or letter in "\n\t" else f"\\x{ord(letter):02x}"
        for letter in text[: TEXT_MAX + 1]
    )
    return shown if len(text) <= TEXT_MAX else f"{shown[:TEXT_MAX]}... ({len(text)} characters)"


def path_text(path: Iterable[str | int]) -> str:
    """``("timeline", 2, "cut")`` as ``$.timeline[2].cut``."""
    out = "$"
    for part in path:
        out += f"[{part}]" if isinstance(part, int) else f".{part}"
    return out


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that looks most like ``name``, if any does."""
    found = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return found[0] if found else None


def unknown(kind: str, name: str, known: Iterable[str]) -> str:
    """``unknown board "raspbery-pi-4"; did you mean "raspberry-pi-4"? known: ...``"""
    names = sorted(known, key=lambda one: (len(one), one) if one.isdigit() else (0, one))
    close = nearest(name, names)
    hint = f'; did you mean "{close}"?' if close else ";"
    shown = ", ".join(names[:_KNOWN_SHOWN_MAX]) + (", ..." if len(names) > _KNOWN_SHOWN_MAX else "")
    return f'unknown {kind} "{name}"{hint} known: {shown or "none"}'


def shown_path(file: Path) -> str:
    """A file as the user knows it: relative to the working folder when it is below it."""
    try:
        return str(file.resolve().relative_to(Path.cwd()))
    except (ValueError, OSError, RuntimeError):  # elsewhere; or a link that leads to itself
        return str(file)
