"""``twinloop fit``: a recording's points as signals, and the link that it was recorded over, with what is
known of each figure.

Belongs here: from a recording to figures. Never: least squares (shapes.py), files (file/datasheet/),
words (cli/fit.py). A link is read from how long exchanges took. Segments that were lost come 200 ms later,
then 400 ms after that, and so on (sim/network/tcp.py; RFC 6298 section 5.5, Linux's minimum), each way by
itself, so that how late an answer is says how often each way lost it in a row.
"""

from __future__ import annotations

from dataclasses import field, replace
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from twinloop.devices.catalogue.recording import Recording, Track
from twinloop.devices.model.device import DeviceModel
from twinloop.devices.model.points import Point
from twinloop.devices.model.protocols import EVERY
from twinloop.devices.model.signal import Signal
from twinloop.records import dataclass
from twinloop.scenarios.text.words import number_of
from twinloop.scenarios.twin.series import Estimate, Series, without_spikes
from twinloop.scenarios.twin.shapes import Shape, all_shapes, doubted
from twinloop.sim.network.half import RTO_NS

READINGS_MIN = 30
"""of a point, below which nothing is fitted"""
EXCHANGES_MIN = 30
REPEATS = 0.3
"""share of readings that repeat the one before, from which values are taken to move more slowly than they are
read"""
VALUE_MAX = 1e150
"""whose square is a number"""
TIMEOUT_NS = 1_000_000_000
"""for which drivers wait when nothing else is said"""
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
    spikes: int = 0
    """readings that were left out"""
    lean: float = 0.0
    """over 0: by how much residuals lean on one another; no shape here explains this point"""


@dataclass(frozen=True)
class FittedLink:
    """A link, each way. ``p`` and ``r``: Gilbert and Elliott's, ``loss``: of all packets; ``response_ns``:
    taken for the device's own time."""

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
        return (
            self.r is not None and 1.0 - self.r.value - 1.5 * self.r.error > self.p.value + 1.5 * self.p.error
        )


@dataclass(frozen=True)
class Fitted:
    """A recording, fitted. ``step_ns``: the median between two readings, which a model made of it moves
    by."""

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
    polled_ns = _round_figure(int(np.median(gaps)))
    moves_ns = _moves_every(recording, polled_ns)
    note = (
        f"values move every {moves_ns / 1e9:g} s and were read every {polled_ns / 1e9:g} s: each is counted "
        f"once"
    )
    notes = [note] if moves_ns > polled_ns else []
    points = [
        _point(name, recording.units[name], track, moves_ns, moves_ns > polled_ns)
        for name, track in recording.tracks.items()
    ]
    link, why = _link(recording, response_ns)
    return Fitted(moves_ns, recording.lasts_ns, points, link, why, notes)


def _moves_every(recording: Recording, polled_ns: int) -> int:
    """How often values change: the poll's period, or longer when readings even of the point that changes most
    often repeat the one before."""
    found: list[int] = []
    for track in recording.tracks.values():
        instants, values = good(track)
        y = np.array(values)
        if len(y) < READINGS_MIN or len(np.unique(y)) < REPEATS * len(y) / 10:
            continue
        changes = np.nonzero(np.diff(y))[0] + 1
        if len(changes) > 10:
            often = 1.0 - len(changes) / len(y) <= REPEATS
            found.append(
                polled_ns
                if often
                else _round_figure(int(np.median(np.diff(np.array(instants, np.int64)[changes]))))
            )
    return max(polled_ns, min(found, default=polled_ns))


def _round_figure(step_ns: int) -> int:
    """A poll period as somebody will have written it: three digits (readings jitter by what the network
    does)."""
    unit = 10 ** max(0, len(str(step_ns)) - 3)
    return int(max(1, (step_ns + unit // 2) // unit * unit))


def _point(name: str, unit: str, track: Track, step_ns: int, thin: bool) -> FittedPoint:
    instants, values = good(track)
    if thin:
        instants, values = _thinned(instants, values, step_ns)
    if len(values) < READINGS_MIN:
        return FittedPoint(
            name, unit, len(values), None, f"{len(values)} Good readings, {READINGS_MIN} are needed"
        )
    if max(map(abs, values)) > VALUE_MAX:
        return FittedPoint(name, unit, len(values), None, f"a reading beyond {VALUE_MAX:g}")
    whole = Series(np.array([at / 1e9 for at in instants]), np.array(values, np.float64), step_ns / 1e9)
    series, spikes = without_spikes(whole)
    shape, lean = doubted(min(all_shapes(series), key=lambda one: one.criterion), series)
    return FittedPoint(name, unit, len(values), shape, "", spikes, lean)


def _thinned(instants: list[int], values: list[float], step_ns: int) -> tuple[list[int], list[float]]:
    """The first reading of each step."""
    found = {
        at_ns // step_ns: (at_ns, value)
        for at_ns, value in zip(reversed(instants), reversed(values), strict=True)
    }
    kept = [found[step] for step in sorted(found)]
    return [at_ns for at_ns, _ in kept], [value for _, value in kept]


# ---- the link ------------------------------------------------------------------------------------
class _Delays(NamedTuple):
    """Lateness that losses make: (up, down) lost in a row -> ns."""

    ns: list[int]
    losses: list[int]
    episodes: list[int]


def _delays() -> _Delays:
    late = [RTO_NS * (2**lost - 1) for lost in range(RETRIES_MAX + 1)]
    pairs = [(up, down) for up in range(RETRIES_MAX + 1) for down in range(up + 1)]
    return _Delays(
        [late[up] + late[down] for up, down in pairs],
        [up + down for up, down in pairs],
        [(up > 0) + (down > 0) for up, down in pairs],
    )


def _link(recording: Recording, response_ns: int) -> tuple[FittedLink | None, str]:
    """(the link, or why there is none). Exchanges that open a connection (the first, and after one that
    brought nothing) aren't counted."""
    if not recording.exchanges:
        column = "column took_ns is empty" if recording.timed else "it has no column took_ns"
        return None, f"it doesn't say how long exchanges took: {column}"
    took = [ns for (_, before), (_, ns) in pairwise(recording.exchanges) if before >= 0]
    came = [ns for ns in took if ns >= 0]
    if len(came) < EXCHANGES_MIN:
        return (
            None,
            f"{number_of(len(came), 'exchange was', 'exchanges were')} answered, {EXCHANGES_MIN} are needed",
        )
    least = float(np.quantile(came, 0.05))
    usual = float(np.median([ns for ns in came if ns < least + RTO_NS / 2]))
    if (
        max(came) - min(came) > RTO_NS / 4
        and float(np.quantile([ns for ns in came if ns < least + RTO_NS / 2], 0.95)) > usual + RTO_NS / 4
    ):
        return None, "exchanges take so different times that a lost segment can't be told from a late one"
    table = _delays()
    lost = episodes = recovered = given_up = 0
    # all lost, when a driver gives up
    tries = sum(RTO_NS * (2**n - 1) < TIMEOUT_NS for n in range(RETRIES_MAX + 1))
    plain = []
    for ns in took:
        if ns < 0:
            lost, episodes, given_up = lost + tries, episodes + 1, given_up + 1
            continue
        nearest = min(range(len(table.ns)), key=lambda i: abs(ns - usual - table.ns[i]))
        lost, episodes, recovered = (
            lost + table.losses[nearest],
            episodes + table.episodes[nearest],
            recovered + table.episodes[nearest],
        )
        if not table.losses[nearest]:
            plain.append(ns)
    n, mean, variance = len(plain), float(np.mean(plain)), float(np.var(plain))
    delay = max(0.0, 0.5 * (mean - response_ns))
    jitter = float(np.sqrt(1.5 * variance))  # of each way, uniform in +-jitter: the sum of two has 2 j^2 / 3
    good_packets = 2 * len(took)
    chances = lost - given_up  # who gives up doesn't see whether the next had got through
    p = Estimate(episodes / good_packets, 2.0 * _binomial(episodes / good_packets, good_packets))
    r = None if not chances else Estimate(recovered / chances, 2.0 * _binomial(recovered / chances, chances))
    losses = Estimate(0.0, p.error) if r is None else _share(p, r)
    fitted = FittedLink(
        len(took),
        Estimate(delay, float(np.sqrt(variance / n))),
        Estimate(jitter, 2.0 * jitter * 0.5 * float(np.sqrt(1.4 / n))),
        losses,
        p,
        r,
        response_ns,
    )
    return fitted, ""


def _share(p: Estimate, r: Estimate) -> Estimate:
    """Of packets that are lost, p / (p + r), with its error by the delta method."""
    whole = p.value + r.value
    if not whole:
        return Estimate(0.0, p.error)
    error = float(np.sqrt((r.value * p.error) ** 2 + (p.value * r.error) ** 2)) / whole**2
    return Estimate(p.value / whole, error)


def _binomial(share: float, of: int) -> float:
    """The standard error of a share, never quite 0: one more or one less may have happened."""
    return float(np.sqrt(share * (1.0 - share) / of)) + 0.5 / of


# ---- a model -------------------------------------------------------------------------------------
FINER_MAX = 100
"""parts of a reading's interval that a model may move by, so that its periods are those that were found"""
CREEP = 0.1
"""of an interval, by which a rounded period may have crept at the recording's end"""


def finer(fitted: Fitted) -> int:
    """Into how many parts the interval is cut: as few as make every period right to the recording's end, or
    as right as FINER_MAX do."""
    step_s, lasts_s = fitted.step_ns / 1e9, fitted.lasts_ns / 1e9
    periods = [
        point.shape.estimates["period_s"].value
        for point in fitted.points
        if point.shape is not None and "period_s" in point.shape.estimates
    ]

    def creeps(parts: int) -> float:
        return max(
            (abs(max(1, round(p * parts / step_s)) * step_s / parts - p) * lasts_s / p for p in periods),
            default=0.0,
        )

    wanted = [parts for parts in range(1, FINER_MAX + 1) if fitted.step_ns % parts == 0]
    return next((parts for parts in wanted if creeps(parts) < CREEP * step_s), min(wanted, key=creeps))


def in_steps(shape: Shape, step_s: float, parts: int) -> Signal:
    """The signal of a model that moves ``parts`` times in the step that the shape was fitted in; its period
    is the one that was found."""
    found = shape.estimates.get("period_s")
    period = shape.signal.period * parts if found is None else max(1, round(found.value * parts / step_s))
    return scaled(shape.signal, 1.0 / parts, period)


def scaled(signal: Signal, ratio: float, period: int) -> Signal:
    """The same in steps that are ``ratio`` of the signal's own, of which a period has that many: per-step
    figures are for the new step.

    Of a reversion the deviation and the memory over a time stay: a' = a^ratio, s'^2 / (1 - a'^2) = s^2 / (1 -
    a^2).
    """
    phase = -1 if signal.phase < 0 else round(signal.phase / signal.period * period) % period
    signal = signal._replace(period=period, phase=phase, drift=signal.drift * ratio)
    if signal.kind == "counter":
        return signal._replace(swing=signal.swing * ratio)
    if signal.kind == "walk":
        return signal._replace(swing=signal.swing * ratio**0.5)
    if signal.kind == "reversion" and ratio != 1.0:
        a = max(0.0, 1.0 - signal.duty)
        kept = a**ratio
        return signal._replace(
            duty=1.0 - kept,
            swing=signal.swing * float(np.sqrt((1.0 - kept * kept) / max(1e-12, 1.0 - a * a))),
        )
    return signal


def _kept(signal: Signal, from_ns: int, to_ns: int) -> Signal:
    """A signal that wasn't fitted, of a model that moves every ``to_ns`` instead of ``from_ns``."""
    return scaled(signal, to_ns / from_ns, max(1, round(signal.period * from_ns / to_ns)))


def model_of(fitted: Fitted, name: str, source: str, like: DeviceModel | None) -> DeviceModel:
    """A device whose points move as fitted: with the map of ``like``, or a 64-bit float a point from holding
    register 0 on.

    What couldn't be fitted keeps the signal of ``like``, or is left out. Raises ValueError when nothing is
    left, or ``like`` has other points.
    """
    parts = finer(fitted)
    step_ns = fitted.step_ns // parts
    signals = {
        p.name: in_steps(p.shape, fitted.step_ns / 1e9, parts) for p in fitted.points if p.shape is not None
    }
    if like is None:
        points = tuple(
            Point(point.name, "holding", 4 * i, "f64", unit=point.unit, signal=signals[point.name])
            for i, point in enumerate(point for point in fitted.points if point.name in signals)
        )  # fmt: skip
        if not points:
            raise ValueError("no point of it could be fitted")
        return DeviceModel(
            name, f"Fitted to {number_of(len(points), 'point')}", source, EVERY, points, step_ns=step_ns
        )
    known = [point.name for point in like.points]
    strange = [point.name for point in fitted.points if point.name not in known]
    if strange:
        raise ValueError(f"{like.name} has no point {strange[0]}; it has {', '.join(known)}")
    if like.process is not None:
        raise ValueError(
            f"{like.name} moves by physics, not by signals: it can't be fitted; a twin begins where a "
            f"recording ends"
        )
    fitted_points = tuple(
        replace(
            point,
            signal=signals[point.name]
            if point.name in signals
            else _kept(point.signal, like.step_ns, step_ns),
        )
        for point in like.points
    )
    return replace(like, name=name, source=source, points=fitted_points, step_ns=step_ns)
