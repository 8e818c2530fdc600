"""What is made of a measure: factors, the profiles that the simulator reads, the tables of the page.

Belongs here: arithmetic and text from what ``measured.json`` holds, and nothing that runs. So a test can hold
the page and the profiles to the measure.
"""

from __future__ import annotations

import statistics
from typing import Any

from benchmarks.runtimes.measuring import KERNELS
from benchmarks.runtimes.modes import MODES, PROFILES, REFERENCE, Profile

BEGIN, END = "<!-- begin: make runtimes -->", "<!-- end: make runtimes -->"
MIB, KIB = 1 << 20, 1 << 10
LAZY = ("wasmi", "node")
"""what compiles a function when it is first called: its `compile` is only a look at the module"""
ROWS = {
    **{profile.name: profile.name for profile in PROFILES},
    "wasmtime+64MiB": "wasmtime, 64 MiB reserved",
}
"""mode -> how the page's first table calls it"""


def ratios(measured: dict[str, Any], mode: str, other: str = REFERENCE) -> list[float]:
    """Time of each kernel in one mode over that in another."""
    own, reference = (measured["modes"][name]["kernels_ns"] for name in (mode, other))
    return [own[name] / reference[name] for name in KERNELS]


def short(value: float) -> float:
    """Three significant digits."""
    return float(f"{value:.3g}")


def metered(measured: dict[str, Any], name: str) -> str | None:
    """The mode that is a profile's, with instructions counted; None where nothing counts or it wasn't had."""
    return next((mode.name for mode in MODES if mode.plain == name and mode.name in measured["modes"]), None)


def profile(measured: dict[str, Any], name: str) -> dict[str, Any]:
    """Every figure of one profile; raises KeyError when it wasn't measured."""
    own, reference = measured["modes"][name], measured["modes"][REFERENCE]
    times, counted = ratios(measured, name), metered(measured, name)
    return {
        "version": own["version"],
        "fuel_factor": {
            "value": short(statistics.geometric_mean(times)),
            "low": short(min(times)),
            "high": short(max(times)),
        },
        "fuel_factor_paired": short(statistics.geometric_mean(own["paired_ratios"].values())),
        "metered_factor": (
            short(statistics.geometric_mean(ratios(measured, counted, name))) if counted else None
        ),
        "compile_factor": short(own["compile_us"] / reference["compile_us"]),
        "instantiate_us": own["instantiate_us"],
        "call_ns": own["call_ns"],
        "address_reservation_bytes": own["addresses_bytes"] // MIB * MIB,  # less is what it uses
        "memory_bytes_per_instance": own["memory_bytes"],
        "source": f"make runtimes: {len(KERNELS)} kernels, {measured['machine']}",
        "date": measured["date"],
    }


def profiles(measured: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Those that were measured, by name, and the modes that have a row of their own."""
    return {name: profile(measured, name) for name in ROWS if name in measured["modes"]}


def size(size_bytes: int) -> str:
    """With its unit: MiB where there are some, else KiB."""
    if size_bytes == 0:
        return "0 B"
    return f"{size_bytes // MIB} MiB" if size_bytes >= MIB else f"{max(1, round(size_bytes / KIB))} KiB"


def _entry(one: Profile, figures: dict[str, Any]) -> list[str]:
    number = figures["version"].removeprefix("v").split()[0]
    title = one.title.replace("VERSION", ".".join(number.split(".")[: one.parts]))
    fuel = figures["fuel_factor"]
    if one.name == REFERENCE:
        fuel = dict.fromkeys(fuel, 1)
    lines = [
        f"  {one.name}:",
        f"    title: {title}",
        f"    components: {str(one.components).lower()}",
        f"    isas: [{', '.join(one.isas)}]",
        f"    metered: {str(figures['metered_factor'] is not None).lower()}",
        f"    reservation: {size(figures['address_reservation_bytes'])}",
        f"    fuel: {{value: {fuel['value']:g}, low: {fuel['low']:g}, high: {fuel['high']:g}, "
        f'source: "{figures["source"]}", date: {figures["date"]}}}',
        f"    instance: {size(figures['memory_bytes_per_instance'])}",
    ]
    if one.interpreter:
        lines.append("    interpreter: true")
    return [*lines, f"    lacks: {one.lacks}"] if one.lacks else lines


def profiles_yaml(measured: dict[str, Any]) -> str:
    """The text of scenarios/file/boards/runtimes.yaml."""
    found = profiles(measured)
    lines = [
        "# Runtimes as they were measured: written by `make runtimes`, which tells how in docs/runtimes.md.",
        "# `fuel`: CPU time of kernels against wasmtime's Cranelift that counts nothing: mean, smallest,",
        "# largest. `reservation`: addresses that an instance with one memory takes on x86-64; `instance`:",
        "# its memory there.",
        "format: 1",
        "runtimes:",
    ]
    for one in PROFILES:
        if one.name in found:
            lines += _entry(one, found[one.name])
    return "\n".join(lines) + "\n"


def _table(head: list[str], rows: list[list[str]]) -> str:
    rule = ["---", *["--:"] * (len(head) - 1)]
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, rule, *rows])


def _factor(value: float) -> str:
    return f"{value:.2f}" if value < 10 else f"{value:.0f}"


def _row(measured: dict[str, Any], name: str, found: dict[str, Any]) -> list[str]:
    fuel, counted = found["fuel_factor"], found["metered_factor"]
    compile_ms = measured["modes"][name]["compile_us"] / 1000
    return [
        ROWS[name],
        found["version"].split()[0].removeprefix("v"),
        f"{_factor(fuel['value'])} ({_factor(fuel['low'])} to {_factor(fuel['high'])})",
        _factor(found["fuel_factor_paired"]),
        "-" if counted is None else f"× {counted:.2f}",
        f"{compile_ms:.2f}" + (" (lazy)" if name in LAZY else ""),
        f"{found['instantiate_us']:.0f}",
        f"{found['call_ns']:.0f}",
        size(found["memory_bytes_per_instance"]),
        size(found["address_reservation_bytes"]),
    ]


def tables(measured: dict[str, Any]) -> str:
    """What docs/runtimes.md has between its two markers."""
    found = profiles(measured)
    head = ["runtime", "version", "time against Cranelift", "paired", "when it counts", "compile, ms"]
    head += ["instantiate, us", "empty call, ns", "memory an instance", "addresses an instance"]
    first = _table(head, [_row(measured, name, one) for name, one in found.items()])
    names = [one.name for one in PROFILES if one.name in found]
    times = {name: ratios(measured, name) for name in names}
    second = _table(
        ["kernel", f"{REFERENCE}, ns", *names[1:]],
        [
            [
                kernel,
                f"{measured['modes'][REFERENCE]['kernels_ns'][kernel]:.0f}",
                *(_factor(times[name][number]) for name in names[1:]),
            ]
            for number, kernel in enumerate(KERNELS)
        ],
    )
    words = [
        f"Measured on {measured['machine']}, {measured['date']}, the smallest of {measured['rounds']} "
        f"rounds; the machine's load was {measured['load'][0]:.1f} at the start and "
        f"{measured['load'][1]:.1f} at the end.",
        first,
        f"Each kernel: nanoseconds of one time in {REFERENCE}'s Cranelift, and the others' multiples of it.",
        second,
    ]
    if measured["missing"]:
        words.append("Not measured: " + "; ".join(f"{k} ({v})" for k, v in measured["missing"].items()) + ".")
    return "\n\n".join(words)


def page(text: str, measured: dict[str, Any]) -> str:
    """The page with the tables of a measure; raises ValueError when it lacks a marker."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"docs/runtimes.md: expected the lines {BEGIN} and {END}")
    return f"{before}{BEGIN}\n\n{tables(measured)}\n\n{END}{after}"
