"""The judge's books by themselves, in the north: what arrives, with which quality."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.sim.serving.judged import BAD, BOTH, MODEL, POINTS, UNCERTAIN, WORSE, arrives, plant, to
from twinloop.devices.model.overlay import ValueFault
from twinloop.devices.model.points import Point
from twinloop.devices.model.signal import Signal
from twinloop.sim.accounts.rows import End
from twinloop.sim.field.tcp_port import BUS_USER_TIMEOUT_NS
from twinloop.sim.kernel.clock import MS, S
from twinloop.sim.model.spec import PhaseSpec
from twinloop.sim.serving.judged_plant import NO_SAMPLE, STRANGE_MAX


def test_what_arrives_is_delivered_once() -> None:
    found = plant()
    to(found, 150 * MS)
    arrives(found, 0, 0, 0b01)
    assert (found.ledger.ends, found.ledger.rows[0, 0].read) == ({(0, End.DELIVERED, ""): 1}, BOTH)
    to(found, 400 * MS)
    arrives(found, 0, 0, BOTH)
    assert (found.ledger.count(End.DELIVERED), found.ledger.duplicates) == (2, 1)
    arrives(found, 0, 0, BOTH)
    assert found.ledger.duplicates == 3
    windows: list[Any] = []
    found.latencies.watch_windows(
        True, lambda *what: windows.append(what), lambda *what: windows.append(what)
    )
    to(found, 1200 * MS)
    arrives(found, 0, 1, 0b10)
    found.finish(stopped=True)
    assert windows == [(0, 1, 100 * MS, 1100 * MS), (0, 1, 1100 * MS)], "with when it was due"
    found = plant()
    for at_ms, mask in ((150, 0b01), (400, 0b11)):
        to(found, at_ms * MS)
        arrives(found, 0, 0, mask)
    cloud = found.latencies.of().cloud
    assert (cloud.count, cloud.min, cloud.max) == (2, 50 * MS, 300 * MS)
    assert (found.strange, found.ledger.misordered) == (0, 0)


def test_older_ones_after_younger_are_misordered() -> None:
    found = plant()
    to(found, 2150 * MS)
    for k in (1, 0, 2):
        arrives(found, 0, k, BOTH)
    assert (found.ledger.misordered_of, found._watched[0].youngest) == ({0: 2}, 2)
    first = plant()
    to(first, 150 * MS)
    assert first._watched[0].youngest == -1
    two = plant(MODEL, MODEL)
    to(two, 350 * MS)
    for _ in range(2):
        arrives(two, 1, 0, BOTH)
    assert two.ledger.duplicates_of == {1: 2}


def test_messages_that_belong_to_no_sample() -> None:
    found = plant()
    to(found, 1150 * MS)
    found.arrived(0, NO_SAMPLE, BOTH)
    assert found.strange == 0, "read before the first or after the last"
    found.arrived(0, 2, BOTH)
    found.arrived(0, -1, BOTH)
    found.arrived(0, 0, 0)
    to(found, 100 * MS + S + BUS_USER_TIMEOUT_NS)
    found.arrived(0, 0, BOTH)
    assert found.strangeness == [
        "d/1: sample 2 isn't due yet, 2 were",
        "d/1: sample -1 isn't due yet, 2 were",
        "d/1: sample 0 has arrived without a usable value",
        "d/1: sample 0 arrived, but nobody has read it",
    ]
    assert found.ledger.count(End.DELIVERED) == 0
    for _ in range(2 * STRANGE_MAX):
        found.odd("odd")
    assert (found.strange, len(found.strangeness)) == (4 + 2 * STRANGE_MAX, STRANGE_MAX)


def test_bad_where_the_device_had_a_value_is_missed() -> None:
    found = plant()
    to(found, 1150 * MS)
    arrives(found, 0, 0, BOTH, {WORSE: 0b01})
    assert found.ledger.ends == {(0, End.MISSED, "bad"): 1, (0, End.DELIVERED, ""): 1}
    assert found.ledger.rows.keys() == {(0, 1)}
    arrives(found, 0, 0, BOTH)
    assert found.ledger.duplicates == 2, "of a sample of which something has arrived"
    arrives(found, 0, 1, BOTH, {BAD | 0x0A0000: 0b10, UNCERTAIN: 0b01})
    assert found.ledger.ends == {
        (0, End.MISSED, "bad"): 1,
        (0, End.MISSED, "timeout"): 1,
        (0, End.DELIVERED, ""): 2,
    }
    assert found.ledger.marked == {
        (0, End.MISSED, "bad", WORSE): 1,
        (0, End.MISSED, "timeout", BAD | 0x0A0000): 1,
        (0, End.DELIVERED, "", UNCERTAIN): 1,
    }
    assert (found.ledger.good_of, found.ledger.status_of) == (
        [1],
        {(0, WORSE): 1, (0, BAD | 0x0A0000): 1, (0, UNCERTAIN): 1},
    )


def test_several_statuses_in_one_message() -> None:
    three = replace(MODEL, name="three", points=(POINTS[0], POINTS[1], Point("r", "holding", 2), POINTS[2]))
    found = plant(three)
    found.field.servers[0].device.image.write_value(3, 0.0)
    to(found, 150 * MS)
    arrives(found, 0, 0, 0b111, {WORSE: 0b001, BAD | 0x0A0000: 0b010, UNCERTAIN: 0b1000})
    assert found.ledger.ends == {
        (0, End.MISSED, "bad"): 1,
        (0, End.MISSED, "timeout"): 1,
        (0, End.DELIVERED, ""): 1,
    }
    assert found.ledger.status_of == {(0, WORSE): 1, (0, BAD | 0x0A0000): 1}, (
        "what isn't in the message has no status"
    )
    low_bits = plant()
    to(low_bits, 150 * MS)
    arrives(low_bits, 0, 0, BOTH, {(BAD | 0x0A0000) + 0x401: BOTH})
    assert low_bits.ledger.ends == {(0, End.MISSED, "timeout"): 2}, (
        "flags in the low half say nothing of the cause"
    )


def test_some_of_what_is_bad_has_no_value() -> None:
    none = Signal("constant", 65535.0)
    found = plant(
        replace(MODEL, name="half-sick", points=(POINTS[0], replace(POINTS[1], signal=none), POINTS[2]))
    )
    to(found, 150 * MS)
    arrives(found, 0, 0, 0b01, {WORSE: 0b11})
    assert found.ledger.ends == {(0, End.MISSED, "bad"): 1}
    arrives(found, 0, 0, 0b10, {WORSE: 0b11})
    assert found.ledger.ends == {(0, End.MISSED, "bad"): 1, (0, End.DELIVERED, ""): 1}


def test_quality_is_told_by_phase() -> None:
    found = plant(phases=(PhaseSpec("early", 0, S, False), PhaseSpec("late", S, 3 * S, False)))
    to(found, 2150 * MS)
    for k in range(3):
        arrives(found, 0, k, BOTH, {UNCERTAIN: 0b01})
    assert found.ends.marked_in_phase == {
        ("early", 0, End.DELIVERED, "", UNCERTAIN): 1,
        ("late", 0, End.DELIVERED, "", UNCERTAIN): 2,
    }
    assert found.ends.in_phase == {("early", 0, End.DELIVERED, ""): 2, ("late", 0, End.DELIVERED, ""): 4}


def test_all_bad_is_all_missed_and_has_arrived() -> None:
    found = plant()
    to(found, 150 * MS)
    arrives(found, 0, 0, BOTH, {BAD: BOTH})
    assert (found.ledger.ends, found.ledger.rows) == ({(0, End.MISSED, "bad"): 2}, {})
    assert found.latencies.of().cloud.count == 0
    arrives(found, 0, 0, 0b01)
    assert (found.ledger.duplicates, found.strange) == (1, 0)


def test_bad_where_the_device_itself_has_no_value_is_delivered_as_bad() -> None:
    """A sentinel that the point declares is in the register; the same pattern in a point that declares none
    is a value."""
    none = Signal("constant", 65535.0)
    found = plant(
        replace(
            MODEL,
            name="sick",
            points=(replace(POINTS[0], signal=none), replace(POINTS[1], signal=none), POINTS[2]),
        )
    )
    to(found, 150 * MS)
    assert found._valueless(0, 1)
    assert not found._valueless(0, 0)
    arrives(found, 0, 0, BOTH, {BAD: BOTH})
    assert found.ledger.ends == {(0, End.MISSED, "bad"): 1, (0, End.DELIVERED, ""): 1}
    assert found.ledger.marked == {(0, End.MISSED, "bad", BAD): 1, (0, End.DELIVERED, "", BAD): 1}
    nothing = plant(protocol="opcua")
    to(nothing, 150 * MS)
    nothing.field.servers[0].device.lie(ValueFault("bad-status", 1, status=BAD), nothing.env.now)
    assert nothing._valueless(0, 1), "the first Bad is Bad"
    served = plant(protocol="opcua")
    to(served, 150 * MS)
    device = served.field.servers[0].device
    device.lie(ValueFault("bad-status", 0, status=WORSE), served.env.now)
    assert served._valueless(0, 0)
    assert not served._valueless(0, 1)


def test_without_status_quality_is_unknown() -> None:
    found = plant()
    found.ledger.tells_quality = False
    to(found, 150 * MS)
    arrives(found, 0, 0, BOTH, {BAD: BOTH})
    assert (found.ledger.ends, found.ledger.marked, found.ledger.readings) == (
        {(0, End.DELIVERED, ""): 2},
        {},
        0,
    )
