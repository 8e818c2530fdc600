"""The starters of languages with big runtimes do what components/starters/BEHAVIOUR.md says; they use WASI.

They are built by ``make starters`` in tests/guests (minutes, 1 GB of tools) and looked for in build/guests; without
them there is nothing to try. QuickJS knows 64-bit numbers as plain ones only and so rounds times and integers: its
transform can't do what is written, its driver not all of it; what they do instead is tried on its own.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.components.starter_cases import (
    BAD,
    ORIGIN,
    Bus,
    Call,
    Line,
    Start,
    no_bus,
    plain,
    point,
    readings,
    settings,
)
from tests.components.starter_whole_numbers import (
    ALL_CASES,
    NO_DATA,
    UNFIT,
    WIDE,
    driver_integer_writes,
    driver_integers,
    driver_sentinels,
    integers,
    whole,
)
from twinloop.components.host.host import Host
from twinloop.components.host.instance import Instance
from twinloop.sim.kernel.random import RandomStream
from twinloop.sim.kernel.wallclock import WallClock
from twinloop.sim.model.wasi import WasiSpec
from twinloop.sim.wasi.system import System

BUILT = Path(__file__).parents[2] / "build" / "guests"
FUEL = 10_000_000_000
EXACT_ONLY = (driver_integers, driver_sentinels, driver_integer_writes)
FOUND = [
    (path.stem, role, case)
    for role, cases in ALL_CASES.items()
    for path in sorted(BUILT.glob(f"starter-*-{role}.wasm"))
    for case in cases
    if "-qjs-" not in path.stem or (role != "transform" and case not in EXACT_ONLY)
]
QUICK = {role: [path.stem for path in sorted(BUILT.glob(f"starter-qjs*-{role}.wasm"))] for role in ALL_CASES}


class Place:
    """A component's place on a gateway whose time stands still."""

    name = "starter"
    machine: Any = SimpleNamespace(clock=WallClock())

    def instant_ns(self) -> int:
        return 0

    def crossed(self) -> None: ...

    def carried(self, size_bytes: int) -> None: ...

    def say(self, level: str, line: str) -> None: ...

    def limit(self, name: str, count: int) -> None: ...


@contextmanager
def starting(host: Host, name: str, role: str) -> Iterator[Start]:
    """Instances of a built starter, which are closed in the end."""
    component = host.load(BUILT / f"{name}.wasm", role)
    linked = host.link(component, ["fieldbus", "clock"] if role == "driver" else [])
    spec = WasiSpec(("wasi:clocks",))
    opened: list[Instance] = []

    def start(bus: Bus) -> Call:
        system = System(Place(), "starter", spec, component.wasi_functions(), lambda _: RandomStream(1))
        handlers = {**system.handlers, "clock.now": lambda: bus("clock.now", ())}
        instance = host.instantiate(linked, handlers, FUEL)
        opened.append(instance)
        assert instance.fault is None

        def call(export: str, *arguments: Any) -> Any:
            instance.begin(export, arguments, FUEL)
            instance.advance()
            while instance.request is not None:
                instance.answer(bus(instance.request.name, tuple(instance.request.arguments)))
                instance.advance()
            assert instance.fault is None, f"{instance.fault} {system.stderr}"
            return instance.result()

        return call

    try:
        yield start
    finally:
        for instance in opened:
            instance.close()


@pytest.mark.skipif(not FOUND, reason="not built: make starters in tests/guests")
@pytest.mark.parametrize(("name", "role", "case"), FOUND)
def test_a_starter_does_what_is_written(
    host: Host, name: str, role: str, case: Callable[[Start], None]
) -> None:
    with starting(host, name, role) as start:
        case(start)


def rounded(value: int) -> int:
    """The nearest double, as far as 64 bits hold it."""
    most = 2**64 - 1 if value >= 2**63 else 2**63 - 1
    return min(int(float(value)), most)


VALUES = [
    0,
    1,
    -1,
    2**31,
    -(2**31) - 1,
    2**53,
    -(2**53),
    2**53 + 1,
    2**63,
    -(2**63),
    2**64 - 2**32,
    2**64 - 1,
]


@pytest.mark.skipif(not QUICK["transform"], reason="not built: make starters in tests/guests")
@pytest.mark.parametrize("name", QUICK["transform"])
def test_integers_through_quickjs_are_the_nearest_doubles(host: Host, name: str) -> None:
    given = [whole(1, value) for value in VALUES] + [whole(1, value, BAD) for value in VALUES]
    with starting(host, name, "transform") as start:
        call = start(no_bus)
        assert plain(call("configure", settings(WIDE)))[0]
        result = call("transform-readings", ORIGIN, ([], [], given))
        assert [tuple(i.value)[1] for i in result.value.integers] == [rounded(v) for v in VALUES] * 2
        assert readings(result) == []
        assert plain(call("configure", settings(WIDE, ("factor", "0.5"))))[0]
        result = call("transform-readings", ORIGIN, ([], [], given))
        assert [r[1] for r in readings(result)] == [float(value) * 0.5 for value in VALUES]
        assert [tuple(i.value)[1] for i in result.value.integers] == [rounded(v) for v in VALUES]
        assert integers(call("transform-readings", ORIGIN, ([], [], [whole(3, 3)]))) == []


@pytest.mark.skipif(not QUICK["driver"], reason="not built: make starters in tests/guests")
@pytest.mark.parametrize("name", QUICK["driver"])
def test_quickjs_reads_integers_as_the_nearest_doubles_and_writes_exact_ones_only(
    host: Host, name: str
) -> None:
    line = Line()
    with starting(host, name, "driver") as start:
        call = start(line)
        for value in VALUES:
            kind = "i64" if value < 0 else "u64"
            line.image[:8] = struct.pack(">Q", value % 2**64)
            assert plain(call("configure", settings([point(7, f"holding:0:{kind}")])))[0]
            ((_, (case, told), status, _),) = integers(call("read-sensor"))
            assert (case, told, status) == ("signed" if value < 0 else "unsigned", rounded(value), 0)
            assert plain(call("configure", settings([point(7, f"holding:0:{kind}", 0.5)])))[0]
            assert readings(call("read-sensor"))[0][1:3] == (float(value) * 0.5, 0)
            for scale in (1.0, 0.5):
                one = point(7, f"holding:0:{kind}", scale, 0.0, (5, value % 2**64))
                assert plain(call("configure", settings([one])))[0]
                result = call("read-sensor")
                assert [r[2] for r in (*readings(result), *integers(result))] == [NO_DATA]
        line.names()
        assert plain(call("configure", settings([point(1, "holding:0:u64"), point(2, "holding:0:i64")])))[0]
        for number, value in ((1, 2**53 - 1), (1, 2**64 - 1), (1, 2**64 - 2**31), (2, -(2**53) + 1), (2, -1)):
            written = ("integer", ("signed" if value < 0 else "unsigned", value))
            assert plain(call("write-register", number, written)) == (True, None)
            assert line.requests()[-1][-16:] == struct.pack(">Q", value % 2**64).hex()
        line.names()
        for number, value in ((1, 2**53), (1, 2**53 + 1), (1, 2**63), (2, -(2**63)), (2, 2**64 - 1)):
            written = ("integer", ("signed" if value < 0 else "unsigned", value))
            assert plain(call("write-register", number, written)) == UNFIT
        assert line.names() == []
