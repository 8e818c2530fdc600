"""What a pipeline knows of one device on one gateway: its driver's slot, its way to it, its points, the
sample that is under way.

Belongs here: the point table, what is lent and given back on a sample's way. Never: when a sample is read
(poller.py, listener.py).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from twinloop.components.contract.contract import PointConfig
from twinloop.components.host.batch import Batch, StageArguments
from twinloop.components.host.crossing import Room, read_batch
from twinloop.components.host.instance import Instance
from twinloop.devices.model.device import DeviceModel
from twinloop.devices.model.protocols import PROTOCOLS
from twinloop.sim.accounts.derived import Riding
from twinloop.sim.accounts.latency import StageTimes
from twinloop.sim.accounts.rows import End, Row
from twinloop.sim.cloud.messages import TOPIC_PREFIX, Body
from twinloop.sim.field.tcp_port import Port
from twinloop.sim.gateway.slot import Slot
from twinloop.sim.model.spec import DerivedSpec, DeviceSpec
from twinloop.sim.truth.nobody import Nobody
from twinloop.sim.truth.truth import Witness


def point_configs(model: DeviceModel, first: int, protocol: str) -> list[PointConfig]:
    """The points of a model for components, with ids from ``first`` on. Only registers need scaling: nodes
    and payloads hold engineering values."""
    speaks = PROTOCOLS[protocol]
    return [
        PointConfig(
            first + i,
            p.name,
            speaks.address(p),
            p.unit,
            p.scale if speaks.registers else 1.0,
            p.offset if speaks.registers else 0.0,
            p.low,
            p.high,
            p.nan if speaks.registers else (),
        )
        for i, p in enumerate(model.points)
    ]


def table_key(device: DeviceSpec) -> str:
    """Devices for which this is the same have the same point table."""
    return device.table.name if device.speaks.registers else f"{device.model.name} over {device.protocol}"


def points_of(devices: list[DeviceSpec]) -> tuple[list[PointConfig], dict[str, int]]:
    """(all points of a gateway, ``table_key`` -> id of its first): devices of one model and protocol share
    ids."""
    points: list[PointConfig] = []
    first: dict[str, int] = {}
    for device in devices:
        key = table_key(device)
        if key not in first:
            first[key] = len(points)
            points += point_configs(device.table, len(points), device.protocol)
    return points, first


DERIVED = "derived"
"""the address of a point that no device has: the transform adds it"""


def derived_configs(derives: Sequence[DerivedSpec], first: int) -> list[PointConfig]:
    """Points that a transform adds, for it and for the policy, with ids from ``first`` on: behind those of
    all devices."""
    return [
        PointConfig(first + i, one.name, DERIVED, one.unit, 1.0, 0.0, one.low, one.high)
        for i, one in enumerate(derives)
    ]


RECENT = 20
"""polls that are remembered of a device: what an upgrade is held against"""


class PointTable:
    """The points of one device model on one gateway, as its pollers need them."""

    __slots__ = ("bit_of", "bits", "body", "derived", "extra", "id_of_bit", "ids", "mask", "points", "whole")

    def __init__(
        self,
        points: list[PointConfig],
        derived: Sequence[PointConfig] = (),
        whole: frozenset[int] = frozenset(),
    ) -> None:
        self.points = points
        self.whole = whole
        """ids of points that hold whole numbers of 64 bits"""
        self.ids = tuple(point.id for point in points)
        self.bit_of = {point.id: 1 << i for i, point in enumerate(points)}
        """point id -> bit of the device's mask"""
        self.id_of_bit = {bit: point for point, bit in self.bit_of.items()}
        self.body = Body([*points, *derived])
        """how its messages are written"""
        self.mask = (1 << len(points)) - 1
        self.derived = {1 << len(points) + i: point for i, point in enumerate(derived)}
        """bit, above those of the device's points -> a point that the gateway's transform may add"""
        self.extra = sum(self.derived)
        """the mask of these"""
        self.bits = self.bit_of | {point.id: bit for bit, point in self.derived.items()}
        """point id -> bit, of all that may leave the transform"""


class Reader:
    """One device on one gateway. ``times`` and ``before``: where the time of this sample went, and of the one
    before."""

    # with its subclasses' own there are more attributes than Python keeps in the quick way
    __slots__ = (
        "_lender", "arguments", "before", "came_to_nothing", "index", "name", "on_batch", "on_poll", "polls",
        "port", "recent", "riding", "row", "slot", "spec", "table", "times", "topic", "unchecked", "witness",
    )  # fmt: skip

    def __init__(self, index: int, spec: DeviceSpec, slot: Slot, port: Port, table: PointTable) -> None:
        self.index, self.spec, self.slot, self.port, self.table = index, spec, slot, port, table
        self.name = spec.name
        self.topic = f"{TOPIC_PREFIX}{spec.name}".encode()
        self.times = self.before = StageTimes()
        self.arguments = StageArguments(spec.name, Room)
        self.row: Row | None = None
        """the sample that is under way"""
        self.riding: Riding | None = None
        """derived readings of it that are in nobody's care yet"""
        self.polls = 0
        self._lender: Instance | None = None
        self.witness: Witness = Nobody()
        """who knows what the device showed; the field says"""
        self.unchecked = 0
        """so many of its next batches nobody holds against that"""
        self.came_to_nothing = False
        """the last poll: nothing of it was carried out"""
        self.recent: deque[bool] | None = None
        """of each of the last polls: did it come to nothing? Where upgrades may come"""
        self.on_poll: Callable[[Row], None] | None = None
        """told of each poll that has ended, and of each that couldn't begin"""
        self.on_batch: Callable[[Reader, Row, Batch], None] | None = None
        """told of each batch that the driver returns"""

    @property
    def leads(self) -> bool:
        """What it reads its gateway hands on."""
        raise NotImplementedError

    def remember(self) -> None:
        """An upgrade may come, and will be held against what was before it."""
        self.recent = deque(maxlen=RECENT)

    def lend(self, instance: Instance, row: Row) -> None:
        """The transform will read the driver's result where it lies: it must outlive the driver's
        instance."""
        self._lender = instance
        instance.lent = True
        if self.on_batch is not None:
            assert self.times.lists is not None
            self.on_batch(self, row, read_batch(self.times.lists))

    def give_back(self) -> None:
        """The transform has read it: freed at once, its memory is the next batch's while it is still in the
        cache."""
        instance, self._lender = self._lender, None
        if instance is not None:
            instance.lent = False
            instance.release()

    def lose_derived(self, cause: str) -> None:
        """What the transform has added to the sample under way, and nobody has taken, is lost."""
        riding, self.riding = self.riding, None
        if riding is not None:
            riding.end(End.LOST, cause)

    def mask_of(self, ids: Sequence[int]) -> int | None:
        """The mask of a batch's point ids; None when one is unknown or comes twice."""
        table = self.table
        mask = 0
        for point in ids:
            bit = table.bit_of.get(point, 0)
            if not bit or mask & bit:
                return None
            mask |= bit
        return mask
