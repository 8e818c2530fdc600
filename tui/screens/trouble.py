"""Trouble: what has happened and what is coming; what can be done, in the words of a timeline.

Belongs here: those lines. Never: the form (app.py).
"""

from __future__ import annotations

from rich.text import Text

from tui.messages import Ready, View
from tui.text import BAD, DIM, HEAD, clock_text, fit, row


def lines(plan: Ready, view: View, width: int, height: int) -> list[Text]:
    """Past, live and coming, in their order."""
    now = view.snapshot.now_ns
    entries = [(at, what, "") for at, what in plan.coming] + [(at, what, "live") for at, what in view.stamped]
    entries.sort(key=lambda entry: entry[0])
    past = [entry for entry in entries if entry[0] <= now]
    coming = [entry for entry in entries if entry[0] > now]
    room = max(2, (height - 3) // 2)
    out = [row([("what was done", width)], HEAD)]
    out += [_entry(entry, width, DIM) for entry in past[-room:]] or [Text("nothing yet", style=DIM)]
    out.append(row([("what is coming", width)], HEAD))
    out += [_entry(entry, width, "") for entry in coming[: max(1, height - len(out))]] or [Text("nothing", style=DIM)]
    return out[:height]


def _entry(entry: tuple[int, str, str], width: int, style: str) -> Text:
    at, what, mark = entry
    return Text.assemble((fit(clock_text(at), 14), DIM), (fit(mark, 6), BAD), (fit(what, width - 21), style))


def help_lines(plan: Ready) -> list[str]:
    """Every verb with its keys."""
    out = []
    for verb in plan.verbs:
        keys = [f"{key}!" if key in verb.needed else key for key in verb.allowed] + (["for"] if verb.lasts else [])
        out.append(f"{verb.name}: {verb.meaning}; keys: {', '.join(keys) or 'none'}")
    return out
