"""The list of favourites, and the line in which one is named.

Belongs here: those two screens. Never: keeping them (favourites.py), the form (trouble_form.py).
"""

from __future__ import annotations

from typing import ClassVar, Literal

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from twinloop.tui.drawing.look import BAD, GOOD, OFF
from twinloop.tui.drawing.text import DIM, HEAD, fit
from twinloop.tui.engine.messages import Ready
from twinloop.tui.screens.forms.favourites import (
    NAME_MAX,
    Favourite,
    FavouritesError,
    favourites,
    forget,
    why_not,
)

NAME_CELLS = 24
NONE = "none is kept yet: fill the form (i), then ctrl+t"
HINT = "enter does it now, e opens the form with it, x forgets it, esc leaves"
Wish = tuple[Literal["do", "fill"], Favourite]


class FavouriteList(ModalScreen[Wish | None]):
    """Ends with what is to be done with which, or None."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,v", "dismiss(None)", "Leave"),
        Binding("e", "wish('fill')", "Into the form"),
        Binding("x", "forget", "Forget it"),
    ]

    def __init__(self, plan: Ready) -> None:
        super().__init__()
        self._plan = plan
        self._kept: list[Favourite] = []

    def compose(self) -> ComposeResult:
        """A line each, and what can be done with them."""
        with Vertical(id="favourites"):
            yield Static(Text("Favourites", style=HEAD))
            yield OptionList(id="kept", compact=True)
            yield Static(id="favourites-note")

    def on_mount(self) -> None:
        """The first one is looked at."""
        self._fill(0)
        self.query_one("#kept", OptionList).focus()

    def _fill(self, at: int) -> None:
        listed = self.query_one("#kept", OptionList)
        listed.clear_options()
        try:
            self._kept = favourites()
        except FavouritesError as error:
            self._kept = []
            self._say(f"{error}; the next one that is kept puts this file aside", BAD.style)
            return
        listed.add_options([Option(self._line(one), id=str(i)) for i, one in enumerate(self._kept)])
        if self._kept:
            listed.highlighted = min(at, len(self._kept) - 1)
        self._say(HINT if self._kept else NONE, DIM)

    def _line(self, one: Favourite) -> Text:
        """Of what can't be done here, why, in place of what it is."""
        why = why_not(one, self._plan)
        token, style = (OFF, DIM) if why else (GOOD, "")
        what = one.entry if one.entry != one.name else ""
        parts = (f"{token.sign} ", token.style), (f"{fit(one.name, NAME_CELLS)} ", style), (why or what, DIM)
        return Text.assemble(*parts, no_wrap=True, overflow="ellipsis")

    def _say(self, text: str, style: str) -> None:
        self.query_one("#favourites-note", Static).update(Text(text, style=style))

    def on_option_list_option_selected(self, _: OptionList.OptionSelected) -> None:
        """Enter or a click: it is done."""
        self.action_wish("do")

    def action_wish(self, what: Literal["do", "fill"]) -> None:
        """Do it, or fill the form with it; what can't be done here says why, and the list stays."""
        one = self._looked_at()
        if one is None:
            return
        why = why_not(one, self._plan)
        if why:
            self._say(f"{BAD.sign} {why}", BAD.style)
        else:
            self.dismiss((what, one))

    def action_forget(self) -> None:
        """This one is kept no more."""
        one, at = self._looked_at(), self.query_one("#kept", OptionList).highlighted
        if one is None:
            return
        try:
            forget(one.name)
        except FavouritesError as error:
            self._say(str(error), BAD.style)
            return
        self._fill(at or 0)

    def _looked_at(self) -> Favourite | None:
        at = self.query_one("#kept", OptionList).highlighted
        return None if at is None or at >= len(self._kept) else self._kept[at]


class NameBox(ModalScreen[str | None]):
    """Ends with a name, or None; ``first`` stands there already."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss(None)", "Leave", priority=True)]

    def __init__(self, first: str) -> None:
        super().__init__()
        self._first = first[:NAME_MAX]

    def compose(self) -> ComposeResult:
        """One line."""
        with Vertical(id="naming"):
            yield Static(Text("Keep as a favourite by which name? enter keeps, esc leaves", style=HEAD))
            yield Input(self._first, max_length=NAME_MAX, id="favourite-name")

    def on_mount(self) -> None:
        """Ready to be typed into."""
        self.query_one(Input).focus()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """By this one; without letters by what it is."""
        event.stop()
        self.dismiss(event.value.strip() or self._first)
