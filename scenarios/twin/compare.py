"""``twinloop compare``: a model beside a recording, point by point: bias, spread, drift, and when it left its
band.

Belongs here: figures. Never: words (cli/compare.py). What the model says is its shape without noise; a
periodic one is put into the phase of the recording's beginning, a counter begins where its first readings
are, physics is run on the inputs that were recorded. The band is that of the median of a block of readings:
BAND standard errors of the model's own noise (of a reversion, its stationary deviation over a block of
correlated readings; of physics, what the first tenth of the recording shows), and what a step of the model
moves. Medians, because a reading that falls on a jump's wrong side says nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from twinloop.devices.catalogue.recording import Recording, Track
from twinloop.devices.model.device import DeviceModel
from twinloop.devices.model.points import Point
from twinloop.devices.model.signal import Signal
from twinloop.scenarios.text.words import number_of
from twinloop.scenarios.twin.alignment import PERIODIC, best_phase, turned
from twinloop.scenarios.twin.fit import VALUE_MAX, good
from twinloop.scenarios.twin.series import Estimate, Series, least_squares

Array = np.ndarray[Any, Any]
BAND = 5.0
BLOCKS, BLOCK_MIN, BLOCK_MAX = 200, 20, 600
"""how many blocks a recording is cut into, and readings of one"""
STILL, SAME_MAX = 1e-6, 0.98
"""how rare a stretch of equal readings must be to be none by chance; a point that mostly stands still isn't
judged by that"""
GAP_STEPS_MAX = 100_000
"""that physics is run without a reading; after more it begins anew"""
BEGINNING = 0.1
"""of a recording, in which the model finds its place"""
MEDIAN_ERROR = 1.2533
"""standard error of a median in those of a mean: sqrt(pi / 2)"""
DAY_S = 86_400.0
NO_DRIFT = Estimate(0.0, 0.0)
_F32 = 2.0**-23


@dataclass(frozen=True)
class Compared:
    """One point. ``bias``: recording minus model, the median; ``spread``: deviation around that; ``band``: of
    a block's median, None: it has none.

    ``left_ns``: when the first block that lies outside (or stands still, where the model doesn't) began; then
    ``since_ns``, and by how much it drifts a day or has shifted.
    """

    point: str
    unit: str
    readings: int
    bias: float = 0.0
    spread: float = 0.0
    drift_a_day: Estimate = NO_DRIFT
    band: float | None = None
    left_ns: int | None = None
    since_ns: int | None = None
    drifts_a_day: float = 0.0
    shifted: float = 0.0
    still: bool = False
    """it left the band because it stands still, where the model has noise"""
    why: str = ""
    """it can't be compared"""


def compare(recording: Recording, model: DeviceModel) -> list[Compared]:
    """Every point of the recording that the model has; raises ValueError when it has none of them."""
    points = [point for point in model.points if point.name in recording.tracks]
    if not points:
        raise ValueError(
            f"it has no point of {model.name}: {', '.join(point.name for point in model.points)}"
        )
    simulated = _simulated(recording, model) if model.process is not None else {}
    by_chance = () if model.process is None else model.process(0, 1.0).by_chance
    return [
        _point(point, recording.tracks[point.name], model.step_ns, simulated.get(point.name), by_chance)
        for point in points
    ]


def _point(
    point: Point, track: Track, step_ns: int, simulated: Array | None, by_chance: Collection[str]
) -> Compared:
    instants, values = good(track)
    if len(values) < 2 * BLOCK_MIN:
        return Compared(
            point.name,
            point.unit,
            len(values),
            why=f"{len(values)} Good readings, {2 * BLOCK_MIN} are needed",
        )
    if point.writable:
        return Compared(point.name, point.unit, len(values), why="it is written")
    if point.output in by_chance:
        return Compared(
            point.name, point.unit, len(values), why="what it does depends on chance that no recording tells"
        )
    if max(map(abs, values)) > VALUE_MAX:
        return Compared(point.name, point.unit, len(values), why=f"a reading beyond {VALUE_MAX:g}")
    at, y = np.array(instants, np.int64), np.array(values, np.float64)
    # what was read twice within a step is one reading
    once = np.concatenate([np.diff(at // step_ns) > 0, [True]])
    at, y = at[once], y[once]
    if len(y) < 2 * BLOCK_MIN:
        return Compared(
            point.name,
            point.unit,
            len(y),
            why=f"readings of {number_of(len(y), 'step')}, {2 * BLOCK_MIN} are needed",
        )
    simulated = None if simulated is None else simulated[once]
    said = simulated if simulated is not None else _expected(point.signal, at, y, step_ns)
    rest = y - said
    quantum = max(
        Series(at / 1e9, y, step_ns / 1e9).quantum, 0.0 if point.type[0] == "f" else abs(point.scale)
    )
    read = quantum * quantum / 12.0 + (_F32 * float(np.abs(y).max())) ** 2
    block = min(BLOCK_MAX, max(BLOCK_MIN, len(y) // BLOCKS))
    if simulated is not None:
        band: float | None = _band_of(rest, max(BLOCK_MIN, int(len(y) * BEGINNING)), read, block)
    else:
        interval_ns = int(np.median(np.diff(at)))
        band = band_of(point.signal, interval_ns / step_ns, block, read)
        # a median of rounded readings is a rounded one
        if band is not None and (point.type[0] != "f" or point.signal.noise < 0.5 * quantum):
            band += 0.5 * quantum
    # until then physics finds its state
    settled_ns = 0 if simulated is None else int(at[0] + BEGINNING * (at[-1] - at[0]))
    found = _judged(
        point,
        at,
        rest,
        block,
        settled_ns,
        None if band is None else band + _F32 * max(1.0, float(np.abs(y).max())),
    )
    noisy = (
        max(point.signal.noise, point.signal.swing if point.signal.kind in ("walk", "reversion") else 0.0)
        > quantum
    )
    still_ns = None if simulated is not None else _still(at, y, None if noisy else said, 2.0 * quantum)
    if still_ns is not None and (found.left_ns is None or found.left_ns >= still_ns):
        return replace(found, left_ns=still_ns, since_ns=still_ns, still=True, drifts_a_day=0.0, shifted=0.0)
    return found


def _still(at: Array, y: Array, said: Array | None, least: float) -> int | None:
    """When the first stretch of equal readings began that is too long to be chance: of readings that each
    equal the one before with the chance that they had in the beginning, such a one is seen less than STILL
    times in the recording, and it is thrice the longest of the beginning.
    ``said``: what the model says, which must move by ``least`` meanwhile; None: it always moves.
    """
    same = np.diff(y) == 0.0
    begins = max(BLOCK_MIN, int(len(y) * BEGINNING))
    share = float(same[:begins].mean())
    if share > SAME_MAX:
        return None
    moved = np.concatenate([[0], np.nonzero(~same)[0] + 1, [len(y)]])
    runs = np.diff(moved)
    usual = int(runs[: max(1, int(np.searchsorted(moved, begins)) - 1)].max())
    rare = np.log(STILL / len(y)) / np.log(max(share, 1.0 / begins))
    for i in np.nonzero(runs >= max(BLOCK_MIN, rare, 3 * usual))[0]:
        if said is None or float(np.ptp(said[moved[i] : moved[i + 1]])) > least:
            return int(at[moved[i]])
    return None


def _expected(signal: Signal, at: Array, y: Array, step_ns: int) -> Array:
    """What the model says at these instants."""
    steps = at // step_ns
    if signal.kind == "counter":
        return np.asarray(np.median((y - signal.swing * steps)[:BLOCK_MIN]) + signal.swing * steps)
    drift = signal.drift * steps
    if signal.kind in PERIODIC:
        two = 2 * signal.period * step_ns
        begins = int(at[-1]) if at[-1] < two else max(int(at[-1] * BEGINNING), two)
        first = at <= begins
        phase = best_phase(signal, steps[first], (y - drift)[first])
        return np.asarray(turned(signal, steps + phase) + drift)
    if signal.kind == "step":
        return np.asarray(np.where(steps < signal.period, signal.level, signal.level + signal.swing) + drift)
    return np.asarray(signal.level + drift)


def band_of(signal: Signal, steps: float, block: int, read: float) -> float | None:
    """Of the median of ``block`` readings, each ``steps`` of the model apart; ``read``: variance of reading.
    None: anything may be."""
    if signal.kind == "walk":
        return 1.02 * signal.limit + BAND * signal.noise if signal.limit else None
    moves = {
        "ramp": abs(signal.swing) / signal.period,
        "sine": 2.0 * np.pi * abs(signal.swing) / signal.period,
        "counter": abs(signal.swing),
    }
    variance, kept = signal.noise * signal.noise + read, 0.0
    if signal.kind == "reversion":
        a = 1.0 - signal.duty
        variance += signal.swing * signal.swing / max(1e-12, 1.0 - a * a)
        kept = max(0.0, a) ** steps
    correlated = min(float(block), (1.0 + kept) / max(1e-12, 1.0 - kept))
    return float(BAND * MEDIAN_ERROR * np.sqrt(variance * correlated / block) + moves.get(signal.kind, 0.0))


def _band_of(rest: Array, begins: int, read: float, block: int) -> float:
    """Of physics: what the scatter allows, of the beginning or from one reading to the next, and once more
    for the reading with which it began."""
    beginning = rest[:begins]
    # of a normal deviate, from the median deviation
    scatter = 1.4826 * float(np.median(np.abs(beginning - np.median(beginning))))
    scatter = max(scatter, 1.4826 * float(np.median(np.abs(np.diff(rest)))) / float(np.sqrt(2.0)))
    return float(scatter + BAND * MEDIAN_ERROR * np.sqrt((scatter * scatter + read) / block))


def _judged(
    point: Point, at: Array, rest: Array, block: int, settled_ns: int, band: float | None
) -> Compared:
    count = len(rest) // block
    cut = rest[: count * block].reshape(count, block)
    medians, begins = np.median(cut, axis=1), at[: count * block].reshape(count, block)[:, 0]
    middle = at[: count * block].reshape(count, block).mean(axis=1) / 1e9
    (_, slope), (_, error), _ = least_squares([np.ones(count), middle], medians)
    bias, spread = float(np.median(rest)), 1.4826 * float(np.median(np.abs(rest - np.median(rest))))
    drift = Estimate(float(slope) * DAY_S, 2.0 * float(error) * DAY_S)
    outside = (
        np.nonzero((np.abs(medians) > band) & (begins >= settled_ns))[0]
        if band is not None
        else np.zeros(0, np.int64)
    )
    if not len(outside):
        return Compared(point.name, point.unit, len(rest), bias, spread, drift, band)
    since_ns, drifts, shifted = _since(middle, begins, medians)
    return Compared(
        point.name,
        point.unit,
        len(rest),
        bias,
        spread,
        drift,
        band,
        int(begins[outside[0]]),
        since_ns,
        drifts,
        shifted,
    )


def _since(middle: Array, begins: Array, medians: Array) -> tuple[int, float, float]:
    """(since when, drift a day, shift): the one bend or the one jump that explains the medians best."""
    best: tuple[float, int, float, float] | None = None
    ones = np.ones(len(middle))
    for i in range(len(middle) - 1):
        for jump in (False, True):
            column = (
                (np.arange(len(middle)) >= i).astype(np.float64)
                if jump
                else np.maximum(0.0, middle - middle[i])
            )
            columns = [column] if i == 0 and jump else [ones, column]
            found, _, rss = least_squares(columns, medians)
            if best is None or rss < best[0]:
                best = (
                    rss,
                    int(begins[i]),
                    0.0 if jump else float(found[-1]) * DAY_S,
                    float(found[-1]) if jump else 0.0,
                )
    assert best is not None
    return best[1:]


def _simulated(recording: Recording, model: DeviceModel) -> dict[str, Array]:
    """What the model's physics shows at the instants of the recording's Good readings, with the inputs that
    were recorded."""
    assert model.process is not None
    tracks = {
        point.name: good(recording.tracks[point.name])
        for point in model.points
        if point.name in recording.tracks
    }
    process = model.process(0, model.step_ns / 1e9)
    begun = {
        p.output: tracks[p.name][1][0]
        for p in model.points
        if p.output and p.name in tracks and tracks[p.name][1]
    }
    process.resume(
        begun,
        {
            p.name: tracks[p.name][1][0] if tracks.get(p.name, ([], []))[1] else p.signal.level
            for p in model.points
            if p.writable
        },
    )
    written = {
        point.name: (tracks.get(point.name, ([], [])), point.signal.level)
        for point in model.points
        if point.writable
    }
    shows = [
        (point.name, point.output, tracks[point.name][0])
        for point in model.points
        if point.output and point.name in tracks
    ]
    found: dict[str, list[float]] = {name: [] for name, _, _ in shows}
    next_input, inputs = dict.fromkeys(written, 0), {name: level for name, (_, level) in written.items()}
    for k in _steps(sorted(dict.fromkeys(ns for _, _, instants in shows for ns in instants)), model.step_ns):
        now = k * model.step_ns
        for name, ((instants, values), _) in written.items():
            while next_input[name] < len(instants) and instants[next_input[name]] <= now:
                inputs[name] = values[next_input[name]]
                next_input[name] += 1
        process.step(k, inputs)
        for name, output, instants in shows:
            mine = found[name]
            while len(mine) < len(instants) and instants[len(mine)] < now + model.step_ns:
                mine.append(process.outputs[output])
    return {name: np.array(values) for name, values in found.items()}


def _steps(instants: list[int], step_ns: int) -> Iterator[int]:
    """Every step until the last reading, but not all of a gap in which nothing was read for long."""
    k = 0
    for ns in instants:
        last = ns // step_ns
        if last - k > GAP_STEPS_MAX:
            k = last - GAP_STEPS_MAX
        while k <= last:
            yield k
            k += 1
