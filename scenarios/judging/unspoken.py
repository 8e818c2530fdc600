"""What went wrong in a run and no expectation speaks of: what a PASS has to say beside itself.

Belongs here: which expectation speaks of what. Never: values (measure.py), pass rules (thresholds.py).
"""

from __future__ import annotations

from twinloop.scenarios.judging.expectation import Expectation
from twinloop.scenarios.judging.measure import Measures
from twinloop.scenarios.judging.metrics.table import SAMPLE_ENDS
from twinloop.scenarios.judging.run import Run
from twinloop.scenarios.text.words import number_of
from twinloop.sim.accounts.rows import End

SAMPLES = ("missed", "lost", "evicted", "wrong")


def unspoken(world: Run, measures: Measures, expectations: list[Expectation]) -> dict[str, int]:
    """``missed``, ``lost``, ``evicted`` and ``wrong`` points, ``commands_failed`` and ``upgrades_failed``:
    those that there are."""
    out = {**_samples(world, measures, expectations), "commands_failed": 0, "upgrades_failed": 0}
    truth = world.truth
    for metric, wrong in (
        (("readings.wrong", truth.wrong_of), ("commands.wrong", truth.wrong_commands))
        if truth is not None
        else ()
    ):
        told = [measures.devices(one) for one in expectations if one.metric == metric]
        out["wrong"] += sum(
            count
            for device, count in wrong.items()
            if not any(mine is None or device in mine for mine in told)
        )
    speaking = [
        (dict(one.keys), measures.devices(one))
        for one in expectations
        if _speaks_of(one, "command.latency", "commands")
    ]
    for device, cause in measures.failed:
        told_of = any(
            keys.get("cause") in (None, cause) and (devices is None or device in devices)
            for keys, devices in speaking
        )
        out["commands_failed"] += not told_of
    of_upgrades = [dict(one.keys) for one in expectations if _speaks_of(one, "upgrade.duration", "upgrades")]
    for order in measures.failed_upgrades():
        about = {"gateway": order.gateway, "component": order.component, "cause": order.cause}
        out["upgrades_failed"] += not any(
            all(keys.get(key) in (None, value) for key, value in about.items()) for keys in of_upgrades
        )
    return {what: count for what, count in out.items() if count}


def _samples(world: Run, measures: Measures, expectations: list[Expectation]) -> dict[str, int]:
    if world.spec.phases:
        rows = [
            (phase, device, end, why, count)
            for (phase, device, end, why), count in world.ends.in_phase.items()
        ]
    else:
        rows = [("", device, end, why, count) for (device, end, why), count in world.ledger.ends.items()]
    out = dict.fromkeys(SAMPLES, 0)
    speaking = [
        (dict(one.keys), SAMPLE_ENDS[one.metric], measures.devices(one))
        for one in expectations
        if _speaks(one)
    ]
    for phase, device, end, why, count in rows:
        if end in (End.MISSED, End.LOST, End.EVICTED) and not any(
            about in (end, End.DELIVERED)
            and "quality" not in keys
            and keys.get("phase") in (None, phase)
            and keys.get("cause") in (None, why)
            and (devices is None or device in devices)
            for keys, about, devices in speaking
        ):
            out[end.value] += count
    return out


def _speaks(expectation: Expectation) -> bool:
    """Of samples that didn't arrive: by what became of them, or by the share (or very number) that did. "At
    least so many" says nothing of them."""
    if SAMPLE_ENDS.get(expectation.metric) is End.DELIVERED:
        return expectation.statistic == "ratio" or expectation.operator == "=="
    return expectation.metric in SAMPLE_ENDS


def _speaks_of(expectation: Expectation, trend: str, counters: str) -> bool:
    """Of what wasn't done: by how many failed, by the very number that was done, or by a time that is "never"
    as soon as one of them failed."""
    if expectation.metric == trend:
        return expectation.statistic in ("max", "mean")
    return expectation.metric == f"{counters}.failed" or (
        expectation.metric == f"{counters}.done" and expectation.operator == "=="
    )


def unspoken_text(found: dict[str, int]) -> str:
    """In words, e.g. ``3 missed and 2 lost samples, 1 failed command``; empty when there is nothing to
    say."""
    parts = []
    samples = [f"{found[what]} {what}" for what in SAMPLES if what in found]
    if samples:
        one = sum(found.get(what, 0) for what in SAMPLES) == 1
        parts.append(f"{' and '.join(samples)} {'sample' if one else 'samples'}")
    for key, noun in (("commands_failed", "failed command"), ("upgrades_failed", "failed upgrade")):
        if key in found:
            parts.append(number_of(found[key], noun))
    return ", ".join(parts)
