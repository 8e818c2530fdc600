"""Device: its points now, one of them over time, its last frames in hex and in words.

Belongs here: those lines. Never: what a frame says (frames.py).
"""

from __future__ import annotations

from rich.text import Text

from twinloop.tui.drawing.frames import words
from twinloop.tui.drawing.text import BAD, DIM, HEAD, WARN, clock_text, curve, fit, number, row
from twinloop.tui.engine.messages import DeviceInfo, Frame, Ready, View

HEAD_LINES, PLOT_LINES = 2, 5


def lines(plan: Ready, view: View, width: int, height: int, index: int, point: int) -> list[Text]:
    """All of it; ``point``: which is plotted."""
    info, found = plan.devices[index], view.device
    out = [
        Text.assemble(
            (info.name, HEAD),
            f"  {info.protocol} over {info.link} to {info.gateway}, every {info.poll_ns / 1e9:g} s",
        )
    ]
    if found is None or found.index != index:
        return [*out, Text("...")]
    out[0].append(f"  faults: {', '.join(found.faults)}" if found.faults else "", BAD)
    first, most = _window(info, point, height)
    out.append(row([("point", 16), ("at", 20), ("value", -14), ("unit", 8), ("status", 10)], HEAD))
    for i in range(first, first + most):
        name, where, unit = info.points[i]
        value, status = found.values[i]
        mark, shown = "> " if i == point else "  ", f"{status:08x}" if status else "good"
        said = repr(value) if isinstance(value, str) else number(value)
        cells = [(mark + name, 16), (where, 20), (said, -14), (unit, 8), (shown, 10)]
        out.append(row(cells, BAD if status >> 31 else WARN if status else ""))
    history = found.history[point] if point < len(found.history) else ()
    shown = f"{info.points[point][0]} as it was read" + (
        f", {number(min(history))} to {number(max(history))}" if history else ""
    )
    out.append(Text(fit(shown, width), style=DIM))
    out += [Text(line, style="cyan", no_wrap=True) for line in curve(history, width - 1, PLOT_LINES)]
    for frame in found.frames[-max(1, height - len(out)) :]:
        out.append(_frame(info, frame, width))
    return out[:height]


def _window(info: DeviceInfo, point: int, height: int) -> tuple[int, int]:
    """The first point that is seen, and how many are."""
    most = max(3, min(len(info.points), (height - PLOT_LINES - 4) * 2 // 3))
    return max(0, min(point - most // 2, len(info.points) - most)), most


def point_at(plan: Ready, index: int, point: int, height: int, line: int) -> int | None:
    """The point that is shown on a line of the pane."""
    info = plan.devices[index]
    first, most = _window(info, point, height)
    found = first + line - HEAD_LINES
    return found if HEAD_LINES <= line < HEAD_LINES + most and found < len(info.points) else None


def _frame(info: DeviceInfo, frame: Frame, width: int) -> Text:
    style = BAD if frame.way == "!" else ""
    said = (
        frame.data.decode(errors="replace")
        if frame.way == "!"
        else words(info.protocol, frame.way, frame.data)
    )
    hexed = "" if frame.way == "!" else frame.data.hex(" ")
    return Text.assemble(
        (f"{clock_text(frame.at_ns)} {frame.way} ", DIM),
        (fit(said, 30), style),
        " ",
        (fit(hexed, width - 48), DIM),
    )
