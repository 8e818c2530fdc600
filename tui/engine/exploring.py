"""One sample again: a replay of the run up to its end, recorded, beside the engine that is awake.

Belongs here: from where it is replayed, how far, and its answer. Never: what is recorded of it
(one_sample.py), how a mark is sent on an errand (marks.py). A run is a pure function of its scenario, its
seed and its stamped commands, so what is replayed is what was: it is held against what was seen, and anything
else is an InvariantError. With marks a fork of the last one before the sample plays; without, another world
in this process, a slice at each look.
"""

from __future__ import annotations

import contextlib
import pickle
import time
from collections import OrderedDict
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn, Protocol

from twinloop.components.contract.errors import HostLimitError
from twinloop.sim.kernel.invariants import InvariantError
from twinloop.sim.model.spec import WorldSpec
from twinloop.sim.world import World
from twinloop.tui.engine.explored import Known, SampleView, Slow
from twinloop.tui.engine.followed import Followed
from twinloop.tui.engine.live_commands import Entries, LiveCommands
from twinloop.tui.engine.marks import Marks
from twinloop.tui.engine.one_sample import OneSample
from twinloop.tui.engine.watch import Watch

ANSWERS_MAX = 50
"""samples that are remembered"""
EVENTS_MAX = 20_000_000
"""of a replay from the beginning"""
LOOK_S = 0.2
"""of a look that a replay in this process may take"""
ANSWER_S = 120.0
"""after which an errand that hasn't come back is given up"""
WAITS = "it is replayed from the last mark before it..."
FROM_ZERO = "it is replayed from the beginning: there is no mark before it..."
COMING = "the clock stands before the instant at which that was known of it"
OTHER = "it was seen before the clock went back, and the run has gone another way since"
UNKNOWN = "nothing is known of when it was due"


class Player(Protocol):
    """An engine, as far as a replay needs it."""

    world: World
    watch: Watch
    spec: WorldSpec
    marks: Marks | None
    live: LiveCommands
    mode: str
    broken: str
    rewinds: int

    def twin(self) -> Player:
        """Another one at the beginning of the same run."""
        ...

    def play_to(self, to_ns: int | None) -> None:
        """To an instant, None: to the run's end."""
        ...

    def slice(self) -> object:
        """Some of it."""
        ...


@dataclass(frozen=True, slots=True)
class ErrandOrder:
    """What a mark's fork is to find, until when it plays (None: the run's end), where the answer goes, and
    what was done live: a mark doesn't know of what came after it."""

    asked: Known
    until_ns: int | None
    answer: Path
    entries: Entries


class Replay:
    """Of one sample, in an engine whose world hasn't come to it."""

    def __init__(self, engine: Player, asked: Known, until_ns: int | None) -> None:
        self.engine, self._until_ns = engine, until_ns
        self.sample = OneSample(engine.world, asked)
        engine.play_to(until_ns)

    def slice(self) -> bool:
        """Some of it; True: it has come far enough. Raises InvariantError."""
        self.engine.slice()
        if self.engine.broken:
            raise InvariantError(self.engine.broken)
        if self.sample.world is not self.engine.world:  # it has begun anew
            self.sample = OneSample(self.engine.world, self.sample.asked)
        return self.engine.mode not in ("playing", "rewinding") or self.sample.over

    @property
    def progress(self) -> float:
        """0 to 1, at the latest when it ends."""
        whole = self._until_ns or self.engine.spec.duration_ns
        return max(0.0, min(1.0, self.engine.world.env.now / max(1, whole)))


def run_errand(engine: Player, marks: Marks, order: ErrandOrder) -> NoReturn:
    """In a fork of a mark: find it, write the answer, end. It is nobody's engine: nothing goes to the
    screen."""
    answer: SampleView | str
    engine.live.entries = list(order.entries)
    try:
        replay = Replay(engine, order.asked, order.until_ns)
        while not replay.slice():
            if marks.forsaken:
                marks.leave()
        answer = replay.sample.view()
    except InvariantError as error:
        answer = str(error)
    except BaseException as error:  # noqa: BLE001  # there is nobody else whom it could be told
        answer = replace(SampleView(order.asked), waits=f"its replay has failed: {error!r}")
    with contextlib.suppress(OSError):
        made = order.answer.with_suffix(".part")
        made.write_bytes(pickle.dumps(answer))
        made.replace(order.answer)
    marks.leave()


@dataclass(slots=True)
class _Errand:
    """A fork is on its way."""

    answer: Path
    since_s: float


class Explorer:
    """Of one engine: what was asked for last, and what was found before. ``followed``: its expectations over
    time."""

    def __init__(self) -> None:
        self.followed: Followed | None = None
        self._answers: OrderedDict[tuple[Known, bool], SampleView] = OrderedDict()
        """(sample, did it end?) -> what was found"""
        self._asked: Known | None = None
        self._errand: _Errand | None = None
        self._replay: Replay | None = None
        self._refused = ""

    def forget(self) -> None:
        """The run goes another way from here."""
        self._drop()
        self._answers.clear()
        self._asked = None

    def _drop(self) -> None:
        if self._replay is not None:
            self._replay.engine.world.close()
        self._replay = self._errand = None
        self._refused = ""

    def sample(self, engine: Player, asked: Known) -> SampleView:
        """What is known of it by now; the first look begins the replay. Raises InvariantError."""
        now, over = max(0, engine.world.env.now), engine.mode == "over"
        known = self._answers.get((asked, True)) or self._answers.get((asked, over))
        if known is not None and (not known.open_points or over or asked != self._asked):
            self._asked = asked
            return known
        known_ns = asked.due_ns + asked.total_ns if isinstance(asked, Slow) else asked.at_ns
        if asked.due_ns < 0 or (known_ns > now and not over) or engine.mode == "rewinding":
            return SampleView(asked, UNKNOWN if asked.due_ns < 0 else COMING, 0.0)
        if asked != self._asked:
            self._drop()
            self._asked = asked
        if self._refused:
            return SampleView(asked, self._refused, 0.0)
        if self._errand is None and self._replay is None:
            self._begin(engine, asked, None if over else now)
        try:
            found = self._came() if self._errand is not None else self._played()
        except InvariantError:
            self._drop()
            if not engine.rewinds or engine.watch.standouts.knows(asked):
                raise
            self._refused = OTHER
            found = None
        if found is None:
            waits = self._refused or (WAITS if self._replay is None else FROM_ZERO)
            return SampleView(asked, waits, 0.0 if self._replay is None else self._replay.progress)
        self._drop()
        self._answers[asked, over or not found.open_points] = found
        while len(self._answers) > ANSWERS_MAX:
            self._answers.popitem(last=False)
        return found

    def _begin(self, engine: Player, asked: Known, until_ns: int | None) -> None:
        marks = engine.marks
        if marks is not None:
            order = ErrandOrder(asked, until_ns, marks.answer_path(), engine.live.entries)
            if marks.send(asked.due_ns, order):
                self._errand = _Errand(order.answer, time.monotonic())
                return
        if engine.world.events > EVENTS_MAX:
            self._refused = (
                f"it can't be replayed: no mark lies before it, and from the beginning it would take "
                f"{engine.world.events // 1_000_000} million events; at most {EVENTS_MAX // 1_000_000} are"
            )
            return
        try:
            self._replay = Replay(engine.twin(), asked, until_ns)
        except HostLimitError as error:
            self._refused = f"it can't be replayed: this machine has no room for a second world ({error})"

    def _came(self) -> SampleView | None:
        assert self._errand is not None
        if not self._errand.answer.exists():
            if time.monotonic() - self._errand.since_s > ANSWER_S:
                self._refused = f"its replay hasn't come back within {ANSWER_S:g} s"
            return None
        answer: SampleView | str = pickle.loads(self._errand.answer.read_bytes())  # noqa: S301  # a fork's
        self._errand.answer.unlink()
        if isinstance(answer, str):
            raise InvariantError(answer)
        return answer

    def _played(self) -> SampleView | None:
        if self._replay is None:
            return None
        ends_s = time.perf_counter() + LOOK_S
        while not self._replay.slice():
            if time.perf_counter() > ends_s:
                return None
        return self._replay.sample.view()
