"""Verdicts and exit codes: the one place where an outcome becomes a number.

Belongs here: the table and the order. Never: how single expectations are judged (thresholds.py).
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum


class Verdict(StrEnum):
    """Of a run, in the order in which they are looked for: the first that holds."""

    BROKEN = "BROKEN"
    """an invariant of twinloop's own"""
    ABORTED = "ABORTED"
    INVALID = "INVALID"
    """this machine couldn't keep the wire's pace"""
    FAIL = "FAIL"
    """an expectation doesn't hold, or what was read was never shown and no expectation speaks of it"""
    UNSTABLE = "UNSTABLE"
    """of a scenario under many seeds: some of them FAIL; a single run never has it"""
    NO_DATA = "NO-DATA"
    """an expectation had nothing to measure, or there is none"""
    UNSURE = "UNSURE"
    """inside the board's band"""
    PASS = "PASS"  # noqa: S105  # no password


EXIT_CODES = {
    Verdict.BROKEN: 2, Verdict.ABORTED: 130, Verdict.INVALID: 5, Verdict.FAIL: 1,
    Verdict.UNSTABLE: 1, Verdict.NO_DATA: 4, Verdict.UNSURE: 0, Verdict.PASS: 0,
}  # fmt: skip
SCENARIO_ERROR = 3
"""also of a wrong flag or command"""
INTERNAL_ERROR = 70
"""a mistake in twinloop that isn't a broken promise of a run (sysexits.h: EX_SOFTWARE)"""
MACHINE = 71
"""this machine: memory, disk, a folder that is taken (sysexits.h: EX_OSERR)"""
ABORTED = 130
STRICT_UNSURE = 1
BANDS = ("auto", "always", "never")
"""when the ends of the bands of modelled prices are run, too"""
_ORDER = list(Verdict)
_SEVERITY = [INTERNAL_ERROR, 2, MACHINE, ABORTED, SCENARIO_ERROR, 5, 1, 4, 0]
"""exit codes, worst first, for several files"""


def overall(verdicts: Iterable[Verdict]) -> Verdict:
    """The verdict of a run from those of its expectations; without any it is NO-DATA: nothing was asked, so
    nothing can hold."""
    found = list(verdicts)
    return min(found, key=_ORDER.index) if found else Verdict.NO_DATA


def of_seeds(verdicts: Iterable[Verdict]) -> Verdict:
    """The verdict of one scenario from those of its runs under many seeds: where only some FAIL it is
    UNSTABLE; without any run it is NO-DATA."""
    found = list(verdicts)
    first = overall(found)
    return Verdict.UNSTABLE if first is Verdict.FAIL and any(one is not first for one in found) else first


def on_the_wire(verdict: Verdict, kept: bool) -> Verdict:
    """INVALID instead, if the wire's pace wasn't ``kept``; what is broken or aborted stays so."""
    return verdict if kept or verdict in (Verdict.BROKEN, Verdict.ABORTED) else Verdict.INVALID


NOT_KEPT = (
    "this machine was later than pace.tolerance (p99): what was measured says nothing about gateway or "
    "devices"
)


def exit_code(verdict: Verdict, strict: bool = False, unspoken: bool = False) -> int:
    """The number for the shell. ``unspoken``: something went wrong of which no expectation speaks."""
    doubtful = verdict is Verdict.UNSURE or (verdict is Verdict.PASS and unspoken)
    return STRICT_UNSURE if strict and doubtful else EXIT_CODES[verdict]


def worst(codes: Iterable[int]) -> int:
    """The worst of several exit codes."""
    return min(codes, key=_SEVERITY.index, default=0)
