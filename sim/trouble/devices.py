"""Verbs on devices and their plans: sensors that lie, devices that speak wrongly, faster polls, writes.

Belongs here: what happens to devices and fleets. Never: what a fault does to values or bytes (devices/).
"""

from __future__ import annotations

from collections.abc import Sequence

from twinloop.devices.model import misbehaviour, overlay
from twinloop.devices.model.device import DeviceModel
from twinloop.devices.model.misbehaviour import Misbehaviour
from twinloop.devices.model.overlay import ValueFault
from twinloop.devices.model.statuses import STATUS_CODES
from twinloop.records import dataclass
from twinloop.sim.cloud.messages import Command
from twinloop.sim.model.spec import WorldSpec
from twinloop.sim.trouble.verb import Mistake, Site, Stage, Undo, Unknown, Verb, WholeStage, key

FAULTS = (*overlay.KINDS, *misbehaviour.KINDS)


def keys_of_fault(kind: str) -> dict[str, bool]:
    """Key -> whether that kind of fault needs it; one that it doesn't need doesn't go with it."""
    return {
        "point": kind in overlay.KINDS,
        "value": kind in overlay.NEEDS_AMOUNT,
        "delay": kind == "slow",
        "code": kind == "exception",
        "status": kind in ("bad-status", "service-fault"),
    }


def _all(undo: list[Undo]) -> Undo:
    def over() -> None:
        for end in undo:
            end()

    return over


def _point_of(name: str, model: DeviceModel) -> int:
    index = model.index(name)
    if index is None:
        raise Unknown("point", f"point of {model.name}", name, [point.name for point in model.points])
    return index


def _numeric(name: str, model: DeviceModel, why: str) -> int:
    index = _point_of(name, model)
    if model.points[index].text is not None:
        raise Mistake("point", f"{name} of {model.name} is a text: {why}")
    return index


def _points(spec: WorldSpec) -> Sequence[str]:
    return tuple(dict.fromkeys(point.name for device in spec.devices for point in device.model.points))


def _writable(spec: WorldSpec) -> Sequence[str]:
    return tuple(
        dict.fromkeys(
            point.name
            for device in spec.devices
            for point in device.table.points
            if point.writable and point.text is None
        )
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _OnDevices(Verb):
    """What all of them have in common."""

    takes = "devices"

    @classmethod
    def targets(cls, spec: WorldSpec) -> Sequence[str]:
        """Fleets and devices."""
        return (*spec.fleets, *(device.name for device in spec.devices))

    def check(self, site: Site, given: Sequence[str]) -> None:
        """A device or a fleet."""
        site.device(self.target)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceFault(_OnDevices):
    """a device or a fleet has a fault of a kind"""

    name = "device-fault"

    kind: str = key(
        "kind",
        "text",
        "the kind of fault; each kind has keys of its own",
        "slow",
        "silent",
        choices=lambda spec: FAULTS,
    )
    point: str = key("point", "text", "whose value is wrong", "pressure", "force", "", _points)
    value: float = key(
        "value",
        "value",
        "how large the fault is, in the point's unit; force: the value that is read",
        "4.5",
        "9.0",
        0.0,
    )
    share: float = key(
        "share", "share", "the share of readings or requests that are hit; left out: all", "50 %", "10 %", 1.0
    )
    delay_ns: int = key("delay", "duration", "how much longer an answer takes", "200 ms", "90 ms", 0)
    code: int = key("code", "byte", "the exception that it answers with", "4", "6", 0)
    status: int = key(
        "status",
        "status",
        "the StatusCode that it answers with",
        "BadNoCommunication",
        "BadSensorFailure",
        0,
        lambda spec: tuple(STATUS_CODES),
    )

    def check(self, site: Site, given: Sequence[str]) -> None:
        """A fault that such a device can have, with the keys of its kind."""
        protocol, model = site.device(self.target)
        kind = self.kind
        if kind not in FAULTS:
            raise Unknown("kind", "fault", kind, FAULTS)
        spoken = ("opcua",) if kind in overlay.ONLY_NODES else misbehaviour.SPOKEN.get(kind)
        if spoken is not None and protocol not in spoken:
            raise Mistake(
                "kind", f"{kind} is a fault of {' and '.join(spoken)}, {self.target} speaks {protocol}"
            )
        for one, needs in keys_of_fault(kind).items():
            if needs and one not in given:
                raise Mistake(None, f'device-fault {kind} needs "{one}"')
            if one in given and not needs:
                raise Mistake(one, f'"{one}" does not go with device-fault {kind}')
        if kind in overlay.KINDS:
            point = model.points[
                _point_of(self.point, model)
                if kind in overlay.OF_TEXTS
                else _numeric(self.point, model, f"it can't {kind}, but {' and '.join(overlay.OF_TEXTS)}")
            ]
            if kind in overlay.NOT_ON_A_COIL and point.table in ("coil", "discrete"):
                raise Mistake("kind", f"{point.name} of {model.name} is a {point.table}: it can't {kind}")

    def begin(self, stage: Stage, until_ns: int | None) -> Undo:
        """Every device of the target has it."""
        now = stage.env.now
        code = self.code or self.status
        undo: list[Undo] = []
        for index in stage.devices_of(self.target):
            server = stage.field.servers[index]
            if self.kind in overlay.KINDS:
                point = server.device.model.index(self.point)
                assert point is not None  # it was checked
                value = server.device.model.points[point].whole(self.value)
                undo.append(server.device.lie(ValueFault(self.kind, point, value, self.share, code), now))
            else:
                seed = stage.streams.key(f"misbehaviour/{server.device.name}/{self.kind}/{now}")
                undo.append(
                    server.misbehave(
                        Misbehaviour(
                            self.kind, seed, self.delay_ns if self.kind == "slow" else code, self.share
                        )
                    )
                )
        return _all(undo)

    @property
    def detail(self) -> str:
        """The kind."""
        return self.kind


@dataclass(frozen=True, slots=True, kw_only=True)
class SetPoll(_OnDevices):
    """a device or a fleet is polled at another period"""

    name = "set-poll"

    period_ns: int = key("poll", "interval", "the new period", "2 s", "200 ms")

    def begin(self, stage: WholeStage, until_ns: int | None) -> Undo:
        """Every device of the target is due every ``period_ns``."""
        return _all([stage.plans[index].hurry(self.period_ns) for index in stage.devices_of(self.target)])


@dataclass(frozen=True, slots=True, kw_only=True)
class PausePolling(_OnDevices):
    """a device or a fleet isn't polled, as during maintenance: no sample of it is due, so none is missed"""

    name = "pause-polling"

    def check(self, site: Site, given: Sequence[str]) -> None:
        """A device or a fleet that is polled."""
        _OnDevices.check(self, site, given)
        if not site.is_polled(self.target):
            raise Mistake("", f"{self.target} isn't polled: it speaks by itself")

    def begin(self, stage: WholeStage, until_ns: int | None) -> Undo:
        """Their plans pause."""
        return _all([stage.plans[index].pause() for index in stage.devices_of(self.target)])


@dataclass(frozen=True, slots=True, kw_only=True)
class Write(Verb):
    """the cloud writes a value to a device"""

    name = "write"
    takes = "devices"
    lasts = False

    point: str = key("point", "text", "which of its points", "setpoint", "setpoint", choices=_writable)
    value: float = key("value", "value", "in the point's unit", "4.5", "2.0")

    @classmethod
    def targets(cls, spec: WorldSpec) -> Sequence[str]:
        """Devices."""
        return tuple(device.name for device in spec.devices)

    def check(self, site: Site, given: Sequence[str]) -> None:
        """One device, with a point that can be written."""
        if "/" not in self.target:
            raise Mistake(
                "", f'expected one device, e.g. "{self.target}/1" or "{self.target}/any", got the whole fleet'
            )
        model = site.table(self.target)
        point = model.points[_numeric(self.point, model, "only numbers are written by a scenario")]
        if not point.writable:
            writable = [one.name for one in model.points if one.writable and one.text is None]
            raise Mistake(
                "point",
                f"{self.point} of {model.name} can't be written; writable: {', '.join(writable) or 'none'}",
            )

    def begin(self, stage: WholeStage, until_ns: int | None) -> None:
        """A command comes down from the cloud."""
        device = stage.device_index[self.target]
        point = stage.spec.devices[device].table.index(self.point)
        assert point is not None  # it was checked
        value = stage.spec.devices[device].table.points[point].whole(self.value)
        stage.issue(Command(stage.commands.next_number(), device, point, value, stage.env.now))
