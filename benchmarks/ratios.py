"""``make bench``: what must stay fast, as ratios of medians of interleaved samples in one process.

Belongs here: measurements and their bounds. A bound that is broken is exit code 1. Seconds vary by half on a
shared machine; ratios of neighbours in time do not.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory

import simpy

from benchmarks import memory, paired, redraws, starting
from benchmarks.opcua import Servers
from benchmarks.probe import raw, stock, typed
from benchmarks.steps import closures_to_generated
from benchmarks.wire import LASTS_S, serve
from twinloop.components.host.host import Host
from twinloop.components.native.choice import CHOICE, COMPILED
from twinloop.scenarios.collector import COLLECTOR
from twinloop.scenarios.file.load import load_text
from twinloop.scenarios.planning.plan import Planner
from twinloop.sim.accounts.rows import End
from twinloop.sim.kernel.clock import S
from twinloop.sim.world import World
from twinloop.tui.engine.engine import Engine
from twinloop.tui.engine.marks import Marks, root
from twinloop.tui.engine.messages import Look, Play
from twinloop.tui.engine.process import answer, host_of_engine

SAMPLES = 5
CALLS = 4000
"""typed calls in a sample"""
DEVICES, MANY_DEVICES = 1000, 5000
TYPED_MIN = 6.0
"""typed call against wasmtime-py's own"""
RAW_MAX = 5.0
"""time of a typed call in times of the C API's alone, its arguments prepared and its result not looked at"""
GROWTH_MAX = 2.0 if CHOICE.word == COMPILED else 1.5
"""cost of a poll at 5000 devices against 10: what the caches lose costs what it did, all else less"""
TROUBLE_MAX = 1.3
"""CPU time with trouble every second against without"""
DEVICE_KB_MAX = 62.0
"""of which the guest's memory, the stack of its calls and what wasmtime keeps of it are 43 (ARCHITECTURE.md,
"Memory of a device")"""
OPCUA_MAX = 1250.0
"""bare SimPy timeouts in the time of a server-second: an asyncua server with a client, 4 changes and a
publishing interval of 1 s"""
OPCUA_KB_MAX = 1024.0
STEP_MIN = 1.6
SEEN_MIN = 0.7
"""polls per CPU second of the engine behind the TUI, looked at 15 times a second, against a run that nobody
sees"""
REDRAW_MAX = 2.0
"""CPU time of a redraw with 10 000 devices against 100"""
OPCUA_SERVERS = 200

PLANT = """\
format: 2
name: bench
duration: 1000 s
fleets:
  presses:
    {{device: press-sensor, protocol: modbus-tcp, count: {count}, poll: 1 s, link: plant, gateway: gw,
     driver: modbus-driver}}
links:
  plant: {{preset: lan}}
  cloud: {{delay: 12 ms, jitter: 2 ms, rate: 1 Gbit/s}}
components:
  modbus-driver:
    {{wasm: modbus-driver.wasm, grants: [fieldbus, clock, log], limits: {{cpu: 10 ms}},
     with: {{timeout: 200 ms}}}}
  normalize: {{wasm: normalize.wasm, grants: [log]}}
  route: {{wasm: route.wasm, grants: [log]}}
gateways:
  gw:
    {{board: raspberry-pi-4, transform: normalize, policy: route, uplink: {{link: cloud, window: 1024}},
     store: {{}}, reservation: 64 MiB}}
"""


TROUBLE = """\
timeline:
  - {every: 1 s, device-fault: presses/any, kind: silent, for: 500 ms}
  - {every: 1 s, after: 250 ms, cut: plant, leg: presses/7, for: 250 ms}
  - {every: 1 s, after: 500 ms, fault-component: gw/driver/presses/any, cause: unreachable}
  - {every: 1 s, after: 750 ms, degrade: cloud, to: {loss: 5 %}, for: 250 ms}
"""


EXPECTED = """\
expect:
  - count(samples.lost) == 0
  - ratio(samples.delivered) >= 99 %
  - p99(latency.gateway{fleet=presses}) <= 50 ms
"""


@dataclass(frozen=True)
class Row:
    """One measured ratio with its bound."""

    name: str
    value: float
    bound: str
    holds: bool
    detail: str


def per_second(work: Callable[[], int]) -> float:
    """Units of work a second."""
    began = time.perf_counter()
    done = work()
    return done / (time.perf_counter() - began)


def bare_timeouts(processes: int = 1000, rounds: int = 30) -> int:
    """SimPy with nothing in it: that many processes, each waiting again and again."""
    env = simpy.Environment()

    def wait() -> object:
        while True:
            yield env.timeout(1)

    for _ in range(processes):
        env.process(wait())  # type: ignore[arg-type]
    env.run(until=rounds)
    return processes * (rounds - 1)


class Plant:
    """A running world of ``count`` devices; ``polls`` runs on for some simulated seconds."""

    def __init__(self, host: Host, count: int, trouble: str = "") -> None:
        self.world = World(
            Planner(load_text(PLANT.format(count=count) + trouble, Path("bench.yaml")), host).world(), host
        )
        self.world.boot()
        self.now_s = 0
        self.polls(2)

    def polls(self, seconds: int) -> int:
        """Run on; returns how many polls were begun."""
        before = self.world.polls
        self.now_s += seconds
        self.world.advance(self.now_s * S)
        return self.world.polls - before


def typed_calls(host: Host) -> list[Row]:
    ours, theirs, bare = typed(host), stock(host), raw(host)
    samples: list[tuple[float, float, float]] = []
    for _ in range(SAMPLES):
        samples.append(
            (
                per_second(lambda: repeat(ours, CALLS)),
                per_second(lambda: repeat(theirs, CALLS // 5)),
                per_second(lambda: repeat(bare, 4 * CALLS)),
            )
        )
    value = statistics.median(one / other for one, other, _ in samples)
    times = statistics.median(least / one for one, _, least in samples)
    one, other, least = (statistics.median(column) for column in zip(*samples, strict=True))
    call = "typed list<u8> -> result<record>"
    return [
        Row(
            f"{call} against wasmtime-py",
            value,
            f">= {TYPED_MIN}",
            value >= TYPED_MIN,
            f"{one:.0f} typed calls/s, {other:.0f} stock calls/s",
        ),
        Row(
            f"time of a {call} in raw C calls of it",
            times,
            f"<= {RAW_MAX}",
            times <= RAW_MAX,
            f"{one:.0f} typed calls/s, {least:.0f} raw calls/s",
        ),
    ]


def repeat(once: Callable[[], None], times: int) -> int:
    for _ in range(times):
        once()
    return times


def against_before() -> list[Row]:
    """Costs in this tree against a commit of its past."""
    try:
        rows = paired.measured()
    except paired.MissingCommitError as error:
        print(f"       costs against an older commit: not measured, {error}")
        return []
    name = paired.COMMIT[:7]
    return [
        Row(f"{words}, against {name}", value, f"<= {bound}", value <= bound, detail)
        for words, value, bound, detail in rows
    ]


def trouble_cost(host: Host) -> Row:
    calm, troubled = Plant(host, DEVICES), Plant(host, DEVICES, TROUBLE)
    samples = []
    with COLLECTOR.calm():
        for _ in range(SAMPLES):
            samples.append((cpu_seconds(lambda: calm.polls(3)), cpu_seconds(lambda: troubled.polls(3))))
    faults = sum(troubled.world.gateways[0].supervisor.faults.values())
    missed = troubled.world.ledger.count(End.MISSED)
    calm.world.close()
    troubled.world.close()
    value = statistics.median(other / one for one, other in samples)
    detail = f"{DEVICES} devices; {faults} injected faults, {missed} samples missed in {3 * SAMPLES} s"
    return Row(
        "CPU time with trouble every second against without",
        value,
        f"< {TROUBLE_MAX}",
        value < TROUBLE_MAX,
        detail,
    )


def cpu_seconds(work: Callable[[], int]) -> float:
    """CPU time of this process for it."""
    began = time.process_time()
    work()
    return time.process_time() - began


def growth(host: Host) -> list[Row]:
    small, large = Plant(host, 10), Plant(host, MANY_DEVICES)
    samples = []
    with COLLECTOR.calm():
        for _ in range(SAMPLES):
            samples.append((per_second(lambda: small.polls(150)), per_second(lambda: large.polls(1))))
    small.world.close()
    large.world.close()
    device_kb = memory.kb_each(MANY_DEVICES)
    value = statistics.median(one / other for one, other in samples)
    detail = (
        f"{statistics.median(a for a, _ in samples):.0f} polls/s with 10 devices, "
        f"{statistics.median(b for _, b in samples):.0f} with {MANY_DEVICES}"
    )
    return [
        Row(
            f"cost of a poll, {MANY_DEVICES} devices against 10",
            value,
            f"< {GROWTH_MAX}",
            value < GROWTH_MAX,
            detail,
        ),
        Row(
            "KB of this machine's memory a device",
            device_kb,
            f"< {DEVICE_KB_MAX:.0f}",
            device_kb < DEVICE_KB_MAX,
            f"{MANY_DEVICES} devices, running, in a process of their own",
        ),
    ]


def opcua() -> list[Row]:
    """200 servers and clients in one process."""
    servers = Servers(OPCUA_SERVERS)
    servers.run(2)
    samples = []
    with COLLECTOR.calm():
        for _ in range(SAMPLES):
            samples.append((per_second(bare_timeouts), per_second(lambda: servers.run(3))))
    servers.close()
    alone = subprocess.run(
        [sys.executable, "-m", "benchmarks.opcua", str(OPCUA_SERVERS)],
        capture_output=True,
        text=True,
        check=True,
    )
    kb_each = float(alone.stdout)
    value = statistics.median(bare / done for bare, done in samples)
    seconds = statistics.median(seconds for _, seconds in samples)
    detail = f"{seconds:.0f} server-seconds/s, {OPCUA_SERVERS} servers with a client each, 4 changes a second"
    return [
        Row(
            "bare SimPy timeouts in a second of an OPC UA server",
            value,
            f"<= {OPCUA_MAX:.0f}",
            value <= OPCUA_MAX,
            detail,
        ),
        Row(
            "KB of this machine's memory an OPC UA server and client",
            kb_each,
            f"< {OPCUA_KB_MAX:.0f}",
            kb_each < OPCUA_KB_MAX,
            f"{OPCUA_SERVERS} servers over one standard address space",
        ),
    ]


def seen(host: Host) -> Row:
    """1000 devices flat out, with and without somebody who looks; the engine in a process of its own, that
    leaves marks to rewind to."""
    alone = Plant(host, DEVICES)
    near, far = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_beside, args=(far, DEVICES))
    process.start()
    far.close()
    samples = []
    with COLLECTOR.calm():
        for _ in range(SAMPLES):
            without = per_cpu_second(lambda: alone.polls(3))
            near.send(3 * DEVICES)
            with_view, marks = near.recv()
            samples.append((without, with_view))
    near.close()
    process.join()
    alone.world.close()
    value = statistics.median(with_view / without for without, with_view in samples)
    without, with_view = (statistics.median(column) for column in zip(*samples, strict=True))
    detail = (
        f"{with_view:.0f} polls a CPU second seen, {without:.0f} unseen, {DEVICES} devices, {marks} marks"
    )
    return Row(
        "polls per CPU second with a TUI against without", value, f">= {SEEN_MIN}", value >= SEEN_MIN, detail
    )


def redrawn(host: Host) -> Row:
    """From the engine's view to the cells of a large terminal, screen by screen; the worst of them counts."""
    with TemporaryDirectory() as folder:
        found = redraws.measured(
            host, Path(folder), lambda count: PLANT.format(count=count) + EXPECTED, SAMPLES
        )
    value = max(many / few for few, many in found.values())
    detail = ", ".join(f"{name} {few:.0f} and {many:.0f} ms" for name, (few, many) in found.items())
    return Row(
        f"CPU time of a redraw with {redraws.MANY} devices against {redraws.FEW}",
        value,
        f"<= {REDRAW_MAX}",
        value <= REDRAW_MAX,
        detail,
    )


def stepped() -> Row:
    """The step of one device."""
    samples = [closures_to_generated() for _ in range(SAMPLES)]
    value = statistics.median(closures / generated for closures, generated in samples)
    closures, generated = (statistics.median(column) for column in zip(*samples, strict=True))
    detail = f"{closures:.1f} and {generated:.1f} µs for ten points"
    return Row(
        "a device's step by closures to a generated one", value, f">= {STEP_MIN}", value >= STEP_MIN, detail
    )


def _beside(connection: Connection, devices: int) -> None:
    def work(folder: Path, lifeline: Connection) -> int:
        file = folder / "bench.yaml"
        file.write_text(PLANT.format(count=devices), encoding="utf-8")
        engine = Engine(host_of_engine(forks=True), file, None, Marks(folder, lifeline))
        engine.handle(Play(None))
        with COLLECTOR.calm(), contextlib.suppress(EOFError):
            while True:
                polls = connection.recv()
                connection.send(
                    (
                        per_cpu_second(lambda polls=polls: watched(engine, polls)),
                        len(engine.marks.kept) if engine.marks else 0,
                    )
                )  # type: ignore[misc]
        return 0

    root(work)


def watched(engine: Engine, polls: int) -> int:
    """So many polls, with a view of everything and of one device every 15th of a second, as a pipe would
    carry it."""
    before, looked = engine.world.polls, 0.0
    while engine.world.polls - before < polls:
        engine.slice()
        engine.mark()
        if time.perf_counter() - looked >= 1 / 15:
            looked = time.perf_counter()
            pickle.dumps(answer(engine, Look(7)))
    return engine.world.polls - before


def per_cpu_second(work: Callable[[], int]) -> float:
    """Units of work a second of this process."""
    began = time.process_time()
    done = work()
    return done / (time.process_time() - began)


def wire() -> str:
    """Figures of a served field; not a ratio, so without a bound."""
    if not os.path.exists("/proc/self/stat"):
        return "a served field: not measured, this system has no /proc"
    load = serve()
    seen = (
        f"{load.requests / LASTS_S:.0f} requests/s, late by {load.late}, {load.cores:.2f} of a core, round "
        f"trip {load.round_trip_ms:.1f} ms"
    )
    return f"a served field: 100 devices, {seen}"


def main() -> int:
    """Measure, print, judge."""
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}, twinloop "
        f"{CHOICE.word}, medians of {SAMPLES} interleaved"
    )
    host = Host(fibers=False)  # as in `twinloop run`
    rows = [
        *typed_calls(host),
        *against_before(),
        trouble_cost(host),
        *growth(host),
        *opcua(),
        stepped(),
        seen(host),
        redrawn(host),
        *(Row(f.words, f.value, f"<= {f.bound}", f.value <= f.bound, f.detail) for f in starting.measured()),
    ]
    host.close()
    for row in rows:
        print(
            f"{'ok    ' if row.holds else 'BROKEN'} {row.name}: {row.value:.{2 if row.value < 2 else 1}f} "
            f"({row.bound})  {row.detail}"
        )
    print(f"       {wire()}")
    return 0 if all(row.holds for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
