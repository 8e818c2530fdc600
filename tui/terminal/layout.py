"""Which panes each screen has, and the line of tabs above and the strip of time below them.

Belongs here: widgets and their titles. Never: where they lie at which size (app.tcss), what they show
(screens/), what a key does (app.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

from rich.text import Text
from textual import events
from textual.containers import Container
from textual.geometry import Size
from textual.widget import Widget

from twinloop.tui.drawing.pane import Pane
from twinloop.tui.drawing.spots import Spot
from twinloop.tui.drawing.text import part
from twinloop.tui.engine.messages import Ready, View
from twinloop.tui.screens import (
    beside,
    closer,
    device,
    expectation,
    gateway,
    heat,
    latency,
    overview,
    sample,
    spots,
    strip,
    trouble,
)
from twinloop.tui.screens.beside import Side
from twinloop.tui.screens.closer import Closer
from twinloop.tui.screens.finding import log
from twinloop.tui.screens.finding.log import LogReader
from twinloop.tui.screens.fleet_table import FleetTable, TableOwner
from twinloop.tui.terminal.keys import ABOUT, KEYS, help_lines

Make = Callable[[Ready, View, int, int], list[Text]]
Click = Callable[[int, int], None] | None
Find = Callable[[Ready, View, int, int], list[Spot]]
STRIP_LOW, STRIP_HIGH = 2, 10
"""lines of the strip in a low window, and at most in a high one"""
WIDE, HUGE = 110, 180
"""cells of a window from which panes lie side by side, in two columns and in three"""
LOAD = "Load of cores, lines and links"
STAGES_LEAST, LOAD_LEAST = 12, 11
"""lines that stages need, and that curves of the load are worth"""
LEAST = 5
"""lines of a pane that is worth its border"""
HIGH = 30
"""lines of a window from which the strip has a border and more lines"""
SHARE = 6
"""of a window's lines the strip may have one in so many"""


class Owner(TableOwner, Protocol):
    """What panes need of their application."""

    @property
    def point(self) -> int:
        """Which point of the device."""
        ...

    def instead(self, width: int) -> list[Text]:
        """What is to be said in place of a view; empty: there is one."""
        ...

    @property
    def cloud(self) -> bool:
        """Is it the latency to the cloud that is shown?"""
        ...

    def drawn(self, make: Make, width: int, height: int) -> list[Text]:
        """Lines, or what is to be said in their place."""
        ...

    @property
    def closer(self) -> Closer:
        """What is looked at closer."""
        ...

    def pointed(self, pane: Pane, spot: Spot) -> None:
        """Somebody pointed at a thing with something behind it."""
        ...

    def open_device(self, index: int) -> None:
        """Look at this one."""
        ...

    def click_point(self, line: int, height: int) -> None:
        """The point on that line."""
        ...

    def move_to(self, at_ns: int) -> None:
        """The clock's hand to an instant."""
        ...

    @property
    def reader(self) -> LogReader:
        """Who reads the log."""
        ...

    @property
    def size(self) -> Size:
        """Of the window."""
        ...

    def move_in_log(self, by: int) -> None:
        """So many lines on."""
        ...

    def jump(self) -> None:
        """The clock goes to the chosen line."""
        ...

    def redraw(self) -> None:
        """What is others than before."""
        ...

    @property
    def moved(self) -> dict[str, int]:
        """Screen -> its first line that is seen, of those that are read by moving in them."""
        ...

    def heads(self, width: int, _: int) -> list[Text]:
        """Of two runs."""
        ...

    def drawn_beside(
        self, make: Callable[[Side, Side, int, int], list[Text]], width: int, height: int
    ) -> list[Text]:
        """Lines about two runs."""
        ...


class Strip(Pane):
    """The strip of time; its hand can be dragged."""

    def __init__(self, owner: Owner) -> None:
        self._owner, self._ghost_ns = owner, -1
        super().__init__("strip", "Time", self._made, owner.spent)

    def _made(self, width: int, height: int) -> list[Text]:
        def make(plan: Ready, view: View, w: int, h: int) -> list[Text]:
            return strip.lines(plan, view, w, h, self._ghost_ns)

        return self._owner.drawn(make, width, height)[:height]

    def _look_at(self, event: events.MouseEvent) -> None:
        place = event.get_content_offset_capture(self)
        if self._owner.plan is not None:
            self._ghost_ns = strip.instant(self._owner.plan, self.size.width, place.x)
            self.redraw()

    def on_mouse_down(self, event: events.MouseDown) -> None:
        """The hand is taken."""
        self.capture_mouse()
        self._look_at(event)

    def on_mouse_move(self, event: events.MouseMove) -> None:
        """It is dragged."""
        if self._ghost_ns >= 0:
            self._look_at(event)

    def on_mouse_up(self, event: events.MouseUp) -> None:
        """It is let go: there the clock goes."""
        at_ns, self._ghost_ns = self._ghost_ns, -1
        self.release_mouse()
        if at_ns >= 0:
            self._owner.move_to(at_ns)
        self.redraw()


def strip_lines(plan: Ready | None, view: View | None, height: int) -> int:
    """Lines of the strip with its border, in a window of so many."""
    if height < HIGH:
        return STRIP_LOW
    return 2 + max(2, min(STRIP_HIGH, height // SHARE, strip.wanted(plan, view)))


def overview_rows(plan: Ready, view: View, width: int, height: int) -> dict[str, int]:
    """Lines of each pane of the overview in a window ``width`` wide that has ``height`` lines for it, at
    least 1; panes that aren't named aren't shown.

    Which column a pane falls into follows from these (app.tcss): the grid fills the next free cell, so of two
    panes side by side the one to the left must be the higher.
    """
    wanted = _overview_wanted(plan, view, width, height)
    return {name: min(lines, height) for name, lines in wanted.items() if lines > 0}


def _overview_wanted(plan: Ready, view: View, width: int, height: int) -> dict[str, int]:
    """The same; 0 and less in a window that has no line for a pane."""
    wide, huge = width >= WIDE, width >= HUGE
    expect = 2 + max(1, len(view.verdicts)) * (2 if wide else 1)
    plant = 2 + overview.plant_wanted(plan, view, width * 9 // 14 if wide else width - 2)
    if not wide:
        least = min(expect, max(5, height // 3))
        plant = min(plant, height - least)
        if height - plant - least >= LEAST:
            return {"plant": plant, "expect": least, "log": height - plant - least}
        least = min(expect, height - plant)
        return {"plant": height - least, "expect": least}
    expect = min(expect, height // 2)
    plant = min(max(plant, expect + 1), height - LEAST)
    if not huge:
        return {"plant": plant, "expect": expect, "p99": height - expect, "log": height - plant}
    all_devices = max(expect + 1, min(2 + heat.wanted(plan, width * 6 // 21), height // 2))
    plant = min(max(plant, all_devices + 1), height - LEAST)
    rows = {
        "plant": plant,
        "expect": expect,
        "heat": all_devices,
        "p99": height - expect,
        "where": height - all_devices,
        "log": height - plant,
    }
    where = max(
        STAGES_LEAST, plant - all_devices + 1
    )  # the grid fills the log's place before that of the load
    if height - all_devices - where >= LOAD_LEAST:
        rows |= {"where": where, "busy": height - all_devices - where}
    return rows


def screens(owner: Owner) -> Iterator[Widget]:
    """A container a screen, each with its panes in the order in which they are laid out."""

    def pane(name: str, title: str, make: Make, click: Click = None, find: Find | None = None) -> Pane:
        spots = None if find is None else _finding(owner, find)
        return Pane(
            name, title, lambda w, h: owner.drawn(make, w, h), owner.spent, click, spots, owner.pointed
        )

    def of_device(name: str, title: str, make: Callable[..., list[Text]], pointed: bool = True) -> Pane:
        def made(plan: Ready, view: View, w: int, h: int) -> list[Text]:
            more = (owner.point,) if pointed else ()
            return make(plan, view, w, h, owner.device, *more)

        return pane(name, title, made, owner.click_point if make is device.points else None)

    def percentiles(plan: Ready, view: View, w: int, h: int) -> list[Text]:
        return latency.over_time(plan, view, w, h, owner.cloud)

    def curve(plan: Ready, view: View, w: int, h: int) -> list[Spot]:
        return spots.curve(plan, view, w, h, owner.cloud)

    yield Container(
        pane("plant", "Plant", overview.plant_lines, find=spots.fleets_and_gateways),
        pane("expect", "Expectations", overview.expectations, find=spots.expectations),
        HeatPane("heat", owner),
        pane("p99", latency.title(False), percentiles, find=curve),
        pane("where", "Where the time goes", latency.stages, find=spots.stages),
        pane("log", "What happened", overview.log_lines),
        pane("busy", LOAD, gateway.load),
        id="overview",
    )
    yield Container(
        Container(FleetTable(owner), id="fleet-table"),
        of_device("fleet-points", "Device", device.points),
        of_device("fleet-trend", "Trend", device.trend),
        HeatPane("fleet-heat", owner),
        id="fleet",
    )
    yield Container(
        of_device("points", "Points", device.points),
        of_device("trend", "Trend", device.trend),
        of_device("frames", "Frames", device.frames, pointed=False),
        id="device",
    )
    yield Container(
        pane("gateways", "Gateways", gateway.gateways),
        pane("load", LOAD, gateway.load),
        pane("components", "Components", gateway.components, find=spots.components),
        pane("gateway-stages", "Where the time goes", latency.stages, find=spots.stages),
        pane("gateway-log", "What happened", overview.log_lines),
        id="gateway",
    )
    yield Container(
        pane("stages", "Stages", latency.stages, find=spots.stages),
        pane("percentiles", latency.title(False), percentiles, find=curve),
        pane("slowest", "Slowest samples", latency.slowest, find=spots.slowest),
        id="latency",
    )
    yield Container(
        pane("done", "What was done", trouble.done),
        pane("coming", "What is coming", trouble.coming),
        pane("trouble-log", "What happened", overview.log_lines),
        id="trouble",
    )
    yield Container(LogPane(owner), id="log-screen")
    yield from beside_screen(owner)
    yield from _pages(owner)
    yield _help(owner)


def _help(owner: Owner) -> Widget:
    def keys(width: int, height: int) -> list[Text]:
        return part(help_lines(KEYS, width), owner.moved.get("help", 0), height)

    return Container(
        Pane("keys", "Keys", keys, owner.spent),
        Pane("about", "What it means", lambda w, _: help_lines(ABOUT, w), owner.spent),
        id="help",
    )


def _finding(owner: Owner, find: Find) -> Callable[[int, int], list[Spot]]:
    def found(width: int, height: int) -> list[Spot]:
        if owner.plan is None or owner.view is None or owner.instead(width):
            return []
        return find(owner.plan, owner.view, width, height)

    return found


def _pages(owner: Owner) -> Iterator[Widget]:
    """What no key leads to: one comes there from a figure."""

    def page(
        name: str,
        title: str,
        make: Callable[..., list[Text]],
        find: Callable[..., list[Spot]] | None = None,
        heads: int = -1,
    ) -> Pane:
        def made(width: int, height: int) -> list[Text]:
            return owner.drawn(lambda plan, view, w, h: make(plan, view, w, h, owner.closer), width, height)

        def close(plan: Ready, view: View, width: int, height: int) -> list[Spot]:
            return [] if find is None else find(plan, view, width, height, owner.closer)

        spots = None if find is None else _finding(owner, close)
        return Pane(name, title, made, owner.spent, None, spots, owner.pointed, heads)

    yield Container(
        page("expectation-about", "Expectation", expectation.about),
        page("expectation-curve", "Over time", expectation.over_time, expectation.curve_spots),
        page("moments", "Worst moments", expectation.moments, expectation.moment_spots, 1),
        id="expectation",
    )
    yield Container(
        page("window-samples", "Samples that stand out", closer.window, closer.window_spots, 1), id="window"
    )
    yield Container(
        page("sample-about", "Sample", sample.about, sample.about_spots),
        page("sample-way", "Its way", sample.way, sample.way_spots, 1),
        page("sample-calls", "Calls of components", sample.calls, sample.call_spots, 1),
        page("sample-frames", "Frames", sample.frames, sample.frame_spots, 0),
        id="sample",
    )
    yield Container(page("component-about", "Component", closer.component), id="component")


def beside_screen(owner: Owner) -> Iterator[Widget]:
    """Two runs; where there is room for one column only, fleets stand below the expectations."""

    def pane(name: str, title: str, make: Callable[[Side, Side, int, int], list[Text]]) -> Pane:
        return Pane(name, title, lambda w, h: owner.drawn_beside(make, w, h), owner.spent)

    def table(one: Side, other: Side, w: int, h: int) -> list[Text]:
        if owner.size.width >= WIDE:
            return beside.expectations(one, other, w, h)
        return part(beside.figures(one, other, w, h), owner.moved.get("beside", 0), h)

    yield Container(
        Pane("beside-heads", "Two runs", owner.heads, owner.spent),
        pane("beside-expect", "Expectations", table),
        pane("beside-here", "Latency at the gateway, this run", beside.curve),
        pane("beside-fleets", "Wrong points by fleet", beside.fleets),
        pane("beside-there", "The same, beside", lambda one, other, w, h: beside.curve(other, one, w, h)),
        id="beside",
    )


class LogPane(Pane):
    """The log; the wheel moves in it, a click chooses a line, a second one sends the clock there."""

    def __init__(self, owner: Owner) -> None:
        self._owner = owner

        def make(plan: Ready, view: View, w: int, h: int) -> list[Text]:
            return log.lines(owner.reader.look(), w, h)

        super().__init__("lines", "Log", lambda w, h: owner.drawn(make, w, h), owner.spent)

    def on_mouse_scroll_down(self, _: events.MouseScrollDown) -> None:
        """Three lines on."""
        self._owner.move_in_log(3)

    def on_mouse_scroll_up(self, _: events.MouseScrollUp) -> None:
        """Three lines back."""
        self._owner.move_in_log(-3)

    def on_click(self, event: events.Click) -> None:
        """That line."""
        place = event.get_content_offset(self)
        rows = log.rows(self._owner.reader.look(), self.size.width, self.size.height)
        line = rows[place.y][0] if place is not None and place.y < len(rows) else None
        if line is None:
            return
        if event.chain > 1:  # the first click has chosen it, and others may stand below the mouse now
            self._owner.jump()
            return
        self._owner.reader.choose(line)
        self._owner.redraw()


class HeatPane(Pane):
    """All devices; a click looks at one."""

    def __init__(self, name: str, owner: Owner) -> None:
        self._owner = owner
        super().__init__(
            name,
            "All devices",
            lambda w, h: owner.drawn(heat.lines, w, h),
            owner.spent,
            spots=_finding(owner, spots.devices),
        )

    def on_click(self, event: events.Click) -> None:
        """That device."""
        place, plan = event.get_content_offset(self), self._owner.plan
        if place is None or plan is None:
            return
        found = heat.device_at(plan, self.size.width, place.x, place.y)
        if found is not None:
            self._owner.open_device(found)
