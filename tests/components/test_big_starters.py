"""The starters of languages with big runtimes do what components/starters/BEHAVIOUR.md says; they use WASI.

They are built by ``make starters`` in tests/guests (minutes, 1 GB of tools) and looked for in build/guests; without
them there is nothing to try. QuickJS knows 64-bit numbers as plain ones only and so rounds times: its transform can't
do what is written.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.components.starter_cases import Bus, Call, Start
from tests.components.starter_whole_numbers import ALL_CASES
from twinloop.components.host.host import Host
from twinloop.components.host.instance import Instance
from twinloop.sim.kernel.random import RandomStream
from twinloop.sim.kernel.wallclock import WallClock
from twinloop.sim.model.wasi import WasiSpec
from twinloop.sim.wasi.system import System

BUILT = Path(__file__).parents[2] / "build" / "guests"
FUEL = 10_000_000_000
FOUND = [
    (path.stem, role, case)
    for role, cases in ALL_CASES.items()
    for path in sorted(BUILT.glob(f"starter-*-{role}.wasm"))
    for case in cases
    if path.stem not in ("starter-qjs-transform", "starter-qjs-async-transform")
]


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


@pytest.mark.skipif(not FOUND, reason="not built: make starters in tests/guests")
@pytest.mark.parametrize(("name", "role", "case"), FOUND)
def test_a_starter_does_what_is_written(
    host: Host, name: str, role: str, case: Callable[[Start], None]
) -> None:
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
        case(start)
    finally:
        for instance in opened:
            instance.close()
