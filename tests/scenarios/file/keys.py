"""Every key of the scenario file with two values that ought to differ, and plants in which they can.

Belongs here: the table that test_no_idle_keys.py walks. Never: running. A value may need other keys of its
block beside it (``beside``).
"""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass, field
from typing import Any

from twinloop.sim.trouble import verbs
from twinloop.sim.trouble.verb import Verb

Block = dict[str, Any]


@dataclass(frozen=True)
class Key:
    """``one`` and ``other``: what ought to differ; ABSENT leaves the key out. ``beside``: keys of the same
    block that it needs. ``deadly``: with ``other`` nothing runs that another key could change. ``refused``:
    ``other`` has no place here, and is refused by name."""

    one: Any
    other: Any
    beside: Block = field(default_factory=dict)
    deadly: bool = False
    refused: bool = False


ABSENT = object()

FLEETS: dict[str, Block] = {
    "tcp": {
        "device": "press-sensor",
        "protocol": "modbus-tcp",
        "count": 3,
        "poll": "500 ms",
        "link": "plant",
        "gateway": "gw",
        "driver": "modbus-driver",
    },
    "rtu": {
        "device": "press-sensor",
        "protocol": "modbus-rtu",
        "count": 3,
        "poll": "500 ms",
        "link": "line",
        "gateway": "gw",
        "driver": "modbus-driver",
    },
    "ascii": {
        "device": "press-sensor",
        "protocol": "modbus-ascii",
        "count": 3,
        "poll": "500 ms",
        "link": "line",
        "gateway": "gw",
        "driver": "modbus-driver",
    },
    "nodes": {
        "device": "press-sensor",
        "protocol": "opcua",
        "count": 2,
        "poll": "500 ms",
        "link": "plant",
        "gateway": "gw",
        "driver": "opcua-driver",
    },
    "news": {
        "device": "press-sensor",
        "protocol": "opcua",
        "count": 2,
        "sampling": "500 ms",
        "link": "plant",
        "gateway": "gw",
        "driver": "opcua-driver",
    },
    "topics": {
        "device": "press-sensor",
        "protocol": "mqtt",
        "count": 2,
        "publish": "500 ms",
        "link": "plant",
        "gateway": "gw",
        "driver": "mqtt-driver",
    },
}
DRIVERS = {
    "modbus-tcp": "modbus-driver",
    "modbus-rtu": "modbus-driver",
    "modbus-ascii": "modbus-driver",
    "opcua": "opcua-driver",
    "mqtt": "mqtt-driver",
}
GATEWAY: Block = {
    "board": "raspberry-pi-4",
    "transform": "normalize",
    "policy": "route",
    "uplink": {"link": "cloud", "user-timeout": "2 s", "retry": {"first": "300 ms", "max": "1 s"}},
    "store": {"capacity": "4 KiB", "drain": "20 /s"},
}


def plant(
    *fleets: str, trouble: tuple[Block, ...] = (), seconds: int = 12, patience: str | None = None
) -> Block:
    """A small plant with those fleets, in trouble: the cloud is gone for a while, a component dies three
    times.

    ``patience``: the deadline of a driver's call, which else is the poll period: then no poll is ever
    overrun.
    """
    chosen = {name: copy.deepcopy(FLEETS[name]) for name in fleets or ("tcp",)}
    drivers = dict.fromkeys(fleet["driver"] for fleet in chosen.values())
    patient = {} if patience is None else {"limits": {"deadline": patience}}
    usual: list[Block] = [
        {"at": "2 s", "cut": "cloud", "for": "5 s"},
        *(
            {"at": f"{at} ms", "fault-component": "gw/policy", "cause": "unreachable"}
            for at in (8000, 8400, 8800)
        ),
    ]
    usual += (
        [{"at": "5 s", "cut": "plant", "for": "2 s"}]
        if any(fleet["link"] == "plant" for fleet in chosen.values())
        else []
    )
    return {
        "format": 2,
        "name": "keys",
        "seed": 3,
        "duration": f"{seconds} s",
        "grace": "10 s",
        "fleets": chosen,
        "links": {
            "plant": {"delay": "20 ms"},
            "cloud": {"delay": "30 ms"},
            **(
                {"line": {"serial": "19200 Bd"}}
                if any(one["link"] == "line" for one in chosen.values())
                else {}
            ),
        },
        "components": {
            **{
                name: {"wasm": f"{name}.wasm", "grants": ["fieldbus", "clock", "log"], **patient}
                for name in drivers
            },
            "normalize": {"wasm": "normalize.wasm", "grants": ["log"]},
            "route": {"wasm": "route.wasm", "grants": ["log"]},
        },
        "gateways": {"gw": copy.deepcopy(GATEWAY)},
        "timeline": [*usual, *trouble],
        "expect": ["count(samples.due) >= 1"],
    }


def on_wasi(do: str, **options: str) -> Block:
    """A plant whose transform does to WASI what it is told (tests/guests/c-wasi)."""
    found = plant()
    found["components"]["normalize"] = {
        "wasm": "../../tests/guests/c-wasi/c-wasi.wasm",
        "grants": ["wasi:clocks", {"wasi:filesystem": {"/data": {}}}],
        "with": {"do": do, **options},
    }
    return found


def deriving() -> Block:
    """A plant whose transform adds a point: the product of two."""
    found = plant()
    found["components"]["normalize"] = {
        "wasm": "derive.wasm",
        "derives": {"both": {}},
        "with": {"of": "both", "a": "pressure", "b": "temperature"},
    }
    return found


def on_sockets() -> Block:
    """A plant whose devices are read over a driver's own sockets (tests/guests/rust-socket-driver)."""
    found = plant()
    found["components"]["modbus-driver"] = {
        "wasm": "../../tests/guests/rust-socket-driver/rust-socket-driver.wasm",
        "grants": ["clock", "log", "wasi:clocks", {"wasi:sockets": ["tcp://device:502"]}],
    }
    return found


def pair() -> Block:
    """A pair, whose first gateway dies, comes back, and isn't heard for a while."""
    found = plant()
    found["links"] |= {"cloud-b": {"delay": "30 ms"}, "beat": {"delay": "1 ms"}}
    second = copy.deepcopy(GATEWAY)
    second["uplink"]["link"] = "cloud-b"
    second["standby"] = {"of": "gw", "heartbeat": {"link": "beat", "every": "200 ms"}}
    found["gateways"]["gw-b"] = second
    found["timeline"] = [
        {"at": "2 s", "crash": "gw", "for": "2 s"},
        {"at": "7 s", "cut": "beat", "for": "1500 ms"},
        {"at": "7500 ms", "cut": "cloud-b", "for": "1500 ms"},
        {"at": "9 s", "crash": "gw", "for": "1 s"},
    ]
    return found


def upgrading(component: str = "route", version: str = "1.1.0", poll: str = "500 ms") -> Block:
    """A release is fetched over a thin link and tried."""
    found = plant()
    found["fleets"]["tcp"]["poll"] = poll
    found["timeline"] = [{"at": "1 s", "upgrade": f"gw/{component}", "version": version}]
    found["links"]["cloud"] |= {"rate": "200 kbit/s"}
    for block in found["components"].values():
        block["version"] = "1.0.0"
    found["registry"] = {"path": "registry", "trust": ["registry/demo.pub"]}
    found["gateways"]["gw"]["upgrade"] = {"trial": "2 s"}
    return found


def crowded() -> Block:
    """More devices than the fewest files hold."""
    found = plant()
    found["fleets"]["tcp"]["count"] = 9
    return found


DEGRADATION: dict[str, Key] = {
    "delay": Key("500 ms", "900 ms"),
    "jitter": Key("1 ms", "7 ms", {"delay": "400 ms"}),
    "loss": Key("1 %", "20 %"),
    "correlation": Key("10 %", "60 %", {"loss": "30 %"}),
    "bursts": Key({"p": "1 %", "r": "90 %"}, {"p": "20 %", "r": "20 %"}),
    "duplicate": Key("1 %", "30 %"),
    "reorder": Key("1 %", "30 %", {"delay": "500 ms"}),
    "corrupt": Key("1 %", "20 %"),
    "rate": Key("1 Mbit/s", "100 kbit/s"),
    "queue": Key("100 B", "64 KiB", {"rate": "10 kbit/s"}),
}

TABLE: dict[str, tuple[Block, tuple[Any, ...], dict[str, Key]]] = {
    "Link": (plant(), ("links", "cloud"), {**DEGRADATION, "preset": Key("lan", "lte")}),
    "Link, serial": (
        plant("rtu"),
        ("links", "line"),
        {
            "serial": Key("19200 Bd", "9600 Bd"),
            "bits": Key(8, 7, refused=True),
            "parity": Key("none", "even", {"stop": 1}),
            "stop": Key(1, 2),
            "turnaround": Key(ABSENT, "5 ms"),
            "lines": Key(1, 2),
            "loss": DEGRADATION["loss"],
            "correlation": DEGRADATION["correlation"],
            "bursts": DEGRADATION["bursts"],
            "corrupt": DEGRADATION["corrupt"],
        },
    ),
    "Link, ascii": (plant("ascii"), ("links", "line"), {"bits": Key(ABSENT, 8)}),
    "Bursts": (
        plant(),
        ("links", "cloud", "bursts"),
        {
            "p": Key("5 %", "20 %", {"r": "20 %"}),
            "r": Key("20 %", "60 %", {"p": "20 %"}),
            "bad": Key(ABSENT, "50 %", {"p": "20 %", "r": "20 %"}),
            "good": Key(ABSENT, "10 %", {"p": "20 %", "r": "20 %"}),
        },
    ),
    "Fleet, modbus-tcp": (
        plant("tcp", patience="5 s"),
        ("fleets", "tcp"),
        {
            "device": Key("press-sensor", "motor"),
            "count": Key(3, 4),
            "poll": Key("500 ms", "400 ms"),
            "phase": Key("spread", "aligned"),
            "overrun": Key("skip", "queue", {"response": "400 ms", "poll": "300 ms"}),
            "response": Key(ABSENT, "80 ms"),
            "manners": Key(ABSENT, {"first-answer": "80 ms"}),
            "link": Key("plant", "none", refused=True),
            "gateway": Key("gw", "none", refused=True),
            "driver": Key("modbus-driver", "none", refused=True),
        },
    ),
    "Fleet, modbus-rtu": (
        plant("rtu", patience="5 s"),
        ("fleets", "rtu"),
        {
            "count": Key(3, 4),
            "poll": Key("500 ms", "400 ms"),
            "phase": Key("spread", "aligned"),
            "overrun": Key("skip", "queue", {"response": "400 ms", "poll": "300 ms"}),
            "response": Key(ABSENT, "80 ms"),
        },
    ),
    "Fleet, opcua": (
        plant("nodes", patience="5 s"),
        ("fleets", "nodes"),
        {
            "device": Key("press-sensor", "motor"),
            "count": Key(2, 3),
            "poll": Key("500 ms", "400 ms"),
            "phase": Key("spread", "aligned"),
            "overrun": Key("skip", "queue", {"response": "400 ms", "poll": "300 ms"}),
            "response": Key(ABSENT, "80 ms"),
        },
    ),
    "Fleet, subscribed": (
        plant("news"),
        ("fleets", "news"),
        {
            "device": Key("press-sensor", "motor"),
            "count": Key(2, 3),
            "sampling": Key("500 ms", "1 s"),
            "phase": Key("spread", "aligned"),
            "response": Key(ABSENT, "80 ms"),
            "opcua": Key(ABSENT, {"publishing": "300 ms"}),
            "overrun": Key(ABSENT, "queue", refused=True),
            "poll": Key(ABSENT, "1 s", refused=True),
        },
    ),
    "OpcUa": (
        plant("news"),
        ("fleets", "news", "opcua"),
        {"publishing": Key("1 s", "300 ms"), "queue": Key(1, 10, {"publishing": "3 s"})},
    ),
    "Fleet, mqtt": (
        plant("topics"),
        ("fleets", "topics"),
        {
            "device": Key("press-sensor", "motor"),
            "count": Key(2, 3),
            "publish": Key("500 ms", "1 s"),
            "phase": Key("spread", "aligned"),
            "mqtt": Key(ABSENT, {"qos": 0}),
            "manners": Key(ABSENT, {"first-answer": "80 ms"}, refused=True),
            "response": Key(ABSENT, "80 ms", refused=True),
            "overrun": Key(ABSENT, "queue", refused=True),
        },
    ),
    "Mqtt": (
        plant(
            "topics",
            trouble=(
                {"at": "4 s", "crash": "gw", "for": "1 s"},
                {"at": "9 s", "cut": "plant", "leg": "topics/1", "for": "20 s"},
            ),
        ),
        ("fleets", "topics", "mqtt"),
        {"qos": Key(0, 1), "retain": Key(False, True), "keep-alive": Key("2 s", "9 s")},
    ),
    "Override": (
        plant(),
        ("fleets", "tcp/1"),
        {
            "poll": Key(ABSENT, "300 ms", {"response": "2 ms"}),
            "response": Key(ABSENT, "80 ms", {"poll": "700 ms"}),
            "manners": Key(ABSENT, {"first-answer": "80 ms"}),
            "unit": Key(ABSENT, 2, refused=True),
        },
    ),
    "MannersBlock, modbus-tcp": (
        plant("tcp", patience="5 s"),
        ("fleets", "tcp", "manners"),
        {
            "quiet-after-connect": Key(ABSENT, "700 ms"),
            "pause": Key(ABSENT, "600 ms"),
            "idle": Key(ABSENT, "300 ms"),
            "first-answer": Key(ABSENT, "80 ms"),
            "asleep-after": Key(ABSENT, "200 ms", {"first-answer": "80 ms"}),
            "busy": Key(ABSENT, "50 %"),
            "more": Key(ABSENT, "drop-first", refused=True),
            "echo": Key(ABSENT, True, refused=True),
        },
    ),
    "MannersBlock, modbus-rtu": (
        plant("rtu", patience="5 s"),
        ("fleets", "rtu", "manners"),
        {"echo": Key(ABSENT, True), "idle": Key(ABSENT, "300 ms", refused=True)},
    ),
    "Component": (
        plant(),
        ("components", "modbus-driver"),
        {
            "with": Key({"timeout": "60 ms"}, {"timeout": "900 ms"}),
            "limits": Key(ABSENT, {"deadline": "300 ms"}),
        },
    ),
    "Limits": (
        plant(),
        ("components", "modbus-driver", "limits"),
        {
            "cpu": Key(ABSENT, "10 us"),
            "deadline": Key(ABSENT, "30 ms"),
            "memory": Key(ABSENT, "64 KiB", deadly=True),
            "state": Key(ABSENT, "1 KiB", refused=True),
            "start": Key(ABSENT, "10 ns", deadly=True),
        },
    ),
    "Component, deriving": (
        deriving(),
        ("components", "normalize"),
        {"derives": Key({"both": {}}, {"both": {}, "more": {}})},
    ),
    "DerivedPoint": (
        deriving(),
        ("components", "normalize", "derives", "both"),
        {"unit": Key(ABSENT, "bar degC"), "low": Key(ABSENT, 1e9), "high": Key(ABSENT, -1e9)},
    ),
    "Component, of WASI": (
        on_wasi("env args"),
        ("components", "normalize"),
        {"env": Key(ABSENT, {"PLACE": "hall"}), "args": Key(ABSENT, ["--fast"])},
    ),
    "FilesystemGrant": (
        on_wasi("preopens"),
        ("components", "normalize", "grants", 1),
        {"wasi:filesystem": Key({"/data": "read-write"}, {"/other": "read-write"})},
    ),
    "SocketsGrant": (
        on_sockets(),
        ("components", "modbus-driver", "grants", 3),
        {"wasi:sockets": Key(["tcp://device:502"], ["tcp://device:503"])},
    ),
    "Folder": (
        on_wasi("fill readdir", count="8192", path="/data/file"),
        ("components", "normalize", "grants", 1, "wasi:filesystem", "/data"),
        {"quota": Key(ABSENT, "1 KiB"), "read-only": Key(False, True)},
    ),
    "Folder, with content": (
        on_wasi("readdir", path="/data"),
        ("components", "normalize", "grants", 1, "wasi:filesystem", "/data"),
        {"from": Key(ABSENT, "registry", {"quota": "16 MiB"})},
    ),
    "Gateway": (
        crowded(),
        ("gateways", "gw"),
        {
            "board": Key("raspberry-pi-4", "raspberry-pi-3"),
            "host": Key("rust-typed", "c-api"),
            "runtime": Key(ABSENT, "wasmtime-pulley"),
            "store": Key(ABSENT, {"drain": "20 /s"}),
            "reservation": Key("auto", "64 MiB"),
            "pool": Key(ABSENT, {"memories": 100}),
            "max-open-files": Key(ABSENT, 8),
            "supervision": Key(ABSENT, {"first": "2 s"}),
            "upgrade": Key(ABSENT, {"trial": "2 s"}, refused=True),
        },
    ),
    "Pool": (
        crowded(),
        ("gateways", "gw", "pool"),
        {
            "memories": Key(100, 5),
            "memory": Key(ABSENT, "64 KiB", {"memories": 100}),
        },
    ),
    "Uplink": (
        plant(),
        ("gateways", "gw", "uplink"),
        {
            "window": Key(32, 1),
            "retry": Key(ABSENT, {"first": "2 s"}),
            "keep-alive": Key("30 s", "1 s"),
            "user-timeout": Key("10 s", "2 s"),
        },
    ),
    "Retry": (
        plant(),
        ("gateways", "gw", "uplink", "retry"),
        {
            "first": Key("100 ms", "300 ms"),
            "max": Key("300 ms", "20 s", {"first": "200 ms"}),
            "jitter": Key("0 %", "50 %"),
        },
    ),
    "Store": (
        plant(),
        ("gateways", "gw", "store"),
        {
            "capacity": Key("2 KiB", "64 KiB"),
            "evict": Key("oldest", "none", {"capacity": "2 KiB"}),
            "drain": Key("5 /s", "100 /s", {"retry": "1 s"}),
            "commit": Key("50 ms", "400 ms"),
            "ttl": Key(ABSENT, "4 s"),
            "medium": Key("flash", "memory"),
            "retry": Key(ABSENT, "3 s"),
            "retries": Key(ABSENT, 1, {"retry": "1 s"}),
            "flash": Key("2 MB/s", "20 kB/s"),
            "preset": Key(ABSENT, "greengrass"),
        },
    ),
    "Restart": (
        plant(),
        ("gateways", "gw", "supervision"),
        {
            "first": Key("100 ms", "300 ms"),
            "max": Key("100 ms", "10 s", {"first": "100 ms"}),
            "quarantine": Key("2 in 10 s", "5 in 60 s"),
            "jitter": Key("0 %", "50 %"),
            "status": Key(ABSENT, "1 s"),
            "watchdog": Key(ABSENT, "1 s"),
        },
    ),
    "Standby": (
        pair(),
        ("gateways", "gw-b", "standby"),
        {
            "mode": Key("hot", "warm"),
            "arbiter": Key("cloud", "none"),
            "lease": Key("700 ms", "3 s"),
            "handover": Key("500 ms", "5 s"),
            "preempt": Key(False, True),
        },
    ),
    "Heartbeat": (
        pair(),
        ("gateways", "gw-b", "standby", "heartbeat"),
        {"every": Key("200 ms", "300 ms"), "misses": Key(3, 5)},
    ),
    "Upgrading": (
        upgrading(),
        ("gateways", "gw", "upgrade"),
        {
            "fetch": Key("100 ms", "600 s"),
            "trial": Key("1 s", "3 s"),
            "latency": Key(ABSENT, "1 us"),
        },
    ),
    "Upgrading, to what traps": (
        upgrading(version="1.4.0", poll="200 ms"),
        ("gateways", "gw", "upgrade"),
        {"faults": Key(0, 1000, {"failures": "100 %", "trial": "5 s"})},
    ),
    "Upgrading, to what reads nothing": (
        upgrading("modbus-driver", "1.2.0"),
        ("gateways", "gw", "upgrade"),
        {"failures": Key("0 %", "100 %")},
    ),
    "Registry": (
        upgrading(),
        ("registry",),
        {
            "path": Key("registry", "none", refused=True),
            "trust": Key(["registry/demo.pub"], ["registry/none.pub"], refused=True),
        },
    ),
    "Scenario": (
        plant(trouble=({"at": "9 s", "cut": "cloud", "for": "6 s"},)),
        (),
        {"seed": Key(3, 4), "duration": Key("12 s", "13 s"), "grace": Key("10 s", "0 s")},
    ),
    "Change": (plant(), ("timeline", 5, "to"), {**DEGRADATION, "preset": Key("lan", "lte")}),
}
"""block -> (a plant, where in it the block lies, its keys)"""

VERBS: dict[str, tuple[Block, dict[str, Key]]] = {
    "cut": (
        {"cut": "plant", "for": "1 s"},
        {"direction": Key("up", "down"), "leg": Key(ABSENT, "tcp/1"), "for": Key("1 s", "2 s")},
    ),
    "flap": (
        {"flap": "plant", "for": "2 s", "down": "100 ms", "up": "100 ms"},
        {
            "down": Key("100 ms", "300 ms"),
            "up": Key("100 ms", "300 ms"),
            "direction": Key("up", "down"),
            "leg": Key(ABSENT, "tcp/1"),
            "for": Key("1 s", "2 s"),
        },
    ),
    "crash": ({"crash": "gw", "for": "1 s"}, {"for": Key("1 s", "2 s"), "at": Key("9 s", "9500 ms")}),
    "shutdown": ({"shutdown": "gw", "for": "1 s"}, {"for": Key("1 s", "2 s")}),
    "power-cut": ({"power-cut": "gw", "for": "1 s"}, {"for": Key("1 s", "2 s")}),
    "throttle": (
        {"throttle": "gw", "speed": "10 %"},
        {"speed": Key("10 %", "50 %"), "for": Key(ABSENT, "500 ms")},
    ),
    "limit-memory": ({"limit-memory": "gw", "leave": "0 B"}, {"leave": Key("0 B", "100 MiB")}),
    "fill": (
        {"fill": "gw", "leave": "0 B", "at": "2 s"},
        {"leave": Key("0 B", "1 MiB"), "for": Key(ABSENT, "4 s")},
    ),
    "clock-step": ({"clock-step": "gw", "by": "1 h"}, {"by": Key("1 h", "-1 h"), "for": Key(ABSENT, "1 s")}),
    "clock-skew": (
        {"clock-skew": "gw", "skew": "5000 ppm", "at": "1 s"},
        {"skew": Key("5000 ppm", "-5000 ppm"), "for": Key(ABSENT, "1 s")},
    ),
    "fault-component": (
        {"fault-component": "gw/policy", "cause": "dead"},
        {"cause": Key("dead", "unreachable")},
    ),
    "device-fault": (
        {"device-fault": "tcp/1", "kind": "silent"},
        {
            "kind": Key("silent", "busy"),
            "share": Key(ABSENT, "40 %"),
            "for": Key(ABSENT, "800 ms"),
        },
    ),
    "device-fault, slow": (
        {"device-fault": "tcp/1", "kind": "slow", "delay": "50 ms"},
        {"delay": Key("50 ms", "90 ms"), "share": Key(ABSENT, "40 %")},
    ),
    "device-fault, exception": (
        {"device-fault": "tcp/1", "kind": "exception", "code": 4},
        {"code": Key(4, 6), "share": Key(ABSENT, "40 %")},
    ),
    "device-fault, of a point": (
        {"device-fault": "tcp/1", "kind": "spike", "point": "pressure", "value": 9.0},
        {
            "point": Key("pressure", "force"),
            "value": Key(9.0, 2.0),
            "share": Key(ABSENT, "40 %"),
            "kind": Key("spike", "drift"),
        },
    ),
    "set-poll": (
        {"set-poll": "tcp/1", "poll": "100 ms"},
        {"poll": Key("100 ms", "200 ms"), "for": Key(ABSENT, "1 s")},
    ),
    "write": ({"write": "tcp/1", "point": "setpoint", "value": 2.0}, {"value": Key(2.0, 3.0)}),
}
"""verb -> (an entry, its keys); each happens at 9 s if it doesn't say when"""
TARGETS = {"name": "gw", "slot": "gw/policy", "component": "gw/route", "devices": "tcp/1"}
"""a verb's ``takes`` -> what it is done to, where the table says nothing of it"""


def by_class(verb: type[Verb]) -> tuple[Block, dict[str, Key]]:
    """Such a row for a verb that the table doesn't have: what its class says."""
    entry: Block = {
        verb.name: TARGETS[verb.takes],
        **{key.name: key.example for key in verb.own_keys() if key.needed},
    }
    table = {key.name: Key(key.example if key.needed else ABSENT, key.other) for key in verb.own_keys()}
    return entry, {**table, **({"for": Key("1 s", "2 s")} if verb.lasts else {"at": Key("9 s", "9500 ms")})}


BY_CLASS = [
    name
    for name in verbs.VERBS
    if name not in VERBS and name not in ("partition", "degrade", "restart", "upgrade")
]
"""verbs that need no row of their own"""
VERBS |= {name: by_class(verbs.VERBS[name]) for name in BY_CLASS}
BLOCKS = "a block of its own"
RUNS = "what runs, and where: tests/scenarios/cli/test_cli.py"
NOT_WALKED: dict[str, dict[str, str]] = {
    "Scenario": {
        **dict.fromkeys(
            ("format", "name", "description", "incident", "expect"), "a plan of what to judge or to read"
        ),
        "pace": "wire alone",
        "converters": "Converter",
        "observe": "serve --judge alone",
        **dict.fromkeys(
            (
                "fleets",
                "overrides",
                "links",
                "converters",
                "components",
                "gateways",
                "registry",
                "timeline",
                "phases",
                "random-faults",
            ),
            BLOCKS,
        ),
    },
    "Entry": {
        **dict.fromkeys(("every", "after", "times", "phase"), "tests/scenarios/planning/test_timeline.py"),
        "gateway": "tests/sim/redundancy/test_failover.py",
        "status": "tests/sim/field/test_field.py",
        "version": "tests/scenarios/planning/test_upgrades.py",
        "to": "Change",
        **dict.fromkeys(
            ("partition", "degrade", "restart", "upgrade"),
            "tests/sim/trouble/test_trouble.py, test_failover.py, test_ota.py",
        ),
    },
    "Trouble": dict.fromkeys(
        ("mtbf", "mttr", "actions", "from", "until", "phase"),
        "tests/scenarios/planning/test_timeline.py, test_phases.py",
    ),
    "Phase": dict.fromkeys(("name", "for", "recover-within"), "tests/scenarios/planning/test_phases.py"),
    "Observe": dict.fromkeys(
        ("topic", "sequence", "value", "status", "each", "sample"),
        "serve --judge alone: tests/scenarios/wire/test_observation.py",
    ),
    "SocketsGrant": {"wasi:sockets": "tests/sim/wasi/test_sockets.py"},
    "Pace": {"tolerance": "wire alone: tests/scenarios/wire/test_fidelity.py"},
    "Component": {
        **dict.fromkeys(("wasm", "version", "grants"), RUNS),
        "rego": "tests/scenarios/planning/test_rego.py",
    },
    "Gateway": {"transform": RUNS, "policy": RUNS, "uplink": BLOCKS, "standby": BLOCKS},
    "Uplink": {"link": RUNS},
    "Standby": {"of": RUNS, "heartbeat": BLOCKS},
    "Heartbeat": {"link": RUNS},
    "Override": {"driver": RUNS, "twin": "tests/scenarios/twin/test_twin.py"},
    "Fleet": {
        "twin": "tests/scenarios/twin/test_twin.py",
        "believes": "tests/scenarios/planning/test_believed.py",
        "behind": "tests/scenarios/test_converter.py",
        "protocol": "the table's five kinds of fleets",
    },
    "Converter": dict.fromkeys(
        ("line", "queue", "timeout", "connections", "silent", "absent"), "tests/sim/field/test_converter.py"
    ),
    "MannersBlock": dict.fromkeys(
        ("connections", "write-single", "write-takes"), "tests/sim/field/test_manners.py"
    ),
    "Degradation": dict.fromkeys(DEGRADATION, "Link, Change"),
    "Link": {"turnaround": "Link, serial"},
}
"""block -> its keys that the table leaves out, and why"""


def text(base: Block, path: tuple[Any, ...], *settings: Block) -> str:
    """The scenario with those keys set in the block at ``path``; ABSENT takes one away."""
    found = copy.deepcopy(base)
    block: Any = found
    for step in path:
        if isinstance(block, dict):
            block = block.setdefault(step, {})
        else:
            if step >= len(block):
                block.append({"at": "8 s", "degrade": "cloud"})
            block = block[step]
    for setting in settings:
        for key, value in setting.items():
            if value is ABSENT:
                block.pop(key, None)
            else:
                block[key] = copy.deepcopy(value)
    return json.dumps(found, indent=1)
