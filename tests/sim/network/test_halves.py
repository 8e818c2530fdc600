"""A direction of a stream in C does what Python's does: the same draws, arrivals, timers, order and counts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import astuple
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.components.ways import compiled_part
from twinloop.components.native.choice import CHOICE
from twinloop.sim.kernel import clock
from twinloop.sim.kernel.random import RandomStreams
from twinloop.sim.network import link as links
from twinloop.sim.network import tcp
from twinloop.sim.network.half import Half, Segment
from twinloop.sim.network.link import Figures, Link, LinkModel
from twinloop.sim.network.rule import DROP, PASS, Delay

MS = 1_000_000


class Halves:
    """One of the two: its environment, half and way."""

    def __init__(self, engine: Any) -> None:
        self.env = clock.PURE.Environment if engine is None else clock.compiled(engine).Environment
        self.figures = Figures if engine is None else engine.Figures
        self.way = type("OtherWay", (self.figures,), own(links.Way))
        self.half = Half if engine is None else type("OtherHalf", (engine.Half,), {"__slots__": ()})
        if engine is not None:
            tcp.bind(engine, self.half, self.way)


def own(way: type) -> dict[str, Any]:
    """What a Way has beside its figures, for a class over others."""
    slots = dict.fromkeys(("_bad", "_coins", "_last_loss", "leg", "second", "up", "via"))
    return {name: found for name, found in vars(way).items() if name not in slots and name != "__doc__"}


@pytest.fixture(scope="module")
def both() -> Iterator[tuple[Halves, Halves]]:
    engine = compiled_part().engine
    yield Halves(None), Halves(engine)
    if CHOICE.engine is not None:
        tcp.bind(CHOICE.engine, tcp._Half, links.Way)


class Rules:
    """Says something else of every packet in turn."""

    def __init__(self, verdicts: list[Any]) -> None:
        self.verdicts, self.asked = verdicts, 0

    def on_packet(self, packet: Any, now_ns: int) -> Any:
        self.asked += 1
        return self.verdicts[self.asked % len(self.verdicts)]


class Ledger:
    due = open = ended = 0

    def require_balance(self) -> None: ...


class Stream(tcp.TcpStream):
    """Nobody shakes hands."""

    __slots__ = ()

    def __init__(self, env: Any, broke: list[int]) -> None:
        self.env, self.user_timeout_ns, self.broken, self.open = env, 900 * MS, False, True
        self.troubled = None
        self.lost = lambda: broke.append(env.now)


models = st.builds(
    LinkModel,
    delay_ns=st.integers(0, 300 * MS),
    jitter_ns=st.sampled_from([0, 0, 1, 50 * MS, 1 << 40]),
    loss=st.sampled_from([0.0, 0.0, 0.3, 1.0]),
    rate_bps=st.sampled_from([0, 0, 9_600, 1_000_000]),
    queue_bytes=st.sampled_from([1 << 20, 100]),
    corrupt=st.sampled_from([0.0, 0.0, 0.0, 0.4]),
)
sends = st.tuples(
    st.integers(0, 800 * MS),  # when
    st.one_of(st.integers(0, 200), st.integers(0, 4000)),  # how many bytes
    st.sampled_from([0, 0, 0, 5 * MS]),  # in how long it leaves
    st.sampled_from([1 << 62, 1 << 62, 100 * MS]),  # by when it should come
    st.sampled_from(["send"] * 6 + ["nothing", "degrade", "rule", "break", "answer"]),
)


def played(
    of: Halves, model: LinkModel, other: LinkModel, given: list[tuple[int, int, int, int, str]]
) -> list[Any]:
    """All that anybody can see of it."""
    env, log, broke = of.env(), list[Any](), list[int]()
    link = Link("l", model, RandomStreams(7))
    way = of.way(link, "leg", True)
    stream = Stream(env, broke)
    half: Any = None

    def came(payload: Any) -> None:
        log.append((env.now, payload, len(half.flight)))
        if payload[1] == "answer":
            half.send((payload[0], "again"), 10, env.now)
        elif payload[1] == "break":
            stream.break_off()

    def act(number: int, size: int, in_ns: int, by_ns: int, what: str) -> None:
        if what == "degrade":
            link.model = other
        elif what == "rule":
            link.rules.append(Rules([PASS, DROP, Delay(7)]))  # type: ignore[arg-type]
        elif not stream.broken:
            payload = None if what == "nothing" else (number, what)
            log.append(half.send(payload, size, env.now + in_ns, min(1 << 62, env.now + by_ns)))

    half = of.half(stream, way, came)
    stream.troubled = lambda: log.append((env.now, "troubled"))
    for number, (at_ns, *rest) in enumerate(given):
        env.call_at(at_ns, act, number, *rest)
    log.append(env.run_to(1 << 61, Ledger(), 5000))
    flight = [(one.payload, one.first_ns, one.sent_ns, one.arrived) for one in half.flight]
    return [*log, broke, flight, half.retransmitted, astuple(way.stats), way.busy_until(env.now), env.now]


@settings(max_examples=400, deadline=None)
@given(model=models, other=models, given_=st.lists(sends, max_size=12))
def test_random_streams_go_the_same_way(
    both: tuple[Halves, Halves],
    model: LinkModel,
    other: LinkModel,
    given_: list[tuple[int, int, int, int, str]],
) -> None:
    pure, compiled = (played(one, model, other, given_) for one in both)
    assert compiled == pure


class Tapped:
    """Steps that a subclass does in its own way are asked of it."""

    def __init__(self, of: Halves) -> None:
        log = self.log = list[str]()

        class Mine(of.half):  # type: ignore[misc, name-defined]
            def send(self, payload: Any, size: int, at_ns: int, by_ns: int = 1 << 62) -> Any:
                log.append(f"send {size}")
                return super().send(payload, size, at_ns, by_ns)

            def leave(self, segment: Any, by_ns: int) -> None:
                log.append("leave")
                super().leave(segment, by_ns)

            def retry(self, segment: Any) -> None:
                log.append("retry")
                super().retry(segment)

            def _attempt(self, segment: Any) -> None:
                log.append("attempt")
                super()._attempt(segment)

        class Lossy(of.way):  # type: ignore[misc, name-defined]
            def transit(self, size: int, now_ns: int) -> int:
                log.append(f"transit {size}")
                return super().transit(size, now_ns) if log.count(f"transit {size}") > 2 else 1 << 62

        env = of.env()
        way = Lossy(Link("l", LinkModel(delay_ns=5), RandomStreams(1)), "leg", True)
        half = Mine(Stream(env, []), way, log.append)
        half.send("one", 1500, env.now)
        half.send("two", 10, env.now + 3)
        env.run_to(1 << 61, Ledger(), 500)


def test_a_subclass_is_asked(both: tuple[Halves, Halves]) -> None:
    logs = [Tapped(one).log for one in both]
    assert logs[0] == logs[1]
    assert {"leave", "retry", "attempt", "one", "two"} <= {*logs[0]}


def test_wrong_arguments_are_errors_in_c(both: tuple[Halves, Halves]) -> None:
    of = both[1]
    env = of.env()
    way = of.way(Link("l", LinkModel(delay_ns=5), RandomStreams(1)), "leg", True)
    half = of.half(Stream(env, []), way, print)
    for call in (
        half.send, lambda: half.send(1, 2), lambda: half.leave(1, 2), lambda: half.retry(None),
        lambda: half._attempt(1), lambda: way.transit(1), lambda: way.transit(1, "2"), lambda: of.half(1, 2),
        lambda: of.half(Stream(both[0].env(), []), way, print),
    ):  # fmt: skip
        with pytest.raises(TypeError):
            call()
    for size in (-1, 1 << 30):
        with pytest.raises(OverflowError):
            way.transit(size, 0)
    with pytest.raises(TypeError):
        type(half.send(None, 1, 0) and half.flight[0])()
    assert not isinstance(half.flight[0], Segment)
    with pytest.raises(TypeError):
        compiled_part().engine.bind_streams(int, int, int, int, 1, 1)
