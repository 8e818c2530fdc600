"""What the timeline can do to devices and their plans: sensors that lie, devices that speak wrongly, faster polls, writes.

Belongs here: verbs on devices and fleets. Never: what a fault does to values or bytes (devices/).
"""

from __future__ import annotations

from collections.abc import Callable

from twinloop.devices.model import overlay
from twinloop.devices.model.misbehaviour import Misbehaviour
from twinloop.devices.model.overlay import ValueFault
from twinloop.sim.cloud.messages import Command
from twinloop.sim.model.spec import Action
from twinloop.sim.trouble.stage import Stage, WholeStage

Undo = Callable[[], None]


def fault(world: Stage, action: Action) -> Undo:
    """Every device of the target has the fault ``kind``."""
    now = world.env._now
    undo: list[Undo] = []
    for index in world.devices_of(action.target):
        server = world.field.servers[index]
        if action.kind in overlay.KINDS:
            point = server.device.model.index(action.point)
            assert point is not None  # the loader has checked
            undo.append(server.device.lie(ValueFault(action.kind, point, action.value, action.share, action.code), now))
        else:
            key = world.streams.key(f"misbehaviour/{server.device.name}/{action.kind}/{now}")
            undo.append(server.misbehave(Misbehaviour(action.kind, key, action.lasts_ns if action.kind == "slow" else action.code, action.share)))
    return _all(undo)


def repoll(world: WholeStage, action: Action) -> Undo:
    """Every device of the target is due every ``lasts_ns``."""
    undo = [world.plans[index].hurry(action.lasts_ns) for index in world.devices_of(action.target)]
    return _all(undo)


def _all(undo: list[Undo]) -> Undo:
    def over() -> None:
        for end in undo:
            end()

    return over


def write(world: WholeStage, action: Action) -> None:
    """A command comes down from the cloud."""
    device = world.device_index[action.target]
    point = world.spec.devices[device].model.index(action.point)
    assert point is not None  # the loader has checked
    world.issue(Command(world.next_command(), device, point, action.value, world.env._now))
