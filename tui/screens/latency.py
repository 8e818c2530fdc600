"""Latency: percentiles over time, the stages against the budget, the slowest samples and where their time
went.

Belongs here: those lines.
"""

from __future__ import annotations

from rich.text import Text

from twinloop.sim.accounts.latency import STAGES
from twinloop.tui.drawing.text import BAD, DIM, HEAD, OK, clock_text, curve, fit, row, time_text
from twinloop.tui.engine.messages import Ready, Slow, View

COLOURS = ("magenta", "cyan", "blue", "green", "yellow", "red")
"""of the stages"""
TABLE = (("stage", 10), ("p50", -9), ("p95", -9), ("p99", -9))
NAMES = 16
STACK_MAX = 36


def lines(plan: Ready, view: View, width: int, height: int) -> list[Text]:
    """All of it."""
    plot = 5 if height >= 30 else 3
    out = [*_over_time(view, width, plot), *_stages(plan, view, width)]
    for text in dict.fromkeys(one.band for one in plan.gateways):
        out.append(Text(fit(text, width), style=DIM))
    stack = max(10, min(STACK_MAX, width - NAMES - 6 - 10 - 14 - 5))
    out.append(
        row(
            [
                ("slowest", NAMES),
                ("k", -6),
                ("took", -10),
                (" most of it", 14),
                ("where its time went", stack),
            ],
            HEAD,
        )
    )
    out += [_slow(plan, slow, stack) for slow in view.slowest[: max(1, height - len(out))]]
    return out[:height]


def _over_time(view: View, width: int, plot: int) -> list[Text]:
    windows = view.latency
    out = []
    for name, at, size in (("p99", 2, plot), ("p50", 1, 1 if plot < 5 else 2)):
        values = [float("nan") if window[at] < 0 else float(window[at]) for window in windows]
        known = [window[at] for window in windows if window[at] >= 0]
        span = f"{time_text(min(known))} to {time_text(max(known))}" if known else "nothing yet"
        when = f", until {clock_text(windows[-1][0])}" if known else ""
        out.append(Text.assemble((f"{name} of the gateway's latency", HEAD), (f"{when}: {span}", DIM)))
        out += [Text(line, style="cyan", no_wrap=True) for line in curve(values, width - 1, size)]
    return out


def _stages(plan: Ready, view: View, width: int) -> list[Text]:
    """A table, and beside it the stages' p99 one after another, as far as the budget or beyond."""
    latency = dict(view.snapshot.latency)
    wide = max(2, width - sum(abs(size) + 1 for _, size in TABLE) - 1)
    spent = [max(0, latency[name][2]) for name in STAGES]
    whole = max(
        1, plan.budget_ns, sum(spent), latency["gateway"][2] if latency["gateway"][2] < 1 << 60 else 0
    )
    end = round(plan.budget_ns / whole * (wide - 1))
    budget = (
        f"{time_text(plan.budget_ns)}: {plan.budget}"
        if plan.budget_ns
        else "no expectation bounds the gateway's latency"
    )
    out = [
        Text.assemble(("budget ", HEAD), (budget, DIM)),
        row([*TABLE, (f"0 to {time_text(whole)}", wide)], HEAD),
    ]
    begun = 0
    for name in ("gateway", *STAGES, "cloud"):
        p50, p95, p99 = latency[name]
        cells = row(
            [(name, 10), (time_text(p50), -9), (time_text(p95), -9), (time_text(p99), -9)],
            HEAD if name == "gateway" else "",
        )
        marks = [" "] * wide
        style = ""
        if name in STAGES:
            index = STAGES.index(name)
            first, last = begun / whole, (begun + spent[index]) / whole
            begun += spent[index]
            style = COLOURS[index]
        else:
            first, last = 0.0, min(1.0, max(0, p99) / whole) if name == "gateway" else 0.0
            style = BAD if plan.budget_ns and p99 > plan.budget_ns else OK
        for at in range(
            round(first * (wide - 1)),
            max(round(last * (wide - 1)), round(first * (wide - 1)) + (last > first)),
        ):
            marks[min(at, wide - 1)] = "█"
        bar = Text("".join(marks), style=style)
        if plan.budget_ns:
            bar = Text.assemble(
                bar[:end], ("│", HEAD if marks[end] == " " else f"bold white on {style}"), bar[end + 1 :]
            )
        out.append(Text.assemble(cells, " ", bar))
    return out


def _slow(plan: Ready, slow: Slow, wide: int) -> Text:
    stage = max(range(len(STAGES)), key=lambda i: slow.spent_ns[i])
    most = f" {STAGES[stage]}" if any(slow.spent_ns) else " -"
    share = f"{100 * slow.spent_ns[stage] // max(1, sum(slow.spent_ns))} %" if any(slow.spent_ns) else ""
    k = str(slow.k) if slow.k >= 0 else "-"
    cells = [
        (plan.devices[slow.device].name, NAMES),
        (k, -6),
        (time_text(slow.total_ns), -10),
        (f"{most} {share}", 14),
    ]
    stack = Text()
    begun, whole = 0, max(1, sum(slow.spent_ns))
    for name, spent, colour in zip(STAGES, slow.spent_ns, COLOURS, strict=True):
        first, last = round(begun / whole * wide), round((begun + spent) / whole * wide)
        # a letter: colours alone aren't seen by everybody, nor everywhere
        stack.append(name[0] * (last - first), colour)
        begun += spent
    return Text.assemble(row(cells), " ", stack)
