"""Frames are cut in C as framing.py cuts them, and messages made as messages.py makes them."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.components.ways import compiled_part
from twinloop.components.host.exchange import LengthField
from twinloop.sim.accounts.rows import Row
from twinloop.sim.cloud import messages
from twinloop.sim.cloud.messages import Message
from twinloop.sim.field import framing

INTS = st.sampled_from((0, 1, 2, 3, 4, 5, 8, 255))
fields = st.builds(
    LengthField,
    INTS,
    st.sampled_from((2, 2, 2, 1, 4, 8, 3)),
    st.booleans() | st.just(True),
    st.sampled_from((0, 0, 2, -2, -6, 1 << 20, (1 << 31) - 1, -(1 << 31), 1 << 70)),
)
framings = st.one_of(
    st.tuples(st.just("length-field"), fields),
    st.tuples(st.just("length-field"), fields),
    st.tuples(st.just("exactly"), INTS),
    st.tuples(st.just("until"), st.binary(max_size=3)),
    st.tuples(st.just("some"), INTS),
    st.tuples(st.just("silence"), st.none()),
)


def engine() -> Any:
    found = compiled_part().engine
    found.bind_frames(framing.plain_cut_frame, framing.REPLY_BYTES_MAX)
    found.bind_messages(Message, Row, messages.crc32, messages.TLS_RECORD_BYTES)
    return found


@given(st.binary(max_size=24), framings)
def test_a_frame_is_cut_the_same(buffer: bytes, framed: Any) -> None:
    assert engine().cut_frame(buffer, framed) == framing.plain_cut_frame(buffer, framed)


@st.composite
def fields_and_frames(draw: st.DrawFn) -> tuple[bytes, Any]:
    """A length of two bytes that says something near what has come."""
    offset, adjust = draw(st.integers(0, 4)), draw(st.integers(-6, 6))
    length = draw(st.integers(0, 12))
    big_endian = draw(st.sampled_from((True, True, False)))
    order: Any = "big" if big_endian else "little"
    buffer = draw(st.binary(min_size=offset, max_size=offset)) + length.to_bytes(2, order)
    return buffer + draw(st.binary(max_size=16)), ("length-field", LengthField(offset, 2, big_endian, adjust))


def test_lengths_of_two_bytes_are_cut_the_same() -> None:
    ends: Counter[str] = Counter()

    @given(fields_and_frames())
    @settings(max_examples=300)
    def cut(both: tuple[bytes, Any]) -> None:
        found = engine().cut_frame(*both)
        assert found == framing.plain_cut_frame(*both)
        ends["too long" if found[1] else "not yet" if found[0] is None else "cut"] += 1

    cut()
    assert min(ends["too long"], ends["not yet"], ends["cut"]) > 10


@pytest.mark.parametrize("adjust", [1 << 70, -(1 << 70), (1 << 63) - 1, -(1 << 31), (1 << 31) - 1, -2])
@pytest.mark.parametrize("offset", [0, 1, 3, 4, (1 << 63) - 1, 1 << 70, -1])
@pytest.mark.parametrize("length", [0, 1, 5])
def test_ints_that_no_field_has_are_python_s(offset: int, adjust: int, length: int) -> None:
    buffer = length.to_bytes(2, "big") * 2 + b"x"
    given_: Any = (buffer, ("length-field", LengthField(offset, 2, True, adjust)))
    said = []
    for cut in (framing.plain_cut_frame, engine().cut_frame):
        try:
            said.append(str(cut(*given_)))
        except (IndexError, OverflowError) as error:
            said.append(type(error).__name__)
    assert said[0] == said[1]


@pytest.mark.parametrize("remaining", [127, 128, 16_383, 16_384, 2_097_151, 2_097_152])
def test_a_message_s_size_is_the_same_where_its_length_grows(remaining: int) -> None:
    given_: Any = Row(0, 0, 0, 1, 1), 1, 1, b"topic", bytes(remaining - 4 - 5)
    assert engine().message(*given_).size_bytes == Message(*given_).size_bytes


@pytest.mark.parametrize("come", [0, 5, 6, 7, 8, 9, 12, 70_000])
@pytest.mark.parametrize("length", [0, 1, 2, 3, 6, 65_530, 65_535])
def test_modbus_frames_are_cut_the_same(come: int, length: int) -> None:
    """Its header: the length of what follows, in two bytes at 4."""
    buffer = (b"\0\1\0\0" + length.to_bytes(2, "big") + bytes(range(256)) * 280)[:come]
    modbus: Any = ("length-field", LengthField(4, 2, True, 0))
    found = engine().cut_frame(buffer, modbus)
    assert found == framing.plain_cut_frame(buffer, modbus)
    if come >= 6:
        whole = 6 + length
        assert found == (
            (buffer[:whole] if come >= whole else None) if whole <= 65_536 else None,
            whole > 65_536,
        )


@given(
    st.binary(max_size=40),
    st.sampled_from((0, 1, 80, 90, 100, 16_340, 16_380, 2_097_100, 2_097_160)),
    st.integers(0, 1 << 80),
)
def test_a_message_is_the_same(topic: bytes, body_bytes: int, mask: int) -> None:
    row = Row(7, 1 << 33, 5, mask, 9)
    given_: Any = row, mask, 3, topic, bytes(body_bytes)
    one, other = Message(*given_), engine().message(*given_)
    assert type(other) is Message
    assert other.riding is None
    for name in Message.__slots__:
        assert getattr(one, name) == getattr(other, name), name
    assert other.row is row


def test_what_is_no_message_is_refused() -> None:
    row = Row(0, 0, 0, 1, 1)
    for wrong in ((), (row, 1, 1, "topic", b""), (row, 1, 1, b"", "body"), (None, 1, 1, b"", b"")):
        with pytest.raises((TypeError, AttributeError)):
            engine().message(*wrong)
    with pytest.raises(TypeError, match="2 arguments"):
        engine().cut_frame(b"")
