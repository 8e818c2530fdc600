"""Overview: what is there and how it is, headline figures, expectations as they stand, the log.

Belongs here: those lines.
"""

from __future__ import annotations

import numpy as np
from rich.text import Text

from twinloop.scenarios.text.words import number_of
from twinloop.tui.drawing.text import (
    BAD,
    DIM,
    HEAD,
    OK,
    VERDICT_MARKS,
    VERDICT_STYLES,
    WARN,
    clock_text,
    count_text,
    fit,
    rate_text,
    row,
    time_text,
)
from twinloop.tui.engine.messages import LiveVerdict, Ready, View

HEADS = ("fleet", "devices", "points/s", "missed", "lost", "link", "gateway", "uplink", "cloud/s")
WIDTHS = (10, -7, -8, -6, -5, 9, 9, 9, -7)
WIDE = (16, -8, -9, -9, -8, 16, 18, 16, -9)
"""where they fit"""
LOG_LINES = 5
"""at least, if there are so many"""
MEASURED = 12
"""cells of a measured value"""


def lines(plan: Ready, view: View, width: int, height: int) -> list[Text]:
    """All of it."""
    top = [
        *_topology(plan, view, width, max(2, (height - 7) // 3)),
        Text(""),
        *_figures(view, width),
        Text(""),
    ]
    top += _expectations(view, width, max(2, height - len(top) - 1 - LOG_LINES))
    left = max(3, height - len(top) - 1)
    return [*top, row([("what happened", width)], HEAD), *log_lines(view, width, left)][:height]


def _topology(plan: Ready, view: View, width: int, most: int) -> list[Text]:
    """From the fleets over links and gateways to the cloud, in the order of the file; those in trouble first
    when not all are seen."""
    snapshot, links = view.snapshot, dict(view.snapshot.links)
    widths = WIDE if width >= sum(map(abs, WIDE)) + len(WIDE) - 1 else WIDTHS
    out = [row(list(zip(HEADS, widths, strict=True)), HEAD)]
    columns = snapshot.devices
    gateways = {gateway.name: gateway for gateway in snapshot.gateways}
    uplinks = {gateway.name: gateway.uplink for gateway in plan.gateways}
    fleets: list[tuple[int, Text]] = []

    def way(name: str, size: int, broken: bool) -> str:
        return (
            f"{fit(name, min(len(name), size - 3))} {'✗' if broken else '─'}".ljust(
                size - 1, "─" if not broken else " "
            )
            + "▸"
        )

    names = {name: number for number, name in enumerate(dict.fromkeys(columns.fleets))}
    of = np.fromiter((names[name] for name in columns.fleets), np.int64, len(columns.fleets))
    counts, first = np.bincount(of), np.unique(of, return_index=True)[1]
    ends = [np.bincount(of, column) for column in (columns.missed, columns.lost)]
    for fleet, number in names.items():
        device = plan.devices[int(first[number])]
        missed, lost = (int(column[number]) for column in ends)
        gateway = gateways[device.gateway]
        uplink, link = uplinks[gateway.name], device.link
        read, there = rate_text(view.carried_per_s[number]), rate_text(view.delivered_per_s[number])
        cells = (
            fleet,
            str(counts[number]),
            read,
            count_text(missed),
            count_text(lost),
            way(link, widths[5], links[link]),
            f"{gateway.name} {gateway.state}",
            way(uplink, widths[7], links[uplink] or gateway.uplink != "up"),
            there,
        )
        sound = gateway.state == "up" and gateway.uplink == "up" and not links[link] and not links[uplink]
        fleets.append(
            (
                0 if lost else 1 if not sound else 2,
                row(list(zip(cells, widths, strict=True)), BAD if lost else "" if sound else WARN),
            )
        )
    if len(fleets) > most:
        more = len(fleets) - most + 1
        fleets = [
            *sorted(fleets, key=lambda one: one[0])[: most - 1],
            (3, Text(f"and {number_of(more, 'more fleet')}", style=DIM)),
        ]
    return [*out, *(text for _, text in fleets)]


def _figures(view: View, width: int) -> list[Text]:
    snapshot = view.snapshot
    ends: dict[str, int] = {}
    for state, _, count in snapshot.ends:
        ends[state] = ends.get(state, 0) + count
    latency = dict(snapshot.latency)
    counts = "  ".join(
        f"{ends[state]} {state}"
        for state in ("delivered", "cached", "dropped", "evicted", "missed", "lost")
        if ends.get(state)
    )
    counts += "".join(f"  {count} {name}" for name, count in snapshot.quality)
    backlog = sum(gateway.backlog for gateway in snapshot.gateways)
    p50, p95, p99 = (time_text(value) for value in latency["gateway"])
    c50, _, c99 = (time_text(value) for value in latency["cloud"])
    middle = f"  {p95} p95" if width >= 100 else ""
    times = f"gateway {p50} p50{middle}  {p99} p99  cloud {c50} p50  {c99} p99"
    return [
        Text.assemble(
            ("samples ", HEAD),
            fit(f"{snapshot.due} due  {snapshot.open} open  backlog {backlog}  {counts}", width - 8),
        ),
        Text.assemble(("latency ", HEAD), fit(times, width - 8)),
    ]


def _expectations(view: View, width: int, most: int) -> list[Text]:
    order = sorted(view.verdicts, key=lambda one: one.verdict == "PASS")
    out = [_expectation(one, width) for one in order[:most]]
    if len(order) > most:
        out = [*out[: most - 1], Text(f"  and {len(order) - most + 1} more", style=DIM)]
    return out


def _expectation(one: LiveVerdict, width: int) -> Text:
    style = VERDICT_STYLES.get(one.verdict, WARN)
    measured = one.measured[:MEASURED].rjust(MEASURED)
    mark = f"{VERDICT_MARKS.get(one.verdict, '!')} "
    return Text.assemble((mark, style), fit(one.text, width - MEASURED - 3), " ", (measured, style))


def log_lines(view: View, width: int, most: int) -> list[Text]:
    """The youngest last."""
    out = []
    for line in view.log[-most:]:
        style = (
            OK
            if line.text.endswith((" heal", "up"))
            else BAD
            if "crash" in line.text or "fault" in line.kind
            else ""
        )
        out.append(
            Text.assemble(
                (fit(clock_text(line.at_ns), 14), DIM),
                (fit(line.kind, 10), DIM),
                (fit(line.text, width - 25), style),
            )
        )
    return out
