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
from textual.app import ComposeResult, ScreenStackError, SystemCommand
from textual.binding import Binding, BindingType
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import ContentSwitcher, Footer, Input, Static

from twinloop.scenarios.file.load import LIBRARY
from twinloop.scenarios.planning.entries import parse_entry, require_verb
from twinloop.scenarios.text.errors import ScenarioError
from twinloop.tui.drawing.pane import Pane
from twinloop.tui.drawing.text import OK
from twinloop.tui.engine.feed import Feed
from twinloop.tui.engine.figures import WRONG
from twinloop.tui.engine.messages import (
    Died,
    Do,
    Done,
    LogLine,
    Look,
    Ready,
    Refused,
    Reply,
    Save,
    View,
    Wrong,
)
from twinloop.tui.engine.watch import LOG_MAX
from twinloop.tui.screens import device, heat, latency, sample
from twinloop.tui.screens.closer import PAGES, Closer
from twinloop.tui.screens.fleet_table import FleetTable
from twinloop.tui.screens.forms.trouble_form import TroubleForm
from twinloop.tui.terminal import head, layout
from twinloop.tui.terminal.beside import BesideApp
from twinloop.tui.terminal.drawn import Drawn, Rewound
from twinloop.tui.terminal.exploring import Chosen, Way
from twinloop.tui.terminal.keys import BINDINGS
from twinloop.tui.terminal.pace import FASTEST_S, SPEEDS, Redraws
from twinloop.tui.terminal.prompt import Prompt


@dataclass
class Shown:
    """What panes show that can show several things: latency to the cloud, or at the gateway; what cells of
    all devices say."""

    cloud: bool = False
    levels: str = WRONG


class Twinloop(BesideApp):
    """One scenario, played by the engine that ``start`` starts."""

    TITLE = "twinloop"
    CSS_PATH = "app.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [*BINDINGS]

    def __init__(
        self,
        file: Path,
        seed: int | None = None,
        start: Callable[..., Feed] = Feed,
        beside: tuple[str, ...] | None = None,
    ) -> None:
        super().__init__(beside)
        self.file, self.seed, self._start = file, seed, start
        self.plan: Ready | None = None
        self.view: View | None = None
        self._ended: Refused | Died | None = None
        """the engine can't run it, or has died"""
        self.report = ""
        self.log_lines: tuple[LogLine, ...] = ()
        self.chosen, self.way = Chosen(), Way()
        self._rewound, self._drawn = Rewound(), Drawn()
        self._shows = Shown()
        self._speed = SPEEDS.index(Fraction(1))
        self.prompt = Prompt(lambda: self.base if self.there else None)
        self.pace = Redraws()
        self.was_read()
        self.feed = start(file, seed)

    def compose(self) -> ComposeResult:
        """Head, panes, a line to type in, keys."""
        yield Static(id="head")
        yield Static(id="tabs")
        with ContentSwitcher(initial="overview", id="panes"):
            yield from self.screens()
        yield Pane("instead", "", lambda w, _: self.instead(w), self.spent)
        yield layout.Strip(self)
        yield Static(id="said")
        yield Input(id="ask", classes="hidden", disabled=True)
        yield Footer(show_command_palette=False)

    def screens(self) -> Iterable[Widget]:
        """A container a screen."""
        return layout.screens(self)

    def on_mount(self) -> None:
        """The engine is on its way."""
        self._tick()

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
        self.look_at_file()
        self.follow()
        if self.plan is not None and not self.problem:
            self.feed.look(self._look())
        self.pace.spent(time.perf_counter() - began)
        self.set_timer(self.pace.next_s(), self._tick)

    def _look(self) -> Look:
        """What is to be seen now; what costs more is only asked for where it is shown."""
        last, shown = self.log_lines[-1].number if self.log_lines else 0, self.shown
        levels = (
            self._shows.levels if shown in ("overview", "fleet") and self.size.width >= layout.HUGE else ""
        )
        rows: tuple[int, ...] = ()
        sort = ""
        if shown == "fleet":
            table = self.base.query_one(FleetTable)
            rows, sort = table.near(), table.order
        closer = self.way.closer.wanted(shown)
        loads = shown in ("overview", "gateway")
        return Look(self.chosen.device, last, rows, sort, levels, loads, self.is_beside, closer)

    def spent(self, seconds: float) -> None:
        """On drawing a pane."""
        self.pace.spent(seconds)

    @property
    def device(self) -> int:
        """Which device is looked at."""
        return self.chosen.device

    @property
    def closer(self) -> Closer:
        """What is looked at closer."""
        return self.way.closer

    @property
    def point(self) -> int:
        """Which of its points."""
        return self.chosen.point

    @property
    def cloud(self) -> bool:
        """Is it the latency to the cloud that is shown?"""
        return self._shows.cloud

    def action_percentiles(self) -> None:
        """The latency at the gateway, or to the cloud."""
        self._shows.cloud = not self._shows.cloud
        self.say(f"shown: {latency.title(self.cloud)}")
        self.redraw()

    def action_levels(self) -> None:
        """What cells of all devices say."""
        self._shows.levels = heat.after(self._shows.levels)
        wide = self.size.width >= layout.HUGE
        where = "" if wide else f"; they are shown in windows from {layout.HUGE} cells on"
        self.say(f"all devices by {heat.MEANINGS[self._shows.levels]}{where}")

    def _took(self, reply: Reply) -> None:
        form = self.screen if isinstance(self.screen, TroubleForm) else None
        if isinstance(reply, Ready):
            self.plan, self._ended = reply, None
        elif isinstance(reply, View):
            went_back = self.view is not None and reply.rewind.count != self.view.rewind.count
            if went_back:
                self.log_lines = ()  # what happened is asked for anew
            elif reply.log:
                self.log_lines = (*self.log_lines, *reply.log)[-LOG_MAX:]
            self.view = replace(reply, log=self.log_lines)
            self.read(self.view, went_back)
            self._rewound.see(reply)
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
            self.prompt.refused(reply.text)

    def redraw(self) -> None:
        """What is others than before: head, tabs, and the panes that are seen."""
        if not self.there:
            return
        top = self.top(max(20, self.size.width - 2))
        if top != self._drawn.top:
            self._drawn.top = top
            self.base.query_one("#head", Static).update(top)
        trail = self.way.closer.trail(self.plan, self.shown)
        tabs = head.tabs(self.shown, self.size.width, self.is_beside, trail)
        if self._drawn.tabs != tabs:
            self._drawn.tabs = tabs
            self.base.query_one("#tabs", Static).update(tabs)
        self._titles()
        if self.shown == "overview":
            self._overview()
        self.base.query_one("#instead", Pane).redraw()
        visible = self.base.query_one("#panes", ContentSwitcher).visible_content
        if visible is not None:
            for pane in visible.query(Pane):
                pane.redraw()
        if self.shown == "fleet":
            self.base.query_one(FleetTable).redraw()
        self.base.query_one(layout.Strip).redraw()

    def top(self, width: int) -> Text:
        """The first line."""
        return head.head(str(self.file), self._ended, self.plan, self.view, width, self._rewound.stands)

    def _titles(self) -> None:
        """Titles that say what is chosen, and the strip's height."""
        strip = self.base.query_one(layout.Strip)
        lines = layout.strip_lines(self.plan, self.view, self.size.height)
        if strip.styles.height is None or strip.styles.height.value != lines:
            strip.styles.height = lines
        missing = bool(self.instead(40)) and self.shown != "help"
        strip.display = self.shown != "help" and not missing
        self.base.query_one("#panes").display = not missing
        self.base.query_one("#instead").display = missing
        title = device.title(self.plan, self.chosen.device)
        trend = device.trend_title(self.plan, self.view, self.chosen.device, self.chosen.point)
        titles = {"points": title, "fleet-points": title, "trend": trend, "fleet-trend": trend}
        titles |= {"sample-about": sample.title(self.plan, self.view, self.way.closer)}
        titles |= {"stages": latency.budget(self.plan), "fleet-table": "Fleet"}
        titles |= dict.fromkeys(("p99", "percentiles"), latency.title(self.cloud))
        for name, text in titles.items():
            if self._drawn.titles.get(name) != text:
                self._drawn.titles[name] = text
                for pane in self.base.query(f"#{name}"):  # who looks on has fewer panes
                    pane.border_title = text
        if self.shown == "fleet" and self._drawn.note != (note := self.base.query_one(FleetTable).note):
            self._drawn.note = note
            self.base.query_one("#fleet-table").border_subtitle = note

    def _overview(self) -> None:
        """Its panes as high as what they show."""
        grid = self.base.query_one("#overview")
        if self.plan is None or self.view is None or not grid.size.height:
            return
        rows = layout.overview_rows(self.plan, self.view, grid.size.width, grid.size.height)
        if (grid.size, rows) == self._drawn.overview:
            return
        self._drawn.overview = grid.size, rows
        grid.styles.grid_size_rows = grid.size.height
        for pane in grid.query(Pane):
            pane.display = pane.id in rows
            pane.styles.row_span = rows.get(str(pane.id), 1)

    def instead(self, width: int) -> list[Text]:
        """What there is to see when there is no view to show; nothing when there is one."""
        return head.instead(self._ended, self.plan, self.view, width)

    @property
    def problem(self) -> str:
        """Why it can't be run, or how the engine died; empty: neither."""
        return "" if self._ended is None else self._ended.text

    def drawn(
        self, make: Callable[[Ready, View, int, int], list[Text]], width: int, height: int
    ) -> list[Text]:
        """Lines of a pane, or what is to be said in their place."""
        instead = self.instead(width)
        if instead or self.plan is None or self.view is None:
            return instead
        return make(self.plan, self.view, width, height)

    # ---- screens ---------------------------------------------------------------------------------
    def click_point(self, line: int, height: int) -> None:
        """The point on that line of the device's pane."""
        if self.plan is not None:
            found = device.point_at(self.plan, self.chosen.device, self.chosen.point, height, line)
            if found is not None:
                self.chosen.point = found
                self.redraw()

    def action_sort(self) -> None:
        """By the next column."""
        self.base.query_one(FleetTable).sort_next()

    # ---- typing ----------------------------------------------------------------------------------
    def on_input_submitted(self, event: Input.Submitted) -> None:
        """What was asked for."""
        self.prompt.submitted(event.value)

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
            entry = parse_entry(text)
            require_verb(entry)
        except ScenarioError as error:
            self.prompt.ask_again(error.text, text, self._do)
            return
        self.prompt.waits(text, self._do)
        self.feed.send(Do(entry))

    def action_save(self) -> None:
        """The session as a scenario: beside its file, or here when that is a shipped one."""
        folder = Path() if self.file.is_relative_to(LIBRARY) else self.file.parent
        self.prompt.ask(
            "save as",
            str(folder / f"{self.file.stem}-live.yaml"),
            lambda target: self.feed.send(Save(target)),
        )

    def on_input_changed(self, event: Input.Changed) -> None:
        """Each letter of what is being asked for."""
        if event.input.id == "ask":
            self.prompt.changed(event.value)

    def action_filter(self) -> None:
        """Only devices whose name, fleet, protocol, link or gateway has this, as it is typed; on the log's
        screen, only such lines."""
        if self.shown == "log":
            self.filter_log()
            return
        self.action_show("fleet")
        table = self.base.query_one(FleetTable)
        self.prompt.ask("devices with", table.wanted, table.filter, live=table.filter)

    def action_reload(self) -> None:
        """The file again, from the beginning."""
        self.feed.close()
        self.plan = self.view = None
        self.begin_beside_anew()
        self._ended, self.log_lines, self._rewound = None, (), Rewound()
        self.read_anew()
        self.chosen, self.way = Chosen(), Way()  # it may have fewer devices now
        self.was_read()
        for pane in self.base.query(Pane):
            pane.enter(False)
        if self.shown in PAGES:
            self.action_show("overview")
        self.feed = self._start(self.file, self.seed)
        self.redraw()

    async def action_quit(self) -> None:
        """The report stays on the terminal."""
        self.report = self.feed.left(self.size.width) if self.plan is not None and not self.problem else ""
        self.exit(0, message=Text.from_ansi(self.report) if self.report else None)

    def on_unmount(self) -> None:
        """Engines go with the screen."""
        self.begin_beside_anew()
        self.feed.close()
