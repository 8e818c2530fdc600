"""The engine: one scenario and the world that plays it, slice by slice, with what is done to it live.

Belongs here: playing a world in slices between two looks at its commands, rewinding, saving. Never: its
process (process.py), what is seen of it (viewing.py). It looks at its commands after at most
SLICE_EVENTS events. Rewinding goes on from a mark (marks.py) or, without one, from a new world, and plays the
same again: a run is a pure function of its scenario and its stamped commands.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from twinloop.components.host.call_state import NeedsFibers
from twinloop.components.host.host import Host
from twinloop.scenarios.file.load import Loaded, load
from twinloop.scenarios.file.save import save
from twinloop.scenarios.file.settings import parse_setting
from twinloop.scenarios.judging.thresholds import Judge, read_expectations
from twinloop.scenarios.judging.verdict import Verdict
from twinloop.scenarios.planning.entries import NAME as ENTRY
from twinloop.scenarios.planning.entries import live_action, require_verb, stamped
from twinloop.scenarios.planning.plan import Planner
from twinloop.scenarios.planning.upgrades import on_offer
from twinloop.scenarios.text.errors import ScenarioError, shown_path
from twinloop.scenarios.text.words import number_of
from twinloop.sim.gateway.supervisor import ConfigRefused
from twinloop.sim.kernel.invariants import InvariantError
from twinloop.sim.kernel.pacer import Pacer
from twinloop.sim.kernel.trace import KINDS
from twinloop.sim.session import Session
from twinloop.sim.world import SETTLE_CHECK_NS, World
from twinloop.tui.engine.exploring import Explorer, run_errand
from twinloop.tui.engine.followed import Followed
from twinloop.tui.engine.live_commands import Entries, LiveCommands
from twinloop.tui.engine.marks import Errand, Marks
from twinloop.tui.engine.messages import (
    Command,
    Do,
    Done,
    Pause,
    Play,
    Ready,
    Reply,
    Rewind,
    RunTo,
    RunUntil,
    Save,
    StepEvent,
    Wrong,
)
from twinloop.tui.engine.plan_info import ready
from twinloop.tui.engine.watch import Watch

SLICE_EVENTS = 2000
"""events between two looks at the commands"""
IDLE_S = 0.05
"""how long a paced engine waits for a command at the longest"""
NEVER_AGAIN = 1 << 62


@dataclass(frozen=True, slots=True)
class Order:
    """What a mark is woken with: whereto, what is to be done again on the way, and what to answer."""

    to_ns: int
    entries: Entries
    rewinds: int
    reply: Done


@dataclass(slots=True)
class Goal:
    """Whereto it plays: an instant; ``from_ns``: where a way back began; ``kind``: until there is a record of
    it more than the ``seen``; ``then``: what goes on when it has come there (None: it stands still)."""

    at_ns: int = 0
    from_ns: int = 0
    kind: str = ""
    seen: int = 0
    then: Before | None = None


@dataclass(frozen=True, slots=True)
class Before:
    """What an engine was about when it had to begin anew."""

    mode: str
    speed: Fraction | None
    goal: Goal


class Engine:
    """One scenario and the world that plays it. ``marks``: in a process that may fork; ``settings``: what is
    set in the scenario, each as PATH=VALUE. Raises ScenarioError when it can't be run."""

    def __init__(
        self,
        host: Host,
        file: Path,
        seed: int | None,
        marks: Marks | None = None,
        settings: Sequence[str] = (),
    ) -> None:
        self.host, self.marks = host, marks
        self.loaded = load(file, [parse_setting(text) for text in settings])
        spec = Planner(self.loaded, host, seed).world()
        self.spec = replace(
            spec,
            offers=(*spec.offers, *(offer for offer in on_offer(self.loaded) if offer not in spec.offers)),
        )
        self.live = LiveCommands([])
        self.mode = "paused"
        self.speed: Fraction | None = None
        """of a paced run; None: as fast as it goes"""
        self._goal = Goal()
        self.rewinds = 0
        """how often it went back: what was seen before isn't what is seen after"""
        self.verdict = self.broken = ""
        """once it is over; what is broken"""
        self.wall_s = 0.0
        """spent on playing"""
        self.pacer = Pacer()
        self.explorer = Explorer()
        """what is behind a figure"""
        self._begin()
        self.plan: Ready = ready(self.loaded, self.world, self.judge.expectations, sorted(KINDS))

    def twin(self) -> Engine:
        """Another engine at the beginning of the same run, with the same live commands; it makes no marks.
        Raises HostLimitError when this machine has no room for another world."""
        twin = copy.copy(self)
        twin.marks, twin.mode, twin.speed, twin._goal = None, "paused", None, Goal()
        twin.live = LiveCommands(list(self.live.entries))
        twin.explorer = Explorer()
        twin._begin()
        return twin

    def play_to(self, to_ns: int | None) -> None:
        """As fast as it goes to an instant, None: to the run's end, slice by slice."""
        if self.mode != "over":
            self.mode, self.speed = "playing", None
            self._goal = Goal(NEVER_AGAIN if to_ns is None else max(to_ns, self.world.env.now))

    def _begin(self) -> None:
        """A new world, at its beginning."""
        while True:
            try:
                self._boot()
                return
            except NeedsFibers:  # a component whose calls are long was met; the host knows it now
                self.world.close()

    def _boot(self) -> None:
        self.world = World(self.spec, self.host, None if self.marks is None else self.marks.store_path())
        self.watch = Watch(self.world)
        expectations = read_expectations(self.loaded)
        self.explorer.followed = Followed(self.world, expectations)
        self.judge = Judge(self.world, expectations)
        named = dict.fromkeys(dict(one.keys).get("device", "") for one in expectations)
        self.watch.name([name for name in named if name])
        self.session = Session(self.world)
        try:
            self.session.boot()
            self.watch.over_time.busy.booted()
        except ConfigRefused as refused:
            name, text = refused.args
            raise self.loaded.document.error(("components", name, "with"), text) from refused
        self._settled_ns = self.spec.duration_ns
        self.verdict = self.broken = ""

    def _anew(self, digest: str) -> Done:
        """A component's call was longer than one without a fiber may be, and this world can't go on. The same
        run plays anew to where it stood, with a fiber for that component, and then goes on as before."""
        stood_ns = self.goal_ns
        then = self._goal.then
        if self.mode != "rewinding":
            then = Before(self.mode, self.speed, self._goal)
        if self.marks is not None:
            self.marks.drop()  # they would all come to the same call
        self.world.close()
        self._begin()
        self.live.begun = 0
        self.mode, self.speed = "rewinding", None
        self._goal = Goal(stood_ns, then=then)
        names = [one.name for one in self.spec.components if one.component.sha256 == digest]
        return Done(f"calls of {' and '.join(names)} take long: the run is played anew to where it was")

    def _arrived(self) -> None:
        """It has come to its goal."""
        then = self._goal.then
        if then is None:
            self.mode = "paused"
            return
        self.mode, self.speed, self._goal = then.mode, then.speed, then.goal
        self._keep_pace()

    def _keep_pace(self) -> None:
        if self.speed is not None:
            self.pacer = Pacer(self.speed)
            self.pacer.begin(max(0, self.world.env.now))

    # ---- commands --------------------------------------------------------------------------------
    def mark(self) -> Reply | None:
        """Leave a mark, if it is time for one. A reply: this process is somebody else's successor, and has
        that to say."""
        if self.marks is None or not self.marks.due(self.world.events):
            return None
        order: Order | Errand | None = self.marks.take(self.world)
        if order is None:
            return None
        if isinstance(order, Errand):
            run_errand(self, self.marks, order.order)
        self.live.entries = list(order.entries)
        self._go_back(order)
        return order.reply

    def handle(self, command: Command) -> Reply | None:
        """Carry out one command; what only looks, or ends the process, is process.py's."""
        try:
            reply: Reply | None = _HANDLERS[type(command)](self, command)
        except ScenarioError as error:
            return Wrong(error.text if Path(error.file).name == ENTRY else str(error))
        return reply

    def _idle(self) -> None:
        """Raises ScenarioError when the clock is in other hands."""
        if self.mode == "rewinding":
            raise ScenarioError(ENTRY, None, "", "it is being rewound; pause stops that")

    def _play(self, play: Play) -> None:
        self._idle()
        if self.mode == "over":
            return
        self.speed, self._goal = play.speed, Goal(NEVER_AGAIN)
        self._keep_pace()
        self.mode = "playing"

    def _pause(self, _: Pause) -> Done | None:
        rewinding, gone = self.mode == "rewinding", 0
        if rewinding:
            gone = self.live.forget_coming()
        if self.mode != "over":
            self.mode = "paused"
        return Done(f"stopped on the way{_undone(gone)}") if rewinding else None

    def _step_event(self, _: StepEvent) -> Done | None:
        self._idle()
        if self.mode == "over":
            return None
        self.mode = "paused"
        return self._played(lambda: self._some(NEVER_AGAIN, 1))

    def _run_to(self, command: RunTo) -> None:
        self._idle()
        self.play_to(command.to_ns)

    def _run_until(self, command: RunUntil) -> None:
        self._idle()
        if self.mode != "over":
            self.mode, self.speed = "playing", None
            seen = self.watch.seen.get(command.kind, 0)
            self._goal = Goal(NEVER_AGAIN, kind=command.kind, seen=seen)

    def _rewind(self, command: Rewind) -> Done:
        """Wakes a mark, which does the rest: then this process is over. Without one: from 0."""
        to_ns = max(0, min(command.to_ns, self.goal_ns))
        kept = self.live.until(to_ns)
        reply = Done(f"back to {to_ns / 1e9:g} s{_undone(len(self.live.entries) - len(kept))}")
        order = Order(to_ns, kept, self.rewinds + 1, reply)
        if self.marks is not None and self.marks.wake(to_ns, order):
            self.marks.leave()
        self.explorer.forget()
        self.world.close()
        self._begin()
        self.live = LiveCommands(kept)
        self._go_back(order)
        return reply

    @property
    def goal_ns(self) -> int:
        """Where it stands, or will when it has been rewound."""
        return self._goal.at_ns if self.mode == "rewinding" else max(0, self.world.env.now)

    @property
    def progress(self) -> float:
        """Of rewinding, 0 to 1."""
        whole = self._goal.at_ns - self._goal.from_ns
        return (
            1.0
            if self.mode != "rewinding" or whole <= 0
            else max(0.0, (self.world.env.now - self._goal.from_ns) / whole)
        )

    def _go_back(self, order: Order) -> None:
        self.mode, self.speed = "rewinding", None
        self._goal = Goal(order.to_ns, max(0, self.world.env.now))
        self.rewinds = order.rewinds

    def _do(self, command: Do) -> Reply:
        if self.mode in ("over", "rewinding"):
            return Wrong("the run is over" if self.mode == "over" else "it is being rewound")
        verb = require_verb(command.entry)
        action, entry = live_action(
            self.loaded, command.entry, self.world.streams.stream(f"live/{len(self.live.entries)}")
        )
        now = max(self.world.env.now, 0)
        if now >= self.spec.duration_ns:
            return Wrong("nothing is due any more: a timeline ends with the run")
        first_ns = max(now + 1, command.at_ns)
        if action.until_ns is not None:
            action = replace(action, until_ns=first_ns + action.until_ns)
        action = self.session.stamp(action, first_ns)
        self.live.entries.append((action, stamped(entry, action.at_ns)))
        return Done(f"{verb} {entry[verb]} at {action.at_ns / 1e9:.6f} s")

    def _save(self, command: Save) -> Done:
        save(
            self.loaded,
            self.spec.seed,
            [entry for _, entry in self.live.entries],
            command.target,
            self._same_plan,
        )
        return Done(
            f"{shown_path(Path(command.target))}: the scenario with "
            f"{number_of(len(self.live.entries), 'live command')}"
        )

    def _same_plan(self, saved: Loaded) -> bool:
        """Is it the same plant with the same components and devices? What a scenario names by a relative path
        lies beside it."""
        spec = Planner(saved, self.host).world()
        return [one.component.sha256 for one in spec.components] == [
            one.component.sha256 for one in self.spec.components
        ] and (
            saved.models.digests == self.loaded.models.digests
            and [one.name for one in spec.devices] == [one.name for one in self.spec.devices]
        )

    # ---- playing ---------------------------------------------------------------------------------
    def wait_s(self) -> float | None:
        """How long to wait for a command before the next slice; None: until one comes."""
        if self.mode in ("paused", "over"):
            return None
        if self.speed is None or self.mode == "rewinding":
            return 0.0
        next_ns = self.world.env.next_ns
        left_ns = 0 if next_ns is None else self.pacer.wall_at(max(0, next_ns))[0]
        return min(IDLE_S, max(0.0, left_ns / 1e9))

    def slice(self) -> Done | None:
        """Some of what is due; returns what there is to say of it, hardly ever something."""
        return None if self.mode in ("paused", "over") else self._played(self._slice)

    def broke(self, error: InvariantError) -> None:
        """twinloop breaks a promise: the run is over."""
        self.mode, self.verdict, self.broken = "over", Verdict.BROKEN.value, str(error)

    def _played(self, what: Callable[[], object]) -> Done | None:
        """Takes its time, and may find that twinloop breaks a promise: then the run is over. Or that it has
        to begin anew: returns what is to be said of that."""
        began, said = time.perf_counter(), None
        try:
            what()
        except InvariantError as error:
            self.broke(error)
        except NeedsFibers as met:
            said = self._anew(str(met.args[0]))
        self.wall_s += time.perf_counter() - began
        return said

    def _slice(self) -> None:
        limit_ns = self._goal.at_ns
        if self.speed is not None and self.mode == "playing":
            limit_ns = min(limit_ns, self.pacer.position_ns())
            next_ns = self.world.env.next_ns
            if next_ns is not None and 0 <= next_ns <= limit_ns:
                self.pacer.late(next_ns)
        if self._goal.kind:
            self._until_kind(limit_ns)
            return
        reached = self._some(limit_ns, SLICE_EVENTS)
        if reached and limit_ns == self._goal.at_ns and self.mode != "over":
            self._arrived()

    def _until_kind(self, limit_ns: int) -> None:
        """One event at a time, so that it stands still right behind the record."""
        for _ in range(SLICE_EVENTS // 10):
            self._some(limit_ns, 1)
            if self.watch.seen.get(self._goal.kind, 0) > self._goal.seen:
                self.mode, self._goal.kind = "paused", ""
            if self.mode != "playing":
                return

    def _some(self, limit_ns: int, events: int) -> bool:
        """At most so many events until then; at the end of the run it settles, and is over. True: it has come
        there."""
        world, whole_ns = self.world, self.spec.duration_ns
        if self._settled_ns == whole_ns and not self.live.play(self.world, min(limit_ns, whole_ns), events):
            return False
        if limit_ns <= whole_ns:
            return True
        while not world.settled(self._settled_ns):
            step_ns = min(whole_ns + self.spec.settle_ns, self._settled_ns + SETTLE_CHECK_NS)
            if step_ns > limit_ns:
                return True
            if not world.some(step_ns, events):
                return False
            self._settled_ns = step_ns
        self._end()
        return True

    def _end(self) -> None:
        self.mode = "over"
        try:
            self.world.close_books()
            self.verdict = self.judge.verdict(self.judge.judge()).value
        except InvariantError as error:
            self.verdict, self.broken = Verdict.BROKEN.value, str(error)

    def digest(self) -> str:
        """Of a run that is over."""
        return self.world.trace.digest()


def _undone(count: int) -> str:
    return (
        f"; {number_of(count, 'live command')} after it {'is' if count == 1 else 'are'} undone"
        if count
        else ""
    )


_HANDLERS: dict[type, Any] = {
    Play: Engine._play,
    Pause: Engine._pause,
    StepEvent: Engine._step_event,
    RunTo: Engine._run_to,
    RunUntil: Engine._run_until,
    Rewind: Engine._rewind,
    Do: Engine._do,
    Save: Engine._save,
}
"""command -> what carries it out"""
