"""The timeline: what goes wrong and what is commanded, as entries with a verb, at an instant or after an
event.

Belongs here: when entries happen and end, and the events that this makes. Never: what a verb does (links.py,
gateways.py, components.py, devices.py) or random trouble (the plan makes entries of it). Trouble goes first
at its instant.

An entry makes the events ``VERB TARGET`` and, when the last trouble that ends by itself has left its target,
``heal TARGET``; a gateway that was down boots with ``restart TARGET``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from twinloop.sim.kernel.clock import TROUBLE
from twinloop.sim.model.spec import Action, Reaction
from twinloop.sim.trouble.stage import Stage
from twinloop.sim.trouble.verb import Undo
from twinloop.sim.trouble.verbs import VERBS


class Timeline:
    """The entries of one run, put on its plant's timeline."""

    def __init__(self, world: Stage, actions: tuple[Action, ...], reactions: tuple[Reaction, ...]) -> None:
        self._world = world
        self._standing: dict[str, int] = {}
        """target -> troubles on it that have not ended"""
        self._undo: dict[int, tuple[Action, Undo]] = {}
        """each of them by number, in the order in which they began"""
        self._last = 0
        self.on_begin: list[Callable[[Action], None]] = []
        """told of each entry when it begins"""
        self.on_due: list[Callable[[Action], None]] = []
        """told of each entry that an event has put on the timeline, when it is known at which instant"""
        self._reactions: dict[str, list[_Waiting]] = {}
        self.last_ns = 0
        """when the last entry that is known today has begun and ended"""
        for action in actions:
            self.add(action)
        self._waiting = [_Waiting(reaction) for reaction in reactions]
        for waiting in self._waiting:
            self._reactions.setdefault(waiting.reaction.event, []).append(waiting)
        world.on_happened.append(self._react)

    def add(self, action: Action) -> None:
        """One more entry, not in the past."""
        self.last_ns = max(self.last_ns, action.at_ns, action.until_ns or 0)
        self._world.env.call_at(action.at_ns, self._apply, action, priority=TROUBLE)

    def _apply(self, action: Action) -> None:
        """Carry out one entry, now."""
        world, target = self._world, action.target
        self._told(action, "begin")
        for told in self.on_begin:
            told(action)
        undo = action.deed.begin(world, action.until_ns)
        if undo is not None:
            self._standing[target] = self._standing.get(target, 0) + 1
            self._last += 1
            self._undo[self._last] = action, undo
            if action.until_ns is not None:
                world.env.call_at(action.until_ns, self._end, self._last, priority=TROUBLE)
        world.happened(f"{action.verb} {target}")

    def end_all(self) -> None:
        """All trouble that stands ends now; gateways that are down are switched on."""
        for number in list(self._undo):
            self._end(number)
        for gateway in self._world.gateways:
            if gateway.state == "stopping":
                gateway.crash()
            if gateway.state == "down":
                gateway.down_until_ns = self._world.env.now
                gateway.boot()
                self._world.happened(f"restart {gateway.name}")

    def _end(self, number: int) -> None:
        """One trouble ends, unless it has; its target is healed when it was the last."""
        if number not in self._undo:
            return
        action, undo = self._undo.pop(number)
        undo()
        self._standing[action.target] -= 1
        healed = not self._standing[action.target]
        self._told(action, "heal" if healed else "relief")
        if healed:
            self._world.happened(f"heal {action.target}")

    def _told(self, action: Action, event: str) -> None:
        if VERBS[action.verb].on_link:
            self._world.trace.emit(
                "link",
                action.target,
                action.verb if event == "begin" else event,
                action.deed.detail if event == "begin" else "",
            )
        else:
            self._world.trace.emit("trouble", action.verb, action.target, event, action.deed.detail)

    def _react(self, event: str) -> None:
        """Entries that wait for this event are put on the timeline; the same one at most as often as it
        says."""
        for waiting in self._reactions.get(event, ()):
            if waiting.left:
                waiting.left -= 1
                reaction = waiting.reaction
                at = self._world.env.now + reaction.delay_ns
                until = None if reaction.for_ns is None else at + reaction.for_ns
                action = replace(reaction.action, at_ns=at, until_ns=until)
                self.add(action)
                for told in self.on_due:
                    told(action)

    def left(self) -> tuple[int, ...]:
        """How often each reaction may still happen, in the order in which they were given."""
        return tuple(waiting.left for waiting in self._waiting)


class _Waiting:
    """A reaction and how often it may still happen."""

    __slots__ = ("left", "reaction")

    def __init__(self, reaction: Reaction) -> None:
        self.reaction, self.left = reaction, reaction.times
