"""The table of devices: only the lines that are seen are made, so that twenty thousand cost what twenty do.

Belongs here: which devices are shown, in which order, and their lines. Never: what a device is
(screens/device.py).
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol

from rich.console import Group
from rich.text import Text
from textual.widget import Widget

from twinloop.tui.drawing.text import BAD, DIM, HEAD, WARN, count_text, number, row, sparkline, time_text

if TYPE_CHECKING:
    from textual import events

    from twinloop.tui.engine.messages import Ready, View

ORDERS = ("name", "missed", "lost", "age")
HEADS = ("device", "protocol", "value", "unit", "age", "missed", "lost", "driver", "faults", "values")
WIDTHS, NARROW = (16, 10, -12, 6, -9, -8, -6, 11, 14, 16), (10, 10, -9, 4, -7, -6, -5, 6, 6, 6)
"""of its columns; the others where there are fewer than 117 cells"""
STATES = ("down", "starting", "ready", "backoff", "quarantined")


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

    def spent(self, seconds: float) -> None:
        """Drawing took so long."""
        ...

    def instead(self, width: int) -> list[Text]:
        """What is shown while there is no plan."""
        ...


class FleetTable(Widget):
    """``wanted``: what names, fleets or protocols must have in them."""

    DEFAULT_CSS = "FleetTable { width: 1fr; height: 1fr; }"

    def __init__(self, owner: TableOwner) -> None:
        super().__init__(id="table")
        self._owner = owner
        self.wanted = ""
        self._order = 0

    def chosen(self) -> list[int]:
        """Devices in the order in which they are shown."""
        plan, view = self._owner.plan, self._owner.view
        if plan is None or view is None:
            return []
        wanted, columns = self.wanted, view.snapshot.devices
        found = [
            i
            for i, one in enumerate(plan.devices)
            if wanted in one.name or wanted in one.fleet or wanted in one.protocol
        ]
        if ORDERS[self._order] == "missed":
            found.sort(key=lambda i: -int(columns.missed[i]))
        elif ORDERS[self._order] == "lost":
            found.sort(key=lambda i: -int(columns.lost[i]))
        elif ORDERS[self._order] == "age":
            found.sort(key=lambda i: view.values[i][2])
        return found

    def filter(self, wanted: str) -> None:
        """Only those with that in them."""
        self.wanted = wanted.strip()
        self.refresh()

    def sort(self) -> None:
        """By the next column."""
        self._order = (self._order + 1) % len(ORDERS)
        self._owner.say(f"sorted by {ORDERS[self._order]}")
        self.refresh()

    def move(self, by: int) -> None:
        """Another line."""
        shown = self.chosen()
        if shown:
            at = shown.index(self._owner.device) if self._owner.device in shown else 0
            self._owner.choose(shown[max(0, min(len(shown) - 1, at + by))])
            self.refresh()

    def seen(self) -> tuple[int, ...]:
        """Devices whose lines are there to see."""
        shown, first = self._window()
        return tuple(shown[first : first + max(1, self.size.height - 2)])

    def on_mouse_scroll_down(self, _: events.MouseScrollDown) -> None:
        """Three lines on."""
        self.move(3)

    def on_mouse_scroll_up(self, _: events.MouseScrollUp) -> None:
        """Three lines back."""
        self.move(-3)

    def on_click(self, event: events.Click) -> None:
        """The line that was pointed at."""
        shown, first = self._window()
        if 1 <= event.y < 1 + len(shown) - first:
            self._owner.choose(shown[first + event.y - 1])
            self.refresh()

    def _window(self) -> tuple[list[int], int]:
        shown = self.chosen()
        room = max(1, self.size.height - 2)
        at = shown.index(self._owner.device) if self._owner.device in shown else 0
        return shown, max(0, min(at - room // 2, len(shown) - room))

    def render(self) -> Group:
        """What there is to see."""
        began = time.perf_counter()
        lines = self._lines()
        self._owner.spent(time.perf_counter() - began)
        return Group(*lines)

    def _lines(self) -> list[Text]:
        """A head, the lines that are seen, how many there are."""
        plan, view = self._owner.plan, self._owner.view
        instead = self._owner.instead(self.size.width)
        if instead or plan is None or view is None:
            return instead
        shown, _ = self._window()
        widths = NARROW if self.size.width < sum(map(abs, WIDTHS)) + len(WIDTHS) - 1 else WIDTHS
        out = [row(list(zip(HEADS, widths, strict=True)), HEAD)]
        rows = {one.index: one for one in view.rows}
        columns, now = view.snapshot.devices, view.snapshot.now_ns
        for i in self.seen():
            device, (value, status, when) = plan.devices[i], view.values[i]
            state = STATES[int(columns.state[i])]
            age = time_text(now - when) if when >= 0 else "-"
            faults = ", ".join(rows[i].faults) if i in rows else ""
            spark = sparkline(rows[i].history, widths[-1]) if i in rows else ""
            counts = (count_text(int(column[i])) for column in (columns.missed, columns.lost))
            cells = (
                device.name,
                device.protocol,
                number(value),
                device.points[0][2],
                age,
                *counts,
                state,
                faults,
                spark,
            )
            style = (
                BAD
                if columns.lost[i] or state == "quarantined"
                else WARN
                if status >> 31 or faults or state != "ready"
                else ""
            )
            line = list(zip(cells, widths, strict=True))
            out.append(row(line, f"{style} reverse".strip() if i == self._owner.device else style))
        note = f"{len(shown)} of {len(plan.devices)} devices, by {ORDERS[self._order]}" + (
            f', with "{self.wanted}"' if self.wanted else ""
        )
        out.append(Text(note, style=DIM))
        return out
