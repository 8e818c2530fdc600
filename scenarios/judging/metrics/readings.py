"""Metrics of readings: what drivers returned, with which quality, and whether it was true; and values of
points.

Belongs here: rows on readings. Never: what a device showed (sim/truth/), how values are watched
(judging/values.py).
"""

from __future__ import annotations

from twinloop.devices.model.statuses import quality, status_name
from twinloop.scenarios.judging.expectation import Expectation
from twinloop.scenarios.judging.measure import Measures
from twinloop.scenarios.judging.metrics.metric import COUNTER, DEVICE, PHASED, Metric, Read


def _absent(measures: Measures, expectation: Expectation) -> str:
    return "none of these samples was due" if measures.none_due(expectation) else ""


def _wrong(measures: Measures, expectation: Expectation) -> float | None:
    truth = measures.world.truth
    if truth is None:
        return None
    devices = measures.devices(expectation)
    return sum(count for device, count in truth.wrong_of.items() if devices is None or device in devices)


def _returned(wanted: str) -> Read:
    def read(measures: Measures, expectation: Expectation) -> float | None:
        ledger = measures.world.ledger
        devices = measures.devices(expectation)
        named = dict(expectation.keys).get("status")
        good = sum(
            ledger.good_of[device] for device in (range(len(ledger.names)) if devices is None else devices)
        )
        others = {
            key: count for key, count in ledger.status_of.items() if devices is None or key[0] in devices
        }
        count = (
            good
            if wanted == "good"
            else sum(
                count
                for (_, status), count in others.items()
                if quality(status) == wanted and named in (None, status_name(status))
            )
        )
        if expectation.statistic == "ratio":
            total = good + sum(others.values())
            return count / total if total else None
        return count

    return read


def _watched(measures: Measures, expectation: Expectation) -> float | None:
    """What points show is collected while the run goes on (judging/values.py)."""
    return None


def _quality(wanted: str, keys: tuple[str, ...], meaning: str) -> Metric:
    return Metric(
        name=f"readings.{wanted}",
        kind="counter",
        unit="count",
        keys=keys,
        statistics=COUNTER,
        meaning=meaning,
        read=_returned(wanted),
        absent=_absent,
    )


GOOD = _quality("good", DEVICE, "readings that drivers returned with a Good status")
UNCERTAIN = _quality(
    "uncertain",
    (*DEVICE, "status"),
    "readings that drivers returned with an Uncertain status, or with one status by name",
)
BAD = _quality(
    "bad", (*DEVICE, "status"), "readings that drivers returned with a Bad status, or with one status by name"
)
WRONG = Metric(
    name="readings.wrong", kind="counter", unit="count", keys=DEVICE, statistics=("count",),
    meaning="values that drivers returned and that the device never showed", read=_wrong, absent=_absent,
)  # fmt: skip
VALUE = Metric(
    name="value",
    kind="value",
    unit="value",
    keys=("point", *PHASED),
    statistics=("count", "min", "mean", "max", "last"),
    meaning="values of a point that drivers read, in its own unit",
    read=_watched,
    watched=True,
)
