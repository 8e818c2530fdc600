"""An async component that waits for several pollables: by way of a part in between, and what happens without."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.components.test_modbus_driver import FUEL
from tests.wasi_guest import guest_bytes
from twinloop.components.compose.adapting import load_whole
from twinloop.components.compose.polling import NOTE, needs_a_part, with_polls
from twinloop.components.contract.contract import Origin, PointConfig, Reading, Settings
from twinloop.components.host.component import Component
from twinloop.components.host.host import Host
from twinloop.components.host.instance import Instance
from twinloop.components.wasi.interfaces import resource_number

GUESTS = Path(__file__).parents[1] / "guests"
ASYNC = GUESTS / "rust-async" / "transform.wasm"
MS = 1_000_000


class Pollable:
    """Is ready from that instant on."""

    resource = resource_number("pollable")

    def __init__(self, clock: SimpleNamespace, at_ns: int) -> None:
        self.clock, self.at_ns = clock, at_ns
        clock.live += 1

    def ready(self) -> bool:
        return bool(self.at_ns <= self.clock.now)

    def dropped(self) -> None:
        self.clock.live -= 1


def waiting(host: Host, component: Component, together: str) -> tuple[Instance, SimpleNamespace]:
    """A transform that waits so in each call, and its clock."""
    clock = SimpleNamespace(now=0, live=0, polls=0)
    handlers = {
        "clocks/monotonic-clock#subscribe-duration": lambda ns: Pollable(clock, clock.now + ns),
        "io/poll#[method]pollable.ready": Pollable.ready,
    }
    instance = host.instantiate(host.link(component, ["clock"]), handlers, FUEL)
    points = [PointConfig(7, "a", "", "", 1.0, 0.0, None, None)]
    instance.begin("configure", (Settings("", points, [("together", together)]),), FUEL)
    instance.advance()
    assert instance.result().ok
    return instance, clock


def transform(instance: Instance, clock: SimpleNamespace, value: float) -> list[Any]:
    """One call; polls are answered when the first of what they wait for is ready."""
    batch: Any = ([Reading(7, value, 0, 5)], [], [])
    instance.begin("transform-readings", (Origin("d/1", 1), batch), FUEL)
    instance.advance()
    while instance.request is not None:
        assert instance.request.name == "io/poll#poll"
        (waited_for,) = instance.request.arguments
        clock.polls += 1
        clock.now = max(clock.now, min(one.at_ns for one in waited_for))
        instance.answer([at for at, one in enumerate(waited_for) if one.ready()])
        instance.advance()
    return [] if instance.fault else [tuple(one) for one in instance.result().value.readings]


def test_the_first_of_several_ends_a_poll(host: Host) -> None:
    """Waits of 2, 1 and 3 s: three polls, the last of which ends at 3 s."""
    whole = load_whole(host, [("mine", ASYNC.read_bytes())], "transform")
    assert whole.note == f"mine: {NOTE}"
    instance, clock = waiting(host, whole.component, "2000 1000 3000")
    assert transform(instance, clock, 20.5) == [(7, 21.5, 0, 5)]
    assert (clock.now, clock.polls, clock.live) == (3000 * MS, 3, 0)
    instance.close()


def test_many_polls_leave_nothing_behind(host: Host) -> None:
    whole = load_whole(host, [("mine", ASYNC.read_bytes())], "transform")
    instance, clock = waiting(host, whole.component, " ".join(str(ms) for ms in range(1, 41)))
    for _ in range(20):
        transform(instance, clock, 1.0)
    before = instance.memory.size_bytes
    for call in range(300):
        assert transform(instance, clock, float(call)) == [(7, call + 1.0, 0, 5)]
    assert clock.polls == 320 * 40
    assert (instance.memory.size_bytes, clock.live, len(instance.handles)) == (before, 0, 0)
    instance.close()


def test_without_the_part_in_between_wasmtime_ends_it(host: Host) -> None:
    """Where this fails, wasmtime has mended it: components/compose/polling.py is needed no more."""
    component = host.load(ASYNC.read_bytes(), "transform")
    instance, clock = waiting(host, component, "2000")
    assert transform(instance, clock, 1.0) == [(7, 2.0, 0, 5)], "one handle is no trouble"
    instance.close()
    instance, clock = waiting(host, component, "2000 1000")
    assert transform(instance, clock, 1.0) == []
    assert "bug for maintainers to investigate" in str(instance.fault)
    instance.close()


@pytest.mark.parametrize(
    "data",
    [guest_bytes(), (GUESTS / "rust-stream-driver" / "rust-stream-driver.wasm").read_bytes(), b"\0asm", b"("],
    ids=["not async", "no poll", "truncated", "no text"],
)
def test_who_does_not_need_it_stays_as_it_is(data: bytes) -> None:
    assert needs_a_part(data) == ""
    assert with_polls("mine", data) == (data, "")


def test_the_part_has_the_version_of_its_component() -> None:
    assert needs_a_part(ASYNC.read_bytes()) == "wasi:io/poll@0.2.0"
    data, note = with_polls("mine", ASYNC.read_bytes().replace(b"@0.2.0", b"@0.2.6"))
    assert (needs_a_part(data), note) == ("wasi:io/poll@0.2.6", NOTE)
