"""What the application remembers between two redraws: what is on the screen already, and whether the clock
stands where somebody went back to.

Belongs here: those two notes. Never: drawing (app.py), what is drawn (screens/).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from rich.text import Text
from textual.geometry import Size

from twinloop.tui.engine.messages import View


@dataclass
class Drawn:
    """What is drawn already: the head, whose tab, and for which size which lines each pane of the overview
    has."""

    top: Text = field(default_factory=Text)
    tabs: str = ""
    note: str = ""
    """below the table of devices"""
    titles: dict[str, str] = field(default_factory=dict)
    """of panes whose titles change"""
    overview: tuple[Size, dict[str, int]] | None = None


@dataclass
class Rewound:
    """Does the clock stand where somebody went back to?"""

    count: int = 0
    pending: bool = False
    at_ns: int = -1
    stands: bool = False

    def see(self, view: View) -> None:
        """The next view."""
        now = max(0, view.snapshot.now_ns)
        if view.rewind.count != self.count:
            self.count, self.pending = view.rewind.count, True
        if view.mode == "paused" and self.pending:
            self.at_ns, self.pending = now, False
        self.stands = self.count > 0 and view.mode == "paused" and now == self.at_ns
