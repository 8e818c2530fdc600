"""The form for trouble: a verb, its target, its keys; what will be done is shown as the entry of a timeline
that it is.

Belongs here: asking. Never: whether it can be done (the engine says so, and the form stays until it can), the
grammar (it comes with the plan).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.suggester import SuggestFromList
from textual.widgets import Button, Input, Label, OptionList, Static
from textual.widgets.option_list import Option

from twinloop.scenarios.planning.entries import parse_entry
from twinloop.scenarios.text.errors import ScenarioError, unknown
from twinloop.sim.trouble.devices import keys_of_fault
from twinloop.tui.drawing.look import GOOD
from twinloop.tui.drawing.text import BAD, DIM, HEAD, fit
from twinloop.tui.engine.messages import KeyInfo, Ready, VerbInfo
from twinloop.tui.screens.forms.favourite_list import NameBox
from twinloop.tui.screens.forms.favourites import Favourite, FavouritesError, keep

TARGETS_MAX = 200
"""of those that match are listed"""
HINT = 44
"""cells of what may stand in a field"""


class TroubleForm(ModalScreen[None]):
    """Hands an entry to ``do`` when it is complete; ``refused`` says why it can't be."""

    BINDINGS: ClassVar[list[BindingType]] = [
        ("escape", "leave", "Leave"),
        ("ctrl+s", "do", "Do it"),
        ("ctrl+t", "keep", "Keep it as a favourite"),
    ]

    def __init__(
        self,
        plan: Ready,
        do: Callable[[dict[str, Any]], None],
        verb: str = "cut",
        target: str = "",
        values: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__()
        self._values = dict(values or {})
        """of keys of the first verb, by their names: what stands in their fields already"""
        self._verbs = {one.name: one for one in plan.verbs}
        self._points: dict[str, list[str]] = {}
        """of each device, and of a fleet's first"""
        for device in plan.devices:
            names = [name for name, _, _ in device.points]
            self._points[device.name] = names
            self._points.setdefault(device.fleet, names)
        self._do, self._verb = do, self._verbs[verb]
        self._target = target if target in self._verb.targets else ""

    def compose(self) -> ComposeResult:
        """Verbs to the left, what they are done to and with to the right."""
        with Vertical(id="form"):
            yield Static(
                Text("Do something now: it becomes an entry of the timeline", style=HEAD), id="form-head"
            )
            with Horizontal(id="form-body"):
                yield OptionList(*(Option(name, id=name) for name in self._verbs), id="verbs", compact=True)
                with Vertical(id="form-right"):
                    yield Static(id="meaning")
                    yield Input(id="target", placeholder="what it is done to", compact=True)
                    yield OptionList(id="targets", compact=True)
                    yield VerticalScroll(id="keys", can_focus=False)
            yield Static(id="entry")
            yield Static(id="refusal")
            with Horizontal(id="form-end"):
                yield Button("Do it (enter)", id="do", compact=True, variant="primary")
                yield Button("Leave (esc)", id="leave", compact=True)
                yield Button("Keep (ctrl+t)", id="keep", compact=True)

    async def on_mount(self) -> None:
        """With the verb that was asked for."""
        verbs = self.query_one("#verbs", OptionList)
        verbs.highlighted = list(self._verbs).index(self._verb.name)
        await self._choose(self._verb, self._target)
        for name, value in self._values.items():
            for field in self.query(f"#key-{name}").results(Input):
                field.value = value
        verbs.focus()

    # ---- choosing --------------------------------------------------------------------------------
    async def _choose(self, verb: VerbInfo, target: str) -> None:
        self._verb = verb
        self.query_one("#meaning", Static).update(Text(verb.meaning, style=DIM))
        field = self.query_one("#target", Input)
        field.suggester = SuggestFromList(verb.targets, case_sensitive=True)
        field.value = target or (verb.targets[0] if verb.targets else "")
        keys = self.query_one("#keys", VerticalScroll)
        await keys.remove_children()
        for key in verb.keys:
            value = Input(
                id=f"key-{key.name}", placeholder="needed" if key.needed else "", compact=True, classes="key"
            )
            label = Label(f"{key.name}{'*' if key.needed else ''}", classes="key-name")
            await keys.mount(
                Horizontal(
                    label,
                    value,
                    Label("", classes="key-hint", markup=False),
                    id=f"row-{key.name}",
                    classes="key-row",
                )
            )
        self._list_targets()
        self._hint()
        self._show()

    def _hint(self) -> None:
        """What may stand in each field: of points only those of the target."""
        points = self._points.get(self.query_one("#target", Input).value.strip())
        for key in self._verb.keys:
            choices = (
                [name for name in key.choices if name in points]
                if key.name == "point" and points is not None
                else key.choices
            )
            for line in self.query(f"#row-{key.name}"):
                line.query_one(".key-hint", Label).update(
                    fit(", ".join(choices) if choices else f"e.g. {key.example}", HINT)
                )
                line.query_one(".key", Input).suggester = SuggestFromList(choices) if choices else None

    def _list_targets(self) -> None:
        """Those that begin with what stands in the field; all when it is one of them."""
        typed, known = self.query_one("#target", Input).value, self._verb.targets
        found = known if typed in known else tuple(name for name in known if typed in name)
        listed = self.query_one("#targets", OptionList)
        listed.clear_options()
        listed.add_options([Option(name) for name in found[:TARGETS_MAX]])
        if len(found) > TARGETS_MAX:
            listed.add_option(Option(f"and {len(found) - TARGETS_MAX} more: type", disabled=True))
        if typed in found[:TARGETS_MAX]:
            listed.highlighted = found.index(typed)

    async def on_option_list_option_highlighted(self, event: OptionList.OptionHighlighted) -> None:
        """A verb is looked at."""
        # it has moved on
        if (
            event.option_list.id != "verbs"
            or event.option.id is None
            or event.option_index != event.option_list.highlighted
        ):
            return
        if event.option.id != self._verb.name:
            await self._choose(self._verbs[event.option.id], "")

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Enter or a click: a verb leads to its target, a target to the first key."""
        if event.option_list.id == "verbs":
            self.query_one("#target", Input).focus()
        else:
            self.query_one("#target", Input).value = str(event.option.prompt)
            fields = [*self.query(".key").results(Input)]
            (fields[0] if fields else self.query_one("#do", Button)).focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        """What will be done changes."""
        if event.input.id == "target":
            self._list_targets()
            self._hint()
        self._show()

    def on_input_submitted(self, _: Input.Submitted) -> None:
        """Enter in a field."""
        self.action_do()

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """Do it, or not."""
        if event.button.id == "do":
            self.action_do()
        elif event.button.id == "keep":
            self.action_keep()
        else:
            self.action_leave()

    # ---- the entry -------------------------------------------------------------------------------
    def _wanted(self, key: KeyInfo) -> bool:
        """Of a fault's keys only those that go with its kind."""
        if self._verb.name != "device-fault" or key.name in ("kind", "share", "for"):
            return True
        return keys_of_fault(self._value("kind")).get(key.name, True)

    def _value(self, key: str) -> str:
        found = self.query(f"#key-{key}").results(Input)
        return next((field.value.strip() for field in found), "")

    def entry_text(self) -> str:
        """What will be done, as a file has it."""
        parts = [f"{self._verb.name}: {self.query_one('#target', Input).value.strip()}"]
        for key in self._verb.keys:
            value = self._value(key.name)
            if value and self._wanted(key):
                parts.append(
                    f"{key.name}: "
                    f"{'{' + value + '}' if ':' in value and not value.startswith('{') else value}"
                )
        return ", ".join(parts)

    def _show(self) -> None:
        for key in self._verb.keys:
            for line in self.query(f"#row-{key.name}"):
                line.display = self._wanted(key)
        self.query_one("#entry", Static).update(Text(self.entry_text(), no_wrap=True, overflow="ellipsis"))
        self.query_one("#refusal", Static).update("")

    def refused(self, text: str) -> None:
        """It can't be, and why."""
        self.query_one("#refusal", Static).update(Text(text, style=BAD))

    def action_do(self) -> None:
        """Now, if it is complete."""
        if not self._complete():
            return
        try:
            self._do(parse_entry(self.entry_text()))
        except ScenarioError as error:
            self.refused(error.text)

    def _complete(self) -> bool:
        """Is nothing missing? Says what is."""
        missing = [
            key.name
            for key in self._verb.keys
            if key.needed and self._wanted(key) and not self._value(key.name)
        ]
        if missing:
            self.refused(f"{self._verb.name} needs {' and '.join(missing)}")
            self.query_one(f"#key-{missing[0]}", Input).focus()
            return False
        verb, colon, _ = self.query_one("#target", Input).value.partition(":")
        if colon:
            known = verb.strip() in self._verbs
            hint = (
                f'choose "{verb.strip()}" on the left'
                if known
                else unknown("verb", verb.strip(), self._verbs)
            )
            self.refused(f'expected what "{self._verb.name}" is done to, got a whole entry; {hint}')
            return False
        return True

    def action_keep(self) -> None:
        """As a favourite, by a name that is asked for."""
        if not self._complete():
            return
        entry = self.entry_text()

        def named(name: str | None) -> None:
            if name is None:
                return
            try:
                said, style = keep(Favourite(name, entry)), GOOD.style
            except FavouritesError as error:
                said, style = str(error), BAD
            self.query_one("#refusal", Static).update(Text(said, style=style))

        self.app.push_screen(NameBox(entry), named)

    def action_leave(self) -> None:
        """Nothing is done."""
        self.dismiss(None)
