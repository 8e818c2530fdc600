"""Datagrams over a link: sizes on the wire, fragments, copies, damage, cuts, what is afoot."""

from __future__ import annotations

from typing import Any

import pytest

from twinloop.sim.kernel.clock import MS, Environment, S
from twinloop.sim.kernel.random import RandomStreams
from twinloop.sim.network.link import Link, LinkModel
from twinloop.sim.network.rule import CutRule
from twinloop.sim.network.udp import AFOOT_MAX, DATAGRAM_BYTES_MAX, Afoot, UdpPath, packets


class Ends:
    """A path between two who note what comes, and when; the far one says it back at once."""

    def __init__(self, answers: bool = True, **model: Any) -> None:
        self.env = Environment()
        self.link = Link("plant", LinkModel(**{"delay_ns": 10 * MS, **model}), RandomStreams(7))
        self.far: list[tuple[int, bytes]] = []
        self.near: list[tuple[int, bytes]] = []
        self.full = 0
        self.answers = answers
        self.afoot = Afoot()
        self.path = UdpPath(
            env=self.env, link=self.link, leg="d", near=self._near, far=self._far, full=self._full, afoot=self.afoot
        )  # fmt: skip

    def _near(self, data: bytes) -> None:
        self.near.append((self.env.now, data))

    def _far(self, data: bytes) -> None:
        self.far.append((self.env.now, data))
        if self.answers:
            self.path.send_down(data)

    def _full(self) -> None:
        self.full += 1

    def ran(self, until_ns: int = S) -> Ends:
        """So far."""
        self.env.run(until_ns)
        return self


@pytest.mark.parametrize(
    ("size", "found"),
    [
        (0, [28]),
        (12, [40]),
        (1472, [1500]),
        (1473, [1500, 21]),
        (2952, [1500, 1500]),
        (DATAGRAM_BYTES_MAX, [1500] * 44 + [415]),
    ],
)
def test_sizes_on_the_wire_by_hand(size: int, found: list[int]) -> None:
    """8 bytes of UDP before the whole, 20 of IP before each 1480: RFC 768, RFC 791."""
    assert packets(size) == found


def test_it_takes_one_way_there_and_one_back() -> None:
    ends = Ends()
    ends.path.send_up(b"ask")
    ends.ran()
    assert ends.far == [(10 * MS, b"ask")]
    assert ends.near == [(20 * MS, b"ask")]
    assert ends.afoot.count == 0


def test_a_rate_counts_headers() -> None:
    """40 bytes at 3200 bit/s are 100 ms."""
    ends = Ends(rate_bps=3200, answers=False)
    ends.path.send_up(bytes(12))
    ends.path.send_up(bytes(12))
    assert [at for at, _ in ends.ran().far] == [110 * MS, 210 * MS]


def test_an_answer_meets_the_link_when_it_leaves() -> None:
    ends = Ends(answers=False)
    ends.path.send_down(b"late", 50 * MS)
    rule = CutRule()
    ends.env.call_at(5 * MS, ends.link.rules.append, rule)
    ends.env.call_at(45 * MS, ends.link.rules.remove, rule)
    assert ends.ran().near == [(60 * MS, b"late")]


@pytest.mark.parametrize("loss", [0.2, 0.5])
def test_what_is_lost_is_lost(loss: float) -> None:
    ends = Ends(loss=loss, answers=False)
    for k in range(1000):
        ends.env.call_at(k * MS, ends.path.send_up, b"x")
    ends.ran(3 * S)
    assert abs(len(ends.far) - 1000 * (1 - loss)) < 60
    assert ends.link.stats().offered == 1000, "nothing is sent again"
    assert ends.afoot.count == 0


def test_one_lost_fragment_takes_the_datagram() -> None:
    """Of 10 fragments, each lost in 1 of 10: 35 of 100 come."""
    ends = Ends(loss=0.1, answers=False)
    for k in range(400):
        ends.env.call_at(k * MS, ends.path.send_up, bytes(14_000))
    ends.ran(3 * S)
    assert abs(len(ends.far) / 400 - 0.9**10) < 0.06
    assert ends.link.stats().offered == 4000
    assert ends.afoot.count == 0


def test_a_damaged_one_is_dropped_by_its_checksum() -> None:
    ends = Ends(corrupt=1.0)
    ends.path.send_up(b"x")
    ends.path.send_up(bytes(5000))
    assert ends.ran().far == []
    assert ends.link.stats().corrupted == 5
    assert ends.afoot.count == 0


def test_a_copy_comes_twice_and_of_fragments_one_is_taken() -> None:
    ends = Ends(duplicate=1.0, answers=False)
    ends.path.send_up(b"x")
    assert len(ends.ran().far) == 2
    ends.path.send_up(bytes(2000))
    assert len(ends.ran(2 * S).far) == 3
    assert ends.afoot.count == 0


def test_jitter_reorders() -> None:
    ends = Ends(jitter_ns=9 * MS, answers=False)
    for k in range(50):
        ends.path.send_up(bytes([k]))
    came = [data[0] for _, data in ends.ran().far]
    assert sorted(came) == list(range(50))
    assert came != sorted(came)


def test_a_cut_loses_what_is_offered_and_what_is_due() -> None:
    ends = Ends(answers=False)
    rule = CutRule()
    ends.path.send_up(b"on its way")
    ends.env.call_at(5 * MS, ends.link.rules.append, rule)
    ends.env.call_at(6 * MS, ends.path.send_up, b"offered")
    ends.env.call_at(7 * MS, ends.path.send_up, bytes(9000))
    ends.env.call_at(30 * MS, ends.link.rules.remove, rule)
    ends.env.call_at(31 * MS, ends.path.send_up, b"after")
    assert ends.ran().far == [(41 * MS, b"after")]
    assert ends.afoot.count == 0


def test_a_cut_between_two_fragments_takes_the_datagram() -> None:
    """At 120 kbit/s a fragment leaves every 100 ms: the first comes, the second is due in the cut."""
    ends = Ends(rate_bps=120_000, answers=False)
    rule = CutRule()
    ends.path.send_up(bytes(4000))
    ends.env.call_at(150 * MS, ends.link.rules.append, rule)
    ends.env.call_at(250 * MS, ends.link.rules.remove, rule)
    assert ends.ran().far == []
    assert ends.afoot.count == 0


def test_so_many_are_afoot_and_no_more() -> None:
    ends = Ends(answers=False)
    for _ in range(AFOOT_MAX + 3):
        ends.path.send_up(b"x")
    assert ends.full == 3
    assert len(ends.ran().far) == AFOOT_MAX
    ends.path.send_up(b"x")
    assert len(ends.ran(2 * S).far) == AFOOT_MAX + 1
