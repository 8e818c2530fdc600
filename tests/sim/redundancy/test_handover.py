"""What a takeover costs, to the sample, and what a standby holds for it."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st

from tests.plants import paired
from tests.sim.redundancy.pair_runs import Seen, at, small
from twinloop.components.host.host import Host
from twinloop.sim.accounts.rows import End
from twinloop.sim.kernel.clock import MS, S
from twinloop.sim.model.spec import UplinkSpec
from twinloop.sim.trouble.verbs import act


# ---- what a failover costs, to the sample --------------------------------------------------------
@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    crash_ns=st.integers(2 * S, 8 * S),
    seed=st.integers(0, 99),
    mode=st.sampled_from(["warm", "cold"]),
    arbiter=st.sampled_from(["cloud", "none"]),
    dark=st.booleans(),
)
def test_warm_and_cold_lose_exactly_the_gap_and_what_was_nowhere_else(
    host: Host, crash_ns: int, seed: int, mode: str, arbiter: str, dark: bool
) -> None:
    timeline = [act(crash_ns, "crash", "gw", crash_ns + 4 * S)]
    if (
        dark
    ):  # the uplink goes shortly before: some samples are in the store and survive, others in the window
        timeline.insert(0, act(crash_ns - 500 * MS, "cut", "cloud", crash_ns + 3 * S))
    spec = small(host, *timeline, seed=seed, uplink=UplinkSpec("cloud", window=4))
    seen = Seen(paired(spec, mode, arbiter), host)
    (takeover,) = seen.pair.takeovers
    if dark and arbiter == "cloud" and crash_ns - 250 * MS < takeover.gone_ns < crash_ns:
        # an answer of the cloud was repeated when the uplink was cut: the lease has ended shortly before the
        # crash
        reject()
    assert (takeover.old, takeover.new, takeover.gone_ns) == ("gw", "gw-b", crash_ns)
    expected = seen.due_in(crash_ns, takeover.led_ns) | set(seen.at_crash)
    assert seen.ended_as(End.MISSED, End.LOST) == expected
    assert seen.ended_as(End.DELIVERED) == set(seen.ends) - expected
    assert {cause for end, cause in seen.ends.values() if end is End.MISSED} <= {"gateway-down", "no-active"}
    assert takeover.led_ns < takeover.first_ns <= takeover.led_ns + 200 * MS, (
        "the next due instant is at most 100 ms away"
    )


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    crash_ns=st.integers(2 * S, 8 * S),
    seed=st.integers(0, 99),
    arbiter=st.sampled_from(["cloud", "none"]),
    dark=st.booleans(),
)
def test_hot_loses_nothing_while_the_takeover_is_shorter_than_the_handover(
    host: Host, crash_ns: int, seed: int, arbiter: str, dark: bool
) -> None:
    timeline = [act(crash_ns, "crash", "gw", crash_ns + 4 * S)]
    if dark:
        timeline.insert(0, act(crash_ns - 500 * MS, "cut", "cloud", crash_ns + 3 * S))
    seen = Seen(
        paired(small(host, *timeline, seed=seed, uplink=UplinkSpec("cloud", window=4)), "hot", arbiter), host
    )
    (takeover,) = seen.pair.takeovers
    assert takeover.led_ns - takeover.gone_ns < 2 * S < seen.pair.spec.handover_ns
    assert seen.ended_as(End.DELIVERED) == set(seen.ends)


@pytest.mark.parametrize("crash_s", [4.0, 5.37, 6.912])
def test_a_handover_that_is_too_short_loses_exactly_what_was_let_go(host: Host, crash_s: float) -> None:
    seen = Seen(
        paired(small(host, at(crash_s, "crash", "gw", 6)), "hot", every_ns=S, lease_ns=2 * S, handover_ns=S),
        host,
    )
    (takeover,) = seen.pair.takeovers
    assert takeover.led_ns - takeover.gone_ns > 1500 * MS
    gone = seen.ended_as(End.LOST, End.MISSED)
    assert {seen.ends[point] for point in gone} <= {(End.LOST, "unseen"), (End.LOST, "crash")}, (
        "of those that gw had read, what became of them there"
    )
    held_ns = 10 * MS  # from due to held
    assert (
        seen.due_in(int(crash_s * S), takeover.led_ns - S - held_ns)
        <= gone
        <= seen.due_in(int(crash_s * S) - 2 * held_ns, takeover.led_ns - S) | set(seen.at_crash)
    )


def test_what_a_handover_holds_has_a_limit_with_a_name(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("twinloop.sim.redundancy.handover.MESSAGES_MAX", 5)
    seen = Seen(paired(small(host, at(5, "crash", "gw", 4)), "hot"), host)
    assert any(record[1] == "limit" and record[3] == "handover" for record in seen.records)
    assert {seen.ends[point] for point in seen.ended_as(End.LOST)} == {(End.LOST, "unseen")}
    assert seen.pair.members[1].handover is not None
    assert seen.pair.members[1].handover.peak <= 5


def test_a_takeover_is_felt_as_waiting_for_the_promotion(host: Host) -> None:
    seen = Seen(paired(small(host, at(5.05, "crash", "gw", 5)), "hot"), host)
    (takeover,) = seen.pair.takeovers
    worst = seen.world.latencies.of().gateway.max
    assert (
        takeover.led_ns - takeover.gone_ns - 100 * MS < worst < takeover.led_ns - takeover.gone_ns + 100 * MS
    )
    quiet = Seen(paired(small(host), "hot"), host)
    assert quiet.world.latencies.of().gateway.max < 5 * MS
    assert quiet.world.ledger.duplicates == 0
    assert quiet.pair.takeovers == []


@pytest.mark.parametrize("down_s", [5.5, 5.862])
def test_a_standby_that_shuts_down_and_hears_no_leader_stores_what_it_holds(
    host: Host, down_s: float
) -> None:
    """At 5.5 s it isn't promoted yet, at 5.862 s it leads and sends."""
    spec = small(
        host,
        at(5, "crash", "gw"),
        at(down_s, "shutdown", "gw-b", 3),
        count=50,
        uplink=UplinkSpec("cloud", window=4),
    )
    seen = Seen(paired(spec, "hot"), host)
    assert {seen.ends[point] for point in seen.ended_as(End.LOST)} <= {(End.LOST, "crash")}
    held_ns = 10 * MS
    assert seen.due_in(5 * S, int(down_s * S) - held_ns) <= seen.ended_as(End.DELIVERED)


def test_what_one_that_led_had_read_is_counted_once_it_is_stored(host: Host) -> None:
    """A warm leader steps down in the middle of a poll: its sample is delivered, and has a latency."""
    for cut_ms in (4000, 4010, 4020, 4030, 4040):
        seen = Seen(
            paired(small(host, act(cut_ms * MS, "cut", "cloud", 10 * S), response_ns=80 * MS), "warm"), host
        )
        gateway = seen.world.latencies.of().gateway
        assert gateway.count + gateway.never == seen.world.ledger.due
        assert gateway.never == seen.world.ledger.count(End.MISSED) + seen.world.ledger.count(End.LOST)
