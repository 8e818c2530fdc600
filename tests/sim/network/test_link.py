"""Links by themselves, draw by draw: the same named streams are asked beside them, and say what must come of
each packet."""

from __future__ import annotations

from typing import Any

import pytest

from twinloop.sim.kernel.clock import MS, NEVER_NS, S
from twinloop.sim.kernel.random import RandomStream, RandomStreams, probability_word
from twinloop.sim.network.link import GilbertElliott, Link, LinkModel, Way
from twinloop.sim.network.rule import DROP, PASS, CutRule, Delay, Packet, Verdict

SEED = 5


def link(**figures: Any) -> Link:
    return Link("l", LinkModel(**figures), RandomStreams(SEED))


def draws(purpose: str, way: str = "leg/up") -> RandomStream:
    return RandomStreams(SEED).stream(f"link/l/{way}/{purpose}")


def hits(coin: RandomStream, ratio: float) -> bool:
    return coin.word() < probability_word(ratio)


class Says:
    """A rule that gives a verdict, and keeps what it was asked."""

    def __init__(self, verdict: Verdict) -> None:
        self.verdict, self.asked = verdict, []  # type: ignore[var-annotated]

    def on_packet(self, packet: Packet, now_ns: int) -> Verdict:
        self.asked.append((packet, now_ns))
        return self.verdict


# ---- a link --------------------------------------------------------------------------------------
def test_legs_are_made_once_and_a_second_gateway_shares_them() -> None:
    found = link()
    up, down = found.legs("a")
    assert (up.up, down.up, up.leg, up.via) == (True, False, "a", "")
    assert found.legs("a") == (up, down)
    assert found.legs("a", "gw") == (up, down), "of one gateway alone the name says nothing"
    second = found.legs("a", "gw-b", second=True)
    assert second != (up, down)
    assert second[0].via == "gw-b"
    assert found.legs("a", "gw-b", second=True) == second
    assert [way._name for way in (up, down, *second)] == [
        "link/l/a/up",
        "link/l/a/down",
        "link/l/a@gw-b/up",
        "link/l/a@gw-b/down",
    ]


def test_degradations_overlap_and_are_taken_back_one_by_one() -> None:
    found = link(delay_ns=5, loss=0.1)
    assert not found.troubled
    first = found.degrade({"loss": 0.5, "jitter_ns": 2})
    second = found.degrade({"loss": 0.9})
    third = found.degrade({"delay_ns": 7})
    assert len({first, second, third}) == 3
    assert (found.model.loss, found.model.jitter_ns, found.model.delay_ns) == (0.9, 2, 7)
    assert found.troubled
    found.restore(second)
    assert (found.model.loss, found.model.jitter_ns, found.model.delay_ns) == (0.5, 2, 7)
    found.restore(first)
    found.restore(third)
    assert found.model == found.healthy
    assert not found.troubled
    found.rules.append(CutRule())
    assert found.troubled


def test_stats_of_a_leg_and_of_all() -> None:
    found = link()
    for leg, count in (("a", 2), ("b", 3)):
        for _ in range(count):
            found.legs(leg)[0].offer(10, 0)
    found.legs("a")[1].offer(10, 0)
    found.legs("a", "gw-b", second=True)[0].offer(10, 0)
    assert (
        found.stats().offered,
        found.stats("a").offered,
        found.stats("b").offered,
        found.stats("c").offered,
    ) == (7, 4, 3, 0)
    assert ("c", "") in found._legs, "a leg that is asked for is one"
    assert found.stats("a").lost == 0


@pytest.mark.parametrize(
    ("figures", "plain"),
    [
        ({"delay_ns": 1, "jitter_ns": 1, "loss": 0.1, "rate_bps": 9, "queue_bytes": 1}, True), ({"correlation": 0.1}, False), ({"duplicate": 0.1}, False),
        ({"reorder": 0.1}, False), ({"corrupt": 0.1}, False), ({"bursts": GilbertElliott(0.1, 0.1)}, False),
    ],
)  # fmt: skip
def test_a_plain_model_has_delay_jitter_loss_and_rate_only(figures: dict[str, Any], plain: bool) -> None:
    assert LinkModel(**figures).plain is plain


# ---- rules ---------------------------------------------------------------------------------------
def test_the_first_rule_that_has_something_to_say_decides() -> None:
    found = link()
    way = found.legs("leg", "gw")[0]
    silent, late, drops = Says(PASS), Says(Delay(7)), Says(DROP)
    found.rules = [silent]
    assert way.passes(10, 3) == 0
    found.rules = [silent, late, drops]
    assert way.passes(10, 3) == 7
    assert silent.asked == [(Packet("l", "leg", True, 10, "gw"), 3)] * 2
    assert late.asked == [(Packet("l", "leg", True, 10, "gw"), 3)]
    assert drops.asked == []
    found.rules = [silent, drops, late]
    assert way.passes(10, 3) is None
    assert way.passes(10, 3) is None
    assert way.stats.ruled_out == 2
    assert found.legs("leg", "gw")[1].passes(10, 4) is None
    assert drops.asked[-1] == (Packet("l", "leg", False, 10, "gw"), 4)


def test_an_offer_meets_the_rules_first() -> None:
    found = link(delay_ns=100, loss=1.0)
    way = found.legs("leg")[0]
    rule = Says(DROP)
    found.rules = [rule]
    assert way.offer(40, 11) == []
    assert way.transit(41, 12) == NEVER_NS
    assert [(packet.size_bytes, now_ns) for packet, now_ns in rule.asked] == [(40, 11), (41, 12)]
    assert (way.stats.offered, way.stats.ruled_out, way.stats.lost) == (2, 2, 0)
    other = link(delay_ns=100)
    other.rules = [Says(Delay(9))]
    assert other.legs("leg")[0].offer(40, 11) == [(120, False)]
    assert other.legs("leg")[0].transit(40, 11) == 120


# ---- rate and queue ------------------------------------------------------------------------------
@pytest.mark.parametrize("how", ["offer", "transit"])
def test_a_rate_serialises_and_its_queue_is_exact(how: str) -> None:
    """8 bit/s: a byte a second. 3 bytes may wait; equal to the queue fits."""
    way = link(rate_bps=8, queue_bytes=3).legs("leg")[0]

    def send(size_bytes: int, now_ns: int) -> int | None:
        if how == "transit":
            arrives = way.transit(size_bytes, now_ns)
            return None if arrives == NEVER_NS else arrives
        arrivals = way.offer(size_bytes, now_ns)
        return arrivals[0][0] if arrivals else None

    assert send(2, 0) == 2 * S
    assert send(2, 0) == 4 * S, "2 bytes wait"
    assert send(1, 0) is None, "4 wait"
    assert send(1, S - 1) is None, "a little more than 3"
    assert send(1, S) == 5 * S, "3 wait"
    assert send(1, 5 * S) == 6 * S, "free at that very instant"
    assert send(5, 60 * S) == 65 * S
    assert (way.stats.offered, way.stats.queue_full, way.stats.lost) == (7, 2, 0)
    odd = link(rate_bps=3).legs("leg")[0]
    assert (odd.transit(1, 0) if how == "transit" else odd.offer(1, 0)[0][0]) == 8 * S // 3


# ---- loss, damage, copies, order -----------------------------------------------------------------
@pytest.mark.parametrize("how", ["offer", "transit"])
def test_random_loss_draw_by_draw(how: str) -> None:
    way, coin = link(delay_ns=10, loss=0.3).legs("leg")[0], draws("loss")
    expected = [not hits(coin, 0.3) for _ in range(500)]
    arrivals = (
        [way.transit(10, i) for i in range(500)]
        if how == "transit"
        else [(way.offer(10, i) or [(NEVER_NS, False)])[0][0] for i in range(500)]
    )
    assert arrivals == [i + 10 if there else NEVER_NS for i, there in enumerate(expected)]
    assert (way.stats.offered, way.stats.lost) == (500, expected.count(False))


def test_correlated_loss_leans_on_the_draw_before() -> None:
    way, coin = link(loss=0.4, correlation=0.6).legs("leg")[0], draws("loss")
    last, expected = 0.0, []
    for _ in range(500):
        last = 0.6 * last + 0.4 * coin.uniform()
        expected.append(last < 0.4)
    assert [way.offer(10, 0) == [] for _ in range(500)] == expected
    assert way.stats.lost == sum(expected)


def test_bursts_and_random_loss_are_drawn_apart() -> None:
    way = link(loss=0.1, bursts=GilbertElliott(0.2, 0.3, 0.8, 0.05)).legs("leg")[0]
    burst, loss, alone = draws("burst"), draws("loss"), draws("random-loss")
    bad, expected = False, []
    for _ in range(800):
        bad = not hits(burst, 0.3) if bad else hits(burst, 0.2)
        in_burst = hits(loss, 0.8 if bad else 0.05)
        expected.append(hits(alone, 0.1) or in_burst)
    assert [way.offer(10, 0) == [] for _ in range(800)] == expected
    plain = link(bursts=GilbertElliott(0.2, 0.3)).legs("leg")[0]
    burst, loss, bad, expected = draws("burst"), draws("loss"), False, []
    for _ in range(300):
        bad = not hits(burst, 0.3) if bad else hits(burst, 0.2)
        expected.append(hits(loss, 1.0) if bad else False)
    assert [plain.offer(10, 0) == [] for _ in range(300)] == expected, "good: 0 draws nothing"


def test_a_way_begins_well() -> None:
    calm = link(bursts=GilbertElliott(0.0, 0.0)).legs("leg")[0]
    assert all(calm.offer(10, 0) for _ in range(100)), "a burst that never begins"
    way = Way(link(), "leg", True)
    assert (way.via, way._name) == ("", "link/l/leg/up")


def test_damage_and_copies_draw_by_draw() -> None:
    way = link(delay_ns=5, corrupt=0.3, duplicate=0.4).legs("leg")[0]
    corrupt, duplicate = draws("corrupt"), draws("duplicate")
    for _ in range(300):
        damaged, copies = hits(corrupt, 0.3), 2 if hits(duplicate, 0.4) else 1
        assert way.offer(10, 0) == [(5, damaged)] * copies
    again = link(corrupt=0.3, duplicate=0.4).legs("leg")[0]
    found = [again.offer(10, 0) for _ in range(300)]
    assert again.stats.corrupted == sum(arrivals[0][1] for arrivals in found)
    assert again.stats.duplicated == sum(len(arrivals) - 1 for arrivals in found)
    assert (again.stats.offered, again.stats.lost) == (300, 0)


def test_a_damaged_segment_never_comes_and_a_copy_means_nothing() -> None:
    way = link(delay_ns=5, corrupt=0.3, duplicate=0.4).legs("leg")[0]
    corrupt = draws("corrupt")
    assert [way.transit(10, i) for i in range(300)] == [
        NEVER_NS if hits(corrupt, 0.3) else i + 5 for i in range(300)
    ]
    rated = link(delay_ns=5, rate_bps=8, corrupt=1e-18).legs("leg")[0]
    assert rated.transit(3, 2) == 3 * S + 7


def test_reordered_packets_skip_the_delay_and_jitter_is_drawn_for_the_others() -> None:
    way = link(delay_ns=1000, jitter_ns=200, reorder=0.3).legs("leg")[0]
    reorder, jitter = draws("reorder"), draws("jitter")
    for _ in range(300):
        delay = 0 if hits(reorder, 0.3) else 1000 + jitter.spread(200)
        assert way.offer(10, 7) == [(7 + delay, False)]


@pytest.mark.parametrize("how", ["offer", "transit"])
def test_jitter_draw_by_draw(how: str) -> None:
    way, coin = link(delay_ns=1000, jitter_ns=200).legs("leg")[1], draws("jitter", "leg/down")
    for i in range(300):
        expected = i + 1000 + coin.spread(200)
        assert (way.transit(10, i) if how == "transit" else way.offer(10, i)[0][0]) == expected
    tight = link(delay_ns=3, jitter_ns=3)
    times = {tight.legs("leg")[0].transit(10, 0) for _ in range(300)}
    assert times == set(range(7))
    assert {tight.legs("leg")[0].offer(10, 0)[0][0] for _ in range(300)} == set(range(7))
    beyond = link(delay_ns=1, jitter_ns=3)
    assert {beyond.legs("leg")[0].transit(10, 0) for _ in range(300)} == {0, 1, 2, 3, 4}
    assert {beyond.legs("leg")[0].offer(10, 0)[0][0] for _ in range(300)} == {0, 1, 2, 3, 4}


def test_another_model_is_adopted_at_the_next_packet() -> None:
    found = link(delay_ns=1000)
    way = found.legs("leg")[0]
    assert way.transit(10, 0) == 1000
    number = found.degrade({"loss": 1.0})
    assert way.transit(10, 0) == NEVER_NS
    found.restore(number)
    number = found.degrade({"jitter_ns": 200})
    coin = draws("jitter")
    assert way.transit(10, 0) == 1000 + coin.spread(200)
    found.restore(number)
    assert way.transit(10, 0) == 1000
    found.degrade({"rate_bps": 8_000_000 // MS})
    assert way.transit(1, 0) == S + 1000
