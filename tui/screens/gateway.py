"""Gateway: cores, memory, uplink, store, and who spends what.

Belongs here: those lines.
"""

from __future__ import annotations

from rich.text import Text

from twinloop.scenarios.text.words import number_of
from twinloop.sim.snapshot import GatewayRow
from twinloop.tui.drawing.text import BAD, DIM, HEAD, WARN, bar, count_text, fit, row, size_text, time_text
from twinloop.tui.engine.messages import GatewayInfo, Ready, View

TABLE = (
    ("  component", 18),
    ("calls", -8),
    ("cpu time", -10),
    ("cpu/call", -9),
    ("fuel/call", -9),
    ("fuel/s", -9),
    ("faults", -6),
)


def lines(plan: Ready, view: View, width: int, height: int) -> list[Text]:
    """Each gateway, then its components."""
    out: list[Text] = []
    for index, (info, gateway) in enumerate(zip(plan.gateways, view.snapshot.gateways, strict=True)):
        out += [*_gateway(info, gateway, view, index), *_components(info, view)]
        out.append(Text(fit(f"  {info.band}", width), style=DIM))
        for component, cause, count in gateway.faults:
            out.append(Text(f"  fault {component}: {cause} x {count}", style=BAD))
        out.append(Text(""))
    elapsed = max(1, view.snapshot.now_ns)
    out += [
        Text(f"line {name}: busy {100 * busy / elapsed:.1f} %, {queue} waited at most", style=DIM)
        for name, busy, queue in view.snapshot.lines
    ]
    if len(out) > height:
        out = [
            *out[: height - 1],
            Text(
                f"and {number_of(len(out) - height + 1, 'more line')}: a taller window shows all", style=DIM
            ),
        ]
    return [
        Text.assemble(line) if line.cell_len <= width else Text(fit(line.plain, width), style=line.style)
        for line in out
    ]


def _gateway(info: GatewayInfo, gateway: GatewayRow, view: View, index: int) -> list[Text]:
    elapsed = max(1, view.snapshot.now_ns)
    style = "" if gateway.state == "up" and gateway.uplink == "up" else WARN if gateway.state == "up" else BAD
    load, memory = gateway.busy_ns / (elapsed * gateway.cores), gateway.memory_bytes / info.ram_bytes
    more = (f"  role {gateway.role}" if gateway.role else "") + (
        f"  upgrade {gateway.upgrade}" if gateway.upgrade else ""
    )
    head = Text.assemble(
        (info.name, HEAD),
        f"  {info.board}  ",
        (gateway.state, style),
        f"  uplink {gateway.uplink}{more}  {number_of(view.restarts[index], 'restart')}",
    )
    out = [
        head, Text(f"  cores   {bar(load, 20)} {100 * load:.2f} % of {gateway.cores}"),
        Text(f"  memory  {bar(memory, 20)} {size_text(gateway.memory_bytes)} of {size_text(info.ram_bytes)}"),
    ]  # fmt: skip
    waits = f"{number_of(gateway.backlog, 'message')}, {gateway.in_flight} in flight"
    if info.store_bytes:
        out.append(
            Text(
                f"  store   {bar(gateway.store_bytes / info.store_bytes, 20)} "
                f"{size_text(gateway.store_bytes)} of {size_text(info.store_bytes)}: {waits}",
                style=WARN if gateway.backlog else "",
            )
        )
    else:
        out.append(Text(f"  queue   {waits}; no store", style=WARN if gateway.backlog else ""))
    return out


def _components(info: GatewayInfo, view: View) -> list[Text]:
    elapsed = max(1, view.snapshot.now_ns)
    out = [row(list(TABLE), HEAD)]
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
            out.append(
                row(list(zip(cells, (size for _, size in TABLE), strict=True)), BAD if one.faults else "")
            )
    return out
