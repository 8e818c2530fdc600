"""Latency: percentiles over time, the stages against the budget, the slowest samples and where their time
went.

Belongs here: those lines.
"""

from __future__ import annotations

import math
import re
import textwrap

from rich.text import Text

from twinloop.sim.accounts.latency import STAGES
from twinloop.sim.kernel.histogram import NEVER
from twinloop.tui.drawing import plot
from twinloop.tui.drawing.look import BAD, GOOD
from twinloop.tui.drawing.text import DIM, HEAD, beside, row, time_text
from twinloop.tui.engine.explored import Slow
from twinloop.tui.engine.messages import Ready, View
from twinloop.tui.screens import strip

COLOURS = ("magenta", "cyan", "blue", "green", "yellow", "red")
FILLS = ("▒", "█", "▓", "▚", "░", "▞")
"""of the stages: none is told by its colour alone"""
TABLE = (("stage", 10), ("p50", -9), ("p95", -9), ("p99", -9))
NAMES, NARROW = 16, 13
"""cells of a device's name"""
ALL_WIDE, ALL_HIGH = 48, 8
"""cells and lines from which all percentiles are drawn, and not p99 alone"""
STACK_MIN = 10
"""cells of a sample's stages, below which they aren't drawn"""


def title(cloud: bool) -> str:
    """Whose percentiles they are."""
    return "Latency to the cloud" if cloud else "Latency at the gateway"


def over_time(
    plan: Ready, view: View, width: int, height: int, cloud: bool = False, hand_at: float = math.nan
) -> list[Text]:
    """p99, p95 and p50 of the latency at the gateway, or to the ``cloud``, where there is room for three; the
    tightest limit, and where something was wrong. ``hand_at``: the instant that is spoken of, ns; NaN: the
    last one that is known."""
    some = curves(view, width, height, cloud)
    now = max(0, view.snapshot.now_ns)
    limit_ns, limit = (plan.cloud_budget_ns, plan.cloud_budget) if cloud else (plan.budget_ns, plan.budget)
    axes = plot.Axes(
        0,
        until_ns(plan, view, cloud),
        time_text_of,
        lambda at_ns: strip.short_clock(at_ns // 10**9),
        float(limit_ns) if limit_ns else math.nan,
        shades(plan, view),
        now,
        from_zero=True,
        reddens="{" not in limit,
        hand_at=hand_at,
    )
    said = heads(plan, some, width, height, cloud, hand_at)
    return [*said, *plot.curves(some, axes, width, height - len(said))][:height]


def curves(view: View, width: int, height: int, cloud: bool) -> list[plot.Curve]:
    """p99, and p95 and p50 where there is room."""
    windows = view.figures.cloud if cloud else view.latency
    whole = width >= ALL_WIDE and height >= ALL_HIGH
    ranks = (("p99", 3), ("p95", 2), ("p50", 1)) if whole else (("p99", 3),)
    return [
        plot.Curve(name, [(one[0], math.nan if one[at] < 0 else float(one[at])) for one in windows], number)
        for number, (name, at) in enumerate(ranks)
    ]


def heads(
    plan: Ready,
    some: list[plot.Curve],
    width: int,
    height: int,
    cloud: bool = False,
    hand_at: float = math.nan,
) -> list[Text]:
    """The lines above the curves: what they say, and the limit."""
    parts = _said(some, hand_at)
    limit_ns, limit = (plan.cloud_budget_ns, plan.cloud_budget) if cloud else (plan.budget_ns, plan.budget)
    if limit_ns:
        of = re.search(r"\{.*\}", limit)
        parts.append(Text(f"limit {time_text(limit_ns)} {of[0] if of else ''}".rstrip(), style=DIM))
    return beside(parts, width, max(1, height // 6))


def shades(plan: Ready, view: View) -> tuple[tuple[int, int], ...]:
    """When something was wrong: (from, to) of what the timeline has done until now."""
    spans = {**dict.fromkeys(plan.spans), **dict.fromkeys(view.entries.spans)}
    now = max(0, view.snapshot.now_ns)
    return tuple((one.at_ns, max(one.at_ns, one.until_ns)) for one in spans if one.at_ns <= now)


def _said(curves: list[plot.Curve], hand_at: float) -> list[Text]:
    """What each curve says, with its sign if there are several, and of when."""
    known = curves[0].values
    at = hand_at if math.isfinite(hand_at) else float(known[-1][0]) if known else math.nan
    parts = []
    for one in curves if math.isfinite(at) else []:
        value = plot.value_at(one.values, at)
        # a window without a value is one in which that rank never came
        never = "never" if known and at >= known[0][0] else "-"
        shown = time_text(round(value)) if math.isfinite(value) else never
        sign = f"{one.sign} " if len(curves) > 1 else ""
        parts.append(Text.assemble((sign, one.style), (one.name, HEAD), f" {shown}"))
    if parts:
        parts[-1].append(f" at {strip.short_clock(round(at) // 10**9)}")
    else:
        parts.append(Text.assemble(("p99", HEAD), " nothing yet"))
    return parts


def until_ns(plan: Ready, view: View, cloud: bool = False) -> int:
    """Where the curves over time end."""
    windows = view.figures.cloud if cloud else view.latency
    now = max(0, view.snapshot.now_ns)
    return max(max(now, windows[-1][0]) if windows else plan.duration_ns, 1)


def time_text_of(value: float) -> str:
    """A value of the axis."""
    return time_text(round(value))


def budget(plan: Ready | None) -> str:
    """The tightest limit, as a title."""
    if plan is None:
        return "Stages"
    if not plan.budget_ns:
        return "Stages; no expectation bounds the gateway's latency"
    return f"Stages; budget {time_text(plan.budget_ns)}: {plan.budget}"


def stages(plan: Ready, view: View, width: int, height: int) -> list[Text]:
    """A waterfall: each stage's p99 begins where the one before it ends, as far as the budget or beyond."""
    latency = dict(view.snapshot.latency)
    wide = max(2, width - sum(abs(size) + 1 for _, size in TABLE) - 1)
    spent = [max(0, latency[name][2]) for name in STAGES]
    top = latency["gateway"][2] if latency["gateway"][2] < NEVER else 0
    whole = max(1, plan.budget_ns, sum(spent), top)
    end = round(plan.budget_ns / whole * (wide - 1))
    head = [row([*TABLE, (f"0 to {time_text(whole)}", wide)], f"{HEAD} {DIM}")]
    out = []
    begun = 0
    for name in ("gateway", *STAGES, "cloud"):
        ranks = [(time_text(value), -9) for value in latency[name]]
        cells = row([(name, 10), *ranks], HEAD if name == "gateway" else "")
        marks, style = [" "] * wide, ""
        if name in STAGES:
            index = STAGES.index(name)
            first, last = begun / whole, (begun + spent[index]) / whole
            begun += spent[index]
            style, fill = COLOURS[index], FILLS[index]
        else:
            first, last = 0.0, min(1.0, max(0, latency[name][2]) / whole) if name == "gateway" else 0.0
            style, fill = (
                BAD.style if plan.budget_ns and latency[name][2] > plan.budget_ns else GOOD.style,
                "█",
            )
        start = round(first * (wide - 1))
        for at in range(start, max(round(last * (wide - 1)), start + (last > first))):
            marks[min(at, wide - 1)] = fill
        bar = Text("".join(marks), style=style)
        if plan.budget_ns:
            bar = Text.assemble(bar[:end], ("│", HEAD), bar[end + 1 :])
        out.append(Text.assemble(cells, " ", bar))
    bands = [
        Text(line, style=DIM)
        for text in dict.fromkeys(one.band for one in plan.gateways)
        for line in textwrap.wrap(text, width)
    ]
    return [*head, *out, *bands][:height]


def slowest(plan: Ready, view: View, width: int, height: int) -> list[Text]:
    """The slowest samples, and which stages took how much of each."""
    stack = width - NAMES - 6 - 10 - 14 - 5
    if stack < STACK_MIN:
        heads = [("slowest", NARROW), ("took", -9), (" most of it", width - NARROW - 11)]
        few = (row(_cells(plan, slow, heads)) for slow in view.slowest[: height - 1])
        return [row(heads, f"{HEAD} {DIM}"), *few][:height]
    heads = [
        ("slowest", NAMES),
        ("k", -6),
        ("took", -10),
        (" most of it", 14),
        ("where its time went", stack),
    ]
    out = [row(heads, f"{HEAD} {DIM}")]
    return [*out, *(_slow(plan, slow, stack) for slow in view.slowest[: height - 1])][:height]


def _most(slow: Slow) -> str:
    """The stage that took most of it, and how much."""
    if not any(slow.spent_ns):
        return " -"
    stage = max(range(len(STAGES)), key=lambda i: slow.spent_ns[i])
    return f" {STAGES[stage]} {100 * slow.spent_ns[stage] // max(1, sum(slow.spent_ns))} %"


def _cells(plan: Ready, slow: Slow, heads: list[tuple[str, int]]) -> list[tuple[str, int]]:
    name = plan.devices[slow.device].name
    return [
        (text, size)
        for text, (_, size) in zip((name, time_text(slow.total_ns), _most(slow)), heads, strict=True)
    ]


def _slow(plan: Ready, slow: Slow, wide: int) -> Text:
    cells = [
        (plan.devices[slow.device].name, NAMES),
        (str(slow.k) if slow.k >= 0 else "-", -6),
        (time_text(slow.total_ns), -10),
        (_most(slow), 14),
    ]
    stack = Text()
    begun, whole = 0, max(1, sum(slow.spent_ns))
    for name, spent, colour, fill in zip(STAGES, slow.spent_ns, COLOURS, FILLS, strict=True):
        first, last = round(begun / whole * wide), round((begun + spent) / whole * wide)
        room = last - first
        named = f"{name} " if room >= len(name) + 2 else ""
        stack.append(named + fill * (room - len(named)), colour)
        begun += spent
    return Text.assemble(row(cells), " ", stack)
