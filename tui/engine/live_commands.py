"""What was done live, in the order in which it was stamped, and how much of it has come about.

Belongs here: that list, and playing a world with it. Never: checking an entry
(scenarios/planning/entries.py), stamping it (sim/session.py). A command is put on a world's timeline
only when everything before it has happened: a mark to rewind to never holds one that may be undone.
"""

from __future__ import annotations

from typing import Any

from twinloop.sim.model.spec import Action
from twinloop.sim.world import World

Entries = list[tuple[Action, dict[str, Any]]]
"""the action as it was stamped, and the entry of a timeline"""


class LiveCommands:
    """``entries``, of which the first ``begun`` have."""

    def __init__(self, entries: Entries) -> None:
        self.entries = entries
        self.begun = 0

    def next(self) -> Action | None:
        """The next that is to begin."""
        return self.entries[self.begun][0] if self.begun < len(self.entries) else None

    def until(self, at_ns: int) -> Entries:
        """Those up to an instant."""
        return [(action, entry) for action, entry in self.entries if action.at_ns <= at_ns]

    def forget_coming(self) -> int:
        """Those that haven't begun aren't done; how many they were."""
        gone = len(self.entries) - self.begun
        del self.entries[self.begun :]
        return gone

    def play(self, world: World, limit_ns: int, events: int) -> bool:
        """At most so many events of the run until then, with what is done live on the way; True: it has come
        there."""
        while (action := self.next()) is not None and action.at_ns <= limit_ns:
            before = world.events
            if not world.some(action.at_ns - 1, events) or world.events - before >= events:
                return False
            events -= world.events - before + 1
            world.timeline.add(action)
            world.some(action.at_ns, 1)  # it begins at once: nobody ever sees a world that it waits in
            self.begun += 1
            if not events:
                return False
        return world.some(limit_ns, events)
