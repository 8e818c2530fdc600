"""The stage on which a timeline acts: what its verbs find there.

Belongs here: what verbs may touch. Never: a verb, a plant or a world (sim/plant.py and sim/world.py are
stages).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from twinloop.sim.accounts.schedule import SampleSchedule
from twinloop.sim.cloud.commands import Commands
from twinloop.sim.cloud.messages import Command
from twinloop.sim.field.field import Field
from twinloop.sim.gateway.gateway import Gateway
from twinloop.sim.kernel.clock import Environment
from twinloop.sim.kernel.random import RandomStreams
from twinloop.sim.kernel.trace import Trace
from twinloop.sim.model.spec import WorldSpec
from twinloop.sim.network.link import Link
from twinloop.sim.redundancy.pair import Pair
from twinloop.sim.upgrade.rollout import Rollout


class Stage(Protocol):
    """A plant, whoever polls it: links and devices."""

    spec: WorldSpec
    env: Environment
    trace: Trace
    streams: RandomStreams
    links: dict[str, Link]
    field: Field
    device_index: dict[str, int]
    on_happened: list[Callable[[str], None]]

    @property
    def gateways(self) -> Sequence[Gateway]:
        """None, in a plant that is served."""
        ...

    def devices_of(self, target: str) -> list[int]:
        """Indices of a device or of a whole fleet."""
        ...

    def happened(self, event: str) -> None:
        """A named event."""
        ...


class WholeStage(Stage, Protocol):
    """With gateways and the cloud: a world."""

    plans: list[SampleSchedule]
    pairs: list[Pair]
    rollout: Rollout
    gateway_of_name: dict[str, Gateway]
    commands: Commands

    def issue(self, command: Command) -> None:
        """Send a command down to the gateway that polls the device."""
        ...
