"""What must come of the samples of a subscribed OPC UA device whose points swing to and fro.

A point is due when its value is another than at the last look; a device is looked at once a step, at the
first sampling instant in it; what holds at the beginning is no news. Belongs here: due instants, and what may
come of each beside pulled cables. Never: how a subscription is made.
"""

from __future__ import annotations

from dataclasses import dataclass

from tests.oracle.plants import MS, S

BREAKS_NS = 3 * S
"""a field connection on which nothing gets through for that long is given up"""
LAST_TRY_NS = 1400 * MS
"""before that a segment is sent for the last time: 200, 400, 800 ms after the try before"""
SILENT_INTERVALS = 2
"""for so many publishing intervals a driver may hear nothing without taking the subscription for dead; after
more it is its own to decide"""
RECOVERS_NS = 8 * S
"""a driver has its subscription again within that time after the cable is back: its timeouts, the pauses
between its tries, a handshake"""
MADE_NS = 2 * S
"""the first subscription stands by then"""


@dataclass(frozen=True)
class Subscribed:
    """``every_steps``: of each point after how many steps it swings from 0 to 1, or back; it begins at 1."""

    name: str
    phase_ns: int
    sampling_ns: int
    step_ns: int
    publishing_ns: int
    every_steps: tuple[int, ...]
    cuts: tuple[tuple[int, int], ...] = ()


def may_become(device: Subscribed, duration_ns: int) -> dict[tuple[int, int], frozenset[str]]:
    """(due at, point) -> how that sample may end. What falls well beside all trouble has one way only."""
    found: dict[tuple[int, int], frozenset[str]] = {}
    looked, shown = -1, [1] * len(device.every_steps)
    at = device.phase_ns
    while at < duration_ns:
        step = at // device.step_ns
        if step != looked:
            looked = step
            for point, steps in enumerate(device.every_steps):
                value = 1 - step // steps % 2
                if value != shown[point]:
                    shown[point] = value
                    found[at, point] = ends(device, at)
        at += device.sampling_ns
    return found


def ends(device: Subscribed, at: int) -> frozenset[str]:
    """How a sample that was due then may end."""
    either = frozenset(("delivered", "missed disconnected", "missed unread"))
    if at < MADE_NS:
        return either
    for since, until in device.cuts:
        near = since - 2 * device.publishing_ns - 500 * MS, until + RECOVERS_NS
        if until - since < min(LAST_TRY_NS - 50 * MS, SILENT_INTERVALS * device.publishing_ns):
            continue  # segments are sent again until they come: late, and nothing is lost
        if since + BREAKS_NS + device.publishing_ns + 500 * MS < at < until - 500 * MS:
            return frozenset(("missed disconnected",))
        if near[0] <= at < near[1]:
            return either
    return frozenset(("delivered",))
