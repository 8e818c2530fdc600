"""The line below the panes: what was said last, and what is being asked.

Belongs here: the two widgets of that line. Never: what is done with an answer (app.py).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rich.text import Text
from textual.screen import Screen
from textual.widgets import Input, Static

from twinloop.tui.drawing.text import DIM


class Prompt:
    """Of one application; ``base``: the screen on which the line is, None while there is none."""

    def __init__(self, base: Callable[[], Screen[Any] | None]) -> None:
        self._base = base
        self._then: Callable[[str], None] | None = None
        self.said: tuple[str, str] = ("", "")
        """text and style"""

    def say(self, text: str, style: str = "") -> None:
        """One line, until the next."""
        self.said = text, style
        base = self._base()
        if base is not None:
            base.query_one("#said", Static).update(Text(text, style=style, no_wrap=True, overflow="ellipsis"))

    def ask(self, what: str, first: str, then: Callable[[str], None]) -> None:
        """Let the user type; ``first`` stands there already, ``then`` gets what he has typed."""
        base = self._base()
        if base is None:
            return
        field = base.query_one("#ask", Input)
        base.query_one("#said", Static).update(Text(what, style=DIM))
        field.placeholder, field.value, self._then = what, first, then
        field.remove_class("hidden")
        field.disabled = False
        field.focus()

    def submitted(self, text: str) -> None:
        """What was asked for."""
        then = self._then
        self.leave()
        if then is not None:
            then(text)

    def leave(self) -> None:
        """Nothing is asked any more."""
        self._then = None
        self.say(*self.said)
        base = self._base()
        if base is not None:
            field = base.query_one("#ask", Input)
            field.add_class("hidden")
            field.disabled = True
            base.set_focus(None)
