"""The table of devices. Only the rows that are seen are made, so that twenty thousand cost what twenty do; a
table of Textual's own renders each cell by itself, which takes several times as long where every row changes.

Belongs here: which devices are shown, in which order, and their rows. Never: what a device is
(screens/device.py).
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from rich.console import Group
from rich.text import Text
from textual.widget import Widget

from twinloop.tui.drawing.look import BAD, GOOD, LATE, OFF, Token
from twinloop.tui.drawing.text import count_text, number, row, sparkline, time_text

if TYPE_CHECKING:
    from textual import events

    from twinloop.tui.engine.messages import DeviceInfo, DeviceRow, Ready, View

ORDERS = ("device", "missed", "lost", "age")
"""columns that a key goes through; a click on a head sorts by any"""
HEADS = ("", "device", "protocol", "value", "unit", "age", "missed", "lost", "driver", "faults", "values")
WIDTHS, NARROW = (1, 16, 12, -10, 6, -8, -7, -6, 11, 12, 16), (1, 16, 0, -9, 4, -8, -6, -5, 10, 8, 0)
"""of its columns, to the right where negative, none where 0; the others where there are fewer cells. The last
one has what is left"""
SPARK_MAX = 24
"""values that the engine sends of each device"""
AHEAD = 5
"""rows above and below those that are seen, of which the figures are asked for, too"""
SORTABLE = ("device", "protocol", "age", "missed", "lost", "driver")


class TableOwner(Protocol):
    """What the table needs of its application."""

    plan: Ready | None
    view: View | None

    @property
    def device(self) -> int:
        """Which one is chosen."""
        ...

    def say(self, text: str, style: str = "") -> None:
        """Tell the user."""
        ...

    def choose(self, index: int) -> None:
        """Another one is chosen."""
        ...

    def action_open(self) -> None:
        """The chosen one is shown."""
        ...

    def spent(self, seconds: float) -> None:
        """Drawing took so long."""
        ...


class FleetTable(Widget):
    """``wanted``: what names, fleets, protocols, links or gateways must have in them."""

    DEFAULT_CSS = "FleetTable { width: 1fr; height: 1fr; }"
    HEADS: tuple[str, ...] = HEADS
    WIDTHS: tuple[int, ...] = WIDTHS
    NARROW: tuple[int, ...] = NARROW
    ORDERS: tuple[str, ...] = ORDERS
    SORTABLE: tuple[str, ...] = SORTABLE

    def __init__(self, owner: TableOwner) -> None:
        super().__init__(id="table")
        self._owner = owner
        self.wanted = ""
        self._order, self._turned = "device", False
        self._lines: list[Text] = []
        self._chosen: tuple[tuple[int, ...], list[int], tuple[Any, ...]] = ((), [], ())
        """what was asked for last, by identity; what was found; and that again, so that it stays there"""
        self._found: tuple[tuple[int, ...], list[int], tuple[Any, ...]] = ((), [], ())
        """the same of what is searched for, in the order of the file"""

    # ---- which, in which order -------------------------------------------------------------------
    def chosen(self) -> list[int]:
        """Devices in the order in which they are shown."""
        plan, view = self._owner.plan, self._owner.view
        if plan is None or view is None:
            return []
        asked = view, self.wanted, self._order, self._turned
        if self._chosen[0] != tuple(map(id, asked)):
            self._chosen = tuple(map(id, asked)), self._find(plan, view), asked
        return self._chosen[1]

    def _find(self, plan: Ready, view: View) -> list[int]:
        """Those that are wanted, kept until something else is; then in their order, if it is here."""
        asked = plan, self.wanted
        if self._found[0] != tuple(map(id, asked)):
            self._found = tuple(map(id, asked)), self._search(plan), asked
        found = self._sorted(plan, view, self._found[1])
        return found[::-1] if self._turned else found

    def _sorted(self, plan: Ready, view: View, found: list[int]) -> list[int]:
        if self._order == "protocol":
            return sorted(found, key=lambda i: plan.devices[i].protocol)
        if view.figures.order is not None and view.figures.order.by == self._order:
            figures = view.figures.order.figures[found]
            found = np.asarray(found)[np.argsort(figures, kind="stable")].tolist()
        return found

    def _search(self, plan: Ready) -> list[int]:
        wanted = self.wanted
        return [
            i
            for i, one in enumerate(plan.devices)
            if not wanted or any(wanted in text for text in _texts(one))
        ]

    @property
    def order(self) -> str:
        """By which column it is sorted."""
        return self._order

    def filter(self, wanted: str) -> None:
        """Only those with that in them."""
        self.wanted = wanted.strip()
        self.redraw()

    def sort_next(self) -> None:
        """By the next column."""
        orders = self.ORDERS
        at = orders.index(self._order) if self._order in orders else -1
        self._sort_by(orders[(at + 1) % len(orders)], False)

    def _sort_by(self, name: str, turned: bool) -> None:
        self._order, self._turned = name, turned
        self._owner.say(f"sorted by {name}{', turned round' if turned else ''}")
        self.redraw()

    def move(self, by: int) -> None:
        """Another line."""
        shown = self.chosen()
        if shown:
            at = shown.index(self._owner.device) if self._owner.device in shown else 0
            self._owner.choose(shown[max(0, min(len(shown) - 1, at + by))])
            self.redraw()

    @property
    def note(self) -> str:
        """How many there are, and by what they are sorted."""
        count = 0 if self._owner.plan is None else len(self._owner.plan.devices)
        wanted = f', with "{self.wanted}"' if self.wanted else ""
        return f"{len(self.chosen())} of {count} devices, by {self._order}{wanted}"

    # ---- the mouse -------------------------------------------------------------------------------
    def on_mouse_scroll_down(self, _: events.MouseScrollDown) -> None:
        """Three lines on."""
        self.move(3)

    def on_mouse_scroll_up(self, _: events.MouseScrollUp) -> None:
        """Three lines back."""
        self.move(-3)

    def on_click(self, event: events.Click) -> None:
        """A head sorts by its column, once more turns it round; a line is chosen, twice shows it."""
        if event.y == 0:
            name = self._head_at(event.x)
            if name in self.SORTABLE:
                self._sort_by(name, name == self._order and not self._turned)
            return
        shown, first = self._window()
        if first + event.y - 1 < len(shown):
            self._owner.choose(shown[first + event.y - 1])
            self.redraw()
            if event.chain > 1:
                self._owner.action_open()

    def _head_at(self, x: int) -> str:
        begins = 0
        for name, size in zip(self.HEADS, self._widths(), strict=True):
            if size and begins <= x <= begins + abs(size):
                return name
            begins += abs(size) + 1 if size else 0
        return ""

    # ---- the rows --------------------------------------------------------------------------------
    def seen(self) -> tuple[int, ...]:
        """Devices whose lines are there to see."""
        shown, first = self._window()
        return tuple(shown[first : first + self._room])

    def near(self) -> tuple[int, ...]:
        """Those, and some above and below that a key may bring."""
        shown, first = self._window()
        return tuple(shown[max(0, first - AHEAD) : first + self._room + AHEAD])

    @property
    def _room(self) -> int:
        return max(1, self.size.height - 1)

    def _window(self) -> tuple[list[int], int]:
        shown = self.chosen()
        at = shown.index(self._owner.device) if self._owner.device in shown else 0
        return shown, max(0, min(at - self._room // 2, len(shown) - self._room))

    def on_resize(self) -> None:
        """As many rows as there is room for."""
        self.redraw()

    def redraw(self) -> None:
        """Drawn anew if any line is another than before."""
        before = self._lines
        self._make()
        if before != self._lines:
            self.refresh()

    def render(self) -> Group:
        """What there is to see."""
        return Group(*self._lines)

    def _make(self) -> None:
        plan, view = self._owner.plan, self._owner.view
        if plan is None or view is None or not self.size.width:
            return
        began = time.perf_counter()
        widths = self._widths()
        rows = {one.index: one for one in view.rows}
        self._lines = [
            self._heads(widths),
            *(self._row(plan, view, i, rows.get(i), widths) for i in self.seen()),
        ]
        self._owner.spent(time.perf_counter() - began)

    def _widths(self) -> tuple[int, ...]:
        wide = self.WIDTHS
        spare = self.size.width - sum(map(abs, wide)) - len(wide) + 1
        return (*wide[:-1], min(SPARK_MAX, wide[-1] + spare)) if spare >= 0 else self.NARROW

    def _heads(self, widths: tuple[int, ...]) -> Text:
        cells = []
        for name, size in zip(self.HEADS, widths, strict=True):
            fits = name == self._order and len(name) < abs(size)
            sign = "" if not fits else "▴" if self._turned else "▾"
            if size:
                cells.append((name + sign, size))
        return row(cells, "bold cyan")

    def _row(self, plan: Ready, view: View, i: int, more: DeviceRow | None, widths: tuple[int, ...]) -> Text:
        device, now = plan.devices[i], view.snapshot.now_ns
        token, cells = OFF, (OFF.sign, device.name, device.protocol, "", device.points[0][2], *[""] * 6)
        if more is not None:
            faults = ", ".join(more.faults)
            token = _token(more.lost, more.state, more.status, faults)
            cells = (
                token.sign,
                device.name,
                device.protocol,
                number(more.value),
                device.points[0][2],
                time_text(now - more.read_ns) if more.read_ns >= 0 else "-",
                count_text(more.missed),
                count_text(more.lost),
                more.state,
                faults,
                sparkline(more.history, widths[-1]) if widths[-1] else "",
            )
        style = "" if token is GOOD else token.style
        line = row([one for one in zip(cells, widths, strict=True) if one[1]], style)
        line.stylize(token.style, 0, 1)
        if token is GOOD and widths[-1]:
            line.stylize("cyan", len(line) - widths[-1])
        if i == self._owner.device:
            line = Text(line.plain, style=style)
            line.pad_right(max(0, self.size.width - line.cell_len))
            line.stylize("reverse")
        return line


def _texts(device: DeviceInfo) -> tuple[str, ...]:
    """In which a filter looks."""
    return device.name, device.fleet, device.protocol, device.link, device.gateway


def _token(lost: int, state: str, status: int, faults: str) -> Token:
    """How a device is: bad when something of it is lost, late when it isn't well."""
    if lost or state == "quarantined":
        return BAD
    if state == "down":
        return OFF
    return LATE if status >> 31 or faults or state != "ready" else GOOD
