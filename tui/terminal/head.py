"""The head of the terminal: the scenario, its time, its mode, the panes; and what stands in a pane's place.

Belongs here: their text. Never: a pane (screens/), what a key does (app.py).
"""

from __future__ import annotations

import textwrap

from rich.text import Text

from twinloop.tui.drawing.text import (
    BAD,
    DIM,
    HEAD,
    OK,
    VERDICT_STYLES,
    WARN,
    bar,
    clock_text,
    fit,
    time_text,
)
from twinloop.tui.engine.messages import Died, Ready, Refused, View
from twinloop.tui.terminal.keys import PANES
from twinloop.tui.terminal.pace import LATE_NS


def tabs(shown: str) -> str:
    """The panes, as markup; a click shows one."""
    names = [f"{i} {name.capitalize()}" if name != "help" else "? Help" for i, name in enumerate(PANES, 1)]
    marked = (
        f"[reverse] {text} [/]" if name == shown else f" {text} "
        for name, text in zip(PANES, names, strict=True)
    )
    return "".join(f"[@click=app.show('{name}')]{text}[/]" for name, text in zip(PANES, marked, strict=True))


def head(file: str, ended: Refused | Died | None, plan: Ready | None, view: View | None) -> Text:
    """The first line."""
    if ended is not None:
        why = "the engine has died" if isinstance(ended, Died) else "can't be run"
        return Text.assemble(("twinloop  ", HEAD), f"{file}  ", (why, BAD))
    if plan is None or view is None:
        return Text(f"twinloop  {file}  getting ready...", style=HEAD)
    when = f"{clock_text(max(0, view.snapshot.now_ns))} of {clock_text(plan.duration_ns)}"
    return Text.assemble((fit(plan.name, 24), HEAD), f" seed {plan.seed}  ", (when, HEAD), "  ", _mode(view))


def _mode(view: View) -> tuple[str, str]:
    """Text and style."""
    if view.mode == "rewinding":
        return f"rewinding {bar(view.rewind.progress, 10)} {100 * view.rewind.progress:.0f} %", WARN
    if view.mode == "over":
        verdict = view.verdict.partition(":")[0]
        return verdict, VERDICT_STYLES.get(verdict, WARN)
    pace = f"{view.speed:g}x" if view.speed is not None else "flat out" if view.mode == "playing" else ""
    if view.lag_ns > LATE_NS:
        pace += f" late {time_text(view.lag_ns)}"
    return f"{view.mode} {pace}".strip(), OK if view.mode == "playing" else WARN


def instead(ended: Refused | Died | None, plan: Ready | None, view: View | None, width: int) -> list[Text]:
    """What there is to see when there is no view to show; nothing when there is one."""
    if ended is not None:
        died = isinstance(ended, Died)
        first = "The engine has died; its last words:" if died else "This scenario can't be run:"
        wrapped = [
            Text(part)
            for line in ended.text.splitlines()
            for part in textwrap.wrap(line, width, subsequent_indent="  ") or [""]
        ]
        return [Text(first, style=BAD), *wrapped, Text(""), Text("r reads it again, q quits", style=DIM)]
    if plan is None or view is None:
        return [Text("getting ready: components are compiled, gateways boot...", style=DIM)]
    return []
