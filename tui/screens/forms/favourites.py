"""Favourites: entries of a timeline that somebody keeps, to be done again in this scenario or another.

Belongs here: keeping them, and which of them can be done in a scenario. Never: the list on the screen
(favourite_list.py), checking a whole entry (the engine does).
"""

from __future__ import annotations

from dataclasses import dataclass

from twinloop.scenarios.planning.entries import parse_entry, require_verb
from twinloop.scenarios.text.errors import ScenarioError
from twinloop.tui.engine.messages import Ready
from twinloop.tui.screens import memory

FILE = "favourites.json"
FAVOURITES_MAX, NAME_MAX, ENTRY_MAX = 50, 60, 500
"""favourites that are kept; letters of a name, and of an entry"""


@dataclass(frozen=True, slots=True)
class Favourite:
    """``entry``: as a timeline has it, without its instant: ``cut: cloud, for: 20 s``."""

    name: str
    entry: str


class FavouritesError(Exception):
    """They can't be read, or one can't be kept; says why."""


def favourites() -> list[Favourite]:
    """All that are kept, in the order in which they came; raises FavouritesError, and the file stays as it
    is."""
    try:
        kept = memory.read(FILE)
    except (OSError, ValueError) as error:
        raise FavouritesError(f"{memory.place(FILE)}: can't be read: {_why(error)}") from error
    if kept is None:
        return []
    if not isinstance(kept, list):
        raise FavouritesError(f"{memory.place(FILE)}: expected a list of favourites")
    out = []
    for number, one in enumerate(kept[: FAVOURITES_MAX + 1], 1):
        name, entry = (one.get("name"), one.get("entry")) if isinstance(one, dict) else (None, None)
        if not isinstance(name, str) or not isinstance(entry, str) or not name or not entry:
            raise FavouritesError(f"{memory.place(FILE)}: {number}: expected a name and an entry, both texts")
        out.append(Favourite(name, entry))
    if len(out) > FAVOURITES_MAX:
        raise FavouritesError(f"{memory.place(FILE)}: expected at most {FAVOURITES_MAX} favourites")
    return out


def keep(one: Favourite) -> str:
    """This one, too, in place of another of its name; what there is to say of it. A file that can't be read
    is put aside first and isn't lost. Raises FavouritesError."""
    name = " ".join(one.name.split())
    if not name or len(name) > NAME_MAX:
        raise FavouritesError(f"a favourite's name has 1 to {NAME_MAX} letters, got {len(name)}")
    if len(one.entry) > ENTRY_MAX:
        raise FavouritesError(f"a favourite's entry has at most {ENTRY_MAX} letters, got {len(one.entry)}")
    try:
        require_verb(parse_entry(one.entry))
    except ScenarioError as error:
        raise FavouritesError(error.text) from error
    kept, said = _readable()
    others = [other for other in kept if other.name != name]
    if len(others) >= FAVOURITES_MAX:
        raise FavouritesError(f"{FAVOURITES_MAX} favourites are kept already: x in their list forgets one")
    _write([*others, Favourite(name, one.entry)])
    done = "now means" if len(others) < len(kept) else "is kept:"
    return f'"{name}" {done} {one.entry}{said}'


def forget(name: str) -> None:
    """It is kept no more; raises FavouritesError."""
    _write([one for one in favourites() if one.name != name])


def why_not(one: Favourite, plan: Ready) -> str:
    """Why it can't be done in this scenario; empty where nothing speaks against it."""
    try:
        entry = parse_entry(one.entry)
        verb = require_verb(entry)
    except ScenarioError as error:
        return error.text
    known = next((info for info in plan.verbs if info.name == verb), None)
    if known is None:
        return f"this scenario knows no {verb}"
    target = str(entry[verb])
    if not known.targets:
        return f"there is nothing here that {verb} can be done to"
    fleet, slash, which = target.rpartition("/")
    if slash and which == "any":
        target = f"{fleet}/1"  # any device of a fleet
    return "" if target in known.targets else f'there is no "{target}" here that {verb} can be done to'


def _readable() -> tuple[list[Favourite], str]:
    """Those that are kept; of a broken file none, and where it lies now."""
    try:
        return favourites(), ""
    except FavouritesError as error:
        try:
            aside = memory.put_aside(FILE)
        except OSError as more:
            raise FavouritesError(f"{error}; nor can it be put aside: {_why(more)}") from more
        return [], f"; the file that couldn't be read is now {aside}"


def _write(kept: list[Favourite]) -> None:
    try:
        memory.write(FILE, [{"name": one.name, "entry": one.entry} for one in kept])
    except OSError as error:
        raise FavouritesError(f"{memory.place(FILE)}: can't be written: {_why(error)}") from error


def _why(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)
