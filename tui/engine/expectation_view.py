"""An expectation closer: how it is measured, its curve, its worst moments, who was behind them.

Belongs here: putting that together when somebody looks. Never: verdicts (scenarios/judging), what is counted
while the run goes on (followed.py, standouts.py).
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from twinloop.scenarios.judging.expectation import Expectation
from twinloop.scenarios.judging.metrics.table import METRICS
from twinloop.scenarios.judging.verdict import Verdict
from twinloop.scenarios.page.watched import GROWING, Curve
from twinloop.scenarios.report.console import measured_text, value_text
from twinloop.scenarios.text.units import show_duration
from twinloop.sim.accounts.latency import STAGES
from twinloop.sim.kernel.histogram import NEVER
from twinloop.tui.engine.explored import MOMENTS_MAX, RECORDS_MAX, ExpectationView, Moment, SamplesView
from twinloop.tui.engine.followed import Followed
from twinloop.tui.engine.messages import LogLine, Span

if TYPE_CHECKING:
    from twinloop.scenarios.judging.judged import Judged
    from twinloop.tui.engine.engine import Engine

STATISTICS = {
    "count": "how many of them there are",
    "ratio": "their share of all that were due",
    "min": "the least of it",
    "max": "the most of it",
    "mean": "its mean",
    "last": "the last of it",
}
KINDS = {
    "stuck": ("phase", "link", "gateway", "component", "session"),
    "backlog": ("phase", "link", "session"),
    "component.faults": ("fault",),
    "gateway.boot": ("gateway", "breach"),
    "failover": ("failover", "role", "handover"),
    "upgrade": ("upgrade", "swap", "component"),
    "upgrades": ("upgrade", "swap"),
    "command": ("command",),
    "commands": ("command",),
    "samples": ("link", "gateway", "fault", "trouble"),
}
"""a metric, or the first part of its name -> kinds of records that tell of what it counts"""
NO_CURVE = {
    "value": "it is of what points show: a device's page (enter on it) shows each point over time",
    "derived": "values that transforms add aren't kept over time",
    "readings": "readings are counted by status, and not over time",
    "command": "writes are too few for windows of time: each is a line of the log",
    "commands": "writes are too few for windows of time: each is a line of the log",
    "failover": "takeovers are too few for windows of time: each is a line of the log",
    "upgrade": "upgrades are too few for windows of time: each is a line of the log",
    "upgrades": "upgrades are too few for windows of time: each is a line of the log",
    "component": "faults are too few for windows of time: each is a line of the log",
    "stuck": "it is looked at only from the event on of which the expectation speaks",
    "gateway.boot": "boots are too few for windows of time: each is a line of the log",
    "flash.written": "it is a sum of the whole run",
}


def expectation_view(engine: Engine, number: int) -> ExpectationView | None:
    """One expectation as it stands; None: there is no such."""
    judged = engine.judge.judge()
    if not 0 <= number < len(judged):
        return None
    one = judged[number]
    expectation, curve = one.expectation, followed_by(engine).curve(number)
    values = () if curve is None else _values(engine, curve)
    bound = value_text(expectation.bound, expectation.unit, expectation.bound_unit)
    return ExpectationView(
        number=number,
        text=expectation.text,
        verdict=one.verdict.value,
        measured=measured_text(one),
        limit=f"{expectation.operator} {bound}",
        how=sentence(expectation),
        why=one.why,
        said=_no_curve(expectation) if curve is None else curve.how,
        values=values,
        unit=expectation.unit if curve is not None else one.unit,
        bound_unit=expectation.bound_unit,
        bound=expectation.bound if curve is not None and expectation.within_ns is None else math.nan,
        moments=() if curve is None else _moments(engine, one, curve, values),
        records=_records(engine, expectation),
    )


def sentence(expectation: Expectation) -> str:
    """How it is measured, in plain words."""
    metric, keys = METRICS[expectation.metric], dict(expectation.keys)
    what = metric.meaning.partition(";")[0]
    name = expectation.statistic
    if name.startswith("p"):
        of = f"the value that {name[1:]} % of all are at or below, of: {what}"
    elif name:
        of = f"{STATISTICS[name]}: {what}"
    else:
        of = what
    chosen = ", ".join(f"{key} {value}" for key, value in keys.items())
    parts = [of[0].upper() + of[1:]]
    parts.append(f"only {chosen}" if chosen else "over the whole plant")
    if expectation.over_ns is not None:
        parts.append(f"in each window of {show_duration(expectation.over_ns)}, of which the worst counts")
    if expectation.within_ns is not None:
        parts.append(
            f"measured is how long after {expectation.event} it takes until that holds; at most "
            f"{show_duration(expectation.within_ns)} are allowed"
        )
    if expectation.never:
        parts.append("at no instant of the run may it be so")
    return "; ".join(parts) + "."


def _no_curve(expectation: Expectation) -> str:
    keys = dict(expectation.keys)
    for key in ("version", "quality"):
        if key in keys:
            return f"No curve: what is counted by {key} isn't kept over time."
    if expectation.metric.startswith("samples.") and "phase" in keys:
        return "No curve: samples of a phase are counted by when they were due, and not over time."
    first = expectation.metric.partition(".")[0]
    why = NO_CURVE.get(expectation.metric) or NO_CURVE.get(first) or "its values aren't kept over time"
    return f"No curve: {why}."


def _values(engine: Engine, curve: Curve) -> tuple[tuple[int, float], ...]:
    now = max(0, engine.world.env.now)
    return tuple(
        (min(at_ns, now), math.nan if value is None or value >= NEVER else float(value))
        for at_ns, value in zip(curve.at_ns, curve.values, strict=True)
    )


def _moments(
    engine: Engine, one: Judged, curve: Curve, values: tuple[tuple[int, float], ...]
) -> tuple[Moment, ...]:
    """Windows, the worst first: those whose value is hardest to accept; of a count that grows, those in which
    it grew most; of one that should have grown more, those in which most went wrong, or it grew least."""
    followed, expectation = followed_by(engine), one.expectation
    growing = curve.how == GROWING
    wanting = growing and _wants_more(one)
    devices = engine.judge.measures.devices(expectation)
    raw = [NEVER if value is not None and value >= NEVER else value for value in curve.values]
    found: list[tuple[float, float, int, int]] = []
    before = 0.0
    for place, ((at_ns, _), value) in enumerate(zip(values, raw, strict=True)):
        size = followed.windows.size_ns
        if not growing and place + 1 < len(values):
            size = max(1, min(values[place + 1][0] - at_ns, expectation.over_ns or size))
        elif expectation.over_ns is not None and not growing:
            size = expectation.over_ns
        if value is None:
            continue
        shown = value - before if growing else value
        before = value
        if growing and not shown and not wanting:
            continue
        from_ns = max(0, curve.at_ns[place] - size if growing else at_ns)
        badness = _badness(expectation, shown, growing)
        if value >= NEVER:
            seen = engine.watch.standouts.samples(from_ns, from_ns + size, devices)
            badness += sum(count for *_, count in seen.counts)  # the more, the worse
        if wanting:
            gone = _went_elsewhere(engine, expectation, devices, from_ns, from_ns + size)
            badness = sum(count for *_, count in gone) - shown / (abs(shown) + 1)
        found.append((badness, shown, from_ns, from_ns + size))
    found.sort(key=lambda each: (-each[0], each[2]))
    if wanting and found and found[0][0] > 0:
        found = [each for each in found if each[0] > 0]
    elif wanting and expectation.metric != "samples.delivered":
        # of trouble that is wanted nothing came to another end: the windows in which there was some
        found = sorted((each for each in found if each[1]), key=lambda each: (-each[1], each[2]))
        wanting = False
    out = []
    for _, value, from_ns, to_ns in found[:MOMENTS_MAX]:
        shown = math.inf if value >= NEVER else float(value)
        out.append(
            Moment(
                from_ns,
                to_ns,
                shown,
                _trouble(engine, expectation.metric, from_ns, to_ns),
                _behind(engine, expectation, devices, from_ns, to_ns, wanting, value >= NEVER),
            )
        )
    return tuple(out)


def _wants_more(one: Judged) -> bool:
    """Is it broken because too few came to that end? Of trouble that is wanted there may be enough."""
    expectation = one.expectation
    if one.verdict is Verdict.PASS and expectation.metric != "samples.delivered":
        return False
    too_low = one.measured is None or one.measured < expectation.bound
    return expectation.operator in (">=", ">") or (expectation.operator == "==" and too_low)


def _went_elsewhere(
    engine: Engine, expectation: Expectation, devices: dict[int, None] | None, from_ns: int, to_ns: int
) -> list[tuple[str, str, str, int]]:
    """(end, cause, fleet, points) that came to a bad end then, and not to the one that is asked for."""
    seen = engine.watch.standouts.samples(from_ns, to_ns, devices)
    return [one for one in seen.counts if one[0] != expectation.metric.partition(".")[2]]


def _badness(expectation: Expectation, value: float, growing: bool) -> float:
    most, least = expectation.statistic == "max", expectation.statistic == "min"
    if growing or most:
        return value  # one window alone makes the most of the whole run
    if least or expectation.operator in (">=", ">"):
        return -value
    return abs(value - expectation.bound) if expectation.operator in ("==", "!=") else value


def _trouble(engine: Engine, metric: str, from_ns: int, to_ns: int) -> str:
    """Entries of the timeline that were active then."""
    now = max(0, engine.world.env.now)

    def active(one: Span) -> bool:
        # what ended as the window began is behind what had piled up by then
        ended = one.until_ns < from_ns if metric == "backlog" else one.until_ns <= from_ns
        return one.at_ns < to_ns and (one.until_ns < 0 or not ended) and one.at_ns <= now

    # what has no end of its own is told where it began
    found = [
        f"{one.verb} {one.target}"
        for one in engine.watch.spans
        if active(one) and (one.until_ns >= 0 or one.at_ns >= from_ns)
    ]
    return ", ".join(dict.fromkeys(found))


def _behind(
    engine: Engine,
    expectation: Expectation,
    devices: dict[int, None] | None,
    from_ns: int,
    to_ns: int,
    wanting: bool,
    never: bool,
) -> str:
    """Causes and devices that made that window what it was. ``never``: its value never came."""
    if wanting:
        gone = _went_elsewhere(engine, expectation, devices, from_ns, to_ns)
        return ", ".join(f"{end} {why} {fleet} {count}" for end, why, fleet, count in gone[:3])
    seen = engine.watch.standouts.samples(from_ns, to_ns, devices)
    names = engine.world.ledger.names
    if expectation.metric.startswith("samples."):
        end, cause = expectation.metric.partition(".")[2], dict(expectation.keys).get("cause")
        counts = [one for one in seen.counts if one[0] == end and cause in (None, one[1])]
        return ", ".join(f"{why} {fleet} {count}" for _, why, fleet, count in counts[:3])
    if expectation.metric.startswith("latency."):
        return _behind_latency(expectation, seen, names, never)
    gateway = dict(expectation.keys).get("gateway")
    return gateway or ""


def _behind_latency(expectation: Expectation, seen: SamplesView, names: Sequence[str], never: bool) -> str:
    """Why a window's latency is what it is: what never came, or who took longest. What is known of single
    samples is their way to the verdict at the gateway."""
    if never and seen.counts:
        return ", ".join(f"{end} {why} {fleet} {count}" for end, why, fleet, count in seen.counts[:3])
    if never or not seen.slow:
        return ""
    if expectation.metric == "latency.stage":
        stage = STAGES.index(dict(expectation.keys)["stage"])
        longest = max(seen.slow, key=lambda one: one.spent_ns[stage])
        spent_ns = longest.spent_ns[stage]
        return f"{names[longest.device]} {show_duration(spent_ns)}" if spent_ns else ""
    said = f"{names[seen.slow[0].device]} {show_duration(seen.slow[0].total_ns)}"
    return f"at the gateway at most {said}" if expectation.metric == "latency.cloud" else said


def _records(engine: Engine, expectation: Expectation) -> tuple[tuple[int, str, str], ...]:
    """Lines of the log that tell of what it counts, the youngest last."""
    metric, keys = expectation.metric, dict(expectation.keys)
    kinds = KINDS.get(metric) or KINDS.get(metric.partition(".")[0]) or ()

    def meant(line: LogLine) -> bool:
        if line.kind not in kinds or metric.startswith("samples."):
            return line.kind in kinds
        if line.kind == "fault":
            slot, cause = line.text.split(" ", 2)[:2]
            said = {"gateway": slot.partition("/")[0], "component": line.component, "cause": cause}
            return all(said[key] == keys[key] for key in said if key in keys)
        # a whole name: presses/1 isn't presses/15
        return all(
            re.search(rf"(?<![\w-]){re.escape(keys[key])}(?![\w-])", line.text)
            for key in ("component", "cause", "device")
            if key in keys
        )

    found = [(line.at_ns, line.kind, line.text) for line in engine.watch.log if meant(line)]
    return tuple(found[-RECORDS_MAX:])


def followed_by(engine: Engine) -> Followed:
    """Who listens for an engine's expectations."""
    found = engine.explorer.followed
    assert found is not None, "an engine that has begun has one"
    return found
