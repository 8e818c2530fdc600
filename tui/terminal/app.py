"""The terminal's application: keys, the clock, screens, the form for trouble.

Belongs here: what a key does. Never: what a screen shows (screens/), how a run goes (engine.py). Everything
that a key does goes to the engine as a message; what is drawn is the newest view.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, ClassVar

from rich.text import Text
from textual.app import App, ComposeResult, ScreenStackError, SystemCommand
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import Screen
from textual.widgets import ContentSwitcher, Footer, Input, Static

from twinloop.scenarios.file.load import LIBRARY
from twinloop.scenarios.planning.entries import parse_entry
from twinloop.scenarios.text.errors import ScenarioError
from twinloop.scenarios.text.units import duration
from twinloop.tui.drawing.pane import Pane
from twinloop.tui.drawing.text import (
    BAD,
    OK,
    ON_DARK,
    ON_LIGHT,
)
from twinloop.tui.engine.feed import Feed
from twinloop.tui.engine.messages import (
    Died,
    Do,
    Done,
    LogLine,
    Look,
    Pause,
    Play,
    Ready,
    Refused,
    Reply,
    Rewind,
    RunTo,
    RunUntil,
    Save,
    StepEvent,
    View,
    Wrong,
)
from twinloop.tui.screens import device, gateway, latency, overview, trouble
from twinloop.tui.screens.fleet_table import FleetTable
from twinloop.tui.screens.kind_chooser import KindChooser
from twinloop.tui.screens.trouble_form import TroubleForm
from twinloop.tui.terminal import head
from twinloop.tui.terminal.keys import BINDINGS, HELP
from twinloop.tui.terminal.pace import FASTEST_S, SPEEDS, Redraws
from twinloop.tui.terminal.prompt import Prompt

LOG_LINES = 500
"""that a screen may show"""
SECOND = 1_000_000_000


@dataclass
class Chosen:
    """Which device is looked at, and which of its points."""

    device: int = 0
    point: int = 0


class Twinloop(App[int]):
    """One scenario, played by the engine that ``start`` starts."""

    TITLE = "twinloop"
    CSS_PATH = "app.tcss"
    AUTO_FOCUS = ""
    BINDINGS: ClassVar[list[BindingType]] = [*BINDINGS]

    def __init__(
        self, file: Path, seed: int | None = None, start: Callable[[Path, int | None], Feed] = Feed
    ) -> None:
        super().__init__()
        self.ansi_theme_dark, self.ansi_theme_light = ON_DARK, ON_LIGHT
        self.file, self.seed, self._start = file, seed, start
        self.plan: Ready | None = None
        self.view: View | None = None
        self._ended: Refused | Died | None = None
        """the engine can't run it, or has died"""
        self.report = ""
        self.log_lines: list[LogLine] = []
        self.chosen = Chosen()
        self._speed = SPEEDS.index(Fraction(1))
        self.prompt = Prompt(lambda: self.base if self.there else None)
        self.pace = Redraws()
        self.feed = start(file, seed)

    def compose(self) -> ComposeResult:
        """Head, panes, a line to type in, keys."""
        yield Static(id="head")
        yield Static(id="tabs")
        with ContentSwitcher(initial="overview", id="panes"):
            yield Pane("overview", lambda w, h: self._drawn(overview.lines, w, h), self.spent)
            with Vertical(id="fleet"):
                yield FleetTable(self)
            yield Pane("device", self._device, self.spent, self.click_point)
            yield Pane("gateway", lambda w, h: self._drawn(gateway.lines, w, h), self.spent)
            yield Pane("latency", lambda w, h: self._drawn(latency.lines, w, h), self.spent)
            yield Pane("trouble", lambda w, h: self._drawn(trouble.lines, w, h), self.spent)
            yield Static(Text(HELP), id="help")
        yield Static(id="said")
        yield Input(id="ask", classes="hidden", disabled=True)
        yield Footer()

    def on_mount(self) -> None:
        """The engine is on its way."""
        self._tick()

    @property
    def base(self) -> Screen[Any]:
        """The screen under whatever asks something."""
        return self.screen_stack[0]

    @property
    def there(self) -> bool:
        """Not on its way in, or out."""
        try:
            return bool(self.base.query("#head"))
        except (ScreenStackError, IndexError):
            return False

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        """The keys, by name; then Textual's own."""
        for binding in self.BINDINGS:
            if isinstance(binding, Binding) and binding.description:
                yield SystemCommand(
                    binding.description,
                    f"key {binding.key_display or binding.key}",
                    self._doing(binding.action),
                )
        yield from super().get_system_commands(screen)

    def _doing(self, action: str) -> Callable[[], Any]:
        return lambda: self.run_action(action)

    # ---- drawing ---------------------------------------------------------------------------------
    def _tick(self) -> None:
        """Take what came, draw it, ask for the next view; slower when drawing is slow."""
        if not self.there:  # on its way in, or out
            self.set_timer(FASTEST_S, self._tick)
            return
        began = time.perf_counter()
        for reply in self.feed.take():
            self._took(reply)
        if self.plan is not None and not self.problem:
            self.feed.look(
                Look(self.chosen.device, self.log_lines[-1].number if self.log_lines else 0, self._rows())
            )
        self.pace.spent(time.perf_counter() - began)
        self.set_timer(self.pace.next_s(), self._tick)

    def spent(self, seconds: float) -> None:
        """On drawing a pane."""
        self.pace.spent(seconds)

    @property
    def device(self) -> int:
        """Which device is looked at."""
        return self.chosen.device

    def _rows(self) -> tuple[int, ...]:
        return self.base.query_one(FleetTable).seen() if self.shown == "fleet" else ()

    def _took(self, reply: Reply) -> None:
        form = self.screen if isinstance(self.screen, TroubleForm) else None
        if isinstance(reply, Ready):
            self.plan, self._ended = reply, None
        elif isinstance(reply, View):
            if self.view is not None and reply.rewind.count != self.view.rewind.count:
                self.log_lines = []  # it went back: what happened is asked for anew
            else:
                self.log_lines = [*self.log_lines, *reply.log][-LOG_LINES:]
            self.view = reply
            self.redraw()
        elif isinstance(reply, Refused | Died):
            self._ended = reply
            if form is not None:
                form.action_leave()
            self.redraw()
        elif isinstance(reply, Done):
            self.say(reply.text, OK)
            if form is not None:
                form.action_leave()
        elif isinstance(reply, Wrong) and form is not None:
            form.refused(reply.text)
        elif isinstance(reply, Wrong):
            self.say(reply.text, BAD)

    def redraw(self) -> None:
        """Head and the pane that is seen."""
        if not self.there:
            return
        top = head.head(str(self.file), self._ended, self.plan, self.view)
        self.base.query_one("#head", Static).update(top)
        self.base.query_one("#tabs", Static).update(head.tabs(self.shown))
        switcher = self.base.query_one("#panes", ContentSwitcher)
        if switcher.visible_content is not None:
            for widget in (switcher.visible_content, *switcher.visible_content.children):
                widget.refresh()

    def instead(self, width: int) -> list[Text]:
        """What there is to see when there is no view to show; nothing when there is one."""
        return head.instead(self._ended, self.plan, self.view, width)

    @property
    def problem(self) -> str:
        """Why it can't be run, or how the engine died; empty: neither."""
        return "" if self._ended is None else self._ended.text

    def _drawn(
        self, make: Callable[[Ready, View, int, int], list[Text]], width: int, height: int
    ) -> list[Text]:
        instead = self.instead(width)
        if instead or self.plan is None or self.view is None:
            return instead
        return make(self.plan, replace(self.view, log=tuple(self.log_lines)), width, height)

    def _device(self, width: int, height: int) -> list[Text]:
        return self._drawn(
            lambda plan, view, w, h: device.lines(plan, view, w, h, self.chosen.device, self.chosen.point),
            width,
            height,
        )

    def say(self, text: str, style: str = "") -> None:
        """One line, until the next."""
        self.prompt.say(text, style)

    # ---- screens ---------------------------------------------------------------------------------
    def action_show(self, name: str) -> None:
        """Another pane."""
        self.base.query_one("#panes", ContentSwitcher).current = name
        self.redraw()

    @property
    def shown(self) -> str:
        """Which pane."""
        return str(self.base.query_one("#panes", ContentSwitcher).current)

    def action_move(self, by: int) -> None:
        """The next device of the table, or point of the device."""
        if self.shown == "device":
            self.action_point(by)
        elif self.shown == "fleet":
            self.base.query_one(FleetTable).move(by)

    def action_point(self, by: int) -> None:
        """The next point."""
        if self.plan is not None:
            self.chosen.point = (self.chosen.point + by) % len(self.plan.devices[self.chosen.device].points)
            self.redraw()

    def click_point(self, line: int, height: int) -> None:
        """The point on that line of the device's pane."""
        if self.plan is not None:
            found = device.point_at(self.plan, self.chosen.device, self.chosen.point, height, line)
            if found is not None:
                self.chosen.point = found
                self.redraw()

    def action_open(self) -> None:
        """The chosen device."""
        if self.shown == "fleet":
            self.action_show("device")

    def choose(self, index: int) -> None:
        """This device is looked at."""
        if index != self.chosen.device:
            self.chosen = Chosen(index)

    def action_sort(self) -> None:
        """By the next column."""
        self.base.query_one(FleetTable).sort()

    # ---- the clock -------------------------------------------------------------------------------
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
            self.feed.send(RunTo(max(0, self.view.snapshot.now_ns) + SECOND))

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
        now = max(0, self.view.snapshot.now_ns) if self.view is not None else 0
        self.prompt.ask("to which instant, e.g. 90 s", f"{now / 1e9:g} s", self._go_to)

    def _go_to(self, text: str) -> None:
        try:
            at_ns = duration(text)
        except ValueError as error:
            self.say(str(error), BAD)
            return
        if self.view is not None and at_ns <= self.view.rewind.goal_ns:
            self._back_to(at_ns)
        else:
            self.feed.send(RunTo(at_ns))

    def _back_to(self, at_ns: int) -> None:
        self.feed.send(Rewind(max(0, at_ns)))

    def action_rewind(self, seconds: int) -> None:
        """So many seconds back."""
        if self.view is not None:
            self._back_to(self.view.rewind.goal_ns - seconds * SECOND)

    def action_beginning(self) -> None:
        """To 0."""
        self._back_to(0)

    # ---- typing ----------------------------------------------------------------------------------
    def on_input_submitted(self, event: Input.Submitted) -> None:
        """What was asked for."""
        self.prompt.submitted(event.value)

    def action_leave(self) -> None:
        """Nothing is asked any more."""
        self.prompt.leave()

    def action_do(self) -> None:
        """A form, for what is seen."""
        if self.plan is None or self.problem:
            return
        verb, target = "cut", ""
        if self.shown in ("fleet", "device"):
            verb, target = "device-fault", self.plan.devices[self.chosen.device].name
        elif self.shown == "gateway":
            verb, target = "crash", self.plan.gateways[0].name
        self.push_screen(TroubleForm(self.plan, lambda entry: self.feed.send(Do(entry)), verb, target))

    def action_type(self) -> None:
        """An entry of a timeline, now."""
        self.prompt.ask("an entry, e.g. cut: cloud, for: 20 s", "", self._do)

    def _do(self, text: str) -> None:
        try:
            self.feed.send(Do(parse_entry(text)))
        except ScenarioError as error:
            self.say(error.text, BAD)

    def action_save(self) -> None:
        """The session as a scenario: beside its file, or here when that is a shipped one."""
        folder = Path() if self.file.is_relative_to(LIBRARY) else self.file.parent
        self.prompt.ask(
            "save as",
            str(folder / f"{self.file.stem}-live.yaml"),
            lambda target: self.feed.send(Save(target)),
        )

    def action_filter(self) -> None:
        """Only devices whose name, fleet or protocol has this."""
        self.action_show("fleet")
        self.prompt.ask(
            "devices with", self.base.query_one(FleetTable).wanted, self.base.query_one(FleetTable).filter
        )

    def action_reload(self) -> None:
        """The file again, from the beginning."""
        self.feed.close()
        self.plan = self.view = None
        self._ended, self.log_lines = None, []
        self.chosen = Chosen()  # it may have fewer devices now
        self.feed = self._start(self.file, self.seed)
        self.redraw()

    def action_toggle_dark(self) -> None:
        """Dark and light."""
        self.theme = "textual-light" if self.theme != "textual-light" else "textual-dark"

    async def action_quit(self) -> None:
        """The report stays on the terminal."""
        self.report = self.feed.left(self.size.width) if self.plan is not None and not self.problem else ""
        self.exit(0, message=Text.from_ansi(self.report) if self.report else None)

    def on_unmount(self) -> None:
        """The engine goes with the screen."""
        self.feed.close()
