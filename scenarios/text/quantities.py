"""The scalars of the scenario file: quantities with units, names and targets, as types that pydantic checks.

Belongs here: what one scalar may look like. Never: how a quantity is read (units.py), the blocks that hold
them (schema.py). Durations are integers of nanoseconds once read, sizes bytes, ratios 0 to 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Annotated, Any

from pydantic import BeforeValidator, StringConstraints, WithJsonSchema
from pydantic_core import PydanticCustomError

from twinloop.scenarios.text import units

KIND = "x-kind"
"""in the JSON Schema: what a quantity is called"""
_NUMBER = r"[-+]?[0-9]*\.?[0-9]+"


def _written(units_of: Iterable[str]) -> str:
    """The pattern of a number with one of these units."""
    return rf"^\s*{_NUMBER}\s*({'|'.join(units_of)})\s*$"


_TIME = _written(units.DURATIONS)
_SIZE = _written(units.SIZES)


def _quantity(read: Callable[[Any], Any], kind: str, example: str, pattern: str) -> Any:
    def validate(value: Any) -> Any:
        try:
            return read(value)
        except ValueError as error:
            raise PydanticCustomError("quantity", "{text}", {"text": str(error)}) from error

    return BeforeValidator(validate), WithJsonSchema(
        {"type": "string", "examples": [example], "pattern": pattern, KIND: kind}
    )


Duration = Annotated[int, *_quantity(units.duration, "duration", "50 ms", _TIME)]
PositiveDuration = Annotated[int, *_quantity(units.positive_duration, "duration over 0", "50 ms", _TIME)]
Interval = Annotated[int, *_quantity(units.interval, "duration of 1 ms or more", "1 s", _TIME)]
Shift = Annotated[int, *_quantity(units.shift, "duration, + or -", "-2 s", _TIME)]
Size = Annotated[int, *_quantity(units.size, "size", "64 MiB", _SIZE)]
PositiveSize = Annotated[int, *_quantity(units.positive_size, "size over 0", "64 MiB", _SIZE)]
Rate = Annotated[int, *_quantity(units.bit_rate, "bit rate", "10 Mbit/s", _written(units.RATES))]
ByteRate = Annotated[
    int, *_quantity(units.byte_rate, "byte rate", "10 MB/s", _written(f"{unit}/s" for unit in units.SIZES))
]
Baud = Annotated[int, *_quantity(units.baud, "speed of a line", "9600 Bd", _written(("Bd", "kBd")))]
PerSecond = Annotated[int, *_quantity(units.per_second, "number per second", "200 /s", _written(("/s",)))]
Ratio = Annotated[float, *_quantity(units.ratio, "percentage", "0.1 %", _written(("%",)))]
Share = Annotated[float, *_quantity(units.positive_ratio, "percentage over 0", "10 %", _written(("%",)))]
Skew = Annotated[
    int, *_quantity(units.skew, "parts per million, + or -", "200 ppm", _written(("ppm", "ppb")))
]
Faults = Annotated[
    tuple[int, int],
    *_quantity(
        units.faults_in_window,
        "number in a duration",
        "5 in 60 s",
        rf"^\s*[0-9]+\s+in\s+{_TIME.removeprefix('^')}",
    ),
]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]*$", max_length=64)]
Target = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]*(/([1-9][0-9]*|any))?$", max_length=80)]
"""a fleet, one of its devices, or one drawn by the seed: ``presses``, ``presses/3``, ``presses/any``"""
SlotName = Annotated[
    str,
    StringConstraints(
        pattern=r"^[a-z][a-z0-9-]*/(transform|policy|driver/[a-z][a-z0-9-]*/([1-9][0-9]*|any))$",
        max_length=200,
    ),
]
ComponentName = Annotated[
    str, StringConstraints(pattern=r"^[a-z][a-z0-9-]*/[a-z][a-z0-9-]*$", max_length=130)
]
"""a component on a gateway: ``gw/route``"""
Version = Annotated[str, StringConstraints(pattern=r"^(0|[1-9][0-9]{0,8})(\.(0|[1-9][0-9]{0,8})){2}$")]
DeviceName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]*/[1-9][0-9]*$", max_length=80)]
