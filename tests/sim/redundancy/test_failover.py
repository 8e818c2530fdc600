"""Pairs: who leads, what a failover costs to the sample, split brain, leases, two gateways on one line."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.plants import driver, on_lines, paired, plant, run
from tests.sim.redundancy.pair_runs import Seen, at, small
from tests.sim.test_world import RELEASES, actions, conserved, offered, reactions
from twinloop.components.host.host import Host
from twinloop.sim.accounts.ledger import Ledger
from twinloop.sim.accounts.rows import BETTER, End, SharedRow
from twinloop.sim.cloud.leases import LeaseRequest, Leases
from twinloop.sim.kernel.clock import MS, S
from twinloop.sim.kernel.invariants import InvariantError
from twinloop.sim.model.spec import Action, Reaction, StoreSpec, UplinkSpec, WorldSpec
from twinloop.sim.network.link import LinkModel
from twinloop.sim.redundancy.member import TRANSITIONS
from twinloop.sim.trouble.verbs import act
from twinloop.sim.world import World

LINE_DEADLINE_NS = 3 * S


# ---- who leads -----------------------------------------------------------------------------------
@pytest.mark.parametrize("mode", ["hot", "warm", "cold"])
def test_without_an_arbiter_a_cut_cable_is_a_split_brain_and_ends_with_it(host: Host, mode: str) -> None:
    seen = Seen(paired(small(host, at(5, "cut", "hb", 5)), mode, "none"), host)
    (split,) = seen.pair.splits
    assert 5 * S + 400 * MS <= split.began_ns <= 5 * S + 800 * MS
    assert 10 * S <= split.ended_ns <= 10 * S + 200 * MS
    assert split.duplicates > 100
    assert seen.pair.leaders == ["gw-b"], "the later term stays"


def test_of_two_pairs_each_has_its_own_duplicates(host: Host) -> None:
    """Both are split at the same time; what comes twice belongs to the pair whose devices it is of."""
    spec = paired(small(host, at(5, "cut", "hb", 3), at(5, "cut", "hb-2", 5)), "hot", "none")
    names = {"gw": "gx", "gw-b": "gx-b", "cloud": "cloud-2", "cloud-b": "cloud-b-2", "hb": "hb-2"}
    others = tuple(
        replace(
            one, name=names[one.name], uplink=replace(one.uplink, link=names[one.uplink.link]),
            standby=None if one.standby is None else replace(one.standby, of="gx", link="hb-2"),
        )
        for one in spec.gateways
    )  # fmt: skip
    links = tuple(replace(link, name=names[link.name]) for link in spec.links if link.name in names)
    devices = tuple(
        replace(device, gateway="gx") if i % 2 else device for i, device in enumerate(spec.devices)
    )
    world = run(
        replace(spec, gateways=(*spec.gateways, *others), links=(*spec.links, *links), devices=devices), host
    )
    conserved(world)
    (first,), (second,) = (pair.splits for pair in world.pairs)
    assert 50 < first.duplicates < second.duplicates
    assert first.duplicates + second.duplicates <= world.ledger.duplicates


@pytest.mark.parametrize("mode", ["hot", "warm", "cold"])
@pytest.mark.parametrize("trouble", ["cut", "one way", "other way", "lossy"])
def test_with_an_arbiter_the_same_cable_changes_nothing(host: Host, mode: str, trouble: str) -> None:
    way = {"one way": True, "other way": False}.get(trouble)
    lossy = trouble == "lossy"
    seen = Seen(
        paired(
            small(host, *([] if lossy else [at(5, "cut", "hb", 5, up=way)])), mode, loss=0.6 if lossy else 0.0
        ),
        host,
    )
    assert seen.pair.splits == seen.pair.takeovers == []
    assert seen.pair.leaders == ["gw"]
    assert seen.world.ledger.count(End.DELIVERED) == seen.world.ledger.due
    assert seen.world.ledger.duplicates == 0


@pytest.mark.parametrize(("up", "led_twice"), [(None, True), (True, True), (False, False)])
def test_a_partition_hits_the_pair_only_and_only_the_way_that_it_says(
    host: Host, up: bool | None, led_twice: bool
) -> None:
    """``up``: what the preferred one says doesn't come; its standby's silence costs nothing."""
    seen = Seen(paired(small(host, at(5, "partition", "gw", 4, up=up)), "hot", "none"), host)
    assert bool(seen.pair.splits) == led_twice
    assert bool(seen.world.ledger.duplicates) == led_twice
    assert seen.world.ledger.count(End.DELIVERED) == seen.world.ledger.due
    assert seen.world.latencies.of().gateway.max < 2 * S
    assert seen.world.gateways[0].outbox.uplink.counts.lost_sessions == 0


def test_an_outage_of_both_uplinks_changes_nothing_while_heartbeats_come(host: Host) -> None:
    seen = Seen(paired(small(host, at(4, "cut", "cloud", 6), at(4, "cut", "cloud-b", 6)), "hot"), host)
    assert seen.pair.takeovers == []
    assert seen.roles(0) == ["active"]
    assert seen.world.ledger.count(End.DELIVERED) == seen.world.ledger.due


def test_the_first_lease_is_the_clouds_too(host: Host) -> None:
    """No question of the first leader's gets through, the standby's does: it is refused until that lease has
    ended."""
    dark = at(0, "partition", "gw", 0.6), at(0, "cut", "cloud", 0.23)
    seen = Seen(paired(small(host, *dark), "hot"), host)
    assert seen.pair.splits == []


def test_without_cloud_and_heartbeats_nobody_may_lead(host: Host) -> None:
    """Neither has two of three: the samples of a hot pair are kept by nobody for good, and that is said."""
    spec = paired(
        small(host, at(4, "cut", "cloud", 6), at(4, "cut", "cloud-b", 6), at(4, "cut", "hb", 6)), "warm"
    )
    seen = Seen(spec, host)
    (takeover,) = seen.pair.takeovers
    assert 4 * S < takeover.gone_ns < 6 * S
    assert takeover.led_ns > 10 * S
    missed = seen.world.ledger.by_cause(End.MISSED)
    assert list(missed) == ["no-active"]
    assert seen.ended_as(End.MISSED) == seen.due_in(takeover.gone_ns, takeover.led_ns)


def test_two_that_hear_each_other_find_a_leader_without_the_cloud(host: Host) -> None:
    """Both uplinks are away for long, and heartbeats fail for a moment in it: a promise makes a leader,
    too."""
    dark = at(2, "cut", "cloud", 20), at(2, "cut", "cloud-b", 20)
    for blip in (at(6, "cut", "hb", 1), at(6, "restart", "gw")):
        seen = Seen(paired(small(host, *dark, blip, duration_ns=25 * S), "warm"), host)
        first = seen.pair.takeovers[0]
        assert first.new == "gw", "the preferred one"
        assert first.led_ns - first.gone_ns < 1100 * MS
        missed = seen.world.ledger.count(End.MISSED)
        assert missed <= 10 * 15 + 10, "about a second's"
        assert any(record[1] == "role" and record[5] == "the standby's promise" for record in seen.records)


def test_one_that_hangs_loses_its_lease(host: Host) -> None:
    """Asking needs a core, as heartbeats do."""
    seen = Seen(paired(small(host, at(4, "throttle", "gw", 6, amount=0.000_01)), "warm"), host)
    assert [(takeover.old, takeover.new) for takeover in seen.pair.takeovers] == [("gw", "gw-b")]
    assert seen.pair.takeovers[0].led_ns < 9 * S


def slow_uplinks(spec: WorldSpec, delay_ns: int, jitter_ns: int = 0, loss: float = 0.0) -> WorldSpec:
    model = LinkModel(delay_ns=delay_ns, jitter_ns=jitter_ns, loss=loss, rate_bps=10_000_000)
    return replace(
        spec,
        links=tuple(
            replace(link, model=model) if link.name.startswith("cloud") else link for link in spec.links
        ),
    )


@pytest.mark.parametrize("delay_ms", [30, 150, 280, 600])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_grant_that_was_given_back_meanwhile_is_void(host: Host, delay_ms: int, seed: int) -> None:
    """Answers that take longer than a lease or a promise: whoever leads does so alone (else World.run
    raises)."""
    spec = paired(
        small(host, at(4, "cut", "hb", 6), seed=seed, duration_ns=25 * S),
        "warm",
        every_ns=100 * MS,
        lease_ns=600 * MS,
    )
    seen = Seen(slow_uplinks(spec, delay_ms * MS, delay_ms * MS // 5, 0.01), host)
    assert seen.pair.splits == []


def test_a_lease_that_was_handed_over_and_given_back_is_another_one() -> None:
    leases = Leases()
    assert leases.ask(LeaseRequest(0, 0, 0, 4 * S), 0).term == 1
    leases.ask(LeaseRequest(0, 0, S, 4 * S, want=False), S)
    again = leases.ask(LeaseRequest(0, 0, S + 1, 4 * S), S + 1)
    assert (again.granted, again.term) == (True, 2)
    assert not leases.ask(LeaseRequest(0, 1, 2 * S, 4 * S, handed=1), 2 * S).granted, (
        "handed over in the term before"
    )


def test_a_leader_without_its_uplink_hands_over_at_once(host: Host) -> None:
    seen = Seen(paired(small(host, at(4, "cut", "cloud", 6)), "warm"), host)
    (takeover,) = seen.pair.takeovers
    assert (takeover.old, takeover.new) == ("gw", "gw-b")
    assert takeover.led_ns - takeover.gone_ns < 200 * MS, "its word is enough"
    assert seen.pair.leaders == ["gw-b"], "it does not come back by itself"


def test_preempt_gives_the_lead_back_to_the_preferred_one(host: Host) -> None:
    seen = Seen(paired(small(host, at(4, "crash", "gw", 2)), "hot", preempt=True), host)
    assert [(t.old, t.new) for t in seen.pair.takeovers] == [("gw", "gw-b"), ("gw-b", "gw")]
    assert seen.pair.takeovers[1].led_ns - seen.pair.takeovers[1].gone_ns < 200 * MS
    assert seen.ended_as(End.DELIVERED) == set(seen.ends)


@pytest.mark.parametrize("arbiter", ["cloud", "none"])
def test_an_orderly_shutdown_says_goodbye(host: Host, arbiter: str) -> None:
    seen = Seen(paired(small(host, at(5.05, "shutdown", "gw", 4)), "hot", arbiter), host)
    (takeover,) = seen.pair.takeovers
    assert takeover.led_ns - takeover.gone_ns < 200 * MS
    assert seen.ended_as(End.DELIVERED) == set(seen.ends)


def test_a_goodbye_reaches_a_candidate(host: Host) -> None:
    seen = Seen(
        paired(small(host, at(5, "cut", "hb", 1.03), at(6.05, "shutdown", "gw", 4)), "hot", lease_ns=3 * S),
        host,
    )
    assert seen.pair.takeovers[0].led_ns - seen.pair.takeovers[0].gone_ns < 200 * MS


def test_both_down_is_missed_until_one_is_back(host: Host) -> None:
    seen = Seen(paired(small(host, at(4, "crash", "gw", 8), at(4.2, "crash", "gw-b", 3)), "hot"), host)
    (takeover,) = seen.pair.takeovers
    assert takeover.new == "gw-b"
    assert takeover.led_ns > 7 * S
    assert set(seen.world.ledger.by_cause(End.MISSED)) <= {"gateway-down", "no-active"}
    assert seen.pair.leaders == ["gw-b"]


def test_the_old_active_one_drains_what_it_had_stored_when_it_comes_back(host: Host) -> None:
    """Its uplink goes, then it crashes; the standby leads. What it had stored arrives late and is nobody's
    loss."""
    window = UplinkSpec("cloud", window=4)
    spec = paired(
        small(host, at(4, "cut", "cloud", 5), at(4.9, "crash", "gw", 4), uplink=window),
        "warm",
        every_ns=500 * MS,
        lease_ns=5 * S,
    )
    seen = Seen(spec, host)
    assert seen.world.latencies.of().cloud.max > 4 * S
    stored = seen.due_in(int(4.2 * S), int(4.85 * S)) - set(seen.at_crash)
    assert len(stored) > 30
    assert stored <= seen.ended_as(End.DELIVERED)


def test_a_hogged_leader_is_late_with_its_heartbeats(host: Host) -> None:
    """The heartbeat needs a core: who is too busy to send one is taken for dead, and only the arbiter
    prevents two leaders."""
    slow = at(4, "throttle", "gw", 6, amount=0.000_01)
    alone = Seen(paired(small(host, slow), "hot", "none"), host)
    assert len(alone.pair.splits) == 1
    judged = Seen(paired(small(host, slow), "hot", "cloud"), host)
    assert judged.pair.splits == []


def test_commands_go_to_whoever_leads(host: Host) -> None:
    writes = [
        at(t, "write", "presses/2", point="setpoint", value=v) for t, v in ((3, 1.0), (5.3, 2.0), (12, 3.0))
    ]
    spec = paired(small(host, at(5.05, "crash", "gw", 4), *writes), "warm")
    done: list[Any] = []
    world = World(spec, host)
    world.commands.on_done.append(lambda command, cause: done.append((command.value, cause)))
    world.run()
    world.close()
    assert sorted(done) == [(1.0, None), (2.0, None), (3.0, None)], (
        "the one sent in the gap is kept for the new leader"
    )
    assert world.commands.ended == {"done": 3}


def test_after_a_split_brain_commands_go_to_the_one_that_stays(host: Host) -> None:
    """Both restart in the dark and lead in equal terms: the preferred one stays, though the other was the
    last to lead."""
    timeline = at(3, "cut", "hb", 4), at(3, "restart", "gw"), at(3, "restart", "gw-b")
    writes = [at(t, "write", "presses/2", point="setpoint", value=1.0) for t in (9, 12)]
    seen = Seen(paired(small(host, *timeline, *writes), "warm", "none"), host)
    assert len(seen.pair.splits) == 1
    assert seen.pair.leaders == ["gw"]
    assert seen.world.commands.ended == {"done": 2}


def test_a_write_that_waits_at_one_that_leads_no_more_is_refused(host: Host) -> None:
    """Else an old value could be written after a newer one by the other gateway."""
    slow = {1: driver(host, options=(("timeout", "900 ms"),), deadline_ns=2 * S)}
    writes = [at(8.55 + i / 1000, "write", "presses/1", point="setpoint", value=float(i)) for i in range(3)]
    timeline = at(4, "crash", "gw", 4), at(8.3, "device-fault", "presses/1", 2, kind="silent"), *writes
    seen = Seen(paired(small(host, *timeline, drivers=slow), "warm", preempt=True), host)
    assert [(t.old, t.new) for t in seen.pair.takeovers] == [("gw", "gw-b"), ("gw-b", "gw")]
    assert sum(seen.world.commands.ended.values()) == 3
    assert seen.world.commands.ended.get("standby", 0) >= 1


# ---- two masters on one line ---------------------------------------------------------------------
def test_a_hot_pair_collides_on_a_serial_line_and_a_warm_one_does_not(host: Host) -> None:
    patient = {i + 1: driver(host, deadline_ns=LINE_DEADLINE_NS) for i in range(4)}
    spec = plant(host, count=4, duration_ns=20 * S, poll_ns=4 * S, serial_bd=9600, drivers=patient)
    hot = run(paired(spec, "hot"), host)
    conserved(hot)
    line = hot.field.lines["plant/1"]
    assert line.collisions > 0
    assert hot.ledger.count(End.MISSED) > 0
    assert line.occupancy.busy_ns <= hot.env.now
    warm = run(paired(spec, "warm"), host)
    assert warm.field.lines["plant/1"].collisions == 0
    assert warm.ledger.count(End.DELIVERED) == warm.ledger.due


def test_a_cut_for_one_gateway_only_is_seen_by_that_one_only(host: Host) -> None:
    seen = Seen(paired(small(host, at(5, "cut", "plant", 3, via="gw-b")), "hot"), host)
    assert seen.ended_as(End.DELIVERED) == set(seen.ends)
    grey = Seen(paired(small(host, at(5, "cut", "plant", 3, via="gw")), "hot"), host)
    assert {grey.ends[point] for point in grey.ended_as(End.LOST, End.MISSED)} == {(End.MISSED, "timeout")}, (
        "gw led; that gw-b had read them helped nobody"
    )


# ---- the parts -----------------------------------------------------------------------------------
def test_a_lease_has_one_holder_until_it_ends_is_given_back_or_handed_over() -> None:
    leases = Leases()

    def ask(member: int, now_s: float, **keys: Any) -> tuple[bool, int]:
        answer = leases.ask(LeaseRequest(0, member, int(now_s * S), 2 * S, **keys), int(now_s * S))
        return answer.granted, answer.term

    assert ask(0, 0) == (True, 1)
    assert ask(1, 1) == (False, 1)
    assert ask(0, 1.5) == (True, 1), "renewed: until 3.5"
    assert ask(1, 3.4) == (False, 1)
    assert ask(1, 3.5) == (True, 2)
    assert ask(0, 3.6, handed=1) == (False, 2), "handed over in a term that is gone"
    assert ask(0, 3.7, handed=2) == (True, 3)
    assert ask(1, 3.8, want=False) == (False, 3), "not the holder: nothing to give back"
    assert ask(0, 3.9, want=False) == (False, 3)
    assert ask(1, 3.95) == (True, 4)
    assert (leases.granted, leases.refused) == (4, 3)
    assert leases.ask(LeaseRequest(1, 0, 0, S), 0).granted, "each pair has its own"


def test_every_role_can_be_left_and_reached() -> None:
    roles = {"out", "standby", "candidate", "promoting", "active"}
    assert {role for role, _ in TRANSITIONS} == roles
    assert set(TRANSITIONS.values()) == roles
    assert all((role, "leave") in TRANSITIONS for role in roles - {"out"})


def test_a_role_that_is_not_in_the_table_is_ours(host: Host) -> None:
    world = World(paired(small(host)), host)
    with pytest.raises(InvariantError, match="role in a pair gw: 'elect' in state 'out'"):
        world.pairs[0].members[0]._move("elect", "")
    world.close()


def test_two_leaders_under_an_arbiter_are_broken_not_reported(host: Host) -> None:
    """Sabotage: a standby that takes the lead without a lease."""
    spec = paired(small(host, duration_ns=4 * S))
    world = World(spec, host)
    world.env.call_at(2 * S, world.pairs[0].members[1]._elect, 9, "sabotage")
    world.env.call_at(2 * S - 1, world.pairs[0].members[1]._move, "stand", "sabotage")
    with pytest.raises(InvariantError, match="both lead"):
        world.run()
    world.close()


@pytest.mark.parametrize(("first", "second", "expected"), [
    ((End.MISSED, "timeout"), (End.LOST, "unseen"), (End.LOST, "unseen")),
    ((End.LOST, "unseen"), (End.MISSED, "timeout"), (End.LOST, "unseen")),
    ((End.CACHED, ""), (End.LOST, "crash"), (End.CACHED, "")),
    ((End.DROPPED, "policy"), (End.EVICTED, "ttl"), (End.DROPPED, "policy")),
    ((End.MISSED, "timeout"), (End.MISSED, "gateway-down"), (End.MISSED, "gateway-down")),
])  # fmt: skip
def test_a_shared_row_ends_as_the_best_that_became_of_it(first: Any, second: Any, expected: Any) -> None:
    ledger = Ledger(["d"], [("a", "b")])
    row = ledger.open_row(0, 0, 0, 3, holders=2)
    assert isinstance(row, SharedRow)
    one, other = row.shares
    ledger.close(one, 1, *first)
    assert ledger.ended == 0, "the other may still deliver it"
    ledger.close(other, 1, *second)
    assert ledger.count(*expected) == 1
    ledger.deliver(one, 2)
    assert one.open == other.open == 0
    assert ledger.open == 0
    assert set(BETTER) == set(End) - {End.DELIVERED}
    ledger.deliver(other, 2)
    assert ledger.duplicates == 1
    with pytest.raises(InvariantError, match="ended a second time"):
        ledger.close(other, 1, *second)


def test_a_pair_is_as_deterministic_as_one(host: Host) -> None:
    spec = paired(small(host, at(5.05, "crash", "gw", 4), at(3, "cut", "hb", 4)), "hot", "none", loss=0.1)
    digests = [run(spec, host).trace.digest() for _ in range(2)]
    assert digests[0] == digests[1]
    assert run(replace(spec, seed=8), host).trace.digest() != digests[0]


# ---- whatever happens ----------------------------------------------------------------------------
moments, spans = st.integers(0, 9 * S), st.integers(MS, 12 * S)
of_pairs = st.one_of(
    st.builds(
        lambda t, d, link, up: act(t, "cut", link, t + d, up=up),
        moments,
        spans,
        st.sampled_from(["hb", "cloud-b"]),
        st.sampled_from([None, True, False]),
    ),
    st.builds(
        lambda t, d, up: act(t, "partition", "gw", t + d, up=up),
        moments,
        spans,
        st.sampled_from([None, True, False]),
    ),
    st.builds(
        lambda t, d, via: act(t, "cut", "plant", t + d, via=via),
        moments,
        spans,
        st.sampled_from(["gw", "gw-b"]),
    ),
    st.builds(
        lambda t, d, down, up: act(t, "flap", "hb", t + d, down_ns=down, up_ns=up),
        moments,
        spans,
        st.integers(MS, 3 * S),
        st.integers(MS, 3 * S),
    ),
    st.builds(
        lambda t, d, verb: act(t, verb, "gw-b", t + d),
        moments,
        spans,
        st.sampled_from(["crash", "shutdown", "power-cut"]),
    ),
    st.builds(lambda t: act(t, "restart", "gw-b"), moments),
    st.builds(
        lambda t, d, speed: act(t, "throttle", "gw-b", t + d, amount=speed),
        moments,
        spans,
        st.sampled_from([0.000_01, 0.5]),
    ),
    st.builds(
        lambda t, d, left: act(t, "limit-memory", "gw-b", t + d, size_bytes=left),
        moments,
        spans,
        st.sampled_from([0, 1_500_000]),
    ),
    st.builds(
        lambda t, slot, cause: act(t, "fault-component", slot, kind=cause),
        moments,
        st.sampled_from(["gw-b/transform", "gw-b/driver/presses/1"]),
        st.sampled_from(["unreachable", "dead"]),
    ),
    st.builds(
        lambda t, what: act(t, "upgrade", f"gw-b/{what[0]}", version=what[1]),
        moments,
        st.sampled_from(RELEASES),
    ),
)
after = st.builds(
    lambda event, reaction: replace(reaction, event=event),
    st.sampled_from(
        ["promote gw-b", "step-down gw", "split-brain gw", "promote gw", "heal hb", "step-down gw-b"]
    ),
    reactions,
)


@settings(
    max_examples=int(os.environ.get("TWINLOOP_SOAK", "0")) * 10_000 or 60,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
@given(
    timeline=st.lists(st.one_of(of_pairs, actions), min_size=1, max_size=6), follow=st.lists(st.one_of(after, reactions), max_size=2),
    mode=st.sampled_from(["hot", "warm", "cold"]), arbiter=st.sampled_from(["cloud", "none"]), preempt=st.booleans(),
    handover_ms=st.sampled_from([1, 500, 5000]), lease_ms=st.sampled_from([300, 1000, 3000]), every_ms=st.sampled_from([50, 200, 500]),
    misses=st.integers(1, 3), uplink_ms=st.sampled_from([1, 30, 30, 280, 800]), beat_ms=st.sampled_from([0, 1, 1, 100]),
    store=st.sampled_from([None, StoreSpec(), StoreSpec(capacity_bytes=4000, ttl_ns=3 * S)]), seed=st.integers(0, 9),
    window=st.sampled_from([1, 32]), serial=st.sampled_from([None, None, None, 19_200]), loss=st.sampled_from([0.0, 0.3]),
)  # fmt: skip
def test_a_pair_loses_nothing_silently_and_an_arbiter_allows_one_leader(
    host: Host,
    timeline: list[Action],
    follow: list[Reaction],
    mode: str,
    arbiter: str,
    preempt: bool,
    handover_ms: int,
    lease_ms: int,
    every_ms: int,
    misses: int,
    uplink_ms: int,
    beat_ms: int,
    store: StoreSpec | None,
    seed: int,
    window: int,
    serial: int | None,
    loss: float,
) -> None:
    spec = plant(
        host,
        count=3,
        duration_ns=10 * S,
        timeline=tuple(timeline),
        store=store,
        seed=seed,
        loss=0.02,
        settle_ns=20 * S,
        uplink=UplinkSpec("cloud", window=window),
        serial_bd=serial,
    )
    if serial is not None:
        spec = replace(spec, timeline=on_lines(spec.timeline))
    keys = {
        "preempt": preempt,
        "handover_ns": handover_ms * MS,
        "lease_ns": lease_ms * MS,
        "every_ns": every_ms * MS,
        "misses": misses,
    }
    spec = slow_uplinks(paired(spec, mode, arbiter, **keys), uplink_ms * MS, uplink_ms * MS // 4, 0.01)
    beats = LinkModel(delay_ns=beat_ms * MS, jitter_ns=beat_ms * MS // 2, loss=loss)
    spec = replace(
        spec, links=tuple(replace(link, model=beats) if link.name == "hb" else link for link in spec.links)
    )
    world = run(offered(replace(spec, reactions=tuple(follow))), host)
    conserved(world)
    assert len(world.commands.issued) == sum(world.commands.ended.values())
    assert [gateway.machine.budget.memory_bytes for gateway in world.gateways] == [0, 0], (
        "every instance was given back"
    )
    assert arbiter == "none" or not world.pairs[0].splits  # and two leaders would have been an InvariantError
    for takeover in world.pairs[0].takeovers:
        assert takeover.led_ns >= takeover.gone_ns
