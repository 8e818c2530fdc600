"""Upgrades: every step with every way to end, and after each a working version."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from components.demo_registry import DEMO_KEY, STRANGERS_KEY, marked
from components.host import Host
from components.registry import Registry, Version, sign
from scenarios.load import LIBRARY
from sim.clock import MS, S
from sim.fetch import BLOCK_BYTES
from sim.ledger import End
from sim.ota import CAUSES, ENDS, TRANSITIONS, Upgrade
from sim.spec import Action, OfferSpec, StoreSpec, WorldSpec
from sim.world import World
from tests.components import guests
from tests.plants import WASM, component, driver, offer, paired, plant, upgradable
from tests.sim.test_world import conserved

ROUTE = (WASM / "route.wasm").read_bytes()
SHIPPED = Registry(LIBRARY / "registry")
STEPS = ["ordered", "waiting", "checking", "fetching", "verifying", "writing", "preparing", "swapping", "trial", "committing", "done"]


class Run:
    """A run with the records of its upgrades."""

    def __init__(self, spec: WorldSpec, host: Host) -> None:
        self.records: list[Any] = []
        self.world = world = World(spec, host)
        self.slots = {slot.name: slot for slot in world.gateways[0].slots}
        """as they were at the beginning"""
        world.trace.sinks.append(lambda records: self.records.extend(r for r in records if r[1] in ("upgrade", "swap", "limit", "component", "gateway")))
        try:
            world.run()
            self.final = {slot.name: slot for slot in world.gateways[0].slots}
            self.states = {slot.name: slot.state for slot in world.gateways[0].slots}
            self.memory = {slot.name: slot.held_bytes() for slot in world.gateways[0].slots}
            self.beside = list(world.gateways[0].beside)
            self.memory_bytes = world.gateways[0].budget.memory_bytes
        finally:
            world.close()
        conserved(world)
        self.orders = world.rollout.orders
        assert all(one.state in ENDS for one in self.orders)

    @property
    def order(self) -> Upgrade:
        (only,) = self.orders
        return only

    def at(self, state: str, number: int = 0) -> int:
        return [r[0] for r in self.records if r[1] == "upgrade" and r[5] == state][number]

    def versions(self) -> dict[str, str]:
        return {name: str(slot.spec.version) for name, slot in self.final.items()}

    def works(self) -> bool:
        """Everything is ready, and what was due in the last second was delivered."""
        world = self.world
        late = [row for row in world.ledger.rows.values() if row.open]
        return not late and set(self.states.values()) == {"ready"} and not self.beside


def order(t_s: float, component: str, version: str, gateway: str = "gw") -> Action:
    return Action(int(t_s * S), "upgrade", f"{gateway}/{component}", version=version)


def small(host: Host, *timeline: Action, offers: tuple[OfferSpec, ...] = (), upgrade: dict[str, Any] | None = None, **changes: Any) -> WorldSpec:
    spec = plant(host, **{"count": 5, "duration_ns": 10 * S, "timeline": timeline, **changes})
    return upgradable(spec, *offers, **(upgrade or {}))


def shipped(name: str, version: str) -> OfferSpec:
    return OfferSpec(*SHIPPED.read(name, Version.parse(version)))


# ---- the way that it should go --------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", ["modbus-driver", "normalize", "route"])
def test_an_upgrade_takes_its_steps_and_nobody_misses_anything(host: Host, name: str) -> None:
    ran = Run(small(host, order(2, name, "1.1.0")), host)
    assert [r[5] for r in ran.records if r[1] == "upgrade"] == STEPS
    assert ran.order.state == "done"
    assert ran.order.downtime_ns == 0
    assert ran.world.ledger.count(End.DELIVERED) == ran.world.ledger.due
    slots = [slot for slot in ran.final.values() if slot.spec.name == name]
    assert len(slots) == (5 if name == "modbus-driver" else 1)
    assert all(str(slot.spec.version) == "1.1.0" and slot.spec.component.sha256 == ran.order.release.sha256 for slot in slots)
    assert all(slot is not ran.slots[slot.name] for slot in slots)
    assert ran.world.gateways[0].upgrades.installed[name] == (Version(1, 1, 0), ran.order.release.sha256)
    assert ran.works()
    assert ran.memory_bytes == sum(ran.memory.values()), "the old instances are gone"
    assert ran.at("committing") - ran.at("trial") == 2 * S
    assert ran.order.fetched_bytes == ran.order.release.size_bytes


def test_the_download_takes_the_links_time_and_acknowledgements_wait_behind_it(host: Host) -> None:
    spec = small(host, order(2, "route", "1.1.0"), duration_ns=20 * S)
    slow = replace(spec.links[1], model=replace(spec.links[1].model, rate_bps=100_000, loss=0.0))
    ran = Run(replace(spec, links=(spec.links[0], slow)), host)
    took_ns = ran.at("verifying") - ran.at("fetching")
    shortest_ns = ran.order.release.size_bytes * 8 * S // 100_000
    assert shortest_ns < took_ns < 1.2 * shortest_ns + 200 * MS
    assert ran.world.latencies.of().cloud.max < 4 * S
    assert ran.world.gateways[0].uplink.round_trip_ns > 0
    assert ran.order.state == "done"


def test_a_lost_session_goes_on_where_it_was(host: Host) -> None:
    big = offer("route", "1.2.0", marked(ROUTE + b"", "x" * 100) + b"".join(marked(b"", "y" * 110) for _ in range(2500)))
    assert len(big.data) > 15 * BLOCK_BYTES
    spec = small(host, order(2, "route", "1.2.0"), Action(4 * S, "cut", "cloud", 17 * S), offers=(big,), duration_ns=40 * S)
    slow = replace(spec.links[1], model=replace(spec.links[1].model, rate_bps=500_000))
    ran = Run(replace(spec, links=(spec.links[0], slow)), host)
    assert ran.order.state == "done"
    assert ran.order.sessions == 2
    assert ran.order.fetched_bytes == len(big.data)
    fetching_ns = ran.at("verifying") - ran.at("fetching")
    assert fetching_ns < 13 * S + 5 * S + len(big.data) * 8 * S // 500_000, "what had come wasn't fetched again"


def test_who_waits_for_the_old_instance_is_served_by_it(host: Host) -> None:
    """A transform that sleeps in its call has a queue; the swap loses nobody in it."""
    sleepy = component(host, "sleepy", "transform", ("clock", "log"), guests.slow_transform(80 * MS))
    better = offer("sleepy", "1.1.0", guests.slow_transform(40 * MS))
    spec = small(host, order(2, "sleepy", "1.1.0"), offers=(better,), transform=sleepy, phase_ns=0)
    ran = Run(spec, host)
    assert ran.order.state == "done"
    assert ran.order.downtime_ns == 0
    assert ran.world.ledger.count(End.LOST) == ran.world.ledger.count(End.MISSED) == 0
    assert not ran.beside


def test_a_driver_is_swapped_between_its_polls(host: Host) -> None:
    ran = Run(small(host, order(2, "modbus-driver", "1.1.0"), count=40, poll_ns=50 * MS, response_ns=30 * MS), host)
    assert ran.order.state == "done"
    assert ran.world.ledger.count(End.MISSED) == ran.world.ledger.count(End.LOST) == 0
    assert len([r for r in ran.records if r[1] == "swap"]) == 40
    instants = [r[0] for r in ran.records if r[1] == "swap"]
    assert instants[-1] > instants[0], "those under way waited"


def test_state_is_carried_over_and_goes_back_with_the_old_version(host: Host) -> None:
    def keeper_run(*more: Action) -> Run:
        keeper = component(host, "keeper", "driver", ("state",), guests.keeping(8), deadline_ns=S)
        spec = plant(host, count=2, duration_ns=12 * S, drivers={1: keeper}, timeline=(order(3.5, "keeper", "1.1.0"), *more))
        # an answer that isn't a batch is no fault: all polls of this driver come to nothing, before and after
        return Run(upgradable(spec, offer("keeper", "1.1.0", guests.keeping(16)), failures=1.0, trial_ns=4 * S), host)

    name = "gw/driver/presses/1"
    ran = keeper_run()
    assert ran.order.state == "done"
    assert ran.slots[name].values == {"k": bytes(8)}, "what the old one wrote last"
    assert ran.final[name].values == {"k": bytes(16)}
    faults = [Action(6 * S + i * 500 * MS, "inject", name, kind="unreachable") for i in range(3)]
    back = keeper_run(*faults)
    assert (back.order.state, back.order.cause) == ("rolled-back", "faults")
    assert back.final[name] is back.slots[name]
    assert back.final[name].values == {"k": bytes(8)}


def test_what_the_old_one_wrote_meanwhile_is_carried_over(host: Host) -> None:
    """The copy is made when the new one is brought up; the old one goes on writing until the swap."""
    world = World(small(host, order(2, "normalize", "1.1.0")), host)
    slot = world.gateways[0].transform
    slot.values.update({"kept": b"1", "changed": b"1", "gone": b"1"})

    def between(event: Any) -> None:
        if event[1] == "component" and event[3].endswith("@1.1.0") and event[4] == "ready":
            new = next(one for one in world.gateways[0].beside)
            assert new.values == {"kept": b"1", "changed": b"1", "gone": b"1"}
            new.values.update({"kept": b"migrated", "changed": b"migrated"})
            slot.values["changed"] = b"2"
            del slot.values["gone"]

    emit = world.trace.emit

    def watched(kind: str, *fields: Any) -> None:
        emit(kind, *fields)
        between((world.env.now, kind, *fields))

    world.trace.emit = watched  # type: ignore[method-assign]
    world.run()
    world.close()
    assert world.gateways[0].transform is not slot
    assert world.gateways[0].transform.values == {"kept": b"migrated", "changed": b"2"}


# ---- refusals: each names its cause and its step, and the old version never stops ------------------------------------
def altered(data: bytes) -> bytes:
    return data[:500] + bytes([data[500] ^ 1]) + data[501:]


GOOD = sign("route", Version(1, 3, 0), marked(ROUTE, "1.3.0"), DEMO_KEY)
REFUSALS: dict[str, tuple[OfferSpec, str, str]] = {
    "an older version": (offer("route", "0.9.9", ROUTE), "downgrade", "checking"),
    "the same version with other bytes": (offer("route", "1.0.0", marked(ROUTE, "x")), "version-reused", "checking"),
    "what is installed": (offer("route", "1.0.0", ROUTE), "installed", "checking"),
    "a stranger's key": (OfferSpec(sign("route", Version(1, 3, 0), ROUTE, STRANGERS_KEY), ROUTE), "unknown-key", "checking"),
    "a forged signature": (OfferSpec(replace(GOOD, signature=bytes(64)), marked(ROUTE, "1.3.0")), "bad-signature", "checking"),
    "another release's statement": (OfferSpec(replace(GOOD, version=Version(9, 9, 9)), marked(ROUTE, "1.3.0")), "bad-signature", "checking"),
    "a file that is short": (OfferSpec(GOOD, marked(ROUTE, "1.3.0")[:-1]), "truncated", "verifying"),
    "an empty file": (OfferSpec(GOOD, b""), "truncated", "verifying"),
    "a file that ends with a block": (OfferSpec(GOOD, marked(ROUTE, "1.3.0")[:BLOCK_BYTES]), "truncated", "verifying"),
    "other bytes": (OfferSpec(GOOD, altered(marked(ROUTE, "1.3.0"))), "wrong-digest", "verifying"),
    "no component": (offer("route", "1.3.0", b"\0asm and nothing more"), "not-a-component", "preparing"),
    "another role": (offer("route", "1.3.0", (WASM / "normalize.wasm").read_bytes()), "not-a-component", "preparing"),
    "more than was granted": (shipped("route", "1.5.0"), "not-granted", "preparing"),
    "a trap in configure": (shipped("route", "1.2.0"), "unreachable", "preparing"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_a_refusal_names_cause_and_step_and_the_old_version_goes_on(host: Host, name: str) -> None:
    bad, cause, stage = REFUSALS[name]
    ran = Run(small(host, order(2, "route", str(bad.release.version)), offers=(bad,)), host)
    assert (ran.order.state, ran.order.cause, ran.order.stage) == ("refused", cause, stage)
    assert ran.works()
    assert ran.final == ran.slots
    assert ran.world.ledger.count(End.DELIVERED) == ran.world.ledger.due
    assert ran.world.latencies.of().gateway.max < 5 * MS
    assert ran.memory_bytes == sum(ran.memory.values())
    assert ran.order.downtime_ns is None


def test_a_driver_that_refuses_its_settings_or_is_not_well_is_refused(host: Host) -> None:
    refuses = guests.driver_text("EMPTY", configure="(i32.store8 (i32.const 1024) (i32.const 1)) (i32.store8 (i32.const 1028) (i32.const 4)) (i32.const 1024)")
    unwell = guests.driver_text("EMPTY", health=2)
    for data, cause in ((refuses, "configure"), (unwell, "unhealthy"), (guests.trapping(), "done")):
        ran = Run(small(host, order(2, "modbus-driver", "1.2.0"), offers=(offer("modbus-driver", "1.2.0", data),)), host)
        if cause == "done":  # traps in its polls: found out on trial
            assert (ran.order.state, ran.order.cause) == ("rolled-back", "faults")
        else:
            assert (ran.order.state, ran.order.cause, ran.order.stage) == ("refused", cause, "preparing")
            assert ran.world.ledger.count(End.DELIVERED) == ran.world.ledger.due
        assert ran.works()


def test_a_download_that_takes_too_long_is_refused_by_a_named_limit(host: Host) -> None:
    spec = small(host, order(2, "route", "1.1.0"), Action(2 * S + 200 * MS, "cut", "cloud", 9 * S), upgrade={"fetch_ns": S})
    slow = replace(spec.links[1], model=replace(spec.links[1].model, rate_bps=200_000))
    ran = Run(replace(spec, links=(spec.links[0], slow)), host)
    assert (ran.order.state, ran.order.cause, ran.order.stage) == ("refused", "fetch-timeout", "fetching")
    assert any(r[1] == "limit" and r[3] == "fetch" for r in ran.records)


def test_there_is_room_for_one_upgrade_and_a_queue(host: Host) -> None:
    both = Run(small(host, order(2, "route", "1.1.0"), order(2, "normalize", "1.1.0")), host)
    assert [one.state for one in both.orders] == ["done", "done"]
    assert both.at("checking", 1) == both.at("done", 0), "one after the other"
    many = Run(small(host, *[order(2, "route", "1.1.0")] * 12, duration_ns=12 * S), host)
    assert [one.cause for one in many.orders].count("limit") == 3
    assert [one.cause for one in many.orders].count("installed") == 8
    assert any(r[1] == "limit" and r[3] == "upgrades" for r in many.records)


def test_no_room_for_both_is_refused_and_costs_the_old_ones_nothing(host: Host) -> None:
    quiet = Run(small(host), host)
    squeeze = Action(S, "squeeze", "gw", 9 * S, size_bytes=quiet.memory_bytes + 100_000)
    ran = Run(small(host, squeeze, order(2, "modbus-driver", "1.1.0")), host)
    assert (ran.order.state, ran.order.cause) == ("refused", "memory")
    assert ran.world.ledger.count(End.DELIVERED) == ran.world.ledger.due
    assert ran.works()


# ---- on trial -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("name", "version", "cause", "upgrade"), [
    ("route", "1.4.0", "faults", {"trial_ns": 20 * S, "faults": 1}), ("route", "1.3.0", "latency", {"latency_ns": 10 * MS}),
    ("modbus-driver", "1.2.0", "failures", {}),
])  # fmt: skip
def test_what_is_worse_is_taken_back(host: Host, name: str, version: str, cause: str, upgrade: dict[str, Any]) -> None:
    board = "beaglebone-black" if cause == "latency" else "raspberry-pi-4"
    ran = Run(small(host, order(2, name, version), offers=(shipped(name, version),), upgrade=upgrade, duration_ns=30 * S, board=board), host)
    assert (ran.order.state, ran.order.cause, ran.order.stage) == ("rolled-back", cause, "trial")
    assert ran.final == ran.slots, "the very instances that were kept"
    assert ran.works()
    assert ran.order.downtime_ns is not None
    assert ran.order.downtime_ns < S
    assert ran.order.detail
    late = [end for (_, end, _) in ran.world.ledger.ends if end in (End.MISSED, End.LOST)]
    assert bool(late) == (cause != "latency")
    assert ran.world.gateways[0].upgrades.installed[name][0] == Version(1, 0, 0)


def test_a_field_that_is_silent_before_and_after_is_no_reason_below_the_bound(host: Host) -> None:
    silent = Action(S, "fault", "presses/1", kind="silent")
    ran = Run(small(host, silent, order(2, "modbus-driver", "1.1.0"), upgrade={"failures": 0.3}), host)
    assert ran.order.state == "done"
    strict = Run(small(host, silent, order(2, "modbus-driver", "1.1.0"), upgrade={"failures": 0.1}), host)
    assert strict.order.cause == "failures"


def test_an_upgrade_heals_what_is_quarantined(host: Host) -> None:
    bad = component(host, "route", "policy", ("log",), SHIPPED.read("route", Version(1, 4, 0))[1])
    faults = [Action(S + i * 300 * MS, "inject", "gw/policy", kind="unreachable") for i in range(8)]
    ran = Run(small(host, *faults, order(6, "route", "1.1.0"), policy=bad, duration_ns=15 * S), host)
    assert any(r[1] == "component" and r[4] == "quarantined" for r in ran.records)
    assert ran.order.state == "done"
    assert ran.works()


def test_an_old_one_that_was_killed_meanwhile_is_started_again_when_it_is_needed(host: Host) -> None:
    """RAM shrinks while the new one is on trial: who doesn't serve goes first; going back brings it up anew."""
    quiet = Run(small(host), host)
    squeeze = Action(3 * S, "squeeze", "gw", 4 * S, size_bytes=quiet.memory_bytes + 200_000)
    faults = [Action(5 * S + i * 400 * MS, "inject", "gw/driver/presses/1", kind="unreachable") for i in range(3)]
    ran = Run(small(host, order(2, "modbus-driver", "1.1.0"), squeeze, *faults, upgrade={"trial_ns": 6 * S}, duration_ns=20 * S), host)
    assert (ran.order.state, ran.order.cause) == ("rolled-back", "faults")
    assert any(r[1] == "component" and r[3].endswith("@1.0.0") and r[5] == "memory-limit" for r in ran.records)
    assert ran.final == ran.slots
    assert ran.works()


def test_a_kept_one_that_dies_is_not_tried_again_and_again_until_it_is_needed(host: Host) -> None:
    """A long squeeze kills the kept ones; tries to bring them up beside the others would end in quarantine."""
    quiet = Run(small(host), host)
    squeeze = Action(3 * S, "squeeze", "gw", 20 * S, size_bytes=quiet.memory_bytes + 200_000)
    faults = [Action(22 * S + i * 400 * MS, "inject", "gw/driver/presses/1", kind="unreachable") for i in range(3)]
    ran = Run(small(host, order(2, "modbus-driver", "1.1.0"), squeeze, *faults, upgrade={"trial_ns": 26 * S}, duration_ns=35 * S), host)
    assert (ran.order.state, ran.order.cause) == ("rolled-back", "faults")
    assert ran.works()
    assert not any(r[1] == "component" and r[4] == "quarantined" for r in ran.records)


def test_one_that_serves_gets_its_ram_from_those_that_do_not(host: Host) -> None:
    """The transform dies while the new drivers hold the RAM that it needs to come back."""
    quiet = Run(small(host, count=20), host)
    squeeze = Action(S, "squeeze", "gw", 9 * S, size_bytes=quiet.memory_bytes + quiet.memory["gw/driver/presses/1"] * 19)
    dies = Action(int(2.3 * S), "inject", "gw/transform", kind="unreachable")
    ran = Run(small(host, squeeze, order(2, "modbus-driver", "1.1.0"), dies, count=20), host)
    assert ran.order.state == "done"
    assert len([r for r in ran.records if r[1] == "component" and r[3] == "gw/transform" and r[4] == "backoff"]) == 1
    assert [r[5] for r in ran.records if r[1] == "component" and r[3].endswith("@1.0.0") and r[4] == "backoff"] == ["memory-limit"]
    assert ran.works()


def test_what_never_gets_round_to_polling_is_a_failure(host: Host) -> None:
    """Overruns and slots that stay dark make no polls: they count all the same."""
    quick = component(host, "sleepy", "transform", ("clock", "log"), guests.slow_transform(20 * MS))
    ran = Run(small(host, order(2, "sleepy", "1.1.0"), offers=(offer("sleepy", "1.1.0", guests.slow_transform(500 * MS)),), transform=quick, count=8,
                    upgrade={"trial_ns": 8 * S}, duration_ns=20 * S), host)  # fmt: skip
    assert (ran.order.state, ran.order.cause) == ("rolled-back", "failures")
    spec = small(host, order(2, "modbus-driver", "1.1.0"), Action(5 * S, "inject", "gw/driver/presses/1", kind="dead"), count=1, upgrade={"trial_ns": 6 * S, "faults": 5, "failures": 1.0})
    strict = replace(spec, gateways=tuple(replace(one, restart=replace(one.restart, faults=1)) for one in spec.gateways))
    dark = Run(strict, host)
    assert (dark.order.state, dark.order.cause, dark.order.detail) == ("rolled-back", "faults", "gw/driver/presses/1 is quarantined at the end of the trial")
    assert dark.works()


def test_only_the_devices_of_an_upgraded_driver_are_looked_at(host: Host) -> None:
    """One device of many has a driver of its own, and its new version is slow: the others' good polls don't hide it."""
    own = replace(driver(host), name="own")
    spec = small(host, order(2, "own", "1.1.0"), offers=(offer("own", "1.1.0", (WASM / "modbus-driver.wasm").read_bytes()),), count=20, drivers={3: own},
                 upgrade={"latency_ns": 20 * MS, "trial_ns": 5 * S})  # fmt: skip
    spec = replace(spec, devices=tuple(replace(one, response_ns=50 * MS) if one.driver == "own" else one for one in spec.devices))
    ran = Run(spec, host)
    assert (ran.order.state, ran.order.cause) == ("rolled-back", "latency")
    assert ran.order.detail == "5 of 5 polls were over later than 20 ms"


@pytest.mark.parametrize("gateway", ["gw", "gw-b"])
def test_a_hot_standby_judges_by_its_own_polls(host: Host, gateway: str) -> None:
    spec = plant(host, count=5, duration_ns=15 * S, timeline=(order(2, "route", "1.3.0", gateway),), board="beaglebone-black")
    ran = Run(upgradable(paired(spec, "hot"), shipped("route", "1.3.0"), latency_ns=10 * MS), host)
    assert (ran.order.state, ran.order.cause) == ("rolled-back", "latency")
    throttled = plant(host, count=5, duration_ns=15 * S, timeline=(order(2, "route", "1.1.0", "gw-b"), Action(S, "throttle", "gw", 12 * S, amount=0.05)))
    other = Run(upgradable(paired(throttled, "hot"), latency_ns=10 * MS), host)
    assert other.order.state == "done", "the leader's trouble isn't the standby's"


@pytest.mark.parametrize("at_s", [2.24, 2.3, 4.0])
def test_a_cold_standby_that_is_promoted_in_mid_upgrade_leads_with_what_is_up(host: Host, at_s: float) -> None:
    """While the new ones are brought up, and on trial; and going back brings the old ones up."""
    faults = [Action(9 * S + i * 300 * MS, "inject", "gw-b/policy", kind="unreachable") for i in range(4)]
    for name, more in (("modbus-driver", []), ("route", faults)):
        crash = Action(int(at_s * S) - 900 * MS, "crash", "gw")
        timeline = (order(2, name, "1.1.0", "gw-b"), crash, *more)
        ran = Run(upgradable(paired(plant(host, count=10, duration_ns=20 * S, timeline=timeline), "cold", "none"), trial_ns=8 * S), host)
        assert ran.order.state == ("rolled-back" if more else "done")
        standby = ran.world.gateways[1]
        assert ran.world.pairs[0].leaders == ["gw-b"]
        assert not [r for r in ran.records if r[1] == "component" and r[4] == "quarantined"]
        assert ran.world.plans[0].duration_ns
        lost = ran.world.ledger.count(End.MISSED) + ran.world.ledger.count(End.LOST)
        assert lost <= 10 * 10 * 2, "the gap, and what the faults cost"
        assert standby.polls


def test_who_waits_for_an_instance_that_never_comes_back_is_told(host: Host) -> None:
    """A parked call dies with its instance, and there is no RAM for the next one: nobody may wait for ever."""
    sleepy = component(host, "sleepy", "transform", ("clock", "log"), guests.slow_transform(300 * MS))
    quiet = Run(small(host, transform=sleepy), host)
    squeeze = Action(S, "squeeze", "gw", 30 * S, size_bytes=quiet.memory_bytes - 1)
    spec = small(host, squeeze, order(12, "sleepy", "1.1.0"), offers=(offer("sleepy", "1.1.0", guests.slow_transform(40 * MS)),), transform=sleepy, phase_ns=0, duration_ns=20 * S)
    ran = Run(spec, host)
    assert not [poller.name for poller in ran.world.gateways[0].pollers if poller.row is not None]
    assert ran.order.state in ("refused", "rolled-back", "done")
    assert not ran.beside


def test_done_is_when_the_sync_says_so(host: Host) -> None:
    """While the store is written to all the time, a commit waits for a sync that has it."""
    spec = small(host, Action(S, "cut", "cloud", int(1.5 * S)), order(2, "route", "1.1.0"), Action(int(4.3 * S), "cut", "cloud", 9 * S), duration_ns=20 * S, count=50)
    world = World(spec, host)
    records: list[Any] = []
    world.trace.sinks.append(lambda some: records.extend(r for r in some if r[1] in ("sync", "upgrade")))
    world.run()
    world.close()
    done = next(r[0] for r in records if r[1] == "upgrade" and r[5] == "done")
    committing = next(r[0] for r in records if r[1] == "upgrade" and r[5] == "committing")
    assert any(r[0] == done for r in records if r[1] == "sync")
    assert len([r for r in records if r[1] == "sync" and committing < r[0] <= done]) <= 2


# ---- whatever stops the gateway, at each step -----------------------------------------------------------------------
@pytest.mark.parametrize("verb", ["power-cut", "crash", "shutdown"])
@pytest.mark.parametrize("step", STEPS[1:-1])
def test_a_gateway_that_stops_at_any_step_is_back_with_a_working_version(host: Host, verb: str, step: str) -> None:
    keys: dict[str, Any] = {"store": StoreSpec(commit_ns=100 * MS), "count": 20, "response_ns": 300 * MS}  # some poll is always under way
    keys["drivers"] = {i + 1: driver(host, options=(("timeout", "400 ms"),), deadline_ns=S) for i in range(20)}
    quiet = Run(small(host, order(2, "modbus-driver", "1.1.0"), **keys), host)
    begins, ends = quiet.at(step), quiet.at(STEPS[STEPS.index(step) + 1])
    middle = begins + (ends - begins) // 2
    ran = Run(small(host, order(2, "modbus-driver", "1.1.0"), Action(middle, verb, "gw", middle + S), duration_ns=12 * S, **keys), host)
    one = ran.order
    if verb == "shutdown":  # polls under way end first, and so may the step
        assert one.state in ("done", "rolled-back", "abandoned")
    elif step == "waiting":
        assert begins == ends, "nothing was before it"
    elif step == "committing" and one.state == "done":
        assert verb == "power-cut", "the write may have been whole"
    else:
        assert one.stage == step
        assert one.state == ("rolled-back" if step in ("swapping", "trial", "committing") else "abandoned")
    assert one.state == "done" or one.cause == verb
    assert ran.works()
    wanted = "1.1.0" if one.state == "done" else "1.0.0"
    assert {version for name, version in ran.versions().items() if "driver" in name} == {wanted}
    assert str(ran.world.gateways[0].upgrades.installed["modbus-driver"][0]) == wanted
    assert ran.memory_bytes == sum(ran.memory.values())
    after = [r for r in ran.records if r[1] == "gateway" and r[3] == "up"]
    assert len(after) == 2


def test_power_that_goes_during_the_commit_leaves_one_version_or_the_other(host: Host) -> None:
    quiet = Run(small(host, order(2, "route", "1.1.0")), host)
    middle = quiet.at("committing") + (quiet.at("done") - quiet.at("committing")) // 2
    ends = {}
    for seed in range(12):
        ran = Run(small(host, order(2, "route", "1.1.0"), Action(middle, "power-cut", "gw", middle + S), seed=seed), host)
        assert ran.works()
        ends[ran.order.state] = ran.versions()["gw/policy"]
    assert ends == {"done": "1.1.0", "rolled-back": "1.0.0"}


def test_a_committed_version_is_the_one_that_boots(host: Host) -> None:
    ran = Run(small(host, order(1, "route", "1.1.0"), Action(6 * S, "power-cut", "gw", 7 * S), order(8.5, "route", "1.1.0")), host)
    assert [one.cause for one in ran.orders] == ["", "installed"]
    assert ran.versions()["gw/policy"] == "1.1.0"
    assert ran.works()


def test_an_order_waits_for_a_session_and_what_never_came_is_unfinished(host: Host) -> None:
    ran = Run(small(host, Action(S, "cut", "cloud", 30 * S), order(2, "route", "1.1.0"), settle_ns=S), host)
    assert (ran.order.state, ran.order.stage) == ("unfinished", "ordered")
    patient = Run(small(host, Action(S, "cut", "cloud", 4 * S), order(2, "route", "1.1.0"), duration_ns=20 * S), host)
    assert patient.order.state == "done"
    assert patient.at("waiting") > 4 * S


def test_both_of_a_pair_are_upgraded_one_by_one_and_nothing_is_lost(host: Host) -> None:
    timeline = order(2, "modbus-driver", "1.1.0", "gw-b"), order(8, "modbus-driver", "1.1.0", "gw"), Action(14 * S, "crash", "gw", 18 * S)
    spec = upgradable(paired(plant(host, count=5, duration_ns=20 * S, timeline=timeline), "hot"))
    ran = Run(spec, host)
    assert [one.state for one in ran.orders] == ["done", "done"]
    assert ran.world.ledger.count(End.DELIVERED) == ran.world.ledger.due
    for gateway in ran.world.gateways:
        assert str(gateway.upgrades.installed["modbus-driver"][0]) == "1.1.0"


@pytest.mark.parametrize(("second_ns", "state", "version"), [(778 * MS, "done", "1.1.0"), (S, "abandoned", "1.0.0")])
def test_an_order_that_waits_is_for_the_gateway_that_it_names_and_comes_once(host: Host, second_ns: int, state: str, version: str) -> None:
    """The leader is down when it is ordered: commands that wait go to the other one, the upgrade doesn't."""
    crashes = Action(0, "crash", "gw", 600 * MS), Action(second_ns, "crash", "gw", second_ns + MS)
    ran = Run(upgradable(paired(plant(host, count=3, duration_ns=12 * S, timeline=(*crashes, order(0.1, "route", "1.1.0"))), "hot", lease_ns=300 * MS)), host)
    assert ran.order.state == state
    assert [r[5] for r in ran.records if r[1] == "upgrade"].count("waiting") == 1
    assert str(ran.world.gateways[0].policy.spec.version) == version
    assert str(ran.world.gateways[1].policy.spec.version) == "1.0.0"


@pytest.mark.parametrize("mode", ["warm", "cold"])
def test_a_standby_that_was_upgraded_takes_over_with_the_new_version(host: Host, mode: str) -> None:
    timeline = order(2, "route", "1.1.0", "gw-b"), Action(8 * S, "crash", "gw")
    ran = Run(upgradable(paired(plant(host, count=5, duration_ns=15 * S, timeline=timeline), mode)), host)
    assert ran.order.state == "done"
    standby = ran.world.gateways[1]
    assert str(standby.policy.spec.version) == "1.1.0"
    assert ran.world.pairs[0].leaders == ["gw-b"]


def test_the_table_is_whole_and_every_cause_is_used() -> None:
    states = {state for state, _ in TRANSITIONS}
    assert set(STEPS) - {"done"} == states
    assert set(TRANSITIONS.values()) - states == set(ENDS)
    assert len(set(CAUSES)) == len(CAUSES)


# ---- whatever happens -----------------------------------------------------------------------------------------------
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    stops=st.lists(st.tuples(st.sampled_from(["power-cut", "crash", "shutdown", "restart", "cut"]), st.integers(S, 9 * S), st.integers(MS, 3 * S)), max_size=3),
    orders=st.lists(st.tuples(st.integers(S, 8 * S), st.sampled_from([("route", "1.1.0"), ("route", "1.2.0"), ("route", "1.4.0"), ("modbus-driver", "1.1.0"), ("modbus-driver", "1.2.0"), ("normalize", "1.1.0")])), min_size=1, max_size=4),
    seed=st.integers(0, 99), trial_ms=st.sampled_from([1, 500, 3000]),
)  # fmt: skip
def test_however_it_goes_a_working_version_is_left(host: Host, stops: list[Any], orders: list[Any], seed: int, trial_ms: int) -> None:
    timeline = [Action(t, verb, "cloud" if verb == "cut" else "gw", None if verb == "restart" else t + d) for verb, t, d in stops]
    timeline += [Action(t, "upgrade", f"gw/{name}", version=version) for t, (name, version) in orders]
    bad = [shipped("route", "1.2.0"), shipped("route", "1.4.0"), shipped("modbus-driver", "1.2.0")]
    spec = small(host, *timeline, offers=tuple(bad), upgrade={"trial_ns": trial_ms * MS}, duration_ns=10 * S, settle_ns=60 * S, seed=seed, count=3)
    ran = Run(spec, host)
    assert all(one.cause in CAUSES or one.cause in ("", "unreachable") for one in ran.orders)
    gateway = ran.world.gateways[0]
    for name, slot in ran.final.items():
        known = gateway.upgrades.installed[slot.spec.name]
        on_trial = any(one.state == "unfinished" and one.component == slot.spec.name for one in ran.orders)
        assert on_trial or (slot.spec.version, slot.spec.component.sha256) == known, name
