"""All devices at once: a cell each, fleet by fleet: how its points end, its latency, or the quality of its
values.

Belongs here: those lines, and which device a cell is. Never: one device (screens/device.py), the figures
(engine/each_device.py). What isn't seen isn't made.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

from rich.text import Text

from twinloop.tui.drawing.look import BAD, GOOD, LATE, OFF
from twinloop.tui.drawing.text import DIM, cells_text, fit, time_text
from twinloop.tui.engine.figures import LATENCY, LEVELS, QUALITY, UNKNOWN, WRONG, Levels
from twinloop.tui.engine.messages import Ready, View

NAME = 12
_NONE, _SOME, _MORE, _MUCH, _MOST = (
    ("·", GOOD.style),
    ("░", LATE.style),
    ("▒", LATE.style),
    ("▓", BAD.style),
    ("█", BAD.style),
)
_SHARES = ((_NONE, "none"), (_SOME, "some"), (_MORE, ">1 %"), (_MUCH, ">10 %"), (_MOST, ">50 %"))
CELLS = {
    WRONG: _SHARES,
    QUALITY: _SHARES,
    LATENCY: ((_NONE, "<½"), (_MORE, ">½"), (_MUCH, "beyond"), (_MOST, "never")),
}
"""what cells say -> the sign and the word of each level"""
HEADS = {WRONG: "wrong", QUALITY: "not good", LATENCY: "worst"}
MEANINGS = {
    WRONG: "points that were missed or lost",
    LATENCY: "their worst latency at the gateway",
    QUALITY: "readings that were uncertain or bad",
}


def after(of: str) -> str:
    """What cells say next when they say this now."""
    return LEVELS[(LEVELS.index(of) + 1) % len(LEVELS)]


def lines(plan: Ready, view: View, width: int, height: int) -> list[Text]:
    """A fleet begins a line of its own; what the cells mean stands below."""
    levels = view.figures.levels or Levels(WRONG, bytes([UNKNOWN]) * len(plan.devices))
    cells = [cell for cell, _ in CELLS[levels.of]]
    signs = [*cells, *[(OFF.sign, OFF.style)] * (UNKNOWN + 1 - len(cells))]
    whole = wanted(plan, width) - 1
    room = height - 1 if whole <= height - 1 else max(0, height - 2)
    out: list[Text] = []
    shown = 0
    for name, devices in _lines(plan, width):
        if len(out) >= room:
            break
        shown += len(devices)
        out.append(cells_text((signs[levels.by_device[i]] for i in devices), Text(fit(name, NAME), style="")))
    if room < whole:
        out.append(Text(f"and {len(plan.devices) - shown} more devices", style=DIM))
    return [*out, _legend(levels)][:height]


def _legend(levels: Levels) -> Text:
    parts: list[tuple[str, str] | str] = [(f"{HEADS[levels.of]}: ", DIM)]
    for (sign, style), word in CELLS[levels.of]:
        parts += [(sign, style), f" {word} "]
    if levels.of == LATENCY:
        parts.append((f"of {time_text(levels.budget_ns)}" if levels.budget_ns else "of a poll period", DIM))
    return Text.assemble(*parts)


def wanted(plan: Ready, width: int) -> int:
    """Lines that show all devices."""
    room = max(1, width - NAME)
    return 1 + sum(-(-len(fleet.devices) // room) for fleet in plan.fleets)


def device_at(plan: Ready, width: int, x: int, y: int) -> int | None:
    """The device whose cell lies there."""
    for at, (_, devices) in enumerate(_lines(plan, width)):
        if at == y:
            return devices[x - NAME] if NAME <= x < NAME + len(devices) else None
    return None


def places(plan: Ready, width: int, height: int) -> list[tuple[int, int, int]]:
    """(device, x, y) of each cell that is shown."""
    whole = wanted(plan, width) - 1
    room = height - 1 if whole <= height - 1 else max(0, height - 2)
    return [
        (index, NAME + i, y)
        for y, (_, some) in enumerate(islice(_lines(plan, width), room))
        for i, index in enumerate(some)
    ]


def _lines(plan: Ready, width: int) -> Iterator[tuple[str, Sequence[int]]]:
    """(the fleet's name on its first line, devices) of each line."""
    room = max(1, width - NAME)
    for fleet in plan.fleets:
        for start in range(0, len(fleet.devices), room):
            yield fleet.name if not start else "", fleet.devices[start : start + room]
