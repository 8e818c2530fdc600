"""What happens to a random plant, and what is expected of it.

Belongs here: timelines, phases, random trouble, expectations. Never: plants.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any

from tests.scenarios.file.keys import BY_CLASS
from twinloop.devices.catalogue import catalog
from twinloop.devices.model.overlay import KINDS as POINT_FAULTS
from twinloop.devices.model.overlay import NEEDS_AMOUNT, NOT_ON_A_COIL, ONLY_NODES
from twinloop.sim.trouble.verbs import VERBS

if TYPE_CHECKING:
    from tests.soak.plants import Block, Draft

OF_PROTOCOL = {
    "modbus-tcp": ("silent", "slow", "busy", "exception", "truncated", "wrong-unit", "length-lie"),
    "modbus-rtu": ("silent", "slow", "exception", "truncated"),
    "opcua": ("silent", "slow", "session-kill", "service-fault", "truncated", "length-lie"),
    "mqtt": ("silent", "slow", "truncated"),
}
"""faults that a device of that protocol may have"""
OTHERS = tuple(name for name in BY_CLASS if VERBS[name].takes in ("name", "devices"))
RELEASES = {"gw/route": "1.1.0", "gw/normalize": "1.1.0", "gw/modbus-driver": "1.1.0"}
CAUSES = ("unreachable", "out-of-fuel", "memory-limit", "deadline", "dead")
EXPECTATIONS = (
    "count(samples.lost) == 0",
    "count(samples.missed{cause=timeout}) <= 10",
    "p99(latency.gateway) <= 1 s",
    "p95(latency.cloud) <= 5 s",
    "ratio(samples.delivered) >= 90 %",
    "count(component.faults) == 0",
    "max(backlog) <= 500",
    "stuck == 0 within 20 s after restart gw",
    "gateway.cpu <= 80 %",
    "count(readings.wrong) == 0",
    "count(samples.delivered{quality=bad}) == 0",
    "max(gateway.memory) <= 200 MiB",
    "p90(latency.stage{stage=driver}) <= 200 ms",
    "count(samples.duplicates) <= 5",
    "flash.written <= 20 MiB",
)


def add(draft: Draft, upgrades: bool) -> None:
    """A timeline, sometimes phases and random trouble; expectations."""
    draw = draft.draw
    entries = [
        entry
        for _ in range(draw.choice((0, 1, 2, 3, 5, 8)))
        for entry in [timed(draft, deed(draft, upgrades))]
        if entry
    ]
    restarts = any(
        verb in entry
        for entry in entries
        for verb in ("restart", "crash", "shutdown", "power-cut")
        if entry.get(verb) == "gw"
    )
    if entries:
        draft.more["timeline"] = entries
    if draw.random() < 0.2:
        draft.more["random-faults"] = [
            {
                "mtbf": f"{draw.randint(4, 15)} s",
                "mttr": f"{draw.randint(1, 4)} s",
                "actions": [lasting(draft) for _ in range(draw.randint(1, 3))],
            }
        ]
    if draw.random() < 0.25:
        half = max(2, draft.duration_s // 2)
        calm: Block = {"name": "calm", "for": f"{draft.duration_s - half} s"}
        if draw.random() < 0.5:
            calm["recover-within"] = "2 s"
        draft.more["phases"] = [{"name": "load", "for": f"{half} s"}, calm]
    if draw.random() < 0.3:
        draft.more["grace"] = f"{draw.choice((1, 10, 60))} s"
    chosen = draw.sample(EXPECTATIONS, draw.randint(0, 4))
    boots = restarts and any(
        entry.get(verb) == "gw" and "for" in entry
        for entry in entries
        for verb in ("crash", "shutdown", "power-cut")
    )
    expected = [
        one
        for one in chosen
        if "restart gw" not in one or boots or any(entry.get("restart") == "gw" for entry in entries)
    ]
    if not any("store" in gateway for gateway in draft.gateways.values()):
        expected = [one for one in expected if not one.startswith(("max(backlog)", "flash.written"))]
    draft.more["expect"] = expected


def timed(draft: Draft, what: Block) -> Block:
    """At an instant, or again and again; some of it for a while."""
    draw = draft.draw
    lasting_verbs = (
        "cut",
        "flap",
        "partition",
        "degrade",
        "crash",
        "shutdown",
        "power-cut",
        "throttle",
        "limit-memory",
        "fill",
        "clock-step",
        "clock-skew",
        "device-fault",
        "set-poll",
    )
    when: Block = {"at": f"{draw.randint(0, draft.duration_s * 1000)} ms"}
    if draw.random() < 0.1:
        when = {"every": f"{draw.randint(3, 6)} s", "times": 1 if draft.duration_s < 14 else 2}
    lasting_verbs += tuple(name for name in OTHERS if VERBS[name].lasts)
    if any(verb in what for verb in lasting_verbs) and ("flap" in what or draw.random() < 0.85):
        when["for"] = f"{draw.randint(50, 8000)} ms"
    return {**when, **what}


def lasting(draft: Draft) -> Block:
    """Something that ends."""
    while True:
        what = deed(draft, upgrades=False)
        if any(verb in what for verb in ("cut", "degrade", "crash", "power-cut", "throttle", "device-fault")):
            return what


def deed(draft: Draft, upgrades: bool) -> Block:
    """One verb with its keys."""
    draw = draft.draw
    kinds = [on_link, on_link, on_gateway, on_gateway, on_device, on_device, on_device, inject]
    if upgrades:
        kinds += [upgrade, upgrade]
    if OTHERS:
        kinds.append(by_class)
    if "gw-b" in draft.gateways:
        kinds.append(
            lambda draft: {"partition": "gw", **({"direction": "up"} if draft.draw.random() < 0.4 else {})}
        )
    while True:
        found = draw.choice(kinds)(draft)
        if found:
            return found


def by_class(draft: Draft) -> Block:
    """A verb that isn't drawn by hand below: what its class says, on a gateway or a fleet that is polled."""
    draw = draft.draw
    verb = VERBS[draw.choice(OTHERS)]
    targets = (
        [name for name, block in draft.fleets.items() if "poll" in block and "/" not in name]
        if verb.takes == "devices"
        else list(draft.gateways)
    )
    return (
        {verb.name: draw.choice(targets), **{key.name: key.example for key in verb.own_keys() if key.needed}}
        if targets
        else {}
    )


def on_link(draft: Draft) -> Block:
    """A cable is pulled, flaps, or is bad."""
    draw = draft.draw
    name = draw.choice(tuple(draft.links))
    line = "serial" in draft.links[name]
    kind = draw.randrange(3)
    if kind == 0:
        block: Block = {"cut": name}
        if not line and draw.random() < 0.3:
            block["direction"] = draw.choice(("up", "down"))
        return block
    if kind == 1:
        return {"flap": name, "down": f"{draw.randint(50, 2000)} ms", "up": f"{draw.randint(50, 2000)} ms"}
    if line or draw.random() < 0.6:
        return {"degrade": name, "to": {"loss": f"{draw.choice((5, 30, 80))} %"}}
    return {"degrade": name, "to": {"preset": draw.choice(("nb-iot", "flaky-3g", "satellite"))}}


def on_gateway(draft: Draft) -> Block:
    """Something befalls a gateway."""
    draw = draft.draw
    name = draw.choice(tuple(draft.gateways))
    verb = draw.choice(
        (
            "crash",
            "shutdown",
            "power-cut",
            "restart",
            "throttle",
            "limit-memory",
            "fill",
            "clock-step",
            "clock-skew",
        )
    )
    more: dict[str, Block] = {
        "throttle": {"speed": draw.choice(("5 %", "50 %"))},
        "limit-memory": {"leave": draw.choice(("0 B", "500 KiB"))},
        "fill": {"leave": "2 KiB"},
        "clock-step": {"by": draw.choice(("1 h", "-1 h", "3 s"))},
        "clock-skew": {"skew": draw.choice(("100 ppm", "-5000 ppm"))},
    }
    block = draft.gateways[name].get("store")
    if verb == "fill" and (
        block is None or block.get("medium") == "memory" or block.get("preset") == "greengrass"
    ):
        return {}
    return {verb: name, **more.get(verb, {})}


def fleet_of(draft: Draft) -> tuple[str, Block]:
    """A fleet: (name, block)."""
    name = draft.draw.choice([name for name in draft.fleets if "/" not in name])
    return name, draft.fleets[name]


def points_of(block: Block) -> Any:
    """The points of a fleet's model, none of a NodeSet."""
    return () if block["device"].startswith("nodeset/") else catalog.model(block["device"]).points


def on_device(draft: Draft) -> Block:
    """A device has a fault, is polled otherwise, or is written to."""
    draw = draft.draw
    name, block = fleet_of(draft)
    target = draw.choice((name, f"{name}/1", f"{name}/any"))
    kind = draw.randrange(5)
    points = points_of(block)
    if kind == 0 and "poll" in block:
        return {"set-poll": target, "poll": f"{draw.choice((100, 800, 4000))} ms"}
    if kind == 1:
        writable = [point for point in points if point.writable and point.table == "holding"]
        return {"write": f"{name}/1", "point": draw.choice(writable).name, "value": 2.0} if writable else {}
    if kind == 2 and points:
        return point_fault(draw, block, target, points)
    fault = draw.choice(OF_PROTOCOL[block["protocol"]])
    more: dict[str, Block] = {
        "slow": {"delay": f"{draw.choice((50, 400))} ms"},
        "exception": {"code": 4},
        "service-fault": {"status": "BadTooManyOperations"},
    }
    return {
        "device-fault": target,
        "kind": fault,
        **more.get(fault, {}),
        **({"share": "50 %"} if draw.random() < 0.2 else {}),
    }


def point_fault(draw: Random, block: Block, target: str, points: Any) -> Block:
    """A sensor lies."""
    point = draw.choice(points)
    kinds = [kind for kind in POINT_FAULTS if kind not in ONLY_NODES or block["protocol"] == "opcua"]
    kinds = [kind for kind in kinds if point.table not in ("coil", "discrete") or kind not in NOT_ON_A_COIL]
    kind = draw.choice(kinds)
    found: Block = {"device-fault": target, "kind": kind, "point": point.name}
    if kind in NEEDS_AMOUNT:
        found["value"] = draw.choice((0.5, 9.0))
    if kind == "bad-status":
        found["status"] = "BadSensorFailure"
    return found


def inject(draft: Draft) -> Block:
    """A component dies."""
    draw = draft.draw
    name, block = fleet_of(draft)
    slots = [
        f"{block['gateway']}/driver/{name}/1",
        *(f"{gateway}/{slot}" for gateway in draft.gateways for slot in ("transform", "policy")),
    ]
    return {"fault-component": draw.choice(slots), "cause": draw.choice(CAUSES)}


def upgrade(draft: Draft) -> Block:
    """The cloud orders a release."""
    used = [
        "normalize",
        "route",
        *(block["driver"] for block in draft.fleets.values() if block.get("gateway") == "gw"),
    ]
    known = [target for target in RELEASES if target.partition("/")[2] in used]
    target = draft.draw.choice(known)
    return {"upgrade": target, "version": RELEASES[target]}
