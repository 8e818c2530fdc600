"""A device's step as one function: every point's signal computed and written into the image, for one model at
a time.

Belongs here: the source of that function, made from a model's points, and its compilation. Never: what a
signal is; that is signal.py, and tests/devices/test_stepper.py holds the two against each other, value by
value. A fleet spends a tenth of a poll here: closures (one call a shape, a noise, a register) cost twice as
much. Where there is a compiled part (``take``), models whose points are plain registers have their step in C,
which does the same (devices/native/signals.c).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from struct import Struct
from typing import Any

from twinloop.devices.model.encodings import ENCODINGS, EVERYWHERE, F32_MAX, INFINITY
from twinloop.devices.model.points import BITS, Point
from twinloop.devices.model.registers import RegisterImage
from twinloop.devices.model.signal import KINDS, SINE, Signal, mixed, sine

_RECURRENT = ("walk", "reversion")
_MASK, _STRIDE = (1 << 64) - 1, 0x9E3779B97F4A7C15
"""of ``signal.mixed``"""


class Taken:
    """What this process takes steps by. ``signals``: the compiled module; None: Python alone."""

    def __init__(self) -> None:
        self.signals: Any = None
        self._told: list[Callable[[Any], None]] = []

    def tell(self, told: Callable[[Any], None]) -> None:
        """Call ``told`` with the compiled module, or None, now and when it is another one."""
        self._told.append(told)
        told(self.signals)

    def now(self, signals: Any) -> None:
        """It is this one."""
        self.signals = signals
        for told in self._told:
            told(signals)


TAKEN = Taken()


def take(signals: Any) -> None:
    """From now on steps are the compiled module's where it has them, or Python's (None). Who knows of a
    compiled part says so; this room doesn't."""
    if signals is not None:
        signals.bind(SINE)
    TAKEN.now(signals)


def step_function(points: tuple[Point, ...], image: RegisterImage, key: int) -> Callable[[int], None]:
    """``move(k)``: write what holds at step k (0 or more) for every point that moves. ``key``: the
    device's."""
    if compiled(points):
        return _compiled_step(points, image, key)
    make = _compiled(points)
    moving: Callable[[int], None] = make(image, [mixed(key, i) for i in range(len(points))])
    return moving


@cache
def _compiled(points: tuple[Point, ...]) -> Callable[..., Any]:
    """The maker of one model's step functions, shared by all devices of the model."""
    scope: dict[str, Any] = {"sine": sine, "mixed": mixed, "infinity": INFINITY}
    text = "\n".join(_source(points, scope))
    exec(compile(text, "<step function>", "exec"), scope)  # noqa: S102  # our own text, from numbers and names of this package
    made: Callable[..., Any] = scope["make"]
    return made


def compiled(points: tuple[Point, ...]) -> bool:
    """Has this process the step of such points in C?"""
    return TAKEN.signals is not None and _in_c(points)


_FIGURES = "level", "swing", "duty", "noise", "limit", "drift", "first", "rollover"


@cache
def _in_c(points: tuple[Point, ...]) -> bool:
    """Is every point that moves a plain register, and its figures doubles? Python's ints have no end."""
    return all(
        not point.moves
        or (
            _in_a_run(point)
            and all(type(getattr(point.signal, name)) is float for name in _FIGURES)
            and type(point.scale) is type(point.offset) is float
        )
        for point in points
    )


def _compiled_step(points: tuple[Point, ...], image: RegisterImage, key: int) -> Callable[[int], None]:
    """The same as the compiled module has it: it is told of points in the order in which they are written."""
    signals = TAKEN.signals
    moving, tables, alike = _alike(signals, points, tuple(image.first.items()))
    own = []
    for i in moving:
        mine = mixed(key, i)
        own.append((points[i].signal.shift(mine), mine, mixed(mine, -2)))
    moved: Callable[[int], None] = signals.Step(alike, own, [image.raw[table] for table in tables])
    return moved


@cache
def _alike(
    signals: Any, points: tuple[Point, ...], first: tuple[tuple[str, int], ...]
) -> tuple[list[int], list[str], Any]:
    """Which points move, in which tables, and what the compiled module was told of them, once for all devices
    of a model: their figures are most of what a step needs."""
    moving = sorted(
        (i for i, point in enumerate(points) if point.moves),
        key=lambda i: (points[i].table, points[i].address),
    )
    tables = list(dict.fromkeys(points[i].table for i in moving))
    lowest, figures = dict(first), []
    for i in moving:
        point = points[i]
        s = point.signal
        figures.append(
            (
                KINDS.index(s.kind), s.level, s.swing, s.period, s.duty, s.noise, s.limit, s.drift, s.first,
                s.rollover, tables.index(point.table), 2 * (point.address - lowest[point.table]),
                ENCODINGS[point.type].code, point.scale, point.offset,
            )
        )  # fmt: skip
    return moving, tables, signals.Points(figures)


def _in_a_run(point: Point) -> bool:
    """Is it written with its neighbours, in registers that are all its own?"""
    return not (point.table in BITS or point.order != "be" or not point.plain or point.type not in EVERYWHERE)


def _source(points: tuple[Point, ...], scope: dict[str, Any]) -> list[str]:
    """The text of ``make(image, keys)``."""
    moving = [i for i, point in enumerate(points) if point.moves]
    recurrent = [i for i in moving if points[i].signal.kind in _RECURRENT]
    tables = dict.fromkeys(points[i].table for i in moving)
    lines = ["def make(image, keys):"]
    lines += [f"    raw_{table} = image.raw.get({table!r})" for table in tables]
    lines += [f"    first_{table} = image.first[{table!r}]" for table in tables]
    for i in moving:
        signal = points[i].signal
        shift = f"mixed(keys[{i}], -1) % {signal.period}" if signal.phase < 0 else repr(signal.phase)
        lines.append(f"    key{i}, grain{i}, shift{i} = keys[{i}], mixed(keys[{i}], -2), {shift}")
    lines += [f"    v{i} = {points[i].signal.first!r}" for i in recurrent]
    lines += ["    last = 0", "    def move(k):"]
    if recurrent:
        lines += _recurrences(points, recurrent)
    lines.append(f"        j = (k + 1) * {_STRIDE}")
    for i in moving:
        lines += [f"        {line}" for line in _value(i, points[i].signal)]
    lines += [f"        {line}" for line in _writes(points, moving, scope)]
    return [*lines, "    return move"]


def _noise(key: str) -> list[str]:
    """``n``: ``signal.noise`` for the step whose ``j`` is (k + 1) * stride."""
    return [
        f"x = {key} + j & {_MASK}",
        f"x = (x ^ x >> 30) * {0xBF58476D1CE4E5B9} & {_MASK}",
        f"x = (x ^ x >> 27) * {0x94D049BB133111EB} & {_MASK}",
        "x ^= x >> 31",
        "n = ((x & 65535) + (x >> 16 & 65535) + (x >> 32 & 65535) + (x >> 48) - 131070) * (1.0 / 37837.227)",
    ]


def _recurrences(points: tuple[Point, ...], recurrent: list[int]) -> list[str]:
    """Series in which each value needs the one before: from the last step that was looked at, or from the
    start."""
    names = ", ".join(f"v{i}" for i in recurrent)
    levels = ", ".join(repr(points[i].signal.first) for i in recurrent)
    lines = [
        f"        nonlocal last, {names}",
        "        if k < last:",
        f"            last, {names} = 0, {levels}",
        "        while last < k:",
    ]
    body = ["last += 1", f"j = (last + 1) * {_STRIDE}"]
    for i in recurrent:
        s = points[i].signal
        body += _noise(f"key{i}")
        if s.kind == "reversion":
            body.append(f"v{i} = v{i} + {s.duty!r} * ({s.level!r} - v{i}) + {s.swing!r} * n")
            continue
        body.append(f"v{i} += {s.swing!r} * n")
        if s.limit:
            low, high = s.level - s.limit, s.level + s.limit
            body.append(
                f"v{i} = {2 * high!r} - v{i} if v{i} > {high!r} else {2 * low!r} - v{i} if v{i} < {low!r} "
                f"else v{i}"
            )
    return lines + [f"            {line}" for line in body]


def _value(i: int, s: Signal) -> list[str]:
    """``w<i>``: the engineering value of a point at step k."""
    turn = f"((k + shift{i}) % {s.period}"
    shapes = {
        "constant": f"{s.level!r}",
        "ramp": f"{s.level!r} + {s.swing!r} * {turn} / {s.period})",
        "sine": f"{s.level!r} + {s.swing!r} * sine(k + shift{i}, {s.period})",
        "square": f"{s.level + s.swing!r} if (k + shift{i}) % {s.period} < {s.duty * s.period!r} "
        f"else {s.level!r}",
        "step": f"{s.level!r} if k < {s.period} else {s.level + s.swing!r}",
        "counter": f"({s.level!r} + {s.swing!r} * k) % {s.rollover!r}"
        if s.rollover
        else f"{s.level!r} + {s.swing!r} * k",
    }
    shape = f"v{i}" if s.kind in _RECURRENT else shapes[s.kind]
    if s.kind == "counter":
        return [f"w{i} = {shape}"]
    if s.drift:
        shape = f"({shape}) + {s.drift!r} * k"
    if not s.noise:
        return [f"w{i} = {shape}"]
    return [*_noise(f"grain{i}"), f"w{i} = ({shape}) + {s.noise!r} * n"]


def _writes(points: tuple[Point, ...], moving: list[int], scope: dict[str, Any]) -> list[str]:
    """Integers rounded and saturated, then one ``pack_into`` for each run of registers; coils and odd word
    orders by the image."""
    lines: list[str] = []
    scaled: list[str] = []
    runs: list[list[int]] = []
    for i in sorted(moving, key=lambda i: (points[i].table, points[i].address)):
        point = points[i]
        if not _in_a_run(point):
            (scaled if point.power is not None else lines).append(f"image.write_value({i}, w{i})")
            continue
        raw = f"w{i}" if not point.offset else f"(w{i} - {point.offset!r})"
        raw = raw if point.scale == 1.0 else f"{raw} / {point.scale!r}"
        lines.append(f"w{i} = {raw}")
        if point.type == "f32":
            lines.append(
                f"if (w{i} > {F32_MAX!r} or w{i} < {-F32_MAX!r}): w{i} = infinity if w{i} > 0 else -infinity"
            )
        elif point.type != "f64":
            bits = 16 * point.width
            low, high = (
                (0, (1 << bits) - 1) if point.type[0] == "u" else (-(1 << bits - 1), (1 << bits - 1) - 1)
            )
            lines.append(
                f"w{i} = round(w{i}) if {low} <= w{i} <= {high} else {high} if w{i} > {high} else {low}"
            )
        before = points[runs[-1][-1]] if runs else None
        if (
            before is not None
            and before.table == point.table
            and before.address + before.width == point.address
        ):
            runs[-1].append(i)
        else:
            runs.append([i])
    for number, run in enumerate(runs):
        first = points[run[0]]
        scope[f"pack{number}"] = Struct(">" + "".join(ENCODINGS[points[i].type].code for i in run)).pack_into
        values = ", ".join(f"w{i}" for i in run)
        lines.append(
            f"pack{number}(raw_{first.table}, 2 * ({first.address} - first_{first.table}), {values})"
        )
    return [*lines, *scaled] or ["pass"]  # a live scale first, then what it scales
