"""Trouble: what has happened and what is coming.

Belongs here: those lines. Never: the form (trouble_form.py).
"""

from __future__ import annotations

from rich.text import Text

from twinloop.tui.drawing.text import BAD, DIM, HEAD, clock_text, fit, row
from twinloop.tui.engine.messages import Ready, View


def lines(plan: Ready, view: View, width: int, height: int) -> list[Text]:
    """Past, live and coming, in their order, and where on the run's time they lie."""
    now = view.snapshot.now_ns
    live = dict(view.stamped)
    past = [(at, live.get(at, what), "live" if at in live else "") for at, what in view.happened]
    coming = sorted(
        [(at, what, "") for at, what in plan.coming if at > now]
        + [(at, what, "live") for at, what in view.stamped if at > now]
    )
    out = [
        _line_of_time(plan, view, width, past + coming),
        Text("▲ now  ! trouble  * by hand  | mark to rewind to", style=DIM),
        Text(""),
    ]
    free = height - len(out) - 3
    room = max(2, free // 2, free - max(1, len(coming) + len(plan.reactions)))
    out.append(row([("what was done", width)], HEAD))
    out += [_entry(entry, width, DIM) for entry in past[-room:]] or [Text("nothing yet", style=DIM)]
    out.append(row([("what is coming", width)], HEAD))
    follows = [Text.assemble((fit("after", 20), DIM), " ", fit(text, width - 21)) for text in plan.reactions]
    out += [*[_entry(entry, width, "") for entry in coming], *follows][: max(1, height - len(out) - 1)] or [
        Text("nothing", style=DIM)
    ]
    out.append(Text("i: do something now, with a form   : the same, typed", style=DIM))
    return out[:height]


def _line_of_time(plan: Ready, view: View, width: int, entries: list[tuple[int, str, str]]) -> Text:
    marks = ["─"] * width

    def put(at_ns: int, mark: str) -> None:
        marks[max(0, min(width - 1, at_ns * (width - 1) // plan.duration_ns))] = mark

    for at_ns in view.rewind.marks:
        if at_ns:  # the beginning is always there to go back to
            put(at_ns, "|")
    for at_ns, _, live in entries:
        put(at_ns, "*" if live else "!")
    put(view.snapshot.now_ns, "▲")
    return Text("".join(marks), no_wrap=True)


def _entry(entry: tuple[int, str, str], width: int, style: str) -> Text:
    at, what, mark = entry
    return Text.assemble((fit(clock_text(at), 14), DIM), (fit(mark, 6), BAD), (fit(what, width - 21), style))
