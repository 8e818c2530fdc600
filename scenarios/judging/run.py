"""What a judge asks of a run: a world's, or that of a gateway that isn't ours.

Belongs here: the questions. Never: answers (sim/world.py, sim/serving/judged_plant.py), bounds or verdicts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from twinloop.sim.accounts.ends import Ends
from twinloop.sim.accounts.latency import Latencies
from twinloop.sim.accounts.ledger import Ledger
from twinloop.sim.cloud.commands import Commands
from twinloop.sim.cloud.orders import Upgrade
from twinloop.sim.field.field import Field
from twinloop.sim.gateway.books import Books
from twinloop.sim.gateway.gateway import Gateway
from twinloop.sim.kernel.clock import Environment
from twinloop.sim.kernel.pacer import Pacer
from twinloop.sim.kernel.trace import Trace
from twinloop.sim.model.spec import WorldSpec
from twinloop.sim.network.link import Link
from twinloop.sim.redundancy.pair import Pair
from twinloop.sim.truth.truth import Truth


class Orders(Protocol):
    """Upgrades that were ordered."""

    @property
    def orders(self) -> Sequence[Upgrade]:
        """In the order of time."""
        ...


class Run(Protocol):
    """One run, while it goes on and when it is over. Of a gateway that isn't ours there are no ``books``, no
    ``truth``, no gateways and no pairs, and nothing is ordered."""

    spec: WorldSpec
    env: Environment
    trace: Trace
    field: Field
    links: dict[str, Link]
    device_index: dict[str, int]
    ends: Ends
    commands: Commands
    finished: bool
    events: int
    pacer: Pacer | None
    on_happened: list[Callable[[str], None]]
    waiting_for: list[Callable[[], bool]]

    @property
    def ledger(self) -> Ledger:
        """What became of each sample."""
        ...

    @property
    def latencies(self) -> Latencies:
        """How long it took."""
        ...

    @property
    def truth(self) -> Truth | None:
        """Whether it was true."""
        ...

    @property
    def books(self) -> Books | None:
        """Who is told of what drivers return."""
        ...

    @property
    def gateways(self) -> Sequence[Gateway]:
        """Ours."""
        ...

    @property
    def gateway_of_name(self) -> Mapping[str, Gateway]:
        """The same by name."""
        ...

    @property
    def pairs(self) -> Sequence[Pair]:
        """Of gateways."""
        ...

    @property
    def rollout(self) -> Orders:
        """Upgrades."""
        ...

    @property
    def duration_over(self) -> bool:
        """What follows is settling: it is in no share of the time."""
        ...

    @property
    def polls(self) -> int:
        """Polls begun so far, or requests answered."""
        ...
