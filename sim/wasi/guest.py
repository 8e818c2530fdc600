"""What WASI needs to know of the instance that calls it, and what it tells.

Belongs here: the view of one component's place on a gateway. Never: what a WASI function does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from twinloop.components.contract.contract import Result
from twinloop.sim.kernel.random import RandomStream
from twinloop.sim.machine.machine import Machine
from twinloop.sim.wasi.hosts import Hosts

Handler = Callable[..., Any]
"""answers an import at once: called with its decoded arguments, returns its result"""

OK: Result = (True, None)
TRANSFER_BYTES_MAX = 64 << 10
"""bytes that one read or write carries at most; a guest asks again for the rest, as it must anyway"""


class Guest(Protocol):
    """One component's place on a gateway. It outlives instances."""

    name: str
    machine: Machine
    hosts: Hosts | None
    """who can be reached from there; None: nobody"""

    def instant_ns(self) -> int:
        """Simulated time as the guest has it: it moves while the guest computes."""
        ...

    def crossed(self) -> None:
        """An import that answers at once was called."""
        ...

    def carried(self, size_bytes: int) -> None:
        """So many bytes have crossed, in an import that answered at once."""
        ...

    def say(self, level: str, line: str) -> None:
        """A line of output."""
        ...

    def after(self, action: Callable[[], None]) -> None:
        """Do that when the CPU time that led to it has passed; in order, and never when the instance dies
        before."""
        ...

    def limit(self, name: str, count: int) -> None:
        """A limit was hit: an event."""
        ...


class Part(Protocol):
    """Some of WASI's interfaces. ``now``: interface#function -> what answers at once; ``later``: -> what is
    run as a task (with its arguments, then the instant at which the call's time is over)."""

    now: dict[str, Handler]
    later: dict[str, Callable[..., Any]]


def random_bytes(stream: RandomStream, count: int) -> bytes:
    """So many bytes of a stream."""
    words = [stream.word().to_bytes(8, "little") for _ in range(-(-count // 8))]
    return b"".join(words)[:count]


def within(data: bytes | Sequence[int]) -> bytes:
    """At most what one call carries."""
    return bytes(data[:TRANSFER_BYTES_MAX])
