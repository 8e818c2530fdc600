"""Links, streams, lines, random streams, histograms: the pieces by themselves, with their figures."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twinloop.components.host.codec import Case
from twinloop.sim.accounts.ledger import Ledger
from twinloop.sim.accounts.rows import End, SharedRow
from twinloop.sim.field.framing import END_BYTES_MAX, REPLY_BYTES_MAX, cut_frame
from twinloop.sim.kernel.clock import MS, NEVER_NS, Environment, S
from twinloop.sim.kernel.histogram import NEVER, Histogram
from twinloop.sim.kernel.invariants import InvariantError
from twinloop.sim.kernel.random import RandomStreams
from twinloop.sim.machine.cores import Cores
from twinloop.sim.network.link import GilbertElliott, Link, LinkModel
from twinloop.sim.network.presets import PRESETS
from twinloop.sim.network.rule import CutRule, Delay, Packet
from twinloop.sim.network.serial_line import LineTiming
from twinloop.sim.network.tcp import TcpStream


class Balanced:
    due = open = ended = 0

    def require_balance(self) -> None:
        raise AssertionError


def link(**figures: Any) -> Link:
    return Link("l", LinkModel(**figures), RandomStreams(5))


def arrivals(
    found: Link, packets: int, size_bytes: int = 100, apart_ns: int = MS
) -> list[list[tuple[int, bool]]]:
    way = found.legs("leg")[0]
    return [way.offer(size_bytes, i * apart_ns) for i in range(packets)]


def test_delay_jitter_and_rate() -> None:
    times = [
        at - i * MS for i, ((at, _),) in enumerate(arrivals(link(delay_ns=10 * MS, jitter_ns=2 * MS), 2000))
    ]
    assert min(times) >= 8 * MS
    assert max(times) <= 12 * MS
    assert abs(sum(times) / 2000 - 10 * MS) < 100_000
    assert link(rate_bps=8_000).legs("leg")[0].offer(1000, 0) == [(S, False)]


def test_a_rate_queues_and_its_queue_is_limited() -> None:
    found = link(rate_bps=8_000, queue_bytes=2500)
    results = arrivals(found, 5, 1000, 0)
    assert [result[0][0] if result else None for result in results] == [S, 2 * S, 3 * S, None, None]
    assert found.stats().queue_full == 2


def test_random_loss_and_its_ratio() -> None:
    lost = sum(not result for result in arrivals(link(loss=0.1), 20_000))
    assert lost / 20_000 == pytest.approx(0.1, abs=0.01)


def test_gilbert_elliott_loses_in_bursts_of_1_over_r() -> None:
    """Stationary loss p / (p + r), mean burst 1 / r (Gilbert 1960, with loss 1 in the bad state)."""
    results = [not result for result in arrivals(link(bursts=GilbertElliott(0.02, 0.25)), 50_000)]
    assert sum(results) / 50_000 == pytest.approx(0.02 / 0.27, rel=0.1)
    bursts = "".join("x" if lost else " " for lost in results).split()
    assert sum(map(len, bursts)) / len(bursts) == pytest.approx(4.0, rel=0.1)


def test_duplicates_damage_and_reordering() -> None:
    found = arrivals(link(delay_ns=10 * MS, duplicate=0.1, corrupt=0.2, reorder=0.05), 5000)
    assert sum(len(result) == 2 for result in found) / 5000 == pytest.approx(0.1, abs=0.02)
    assert sum(result[0][1] for result in found) / 5000 == pytest.approx(0.2, abs=0.02)
    assert sum(result[0][0] == i * MS for i, result in enumerate(found)) / 5000 == pytest.approx(
        0.05, abs=0.01
    )


def test_one_trouble_moves_no_draw_of_another() -> None:
    plain = arrivals(link(delay_ns=10 * MS, jitter_ns=2 * MS), 200)
    lossy = arrivals(link(delay_ns=10 * MS, jitter_ns=2 * MS, duplicate=0.0, corrupt=0.3), 200)
    assert [r[0][0] for r in plain] == [r[0][0] for r in lossy]


@settings(max_examples=50, deadline=None)
@given(loss=st.floats(0, 0.5), jitter=st.integers(0, 5 * MS), rate=st.sampled_from([0, 10**6]))
def test_a_segments_transit_is_an_offer(loss: float, jitter: int, rate: int) -> None:
    """The short way for plain models draws and delivers what the general one does."""
    figures = {"delay_ns": 10 * MS, "jitter_ns": jitter, "loss": loss, "rate_bps": rate}
    general = [result[0][0] if result else NEVER_NS for result in arrivals(link(**figures), 50)]
    way = link(**figures).legs("leg")[0]
    assert [way.transit(100, i * MS) for i in range(50)] == general


def test_rules_are_asked_in_order_and_a_cut_may_be_one_way() -> None:
    found = link(delay_ns=MS)
    up, down = found.legs("leg")
    found.rules.append(CutRule(up=True))
    assert up.offer(1, 0) == []
    assert down.offer(1, 0) == [(MS, False)]

    class Slow:
        def on_packet(self, packet: Packet, now_ns: int) -> Delay:
            return Delay(5 * MS)

    found.rules.insert(0, Slow())
    assert up.offer(1, 0) == [(6 * MS, False)]


def wired(found: Link, **changes: Any) -> tuple[Environment, TcpStream, list[Any]]:
    env, log = Environment(), list[Any]()
    stream = TcpStream(
        env=env,
        link=found,
        leg="leg",
        near=lambda p: log.append(("near", env.now, p)),
        far=lambda p: log.append(("far", env.now, p)),
        lost=lambda: log.append(("lost", env.now)),
        **changes,
    )
    return env, stream, log


def test_a_stream_opens_in_a_round_trip_and_keeps_order() -> None:
    env, stream, log = wired(link(delay_ns=10 * MS, jitter_ns=9 * MS))
    stream.connect(lambda: [stream.send_up(i, 100) for i in range(50)])
    env.run_to(S, Balanced(), 10_000)
    assert [entry[2] for entry in log] == list(range(50))
    assert all(log[i][1] <= log[i + 1][1] for i in range(49))


def test_loss_costs_a_retransmission_timeout_and_blocks_the_head_of_the_line() -> None:
    found = link(delay_ns=10 * MS)
    env, stream, log = wired(found)
    stream.open = True
    cut = CutRule()
    found.rules.append(cut)
    stream.send_up("first", 100)
    found.rules.remove(cut)
    stream.send_up("second", 100)
    env.run_to(S, Balanced(), 1000)
    assert log == [("far", 210 * MS, "first"), ("far", 210 * MS, "second")]


def test_a_cut_stalls_a_stream_and_breaks_it_after_the_user_timeout() -> None:
    found = link(delay_ns=10 * MS)
    env, stream, log = wired(found, user_timeout_ns=5 * S)
    stream.open = True
    found.rules.append(CutRule())
    stream.send_up("x", 100)
    env.run_to(60 * S, Balanced(), 1000)
    assert log == [("lost", 5 * S)]
    assert stream.send_up("y", 100) == NEVER_NS


def test_what_is_in_flight_when_a_cut_falls_is_sent_again() -> None:
    found = link(delay_ns=10 * MS)
    env, stream, log = wired(found)
    stream.open = True
    stream.send_up("x", 100)
    cut = CutRule()
    env.call_at(5 * MS, found.rules.append, cut)
    env.call_at(300 * MS, found.rules.remove, cut)
    env.run_to(10 * S, Balanced(), 1000)
    assert log == [("far", 200 * MS + 400 * MS + 10 * MS, "x")], (
        "RFC 6298 section 5.1: the timer runs from when it was sent"
    )


@pytest.mark.parametrize(
    ("cut_ms", "healed_ms", "comes_ms"),
    [
        (0, 300, 460),
        (0, 500, 660),
        (0, 645, 660),
        (0, 700, 1060),
        (100, 300, 460),
        (100, 455, 660),
        (455, 458, 460),
        (455, 800, 1060),
        (470, 800, 460),
    ],
)
def test_an_answer_meets_the_cable_as_it_is_when_it_leaves(
    cut_ms: int, healed_ms: int, comes_ms: int
) -> None:
    """A device thinks for 450 ms, and the way takes 10: lost is what leaves or arrives while the cable is
    pulled, and sent again after 200 and 400 ms."""
    found = link(delay_ns=10 * MS)
    env, stream, log = wired(found)
    stream.open = True
    cut = CutRule()
    env.call_at(cut_ms * MS, found.rules.append, cut)
    env.call_at(healed_ms * MS, found.rules.remove, cut)
    env.call_at(0, stream.send_down, "y", 100, 450 * MS)
    env.run_to(10 * S, Balanced(), 1000)
    assert log == [("near", comes_ms * MS, "y")]


@pytest.mark.parametrize(
    ("since_ms", "until_ms", "comes_ms"),
    [(140, 1200, None), (300, 1200, None), (0, 140, 410), (0, 300, 410), (420, 1200, 410)],
)
def test_an_answer_meets_a_degraded_link_as_it_is_when_it_leaves(
    since_ms: int, until_ms: int, comes_ms: int | None
) -> None:
    """It leaves at 400 ms: all is lost from then until then."""
    found = link(delay_ns=10 * MS)
    env, stream, log = wired(found)
    stream.open = True
    stream.env.call_at(150 * MS, stream.send_down, "y", 100, 250 * MS)
    env.call_at(
        since_ms * MS, lambda: env.call_at(until_ms * MS, found.restore, found.degrade({"loss": 1.0}))
    )
    env.run_to(10 * S, Balanced(), 1000)
    assert len(log) == 1
    assert (log[0][1] == comes_ms * MS) if comes_ms else log[0][1] > until_ms * MS


def test_serial_timing() -> None:
    """MODBUS over Serial Line V1.02 section 2.5.1.1: 11 bits a character, 3.5 characters; 1.750 ms above
    19200 Bd."""
    assert LineTiming(9600).gap_ns == 7 * 11 * S // (2 * 9600)
    assert LineTiming(115_200).gap_ns == 1_750_000
    assert LineTiming(9600).exchange_ns(8, 7, 0) == pytest.approx((15 + 7) * 11 / 9600 * S, abs=5)


FIELD = Case("length-field", type("F", (), {"offset": 4, "size": 2, "big_endian": True, "adjust": 0})())


@pytest.mark.parametrize(
    ("buffer", "framing", "frame", "too_long"),
    [
        (b"\0\1\0\0\0\3abcX", FIELD, b"\0\1\0\0\0\3abc", False), (b"\0\1\0\0\0\3ab", FIELD, None, False), (b"\0\1\0", FIELD, None, False),
        (b"abc", Case("exactly", 2), b"ab", False), (b"a", Case("exactly", 2), None, False), (b"abc", Case("some", 2), b"ab", False),
        (b"", Case("some", 2), None, False), (b"abc", Case("silence", None), b"abc", False), (b"", Case("exactly", REPLY_BYTES_MAX + 1), None, True),
        (b":010300\r\n:0", Case("until", b"\r\n"), b":010300\r\n", False), (b":010300\r", Case("until", b"\r\n"), None, False), (b"", Case("until", b"\n"), None, False),
        (b"ab", Case("until", b"a"), b"a", False), (b"abc", Case("until", b""), None, True), (b"abc", Case("until", bytes(END_BYTES_MAX + 1)), None, True),
        (bytes(REPLY_BYTES_MAX - 1), Case("until", b"\n"), None, False), (bytes(REPLY_BYTES_MAX), Case("until", b"\n"), None, True),
        (bytes(REPLY_BYTES_MAX - 1) + b"\n", Case("until", b"\n"), bytes(REPLY_BYTES_MAX - 1) + b"\n", False), (bytes(REPLY_BYTES_MAX) + b"\n", Case("until", b"\n"), None, True),
    ],
)  # fmt: skip
def test_where_a_frame_ends(buffer: bytes, framing: Any, frame: bytes | None, too_long: bool) -> None:
    assert cut_frame(buffer, framing) == (frame, too_long)


def test_streams_are_named_and_golden() -> None:
    """The same words on every machine and numpy: a change here changes every trace."""
    one = RandomStreams(7).stream("a")
    again = RandomStreams(7).stream("a")
    other = RandomStreams(7).stream("b")
    words = [one.word() for _ in range(100)]
    assert words == [again.word() for _ in range(100)]
    assert words != [other.word() for _ in range(100)]
    assert words == np.random.PCG64(RandomStreams(7).key("a")).random_raw(100).tolist()


def test_distributions() -> None:
    stream = RandomStreams(1).stream("d")
    uniform = [stream.uniform() for _ in range(20_000)]
    assert 0 <= min(uniform) < max(uniform) < 1
    normal = [stream.normal() for _ in range(20_000)]
    assert sum(normal) / 20_000 == pytest.approx(0, abs=0.03)
    assert sum(x * x for x in normal) / 20_000 == pytest.approx(1, abs=0.05)
    exponential = [stream.exponential() for _ in range(20_000)]
    assert sum(exponential) / 20_000 == pytest.approx(1, abs=0.03)
    assert sum(x > 1 for x in exponential) / 20_000 == pytest.approx(0.3679, abs=0.02)
    assert {stream.below(3) for _ in range(100)} == {0, 1, 2}
    assert {stream.spread(1) for _ in range(100)} == {-1, 0, 1}


values = st.lists(st.integers(0, 10**12), min_size=1, max_size=200)


@settings(max_examples=100, deadline=None)
@given(numbers=values, permille=st.sampled_from([500, 900, 950, 990, 999]))
def test_percentiles_are_nearest_rank_within_a_thousandth(numbers: list[int], permille: int) -> None:
    one, many = Histogram(), Histogram()
    for number in numbers:
        one.add(number)
    many.add_many(np.array(numbers, np.int64), np.ones(len(numbers), np.int64))
    exact = sorted(numbers)[max(1, -(-len(numbers) * permille // 1000)) - 1]
    found = one.percentile(permille)
    assert found is not None
    assert abs(found - exact) <= exact * 0.001
    assert many.percentile(permille) == found
    assert (many.count, many.total, many.min, many.max) == (one.count, one.total, one.min, one.max)


def test_samples_that_never_came_rank_last() -> None:
    histogram = Histogram()
    histogram.add(5, 98)
    histogram.never = 2
    assert histogram.percentile(980) == 5
    assert histogram.percentile(990) == NEVER
    assert histogram.percentiles((500, 980, 990)) == [5, 5, NEVER]
    assert Histogram().percentile(500) is None
    assert Histogram().percentiles((500, 990)) == [None, None]


def test_cores_serve_in_order_of_arrival() -> None:
    env, log = Environment(), list[Any]()
    cores = Cores(env, 2)
    for i in range(5):
        cores.work(10, lambda i=i: log.append((env.now, i)))
    env.run_to(100, Balanced(), 100)
    assert log == [(10, 0), (10, 1), (20, 2), (20, 3), (30, 4)]
    assert cores.busy_ns == 50
    assert cores.free == 2
    assert cores.longest_queue == 3


def test_the_last_holder_closes_a_row_and_delivery_closes_it_at_once() -> None:
    ledger = Ledger(["a/1"], [("p", "q")])
    row = ledger.open_row(0, 0, 0, 0b11, holders=2)
    assert isinstance(row, SharedRow)
    mine, yours = row.shares
    assert ledger.close(mine, 0b01, End.MISSED, "timeout") == 0
    assert ledger.close(yours, 0b01, End.LOST, "crash") == 0b01
    assert ledger.deliver(mine, 0b10) == 0b10
    assert ledger.deliver(yours, 0b10) == 0
    assert ledger.duplicates == 1
    assert ledger.balanced()
    assert (ledger.due, ledger.open, ledger.ended) == (2, 0, 2)
    assert ledger.by_cause(End.LOST) == {"crash": 1}
    assert (mine.open, yours.open) == (0, 0)


@pytest.mark.parametrize(
    ("first", "second", "holds"),
    [
        ((End.LOST, "crash"), (End.MISSED, "timeout"), (End.LOST, "crash")),
        ((End.MISSED, "timeout"), (End.LOST, "unseen"), (End.LOST, "unseen")),
        ((End.MISSED, "timeout"), (End.MISSED, "disconnected"), (End.MISSED, "disconnected")),
        ((End.CACHED, ""), (End.LOST, "end-of-run"), (End.CACHED, "")),
        ((End.DROPPED, "policy"), (End.EVICTED, "ttl"), (End.DROPPED, "policy")),
    ],
)
def test_a_point_that_all_have_given_up_ends_as_the_best_of_it(
    first: tuple[End, str], second: tuple[End, str], holds: tuple[End, str]
) -> None:
    ledger = Ledger(["a/1"], [("p",)])
    row = ledger.open_row(0, 0, 0, 1, holders=2)
    assert isinstance(row, SharedRow)
    ledger.close(row.shares[0], 1, *first)
    assert ledger.open == 1
    ledger.close(row.shares[1], 1, *second)
    assert ledger.ends == {(0, *holds): 1}
    assert not ledger.rows


def test_a_share_that_ends_twice_is_an_error() -> None:
    ledger = Ledger(["a/1"], [("p",)])
    row = ledger.open_row(0, 0, 0, 1, holders=2)
    assert isinstance(row, SharedRow)
    ledger.close(row.shares[0], 1, End.MISSED, "timeout")
    with pytest.raises(InvariantError, match="a/1 k=0 point p ended a second time"):
        ledger.close(row.shares[0], 1, End.MISSED, "timeout")


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_sound(name: str) -> None:
    preset = PRESETS[name]
    assert preset.source
    assert preset.model.jitter_ns <= preset.model.delay_ns
