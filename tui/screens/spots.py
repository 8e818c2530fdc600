"""Where on the panes things stand that have something behind them.

Belongs here: from a pane's size to spots, as that pane draws it. Never: drawing (the pane's own module), what
opens them (terminal/exploring.py).
"""

from __future__ import annotations

from itertools import pairwise

from twinloop.sim.accounts.latency import STAGES
from twinloop.tui.drawing import plot
from twinloop.tui.drawing.spots import Spot
from twinloop.tui.drawing.text import time_text
from twinloop.tui.engine.messages import Ready, View
from twinloop.tui.screens import heat, latency, overview, plant, strip
from twinloop.tui.screens.targets import (
    ToComponent,
    ToDevice,
    ToExpectation,
    ToFleet,
    ToGateway,
    ToSample,
    ToWindow,
)

AXIS_LINES = 2
"""below a curve"""


def expectations(plan: Ready, view: View, width: int, height: int) -> list[Spot]:
    """Each expectation."""
    return [
        Spot(ToExpectation(one.number), "enter: why", y, 0, width, y + count - 1)
        for one, y, count in overview.expectation_places(view, width, height)
    ]


def slowest(plan: Ready, view: View, width: int, height: int) -> list[Spot]:
    """Each of the slowest samples."""
    return [
        Spot(ToSample(slow), f"enter: {plan.devices[slow.device].name}, this sample", y, 0, width)
        for y, slow in enumerate(view.slowest[: height - 1], 1)
    ]


def stages(plan: Ready, view: View, width: int, height: int) -> list[Spot]:
    """Each stage of the waterfall: the sample that was longest in it."""
    out = []
    for stage, slow in enumerate(view.longest):
        y = 2 + stage  # below the heads and the gateway's line
        if slow is not None and y < height:
            said = f"{time_text(slow.spent_ns[stage])} of {plan.devices[slow.device].name}"
            out.append(Spot(ToSample(slow), f"enter: longest in {STAGES[stage]}, {said}", y, 0, width))
    return out


def curve(plan: Ready, view: View, width: int, height: int, cloud: bool = False) -> list[Spot]:
    """Each window of the latency over time, at the gateway or to the ``cloud``; those that fall into one cell
    are one, with the worst of their figures."""
    to_ns, out = latency.until_ns(plan, view, cloud), list[Spot]()
    windows = view.figures.cloud if cloud else view.latency
    above = len(latency.heads(plan, latency.curves(view, width, height, cloud), width, height, cloud))
    size_ns = min((b[0] - a[0] for a, b in pairwise(windows)), default=1_000_000_000)
    first_ns = worst_ns = worst = 0
    for from_ns, _, _, p99 in windows:
        x = plot.place_of(from_ns, 0, to_ns, width)
        if not out or out[-1].x0 != x:
            first_ns, worst_ns, worst = from_ns, from_ns, p99
        else:
            out.pop()
            if worst >= 0 and not 0 <= p99 <= worst:
                worst_ns, worst = from_ns, p99
        figure = "never" if worst < 0 else time_text(worst)
        says = f"p99 {figure} at {strip.short_clock(worst_ns // 10**9)}, enter: its slowest samples"
        out.append(
            Spot(ToWindow(-1, first_ns, from_ns + size_ns), says, above, x, x + 1, height - 1 - AXIS_LINES)
        )
    return out


def devices(plan: Ready, view: View, width: int, height: int) -> list[Spot]:
    """Each cell of all devices."""
    return [
        Spot(ToDevice(index), f"enter: {plan.devices[index].name}", y, x, x + 1)
        for index, x, y in heat.places(plan, width, height)
    ]


def fleets_and_gateways(plan: Ready, view: View, width: int, height: int) -> list[Spot]:
    """Each fleet and each gateway of the drawing, found where it stands."""
    out = []
    names = dict.fromkeys(device.fleet for device in plan.devices)
    for y, line in enumerate(overview.plant_lines(plan, view, width, height)):
        text = line.plain
        fleet = next((name for name in names if plant.is_line_of(text, name, width)), None)
        if fleet is not None and y:
            out.append(Spot(ToFleet(fleet), f"enter: devices of {fleet}", y, 0, plant.fleet_cells(width)))
        for gateway in plan.gateways:
            begins = text.find(f"[{gateway.name} ")
            if begins >= 0:
                ends = text.find("]", begins) + 1
                out.append(Spot(ToGateway(gateway.name), f"enter: {gateway.name}", y, begins, ends))
    return out


def components(plan: Ready, view: View, width: int, height: int) -> list[Spot]:
    """Each component's line."""
    out, y = [], 1
    for info in plan.gateways:
        y += len(plan.gateways) > 1
        for one in view.instances:
            if one.gateway == info.name:
                target, says = ToComponent(one.component), f"enter: {one.component} on all gateways"
                out.append(Spot(target, says, y, 0, width))
                y += 1
    return [one for one in out if one.y < height - 1]
