"""The box in which is searched: what is typed above, what was found below, group by group.

Belongs here: that screen. Never: what is found (search.py), what is done with it (terminal/).
"""

from __future__ import annotations

from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from twinloop.scenarios.text.words import number_of
from twinloop.tui.drawing.text import DIM, HEAD, fit
from twinloop.tui.screens.finding.log import figure
from twinloop.tui.screens.finding.search import GROUPS, Found, Thing, search

NAME_CELLS = 30
HINT = f"Type a name or words of it. Looked through are {', '.join(GROUPS[:-1]).lower()} and the log."


class SearchBox(ModalScreen[Thing | None]):
    """Ends with what was chosen, or None. ``known``: what there is to find."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss(None)", "Leave", priority=True),
        Binding("enter", "choose", "Open", priority=True),
        Binding("up", "move(-1)", show=False, priority=True),
        Binding("down", "move(1)", show=False, priority=True),
    ]

    def __init__(self, known: list[Thing]) -> None:
        super().__init__()
        self._known = known
        self._shown: list[Thing] = []

    def compose(self) -> ComposeResult:
        """What is typed, what was found, how much."""
        with Vertical(id="finder"):
            yield Static(Text("Search", style=HEAD))
            yield Input(placeholder="a device, a gateway, a component, words of the log", id="wanted")
            yield OptionList(id="found", compact=True)
            yield Static(Text(HINT, style=DIM), id="found-note")

    def on_mount(self) -> None:
        """Ready to be typed into."""
        self.query_one("#wanted", Input).focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        """A letter more, or less."""
        found = search(self._known, event.value)
        listed = self.query_one("#found", OptionList)
        self._shown = [thing for group in found for thing in group.best]
        listed.clear_options()
        listed.add_options(self._options(found))
        count = sum(group.count for group in found)
        said = (
            f"{number_of(count, 'match', 'matches')}: enter opens one" if count else "nothing has these words"
        )
        self.query_one("#found-note", Static).update(Text(said if event.value.strip() else HINT, style=DIM))
        if self._shown:
            listed.highlighted = listed.get_option_index("0")

    def _options(self, found: list[Found]) -> list[Option]:
        out: list[Option] = []
        number = 0
        for group in found:
            hidden = group.count - len(group.best)
            more = f", {figure(hidden)} more: type on" if hidden else ""
            out.append(Option(Text(f"{group.group}  {figure(group.count)}{more}", style=HEAD), disabled=True))
            for thing in group.best:
                out.append(Option(_line(thing), id=str(number)))
                number += 1
        return out

    def action_move(self, by: int) -> None:
        """Another match is looked at; at the ends it stays."""
        listed = self.query_one("#found", OptionList)
        option = listed.highlighted_option
        if option is not None and option.id is not None:
            to = max(0, min(len(self._shown) - 1, int(option.id) + by))
            listed.highlighted = listed.get_option_index(str(to))

    def action_choose(self) -> None:
        """That one."""
        option = self.query_one("#found", OptionList).highlighted_option
        if option is not None and option.id is not None:
            self.dismiss(self._shown[int(option.id)])

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """A click on it."""
        if event.option.id is not None:
            self.dismiss(self._shown[int(event.option.id)])


def _line(thing: Thing) -> Text:
    name = f"  {fit(thing.name, NAME_CELLS)} " if len(thing.name) <= NAME_CELLS else f"  {thing.name}  "
    return Text.assemble(name, (thing.detail, DIM), no_wrap=True, overflow="ellipsis")
