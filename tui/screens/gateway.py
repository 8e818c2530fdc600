"""Gateway: cores, memory, uplink, store, and who spends what.

Belongs here: those lines.
"""

from __future__ import annotations

from rich.text import Text

from tui.messages import Ready, View
from tui.text import BAD, DIM, HEAD, WARN, bar, row, size_text, time_text


def lines(plan: Ready, view: View, width: int, height: int) -> list[Text]:
    """Each gateway, then its components."""
    out: list[Text] = []
    elapsed = max(1, view.snapshot.now_ns)
    for info, gateway in zip(plan.gateways, view.snapshot.gateways, strict=True):
        share = gateway.busy_ns / (elapsed * gateway.cores)
        style = "" if gateway.state == "up" and gateway.uplink == "up" else WARN if gateway.state == "up" else BAD
        out.append(Text.assemble(
            (info.name, HEAD), f"  {info.board}  ", (gateway.state, style), f"  uplink {gateway.uplink}",
            f"  role {gateway.role}" if gateway.role else "",
            f"  upgrade {gateway.upgrade}" if gateway.upgrade else "",
        ))  # fmt: skip
        memory = gateway.memory_bytes / info.ram_bytes
        out.append(Text(f"  cores   {bar(share, 20)} {100 * share:6.2f} % of {gateway.cores}"))
        out.append(Text(f"  memory  {bar(memory, 20)} {size_text(gateway.memory_bytes)} of {size_text(info.ram_bytes)}"))
        waiting = f"  waits   {gateway.backlog} messages in the store ({size_text(gateway.store_bytes)}), {gateway.in_flight} on their way"
        out.append(Text(waiting, style=WARN if gateway.backlog else ""))
        out.append(row([("  component", 20), ("calls", -10), ("cpu time", -12), ("cpu a call", -12), ("fuel a call", -12), ("faults", -7)], HEAD))
        for one in view.instances:
            if one.gateway != info.name:
                continue
            a_call = one.cpu_ns // one.calls if one.calls else 0
            cells = [
                (f"  {one.component}", 20), (str(one.calls), -10), (time_text(one.cpu_ns), -12), (time_text(a_call), -12),
                (str(one.fuel // one.calls if one.calls else 0), -12), (str(one.faults), -7),
            ]  # fmt: skip
            out.append(row(cells, BAD if one.faults else ""))
        for component, cause, count in gateway.faults:
            out.append(Text(f"  fault {component}: {cause} x {count}", style=BAD))
        out.append(Text(""))
    out += [Text(f"line {name}: busy {100 * busy / elapsed:.1f} %, {queue} waited at most", style=DIM) for name, busy, queue in view.snapshot.lines]
    return out[:height]
