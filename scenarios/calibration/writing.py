"""The text of a board file that was measured.

Belongs here: keys, units, sources, comments. Never: figures (board.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import yaml

from twinloop.scenarios.calibration.board import HOST_TO_HOST, ComponentFigures, Figures
from twinloop.scenarios.calibration.fitting import Level, level
from twinloop.scenarios.calibration.machine import Facts, Flash
from twinloop.scenarios.calibration.outside import Outside
from twinloop.scenarios.file.boards.reading import shipped
from twinloop.sim.model.boards import Figure

ESTIMATED = ("publish", "ack", "store", "tls_handshake")
"""work that only a gateway's own program does: scaled from ESTIMATED_FROM"""
ESTIMATED_FROM = "raspberry-pi-4"
FLASH_BAND, LIBRARY_BAND = 2.0, 1.5
"""ours: flash slows when it fills up; another library does the same work in another time"""


@dataclass(frozen=True, slots=True)
class Measured:
    """All that was measured. ``method``: the source that every figure names; ``date``: YYYY-MM-DD."""

    title: str
    facts: Facts
    figures: Figures
    components: Sequence[ComponentFigures]
    chased: dict[str, float]
    outside: Outside
    flash: Flash
    method: str
    date: str


def board_file(found: Measured) -> str:
    """Its text; what it says is read by boards/reading.py."""
    figures, facts = found.figures, found.facts
    lines = [
        "# Written by twinloop calibrate on the board itself.",
        "# A step of a chase through memory: "
        + ", ".join(f"{took:.3g} ns through {size}" for size, took in found.chased.items())
        + "; components that walk through much memory take longer than fuel says.",
        "format: 1",
        f"title: {_text(found.title)}",
        f"isa: {facts.isa}",
        f"cores: {facts.cores}",
        f"clock: {facts.clock_mhz} MHz",
        f"memory: {facts.memory_bytes >> 20} MiB",
        f"address-bits: {{value: {facts.address_bits}, source: {_text(found.method)}, date: {found.date}}}",
        "runtime: wasmtime",
        _entry(
            "instruction",
            _ns(figures.instruction),
            found,
            "host programs that weren't measured by themselves",
        ),
        _entry("fuel", _ns(figures.fuel), found, f"{figures.fuel.points} kernels, each left out once"),
        _entry("metered-fuel", _ns(figures.metered_fuel), found, "the same kernels while fuel is counted"),
        _entry(
            "instantiate",
            _us(found.outside.instantiate_ns, LIBRARY_BAND),
            found,
            "normalize, through the C API",
        ),
        _entry(
            "flash",
            f"value: {max(1, found.flash.bytes_per_s // 1000)} kB/s, band: {FLASH_BAND:g}",
            found,
            f"each MiB synced; a small write and its sync waited {found.flash.sync_ns // 1000} us",
        ),
        "work:",
        *_work(found),
        *_hosts(found),
        *_components(found),
        "calibrated: true",
    ]
    return "\n".join(lines) + "\n"


def _work(found: Measured) -> list[str]:
    outside, other = found.outside, shipped(ESTIMATED_FROM)
    ratio = found.figures.instruction.value * 1000 / other.instruction_ps.value
    lines = []
    for name in ESTIMATED:
        figure: Figure = other.work_ns[name]
        value = _us(max(1, round(figure.value * ratio)), figure.band)
        source = f"ours: the estimate of {ESTIMATED_FROM} scaled by the time of an instruction"
        lines.append(f"  {name.replace('_', '-')}: {{{value}, source: {_text(source)}, date: {found.date}}}")
    compiled = level(outside.compile_kib_ns)
    rows = (
        ("commit", _us(found.flash.sync_cpu_ns, FLASH_BAND), "CPU time of a small write and its sync"),
        ("verify", _us(outside.verify_ns, LIBRARY_BAND), "OpenSSL, 256 bytes"),
        (
            "digest-kib",
            _us(outside.digest_kib_ns, LIBRARY_BAND),
            "OpenSSL, with what the processor has for it",
        ),
        (
            "compile-kib",
            _us(round(compiled.value), compiled.band),
            f"{compiled.points} components, each left out once",
        ),
    )
    return lines + [f"  {_entry(name, value, found, how)}" for name, value, how in rows]


def _hosts(found: Measured) -> list[str]:
    hosts = found.figures.hosts
    return ["hosts:"] + [
        f"  {_entry(name, _ns(one), found, f'{one.points or 10} calls of 1 to 40 readings')}"
        for name, one in hosts.items()
    ]


def _components(found: Measured) -> list[str]:
    lines = []
    for one in found.components:
        if one.why_not:
            lines.append(f"# {one.name}: the board's own fuel, as {one.why_not}")
            continue
        lines += [
            f"  - component: {_text(one.name)}",
            f'    sha256: "{one.sha256}"',
            f"    {_entry('fuel', _ns(one.plain), found, f'{one.calls} calls, less what counting takes')}",
            f"    {_entry('metered-fuel', _ns(one.metered), found, f'{one.calls} calls of a scenario')}",
        ]
    return ["components:", *lines] if any(not one.why_not for one in found.components) else lines


def _entry(name: str, value: str, found: Measured, how: str) -> str:
    return f"{name}: {{{value}, source: {_text(f'{found.method}: {how}')}, date: {found.date}}}"


def _ns(one: Level) -> str:
    return f"value: {max(1, round(one.value * 1000)) / 1000:g} ns, band: {max(1.0, round(one.band, 2)):g}"


def _us(time_ns: float, band: float) -> str:
    return f"value: {max(1, round(time_ns))} ns, band: {max(1.0, round(band, 2)):g}"


def _text(text: str) -> str:
    """As YAML has it on one line."""
    return str(yaml.safe_dump(text, default_style='"', width=10_000, allow_unicode=True)).strip()


def derived(found: Measured) -> str:
    """What the file's reader should know of a host that wasn't measured."""
    missing = [name for name in ("rust-typed", "c-api", "python") if name not in found.figures.hosts]
    if not missing:
        return ""
    return (
        f"{' and '.join(missing)}: not measured; from counted instructions and the time of one in "
        f"the others, x/÷ {HOST_TO_HOST.band:g} (--host-binary measures it)"
    )
