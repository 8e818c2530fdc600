"""``python -m benchmarks.outliers``: does a detector of outliers in Python earn its price? The plant of
outliers.yaml with it and with the shipped transform, side by side.

Belongs here: both runs, what of the planted spikes arrives marked, and what that costs. Never: the plant
(outliers.yaml), the detector (tests/guests/python-zscore). Marks are read where they count, in the messages
that the cloud gets: metrics speak of the quality that drivers returned.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.languages import BOARDS, BUILT, shown
from twinloop.scenarios import front
from twinloop.scenarios.runner import Options, run
from twinloop.scenarios.text.units import show_duration, show_ratio, show_size
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
POINT, OUTSIDE = "pressure", (4.2, 7.8)
"""the press goes from 4.5 to 7.5 bar, with some noise; a spike of 4 bar ends outside of these wherever it
begins, or is no spike of this plant"""


@dataclass
class Arrived:
    """What the cloud got. ``spikes``: (device, k) of the planted ones; ``marked``: (device, k, point) of
    readings that aren't Good."""

    spikes: set[tuple[str, int]] = field(default_factory=set)
    marked: set[tuple[str, int, str]] = field(default_factory=set)

    def listen(self, world: World) -> None:
        """Given to a run as ``started``."""
        self.spikes.clear()
        self.marked.clear()
        accept = world.cloud.accept

        def heard(gateway: int, message: Any) -> None:
            self._take(json.loads(message.body))
            accept(gateway, message)

        world.cloud.accept = heard  # type: ignore[method-assign]

    def _take(self, body: dict[str, Any]) -> None:
        at = body["device"], body["seq"]
        if not OUTSIDE[0] <= body["values"][POINT] <= OUTSIDE[1]:
            self.spikes.add(at)
        self.marked.update((*at, point) for point in body.get("status", {}))

    @property
    def caught(self) -> int:
        """Spikes that are marked."""
        return sum((*spike, POINT) in self.marked for spike in self.spikes)

    @property
    def false_alarms(self) -> int:
        """Marked, and no spike."""
        return len(self.marked) - self.caught


def once(board: str, detector: bool) -> tuple[dict[str, Any], Arrived]:
    """One run: its result and what arrived."""
    scenario, arrived = front.load(SCENARIO), Arrived()
    changes: dict[str, Any] = {"gateways": {"gw": {"board": board}}}
    if not detector:
        changes["components"] = {"check": SHIPPED}
    return run(scenario.changed(changes), Options(started=arrived.listen)).data, arrived


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


def table() -> list[list[str]]:
    """A row a figure, a column a run."""
    words = ["", "spikes planted", "that arrive as Good", "that arrive as Uncertain", "other readings marked"]
    words += ["p99(latency.gateway)", "CPU of a call of the transform", "CPU used", "memory", "boot"]
    words += ["compiled in"]
    columns = [words]
    for board in BOARDS:
        for detector, name in ((False, "normalize"), (True, "z-score")):
            columns.append([f"{board}, {name}", *_column(*once(board, detector))])
    return [list(row) for row in zip(*columns, strict=True)]


if __name__ == "__main__":
    if not DETECTOR.exists():
        sys.exit(f"not built: {DETECTOR.name} (make -C tests/guests python-zscore)")
    print(shown(table(), "--markdown" in sys.argv))
