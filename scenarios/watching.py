"""A command that is given again whenever a file of its scenarios changes: ``twinloop run --watch``.

Belongs here: which files these are, when one has changed, what ends it. Never: what the command does. Files
are looked at, not subscribed to: what a kernel tells of changes doesn't come from network shares and mounted
folders of containers, and a scenario has a handful of files.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from twinloop.scenarios.interrupts import heard
from twinloop.scenarios.judging.verdict import ABORTED, SCENARIO_ERROR
from twinloop.scenarios.text.document import SUFFIXES
from twinloop.scenarios.text.errors import ScenarioError, printable, shown_path

if TYPE_CHECKING:
    from twinloop.scenarios.file.settings import Setting

LOOK_S = 0.25
"""between two looks at the files; a change counts when two looks have seen the same, so that a compiler or an
editor has time to write its file whole"""
NAMED_MAX = 3
"""how many files of a change are told by name"""

State = tuple[int, int, int]
"""of a file: when it was written in ns, its bytes, its number on the disk"""
Seen = dict[Path, State | None]


class Watch:
    """The files that scenarios are made of. ``scenarios``: those of a command line, files or folders;
    ``but``: what the command itself writes, files or folders."""

    def __init__(
        self,
        scenarios: Sequence[Path],
        settings: tuple[Setting, ...] = (),
        but: Sequence[Path] = (),
    ) -> None:
        self._asked, self._settings = tuple(scenarios), settings
        self._but = tuple(one.resolve() for one in but)
        self._named: dict[Path, tuple[Path, ...]] = {}
        self.seen: Seen = {}

    def begin(self) -> None:
        """What there is now is what the next run is made of. A scenario that can't be read at the moment has
        the files that it had when it could be."""
        for file in self._scenarios():
            try:
                self._named[file] = tuple(_files_of(file, self._settings))
            except (ScenarioError, OSError):
                self._named.setdefault(file, ())  # the run says what is wrong with it
        self.seen = self.look()

    def look(self) -> Seen:
        """All files as they are now; None: there is none of that name."""
        files: dict[Path, None] = {}
        for file in self._scenarios():
            for each in (file, *self._named.get(file, ())):
                files |= dict.fromkeys(_all_below(each))
        return {file: _state(file) for file in files if not self._is_own(file)}

    def _is_own(self, file: Path) -> bool:
        """Is it an output? Else each run would be a reason for the next."""
        if not self._but:
            return False
        at = file.resolve()
        return any(at == one or one in at.parents for one in self._but)

    def _scenarios(self) -> list[Path]:
        """The files, and those of the folders that may be scenarios."""
        return [
            file
            for asked in self._asked
            for file in _all_below(asked)
            if file == asked or file.suffix in SUFFIXES
        ]


def again_and_again(
    watch: Watch, once: Callable[[], int], sleep: Callable[[float], None] = time.sleep
) -> int:
    """Do it once, and once more after each change, until somebody presses Ctrl-C; returns the exit code of
    the last time. ``once`` does it and returns its exit code, ABORTED when it was broken off."""
    code = 0
    while True:
        watch.begin()
        before = heard()
        try:
            code = once()
        except ScenarioError as error:
            print(f"error: {printable(str(error))}", file=sys.stderr)
            code = SCENARIO_ERROR
        if code == ABORTED or heard() != before:  # another scenario's code may be the worse one
            return code
        there = [file for file, state in watch.seen.items() if state is not None]
        try:
            print(f"watching {_told(there) or 'for a first file'}; Ctrl-C ends", file=sys.stderr)
            changed = _changed(watch, sleep)
        except KeyboardInterrupt:
            return code
        print(f"changed: {_told(changed)}", file=sys.stderr)


def _changed(watch: Watch, sleep: Callable[[float], None]) -> list[Path]:
    """Wait for a change that has come to rest; the files that came, went or were written."""
    last = watch.seen
    while True:
        now = watch.look()
        if now != watch.seen and now == last:
            return [file for file in {**watch.seen, **now} if watch.seen.get(file) != now.get(file)]
        last = now
        sleep(LOOK_S)


def _files_of(file: Path, settings: tuple[Setting, ...]) -> Iterator[Path]:
    from twinloop.scenarios.file.load import load
    from twinloop.scenarios.file.named import named_files

    for name in named_files(load(file, settings)):
        yield file.parent / name


def _all_below(path: Path) -> list[Path]:
    """The file, or the files of the folder."""
    if not os.path.isdir(path):
        return [path]
    return sorted(Path(at, file) for at, _, files in os.walk(path) for file in files)


def _state(file: Path) -> State | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _told(files: list[Path]) -> str:
    """Some by name, the others counted."""
    names = ", ".join(shown_path(file) for file in files[:NAMED_MAX])
    more = len(files) - NAMED_MAX
    return names if more <= 0 else f"{names} and {more} more"
