"""python-zscore: a transform that marks what doesn't fit: a value too many standard deviations from its point's mean.

Options: `window` (readings that are remembered of each point, 3 to 10000, default 30), `threshold` (a number above 0,
default 3), `points` (names, as in "pressure, temperature": those that are judged; default all). A Good reading farther from the mean of the window before it gets status 0x40000000 (Uncertain) and its value
stays as it is. It enters the window all the same, so that a new level is Good once it has lasted. Nothing is judged
before the window is half full, and a difference below a billionth of the mean fits always. Bad and Uncertain readings
pass by, and so do texts and integers. What it remembers is each device's own.
"""

import math
from collections import deque

from componentize_py_types import Err
from wit_world import exports
from wit_world.imports.types import (
    Batch,
    ConfigError_BadOption,
    ConfigError_UnknownOption,
    Origin,
    PointConfig,
    Settings,
    TransformError_NotConfigured,
)

UNCERTAIN = 0x40000000
GOOD_BELOW = 0x40000000
NOTHING = 1e-9
"""of the mean: what rounding may come to"""


class Window:
    """The last values of one point, with their mean and the sum of squares about it (Welford 1962, both ways)."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.values: deque[float] = deque()
        self.mean = self.squares = 0.0

    def judge(self, value: float, threshold: float) -> bool:
        """Does the value fit what came before it?"""
        count = len(self.values)
        if 2 * count < self.size:
            return True
        deviation = math.sqrt(max(self.squares, 0.0) / (count - 1))
        return abs(value - self.mean) <= max(threshold * deviation, NOTHING * abs(self.mean))

    def take(self, value: float) -> None:
        """Remember it; the oldest goes when the window is full."""
        if len(self.values) == self.size:
            oldest = self.values.popleft()
            count = len(self.values)
            before = self.mean
            self.mean -= (oldest - before) / count
            self.squares -= (oldest - before) * (oldest - self.mean)
        self.values.append(value)
        before = self.mean
        self.mean += (value - before) / len(self.values)
        self.squares += (value - before) * (value - self.mean)


class Detector:
    """The settings as they are used, and a window for each point of each device."""

    def __init__(self, size: int, threshold: float, watched: frozenset[int]) -> None:
        self.size, self.threshold, self.watched = size, threshold, watched
        self.windows: dict[tuple[str, int], Window] = {}

    def fits(self, device: str, point: int, value: float) -> bool:
        """Judge a value, then remember it."""
        window = self.windows.get((device, point))
        if window is None:
            window = self.windows[device, point] = Window(self.size)
        fits = window.judge(value, self.threshold)
        window.take(value)
        return fits


class Kept:
    """What is kept between two calls."""

    detector: Detector | None = None


def whole(text: str) -> int:
    """A window's size; raises ValueError."""
    value = int(text)
    if not 3 <= value <= 10_000:
        raise ValueError(text)
    return value


def positive(text: str) -> float:
    """A finite number above 0; raises ValueError."""
    value = float(text)
    if not 0 < value < math.inf:
        raise ValueError(text)
    return value


def named(text: str, points: list[PointConfig]) -> frozenset[int]:
    """The ids of points by their names (device models of one gateway may share one); raises ValueError."""
    names = [name.strip() for name in text.split(",")]
    if not all(any(point.name == name for point in points) for name in names):
        raise ValueError(text)
    return frozenset(point.id for point in points if point.name in names)


class Transform(exports.Transform):
    """What the gateway calls."""

    def configure(self, settings: Settings) -> None:
        """Take the options; what was remembered is forgotten."""
        Kept.detector = None
        size, threshold = 30, 3.0
        watched = frozenset(point.id for point in settings.points)
        for name, value in settings.options:
            try:
                if name == "window":
                    size = whole(value)
                elif name == "threshold":
                    threshold = positive(value)
                elif name == "points":
                    watched = named(value, settings.points)
                else:
                    raise Err(ConfigError_UnknownOption(name))
            except ValueError:
                raise Err(ConfigError_BadOption(name)) from None
        Kept.detector = Detector(size, threshold, watched)

    def transform_readings(self, source: Origin, input: Batch) -> Batch:
        """Mark what doesn't fit."""
        detector = Kept.detector
        if detector is None:
            raise Err(TransformError_NotConfigured())
        for reading in input.readings:
            if reading.point not in detector.watched or reading.status >= GOOD_BELOW:
                continue
            if not math.isfinite(reading.value):
                continue
            if not detector.fits(source.device, reading.point, reading.value):
                reading.status = UNCERTAIN
        return input
