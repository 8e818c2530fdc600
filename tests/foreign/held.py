"""What a served device has held by now, computed anew: its model moved along in this process.

Belongs here: values and registers of all steps so far. Never: what a client makes of them (check.py).
"""

from __future__ import annotations

import math
from pathlib import Path

from twinloop.devices.model.device import Device
from twinloop.devices.model.encodings import TEXT
from twinloop.scenarios.file.datasheet.reading import read_model
from twinloop.sim.kernel.random import RandomStreams


class Held:
    """One device of a scenario with the seed 1 (the default), for the first ``seconds`` of serving."""

    def __init__(self, folder: Path, model: str, name: str, seconds: int) -> None:
        file = folder / "model" / model
        self.model = read_model(file.read_text(encoding="utf-8"), file, f"model/{model}")
        self._points = {point.name: i for i, point in enumerate(self.model.points)}
        key = RandomStreams(1).key(f"device/{name}")
        device = Device(model=self.model, name=name, unit_id=1, key=key)
        self._values: dict[str, list[float]] = {point: [] for point in self._points}
        self._words: dict[str, list[list[int]]] = {point: [] for point in self._points}
        for step in range(seconds * 1_000_000_000 // self.model.step_ns):
            device.advance(step * self.model.step_ns)
            for name, i in self._points.items():
                point = self.model.points[i]
                words = device.image.read_words(point.table, point.address, point.width)
                assert words is not None
                self._words[name].append(words)
                self._values[name].append(math.nan if point.type == TEXT else device.image.value(i))

    def has_value(self, name: str, told: float | str | None) -> bool:
        """Has the point been that? None: its registers (high word first) were those that mean "no value"."""
        point = self.model.points[self._points[name]]
        if point.text is not None:
            return told == point.text.content
        if told is None:
            return any(_number(words) in point.nan for words in self._words[name])
        assert not isinstance(told, str), f"{name} is told as {told!r}"
        return any(math.isclose(told, one, rel_tol=1e-9, abs_tol=1e-9) for one in self._values[name])

    def has_words(self, name: str, told: list[int]) -> bool:
        """Have the point's registers been these?"""
        return told in self._words[name]


def _number(words: list[int]) -> int:
    number = 0
    for word in words:
        number = number << 16 | word
    return number
