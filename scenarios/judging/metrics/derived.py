"""Metrics of derived readings: what transforms added, what became of it, and its values.

Belongs here: rows on derived readings. Never: the account (sim/accounts/derived.py), how values are watched
(judging/values.py). A share is of what there could be: one reading of each name for each instant at which
something of the device was due. So who adds a point once, or for one device of many, has a small share. A
reading that is Bad has no value, so it counts only where ``quality=bad`` is asked.
"""

from __future__ import annotations

from twinloop.scenarios.judging.expectation import Expectation
from twinloop.scenarios.judging.measure import Measures
from twinloop.scenarios.judging.metrics.metric import COUNTER, DEVICE, PHASED, Metric, Read
from twinloop.sim.accounts.derived import Derived
from twinloop.sim.accounts.rows import CAUSES, End


def _account(measures: Measures) -> Derived | None:
    books = measures.world.books
    return None if books is None else books.derived


def _produced(measures: Measures, expectation: Expectation, valueless: bool) -> int:
    """Those that were made; without a value (Bad) they count if that is asked, or ``valueless``."""
    account, keys = _account(measures), dict(expectation.keys)
    devices = measures.devices(expectation)
    return sum(
        count
        for (device, name, quality), count in ({} if account is None else account.produced).items()
        if keys.get("point") in (None, name)
        and (valueless or _meant(keys, quality))
        and (devices is None or device in devices)
    )


def _meant(keys: dict[str, str], quality: str) -> bool:
    """A reading that is Bad is no value: it counts only where Bad ones are asked for."""
    return quality == keys["quality"] if "quality" in keys else quality != "bad"


def _absent(measures: Measures, expectation: Expectation) -> str:
    return "" if _produced(measures, expectation, True) else "no transform has added it"


def _share(measures: Measures, expectation: Expectation, count: int) -> float | None:
    """The count, or its share of what there could be."""
    account, point = _account(measures), dict(expectation.keys).get("point")
    if account is None or expectation.statistic != "ratio":
        return None if account is None else count
    devices = measures.devices(expectation)
    due = sum(
        account.due(device) * sum(point in (None, name) for name in names)
        for device, names in account.names_of.items()
        if devices is None or device in devices
    )
    return count / due if due else None


def _all_produced(measures: Measures, expectation: Expectation) -> float | None:
    return _share(measures, expectation, _produced(measures, expectation, False))


def _ended(end: End) -> Read:
    def read(measures: Measures, expectation: Expectation) -> float | None:
        account = _account(measures)
        keys, devices = dict(expectation.keys), measures.devices(expectation)
        count = sum(
            count
            for (device, name, how, cause, quality), count in (
                {} if account is None else account.ends
            ).items()
            if how is end
            and keys.get("point") in (None, name)
            and keys.get("cause") in (None, cause)
            and _meant(keys, quality)
            and (devices is None or device in devices)
        )
        return _share(measures, expectation, count)

    return read


def _watched(measures: Measures, expectation: Expectation) -> float | None:
    """Values are collected while the run goes on (judging/values.py)."""
    return None


def _row(name: str, keys: tuple[str, ...], meaning: str, read: Read, end: End | None = None) -> Metric:
    return Metric(
        name=f"derived.{name}",
        kind="counter",
        unit="count",
        keys=keys,
        statistics=COUNTER,
        meaning=meaning,
        read=read,
        absent=_absent,
        causes=() if end is None else CAUSES[end],
    )


def _end(end: End, meaning: str) -> Metric:
    causes = ("cause",) if CAUSES[end] != ("",) else ()
    return _row(end.value, (*_KEYS, *causes, "quality"), meaning, _ended(end), end)


_KEYS = ("point", *DEVICE)
PRODUCED = _row(
    "produced",
    (*_KEYS, "quality"),
    "values that transforms added to what was read; Bad ones only with quality=bad, as in all of derived",
    _all_produced,
)
DELIVERED = _end(
    End.DELIVERED, "derived readings acknowledged by the cloud; quality: as the transform gave it"
)
CACHED = _end(End.CACHED, "derived readings still in a store at the end of the run")
DROPPED = _end(End.DROPPED, "derived readings dropped by the policy")
EVICTED = _end(End.EVICTED, "derived readings evicted from a store")
LOST = _end(End.LOST, "derived readings that were made, and are gone")
VALUE = Metric(
    name="derived.value",
    kind="value",
    unit="value",
    keys=("point", *PHASED),
    statistics=("count", "min", "mean", "max", "last"),
    meaning="values of a derived point, as the transform gave them, in the unit that its block says",
    read=_watched,
    watched=True,
)
