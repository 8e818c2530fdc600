"""All devices at once: a cell each, fleet by fleet, by how its points end.

Belongs here: those lines, and which device a cell is. Never: one device (screens/device.py).
"""

from __future__ import annotations

from rich.text import Text

from twinloop.tui.drawing.look import BAD, GOOD, LATE, OFF
from twinloop.tui.drawing.text import DIM, cells_text, fit
from twinloop.tui.engine.messages import Ready, View

NAME = 12
LEVELS = ((0.5, "█", BAD.style), (0.1, "▓", BAD.style), (0.01, "▒", LATE.style), (0.0, "░", LATE.style))
"""share of a device's points that were missed or lost above which its cell looks so"""
NONE = "·"


def lines(plan: Ready, view: View, width: int, height: int) -> list[Text]:
    """A fleet begins a line of its own; what the cells mean stands below."""
    cells = _cells(plan, view)
    out = []
    for line in _layout(plan, width):
        name, devices = line
        text = Text(fit(name, NAME), style="")
        out.append(cells_text((cells[i] for i in devices), text))
    legend = Text.assemble(
        ("wrong: ", DIM), (NONE, GOOD.style), " none ", ("░", LATE.style), " some ",
        ("▒", LATE.style), " >1 % ", ("▓", BAD.style), " >10 % ", ("█", BAD.style), " >50 %",
    )  # fmt: skip
    if len(out) > height - 1:
        left = sum(len(devices) for _, devices in _layout(plan, width)[height - 2 :])
        out = [*out[: height - 2], Text(f"and {left} more devices", style=DIM)]
    return [*out, legend][:height]


def wanted(plan: Ready, width: int) -> int:
    """Lines that show all devices."""
    return len(_layout(plan, width)) + 1


def device_at(plan: Ready, width: int, x: int, y: int) -> int | None:
    """The device whose cell lies there."""
    layout = _layout(plan, width)
    if not 0 <= y < len(layout) or not NAME <= x < NAME + len(layout[y][1]):
        return None
    return layout[y][1][x - NAME]


def places(plan: Ready, width: int, height: int) -> list[tuple[int, int, int]]:
    """(device, x, y) of each cell that is shown."""
    layout = _layout(plan, width)
    shown = layout if len(layout) <= height - 1 else layout[: height - 2]
    return [(index, NAME + i, y) for y, (_, some) in enumerate(shown) for i, index in enumerate(some)]


def _cells(plan: Ready, view: View) -> list[tuple[str, str]]:
    columns = view.snapshot.devices
    wrong = (columns.missed + columns.lost).tolist()
    out = []
    for bad, due in zip(wrong, columns.due.tolist(), strict=True):
        if not due:
            out.append((OFF.sign, OFF.style))
            continue
        share = bad / due
        found = next(((sign, style) for level, sign, style in LEVELS if share > level), None)
        out.append(found or (NONE, GOOD.style))
    return out


def _layout(plan: Ready, width: int) -> list[tuple[str, list[int]]]:
    """(the fleet's name on its first line, devices) of each line."""
    room = max(1, width - NAME)
    fleets: dict[str, list[int]] = {}
    for i, device in enumerate(plan.devices):
        fleets.setdefault(device.fleet, []).append(i)
    return [
        (name if not start else "", some[start : start + room])
        for name, some in fleets.items()
        for start in range(0, len(some), room)
    ]
