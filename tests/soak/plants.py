"""Random scenario files: fleets of every protocol, links, gateways, pairs, components with their options.

Belongs here: what a plant is made of. Never: what happens to it (trouble.py) or how it is run (__main__.py).
All of it is valid: a scenario that is refused is a mistake here, or in what refuses it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from random import Random
from typing import Any

from tests.soak import trouble

Block = dict[str, Any]
OLD = ("modbus-driver.wasm", "normalize.wasm", "route.wasm")
DEVICES = ("press-sensor", "energy-meter", "pv-inverter", "tank", "motor", "heater", "battery")
BOARDS = ("raspberry-pi-4", "raspberry-pi-3", "imx8m-mini", "beaglebone-black")
PRESETS = ("perfect", "lan", "wifi", "lte", "nb-iot", "dsl", "satellite", "flaky-3g")


@dataclass
class Draft:
    """A scenario on its way: blocks as the file has them."""

    draw: Random
    duration_s: int
    fleets: dict[str, Block] = field(default_factory=dict)
    links: dict[str, Block] = field(default_factory=dict)
    components: dict[str, Block] = field(default_factory=dict)
    gateways: dict[str, Block] = field(default_factory=dict)
    more: Block = field(default_factory=dict)

    def text(self, seed: int) -> str:
        """As a file: JSON is YAML."""
        whole = {
            "format": 2,
            "name": f"random-{seed}",
            "seed": seed,
            "duration": f"{self.duration_s} s",
            "fleets": self.fleets,
            "links": self.links,
            "components": self.components,
            "gateways": self.gateways,
            **self.more,
        }
        return json.dumps(whole, indent=1)


def random_scenario(seed: int) -> str:
    """The text of a scenario file; the same for the same seed."""
    draw = Random(seed)
    draft = Draft(draw, draw.randint(8, 45))
    upgrades = draw.random() < 0.25
    for name in ("plant", "plant-2"):
        draft.links[name] = network(draw, draw.choice(("lan", "lan", "wifi", "perfect", "lte")))
    main = ["gw"] if draw.random() < 0.7 else ["gw", "gw-2"]
    for name in main:
        draft.gateways[name] = gateway(draft, name)
    if draw.random() < 0.35:
        pair(draft)
    for i in range(draw.randint(1, 4)):
        fleet(draft, f"fleet-{i + 1}", draw.choice(main))
    draft.components |= {
        "normalize": {"wasm": "normalize.wasm", "grants": ["log"]},
        "route": {"wasm": "route.wasm", "grants": ["log"], **options(draw, ROUTE)},
    }
    if upgrades:
        for block in draft.components.values():
            if block["wasm"] in ("modbus-driver.wasm", "normalize.wasm", "route.wasm"):
                block["version"] = "1.0.0"
        draft.more["registry"] = {"path": "registry", "trust": ["registry/demo.pub"]}
    trouble.add(draft, upgrades)
    contracts(draft, Random(f"{seed}/contracts"), upgrades)
    return draft.text(seed)


def contracts(draft: Draft, draw: Random, upgrades: bool) -> None:
    """Components as they were before the contract 0.2 among those of today, and devices with whole numbers of
    64 bits. Of draws of their own: what else a seed gives stays."""
    for block in draft.components.values():
        if block["wasm"] in OLD and not upgrades and draw.random() < 0.2:
            block["wasm"] = f"contract-0.1/{block['wasm']}"
    named = json.dumps(draft.more)
    for name, block in draft.fleets.items():
        if "device" in block and f'"{name}' not in named and draw.random() < 0.3:
            block["device"] = "model/whole.yaml"


# ---- links ---------------------------------------------------------------------------------------
def network(draw: Random, preset: str) -> Block:
    """A preset, sometimes with figures of its own."""
    block: Block = {"preset": preset}
    if draw.random() < 0.3:
        block["loss"] = f"{draw.choice((0.5, 3, 10))} %"
        if draw.random() < 0.3:
            block["correlation"] = "40 %"
    if draw.random() < 0.15:
        block["duplicate"] = "2 %"
    if draw.random() < 0.15:
        block["corrupt"] = "1 %"
    return block


def serial(draw: Random) -> Block:
    """Serial lines."""
    block: Block = {"serial": f"{draw.choice((9600, 19_200, 38_400, 115_200))} Bd"}
    if draw.random() < 0.4:
        block["parity"] = draw.choice(("even", "none"))
    if draw.random() < 0.3:
        block["turnaround"] = f"{draw.randint(1, 5)} ms"
    if draw.random() < 0.4:
        block["lines"] = draw.randint(1, 3)
    if draw.random() < 0.3:
        block[draw.choice(("loss", "corrupt"))] = "2 %"
    return block


# ---- components ----------------------------------------------------------------------------------
ROUTE: Block = {"lane": ("0", "1", "2"), "bad": ("drop", "forward")}
MODBUS: Block = {"timeout": ("100 ms", "200 ms", "600 ms"), "retries": ("0", "1", "2"), "gap": ("0", "8")}
OPCUA: Block = {"timeout": ("300 ms", "900 ms")}


def options(draw: Random, known: Block) -> Block:
    """Some of a component's own options."""
    chosen = {name: draw.choice(values) for name, values in known.items() if draw.random() < 0.6}
    return {"with": chosen} if chosen else {}


def driver(draft: Draft, protocol: str) -> str:
    """The name of a driver for that protocol, made on first use; sometimes a second one with other
    options."""
    draw = draft.draw
    kind = "modbus" if protocol.startswith("modbus") else protocol
    name = f"{kind}-driver" if draw.random() < 0.8 else f"{kind}-driver-2"
    if name not in draft.components:
        block: Block = {"wasm": f"{kind}-driver.wasm", "grants": ["fieldbus", "clock", "log"]}
        if draw.random() < 0.7:
            block["limits"] = {"cpu": "20 ms", "deadline": draw.choice(("500 ms", "2 s", "10 s"))}
        block |= options(draw, {"modbus": MODBUS, "opcua": OPCUA, "mqtt": {}}[kind])
        draft.components[name] = block
    return name


# ---- fleets --------------------------------------------------------------------------------------
def fleet(draft: Draft, name: str, gateway_name: str) -> None:
    """Devices of one kind, spoken to in one of five ways."""
    draw = draft.draw
    way = draw.choice(("modbus-tcp", "modbus-tcp", "modbus-rtu", "opcua", "subscribed", "mqtt"))
    protocol = "opcua" if way == "subscribed" else way
    block: Block = {
        "device": draw.choice(DEVICES),
        "protocol": protocol,
        "count": draw.randint(1, 6),
        "link": draw.choice(("plant", "plant-2")),
        "gateway": gateway_name,
        "driver": driver(draft, protocol),
    }
    if way == "opcua" and draw.random() < 0.3:
        block["device"] = "nodeset/mixer.xml"
    period = f"{draw.choice((200, 500, 1000, 2000, 3300))} ms"
    if way == "modbus-rtu":
        block["link"] = "line"
        block["count"] = draw.randint(1, 4)
        draft.links.setdefault("line", serial(draw))
        period = f"{draw.choice((1000, 2000, 4000))} ms"
    if way == "mqtt":
        block["publish"] = period
        if draw.random() < 0.5:
            block["mqtt"] = {
                "qos": draw.choice((0, 1)),
                "retain": draw.random() < 0.3,
                "keep-alive": draw.choice(("2 s", "30 s")),
            }
    elif way == "subscribed":
        block |= {
            "sampling": period,
            "opcua": {"publishing": f"{draw.choice((200, 1000, 3000))} ms", "queue": draw.choice((1, 3, 10))},
        }
    else:
        block["poll"] = period
        if draw.random() < 0.3:
            block["overrun"] = "queue"
        if draw.random() < 0.3:
            block["response"] = f"{draw.choice((1, 30, 180))} ms"
    if draw.random() < 0.5:
        block["phase"] = draw.choice(("spread", "aligned", "random"))
    draft.fleets[name] = block
    if "poll" in block and draw.random() < 0.2:
        draft.fleets[f"{name}/1"] = {"poll": "700 ms"}


# ---- gateways ------------------------------------------------------------------------------------
def gateway(draft: Draft, name: str) -> Block:
    """A gateway with a link of its own to the cloud."""
    draw = draft.draw
    link = f"cloud-{name}"
    draft.links[link] = network(draw, draw.choice(PRESETS))
    block: Block = {
        "board": draw.choice(BOARDS),
        "transform": "normalize",
        "policy": "route",
        "uplink": {"link": link},
    }
    if draw.random() < 0.5:
        block["uplink"] |= {"window": draw.choice((1, 4, 32)), "retry": {"first": "500 ms", "max": "5 s"}}
    if draw.random() < 0.3:
        block["uplink"] |= {"keep-alive": "3 s", "user-timeout": draw.choice(("2 s", "6 s"))}
    if draw.random() < 0.75:
        block["store"] = store(draw)
    if draw.random() < 0.3:
        block["supervision"] = {"status": "2 s", "quarantine": "3 in 20 s"}
        if draw.random() < 0.5:
            block["supervision"]["watchdog"] = "5 s"
    return block


def store(draw: Random) -> Block:
    """Store and forward."""
    if draw.random() < 0.3:
        return {"preset": draw.choice(("iot-edge", "greengrass", "edgex"))}
    block: Block = {
        "capacity": draw.choice(("8 KiB", "64 KiB", "16 MiB")),
        "drain": f"{draw.choice((5, 50, 200))} /s",
    }
    if draw.random() < 0.3:
        block["ttl"] = f"{draw.randint(2, 20)} s"
    if draw.random() < 0.3:
        block["evict"] = draw.choice(("oldest", "none"))
    if draw.random() < 0.3:
        block["medium"] = draw.choice(("flash", "memory"))
    return block


def pair(draft: Draft) -> None:
    """A second gateway stands by for the first."""
    draw = draft.draw
    draft.links["beat"] = network(draw, "lan")
    second = gateway(draft, "gw-b")
    standby: Block = {
        "of": "gw",
        "mode": draw.choice(("hot", "warm", "cold")),
        "heartbeat": {"link": "beat", "every": "200 ms", "misses": draw.choice((3, 5))},
        "arbiter": draw.choice(("cloud", "none")),
        "preempt": draw.random() < 0.3,
    }
    draft.gateways["gw-b"] = {**second, "standby": standby}
