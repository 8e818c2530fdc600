"""A device: a model, an image that is brought to now when it is looked at, a unit id.

Belongs here: the model's description and its life in time. Never: bytes of a protocol (server.py).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import field

from twinloop.devices.model.cell import Cell
from twinloop.devices.model.encodings import TEXT
from twinloop.devices.model.manners import NONE, Manners
from twinloop.devices.model.overlay import NS_PER_S, Overlay, ValueFault
from twinloop.devices.model.points import Point
from twinloop.devices.model.process import Process
from twinloop.devices.model.profile import PLAIN, Profile
from twinloop.devices.model.registers import RegisterImage
from twinloop.devices.model.signal import mixed
from twinloop.devices.model.stepper import step_function
from twinloop.records import dataclass

POINTS_MAX = 500
"""of one model: what a driver's table and a ledger mask are tested for"""


@dataclass(frozen=True, slots=True)
class DeviceModel:
    """A kind of device. ``response_ns``: from the last byte of a request to the first of the answer."""

    name: str
    title: str
    source: str
    """where the register map comes from; ``ours`` when it was made up here"""
    protocols: tuple[str, ...]
    points: tuple[Point, ...]
    constants: dict[tuple[str, int], int] = field(default_factory=dict)
    """(table, address) -> register that never changes: identities, scale factors"""
    step_ns: int = 100_000_000
    """how often the physical values move"""
    response_ns: int = 1_000_000
    serial_response_ns: int = 5_000_000
    vendor: str = "twinloop"
    """what Read Device Identification answers"""
    nodeset: str = ""
    """NodeSet2 text that its OPC UA server imports: its points are nodes of that"""
    lasts_ns: int = 0
    """of a recording: when its last value has come"""
    manners: Manners = NONE
    """what it does that the specification leaves to it"""
    process: Callable[[int, float], Process] | None = None
    """what moves the points that have an ``output``: made of (key, seconds of a step)"""
    profile: Profile = PLAIN
    """how it answers over Modbus"""

    def __post_init__(self) -> None:
        names = [point.name for point in self.points]
        if len(names) != len(dict.fromkeys(names)):
            raise ValueError(f"device model {self.name}: two points have one name")
        if not 1 <= len(names) <= POINTS_MAX:
            raise ValueError(f"device model {self.name}: {len(names)} points; 1 to {POINTS_MAX} are allowed")
        if self.step_ns < 1:
            raise ValueError(f"device model {self.name}: a step takes at least 1 ns, got {self.step_ns}")
        if any(point.output for point in self.points) != (self.process is not None):
            raise ValueError(f"device model {self.name}: points with an output and a process go together")
        taken: dict[tuple[str, int], list[tuple[Point, bytes]]] = {}
        for point in self.points:
            try:
                point.check()
                self._check_power(point)
            except ValueError as error:
                raise ValueError(f"device model {self.name}, point {point.name}: {error}") from error
            if not point.view:
                self._take(point, taken)
        for table, address in self.constants:
            for point, _ in taken.get((table, address), ()):
                raise ValueError(
                    f"device model {self.name}: {point.name} and a constant both lie at {table} {address}"
                )

    def _take(self, point: Point, taken: dict[tuple[str, int], list[tuple[Point, bytes]]]) -> None:
        """Two points may share a register, but no bit of it."""
        mask = own_bits(point)
        for i in range(point.width):
            mine = mask[2 * i : 2 * i + 2]
            there = taken.setdefault((point.table, point.address + i), [])
            for other, theirs in there:
                if any(a & b for a, b in zip(mine, theirs, strict=True)):
                    raise ValueError(
                        f"device model {self.name}: {other.name} and {point.name} both lie at {point.table} "
                        f"{point.address + i}"
                    )
            there.append((point, mine))

    def _check_power(self, point: Point) -> None:
        """Raises ValueError when what scales it live can't."""
        if point.power is None:
            return
        index = self.index(point.power.point)
        if index is None:
            raise ValueError(f"it is scaled from {point.power.point!r}, and there is no such point")
        power = self.points[index]
        alone = power.plain and power.scale == 1.0 and not power.offset and power.readable
        if not alone or power.type != "i16" or power.order != "be" or power.table != point.table:
            raise ValueError(
                f"it is scaled from {power.name!r}: expected an i16 of the same table, with order be and "
                f"without a scale"
            )
        if point.power.address != power.address:
            raise ValueError(f"{power.name!r} lies at {power.address}, not at {point.power.address}")

    @property
    def holes(self) -> bool:
        """Do registers that nothing describes not exist?"""
        return self.profile.holes

    def index(self, point: str) -> int | None:
        """Position of a point by name."""
        for i, candidate in enumerate(self.points):
            if candidate.name == point:
                return i
        return None


def own_bits(point: Point) -> bytes:
    """Which bits of its registers (or of its coil) are a point's own, as they lie there."""
    if point.field is None:
        return b"\xff\xff" * point.width
    mask = Cell(point, point.address).mask
    assert mask is not None
    return mask


class Follower:
    """Keeps a process in step with its device: inputs are the points that are written, as they stand."""

    def __init__(self, points: tuple[Point, ...], image: RegisterImage, process: Process) -> None:
        self._image, self.process = image, process
        self._inputs = {point.name: i for i, point in enumerate(points) if point.writable}
        self._outputs = [(i, point.output) for i, point in enumerate(points) if point.output]
        self._step = -1

    def move(self, step: int) -> None:
        """Every step until that one, then show what is measured; a write acts from the step after it on."""
        if self.process.jumps:
            self._step = step - 1
        if step > self._step:
            inputs = {name: self._image.value(i) for name, i in self._inputs.items()}
            while self._step < step:
                self._step += 1
                self.process.step(self._step, inputs)
        outputs = self.process.outputs
        for i, name in self._outputs:
            self._image.write_value(i, outputs[name])


_ALL_GOOD: dict[str, int] = {}
"""the StatusCodes of a device without a process"""


class Device:
    """One device of a model. ``key``: 64 bits of the scenario's seed and the device's name.

    ``image`` and ``move`` are its fleet's when it moves along with it (fleet.py); else its own.
    """

    __slots__ = ("_move", "_statuses", "_step", "_step_ns", "image", "key", "model", "name", "unit_id")

    def __init__(
        self,
        model: DeviceModel,
        name: str,
        unit_id: int,
        key: int,
        image: RegisterImage | None = None,
        move: Callable[[int], None] | None = None,
    ) -> None:
        self.model, self.name, self.unit_id, self.key = model, name, unit_id, key
        self.image = (
            RegisterImage(model.points, model.constants, holes=model.holes) if image is None else image
        )
        self._statuses = _ALL_GOOD
        for i, point in enumerate(model.points):
            if point.writable and not point.view and point.type != TEXT:
                self.image.write_value(i, point.signal.build(mixed(key, i))(0))
        if model.process is not None:
            follower = Follower(model.points, self.image, model.process(key, model.step_ns / NS_PER_S))
            move, self._statuses = follower.move, follower.process.statuses
        self._move = step_function(model.points, self.image, key) if move is None else move
        self._step, self._step_ns = -1, model.step_ns

    def advance(self, now_ns: int) -> None:
        """Bring the image to the step that holds at ``now_ns``; times before 0 show step 0."""
        step = now_ns // self._step_ns if now_ns > 0 else 0
        if step != self._step:
            self._step = step
            self._move(step)
        if self.image.overlays:
            self.image.now_ns = now_ns

    def stepped_ns(self, now_ns: int) -> int:
        """When the values that hold at ``now_ns`` were measured: the beginning of their step."""
        return now_ns // self._step_ns * self._step_ns

    @property
    def always_good(self) -> bool:
        """Is the StatusCode of every point Good, whatever the process does?"""
        return not self._statuses

    def status(self, index: int) -> int:
        """The StatusCode of a point as the process has it; registers don't show it."""
        return self._statuses.get(self.model.points[index].output, 0) if self._statuses else 0

    def lie(self, fault: ValueFault, now_ns: int) -> Callable[[], None]:
        """A sensor begins to lie; returns what ends it."""
        self.advance(now_ns)
        image, point = self.image, self.model.points[fault.point]
        cell = image.cell(fault.point)
        seen = (
            image.read_bits(point.table, point.address, 1)
            if cell is None
            else image.read_raw(point.table, point.address, point.width)
        )
        key = mixed(self.key, now_ns + 1000 * len(self.model.points) + fault.point)
        overlay = Overlay(
            fault=fault, cell=cell, frozen=bytes(seen or b""), key=key, start_ns=now_ns, step_ns=self._step_ns
        )
        image.overlays = (*image.overlays, overlay)
        image.now_ns = now_ns

        def ends() -> None:
            image.overlays = tuple(one for one in image.overlays if one is not overlay)

        return ends
