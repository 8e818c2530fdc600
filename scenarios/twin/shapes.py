"""What a series of readings may have come from: each shape of devices/model/signal.py fitted by least
squares, with two standard errors.

Belongs here: numbers. Never: files, words. A shape comes with its Bayesian information criterion, n ln(rss/n)
+ k ln n (Schwarz 1978), over one-step predictions, so that a walk and a sine can be compared; the smallest
one wins (fit.py). Times in seconds, ``step_s`` is the model's. Standard errors: of least squares, s2
(X'X)^-1; of a deviation, s/sqrt(2n); of an autoregression's coefficient, sqrt((1 - a2)/n).
"""

from __future__ import annotations

from dataclasses import field, replace

import numpy as np

from twinloop.devices.model.signal import Signal
from twinloop.records import dataclass
from twinloop.scenarios.twin.alignment import PERIODIC, turned
from twinloop.scenarios.twin.series import Array, Estimate, Series, least_squares

SQUARE_SEPARATION = 6.0
"""two levels are two when they are that many deviations apart"""
CYCLES_MIN = 1.5
"""of a sine in a recording, below which its period can't be told from a trend"""
CLEAR = 4.0
"""standard errors that an amplitude must have; it must be larger than a quantum, too"""
OUTSIDE_MAX = 0.05
"""share of readings that may lie on the wrong side of a ramp's jump"""
GRID_MAX = 1 << 21
"""points of a periodogram"""
DRIFT_SIGMA = 4.0
"""a trend of fewer standard errors isn't called one"""
_TINY = 1e-9


@dataclass(frozen=True)
class Shape:
    """One candidate. ``signal`` in steps; ``unexplained``: deviation of what it doesn't predict."""

    signal: Signal
    criterion: float
    unexplained: float
    estimates: dict[str, Estimate]
    step_times_s: list[float] = field(default_factory=list)
    """when a square or a step changed its level"""


def all_shapes(series: Series) -> list[Shape]:
    """Every shape that these readings may have; at least one."""
    found = [constant(series), recurrent(series), sine(series), two_levels(series), ramp(series)]
    return [shape for shape in found if shape is not None]


def doubted(shape: Shape, series: Series) -> tuple[Shape, float]:
    """(the shape with errors that allow for residuals that lean on one another, their correlation; 0: they
    don't).

    Of n independent residuals the lag-1 correlation has a standard error of 1/sqrt(n); correlated by r, they
    weigh as n (1 - r) / (1 + r).
    """
    rest = residuals(shape.signal, series)
    if rest is None or len(rest) < 20 or float(rest.std()) <= 1.5 * series.quantum or not np.ptp(rest):
        return shape, 0.0
    rest = rest - rest.mean()
    lean = float((rest[:-1] * rest[1:]).sum() / (rest * rest).sum())
    if lean <= max(0.1, 4.0 / float(np.sqrt(len(rest)))):
        return shape, 0.0
    wider = float(np.sqrt((1.0 + lean) / max(1e-3, 1.0 - lean)))
    estimates = {name: Estimate(one.value, one.error * wider) for name, one in shape.estimates.items()}
    return replace(shape, estimates=estimates), lean


def residuals(signal: Signal, series: Series) -> Array | None:
    """Readings less what a shape without memory says; None of a walk, a reversion or a counter. Around jumps
    they are left out."""
    t, y, step = series
    steps = np.round(t / step).astype(np.int64)
    if signal.kind in ("walk", "reversion", "counter"):
        return None
    if signal.kind in PERIODIC:
        said = turned(signal, steps + signal.phase)
    else:
        before = steps < signal.period if signal.kind == "step" else True
        said = np.where(before, signal.level, signal.level + signal.swing)
    rest = y - said - signal.drift * steps
    return np.asarray(
        rest[np.abs(rest) < 0.4 * abs(signal.swing)] if signal.kind in ("square", "ramp", "step") else rest
    )


# ---- the shapes ----------------------------------------------------------------------------------
def constant(series: Series) -> Shape:
    """A level, with a trend where there is one; a trend without noise is a counter."""
    t, y, _ = series
    if not np.ptp(y):
        exact = {
            "level": Estimate(float(y[0]), 0.0),
            "noise": Estimate(0.0, 0.0),
            "drift a day": Estimate(0.0, 0.0),
        }
        return Shape(Signal("constant", float(y[0])), series.criterion(0.0, 1), 0.0, exact)
    (level,), (error,), rss = least_squares([np.ones_like(t)], y)
    (at_0, slope), (_, slope_error), sloped = least_squares([np.ones_like(t), t], y)
    if abs(slope) > DRIFT_SIGMA * slope_error and series.criterion(sloped, 2) < series.criterion(rss, 1):
        return _trend(series, float(at_0), float(slope), float(slope_error), sloped)
    noise = series.noise(rss, 1)
    drift = Estimate(float(slope) * 86_400.0, 2.0 * float(slope_error) * 86_400.0)
    estimates = {
        "level": Estimate(float(level), 2.0 * float(error) + _read(series)),
        "noise": noise,
        "drift a day": drift,
    }
    return Shape(
        Signal("constant", float(level), noise=noise.value),
        series.criterion(rss, 1),
        float(np.sqrt(rss / len(y))),
        estimates,
    )


def _read(series: Series) -> float:
    """How far a level may lie off because readings are rounded."""
    return 0.05 * series.quantum


def _trend(series: Series, at_0: float, slope: float, error: float, rss: float) -> Shape:
    noise = series.noise(rss, 2)
    if np.abs(series.y - at_0 - slope * series.t_s).max() <= 1.5 * series.quantum:  # rounding alone
        noise = Estimate(0.0, 0.0)
    n, step = len(series.y), series.step_s
    spread = float(np.sqrt(rss / n))
    level = Estimate(at_0, 4.0 * spread / float(np.sqrt(n)) + _read(series))
    rate = Estimate(slope, 2.0 * error + 0.1 * series.quantum / max(step, float(series.t_s[-1])))
    if not noise.value:
        estimates = {"level": Estimate(at_0, level.error + series.quantum), "rate a second": rate}
        return Shape(Signal("counter", at_0, slope * step), series.criterion(rss, 2), spread, estimates)
    drift = Estimate(rate.value * 86_400.0, rate.error * 86_400.0)
    return Shape(
        Signal("constant", at_0, noise=noise.value, drift=slope * step), series.criterion(rss, 2), spread,
        {"level": level, "noise": noise, "drift a day": drift},
    )  # fmt: skip


def recurrent(series: Series) -> Shape | None:
    """Each value leans on the one before: a walk, or a reversion to a level (an AR(1), which is what
    Ornstein-Uhlenbeck is in steps)."""
    t, y, step = series
    follows = np.round(np.diff(t) / step) == 1.0
    before, after = y[:-1][follows], y[1:][follows]
    n = len(before)
    # a switch is told better by other shapes
    if n < 20 or (2 * np.count_nonzero(after - before) < n and _two_valued(y)):
        return None
    (offset, a), (_, a_error), rss = least_squares([np.ones(n), before], after)
    moves = after - before
    walked = float(moves @ moves)
    scale = len(y) / n
    if not 0.0 < a < 1.0 - 2.0 * a_error or series.criterion(walked * scale, 1) <= series.criterion(
        rss * scale, 3
    ):
        return _walk(series, walked, n)
    # its bias: Kendall 1954, Note on bias in the estimation of autocorrelation
    a = min(float(a) + (1.0 + 3.0 * float(a)) / n, 1.0 - 1.0 / n)
    offset = (1.0 - a) * float(np.mean(y))
    pull, swing = 1.0 - a, float(np.sqrt(rss / (n - 2)))
    level, error = float(offset / pull), 2.0 * swing / pull / float(np.sqrt(n))
    estimates = {
        "level": Estimate(level, error),
        "pull a step": Estimate(pull, 2.0 * float(np.sqrt((1.0 - a * a) / n)) + 4.0 / n),
        "swing a step": Estimate(swing, 2.0 * swing / float(np.sqrt(2.0 * n)) + 0.05 * series.quantum),
    }
    return Shape(
        Signal("reversion", level, swing, duty=pull, start=float(y[0])),
        series.criterion(rss * scale, 3),
        swing,
        estimates,
    )


def _two_valued(y: Array) -> bool:
    return len(np.unique(y)) <= 3


def _walk(series: Series, walked: float, n: int) -> Shape:
    y = series.y
    swing, span = float(np.sqrt(walked / n)), float(np.ptp(y))
    bounded = span < 2.0 * swing * float(np.sqrt(n))
    middle = 0.5 * (float(y.min()) + float(y.max()))
    estimates = {
        "swing a step": Estimate(swing, 2.0 * swing / float(np.sqrt(2.0 * n)) + 0.05 * series.quantum)
    }
    if bounded:
        estimates |= {"level": Estimate(middle, 2.0 * swing), "limit": Estimate(0.5 * span, 2.0 * swing)}
    level, limit = (middle, 0.5 * span) if bounded else (float(y[0]), 0.0)
    signal = Signal("walk", level, swing, limit=limit, start=float(y[0]))
    return Shape(signal, series.criterion(walked * len(y) / n, 1 + 2 * bounded), swing, estimates)


def sine(series: Series) -> Shape | None:
    """Level, drift, amplitude, period and phase: the strongest line of a periodogram, then Gauss and
    Newton."""
    t, y, step = series
    length = float(t[-1])
    if len(y) < 16 or not np.ptp(y) or length / step > GRID_MAX:
        return None
    grid = np.interp(np.arange(0.0, length, step), t, y)
    trend = np.polyval(np.polyfit(np.arange(len(grid)), grid, 1), np.arange(len(grid)))
    power = np.abs(np.fft.rfft(grid - trend, 4 * len(grid)))
    first = max(1, int(CYCLES_MIN * 4))
    if first >= len(power):
        return None
    omega = 2.0 * np.pi * (first + int(np.argmax(power[first:]))) / (4 * len(grid) * step)
    columns: list[Array] = []
    for _ in range(20):
        turned = omega * t
        columns = [np.ones_like(t), t, np.sin(turned), np.cos(turned)]
        (_, _, a, b), _, _ = least_squares(columns, y)
        found, errors, rss = least_squares([*columns, t * (a * np.cos(turned) - b * np.sin(turned))], y)
        if abs(found[4]) * length < 1e-9:
            break
        omega += float(np.clip(found[4], -0.25 / length, 0.25 / length))
    (at_0, slope, a, b), _, rss = least_squares(columns, y)
    if omega * length < 2.0 * np.pi * CYCLES_MIN or omega > np.pi / step:
        return None
    swing, period = float(np.hypot(a, b)), 2.0 * np.pi / omega
    if swing < CLEAR * float(max(errors[2:4])) or swing < series.quantum:
        return None
    noise = series.noise(rss, 5)
    steps = series.steps(period)
    drifts = abs(slope) > DRIFT_SIGMA * errors[1]
    signal = Signal(
        "sine", float(at_0), swing, steps, noise=noise.value, drift=float(slope) * step if drifts else 0.0,
        phase=round(float(np.arctan2(b, a)) / (2.0 * np.pi) * steps) % steps,
    )  # fmt: skip
    if not drifts:
        signal = signal._replace(level=float(at_0 + slope * 0.5 * length))
    estimates = {
        "level": Estimate(signal.level, 2.0 * float(errors[0]) + _read(series)),
        "swing": Estimate(swing, 2.0 * float(max(errors[2:4]))),
        "period_s": Estimate(float(period), 2.0 * float(errors[4]) * float(period) / float(omega)),
        "noise": noise,
        "drift a day": Estimate(float(slope) * 86_400.0, 2.0 * float(errors[1]) * 86_400.0),
    }
    return Shape(signal, series.criterion(rss, 6), float(np.sqrt(rss / len(y))), estimates)


def two_levels(series: Series) -> Shape | None:
    """A square, or one step: two clusters of values, and when they change."""
    t, y, step = series
    if not np.ptp(y):
        return None
    high = y > 0.5 * (float(y.min()) + float(y.max()))
    low_values, high_values = y[~high], y[high]
    within = float(
        ((low_values - low_values.mean()) ** 2).sum() + ((high_values - high_values.mean()) ** 2).sum()
    )
    level, swing = float(low_values.mean()), float(high_values.mean() - low_values.mean())
    if swing <= SQUARE_SEPARATION * float(np.sqrt(within / len(y))):
        return None
    edges = np.nonzero(np.diff(high))[0]
    times = 0.5 * (t[edges] + t[edges + 1])
    noise = series.noise(within, 2)
    spread = float(np.sqrt(max(within, _TINY) / len(y)))
    errors = [2.0 * spread / float(np.sqrt(len(some))) + _read(series) for some in (low_values, high_values)]
    estimates = {"level": Estimate(level, errors[0]), "swing": Estimate(swing, sum(errors)), "noise": noise}
    if len(edges) == 1:
        first, then = (level, swing) if high[-1] else (level + swing, -swing)
        at = Estimate(float(times[0]), 0.5 * float(t[edges[0] + 1] - t[edges[0]]))
        signal = Signal("step", first, then, series.steps(at.value), noise=noise.value)
        estimates |= {"level": Estimate(first, sum(errors)), "swing": Estimate(then, sum(errors)), "at_s": at}
        return Shape(signal, series.criterion(within, 4), spread, estimates, [at.value])
    periodic = _cycles(times[high[edges + 1]], step)
    if periodic is None:
        return None
    period, begins = periodic
    duty = _duty(t, high, begins.value, period.value, float(high.mean()))
    steps = series.steps(period.value)
    signal = Signal(
        "square",
        level,
        swing,
        steps,
        duty,
        noise.value,
        phase=round(-begins.value / period.value * steps) % steps,
    )
    wrong = int((((t - begins.value) % period.value < duty * period.value) != high).sum())
    estimates |= {
        "period_s": period,
        "duty": Estimate(duty, 2.0 * _edge(times[high[edges + 1]], period.value, step) / period.value),
    }
    return Shape(signal, series.criterion(within, 5 + wrong), spread, estimates, [float(at) for at in times])


def _duty(t: Array, high: Array, first_s: float, period_s: float, guess: float) -> float:
    """For how much of a period it is high: where what is high by the clock agrees best with what is."""
    turned = (t - first_s) % period_s / period_s
    tried = np.linspace(max(0.0, guess - 0.1), min(1.0, guess + 0.1), 201)
    wrong = [int(((turned < duty) != high).sum()) for duty in tried]
    best = [float(duty) for duty, count in zip(tried, wrong, strict=True) if count == min(wrong)]
    return sum(best) / len(best)


def _cycles(times: Array, step_s: float) -> tuple[Estimate, Estimate] | None:
    """(period, first instant) of events that are seen to within a step; None when they don't come
    regularly."""
    if len(times) < 2:
        return None
    gaps = np.diff(times)
    number = np.concatenate([[0.0], np.cumsum(np.maximum(1.0, np.round(gaps / float(np.median(gaps)))))])
    if len(times) == 2:
        return Estimate(float(times[1] - times[0]), step_s), Estimate(float(times[0]), step_s)
    (first, period), _, rss = least_squares([np.ones_like(times), number], times)
    if np.sqrt(rss / len(times)) > max(step_s, 0.05 * period):
        return None
    seen = max(float(np.sqrt(rss / len(times))), step_s / float(np.sqrt(12.0)))
    error = 2.0 * seen / float(np.sqrt(((number - number.mean()) ** 2).sum()))
    return Estimate(float(period), error), Estimate(
        float(first), 2.0 * seen / float(np.sqrt(len(times))) + error * float(number.mean())
    )


def _snapped(number: Array, t: Array, jumps: Array, step_s: float) -> Array:
    """The count of cycles, which changes where jumps were seen: near one, by time alone it could be
    either."""
    for at in jumps:
        near = np.abs(t - at) <= step_s
        before, after = near & (t < at), near & (t > at)
        if before.any() and after.any():
            middle = np.round((number[before].max() + number[after].min()) / 2.0 + 0.01)
            number[after] = np.maximum(number[after], middle)
            number[before] = np.minimum(number[before], middle - 1.0)
    return number


def _edge(times: Array, period_s: float, step_s: float) -> float:
    """How far off the instant of a cycle's jump may be: readings see it to within a step, each anew unless
    they come in step with it."""
    spread = float(np.std((times - times[0] + 0.5 * period_s) % period_s))
    return 0.5 * step_s if spread < 0.1 * step_s else step_s / float(np.sqrt(3.0 * len(times)))


def ramp(series: Series) -> Shape | None:
    """Level to level + swing, then again: cycles are counted by their jumps, then all are fitted at once."""
    t, y, step = series
    span = float(np.ptp(y))
    jumps = np.nonzero(np.abs(np.diff(y) - np.median(np.diff(y))) > 0.5 * span)[0]
    if len(jumps) < 2 or len(jumps) > len(y) // 3:
        return None
    periodic = _cycles(0.5 * (t[jumps] + t[jumps + 1]), step)
    if periodic is None:
        return None
    number = np.floor((t - periodic[1].value) / periodic[0].value)
    number = _snapped(number, t, 0.5 * (t[jumps] + t[jumps + 1]), step)
    (_, slope, drop), (_, slope_error, drop_error), _ = least_squares([np.ones_like(t), t, number], y)
    if not slope or -drop / slope <= 0.0:
        return None
    period, swing = float(-drop / slope), float(-drop)
    seen = 0.5 * (t[jumps] + t[jumps + 1])
    first = float(np.mean(seen - period * np.round((seen - seen[0]) / period)))
    turned = (t - first) % period / period
    (level,), (level_error,), rss = least_squares([np.ones_like(t)], y - swing * turned)
    wrong = int((np.abs(y - level - swing * turned) > 0.5 * span).sum())
    if wrong > OUTSIDE_MAX * len(y) or abs(swing) < CLEAR * float(drop_error):
        return None
    close = np.abs(y - level - swing * turned) <= 0.5 * span
    (level,), (level_error,), rss = least_squares([np.ones(int(close.sum()))], (y - swing * turned)[close])
    noise = series.noise(rss, 4)
    steps = series.steps(period)
    relative = float(abs(slope_error / slope) + abs(drop_error / drop)) + 0.1 * series.quantum / abs(swing)
    edge = 1.5 * abs(swing) * _edge(t[jumps], period, step) / period
    estimates = {
        "level": Estimate(float(level), 2.0 * float(level_error) + edge + _read(series)),
        "swing": Estimate(swing, 2.0 * float(drop_error) + 0.1 * series.quantum),
        "period_s": Estimate(period, 2.0 * relative * period),
        "noise": noise,
    }
    signal = Signal(
        "ramp", float(level), swing, steps, noise=noise.value, phase=round(-first / period * steps) % steps
    )
    return Shape(signal, series.criterion(rss, 5 + wrong), float(np.sqrt(rss / len(y))), estimates)
