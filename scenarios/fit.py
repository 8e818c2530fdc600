"""``twinloop fit``: a recording's points as signals, and the link that it was recorded over, with what is known of each figure.

Belongs here: from a recording to figures. Never: least squares (shapes.py), files (model_file.py), words (cli/fit.py).
A link is read from how long exchanges took. Segments that were lost come 200 ms later, then 400 ms after that, and so on (sim/stream.py;
RFC 6298 section 5.5, Linux's minimum), each way by itself, so that how late an answer is says how often each way lost it in a row.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from devices.device import DeviceModel
from devices.plants import PROTOCOLS
from devices.recording import Recording, Track
from devices.registers import Point
from scenarios.shapes import Estimate, Series, Shape, all_shapes
from sim.stream import RTO_NS

READINGS_MIN = 30
"""of a point, below which nothing is fitted"""
EXCHANGES_MIN = 30
RETRIES_MAX = 5
"""of one way in a row: 6.2 s, longer than drivers wait"""


@dataclass(frozen=True)
class FittedPoint:
    """A point and its shape; ``why`` says why there is none."""

    name: str
    unit: str
    readings: int
    shape: Shape | None
    why: str = ""


@dataclass(frozen=True)
class FittedLink:
    """A link, each way. ``p`` and ``r``: Gilbert and Elliott's, ``loss``: of all packets; ``response_ns``: taken for the device's own time."""

    exchanges: int
    delay_ns: Estimate
    jitter_ns: Estimate
    loss: Estimate
    p: Estimate
    r: Estimate | None
    response_ns: int

    @property
    def bursty(self) -> bool:
        """A packet after a lost one is lost more often than any other is."""
        return self.r is not None and 1.0 - self.r.value - self.r.error > self.loss.value + self.loss.error


@dataclass(frozen=True)
class Fitted:
    """A recording, fitted. ``step_ns``: the median between two readings, which a model made of it moves by."""

    step_ns: int
    lasts_ns: int
    points: list[FittedPoint]
    link: FittedLink | None
    why_no_link: str = ""
    notes: list[str] = field(default_factory=list)


def good(track: Track) -> tuple[list[int], list[float]]:
    """(instants, values) of the readings that aren't Bad, one an instant."""
    found: dict[int, float] = {}
    for at_ns, value, status in zip(track.at_ns, track.values, track.statuses, strict=True):
        if not status >> 31:
            found[at_ns] = value
    return list(found), list(found.values())


def fit(recording: Recording, response_ns: int = 0) -> Fitted:
    """Every point and the link; raises ValueError when nothing of it can be fitted."""
    gaps: list[int] = []
    for track in recording.tracks.values():
        instants, _ = good(track)
        gaps += [after - before for before, after in pairwise(instants)]
    if not gaps:
        raise ValueError("no two Good readings of a point: nothing can be fitted")
    step_ns = _round_figure(int(np.median(gaps)))
    points = [_point(name, recording.units[name], track, step_ns) for name, track in recording.tracks.items()]
    link, why = _link(recording, response_ns)
    return Fitted(step_ns, recording.lasts_ns, points, link, why)


def _round_figure(step_ns: int) -> int:
    """A poll period as somebody will have written it: three digits (readings jitter by what the network does)."""
    unit = 10 ** max(0, len(str(step_ns)) - 3)
    return int(max(1, (step_ns + unit // 2) // unit * unit))


def _point(name: str, unit: str, track: Track, step_ns: int) -> FittedPoint:
    instants, values = good(track)
    if len(values) < READINGS_MIN:
        return FittedPoint(name, unit, len(values), None, f"{len(values)} Good readings, {READINGS_MIN} are needed")
    t_s = np.array([at / 1e9 for at in instants])
    series = Series(t_s, np.array(values, np.float64), step_ns / 1e9)
    return FittedPoint(name, unit, len(values), min(all_shapes(series), key=lambda shape: shape.criterion))


# ---- the link -----------------------------------------------------------------------------------------------------
class _Delays(NamedTuple):
    """Lateness that losses make: (up, down) lost in a row -> ns."""

    ns: list[int]
    losses: list[int]
    episodes: list[int]


def _delays() -> _Delays:
    late = [RTO_NS * (2**lost - 1) for lost in range(RETRIES_MAX + 1)]
    pairs = [(up, down) for up in range(RETRIES_MAX + 1) for down in range(up + 1)]
    return _Delays([late[up] + late[down] for up, down in pairs], [up + down for up, down in pairs], [(up > 0) + (down > 0) for up, down in pairs])


def _link(recording: Recording, response_ns: int) -> tuple[FittedLink | None, str]:
    """(the link, or why there is none). Exchanges that open a connection (the first, and after one that brought nothing) aren't counted."""
    if not recording.exchanges:
        return None, "it doesn't say how long exchanges took (column took_ns)"
    took = [ns for (_, before), (_, ns) in pairwise(recording.exchanges) if before >= 0]
    came = [ns for ns in took if ns >= 0]
    if len(came) < EXCHANGES_MIN:
        return None, f"{len(came)} exchanges were answered, {EXCHANGES_MIN} are needed"
    usual = float(np.median(came))
    table = _delays()
    lost = episodes = recovered = 0
    plain = []
    for ns in took:
        if ns < 0:  # given up: within a driver's second three in a row were lost, 600 ms
            lost, episodes = lost + 3, episodes + 1
            continue
        nearest = min(range(len(table.ns)), key=lambda i: abs(ns - usual - table.ns[i]))
        lost, episodes, recovered = lost + table.losses[nearest], episodes + table.episodes[nearest], recovered + table.episodes[nearest]
        if not table.losses[nearest]:
            plain.append(ns)
    n, mean, variance = len(plain), float(np.mean(plain)), float(np.var(plain))
    delay = max(0.0, 0.5 * (mean - response_ns))
    jitter = float(np.sqrt(1.5 * variance))  # of each way, uniform in +-jitter: the sum of two has 2 j^2 / 3
    good_packets, packets = 2 * len(took), 2 * len(took) + lost
    p, share = episodes / good_packets, lost / packets
    burst = lost / episodes if episodes else 1.0
    r = None if not lost else Estimate(recovered / lost, 2.0 * _binomial(recovered / lost, lost))
    losses = Estimate(share, 2.0 * _binomial(share, packets) * float(np.sqrt(2.0 * burst - 1.0)))
    fitted = FittedLink(
        len(took), Estimate(delay, float(np.sqrt(variance / n))), Estimate(jitter, 2.0 * jitter * 0.5 * float(np.sqrt(1.4 / n))),
        losses, Estimate(p, 2.0 * _binomial(p, good_packets)), r, response_ns,
    )  # fmt: skip
    return fitted, ""


def _binomial(share: float, of: int) -> float:
    """The standard error of a share, never quite 0: one more or one less may have happened."""
    return float(np.sqrt(share * (1.0 - share) / of)) + 0.5 / of


# ---- a model ------------------------------------------------------------------------------------------------------
def model_of(fitted: Fitted, name: str, source: str, like: DeviceModel | None) -> DeviceModel:
    """A device whose points move as fitted: with the map of ``like``, or a 64-bit float a point from holding register 0 on.

    What couldn't be fitted keeps the signal of ``like``, or is left out. Raises ValueError when nothing is left, or ``like`` has other points.
    """
    signals = {point.name: point.shape.signal for point in fitted.points if point.shape is not None}
    if like is None:
        points = tuple(
            Point(point.name, "holding", 4 * i, "f64", unit=point.unit, signal=signals[point.name])
            for i, point in enumerate(point for point in fitted.points if point.name in signals)
        )  # fmt: skip
        if not points:
            raise ValueError("no point of it could be fitted")
        return DeviceModel(name, f"Fitted to {len(points)} points", source, PROTOCOLS, points, step_ns=fitted.step_ns)
    known = [point.name for point in like.points]
    strange = [point.name for point in fitted.points if point.name not in known]
    if strange:
        raise ValueError(f"{like.name} has no point {strange[0]}; it has {', '.join(known)}")
    if like.process is not None:
        raise ValueError(f"{like.name} moves by physics, not by signals: it can't be fitted; a twin begins where a recording ends")
    fitted_points = tuple(replace(point, signal=signals.get(point.name, point.signal)) for point in like.points)
    return replace(like, name=name, source=source, points=fitted_points, step_ns=fitted.step_ns)
