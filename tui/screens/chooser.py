"""The library to choose from, when no scenario was named.

Belongs here: that list.
"""

from __future__ import annotations

from typing import ClassVar

from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import BindingType
from textual.widgets import Footer, OptionList, Static
from textual.widgets.option_list import Option

from twinloop.scenarios.file.load import LIBRARY, library_names, load
from twinloop.tui.drawing.text import DIM, HEAD


class Chooser(App[str]):
    """Ends with the name of a shipped scenario, or None."""

    BINDINGS: ClassVar[list[BindingType]] = [("q", "quit", "Quit")]

    def compose(self) -> ComposeResult:
        """A line a scenario."""
        yield Static(Text("twinloop: a scenario to look at (enter), or twinloop tui FILE", style=HEAD))
        options = []
        for name in library_names():
            text = load(LIBRARY / f"{name}.yaml").scenario.description
            options.append(
                Option(
                    Text.assemble((f"{name:32}", HEAD), (text, DIM), no_wrap=True, overflow="ellipsis"),
                    id=name,
                )
            )
        yield OptionList(*options)
        yield Footer()

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """This one."""
        self.exit(event.option.id)
