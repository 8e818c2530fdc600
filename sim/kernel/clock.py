"""The timeline that this process has: the compiled part's where there is one, else Python's. All import it
from here.

Belongs here: the two side by side, by the same names, and the one that is taken. Never: what they do
(timeline.py; sim/native/timeline.c), nor whether there is a compiled part (components/native/choice.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import simpy
from simpy.core import EmptySchedule

from twinloop.components.native.choice import CHOICE
from twinloop.devices.model import stepper
from twinloop.sim.kernel import timeline
from twinloop.sim.kernel.timeline import (
    LATE,
    MS,
    NEVER_NS,
    NORMAL,
    START,
    TROUBLE,
    US,
    Balance,
    Occurrence,
    S,
    Steps,
    Turn,
)


class Way(NamedTuple):
    """One of the two."""

    Environment: Any
    Event: Any
    Task: Any
    Timer: Any


PURE = Way(timeline.Environment, timeline.Event, timeline.Task, timeline.Timer)


def compiled(engine: Any) -> Way:
    """That of a compiled module: SimPy's own events may be used beside its, as beside Python's."""

    class Environment(engine.Timeline, simpy.Environment):  # type: ignore[misc]  # Any
        """timeline.Environment, whose hot half is C's."""

        def __init__(self, initial_time: int = 0) -> None:
            super().__init__(initial_time)

        @property
        def _now(self) -> int:  # SimPy has a property over an attribute, we the reverse
            return self.now  # type: ignore[return-value]  # SimPy says float

        @_now.setter
        def _now(self, now_ns: int) -> None:
            self.now = now_ns  # type: ignore[misc]  # a member of C's

        def schedule(self, event: Any, priority: Any = NORMAL, delay: Any = 0) -> None:
            """Put one of SimPy's own events on the timeline."""
            self.expect(self.now + delay, Turn(event), priority)

        def step(self) -> None:
            """The next thing that is due."""
            if self.next_ns is None:
                raise EmptySchedule
            self.happens()

    Occurrence.register(engine.Timer)
    Occurrence.register(engine.Task)
    return Way(Environment, engine.Event, engine.Task, engine.Timer)


stepper.take(CHOICE.signals)
if TYPE_CHECKING or CHOICE.engine is None:
    from twinloop.sim.kernel.timeline import Environment, Event, Task, Timer
else:
    Environment, Event, Task, Timer = compiled(CHOICE.engine)

__all__ = [
    "LATE", "MS", "NEVER_NS", "NORMAL", "START", "TROUBLE", "US", "Balance", "Environment", "Event",
    "Occurrence", "S", "Steps", "Task", "Timer", "Turn",
]  # fmt: skip
