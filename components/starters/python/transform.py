"""@NAME@: a transform. Values are held within their point's limits and multiplied by the option `factor`.

`configure` is called first; then `transform_readings` for each batch. One instance serves a whole gateway.
Each call gets a new object, so what is kept between two calls is kept outside of it.
"""

import math
import re

from componentize_py_types import Err
from wit_world import exports
from wit_world.imports.types import (
    Batch,
    ConfigError_BadOption,
    ConfigError_UnknownOption,
    IntegerReading,
    Origin,
    PointConfig,
    Reading,
    Settings,
    TransformError_BadInput,
    TransformError_NotConfigured,
)

BAD = 0x80000000
UNITS_EXCEEDED = 0x40940000
"""OPC UA: UncertainEngineeringUnitsExceeded"""
NUMBER = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?")
LONGEST = 39


class Configured:
    """The settings as they are used."""

    def __init__(self, factor: float, points: list[PointConfig]) -> None:
        self.factor = factor
        self.points = {point.id: point for point in points}

    def point(self, number: int) -> PointConfig:
        """The point with an id; raises Err if there is none."""
        found = self.points.get(number)
        if found is None:
            raise Err(TransformError_BadInput("unknown point"))
        return found


class Kept:
    """What is kept between two calls."""

    settings: Configured | None = None


def number(text: str) -> float | None:
    """A finite decimal number, or None."""
    text = text.strip(" \t")
    if len(text) > LONGEST or not NUMBER.fullmatch(text):
        return None
    value = float(text)
    return value if math.isfinite(value) else None


def beyond(point: PointConfig, value: float) -> bool:
    """Is a value outside of its point's limits?"""
    return (point.low is not None and value < point.low) or (point.high is not None and value > point.high)


class Transform(exports.Transform):
    """What the gateway calls."""

    def configure(self, settings: Settings) -> None:
        """Take the settings, or say what is wrong with them."""
        Kept.settings = None
        factor = 1.0
        for name, value in settings.options:
            if name != "factor":
                raise Err(ConfigError_UnknownOption(name))
            found = number(value)
            if found is None:
                raise Err(ConfigError_BadOption(name))
            factor = found
        Kept.settings = Configured(factor, settings.points)

    def transform_readings(self, source: Origin, input: Batch) -> Batch:
        """The readings, each within its limits and multiplied; integers, exact while the factor is 1; texts as
        they came."""
        settings = Kept.settings
        if settings is None:
            raise Err(TransformError_NotConfigured())
        for reading in input.readings:
            point = settings.point(reading.point)
            if reading.status >= BAD:
                continue
            if point.low is not None and reading.value < point.low:
                reading.value, reading.status = point.low, UNITS_EXCEEDED
            elif point.high is not None and reading.value > point.high:
                reading.value, reading.status = point.high, UNITS_EXCEEDED
            reading.value *= settings.factor
        exact: list[IntegerReading] = []
        for whole in input.integers:
            point = settings.point(whole.point)
            value = float(whole.value.value)
            if whole.status < BAD and beyond(point, value):
                whole.status = UNITS_EXCEEDED
            if whole.status >= BAD or settings.factor == 1:
                exact.append(whole)
            else:
                scaled = value * settings.factor
                input.readings.append(Reading(whole.point, scaled, whole.status, whole.measured))
        input.integers = exact
        return input
