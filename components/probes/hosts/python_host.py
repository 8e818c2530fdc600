"""The host `python`: components called through ``wasmtime.component`` as wasmtime-py's users do it.

    python_host.py COMPONENT METERED RUNS CASE[:SIZE[:STEP]]...

Each case is called RUNS times between two marks, then 3 * RUNS times. It keeps its readings as tuples; for
each call it makes records of them, and tuples of the records that come back. A line for each case: imports,
bytes of frames and lists, fuel of a call; and a second one, ``spent`` and the CPU time of both, in
nanoseconds. It runs by itself in a Python of ARM64 that has nothing but wasmtime.

Belongs here: the host. Never: counting (benchmarks/hosts), what is made of the counts.
"""

from __future__ import annotations

import ctypes
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import wasmtime
from wasmtime import component as wc

MARK, BEGIN, END = 7001, 1, 2
READINGS_MAX, WARM = 256, 16
FUEL = 1 << 60
TRANSFORM, POLICY, DRIVER = (f"twinloop:gateway/{name}@0.2.0" for name in ("transform", "policy", "driver"))
PROBE = "counted:probe/probe"
READINGS = [(i, 3.25 + i, 0, 1_700_000_000_000_000_000 + i) for i in range(READINGS_MAX)]
FIELDS = ("point", "value", "status", "measured")
Once = Callable[[], object]


class Crossed:
    """What imports have carried."""

    imports = 0
    carried = 0


def record(**fields: Any) -> wc.Record:
    """A record as wasmtime-py takes it."""
    made = wc.Record()
    for name, value in fields.items():
        setattr(made, name.replace("_", "-"), value)
    return made


def batch(size: int) -> Any:
    """Readings as an argument: made anew for each call, as a host would."""
    readings: list[Any] = []
    for point, value, status, measured in READINGS[:size]:
        reading: Any = wc.Record()
        reading.point, reading.value, reading.status, reading.measured = point, value, status, measured
        readings.append(reading)
    made: Any = wc.Record()
    made.readings, made.texts, made.integers = readings, [], []
    return made


def rows(answer: Any) -> list[tuple[int, float, int, int]]:
    """Of a result whose ok is a batch: wasmtime-py gives the ok itself, or a Variant where it can't be told
    from the error."""
    found: Any = answer.payload if isinstance(answer, wc.Variant) else answer
    return [(one.point, one.value, one.status, one.measured) for one in found.readings]


class Host:
    """One component, and a new instance of it for each case."""

    def __init__(self, path: Path, metered: bool) -> None:
        config = wasmtime.Config()
        config.consume_fuel = metered
        config.parallel_compilation = False
        self.engine, self.metered = wasmtime.Engine(config), metered
        self.component = wc.Component(self.engine, path.read_bytes())
        self.linker = wc.Linker(self.engine)
        self.linker.allow_shadowing = True
        self.linker.define_unknown_imports_as_traps(self.component)
        self._define("twinloop:gateway/clock@0.2.0", now=self._now, monotonic=self._now)
        self._define("twinloop:gateway/log@0.2.0", log=lambda store, level, message: None)
        self._define("twinloop:gateway/fieldbus@0.2.0", transact=self._transact)
        self._define("counted:probe/asked", now=self._now, exchange=self._exchange)

    def _define(self, interface: str, **functions: Callable[..., Any]) -> None:
        with self.linker.root() as root, root.add_instance(interface) as at:
            for name, function in functions.items():
                at.add_func(name, function)

    def _now(self, store: Any) -> int:
        Crossed.imports += 1
        return 1_700_000_000_000_000_000

    def _exchange(self, store: Any, request: bytes) -> bytes:
        Crossed.imports += 1
        Crossed.carried += 2 * len(request)
        return request

    def _transact(self, store: Any, request: bytes, framing: Any, timeout: int) -> Any:
        """A Modbus TCP device that answers any read of registers."""
        size = 2 * int.from_bytes(request[10:12], "big")
        data = bytes(i * 7 & 255 for i in range(size))
        reply = request[:4] + (3 + size).to_bytes(2, "big") + request[6:8] + bytes([size]) + data
        Crossed.imports += 1
        Crossed.carried += len(request) + len(reply)
        return reply

    def instance(self) -> None:
        """A new one; functions are its from now on."""
        self.store = wasmtime.Store(self.engine)
        if self.metered:
            self.store.set_fuel(FUEL)
        self.made = self.linker.instantiate(self.store, self.component)

    def function(self, interface: str, name: str) -> Callable[..., Any]:
        """An export, ready to be called; ends the process when there is none."""
        inside = self.made.get_export_index(self.store, interface)
        index = inside and self.made.get_export_index(self.store, name, inside)
        found = index and self.made.get_func(self.store, index)
        if not found:
            raise SystemExit(f"python: no {name} in {interface}")
        store = self.store

        def call(*arguments: Any) -> Any:
            answer = found(store, *arguments)
            found.post_return(store)
            return answer

        return call

    def configure(self, interface: str, points: int, step: int, *options: tuple[str, str]) -> None:
        """Give it points and options; ends the process when it refuses them."""
        table = [
            record(
                id=i, name=f"p{i}", address=f"holding:{i * step}:u16", unit="bar", scale=0.1, offset=0.0,
                low=None, high=None, sentinels=[],
            )
            for i in range(points)
        ]  # fmt: skip
        answer = self.function(interface, "configure")(
            record(device="press-1", points=table, options=list(options))
        )
        if answer is not None:
            raise SystemExit(f"python: configure answered {answer}")

    def prepare(self, what: str, size: int, step: int) -> Once:
        """One call of a case."""
        self.instance()
        if what == "transform":
            self.configure(TRANSFORM, READINGS_MAX, 1)
            transform = self.function(TRANSFORM, "transform-readings")
            return lambda: rows(transform(record(device="press-1", sequence=7), batch(size)))
        if what == "decide":
            self.configure(POLICY, READINGS_MAX, 1)
            decide = self.function(POLICY, "decide")
            link = {"up": True, "since": 5, "backlog": 3, "round-trip": 40_000_000, "store-used": 0.25}
            return lambda: decide(record(device="press-1", sequence=7), batch(size), record(**link))
        if what == "poll":
            self.configure(DRIVER, size, step, ("protocol", "modbus-tcp"), ("unit", "1"), ("gap", "32"))
            poll = self.function(DRIVER, "read-sensor")
            return lambda: rows(poll())
        function = self.function(PROBE, what)
        if what == "nothing":
            return function
        if what == "take":
            return lambda: function(bytes(size))
        if what == "hear":
            text = "A" * size
            return lambda: function(text)
        return lambda: function(size)


def main() -> None:
    """Each case of the command line."""
    path, metered, runs = Path(sys.argv[1]), sys.argv[2] == "1", int(sys.argv[3])
    syscall = ctypes.CDLL(None).syscall
    host = Host(path, metered)
    for position, case in enumerate(sys.argv[4:]):
        what, *numbers = case.split(":")
        size, step = ([int(n) for n in numbers] + [0, 1][len(numbers) :])[:2]
        once = host.prepare(what, size, step)
        for _ in range(WARM):
            once()
        Crossed.imports = Crossed.carried = 0
        before = host.store.get_fuel() if metered else 0
        once()
        fuel = before - host.store.get_fuel() if metered else 0
        listed = size if what in {"take", "give"} else 0
        print(Crossed.imports, Crossed.carried + listed, fuel, flush=True)
        spent = []
        for region, count in ((2 * position, runs), (2 * position + 1, 3 * runs)):
            began = time.thread_time_ns()
            syscall(MARK, BEGIN, region)
            for _ in range(count):
                once()
            syscall(MARK, END, region)
            spent.append(time.thread_time_ns() - began)
        print("spent", *spent, flush=True)


if __name__ == "__main__":
    main()
