"""What happens in a served field, in lines; the timeline's entries as they begin.

Belongs here: listening to the trace. Never: what a record means to the run.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from twinloop.scenarios.text.units import show_duration
from twinloop.sim.kernel.trace import KINDS, Record
from twinloop.sim.model.spec import Action
from twinloop.sim.serving.plant import ServedPlant

LOG_MAX, LINES_MAX = 2000, 500
"""lines that are kept, and that one answer has at most: the youngest"""
ENTRIES_MAX = 1000
"""of the timeline that are remembered"""
TOLD = ("trouble", "link", "phase", "limit", "collision", "manner")
"""kinds of records that are lines; the others come with every sample"""


class News:
    """Hears of one plant, whose timeline has begun."""

    def __init__(self, plant: ServedPlant) -> None:
        self._plant = plant
        self._log: deque[dict[str, Any]] = deque(maxlen=LOG_MAX)
        self._number = 0
        self.begun: deque[Action] = deque(maxlen=ENTRIES_MAX)
        self.due: deque[Action] = deque(maxlen=ENTRIES_MAX)
        """entries that an event has put on the timeline"""
        plant.trace.sinks.append(self._took)
        plant.timeline.on_begin.append(self.begun.append)
        plant.timeline.on_due.append(self.due.append)

    def _say(self, at_ns: int, kind: str, text: str) -> None:
        """One line; the same one again and again is one."""
        if self._log and (self._log[-1]["kind"], self._log[-1]["text"]) == (kind, text):
            return
        self._number += 1
        self._log.append({"number": self._number, "at_ns": at_ns, "kind": kind, "text": text})

    def lines(self, after: int) -> list[dict[str, Any]]:
        """Those that are younger than this number."""
        return [line for line in self._log if line["number"] > after][-LINES_MAX:]

    def _took(self, records: list[Record]) -> None:
        for record in records:
            if record[1] in TOLD and record[0] >= 0:
                self._say(record[0], record[1], self._words(record))

    def _words(self, record: Record) -> str:
        names = [device.name for device in self._plant.spec.devices]
        words = []
        for key, value in zip(KINDS[record[1]], record[2:], strict=True):
            if key == "device" and isinstance(value, int) and 0 <= value < len(names):
                words.append(names[value])
            elif isinstance(value, int) and key.endswith("ns"):
                words.append(show_duration(value))
            elif value != "":
                words.append(str(value).replace("_ns", "").replace("_", " "))
        return " ".join(words)
