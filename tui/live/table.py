"""The table of served devices: who asks them, how often, with which answers, and where they are.

Belongs here: its columns. Never: how a table is drawn (screens/fleet_table.py).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rich.text import Text

from twinloop.tui.drawing.look import BAD, GOOD, LATE, OFF, Token
from twinloop.tui.drawing.text import count_text, number, row, time_text
from twinloop.tui.engine.messages import Ready, View
from twinloop.tui.live.facts import Plan, Row, Seen
from twinloop.tui.screens.fleet_table import FleetTable


class ServedTable(FleetTable):
    """As the table of a run, with what a served field knows: a dash is what it doesn't."""

    HEADS = (
        "",
        "device",
        "protocol",
        "value",
        "unit",
        "asked",
        "requests",
        "exceptions",
        "clients",
        "faults",
        "served at",
    )
    WIDTHS = (1, 16, 12, -10, 6, -8, -8, -10, -7, 12, 18)
    NARROW = (1, 14, 0, -9, 5, -8, -8, -10, 0, 18, 0)
    ORDERS = ("device", "requests", "exceptions", "asked")
    SORTABLE = ("device", "protocol", "requests", "exceptions", "asked", "clients", "faults")

    def _sorted(self, plan: Ready, view: View, found: list[int]) -> list[int]:
        assert isinstance(view, Seen)
        served = view.served
        keys: dict[str, Callable[[int], Any]] = {
            "requests": lambda i: -(served[i].requests or 0),
            "exceptions": lambda i: -(served[i].exceptions or 0),
            "asked": lambda i: -1 if (at := served[i].asked_ns) is None else at,
            "clients": lambda i: -(served[i].connections or 0),
            "faults": lambda i: -len(served[i].faults),
            "protocol": lambda i: plan.devices[i].protocol,
        }
        key = keys.get(self._order)
        return found if key is None else sorted(found, key=key)

    def _row(self, plan: Ready, view: View, i: int, more: Any, widths: tuple[int, ...]) -> Text:
        assert isinstance(plan, Plan)
        assert isinstance(view, Seen)
        info, one = plan.devices[i], view.served[i]
        token = _token(one, dict(view.snapshot.links).get(info.link, False))
        asked = "never" if one.asked_ns is None else time_text(max(0, view.snapshot.now_ns - one.asked_ns))
        cells = (
            token.sign,
            info.name,
            info.protocol,
            number(one.value),
            info.points[0][2],
            "-" if one.requests is None else asked,
            _known(one.requests),
            _known(one.exceptions),
            _known(one.connections),
            ", ".join(one.faults),
            plan.urls[i] or "not served",
        )
        style = "" if token is GOOD else token.style
        line = row([cell for cell in zip(cells, widths, strict=True) if cell[1]], style)
        line.stylize(token.style, 0, 1)
        if i == self._owner.device:
            line = Text(line.plain, style=style)
            line.pad_right(max(0, self.size.width - line.cell_len))
            line.stylize("reverse")
        return line


def _known(count: int | None) -> str:
    return "-" if count is None else count_text(count)


def _token(one: Row, cut: bool) -> Token:
    if cut:
        return BAD
    if one.faults or one.exceptions:
        return LATE
    return GOOD if one.answers else OFF
