"""Each case of each host counted: the difference of two run lengths under qemu-user.

Belongs here: counting. Never: building (building.py), fitting (fitting.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from benchmarks.arm64 import CannotRun, run
from benchmarks.hosts.building import BUILD, commands, library, plugin, probe, system
from benchmarks.hosts.cases import CASES, WASM, Case

RUNS = {"c-api": 100, "rust-typed": 100, "python": 8}
"""calls between the first two marks; three times as many between the second two"""
METHOD = "qemu-user with a counting plugin; (count of 3 n calls - count of n calls) / 2 n"
ISA = "A64"


class Machine:
    """An ARM64 machine under qemu-user, with a counter."""

    def __init__(self) -> None:
        self.commands = commands()
        self.plugin, self.root, self.probe = plugin(), system(), probe()

    def count(self, host: str, cases: Sequence[Case], metered: bool) -> list[dict[str, int]]:
        """Of cases of one guest, in one process: imports, bytes and fuel of a call; instructions of the
        guest's compiled code and of all else, a call."""
        runs, counts = RUNS[host], BUILD / f"{host}.counts"
        (guest,) = {case.guest for case in cases}
        path = self.probe if guest == "probe" else WASM / f"{guest}.wasm"
        said = run(
            "qemu-aarch64", "-L", self.root, "-plugin", f"{self.plugin},out={counts}",
            *self.commands[host], path, str(int(metered)), str(runs), *(case.word for case in cases),
            PYTHONPATH=str(library()), PYTHONHASHSEED="0", PYTHONDONTWRITEBYTECODE="1",
        )  # fmt: skip
        shapes = [
            [int(word) for word in line.split()] for line in said.splitlines() if not line.startswith("spent")
        ]
        regions = {
            position: (guest, host)
            for position, guest, host in (map(int, line.split()) for line in counts.read_text().splitlines())
        }
        if len(shapes) != len(cases) or len(regions) != 2 * len(cases):
            raise CannotRun(f"{host} counted {len(regions)} regions of {len(cases)} cases")
        return [
            _of_a_call(shape, regions[2 * k], regions[2 * k + 1], 2 * runs) for k, shape in enumerate(shapes)
        ]


def _of_a_call(
    shape: Sequence[int], short: tuple[int, int], long: tuple[int, int], calls: int
) -> dict[str, int]:
    imports, carried, fuel = shape
    guest, host = (round((more - less) / calls) for less, more in zip(short, long, strict=True))
    return {"imports": imports, "bytes": carried, "fuel": fuel, "guest": guest, "host": host}


def _by_guest(cases: Sequence[Case]) -> list[list[Case]]:
    return [
        [case for case in cases if case.guest == guest] for guest in dict.fromkeys(c.guest for c in cases)
    ]


def counted(tell: Callable[[str], None]) -> list[dict[str, Any]]:
    """Count everything; a row for each host and case. ``tell`` hears how far it is. Raises CannotRun.

    Fuel is the same whoever calls, so it is asked of the C host only, from code that counts it.
    """
    machine, rows = Machine(), []
    metered: dict[Case, dict[str, int]] = {}
    for cases in _by_guest(CASES):
        metered |= zip(cases, machine.count("c-api", cases, True), strict=True)
    for host in RUNS:
        for cases in _by_guest(CASES):
            tell(f"{host}: {cases[0].guest}, {len(cases)} cases")
            for case, found in zip(cases, machine.count(host, cases, False), strict=True):
                rows.append(_row(host, case, found, metered[case]))
    return rows


def _row(host: str, case: Case, found: dict[str, int], metered: dict[str, int]) -> dict[str, Any]:
    if (found["imports"], found["bytes"]) != (metered["imports"], metered["bytes"]):
        raise CannotRun(f"{host}, {case.guest} {case.word}: it isn't the same call as in c-api")
    return {
        "host": host, "guest": case.guest, "export": case.export, "size": case.size, "step": case.step,
        "imports": found["imports"], "values": case.values, "bytes": found["bytes"],
        "characters": case.characters, "instructions": found["host"],
        "guest_instructions": found["guest"],
        "guest_metered": metered["guest"], "fuel": metered["fuel"], "isa": ISA, "method": METHOD,
    }  # fmt: skip
