"""A session: a world driven by messages, commands in and replies out, so that it can sit in another process.

Belongs here: the protocol. Never: a thread, a queue, a clock. A live command is stamped ``now + 1 ns``, or the first instant
after it at which no other trouble begins or ends, and leaves the same trace record as a timeline entry: a session IS its
scenario plus its stamped commands, and can be replayed as one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from twinloop.sim.model.spec import Action
from twinloop.sim.snapshot import Snapshot, take
from twinloop.sim.world import World


@dataclass(frozen=True, slots=True)
class Advance:
    """Run to an instant (or to the end, whichever comes first)."""

    to_ns: int


@dataclass(frozen=True, slots=True)
class Act:
    """Do something now. ``action.at_ns`` is ignored; ``until_ns`` is that of an action at ``now + 1 ns``."""

    action: Action


@dataclass(frozen=True, slots=True)
class Look:
    """Take a snapshot."""


@dataclass(frozen=True, slots=True)
class Finish:
    """Run to the end, settle, audit."""


Message = Advance | Act | Look | Finish


@dataclass(frozen=True, slots=True)
class Reached:
    """Reply to Advance: simulated time now."""

    now_ns: int


@dataclass(frozen=True, slots=True)
class Stamped:
    """Reply to Act: the entry as a timeline would have it."""

    action: Action


@dataclass(frozen=True, slots=True)
class Finished:
    """Reply to Finish."""

    digest: str
    completed: bool


Reply = Reached | Stamped | Snapshot | Finished


class Session:
    """One world behind messages. ``stamped``: what was done live, ready for a timeline."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.stamped: list[Action] = []
        self._booted = False

    def boot(self) -> None:
        """Gateways boot, once; raises what the world raises."""
        if not self._booted:
            self._booted = True
            self.world.boot()

    def handle(self, message: Message) -> Reply:
        """Carry out one message; raises what the world raises (ConfigRefused, InvariantError)."""
        self.boot()
        if isinstance(message, Advance):
            self.world.advance(min(message.to_ns, self.world.spec.duration_ns))
            return Reached(self.world.env._now)
        if isinstance(message, Act):
            return Stamped(self._act(message.action))
        if isinstance(message, Look):
            return take(self.world)
        completed = self.world.finish()
        return Finished(self.world.trace.digest(), completed)

    def _act(self, action: Action) -> Action:
        action = self.stamp(action)
        self.world.timeline.add(action)
        return action

    def stamp(self, action: Action) -> Action:
        """The action as a timeline would have it; it isn't on the world's yet."""
        env = self.world.env
        at_ns = after = max(env._now, 0) + 1
        taken = [other.at_ns for other in self.stamped]
        while at_ns in taken or env.trouble_at(at_ns):  # an entry of a file comes before whatever ends or begins then, this one would behind it
            at_ns += 1
        until_ns = None if action.until_ns is None else action.until_ns + at_ns - after
        action = replace(action, at_ns=at_ns, until_ns=until_ns)
        self.stamped.append(action)
        return action
