"""The supervisor: backoff with jitter, what drivers say of themselves, the watchdog, one table of states."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.components import guests
from tests.plants import component, plant, run
from tests.sim.test_world import conserved
from twinloop.components.host.host import Host
from twinloop.sim.accounts.rows import End
from twinloop.sim.gateway import slot
from twinloop.sim.kernel.clock import MS, S
from twinloop.sim.machine import machine
from twinloop.sim.model.spec import RestartSpec, WorldSpec
from twinloop.sim.states import figure
from twinloop.sim.trouble.verbs import act
from twinloop.sim.world import World


def supervised(host: Host, restart: RestartSpec, **changes: Any) -> WorldSpec:
    spec = plant(host, **changes)
    return replace(spec, gateways=(replace(spec.gateways[0], restart=restart),))


def traced(spec: WorldSpec, host: Host) -> tuple[World, list[Any]]:
    world = World(spec, host)
    records: list[Any] = []
    world.trace.sinks.append(records.extend)
    world.run()
    world.close()
    conserved(world)
    return world, records


def starts(records: list[Any], name: str) -> list[int]:
    """Instants at which a component left its backoff."""
    return [r[0] for r in records if r[1] == "component" and r[3] == name and r[4] == "starting" and r[0] > 0]


def faults(records: list[Any], name: str) -> list[int]:
    return [r[0] for r in records if r[1] == "component" and r[3] == name and r[4] == "backoff" and r[0] > 0]


def test_backoff_doubles_to_its_maximum_within_its_jitter(host: Host) -> None:
    trapping = component(host, "trapping", "driver", (), guests.trapping(), deadline_ns=S)
    restart = RestartSpec(first_ns=100 * MS, max_ns=800 * MS, faults=99, jitter=0.5)
    _, records = traced(
        supervised(host, restart, count=1, duration_ns=20 * S, drivers={1: trapping}, settle_ns=2 * S), host
    )
    waits = [
        start - fault
        for fault, start in zip(
            faults(records, "gw/driver/presses/1"), starts(records, "gw/driver/presses/1"), strict=False
        )
    ]
    assert len(waits) > 10
    for i, wait in enumerate(waits):
        nominal = min(100 * MS << i, 800 * MS)
        assert nominal // 2 <= wait <= nominal * 3 // 2
    assert len(dict.fromkeys(waits)) > 8, "jitter"
    even = RestartSpec(first_ns=100 * MS, max_ns=800 * MS, faults=99, jitter=0.0)
    _, records = traced(
        supervised(host, even, count=1, duration_ns=20 * S, drivers={1: trapping}, settle_ns=2 * S), host
    )
    waits = [
        start - fault
        for fault, start in zip(
            faults(records, "gw/driver/presses/1"), starts(records, "gw/driver/presses/1"), strict=False
        )
    ]
    assert waits[:6] == [100 * MS, 200 * MS, 400 * MS, 800 * MS, 800 * MS, 800 * MS]


def test_backoffs_of_many_do_not_march_in_step(host: Host) -> None:
    """All drivers die at once; without jitter they would all come back at once."""
    restart = RestartSpec(first_ns=S, max_ns=8 * S, jitter=0.3)
    died = tuple(
        act(5 * S, "fault-component", f"gw/driver/presses/{i + 1}", kind="unreachable") for i in range(20)
    )
    _, records = traced(supervised(host, restart, count=20, duration_ns=10 * S, timeline=died), host)
    began = sorted(r[0] for r in records if r[1] == "component" and r[4] == "starting" and r[0] > 5 * S)
    assert len(began) == 20
    assert began[-1] - began[0] > 300 * MS


def test_drivers_are_asked_and_a_change_is_an_event(host: Host) -> None:
    restart = RestartSpec(status_ns=2 * S)
    silent = act(int(5.5 * S), "device-fault", "presses/2", int(9.5 * S), kind="silent")
    world, records = traced(supervised(host, restart, count=4, duration_ns=20 * S, timeline=(silent,)), host)
    said = [(r[2], r[3]) for r in records if r[1] == "status" and r[2] == "gw/driver/presses/2"]
    assert said == [
        ("gw/driver/presses/2", "ok"),
        ("gw/driver/presses/2", "degraded"),
        ("gw/driver/presses/2", "ok"),
    ]
    assert world.gateways[0].supervisor.faults == {}
    calls = world.gateways[0].machine.budget.meters["modbus-driver"].calls
    assert (
        calls
        > run(plant(host, count=4, duration_ns=20 * S, timeline=(silent,)), host)
        .gateways[0]
        .machine.budget.meters["modbus-driver"]
        .calls
    )


def test_a_driver_that_says_failed_is_restarted_and_quarantined_in_the_end(host: Host) -> None:
    failed = component(host, "failed", "driver", (), guests.driver_text("EMPTY", health=2), deadline_ns=S)
    world, _ = traced(
        supervised(host, RestartSpec(status_ns=S), count=3, duration_ns=30 * S, drivers={2: failed}), host
    )
    assert world.gateways[0].supervisor.faults == {("failed", "unhealthy"): 5}
    assert world.gateways[0].supervisor.quarantined == 1
    assert world.ledger.count(End.MISSED, "quarantined") > 0


def test_the_watchdog_resets_a_gateway_whose_core_is_hogged(host: Host) -> None:
    """One core, a driver without a CPU limit that computes until its deadline of 3 s: nothing else gets the
    core."""
    hog = component(host, "hog", "driver", (), guests.looping(), deadline_ns=3 * S)
    drivers = {
        1: hog,
        **{
            i: component(
                host,
                "modbus-driver",
                "driver",
                ("fieldbus", "clock", "log"),
                options=(("timeout", "200 ms"),),
            )
            for i in (2, 3)
        },
    }
    changes: dict[str, Any] = {
        "count": 3,
        "duration_ns": 10 * S,
        "board": "beaglebone-black",
        "drivers": drivers,
    }
    bitten, records = traced(supervised(host, RestartSpec(watchdog_ns=S, faults=99), **changes), host)
    assert bitten.gateways[0].supervisor.bites >= 2
    assert bitten.gateways[0].machine.budget.breaches["watchdog"] == bitten.gateways[0].supervisor.bites
    assert len(bitten.gateways[0].boots) == 1 + bitten.gateways[0].supervisor.bites
    first = next(r for r in records if r[1] == "breach" and r[3] == "watchdog")
    assert 3 * S // 4 <= first[0] <= S, (
        "a second after the last kick, which was at most a quarter before the hog began at 0"
    )
    patient, _ = traced(supervised(host, RestartSpec(watchdog_ns=5 * S, faults=99), **changes), host)
    assert patient.gateways[0].supervisor.bites == 0


def test_a_watchdog_that_is_kicked_costs_little_and_changes_nothing(host: Host) -> None:
    calm, _ = traced(supervised(host, RestartSpec(watchdog_ns=2 * S), count=10, duration_ns=20 * S), host)
    assert calm.gateways[0].supervisor.bites == 0
    assert calm.ledger.count(End.DELIVERED) == calm.ledger.due


@pytest.mark.parametrize("table", [slot.TRANSITIONS, machine.TRANSITIONS])
def test_every_state_can_be_left_and_reached(table: dict[tuple[str, str], str]) -> None:
    states = dict.fromkeys([state for state, _ in table] + list(table.values()))
    assert all(any(state == origin for origin, _ in table) for state in states)
    assert all(state in table.values() for state in states)


def test_every_transition_is_in_the_trace(host: Host) -> None:
    """States of a component, read from the trace alone, follow the table."""
    died = (
        *(act(at * S, "fault-component", "gw/transform", kind="unreachable") for at in (3, 4, 5, 6, 7)),
        act(12 * S, "restart", "gw"),
    )
    _, records = traced(
        supervised(host, RestartSpec(first_ns=10 * MS), count=2, duration_ns=20 * S, timeline=died), host
    )
    state = "down"
    seen = [r[4] for r in records if r[1] == "component" and r[3] == "gw/transform"]
    for following in seen:
        assert following in [to for (origin, _), to in slot.TRANSITIONS.items() if origin == state], (
            state,
            following,
        )
        state = following
    assert "quarantined" in seen
    assert seen[-1] == "ready"


def test_the_readme_shows_the_tables_as_they_are() -> None:
    shown = (Path(__file__).parents[3] / "docs" / "states.md").read_text()
    assert "\n".join(f"    {line}" for line in figure().splitlines()) in shown, "run python -m sim.states"
