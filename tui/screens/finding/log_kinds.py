"""Which kinds of lines the log shows: a list with how many there are of each, on and off one by one.

Belongs here: that list. Never: the log itself (log.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from twinloop.tui.drawing.look import GOOD, OFF
from twinloop.tui.drawing.text import DIM, HEAD, fit
from twinloop.tui.screens.finding.log import figure
from twinloop.tui.screens.forms.kind_chooser import MEANINGS

HINT = f"space or enter: {GOOD.sign} shown, {OFF.sign} not; a: all or none; esc leaves"


class LogKinds(ModalScreen[None]):
    """``counts``: kind -> lines; ``hidden``: kinds that aren't shown; ``hide`` hears each change of them."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,k", "dismiss(None)", "Leave"),
        Binding("space", "turn", "Show it or not"),
        Binding("a", "turn_all", "All or none"),
    ]

    def __init__(
        self, counts: Mapping[str, int], hidden: frozenset[str], hide: Callable[[frozenset[str]], None]
    ) -> None:
        super().__init__()
        self._counts = dict(sorted({**dict.fromkeys(hidden, 0), **counts}.items()))
        self._hidden, self._hide = hidden, hide

    def compose(self) -> ComposeResult:
        """A line a kind. Textual's own list of this sort tells what is chosen by a colour alone."""
        with Vertical(id="kinds"):
            yield Static(Text("Kinds of lines in the log", style=HEAD))
            yield OptionList(*(Option(self._line(kind), id=kind) for kind in self._counts), compact=True)
            yield Static(Text(HINT, style=DIM))

    def on_mount(self) -> None:
        """Ready to be moved through."""
        kinds = self.query_one(OptionList)
        kinds.highlighted = 0 if self._counts else None
        kinds.focus()

    def _line(self, kind: str) -> Text:
        token = OFF if kind in self._hidden else GOOD
        rest = fit(kind, 12), f"{figure(self._counts[kind]):>7}  ", (MEANINGS.get(kind, ""), DIM)
        return Text.assemble((f"{token.sign} ", token.style), *rest, no_wrap=True, overflow="ellipsis")

    def on_option_list_option_selected(self, _: OptionList.OptionSelected) -> None:
        """Enter or a click."""
        self.action_turn()

    def action_turn(self) -> None:
        """The one that is looked at: shown, or not any more."""
        option = self.query_one(OptionList).highlighted_option
        if option is not None and option.id is not None:
            self._now_hidden(self._hidden ^ {option.id})

    def action_turn_all(self) -> None:
        """All, or none when all are shown."""
        self._now_hidden(frozenset() if self._hidden else frozenset(self._counts))

    def _now_hidden(self, hidden: frozenset[str]) -> None:
        self._hidden = hidden
        kinds = self.query_one(OptionList)
        for number, kind in enumerate(self._counts):
            kinds.replace_option_prompt_at_index(number, self._line(kind))
        self._hide(hidden)
