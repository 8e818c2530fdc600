"""What a point's node shows as bytes is what asyncua's encoder makes of it."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from asyncua import ua
from asyncua.ua.ua_binary import struct_to_binary
from hypothesis import example, given
from hypothesis import strategies as st

from twinloop.devices.model.nodes import NodeValue
from twinloop.devices.model.statuses import STATUS_CODES
from twinloop.devices.opcua.items import BOTH, NEITHER, SERVER, SOURCE, with_times
from twinloop.devices.opcua.shown import KINDS, DateTimes, Shown, Unpackable

WANTED = (SOURCE, SERVER, BOTH, NEITHER)
EPOCHS = st.integers(-13_000_000_000, 260_000_000_000).map(lambda second: second * 1_000_000_000)
"""before OPC UA's DateTime begins, and behind its end"""
INSTANTS = st.integers(-10_000_000_000, 1 << 62)
STATUSES = st.sampled_from(sorted({0, *STATUS_CODES.values()})) | st.integers(0, (1 << 32) - 1)
WHOLE = st.integers(-(1 << 65), 1 << 65)
FLOATS = st.floats(width=32) | st.floats()


def outcome(make: Any) -> Any:
    """Bytes, or how it failed: asyncua's UaError and ours are the same, others are told by their type."""
    try:
        return make()
    except (ua.UaError, Unpackable, struct.error):
        return "can't be written"
    except (ValueError, OverflowError) as failure:
        return type(failure)


@given(
    st.sampled_from(sorted(KINDS)),
    WHOLE | FLOATS,
    STATUSES,
    INSTANTS,
    INSTANTS,
    EPOCHS,
    st.sampled_from(WANTED),
)
@example("Float", 1e300, 0, 0, 0, 0, BOTH)
@example("Int16", float("nan"), 0, 0, 0, 0, BOTH)
@example("Int16", float("nan"), 0x80000000, 0, 0, 0, BOTH)
@example("Int16", float("inf"), 0, 0, 0, 0, SOURCE)
@example("UInt16", 65536, 0, 0, 0, 0, SERVER)
@example("Double", -0.0, 0x40000000, 1, 2, 3, NEITHER)
def test_bytes_are_those_of_asyncuas_encoder(
    name: str, value: Any, status: int, source_ns: int, now_ns: int, epoch_ns: int, wanted: int
) -> None:
    told = NodeValue(value, status, source_ns)
    node = Shown(0, KINDS[name], lambda index: (told, now_ns), DateTimes(epoch_ns))
    assert outcome(lambda: node.packed(wanted)) == outcome(
        lambda: struct_to_binary(with_times(node(None, None), wanted))
    )


def test_every_type_has_values_that_are_written() -> None:
    for name, kind in KINDS.items():
        node = Shown(0, kind, lambda index: (NodeValue(1.0, 0, 5), 7), DateTimes(0))
        for wanted in WANTED:
            said = node.packed(wanted)
            assert said == struct_to_binary(with_times(node(None, None), wanted)), name
            assert said[1] == getattr(ua.VariantType, name).value


@given(EPOCHS, st.lists(st.integers(0, 3) | INSTANTS, max_size=12))
def test_an_instant_is_the_same_however_often_it_is_asked_for(epoch_ns: int, instants: list[int]) -> None:
    times = DateTimes(epoch_ns)
    for at_ns in instants:
        ticks = (epoch_ns + at_ns) // 1000 * 10 + 116_444_736_000_000_000
        moment = ua.win_epoch_to_datetime(ticks)
        assert times.both(at_ns) == (moment, ua.datetime_to_win_epoch(moment))
        assert times.of(at_ns) == moment


def test_a_number_that_is_none_of_its_type_is_named() -> None:
    node = Shown(0, KINDS["UInt16"], lambda index: (NodeValue(65536.0, 0, 0), 0), DateTimes(0))
    with pytest.raises(Unpackable, match="65536 as UInt16"):
        node.packed(BOTH)
