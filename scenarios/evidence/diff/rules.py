"""What needs no test: verdicts, broken expectations, ends of samples that weren't there, what was compared.

Belongs here: rules over whole runs. Never: figures and their tests (difference.py). A rule speaks of runs of
one seed, or of so few that none can be tested; where two groups of other seeds are tested, a broken
expectation is one more figure (``broken``), because a rare seed breaks one now and then.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from twinloop.scenarios.evidence.diff.changes import ExpectationChange, How, Scenario, VerdictChange
from twinloop.scenarios.evidence.diff.documents import Run, Side
from twinloop.scenarios.evidence.diff.figures import Figure, is_number
from twinloop.scenarios.judging.verdict import Verdict
from twinloop.scenarios.text.words import number_of

_ORDER = list(Verdict)
_HELD = (Verdict.PASS, Verdict.UNSURE)
_NOT_PASSED = "runs that didn't pass"
_SHARE = Figure("", (), "ratio", "verdicts")
SEEDS_NAMED = 8
BY_CHANCE = ("timeout", "disconnected", "rejected", "malformed", "bad", "device", "overrun", "end-of-run")
"""causes that a lossy field, or the end of a run, brings about now and then: where figures are tested, they
are tested, too; what a gateway does to itself (a fault, a crash, no store) never comes by chance"""
DIGITS = 12
"""of a digest that are told"""


def errors(before: Side, after: Side) -> list[str]:
    """What is an error on side B, and wasn't on side A."""
    known = [where for where, _ in before.errors]
    return [f"{where} can't be run: {error}" for where, error in after.errors if where not in known]


def changed(before: list[Run], after: list[Run]) -> list[str]:
    """What was changed between the sides, in words."""
    out = []
    scenario = [
        list(dict.fromkeys(one.data["scenario_digest"][:DIGITS] for one in runs)) for runs in (before, after)
    ]
    if sorted(scenario[0]) != sorted(scenario[1]):
        out.append(
            f"the scenario itself changed ({', '.join(scenario[0])} -> {', '.join(scenario[1])}): "
            "what differs may be its doing"
        )
    for what in ("components", "versions", "recordings"):
        first, second = _gathered(before, what), _gathered(after, what)
        digits = None if what == "versions" else DIGITS
        for name in dict.fromkeys([*first, *second]):
            if first.get(name) != second.get(name):
                shown = [str(side.get(name, "none"))[:digits] for side in (first, second)]
                out.append(f"{_ONE[what]} {name}: {shown[0]} -> {shown[1]}")
    boards = [_boards(runs) for runs in (before, after)]
    for name in dict.fromkeys([*boards[0], *boards[1]]):
        if boards[0].get(name) != boards[1].get(name):
            out.append(
                f"gateway {name}: board {boards[0].get(name, 'none')} -> {boards[1].get(name, 'none')}"
            )
    clocks = dict.fromkeys(str(one.data.get("clock", "virtual")) for one in before + after)
    if list(clocks) != ["virtual"]:
        out.append(f"clock {', '.join(clocks)}: what this machine did at the time is in the figures")
    return out


_ONE = {"components": "component", "versions": "version of", "recordings": "recording"}


def _gathered(runs: list[Run], key: str) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for one in runs:
        found = one.data.get(key)
        out.update(found if isinstance(found, dict) else {})
    return out


def _boards(runs: list[Run]) -> dict[str, str]:
    return {
        name: str(gateway.get("board"))
        for one in runs
        for name, gateway in one.data["gateways"].items()
        if isinstance(gateway, dict)
    }


def broken(run: Run, wanted: Iterable[str]) -> dict[str, tuple[Figure, float]]:
    """0 or 1 for the verdict of a run and for each of its expectations, as figures; those that are
    ``wanted``."""
    out = {_NOT_PASSED: (_SHARE, float(run.data["verdict"] not in _HELD))}
    for one in run.data["expectations"]:
        out[f"broken: {one['expression']}"] = _SHARE, float(one["verdict"] not in _HELD)
    return {name: out[name] for name in out if name in wanted}


def shares(runs: list[Run]) -> dict[str, Figure]:
    """The names of those figures."""
    out = {_NOT_PASSED: _SHARE}
    for run in runs:
        out.update((f"broken: {one['expression']}", _SHARE) for one in run.data["expectations"])
    return out


def judge(one: Scenario) -> None:
    """Fill verdicts, expectations and findings."""
    ruled = one.how is not How.UNPAIRED
    one.verdicts = _verdicts(one)
    worse = [change for change in one.verdicts if change.worse]
    if worse and ruled:
        for way in dict.fromkeys((change.before, change.after) for change in worse):
            seeds = _some([change.whose for change in worse if (change.before, change.after) == way])
            one.findings.append(f"verdict {way[1]} where it was {way[0]} ({seeds})")
    _expectations(one, ruled)
    if ruled:
        _new_ends(one)
    for key, what in (
        ("wrong", "reading isn't|readings aren't"),
        ("commands_wrong", "command isn't|commands aren't"),
    ):
        first, second = (_sum(runs, "truth", key) for runs in (one.before, one.after))
        if second and not first:
            one.findings.append(
                f"{number_of(second, *what.split('|'))} what the device showed; before, all were"
            )


def _verdicts(one: Scenario) -> list[VerdictChange]:
    first, second = ([Verdict(run.data["verdict"]) for run in runs] for runs in (one.before, one.after))
    if one.paired:
        return [
            VerdictChange(f"seed {run.seed}", a.value, b.value, _ORDER.index(b) < _ORDER.index(a))
            for run, a, b in zip(one.before, first, second, strict=True)
            if a is not b
        ]
    before, after = (
        ", ".join(f"{v.value} {side.count(v)}" for v in _ORDER if v in side) for side in (first, second)
    )
    if dict.fromkeys(first).keys() == dict.fromkeys(second).keys():
        return []
    return [
        VerdictChange(
            "all runs", before, after, min(map(_ORDER.index, second)) < min(map(_ORDER.index, first))
        )
    ]


def _some(seeds: list[str]) -> str:
    more = len(seeds) - SEEDS_NAMED
    return ", ".join(seeds[:SEEDS_NAMED]) + (f" and {more} more" if more > 0 else "")


def _expectations(one: Scenario, ruled: bool) -> None:
    sides = [[_told(run) for run in runs] for runs in (one.before, one.after)]
    texts = [dict.fromkeys(text for run in side for text in run) for side in sides]
    for text in texts[0]:
        if text not in texts[1]:
            one.changed.append(f"expectation only in A: {text}")
            continue
        found = [[run.get(text) for run in side] for side in sides]
        held = [[told is not None and told["verdict"] in _HELD for told in side] for side in found]
        one.expectations.append(
            ExpectationChange(
                text,
                next(str(told.get("unit")) for told in found[0] if told is not None),
                _value(found[0]),
                _value(found[1]),
                (sum(held[0]), sum(held[1])),
                (len(held[0]), len(held[1])),
            )
        )
        if not ruled:
            continue
        if one.paired:
            lost = [f"seed {run.seed}" for run, a, b in zip(one.before, *held, strict=True) if a and not b]
        else:
            lost = ["all runs"] if all(held[0]) and not all(held[1]) else []
        if lost:
            one.findings.append(f"it held and doesn't any more: {text} ({_some(lost)})")
    one.changed += [f"expectation only in B: {text}" for text in texts[1] if text not in texts[0]]


def _told(run: Run) -> dict[str, dict[str, Any]]:
    return {told["expression"]: told for told in run.data["expectations"]}


def _value(side: list[dict[str, Any] | None]) -> float | None:
    """The mean of what was measured."""
    values = []
    for told in side:
        measured = None if told is None else math.inf if told.get("never") is True else told.get("measured")
        if measured == math.inf or is_number(measured):
            values.append(float(measured))
    if not values:
        return None
    return math.inf if math.inf in values else math.fsum(values) / len(values)


def _new_ends(one: Scenario) -> None:
    """Samples that end in a way in which none ended before, commands and upgrades that begin to fail."""
    for end in ("lost", "missed", "evicted"):
        first, second = (_causes(runs, end) for runs in (one.before, one.after))
        one.findings += [
            f"{number_of(count, 'sample')} {end} with the cause {cause}; before, none was"
            for cause, count in second.items()
            if count and not first.get(cause) and not (one.how is not How.MARGIN and cause in BY_CHANCE)
        ]
    for key, what in (("commands_failed", "command"), ("upgrades_failed", "upgrade")):
        before, after = (_sum(runs, "unspoken", key) for runs in (one.before, one.after))
        if after and not before:
            one.findings.append(f"{number_of(after, what)} failed; before, none did")


def _causes(runs: list[Run], end: str) -> dict[str, int]:
    out: dict[str, int] = {}
    for run in runs:
        found = run.data["ledger"].get(end)
        for cause, count in found.items() if isinstance(found, dict) else ():
            if isinstance(count, int):
                out[cause] = out.get(cause, 0) + count
    return out


def _sum(runs: list[Run], block: str, key: str) -> int:
    """A count of all runs together; 0 where it isn't known."""
    counts = [found.get(key) for run in runs if isinstance(found := run.data.get(block), dict)]
    return sum(count for count in counts if isinstance(count, int))
