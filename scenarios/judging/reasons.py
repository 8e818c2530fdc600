"""Why an expectation is broken, in words: who spent the time, which line was full, what became of the
samples, who led.

Belongs here: reading a finished run for one sentence. Never: pass rules (thresholds.py).
"""

from __future__ import annotations

from twinloop.devices.model.statuses import quality, status_name
from twinloop.scenarios.judging.expectation import Expectation
from twinloop.scenarios.judging.measure import Measures, cpu_ratio
from twinloop.scenarios.judging.metrics.table import SAMPLE_ENDS
from twinloop.scenarios.judging.run import Run
from twinloop.scenarios.planning import upgrades
from twinloop.scenarios.planning.feasibility import line_utilisation
from twinloop.scenarios.planning.pairs import stories
from twinloop.scenarios.text.words import number_of
from twinloop.sim.accounts.latency import Blame
from twinloop.sim.accounts.rows import End

CORES_FULL = 0.95
"""share of all cores' time from which a gateway's CPU is named as having no room left"""
NAMED_CAUSES = 3
MOSTLY = 0.5
"""share of what was lost from which one device is named"""
UNDELIVERED = (End.CACHED, End.DROPPED, End.EVICTED, End.MISSED, End.LOST)
OF_SLOWNESS = ("", "timeout", "malformed", "overrun", "deadline", "quarantined", "driver-fault", "end-of-run")
"""causes to which a line or a core without room, or two gateways on one line, can lead"""
OF_PAIRS = ("unseen", "no-active")
"""causes that only gateways in a pair have"""


def reason(world: Run, measures: Measures, expectation: Expectation, blame: Blame | None) -> str:
    """One sentence on a broken expectation; empty when there is nothing to say beyond its value."""
    metric = expectation.metric
    if metric == "gateway.cpu":
        return _spender(world, expectation)
    if metric.startswith("failover."):
        name = dict(expectation.keys).get("gateway")
        return "; ".join(
            text for pair in world.pairs if name in (None, *pair.names) for text in stories(pair)
        )
    if metric.startswith("upgrade"):
        keys = dict(expectation.keys)
        mine = [
            one
            for one in world.rollout.orders
            if keys.get("gateway") in (None, one.gateway) and keys.get("component") in (None, one.component)
        ]
        return "; ".join(upgrades.stories(mine))
    texts = []
    if blame is not None and blame.samples:
        text = (
            f"stage {blame.stage()} took {100 * blame.share():.0f} % of the time of the {blame.samples} "
            f"samples beyond the bound"
        )
        waited = blame.waited_for()
        texts.append(
            f"{text}, most of it waiting for {waited}"
            if blame.stage() == "queue" and waited is not None
            else text
        )
    texts += [_never(world, measures, expectation), _ends(world, measures, expectation)]
    if _may_be_slowness(world, measures, expectation):
        texts += [_busy_line(world, measures, expectation), _busy_cores(world, measures, expectation)]
    return "; ".join(filter(None, texts))


def _may_be_slowness(world: Run, measures: Measures, expectation: Expectation) -> bool:
    """Of samples that were counted: did any end in a way that a line or a core without room leads to? Of
    latencies always."""
    if not expectation.metric.startswith("samples."):
        return True
    return any(cause in OF_SLOWNESS for _, _, cause, _ in _ended(world, measures, expectation))


def _spender(world: Run, expectation: Expectation) -> str:
    """Who spent a gateway's CPU time."""
    name = dict(expectation.keys).get("gateway")
    gateways = [gateway for gateway in world.gateways if name in (None, gateway.name)]
    spent = [
        (meter.cpu_ns, f"{gateway.name}/{component}")
        for gateway in gateways
        for component, meter in gateway.machine.budget.meters.items()
    ]
    spent += [(gateway.machine.budget.host_ns, f"{gateway.name}'s work outside WASM") for gateway in gateways]
    total = sum(time_ns for time_ns, _ in spent)
    most, who = max(spent)
    return f"{who} spent {100 * most / total:.0f} % of the CPU time" if total else ""


def _busy_line(world: Run, measures: Measures, expectation: Expectation) -> str:
    """The serial line that had no room left, for expectations that its devices can break."""
    if not expectation.metric.startswith(("latency.", "samples.")):
        return ""
    spec, chosen = world.spec, measures.devices(expectation)
    mine = dict.fromkeys(d.line_name for i, d in enumerate(spec.devices) if chosen is None or i in chosen)
    asked = line_utilisation(spec)
    named = [name for name in world.field.lines if name in mine]
    collisions = sum(world.field.lines[name].collisions for name in named)
    where = ", ".join(name for name in named if world.field.lines[name].collisions)
    texts = [f"{number_of(collisions, 'time')} two gateways spoke at once on {where}"] if collisions else []
    full = [name for name in named if world.field.lines[name].occupancy.full_windows]
    if full:
        worst = max(
            full, key=lambda name: (world.field.lines[name].occupancy.full_windows, asked.get(name, 0.0))
        )
        taken = world.field.lines[worst].occupancy
        periods = (
            f"in {taken.full_windows} of {spec.duration_ns // taken.window_ns} poll periods all of its time "
            f"was taken"
        )
        behind = next((f" behind {c.name}" for c in spec.converters if f"{c.serial_link}/1" == worst), "")
        texts.append(
            f"line {worst}{behind} had no room left: {periods}, its polls ask for "
            f"{100 * asked.get(worst, 0.0):.0f} % of it"
        )
    return "; ".join(texts)


def _busy_cores(world: Run, measures: Measures, expectation: Expectation) -> str:
    """The gateways whose cores had no room left, for expectations that they can break."""
    if not expectation.metric.startswith(("latency.", "samples.")):
        return ""
    chosen = measures.devices(expectation)
    mine = dict.fromkeys(
        device.gateway for i, device in enumerate(world.spec.devices) if chosen is None or i in chosen
    )
    full = {gateway.name: cpu_ratio(world, gateway) for gateway in world.gateways if gateway.name in mine}
    return "; ".join(
        f"gateway {name}'s cores were busy for {100 * share:.0f} % of the time"
        for name, share in full.items()
        if share >= CORES_FULL
    )


def _never(world: Run, measures: Measures, expectation: Expectation) -> str:
    """The samples that never got a verdict, by cause, for expectations on latency."""
    if not expectation.metric.startswith("latency.") or expectation.metric == "latency.stage":
        return ""
    devices = measures.devices(expectation)
    table = world.ends.never_carried if expectation.metric == "latency.gateway" else world.ends.never_accepted
    found: dict[str, int] = {}
    for (device, end, cause), count in table.items():
        if devices is None or device in devices:
            name = f"{end.value}{{{cause}}}" if cause else end.value
            found[name] = found.get(name, 0) + count
    if not found:
        return ""
    return (
        f"{number_of(sum(found.values()), 'sample')} never got there, most of them "
        f"{max(found, key=lambda name: found[name])}"
    )


def _ended(world: Run, measures: Measures, expectation: Expectation) -> list[tuple[int, End, str, int]]:
    """(device, end, cause, points) of what an expectation on samples counts: with a quality those that have
    it, by their status; of what should have been delivered all that wasn't."""
    wanted = SAMPLE_ENDS.get(expectation.metric)
    keys = dict(expectation.keys)
    devices = measures.devices(expectation)
    if wanted is None:
        return []
    phase, sought = keys.get("phase"), keys.get("quality")
    ends: tuple[End, ...] = (wanted,)
    if sought in ("bad", "uncertain"):
        marked = (
            [
                (of, d, end, cause, status, n)
                for (of, d, end, cause, status), n in world.ends.marked_in_phase.items()
            ]
            if phase is not None
            else [
                (None, d, end, cause, status, n) for (d, end, cause, status), n in world.ledger.marked.items()
            ]
        )
        rows = [
            (of, d, end, status_name(status), n)
            for of, d, end, _, status, n in marked
            if quality(status) == sought
        ]
    else:
        ends = UNDELIVERED if wanted is End.DELIVERED else ends
        if phase is not None:
            rows = [(of, d, end, cause, n) for (of, d, end, cause), n in world.ends.in_phase.items()]
        else:
            rows = [(None, d, end, cause, n) for (d, end, cause), n in world.ledger.ends.items()]
    return [
        (device, end, cause, count)
        for of, device, end, cause, count in rows
        if of == phase
        and end in ends
        and (devices is None or device in devices)
        and (sought is not None or keys.get("cause") in (None, cause))
    ]


def _ends(world: Run, measures: Measures, expectation: Expectation) -> str:
    """What became of the samples of an expectation that counts them: the causes, the device that was hit
    most, who led then."""
    wanted = SAMPLE_ENDS.get(expectation.metric)
    if wanted is None:
        return ""
    if wanted is End.DELIVERED and expectation.operator in ("<=", "<"):
        return ""  # too many are delivered
    causes: dict[str, int] = {}
    hit: dict[int, int] = {}
    of_pairs = False
    for device, end, cause, count in _ended(world, measures, expectation):
        name = f"{end.value}{{{cause}}}" if cause else end.value
        causes[name] = causes.get(name, 0) + count
        hit[device] = hit.get(device, 0) + count
        of_pairs |= cause in OF_PAIRS
    if not causes:
        return ""
    most = sorted(causes, key=lambda name: -causes[name])
    text = ", ".join(f"{causes[name]} {name}" for name in most[:NAMED_CAUSES])
    text += f" and {number_of(len(most) - NAMED_CAUSES, 'more cause')}" if len(most) > NAMED_CAUSES else ""
    worst = max(hit, key=lambda device: hit[device])
    if len(hit) > 1 and hit[worst] > MOSTLY * sum(hit.values()):
        text += f", most of them of {world.ledger.names[worst]}"
    elif len(hit) > 1:
        text += f", of {len(hit)} devices"
    else:
        text += f", all of {world.ledger.names[worst]}"
    polled_by = {world.spec.devices[device].gateway: None for device in hit}
    pairs = [pair for pair in world.pairs if pair.name in polled_by] if of_pairs else []
    told = [story for pair in pairs for story in stories(pair)]
    unhanded = [
        f"{' and '.join(pair.leaders)} led all the time"
        for pair in pairs
        if pair.leaders and not pair.takeovers
    ]
    return "; ".join([text, *told, *unhanded])
