"""What there is to look at: scenarios opened lately, those of this folder, those that ship, by subject.

Belongs here: finding and describing them, and remembering what was opened. Never: drawing (chooser.py).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from twinloop.scenarios.file.load import LIBRARY, known_as, library_names, load
from twinloop.scenarios.text.document import SUFFIXES, looks_like_a_scenario
from twinloop.scenarios.text.errors import ScenarioError
from twinloop.scenarios.text.words import number_of
from twinloop.tui.screens import memory

RECENT_MAX, HERE_MAX, DEPTH_MAX = 8, 200, 2
"""scenarios that are remembered; files of a folder that are looked at, and folders below it"""
OPENED = "opened.json"
RECENT, HERE = "Opened lately", "In this folder"
SUBJECTS = (
    ("First steps", ("quickstart", "hundred-sensors", "uplink-outage", "chaos-and-heal", "heal-but-stuck")),
    (
        "Protocols and lines",
        ("opcua", "mqtt", "mixed-plant", "slow-line", "hostile-devices", "lying-sensors"),
    ),
    ("Pairs that take over", ("failover",)),
    ("Releases over the air", ("upgrade",)),
    ("Boards at their limits", ("thousand-drivers", "starved-board", "rush-hour")),
    ("From the field: each fault, and its cure", ("field/",)),
    ("Hostile components", ("hostile/",)),
)
"""title -> how the names of its shipped scenarios begin"""
OTHERS = "More troubles"


@dataclass(frozen=True, slots=True)
class Choice:
    """A scenario. ``name``: as a command line has it; ``details``: what it is made of; ``wrong``: why it
    can't be opened, empty where it can."""

    group: str
    name: str
    description: str
    details: tuple[str, ...] = ()
    wrong: str = ""

    def has(self, words: Sequence[str]) -> bool:
        """Is each of the words somewhere in its group, name or description?"""
        text = f"{self.group} {self.name} {self.description}".lower()
        return all(word in text for word in words)


def subject(name: str) -> str:
    """The group of a shipped scenario."""
    return next((title for title, heads in SUBJECTS if name.startswith(heads)), OTHERS)


def _place(one: Choice) -> tuple[int, int, str]:
    """Groups in their order, the field's and the hostile ones last; in a group as SUBJECTS names them."""
    order = [title for title, _ in SUBJECTS]
    order.insert(len(order) - 2, OTHERS)
    heads = dict(SUBJECTS).get(one.group, ())
    head = next((number for number, head in enumerate(heads) if one.name.startswith(head)), 0)
    return order.index(one.group), head, one.name


def choices(folder: Path) -> list[Choice]:
    """All there are, group by group."""
    shipped = [described(subject(name), LIBRARY / f"{name}.yaml", name) for name in library_names()]
    lately = [described(RECENT, path, known_as(path)) for path in recent() if path.is_file()]
    here = [described(HERE, path, str(path.relative_to(folder))) for path in files_in(folder)]
    return [*lately, *here, *sorted(shipped, key=_place)]


def described(group: str, file: Path, name: str) -> Choice:
    """A scenario with what it is made of, or why it can't be opened."""
    try:
        found = load(file).scenario
    except ScenarioError as error:
        return Choice(group, name, "can't be opened", wrong=str(error))
    devices = sum(fleet.count for fleet in found.fleets.values())
    expects = [str(one) for one in found.expect]
    details = (
        f"{number_of(devices, 'device')}, {number_of(len(found.fleets), 'fleet')}: {', '.join(found.fleets)}",
        f"gateways: {', '.join(found.gateways)}",
        f"{number_of(len(found.timeline), 'entry', 'entries')} of trouble",
        *(f"expects {text}" for text in expects),
    )
    return Choice(group, name, found.description or "", details)


def files_in(folder: Path) -> list[Path]:
    """Scenario files of a folder, at most DEPTH_MAX folders down; hidden folders and links aren't
    followed."""
    found: list[Path] = []
    for at, folders, files in os.walk(folder, followlinks=False):
        depth = len(Path(at).relative_to(folder).parts)
        folders[:] = [] if depth >= DEPTH_MAX else sorted(one for one in folders if not one.startswith("."))
        found += [Path(at, one) for one in sorted(files) if one.endswith(SUFFIXES)]
        if len(found) >= HERE_MAX:
            break
    own = [path for path in found[:HERE_MAX] if not path.resolve().is_relative_to(LIBRARY)]
    return [path for path in own if looks_like_a_scenario(path)]


# ---- what was opened -----------------------------------------------------------------------------
def recent() -> list[Path]:
    """Files that were opened lately, the last one first; none where nothing was kept."""
    try:
        kept = memory.read(OPENED)
    except (OSError, ValueError):
        return []
    return [Path(one) for one in kept if isinstance(one, str)][:RECENT_MAX] if isinstance(kept, list) else []


def opened(file: Path) -> None:
    """Remember it. A machine where that can't be written has no list, which is no reason not to open it."""
    kept = [file.resolve(), *(one for one in recent() if one != file.resolve())][:RECENT_MAX]
    with contextlib.suppress(OSError):
        memory.write(OPENED, [str(one) for one in kept])
