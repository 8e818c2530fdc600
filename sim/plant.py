"""A plant: its links, its devices and what the timeline does to them, whoever polls it.

Belongs here: what a run and a served field have in common. Never: gateways (world.py), sockets, clients
(plant.py).
"""

from __future__ import annotations

from collections.abc import Callable

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
        self.field = Field(
            env=self.env,
            trace=self.trace,
            streams=self.streams,
            spec=spec,
            links=self.links,
            epoch_ns=epoch_ns,
            own_brokers=own_brokers,
            outside=outside,
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

    def happened(self, event: str) -> None:
        """A named event of the timeline: ``heal cloud``."""
        for told in self.on_happened:
            told(event)
