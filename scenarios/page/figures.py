"""What stands on a report page, as plain data: the page shows it, and carries it for programs to read.

Belongs here: choosing and shortening. Never: words about it, HTML (sections.py) or pictures (charts.py).
Everything here is the same in each run of a scenario with a seed, on any machine; what isn't (wall time,
versions) is in one line of the page that page.py makes. Times are ns, sizes bytes, shares 0 to 1; null is "no
data", the word "never" a time later than any bound.
"""

from __future__ import annotations

from typing import Any

from twinloop.devices.model.statuses import BAD
from twinloop.scenarios.judging.expectation import Expectation
from twinloop.scenarios.page.series import Series, Slow, Trouble
from twinloop.scenarios.page.watched import Curve
from twinloop.scenarios.report.console import band_text, measured_text, value_text
from twinloop.scenarios.report.result import Result
from twinloop.scenarios.report.total import why
from twinloop.sim.accounts.latency import STAGES
from twinloop.sim.accounts.rows import CAUSES, End
from twinloop.sim.kernel.histogram import NEVER, Histogram

FORMAT = 1
OUTSTANDING_MAX = 8
"""devices of each kind of trouble that are shown"""
LINES_MAX = 6
"""gateways, and serial lines, in one picture: those with the most"""
RANKS = (*range(0, 900, 50), *range(900, 990, 10), *range(990, 1001))
"""permille of the percentile curve"""


def figures(result: Result, series: Series, curves: dict[int, Curve], file: str) -> dict[str, Any]:
    """All of it. ``file``: the scenario's, as the user knows it."""
    data = result.data
    return {
        "format": FORMAT,
        "file": file,
        "verdict": result.verdict.value,
        "why": why(result),
        "error": result.error,
        "scenario": data["scenario"],
        "incident": data.get("incident", ""),
        "seed": data["seed"],
        "clock": data["clock"],
        "digest": data["digest"],
        "scenario_digest": data["scenario_digest"],
        "components": data["components"],
        "recordings": data["recordings"],
        "reproduce": data["reproduce"],
        "notes": result.notes,
        "unspoken": data["unspoken"],
        "duration_ns": series.windows.duration_ns,
        "window_ns": series.windows.size_ns,
        "end_ns": max(series.windows.duration_ns, series.windows.begins_ns(series.count())),
        "expectations": _expectations(result, curves),
        "latency": data["latency"],
        "stages": _stages(series),
        "bands": _bands(data),
        "ledger": data["ledger"],
        "ends": _ends(data["ledger"], data["quality"]),
        "trouble": [_trouble(one) for one in series.troubles],
        "trouble_left_out": series.troubles_left_out,
        "slowest": [_slow(series, one) for one in series.slowest()],
        "devices": _devices(series),
        "charts": _charts(result, series, curves),
        "ranks": _ranks(series),
    }


def _expectations(result: Result, curves: dict[int, Curve]) -> list[dict[str, Any]]:
    return [
        {
            "expression": one.expectation.text,
            "limit": limit_text(result, number),
            "measured": measured_text(one),
            "verdict": one.verdict.value,
            "why": one.why,
            "chart": f"expectation-{number}" if number in curves else None,
        }
        for number, one in enumerate(result.judged)
    ]


def _bands(data: dict[str, Any]) -> list[str]:
    """How far the modelled times of each gateway's board may be off; once for gateways that are alike."""
    named: dict[str, list[str]] = {}
    for name, band in data["bands"].items():
        named.setdefault(f"{band['board']}: {band_text(band)}", []).append(name)
    return [f"{_some(names)} on {text}" for text, names in named.items()]


def _some(names: list[str]) -> str:
    """The first few, and how many more there are."""
    more = len(names) - LINES_MAX
    return ", ".join(names[:LINES_MAX]) + (f" and {more} more" if more > 0 else "")


def limit_text(result: Result, number: int) -> str:
    """What an expectation allows, for people: ``<= 50 ms``."""
    return allowed(result.judged[number].expectation)


def allowed(one: Expectation) -> str:
    """The same of an expectation that nobody has judged."""
    if one.within_ns is not None:
        return f"within {value_text(one.within_ns, 'ns', '')}"
    return f"never {bound_text(one)}" if one.never else bound_text(one)


def bound_text(one: Expectation) -> str:
    """Operator and bound."""
    return f"{one.operator} {value_text(one.bound, one.unit, one.bound_unit)}"


def _stages(series: Series) -> dict[str, dict[str, int | None]]:
    """Of each stage all the time that samples spent in it, each point of a sample counted."""
    return {
        name: {
            "total_ns": histogram.total,
            "p50_ns": histogram.percentile(500),
            "p99_ns": histogram.percentile(990),
            "max_ns": histogram.max if histogram.count else None,
        }
        for name, histogram in series.stages().items()
    }


def _ends(ledger: dict[str, Any], quality: dict[str, Any]) -> list[dict[str, Any]]:
    """The ledger by end and cause, each with the readings that weren't Good."""
    rows: list[dict[str, Any]] = []
    for end in End:
        counted = ledger[end.value]
        by_cause = {"": counted} if CAUSES[end] == ("",) else counted
        for cause, points in by_cause.items():
            if points:
                named = f"{end.value}{{{cause}}}" if cause else end.value
                marked = quality["ends"].get(named, {}) if quality["known"] else {}
                rows.append({"end": end.value, "cause": cause, "points": points, "marked": marked})
    return rows


def _trouble(one: Trouble) -> dict[str, Any]:
    return {
        "begin_ns": one.begin_ns,
        "end_ns": one.end_ns,
        "verb": one.verb,
        "target": one.target,
        "detail": one.detail,
    }


def _slow(series: Series, one: Slow) -> dict[str, Any]:
    return {
        "device": series.world.ledger.names[one.device],
        "due_ns": one.due_ns,
        "points": one.points,
        "total_ns": one.total_ns,
        "stages": dict(zip(STAGES, one.spent_ns, strict=True)),
        "waited_for": one.waited_for,
    }


def _devices(series: Series) -> list[dict[str, Any]]:
    """Those that stand out: the first few by points that never came, by bad readings and by their worst
    latency, each of them once."""
    ledger = series.world.ledger
    count = len(ledger.names)
    gone, bad = [0] * count, [0] * count
    for (device, end, _), points in ledger.ends.items():
        if end in (End.MISSED, End.LOST, End.EVICTED):
            gone[device] += points
    for (device, status), readings in ledger.status_of.items():
        if status >= BAD:
            bad[device] += readings
    chosen: dict[int, list[str]] = {}
    for word, of in (("never came", gone), ("bad readings", bad), ("latency", series.worst_ns)):
        ranked = sorted(range(count), key=lambda device: (-of[device], device))
        for device in ranked[:OUTSTANDING_MAX]:
            if of[device]:
                chosen.setdefault(device, []).append(word)
    return [
        {
            "device": ledger.names[device],
            "due": ledger.due_of[device],
            "gone": gone[device],
            "bad": bad[device],
            "worst_ns": series.worst_ns[device] or None,
            "because": words,
        }
        for device, words in chosen.items()
    ]


def _charts(result: Result, series: Series, curves: dict[int, Curve]) -> dict[str, dict[str, Any]]:
    """Pictures over time by name. Each: ``at_ns``, ``lines`` (name, values), ``unit``, ``limit``."""
    out: dict[str, dict[str, Any]] = {}
    for name, windows in (("gateway", series.gateway), ("cloud", series.cloud)):
        if windows:
            out[f"latency-{name}"] = _percentiles(series, windows)
    out["ends"] = _ends_over_time(series)
    shares = series.cpu_shares()
    names = [gateway.name for gateway in series.world.gateways]
    out["cpu"] = _most([(names[i], shares[i]) for i in range(len(names))], "ratio")
    memory = [[(look.at_ns, float(look.memory_bytes[i])) for look in series.looks] for i in range(len(names))]
    out["memory"] = _most(list(zip(names, memory, strict=True)), "bytes")
    stored = [
        (gateway.name, list(enumerate(waiting.over(series.count()))))
        for gateway, waiting in zip(series.world.gateways, series.waiting, strict=True)
        if gateway.outbox.store is not None
    ]
    begins = series.windows.begins_ns
    out["backlog"] = _most(
        [(name, [(begins(window), float(most)) for window, most in each]) for name, each in stored], "count"
    )
    out["lines"] = _most(list(series.line_shares().items()), "ratio")
    for number, curve in curves.items():
        out[f"expectation-{number}"] = _curve(result, number, curve)
    return {name: chart for name, chart in out.items() if chart["at_ns"]}


def _percentiles(series: Series, windows: dict[int, Histogram]) -> dict[str, Any]:
    numbers = range(max(windows) + 1)
    lines = [
        {
            "name": f"p{permille // 10}",
            "values": [_rank(windows[one], permille) if one in windows else None for one in numbers],
        }
        for permille in (500, 950, 990)
    ]
    at_ns = [series.windows.begins_ns(one) for one in numbers]
    return {"at_ns": at_ns, "lines": lines, "unit": "ns", "limit": None}


def _rank(histogram: Histogram, permille: int) -> int | str | None:
    value = histogram.percentile(permille)
    return "never" if value is not None and value >= NEVER else value


def _ends_over_time(series: Series) -> dict[str, Any]:
    """Points by end, in each window; ends that nothing came to are left out."""
    numbers = range(series.count())
    lines = [
        {"name": end.value, "values": [series.ends.get((one, end.value), 0) for one in numbers]}
        for end in End
        if any(key[1] == end.value for key in series.ends)
    ]
    at_ns = [series.windows.begins_ns(one) for one in numbers] if lines else []
    return {"at_ns": at_ns, "lines": lines, "unit": "count", "limit": None}


def _most(named: list[tuple[str, list[tuple[int, float]]]], unit: str) -> dict[str, Any]:
    """A line each, of those with the largest values; ``left_out``: how many there are beside them."""
    ranked = sorted(named, key=lambda one: -max((value for _, value in one[1]), default=0.0))
    kept = [one for one in named if one in ranked[:LINES_MAX]] if len(named) > LINES_MAX else named
    return {
        "at_ns": [at_ns for at_ns, _ in kept[0][1]] if kept else [],
        "lines": [
            {"name": name, "values": [round(value, 6) for _, value in values]} for name, values in kept
        ],
        "unit": unit,
        "limit": None,
        "left_out": len(named) - len(kept),
    }


def _curve(result: Result, number: int, curve: Curve) -> dict[str, Any]:
    one = result.judged[number].expectation
    values = [
        None if value is None else "never" if value >= NEVER else round(value, 9) for value in curve.values
    ]
    return {
        "at_ns": curve.at_ns,
        "lines": [{"name": "measured", "values": values}],
        "unit": one.unit,
        "limit": {"value": one.bound, "text": bound_text(one)},
        "how": curve.how,
    }


def _ranks(series: Series) -> dict[str, Any]:
    """The percentile curve: latency at each rank."""
    whole = series.world.latencies.of()
    named = (("gateway", whole.gateway), ("cloud", whole.cloud))
    return {
        "permille": list(RANKS),
        "lines": [
            {"name": name, "values": [_rank(histogram, permille) for permille in RANKS]}
            for name, histogram in named
            if histogram.count + histogram.never
        ],
    }
