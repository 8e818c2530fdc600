"""The sections of a report page, as HTML: headings, tables, where pictures stand.

Belongs here: what is shown of the figures, in which words. Never: choosing figures (figures.py), pictures
(charts.py), the frame around all of it (page.py). Whatever is the user's goes through ``escape``.
"""

from __future__ import annotations

from html import escape
from typing import Any

from twinloop.scenarios.page.charts import Shade, over_ranks, over_time
from twinloop.scenarios.page.tables import Cell, bar, number, table
from twinloop.scenarios.text.units import show_clock, show_duration, show_ratio
from twinloop.scenarios.text.words import number_of

KINDS = {"PASS": "good", "FAIL": "bad", "BROKEN": "bad", "UNSTABLE": "bad", "INVALID": "bad"}
"""of verdicts, for colours; the others are in doubt. The word always stands beside the colour"""
_NOT_JUDGED = (
    "The scenario expects nothing, so nothing was judged.",
    "The run broke, so nothing was judged.",
)
"""without expectations that were judged: because there are none, or because something broke"""
_OPEN = ("FAIL", "UNSURE")
"""expectations with these verdicts show their picture at once, the others when they are asked"""


def verdict(data: dict[str, Any]) -> str:
    """The head of the page: what was run, what came of it, and why."""
    kind = KINDS.get(data["verdict"], "doubt")
    held = sum(one["verdict"] == "PASS" for one in data["expectations"])
    whole = len(data["expectations"])
    said = f"{held} of {number_of(whole, 'expectation')} held." if whole else _NOT_JUDGED[bool(data["error"])]
    why = ""
    if any(data["why"] == one["expression"] for one in data["expectations"]):
        why = f" The first that did not: <code>{escape(data['why'])}</code>"
    elif data["why"]:
        why = f" {escape(data['why'][0].upper() + data['why'][1:])}."
    notes = "".join(f"<li>{escape(note)}</li>" for note in data["notes"])
    return (
        f"<h1>{escape(data['scenario'])}</h1>"
        f'<p class="verdict {kind}"><strong>{escape(data["verdict"])}</strong>{escape(said)}{why}</p>'
        + (f"<p>What happened in the field: {escape(data['incident'])}</p>" if data["incident"] else "")
        + (f"<h3>Notes</h3><ul>{notes}</ul>" if notes else "")
    )


def expectations(data: dict[str, Any]) -> str:
    """Each with its limit, what was measured, its verdict, and its values over time."""
    rows = [
        [
            Cell(f"<code>{escape(one['expression'])}</code>", "long"),
            number(one["limit"]),
            number(one["measured"]),
            Cell(escape(one["verdict"]), KINDS.get(one["verdict"], "doubt")),
            Cell(escape(one["why"]), "long"),
        ]
        for one in data["expectations"]
    ]
    if not rows:
        return f"<p>{_NOT_JUDGED[bool(data['error'])]}</p>"
    heads = ["expectation", "limit", "measured", "verdict", "why"]
    out = [table("What was expected and what was measured", heads, rows)]
    for one in data["expectations"]:
        chart = data["charts"].get(one["chart"] or "")
        if chart is not None:
            shown = " open" if one["verdict"] in _OPEN else ""
            out.append(
                f"<details{shown}><summary>{escape(one['verdict'])}: <code>{escape(one['expression'])}</code>"
                f" over time</summary>{_chart(data, one['chart'], one['expression'])}</details>"
            )
    return "".join(out)


def latency(data: dict[str, Any]) -> str:
    """Percentiles over time, and the percentile curve of the whole run."""
    window = show_duration(data["window_ns"])
    out = [
        f"<p>Of the samples that were due in each window of {escape(window)}: the latency that half of them, "
        "95 % and 99 % of them kept within. A triangle at the top stands for samples that never came.</p>"
    ]
    for where, words in (("gateway", "until the gateway's verdict"), ("cloud", "until the cloud had it")):
        if f"latency-{where}" in data["charts"]:
            out.append(f"<h3>Latency {words}</h3>{_chart(data, f'latency-{where}', f'Latency {words}')}")
    if data["ranks"]["lines"]:
        out.append(
            "<h3>Percentile curve</h3>"
            "<p>How late the slowest part of all samples was: further to the right stand ever fewer of them, "
            "up to the slowest one.</p>"
        )
        out.append(over_ranks("ranks", "Latency over percentile", data["ranks"]))
    return "".join(out)


def trouble(data: dict[str, Any]) -> str:
    """The entries of the timeline that have begun, with the numbers that the shades in pictures have."""
    if not data["trouble"]:
        return "<p>Nothing went wrong by the timeline, and nothing was commanded.</p>"
    rows = [
        [
            number(str(one.number)),
            Cell(escape(one.text.partition(", ")[0]), "long"),
            number(show_clock(one.begin_ns)),
            number("at once" if one.end_ns is None else show_clock(one.end_ns)),
        ]
        for one in shades(data)
    ]
    left = data["trouble_left_out"]
    more = f"<p>{left} more began later, and are not shown.</p>" if left else ""
    return table("What the timeline did", ["number", "what", "from", "until"], rows) + more


def shades(data: dict[str, Any]) -> list[Shade]:
    """The trouble of a run, numbered, in the words of its file."""
    out = []
    for place, one in enumerate(data["trouble"], 1):
        what = f"{one['verb']} {one['target']}"
        if one["detail"] and one["detail"] != one["verb"]:
            what += f" ({one['detail']})"
        when = f"from {show_clock(one['begin_ns'])} to {show_clock(one['end_ns'])}" if one["end_ns"] else ""
        words = f"{what.replace(', ', ' ')}, {when or 'at ' + show_clock(one['begin_ns'])}"
        out.append(Shade(place, one["begin_ns"], one["end_ns"], words))
    return out


def stages(data: dict[str, Any]) -> str:
    """Where the time of all samples together went."""
    whole = sum(one["total_ns"] for one in data["stages"].values())
    if not whole:
        return "<p>No sample got a verdict.</p>"
    rows = [
        [
            Cell(escape(name)),
            number(show_duration(one["total_ns"])),
            number(_share(one["total_ns"] / whole)),
            Cell(bar(one["total_ns"] / whole)),
            *(number(_time(one[key])) for key in ("p50_ns", "p99_ns", "max_ns")),
        ]
        for name, one in data["stages"].items()
    ]
    heads = ["stage", "together", "share", "share as a bar", "p50", "p99", "max"]
    return (
        "<p>The stages of a sample add up to its latency at the gateway. Queue is the time in which it "
        "waited for a core, or for an instance that served another call; the others are the work itself.</p>"
    ) + table("Time by stage, of all points that got a verdict", heads, rows)


def gateways(data: dict[str, Any]) -> str:
    """Gauges over time."""
    out = []
    for name, title, words in (
        ("cpu", "CPU share", "The share of all cores' time that was used between two looks."),
        ("memory", "Memory", "Instances and their linear memory."),
        ("backlog", "Backlog", "The most messages that waited in the store, in each window of time."),
        ("lines", "Load of serial lines", "The share of time in which somebody had the line."),
    ):
        if name in data["charts"]:
            out.append(f"<h3>{title}</h3><p>{words}</p>{_chart(data, name, title)}")
    for one in data["bands"]:
        out.append(f'<p class="faint">{escape(one)}</p>')
    return "".join(out) or "<p>There is no gateway of which something is known.</p>"


def ledger(data: dict[str, Any]) -> str:
    """What became of each point that was due, by end, cause and quality."""
    due = data["ledger"]["due"]
    rows = []
    for one in data["ends"]:
        marked = ", ".join(f"{status} {count}" for status, count in one["marked"].items())
        share = one["points"] / due if due else 0.0
        rows.append(
            [
                Cell(escape(one["end"])),
                Cell(escape(one["cause"] or "-")),
                number(str(one["points"])),
                number(_share(share)),
                Cell(bar(share)),
                Cell(escape(marked or "-"), "long"),
            ]
        )
    beside = [
        f"{data['ledger'][name]} {name}"
        for name in ("duplicates", "misordered", "late", "open")
        if data["ledger"][name]
    ]
    heads = ["end", "cause", "points", "share", "share as a bar", "readings that weren't Good"]
    said = (
        f"<p>{due} points were due. {escape('Beside that: ' + ', '.join(beside) + '.') if beside else ''}</p>"
    )
    picture = _chart(data, "ends", "Points by end") if "ends" in data["charts"] else ""
    return (
        f"{said}{table('What became of them', heads, rows)}"
        f"<h3>Ends over time</h3><p>Points that came to each end in each window of time.</p>{picture}"
    )


def slowest(data: dict[str, Any]) -> str:
    """Single samples, each with where its time went."""
    if not data["slowest"]:
        return "<p>No sample got a verdict.</p>"
    names = list(data["slowest"][0]["stages"])
    rows = [
        [
            Cell(escape(one["device"])),
            number(f"{one['due_ns'] / 1e9:.3f} s"),
            number(show_duration(one["total_ns"])),
            *(number(show_duration(one["stages"][name]) if one["stages"][name] else "-") for name in names),
            Cell(escape(one["waited_for"] or "-")),
        ]
        for one in data["slowest"]
    ]
    heads = ["device", "due at", "latency", *names, "queued for"]
    return table("The slowest samples that got a verdict, and where their time went", heads, rows)


def devices(data: dict[str, Any]) -> str:
    """Those that stand out."""
    if not data["devices"]:
        return "<p>No device has anything to show.</p>"
    rows = [
        [
            Cell(escape(one["device"])),
            number(str(one["due"])),
            number(str(one["gone"])),
            number(str(one["bad"])),
            number(_time(one["worst_ns"])),
            Cell(escape(", ".join(one["because"]))),
        ]
        for one in data["devices"]
    ]
    heads = [
        "device",
        "points due",
        "missed, lost or evicted",
        "bad readings",
        "worst latency",
        "among the first by",
    ]
    return table("Devices with the most points that never came, bad readings, or latency", heads, rows)


def repeating(data: dict[str, Any]) -> str:
    """What was run, and how to run it again."""
    parts = [
        ("scenario file", data["file"]),
        ("scenario digest", data["scenario_digest"]),
        ("trace digest", data["digest"]),
        ("seed", str(data["seed"])),
        ("clock", data["clock"]),
        ("duration", show_clock(data["duration_ns"])),
        *((f"component {name}", digest) for name, digest in data["components"].items()),
        *((f"recording {name}", digest) for name, digest in data["recordings"].items()),
    ]
    items = "".join(f"<dt>{escape(name)}</dt><dd><code>{escape(text)}</code></dd>" for name, text in parts)
    return (
        f"<p>The same run again, which has the same trace digest:</p><pre><code>{escape(data['reproduce'])}"
        f"</code></pre><dl>{items}</dl>"
    )


def _chart(data: dict[str, Any], name: str, title: str) -> str:
    return over_time(name, title, data["charts"][name], data["end_ns"], shades(data))


def _share(value: float) -> str:
    """A share, without an exponent where it is next to nothing."""
    return "< 0.001 %" if 0 < value < 1e-5 else show_ratio(value)


def _time(value: int | None) -> str:
    return "-" if value is None else show_duration(value)
