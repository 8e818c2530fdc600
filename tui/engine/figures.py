"""Figures over time and of all devices, as a view carries them: plain, picklable.

Belongs here: their dataclasses, and which ones there are. Never: how they are counted (over_time.py,
each_device.py), how they are drawn (screens/).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

WRONG, LATENCY, QUALITY = "wrong", "latency", "quality"
LEVELS = (WRONG, LATENCY, QUALITY)
"""what a cell of all devices can say: the share of points missed or lost, the worst latency at the gateway
against the budget, the share of readings that weren't good"""
UNKNOWN = 5
"""the level of a device of which nothing is known yet"""

Window = tuple[int, int, int, int]
"""(from, p50, p95, p99) of latencies, ns; -1: nothing came"""


@dataclass(frozen=True, slots=True)
class Load:
    """Shares of time in which something was busy, 0 to 1, one a stretch. ``kind``: the ``cores`` of a gateway
    all together, a serial ``line``, the busiest way of a ``link``."""

    kind: str
    name: str
    shares: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Loads:
    """Loads over time: when each stretch begins; the busiest, and how many more there are."""

    from_ns: tuple[int, ...] = ()
    loads: tuple[Load, ...] = ()
    more: int = 0


@dataclass(frozen=True, slots=True)
class Levels:
    """A level a device. ``of``: what it says, one of LEVELS; ``budget_ns``: against which, 0: the time
    between two polls."""

    of: str
    by_device: bytes
    budget_ns: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Order:
    """A figure a device, by which the table is sorted: the least first."""

    by: str
    figures: np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class Figures:
    """Of fleets, devices and windows. ``missed`` and ``lost``: points by fleet; ``cloud``: latency to the
    cloud, of windows; the rest as it was asked for, among it ``due``: points by fleet."""

    missed: tuple[int, ...] = ()
    lost: tuple[int, ...] = ()
    cloud: tuple[Window, ...] = ()
    order: Order | None = None
    levels: Levels | None = None
    loads: Loads | None = None
    due: tuple[int, ...] = ()
