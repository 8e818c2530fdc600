"""A pane: a border with a title, and lines that are made for the size it has.

Belongs here: the widget. Never: what is shown (screens/), where it lies (terminal/app.tcss). It is drawn anew
only when its lines or its title are others than before.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable

from rich.console import Group
from rich.text import Text
from textual import events
from textual.geometry import Size
from textual.widget import Widget

from twinloop.tui.drawing.spots import Spot, at, overlay, step

Make = Callable[[int, int], list[Text]]
Find = Callable[[int, int], list[Spot]]


HIGH = 200
"""lines that no window has: how many are there if nothing limits them"""
LONG = 500
"""lines of a pane that goes along with its cursor, at most"""


class Pane(Widget):
    """``make`` lines for (width, height); ``spent`` is told the seconds that took; ``click``: (line, height)
    that somebody pointed at; ``spots``: what has something behind it, for (width, height), which makes it a
    pane that can be entered; ``pointed`` is told of one that somebody pointed at; ``heads``: lines that stay
    where the others go along with the cursor (-1: it never has more lines than there is room for)."""

    DEFAULT_CSS = "Pane { width: 1fr; height: 1fr; }"

    def __init__(
        self,
        name: str,
        title: str,
        make: Make,
        spent: Callable[[float], None],
        click: Callable[[int, int], None] | None = None,
        spots: Find | None = None,
        pointed: Callable[[Pane, Spot], None] | None = None,
        heads: int = -1,
    ) -> None:
        super().__init__(id=name)
        self.border_title = title
        self.make, self._spent, self._click = make, spent, click
        self._drawn_lines: list[Text] = []
        self._made_for = (0, 0)
        self._wanted = 0
        self._find, self._pointed, self._heads = spots, pointed, heads
        self.entered = False
        """does the cursor stand in it?"""
        self._cursor: tuple[int, Spot | None] = (0, None)
        """its number among the spots, and which that was: things change places"""
        self._above = 0
        """lines that aren't seen because the cursor is below them"""

    # ---- the cursor ------------------------------------------------------------------------------
    @property
    def can_be_entered(self) -> bool:
        """Is there anything with something behind it?"""
        return bool(self.spots())

    def spots(self) -> list[Spot]:
        """All that have something behind them, as it is drawn now."""
        size = self.size
        return self._find(size.width, self._lines) if self._find and size.width and size.height else []

    @property
    def _lines(self) -> int:
        return self.size.height if self._heads < 0 else LONG

    def _first(self, count: int) -> int:
        """How many of ``count`` lines lie above what is seen."""
        room = self.size.height - self._heads
        under = self.under() if self._heads >= 0 and count > self.size.height else None
        line = 0 if under is None else under[1].y - self._heads
        return max(0, min(line - room // 2, count - self.size.height))

    def under(self) -> tuple[int, Spot] | None:
        """The spot on which the cursor stands, and its number; what it stood on may have gone elsewhere."""
        found = self.spots()
        if not found:
            return None
        number, last = self._cursor
        if last is None and found[0].upright:
            number = len(found) - 1  # a curve is begun at the clock's hand
        if last is not None and not (number < len(found) and found[number].target == last.target):
            number = next((i for i, one in enumerate(found) if one.target == last.target), number)
        number = max(0, min(number, len(found) - 1))
        return number, found[number]

    def enter(self, entered: bool, target: Hashable = None) -> None:
        """The cursor comes into it, or leaves. ``target``: what it is to stand on; None: where it was."""
        self.entered = entered
        if target is not None:
            found = next((i for i, one in enumerate(self.spots()) if one.target == target), 0)
            self._cursor = found, Spot(target, "", 0, 0, 1)
        self.set_class(entered, "-entered")
        self.redraw()

    def step(self, dx: int, dy: int) -> None:
        """The cursor goes on."""
        under = self.under()
        if under is not None:
            found = self.spots()
            number = step(found, under[0], dx, dy)
            self._cursor = number, found[number]
            self.redraw()

    def _with_cursor(self, lines: list[Text]) -> list[Text]:
        under = self.under() if self.entered else None
        self._above = self._first(len(lines))
        said = "" if under is None else f"{under[0] + 1}/{len(self.spots())} {under[1].says}"
        if self._find is not None and self.border_subtitle != said:
            self.border_subtitle = said
        if under is not None:
            lines = overlay(lines, under[1], self.size.width)
        if self._heads < 0:
            return lines
        begins = self._heads + self._above
        return [*lines[: self._heads], *lines[begins : self._above + self.size.height]]

    # ---- the mouse and drawing -------------------------------------------------------------------
    def on_click(self, event: events.Click) -> None:
        """Somebody pointed at a line."""
        place = event.get_content_offset(self)
        if self._click is not None and place is not None:
            self._click(place.y, self.size.height)
        below = 0 if place is None or place.y < self._heads else self._above
        spot = None if place is None else at(self.spots(), place.x, place.y + below)
        if spot is not None and self._pointed is not None:
            self._pointed(self, spot)

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
        self._drawn_lines = self._with_cursor(self.make(size[0], self._lines))
        self._made_for = size
        for line in self._drawn_lines:
            line.no_wrap, line.overflow = True, "ellipsis"
        self._spent(time.perf_counter() - began)

    def render(self) -> Group:
        """What there is to see."""
        if self._made_for != (self.size.width, self.size.height):
            self._remake()
        return Group(*self._drawn_lines)
