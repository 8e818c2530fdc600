"""The strip of time: what goes wrong when, past and coming, a line a target, and where the clock's hand is.

Belongs here: those lines, and which instant a cell means. Never: moving the clock (terminal/).
"""

from __future__ import annotations

from rich.text import Text

from twinloop.tui.drawing.look import BAD, LATE
from twinloop.tui.drawing.text import DIM, HEAD, cells_text, fit
from twinloop.tui.engine.messages import Ready, Span, View

NAMES_MAX = 16
"""cells of a target's name"""
TICK_CELLS = 14
"""between two figures of the scale, at least"""
_STEPS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400)


def lines(plan: Ready, view: View, width: int, height: int, ghost_ns: int = -1) -> list[Text]:
    """Targets, those with trouble now or next first, then the scale; ``ghost_ns``: where the hand is dragged
    to."""
    spans, now = _spans(plan, view), max(0, view.snapshot.now_ns)
    names = _names(plan)
    cells = width - names
    by_target: dict[str, list[Span]] = {}
    for span in spans:
        by_target.setdefault(span.target, []).append(span)
    targets = sorted(by_target, key=lambda target: _nearest(by_target[target], now))
    room = max(0, height - 1)
    if height == 1 or not room:
        return [_line("", spans, plan, view, names, cells, ghost_ns)]
    shown = targets[:room] if len(targets) <= room else targets[: room - 1]
    order = {target: i for i, target in enumerate(by_target)}
    out = [
        _line(target, by_target[target], plan, view, names, cells, ghost_ns)
        for target in sorted(shown, key=order.__getitem__)
    ]
    if len(shown) < len(targets):
        rest = [span for target in targets if target not in shown for span in by_target[target]]
        out.append(_line(f"+ {len(targets) - len(shown)} more", rest, plan, view, names, cells, ghost_ns))
    if not targets:
        out.append(_line("no trouble", [], plan, view, names, cells, ghost_ns))
    return [*out, _scale(plan, view, names, cells, ghost_ns)]


def wanted(plan: Ready | None, view: View | None) -> int:
    """Lines that show every target, and the scale."""
    if plan is None or view is None:
        return 2
    return 1 + max(1, len({span.target for span in _spans(plan, view)}))


def instant(plan: Ready, width: int, x: int) -> int:
    """What a cell of a line means, ns."""
    names = _names(plan)
    return max(0, min(width - names - 1, x - names)) * plan.duration_ns // max(1, width - names - 1)


def entries(plan: Ready, view: View) -> list[int]:
    """Instants at which an entry begins or ends, in their order."""
    ends = {at for span in _spans(plan, view) for at in (span.at_ns, span.until_ns) if at >= 0}
    return sorted(at for at in ends if at <= plan.duration_ns)


def _spans(plan: Ready, view: View) -> list[Span]:
    known = dict.fromkeys((*plan.spans, *view.entries.spans))
    return sorted(known, key=lambda one: one.at_ns)


def _names(plan: Ready) -> int:
    return min(NAMES_MAX, max(10, *(len(span.target) for span in plan.spans), 0)) + 1 if plan.spans else 11


def _nearest(spans: list[Span], now_ns: int) -> tuple[int, int]:
    """Trouble that is there first, then what comes next, then what was last."""
    best = []
    for span in spans:
        end = max(span.at_ns, span.until_ns)
        if span.at_ns <= now_ns <= end:
            best.append((0, span.at_ns))
        elif span.at_ns > now_ns:
            best.append((1, span.at_ns - now_ns))
        else:
            best.append((2, now_ns - end))
    return min(best)


def _at(at_ns: int, plan: Ready, cells: int) -> int:
    return max(0, min(cells - 1, at_ns * (cells - 1) // max(1, plan.duration_ns)))


def _line(
    name: str, spans: list[Span], plan: Ready, view: View, names: int, cells: int, ghost_ns: int
) -> Text:
    now = max(0, view.snapshot.now_ns)
    hand, live = _at(now, plan, cells), {at for at, _ in view.entries.stamped}
    marks = ["─" if i <= hand else "┄" for i in range(cells)]
    styles = [DIM] * cells
    there = False
    for span in spans:
        first, last = _at(span.at_ns, plan, cells), _at(max(span.at_ns, span.until_ns), plan, cells)
        there = there or span.at_ns <= now < span.until_ns
        for i in range(first, last + 1):
            past = i <= hand and span.at_ns <= now
            marks[i], styles[i] = ("▆", BAD.style) if past else ("░", LATE.style)
        if span.at_ns in live:
            marks[first] = "*"
        elif span.until_ns < 0:
            marks[first] = "!"
    marks[hand], styles[hand] = "┃", HEAD
    if ghost_ns >= 0:
        at = _at(ghost_ns, plan, cells)
        marks[at], styles[at] = "╎", f"{HEAD} cyan"
    out = Text(fit(name, names - 1) + " ", style="")
    out.stylize(BAD.style if there else DIM)
    return cells_text(zip(marks, styles, strict=True), out)


def _scale(plan: Ready, view: View, names: int, cells: int, ghost_ns: int) -> Text:
    """Figures, marks to rewind to, and the hand."""
    whole_s = plan.duration_ns / 1e9
    step_s = next((s for s in _STEPS_S if cells * s / max(whole_s, 1e-9) >= TICK_CELLS), _STEPS_S[-1])
    scale = [" "] * cells
    at_s = 0
    while at_s <= whole_s:
        text = short_clock(at_s)
        at = min(_at(at_s * 1_000_000_000, plan, cells), cells - len(text))
        if at >= 0 and all(mark == " " for mark in scale[max(0, at - 1) : at + len(text)]):
            scale[at : at + len(text)] = text
        at_s += step_s
    for mark_ns in view.rewind.marks:
        at = _at(mark_ns, plan, cells)
        if mark_ns and scale[at] == " ":  # the beginning is always there to go back to
            scale[at] = "|"
    hand = _at(max(0, view.snapshot.now_ns), plan, cells)
    ghost = _at(ghost_ns, plan, cells) if ghost_ns >= 0 else -1
    said = (
        fit("drag, [ ]", names - 1) if ghost < 0 else fit(f"to {short_clock(ghost_ns // 10**9)}", names - 1)
    )
    hidden = scale[hand] not in " |"
    sign = (scale[hand], DIM) if hidden else ("▲", HEAD)
    before, after = "".join(scale[:hand]), "".join(scale[hand + 1 :])
    return Text.assemble((said + " ", DIM), (before, DIM), sign, (after, DIM))


def short_clock(seconds: int) -> str:
    """1:40, or 2:00:00 from an hour on."""
    if seconds >= 3600:
        return f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    return f"{seconds // 60}:{seconds % 60:02}"
