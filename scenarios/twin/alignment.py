"""Where in its period a device was: the phase of a ramp, sine or square that agrees best with readings.

Belongs here: that search. Never: what a period is (fit.py), what follows from it (compare.py, twin.py). Sums
are of integers, so that the phase that is found is the same on every machine: a twin's trace depends on it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from twinloop.devices.model.signal import SINE, SINE_STEPS, Signal

Array = np.ndarray[Any, Any]
PERIODIC = ("ramp", "sine", "square")
READINGS_MAX = 2000
"""that are looked at, evenly among those there are"""
_GRID = 512
_FINER = 8
_UNIT = 1 << 20
"""of a residual, in parts of the swing"""
_TABLE = np.array(SINE)


def turned(signal: Signal, steps: Array) -> Array:
    """The values of a periodic signal at steps of its period (integers, any), without noise and drift."""
    at = steps % signal.period
    if signal.kind == "ramp":
        return signal.level + signal.swing * (at / signal.period)
    if signal.kind == "square":
        return np.where(at < signal.duty * signal.period, signal.level + signal.swing, signal.level)
    index, rest = np.divmod(at * SINE_STEPS, signal.period)
    low = _TABLE[index]
    return np.asarray(
        signal.level + signal.swing * (low + (_TABLE[index + 1] - low) * (rest / signal.period))
    )


def best_phase(signal: Signal, steps: Array, values: Array) -> int:
    """The phase with the least sum of absolute residuals; ``steps`` are int64, of the readings ``values``."""
    if not signal.swing or not len(steps):
        return 0
    some = np.linspace(0, len(steps) - 1, min(READINGS_MAX, len(steps))).astype(np.int64)
    steps, values = steps[some], values[some]

    def misfit(phase: int) -> int:
        rest = np.abs(turned(signal, steps + phase) - values) * (_UNIT / abs(signal.swing))
        return int(np.minimum(np.rint(rest), 1e12).astype(np.int64).sum())

    stride = max(1, signal.period // _GRID)
    best = min(range(0, signal.period, stride), key=misfit)
    while stride > 1:
        around, stride = stride, max(1, stride // _FINER)
        best = min(
            (phase % signal.period for phase in range(best - around, best + around + 1, stride)), key=misfit
        )
    return best
