"""Which kind of record the run is to stop at.

Belongs here: that list.
"""

from __future__ import annotations

from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from twinloop.tui.drawing.text import DIM, HEAD, fit

MEANINGS = {
    "trouble": "an entry of the timeline begins or ends",
    "link": "a link is cut, degraded, healed",
    "gateway": "a gateway goes down, boots, is up",
    "session": "an uplink's session",
    "component": "an instance starts, faults, is restarted, quarantined",
    "fault": "a component faults: why, in its own words",
    "end": "a sample has its end",
    "limit": "a named limit was hit",
    "breach": "a board's budget was exceeded",
    "alert": "a policy raises an alert",
    "command": "a write from the cloud",
    "due": "a sample is due",
    "carried": "a sample has its verdict",
    "bus-error": "an exchange with a device failed",
    "rejected": "a device answers a read with an exception, by its code",
    "boot": "a gateway has booted",
    "published": "a device's message is acknowledged",
    "publish": "a message goes up",
    "unasked": "an answer that nobody waits for",
    "again": "a message is sent again",
    "stored": "a message goes into the store",
    "evict": "the store lets a message go",
    "sync": "the store is on flash",
    "status": "a component is asked how it is",
    "phase": "a phase begins",
    "log": "a component's log line",
    "role": "one of a pair leads or follows",
    "failover": "a pair's failover",
    "handover": "a pair hands messages over",
    "upgrade": "an upgrade's state",
    "swap": "a component's other version",
    "collision": "two at once on a serial line",
    "manner": "a device does as it is used to: it ignores, refuses, hangs up",
}


class KindChooser(ModalScreen[str | None]):
    """Ends with a kind of record, or None."""

    BINDINGS: ClassVar[list[BindingType]] = [("escape", "dismiss(None)", "Leave")]

    def __init__(self, kinds: tuple[str, ...]) -> None:
        super().__init__()
        self._kinds = [kind for kind in MEANINGS if kind in kinds] + [
            kind for kind in kinds if kind not in MEANINGS
        ]

    def compose(self) -> ComposeResult:
        """A line a kind."""
        with Vertical(id="kinds"):
            yield Static(Text("Run to the next record of a kind", style=HEAD))
            yield OptionList(
                *(
                    Option(Text.assemble(fit(kind, 12), (MEANINGS.get(kind, ""), DIM)), id=kind)
                    for kind in self._kinds
                ),
                compact=True,
            )

    def on_mount(self) -> None:
        """The first is the usual one."""
        kinds = self.query_one(OptionList)
        kinds.highlighted = 0
        kinds.focus()

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """This one."""
        self.dismiss(event.option.id)
