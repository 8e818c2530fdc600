"""What other packages bring: their entry points, found by name, and what is wrong with them.

Belongs here: finding, loading, calling, and whose mistake it is when that fails. Never: what a device or a
command is.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable, Collection, Iterator
from importlib.machinery import PathFinder
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

OURS = "twinloop"
"""our own distribution, which may use entry points too"""


class PackageError(Exception):
    """An entry point of another package can't be used: its author's mistake. ``str`` is the whole message:
    which entry point, of which package, what is wrong with it."""


def points(group: str) -> list[EntryPoint]:
    """All entry points of a group, our own first, those of other packages in the order of their names."""
    from importlib.metadata import entry_points  # takes a twentieth of a second

    return sorted(
        entry_points(group=group), key=lambda point: (not is_ours(point), point.name, package_of(point))
    )


def is_ours(point: EntryPoint) -> bool:
    """Is it one of twinloop itself?"""
    return point.dist is not None and point.dist.name == OURS


def by_name(group: str, taken: Collection[str] = ()) -> dict[str, EntryPoint]:
    """Name -> the entry point that has it; ``taken`` are the names that twinloop has without one."""
    return _shared_out(group, taken)[0]


def ignored(group: str, taken: Collection[str] = ()) -> dict[str, list[str]]:
    """Name -> what to say of each entry point that isn't used because its name is another's."""
    if not _others_may_have(group):
        return {}
    used, left = _shared_out(group, taken)
    out: dict[str, list[str]] = {}
    for point in left:
        holder = used.get(point.name)
        whose = "twinloop's own" if holder is None or is_ours(holder) else f"that of {package_of(holder)}"
        out.setdefault(point.name, []).append(
            f'{named(point)} isn\'t used: the name "{point.name}" is {whose}'
        )
    return out


def _others_may_have(group: str) -> bool:
    """May a package that isn't twinloop have entry points of a group? Where the answer is no, which most
    environments give, it has come without ``importlib.metadata``; what lies elsewhere than in folders is a
    yes."""
    if any(hasattr(finder, "find_distributions") and finder is not PathFinder for finder in sys.meta_path):
        return True
    wanted = group.encode()
    return any(file is None or wanted in file.read_bytes() for file in _files_of_others())


def _files_of_others() -> Iterator[Path | None]:
    """``entry_points.txt`` of the packages on the path but for our own; None: it can't be looked into."""
    for name in sys.path:
        try:
            there = os.listdir(name or ".")
        except FileNotFoundError:
            continue
        except OSError:  # an archive, a folder of somebody else
            yield None
            continue
        for one in there:
            if one.lower().endswith((".dist-info", ".egg-info")) or one.upper() == "EGG-INFO":
                file = Path(name, one, "entry_points.txt")
                if not one.startswith(f"{OURS}-") and file.exists():
                    yield file


def _shared_out(group: str, taken: Collection[str]) -> tuple[dict[str, EntryPoint], list[EntryPoint]]:
    """(name -> who has it, those that go without)."""
    used: dict[str, EntryPoint] = {}
    left = []
    for point in points(group):
        if point.name in taken or point.name in used:
            left.append(point)
        else:
            used[point.name] = point
    return used, left


def named(point: EntryPoint) -> str:
    """``the entry point "tower = acme:tower" in twinloop.devices of the package acme 1.0.0``."""
    return f'the entry point "{point.name} = {point.value}" in {point.group} of {package_of(point)}'


def package_of(point: EntryPoint) -> str:
    """``the package acme 1.0.0``."""
    known = point.dist
    return "an unknown package" if known is None else f"the package {known.name} {known.version}"


def loaded(point: EntryPoint) -> Callable[..., object]:
    """What it refers to; raises PackageError when that can't be imported or called."""
    try:
        found: object = point.load()
    except (Exception, SystemExit) as error:  # whatever another's module does while it is imported
        raise PackageError(f"{named(point)} can't be imported: {told(error)}") from error
    if not callable(found):
        raise PackageError(f"{named(point)} is {_kind(found)}, expected a function")
    return found


def called(point: EntryPoint, expected: type, article: str = "a") -> object:
    """What its function returns when it is given nothing; raises PackageError."""
    function = loaded(point)
    try:
        found = function()
    except (Exception, SystemExit) as error:  # whatever another's function does
        raise PackageError(f"{named(point)} failed: {told(error)}") from error
    if not isinstance(found, expected):
        raise PackageError(f"{named(point)} returned {_kind(found)}, expected {article} {expected.__name__}")
    return found


def _kind(value: object) -> str:
    return "nothing" if value is None else f"a value of type {type(value).__name__}"


def told(error: BaseException) -> str:
    """What an error says and where it was raised, in a line; no traceback."""
    text = " ".join(str(error).split())
    shown = f"{type(error).__name__}: {text}" if text else type(error).__name__
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if _is_of_a_file(frame.filename)]
    return f"{shown} ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else shown


def _is_of_a_file(name: str) -> bool:
    """Neither the importer's own frames nor this file's: the author looks for his."""
    parts = Path(name).parts
    importer = (
        "importlib" in parts or "importlib_metadata" in parts
    )  # some package may have brought the latter
    return not name.startswith("<") and name != __file__ and not importer
