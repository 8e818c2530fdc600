"""What the runs of one scenario under many seeds say together: a verdict, how often each expectation held,
how its value spread, the worst seed.

Belongs here: figures, from entries of the result document alone, so that the results of several machines can
be put together. Never: running (workers.py), words for people (seeds_report.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from twinloop.records import dataclass
from twinloop.scenarios.evidence.interval import wilson
from twinloop.scenarios.judging.expectation import Expectation
from twinloop.scenarios.judging.expressions import ExpressionError, parse
from twinloop.scenarios.judging.verdict import (
    EXIT_CODES,
    Verdict,
    of_seeds,
    worst,
)

Entry = dict[str, Any]
_DIGITS = 6
"""of a share"""
_SPREAD = ("p5", 50), ("median", 500), ("p95", 950)
_NEVER_SHOWN = (Verdict.BROKEN, Verdict.ABORTED, Verdict.INVALID)
"""verdicts of a run beside which no share of the others counts"""


@dataclass(frozen=True)
class Asked:
    """What the command asked for: all its seeds, however they are shared out. ``require``: the share of seeds
    that must hold, 0 to 1, as it was written; empty: all."""

    seeds: str
    require: str = ""
    strict: bool = False
    shard: str = ""


def share_of(require: str) -> float:
    """``99 %`` as 0.99; checked before (many.py)."""
    return float(require.rstrip("% ")) / 100 if require.endswith("%") else float(require)


def summary(entries: Sequence[Entry], asked: Asked) -> dict[str, Any]:
    """The summary of one scenario's entries as it stands in the result document."""
    entries = sorted(entries, key=lambda entry: int(entry["seed"]))
    results = [entry for entry in entries if entry["kind"] == "result"]
    errors = [entry for entry in entries if entry["kind"] == "error"]
    verdicts = [Verdict(entry["verdict"]) for entry in results]
    verdict = _verdict(verdicts, errors)
    held = sum(one is Verdict.PASS for one in verdicts)
    never_began = sum(entry["code"] == EXIT_CODES[Verdict.ABORTED] for entry in errors)
    interrupted = never_began + verdicts.count(Verdict.ABORTED)
    share = wilson(held, len(entries) - interrupted)  # what was broken off says nothing of the scenario
    out: dict[str, Any] = {
        "file": entries[0]["file"],
        "scenario": results[0]["scenario"] if results else None,
        "scenario_digest": results[0]["scenario_digest"] if results else None,
        "asked": asked.seeds,
        "shard": asked.shard or None,
        "strict": asked.strict,
        "require": asked.require or None,
        "seeds": len(entries),
        "verdict": None if verdict is None else verdict.value,
        "code": _code(verdict, entries, asked, share[0]),
        "held": held,
        "interval": _rounded(share),
        "verdicts": {one.value: verdicts.count(one) for one in Verdict if one in verdicts},
        "errors": len(errors) - never_began,
        "unspoken": sum(bool(entry["unspoken"]) for entry in results),
    }
    if interrupted:
        out["interrupted"] = interrupted
    bad = _worst_run(results)
    if bad is not None:
        out["worst_seed"], out["reproduce"] = bad["seed"], bad["reproduce"]
    out["expectations"] = _expectations(results)
    return out


def _verdict(verdicts: list[Verdict], errors: list[Entry]) -> Verdict | None:
    """None: some seed ended in an error, and nothing worse is known."""
    if any(entry["code"] == EXIT_CODES[Verdict.ABORTED] for entry in errors):
        verdicts = [*verdicts, Verdict.ABORTED]
    found = of_seeds(verdicts)
    if len(errors) and found is not Verdict.BROKEN and found is not Verdict.ABORTED:
        return None
    return found


def _code(verdict: Verdict | None, entries: Sequence[Entry], asked: Asked, low: float) -> int:
    """The command's exit code. With ``require`` it is the lower end of the interval that counts, but for what
    says nothing about the scenario; a shard alone shows no share: that is left to ``merge``."""
    errors = [int(entry["code"]) for entry in entries if entry["kind"] == "error"]
    if verdict is None or errors:
        return worst([*errors, *([] if verdict is None else [EXIT_CODES[verdict]])])
    if asked.require and verdict not in _NEVER_SHOWN:
        return 0 if asked.shard or low >= share_of(asked.require) else EXIT_CODES[Verdict.FAIL]
    return worst([EXIT_CODES[verdict], *(int(entry["code"]) for entry in entries)])


def _worst_run(results: list[Entry]) -> Entry | None:
    """The run to look at first: of the worst verdict the one of which most expectations failed; None where
    all are PASS."""
    order = list(Verdict)

    def rank(entry: Entry) -> tuple[int, int, int]:
        failed = sum(one["verdict"] == Verdict.FAIL.value for one in entry["expectations"])
        return order.index(Verdict(entry["verdict"])), -failed, int(entry["seed"])

    first = min(results, key=rank, default=None)
    return None if first is None or first["verdict"] == Verdict.PASS.value else first


def _expectations(results: list[Entry]) -> list[dict[str, Any]]:
    """Each expectation over all runs that came to judging."""
    judged = [entry for entry in results if entry["expectations"]]
    if not judged:
        return []
    texts = [one["expression"] for one in judged[0]["expectations"]]
    return [_expectation(text, index, judged) for index, text in enumerate(texts)]


def _expectation(text: str, index: int, judged: list[Entry]) -> dict[str, Any]:
    ones = [(int(entry["seed"]), entry["expectations"][index]) for entry in judged]
    verdicts = [Verdict(one["verdict"]) for _, one in ones]
    held = verdicts.count(Verdict.PASS)
    out: dict[str, Any] = {
        "expression": text,
        "verdict": of_seeds(verdicts).value,
        "seeds": len(ones),
        "held": held,
        "interval": _rounded(wilson(held, len(ones))),
        "verdicts": {one.value: verdicts.count(one) for one in Verdict if one in verdicts},
        "unit": ones[0][1]["unit"],
        "never": sum(bool(one.get("never")) for _, one in ones),
    }
    values = [
        (float("inf") if one.get("never") else float(one["measured"]), seed)
        for seed, one in ones
        if one.get("never") or one["measured"] is not None
    ]
    out |= {
        name: _finite(_rank(values, permille))
        for name, permille in (("p5", 50), ("median", 500), ("p95", 950))
    }
    value, seed = min(values, key=lambda one: (-badness(text, one[0]), one[1]), default=(None, None))
    return out | {"worst": _finite(value), "worst_seed": seed}


def _rank(values: list[tuple[float, int]], permille: int) -> float | None:
    """A percentile by nearest rank: a value that occurred. None without any."""
    if not values:
        return None
    ordered = sorted(value for value, _ in values)
    return ordered[max(0, -(-len(ordered) * permille // 1000) - 1)]


def _finite(value: float | None) -> float | int | None:
    """As JSON has it: a time later than any bound is null (``never`` says how many are)."""
    if value is None or value == float("inf"):
        return None
    return int(value) if value == int(value) else value


def badness(text: str, value: float) -> float:
    """How far from what the expectation asks: more is worse."""
    expectation = _read(text)
    if expectation is None or expectation.within_ns is not None:
        return value
    if expectation.operator in ("<=", "<", ">=", ">"):
        off = value if expectation.operator in ("<=", "<") else -value
    else:
        off = abs(value - expectation.bound) * (1 if expectation.operator == "==" else -1)
    return -off if expectation.never else off


@lru_cache(maxsize=1024)
def _read(text: str) -> Expectation | None:
    try:
        return parse(text)
    except ExpressionError:  # of a phase that ``recover_within`` speaks of, written for people
        return None


def _rounded(share: tuple[float, float]) -> list[float]:
    return [round(share[0], _DIGITS), round(share[1], _DIGITS)]
