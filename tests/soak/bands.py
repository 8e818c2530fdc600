"""Are the ends of the bands left out only where nothing can turn? ``--band auto`` against ``always``, with bounds
that just hold.

Belongs here: the bounds, and the comparison. Never: what a scenario holds (plants.py). The first run measures, with
bounds that nothing reaches; then each metric's bound is put close beyond what it measured. Counts get more room:
where frames are lost at random, a microsecond more of CPU time makes it other frames, as another seed does, and
that isn't what the ends are about.
"""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

from twinloop.components.host.host import Host
from twinloop.scenarios.file.load import load_text
from twinloop.scenarios.judging.judged import Judged
from twinloop.scenarios.judging.verdict import Verdict
from twinloop.scenarios.report.result import Result
from twinloop.scenarios.runner import Options, run

TIMES = ("p50(latency.gateway)", "p99(latency.gateway)", "max(latency.gateway)", "max(latency.cloud)")
GOOD = "count(samples.delivered)"
COUNTS = ("count(samples.missed)", GOOD, "count(samples.lost)", "count(component.faults)")
CPU = "gateway.cpu"
FAR = {**dict.fromkeys(TIMES, "<= 10 h"), **dict.fromkeys(COUNTS, ">= 0"), CPU: "<= 100 %"}
MARGINS = (1.001, 1.05, 1.5)
"""how far beyond what was measured a bound lies"""
COUNTS_SPARE = 50
"""samples that may come to a bad end beside twice as many as did"""


def _expecting(data: dict[str, Any], expect: list[str], file: Path, band: str, host: Host) -> Result:
    loaded = load_text(json.dumps({**data, "expect": expect}), file)
    return run(loaded, Options(band=band), host)


def bounds(judged: list[Judged], draw: Random) -> list[str]:
    """Expectations that just hold."""
    found = []
    for one in judged:
        if one.measured is None or one.never:
            continue
        text = one.expectation.text.split(" <= ")[0].split(" >= ")[0]
        if text not in FAR:  # of a phase
            continue
        margin = draw.choice(MARGINS)
        if text in TIMES:
            found.append(f"{text} <= {int(one.measured * margin) + 1} ns")
        elif text == CPU:
            found.append(f"{text} <= {one.measured * margin * 100 + 0.001:.3f} %")
        elif text == GOOD:
            found.append(f"{text} >= {int(one.measured) // 2}")
        else:
            found.append(f"{text} <= {2 * int(one.measured) + COUNTS_SPARE}")
    return found


def differ(text: str, seed: int, file: Path, host: Host) -> str:
    """Where auto says PASS and always doesn't, or the run comes to another verdict; empty: nowhere. Of a run
    that has failed anyway auto leaves the ends out, and single expectations may be UNSURE in it."""
    data = json.loads(text)
    first = _expecting(data, [f"{metric} {far}" for metric, far in FAR.items()], file, "never", host)
    expect = bounds(first.judged, Random(f"{seed}/bands"))
    auto, always = (_expecting(data, expect, file, band, host) for band in ("auto", "always"))
    wrong = [
        f"{one.expectation.text}: {one.verdict.value} by auto, {other.verdict.value} by always ({other.why})"
        for one, other in zip(auto.judged, always.judged, strict=True)
        if one.verdict is Verdict.PASS is not other.verdict
    ]
    if auto.verdict is not always.verdict:
        wrong.append(f"{auto.verdict.value} by auto, {always.verdict.value} by always")
    return "; ".join(wrong)
