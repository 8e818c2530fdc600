"""Device: its points now, one of them over time, its last frames in hex and in words.

Belongs here: those lines. Never: what a frame says (frames.py).
"""

from __future__ import annotations

import textwrap

from rich.text import Text

from twinloop.tui.drawing import plot
from twinloop.tui.drawing.frames import words
from twinloop.tui.drawing.look import BAD, GOOD, UNCERTAIN
from twinloop.tui.drawing.text import DIM, HEAD, clock_text, fit, number, row
from twinloop.tui.engine.explored import Frame
from twinloop.tui.engine.messages import DeviceInfo, Ready, View

HEAD_LINES = 2
TOO_LATE = (
    "none are kept: they are from the first look at a device on, and the run was over by then; "
    "the page of a sample has those of that sample"
)
"""instead of frames"""
HEADS = ("point", "at", "value", "unit", "status")


def title(plan: Ready | None, index: int) -> str:
    """Which device it is, and how it is read."""
    if plan is None:
        return "Device"
    info = plan.devices[index]
    every = f", every {info.poll_ns / 1e9:g} s" if info.poll_ns else ""
    return f"{info.name}: {info.protocol} over {info.link} to {info.gateway}{every}"


def trend_title(plan: Ready | None, view: View | None, index: int, point: int) -> str:
    """Which point, and between which values it was read."""
    if plan is None or view is None or view.device is None or view.device.index != index:
        return "Trend"
    name, _, unit = plan.devices[index].points[point]
    history = view.device.history[point] if point < len(view.device.history) else ()
    span = f": {min(history):.4g} to {max(history):.4g} {unit}".rstrip() if history else ""
    return f"{name}{span}" if span else f"{name} as it was read"


def points(plan: Ready, view: View, width: int, height: int, index: int, point: int) -> list[Text]:
    """A line a point; ``point``: which is plotted."""
    info, found = plan.devices[index], view.device
    if found is None or found.index != index:
        return [Text("...")]
    faults = (
        (f"{BAD.sign} {', '.join(found.faults)}", BAD.style)
        if found.faults
        else (f"{GOOD.sign} no fault", DIM)
    )
    first, most = _window(info, point, height)
    spare = max(0, width - 68)
    widths = (16 + min(12, spare // 3), 19 + min(12, spare // 3), -12, 7, 10)
    out = [
        Text.assemble(("device ", HEAD), faults),
        row(list(zip(HEADS, widths, strict=True)), f"{HEAD} {DIM}"),
    ]
    for i in range(first, first + most):
        name, where, unit = info.points[i]
        value, status = found.values[i]
        token = BAD if status >> 31 else UNCERTAIN if status else GOOD
        mark, shown = (
            "▸ " if i == point else "  ",
            f"{token.sign} {status:08x}" if status else f"{token.sign} good",
        )
        said = repr(value) if isinstance(value, str) else number(value)
        cells = list(zip((mark + name, where, said, unit, shown), widths, strict=True))
        style = token.style if token is not GOOD else "bold" if i == point else ""
        out.append(row(cells, style))
    return out[:height]


def trend(plan: Ready, view: View, width: int, height: int, index: int, point: int) -> list[Text]:
    """The point as it was read, over the last samples."""
    found = view.device
    if found is None or found.index != index:
        return [Text("...")]
    history = found.history[point] if point < len(found.history) else ()
    values = list(enumerate(history))
    last = max(1, len(history) - 1)
    axes = plot.Axes(0, last, number, lambda k: f"{last - k} ago" if k < last else "last")
    return plot.lines(values, axes, width, height)


def frames(plan: Ready, view: View, width: int, height: int, index: int) -> list[Text]:
    """The last ones, the youngest at the bottom."""
    info, found = plan.devices[index], view.device
    if found is None or found.index != index:
        return [Text("...")]
    lines = [frame_line(info, frame, width) for frame in found.frames[-height:]]
    said = TOO_LATE if view.mode == "over" else "nothing yet"
    return lines or [Text(line, style=DIM) for line in textwrap.wrap(said, width)][:height]


def _window(info: DeviceInfo, point: int, height: int) -> tuple[int, int]:
    """The first point that is seen, and how many are."""
    most = max(1, min(len(info.points), height - HEAD_LINES))
    return max(0, min(point - most // 2, len(info.points) - most)), most


def point_at(plan: Ready, index: int, point: int, height: int, line: int) -> int | None:
    """The point that is shown on a line of the pane."""
    info = plan.devices[index]
    first, most = _window(info, point, height)
    found = first + line - HEAD_LINES
    return found if HEAD_LINES <= line < HEAD_LINES + most and found < len(info.points) else None


def frame_line(info: DeviceInfo, frame: Frame, width: int) -> Text:
    """One frame in words and in hex."""
    lost = frame.way == "!"
    said = frame.data.decode(errors="replace") if lost else words(info.protocol, frame.way, frame.data)
    hexed = "" if lost else frame.data.hex(" ")
    return Text.assemble(
        (f"{clock_text(frame.at_ns)} {BAD.sign if lost else frame.way} ", DIM if not lost else BAD.style),
        (fit(said, 30), BAD.style if lost else ""),
        " ",
        (fit(hexed, width - 48), DIM),
    )
