"""An application in our two themes, which knows whether its window is narrow or wide, low or high.

Belongs here: themes and sizes. Never: colours (drawing/look.py), where panes lie (app.tcss), keys beyond dark
and light.
"""

from __future__ import annotations

from textual.app import App, ReturnType

from twinloop.tui.drawing.look import DARK, LIGHT, ON_DARK, ON_LIGHT
from twinloop.tui.terminal.layout import HIGH, HUGE, WIDE


class ThemedApp(App[ReturnType]):
    """Textual's own themes can be chosen as well."""

    AUTO_FOCUS = ""
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (WIDE, "-wide"), (HUGE, "-huge")]
    VERTICAL_BREAKPOINTS = [(0, "-low"), (HIGH, "-high")]

    def __init__(self) -> None:
        super().__init__()
        self.ansi_theme_dark, self.ansi_theme_light = ON_DARK, ON_LIGHT
        self.register_theme(DARK)
        self.register_theme(LIGHT)
        self.theme = DARK.name

    def action_toggle_dark(self) -> None:
        """Dark and light."""
        self.theme = LIGHT.name if self.current_theme.dark else DARK.name
