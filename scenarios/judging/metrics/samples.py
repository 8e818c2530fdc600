"""Metrics of samples: how each end was come to, how often, and what came twice, late or out of order.

Belongs here: rows on samples. Never: the ends and their causes (sim/accounts/ledger.py).
"""

from __future__ import annotations

from twinloop.devices.model.statuses import quality
from twinloop.scenarios.judging.expectation import Expectation
from twinloop.scenarios.judging.measure import Measures
from twinloop.scenarios.judging.metrics.metric import COUNTER, DEVICE, PHASED, Metric, Read
from twinloop.sim.accounts.rows import CAUSES, End

_ENDED = (*PHASED, "cause", "quality")
_DELIVERED = "acknowledged by the cloud; quality: as the driver returned it, even if a transform changed it"
_MISSED = "no value was read: the driver returned nothing, or a Bad status although the device had a value"


def _absent(measures: Measures, expectation: Expectation) -> str:
    return "none of these samples was due" if measures.none_due(expectation) else ""


def _share(expectation: Expectation, count: int, due: int) -> float | None:
    """The count, or its share of what was due."""
    if expectation.statistic == "ratio":
        return count / due if due else None
    return count


def _due(measures: Measures, expectation: Expectation) -> int:
    """Points that were due of what an expectation is about. While the run goes on those that have ended: what
    is on its way is neither here nor lost."""
    devices, keys = measures.devices(expectation), dict(expectation.keys)
    if "phase" in keys:
        return sum(
            points
            for (phase, device, _, _), points in measures.world.ends.in_phase.items()
            if _mine(phase, device, keys, devices)
        )
    ledger = measures.world.ledger
    if not measures.world.finished:
        return ledger.count(devices=devices)
    return sum(ledger.due_of[d] for d in (range(len(ledger.names)) if devices is None else devices))


def _mine(phase: str, device: int, keys: dict[str, str], devices: dict[int, None] | None) -> bool:
    return phase == keys["phase"] and (devices is None or device in devices)


def _counted(name: str) -> Read:
    """What the ledger counts of each device beside the ends: duplicates, misordered, late."""

    def read(measures: Measures, expectation: Expectation) -> float | None:
        by_device: dict[int, int] = getattr(measures.world.ledger, f"{name}_of")
        devices = measures.devices(expectation)
        count = sum(points for device, points in by_device.items() if devices is None or device in devices)
        return _share(expectation, count, _due(measures, expectation))

    return read


def _ended(end: End) -> Read:
    """Points that came to an end, of a cause and a quality if that is asked."""

    def read(measures: Measures, expectation: Expectation) -> float | None:
        ledger, devices, keys = measures.world.ledger, measures.devices(expectation), dict(expectation.keys)
        cause, wanted = keys.get("cause"), keys.get("quality")
        if wanted is not None and not ledger.tells_quality:
            return None
        in_phase = "phase" in keys
        count = (
            _count_in_phase(measures, end, cause, keys, devices)
            if in_phase
            else ledger.count(end, cause, devices)
        )
        if wanted is not None:
            marked = _marked_in_phase(measures, end, cause, keys, devices) if in_phase else [
                (status, points) for (device, how, why, status), points in ledger.marked.items()
                if how is end and cause in (None, why) and (devices is None or device in devices)
            ]  # fmt: skip
            count = _of_quality(wanted, 0 if end is End.MISSED else count, marked)
        return _share(expectation, count, _due(measures, expectation))

    return read


def _count_in_phase(
    measures: Measures, wanted: End, cause: str | None, keys: dict[str, str], devices: dict[int, None] | None
) -> int:
    return sum(
        points for (phase, device, end, why), points in measures.world.ends.in_phase.items()
        if _mine(phase, device, keys, devices) and end is wanted and cause in (None, why)
    )  # fmt: skip


def _marked_in_phase(
    measures: Measures, wanted: End, cause: str | None, keys: dict[str, str], devices: dict[int, None] | None
) -> list[tuple[int, int]]:
    return [
        (status, points)
        for (phase, device, end, why, status), points in measures.world.ends.marked_in_phase.items()
        if _mine(phase, device, keys, devices) and end is wanted and cause in (None, why)
    ]


def _of_quality(wanted: str, count: int, marked: list[tuple[int, int]]) -> int:
    """Of ``count`` points, of which ``marked`` (StatusCode, points) weren't Good, those of one quality."""
    if wanted == "good":
        return max(0, count - sum(points for _, points in marked))
    return sum(points for status, points in marked if quality(status) == wanted)


def _end(end: End, keys: tuple[str, ...], meaning: str) -> Metric:
    return Metric(
        name=f"samples.{end.value}",
        kind="counter",
        unit="count",
        keys=keys,
        statistics=COUNTER,
        meaning=meaning,
        read=_ended(end),
        absent=_absent,
        causes=CAUSES[end],
        end=end,
    )


def _beside(name: str, meaning: str) -> Metric:
    read = _counted(name)
    return Metric(
        name=f"samples.{name}",
        kind="counter",
        unit="count",
        keys=DEVICE,
        statistics=COUNTER,
        meaning=meaning,
        read=read,
        absent=_absent,
    )


DUE = Metric(
    name="samples.due",
    kind="counter",
    unit="count",
    keys=PHASED,
    statistics=("count",),
    meaning="samples that were due",
    read=_due,
)
DELIVERED = _end(End.DELIVERED, (*PHASED, "quality"), _DELIVERED)
CACHED = _end(End.CACHED, (*PHASED, "quality"), "still in a store at the end of the run")
DROPPED = _end(End.DROPPED, _ENDED, "dropped by policy or transform")
EVICTED = _end(End.EVICTED, _ENDED, "evicted from a store")
MISSED = _end(End.MISSED, _ENDED, _MISSED)
LOST = _end(End.LOST, _ENDED, "a value was read, and it is gone")
DUPLICATES = _beside("duplicates", "delivered again")
MISORDERED = _beside("misordered", "delivered after younger ones of the device")
LATE = _beside("late", "verdict carried out after the device's next sample was due")
