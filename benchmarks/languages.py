"""``python -m benchmarks.languages``: what the same pipeline costs in each language, by figures of
result.json and of the host.

Belongs here: the plant, which files a language's pipeline is made of, and the tables. Never: bounds
(ratios.py), building (tests/guests/Makefile). Every starter does what components/starters/BEHAVIOUR.md says,
so only the language differs. A language whose files aren't built is named and left out. All figures but CPU
and wall time of this machine are equal on any machine.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from twinloop.components.host.cache import FOLDER_VARIABLE
from twinloop.components.host.call_state import NeedsFibers
from twinloop.components.host.host import Host
from twinloop.components.wasi.interfaces import ALWAYS, harmless, package
from twinloop.scenarios import front
from twinloop.scenarios.runner import Options, run
from twinloop.scenarios.text.units import show_duration, show_ratio, show_size
from twinloop.sim.gateway.slot import Slot
from twinloop.sim.world import World

ROOT = Path(__file__).parents[1]
COMMITTED, BUILT = ROOT / "components" / "starters" / "built", ROOT / "build" / "guests"
ROLES = ("driver", "transform", "policy")
CLOCKS = "wasi:clocks"
BOARDS = ("raspberry-pi-4", "beaglebone-black")
PLANTS = ((10, 60), (100, 20))
"""(devices, seconds): what a small and a large gateway does"""
START = "10 s"
"""of CPU time for start code: a whole interpreter on the slowest board takes half a second"""


@dataclass(frozen=True)
class Language:
    """A pipeline in one language: where its three files lie, and the grant of WASI that they are given."""

    name: str
    files: dict[str, Path]
    grants: tuple[str, ...] = ()

    @property
    def missing(self) -> list[str]:
        """Files that aren't there."""
        return [path.name for path in self.files.values() if not path.exists()]


def _starters(name: str, stem: str, folder: Path = BUILT, grants: tuple[str, ...] = ()) -> Language:
    return Language(name, {role: folder / f"{stem}-{role}.wasm" for role in ROLES}, grants)


C, RUST = _starters("C", "c", COMMITTED), _starters("Rust", "rust", COMMITTED)
LANGUAGES = {
    "c": C,
    "rust": RUST,
    "rust-wasip2": Language(
        "Rust, wasip2",
        {
            "driver": COMMITTED / "rust-driver-wasip2.wasm",
            "transform": COMMITTED / "rust-transform-wasip2.wasm",
            "policy": RUST.files["policy"],
        },
    ),
    "rego": Language("Rego policy, rest C", {**C.files, "policy": COMMITTED / "rego-policy.wasm"}),
    "go": _starters("Go", "starter-go", grants=(CLOCKS,)),
    "qjs": _starters("JavaScript, QuickJS", "starter-qjs"),
    "qjs-async": _starters("JavaScript, QuickJS, async", "starter-qjs-async"),
    "js": _starters("JavaScript, StarlingMonkey", "starter-js", grants=(CLOCKS,)),
    "python": _starters("Python", "starter-python"),
}


def plant(language: Language, board: str, devices: int, seconds: int) -> dict[str, Any]:
    """The scenario, as a file would hold it."""

    def component(role: str) -> dict[str, Any]:
        own = ("fieldbus", "clock") if role == "driver" else ()
        limits = {"start": START, "memory": "32 MiB"}
        return {
            "wasm": str(language.files[role]),
            "grants": [*own, *language.grants],
            "limits": limits,
        }

    return {
        "format": 2,
        "name": "languages",
        "duration": f"{seconds} s",
        "fleets": {
            "presses": {
                "device": "press-sensor",
                "protocol": "modbus-tcp",
                "count": devices,
                "poll": "1 s",
                "link": "plant",
                "gateway": "gw",
                "driver": "driver",
            }
        },
        "links": {"plant": {"preset": "lan"}, "cloud": {"preset": "lte"}},
        "components": {role: component(role) for role in ROLES},
        "gateways": {
            "gw": {
                "board": board,
                "transform": "transform",
                "policy": "policy",
                "uplink": {"link": "cloud"},
                "store": {},
            }
        },
        "expect": ["ratio(samples.delivered) >= 99.9 %"],
    }


class Heard:
    """In the place of a slot's meter: hands on what is charged, and keeps what each call and start took, and
    the instance's memory at its peak."""

    def __init__(self, slot: Slot) -> None:
        self.slot, self.meter = slot, slot.meter
        self.calls: list[int] = []
        self.start = self.peak_bytes = 0

    def charge(self, fuel: int, calls: int, imports: int, exchanges: int, values: int, count: int) -> int:
        """A segment of a call; ``calls`` is 1 in its first."""
        if calls:
            self.calls.append(0)
        self.calls[-1] += fuel
        assert self.slot.instance is not None
        self.peak_bytes = max(self.peak_bytes, self.slot.instance.memory.peak_bytes)
        return self.meter.charge(fuel, calls, imports, exchanges, values, count)

    def charge_call(self, fuel: int, values: int) -> int:
        """A whole call in one segment."""
        return self.charge(fuel, 1, 0, 0, values, 0)

    def charge_start(
        self, fuel: int, calls: int, imports: int, exchanges: int, values: int, count: int
    ) -> int:
        """A segment of start code."""
        self.start += fuel
        return self.meter.charge_start(fuel, calls, imports, exchanges, values, count)

    @property
    def profile(self) -> Any:
        """The board's prices."""
        return self.meter.profile

    @property
    def faults(self) -> dict[str, int]:
        """By cause."""
        return self.meter.faults

    @property
    def instantiate_ns(self) -> int:
        """CPU time of new instances."""
        return self.meter.instantiate_ns

    @instantiate_ns.setter
    def instantiate_ns(self, value: int) -> None:
        self.meter.instantiate_ns = value


@dataclass
class Listening:
    """Given to a run as ``started``: every slot of its world is heard."""

    heard: list[Heard] = field(default_factory=list)

    def begin(self, world: World) -> None:
        """Take the places of the meters."""
        self.heard.clear()  # of a run that began anew
        for gateway in world.gateways:
            for slot in gateway.rack.all():
                heard = Heard(slot)
                slot.meter = heard  # type: ignore[assignment]
                self.heard.append(heard)

    def of(self, role: str) -> dict[str, int]:
        """Of one role's instances: fuel to start, fuel of the middle call, memory of the largest."""
        ones = [one for one in self.heard if one.slot.spec.name == role]
        calls = [fuel for one in ones for fuel in one.calls[1:]]  # the first is configure
        return {
            "start": int(statistics.median(one.start for one in ones)),
            "call": int(statistics.median(calls)),
            "memory": max(one.peak_bytes for one in ones),
        }


@dataclass
class Measured:
    """A language's figures. ``runs``: (board, devices) -> what result.json says of it."""

    language: Language
    compile_s: float = 0.0
    """CPU seconds of this machine; of a cold compile where no code is kept"""
    roles: dict[str, dict[str, int]] = field(default_factory=dict)
    memories: int = 0
    """linear memories of an instance, each with its addresses: of the role that has the most"""
    needs: list[str] = field(default_factory=list)
    """packages of WASI that it called and that need a grant"""
    runs: dict[tuple[str, int], dict[str, Any]] = field(default_factory=dict)


def _run(host: Host, scenario: dict[str, Any], listening: Listening) -> dict[str, Any]:
    loaded = front.Scenario.of(scenario, ROOT)
    while True:
        try:
            return run(loaded, Options(started=listening.begin), host).data
        except NeedsFibers:  # a long call was met; the host knows it now
            continue


def measure(language: Language, plants: tuple[tuple[int, int], ...] = PLANTS) -> Measured:
    """Compile its files, and run each plant on each board."""
    found, listening = Measured(language), Listening()
    host = Host(fibers=False)
    try:
        began = time.process_time()
        found.memories = max(host.load(path, role).memories for role, path in language.files.items())
        found.compile_s = time.process_time() - began
        for devices, seconds in plants:
            for board in BOARDS:
                found.runs[board, devices] = _run(host, plant(language, board, devices, seconds), listening)
                if not found.roles:
                    found.roles = {role: listening.of(role) for role in ROLES}
        host.called = {}
        _run(host, plant(language, BOARDS[0], 1, 3), listening)
        names = [name for calls in host.called.values() for name in calls if "#" in name]
        asked = {package(name.partition("#")[0]) for name in names if not harmless(name)}
        found.needs = sorted(asked - {*ALWAYS})
    finally:
        host.close()
    return found


def thousands(number: int) -> str:
    """12 345 678."""
    return f"{number:,}".replace(",", " ")


def _three(found: Measured, what: str) -> list[str]:
    show = show_size if what == "memory" else thousands
    return [show(found.roles[role][what]) for role in ROLES]


def files_table(measured: list[Measured]) -> list[list[str]]:
    """A row a language: what its files are, and what they cost wherever they run."""
    head = ["language", "driver", "transform", "policy", "memories", "WASI to grant", "compiled here, CPU"]
    rows = [
        [
            found.language.name,
            *(show_size(found.language.files[role].stat().st_size) for role in ROLES),
            str(found.memories),
            ", ".join(found.needs) or "none",
            f"{found.compile_s:.1f} s",
        ]
        for found in measured
    ]
    return [head, *rows]


def roles_table(measured: list[Measured]) -> list[list[str]]:
    """A row a language: fuel to start, fuel a call, memory, of each role."""
    head = ["language"]
    for words in ("start", "call", "memory"):
        head += [f"{words}: driver", "transform", "policy"]
    rows = [
        [found.language.name, *(text for what in ("start", "call", "memory") for text in _three(found, what))]
        for found in measured
    ]
    return [head, *rows]


def board_table(measured: list[Measured], board: str, devices: int) -> list[list[str]]:
    """A row a language: one plant on one board."""
    head = ["language", "delivered", "p99(latency.gateway)", "CPU a poll", "CPU used", "memory", "boot"]
    head += ["compiled in", "run here, wall"]
    return [head, *(_board_row(found, found.runs[board, devices]) for found in measured)]


def _board_row(found: Measured, data: dict[str, Any]) -> list[str]:
    books, gateway, gone = data["ledger"], data["gateways"]["gw"], data["run"]
    late = data["latency"]["gateway"]["p99_ns"]
    cpu_ns = sum(one["cpu_ns"] for one in gateway["components"].values()) + gateway["host_ns"]
    whole = books["delivered"] == books["due"]
    return [
        found.language.name,
        show_ratio(books["delivered"] / books["due"]),
        "never" if late is None else show_duration(late),
        show_duration(cpu_ns // gone["polls"]) if whole else "-",
        show_ratio(gateway["cpu_ratio"]),
        show_size(gateway["memory_peak_bytes"]),
        show_duration(gateway["boot_ns"]) if gateway["boot_ns"] is not None else "never",
        show_duration(gateway["install_ns"]),
        f"{gone['wall_s']:.1f} s",
    ]


def shown(table: list[list[str]], markdown: bool) -> str:
    """As a page's table, or in columns."""
    if markdown:
        rule = ["---", *["--:"] * (len(table[0]) - 1)]
        return "\n".join(f"| {' | '.join(row)} |" for row in [table[0], rule, *table[1:]])
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = []
    for row in table:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("  ".join(cells))
    return "\n".join(lines)


def tables(
    measured: list[Measured], plants: tuple[tuple[int, int], ...] = PLANTS
) -> list[tuple[str, list[list[str]]]]:
    """Each table with its title."""
    found = [("The files", files_table(measured)), ("Fuel and memory of an instance", roles_table(measured))]
    for devices, seconds in plants:
        found += [
            (f"{devices} devices on a {board}, {seconds} s", board_table(measured, board, devices))
            for board in BOARDS
        ]
    return found


def main() -> None:
    """Measure what is there, and print."""
    parser = argparse.ArgumentParser(description="the price of a language, side by side")
    parser.add_argument("languages", nargs="*", help=f"of {', '.join(LANGUAGES)}; default all")
    parser.add_argument("--markdown", action="store_true", help="as docs/languages.md has it")
    asked = parser.parse_args()
    unknown = [name for name in asked.languages if name not in LANGUAGES]
    if unknown:
        parser.error(f"{unknown[0]}: expected one of {', '.join(LANGUAGES)}")
    os.environ[FOLDER_VARIABLE] = "off"  # compiling is what is measured
    chosen = [LANGUAGES[name] for name in asked.languages or LANGUAGES]
    measured = [measure(language) for language in chosen if not language.missing]
    for title, table in tables(measured):
        print(f"**{title}**" if asked.markdown else title)
        print(f"\n{shown(table, asked.markdown)}\n")
    for language in chosen:
        if language.missing:
            print(f"{language.name}: not built ({', '.join(language.missing)}; make guests-all)")


if __name__ == "__main__":
    main()
