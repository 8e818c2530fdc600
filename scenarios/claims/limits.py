"""The claim that a component's CPU time, memory and files are limited: three shipped guests that go too far.

Belongs here: that claim. Never: what a limit does (sim/gateway, sim/wasi), the guests (components/guests).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twinloop.components.contract.contract import PointConfig, Settings
from twinloop.components.host.instance import Instance
from twinloop.components.host.outcome import Cause
from twinloop.scenarios.claims import plants
from twinloop.scenarios.claims.claim import (
    Bound,
    Claim,
    Figure,
    Holds,
    boards_where,
    here,
    of_what,
    shown,
    some,
)
from twinloop.scenarios.claims.plants import Hit
from twinloop.scenarios.claims.workbench import MeasureFailedError, Workbench, tried
from twinloop.scenarios.file.load import LIBRARY
from twinloop.scenarios.text.units import show_duration

MS, MIB = 1e6, 1 << 20
_CPU, _MEMORY, _FILES = Bound(most=10 * MS), Bound(most=32 * MIB), Bound(most=10)
CPU = "CPU time of a call that never returns, when it is stopped"
COUNTED = (
    "the same, if the host counts at the board's nominal price and the board's own lies elsewhere in its band"
)
MEMORY = "linear memory of a driver that asks for ever more, when it is stopped"
FILES = "files that a driver has open, when it is refused another one"
_FOLDER: list[Any] = [{"wasi:filesystem": {"/data": {"quota": "64 KiB"}}}]
NEVER_STOPPED = float("inf")
_FILES_SECONDS = 16
"""it opens one a poll from its third on: more than ten in this time"""
_SECONDS = 4


def _banded(what: str, board: str, hits: list[Hit], unit: str, bound: Bound, name: str) -> Figure:
    found = [getattr(hit, name) for hit in hits]
    if not found or any(one is None for one in found):
        how = "it was never stopped"
        return Figure(what, board, NEVER_STOPPED, unit, bound, how=how)
    causes = " and ".join(dict.fromkeys(hit.cause for hit in hits))
    how = f"{causes}, {show_duration(hits[0].at_ns)} after the start"
    return Figure(what, board, found[0], unit, bound, min(found), max(found), "rust-typed", how)


def _counted(board: str, hits: list[Hit]) -> Figure:
    """A host limits instructions, not time: those of the nominal price take another time at an end of the
    band."""
    nominal = hits[0]
    low, high = (nominal.at_price(hit.fuel_ps) for hit in hits[1:])
    how = "the fuel of the nominal limit, at the least and the largest price of a unit of it"
    return Figure(COUNTED, board, nominal.cpu_ns, "ns", _CPU, low, high, "rust-typed", how)


def grown_bytes(bench: Workbench) -> float:
    """Here: linear memory of the guest that asks for ever more, when it is stopped, in an instance that may
    have 32 MiB."""
    component = bench.host.load(LIBRARY / "hostile" / "hostile-driver.wasm", "driver")
    grants = ["fieldbus", "clock", "log"]
    handlers: dict[str, Callable[..., Any]] = {
        "log.log": lambda *_: None,
        "clock.now": lambda: 0,
        "clock.monotonic": lambda: 0,
    }
    instance = bench.host.instantiate(bench.host.link(component, grants), handlers, 1 << 40, 32 * MIB)
    try:
        return _grown(instance)
    finally:
        instance.close()


def _grown(instance: Instance) -> float:
    point = PointConfig(0, "p", "holding:0", "", 1.0, 0.0, None, None)
    calls: list[tuple[str, tuple[Any, ...]]] = [
        ("configure", (Settings("d", [point], [("do", "grow"), ("from", "1")]),)),
        ("read-sensor", ()),
    ]
    for export, arguments in calls:
        instance.begin(export, arguments, 1 << 40)
        instance.advance()
    if instance.fault is None or instance.fault.cause is not Cause.MEMORY_LIMIT:
        raise MeasureFailedError(f"the guest that asks for memory wasn't stopped for that: {instance.fault}")
    return float(instance.memory.peak_bytes)


def enforced(bench: Workbench) -> list[Figure]:
    """The three guests on each board; memory here, too."""
    how = "an instance in this process that may have 32 MiB; it was stopped for asking for more"
    found = [here(MEMORY, tried(lambda: grown_bytes(bench)), "bytes", _MEMORY, how)]
    host = bench.host
    for board in bench.boards:
        bench.say(f"limits on {board}")
        hits = plants.first_hits(host, plants.hostile(board, "loop", {}, [], _SECONDS))
        found.append(_banded(CPU, board, hits, "ns", _CPU, "cpu_ns"))
        if all(hit.cause for hit in hits):
            found.append(_counted(board, hits))
        hits = plants.first_hits(host, plants.hostile(board, "grow", {"memory": "32 MiB"}, [], _SECONDS))
        found.append(_banded(MEMORY, board, hits, "bytes", _MEMORY, "memory_bytes"))
        count = float(plants.opened(host, plants.hostile(board, "open", {}, _FOLDER, _FILES_SECONDS)))
        how = "the next one is refused, and the driver lives on"
        found.append(Figure(FILES, board, count, "count", _FILES, count, count, "rust-typed", how))
    return found


def why_enforced(figures: Sequence[Figure]) -> str:
    """The reason of the verdict."""
    words = []
    for what, name in ((CPU, "CPU time"), (MEMORY, "memory"), (FILES, "files")):
        past = boards_where(of_what(figures, what), Holds.NO, Holds.BAND)
        if past:
            words.append(f"The limit of {name} isn't kept on {some(past)}.")
    if not words:
        words.append("Each guest is stopped at its limit, if the host asks for one.")
    unsure = [one for one in of_what(figures, COUNTED) if one.holds is Holds.BAND]
    if unsure:
        widest = max(unsure, key=lambda one: one.high or 0)
        words.append(
            f"But CPU time is limited by counting instructions: a host that takes the nominal price of one "
            f"stops such a call after {shown(widest.low or 0, 'ns')} to {shown(widest.high or 0, 'ns')} on "
            f"{widest.where}, because nobody has measured that price on the board."
        )
    return " ".join(words)


CLAIMS = (
    Claim(
        "limits",
        "10 ms of CPU time, 32 MB and 10 files are enforced",
        "unchecked",
        enforced,
        why_enforced,
    ),
)
