"""The report for people: verdict, expectations with what was measured, the ledger by cause, stages, who spent
what.

Belongs here: words and tables. Never: figures that aren't in the Result.
"""

from __future__ import annotations

import io
import sys
from dataclasses import replace
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from twinloop.scenarios.judging.judged import Judged
from twinloop.scenarios.judging.unspoken import unspoken_text
from twinloop.scenarios.judging.verdict import Verdict
from twinloop.scenarios.report.derived import derived_line
from twinloop.scenarios.report.result import Result
from twinloop.scenarios.text.errors import printable
from twinloop.scenarios.text.units import show_duration, show_number, show_ratio, show_size
from twinloop.scenarios.text.words import number_of

STYLES = {
    Verdict.PASS: "bold green",
    Verdict.FAIL: "bold red",
    Verdict.BROKEN: "bold white on red",
    Verdict.ABORTED: "bold yellow",
    Verdict.UNSTABLE: "bold red",
    Verdict.UNSURE: "bold yellow",
    Verdict.NO_DATA: "bold yellow",
    Verdict.INVALID: "bold red",
}
_MARKS = {Verdict.PASS: "✓", Verdict.FAIL: "✗", Verdict.NO_DATA: "?", Verdict.UNSURE: "~"}
TOLD_MAX = 3
"""kinds of faults, and of errors, of one gateway that are told; the result file has more"""
STDERR_LINES = 6
"""of a faulted component: half of them the first ones, half the last"""
NAMED_MAX = 8
"""points without a value, by name"""
_BUSY = 0.9
"""share of a line's time from which the report names it"""


UNWRAPPED = 100_000
"""columns of what is no terminal: whoever reads it, a program or a file, wants its lines whole"""


def console_of(aside: bool) -> Console:
    """Where reports go: to stdout, or ``aside`` to stderr."""
    stream = sys.stderr if aside else sys.stdout
    width = None if stream.isatty() else UNWRAPPED
    return Console(stderr=aside, highlight=False, soft_wrap=True, width=width)


def patient() -> None:
    """A terminal without ✓ gets a question mark, not a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def header(console: Console, data: dict[str, Any], file: str) -> None:
    """What is about to be judged: enough to repeat it."""
    versions = " ".join(f"{name} {text}" for name, text in data["versions"].items())
    console.print(
        f"[bold]{escape(data['scenario'])}[/]  {escape(file)}  seed {data['seed']}  clock {data['clock']}"
    )
    console.print(
        f"[dim]scenario {data['scenario_digest'][:16]}  trace {data['digest'][:16]}  {escape(versions)}[/]"
    )
    components = "  ".join(f"{name} {sha[:12]}" for name, sha in data["components"].items())
    console.print(f"[dim]components  {escape(components)}[/]")
    if "incident" in data:
        console.print(f"what happened in the field: {escape(data['incident'])}")


def report(console: Console, result: Result, file: str) -> None:
    """The whole report."""
    data = result.data
    header(console, data, file)
    console.print()
    _wrong(console, data.get("truth"))
    calibrated = all(band["calibrated"] for band in data["bands"].values())
    _expectations(console, result.judged, calibrated)
    _ledger(console, data["ledger"])
    for name, figures in data.get("derived", {}).items():
        console.print(f"[bold]derived[/]  {escape(derived_line(name, figures))}")
    _quality(console, data["quality"], data.get("truth"))
    _latency(console, data["latency"])
    if "fidelity" in data:
        _fidelity(console, data["fidelity"])
    _gateways(console, data)
    _lines(console, result)
    _commands(console, data["commands"])
    for note in result.notes:
        console.print(f"[yellow]note[/] {escape(note)}")
    if result.error:
        console.print(f"[bold red]{escape(result.error)}[/]")
    if result.divergence:
        console.print(escape(result.divergence))
    if result.agreed:
        console.print(escape(result.agreed))
    run = data["run"]
    speed = (
        f", {run['speedup']:{'.0f' if run['speedup'] >= 10 else '.2g'}} times real time"
        if run["speedup"]
        else ""
    )
    if "pace" in run and run["pace"]["lag"]["count"]:
        lag = run["pace"]["lag"]
        speed += f" (late by {show_duration(lag['p50_ns'])} p50, {show_duration(lag['p99_ns'])} p99)"
    console.print(
        f"\n[{STYLES[result.verdict]}]{result.verdict.value}[/]  {show_duration(run['simulated_ns'])} "
        f"simulated in {run['wall_s']:.1f} s"
        f"{speed}, {number_of(run['polls'], 'poll')}{beside(data['unspoken'], result.verdict)}"
    )
    if result.verdict is Verdict.NO_DATA and not result.judged:
        console.print("nothing is expected of this run: add expect, e.g. count(samples.missed) == 0")
    if result.verdict is not Verdict.PASS:
        console.print(f"reproduce: {escape(data['reproduce'])}")


def beside(unspoken: dict[str, int], verdict: Verdict) -> str:
    """What a PASS doesn't say by itself: what went wrong, and no expectation speaks of."""
    if not unspoken or verdict not in (Verdict.PASS, Verdict.UNSURE):
        return ""
    return f"; beside it {unspoken_text(unspoken)} of which no expectation speaks"


def _commands(console: Console, commands: dict[str, int]) -> None:
    """Writes that came from the cloud, and what became of them."""
    if commands["issued"]:
        failed = [
            f"[yellow]{count} failed: {escape(cause)}[/]"
            for cause, count in commands.items()
            if cause not in ("issued", "done")
        ]
        console.print(
            " · ".join(
                [
                    f"[bold]commands[/]  {commands['issued']} issued",
                    f"{commands.get('done', 0)} done",
                    *failed,
                ]
            )
        )


def _wrong(console: Console, truth: dict[str, Any] | None) -> None:
    """First of all: what was said to have been read, and never was shown."""
    if truth is None:
        return
    if truth["wrong"]:
        console.print(
            f"[bold red]wrong[/]  {number_of(truth['wrong'], 'reading is', 'readings are')} not what the "
            f"device showed; {escape(truth['example'])}"
        )
    if truth["commands_wrong"]:
        console.print(
            f"[bold red]wrong[/]  "
            f"{number_of(truth['commands_wrong'], 'write was', 'writes were')} called done and not; "
            f"{escape(truth['command_example'])}"
        )
    if truth["wrong"] or truth["commands_wrong"]:
        console.print()


def _quality(console: Console, quality: dict[str, Any], truth: dict[str, Any] | None) -> None:
    """What drivers returned by status, what was delivered without a value, who never had one, and how much of
    it was checked."""
    if not quality["known"]:
        return
    readings, parts = quality["readings"], [f"{quality['readings']['good']} good"]
    for name in ("uncertain", "bad"):
        if readings[name]:
            statuses = ", ".join(f"{status} {count}" for status, count in readings[name].items())
            parts.append(f"{sum(readings[name].values())} {name} ({escape(statuses)})")
    checked = ""
    if truth is not None and truth["readings"]:
        checked = f"   {truth['checked']} of {truth['readings']} checked against what the devices showed"
        if truth["asked_elsewhere"]:
            checked += f", {truth['asked_elsewhere']} of them by asking the process that serves them"
    console.print(f"[bold]readings[/]  {' · '.join(parts)}{checked}")
    for end, statuses in quality["ends"].items():
        bad = sum(count for status, count in statuses.items() if not status.startswith("Uncertain"))
        if bad and not end.startswith("missed"):
            console.print(
                f"  {bad} of the {end} {'has' if bad == 1 else 'have'} no value: "
                f"{escape(', '.join(f'{status} {count}' for status, count in statuses.items()))}"
            )
    if quality["valueless_count"]:
        shown = ", ".join(quality["valueless"][:NAMED_MAX])
        more = (
            f" and {quality['valueless_count'] - NAMED_MAX} more"
            if quality["valueless_count"] > NAMED_MAX
            else ""
        )
        console.print(f"[yellow]never a value[/]  {escape(shown)}{more}")


def measured_text(one: Judged) -> str:
    """A measured value with its unit."""
    value = one.measured
    if value is None:
        return "no data"
    if one.never:
        return "never"
    return value_text(value, one.unit, one.expectation.bound_unit)


def shown_text(one: Judged, calibrated: bool = False) -> str:
    """A measured value with its unit; where the ends of the bands were run, from where to where it goes, and
    what it is under another host program. ``calibrated``: all boards were measured themselves."""
    text = measured_text(one)
    ends = {name: measured_text(replace(one, measured=value)) for name, value in one.ends}
    low, high = ends.pop("low", text), ends.pop("high", text)
    parts = [] if low == high == text else [f"{low} … {high}, {'' if calibrated else 'not '}calibrated"]
    parts += [f"{name} {value}" for name, value in ends.items() if value != text]
    return f"{text} ({'; '.join(parts)})" if parts else text


def value_text(value: float, unit: str, bound_unit: str) -> str:
    """A value with its unit; ``bound_unit``: of a ``value``, the point's own."""
    if unit == "ns":
        return show_duration(value)
    if unit == "bytes":
        return show_size(value)
    if unit == "value":
        return f"{show_number(value)} {bound_unit}".rstrip()
    return show_ratio(value) if unit == "ratio" else show_number(value)


def _expectations(console: Console, judged: list[Judged], calibrated: bool) -> None:
    if not judged:
        return
    if console.width >= UNWRAPPED:
        _expectations_unwrapped(console, judged, calibrated)
        return
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    table.add_column()
    table.add_column(overflow="fold")
    table.add_column(justify="right")
    for one in judged:
        style = STYLES[one.verdict]
        table.add_row(
            f"[{style}]{_MARKS.get(one.verdict, '!')}[/]",
            escape(one.expectation.text),
            f"[{style}]{shown_text(one, calibrated)}[/]",
        )
        if one.why:
            table.add_row("", f"[dim]{escape(one.why)}[/]", "")
    console.print(table)
    console.print()


def _expectations_unwrapped(console: Console, judged: list[Judged], calibrated: bool) -> None:
    """The same without a column that is as wide as the longest reason."""
    wide = max(len(one.expectation.text) for one in judged)
    figures = max(len(shown_text(one, calibrated)) for one in judged)
    for one in judged:
        mark, text = _MARKS.get(one.verdict, "!"), one.expectation.text
        console.print(escape(f"{mark}  {text:<{wide}}  {shown_text(one, calibrated):>{figures}}"))
        if one.why:
            console.print(escape(f"   {one.why}"))
    console.print()


def _ledger(console: Console, ledger: dict[str, Any]) -> None:
    due = ledger["due"]
    parts = [f"{due} due", f"{ledger['delivered']} delivered"]
    parts += [f"{ledger['cached']} cached"] if ledger["cached"] else []
    for state in ("dropped", "evicted", "missed", "lost"):
        causes = ledger[state]
        if causes:
            by_cause = ", ".join(f"{cause} {count}" for cause, count in causes.items())
            parts.append(f"{sum(causes.values())} {state} ({by_cause})")
    beside = [
        f"{ledger[name]} {name}" for name in ("duplicates", "misordered", "late", "open") if ledger[name]
    ]
    console.print(
        f"[bold]samples[/]  {' · '.join(parts)}{'   beside: ' + ', '.join(beside) if beside else ''}"
    )


def _latency(console: Console, latency: dict[str, Any]) -> None:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("latency", style="bold")
    for name in ("p50", "p95", "p99", "max"):
        table.add_column(name, justify="right")
    rows = [
        ("gateway", latency["gateway"]),
        *((f"  {name}", figures) for name, figures in latency["stages"].items()),
        ("cloud", latency["cloud"]),
    ]
    for name, figures in rows:
        if (
            not figures["count"]
            and not figures["never"]
            and figures is not latency["cloud"]
            and not latency["gateway"]["count"]
        ):
            continue  # of a gateway that isn't ours nothing is known
        cells = [figures["p50_ns"], figures["p95_ns"], figures["p99_ns"], figures["max_ns"]]
        shown = [
            "never" if cell is None and figures["never"] else "-" if cell is None else show_duration(cell)
            for cell in cells
        ]
        table.add_row(name, *shown)
    console.print(table)


def _fidelity(console: Console, fidelity: dict[str, Any]) -> None:
    """The wire beside simulated time."""
    delivered = fidelity["delivered"]
    console.print(
        f"[bold]fidelity[/]  wire less virtual; the loopback takes "
        f"{show_duration(fidelity['loopback_ns'])} there and back; "
        f"{delivered['wire']} and {delivered['virtual']} of {delivered['due']} samples delivered"
    )
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("", style="bold")
    for name in ("p50 wire", "virtual", "difference", "p99 wire", "virtual", "difference"):
        table.add_column(name, justify="right")
    for name, ranks in fidelity["stages"].items():
        cells = [
            ranks[rank][side] for rank in ("p50_ns", "p99_ns") for side in ("wire", "virtual", "difference")
        ]
        table.add_row(name, *("-" if cell is None else show_duration(cell) for cell in cells))
    console.print(table)


def _told(console: Console, told: dict[str, Any]) -> None:
    """What components' faults and errors said: the first few kinds."""
    for one in told["faults"][:TOLD_MAX]:
        where = f" in {' < '.join(one['functions'])}" if one["functions"] else ""
        who = f"{one['instance']} ({one['component']})"
        times = number_of(one["count"], "time")
        if one["instances"] > 1:  # no single one is to blame
            who, times = one["component"], f"{times} in {one['instances']} instances"
        first = f" {one['instance']}" if one["instances"] > 1 else ""
        console.print(
            f"  fault  {escape(who)} {one['cause']}, {times}, first{escape(first)} {_when(one['first_ns'])} "
            f"after {one['fuel']} fuel: {escape(one['message'])}{escape(where)}"
        )
        lines = one["stderr"].rstrip().splitlines()
        if len(lines) > STDERR_LINES:  # what went wrong stands first in some languages, last in others
            more = number_of(len(lines) - STDERR_LINES, "more line")
            lines[STDERR_LINES // 2 : -STDERR_LINES // 2] = [f"({more})"]
        for line in lines:
            console.print(f"    stderr  {escape(printable(line))}")
    for one in told["errors"][:TOLD_MAX]:
        console.print(
            f"  error  {escape(one['component'])}, {number_of(one['count'], 'time')}, first for "
            f"{escape(one['device'])} {_when(one['first_ns'])}: {escape(printable(one['error']))}"
        )
    told = {**told, "limits": [one for one in told["limits"] if one["limit"] != "denied"]}  # said below
    for one in told["limits"][:TOLD_MAX]:
        text = f"{one['instance']} ({one['component']}) {one['limit']}, {number_of(one['count'], 'time')}"
        console.print(f"  limit  {escape(text)}")
    for one in told["denied"][:TOLD_MAX]:
        text = f"{one['instance']} ({one['component']}) {one['function']}, {number_of(one['count'], 'time')}"
        console.print(f"  denied  {escape(text)}")
    for what in ("faults", "errors", "limits", "denied"):
        if len(told[what]) > TOLD_MAX:
            left = number_of(len(told[what]) - TOLD_MAX, "more kind")
            console.print(f"  and {left} of {what}, told in result.json (--out)")


def _when(at_ns: int) -> str:
    return f"at {show_duration(at_ns)}" if at_ns >= 0 else "at boot"


def _gateways(console: Console, data: dict[str, Any]) -> None:
    for name, figures in data["gateways"].items():
        band = data["bands"][name]
        console.print(
            f"[bold]gateway {escape(name)}[/]  {figures['board']} ({band['runtime']}, "
            f"{'metered' if band['metered'] else 'not metered'})  "
            f"cpu {show_ratio(figures['cpu_ratio'])}  memory {show_size(figures['memory_peak_bytes'])}  "
            f"boot {show_duration(figures['boot_ns'] or 0)}  "
            f"compiled in {show_duration(figures['install_ns'])}"
            + (
                f"  faults {', '.join(f'{cause} {count}' for cause, count in figures['faults'].items())}"
                if figures["faults"]
                else ""
            )
            + (f"  quarantined {figures['quarantined']}" if figures["quarantined"] else "")
            + (f"  watchdog resets {figures['watchdog']}" if figures["watchdog"] else "")
            + (
                f"  drivers {', '.join(f'{health} {count}' for health, count in figures['health'].items())}"
                if figures["health"]
                else ""
            )
        )
        spent = sorted(figures["components"].items(), key=lambda item: -item[1]["cpu_ns"])
        shares = "  ".join(
            f"{component} {show_duration(one['cpu_ns'])} ({show_ratio(one['fuel_ns'] / one['cpu_ns'])} fuel)"
            if one["cpu_ns"]
            else f"{component} 0 s"
            for component, one in spent
        )
        console.print(f"  cpu time  {escape(shares)}  host {show_duration(figures['host_ns'])}")
        _told(console, figures["told"])
        uplink, store = figures["uplink"], figures["store"]
        text = (
            f"  uplink  {uplink['published']} published, {uplink['resent']} given back, "
            f"{number_of(uplink['lost_sessions'], 'session')} lost"
        )
        if store:
            text += (
                f"  store  {store['written']} written, at most {store['waiting_peak']} waiting "
                f"({show_size(store['peak_bytes'])})"
            )
        console.print(text)
    for text in provenance(data["bands"]):
        console.print(f"[dim]{escape(text)}[/]")


def provenance(bands: dict[str, Any]) -> list[str]:
    """Where modelled times come from: a line for each board, host and runtime, however many gateways have
    it."""
    lines = [
        f"{band['board']}, {band['runtime']}, {band['host']}: {band_text(band)}; "
        f"{band['fuel_ps'] / 1000:g} ns a unit of fuel; {band['source']}"
        for band in bands.values()
    ]
    return list(dict.fromkeys(lines))


def band_text(band: dict[str, Any]) -> str:
    """How far modelled CPU times may be off."""
    calibrated = "calibrated on the board" if band["calibrated"] else "not calibrated on a board"
    return f"cpu times are modelled: x/÷ {band['factor']:.2g} (90 %), {calibrated}"


def _lines(console: Console, result: Result) -> None:
    for line in result.lines:
        if line.busy_ratio >= _BUSY or line.timeouts:
            console.print(
                f"[yellow]line {escape(line.name)}[/] busy {100 * line.busy_ratio:.0f} % of the time, "
                f"{number_of(line.exchanges, 'exchange')}, "
                f"{number_of(line.timeouts, 'timeout')}, up to {line.longest_queue} waiting"
            )
