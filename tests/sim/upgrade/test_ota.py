"""Upgrades: every step with every way to end, and after each a working version."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.components import guests
from tests.plants import WASM, component, driver, offer, paired, plant, upgradable
from tests.sim.upgrade.upgrade_runs import ROUTE, STEPS, Run, order, shipped, small
from twinloop.components.host.host import Host
from twinloop.components.releases.demo_registry import DEMO_KEY, STRANGERS_KEY, marked
from twinloop.components.releases.registry import Version, sign
from twinloop.sim.accounts.rows import End
from twinloop.sim.cloud.orders import CAUSES, ENDS, TRANSITIONS
from twinloop.sim.cloud.releases import BLOCK_BYTES
from twinloop.sim.kernel.clock import MS, S
from twinloop.sim.model.spec import Action, OfferSpec, StoreSpec
from twinloop.sim.trouble.verbs import act
from twinloop.sim.world import World

ROOT = Path(__file__).parents[3]


# ---- the way that it should go -------------------------------------------------------------------
@pytest.mark.parametrize("name", ["modbus-driver", "normalize", "route"])
def test_an_upgrade_takes_its_steps_and_nobody_misses_anything(host: Host, name: str) -> None:
    ran = Run(small(host, order(2, name, "1.1.0")), host)
    assert [r[5] for r in ran.records if r[1] == "upgrade"] == STEPS
    assert ran.order.state == "done"
    assert ran.order.downtime_ns == 0
    assert ran.world.ledger.count(End.DELIVERED) == ran.world.ledger.due
    slots = [slot for slot in ran.final.values() if slot.spec.name == name]
    assert len(slots) == (5 if name == "modbus-driver" else 1)
    assert all(
        str(slot.spec.version) == "1.1.0" and slot.spec.component.sha256 == ran.order.release.sha256
        for slot in slots
    )
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
    assert ran.world.gateways[0].outbox.uplink.round_trip_ns > 0
    assert ran.order.state == "done"


def test_a_lost_session_goes_on_where_it_was(host: Host) -> None:
    big = offer(
        "route",
        "1.2.0",
        marked(ROUTE + b"", "x" * 100) + b"".join(marked(b"", "y" * 110) for _ in range(2500)),
    )
    assert len(big.data) > 15 * BLOCK_BYTES
    spec = small(
        host,
        order(2, "route", "1.2.0"),
        act(4 * S, "cut", "cloud", 17 * S),
        offers=(big,),
        duration_ns=40 * S,
    )
    slow = replace(spec.links[1], model=replace(spec.links[1].model, rate_bps=500_000))
    ran = Run(replace(spec, links=(spec.links[0], slow)), host)
    assert ran.order.state == "done"
    assert ran.order.sessions == 2
    assert ran.order.fetched_bytes == len(big.data)
    fetching_ns = ran.at("verifying") - ran.at("fetching")
    assert fetching_ns < 13 * S + 5 * S + len(big.data) * 8 * S // 500_000, (
        "what had come wasn't fetched again"
    )


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
    ran = Run(
        small(host, order(2, "modbus-driver", "1.1.0"), count=40, poll_ns=50 * MS, response_ns=30 * MS), host
    )
    assert ran.order.state == "done"
    assert ran.world.ledger.count(End.MISSED) == ran.world.ledger.count(End.LOST) == 0
    assert len([r for r in ran.records if r[1] == "swap"]) == 40
    instants = [r[0] for r in ran.records if r[1] == "swap"]
    assert instants[-1] > instants[0], "those under way waited"


def test_state_is_carried_over_and_goes_back_with_the_old_version(host: Host) -> None:
    def keeper_run(*more: Action) -> Run:
        keeper = component(host, "keeper", "driver", ("state",), guests.keeping(8), deadline_ns=S)
        spec = plant(
            host,
            count=2,
            duration_ns=12 * S,
            drivers={1: keeper},
            timeline=(order(3.5, "keeper", "1.1.0"), *more),
        )
        # an answer that isn't a batch is no device-fault: all polls of this driver come to nothing, before
        # and after
        return Run(
            upgradable(spec, offer("keeper", "1.1.0", guests.keeping(16)), failures=1.0, trial_ns=4 * S), host
        )

    name = "gw/driver/presses/1"
    ran = keeper_run()
    assert ran.order.state == "done"
    assert ran.slots[name].imports.values == {"k": bytes(8)}, "what the old one wrote last"
    assert ran.final[name].imports.values == {"k": bytes(16)}
    faults = [act(6 * S + i * 500 * MS, "fault-component", name, kind="unreachable") for i in range(3)]
    back = keeper_run(*faults)
    assert (back.order.state, back.order.cause) == ("rolled-back", "faults")
    assert back.final[name] is back.slots[name]
    assert back.final[name].imports.values == {"k": bytes(8)}


def test_what_the_old_one_wrote_meanwhile_is_carried_over(host: Host) -> None:
    """The copy is made when the new one is brought up; the old one goes on writing until the swap."""
    world = World(small(host, order(2, "normalize", "1.1.0")), host)
    slot = world.gateways[0].rack.transform
    slot.imports.values.update({"kept": b"1", "changed": b"1", "gone": b"1"})

    def between(event: Any) -> None:
        if event[1] == "component" and event[3].endswith("@1.1.0") and event[4] == "ready":
            new = next(one for one in world.gateways[0].rack.staged)
            assert new.imports.values == {"kept": b"1", "changed": b"1", "gone": b"1"}
            new.imports.values.update({"kept": b"migrated", "changed": b"migrated"})
            slot.imports.values["changed"] = b"2"
            del slot.imports.values["gone"]

    emit = world.trace.emit

    def watched(kind: str, *fields: Any) -> None:
        emit(kind, *fields)
        between((world.env.now, kind, *fields))

    world.trace.emit = watched  # type: ignore[method-assign]
    world.run()
    world.close()
    assert world.gateways[0].rack.transform is not slot
    assert world.gateways[0].rack.transform.imports.values == {"kept": b"migrated", "changed": b"2"}


# ---- refusals: each names its cause and its step, and the old version never stops ----------------
def altered(data: bytes) -> bytes:
    return data[:500] + bytes([data[500] ^ 1]) + data[501:]


GOOD = sign("route", Version(1, 3, 0), marked(ROUTE, "1.3.0"), DEMO_KEY)
REFUSALS: dict[str, tuple[OfferSpec, str, str]] = {
    "an older version": (offer("route", "0.9.9", ROUTE), "downgrade", "checking"),
    "the same version with other bytes": (
        offer("route", "1.0.0", marked(ROUTE, "x")),
        "version-reused",
        "checking",
    ),
    "what is installed": (offer("route", "1.0.0", ROUTE), "installed", "checking"),
    "a stranger's key": (
        OfferSpec(sign("route", Version(1, 3, 0), ROUTE, STRANGERS_KEY), ROUTE),
        "unknown-key",
        "checking",
    ),
    "a forged signature": (
        OfferSpec(replace(GOOD, signature=bytes(64)), marked(ROUTE, "1.3.0")),
        "bad-signature",
        "checking",
    ),
    "another release's statement": (
        OfferSpec(replace(GOOD, version=Version(9, 9, 9)), marked(ROUTE, "1.3.0")),
        "bad-signature",
        "checking",
    ),
    "a file that is short": (OfferSpec(GOOD, marked(ROUTE, "1.3.0")[:-1]), "truncated", "verifying"),
    "an empty file": (OfferSpec(GOOD, b""), "truncated", "verifying"),
    "a file that ends with a block": (
        OfferSpec(GOOD, marked(ROUTE, "1.3.0")[:BLOCK_BYTES]),
        "truncated",
        "verifying",
    ),
    "other bytes": (OfferSpec(GOOD, altered(marked(ROUTE, "1.3.0"))), "wrong-digest", "verifying"),
    "no component": (offer("route", "1.3.0", b"\0asm and nothing more"), "not-a-component", "preparing"),
    "another role": (
        offer("route", "1.3.0", (WASM / "normalize.wasm").read_bytes()),
        "not-a-component",
        "preparing",
    ),
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
    refuses = guests.driver_text(
        "EMPTY",
        configure="(i32.store8 (i32.const 1024) (i32.const 1)) (i32.store8 (i32.const 1028) (i32.const 4)) (i32.const 1024)",
    )
    unwell = guests.driver_text("EMPTY", health=2)
    for data, cause in ((refuses, "configure"), (unwell, "unhealthy"), (guests.trapping(), "done")):
        ran = Run(
            small(host, order(2, "modbus-driver", "1.2.0"), offers=(offer("modbus-driver", "1.2.0", data),)),
            host,
        )
        if cause == "done":  # traps in its polls: found out on trial
            assert (ran.order.state, ran.order.cause) == ("rolled-back", "faults")
        else:
            assert (ran.order.state, ran.order.cause, ran.order.stage) == ("refused", cause, "preparing")
            assert ran.world.ledger.count(End.DELIVERED) == ran.world.ledger.due
        assert ran.works()


def test_a_download_that_takes_too_long_is_refused_by_a_named_limit(host: Host) -> None:
    spec = small(
        host,
        order(2, "route", "1.1.0"),
        act(2 * S + 200 * MS, "cut", "cloud", 9 * S),
        upgrade={"fetch_ns": S},
    )
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
    squeeze = act(S, "limit-memory", "gw", 9 * S, size_bytes=quiet.memory_bytes + 100_000)
    ran = Run(small(host, squeeze, order(2, "modbus-driver", "1.1.0")), host)
    assert (ran.order.state, ran.order.cause) == ("refused", "memory")
    assert ran.world.ledger.count(End.DELIVERED) == ran.world.ledger.due
    assert ran.works()


# ---- whatever stops the gateway, at each step ----------------------------------------------------
@pytest.mark.parametrize("verb", ["power-cut", "crash", "shutdown"])
@pytest.mark.parametrize("step", STEPS[1:-1])
def test_a_gateway_that_stops_at_any_step_is_back_with_a_working_version(
    host: Host, verb: str, step: str
) -> None:
    keys: dict[str, Any] = {
        "store": StoreSpec(commit_ns=100 * MS),
        "count": 20,
        "response_ns": 300 * MS,
    }  # some poll is always under way
    keys["drivers"] = {
        i + 1: driver(host, options=(("timeout", "400 ms"),), deadline_ns=S) for i in range(20)
    }
    quiet = Run(small(host, order(2, "modbus-driver", "1.1.0"), **keys), host)
    begins, ends = quiet.at(step), quiet.at(STEPS[STEPS.index(step) + 1])
    middle = begins + (ends - begins) // 2
    ran = Run(
        small(
            host,
            order(2, "modbus-driver", "1.1.0"),
            act(middle, verb, "gw", middle + S),
            duration_ns=12 * S,
            **keys,
        ),
        host,
    )
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
        ran = Run(
            small(host, order(2, "route", "1.1.0"), act(middle, "power-cut", "gw", middle + S), seed=seed),
            host,
        )
        assert ran.works()
        ends[ran.order.state] = ran.versions()["gw/policy"]
    assert ends == {"done": "1.1.0", "rolled-back": "1.0.0"}


def test_a_committed_version_is_the_one_that_boots(host: Host) -> None:
    ran = Run(
        small(
            host,
            order(1, "route", "1.1.0"),
            act(6 * S, "power-cut", "gw", 7 * S),
            order(8.5, "route", "1.1.0"),
        ),
        host,
    )
    assert [one.cause for one in ran.orders] == ["", "installed"]
    assert ran.versions()["gw/policy"] == "1.1.0"
    assert ran.works()


def test_an_order_waits_for_a_session_and_what_never_came_is_unfinished(host: Host) -> None:
    ran = Run(small(host, act(S, "cut", "cloud", 30 * S), order(2, "route", "1.1.0"), settle_ns=S), host)
    assert (ran.order.state, ran.order.stage) == ("unfinished", "ordered")
    patient = Run(
        small(host, act(S, "cut", "cloud", 4 * S), order(2, "route", "1.1.0"), duration_ns=20 * S), host
    )
    assert patient.order.state == "done"
    assert patient.at("waiting") > 4 * S


def test_both_of_a_pair_are_upgraded_one_by_one_and_nothing_is_lost(host: Host) -> None:
    timeline = (
        order(2, "modbus-driver", "1.1.0", "gw-b"),
        order(8, "modbus-driver", "1.1.0", "gw"),
        act(14 * S, "crash", "gw", 18 * S),
    )
    spec = upgradable(paired(plant(host, count=5, duration_ns=20 * S, timeline=timeline), "hot"))
    ran = Run(spec, host)
    assert [one.state for one in ran.orders] == ["done", "done"]
    assert ran.world.ledger.count(End.DELIVERED) == ran.world.ledger.due
    for gateway in ran.world.gateways:
        assert str(gateway.upgrades.installed["modbus-driver"][0]) == "1.1.0"


@pytest.mark.parametrize(
    ("second_ns", "state", "version"), [(778 * MS, "done", "1.1.0"), (S, "abandoned", "1.0.0")]
)
def test_an_order_that_waits_is_for_the_gateway_that_it_names_and_comes_once(
    host: Host, second_ns: int, state: str, version: str
) -> None:
    """The leader is down when it is ordered: commands that wait go to the other one, the upgrade doesn't."""
    crashes = act(0, "crash", "gw", 600 * MS), act(second_ns, "crash", "gw", second_ns + MS)
    ran = Run(
        upgradable(
            paired(
                plant(host, count=3, duration_ns=12 * S, timeline=(*crashes, order(0.1, "route", "1.1.0"))),
                "hot",
                lease_ns=300 * MS,
            )
        ),
        host,
    )
    assert ran.order.state == state
    assert [r[5] for r in ran.records if r[1] == "upgrade"].count("waiting") == 1
    assert str(ran.world.gateways[0].rack.policy.spec.version) == version
    assert str(ran.world.gateways[1].rack.policy.spec.version) == "1.0.0"


@pytest.mark.parametrize("mode", ["warm", "cold"])
def test_a_standby_that_was_upgraded_takes_over_with_the_new_version(host: Host, mode: str) -> None:
    timeline = order(2, "route", "1.1.0", "gw-b"), act(8 * S, "crash", "gw")
    ran = Run(upgradable(paired(plant(host, count=5, duration_ns=15 * S, timeline=timeline), mode)), host)
    assert ran.order.state == "done"
    standby = ran.world.gateways[1]
    assert str(standby.rack.policy.spec.version) == "1.1.0"
    assert ran.world.pairs[0].leaders == ["gw-b"]


def test_the_table_is_whole_and_every_cause_can_come() -> None:
    states = {state for state, _ in TRANSITIONS}
    assert set(STEPS) - {"done"} == states
    assert set(TRANSITIONS.values()) - states == set(ENDS)
    assert len(set(CAUSES)) == len(CAUSES)
    sources = "".join(
        path.read_text()
        for path in [*(ROOT / "sim").rglob("*.py"), *(ROOT / "components").rglob("registry.py")]
    )
    listed = sources[sources.index("\nCAUSES = (") :]
    elsewhere = sources.replace(listed[: listed.index("\n)")], "")
    assert [cause for cause in CAUSES if f'"{cause}"' not in elsewhere] == []


# ---- whatever happens ----------------------------------------------------------------------------
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    stops=st.lists(st.tuples(st.sampled_from(["power-cut", "crash", "shutdown", "restart", "cut"]), st.integers(S, 9 * S), st.integers(MS, 3 * S)), max_size=3),
    orders=st.lists(st.tuples(st.integers(S, 8 * S), st.sampled_from([("route", "1.1.0"), ("route", "1.2.0"), ("route", "1.4.0"), ("modbus-driver", "1.1.0"), ("modbus-driver", "1.2.0"), ("normalize", "1.1.0")])), min_size=1, max_size=4),
    seed=st.integers(0, 99), trial_ms=st.sampled_from([1, 500, 3000]),
)  # fmt: skip
def test_however_it_goes_a_working_version_is_left(
    host: Host, stops: list[Any], orders: list[Any], seed: int, trial_ms: int
) -> None:
    timeline = [
        act(t, verb, "cloud" if verb == "cut" else "gw", None if verb == "restart" else t + d)
        for verb, t, d in stops
    ]
    timeline += [act(t, "upgrade", f"gw/{name}", version=version) for t, (name, version) in orders]
    bad = [shipped("route", "1.2.0"), shipped("route", "1.4.0"), shipped("modbus-driver", "1.2.0")]
    spec = small(
        host,
        *timeline,
        offers=tuple(bad),
        upgrade={"trial_ns": trial_ms * MS},
        duration_ns=10 * S,
        settle_ns=60 * S,
        seed=seed,
        count=3,
    )
    ran = Run(spec, host)
    assert all(one.cause in CAUSES or one.cause in ("", "unreachable") for one in ran.orders)
    gateway = ran.world.gateways[0]
    for name, slot in ran.final.items():
        known = gateway.upgrades.installed[slot.spec.name]
        on_trial = any(one.state == "unfinished" and one.component == slot.spec.name for one in ran.orders)
        assert on_trial or (slot.spec.version, slot.spec.component.sha256) == known, name
