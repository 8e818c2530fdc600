"""Where every point of a SunSpec model lies, groups and their instances, too, from the JSON that the package
pysunspec2 ships.

Belongs here: the published models, their groups, addresses and names. Never: what is in a register
(sunspec.py).
A group lies behind the points of the group that it is in, instance after instance (SunSpec Device Information
Model Specification, "Groups"). It is there once, or a fixed number of times, or as often as a point of the
model says, or (``count`` 0) as often as the model's length has room for.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from twinloop.records import dataclass

DEFAULT_INSTANCES = 2
"""of a repeating group, when nobody says"""


@dataclass(frozen=True, slots=True)
class Place:
    """One point of a model: SunSpec's own description of it, and its first register."""

    path: str
    """SunSpec's names with the instances' numbers: ``Crv.1.Pt.2.V``"""
    raw: dict[str, Any]
    address: int
    factor: str = ""
    """the path of the point that holds its scale factor"""

    @property
    def name(self) -> str:
        """Our name for it: ``crv-1-pt-2-v``."""
        return _joined(self.path)

    @property
    def factor_name(self) -> str:
        """Our name for its scale factor."""
        return _joined(self.factor)


def _folder() -> Path:
    spec = importlib.util.find_spec("sunspec2")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("pysunspec2 is not installed")
    return Path(spec.submodule_search_locations[0]) / "models" / "json"


@cache
def published() -> tuple[int, ...]:
    """The numbers of all models that SunSpec published."""
    return tuple(sorted(int(path.stem.removeprefix("model_")) for path in _folder().glob("model_*.json")))


@cache
def load_model(number: int) -> dict[str, Any]:
    """SunSpec's own JSON of a model; raises FileNotFoundError for a number that SunSpec didn't publish."""
    found: dict[str, Any] = json.loads((_folder() / f"model_{number}.json").read_text())
    return found


def levels(number: int) -> tuple[tuple[str, ...], ...]:
    """The repeating groups of a model whose number can be chosen: the names of each level, outermost
    first."""
    found: list[list[str]] = []

    def look(group: dict[str, Any], level: int) -> None:
        for inner in group.get("groups", ()):
            below = level + _chosen(inner)
            if below > level:
                while len(found) < below:
                    found.append([])
                if inner["name"] not in found[level]:
                    found[level].append(inner["name"])
            look(inner, below)

    look(load_model(number)["group"], 0)
    return tuple(tuple(names) for names in found)


def counters(number: int) -> dict[str, int]:
    """Points whose value is how many instances of a level there are -> that level, 0 for the outermost."""
    found: dict[str, int] = {}

    def look(group: dict[str, Any], level: int) -> None:
        for inner in group.get("groups", ()):
            count = inner.get("count")
            if isinstance(count, str):
                found[count] = level
            look(inner, level + _chosen(inner))

    look(load_model(number)["group"], 0)
    if levels(number) and not found:
        names = [raw["name"] for raw in load_model(number)["group"]["points"]]
        found = {name: 0 for name in names if name in _COUNTERS}
    return found


_COUNTERS = ("N", "NCrv", "NSchd", "NMod", "NCell")
"""names of points that say how many instances fill the model's length, in the models where no group names
one"""


def _chosen(group: dict[str, Any]) -> bool:
    """Can the number of its instances be chosen?"""
    return isinstance(group.get("count"), str) or group.get("count") == 0


def _times(group: dict[str, Any], instances: tuple[int, ...]) -> tuple[int, tuple[int, ...]]:
    """(how often a group is there, what is left of ``instances`` for the groups in it)."""
    if _chosen(group):
        return (instances[0], instances[1:]) if instances else (DEFAULT_INSTANCES, ())
    return group.get("count") or 1, instances


def size(
    number: int, instances: tuple[int, ...], counts: Callable[[dict[str, Any]], bool]
) -> tuple[int, int]:
    """(how many of its points count, how many registers) a model has with so many instances; ID and L, which
    no device has as points, don't."""

    def of(group: dict[str, Any], rest: tuple[int, ...], skipped: int) -> tuple[int, int]:
        points = sum(counts(raw) for raw in group["points"][skipped:])
        registers = sum(raw["size"] for raw in group["points"])
        for inner in group.get("groups", ()):
            times, below = _times(inner, rest)
            more = of(inner, below, 0)
            points, registers = points + times * more[0], registers + times * more[1]
        return points, registers

    return of(load_model(number)["group"], instances, 2)


def places(number: int, base: int, instances: tuple[int, ...] = ()) -> tuple[list[Place], int]:
    """(every point of a model whose ID lies at ``base``, the register behind the last one). ``instances``: of
    each level of repeating groups, outermost first; ``DEFAULT_INSTANCES`` where nothing is said."""
    found: list[Place] = []
    at = base

    def lay(group: dict[str, Any], path: str, rest: tuple[int, ...], known: dict[str, str]) -> None:
        nonlocal at
        known = known | {raw["name"]: path + raw["name"] for raw in group["points"]}
        for raw in group["points"]:
            factor = raw.get("sf")
            found.append(Place(path + raw["name"], raw, at, known[factor] if isinstance(factor, str) else ""))
            at += raw["size"]
        for inner in group.get("groups", ()):
            times, below = _times(inner, rest)
            repeats = inner.get("count") is not None
            for i in range(times):
                lay(inner, f"{path}{inner['name']}.{f'{i + 1}.' if repeats else ''}", below, known)

    lay(load_model(number)["group"], "", instances, {})
    return found, at


def _joined(path: str) -> str:
    return "-".join(kebab(part) for part in path.split("."))


def kebab(name: str) -> str:
    """SunSpec's ``PhVphA`` as a name of ours: ``ph-vph-a``."""
    out = ""
    for i, letter in enumerate(name):
        if letter == "_":
            out += "-"
        elif letter.isupper() and i and not name[i - 1].isupper() and out[-1] != "-":
            out += f"-{letter.lower()}"
        else:
            out += letter.lower()
    return out
