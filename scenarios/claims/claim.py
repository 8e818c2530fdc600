"""A claim, the figures that were found for it, and the verdict that follows from them.

Belongs here: what a claim and a figure are, and when a figure holds. Never: how one is measured, words for
people (telling.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from twinloop.scenarios.claims.workbench import Tried, Workbench
from twinloop.scenarios.file.boards.reading import shipped
from twinloop.scenarios.text.units import show_duration, show_number, show_size
from twinloop.sim.kernel.histogram import NEVER

HERE = "here"
"""where a figure is from, if not from a board: measured by this command, on this machine"""
KEPT = "kept"
"""measured by ``make claims`` on the machine that measured.json names"""


class Verdict(StrEnum):
    """What figures make of a claim."""

    TRUE = "TRUE"
    """every figure holds, at both ends of its band"""
    FALSE = "FALSE"
    """no figure holds, wherever in its band it lies"""
    DEPENDS = "DEPENDS"
    """some hold, others don't, or the band decides"""
    OPEN = "NOT MEASURED"
    """there is no figure"""


class Holds(StrEnum):
    """Does one figure keep to its bound?"""

    YES = "yes"
    NO = "no"
    BAND = "band"
    """the value and an end of its band say different things"""
    OPEN = "not measured"
    ASIDE = "no bound"
    """the claim says nothing of it: it is told because it explains another figure"""


@dataclass(frozen=True, slots=True)
class Bound:
    """What a claim says of a figure: ``least`` and ``most`` in the figure's unit, either of them, both, or
    neither."""

    least: float | None = None
    most: float | None = None

    def has(self, value: float) -> bool:
        """Does the value lie in it?"""
        return (self.least is None or value >= self.least) and (self.most is None or value <= self.most)

    def text(self, unit: str) -> str:
        """In words, such as ``at most 1 ms``."""
        parts = []
        if self.least is not None:
            parts.append(f"at least {shown(self.least, unit)}")
        if self.most is not None:
            parts.append(f"at most {shown(self.most, unit)}")
        return " and ".join(parts)


@dataclass(frozen=True, slots=True)
class Figure:
    """One number that was found for a claim. ``unit``: ns, bytes, count, times, cycles."""

    what: str
    """the quantity, in words; figures of one quantity have the same words"""
    where: str
    """HERE, KEPT, or the name of a board"""
    value: float | None
    """None: it was not measured; ``how`` says why"""
    unit: str
    bound: Bound
    low: float | None = None
    high: float | None = None
    """the ends of a modelled figure's band; None: it was measured"""
    host: str = ""
    """the host program that the figure is of; empty: it has no part in it"""
    how: str = ""
    """how it was found, in words"""

    @property
    def measured(self) -> bool:
        """Was it measured (and not modelled)?"""
        return self.where in (HERE, KEPT)

    @property
    def holds(self) -> Holds:
        """Does it keep to its bound, at its value and at both ends of its band?"""
        if self.value is None:
            return Holds.OPEN
        if self.bound == Bound():
            return Holds.ASIDE
        ends = [self.value, *(end for end in (self.low, self.high) if end is not None)]
        found = [self.bound.has(end) for end in ends]
        if all(found):
            return Holds.YES
        return Holds.BAND if any(found) else Holds.NO

    @property
    def text(self) -> str:
        """Value and band for people."""
        if self.value is None:
            return "not measured"
        value = shown(self.value, self.unit)
        if self.low is None or self.high is None or self.low == self.high:
            return value
        if {shown(self.low, self.unit), shown(self.high, self.unit)} == {value}:
            return value
        if self.unit in ("ns", "bytes"):
            return f"{value} ({shown(self.low, self.unit)} ... {shown(self.high, self.unit)})"
        numbers = [shown(one, "count") for one in (self.value, self.low, self.high)]
        unit = "" if self.unit == "count" else f" {self.unit}"
        return f"{numbers[0]} ({numbers[1]} ... {numbers[2]}){unit}"


@dataclass(frozen=True, slots=True)
class Claim:
    """``find`` returns the claim's figures, ``why`` a sentence for people, made of those figures."""

    id: str
    words: str
    """the claim as it is told"""
    source: str
    """an address where it, or its like, was read, with what stands there; ``unchecked``: nobody opened one"""
    find: Callable[[Workbench], list[Figure]]
    why: Callable[[Sequence[Figure]], str]


@dataclass(frozen=True, slots=True)
class Finding:
    """A claim with its figures."""

    claim: Claim
    figures: tuple[Figure, ...]

    @property
    def verdict(self) -> Verdict:
        """What all figures say together."""
        return verdict(self.figures)

    @property
    def why(self) -> str:
        """The verdict's reason in a sentence or two."""
        return self.claim.why(self.figures)


def verdict(figures: Sequence[Figure]) -> Verdict:
    """Of figures that stand for one claim; what was not measured, or has no bound, doesn't count."""
    found = [one.holds for one in figures if one.holds not in (Holds.OPEN, Holds.ASIDE)]
    if not found:
        return Verdict.OPEN
    if all(one is Holds.YES for one in found):
        return Verdict.TRUE
    return Verdict.FALSE if all(one is Holds.NO for one in found) else Verdict.DEPENDS


def shown(value: float, unit: str) -> str:
    """A value with its unit, for people."""
    if value >= NEVER:
        return "never"
    if unit == "ns":
        return show_duration(value)
    if unit == "bytes":
        return show_size(value)
    number = show_number(value, 3) if abs(value) < 1000 else f"{value:.0f}"
    return number if unit == "count" else f"{number} {unit}"


def here(what: str, found: Tried, unit: str, bound: Bound, how: str) -> Figure:
    """A figure of this machine; where it could not be measured, with the reason in place of the method."""
    return Figure(what, HERE, found.value, unit, bound, how=how if found.value is not None else found.why)


def of_what(figures: Sequence[Figure], what: str, *, measured: bool | None = None) -> list[Figure]:
    """Those of one quantity that have a value; ``measured``: only those, or only the modelled ones."""
    return [
        one
        for one in figures
        if one.what == what and one.value is not None and measured in (None, one.measured)
    ]


def boards_where(figures: Sequence[Figure], *holds: Holds) -> list[str]:
    """Names of boards that have a modelled figure which holds like that, each once."""
    return list(dict.fromkeys(one.where for one in figures if not one.measured and one.holds in holds))


def where_interpreted(names: Sequence[str]) -> str:
    """``, where code is interpreted``, if that is so on all these shipped boards; else nothing."""
    interpreted = all(shipped(name).runtime.interpreter for name in names)
    return ", where code is interpreted" if interpreted else ""


def some(names: Sequence[str]) -> str:
    """Names in a sentence."""
    return ", ".join(names[:-1]) + " and " + names[-1] if len(names) > 1 else "".join(names)
