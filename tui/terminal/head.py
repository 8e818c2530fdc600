"""The head of the terminal: the scenario, its time, what the clock does, how the expectations stand, the
panes; and what stands in a pane's place.

Belongs here: their text. Never: a pane (screens/), what a key does (app.py).
"""

from __future__ import annotations

import textwrap

from rich.markup import escape
from rich.text import Text

from twinloop.tui.drawing.look import BAD, GOOD, LATE, OFF, UNCERTAIN, VERDICTS, Token
from twinloop.tui.drawing.text import DIM, HEAD, bar, clock_text, fit, time_text
from twinloop.tui.engine.messages import Died, Ready, Refused, View
from twinloop.tui.terminal.keys import BESIDE, PANES
from twinloop.tui.terminal.pace import LATE_NS


def tabs(shown: str, width: int, beside: bool = False, trail: str = "") -> str:
    """The panes, as markup; a click shows one. ``beside``: two runs are one of them. ``trail``: which page
    that has no key is shown."""
    panes = (*PANES[:-1], BESIDE, PANES[-1]) if beside else PANES
    names = [f"{i} {name.capitalize()}" if name != "help" else "? Help" for i, name in enumerate(panes, 1)]
    pad = " " if sum(len(name) + 2 for name in names) <= width else ""
    marked = (
        f"[reverse bold]{pad}{text}{pad}[/]" if name == shown else f"{pad}{text}{pad}"
        for name, text in zip(panes, names, strict=True)
    )
    between = "" if pad else " "
    return between.join(
        f"[@click=app.show('{name}')]{text}[/]" for name, text in zip(panes, marked, strict=True)
    ) + (f"[reverse bold] {escape(trail)} [/]" if trail else "")


def head(
    file: str, ended: Refused | Died | None, plan: Ready | None, view: View | None, width: int, rewound: bool
) -> Text:
    """The first line. ``rewound``: it stands where somebody went back to."""
    if ended is not None:
        why = "the engine has died" if isinstance(ended, Died) else "can't be run"
        return Text.assemble(("twinloop  ", HEAD), f"{file}  ", (f"{BAD.sign} {why}", BAD.style))
    if plan is None or view is None:
        return Text(f"twinloop  {file}  getting ready...", style=HEAD)
    when = f"{clock_text(max(0, view.snapshot.now_ns))} of {clock_text(plan.duration_ns)}"
    name = fit(plan.name, 20 if width < 100 else min(40, len(plan.name)))
    left = Text.assemble(
        (name, HEAD), (f" seed {plan.seed}  ", DIM), (when, HEAD), "  ", *_mode(view, rewound)
    )
    right = standing(view)
    return _apart(left, right, width)


def of_run(plan: Ready | None, view: View | None, width: int, follows: bool = False) -> Text:
    """Of one of two runs: seed, time, what the clock does, how its expectations stand. ``follows``: it goes
    where the other one is."""
    if plan is None or view is None:
        return Text("getting ready...", style=DIM)
    when = f"{clock_text(max(0, view.snapshot.now_ns))} of {clock_text(plan.duration_ns)}"
    left = Text.assemble((f"seed {plan.seed}  ", DIM), (when, HEAD), "  ")
    clock = [("▶ follows", GOOD.style)] if follows and view.mode == "playing" else _mode(view, False)
    left.append_text(Text.assemble(*clock))
    return _apart(left, standing(view), width)


def _apart(left: Text, right: Text, width: int) -> Text:
    gap = width - left.cell_len - right.cell_len
    return Text.assemble(left, " " * gap, right) if gap > 0 else left


def _mode(view: View, rewound: bool) -> list[tuple[str, str]]:
    """What the clock does: sign, words, style."""
    if view.mode == "rewinding":
        progress = f"{bar(view.rewind.progress, 10)} {100 * view.rewind.progress:.0f} %"
        return [(f"◀◀ rewinding {progress}", LATE.style)]
    if view.mode == "over":
        return ended(view)
    if view.mode == "playing":
        pace = f"running at {view.speed:g}x" if view.speed is not None else "running flat out"
        late = [(f" {LATE.sign} {time_text(view.lag_ns)} late", LATE.style)] if view.lag_ns > LATE_NS else []
        return [(f"▶ {pace}", GOOD.style), *late]
    return [("❚❚ " + (f"paused, rewound to {_short(view)}" if rewound else "paused"), LATE.style)]


def ended(view: View) -> list[tuple[str, str]]:
    """The verdict."""
    verdict = view.verdict.partition(":")[0]
    token = VERDICTS.get(verdict, BAD)
    return [("■ at the end: ", DIM), (f"{token.sign} {verdict}", f"{token.style} bold")]


def _short(view: View) -> str:
    return time_text(max(0, view.snapshot.now_ns))


def standing(view: View) -> Text:
    """How many expectations hold, and how many don't, by sign."""
    if view.mode == "over":
        return Text("")
    counts: dict[Token, int] = {}
    for one in view.verdicts:
        token = VERDICTS.get(one.verdict, BAD)
        counts[token] = counts.get(token, 0) + 1
    out = Text("")
    for token in (BAD, UNCERTAIN, OFF, GOOD):
        if token in counts:
            out.append(f" {token.sign} {counts[token]}", token.style)
    return out


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
        return [
            Text(f"{BAD.sign} {first}", style=BAD.style), *wrapped, Text(""),
            Text("r reads it again, q quits", style=DIM),
        ]  # fmt: skip
    if plan is None or view is None:
        return [Text("getting ready: components are compiled, gateways boot...", style=DIM)]
    return []
