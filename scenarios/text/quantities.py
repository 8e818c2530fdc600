"""The scalars of the scenario file: quantities with units, names and targets, as types that pydantic checks.

Belongs here: what one scalar may look like. Never: how a quantity is read (units.py), the blocks that hold them (schema.py).
Durations are integers of nanoseconds once read, sizes bytes, ratios 0 to 1.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from pydantic import BeforeValidator, StringConstraints, WithJsonSchema
from pydantic_core import PydanticCustomError

from twinloop.scenarios.text import units


def _quantity(read: Callable[[Any], Any], example: str) -> Any:
    def validate(value: Any) -> Any:
        try:
            return read(value)
        except ValueError as error:
            raise PydanticCustomError("quantity", "{text}", {"text": str(error)}) from error

    return BeforeValidator(validate), WithJsonSchema({"type": "string", "examples": [example]})


Duration = Annotated[int, *_quantity(units.duration, "50 ms")]
PositiveDuration = Annotated[int, *_quantity(units.positive_duration, "50 ms")]
Size = Annotated[int, *_quantity(units.size, "64 MiB")]
PositiveSize = Annotated[int, *_quantity(units.positive_size, "64 MiB")]
Interval = Annotated[int, *_quantity(units.interval, "1 s")]
Rate = Annotated[int, *_quantity(units.bit_rate, "10 Mbit/s")]
ByteRate = Annotated[int, *_quantity(units.byte_rate, "10 MB/s")]
Baud = Annotated[int, *_quantity(units.baud, "9600 Bd")]
PerSecond = Annotated[int, *_quantity(units.per_second, "200 /s")]
Ratio = Annotated[float, *_quantity(units.ratio, "0.1 %")]
Shift = Annotated[int, *_quantity(units.shift, "-2 s")]
Skew = Annotated[int, *_quantity(units.skew, "200 ppm")]
Share = Annotated[float, *_quantity(units.positive_ratio, "10 %")]
Faults = Annotated[tuple[int, int], *_quantity(units.faults_in_window, "5 in 60 s")]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]*$", max_length=64)]
Target = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]*(/([1-9][0-9]*|any))?$", max_length=80)]
"""a fleet, one of its devices, or one drawn by the seed: ``presses``, ``presses/3``, ``presses/any``"""
SlotName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]*/(transform|policy|driver/[a-z][a-z0-9-]*/([1-9][0-9]*|any))$", max_length=200)]
ComponentName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]*/[a-z][a-z0-9-]*$", max_length=130)]
"""a component on a gateway: ``gw/route``"""
Version = Annotated[str, StringConstraints(pattern=r"^(0|[1-9][0-9]{0,8})(\.(0|[1-9][0-9]{0,8})){2}$")]
DeviceName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]*/[1-9][0-9]*$", max_length=80)]
