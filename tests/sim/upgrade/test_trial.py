"""Trials of a new version: what takes it back, what doesn't, and who is looked at."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.components import guests
from tests.plants import WASM, component, driver, offer, paired, plant, upgradable
from tests.sim.upgrade.upgrade_runs import SHIPPED, Run, order, shipped, small
from twinloop.components.host.host import Host
from twinloop.components.releases.registry import Version
from twinloop.sim.accounts.rows import End
from twinloop.sim.kernel.clock import MS, S
from twinloop.sim.trouble.verbs import act
from twinloop.sim.world import World


@pytest.mark.parametrize(("name", "version", "cause", "upgrade"), [
    ("route", "1.4.0", "faults", {"trial_ns": 20 * S, "faults": 1}), ("route", "1.3.0", "latency", {"latency_ns": 10 * MS}),
    ("modbus-driver", "1.2.0", "failures", {}),
])  # fmt: skip
def test_what_is_worse_is_taken_back(
    host: Host, name: str, version: str, cause: str, upgrade: dict[str, Any]
) -> None:
    board = "beaglebone-black" if cause == "latency" else "raspberry-pi-4"
    ran = Run(
        small(
            host,
            order(2, name, version),
            offers=(shipped(name, version),),
            upgrade=upgrade,
            duration_ns=30 * S,
            board=board,
        ),
        host,
    )
    assert (ran.order.state, ran.order.cause, ran.order.stage) == ("rolled-back", cause, "trial")
    assert ran.final == ran.slots, "the very instances that were kept"
    assert ran.works()
    assert ran.order.downtime_ns is not None
    assert ran.order.downtime_ns < S
    assert ran.order.detail
    late = [end for (_, end, _) in ran.world.ledger.ends if end in (End.MISSED, End.LOST)]
    assert bool(late) == (cause != "latency")
    assert ran.world.gateways[0].upgrades.installed[name][0] == Version(1, 0, 0)


def test_d12_a_device_that_was_silent_before_is_no_reason_to_go_back(host: Host) -> None:
    silent = act(S, "device-fault", "presses/1", kind="silent")
    strict = Run(small(host, silent, order(2, "modbus-driver", "1.1.0"), upgrade={"failures": 0.1}), host)
    assert strict.order.state == "done"
    later = act(2500 * MS, "device-fault", "presses/1", kind="silent")
    assert (
        Run(
            small(host, later, order(2, "modbus-driver", "1.1.0"), upgrade={"failures": 0.1}), host
        ).order.cause
        == "failures"
    )
    assert (
        Run(
            small(host, later, order(2, "modbus-driver", "1.1.0"), upgrade={"failures": 0.3}), host
        ).order.state
        == "done"
    )


@pytest.mark.parametrize("seed", range(5))
def test_d12_what_was_usual_before_is_no_reason_to_go_back(host: Host, seed: int) -> None:
    """Half of all requests come to nothing, before and after; a version with which nearly all do is worse all
    the same."""
    half = act(0, "device-fault", "presses", kind="silent", share=0.5)
    usual = {"failures": 0.1, "trial_ns": 10 * S}
    spec = replace(
        small(host, half, order(25, "modbus-driver", "1.1.0"), upgrade=usual, duration_ns=60 * S), seed=seed
    )
    assert Run(spec, host).order.state == "done"
    worse = act(25 * S, "device-fault", "presses", kind="silent", share=0.9)
    spec = replace(
        small(
            host,
            half,
            worse,
            order(25, "modbus-driver", "1.1.0"),
            upgrade={**usual, "trial_ns": 20 * S},
            duration_ns=60 * S,
        ),
        seed=seed,
    )
    assert Run(spec, host).order.cause == "failures"


def test_an_upgrade_heals_what_is_quarantined(host: Host) -> None:
    bad = component(host, "route", "policy", ("log",), SHIPPED.read("route", Version(1, 4, 0))[1])
    faults = [act(S + i * 300 * MS, "fault-component", "gw/policy", kind="unreachable") for i in range(8)]
    ran = Run(small(host, *faults, order(6, "route", "1.1.0"), policy=bad, duration_ns=15 * S), host)
    assert any(r[1] == "component" and r[4] == "quarantined" for r in ran.records)
    assert ran.order.state == "done"
    assert ran.works()


def test_an_old_one_that_was_killed_meanwhile_is_started_again_when_it_is_needed(host: Host) -> None:
    """RAM shrinks while the new one is on trial: who doesn't serve goes first; going back brings it up
    anew."""
    quiet = Run(small(host), host)
    squeeze = act(3 * S, "limit-memory", "gw", 4 * S, size_bytes=quiet.memory_bytes + 200_000)
    faults = [
        act(5 * S + i * 400 * MS, "fault-component", "gw/driver/presses/1", kind="unreachable")
        for i in range(3)
    ]
    ran = Run(
        small(
            host,
            order(2, "modbus-driver", "1.1.0"),
            squeeze,
            *faults,
            upgrade={"trial_ns": 6 * S},
            duration_ns=20 * S,
        ),
        host,
    )
    assert (ran.order.state, ran.order.cause) == ("rolled-back", "faults")
    assert any(
        r[1] == "component" and r[3].endswith("@1.0.0") and r[5] == "memory-limit" for r in ran.records
    )
    assert ran.final == ran.slots
    assert ran.works()


def test_a_kept_one_that_dies_is_not_tried_again_and_again_until_it_is_needed(host: Host) -> None:
    """A long squeeze kills the kept ones; tries to bring them up beside the others would end in
    quarantine."""
    quiet = Run(small(host), host)
    squeeze = act(3 * S, "limit-memory", "gw", 20 * S, size_bytes=quiet.memory_bytes + 200_000)
    faults = [
        act(22 * S + i * 400 * MS, "fault-component", "gw/driver/presses/1", kind="unreachable")
        for i in range(3)
    ]
    ran = Run(
        small(
            host,
            order(2, "modbus-driver", "1.1.0"),
            squeeze,
            *faults,
            upgrade={"trial_ns": 26 * S},
            duration_ns=35 * S,
        ),
        host,
    )
    assert (ran.order.state, ran.order.cause) == ("rolled-back", "faults")
    assert ran.works()
    assert not any(r[1] == "component" and r[4] == "quarantined" for r in ran.records)


def test_one_that_serves_gets_its_ram_from_those_that_do_not(host: Host) -> None:
    """The transform dies while the new drivers hold the RAM that it needs to come back."""
    quiet = Run(small(host, count=20), host)
    squeeze = act(
        S, "limit-memory", "gw", 9 * S, size_bytes=quiet.memory_bytes + 8_000_000
    )  # 20 fresh drivers fit, and the transform doesn't
    dies = act(int(2.5 * S), "fault-component", "gw/transform", kind="unreachable")
    ran = Run(small(host, squeeze, order(2, "modbus-driver", "1.1.0"), dies, count=20), host)
    assert ran.order.state == "done"
    assert (
        len([r for r in ran.records if r[1] == "component" and r[3] == "gw/transform" and r[4] == "backoff"])
        == 1
    )
    assert [
        r[5] for r in ran.records if r[1] == "component" and r[3].endswith("@1.0.0") and r[4] == "backoff"
    ] == ["memory-limit"]
    assert ran.works()


def test_what_never_gets_round_to_polling_is_a_failure(host: Host) -> None:
    """Overruns and slots that stay dark make no polls: they count all the same."""
    quick = component(host, "sleepy", "transform", ("clock", "log"), guests.slow_transform(20 * MS))
    ran = Run(
        small(
            host,
            order(2, "sleepy", "1.1.0"),
            offers=(offer("sleepy", "1.1.0", guests.slow_transform(500 * MS)),),
            transform=quick,
            count=8,
            upgrade={"trial_ns": 8 * S},
            duration_ns=20 * S,
        ),
        host,
    )
    assert (ran.order.state, ran.order.cause) == ("rolled-back", "failures")
    spec = small(
        host,
        order(2, "modbus-driver", "1.1.0"),
        act(5 * S, "fault-component", "gw/driver/presses/1", kind="dead"),
        count=1,
        upgrade={"trial_ns": 6 * S, "faults": 5, "failures": 1.0},
    )
    strict = replace(
        spec, gateways=tuple(replace(one, restart=replace(one.restart, faults=1)) for one in spec.gateways)
    )
    dark = Run(strict, host)
    assert (dark.order.state, dark.order.cause, dark.order.detail) == (
        "rolled-back",
        "faults",
        "gw/driver/presses/1 is quarantined at the end of the trial",
    )
    assert dark.works()


def test_only_the_devices_of_an_upgraded_driver_are_looked_at(host: Host) -> None:
    """One device of many has a driver of its own, and its new version is slow: the others' good polls don't
    hide it."""
    own = replace(driver(host), name="own")
    spec = small(
        host,
        order(2, "own", "1.1.0"),
        offers=(offer("own", "1.1.0", (WASM / "modbus-driver.wasm").read_bytes()),),
        count=20,
        drivers={3: own},
        upgrade={"latency_ns": 20 * MS, "trial_ns": 5 * S},
    )
    spec = replace(
        spec,
        devices=tuple(
            replace(one, response_ns=50 * MS) if one.driver == "own" else one for one in spec.devices
        ),
    )
    ran = Run(spec, host)
    assert (ran.order.state, ran.order.cause) == ("rolled-back", "latency")
    assert ran.order.detail == "5 of 5 polls were over later than 20 ms"


@pytest.mark.parametrize("gateway", ["gw", "gw-b"])
def test_a_hot_standby_judges_by_its_own_polls(host: Host, gateway: str) -> None:
    spec = plant(
        host,
        count=5,
        duration_ns=15 * S,
        timeline=(order(2, "route", "1.3.0", gateway),),
        board="beaglebone-black",
    )
    ran = Run(upgradable(paired(spec, "hot"), shipped("route", "1.3.0"), latency_ns=10 * MS), host)
    assert (ran.order.state, ran.order.cause) == ("rolled-back", "latency")
    throttled = plant(
        host,
        count=5,
        duration_ns=15 * S,
        timeline=(order(2, "route", "1.1.0", "gw-b"), act(S, "throttle", "gw", 12 * S, amount=0.05)),
    )
    other = Run(upgradable(paired(throttled, "hot"), latency_ns=10 * MS), host)
    assert other.order.state == "done", "the leader's trouble isn't the standby's"


@pytest.mark.parametrize("at_s", [2.24, 2.3, 4.0])
def test_a_cold_standby_that_is_promoted_in_mid_upgrade_leads_with_what_is_up(
    host: Host, at_s: float
) -> None:
    """While the new ones are brought up, and on trial; and going back brings the old ones up."""
    faults = [
        act(9 * S + i * 300 * MS, "fault-component", "gw-b/policy", kind="unreachable") for i in range(4)
    ]
    for name, more in (("modbus-driver", []), ("route", faults)):
        crash = act(int(at_s * S) - 900 * MS, "crash", "gw")
        timeline = (order(2, name, "1.1.0", "gw-b"), crash, *more)
        ran = Run(
            upgradable(
                paired(plant(host, count=10, duration_ns=20 * S, timeline=timeline), "cold", "none"),
                trial_ns=8 * S,
            ),
            host,
        )
        assert ran.order.state == ("rolled-back" if more else "done")
        standby = ran.world.gateways[1]
        assert ran.world.pairs[0].leaders == ["gw-b"]
        assert not [r for r in ran.records if r[1] == "component" and r[4] == "quarantined"]
        lost = ran.world.ledger.count(End.MISSED) + ran.world.ledger.count(End.LOST)
        assert lost <= 10 * 10 * 2, "the gap, and what the faults cost"
        assert standby.member.polls


def test_who_waits_for_an_instance_that_never_comes_back_is_told(host: Host) -> None:
    """A parked call dies with its instance, and there is no RAM for the next one: nobody may wait for
    ever."""
    sleepy = component(host, "sleepy", "transform", ("clock", "log"), guests.slow_transform(300 * MS))
    quiet = Run(small(host, transform=sleepy), host)
    squeeze = act(S, "limit-memory", "gw", 30 * S, size_bytes=quiet.memory_bytes - 1)
    spec = small(
        host,
        squeeze,
        order(12, "sleepy", "1.1.0"),
        offers=(offer("sleepy", "1.1.0", guests.slow_transform(40 * MS)),),
        transform=sleepy,
        phase_ns=0,
        duration_ns=20 * S,
    )
    ran = Run(spec, host)
    assert not [poller.name for poller in ran.world.gateways[0].pollers if poller.row is not None]
    assert ran.order.state in ("refused", "rolled-back", "done")
    assert not ran.beside


def test_done_is_when_the_sync_says_so(host: Host) -> None:
    """While the store is written to all the time, a commit waits for a sync that has it."""
    spec = small(
        host,
        act(S, "cut", "cloud", int(1.5 * S)),
        order(2, "route", "1.1.0"),
        act(int(4.3 * S), "cut", "cloud", 9 * S),
        duration_ns=20 * S,
        count=50,
    )
    world = World(spec, host)
    records: list[Any] = []
    world.trace.sinks.append(lambda some: records.extend(r for r in some if r[1] in ("sync", "upgrade")))
    world.run()
    world.close()
    done = next(r[0] for r in records if r[1] == "upgrade" and r[5] == "done")
    committing = next(r[0] for r in records if r[1] == "upgrade" and r[5] == "committing")
    assert any(r[0] == done for r in records if r[1] == "sync")
    assert len([r for r in records if r[1] == "sync" and committing < r[0] <= done]) <= 2
