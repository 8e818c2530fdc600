"""What a guest can do wrong ends as a Fault with one cause; after it the store is dead, and nothing of ours
is hurt."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.components import guests
from twinloop.components.contract.errors import HostError
from twinloop.components.host.capi import amount
from twinloop.components.host.host import Host
from twinloop.components.host.instance import Instance
from twinloop.components.host.outcome import Cause, full_stack

FUEL = 1_000_000


def instantiate(host: Host, text: bytes, memory_bytes: int = 1 << 20) -> Instance:
    linked = host.link(host.load(text, "driver"), ["clock"])
    return host.instantiate(linked, {"clock.monotonic": lambda: 0}, FUEL, memory_bytes)


@pytest.mark.parametrize(
    ("guest", "cause"),
    [
        (guests.trapping, Cause.UNREACHABLE), (guests.looping, Cause.OUT_OF_FUEL), (guests.growing, Cause.MEMORY_LIMIT),
        (guests.out_of_bounds, Cause.OUT_OF_BOUNDS), (guests.recursing, Cause.STACK), (guests.lying, Cause.ABI),
    ],
)  # fmt: skip
def test_each_misdeed_has_its_cause(host: Host, guest: Callable[[], bytes], cause: Cause) -> None:
    instance = instantiate(host, guest())
    instance.begin("read-sensor", (), FUEL)
    used = instance.advance()
    assert instance.fault is not None
    assert instance.fault.cause is cause
    assert instance.fault.fuel_used == used <= FUEL
    with pytest.raises(HostError, match="dead"):
        instance.begin("read-sensor", (), FUEL)
    instance.close()


def test_a_runaway_is_cut_at_its_fuel_and_not_later(host: Host) -> None:
    instance = instantiate(host, guests.looping())
    instance.begin("read-sensor", (), 12_345)
    assert instance.advance() == 12_345
    instance.close()


COUNTS = "(local.set 0 (i32.const 60000)) (loop $more (br_if $more (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))"
"""60 000 turns of five units or a little more, which is more than 2^18 units of fuel, and less than 2^19"""
RECURSES = "(call $recurse (i32.const 0))"


@pytest.mark.parametrize("way", ["at once", "in steps", "on a fiber"])
@pytest.mark.parametrize(
    ("body", "limit", "charged"),
    [
        (RECURSES, FUEL, 1 << 18),
        (COUNTS + RECURSES, FUEL, 1 << 19),
        (RECURSES, 100_000, 100_000),
        (COUNTS + RECURSES, 10_000_000, 1 << 19),
    ],
)
def test_a_full_stack_costs_a_round_figure_within_the_limit(
    body: str, limit: int, charged: int, way: str
) -> None:
    """Where it is full is a matter of the processor's frames: on ARM64 this recursion comes some frames less deep
    than on x86-64, and the trace must be the same."""
    host = Host()
    component = host.load(guests.driver_text(body), "driver")
    if way == "on a fiber":
        host.long[component.sha256] = None
    instance = host.instantiate(host.link(component, []), {}, FUEL)
    if way == "at once":
        used = instance.call_at("read-sensor", amount(0), limit)
    else:
        instance.begin("read-sensor", (), limit)
        used = instance.advance()
    assert instance.fault is not None
    assert (instance.fault.cause, instance.fault.fuel_used, used) == (Cause.STACK, charged, charged)
    instance.close()
    host.close()


@pytest.mark.parametrize(
    ("used", "left", "charged"),
    [
        (14_999, 1 << 20, 262_144),
        (14_977, 1 << 20, 262_144),
        (262_144, 1 << 20, 262_144),
        (262_145, 1 << 20, 524_288),
        (90, 10, 100),
        (90, 0, 90),
    ],
)
def test_what_a_full_stack_is_charged(used: int, left: int, charged: int) -> None:
    """The first two: what one recursion used on x86-64 and on ARM64."""
    assert full_stack(used, left) == charged


def test_memory_is_visible_and_limited(host: Host) -> None:
    instance = instantiate(host, guests.growing(), memory_bytes=40 << 16)
    assert instance.memory_bytes == 1 << 16
    instance.begin("read-sensor", (), FUEL)
    instance.advance()
    assert instance.memory.refused == 1
    assert instance.memory_peak_bytes == (1 + 2 * 16) << 16
    instance.close()


def test_a_guest_that_starts_too_large_is_refused(host: Host) -> None:
    instance = instantiate(host, guests.driver_text("EMPTY", memory_pages=100), memory_bytes=1 << 20)
    assert instance.fault is not None
    assert instance.fault.cause is Cause.MEMORY_LIMIT
    instance.close()


def in_a_pool(host: Host, text: bytes, each_bytes: int) -> Instance:
    """Its memory has at most ``each_bytes``, and its own limit is larger."""
    linked = host.link(host.load(text, "driver"), ["clock"])
    instance = host.create(linked, {"clock.monotonic": lambda: 0}, 64 << 20)
    instance.memory.each_bytes = each_bytes
    instance.begin_start(FUEL)
    instance.advance()
    return instance


def test_a_memory_of_a_pool_grows_to_its_end(host: Host) -> None:
    """From one page by 16 at a time: 33 fit into 40, 49 don't."""
    instance = in_a_pool(host, guests.growing(), 40 << 16)
    instance.begin("read-sensor", (), FUEL)
    instance.advance()
    assert instance.fault is not None
    assert instance.fault.cause is Cause.MEMORY_LIMIT
    assert instance.memory_peak_bytes == 33 << 16
    instance.close()


def test_a_guest_that_starts_larger_than_a_memory_of_the_pool_is_refused(host: Host) -> None:
    instance = in_a_pool(host, guests.driver_text("EMPTY", memory_pages=100), 99 << 16)
    assert instance.fault is not None
    assert instance.fault.cause is Cause.MEMORY_LIMIT
    assert "starts with 6553600 bytes, one of the pool has 6488064" in instance.fault.message
    instance.close()


def test_a_parked_call_can_be_killed_and_closed(host: Host) -> None:
    instance = instantiate(host, guests.sleeping(5))
    instance.begin("read-sensor", (), FUEL)
    instance.advance()
    assert instance.request is not None
    assert instance.request.name == "clock.sleep"
    fault = instance.kill(Cause.DEADLINE, "too long")
    assert instance.fault is fault
    instance.close()
    assert instance.advance() == 0


def test_fuel_is_the_same_parked_or_not_and_over_instances(host: Host) -> None:
    used = []
    for _ in range(3):
        instance = instantiate(host, guests.working(100, 5, 200))
        instance.begin("read-sensor", (), FUEL)
        segments = [instance.advance()]
        while instance.request is not None:
            instance.answer(None)
            segments.append(instance.advance())
        used.append(segments)
        instance.close()
    assert used[0] == used[1] == used[2]
    assert len(used[0]) == 2


def test_our_own_failure_in_an_import_is_raised_and_not_blamed_on_the_guest(host: Host) -> None:
    linked = host.link(host.load(guests.clock_watching(1), "driver"), ["clock"])

    def broken() -> int:
        raise ZeroDivisionError("ours")

    instance = host.instantiate(linked, {"clock.monotonic": broken}, FUEL)
    instance.begin("read-sensor", (), FUEL)
    with pytest.raises(ZeroDivisionError, match="ours"):
        instance.advance()
    instance.close()


def test_closing_a_host_unwinds_a_thousand_parked_calls() -> None:
    own = Host()
    linked = own.link(own.load(guests.sleeping(5), "driver"), ["clock"])
    for _ in range(1000):
        instance = own.instantiate(linked, {}, FUEL)
        instance.begin("read-sensor", (), FUEL)
        instance.advance()
        assert instance.request is not None
    assert own.live == own.memory.live == 1000
    own.close()
    assert own.live == own.memory.live == 0
    with pytest.raises(HostError, match="after its close"):
        own.load(guests.empty(), "driver")
