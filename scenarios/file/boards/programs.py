"""Host programs and runtimes that ship, and which of them go together on which board.

Belongs here: hosts.yaml, runtimes.yaml, the one table of what is legal. Never: boards (reading.py), prices
(sim/model/boards.py).
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from twinloop.scenarios.file.boards.blocks import Count, HostBlock, HostsFile, RuntimeBlock, RuntimesFile
from twinloop.scenarios.file.load_errors import shaped
from twinloop.scenarios.text.document import parse_shipped
from twinloop.sim.model.boards import Figure, HostProgram, Runtime

HOSTS = Path(__file__).parent / "hosts.yaml"
RUNTIMES = Path(__file__).parent / "runtimes.yaml"
BY_HAND = "by-hand"
"""the host program of runtimes without the component model"""
_THOUSAND = 1000


@cache
def _hosts_file() -> HostsFile:
    return shaped(parse_shipped(HOSTS), HostsFile)


@cache
def hosts() -> dict[str, HostProgram]:
    """The host programs that ship, by name."""
    return {name: _host(name, block) for name, block in _hosts_file().hosts.items()}


@cache
def default_host() -> HostProgram:
    """What is taken where a scenario says nothing: what most people ship."""
    return hosts()[_hosts_file().default]


def other_host() -> HostProgram:
    """The one under which a verdict has to hold, too, where a scenario doesn't say which it is."""
    return hosts()[_hosts_file().doubt]


def _host(name: str, block: HostBlock) -> HostProgram:
    def thousandths(count: Count) -> Figure:
        return Figure(max(1, round(count.value * _THOUSAND)), count.source, count.band, count.date)

    return HostProgram(
        name,
        block.title,
        thousandths(block.call),
        thousandths(block.imported),
        thousandths(block.exchange),
        thousandths(block.value),
        thousandths(block.byte),
    )


@cache
def runtimes() -> dict[str, Runtime]:
    """The runtimes that ship, by name."""
    found = shaped(parse_shipped(RUNTIMES), RuntimesFile)
    return {name: _runtime(name, block) for name, block in found.runtimes.items()}


def _runtime(name: str, block: RuntimeBlock) -> Runtime:
    factor = block.fuel
    return Runtime(
        name,
        block.title,
        block.components,
        tuple(block.isas),
        block.metered,
        block.reservation,
        Figure(
            round(factor.value * _THOUSAND),
            factor.source,
            round(max(factor.value / factor.low, factor.high / factor.value), 2),
            factor.date,
        ),
        block.instance,
        block.interpreter,
        block.lacks,
    )


def why_not(host: HostProgram, runtime: Runtime, isa: str) -> str:
    """Why a host program and a runtime don't go together on a board with that instruction set; empty: they
    do."""
    if isa not in runtime.isas:
        able = ", ".join(name for name, one in runtimes().items() if isa in one.isas)
        return f"{runtime.title} doesn't run on {isa}; known that do: {able}"
    if not runtime.components and host.name != BY_HAND:
        return (
            f"{runtime.title} has no component model, which {host.title} needs; what can run there are the "
            f"core modules inside the components, called by a program that lifts and lowers their values "
            f"itself: host: {BY_HAND}"
        )
    if runtime.components and host.name == BY_HAND:
        able = ", ".join(name for name in hosts() if name != BY_HAND)
        return f"{runtime.title} knows components: nobody lifts values by hand there; known hosts: {able}"
    return ""
