"""A second run beside the first: the same scenario with a change, the same seed, and always the same instant.

Belongs here: the second engine, what it is told, the keys that begin and end it. Never: what is shown of both
(screens/beside.py). The second run isn't steered by keys: it follows what the first has come to, so that a
step by one event or "until the next fault" means the same instant for both. It never runs ahead of the first,
and so what is done by hand at the first has its exact instant at the second, too.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from pathlib import Path

from rich.text import Text

from twinloop.scenarios.file.settings import parse_setting
from twinloop.scenarios.text.errors import ScenarioError
from twinloop.tui.drawing.look import BAD, LATE
from twinloop.tui.drawing.pane import Pane
from twinloop.tui.drawing.text import DIM, HEAD, fit
from twinloop.tui.engine.feed import Feed
from twinloop.tui.engine.messages import (
    Died,
    Do,
    Done,
    Look,
    Ready,
    Refused,
    Reply,
    Rewind,
    RunTo,
    View,
    Wrong,
)
from twinloop.tui.screens.beside import Side, figures
from twinloop.tui.terminal import head
from twinloop.tui.terminal.finding import FindingApp

END_NS = 1 << 62
"""beyond every run"""
NO_LINES = 1 << 62
"""of the log: those of the second run aren't shown"""
VIEWS = 2
"""after a command, until one tells of what came of it: one may be on its way already"""
EXAMPLE = "fleets.presses.poll=2 s"
Key = tuple[int, str]
"""when something was done by hand at the first run, and what"""


class Companion:
    """The second run. ``settings``: what is changed in it, each as PATH=VALUE; ``close`` it."""

    def __init__(self, settings: tuple[str, ...], feed: Feed) -> None:
        self.settings, self.feed = settings, feed
        self.plan: Ready | None = None
        self.view: View | None = None
        self.problem = ""
        """why it can't be run, or how it died"""
        self.refused = ""
        """what was done at the first and can't be done here"""
        self._told: list[tuple[Key, bool]] = []
        """what it was told to do by hand, in that order, and whether it could"""
        self._asked: deque[Key | None] = deque()
        """what it hasn't answered yet; None: to go back"""
        self._fresh = False
        """is the view younger than its last answer?"""
        self._to_ns = -1
        """where it was sent last"""
        self._views = 0
        """that have come since"""

    def step(self, first: View | None) -> None:
        """Take what came, and follow the first run."""
        for reply in self.feed.take():
            self._took(reply)
        if not self.problem and self.plan is not None:
            self.feed.look(Look(line=NO_LINES, due=True))
            if first is not None and self.view is not None:
                self._follow(first, self.view)

    def _took(self, reply: Reply) -> None:
        if isinstance(reply, Ready):
            self.plan = reply
        elif isinstance(reply, View):
            self.view, self._fresh = reply, not self._asked
            self._views += 1
        elif isinstance(reply, Refused | Died):
            self.problem = reply.text
        elif isinstance(reply, Done | Wrong) and self._asked:
            self._fresh, key = False, self._asked.popleft()
            if key is not None:
                self._told.append((key, isinstance(reply, Done)))
            if isinstance(reply, Wrong):
                self.refused = f"{'' if key is None else f'{key[1]}: '}{reply.text}"

    def _follow(self, first: View, view: View) -> None:
        if not self._fresh or "rewinding" in (first.mode, view.mode):
            return
        self._forget(len(view.entries.stamped))
        done = list(first.entries.stamped)
        same = _common([key for key, _ in self._told], done)
        undone = [could for _, could in self._told[same:]]
        here_ns, there_ns = max(0, first.snapshot.now_ns), max(0, view.snapshot.now_ns)
        if any(undone):
            number = sum(could for _, could in self._told[:same])
            self._go_back(view.entries.stamped[number][0] - 1)
        elif first.mode != "over" and there_ns > here_ns:
            self._go_back(here_ns)
        else:
            del self._told[same:]
            for key, entry in zip(done[same:], first.entries.given[same:], strict=True):
                self._send(Do(entry, key[0]), key)
            to_ns = END_NS if first.mode == "over" else here_ns
            if to_ns != self._to_ns:
                self._to_ns, self._views = to_ns, 0
                self.feed.send(RunTo(to_ns))

    def _forget(self, stamped: int) -> None:
        """What it was told and has undone, because it went back."""
        while sum(could for _, could in self._told) > stamped:
            self._told.pop()

    def _go_back(self, to_ns: int) -> None:
        self._to_ns = -1
        self._send(Rewind(max(0, to_ns)), None)

    def _send(self, command: Do | Rewind, key: Key | None) -> None:
        self._asked.append(key)
        self._fresh, self._views = False, 0
        self.feed.send(command)

    def stands(self, first: View | None) -> bool:
        """Has it come to where the first run stands?"""
        view = self.view
        if first is None or view is None or self._asked or self._views < VIEWS:
            return False
        to_ns = END_NS if first.mode == "over" else max(0, first.snapshot.now_ns)
        told = [key for key, _ in self._told] == list(first.entries.stamped)
        return told and self._to_ns == to_ns and view.mode in ("paused", "over")

    def close(self) -> None:
        """It ends."""
        self.feed.close()


def _common(one: list[Key], other: list[Key]) -> int:
    """How many are the same from the beginning on."""
    pairs = zip(one, other, strict=False)
    return next((i for i, (mine, theirs) in enumerate(pairs) if mine != theirs), min(len(one), len(other)))


class BesideApp(FindingApp):
    """An application with two runs, if somebody wants a second. ``beside``: what is changed in it from the
    beginning on; None: there is none."""

    file: Path
    seed: int | None
    _start: Callable[..., Feed]

    def __init__(self, beside: tuple[str, ...] | None = None) -> None:
        super().__init__()
        self.companion: Companion | None = None
        self._beside = beside
        self._typed = ""
        """what was typed as a change, empty where the command line has it"""
        self._came_from = "overview"

    def follow(self) -> None:
        """The second run, where one is wanted, begins and follows."""
        if self._beside is None or self.problem:
            return
        if self.companion is None:
            if self.plan is None:
                return
            own_seed = any(parse_setting(text).path == ("seed",) for text in self._beside)
            seed = None if own_seed else self.plan.seed
            self.companion = Companion(self._beside, self._start(self.file, seed, self._beside))
        self.companion.step(self.view)
        if self.companion.problem and self._typed:
            why, typed = self.companion.problem.replace("--set ", ""), self._typed
            self.close_beside()
            self.prompt.ask_again(why, typed, self._put_beside)

    def action_leave(self) -> None:
        """Where nothing is asked and both runs are seen, the second is closed."""
        if self.shown == "beside" and not self.prompt.asks:
            self.action_beside()
        else:
            super().action_leave()

    def action_beside(self) -> None:
        """A second run, or none any more."""
        if self._beside is not None:
            self.close_beside()
            self.say("the second run is closed")
        elif self.plan is not None and not self.problem:
            self.prompt.ask(f"a second run with which change? e.g. {EXAMPLE}", "", self._put_beside)

    def _put_beside(self, text: str) -> None:
        try:
            parse_setting(text)
        except ScenarioError as error:
            self.prompt.ask_again(str(error).removeprefix("--set "), text, self._put_beside)
            return
        self._beside, self._typed = (text,), text
        self.action_show_beside()

    def action_show_beside(self) -> None:
        """Both runs."""
        if self._beside is None:
            self.say("there is no second run: c puts one beside this one")
            return
        if self.shown != "beside":
            self._came_from = self.shown
        self.action_show("beside")

    def close_beside(self) -> None:
        """The second run ends; the first goes on as before."""
        self.begin_beside_anew()
        self._beside, self._typed = None, ""
        if self.shown == "beside":
            self.action_show(self._came_from)

    def begin_beside_anew(self) -> None:
        """The second run ends, and begins again with the first."""
        if self.companion is not None:
            self.companion.close()
            self.companion = None

    # ---- drawing ---------------------------------------------------------------------------------
    @property
    def is_beside(self) -> bool:
        """Is a second run there, or wanted?"""
        return self._beside is not None

    def drawn_beside(
        self, make: Callable[[Side, Side, int, int], list[Text]], width: int, height: int
    ) -> list[Text]:
        """Lines of a pane about both, or what is to be said in their place."""
        second = self.companion
        if self.plan is None or self.view is None or second is None:
            return [Text("getting ready...", style=DIM)]
        if second.problem:
            return [Text("there is no second run to compare with", style=DIM)]
        if second.plan is None or second.view is None:
            return [Text("getting ready: the second run boots...", style=DIM)]
        return make(Side(self.plan, self.view), Side(second.plan, second.view), width, height)

    def lines_of(self, screen: str) -> tuple[int, int]:
        """The table of both runs, too."""
        second = self.companion
        if screen != "beside":
            return super().lines_of(screen)
        if self.plan is None or self.view is None or second is None:
            return 0, 0
        if second.plan is None or second.view is None:
            return 0, 0
        sides = Side(self.plan, self.view), Side(second.plan, second.view)
        size = self.base.query_one("#beside-expect", Pane).size
        return len(figures(*sides, size.width, size.height)), size.height

    def heads(self, width: int, _: int) -> list[Text]:
        """A line each: what is changed, the clock, how the expectations stand; and what is to be said of the
        second."""
        second = self.companion
        if second is None:
            return [Text("getting ready...", style=DIM)]
        names = ["this run", ", ".join(second.settings)]
        room = min(max(map(len, names)), width // 3)
        wide = width - room - 2
        tops = [
            head.of_run(self.plan, self.view, wide),
            Text(f"{BAD.sign} can't be run", style=BAD.style)
            if second.problem
            else head.of_run(second.plan, second.view, wide, follows=True),
        ]
        out = [
            Text.assemble((fit(name, room), HEAD), "  ", top) for name, top in zip(names, tops, strict=True)
        ]
        if second.problem:
            out += [Text(line, style=BAD.style) for line in second.problem.splitlines()]
        elif second.refused:
            out.append(Text(f"{LATE.sign} not done beside: {second.refused}", style=LATE.style))
        return out
