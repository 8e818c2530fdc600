"""The figures of a result, typed, for those who read one in Python. The same as in the JSON document, by its
names.

Belongs here: shapes, and how they are read from the document. Never: how a figure comes about (result.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from twinloop.records import dataclass


@dataclass(frozen=True)
class Spread:
    """A histogram's figures, ns. ``never``: samples that never got that far; a rank that only those reach is
    None, as all are without data."""

    count: int
    never: int
    p50_ns: int | None
    p95_ns: int | None
    p99_ns: int | None
    max_ns: int | None


@dataclass(frozen=True)
class SampleCounts:
    """What became of every sample that was due; by cause where there is one. ``cached``: in a store at the
    end."""

    due: int
    open: int
    delivered: int
    cached: int
    dropped: Mapping[str, int]
    evicted: Mapping[str, int]
    missed: Mapping[str, int]
    lost: Mapping[str, int]
    duplicates: int
    misordered: int
    late: int


@dataclass(frozen=True)
class DerivedCounts:
    """What became of one derived point. ``due``: how many there could be; ``delivered_quality``: good,
    uncertain, bad."""

    unit: str
    due: int
    produced: int
    delivered: int
    cached: int
    dropped: Mapping[str, int]
    evicted: Mapping[str, int]
    lost: Mapping[str, int]
    delivered_quality: Mapping[str, int]


@dataclass(frozen=True)
class LatencyFigures:
    """From due to verdict (``gateway``), to acknowledged by the cloud (``cloud``), and what each stage
    took."""

    gateway: Spread
    cloud: Spread
    stages: Mapping[str, Spread]


@dataclass(frozen=True)
class GatewayFigures:
    """One gateway: shares of 1, bytes, ns; ``faults`` of its components by cause."""

    board: str
    cpu_ratio: float
    memory_peak_bytes: int
    boot_ns: int | None
    faults: Mapping[str, int]
    restarts: int
    quarantined: int
    watchdog: int


@dataclass(frozen=True)
class LinkFigures:
    """Packets of a link, all of its legs and both ways."""

    offered: int
    lost: int
    queue_full: int
    ruled_out: int


@dataclass(frozen=True)
class TruthFigures:
    """How many values were compared with what devices showed, and how many weren't that; the same of
    writes."""

    readings: int
    checked: int
    wrong: int
    commands_checked: int
    commands_wrong: int
    example: str | None


def spread(data: Mapping[str, Any]) -> Spread:
    """Of a histogram in the document."""
    return Spread(*(data[name] for name in Spread.__dataclass_fields__))


def samples(data: Mapping[str, Any]) -> SampleCounts:
    """Of ``ledger``."""
    return SampleCounts(*(data[name] for name in SampleCounts.__dataclass_fields__))


def latency(data: Mapping[str, Any]) -> LatencyFigures:
    """Of ``latency``."""
    return LatencyFigures(
        spread(data["gateway"]),
        spread(data["cloud"]),
        {name: spread(one) for name, one in data["stages"].items()},
    )


def gateway(data: Mapping[str, Any]) -> GatewayFigures:
    """Of one of ``gateways``."""
    return GatewayFigures(*(data[name] for name in GatewayFigures.__dataclass_fields__))


def link(data: Mapping[str, Any]) -> LinkFigures:
    """Of one of ``links``."""
    return LinkFigures(*(data[name] for name in LinkFigures.__dataclass_fields__))


def truth(data: Mapping[str, Any] | None) -> TruthFigures | None:
    """Of ``truth``; None where nothing could be compared: a gateway that isn't ours was judged."""
    return None if data is None else TruthFigures(*(data[name] for name in TruthFigures.__dataclass_fields__))
