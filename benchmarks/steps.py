"""Whether the generated step of a device pays: against one call for each point's signal and register.

Belongs here: that one row. Never: a fleet's step, which is one numpy pass (devices/model/fleet.py); a step in
C, which nobody doubts.
"""

from __future__ import annotations

import time

from twinloop.devices.catalogue.catalog import model as device_model
from twinloop.devices.model.device import Device
from twinloop.devices.model.registers import RegisterImage
from twinloop.devices.model.signal import mixed
from twinloop.devices.model.stepper import TAKEN, take

STEPS = 5000
KEY = 123


def closures_to_generated() -> tuple[float, float]:
    """(µs of a step by closures, µs of a generated one), of a press sensor's ten points, in CPU time."""
    model, signals = device_model("press-sensor"), TAKEN.signals
    take(None)
    device = Device(model, "presses/1", 1, KEY)
    take(signals)
    image = RegisterImage(model.points, model.constants)
    moving = [
        (i, point.signal.build(mixed(KEY, i))) for i, point in enumerate(model.points) if not point.writable
    ]

    def closures(k: int) -> None:
        for i, value in moving:
            image.write_value(i, value(k))

    took = []
    for step in (closures, device._move):
        began = time.process_time()
        for k in range(STEPS):
            step(k)
        took.append((time.process_time() - began) / STEPS * 1e6)
    return took[0], took[1]
