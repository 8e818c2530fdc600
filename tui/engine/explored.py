"""What is behind a figure: what a screen asks for beside a view, and what it gets; plain and picklable.

Belongs here: those messages. Never: how they are come by (exploring.py), how they are drawn (screens/).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

MOMENTS_MAX = 40
"""of an expectation, the worst first"""
SAMPLES_MAX = 100
"""of a window"""
RECORDS_MAX = 60
"""lines of the log that belong to an expectation"""
CALLS_MAX = 200
"""of components, for one sample"""


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame of a device. ``way``: > to it, < from it, ! nothing came (``data`` says why)."""

    at_ns: int
    way: str
    data: bytes


@dataclass(frozen=True, slots=True)
class DeviceView:
    """The selected device now: (value, status) of each point, its faults, its last frames, values over time
    by point."""

    index: int
    values: tuple[tuple[float | str | None, int], ...]
    faults: tuple[str, ...]
    frames: tuple[Frame, ...]
    history: tuple[Sequence[float], ...]


class Slow(NamedTuple):  # there are dozens in each view: a dataclass is pickled slowly
    """One of the slowest samples: its latency, and ns by stage (all 0: unknown); ``k`` -1: unknown."""

    device: int
    k: int
    total_ns: int
    spent_ns: tuple[int, ...]
    due_ns: int = -1


class Gone(NamedTuple):
    """A sample of which points were missed or lost, how many, why, and when that was known."""

    device: int
    k: int
    due_ns: int
    points: int
    end: str
    cause: str
    at_ns: int


Known = Slow | Gone
"""what has been seen of one sample"""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is looked at closer. ``expectation``: its number in the file's order (-1: none); ``from_ns`` to
    ``to_ns``: samples that were due, or went, then, of the devices that ``expectation`` means (all, without
    one; -1: none are wanted); ``sample``: what there is to know of one."""

    expectation: int = -1
    from_ns: int = -1
    to_ns: int = -1
    sample: Known | None = None


@dataclass(frozen=True, slots=True)
class Moment:
    """A window of an expectation's curve: its value, the trouble that was active, and who was behind it."""

    from_ns: int
    to_ns: int
    value: float
    trouble: str
    behind: str


@dataclass(frozen=True, slots=True)
class ExpectationView:
    """One expectation closer. ``values``: (when, value, NaN: nothing) of its curve, in ``unit``; ``said``:
    why there is no curve, or what a value of it is; ``bound``: NaN where it is no line of the curve;
    ``records``: (when, kind, words) of the log that belong to it."""

    number: int
    text: str
    verdict: str
    measured: str
    limit: str
    how: str
    why: str
    said: str
    values: tuple[tuple[int, float], ...]
    unit: str
    bound_unit: str
    bound: float
    moments: tuple[Moment, ...]
    records: tuple[tuple[int, str, str], ...]


@dataclass(frozen=True, slots=True)
class SamplesView:
    """The samples of a window that stand out: the slowest, and some that never came; ``counts``: how many
    points were missed or lost then, by (end, cause, fleet)."""

    from_ns: int
    to_ns: int
    slow: tuple[Slow, ...]
    gone: tuple[Gone, ...]
    counts: tuple[tuple[str, str, str, int], ...]


@dataclass(frozen=True, slots=True)
class Piece:
    """Some time of a sample's way: in which stage, when, at which gateway, and what there is to say."""

    stage: str
    begin_ns: int
    end_ns: int
    gateway: str
    said: str


@dataclass(frozen=True, slots=True)
class CallRow:
    """One call of a component for a sample. ``cpu_ns``: for how long it held a core."""

    role: str
    component: str
    gateway: str
    begin_ns: int
    end_ns: int
    fuel: int
    cpu_ns: int
    outcome: str


@dataclass(frozen=True, slots=True)
class Ended:
    """Some points of a sample have their end."""

    at_ns: int
    points: tuple[str, ...]
    end: str
    cause: str


@dataclass(frozen=True, slots=True)
class SampleView:
    """All that is known of one sample, from a replay. ``waits``: why there is nothing yet, or never will be;
    empty when all is here. ``verdicts``: (points, latency, ns by stage) of each; ``progress`` of the replay,
    0 to 1."""

    asked: Known
    waits: str = ""
    progress: float = 1.0
    k: int = -1
    pieces: tuple[Piece, ...] = ()
    verdicts: tuple[tuple[int, int, tuple[int, ...]], ...] = ()
    ends: tuple[Ended, ...] = ()
    qualities: tuple[tuple[str, int], ...] = ()
    open_points: int = 0
    frames: tuple[Frame, ...] = ()
    calls: tuple[CallRow, ...] = ()


@dataclass(frozen=True, slots=True)
class CloserView:
    """What was wanted closer. ``longest``: by stage the sample that was longest in it, of those that stand
    out."""

    device: DeviceView | None = None
    expectation: ExpectationView | None = None
    samples: SamplesView | None = None
    sample: SampleView | None = None
    longest: tuple[Slow | None, ...] = ()


NOTHING_CLOSER = CloserView()
"""nobody looks at anything closer"""
