"""The judge's books by themselves, at the devices: counters, what clients read, and what is left at the
end."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.sim.serving.judged import BOTH, INPUTS, MODEL, POINTS, answer, arrives, ask, plant, shown, to
from twinloop.devices.model.device import DeviceModel
from twinloop.devices.model.misbehaviour import Misbehaviour
from twinloop.sim.accounts.rows import End
from twinloop.sim.field.tcp_port import BUS_USER_TIMEOUT_NS
from twinloop.sim.kernel.clock import MS, S
from twinloop.sim.model.spec import PhaseSpec
from twinloop.sim.serving.judged_plant import NO_SAMPLE, ObservedPlant
from twinloop.sim.serving.modbus import ModbusCaller


# ---- at the devices ------------------------------------------------------------------------------
def test_a_device_shows_which_sample_is_due() -> None:
    found = plant(MODEL, MODEL)
    assert (shown(found), shown(found, 1), found.ledger.due, found.complete()) == (
        NO_SAMPLE,
        NO_SAMPLE,
        0,
        False,
    )
    for at_ms, first, second in (
        (99, None, None),
        (100, 0, None),
        (299, 0, None),
        (300, 0, 0),
        (1100, 1, 0),
        (2300, 2, 2),
        (3099, 2, 2),
        (3100, None, 2),
    ):
        to(found, at_ms * MS)
        expected = [NO_SAMPLE if k is None else k for k in (first, second)]
        assert [shown(found), shown(found, 1)] == expected, at_ms
    assert (found.ledger.due, found.ledger.open, found.ledger.points) == (12, 12, [("p", "q")] * 2)
    row = found.ledger.rows[0, 1]
    assert (row.due_ns, row.period_ns, row.due) == (1100 * MS, S, BOTH)
    to(found, 3300 * MS)
    assert shown(found, 1) == NO_SAMPLE


def test_a_fresh_plant_has_what_a_judge_asks_for() -> None:
    found = plant()
    assert (found.messages, found.strange, found.strangeness, found.finished, found.lost) == (
        0,
        0,
        [],
        False,
        [],
    )
    assert (found.events, found.polls, found.pacer, found.pairs, found.rollout.orders) == (0, 0, None, [], ())
    assert (
        found.ends.never_carried,
        found.ends.never_accepted,
        found.ends.in_phase,
        found.ends.marked_in_phase,
    ) == ({}, {}, {}, {})
    assert (found.waiting_for, found.commands.on_done, found.commands.issued, found.commands.ended) == (
        [],
        [],
        [],
        {},
    )
    assert found.ledger.names == ["d/1"]
    assert len(found.latencies.fleets) == 1


def test_what_nobody_has_read_is_missed_when_no_answer_can_come_any_more() -> None:
    found = plant()
    to(found, 1100 * MS + BUS_USER_TIMEOUT_NS - 1)
    assert found.ledger.ended == 0
    to(found, 1100 * MS + BUS_USER_TIMEOUT_NS)
    assert found.ledger.ends == {(0, End.MISSED, "unread"): 2}
    assert list(found.ledger.rows) == [(0, 1), (0, 2)]
    found.got(0, [1])
    to(found, 20 * S)
    assert found.ledger.ends == {(0, End.MISSED, "unread"): 4}
    assert list(found.ledger.rows) == [(0, 1)], "that one was read"
    found.finish(stopped=False)
    assert found.ledger.ends == {(0, End.MISSED, "unread"): 4, (0, End.LOST, "unseen"): 2}


def test_what_waits_in_a_subscriptions_queue_is_not_given_up_before_the_end() -> None:
    """A client that watches the counter may publish as seldom as it likes: until the run has settled."""
    found = plant(protocol="opcua")
    server: Any = found.field.servers[0]
    server.counted = lambda: True
    to(found, 20 * S)
    assert dict(found.ledger.ends.items()) == {(0, End.MISSED, "unread"): 6}
    assert found.env.now == 20 * S
    again = plant(protocol="opcua", duration_ns=60 * S)
    server = again.field.servers[0]
    watched = [True]
    server.counted = lambda: watched[0]
    to(again, 1100 * MS + 5 * BUS_USER_TIMEOUT_NS)
    assert again.ledger.ended == 0
    watched[0] = False
    to(again, 1100 * MS + 6 * BUS_USER_TIMEOUT_NS)
    assert (0, 17) in again.ledger.rows
    assert (0, 0) not in again.ledger.rows, "nobody watches any more"
    exact = plant(protocol="opcua", duration_ns=3100 * MS)
    exact.field.servers[0].counted = lambda: True  # type: ignore[method-assign, union-attr]
    to(exact, 4100 * MS)
    assert exact.ledger.ended > 0, "it has settled at that very instant"
    ends = plant(protocol="opcua", duration_ns=5 * S)
    ends.field.servers[0].counted = lambda: True  # type: ignore[method-assign, union-attr]
    to(ends, 6 * S - 1)
    assert ends.ledger.ended == 0
    to(ends, 1100 * MS + 2 * BUS_USER_TIMEOUT_NS)
    assert (ends.ledger.ended > 0, (0, 0) in ends.ledger.rows) == (True, False), (
        "after it has settled nothing waits"
    )


def test_a_late_end_is_no_second_one() -> None:
    """What has arrived, and what the end of the run has ended, isn't called unread afterwards."""
    found = plant()
    to(found, 150 * MS)
    arrives(found, 0, 0, BOTH)
    to(found, 2150 * MS)
    found.finish(stopped=True)
    assert found.ledger.ends == {(0, End.DELIVERED, ""): 2, (0, End.MISSED, "end-of-run"): 4}
    to(found, 20 * S)
    assert sum(found.ledger.ends.values()) == found.ledger.due == 6


# ---- what clients read ---------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("model", "request_", "reply", "read"),
    [
        (MODEL, ask(10, 2), answer(3, 0, 0), True), (MODEL, ask(0, 12), answer(3, *[7] * 10, 0, 0), True), (MODEL, ask(9, 4), answer(3, 7, 0, 0, 7), True),
        (MODEL, ask(10, 1), answer(3, 0), False), (MODEL, ask(11, 2), answer(3, 0, 0), False), (MODEL, ask(0, 11), answer(3, *[0] * 11), False),
        (MODEL, ask(10, 2, 4), answer(4, 0, 0), False), (INPUTS, ask(10, 2, 4), answer(4, 0, 0), True), (INPUTS, ask(10, 2), answer(3, 0, 0), False),
        (MODEL, ask(10, 2), bytes((0x83, 2)), False), (MODEL, ask(10, 2), answer(3, 0, 1), False), (MODEL, ask(10, 2, 1), answer(1, 0, 0), False),
        (MODEL, ask(10, 1, 23) + bytes(8), answer(23, 0), False), (MODEL, ask(10, 2, 23) + bytes(8), answer(23, 0, 0), True), (MODEL, ask(10, 2), answer(3, 0xFFFF, 0xFFFF), False),
    ],
)  # fmt: skip
def test_an_answer_is_read_if_the_whole_counter_is_in_it(
    model: DeviceModel, request_: bytes, reply: bytes, read: bool
) -> None:
    """Function codes of MODBUS Application Protocol V1.1b3; 23 reads holding registers, too."""
    found = plant(model)
    to(found, 150 * MS)
    found._answered(0, request_, reply)
    assert found.ledger.rows[0, 0].read == (BOTH if read else 0)


def test_large_addresses_and_numbers_are_read_whole() -> None:
    """Both bytes of an address, a count and a sample's number count."""
    far = replace(MODEL, name="far", points=(*POINTS[:2], replace(POINTS[2], address=0x0A10)))
    found = plant(far, duration_ns=400 * S, poll_ns=S)
    to(found, 300_150 * MS)
    row = found.ledger.rows[0, 300]
    near = bytes((3, 0, 0x10, 0, 2))
    found._answered(0, near, answer(3, 300 >> 16, 300 & 0xFFFF))
    assert row.read == 0, "another register with the same low byte"
    found._answered(0, bytes((3, 0x0A, 0x10, 1, 1)), answer(3, 0, 300))
    assert row.read == BOTH
    wide = replace(MODEL, name="wide", points=(*POINTS[:2], replace(POINTS[2], address=300)))
    other = plant(wide)
    to(other, 150 * MS)
    other._answered(0, bytes((3, 0, 0, 1, 0x2D)), bytes((3, 0)) + bytes(600) + bytes((0, 0, 0, 0)))
    assert other.ledger.rows[0, 0].read == 0, "301 registers end within the counter"
    other._answered(0, bytes((3, 0, 0, 1, 0x2E)), bytes((3, 0)) + b"\x01" * 600 + bytes((0, 0, 0, 0, 9)))
    assert other.ledger.rows[0, 0].read == BOTH
    far_in = plant()
    to(far_in, 1150 * MS)
    far_in._answered(0, ask(8, 5), answer(3, 7, 7, 0, 1, 9))
    assert [row.read for row in far_in.ledger.rows.values()] == [0, BOTH], "two registers in"
    later = plant()
    to(later, 1150 * MS)
    later._answered(0, ask(9, 3), bytes((3, 6, 0, 7, 0, 0, 0, 1)))
    assert [row.read for row in later.ledger.rows.values()] == [0, BOTH]


def test_right_answers_that_have_reached_their_client_are_looked_at() -> None:
    found = plant()
    assert found.on_answer == found._answered
    assert found.lead_ns == 0
    boots: list[int] = []
    other = ObservedPlant(found.spec, 0)
    other.field.count_samples = lambda: boots.append(other.lead_ns)  # type: ignore[method-assign]
    other.boot(7)
    assert boots == [7]


def test_an_answer_that_was_on_its_way_counts_for_its_own_sample() -> None:
    found = plant()
    to(found, 1150 * MS)
    found._answered(0, ask(10, 2), answer(3, 0, 0))
    assert (found.ledger.rows[0, 0].read, found.ledger.rows[0, 1].read) == (BOTH, 0)


def test_who_writes_into_the_counter_changes_nothing() -> None:
    found = plant()
    image = found.field.servers[0].device.image
    image.write_value(2, 77.0)
    found._answered(0, bytes((6, 0, 10, 0, 77)), bytes((6, 0, 10, 0, 77)))
    assert shown(found) == 77, "before the first sample nothing is known to be shown"
    to(found, 1150 * MS)
    for code in (5, 6, 15, 16, 22, 23):
        image.write_value(2, 77.0)
        found._answered(0, bytes((code, 0, 10, 0, 77, 0)), bytes((code, 0, 10, 0, 77, 0)))
        assert shown(found) == 1, code
    for code in (1, 2, 3, 4):
        image.write_value(2, 77.0)
        found._answered(0, bytes((code, 0, 10, 0, 2)), bytes((code, 2, 0, 0)))
        assert shown(found) == 77, code


def test_samples_that_are_unknown_or_over_are_not_read() -> None:
    found = plant()
    to(found, 1150 * MS)
    found.got(0, [0, 5])
    assert [row.read for row in found.ledger.rows.values()] == [BOTH, 0]


# ---- the end -------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("stopped", "read_end", "unread_end"),
    [
        (False, (End.LOST, "unseen"), (End.MISSED, "unread")),
        (True, (End.LOST, "end-of-run"), (End.MISSED, "end-of-run")),
    ],
)
def test_what_is_open_at_the_end(
    stopped: bool, read_end: tuple[End, str], unread_end: tuple[End, str]
) -> None:
    found = plant(phases=(PhaseSpec("early", 0, S, False), PhaseSpec("late", S, 3 * S, False)))
    to(found, 2150 * MS)
    assert not found.complete()
    found.got(0, [0, 2])
    found.requests = 17
    found.finish(stopped)
    assert found.ledger.ends == {(0, *read_end): 4, (0, *unread_end): 2}
    assert found.lost == [(0, 0, 100 * MS), (0, 2, 2100 * MS)]
    assert (found.polls, found.finished) == (17, True)
    assert found.ends.never_accepted == {(0, *read_end): 4, (0, *unread_end): 2}
    assert found.latencies.of().cloud.never == 6
    assert found.ends.in_phase == {
        ("early", 0, *read_end): 2,
        ("late", 0, *read_end): 2,
        ("late", 0, *unread_end): 2,
    }


def test_it_is_over_when_nothing_is_due_or_open() -> None:
    found = plant()
    for k in range(3):
        to(found, 150 * MS + k * S)
        assert not found.complete()
        arrives(found, 0, k, BOTH)
    assert not found.complete()
    to(found, 3 * S)
    assert not found.complete(), "the counter still shows the last one"
    to(found, 3100 * MS)
    assert found.complete()
    found.finish(stopped=False)
    assert found.ledger.ends == {(0, End.DELIVERED, ""): 6}
    assert found.ends.never_accepted == {}


def test_books_that_lack_a_sample_are_found_at_the_end() -> None:
    found = plant()
    to(found, 3200 * MS)
    found.ledger.due_of[0] -= 1
    with pytest.raises(Exception, match="d/1: 5 points were due, the closed form says 6"):
        found.finish(stopped=False)
    early = plant()
    to(early, 2150 * MS)
    early.finish(stopped=True)
    assert early.ledger.due == 6, "a run that was stopped before its end has no closed form to meet"
    exact = plant(duration_ns=2100 * MS)
    to(exact, 2100 * MS)
    assert (exact.ledger.due, shown(exact), exact.complete()) == (4, NO_SAMPLE, False), (
        "a sample isn't due at the very end"
    )
    for k in range(2):
        arrives(exact, 0, k, BOTH)
    assert exact.complete()
    exact.ledger.due_of[0] -= 1
    with pytest.raises(Exception, match="closed form"):
        exact.finish(stopped=False)
    before = plant()
    to(before, 50 * MS)
    before.finish(stopped=True)
    assert before.ledger.due == 0, "nothing is due yet, and that is no mistake"
    sooner = plant()
    to(sooner, 1150 * MS)
    sooner.finish(stopped=True)
    assert sooner.ledger.due == 4


def test_ends_are_in_the_trace() -> None:
    found = plant()
    events: list[Any] = []
    found.trace.sinks.append(events.extend)
    to(found, 150 * MS)
    arrives(found, 0, 0, 0b10)
    found.finish(stopped=True)
    found.trace.flush()
    assert [event for event in events if event[1] == "end"] == [
        (150 * MS, "end", 0, 0, 0b10, "delivered", ""), (150 * MS, "end", 0, 0, 0b01, "lost", "end-of-run"),
    ]  # fmt: skip


def test_who_has_asked_nobody_has_no_samples() -> None:
    """What a gateway that never read the counter says of it is made up, also while the sample is current."""
    found = plant()
    to(found, 150 * MS)
    found.arrived(0, 0, BOTH)
    assert (found.ledger.count(End.DELIVERED), found.strangeness) == (
        0,
        ["d/1: sample 0 arrived, but nobody has read it"],
    )
    to(found, 100 * MS + S + BUS_USER_TIMEOUT_NS)
    assert found.ledger.by_cause(End.MISSED) == {"unread": 2}


@pytest.mark.parametrize("order", [(10, 11), (11, 10)])
def test_a_counter_may_be_read_in_two_answers(order: tuple[int, int]) -> None:
    """How a client cuts its blocks is its own affair; half a number is none, and whose number it is both
    halves say."""
    found = plant()
    to(found, 1150 * MS)
    registers = {10: 0, 11: 1}
    found._answered(0, ask(order[0], 1), answer(3, registers[order[0]]))
    row = found.ledger.rows[0, 1]
    assert not row.read
    found._answered(0, ask(order[1], 1), answer(3, registers[order[1]]))
    assert row.read == row.due
    assert not found.ledger.rows[0, 0].read


def test_a_counter_has_32_bits() -> None:
    """The higher register counts 65536 samples."""
    found = plant()
    to(found, 150 * MS)
    row = found.ledger.rows[0, 65536 + 3] = found.ledger.rows[0, 0]
    found._answered(0, ask(10, 2), answer(3, 1, 3))
    assert row.read == row.due
    del found.ledger.rows[0, 65536 + 3]


def test_an_answer_that_no_fault_hit_counts_as_read() -> None:
    """A fault of which nothing is seen in this answer is no matter; one that spoils it is."""
    found = plant()
    server: Any = found.field.servers[0]
    heard: list[bytes] = []
    client = ModbusCaller(found, {1: 0}, heard.append, lambda: None)
    end = server.misbehave(Misbehaviour("exception", 1, 6, 0.001))
    found.at(150 * MS, client.received, b"\0\1\0\0\0\6\1" + ask(10, 2))
    to(found, 200 * MS)
    assert heard == [b"\0\1\0\0\0\7\1" + answer(3, 0, 0)]
    assert found.ledger.rows[0, 0].read
    end()
    server.misbehave(Misbehaviour("exception", 1, 6, 1.0))
    found.at(1150 * MS, client.received, b"\0\1\0\0\0\6\1" + ask(10, 2))
    to(found, 1200 * MS)
    assert heard[1][7] == 0x83
    assert not found.ledger.rows[0, 1].read
