"""What keys and the mouse do with the clock: play, pause, steps, going on and back.

Belongs here: those actions. Never: the clock itself (engine.py), other keys (app.py).
"""

from __future__ import annotations

from twinloop.scenarios.text.units import duration
from twinloop.tui.engine.feed import Feed
from twinloop.tui.engine.messages import Pause, Play, Ready, Rewind, RunTo, RunUntil, StepEvent, View
from twinloop.tui.screens import strip
from twinloop.tui.screens.forms.kind_chooser import KindChooser
from twinloop.tui.terminal.pace import SPEEDS
from twinloop.tui.terminal.prompt import Prompt
from twinloop.tui.terminal.themed import ThemedApp

SECOND = 1_000_000_000


class ClockApp(ThemedApp[int]):
    """An application with a clock; ``feed``: to whom commands go."""

    plan: Ready | None
    view: View | None
    feed: Feed
    prompt: Prompt
    _speed: int
    """of SPEEDS"""

    def say(self, text: str, style: str = "") -> None:
        """One line, until the next."""
        self.prompt.say(text, style)

    @property
    def now_ns(self) -> int:
        """The run's instant, 0 before there is one."""
        return max(0, self.view.snapshot.now_ns) if self.view is not None else 0

    def action_play(self) -> None:
        """Go on, or stand still."""
        moving = self.view is not None and self.view.mode in ("playing", "rewinding")
        self.feed.send(Pause() if moving else Play(SPEEDS[self._speed]))

    def action_step_event(self) -> None:
        """One event."""
        self.feed.send(StepEvent())

    def action_step(self) -> None:
        """One second."""
        if self.view is not None:
            self.feed.send(RunTo(self.now_ns + SECOND))

    def action_faster(self, by: int) -> None:
        """The next speed."""
        self._speed = max(0, min(len(SPEEDS) - 1, self._speed + by))
        self.say(f"speed {float(SPEEDS[self._speed]):g}x")
        if self.view is not None and self.view.mode == "playing":
            self.feed.send(Play(SPEEDS[self._speed]))

    def action_flat_out(self) -> None:
        """As fast as it goes."""
        self.feed.send(Play(None))

    def action_run_until(self) -> None:
        """Until there is a record of a kind."""
        if self.plan is not None:
            self.push_screen(
                KindChooser(self.plan.kinds), lambda kind: self.feed.send(RunUntil(kind)) if kind else None
            )

    def action_go_to(self) -> None:
        """On or back."""
        self.prompt.ask("to which instant, e.g. 90 s", f"{self.now_ns / 1e9:g} s", self._go_to)

    def _go_to(self, text: str) -> None:
        try:
            at_ns = duration(text)
        except ValueError as error:
            self.prompt.ask_again(str(error), text, self._go_to)
            return
        self.move_to(at_ns)

    def move_to(self, at_ns: int) -> None:
        """The clock's hand to an instant, on or back."""
        if self.view is not None and at_ns <= self.view.rewind.goal_ns:
            self._back_to(at_ns)
        else:
            self.feed.send(RunTo(at_ns))

    def action_entry(self, by: int) -> None:
        """To the next or the last instant at which an entry of the timeline begins or ends."""
        if self.plan is None or self.view is None:
            return
        here = self.view.rewind.goal_ns
        known = strip.entries(self.plan, self.view)
        found = [at for at in known if at > here] if by > 0 else [at for at in known if at < here][::-1]
        if found:
            self.move_to(found[0])
        else:
            self.say(f"nothing is on the timeline {'after' if by > 0 else 'before'} this instant")

    def _back_to(self, at_ns: int) -> None:
        self.feed.send(Rewind(max(0, at_ns)))

    def action_rewind(self, seconds: int) -> None:
        """So many seconds back."""
        if self.view is not None:
            self._back_to(self.view.rewind.goal_ns - seconds * SECOND)

    def action_undo(self) -> None:
        """Before what was done last by hand, which then wasn't."""
        if self.view is None:
            return
        if not self.view.entries.stamped:
            self.say("nothing was done by hand yet")
            return
        at_ns = max(at for at, _ in self.view.entries.stamped)
        if at_ns == 0:
            self.say("it was done at 0, and there is nothing before that: r reads the file again")
            return
        self._back_to(at_ns - 1)

    def action_beginning(self) -> None:
        """To 0."""
        self._back_to(0)
