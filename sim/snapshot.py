"""A snapshot: a frozen, plain, columnar copy of a world between two events, for readers.

Belongs here: copying. Never: references into the world; taking one changes nothing. Picklable: it may cross
to another process.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from twinloop.devices.model.statuses import quality
from twinloop.sim.accounts.latency import STAGES
from twinloop.sim.accounts.rows import End
from twinloop.sim.gateway.gateway import Gateway
from twinloop.sim.kernel.histogram import NEVER
from twinloop.sim.world import World

SLOT_STATES = ("down", "starting", "ready", "backoff", "quarantined")
_PERMILLE = (500, 950, 990)


@dataclass(frozen=True, slots=True)
class DeviceColumns:
    """One row a device, in the order of the plan. Counts are points, (n,) int64; ``state`` indexes
    SLOT_STATES, (n,) int8."""

    names: tuple[str, ...]
    fleets: tuple[str, ...]
    due: np.ndarray[Any, Any]
    delivered: np.ndarray[Any, Any]
    missed: np.ndarray[Any, Any]
    lost: np.ndarray[Any, Any]
    polls: np.ndarray[Any, Any]
    state: np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class GatewayRow:
    """One gateway now. Times ns, sizes bytes."""

    name: str
    state: str
    uplink: str
    in_flight: int
    backlog: int
    store_bytes: int
    memory_bytes: int
    busy_ns: int
    cores: int
    faults: tuple[tuple[str, str, int], ...]
    """(component, cause, count)"""
    role: str = ""
    """in its pair"""
    upgrade: str = ""
    """the one under way: ``route 1.1.0 trial``"""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The world at ``now_ns``. ``latency``: stage or ``gateway``/``cloud`` -> (p50, p95, p99) in ns, -1
    unknown, NEVER never."""

    now_ns: int
    duration_ns: int
    events: int
    due: int
    open: int
    ends: tuple[tuple[str, str, int], ...]
    """(state, cause, points)"""
    quality: tuple[tuple[str, int], ...]
    """readings that drivers returned by quality, those that there are: ``uncertain``, ``bad``, and ``wrong``
    (not what the device showed)"""
    latency: tuple[tuple[str, tuple[int, ...]], ...]
    devices: DeviceColumns
    gateways: tuple[GatewayRow, ...]
    lines: tuple[tuple[str, int, int], ...]
    """(name, busy ns, waiting at most)"""
    links: tuple[tuple[str, bool], ...]
    """(name, some rule is on it or it is degraded)"""


_NONE = np.zeros(0, np.int64)
_NO_DEVICES = DeviceColumns((), (), _NONE, _NONE, _NONE, _NONE, _NONE, np.zeros(0, np.int8))


def take(world: World, each_device: bool = True) -> Snapshot:
    """Copy what a reader may want; without ``each_device`` the columns of devices are empty, and it costs the
    same for any number of them."""
    ledger = world.ledger
    latency = world.latencies.of()
    columns = [
        ("gateway", latency.gateway),
        ("cloud", latency.cloud),
        *zip(STAGES, latency.stages, strict=True),
    ]
    return Snapshot(
        now_ns=world.env.now,
        duration_ns=world.spec.duration_ns,
        events=world.events,
        due=ledger.due,
        open=ledger.open,
        ends=tuple((end.value, cause, count) for (end, cause), count in ledger.totals.items()),
        quality=_quality(world),
        latency=tuple(
            (name, tuple(map(_rank, histogram.percentiles(_PERMILLE)))) for name, histogram in columns
        ),
        devices=_devices(world) if each_device else _NO_DEVICES,
        gateways=tuple(_gateway(gateway) for gateway in world.gateways),
        lines=tuple(
            (name, line.occupancy.busy_ns, line.longest_queue) for name, line in world.field.lines.items()
        ),
        links=tuple((name, link.troubled) for name, link in world.links.items()),
    )


def _quality(world: World) -> tuple[tuple[str, int], ...]:
    counts = {"uncertain": 0, "bad": 0, "wrong": world.truth.wrong}
    for (_, status), points in world.ledger.status_of.items():
        counts[quality(status)] += points
    return tuple((name, count) for name, count in counts.items() if count)


def _rank(value: int | None) -> int:
    return -1 if value is None else min(value, NEVER)


def _devices(world: World) -> DeviceColumns:
    ledger, spec = world.ledger, world.spec
    count = len(ledger.names)
    by_end = {end: np.zeros(count, np.int64) for end in End}
    for (device, end, _), points in ledger.ends.items():
        by_end[end][device] += points
    polls, state = np.zeros(count, np.int64), np.zeros(count, np.int8)
    for gateway in world.gateways:
        for poller in gateway.pollers:
            polls[poller.index] += poller.polls
            if gateway.member.sends:  # of a pair, who leads
                state[poller.index] = SLOT_STATES.index(poller.slot.state)
    return DeviceColumns(
        tuple(ledger.names),
        tuple(spec.fleets[device.fleet] for device in spec.devices),
        np.array(ledger.due_of, np.int64),
        by_end[End.DELIVERED],
        by_end[End.MISSED],
        by_end[End.LOST],
        polls,
        state,
    )


def _gateway(gateway: Gateway) -> GatewayRow:
    outbox, upgrade = gateway.outbox, gateway.upgrades.current
    return GatewayRow(
        gateway.name, gateway.state, outbox.uplink.state, outbox.uplink.in_flight, outbox.backlog,
        0 if outbox.store is None else outbox.store.used_bytes, gateway.machine.budget.memory_bytes,
        gateway.machine.busy_total_ns() - gateway.machine.boot_busy_ns, gateway.machine.board.cores,
        tuple((component, cause, count) for (component, cause), count in gateway.supervisor.faults.items()),
        gateway.member.role,
        "" if upgrade is None else f"{upgrade.component} {upgrade.release.version} {upgrade.state}",
    )  # fmt: skip
