"""A table of states: what leads from which state to which.

Belongs here: looking a step up, or saying that there is none. Never: a table (each lies beside what has the
states), or what follows from a step.
"""

from __future__ import annotations

from collections.abc import Mapping

from twinloop.sim.kernel.invariants import InvariantError


class StateMachine(dict[tuple[str, str], str]):
    """(state, event) -> state. ``of``: what has the states, in an error's words."""

    def __init__(self, of: str, table: Mapping[tuple[str, str], str]) -> None:
        super().__init__(table)
        self.of = of

    def after(self, name: str, state: str, event: str) -> str:
        """The state of ``name`` after an event; raises InvariantError when the table has no such step."""
        following = self.get((state, event))
        if following is None:
            raise InvariantError(f"{self.of} {name}: {event!r} in state {state!r}")
        return following

    def figure(self) -> str:
        """One line a state: its events and where they lead."""
        states = dict.fromkeys(state for state, _ in self)
        width = max(len(state) for state in states)
        lines = []
        for state in states:
            steps = ", ".join(f"{event} -> {to}" for (origin, event), to in self.items() if origin == state)
            lines.append(f"  {state:<{width}}  {steps}")
        return "\n".join([self.of, *lines])
