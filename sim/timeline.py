"""The timeline: what goes wrong and what is commanded, as entries with a verb. Trouble goes first at its instant.

Belongs here: the verbs and what they do to a world. Never: random trouble or phases (they make entries).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from sim.clock import TROUBLE
from sim.message import Command
from sim.rule import Cut
from sim.spec import Action

if TYPE_CHECKING:
    from sim.world import World


def _cut(world: World, action: Action) -> None:
    link = world.links[action.target]
    rule = Cut()
    link.rules.append(rule)
    world.trace.emit("link", action.target, "cut", "")

    def heal() -> None:
        link.rules.remove(rule)
        world.trace.emit("link", action.target, "heal", "")
        world.happened(f"heal {action.target}")

    if action.until_ns is not None:
        world.env.call_at(action.until_ns, heal, priority=TROUBLE)


def _degrade(world: World, action: Action) -> None:
    link = world.links[action.target]
    link.degrade(**dict(action.changes))
    world.trace.emit("link", action.target, "degrade", " ".join(name for name, _ in action.changes))

    def heal() -> None:
        link.degrade()
        world.trace.emit("link", action.target, "heal", "")
        world.happened(f"heal {action.target}")

    if action.until_ns is not None:
        world.env.call_at(action.until_ns, heal, priority=TROUBLE)


def _write(world: World, action: Action) -> None:
    device = world.device_index[action.target]
    point = world.spec.devices[device].model.index(action.point)
    assert point is not None  # the loader has checked
    world.issue(Command(world.next_command(), device, point, action.value, world.env._now))


def _crash(world: World, action: Action) -> None:
    gateway = world.gateway_of_name[action.target]
    gateway.crash()
    if action.until_ns is not None:
        world.env.call_at(action.until_ns, _boot_if_down, world, action.target, priority=TROUBLE)


def _boot_if_down(world: World, name: str) -> None:
    gateway = world.gateway_of_name[name]
    if gateway.state == "down":
        gateway.boot()
        world.happened(f"restart {name}")


def _restart(world: World, action: Action) -> None:
    world.gateway_of_name[action.target].restart()


VERBS: dict[str, Callable[[World, Action], None]] = {
    "cut": _cut,
    "degrade": _degrade,
    "write": _write,
    "crash": _crash,
    "restart": _restart,
}
"""verb -> what it does; targets were resolved at load"""


def apply(world: World, action: Action) -> None:
    """Carry out one entry, now."""
    VERBS[action.verb](world, action)
    world.happened(f"{action.verb} {action.target}")
    if action.label:
        world.happened(action.label)


def schedule(world: World, actions: tuple[Action, ...]) -> None:
    """Put all entries on the timeline."""
    for action in actions:
        world.env.call_at(action.at_ns, apply, world, action, priority=TROUBLE)
