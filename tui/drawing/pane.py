"""A pane: a border with a title, and lines that are made for the size it has.

Belongs here: the widget. Never: what is shown (screens/), where it lies (terminal/app.tcss). It is drawn anew
only when its lines or its title are others than before.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from rich.console import Group
from rich.text import Text
from textual import events
from textual.geometry import Size
from textual.widget import Widget

Make = Callable[[int, int], list[Text]]


HIGH = 200
"""lines that no window has: how many are there if nothing limits them"""


class Pane(Widget):
    """``make`` lines for (width, height); ``spent`` is told the seconds that took; ``click``: (line, height)
    that somebody pointed at."""

    DEFAULT_CSS = "Pane { width: 1fr; height: 1fr; }"

    def __init__(
        self,
        name: str,
        title: str,
        make: Make,
        spent: Callable[[float], None],
        click: Callable[[int, int], None] | None = None,
    ) -> None:
        super().__init__(id=name)
        self.border_title = title
        self.make, self._spent, self._click = make, spent, click
        self._drawn_lines: list[Text] = []
        self._made_for = (0, 0)
        self._wanted = 0

    def on_click(self, event: events.Click) -> None:
        """Somebody pointed at a line."""
        place = event.get_content_offset(self)
        if self._click is not None and place is not None:
            self._click(place.y, self.size.height)

    def redraw(self) -> None:
        """Look again what there is to see."""
        before = self._drawn_lines
        self._remake()
        if before != self._drawn_lines:
            self.refresh()
        if self.styles.is_auto_height and self.size.width:
            wanted = len(self.make(self.size.width, HIGH))
            if wanted != self._wanted:
                self._wanted = wanted
                self.refresh(layout=True)

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """Of a pane that is as high as its lines."""
        return len(self.make(width, HIGH))

    def _remake(self) -> None:
        size = self.size.width, self.size.height
        if not size[0] or not size[1]:
            return
        began = time.perf_counter()
        self._drawn_lines, self._made_for = self.make(*size), size
        for line in self._drawn_lines:
            line.no_wrap, line.overflow = True, "ellipsis"
        self._spent(time.perf_counter() - began)

    def render(self) -> Group:
        """What there is to see."""
        if self._made_for != (self.size.width, self.size.height):
            self._remake()
        return Group(*self._drawn_lines)
