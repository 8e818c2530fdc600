"""A gateway's part of a result as plain data: what it used, what its components said, where its modelled
times come from.

Belongs here: the shape. Never: the rest of the result (result.py), formatting (console.py).
"""

from __future__ import annotations

from typing import Any

from twinloop.scenarios.judging.measure import cpu_ratio
from twinloop.scenarios.judging.run import Run
from twinloop.scenarios.report.told import told
from twinloop.sim.network.link import LegStats


def gateway_figures(world: Run, gateway: Any) -> dict[str, Any]:
    """A gateway as it stands in the result."""
    faults: dict[str, int] = {}
    for (_, cause), count in gateway.supervisor.faults.items():
        faults[cause] = faults.get(cause, 0) + count
    components = {
        name: {
            "fuel": m.fuel,
            "calls": m.calls,
            "imports": m.imports,
            "exchanges": m.exchanges,
            "values": m.values,
            "bytes": m.bytes,
            "cpu_ns": m.cpu_ns,
            "fuel_ns": m.fuel_ns,
            "crossings_ns": m.crossings_ns,
            "instantiate_ns": m.instantiate_ns,
            "start_fuel": m.start_fuel,
            "faults": m.faults,
        }
        for name, m in gateway.machine.budget.meters.items()
    }
    uplink, store = gateway.outbox.uplink, gateway.outbox.store
    return {
        "board": gateway.machine.board.name,
        "spent": _spent(gateway),
        "cpu_ratio": round(cpu_ratio(world, gateway), 6),
        "memory_bytes": gateway.machine.board.memory_bytes,
        "memory_peak_bytes": gateway.machine.budget.memory_peak_bytes,
        "files_peak": gateway.machine.budget.files.peak,
        "boot_ns": gateway.boots[0] if gateway.boots else None,
        "install_ns": gateway.machine.install_ns,
        "faults": faults,
        "told": told(gateway),
        "restarts": gateway.supervisor.restarts,
        "quarantined": gateway.supervisor.quarantined,
        "watchdog": gateway.supervisor.bites,
        "health": health(gateway),
        "alerts": gateway.pipeline.alerts,
        "host_ns": gateway.machine.budget.host_ns,
        "breaches": gateway.machine.budget.breaches,
        "components": components,
        "uplink": {
            "sessions": uplink.counts.sessions,
            "lost_sessions": uplink.counts.lost_sessions,
            "published": uplink.counts.published,
            "resent": uplink.counts.resent,
            "window_peak": uplink.counts.window_peak,
            "window": uplink.spec.window,
            "link": _link(world, gateway),
        },
        "store": None
        if store is None
        else {
            "written": store.written,
            "evicted": store.evicted,
            "waiting": store.waiting,
            "waiting_peak": store.waiting_peak,
            "peak_bytes": store.peak_bytes,
            "capacity_bytes": store.spec.capacity_bytes,
            "syncs": store.syncs,
            "flash_bytes": store.flash_bytes,
        },
    }


def _spent(gateway: Any) -> dict[str, dict[str, int]]:
    """CPU time of each stage: guest code (``fuel_ns``), what the host takes for calls, imports, values and
    bytes (``crossings_ns``), its other work (``host_ns``). ``start``: new instances, their start code and
    boot."""
    roles = {spec.name: spec.role for spec in (slot.spec for slot in gateway.rack.slots)}
    spent = {
        stage: {"fuel_ns": 0, "crossings_ns": 0, "host_ns": 0}
        for stage in ("driver", "transform", "policy", "uplink", "start")
    }
    for name, meter in gateway.machine.budget.meters.items():
        one = spent[roles.get(name, "driver")]
        one["fuel_ns"] += meter.fuel_ns
        one["crossings_ns"] += meter.crossings_ns
        spent["start"]["host_ns"] += meter.instantiate_ns
    spent["uplink"]["host_ns"] = gateway.machine.budget.host_ns
    return spent


def health(gateway: Any) -> dict[str, int]:
    """What drivers last said of themselves, and how many said so; empty when nobody asked."""
    said: dict[str, int] = {}
    for slot in gateway.rack.slots:
        if slot.health:
            said[slot.health] = said.get(slot.health, 0) + 1
    return said


def link_figures(stats: LegStats) -> dict[str, int]:
    """Packets of a link, all of its legs and both ways."""
    return {name: getattr(stats, name) for name in LegStats.__slots__}


def _link(world: Run, gateway: Any) -> dict[str, int]:
    stats = world.links[gateway.spec.uplink.link].stats(gateway.name)
    return {
        "offered": stats.offered,
        "lost": stats.lost,
        "queue_full": stats.queue_full,
        "ruled_out": stats.ruled_out,
    }


def band(gateway: Any) -> dict[str, Any]:
    """Where a gateway's modelled times come from, and how far they may be off."""
    board, prices = gateway.machine.board, gateway.machine.budget.prices
    runtime = gateway.spec.runtime or board.runtime
    return {
        "board": board.name,
        "host": prices.host.name,
        "runtime": runtime.name,
        "factor": prices.band,
        "metered": prices.metered,
        "fuel_ps": prices.fuel_ps.value,
        "component_fuel_ps": {
            name: profile.fuel_ps
            for name in gateway.machine.budget.meters
            if (profile := gateway.machine.budget.full_speed(name)).fuel_ps != prices.fuel_ps.value
        },
        "call_ps": prices.call_ps.value,
        "import_ps": prices.import_ps.value,
        "exchange_ps": prices.exchange_ps.value,
        "value_ps": prices.value_ps.value,
        "byte_ps": prices.byte_ps.value,
        "source": prices.fuel_ps.source,
        "calibrated": board.calibrated,
    }
