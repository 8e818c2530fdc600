"""c-wasi in small worlds: what it does by its options, and what it tells of it.

Belongs here: building worlds and running them. Never: assertions.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from tests.plants import component, plant
from twinloop.components.host.host import Host
from twinloop.components.host.outcome import Fault
from twinloop.sim.accounts.rows import Row
from twinloop.sim.gateway.gateway import Gateway
from twinloop.sim.gateway.slot import Slot
from twinloop.sim.kernel.clock import S
from twinloop.sim.model.spec import Action, ComponentSpec, WorldSpec
from twinloop.sim.model.wasi import Folder, WasiSpec
from twinloop.sim.world import World

GUEST = Path(__file__).parent / "guests" / "c-wasi" / "c-wasi.wasm"
DATA = Folder("/data", read_only=False, quota_bytes=64 << 10)
ETC = Folder("/etc", read_only=True, quota_bytes=64 << 10, content=(("motd", b"be kind\n"),))
SLOT = "gw/transform"


@cache
def guest_bytes() -> bytes:
    """Of c-wasi."""
    return GUEST.read_bytes()


@dataclass
class Told:
    """What came of a run: ``texts`` of c-wasi with device and sequence number, in the order in which they came."""

    world: World
    records: list[Any]
    texts: list[tuple[str, int, str]] = field(default_factory=list)
    ends: list[Fault] = field(default_factory=list)
    """of instances that didn't live on"""

    @property
    def all(self) -> list[str]:
        """The texts alone."""
        return [text for _, _, text in self.texts]

    @property
    def first(self) -> list[str]:
        """What the first text tells, word for word of ``do``."""
        return [told.partition(" ")[2] for told in self.all[0].split("; ")]

    @property
    def slot(self) -> Slot:
        """Of c-wasi."""
        found: Slot = self.world.gateways[0].rack.transform
        return found

    def lines(self, level: str) -> list[str]:
        """What it has written to ``stdout`` or ``stderr``."""
        return [record[5] for record in self.records if record[1] == "log" and record[4] == level]

    @property
    def limits(self) -> list[tuple[str, int]]:
        """Those that it has hit."""
        return [record[3:] for record in self.records if record[1] == "limit" and record[2] == self.slot.name]

    @property
    def faults(self) -> list[str]:
        """Causes."""
        return [end.cause.value for end in self.ends]


def guest(
    host: Host,
    do: str,
    packages: tuple[str, ...] = ("wasi:clocks", "wasi:filesystem"),
    folders: tuple[Folder, ...] = (DATA,),
    environment: tuple[tuple[str, str], ...] = (),
    arguments: tuple[str, ...] = (),
    wasm: bytes | None = None,
    limits: dict[str, Any] | None = None,
    **options: Any,
) -> ComponentSpec:
    """c-wasi as a transform that does that; ``options`` of its own."""
    return component(
        host,
        "c-wasi",
        "transform",
        ("log", *packages),
        guest_bytes() if wasm is None else wasm,
        options=(("do", do), *((name, str(value)) for name, value in options.items())),
        wasi=WasiSpec(packages=packages, folders=folders, environment=environment, arguments=arguments),
        **{"deadline_ns": 9 * S, **(limits or {})},
    )


def told(
    host: Host,
    do: str,
    duration_ns: int = 1 * S,
    poll_ns: int = S,
    timeline: tuple[Action, ...] = (),
    seed: int = 7,
    count: int = 1,
    **changes: Any,
) -> Told:
    """A world with c-wasi as its transform, run to its end; ``changes`` as ``guest`` takes them."""
    return run(
        host,
        plant(
            host, count=count, duration_ns=duration_ns, poll_ns=poll_ns, timeline=timeline, seed=seed,
            transform=guest(host, do, **changes),
        ),
    )  # fmt: skip


def run(host: Host, spec: WorldSpec) -> Told:
    """A world, run to its end."""
    world = World(spec, host)
    found = Told(world, [])
    world.trace.sinks.append(found.records.extend)
    for gateway in world.gateways:
        _listen(gateway, found)
    world.run()
    world.close()
    return found


def _listen(gateway: Gateway, found: Told) -> None:
    """To the places where values and faults can be seen last."""
    pipeline, supervisor = gateway.pipeline, gateway.supervisor
    compose, fault = pipeline.compose, supervisor.fault

    def composed(reader: Any, row: Row, mask: int, lane: int, batch: Any) -> Any:
        found.texts += [(reader.name, row.k, text.value) for text in batch.texts]
        return compose(reader, row, mask, lane, batch)

    def ended(slot: Slot, end: Fault, generation: int | None = None) -> None:
        found.ends.append(end)
        fault(slot, end, generation)

    pipeline.compose = composed  # type: ignore[method-assign]
    supervisor.fault = ended  # type: ignore[method-assign]
