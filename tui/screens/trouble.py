"""Trouble: what has happened and what is coming.

Belongs here: those lines. Never: the form (trouble_form.py), the strip of time (strip.py).
"""

from __future__ import annotations

from rich.text import Text

from twinloop.tui.drawing.text import BAD, DIM, WARN, clock_text, fit
from twinloop.tui.engine.messages import Ready, View

Entry = tuple[int, str, str]
"""when, what, whether by hand"""


def done(plan: Ready, view: View, width: int, height: int) -> list[Text]:
    """Entries that have begun, the youngest last."""
    live = dict(view.entries.stamped)
    past = [(at, live.get(at, what), "live" if at in live else "") for at, what in view.entries.happened]
    return [_entry(entry, width, "") for entry in past[-height:]] or [Text("nothing yet", style=DIM)]


def coming(plan: Ready, view: View, width: int, height: int) -> list[Text]:
    """Entries that haven't begun, in their order, then those that wait for an event."""
    now = view.snapshot.now_ns
    known = sorted(
        [(at, what, "") for at, what in (*plan.coming, *view.entries.due) if at > now]
        + [(at, what, "live") for at, what in view.entries.stamped if at > now]
    )
    waiting = [text for text, left in zip(plan.reactions, view.entries.left, strict=True) if left]
    out = [_entry(entry, width, "") for entry in known]
    out += [Text.assemble((fit("after", 20), DIM), " ", fit(text, width - 21)) for text in waiting]
    if len(out) > height:
        out = [*out[: height - 1], Text(f"and {len(out) - height + 1} more", style=DIM)]
    return out or [Text("nothing", style=DIM)]


def _entry(entry: Entry, width: int, style: str) -> Text:
    at, what, mark = entry
    return Text.assemble(
        (fit(clock_text(at), 14), DIM), (fit(mark, 6), WARN if mark else BAD), (fit(what, width - 20), style)
    )
