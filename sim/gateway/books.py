"""The books of a run, as its gateways keep them: what became of each sample, how long it took, whether it was
true.

Belongs here: one object for what all gateways of a run share. Never: an account itself (sim/accounts/,
sim/truth/).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from twinloop.components.host.batch import Batch
from twinloop.sim.accounts.derived import Derived
from twinloop.sim.accounts.latency import Latencies
from twinloop.sim.accounts.ledger import Ledger
from twinloop.sim.accounts.rows import Row
from twinloop.sim.gateway.reader import Reader
from twinloop.sim.truth.truth import Truth


@dataclass(slots=True)
class Books:
    """Of one run."""

    ledger: Ledger
    latencies: Latencies
    truth: Truth
    derived: Derived
    on_readings: list[Callable[[Reader, Row, Batch], None]] = field(default_factory=list)
    """told of each sample that a driver has returned"""
    on_unasked: list[Callable[[Reader, Batch], None]] = field(default_factory=list)
    """told of what a driver has returned and is no sample that was due"""
    on_derived: list[Callable[[Reader, Row, Batch], None]] = field(default_factory=list)
    """told of each batch of a transform with derived readings in it"""
