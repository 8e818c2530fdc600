"""A twin: a device model that begins where a recording of the field ends (``twin: recording/press.csv``).

Belongs here: what of a recording's end is the model's beginning. Never: the format of recordings. Step 0 is
the recording's last instant. A constant, a counter and what is written begin at the last value, a walk and a
reversion start there, a ramp, sine or square goes on in its phase, physics takes from the last outputs what
they tell of its state.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from statistics import median
from typing import Any

import numpy as np

from twinloop.devices.catalogue.recording import Recording, Track
from twinloop.devices.model.device import DeviceModel
from twinloop.devices.model.points import Point
from twinloop.devices.model.process import Process
from twinloop.devices.model.signal import Signal
from twinloop.scenarios.twin.alignment import PERIODIC, best_phase, turned
from twinloop.scenarios.twin.fit import good

NOISY_READINGS = 5
"""whose median is the last value of a constant that has noise"""
PERIODS, READINGS = 2, 200
"""at the recording's end, from which a phase is taken: the one or the other, whichever is more"""
ROUNDS = 3
"""of phase and level in turns"""


def twin(model: DeviceModel, recording: Recording, name: str) -> DeviceModel:
    """The model, from the recording's end on; raises ValueError when the recording has none of its points."""
    found = {
        point.name: good(recording.tracks[point.name])
        for point in model.points
        if point.name in recording.tracks
    }
    last = {point: values[-1] for point, (_, values) in found.items() if values}
    if not last:
        raise ValueError(
            f"it has no Good reading of {model.name}'s points: "
            f"{', '.join(point.name for point in model.points)}"
        )
    points = tuple(
        _resumed(point, recording, model.step_ns) if point.name in last else point for point in model.points
    )
    process = model.process
    if process is not None:
        shown = {
            point.output: last[point.name] for point in model.points if point.output and point.name in last
        }
        written = {
            point.name: last.get(point.name, point.signal.level) for point in model.points if point.writable
        }
        process = _process(process, shown, written)
    return replace(model, name=f"{model.name} from {name}", points=points, process=process)


def _process(
    make: Callable[[int, float], Process], shown: dict[str, float], written: dict[str, float]
) -> Callable[[int, float], Process]:
    def made(key: int, dt_s: float) -> Process:
        process = make(key, dt_s)
        process.resume(shown, written)
        return process

    return made


def _resumed(point: Point, recording: Recording, step_ns: int) -> Point:
    if point.output:
        return point
    return replace(
        point,
        signal=resumed(
            point.signal, recording.tracks[point.name], recording.lasts_ns, step_ns, point.writable
        ),
    )


def resumed(signal: Signal, track: Track, ends_ns: int, step_ns: int, written: bool = False) -> Signal:
    """The signal whose step 0 is ``ends_ns`` of the track's clock."""
    instants, values = good(track)
    settled = median(values[-NOISY_READINGS:]) if signal.noise else values[-1]
    if written or signal.kind in ("constant", "step"):
        return signal._replace(kind="constant", level=values[-1] if written else settled, swing=0.0)
    if signal.kind == "counter":
        return signal._replace(level=values[-1] + signal.swing * ((ends_ns - instants[-1]) // step_ns))
    drifted = signal.drift * (ends_ns // step_ns)
    if signal.kind in ("walk", "reversion"):
        first = values[-1] - drifted
        if signal.kind == "walk" and signal.limit:
            first = min(max(first, signal.level - signal.limit), signal.level + signal.limit)
        return signal._replace(level=signal.level + drifted, start=first + drifted)
    assert signal.kind in PERIODIC
    since = ends_ns - PERIODS * signal.period * step_ns
    kept = max(sum(ns >= since for ns in instants), min(READINGS, len(instants)))
    at = np.array([(ns - ends_ns) // step_ns for ns in instants[-kept:]], np.int64)
    return in_phase(signal._replace(level=signal.level + drifted), at, np.array(values[-kept:], np.float64))


def in_phase(signal: Signal, at: Any, values: Any) -> Signal:
    """A periodic signal in the phase and at the level that agree with readings ``at`` steps before 0
    (negative numbers)."""
    still = values - signal.drift * at
    moved = signal
    for _ in range(ROUNDS if signal.drift else 1):
        moved = moved._replace(phase=best_phase(moved, at, still))
        if signal.drift:  # a drift that was estimated has an error, which a long recording makes a level
            moved = moved._replace(
                level=moved.level + float(np.median(still - turned(moved, at + moved.phase)))
            )
    return moved
