"""``python -m benchmarks.outliers``: does a detector of outliers in Python earn its price? The plant of
outliers.yaml with it and with the shipped transform, side by side.

Belongs here: both runs, what of the planted spikes arrives marked, and what that costs. Never: the plant
(outliers.yaml), the detector (tests/guests/python-zscore). Marks are read where they count, in the messages
that the cloud gets: metrics speak of the quality that drivers returned.
"""

from __future__ import annotations

import json
import math
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.languages import BOARDS, BUILT, shown
from twinloop.scenarios import front
from twinloop.scenarios.runner import Options, run
from twinloop.scenarios.text.units import duration, show_duration, show_ratio, show_size
from twinloop.sim.kernel.clock import S as SECOND
from twinloop.sim.world import World

SCENARIO = Path(__file__).with_name("outliers.yaml")
DETECTOR = BUILT / "python-zscore.wasm"
NONE_OF_ITS = dict.fromkeys(("points", "window", "threshold"))
SHIPPED = {
    "wasm": "normalize.wasm",
    "grants": ["log"],
    "limits": None,
    "with": {"range": "mark", **NONE_OF_ITS},
}
"""in the detector's place: it marks what is outside of a point's range"""
AS_IT_COMES = {"with": NONE_OF_ITS}
"""its defaults: all points, half a minute of readings, three standard deviations"""
POINT = "pressure"
SPIKES_BAR, THRESHOLDS = (1.0, 2.0, 4.0), ("3", "4", "5")


def planted(data: dict[str, Any]) -> set[tuple[str, int]]:
    """(device, number of the poll) of each spike of a scenario: one second of fault, one poll a second."""
    lasts = duration(data["duration"])
    found = set()
    for entry in data["timeline"]:
        every, first = duration(entry["every"]), duration(entry["after"])
        found |= {(entry["device-fault"], at // SECOND) for at in range(first, lasts, every)}
    return found


@dataclass
class Arrived:
    """What the cloud got. ``spikes``: the planted ones; ``marked``: (device, number of the poll, point)
    of readings that aren't Good; ``values``: of POINT."""

    spikes: set[tuple[str, int]]
    marked: set[tuple[str, int, str]] = field(default_factory=set)
    values: dict[tuple[str, int], float] = field(default_factory=dict)

    def listen(self, world: World) -> None:
        """Given to a run as ``started``."""
        self.marked.clear()  # of a run that began anew
        accept = world.cloud.accept

        def heard(gateway: int, message: Any) -> None:
            self._take(json.loads(message.body))
            accept(gateway, message)

        world.cloud.accept = heard  # type: ignore[method-assign]

    def _take(self, body: dict[str, Any]) -> None:
        at = body["device"], body["seq"]
        self.values[at] = body["values"][POINT]
        self.marked.update((*at, point) for point in body.get("status", {}))

    @property
    def caught(self) -> int:
        """Spikes that are marked."""
        return sum((*spike, POINT) in self.marked for spike in self.spikes)

    @property
    def false_alarms(self) -> int:
        """Marked, and no spike."""
        return len(self.marked) - self.caught


def once(
    board: str, check: dict[str, Any] | None = None, spike: float = 4.0
) -> tuple[dict[str, Any], Arrived]:
    """One run: its result and what arrived. ``check``: changes to the transform; ``spike``: how large, in
    bar."""
    scenario = front.load(SCENARIO)
    timeline = [
        {**entry, "value": math.copysign(spike, entry["value"])} for entry in scenario.data["timeline"]
    ]
    changes: dict[str, Any] = {"gateways": {"gw": {"board": board}}, "timeline": timeline}
    if check is not None:
        changes["components"] = {"check": check}
    scenario = scenario.changed(changes)
    arrived = Arrived(planted(scenario.data))
    return run(scenario, Options(started=arrived.listen)).data, arrived


def _column(data: dict[str, Any], arrived: Arrived) -> list[str]:
    gateway = data["gateways"]["gw"]
    check = gateway["components"]["check"]
    return [
        str(len(arrived.spikes)),
        str(len(arrived.spikes) - arrived.caught),
        str(arrived.caught),
        str(arrived.false_alarms),
        show_duration(data["latency"]["gateway"]["p99_ns"]),
        show_duration(check["cpu_ns"] // check["calls"]),
        show_ratio(gateway["cpu_ratio"]),
        show_size(gateway["memory_peak_bytes"]),
        show_duration(gateway["boot_ns"]),
        show_duration(gateway["install_ns"]),
    ]


def price() -> list[list[str]]:
    """A row a figure, a column a run."""
    words = [
        "figure",
        "spikes planted",
        "that arrive as Good",
        "that arrive as Uncertain",
        "other readings marked",
    ]
    words += ["p99(latency.gateway)", "CPU of a call of the transform", "CPU used", "memory", "boot"]
    words += ["compiled in"]
    columns = [words]
    for board in BOARDS:
        for check, name in ((SHIPPED, "normalize"), (None, "z-score")):
            columns.append([f"{board}, {name}", *_column(*once(board, check))])
    return [list(row) for row in zip(*columns, strict=True)]


def settings() -> list[list[str]]:
    """A row a setting of the detector: how many spikes of each size are marked, and what else is."""
    head = ["threshold, points", *(f"spikes of {bar:g} bar marked" for bar in SPIKES_BAR)]
    head += ["other readings marked"]
    rows = []
    checks = {f"{each}, pressure": {"with": {"threshold": each}} for each in THRESHOLDS}
    for name, check in {**checks, "3, all (defaults)": AS_IT_COMES}.items():
        found = [once(BOARDS[0], check, bar)[1] for bar in SPIKES_BAR]
        others = [one.false_alarms for one in found]
        between = f"{min(others)} to {max(others)}" if min(others) != max(others) else str(others[0])
        rows.append([name, *(f"{one.caught} of {len(one.spikes)}" for one in found), between])
    return [head, *rows]


if __name__ == "__main__":
    if not DETECTOR.exists():
        sys.exit(f"not built: {DETECTOR.name} (make -C tests/guests python-zscore)")
    for table in (price(), settings()):
        print(f"{shown(table, '--markdown' in sys.argv)}\n")
