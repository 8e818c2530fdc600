"""Where other prices than the nominal ones could change what happens, and not only how long it takes: cores
that could fill up, calls that could outlast a limit, times whose bound is near.

Belongs here: bounds that are surely wide enough. Never: what does happen then, which is found by running it
(scenarios/banded.py).
"""

from __future__ import annotations

from typing import Any

from twinloop.scenarios.judging.judged import Judged
from twinloop.scenarios.judging.measure import Measures, cpu_ratio, modelled
from twinloop.scenarios.judging.metrics.table import METRICS
from twinloop.scenarios.judging.run import Run
from twinloop.scenarios.judging.verdict import Verdict
from twinloop.sim.accounts.latency import DRIVER, POLICY, STAGES, TRANSFORM
from twinloop.sim.machine.budget import Meter
from twinloop.sim.model.boards import HostProgram, Prices, prices

BUSY_MAX = 0.5
"""share of a gateway's cores up to which bursts find room: at twice that, queues grow (ours)"""


def factor(gateway: Any) -> float:
    """How many times dearer its work may be: by the band of what costs most, or under the host program that
    may be meant, too."""
    priced = gateway.machine.budget.prices
    others = priced.instantiate_ns, priced.instantiate_again_ns, *priced.work_ns.values()
    band = max([priced.band, *(one.band for one in others)])
    return float(max(band, dearer(gateway, gateway.spec.doubt)))


def dearer(gateway: Any, program: HostProgram | None) -> float:
    """What the run's calls would have cost under another host program, against what they cost, both at full
    speed: while the CPU was throttled, either took longer; 1 without one."""
    if program is None:
        return 1.0
    spec, budget = gateway.spec, gateway.machine.budget
    other = prices(spec.board, program, spec.runtime, budget.prices.metered, spec.small_reservation)
    meters: dict[str, Meter] = budget.meters
    now_ps = sum(_cost_ps(meter, budget.prices) for meter in meters.values())
    then_ps = sum(_cost_ps(meter, other) for meter in meters.values())
    return max(1.0, then_ps / now_ps) if now_ps else 1.0


def _cost_ps(meter: Meter, host: Prices) -> int:
    """Of a component's calls, with crossings at a host program's prices."""
    return (
        meter.fuel_full_ps
        + meter.calls * host.call_ps.value
        + meter.imports * host.import_ps.value
        + meter.exchanges * host.exchange_ps.value
        + meter.values * host.value_ps.value
        + meter.bytes * host.byte_ps.value
    )


def pressing(world: Run, measures: Measures, judged: list[Judged]) -> list[str]:
    """Why the ends of the bands have to be run; empty: nothing that is expected can turn."""
    found = [one.expectation.text for one in judged if one.verdict is Verdict.UNSURE]
    latency = world.latencies.of()
    most = max((factor(gateway) for gateway in world.gateways), default=1.0)
    stages = {
        stage: latency.stages[stage].max if latency.stages[stage].count else 0 for stage in range(len(STAGES))
    }
    for gateway in world.gateways:
        busy = cpu_ratio(world, gateway)
        if busy * factor(gateway) > BUSY_MAX:
            found.append(f"the cores of {gateway.name} could be busy")
        found += _limits(gateway, stages)
        found += _burst(world, gateway, stages)
        found += _power_cuts(world, gateway)
    cpu_ns = modelled(latency, "max")
    found += [one.expectation.text for one in judged if _near(one, measures, cpu_ns, most)]
    return list(dict.fromkeys(found))


def _near(one: Judged, measures: Measures, cpu_ns: float, most: float) -> bool:
    """Does what holds not hold any more when modelled CPU time is ``most`` times as much, or as little?
    ``cpu_ns``: of the slowest sample, which stands for every time that has no part of its own."""
    expectation, metric = one.expectation, METRICS[one.expectation.metric]
    if one.verdict is not Verdict.PASS or one.measured is None or one.never or metric.kind == "value":
        return False
    if expectation.within_ns is not None:
        return one.measured + cpu_ns * (most - 1) > expectation.within_ns
    if expectation.statistic == "count":
        return False
    part = max(metric.modelled(measures, expectation, one.measured), cpu_ns if one.unit == "ns" else 0.0)
    more, less = one.measured + part * (most - 1), max(0.0, one.measured - part * (1 - 1 / most))
    return not (expectation.holds(more) and expectation.holds(less))


def _burst(world: Run, gateway: Any, stages: dict[int, int]) -> list[str]:
    """Whatever its cores do on average: if each poll took as long as the longest has, would all polls of its
    devices still fit into the shortest time between two?"""
    standby = gateway.spec.standby
    names = (gateway.name,) if standby is None else (gateway.name, standby.of)
    mine = [device for device in world.spec.devices if device.gateway in names]
    if not mine:
        return []
    poll_ns = sum(stages[stage] for stage in (DRIVER, TRANSFORM, POLICY))
    whole_ns = poll_ns * factor(gateway) * len(mine) / gateway.machine.board.cores
    if whole_ns <= min(device.poll_ns for device in mine):
        return []
    return [f"polls of {gateway.name} could overrun in a burst"]


def _power_cuts(world: Run, gateway: Any) -> list[str]:
    """Its power goes in the run: how much of its store is on the flash then follows from how fast that is."""
    store, spec = gateway.outbox.store, world.spec
    actions = [*spec.timeline, *(one.action for one in spec.reactions)]
    cut = any(one.verb == "power-cut" and one.target == gateway.name for one in actions)
    if not cut or store is None or store.spec.volatile or store.spec.flash_bytes_per_s is not None:
        return []
    if gateway.machine.budget.board.flash_bytes_per_s.band <= 1:
        return []
    return [f"what {gateway.name} has on its flash when its power goes"]


def _limits(gateway: Any, stages: dict[int, int]) -> list[str]:
    """Calls and starts of its components that could outlast a limit."""
    found, many = [], factor(gateway)
    by_role = {"driver": DRIVER, "transform": TRANSFORM, "policy": POLICY}
    slots: dict[str, int] = {}
    for slot in gateway.rack.slots:
        slots[slot.spec.name] = slots.get(slot.spec.name, 0) + 1
        took_ns = stages[by_role.get(slot.spec.role, DRIVER)]
        if took_ns * many > min(slot.fuel_limit_ns, slot.deadline_ns):
            found.append(f"calls of {slot.spec.name} could take too long")
    for name, count in slots.items():
        meter = gateway.machine.budget.meters.get(name)
        spec = next(slot.spec for slot in gateway.rack.slots if slot.spec.name == name)
        if meter is not None and meter.instantiate_ns * many > spec.start_ns * count:
            found.append(f"starts of {name} could take too long")
    return found
