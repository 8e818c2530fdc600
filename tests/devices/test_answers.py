"""Plain reads that the compiled part answers are answered as server.py does, byte by byte, and all else is left to
it: whatever comes, in whatever pieces, whatever is wrong with the device."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.components.ways import compiled_part
from twinloop.devices.modbus.answers import COMPILED
from twinloop.devices.modbus.server import ModbusServer
from twinloop.devices.model.device import Device, DeviceModel
from twinloop.devices.model.fleet import Pass
from twinloop.devices.model.misbehaviour import Misbehaviour
from twinloop.devices.model.overlay import ValueFault
from twinloop.devices.model.points import Point
from twinloop.devices.model.profile import Profile
from twinloop.devices.model.signal import Signal
from twinloop.devices.model.stepper import TAKEN, take

S = 1_000_000_000
MOVES = Signal("ramp", level=10.0, swing=5.0, period=7, noise=0.5)


@pytest.fixture(scope="module", autouse=True)
def _taken() -> Iterator[None]:
    before = TAKEN.signals
    take(compiled_part().signals)
    yield
    take(before)


def model(kind: str) -> DeviceModel:
    """plain, or one of those that the compiled part leaves alone."""
    points = [
        Point("a", "holding", 100, signal=MOVES),
        Point("b", "holding", 101, "f32", signal=MOVES),
        Point("w", "holding", 110, writable=True),
        Point("i", "input", 0, "u32", signal=MOVES),
        Point("c", "coil", 3, writable=True),
    ]
    profile = Profile(read_max=4) if kind == "reads few" else Profile(holes=kind == "holes")
    return DeviceModel(
        "m", "a test's", "ours", ("modbus-tcp",), tuple(points), {("holding", 120): 7},
        profile=profile,
    )  # fmt: skip


class Mannered(ModbusServer):
    """As servers with manners are: of a class of its own."""

    __slots__ = ()

    def beside(self, unit_id: int | None = None) -> Mannered:
        return Mannered(self.device, self, unit_id)


class Served:
    """A device, its server, and what its witness was told."""

    def __init__(self, kind: str, witnessed: bool) -> None:
        self.device = Device(model(kind), "m/1", 5, 77)
        if kind == "fleet":  # whose registers lie in memory that is all of theirs
            together = Pass(self.device.model, [77, 78])
            self.device = Device(
                self.device.model, "m/1", 5, 77, image=together.images[0], move=together.move
            )
            assert isinstance(self.device.image.raw["holding"], memoryview)
        self.server = (Mannered if kind == "mannered" else ModbusServer)(self.device)
        self.told: list[object] = []
        if witnessed:
            self.server.witnesses = (self.told.append, lambda told: self.told.append(("again", told)))
        self.over: list[Any] = []

    def do(self, what: str, *rest: Any) -> object:
        if what == "ask":
            return self.server.respond_tcp(*rest)
        if what == "lie":
            self.over.append(self.device.lie(ValueFault("force", rest[0], by=3.0), rest[1]))
        elif what == "fault":
            self.over.append(self.server.misbehave(Misbehaviour(rest[0], 3, 1, 0.5)))
        elif what == "over" and self.over:
            self.over.pop()()
        elif what == "beside":
            told, self.server = self.server.witnesses, self.server.beside()
            self.server.witnesses = told
        elif what == "reset":
            self.server.reset()
        return None

    def state(self) -> list[object]:
        image = self.device.image
        return [
            self.told, self.device._step, {name: bytes(raw) for name, raw in image.raw.items()}, image.now_ns,
            self.server._buffer, self.server.untouched, self.server.slow_ns,
        ]  # fmt: skip


def read(code: int, start: int, count: int, unit: int = 5, transaction: int = 1) -> bytes:
    return (
        transaction.to_bytes(2, "big")
        + b"\0\0\0\6"
        + bytes((unit, code))
        + start.to_bytes(2, "big")
        + count.to_bytes(2, "big")
    )


instants = st.sampled_from((S, 3 * S, 3 * S + 1, 2 * S, 5 * S, 0, 1, -S, -3 * S - 1, 1 << 40, 1 << 70))
usual = st.builds(
    read,
    st.sampled_from((3, 4)),
    st.sampled_from((100, 101, 102, 110, 0, 1)),
    st.integers(1, 12),
    transaction=st.integers(0, 65535),
)
reads = st.builds(
    read,
    st.sampled_from((3, 4, 1, 6, 0x83)),
    st.sampled_from((100, 101, 110, 99, 120, 121, 0, 1, 3, 65535)),
    st.sampled_from((1, 2, 3, 11, 20, 21, 22, 0, 125, 126, 65535)),
    st.sampled_from((5, 1)),
    st.integers(0, 65535),
)
others = st.one_of(
    reads,
    reads.map(lambda one: one[:7]),
    reads.map(lambda one: one[7:]),
    st.tuples(reads, reads).map(b"".join),
    reads.map(lambda one: one[:2] + b"\0\1" + one[4:]),
    st.binary(max_size=14),
    st.just(bytes.fromhex("000100000006") + bytes((5, 6, 0, 110, 1, 2))),
)
troubles = st.one_of(
    st.tuples(st.just("lie"), st.sampled_from((0, 1, 3)), instants),
    st.tuples(st.just("fault"), st.sampled_from(("slow", "exception", "wrong-unit", "silent"))),
    st.tuples(st.just("over")),
    st.tuples(st.just("reset")),
    st.tuples(st.just("beside")),
)
ONE_OF_TEN: tuple[Any, ...] = (*("usual",) * 6, "other", "other", "trouble", "over")
deeds = st.sampled_from(ONE_OF_TEN).flatmap(
    lambda what: {
        "usual": st.tuples(st.just("ask"), usual, instants),
        "other": st.tuples(st.just("ask"), others, instants),
        "trouble": troubles,
        "over": st.just(("over",)),
    }[what]
)
KINDS = "plain", "fleet", "plain too", "holes", "reads few", "mannered"
"""the first three are the compiled part's"""


def taken_both_ways(kind: str, witnessed: bool, history: list[tuple[Any, ...]]) -> tuple[list[object], int]:
    """What is said and done with the compiled part, which must be what is without; how often it answered."""
    ours, plain = Served(kind, witnessed), Served(kind, witnessed)
    by_c, compiled = 0, COMPILED.read
    assert compiled is not None

    def counted(*given_: Any) -> Any:
        nonlocal by_c
        found = compiled(*given_)
        by_c += found is not None
        return found

    said: list[object] = []
    for deed in history:
        COMPILED.read = counted
        said.append(ours.do(*deed))
        COMPILED.read = None
        try:
            assert plain.do(*deed) == said[-1]
        finally:
            COMPILED.read = compiled
    assert ours.state() == plain.state()
    return said, by_c


def test_whatever_comes_is_answered_the_same() -> None:
    answered = dict.fromkeys(KINDS, 0)

    @given(st.sampled_from(KINDS), st.booleans(), st.lists(deeds, min_size=1, max_size=12))
    @settings(max_examples=100)
    def comes(kind: str, witnessed: bool, history: list[tuple[Any, ...]]) -> None:
        answered[kind] += taken_both_ways(kind, witnessed, history)[1]

    comes()
    assert sum(answered[kind] for kind in KINDS[:3]) > 25, "the compiled part was asked, and has answered"
    assert [answered[kind] for kind in KINDS[3:]] == [0, 0, 0]


MOVING = [("ask", read(3, 100, 3), k * S // 2) for k in (4, 5, 5, 9, 2, -9, 0)]


@pytest.mark.parametrize("kind", KINDS[:3])
def test_registers_that_move_are_answered_in_c(kind: str) -> None:
    """At each instant, forwards and backwards, after a lie and a fault that are over, to witnesses, too."""
    said, by_c = taken_both_ways(kind, True, MOVING)
    assert by_c == len(MOVING)
    assert len({str(one) for one in said}) > 3
    over = [("lie", 0, S), ("ask", read(3, 100, 3), 2 * S), ("over",), ("fault", "slow"), ("over",), *MOVING]
    assert taken_both_ways(kind, True, over)[1] == len(MOVING)
    assert taken_both_ways(kind, False, [("beside",), *MOVING, ("beside",), *MOVING])[1] == 2 * len(MOVING)


def test_witnesses_may_come_and_go_while_they_are_told() -> None:
    served = Served("plain", False)

    def goes(told: object) -> None:
        served.server.witnesses = ()
        served.told.append(told)

    served.server.witnesses = (goes, served.told.append)
    compiled: Any = COMPILED.read
    assert compiled(served.server, read(3, 110, 1), S) is not None
    assert len(served.told) == 2


def test_a_plain_read_is_answered_in_c_and_no_other() -> None:
    ask = ("ask", read(3, 110, 1), S)
    assert taken_both_ways("plain", True, [ask]) == ([[bytes.fromhex("000100000005050302") + b"\0\0"]], 1)
    for kind in KINDS[3:]:
        assert taken_both_ways(kind, False, [ask])[1] == 0, kind
    for request in (
        read(3, 110, 1, unit=4),
        read(3, 99, 1),
        read(3, 120, 2),
        read(1, 3, 1),
        read(3, 100, 126),
    ):
        assert taken_both_ways("plain", False, [("ask", request, S)])[1] == 0
    for before in (("lie", 0, S), ("fault", "silent"), ("ask", b"\0", 0)):
        assert taken_both_ways("plain", False, [before, ask])[1] == 0, before
    assert taken_both_ways("plain", False, [("lie", 0, S), ("over",), ask])[1] == 1


def test_an_error_of_a_step_or_a_witness_comes_out() -> None:
    compiled: Any = COMPILED.read

    def fails(*given_: object) -> None:
        raise KeyError("ours")

    served = Served("plain", False)
    served.server.witnesses = (fails,)
    with pytest.raises(KeyError):
        compiled(served.server, read(3, 100, 1), S)
    served = Served("plain", False)
    served.device._move = fails
    with pytest.raises(KeyError):
        compiled(served.server, read(3, 100, 1), 5 * S)
    with pytest.raises(TypeError, match="arguments"):
        compiled(served.server)
    assert compiled(None, read(3, 100, 1), S) is None
    assert compiled(served.server, bytearray(read(3, 100, 1)), S) is None
