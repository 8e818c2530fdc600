"""A witness for a device whose gateway believes another table than it has: points are matched by name.

Belongs here: from the believed table's points to the device's own, and what their difference is called.
Never: comparisons (truth.py), what a device shows (witness.py).
"""

from __future__ import annotations

from twinloop.devices.model.device import DeviceModel
from twinloop.devices.model.encodings import TEXT
from twinloop.devices.model.points import Point
from twinloop.sim.truth.nobody import Nobody
from twinloop.sim.truth.truth import Shown
from twinloop.sim.truth.witness import ModbusWitness, held_shown

_SAME = ("type", "bits", "power")
"""of a point: what its raw number is"""


def absent(believed: DeviceModel, has: DeviceModel) -> int:
    """The believed points that the device hasn't got, or only as a text where a number is believed and the
    other way round, as bits: they have no value that could be read."""
    mask = 0
    for i, point in enumerate(believed.points):
        index = has.index(point.name)
        own = None if index is None else has.points[index]
        if own is None or (own.type == TEXT) != (point.type == TEXT) or not own.readable:
            mask |= 1 << i
    return mask


def mistakes(believed: Point, own: Point) -> list[str]:
    """What is believed wrongly of a point, in words."""
    found = []
    if believed.table != own.table:
        found.append("another table")
    elif believed.address != own.address:
        apart = abs(believed.address - own.address)
        found.append("an address that is off by one" if apart == 1 else "another address")
    if any(getattr(believed, key) != getattr(own, key) for key in _SAME):
        found.append("another type")
    elif believed.order != own.order:
        found.append("another word order")
    if believed.scale != own.scale:
        found.append("another scale")
    if believed.offset != own.offset:
        found.append("another offset")
    if own.nan and believed.nan != own.nan:
        found.append("another number that means that there is no value")
    return found


class BelievedWitness(Nobody):
    """``inner`` knows the device by its own points; who asks here goes by the believed ones. ``real``: nobody
    has the device's own table."""

    def __init__(self, inner: ModbusWitness, believed: DeviceModel) -> None:
        self._inner, self._believed = inner, believed
        self._device = inner.device
        has = self._device.model
        self.absent = absent(believed, has)
        self._elsewhere = believed.profile.unit not in (None, self._device.unit_id)
        """the gateway asks another unit id: what answers is another device"""
        self._own = [has.index(point.name) for point in believed.points]
        self._kind = [
            "" if own is None else " and ".join(mistakes(point, has.points[own]))
            for point, own in zip(believed.points, self._own, strict=True)
        ]

    def begin(self) -> None:
        """A call begins."""
        self._inner.begin()

    def exactly(self) -> dict[int, float]:
        """Of points that are believed as they are."""
        told = self._inner.exactly()
        return {
            i: told[own]
            for i, own in enumerate(self._own)
            if own is not None and not self._kind[i] and own in told
        }

    def shown(self, index: int) -> list[Shown] | None:
        """What the device's own point of that name showed; if none of it was read, what it holds, unless it
        wasn't asked at all. Of a point that the device hasn't got nobody knows: it is missed, whatever was
        read."""
        own = self._own[index]
        if own is None or self.absent >> index & 1:
            return None
        found = self._inner.shown(own)
        if found or self._elsewhere or self._device.model.points[own].type == TEXT:
            return found
        return [held_shown(self._device, own)]

    def texts(self, index: int) -> list[str | None] | None:
        """The same of a text."""
        own = self._own[index]
        if own is None or self.absent >> index & 1:
            return None
        found = self._inner.texts(own)
        return found if found or self._elsewhere else [self._device.image.text(own)]

    def valueless(self, index: int, status: int) -> bool:
        """Had the device's own point no value?"""
        own = self._own[index]
        return own is not None and self._inner.valueless(own, status)

    def holds(self, index: int, ordered: float) -> tuple[float, bool, str] | None:
        """What the device's own point of that name holds; a point that it hasn't got holds nothing."""
        own = self._own[index]
        if own is None:
            return float("nan"), False, "the device has no such point"
        value, right, stray = self._inner.holds(own, ordered) or (float("nan"), False, "")
        return value, right, self._kind[index] if self._kind[index] and not right else stray

    def likely(self, index: int, value: float) -> str:
        """What is believed wrongly of it."""
        own = self._own[index]
        return self._kind[index] or ("" if own is None else self._inner.likely(own, value))
