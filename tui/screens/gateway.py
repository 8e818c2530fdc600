"""Gateway: cores, memory, uplink, store, and who spends what.

Belongs here: those lines.
"""

from __future__ import annotations

import textwrap

from rich.text import Text

from twinloop.scenarios.text.words import number_of
from twinloop.sim.snapshot import GatewayRow
from twinloop.tui.drawing.look import BAD as BAD_TOKEN
from twinloop.tui.drawing.look import GOOD, LATE
from twinloop.tui.drawing.text import BAD, DIM, HEAD, WARN, bar, count_text, fit, row, size_text, time_text
from twinloop.tui.engine.messages import GatewayInfo, Ready, View

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
