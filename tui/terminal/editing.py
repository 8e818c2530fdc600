"""The scenario's file in the user's editor, and the news that it has changed.

Belongs here: starting the editor, noticing a change. Never: reading the scenario (the engine does), saving a
session (app.py).
"""

from __future__ import annotations

import os
import shlex
import subprocess
import time
from pathlib import Path

from textual.app import SuspendNotSupported

from twinloop.scenarios.file.load import LIBRARY
from twinloop.tui.drawing.text import BAD
from twinloop.tui.terminal.clock import ClockApp

EDITORS = ("VISUAL", "EDITOR")
"""the variables that name an editor; the first that is set counts"""
LOOK_S = 1.0
"""between two looks at the file"""
Stamp = tuple[int, int] | None
"""when a file was written (ns) and how long it is; None: it can't be seen"""


class EditingApp(ClockApp):
    """An application that plays a file."""

    file: Path

    def __init__(self) -> None:
        super().__init__()
        self._read_as: Stamp = None
        """the file when it was read"""
        self._told: Stamp = None
        """as what the user was told that it has changed"""
        self._next_look_s = 0.0

    def was_read(self) -> None:
        """The file is about to be read."""
        self._read_as = self._told = stamp(self.file)

    def look_at_file(self) -> None:
        """Say once that it isn't any more what runs."""
        now_s = time.monotonic()
        if now_s < self._next_look_s:
            return
        self._next_look_s = now_s + LOOK_S
        found = stamp(self.file)
        if found not in (None, self._told, self._read_as):
            self.say(f"{self.file.name} has changed: r reads it again")
        self._told = found

    def action_edit(self) -> None:
        """The file in the editor; what was changed there is read at once."""
        why = self._no_editing()
        command = next((found for name in EDITORS if (found := os.environ.get(name, "").strip())), "")
        if not why and not command:
            why = f"no editor is named: set {' or '.join(EDITORS)}, for example EDITOR=nano"
        if why:
            self.say(why, BAD)
            return
        before = stamp(self.file)
        try:
            with self.suspend():
                code = subprocess.run([*shlex.split(command), str(self.file)], check=False).returncode
        except SuspendNotSupported:
            self.say("this screen can't be lent to an editor: edit the file elsewhere, then press r", BAD)
        except (OSError, ValueError) as error:
            self.say(f'the editor "{command}" can\'t be started: {error}', BAD)
        else:
            self._edited(command, code, before)

    def _edited(self, command: str, code: int, before: Stamp) -> None:
        if stamp(self.file) != before:
            self.action_reload()
            self.say(f"{self.file.name} was read again")
        elif code:
            self.say(f'the editor "{command}" ended with code {code}, and the file is as it was', BAD)
        else:
            self.say(f"{self.file.name} is as it was")

    def _no_editing(self) -> str:
        """Why this file isn't edited from here; empty: it may be."""
        if self.is_web:
            return "an editor would open on the computer that serves: edit the file there, then press r"
        if self.file.is_relative_to(LIBRARY):
            return "this scenario ships with twinloop: save it as your own with w, and open that"
        return ""

    def action_reload(self) -> None:
        """The file again, from the beginning."""
        raise NotImplementedError


def stamp(file: Path) -> Stamp:
    """As what a file lies there."""
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size
