"""How much of something a scenario carries: the last value that holds between one that does and one that
doesn't.

Belongs here: kinds of values, bisection, what is found beyond it. Never: running (points.py), flags.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from twinloop.scenarios.judging.verdict import Verdict
from twinloop.scenarios.text import units
from twinloop.scenarios.text.errors import ScenarioError

PROBES = 3
"""beyond what was found: a value that holds there shows that more isn't always worse"""
STEPS = 1000
"""between the two ends, where nobody says how exactly a duration or a size is wanted"""


@dataclass(frozen=True)
class Kind:
    """Values of one kind: whole numbers, durations in ns, sizes in bytes. ``written``: as plain data of a
    file."""

    name: str
    read: Callable[[str], int]
    written: Callable[[int], Any]
    shown: Callable[[int], str]


def _integer(text: str) -> int:
    if not re.fullmatch(r"\d{1,15}", text.strip()):
        raise ValueError("no whole number")
    return int(text)


def _exact_size(value: int) -> str:
    """All its bytes, in the unit that fits."""
    for unit in ("GiB", "MiB", "KiB"):
        if value and value % units.SIZES[unit] == 0:
            return f"{value // units.SIZES[unit]} {unit}"
    return f"{value} B"


KINDS = (
    Kind("whole number", _integer, lambda value: value, str),
    Kind("duration", units.duration, units.exact_duration, units.exact_duration),
    Kind("size", units.size, lambda value: f"{value} B", _exact_size),
)


def read_ends(first: str, last: str, step: str) -> tuple[Kind, int, int, int]:
    """The kind of both ends, the ends, the step in which values are told apart (more than 0).

    Raises:
        ScenarioError: when they aren't of one kind, are equal, or the step isn't of it.
    """
    for kind in KINDS:
        try:
            start, end = kind.read(first), kind.read(last)
        except ValueError:
            continue
        if start == end:
            raise ScenarioError("--to", None, "", f"--from and --to are both {kind.shown(start)}")
        try:
            by = kind.read(step) if step else 1 if kind is KINDS[0] else max(1, abs(end - start) // STEPS)
        except ValueError as error:
            raise ScenarioError(
                "--step", None, "", f"expected a {kind.name} as --from is, {error}"
            ) from error
        if by < 1 or by > abs(end - start):
            raise ScenarioError("--step", None, "", f"expected more than 0, at most --to less --from: {step}")
        return kind, start, end, by
    got = f'got "{first}" and "{last}"'
    kinds = "two whole numbers, durations (2 s) or sizes (64 KiB)"
    raise ScenarioError("--from", None, "", f"expected --from and --to of one kind, {kinds}, {got}")


def holds(verdict: str | None) -> bool:
    """PASS: also at the pessimistic end of the board's band."""
    return verdict == Verdict.PASS.value


def holds_nominally(verdict: str | None) -> bool:
    """As the board's figures are, whatever their band."""
    return verdict in (Verdict.PASS.value, Verdict.UNSURE.value)


@dataclass
class Sized:
    """What was found. ``knee``: the last value that holds on the way from the end that does, in steps;
    ``nominal``: the same without the band; ``beyond``: values past it that hold again; ``tried``: value ->
    verdict."""

    knee: int | None
    nominal: int | None
    problem: str = ""
    beyond: list[int] = field(default_factory=list)
    tried: dict[int, str | None] = field(default_factory=dict)
    next_bad: int | None = None
    """the first value after ``knee``, which doesn't hold"""


def size(start: int, end: int, step: int, verdict_of: Callable[[list[int]], dict[int, str | None]]) -> Sized:
    """Look between ``start``, which has to hold, and ``end``, which must not, in steps. ``verdict_of`` runs
    values (those that it is asked for at once don't depend on one another)."""
    known: dict[int, str | None] = {}
    seen: dict[int, str | None] = {}  # the same by index
    sign = 1 if end > start else -1
    last = (abs(end - start) + step - 1) // step  # the end itself, if it lies on no step

    def at(index: int) -> int:
        return end if index >= last else start + sign * step * index

    def look(*indices: int) -> None:
        new = [at(index) for index in indices if at(index) not in known]
        if new:
            known.update(verdict_of(list(dict.fromkeys(new))))
        seen.update((index, known[at(index)]) for index in indices)

    def last_good(low: int, good: Callable[[str | None], bool]) -> int:
        """Between ``low``, which is, and the nearest one after it of which is known that it isn't."""
        high = min(index for index, verdict in seen.items() if index > low and not good(verdict))
        while high - low > 1:
            middle = (low + high) // 2
            look(middle)
            low, high = (middle, high) if good(seen[middle]) else (low, middle)
        return low

    look(0, last)
    found = Sized(None, None, tried=known)
    if None in (known[start], known[end]):
        found.problem = "error"
    elif not holds(known[start]):
        found.problem = "start"
    elif holds_nominally(known[end]):
        found.problem = "end"
    if found.problem:
        return found
    knee = last_good(0, holds)
    nominal = last_good(knee, holds_nominally)
    found.knee, found.nominal, found.next_bad = at(knee), at(nominal), at(knee + 1)
    beyond = sorted({nominal + (last - nominal) * number // (PROBES + 1) for number in range(1, PROBES + 1)})
    probes = [index for index in beyond if nominal < index < last]
    look(*probes)
    found.beyond = [at(index) for index in probes if holds_nominally(known[at(index)])]
    return found
