"""The timeline: what goes wrong and what is commanded, as entries with a verb. Trouble goes first at its instant.

Belongs here: the verbs and what they do to a world. Never: random trouble or phases (they make entries).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from sim.clock import NEVER_NS, TROUBLE
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
    if action.until_ns is not None:
        world.env.call_at(action.until_ns, _heal, world, action.target, lambda: link.rules.remove(rule), priority=TROUBLE)


def _degrade(world: World, action: Action) -> None:
    link = world.links[action.target]
    number = link.degrade(dict(action.changes))
    world.trace.emit("link", action.target, "degrade", " ".join(name for name, _ in action.changes))
    if action.until_ns is not None:
        world.env.call_at(action.until_ns, _heal, world, action.target, lambda: link.restore(number), priority=TROUBLE)


def _heal(world: World, name: str, undo: Callable[[], None]) -> None:
    """One trouble of a link ends; the link is healed when it was the last."""
    undo()
    link = world.links[name]
    if link.troubled:
        world.trace.emit("link", name, "relief", "")
        return
    world.trace.emit("link", name, "heal", "")
    world.happened(f"heal {name}")


def _write(world: World, action: Action) -> None:
    device = world.device_index[action.target]
    point = world.spec.devices[device].model.index(action.point)
    assert point is not None  # the loader has checked
    world.issue(Command(world.next_command(), device, point, action.value, world.env._now))


def _crash(world: World, action: Action) -> None:
    """Down until the latest end of all crashes that overlap; one without an end keeps it down until a restart."""
    gateway = world.gateway_of_name[action.target]
    until = NEVER_NS if action.until_ns is None else action.until_ns
    gateway.down_until_ns = until if gateway.state != "down" else max(gateway.down_until_ns, until)
    gateway.crash()
    if until != NEVER_NS:
        world.env.call_at(until, _boot_when_over, world, action.target, priority=TROUBLE)


def _boot_when_over(world: World, name: str) -> None:
    gateway = world.gateway_of_name[name]
    if gateway.state == "down" and gateway.down_until_ns <= world.env._now:
        gateway.boot()
        world.happened(f"restart {name}")


def _restart(world: World, action: Action) -> None:
    gateway = world.gateway_of_name[action.target]
    gateway.down_until_ns = world.env._now
    gateway.restart()


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
