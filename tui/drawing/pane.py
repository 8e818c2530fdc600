"""A pane of lines that are made for the size it has.

Belongs here: the widget. Never: what is shown (screens/).
"""

from __future__ import annotations

import time
from collections.abc import Callable

from rich.console import Group
from rich.text import Text
from textual import events
from textual.widget import Widget


class Pane(Widget):
    """``make`` lines for (width, height); ``spent`` is told the seconds that took; ``click``: (line, height)
    that somebody pointed at."""

    DEFAULT_CSS = "Pane { width: 1fr; height: 1fr; }"

    def __init__(
        self,
        name: str,
        make: Callable[[int, int], list[Text]],
        spent: Callable[[float], None],
        click: Callable[[int, int], None] | None = None,
    ) -> None:
        super().__init__(id=name)
        self.make, self._spent, self._click = make, spent, click

    def on_click(self, event: events.Click) -> None:
        """Somebody pointed at a line."""
        if self._click is not None:
            self._click(event.y, self.size.height)

    def render(self) -> Group:
        """What there is to see."""
        began = time.perf_counter()
        lines = self.make(self.size.width, self.size.height)
        for line in lines:
            line.no_wrap, line.overflow = True, "ellipsis"
        self._spent(time.perf_counter() - began)
        return Group(*lines)
