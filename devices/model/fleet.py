"""Devices of one model, made together: many of them move in one numpy pass a step instead of one call each.

Belongs here: who shares a pass, and the pass. Never: what a signal is (signal.py), how one device moves alone
(stepper.py); tests/devices/test_fleet.py holds the two against each other, bit by bit: only + - * / and
comparisons on float64 and uint64 are used, which are the same in numpy and in Python. A device is only ever
looked at as of now, so that moving its fleet's images along with it shows nobody anything early. A step in C
is cheaper than a share of a pass: where there is one, each device moves alone.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from twinloop.devices.model.device import Device, DeviceModel
from twinloop.devices.model.encodings import ENCODINGS, EVERYWHERE, F32_MAX, INFINITY
from twinloop.devices.model.points import Point
from twinloop.devices.model.registers import RegisterImage
from twinloop.devices.model.signal import SINE, SINE_STEPS, Signal, mixed
from twinloop.devices.model.stepper import compiled

LOOKS_MIN = 32
"""devices of a fleet that are looked at within one step, from which on one pass for all is cheaper than a
call for each"""

_TABLE = np.array(SINE)
_STRIDE = 0x9E3779B97F4A7C15
_U = np.uint64
_HALF, _LOW = _U(16), _U(0xFFFF)
_C1, _C2 = _U(0xBF58476D1CE4E5B9), _U(0x94D049BB133111EB)

Array = np.ndarray[Any, Any]


class FleetMember(NamedTuple):
    """One device to be made; ``key`` as for ``Device``."""

    name: str
    unit_id: int
    key: int


def make_devices(model: DeviceModel, members: list[FleetMember], period_ns: int) -> list[Device]:
    """Devices that are each looked at every ``period_ns``, in the order of ``members``."""
    few = len(members) * min(model.step_ns, period_ns) // period_ns < LOOKS_MIN
    if few or compiled(model.points) or not _fits(model):
        blank = RegisterImage(model.points, model.constants, holes=model.holes)
        return [Device(model, *member, image=_like(blank, model)) for member in members]
    together = Pass(model, [member.key for member in members])
    move = together.move  # one for all: each look at it makes another
    return [
        Device(model, *member, image=image, move=move)
        for member, image in zip(members, together.images, strict=True)
    ]


def _like(
    blank: RegisterImage, model: DeviceModel, room: dict[str, memoryview] | None = None
) -> RegisterImage:
    return RegisterImage(model.points, model.constants, room, model.holes, blank)


def _fits(model: DeviceModel) -> bool:
    """Registers of at most 32 bits in wire order: floats hold them exactly, and numpy has a type for them."""
    moving = [point for point in model.points if point.moves]
    return (
        model.process is None
        and bool(moving)
        and all(p.plain and p.type in EVERYWHERE and p.order == "be" and p.width <= 2 for p in moving)
    )


class Pass:
    """The images of some devices of one model as rows of one array a table, moved together."""

    def __init__(self, model: DeviceModel, keys: list[int]) -> None:
        blank = RegisterImage(model.points, model.constants, holes=model.holes)
        count = len(keys)
        rows = {table: np.tile(np.frombuffer(raw, np.uint8), (count, 1)) for table, raw in blank.raw.items()}
        flat = {table: matrix.data.cast("B") for table, matrix in rows.items() if matrix.size}
        widths = {table: matrix.shape[1] for table, matrix in rows.items()}
        self.images = [
            _like(blank, model, {t: one[i * widths[t] : (i + 1) * widths[t]] for t, one in flat.items()})
            for i in range(count)
        ]
        self._moving = [
            _Column(i, p, keys, rows[p.table], blank.first[p.table])
            for i, p in enumerate(model.points)
            if p.moves
        ]
        self._recurrent = [column for column in self._moving if column.signal.kind in ("walk", "reversion")]
        self._step, self._last = -1, 0

    def move(self, step: int) -> None:
        """Every image shows what holds at ``step`` (0 or more)."""
        if step == self._step:
            return
        self._step = step
        with np.errstate(over="ignore", invalid="ignore"):  # Python's floats overflow in silence, too
            self._move(step)

    def _move(self, step: int) -> None:
        if self._recurrent:
            if step < self._last:
                self._last = 0
                for column in self._recurrent:
                    column.start()
            while self._last < step:
                self._last += 1
                for column in self._recurrent:
                    column.follow(self._last)
        for column in self._moving:
            column.write(step)


class _Column:
    """One point of all devices."""

    def __init__(self, index: int, point: Point, keys: list[int], rows: Array, first: int) -> None:
        self.signal = point.signal
        mine = [mixed(key, index) for key in keys]
        self._keys = np.array(mine, _U)
        self._grains = np.array([mixed(key, -2) for key in mine], _U)
        self._shifts = np.array([point.signal.shift(key) for key in mine], np.int64)
        self._values = np.empty(len(keys))
        self._scale, self._offset = point.scale, point.offset
        self._bounds: tuple[float, float] | None = None
        self._whole = 0, 0
        if point.type[0] != "f":
            bits = 16 * point.width
            low, high = (
                (0, (1 << bits) - 1) if point.type[0] == "u" else (-(1 << bits - 1), (1 << bits - 1) - 1)
            )
            self._bounds, self._whole = (float(low), float(high)), (low, high)
        start = 2 * (point.address - first)
        kind = np.dtype(f">{ENCODINGS[point.type].code}")
        self._out = rows[:, start : start + kind.itemsize].view(kind)[:, 0]
        self.start()

    def start(self) -> None:
        """Step 0 of a recurrent signal."""
        self._values[:] = self.signal.first

    def follow(self, k: int) -> None:
        """Step ``k`` of a recurrent signal, from the one before."""
        s, v = self.signal, self._values
        n = _noise(self._keys, k)
        if s.kind == "reversion":
            self._values = v + s.duty * (s.level - v) + s.swing * n
            return
        v = v + s.swing * n
        if s.limit:
            low, high = s.level - s.limit, s.level + s.limit
            v = np.where(v > high, 2 * high - v, np.where(v < low, 2 * low - v, v))
        self._values = v

    def write(self, k: int) -> None:
        """Put step ``k`` into the registers; integers are rounded and saturate."""
        value = self._shape(self.signal, k)
        if type(value) is int:  # of an exact point, without noise and drift
            self._out[:] = min(max(value, self._whole[0]), self._whole[1])
            return
        if self.signal.drift and self.signal.kind != "counter":
            value = value + self.signal.drift * k
        if self.signal.noise and self.signal.kind != "counter":
            value = value + self.signal.noise * _noise(self._grains, k)
        if self._offset:
            value = value - self._offset
        if self._scale != 1.0:
            value = value / self._scale
        if self._bounds is not None:
            value = np.where(value == value, np.clip(np.rint(value), *self._bounds), self._bounds[0])  # noqa: PLR0124  # NaN is the lowest
            if self._bounds[1] > self._whole[1]:  # 2^64 - 1 is no float, and 2^64 doesn't fit
                full = value >= self._bounds[1]
                self._out[:] = np.where(full, 0.0, value)
                self._out[full] = self._whole[1]
                return
        else:
            value = np.where(np.abs(value) > F32_MAX, np.copysign(INFINITY, value), value)
        self._out[:] = value

    def _shape(self, s: Signal, k: int) -> Array | float:
        if s.kind in ("walk", "reversion"):
            return self._values
        if s.kind == "counter":
            return (s.level + s.swing * k) % s.rollover if s.rollover else s.level + s.swing * k
        if s.kind == "constant":
            return s.level
        if s.kind == "step":
            return s.level if k < s.period else s.level + s.swing
        turns = (k + self._shifts) % s.period
        if s.kind == "ramp":
            return s.level + s.swing * (turns / s.period)
        if s.kind == "square":
            return np.where(turns < s.duty * s.period, s.level + s.swing, s.level)
        at, rest = np.divmod(turns * SINE_STEPS, s.period)
        low = _TABLE[at]
        value: Array = s.level + s.swing * (low + (_TABLE[at + 1] - low) * (rest / s.period))
        return value


def _noise(keys: Array, k: int) -> Array:
    """``signal.noise`` for many keys."""
    x = keys + _U((k + 1) * _STRIDE & (1 << 64) - 1)
    x = (x ^ (x >> _U(30))) * _C1
    x = (x ^ (x >> _U(27))) * _C2
    x ^= x >> _U(31)
    quarters = (x & _LOW) + (x >> _HALF & _LOW) + (x >> _U(32) & _LOW) + (x >> _U(48))
    deviates: Array = (quarters.astype(np.float64) - 131070.0) * (1.0 / 37837.227)
    return deviates
