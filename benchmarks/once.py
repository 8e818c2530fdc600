"""What one unit of work costs in whatever tree is on PYTHONPATH: run by ``benchmarks.paired`` in this one and
in an older one.

Belongs here: the plants that are measured, written so that old trees understand them. Prints the microseconds
of CPU time a unit of a share of the work for each line that comes in, so that two trees can take turns.
"""

from __future__ import annotations

import contextlib
import gc
import inspect
import sys
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from itertools import count, islice
from pathlib import Path
from typing import Any

S = 1_000_000_000
HOMES = {
    "components.host": "twinloop.components.host.host",
    "devices.catalog": "twinloop.devices.catalogue.catalog",
    "devices.device": "twinloop.devices.model.device",
    "devices.modbus_server": "twinloop.devices.modbus.server",
    "scenarios.load": "twinloop.scenarios.file.load",
    "scenarios.plan": "twinloop.scenarios.planning.plan",
    "scenarios.runner": "twinloop.scenarios.runner",
    "sim.world": "twinloop.sim.world",
}
"""where a module was in old trees -> where it is"""
TODAY = Path("twinloop").is_dir()


def _of(module: str, name: str) -> Any:
    return getattr(import_module(HOMES[module] if TODAY else module), name)


_of("scenarios.runner", "Options")  # what a run has in memory is in memory here, too

PLANT = """\
format: 1
name: bench
duration: 1000 s
fleets:
  presses: {{device: press-sensor, {fleet}, link: plant, gateway: gw, driver: reader}}
links:
  plant: {{preset: lan}}
  cloud: {{delay: 12 ms, jitter: 2 ms, rate: 1 Gbit/s}}
components:
  reader: {{wasm: {driver}.wasm, grants: [fieldbus, clock, log], limits: {{cpu: 10 ms}}}}
  normalize: {{wasm: normalize.wasm, grants: [log]}}
  route: {{wasm: route.wasm, grants: [log]}}
gateways:
  gw:
    {{board: raspberry-pi-4, transform: normalize, policy: route, uplink: {{link: cloud, window: 1024}},
     store: {{}}, reservation: 64 MiB}}
"""
FLEETS = {
    "modbus": ("protocol: modbus-tcp, count: 1000, poll: 1 s", "modbus-driver", 1),
    "modbus-5000": ("protocol: modbus-tcp, count: 5000, poll: 5 s", "modbus-driver", 1),
    "opcua": ("protocol: opcua, count: 40, poll: 1 s", "opcua-driver", 5),
    "mqtt": ("protocol: mqtt, count: 100, publish: 1 s", "mqtt-driver", 4),
}
"""kind -> the fleet, its driver, simulated seconds of a share"""
WARM_UP_S = 15
"""past the first polls, of which everything is checked"""
REQUESTS = 20_000
"""of a share"""


@contextlib.contextmanager
def requests() -> Iterator[Callable[[], int]]:
    """Modbus requests at a server, sans-IO: 16 registers, every other one finds the values moved."""
    device = _of("devices.device", "Device")(
        _of("devices.catalog", "model")("press-sensor"), "presses/1", 1, 5
    )
    server = _of("devices.modbus_server", "ModbusServer")(device)
    request = bytes.fromhex("000100000006010300000010")

    numbers = count(1)

    def ask() -> int:
        for number in islice(numbers, REQUESTS):
            server.respond_tcp(request, number * S // 4)
        return REQUESTS

    yield ask


@contextlib.contextmanager
def polls(kind: str) -> Iterator[Callable[[], int]]:
    """Polls from the driver to the policy's verdict, as ``twinloop run`` hosts them."""
    fleet, driver, seconds = FLEETS[kind]
    make = _of("components.host", "Host")
    host = make(**({"fibers": False} if "fibers" in inspect.signature(make).parameters else {}))
    loaded = _of("scenarios.load", "load_text")(PLANT.format(fleet=fleet, driver=driver), Path("bench.yaml"))
    world = _of("sim.world", "World")(_of("scenarios.plan", "Planner")(loaded, host).world(), host)
    world.boot()
    world.advance(WARM_UP_S * S)

    ends_s = count(WARM_UP_S + seconds, seconds)

    def run() -> int:
        before = world.polls
        world.advance(next(ends_s) * S)
        return world.polls - before

    yield run
    world.close()
    host.close()


def main(kind: str) -> None:
    """Print the cost of one share for each line of standard input."""
    with requests() if kind == "request" else polls(kind) as work:
        gc.collect()
        gc.freeze()
        gc.set_threshold(1_000_000, 50, 100)
        print("ready", flush=True)
        for _ in sys.stdin:
            began = time.process_time()
            done = work()
            print((time.process_time() - began) / done * 1e6, flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
