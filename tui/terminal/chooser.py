"""Scenarios to choose from, when none was named: searched as it is typed, by groups, with what each is made
of.

Belongs here: that screen. Never: what there is (choices.py).
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.widgets import Footer, Input, OptionList, Static
from textual.widgets.option_list import Option

from twinloop.tui.drawing.look import BAD
from twinloop.tui.drawing.text import DIM, HEAD
from twinloop.tui.screens.choices import HERE, Choice, choices
from twinloop.tui.terminal.themed import ThemedApp

NAME_CELLS = 30
NOTHING = """\
No scenario has all of these words.

escape clears the search. Words are looked for in names, descriptions and groups: outage, pair, opc ua."""
NONE_HERE = "No scenario lies in this folder; a shipped one is a good start: twinloop list, docs/tutorial.md"


class Chooser(ThemedApp[str]):
    """Ends with the scenario's name as a command line has it, or None. ``folder``: whose files are shown."""

    ENABLE_COMMAND_PALETTE = False
    CSS = """
    #search, #list, #about { border: round $edge; border-title-color: $accent; border-title-style: bold; }
    #search { height: 3; }
    #list { width: 1fr; height: 1fr; background: $background; text-wrap: nowrap; text-overflow: ellipsis; }
    #list > .option-list--option-disabled { color: $accent; text-style: bold; }
    #about { width: 44%; height: 1fr; padding: 0 1; }
    .-narrow #about { display: none; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "choose", "Open", priority=True),
        Binding("up", "move(-1)", "Up", show=False, priority=True),
        Binding("down", "move(1)", "Down", show=False, priority=True),
        Binding("pageup", "move(-10)", show=False, priority=True),
        Binding("pagedown", "move(10)", show=False, priority=True),
        Binding("escape", "leave", "Clear the search, or quit", priority=True),
    ]

    def __init__(self, folder: Path | None = None) -> None:
        super().__init__()
        self._choices = choices(folder or Path.cwd())
        self._shown: list[Choice] = []

    def compose(self) -> ComposeResult:
        """A search, the list, and what the one is made of that is looked at."""
        yield Input(placeholder="search: a name, or words of what happens", id="search")
        with Horizontal():
            yield OptionList(id="list")
            yield Static(id="about")
        yield Footer()

    def on_mount(self) -> None:
        """All of them, the first one looked at."""
        self.query_one("#search").border_title = "twinloop: which scenario?"
        self.query_one("#search", Input).focus()
        self._fill("")

    def on_input_changed(self, event: Input.Changed) -> None:
        """Only those that have all words."""
        self._fill(event.value)

    def _fill(self, search: str) -> None:
        words = search.lower().split()
        self._shown = [one for one in self._choices if one.has(words)]
        listed, group = self.query_one("#list", OptionList), ""
        listed.clear_options()
        if not words and not any(one.group == HERE for one in self._choices):
            listed.add_option(Option(Text(NONE_HERE, style=DIM), disabled=True))
        for number, one in enumerate(self._shown):
            if one.group != group:
                group = one.group
                listed.add_option(Option(Text(group, style=HEAD), disabled=True))
            listed.add_option(Option(_line(one), id=str(number)))
        listed.border_title = f"{len(self._shown)} of {len(self._choices)}"
        if self._shown:
            listed.highlighted = listed.get_option_index("0")
        self._tell(self._shown[0] if self._shown else None)

    def on_option_list_option_highlighted(self, event: OptionList.OptionHighlighted) -> None:
        """Tell of it."""
        if event.option.id is not None and int(event.option.id) < len(self._shown):
            self._tell(self._shown[int(event.option.id)])

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """A click on it."""
        self.action_choose()

    def _tell(self, one: Choice | None) -> None:
        about = self.query_one("#about", Static)
        if one is None:
            about.border_title = "nothing found"
            about.update(Text(NOTHING))
            return
        about.border_title = one.name
        if one.wrong:
            about.update(Text(f"{BAD.sign} {one.wrong}", style=BAD.style))
            return
        about.update(Text("\n\n").join([Text(one.description), Text("\n".join(one.details), style=DIM)]))

    # ---- keys ------------------------------------------------------------------------------------
    def action_move(self, by: int) -> None:
        """Another one is looked at; at the ends it stays."""
        listed = self.query_one("#list", OptionList)
        at = self._looked_at()
        if at is not None:
            to = min(max(at + by, 0), len(self._shown) - 1)
            listed.highlighted = listed.get_option_index(str(to))

    def _looked_at(self) -> int | None:
        listed = self.query_one("#list", OptionList)
        option = listed.highlighted_option
        return None if option is None or option.id is None else int(option.id)

    def action_choose(self) -> None:
        """Open it; what can't be opened says why, and the list stays."""
        at = self._looked_at()
        if at is None:
            return
        if self._shown[at].wrong:
            self.notify(self._shown[at].wrong, severity="error", markup=False)
            return
        self.exit(self._shown[at].name)

    def action_leave(self) -> None:
        """The search goes; without one, the screen."""
        search = self.query_one("#search", Input)
        if search.value:
            search.value = ""
        else:
            self.exit(None)


def _line(one: Choice) -> Text:
    text = f"  {one.name:{NAME_CELLS}} "
    parts = (text, BAD.style if one.wrong else ""), (one.description, DIM)
    return Text.assemble(*parts, no_wrap=True, overflow="ellipsis")
