"""Serial lines: characters, parity, turnaround, a slow device that holds the line, and the arithmetic that
foresees it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.plants import plant, run
from tests.sim.test_world import conserved
from twinloop.components.host.host import Host
from twinloop.scenarios.planning.feasibility import line_utilisation, warnings
from twinloop.sim.accounts.rows import End
from twinloop.sim.kernel.clock import MS, S
from twinloop.sim.model.spec import LinkSpec, WorldSpec
from twinloop.sim.network.link import LinkModel
from twinloop.sim.network.serial_line import LineTiming
from twinloop.sim.trouble.verbs import act


def line(
    host: Host, count: int = 4, link: dict[str, Any] | None = None, corrupt: float = 0.0, **changes: Any
) -> WorldSpec:
    spec = plant(host, count=count, serial_bd=9600, **{"duration_ns": 40 * S, "poll_ns": 4 * S, **changes})
    return replace(
        spec, links=(LinkSpec("plant", LinkModel(corrupt=corrupt), 9600, **(link or {})), spec.links[1])
    )


def test_a_character_has_ten_or_eleven_bits() -> None:
    """MODBUS over Serial Line V1.02 section 2.5.1: without parity a second stop bit; 8N1 leaves it out."""
    assert LineTiming(9600).character_ns == 11 * S // 9600
    assert LineTiming(9600, 10).character_ns == 10 * S // 9600
    assert LineTiming(9600, 10).gap_ns == 35 * S // 9600
    assert (
        LineTiming(19_200, 11, 2 * MS).exchange_ns(8, 7, MS)
        == LineTiming(19_200).exchange_ns(8, 7, MS) + 4 * MS
    )


@pytest.mark.parametrize(("bits", "turnaround_ms"), [(11, 0), (10, 0), (11, 3)])
def test_the_line_is_busy_for_what_its_characters_take(host: Host, bits: int, turnaround_ms: int) -> None:
    world = run(line(host, link={"character_bits": bits, "turnaround_ns": turnaround_ms * MS}), host)
    conserved(world)
    wires = world.field.lines["plant/1"]
    assert wires.exchanges == 40
    assert wires.occupancy.busy_ns == pytest.approx(
        40 * LineTiming(9600, bits, turnaround_ms * MS).exchange_ns(8, 5 + 2 * 16, MS), rel=1e-6
    )


def test_parity_makes_silence_of_a_damaged_frame(host: Host) -> None:
    plain = run(line(host, corrupt=0.3), host)
    checked = run(line(host, corrupt=0.3, link={"parity": True}), host)
    for world in (plain, checked):
        conserved(world)
    assert plain.ledger.count(End.MISSED, "malformed") > 0, "a wrong CRC has reached the driver"
    assert checked.ledger.count(End.MISSED, "malformed") == 0
    assert checked.ledger.count(End.MISSED, "timeout") > 0
    assert checked.field.lines["plant/1"].timeouts > plain.field.lines["plant/1"].timeouts


def test_a_slow_device_holds_the_line_and_delays_the_others(host: Host) -> None:
    slow = act(0, "device-fault", "presses/1", 40 * S, kind="slow", delay_ns=90 * MS)
    spec = line(host, count=8, poll_ns=2 * S, phase_ns=0, timeline=(slow,))
    world, free = run(spec, host), run(replace(spec, timeline=()), host)
    conserved(world)
    assert world.ledger.count(End.DELIVERED) == world.ledger.due
    assert (
        world.field.lines["plant/1"].occupancy.busy_ns - free.field.lines["plant/1"].occupancy.busy_ns
        == 20 * 90 * MS
    )
    assert world.latencies.of().gateway.percentile(500) - free.latencies.of().gateway.percentile(
        500
    ) == pytest.approx(90 * MS, rel=0.05)  # type: ignore[operator]


def test_what_the_check_foresees_is_what_the_run_measures(host: Host) -> None:
    for count, turnaround_ms in ((8, 0), (8, 5), (30, 0)):
        spec = line(host, count=count, link={"turnaround_ns": turnaround_ms * MS}, poll_ns=2 * S)
        foreseen = line_utilisation(spec)["plant/1"]
        busy = run(spec, host).field.lines["plant/1"].occupancy.busy_ns / (40 * S)
        assert busy == pytest.approx(min(1.0, foreseen), rel=0.06), (count, turnaround_ms)
        assert any("can't all be held" in text for text in warnings(spec)) is (foreseen > 1)


def test_many_drops_on_one_line_are_told_by_their_unit_ids(host: Host) -> None:
    world = run(line(host, count=31, poll_ns=4 * S, duration_ns=8 * S), host)
    conserved(world)
    assert world.ledger.count(End.DELIVERED) == world.ledger.due
    assert sorted(server.device.unit_id for server in world.field.servers) == list(range(1, 32))
