"""A session: a world to which something is done live.

Belongs here: stamps. Never: a thread, a queue, a clock. A live command is stamped ``now + 1 ns``, or the
first instant after it at which no other trouble begins or ends, and leaves the same trace record as a
timeline entry: a session IS its scenario plus its stamped commands, and can be replayed as one.
"""

from __future__ import annotations

from dataclasses import replace

from twinloop.sim.model.spec import Action
from twinloop.sim.world import World


class Session:
    """One world. ``stamped``: what was done live, ready for a timeline."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.stamped: list[Action] = []
        self._booted = False

    def boot(self) -> None:
        """Gateways boot, once; raises what the world raises."""
        if not self._booted:
            self._booted = True
            self.world.boot()

    def act(self, action: Action) -> Action:
        """Do something now; returns the entry as a timeline would have it."""
        action = self.stamp(action)
        self.world.timeline.add(action)
        return action

    def stamp(self, action: Action, first_ns: int = 0) -> Action:
        """The action as a timeline would have it, at the next instant or, where that is later, at
        ``first_ns``; it isn't on the world's yet."""
        env = self.world.env
        at_ns = after = max(env.now + 1, 1, first_ns)
        taken = [other.at_ns for other in self.stamped]
        # an entry of a file comes before whatever ends or begins then, this one would behind it
        while at_ns in taken or env.trouble_at(at_ns):
            at_ns += 1
        until_ns = None if action.until_ns is None else action.until_ns + at_ns - after
        action = replace(action, at_ns=at_ns, until_ns=until_ns)
        self.stamped.append(action)
        return action
