"""Prices fitted to what was counted, for each host: PRICES.

Belongs here: the fit, its band, and their tables. Never: counting.

A point's price is the sum of its shape times the prices. The fit makes the sum of squared logarithms of
price / count least, so that a call of 4 000 instructions weighs as much as one of 900 000; prices can't be
negative. The band of a price is x/÷ a factor:

1. Each point is left out once, the rest fitted, and its miss noted. A price's leave-one-out band is the miss
   that 90 % of the points stay within of which it makes at least a third.
2. Then no counted point may lie outside: while one does, the band of the price that makes most of it is
   widened to what it needs.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.hosts.cases import HERE
from twinloop.scenarios.calibration.fitting import QUANTILE, least_missed

COUNTED, FITTED = HERE / "counted.json", HERE / "fitted.json"
PRICES = ("call", "import", "value", "byte", "character", "transact", "bare_call")
"""``call``: of one of the contract's exports, with records in and out; ``bare_call``: of one that takes and
gives a list, a text, a number or nothing; ``transact``: an import with the arguments and the result of
``fieldbus.transact``; ``import``: any other; ``value``, ``byte``: as cases.py counts them, a byte being one
of a list; ``character``: a byte of a text"""
GUEST_PRICES = ("call", "import", "fuel")
"""of compiled code: a call's and an import's way in and out, a unit of fuel"""
SHARE, WIDEST = 1 / 3, 100.0
DIGITS = 3

Row = dict[str, Any]


def shape(row: Row) -> list[float]:
    """How often each of PRICES is paid in one call. Of a driver's imports one in two is a ``transact``, the
    other asks the clock."""
    bare = row["guest"] == "probe"
    transacts = row["imports"] / 2 if row["export"] == "poll" else 0
    others = row["imports"] - transacts
    return [1 - bare, others, row["values"], row["bytes"], row["characters"], transacts, bare]


def guest_shape(row: Row) -> list[float]:
    """The same for GUEST_PRICES."""
    return [1, row["imports"], row["fuel"]]


@dataclass(frozen=True, slots=True)
class Fitted:
    """What was fitted to one host. Each tuple has an entry for each of PRICES."""

    prices: tuple[float, ...]
    left_out: tuple[float, ...]
    """factors: the leave-one-out band"""
    bands: tuple[float, ...]
    """factors: that band, widened until each counted point is inside"""
    spread: float
    """factor: the miss that 90 % of all points stay within when they are left out"""
    spread_by_export: float
    """the same when all points of their export are left out; but for exports that alone pay some price"""
    worst: tuple[float, str]
    """the largest miss of a point when it is left out: price / count, and its name"""

    def as_data(self) -> dict[str, Any]:
        """For ``fitted.json``."""
        prices = {
            name: {"instructions": price, "left_out": left, "band": band}
            for name, price, left, band in zip(PRICES, self.prices, self.left_out, self.bands, strict=True)
        }
        spreads = {"left_out": self.spread, "left_out_by_export": self.spread_by_export}
        return {"prices": prices, **spreads, "worst": {"point": self.worst[1], "ratio": self.worst[0]}}


def named(row: Row) -> str:
    """A point's name in tables."""
    step = f", step {row['step']}" if row["step"] > 1 else ""
    return f"{row['guest']} {row['export']} {row['size']}{step}"


def _rounded(x: float) -> float:
    return float(f"{x:.{DIGITS}g}")


def _up(factor: float) -> float:
    """Two decimals, never down: what was inside stays inside."""
    return math.ceil(factor * 100 - 1e-6) / 100


def fitted(rows: Sequence[Row]) -> Fitted:
    """Prices and bands of one host's rows."""
    shapes, counts = (
        np.array([shape(row) for row in rows], float),
        np.array([row["instructions"] for row in rows], float),
    )
    prices = np.array([_rounded(price) for price in least_missed(shapes, counts)])
    exports = np.array([row["export"] for row in rows])
    alone = _left_out(shapes, counts, np.arange(len(rows)))
    misses, by_export = _factors(alone), _factors(_left_out(shapes, counts, exports))
    parts = shapes * prices
    shares = parts / parts.sum(axis=1, keepdims=True)
    own = [
        large if large.any() else some
        for large, some in zip((shares >= SHARE).T, (shares > 0).T, strict=True)
    ]
    left_out = np.array([_up(np.quantile(misses[points], QUANTILE)) for points in own])
    worst = int(np.argmax(misses))
    return Fitted(
        tuple(map(float, prices)),
        tuple(map(float, left_out)),
        tuple(map(float, _widened(left_out, parts, counts))),
        _up(np.quantile(misses, QUANTILE)),
        _up(np.nanquantile(by_export, QUANTILE)),
        (_rounded(alone[worst]), named(rows[worst])),
    )


def _left_out(shapes: np.ndarray, counts: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Price / count of each point by a fit without its group; nan where no point is left that pays one of the
    prices."""
    ratios = np.full(len(counts), np.nan)
    for group in np.unique(groups):
        without = groups == group
        if not shapes[~without].any(axis=0).all():
            continue
        ratios[without] = shapes[without] @ least_missed(shapes[~without], counts[~without]) / counts[without]
    return ratios


def _factors(ratios: np.ndarray) -> np.ndarray:
    """2 for a ratio of 2 as well as of 0.5."""
    factors: np.ndarray = np.maximum(ratios, 1 / ratios)
    return factors


def _widened(bands: np.ndarray, parts: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The bands, so wide that each count is inside: the price that makes most of a point that isn't gets the
    factor by which it is inside."""
    bands = bands.copy()
    for part, count in sorted(
        zip(parts, counts, strict=True), key=lambda one: -_factors(one[0].sum() / one[1])
    ):
        most = int(np.argmax(part))
        while not (part / bands).sum() <= count <= part @ bands:
            bands[most] = _up(bands[most] + 0.01)
            if bands[most] > WIDEST:
                raise ValueError(f"no band of x/÷ {WIDEST:g} holds a count of {count:.0f}")
    return bands


def outside(rows: Sequence[Row], found: Fitted) -> list[str]:
    """Names of the points that don't lie within the bands."""
    prices, bands = np.array(found.prices), np.array(found.bands)
    low, high = prices / bands, prices * bands
    return [
        named(row)
        for row in rows
        if not np.dot(shape(row), low) <= row["instructions"] <= np.dot(shape(row), high)
    ]


def guest_prices(rows: Sequence[Row], key: str) -> dict[str, float]:
    """GUEST_PRICES of the shipped guests' own compiled code; the probe has none to speak of."""
    own = [row for row in rows if row["guest"] != "probe"]
    shapes, counts = (
        np.array([guest_shape(row) for row in own], float),
        np.array([row[key] for row in own], float),
    )
    ratios = [row[key] / row["fuel"] for row in own]
    prices = dict(zip(GUEST_PRICES, map(_rounded, least_missed(shapes, counts)), strict=True))
    return prices | {
        "band": _up(max(_factors(_left_out(shapes, counts, np.arange(len(own)))))),
        "least": _rounded(min(ratios)),
        "most": _rounded(max(ratios)),
    }


def by_host(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """The rows of each host."""
    return {
        host: [row for row in rows if row["host"] == host] for host in dict.fromkeys(r["host"] for r in rows)
    }


def report(rows: Sequence[Row]) -> dict[str, Any]:
    """What is committed as ``fitted.json``."""
    hosts = by_host(rows)
    first = next(iter(hosts.values()))  # the guests are the same in all
    return {
        "hosts": {host: fitted(own).as_data() for host, own in hosts.items()},
        "guest": {
            "plain": guest_prices(first, "guest_instructions"),
            "metered": guest_prices(first, "guest_metered"),
        },
    }


def load(path: Path = COUNTED) -> list[Row]:
    """The committed counts."""
    rows: list[Row] = json.loads(path.read_text())
    return rows
