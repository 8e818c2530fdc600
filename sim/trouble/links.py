"""What the timeline can do to links: cut (a way, a leg), flap, partition, degrade. Each returns what ends it.

Belongs here: verbs on links. Never: how a link treats packets (link.py), what a rule is (rule.py).
"""

from __future__ import annotations

from collections.abc import Callable

from twinloop.sim.kernel.clock import TROUBLE
from twinloop.sim.model.spec import Action
from twinloop.sim.network.link import Link
from twinloop.sim.network.rule import Cut
from twinloop.sim.trouble.stage import Stage, WholeStage

Undo = Callable[[], None]


def cut(world: Stage, action: Action) -> Undo:
    """Nothing passes: both ways or one, every leg or one."""
    link = world.links[action.target]
    rule = Cut(action.up, action.leg or None, action.via or None)
    link.rules.append(rule)
    return lambda: link.rules.remove(rule)


def partition(world: WholeStage, action: Action) -> Undo:
    """The two gateways of a pair don't hear each other (or one doesn't hear the other); their other links are as they are."""
    pair = next(pair for pair in world.pairs if action.target in pair.names)
    rule = Cut(action.up, pair.names[1])
    pair.link.rules.append(rule)
    return lambda: pair.link.rules.remove(rule)


def degrade(world: Stage, action: Action) -> Undo:
    """Other figures for a while."""
    link = world.links[action.target]
    number = link.degrade(dict(action.changes))
    return lambda: link.restore(number)


class _Flap:
    """A bad contact: down, up, down, up, from now until it is ended."""

    def __init__(self, world: Stage, link: Link, action: Action) -> None:
        self._world, self._link, self._action = world, link, action
        self._rule = Cut(action.up, action.leg or None, action.via or None)
        self._down = False
        self._over = False
        self._turn()

    def _turn(self) -> None:
        if self._over:
            return
        self._down = not self._down
        if self._down:
            self._link.rules.append(self._rule)
        else:
            self._link.rules.remove(self._rule)
        self._world.trace.emit("link", self._link.name, "down" if self._down else "up", "flap")
        lasts_ns = self._action.down_ns if self._down else self._action.up_ns
        self._world.env.call_at(self._world.env._now + lasts_ns, self._turn, priority=TROUBLE)

    def end(self) -> None:
        """The contact is good again."""
        self._over = True
        if self._down:
            self._link.rules.remove(self._rule)


def flap(world: Stage, action: Action) -> Undo:
    """Cut for ``down_ns``, whole for ``up_ns``, again and again."""
    return _Flap(world, world.links[action.target], action).end
