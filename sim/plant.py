"""A plant: its links, its devices and what the timeline does to them, whoever polls it.

Belongs here: what a run and a served field have in common. Never: gateways (world.py), sockets, clients
(plant.py).
"""

from __future__ import annotations

from collections.abc import Callable

from twinloop.sim.accounts.ledger import End, Row
from twinloop.sim.field.field import Field
from twinloop.sim.field.real_port import RealWorld
from twinloop.sim.gateway.gateway import Gateway
from twinloop.sim.kernel.clock import TROUBLE, Environment
from twinloop.sim.kernel.random import RandomStreams
from twinloop.sim.kernel.trace import Trace
from twinloop.sim.kernel.wallclock import EPOCH_NS
from twinloop.sim.model.spec import PhaseSpec, WorldSpec
from twinloop.sim.network.link import Link
from twinloop.sim.trouble.timeline import Timeline


class Plant:
    """Everything in front of the gateways. ``begins_ns``: where its clock stands first; ``epoch_ns``: ns
    since 1970 at t = 0.

    ``outside``: the way to devices that have a place. ``on_happened`` are told of named events (``heal
    plant``). The timeline begins with ``put_trouble``.
    """

    def __init__(
        self,
        spec: WorldSpec,
        begins_ns: int,
        epoch_ns: int = EPOCH_NS,
        own_brokers: bool = True,
        outside: RealWorld | None = None,
    ) -> None:
        self.spec, self.epoch_ns = spec, epoch_ns
        self.env = Environment(begins_ns)
        self.streams = RandomStreams(spec.seed)
        self.trace = Trace(self.env)
        self.on_happened: list[Callable[[str], None]] = []
        self.device_index = {device.name: i for i, device in enumerate(spec.devices)}
        self.links: dict[str, Link] = {
            link.name: Link(link.name, link.model, self.streams) for link in spec.links
        }
        self.gateways: list[Gateway] = []
        self.ends_in_phase: dict[tuple[str, int, End, str], int] = {}
        """(phase, device, end, cause) -> points, of samples that were due in a phase"""
        self.marked_in_phase: dict[tuple[str, int, End, str, int], int] = {}
        """the same by StatusCode, of readings that weren't Good"""
        self.field = Field(
            self.env, self.trace, self.streams, spec, self.links, epoch_ns, own_brokers, outside
        )

    def put_trouble(self) -> None:
        """Phases and entries go onto the timeline."""
        for phase in self.spec.phases:
            self.env.call_at(phase.start_ns, self._begin_phase, phase, priority=TROUBLE)
        self.timeline = Timeline(self, self.spec.timeline, self.spec.reactions)

    def devices_of(self, target: str) -> list[int]:
        """Indices of a device (``presses/3``) or of a whole fleet (``presses``)."""
        if target in self.device_index:
            return [self.device_index[target]]
        fleet = self.spec.fleets.index(target)
        return [i for i, device in enumerate(self.spec.devices) if device.fleet == fleet]

    def _begin_phase(self, phase: PhaseSpec) -> None:
        self.trace.emit("phase", phase.name)
        if phase.heals:
            self.timeline.end_all()
        self.happened(f"phase {phase.name}")

    def phase_of(self, due_ns: int) -> str:
        """The phase to which a sample belongs; empty for none."""
        for phase in self.spec.phases:
            if phase.start_ns <= due_ns < phase.end_ns:
                return phase.name
        return ""

    def ended_in_phase(self, row: Row, mask: int, end: End, cause: str) -> None:
        """Points of a sample have their end: it is booked in the phase in which they were due, with its
        quality."""
        key = self.phase_of(row.due_ns), row.device, end, cause
        self.ends_in_phase[key] = self.ends_in_phase.get(key, 0) + mask.bit_count()
        for status, points in (row.marks or {}).items():
            marked = *key, status
            self.marked_in_phase[marked] = self.marked_in_phase.get(marked, 0) + (points & mask).bit_count()

    def happened(self, event: str) -> None:
        """A named event of the timeline: ``heal cloud``."""
        for told in self.on_happened:
            told(event)
