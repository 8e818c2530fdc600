"""Signals: what a physical value does over time. The value at step k depends on (key, k) only; looking
changes nothing.

Belongs here: waveforms from + - * / and tables. Never: a clock, a random stream, a transcendental (other
CPUs, other bits). A step is the device's own sampling instant; ``key`` is 64 bits from the scenario's seed,
the device's and the point's name.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

_MASK = (1 << 64) - 1
_UNIT = 1.0 / (1 << 53)
SINE_STEPS = 1024
"""of a full turn; between them the table is read linearly: error below 5e-6"""


def mixed(key: int, k: int) -> int:
    """64 bits for step k (splitmix64's finaliser; Steele, Lea, Flood 2014): a hash, so any k can be asked in
    any order."""
    x = (key + (k + 1) * 0x9E3779B97F4A7C15) & _MASK
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & _MASK
    return x ^ (x >> 31)


def noise(key: int, k: int) -> float:
    """Near-normal noise, mean 0, deviation 1, within +-3.5: the sum of a word's four 16-bit quarters
    (Irwin-Hall).

    ``mixed`` is written out: these are the hottest lines of a fleet.
    """
    x = (key + (k + 1) * 0x9E3779B97F4A7C15) & _MASK
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & _MASK
    x ^= x >> 31
    quarters = (x & 0xFFFF) + (x >> 16 & 0xFFFF) + (x >> 32 & 0xFFFF) + (x >> 48)
    return (quarters - 131070) * (1.0 / 37837.227)  # 65536 * sqrt(4 / 12)


def _sine_table() -> tuple[float, ...]:
    """One turn by Taylor's series in integers of 2**-96: the same doubles on every machine."""
    one = 1 << 96
    pi = 0x3243F6A8885A308D313198A2E  # floor(pi * 2**96), from the hexadecimal expansion of pi
    quarter = []
    for i in range(SINE_STEPS // 4 + 1):
        x = 2 * pi * i // SINE_STEPS
        term, total, n = x, x, 1
        while term:
            term = (
                -(term * x // one * x // one) // ((n + 1) * (n + 2))
                if term > 0
                else (-term * x // one * x // one) // ((n + 1) * (n + 2))
            )
            total += term
            n += 2
        quarter.append(total / one)
    half = quarter + quarter[-2::-1]
    return tuple(half + [-value for value in half[1:]])


SINE = _sine_table()
"""sin(2 pi i / 1024) for i = 0 to 1024"""


def sine(turns: int, of: int) -> float:
    """sin(2 pi * turns / of) from the table; ``of`` over 0."""
    scaled = turns % of * SINE_STEPS
    i, rest = divmod(scaled, of)
    low = SINE[i]
    return low + (SINE[i + 1] - low) * (rest / of)


PERIOD_MAX = 1 << 48
"""steps: a table sine's index stays below 2**63"""


class Signal(NamedTuple):
    """What a point does. Only the fields that its ``kind`` reads have a meaning; times are in steps.

    constant ``level`` · ramp ``level`` to ``level + swing`` in ``period`` steps, then again · sine around
    ``level`` with amplitude ``swing`` · square ``level`` or ``level + swing``, the latter for ``duty`` of the
    period · step ``level`` until step ``period``, then ``level + swing`` · walk from ``level``, ``swing`` a
    step, reflected at +-``limit`` · reversion (Ornstein-Uhlenbeck) to ``level``: pull ``duty`` a step, noise
    ``swing`` · counter from ``level``, ``swing`` a step. Each but the counter carries ``noise`` (a deviation)
    on top, and moves by ``drift`` a step.

    What a twin knows of one device: ``phase``, the step of the period at which a ramp, sine or square begins
    (-1: drawn from the key), and ``start``, where a walk or reversion begins (None: at its level).
    """

    kind: str = "constant"
    level: float = 0.0
    swing: float = 0.0
    period: int = 600
    duty: float = 0.5
    noise: float = 0.0
    limit: float = 0.0
    drift: float = 0.0
    phase: int = -1
    start: float | None = None
    rollover: float = 0.0
    """where a counter begins anew with 0; 0: nowhere"""

    def check(self) -> None:
        """Raises ValueError for an unknown kind, a period out of range, a number that isn't finite."""
        if self.kind not in KINDS:
            raise ValueError(f"unknown signal {self.kind!r}; known: {', '.join(KINDS)}")
        if not 1 <= self.period <= PERIOD_MAX:
            raise ValueError(f"a signal's period is 1 to {PERIOD_MAX} steps, got {self.period}")
        if not -1 <= self.phase < self.period:
            raise ValueError(
                f"a signal's phase is a step of its period of {self.period}, or -1, got {self.phase}"
            )
        for name in ("level", "swing", "duty", "noise", "limit", "drift", "start", "rollover"):
            number = getattr(self, name)
            if number is not None and number - number != 0.0:
                raise ValueError(f"a signal's {name} is a finite number, got {number}")
        if self.rollover < 0 or (self.rollover and not 0 <= self.level < self.rollover):
            raise ValueError(
                f"a counter that rolls over at {self.rollover} begins from 0 to below that, got {self.level}"
            )

    def build(self, key: int) -> Callable[[int], float]:
        """The function k -> value for one point of one device; raises as ``check``."""
        self.check()
        shape = _BUILDERS[self.kind](self, key)
        if self.kind == "counter":
            return shape
        if self.drift:
            still, drift = shape, self.drift
            shape = lambda k: still(k) + drift * k
        if not self.noise:
            return shape
        deviation, grain = self.noise, mixed(key, -2)
        return lambda k: shape(k) + deviation * noise(grain, k)

    def shift(self, key: int) -> int:
        """Which step of its period is step 0."""
        return mixed(key, -1) % self.period if self.phase < 0 else self.phase

    @property
    def first(self) -> float:
        """Where a recurrent signal begins."""
        return self.level if self.start is None else self.start


def _constant(s: Signal, key: int) -> Callable[[int], float]:
    level = s.level
    return lambda k: level


def _ramp(s: Signal, key: int) -> Callable[[int], float]:
    level, swing, period, shift = s.level, s.swing, s.period, s.shift(key)
    return lambda k: level + swing * ((k + shift) % period / period)


def _sine(s: Signal, key: int) -> Callable[[int], float]:
    level, swing, period, shift = s.level, s.swing, s.period, s.shift(key)
    return lambda k: level + swing * sine(k + shift, period)


def _square(s: Signal, key: int) -> Callable[[int], float]:
    level, swing, period, shift = s.level, s.swing, s.period, s.shift(key)
    high = s.duty * period
    return lambda k: level + swing if (k + shift) % period < high else level


def _step(s: Signal, key: int) -> Callable[[int], float]:
    level, swing, period = s.level, s.swing, s.period
    return lambda k: level if k < period else level + swing


def _counter(s: Signal, key: int) -> Callable[[int], float]:
    level, swing, rollover = s.level, s.swing, s.rollover
    if rollover:
        return lambda k: (level + swing * k) % rollover
    return lambda k: level + swing * k


def _recurrent(start: float, following: Callable[[float, int], float]) -> Callable[[int], float]:
    """A series in which each value needs the one before; what was computed last is kept, which is a cache and
    no state."""
    last_k, last = 0, start

    def at(k: int) -> float:
        nonlocal last_k, last
        if k < last_k:
            last_k, last = 0, start
        while last_k < k:
            last_k += 1
            last = following(last, last_k)
        return last

    return at


def _walk(s: Signal, key: int) -> Callable[[int], float]:
    level, swing, limit = s.level, s.swing, s.limit

    def following(value: float, k: int) -> float:
        value += swing * noise(key, k)
        if limit and value > level + limit:
            value = 2 * (level + limit) - value
        elif limit and value < level - limit:
            value = 2 * (level - limit) - value
        return value

    return _recurrent(s.first, following)


def _reversion(s: Signal, key: int) -> Callable[[int], float]:
    level, swing, pull = s.level, s.swing, s.duty
    return _recurrent(s.first, lambda value, k: value + pull * (level - value) + swing * noise(key, k))


_BUILDERS = {
    "constant": _constant,
    "ramp": _ramp,
    "sine": _sine,
    "square": _square,
    "step": _step,
    "counter": _counter,
    "walk": _walk,
    "reversion": _reversion,
}
KINDS = tuple(_BUILDERS)
