"""The scenario's file in an editor: a program that the test writes stands for it."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.tui.scene import inline, until, with_app
from twinloop.components.host.host import Host
from twinloop.scenarios.file.load import LIBRARY
from twinloop.tui.terminal import editing
from twinloop.tui.terminal.app import Twinloop


def editor(folder: Path, code: str) -> str:
    """A command that does that to the file named last."""
    path = folder / "editor.py"
    path.write_text(f"import sys, pathlib\nfile = pathlib.Path(sys.argv[-1])\n{code}\n", encoding="utf-8")
    return f'"{sys.executable}" "{path}" --wait'


LONGER = "file.write_text(file.read_text().replace('duration: 20 s', 'duration: 25 s'))"


@pytest.mark.parametrize(
    ("code", "said", "duration_s"),
    [
        (LONGER, "seen.yaml was read again", 25),
        ("", "seen.yaml is as it was", 20),
        ("sys.exit(3)", "ended with code 3, and the file is as it was", 20),
        (None, "can't be started: ", 20),
    ],
)
def test_what_an_editor_leaves_is_read(
    host: Host, file: Path, monkeypatch: pytest.MonkeyPatch, code: str | None, said: str, duration_s: int
) -> None:
    monkeypatch.setenv("VISUAL", "no-such-editor -w" if code is None else editor(file.parent, code))
    monkeypatch.setenv("EDITOR", "false")
    monkeypatch.setattr(Twinloop, "suspend", lambda app: contextlib.nullcontext())

    async def body(app: Twinloop, pilot: Any) -> None:
        await until(pilot, lambda: app.view is not None)
        await pilot.press("e")
        await until(pilot, lambda: app.plan is not None and app.view is not None)
        assert said in app.prompt.said[0]
        assert app.plan is not None
        assert app.plan.duration_ns == duration_s * 10**9

    with_app(file, body, start=inline(host))


def test_a_scenario_that_was_broken_in_the_editor_is_edited_again(
    host: Host, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    toggle = "file.write_text(file.read_text().replace('x' if 'xname' in file.read_text() else 'name', '' if 'xname' in file.read_text() else 'xname', 1))"
    monkeypatch.setenv("EDITOR", editor(file.parent, toggle))
    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.setattr(Twinloop, "suspend", lambda app: contextlib.nullcontext())

    async def body(app: Twinloop, pilot: Any) -> None:
        await until(pilot, lambda: app.view is not None)
        await pilot.press("e")
        await until(pilot, lambda: bool(app.problem))
        assert "xname" in app.problem
        await pilot.press("e")
        await until(pilot, lambda: not app.problem and app.view is not None)

    with_app(file, body, start=inline(host))


@pytest.mark.parametrize("what", ["shipped", "web", "headless"])
def test_where_no_editor_may_start_it_says_why(
    host: Host, file: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """A browser's user isn't the user of this computer; shipped files aren't the user's; a screen without a
    terminal can't be lent."""
    started = file.parent / "started"
    monkeypatch.setenv("VISUAL", f'touch "{started}"')
    if what == "web":
        monkeypatch.setattr(Twinloop, "is_web", True)
    why = {"shipped": "save it as your own with w", "web": "edit the file there", "headless": "can't be lent"}

    async def body(app: Twinloop, pilot: Any) -> None:
        await until(pilot, lambda: app.view is not None)
        await pilot.press("e")
        assert why[what] in app.prompt.said[0]
        assert not started.exists()

    with_app(LIBRARY / "quickstart.yaml" if what == "shipped" else file, body, start=inline(host))


def test_a_file_that_changes_is_told_once(host: Host, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By whom isn't asked; what was read again is no news."""
    monkeypatch.setattr(editing, "LOOK_S", 0.0)

    async def body(app: Twinloop, pilot: Any) -> None:
        await until(pilot, lambda: app.view is not None)
        assert app.prompt.said[0] == ""
        os.utime(file, ns=(1, 1))
        await until(pilot, lambda: app.prompt.said[0] == "seen.yaml has changed: r reads it again")
        app.say("")
        app.look_at_file()
        assert app.prompt.said[0] == ""
        await pilot.press("r")
        await until(pilot, lambda: app.view is not None)
        app.look_at_file()
        assert app.prompt.said[0] == ""
        file.unlink()
        app.look_at_file()
        assert app.prompt.said[0] == "", "what is gone can't be read again"

    with_app(file, body, start=inline(host))
