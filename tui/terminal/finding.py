"""What keys do with the log, the search and the favourites.

Belongs here: those actions. Never: what is shown (screens/finding/, screens/forms/), other keys
(app.py).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from twinloop.scenarios.planning.entries import parse_entry, require_verb
from twinloop.tui.drawing.pane import Pane
from twinloop.tui.engine.messages import Do
from twinloop.tui.screens.finding.log import LogReader, counts
from twinloop.tui.screens.finding.log_kinds import LogKinds
from twinloop.tui.screens.finding.search import Thing, things
from twinloop.tui.screens.finding.search_box import SearchBox
from twinloop.tui.screens.fleet_table import FleetTable
from twinloop.tui.screens.forms.favourite_list import FavouriteList, Wish
from twinloop.tui.screens.forms.trouble_form import TroubleForm
from twinloop.tui.screens.targets import ToComponent, ToExpectation
from twinloop.tui.terminal.exploring import ExploringApp
from twinloop.tui.terminal.keys import KEYS, help_lines

if TYPE_CHECKING:
    from twinloop.tui.engine.messages import View

PAGE = 10
"""lines of a page, where it isn't known how many are seen"""
FAR = 1 << 30
"""more lines than there are"""
READ = ("help", "beside")
"""screens that are read by moving in them"""


class FindingApp(ExploringApp):
    """An application in which things are looked for."""

    def __init__(self) -> None:
        super().__init__()
        self.reader = LogReader()
        self.moved: dict[str, int] = {}
        """screen -> its first line that is seen"""

    @property
    def problem(self) -> str:
        """Why it can't be run; empty: it can."""
        raise NotImplementedError

    # ---- moving ----------------------------------------------------------------------------------
    def action_move(self, by: int) -> None:
        """In the log, or in a screen that is read by moving; else as ever."""
        if self.entered is None and self.shown == "log":
            self.move_in_log(by)
        elif self.entered is None and self.shown in READ:
            self.read_on(by)
        else:
            super().action_move(by)

    def action_open(self) -> None:
        """The instant of the chosen line; else what is under the cursor."""
        if self.entered is None and self.shown == "log":
            self.jump()
        else:
            super().action_open()

    # ---- the log ---------------------------------------------------------------------------------
    def read(self, view: View, went_back: bool) -> None:
        """The log of this view is the one that is read."""
        if went_back:
            self.reader.went_back()
        self.reader.see(view.log, view.entries.stamped)

    def read_anew(self) -> None:
        """Another run has another log."""
        self.reader = LogReader()

    def move_in_log(self, by: int) -> None:
        """So many lines on."""
        self.reader.move(by)
        self.redraw()

    def jump(self) -> None:
        """The clock goes to the instant of the chosen line."""
        line = self.reader.chosen
        if line is not None:
            self.move_to(max(0, line.at_ns))

    def filter_log(self) -> None:
        """Only lines with what is typed."""

        def filtered(text: str) -> None:
            self.reader.filter(text)
            self.redraw()

        self.prompt.ask("lines with", self.reader.wanted, filtered, live=filtered)

    def action_kinds(self) -> None:
        """Which kinds of lines are shown."""
        if self.plan is None or self.problem:
            return

        def hide(kinds: frozenset[str]) -> None:
            self.reader.hide(kinds)
            self.redraw()

        self.action_show("log")
        self.push_screen(LogKinds(counts(self.reader.kept), self.reader.hidden, hide))

    def lines_of(self, screen: str) -> tuple[int, int]:
        """(how many there are of a screen that is read by moving in it, how many are seen)."""
        pane = self.base.query_one("#keys", Pane)
        return (len(help_lines(KEYS, pane.size.width)) if screen == "help" else 0), pane.size.height

    def read_on(self, by: int) -> None:
        """So many lines on in such a screen."""
        count, seen = self.lines_of(self.shown)
        here = self.moved.get(self.shown, 0)
        self.moved[self.shown] = max(0, min(count - seen, here + by))
        self.redraw()

    def action_page(self, by: int) -> None:
        """A page on in what has lines."""
        if self.shown == "log":
            self.move_in_log(by * max(1, self.base.query_one("#lines").size.height - 2))
        elif self.shown == "fleet":
            self.base.query_one(FleetTable).move(by * PAGE)
        elif self.shown in READ:
            self.read_on(by * PAGE)

    def action_end(self, last: bool) -> None:
        """To the first line, or the last."""
        if self.shown == "log":
            self.reader.to_end(last)
            self.redraw()
        elif self.shown == "fleet":
            self.base.query_one(FleetTable).move(FAR if last else -FAR)
        elif self.shown in READ:
            self.read_on(FAR if last else -FAR)

    # ---- the search ------------------------------------------------------------------------------
    def action_search(self) -> None:
        """In everything that has a name."""
        if self.plan is not None and self.view is not None and not self.problem:
            self.push_screen(SearchBox(things(self.plan, self.view)), self._found)

    def _found(self, thing: Thing | None) -> None:
        """What was found is shown, or the clock goes there."""
        if thing is None:
            return
        if thing.group == "Devices":
            self.open_device(thing.number)
        elif thing.group == "Expectations":
            self.open_target(ToExpectation(thing.number))
        elif thing.group == "Components":
            self.open_target(ToComponent(thing.name))
        elif thing.group in ("Timeline", "Log"):
            if thing.number >= 0:
                self.move_to(thing.number)
            else:
                self.say("it waits for an event: nobody knows its instant yet")
        elif (
            thing.group == "Links"
            and self.plan is not None
            and any(device.link == thing.name for device in self.plan.devices)
        ):
            self.action_show("fleet")
            self.base.query_one(FleetTable).filter(thing.name)
            self.say(f'devices with "{thing.name}"; / changes that')
        else:
            self.action_show("gateway")

    # ---- favourites ------------------------------------------------------------------------------
    def action_favourites(self) -> None:
        """Trouble that was kept, to be done again."""
        if self.plan is not None and not self.problem:
            self.push_screen(FavouriteList(self.plan), self._wished)

    def _wished(self, wish: Wish | None) -> None:
        if wish is None or self.plan is None:
            return
        what, one = wish
        entry = parse_entry(one.entry)
        if what == "do":
            self.feed.send(Do(entry))
            return
        verb = require_verb(entry)
        values = {key: flow(value) for key, value in entry.items() if key != verb}
        self.push_screen(
            TroubleForm(self.plan, lambda made: self.feed.send(Do(made)), verb, str(entry[verb]), values)
        )


def flow(value: object) -> str:
    """A value as a field of the form has it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {flow(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(flow, value)) + "]"
    return str(value)
