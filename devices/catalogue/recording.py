"""Recordings: what a device once showed, as a device. CSV with a header
``ns,point,value,status[,unit[,took_ns]]``, a reading a row.

Belongs here: the format, and a process that replays it. Never: files (scenarios read them). ``ns`` are
nanoseconds of any clock, rising; the first row is t = 0. ``status`` is an OPC UA StatusCode, decimal or
0x...; empty is Good. From a row on the point shows its value; a Bad one is a StatusCode over OPC UA, NaN in
registers, null in a payload. After its last row it holds what it had (``lasts_ns`` says when that is).
``took_ns``: how long the exchange that brought the reading took; empty where that isn't known.
"""

from __future__ import annotations

import csv
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from twinloop.devices.model.device import DeviceModel
from twinloop.devices.model.points import Point
from twinloop.devices.model.process import Process
from twinloop.devices.model.protocols import EVERY

ROWS_MAX = 5_000_000
"""of one recording: a day of 50 points a second"""
NS_MAX = 1 << 62
STEP_NS = 1_000_000
"""a replay is looked at with this resolution"""
HEADER = ["ns", "point", "value", "status"]
UNIT, TOOK = "unit", "took_ns"
_HEADERS = (HEADER, [*HEADER, UNIT], [*HEADER, UNIT, TOOK])
_NAN = float("nan")


UNANSWERED = (0x800A0000, 0x80310000)
"""BadTimeout, BadNoCommunication: there was no answer (OPC 10000-6 annex A.2)"""


class RecordingError(ValueError):
    """A row that can't be: ``args`` = (line number from 1, text)."""

    def __init__(self, line: int, text: str) -> None:
        super().__init__(line, text)
        self.line = line


class Track(NamedTuple):
    """One point's readings in order. ``at_ns`` from the recording's beginning."""

    at_ns: list[int]
    values: list[float]
    statuses: list[int]


class Recording(NamedTuple):
    """Everything that was read, by point in the order of first mention."""

    tracks: dict[str, Track]
    units: dict[str, str]
    lasts_ns: int
    exchanges: list[tuple[int, int]] = []
    """(ns from the beginning, ns that it took, -1: nothing came), one for each instant with a ``took_ns`` or
    with one of UNANSWERED"""
    timed: bool = False
    """it has the column ``took_ns``, which may be empty"""

    def model(self, name: str) -> DeviceModel:
        """A device that shows it: a 64-bit float a point, from holding register 0 on."""
        points = tuple(
            Point(point, "holding", 4 * i, "f64", unit=self.units[point], output=point)
            for i, point in enumerate(self.tracks)
        )
        counted = "1 point" if len(points) == 1 else f"{len(points)} points"
        return DeviceModel(
            name,
            f"Recording of {counted} over {self.lasts_ns / 1e9:g} s",
            name,
            EVERY,
            points,
            step_ns=STEP_NS,
            process=lambda key, dt_s: Replay(self.tracks),
            lasts_ns=self.lasts_ns,
        )


class Replay(Process):
    """Shows what the recording showed at that step."""

    jumps = True

    def __init__(self, tracks: dict[str, Track]) -> None:
        super().__init__(0, STEP_NS / 1e9)
        self._tracks = tracks

    def step(self, k: int, inputs: Mapping[str, float]) -> None:
        """Any step, in any order."""
        at_ns = k * STEP_NS
        for name, track in self._tracks.items():
            i = bisect_right(track.at_ns, at_ns) - 1
            status = 0x80320000 if i < 0 else track.statuses[i]  # BadWaitingForInitialData
            self.statuses[name] = status
            self.outputs[name] = _NAN if status >> 31 else track.values[i]


def parse(lines: Iterable[str]) -> Recording:
    """Read a recording; raises RecordingError with the line for whatever isn't one."""
    rows = csv.reader(lines)
    try:
        header = next(rows, None)
    except csv.Error as error:
        raise RecordingError(1, str(error)) from error
    if header not in _HEADERS:
        raise RecordingError(
            1,
            f"expected the header {','.join(HEADER)}[,{UNIT}[,{TOOK}]], got "
            f"{','.join(header or []) or 'nothing'}",
        )
    tracks: dict[str, Track] = {}
    units: dict[str, str] = {}
    exchanges: list[tuple[int, int]] = []
    first = last = None
    while True:
        try:
            row = next(rows, None)
        except csv.Error as error:
            raise RecordingError(rows.line_num, str(error)) from error
        if row is None:
            break
        if not row:
            continue
        line = rows.line_num
        if line > ROWS_MAX:
            raise RecordingError(line, f"more than {ROWS_MAX} rows")
        if len(row) != len(header):
            raise RecordingError(line, f"expected {len(header)} columns, got {len(row)}")
        at_ns = _number(row[0], line, "ns", int)
        if last is not None and at_ns < last:
            raise RecordingError(line, f"time goes back, from {last} to {at_ns}")
        first = at_ns if first is None else first
        if not -NS_MAX <= at_ns <= NS_MAX:
            raise RecordingError(line, f"ns {row[0][:40]}: beyond what a clock says")
        last = at_ns
        name = row[1]
        if not name or not name.replace("-", "").replace("_", "").isalnum() or not name.isascii():
            raise RecordingError(line, f"point {name!r}: expected letters, digits, - and _")
        status = _number(row[3] or "0", line, "status", _status)
        value = 0.0 if status >> 31 else _number(row[2], line, "value", float)
        if value - value != 0.0:
            raise RecordingError(line, f"value {row[2]}: a Good value is a finite number")
        took_ns = _number(row[5], line, TOOK, _took) if len(row) > 5 and row[5] else -1
        exchange = at_ns - first, took_ns
        if (took_ns >= 0 or status in UNANSWERED) and (not exchanges or exchanges[-1] != exchange):
            exchanges.append(exchange)
        track = tracks.setdefault(name, Track([], [], []))
        units.setdefault(name, row[4] if len(row) > 4 else "")
        track.at_ns.append(at_ns - first)
        track.values.append(value)
        track.statuses.append(status)
    if first is None or last is None:
        raise RecordingError(1, "no rows")
    return Recording(tracks, units, last - first, exchanges, TOOK in header)


def _status(text: str) -> int:
    code = int(text, 0)
    if not 0 <= code < 1 << 32:
        raise ValueError
    return code


def _took(text: str) -> int:
    took_ns = int(text)
    if not 0 <= took_ns <= NS_MAX:
        raise ValueError
    return took_ns


def _number(text: str, line: int, what: str, of: Callable[[str], Any]) -> Any:
    try:
        return of(text)
    except ValueError:
        raise RecordingError(line, f"{what} {text[:40]!r}: not a number") from None
