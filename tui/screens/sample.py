"""The page of one sample: what became of it, when each stage began and ended, calls of components, frames.

Belongs here: those lines, and where things with something behind them stand. Never: how it is come by
(engine/exploring.py).
"""

from __future__ import annotations

from rich.text import Text

from twinloop.sim.accounts.latency import STAGES
from twinloop.tui.drawing.look import BAD, GOOD, LATE
from twinloop.tui.drawing.spots import Spot
from twinloop.tui.drawing.text import DIM, HEAD, bar, clock_text, count_text, fit, row, time_text
from twinloop.tui.engine.explored import SampleView, Slow
from twinloop.tui.engine.messages import Ready, View
from twinloop.tui.screens.closer import Closer, most_of
from twinloop.tui.screens.device import frame_line
from twinloop.tui.screens.latency import COLOURS, FILLS
from twinloop.tui.screens.targets import ToComponent, ToDevice

WAY = (("stage", 10), ("from", -10), ("until", -10), ("took", -10))
WHAT, WHAT_MIN = 22, 12
"""cells of what a piece says, and of a narrow window"""
CALLS = (("role", 10), ("component", 16), ("gateway", 10), ("fuel", -9), ("cpu time", -9), ("began", -10))
CALLS_WIDE, BESIDE = 76, ("gateway", "began")
"""cells of a window that shows all of it, and what others leave out"""
PROGRESS = 20
"""cells of a bar"""
WRONG = ("missed", "lost", "evicted")
"""ends that are bad"""


def found(view: View, closer: Closer) -> SampleView | None:
    """The sample that is wanted, once it has come."""
    one = view.closer.sample
    return one if one is not None and one.asked == closer.sample else None


def title(plan: Ready | None, view: View | None, closer: Closer) -> str:
    """Which sample it is."""
    asked = closer.sample
    if plan is None or asked is None:
        return "Sample"
    one = None if view is None else found(view, closer)
    k = asked.k if one is None or one.k < 0 else one.k
    number = f" k={k}" if k >= 0 else ""
    return f"{plan.devices[asked.device].name}{number}, due {clock_text(asked.due_ns)}"


def about(plan: Ready, view: View, width: int, height: int, closer: Closer) -> list[Text]:
    """Its device, what became of it, the quality of what was read."""
    asked = closer.sample
    if asked is None:
        return [Text("...")]
    info = plan.devices[asked.device]
    way = f"{info.protocol} over {info.link} to {info.gateway}, every {info.poll_ns / 1e9:g} s"
    out = [Text.assemble(("device ", HEAD), f"{info.name}: {way}")]
    one = found(view, closer)
    if one is None or one.waits:
        if isinstance(asked, Slow):
            out.append(Text(f"verdict after {time_text(asked.total_ns)}, most of it {most_of(asked)}"))
        else:
            said = f"{BAD.sign} {asked.points} points {asked.end}: {asked.cause}"
            out.append(Text(said, style=BAD.style))
        waits = "..." if one is None else one.waits
        share = "" if one is None or not one.progress else f"  {bar(one.progress, PROGRESS)}"
        return [*out, Text(f"{waits}{share}", style=LATE.style)][:height]
    for ended in one.ends:
        token = BAD if ended.end in WRONG else GOOD
        said = f"{ended.end}{', ' if ended.cause else ''}{ended.cause}"
        when = f"{clock_text(ended.at_ns)}, {time_text(ended.at_ns - asked.due_ns)} after it was due"
        points = f"{len(ended.points)} point{'' if len(ended.points) == 1 else 's'}"
        names = f": {', '.join(ended.points)}"
        out.append(
            Text.assemble((f"{token.sign} {said}  ", token.style), f"{points} at {when}", (names, DIM))
        )
    if one.open_points:
        out.append(Text(f"{LATE.sign} {one.open_points} points have no end yet", style=LATE.style))
    for count, total_ns, spent in one.verdicts:
        parts = ", ".join(f"{name} {time_text(ns)}" for name, ns in zip(STAGES, spent, strict=True) if ns)
        out.append(Text.assemble(("verdict ", HEAD), f"{count} points after {time_text(total_ns)}: {parts}"))
    quality = ", ".join(f"{number} {name}" for name, number in one.qualities) or "nothing was read"
    out.insert(1, Text.assemble(("quality ", HEAD), quality))
    return out[:height]


def about_spots(plan: Ready, view: View, width: int, height: int, closer: Closer) -> list[Spot]:
    """The device."""
    asked = closer.sample
    if asked is None:
        return []
    return [Spot(ToDevice(asked.device), f"enter: {plan.devices[asked.device].name}", 0, 0, width)]


def way(plan: Ready, view: View, width: int, height: int, closer: Closer) -> list[Text]:
    """A waterfall: when each piece of its way began and ended, counted from when it was due."""
    one = found(view, closer)
    if one is None or one.waits:
        return [Text("..." if one is None else one.waits, style=DIM)]
    if not one.pieces:
        return [Text("it never began: no stage had it", style=DIM)]
    due_ns, pieces = one.asked.due_ns, one.pieces
    fixed = sum(abs(size) + 1 for _, size in WAY)
    what = WHAT if width - fixed - WHAT >= 12 else WHAT_MIN
    wide = max(0, width - fixed - what - 2)
    first = min(due_ns, pieces[0].begin_ns)
    whole = max(1, max(piece.end_ns for piece in pieces) - first)
    span = f"0 to {time_text(whole)}" if wide >= 12 else ""
    out = [row([*WAY, ("what", what), (span, wide)], f"{HEAD} {DIM}")]
    for piece in pieces:
        cells = piece.stage, _since(piece.begin_ns, due_ns), _since(piece.end_ns, due_ns)
        took = time_text(piece.end_ns - piece.begin_ns)
        text = [(cell, size) for cell, (_, size) in zip((*cells, took), WAY, strict=True)]
        line = row([*text, (piece.said, what)])
        start = round((piece.begin_ns - first) / whole * max(0, wide - 1))
        ends = max(start + 1, round((piece.end_ns - first) / whole * wide))
        fill, style = _look(piece.stage)
        line.append(" ")
        line.append((" " * start + fill * (ends - start))[:wide], style)
        out.append(line)
    return out[:height]


def way_spots(plan: Ready, view: View, width: int, height: int, closer: Closer) -> list[Spot]:
    """Each piece: the component that was at work, else the device."""
    one = found(view, closer)
    if one is None or one.waits:
        return []
    names = {call.role: call.component for call in one.calls}
    out = []
    for y, piece in enumerate(one.pieces[: height - 1], 1):
        name = names.get(piece.stage)
        device = plan.devices[one.asked.device].name
        target = ToComponent(name) if name else ToDevice(one.asked.device)
        says = f"enter: {name} on all gateways" if name else f"enter: {device}"
        out.append(Spot(target, says, y, 0, width))
    return out


def frame_spots(plan: Ready, view: View, width: int, height: int, closer: Closer) -> list[Spot]:
    """Each frame: its device."""
    one = found(view, closer)
    return [] if one is None else [
        Spot(ToDevice(one.asked.device), f"enter: {plan.devices[one.asked.device].name}", y, 0, width)
        for y in range(min(height, len(one.frames)))
    ]  # fmt: skip


def _look(stage: str) -> tuple[str, str]:
    """A stage's fill and colour; what comes after the verdict has one of its own."""
    return (FILLS[STAGES.index(stage)], COLOURS[STAGES.index(stage)]) if stage in STAGES else ("═", DIM)


def _since(at_ns: int, due_ns: int) -> str:
    gone = at_ns - due_ns
    return "0" if not gone else f"{'+' if gone > 0 else '-'}{time_text(abs(gone))}"


def calls(plan: Ready, view: View, width: int, height: int, closer: Closer) -> list[Text]:
    """Each call of a component for it: role, fuel, CPU time, how it ended."""
    one = found(view, closer)
    if one is None or one.waits:
        return [Text("...", style=DIM)]
    if not one.calls:
        return [Text("no component was called for it", style=DIM)]
    narrow = width < CALLS_WIDE
    columns = [one for one in CALLS if not narrow or one[0] not in BESIDE]
    rest = max(6, width - sum(abs(size) + 1 for _, size in columns))
    out = [row([*columns, ("outcome", rest)], f"{HEAD} {DIM}")]
    for call in one.calls:
        good = call.outcome == "ok"
        cells = (
            call.role, call.component, call.gateway, count_text(call.fuel), time_text(call.cpu_ns),
            _since(call.begin_ns, one.asked.due_ns),
        )  # fmt: skip
        sized = [(text, one[1]) for text, one in zip(cells, CALLS, strict=True) if one in columns]
        said = f"{GOOD.sign} ok" if good else f"{BAD.sign} {call.outcome}"
        out.append(row([*sized, (fit(said, rest), rest)], "" if good else BAD.style))
    return out[:height]


def call_spots(plan: Ready, view: View, width: int, height: int, closer: Closer) -> list[Spot]:
    """The component of each call."""
    one = found(view, closer)
    return [] if one is None else [
        Spot(ToComponent(call.component), f"enter: {call.component} on all gateways", y, 0, width)
        for y, call in enumerate(one.calls[: height - 1], 1)
    ]  # fmt: skip


def frames(plan: Ready, view: View, width: int, height: int, closer: Closer) -> list[Text]:
    """What went over the wire for it, in words and in hex."""
    one = found(view, closer)
    if one is None or one.waits:
        return [Text("...", style=DIM)]
    info = plan.devices[one.asked.device]
    lines = [frame_line(info, frame, width) for frame in one.frames[:height]]
    return lines or [Text("nothing went over its wire for it", style=DIM)]
