"""The terminal at a process that serves: the same screens, and nothing that would command a run.

Belongs here: which panes there are, and what keys say. Never: lines (panes.py), the connection (feed.py).
"""

from __future__ import annotations

import textwrap
from collections.abc import Hashable, Iterator
from pathlib import Path
from typing import Any, cast

from rich.text import Text
from textual.containers import Container
from textual.widget import Widget

from twinloop.tui.drawing.look import BAD, GOOD, LATE
from twinloop.tui.drawing.pane import Pane
from twinloop.tui.drawing.text import DIM, HEAD, WARN, clock_text, fit, part, time_text
from twinloop.tui.engine.feed import Feed
from twinloop.tui.engine.messages import Ready, View
from twinloop.tui.live import panes
from twinloop.tui.live.facts import Seen
from twinloop.tui.live.feed import READ_ONLY, Address, LiveFeed
from twinloop.tui.live.table import ServedTable
from twinloop.tui.screens import device, overview, trouble
from twinloop.tui.screens.targets import ToDevice, ToFleet, ToGateway
from twinloop.tui.terminal import head
from twinloop.tui.terminal.app import Twinloop
from twinloop.tui.terminal.keys import ABOUT, KEYS, help_lines
from twinloop.tui.terminal.layout import LogPane, Make
from twinloop.tui.terminal.pace import LATE_NS


class Attached(Twinloop):
    """Looks on at one address."""

    CSS_PATH = "../terminal/app.tcss"

    def __init__(self, at: Address) -> None:
        super().__init__(Path(at.shown), None, lambda file, seed: cast("Feed", LiveFeed(at)))
        self._at = at

    # ---- what is drawn ---------------------------------------------------------------------------
    def screens(self) -> Iterator[Widget]:
        """The panes of a run where they have a meaning here; the others say that they have none."""

        def pane(name: str, title: str, make: Make) -> Pane:
            return Pane(name, title, lambda w, h: self.drawn(make, w, h), self.spent)

        def nothing(name: str, title: str, what: str) -> Pane:
            return pane(name, title, lambda plan, view, w, h: panes.unseen(what, w)[:h])

        yield Container(
            pane("plant", "Plant", panes.plant),
            pane("expect", "Expectations", panes.expectations),
            pane("heat", "What is wrong", panes.trouble),
            pane("p99", "Requests a second", panes.requests),
            pane("where", "Your gateway", panes.gateway),
            pane("log", "What happened", overview.log_lines),
            id="overview",
        )
        yield Container(
            Container(ServedTable(self), id="fleet-table"),
            self._points("fleet-points"),
            self._trend("fleet-trend"),
            pane("fleet-heat", "What is wrong", panes.trouble),
            id="fleet",
        )
        yield Container(
            self._points("points"),
            self._trend("trend"),
            pane("frames", "Frames", lambda plan, view, w, h: device.frames(plan, view, w, h, self.device)),
            id="device",
        )
        yield Container(
            pane("gateways", "Your gateway", panes.gateway),
            nothing("components", "Components", "components"),
            nothing("gateway-stages", "Where the time goes", "stages"),
            pane("gateway-log", "What happened", overview.log_lines),
            id="gateway",
        )
        yield Container(
            pane("stages", "Latency", panes.cloud),
            pane("percentiles", "Requests a second", panes.requests),
            nothing("slowest", "Slowest samples", "slowest"),
            id="latency",
        )
        yield Container(
            pane("done", "What has begun", trouble.done),
            pane("coming", "What is coming", trouble.coming),
            pane("trouble-log", "What happened", overview.log_lines),
            id="trouble",
        )
        yield Container(LogPane(self), id="log-screen")
        yield Container(
            Pane("keys", "Keys", self._help, self.spent),
            Pane("about", "What it means", lambda w, _: help_lines(ABOUT, w), self.spent),
            id="help",
        )

    def _help(self, width: int, height: int) -> list[Text]:
        return part(
            [Text(READ_ONLY, style=WARN), *help_lines(KEYS, width)], self.moved.get("help", 0), height
        )

    def _points(self, name: str) -> Pane:
        def made(plan: Ready, view: View, w: int, h: int) -> list[Text]:
            return device.points(plan, view, w, h, self.device, self.point)

        return Pane(name, "Device", lambda w, h: self.drawn(made, w, h), self.spent, self.click_point)

    def _trend(self, name: str) -> Pane:
        def made(plan: Ready, view: View, w: int, h: int) -> list[Text]:
            return device.trend(plan, view, w, h, self.device, self.point)

        return Pane(name, "Trend", lambda w, h: self.drawn(made, w, h), self.spent)

    def top(self, width: int) -> Text:
        """The first line: what is served, its time, and whether anything newer is known."""
        plan, view = self.plan, self.view
        if self.problem:
            return Text.assemble(
                ("twinloop  ", HEAD), f"{self._at.shown}  ", (f"{BAD.sign} not attached", BAD.style)
            )
        if plan is None or not isinstance(view, Seen):
            return Text(f"twinloop  {self._at.shown}  connecting...", style=HEAD)
        now = view.snapshot.now_ns
        when = f"begins in {time_text(-now // 10**9 * 10**9)}" if now < 0 else clock_text(now)
        name = fit(plan.name, 20 if width < 100 else min(40, len(plan.name)))
        left = Text.assemble((name, HEAD), (f" seed {plan.seed}  ", DIM), (when, HEAD), "  ", *_state(view))
        right = head.standing(view) if view.mode != "over" else Text("")
        gap = width - left.cell_len - right.cell_len
        return Text.assemble(left, " " * gap, right) if gap > 0 else left

    def instead(self, width: int) -> list[Text]:
        """What there is to see while nothing is known."""
        if self.problem:
            return [
                Text(f"{BAD.sign} Nothing can be seen of it:", style=BAD.style),
                *(Text(part) for part in textwrap.wrap(self.problem, max(10, width))),
                Text(""),
                Text("r connects again, q quits", style=DIM),
            ]
        if self.plan is None or self.view is None:
            return [Text("connecting...", style=DIM)]
        return []

    # ---- what keys do ----------------------------------------------------------------------------
    def _in_other_hands(self, *_: Any, **__: Any) -> None:
        """What would command the run."""
        self.say(READ_ONLY, WARN)

    def _unseen(self) -> None:
        """What would show figures of a gateway of ours."""
        self.say("your gateway isn't seen from here: there is nothing of the kind to show", WARN)

    def open_target(self, target: Hashable) -> None:
        """Devices and their table are there; what lies behind other figures is in a run."""
        if isinstance(target, ToDevice | ToFleet | ToGateway):
            super().open_target(target)
        else:
            self._unseen()


COMMANDS = (
    "action_play", "action_step_event", "action_step", "action_faster", "action_flat_out", "action_run_until",
    "action_go_to", "action_entry", "action_rewind", "action_undo", "action_beginning", "move_to",
    "action_do", "action_type", "action_save", "action_edit", "action_favourites", "action_beside",
    "action_show_beside",
)  # fmt: skip
"""what would command a run"""
UNSEEN = ("action_levels", "action_percentiles")
"""what would show figures of a gateway of ours"""
for _name in COMMANDS:
    setattr(Attached, _name, Attached._in_other_hands)
for _name in UNSEEN:
    setattr(Attached, _name, Attached._unseen)


def _state(view: Seen) -> list[tuple[str, str]]:
    """Sign, words, style of how it goes."""
    if view.mode == "over":
        return head.ended(view) if view.verdict else [("■ serve has ended", LATE.style)]
    if view.lost:
        return [(f"{BAD.sign} {view.lost}", BAD.style)]
    late = [(f" {LATE.sign} {time_text(view.lag_ns)} late", LATE.style)] if view.lag_ns > LATE_NS else []
    return [("▶ served, you look on", GOOD.style), *late]
