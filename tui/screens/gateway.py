"""Gateway: cores, memory, uplink, store, who spends what, and how busy cores, lines and links were over time.

Belongs here: those lines.
"""

from __future__ import annotations

import math
import textwrap

from rich.text import Text

from twinloop.scenarios.text.words import number_of
from twinloop.sim.snapshot import GatewayRow
from twinloop.tui.drawing import plot
from twinloop.tui.drawing.look import BAD as BAD_TOKEN
from twinloop.tui.drawing.look import GOOD, LATE
from twinloop.tui.drawing.text import (
    BAD,
    DIM,
    HEAD,
    WARN,
    bar,
    beside,
    count_text,
    fit,
    row,
    size_text,
    time_text,
)
from twinloop.tui.engine.figures import Load
from twinloop.tui.engine.messages import GatewayInfo, Ready, View
from twinloop.tui.screens import strip
from twinloop.tui.screens.latency import shades

SHARE_MIN = 16
"""cells that a bar needs to say anything"""
TABLE = (
    ("  component", 18),
    ("calls", -8),
    ("cpu time", -10),
    ("cpu/call", -9),
    ("fuel/call", -9),
    ("fuel/s", -9),
    ("faults", -6),
)


def gateways(plan: Ready, view: View, width: int, height: int) -> list[Text]:
    """Each gateway: how it is, what it is loaded with; then serial lines."""
    out: list[Text] = []
    for index, (info, gateway) in enumerate(zip(plan.gateways, view.snapshot.gateways, strict=True)):
        out += [*_gateway(info, gateway, view, index, width)]
        for component, cause, count in gateway.faults:
            out.append(Text(f"  {BAD_TOKEN.sign} fault {component}: {cause} x {count}", style=BAD))
    elapsed = max(1, view.snapshot.now_ns)
    out += [
        Text(f"line {name}: busy {100 * busy / elapsed:.1f} %, {queue} waited at most", style=DIM)
        for name, busy, queue in view.snapshot.lines
    ]
    return _all_or_some(out, width, height)


def components(plan: Ready, view: View, width: int, height: int) -> list[Text]:
    """Who spends what, gateway by gateway, and how far modelled times may be off."""
    wide = width - sum(abs(size) + 1 for _, size in TABLE)
    share = [(" share of cpu time", wide)] if wide >= SHARE_MIN else []
    out: list[Text] = [row([*TABLE, *share], f"{HEAD} {DIM}")]
    for info in plan.gateways:
        if len(plan.gateways) > 1:
            out.append(Text(info.name, style=HEAD))
        out += _components(info, view, wide if share else 0)
    for text in dict.fromkeys(info.band for info in plan.gateways):
        out += [Text(line, style=DIM) for line in textwrap.wrap(text, width)]
    return _all_or_some(out, width, height)


def load(plan: Ready, view: View, width: int, height: int, hand_at: float = math.nan) -> list[Text]:
    """How busy cores, serial lines and links were, in % of the time: a curve each of those that were busiest;
    what the others are stands below the heads if there is a line for it. ``hand_at``: the instant that is
    spoken of, ns; NaN: the last one."""
    found = view.figures.loads
    if found is None or not found.from_ns:
        return [Text("nothing yet", style=DIM)]
    order = sorted(found.loads, key=lambda one: -max(one.shares))
    curves = [
        plot.Curve(_named(one), list(zip(found.from_ns, (100 * x for x in one.shares), strict=True)), i)
        for i, one in enumerate(order[: plot.CURVES_MAX])
    ]
    at = hand_at if math.isfinite(hand_at) else float(found.from_ns[-1])
    parts = []
    for curve in curves:
        value = plot.value_at(curve.values, at)
        shown = f"{value:.3g} %" if math.isfinite(value) else "-"
        parts.append(Text.assemble((curve.sign, curve.style), f" {curve.name} ", (shown, HEAD)))
    left = len(order) - len(curves) + found.more
    if left:
        parts.append(Text(f"and {left} that were less busy", style=DIM))
    parts.append(Text(f"at {strip.short_clock(round(at) // 10**9)}", style=DIM))
    heads = beside(parts, width, max(1, height // 3))
    now = max(0, view.snapshot.now_ns)
    axes = plot.Axes(
        0,
        max(found.from_ns[-1], now, 1),
        lambda value: f"{value:.3g} %",
        lambda at_ns: strip.short_clock(at_ns // 10**9),
        shades=shades(plan, view),
        hand_ns=now,
        from_zero=True,
        hand_at=hand_at,
    )
    return [*heads, *plot.curves(curves, axes, width, height - len(heads))][:height]


def _named(one: Load) -> str:
    return f"{one.name} {one.kind}"


def _all_or_some(out: list[Text], width: int, height: int) -> list[Text]:
    if len(out) > height:
        more = number_of(len(out) - height + 1, "more line")
        out = [*out[: height - 1], Text(f"and {more}: a taller window shows all", style=DIM)]
    return [
        Text.assemble(line) if line.cell_len <= width else Text(fit(line.plain, width), style=line.style)
        for line in out
    ]


def _gateway(info: GatewayInfo, gateway: GatewayRow, view: View, index: int, width: int) -> list[Text]:
    elapsed = max(1, view.snapshot.now_ns)
    token = (
        GOOD
        if gateway.state == "up" and gateway.uplink == "up"
        else LATE
        if gateway.state == "up"
        else BAD_TOKEN
    )
    wide = max(10, min(40, width - 50))
    load, memory = gateway.busy_ns / (elapsed * gateway.cores), gateway.memory_bytes / info.ram_bytes
    more = (f"  role {gateway.role}" if gateway.role else "") + (
        f"  upgrade {gateway.upgrade}" if gateway.upgrade else ""
    )
    head = Text.assemble(
        (info.name, HEAD),
        f"  {info.board}  ",
        (f"{token.sign} {gateway.state}", token.style),
        f"  uplink {gateway.uplink}{more}  {number_of(view.restarts[index], 'restart')}",
    )
    out = [
        head, Text(f"  cores   {bar(load, wide)} {100 * load:.2f} % of {gateway.cores}"),
        Text(
            f"  memory  {bar(memory, wide)} {size_text(gateway.memory_bytes)} of {size_text(info.ram_bytes)}"
        ),
    ]  # fmt: skip
    waits = f"{number_of(gateway.backlog, 'message')}, {gateway.in_flight} in flight"
    if info.store_bytes:
        out.append(
            Text(
                f"  store   {bar(gateway.store_bytes / info.store_bytes, wide)} "
                f"{size_text(gateway.store_bytes)} of {size_text(info.store_bytes)}: {waits}",
                style=WARN if gateway.backlog else "",
            )
        )
    else:
        out.append(Text(f"  queue   {waits}; no store", style=WARN if gateway.backlog else ""))
    return out


def _components(info: GatewayInfo, view: View, wide: int) -> list[Text]:
    """A line a component; ``wide``: cells of the bar that shows its share, 0: none."""
    elapsed = max(1, view.snapshot.now_ns)
    whole = max(1, sum(one.cpu_ns for one in view.instances if one.gateway == info.name))
    out = []
    for one in view.instances:
        if one.gateway == info.name:
            a_call, fuel = (one.cpu_ns // one.calls, one.fuel // one.calls) if one.calls else (0, 0)
            cells = (
                f"  {one.component}",
                str(one.calls),
                time_text(one.cpu_ns),
                time_text(a_call),
                count_text(fuel),
                count_text(one.fuel * 1_000_000_000 // elapsed),
                str(one.faults),
            )
            line = row(list(zip(cells, (size for _, size in TABLE), strict=True)), BAD if one.faults else "")
            if wide:
                line.append(" " + bar(one.cpu_ns / whole, wide - 8), "cyan")
                line.append(f" {100 * one.cpu_ns / whole:3.0f} %")
            out.append(line)
    return out
