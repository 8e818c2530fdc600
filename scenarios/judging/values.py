"""Expectations on values: what drivers have read of a point, as the run goes.

Belongs here: collecting and judging values of points. Never: the grammar (expressions.py). A value is what
the driver returned with a status that isn't Bad, in the point's own unit, of the gateway that leads; a
reading without a value says nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from twinloop.components.host.batch import Batch
from twinloop.devices.model.device import DeviceModel
from twinloop.devices.model.statuses import BAD
from twinloop.scenarios.judging.expectation import Expectation
from twinloop.scenarios.judging.expressions import ExpressionError
from twinloop.scenarios.judging.run import Run
from twinloop.scenarios.judging.verdict import Verdict
from twinloop.scenarios.text.errors import unknown
from twinloop.scenarios.text.units import show_number
from twinloop.scenarios.text.words import number_of
from twinloop.sim.accounts.rows import Row
from twinloop.sim.gateway.reader import Reader
from twinloop.sim.kernel.histogram import NEVER


def check_point(expectation: Expectation, devices: list[tuple[DeviceModel, int]]) -> None:
    """Do the devices that are meant, (model, how many), have the point, in the unit of the bound? Raises
    ExpressionError."""
    name = dict(expectation.keys)["point"]
    for model, _ in devices:
        index = model.index(name)
        if index is None:
            raise ExpressionError(
                unknown(f"point of {model.name}", name, [point.name for point in model.points])
            )
        if model.points[index].text is not None:
            raise ExpressionError(f"{model.name} {name} is a text: only numbers are measured")
        unit = model.points[index].unit
        if expectation.statistic != "count" and expectation.bound_unit != unit:
            means = f'in "{unit}"' if unit else "without a unit"
            raise ExpressionError(
                f'{model.name} {name} is measured {means}, got "{expectation.bound_unit or "no unit"}"'
            )
    many = sum(count for _, count in devices)
    if expectation.statistic == "last" and many > 1:
        raise ExpressionError(f"last goes with one device, {many} are meant: add device=NAME")


class ValueWatch:
    """Watches the readings of some devices' point for one expectation."""

    def __init__(
        self,
        world: Run,
        expectation: Expectation,
        devices: dict[int, None] | None,
        when: Callable[[int], bool] | None,
    ) -> None:
        self._world, self._expectation, self._when = world, expectation, when
        self._name = name = dict(expectation.keys)["point"]
        chosen = range(len(world.spec.devices)) if devices is None else devices
        self._index = {
            device: index
            for device in chosen
            if (index := world.spec.devices[device].table.index(name)) is not None
        }
        self._nothing = (
            "no value was derived" if expectation.metric == "derived.value" else "no value was read"
        )
        self.count = 0
        self._sum: float = 0  # of whole numbers it stays one
        self._least = self._most = self._last = 0.0
        self._latest: dict[int, float] = {}
        self._broken: tuple[int, str, float] | None = None
        self._since: list[int] = []
        self._took: list[int] = []
        if expectation.metric == "derived.value":
            self._index = self._deriving(chosen)
            if world.books is not None:
                world.books.on_derived.append(self._read_derived)
        elif world.books is not None:
            world.books.on_readings.append(self._read)
            world.books.on_unasked.append(self._read_unasked)
        if expectation.within_ns is not None:
            world.on_happened.append(self._happened)
            world.waiting_for.append(self.pending)

    def _read_unasked(self, poller: Reader, batch: Batch) -> None:
        """What a subscription tells when it is made, or a broker of a retained message, is no sample that was
        due: a value it is."""
        self._look(poller, self._world.env.now, batch)

    def _read(self, poller: Reader, row: Row, batch: Batch) -> None:
        self._look(poller, row.due_ns, batch)

    def _deriving(self, chosen: Iterable[int]) -> dict[int, int]:
        """The devices for which the point may be derived."""
        names_of = {} if self._world.books is None else self._world.books.derived.names_of
        return {device: 0 for device in chosen if self._name in names_of.get(device, ())}

    def _read_derived(self, poller: Reader, row: Row, batch: Batch) -> None:
        for point in poller.table.derived.values():
            if point.name == self._name:
                self._look(poller, row.due_ns, batch, point.id)

    def _look(self, poller: Reader, at_ns: int, batch: Batch, derived: int | None = None) -> None:
        index = self._index.get(poller.index)
        if index is None or not poller.leads or (self._when is not None and not self._when(at_ns)):
            return
        wanted = poller.table.ids[index] if derived is None else derived
        for point, value, status in zip(batch.points, batch.values, batch.statuses, strict=True):
            if point == wanted and status < BAD and value - value == 0.0:
                self._take(poller.index, value)

    def _take(self, device: int, value: float) -> None:
        first = not self.count
        self.count += 1
        self._sum += value
        self._least = value if first or value < self._least else self._least
        self._most = value if first or value > self._most else self._most
        self._last = self._latest[device] = value
        now = self._world.env.now
        if self._expectation.never and self._broken is None and self._expectation.holds(value):
            self._broken = now, self._world.spec.devices[device].name, value
        if self._since and self._holds():
            self._took += [now - since for since in self._since]
            self._since.clear()

    def _holds(self) -> bool:
        """Does it hold for the latest value of each device? A value of before the event says nothing of what
        came after it."""
        return len(self._latest) == len(self._index) and all(
            self._expectation.holds(value) for value in self._latest.values()
        )

    def _happened(self, event: str) -> None:
        if event == self._expectation.event:
            self._since.append(self._world.env.now)
            self._latest.clear()

    def _due_after(self, device: int, at_ns: int) -> bool:
        """Was a sample of a device due at or after an instant? (Of a subscribed one at the most: whether
        there is news is the device's business.)"""
        spec = self._world.spec.devices[device]
        ahead_ns = max(0, at_ns - spec.phase_ns)
        return spec.phase_ns + -(-ahead_ns // spec.poll_ns) * spec.poll_ns < self._world.spec.duration_ns

    def pending(self) -> bool:
        """Still waiting after an event."""
        limit = self._expectation.within_ns
        return limit is not None and any(self._world.env.now - since <= limit for since in self._since)

    def judged(self) -> tuple[Verdict, float | None, str]:
        """(verdict, what was measured, why) at the end."""
        expectation = self._expectation
        if expectation.within_ns is not None:
            return self._judged_within()
        if not self.count:
            return Verdict.NO_DATA, 0.0 if expectation.statistic == "count" else None, self._nothing
        if expectation.never:
            if self._broken is None:
                return Verdict.PASS, self._last, ""
            at_ns, device, value = self._broken
            return Verdict.FAIL, value, f"first at {at_ns / 1e9:g} s: {device} {show_number(value)}"
        value = {
            "min": self._least,
            "max": self._most,
            "last": self._last,
            "mean": self._mean(),
            "count": float(self.count),
        }[expectation.statistic]
        return Verdict.PASS if expectation.holds(value) else Verdict.FAIL, value, ""

    def _mean(self) -> float:
        """Exact where it is whole, so that it is never beyond the largest value."""
        whole, rest = divmod(self._sum, self.count)
        return whole if type(whole) is int and not rest else self._sum / self.count

    def _judged_within(self) -> tuple[Verdict, float | None, str]:
        span = self._expectation.within_ns or 0
        longest = max(self._took, default=None)
        if longest is not None and longest > span:
            return Verdict.FAIL, longest, "later than the span"
        if self._since:
            return self._judged_open()
        if longest is None:
            return Verdict.NO_DATA, None, f'"{self._expectation.event}" did not happen'
        return Verdict.PASS, longest, ""

    def _judged_open(self) -> tuple[Verdict, float | None, str]:
        """After an event it never held: no data only if all that it lacks is devices of which nothing was due
        any more."""
        unasked = {
            at_ns: [device for device in self._index if not self._due_after(device, at_ns)]
            for at_ns in self._since
        }
        late = unasked[self._since[-1]]
        right = [device for device, value in self._latest.items() if self._expectation.holds(value)]
        if all(unasked.values()) and len(right) + len(
            [device for device in late if device not in self._latest]
        ) == len(self._index):
            return (
                Verdict.NO_DATA,
                None,
                f"nothing was due of {len(late)} of {len(self._index)} devices after the event",
            )
        missing = len(self._index) - len(self._latest)
        last = f"; the last value is {show_number(self._last)}" if self.count else ""
        return (
            Verdict.FAIL,
            NEVER,
            (
                f"{number_of(missing, 'device')} had no value after the event{last}"
                if missing
                else f"it never held{last}"
            ),
        )
