"""The line below the panes: what was said last, and what is being asked.

Belongs here: the two widgets of that line. Never: what is done with an answer (app.py).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rich.text import Text
from textual.screen import Screen
from textual.widgets import Input, Static

from twinloop.tui.drawing.text import BAD, DIM


class Prompt:
    """Of one application; ``base``: the screen on which the line is, None while there is none."""

    def __init__(self, base: Callable[[], Screen[Any] | None]) -> None:
        self._base = base
        self._then: Callable[[str], None] | None = None
        self._live: tuple[Callable[[str], None], str] | None = None
        """who gets each letter, and what stood there at first"""
        self._waiting: tuple[str, Callable[[str], None]] | None = None
        """what was typed and who got it, while the engine hasn't said whether it can be done"""
        self.said: tuple[str, str] = ("", "")
        """text and style"""

    @property
    def asks(self) -> bool:
        """Is something being typed?"""
        return self._then is not None

    def say(self, text: str, style: str = "") -> None:
        """One line, until the next."""
        self.said, self._waiting = (text, style), None
        base = self._base()
        if base is not None:
            base.query_one("#said", Static).update(Text(text, style=style, no_wrap=True, overflow="ellipsis"))

    def ask(
        self,
        what: str,
        first: str,
        then: Callable[[str], None],
        style: str = DIM,
        live: Callable[[str], None] | None = None,
    ) -> None:
        """Let the user type; ``first`` stands there already, ``then`` gets what was typed, ``live`` each
        letter of it, and ``first`` again when it is left."""
        base = self._base()
        if base is None:
            return
        field = base.query_one("#ask", Input)
        base.query_one("#said", Static).update(Text(what, style=style, no_wrap=True, overflow="ellipsis"))
        field.placeholder, field.value, self._then = what, first, then
        self._live = None if live is None else (live, first)
        field.remove_class("hidden")
        field.disabled = False
        field.focus()

    def ask_again(self, why: str, typed: str, then: Callable[[str], None]) -> None:
        """What was typed can't be; it stands there to be corrected, and why beside it."""
        self.say(why, BAD)
        self.ask(why, typed, then, BAD)

    def waits(self, typed: str, then: Callable[[str], None]) -> None:
        """The engine is asked whether that can be done."""
        self._waiting = typed, then

    def refused(self, why: str) -> None:
        """Something can't be done: what was typed last, if the engine hasn't answered that yet."""
        if self._waiting is None:
            self.say(why, BAD)
        else:
            self.ask_again(why, *self._waiting)

    def submitted(self, text: str) -> None:
        """What was asked for."""
        then, self._live = self._then, None
        if self.said[1] == BAD:
            self.said = "", ""  # why the last one couldn't be is no news any more
        self.leave()
        if then is not None:
            then(text)

    def changed(self, text: str) -> None:
        """A letter more, or less."""
        if self._live is not None:
            self._live[0](text)

    def leave(self) -> None:
        """Nothing is asked any more."""
        if self._live is not None:
            live, first = self._live
            self._live = None
            live(first)
        self._then = None
        self.say(*self.said)
        base = self._base()
        if base is not None:
            field = base.query_one("#ask", Input)
            field.add_class("hidden")
            field.disabled = True
            base.set_focus(None)
