"""Overview: headline figures, expectations as they stand, and what happened.

Belongs here: those lines. Never: the drawing of the plant (plant.py), the strip of time (strip.py).
"""

from __future__ import annotations

import textwrap

from rich.text import Text

from twinloop.tui.drawing.look import BAD as BAD_TOKEN
from twinloop.tui.drawing.look import VERDICTS
from twinloop.tui.drawing.text import DIM, HEAD, clock_text, fit, time_text
from twinloop.tui.engine.messages import LiveVerdict, Ready, View
from twinloop.tui.screens import plant
from twinloop.tui.screens.finding.log import token_of

MEASURED = 12
"""cells of a measured value"""


TOGETHER_NS = 100_000_000
"""between two lines of the log that may be one"""
LATEST = 500
"""lines of the log's end that are looked at; the log's own screen has all"""


def plant_lines(plan: Ready, view: View, width: int, height: int) -> list[Text]:
    """The plant, and figures of all of it at the bottom."""
    figures = _figures(view, width)
    drawn = plant.lines(plan, view, width, max(2, height - len(figures)))
    gap = [Text("")] * max(0, height - len(figures) - len(drawn))
    return [*drawn, *gap, *figures][:height]


def plant_wanted(plan: Ready, view: View, width: int) -> int:
    """Lines that show all of it."""
    return plant.wanted(plan) + len(_figures(view, width))


def _figures(view: View, width: int) -> list[Text]:
    snapshot = view.snapshot
    ends: dict[str, int] = {}
    for state, _, count in snapshot.ends:
        ends[state] = ends.get(state, 0) + count
    latency = dict(snapshot.latency)
    counts = [f"{snapshot.due} due", f"{snapshot.open} open"]
    counts.append(f"backlog {sum(gateway.backlog for gateway in snapshot.gateways)}")
    counts += [
        f"{ends[state]} {state}"
        for state in ("delivered", "cached", "dropped", "evicted", "missed", "lost")
        if ends.get(state)
    ]
    counts += [f"{count} {name}" for name, count in snapshot.quality]
    p50, p95, p99 = (time_text(value) for value in latency["gateway"])
    c50, _, c99 = (time_text(value) for value in latency["cloud"])
    middle = f"  {p95} p95" if width >= 100 else ""
    times = f"gateway {p50} p50{middle}  {p99} p99  cloud {c50} p50  {c99} p99"
    return [*_wrapped("samples ", counts, width), Text.assemble(("latency ", HEAD), fit(times, width - 8))]


def _wrapped(head: str, parts: list[str], width: int) -> list[Text]:
    """As many parts on a line as there is room for."""
    lines = [""]
    for part in parts:
        longer = f"{lines[-1]}  {part}" if lines[-1] else part
        if len(longer) <= width - len(head):
            lines[-1] = longer
        else:
            lines.append(part)
    return [Text.assemble((head if not i else " " * len(head), HEAD), line) for i, line in enumerate(lines)]


def expectations(plan: Ready, view: View, width: int, height: int) -> list[Text]:
    """What breaks the verdict first."""
    known, two = _ordered(view, width, height)
    if two:
        return [line for one in known for line in _in_two_lines(one, width)]
    out = [_expectation(one, width) for one in known[:height]]
    if len(known) > height:
        out = [*out[: height - 1], Text(f"  and {len(known) - height + 1} more", style=DIM)]
    return out or [Text("nothing is expected: no verdict", style=DIM)]


def expectation_places(view: View, width: int, height: int) -> list[tuple[LiveVerdict, int, int]]:
    """(an expectation, its first line, how many it has) of those that are shown."""
    known, two = _ordered(view, width, height)
    out, y = [], 0
    for one in known[: height if two or len(known) <= height else height - 1]:
        count = len(_in_two_lines(one, width)) if two else 1
        out.append((one, y, count))
        y += count
    return out


def _ordered(view: View, width: int, height: int) -> tuple[list[LiveVerdict], bool]:
    """The worst first; has each as many lines as it needs?"""
    order = list(VERDICTS)
    known = sorted(view.verdicts, key=lambda one: order.index(one.verdict) if one.verdict in order else -1)
    longest = sum(1 if len(one.text) + MEASURED + 3 <= width else 2 for one in known)
    return known, len(known) < longest <= height


def _expectation(one: LiveVerdict, width: int) -> Text:
    token = VERDICTS.get(one.verdict, BAD_TOKEN)
    measured = one.measured[:MEASURED].rjust(MEASURED)
    return Text.assemble(
        (f"{token.sign} ", token.style),
        (fit(one.text, width - MEASURED - 3), token.style if token is BAD_TOKEN else ""),
        " ",
        (measured, token.style),
    )


def _in_two_lines(one: LiveVerdict, width: int) -> list[Text]:
    """The expectation, and below it what was measured if there is no room beside it."""
    if len(one.text) + MEASURED + 3 <= width:
        return [_expectation(one, width)]
    token = VERDICTS.get(one.verdict, BAD_TOKEN)
    style = token.style if token is BAD_TOKEN else ""
    room = width - 2
    cut = one.text.rfind(" ", 0, room + 1) if len(one.text) > room else len(one.text)
    cut = cut if cut > room // 2 else room
    rest = fit(one.text[cut:].strip(), max(0, room - MEASURED - 1))
    measured = one.measured[:MEASURED].rjust(MEASURED)
    return [
        Text.assemble((f"{token.sign} ", token.style), (fit(one.text[:cut], room), style)),
        Text.assemble("  ", (rest, style), " ", (measured, token.style)),
    ]


def log_lines(plan: Ready, view: View, width: int, height: int) -> list[Text]:
    """What happened, the youngest last; many of one sort at one instant are one line."""
    out: list[Text] = []
    room = max(10, width - 25)
    for at_ns, kind, text in _together(view)[-height:]:
        token = token_of(kind, text)
        style = "" if token is None else token.style
        for i, part in enumerate(textwrap.wrap(text, room) or [""]):
            head = fit(clock_text(at_ns), 14) + fit(kind, 10) if not i else " " * 24
            out.append(Text.assemble((head, DIM), (fit(part, room), style)))
    return out[-height:] or [Text("nothing yet", style=DIM)]


def _together(view: View) -> list[tuple[int, str, str]]:
    """(when, kind, words); of neighbours that differ in one word only, how many they are."""
    out: list[tuple[int, str, str]] = []
    known: list[tuple[list[str], int]] = []
    for line in view.log[-LATEST:]:
        words = line.text.split()
        last = out[-1] if out else (-1, "", "")
        near = 0 <= line.at_ns - last[0] <= TOGETHER_NS and last[1] == line.kind
        same = near and line.kind == "component" and len(words) >= 3
        if same and (known[-1][0][0], known[-1][0][2:]) == (words[0], words[2:]):
            count = known[-1][1] + 1
            known[-1] = words, count
            out[-1] = line.at_ns, line.kind, f"{words[0]} {count} components {' '.join(words[2:])}"
        else:
            out.append((line.at_ns, line.kind, line.text))
            known.append((words, 1))
    return out
