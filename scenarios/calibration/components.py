"""A user's own components with the inputs that they get in a scenario: what a unit of their fuel takes here.

Belongs here: runs of a scenario whose instances are timed. Never: fitting. A scenario is its own recording:
run again, every component gets the same calls with the same arguments and answers, so that of each call the
quickest of several runs can be taken."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from twinloop.components.host.crossing import PURE
from twinloop.components.host.host import Host
from twinloop.scenarios.banded import NEVER
from twinloop.scenarios.calibration.shapes import Shape
from twinloop.scenarios.calibration.timing import TimedInstance
from twinloop.scenarios.file.load import Loaded
from twinloop.scenarios.runner import Options, run_in
from twinloop.scenarios.text.errors import MachineError, ScenarioError, shown_path
from twinloop.sim.gateway.slot import Slot
from twinloop.sim.machine.budget import Meter
from twinloop.sim.world import World

CALLS_MAX = 5_000
"""of an instance that are looked at; later ones are left out"""


@dataclass(slots=True)
class Used:
    """A component in a scenario. ``sha256``: of its bytes; ``calls``: of each, shape and least time so far,
    its first one aside, which configures it; ``fiber``: they run on one."""

    name: str
    sha256: str
    fiber: bool
    calls: list[tuple[Shape, int]] = field(default_factory=list)

    @property
    def shape(self) -> Shape:
        """Of all its calls together."""
        return sum((shape for shape, _ in self.calls), Shape(calls=0))

    @property
    def took_ns(self) -> int:
        """All its calls."""
        return sum(took for _, took in self.calls)


class _TimedMeter(Meter):
    """In the place of a slot's meter: notes what each call took here."""

    __slots__ = ("_first", "_slot", "noted")

    def __init__(self, slot: Slot) -> None:
        super().__init__(slot.meter.profile)
        self._slot, self._first = slot, True
        self.noted: list[tuple[Shape, int]] = []

    def charge(self, fuel: int, calls: int, imports: int, exchanges: int, values: int, count: int) -> int:
        """A segment of a call; ``calls`` is 1 in its first."""
        self._note(Shape(calls, imports, exchanges, values, count, fuel))
        return super().charge(fuel, calls, imports, exchanges, values, count)

    def charge_call(self, fuel: int, values: int) -> int:
        """A whole call in one segment."""
        self._note(Shape(values=values, fuel=fuel))
        return super().charge_call(fuel, values)

    def _note(self, segment: Shape) -> None:
        instance, calls = self._slot.instance, segment.calls
        assert isinstance(instance, TimedInstance)
        if calls:
            self._first = self.calls == 0
        if not self._first and len(self.noted) < CALLS_MAX:
            if calls:
                self.noted.append((segment, instance.took_ns))
            else:
                shape, took = self.noted[-1]
                self.noted[-1] = shape + segment, took + instance.took_ns


def measured(loaded: Loaded, rounds: int, say: Callable[[str], None]) -> list[Used]:
    """Each component of a scenario that was called, by name; of ``rounds`` runs, each call's quickest. Raises
    ScenarioError for the author's mistakes, MachineError when the runs aren't the same."""
    host = Host(fibers=False, way=PURE)  # what is fitted was measured by wasmtime's component API
    host.makes = TimedInstance
    found: dict[str, Used] = {}
    try:
        for number in range(rounds):
            say(f"{loaded.document.file.name}: run {number + 1} of {rounds}")
            for name, used in _run(loaded, host).items():
                known = found.setdefault(name, used)
                if [shape for shape, _ in known.calls] != [shape for shape, _ in used.calls]:
                    raise MachineError(
                        f"{name} was called otherwise in run {number + 1}: that must not happen"
                    )
                known.calls = [
                    (shape, min(took, again))
                    for (shape, took), (_, again) in zip(known.calls, used.calls, strict=True)
                ]
        return [used for _, used in sorted(found.items()) if used.calls]
    finally:
        host.close()


def _run(loaded: Loaded, host: Host) -> dict[str, Used]:
    meters: list[tuple[Slot, _TimedMeter]] = []

    def started(world: World) -> None:
        meters.clear()  # of a run that began anew
        actions = [*world.spec.timeline, *(one.action for one in world.spec.reactions)]
        if any(one.verb == "upgrade" for one in actions):  # both releases' calls are charged on one meter
            raise ScenarioError(
                shown_path(loaded.file), None, "timeline",
                "a component is upgraded, so that calls of two releases can't be told apart: measure a "
                "scenario for each release, without the upgrade",
            )  # fmt: skip
        for gateway in world.gateways:
            for slot in gateway.rack.all():
                meter = slot.meter = _TimedMeter(slot)
                meters.append((slot, meter))

    run_in(loaded, Options(band=NEVER, started=started), host)
    found: dict[str, Used] = {}
    for slot, meter in meters:
        component = slot.linked.component
        fiber = slot.linked.parks or component.sha256 in host.long
        used = found.setdefault(slot.spec.name, Used(slot.spec.name, component.sha256, fiber))
        used.calls += meter.noted
    return found
