"""From a figure to what is behind it, and back: which pane has the cursor, what Enter opens, where Esc goes.

Belongs here: those keys, and the way that one came. Never: where things stand on a pane (screens/spots.py),
what is behind them (screens/, engine/).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from textual.widgets import ContentSwitcher

from twinloop.tui.drawing.pane import Pane
from twinloop.tui.drawing.spots import Spot
from twinloop.tui.drawing.text import BAD
from twinloop.tui.screens.closer import PAGES, Closer
from twinloop.tui.screens.fleet_table import FleetTable
from twinloop.tui.screens.targets import (
    Target,
    ToComponent,
    ToDevice,
    ToExpectation,
    ToFleet,
    ToSample,
    ToWindow,
)
from twinloop.tui.terminal.editing import EditingApp

if TYPE_CHECKING:
    from textual.screen import Screen

HISTORY_MAX = 50
"""places that Esc goes back to"""
WIDGETS = {"log": "log-screen"}
"""screens whose widget is called otherwise, because a pane has that name"""
FIRST = {"expectation": "moments", "window": "window-samples", "sample": "sample-about"}
"""a page -> the pane that the cursor comes into"""


@dataclass
class Chosen:
    """Which device is looked at, and which of its points."""

    device: int = 0
    point: int = 0


@dataclass(frozen=True, slots=True)
class Place:
    """Where somebody was: the screen, the pane with the cursor and what that stood on, what was looked at
    closer, the device and its point, the filter of the table."""

    shown: str
    pane: str
    target: Hashable
    closer: Closer
    device: int
    point: int
    wanted: str


@dataclass
class Way:
    """``pane``: which one has the cursor, empty: none; ``places``: where one came from, the last one last."""

    pane: str = ""
    closer: Closer = field(default_factory=Closer)
    places: deque[Place] = field(default_factory=lambda: deque(maxlen=HISTORY_MAX))


class ExploringApp(EditingApp):
    """An application whose panes can be entered."""

    chosen: Chosen
    way: Way

    @property
    def base(self) -> Screen[Any]:
        """The screen under whatever asks something."""
        return self.screen_stack[0]

    @property
    def shown(self) -> str:
        """Which screen."""
        shown = str(self.base.query_one("#panes", ContentSwitcher).current)
        return next((name for name, other in WIDGETS.items() if other == shown), shown)

    def redraw(self) -> None:
        """What is others than before."""
        raise NotImplementedError

    # ---- the cursor ------------------------------------------------------------------------------
    def panes(self) -> list[Pane]:
        """Those of the screen that is shown in which there is something to stand on, in order."""
        visible = self.base.query_one("#panes", ContentSwitcher).visible_content
        found = [] if visible is None else [one for one in visible.query(Pane) if one.display]
        return [one for one in found if one.size.height and one.can_be_entered]

    @property
    def entered(self) -> Pane | None:
        """The pane that has the cursor."""
        if not self.way.pane:
            return None
        return self.base.query_one(f"#{self.way.pane}", Pane)

    def enter(self, name: str, target: Hashable = None) -> None:
        """The cursor comes into a pane; empty: it leaves."""
        before = self.entered
        if before is not None and before.id != name:
            before.enter(False)
        self.way.pane = name
        if self.entered is not None:
            self.entered.enter(True, target)

    def _next_pane(self, by: int) -> None:
        names = ["", *(str(one.id) for one in self.panes())]
        here = names.index(self.way.pane) if self.way.pane in names else 0
        self.enter(names[(here + by) % len(names)])
        if len(names) == 1:
            self.say("nothing on this screen has anything behind it now")

    def action_focus_next(self) -> None:
        """The cursor goes into the next pane; in a form the next field."""
        if self.screen is self.base and not self.prompt.asks:
            self._next_pane(1)
        else:
            self.screen.focus_next()

    def action_focus_previous(self) -> None:
        """The same the other way round."""
        if self.screen is self.base and not self.prompt.asks:
            self._next_pane(-1)
        else:
            self.screen.focus_previous()

    def action_move(self, by: int) -> None:
        """The cursor of the pane, else the next device of the table, or point of the device."""
        if self.entered is not None:
            self.entered.step(0, by)
        elif self.shown == "device":
            self.action_point(by)
        elif self.shown == "fleet":
            self.base.query_one(FleetTable).move(by)

    def action_point(self, by: int) -> None:
        """The cursor of the pane, else the next point."""
        if self.entered is not None:
            self.entered.step(by, 0)
        elif self.plan is not None:
            self.chosen.point = (self.chosen.point + by) % len(self.plan.devices[self.chosen.device].points)
            self.redraw()

    # ---- there -----------------------------------------------------------------------------------
    def action_show(self, name: str) -> None:
        """Another screen, from the beginning: nothing is behind it to go back to."""
        self.way.places.clear()
        self._show(name)

    def _show(self, name: str, pane: str = "", target: Hashable = None) -> None:
        self.enter("")
        self.base.query_one("#panes", ContentSwitcher).current = WIDGETS.get(name, name)
        self.redraw()
        if pane:
            # it is laid out only then
            self.call_after_refresh(self._enter_there, name, pane, target)

    def _enter_there(self, name: str, pane: str, target: Hashable) -> None:
        if self.shown == name and not self.way.pane:
            self.enter(pane, target)

    def action_open(self) -> None:
        """What is under the cursor; without one the chosen device."""
        pane = self.entered
        under = None if pane is None else pane.under()
        if under is not None:
            self.open_target(under[1].target)
        elif self.shown == "fleet":
            self.open_target(ToDevice(self.chosen.device))

    def pointed(self, pane: Pane, spot: Spot) -> None:
        """Somebody pointed at a thing: as the cursor on it, and Enter."""
        self.enter(str(pane.id), spot.target)
        self.open_target(spot.target)

    def open_device(self, index: int) -> None:
        """Look at this one."""
        self.open_target(ToDevice(index))

    def open_target(self, target: Hashable) -> None:
        """What is behind a thing; where one was is remembered."""
        if self.plan is None:
            return
        self.way.places.append(self._here())
        opened: Any = target
        self._open(opened)

    def _open(self, target: Target) -> None:
        closer, name = self.way.closer, "gateway"
        if isinstance(target, ToExpectation):
            name, closer = "expectation", replace(closer, expectation=target.number)
        elif isinstance(target, ToWindow):
            name = "window"
            closer = replace(
                closer, expectation=target.expectation, from_ns=target.from_ns, to_ns=target.to_ns
            )
        elif isinstance(target, ToSample):
            name, closer = "sample", replace(closer, sample=target.sample)
        elif isinstance(target, ToComponent):
            name, closer = "component", replace(closer, component=target.name)
        elif isinstance(target, ToDevice):
            name = "device"
            self.choose(target.index)
        elif isinstance(target, ToFleet):
            name = "fleet"
            self.base.query_one(FleetTable).filter(target.name)
        self.way.closer = closer
        self._show(name, FIRST.get(name, ""))

    def choose(self, index: int) -> None:
        """This device is looked at."""
        if index != self.chosen.device:
            self.chosen = Chosen(index)

    # ---- and back --------------------------------------------------------------------------------
    def _here(self) -> Place:
        under = None if self.entered is None else self.entered.under()
        return Place(
            self.shown,
            self.way.pane,
            None if under is None else under[1].target,
            self.way.closer,
            self.chosen.device,
            self.chosen.point,
            self.base.query_one(FleetTable).wanted,
        )

    def action_leave(self) -> None:
        """Nothing is asked any more; else back to where one came from; else the cursor leaves its pane."""
        if self.prompt.asks or self.prompt.said[1] == BAD:
            if self.prompt.said[1] == BAD:
                self.say("")
            self.prompt.leave()
        elif self.way.places:
            place = self.way.places.pop()
            self.way.closer = place.closer
            self.chosen = Chosen(place.device, place.point)
            self.base.query_one(FleetTable).filter(place.wanted)
            self._show(place.shown, place.pane, place.target)
        else:
            self.enter("")
            if self.shown in PAGES:
                self.action_show("overview")
