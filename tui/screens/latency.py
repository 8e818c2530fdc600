"""Latency: percentiles over time, where the time goes, the slowest samples and where theirs went.

Belongs here: those lines.
"""

from __future__ import annotations

from rich.text import Text

from sim.latency import STAGES
from tui.messages import Ready, View
from tui.text import DIM, HEAD, bar, clock_text, curve, row, time_text

PLOT_LINES = 5


def lines(plan: Ready, view: View, width: int, height: int) -> list[Text]:
    """All of it."""
    latency = dict(view.snapshot.latency)
    windows = view.latency
    worst = [float("nan") if p99 < 0 else float(p99) for _, _, p99 in windows]
    known = [p99 for _, _, p99 in windows if p99 >= 0]
    span = f" from {clock_text(windows[0][0])} to {clock_text(windows[-1][0])}, {time_text(min(known))} to {time_text(max(known))}" if known else ""
    out = [Text.assemble(("p99 of the gateway's latency", HEAD), (span, DIM))]
    out += [Text(line, style="cyan", no_wrap=True) for line in curve(worst, width - 1, PLOT_LINES)]
    out.append(row([("stage", 10), ("p50", -10), ("p95", -10), ("p99", -10), ("share of the p99", 30)], HEAD))
    whole = max(1, latency["gateway"][2])
    for name in ("gateway", *STAGES, "cloud"):
        p50, p95, p99 = latency[name]
        share = bar(p99 / whole, 20) if name in STAGES and p99 >= 0 else ""
        cells = [(name, 10), (time_text(p50), -10), (time_text(p95), -10), (time_text(p99), -10), (share, 30)]
        out.append(row(cells, HEAD if name == "gateway" else ""))
    out.append(row([("slowest", 16), ("k", -6), ("took", -10), ("most of it", 24)], HEAD))
    for slow in view.slowest[: max(1, height - len(out))]:
        stage = max(range(len(STAGES)), key=lambda i: slow.spent_ns[i])
        most = f"{STAGES[stage]} {time_text(slow.spent_ns[stage])}" if any(slow.spent_ns) else "-"
        k = str(slow.k) if slow.k >= 0 else "-"
        out.append(row([(plan.devices[slow.device].name, 16), (k, -6), (time_text(slow.total_ns), -10), (most, 24)]))
    return out[:height]
