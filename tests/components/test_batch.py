"""Values where they lie: what batch.py reads and writes by layout is what codec.py does by type."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from ctypes import addressof, c_uint64
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.components.ways import compiled_part
from tests.plants import WASM
from twinloop.components.contract.contract import (
    LinkState,
    Origin,
    PointConfig,
    Reading,
    Settings,
    TextReading,
)
from twinloop.components.host.batch import StageArguments, StageWords, batch_in, forward_lane, read_batch
from twinloop.components.host.host import Host
from twinloop.components.host.instance import Instance

FUEL = 10_000_000
POINTS = [PointConfig(i, f"p{i}", "holding:0", "bar", 1.0, 0.0, 0.0, 100.0) for i in range(12)]


@contextmanager
def open_stage(host: Host, name: str, role: str, options: list[tuple[str, str]]) -> Iterator[Instance]:
    instance = host.instantiate(host.link(host.load(WASM / f"{name}.wasm", role), ["log"]), {}, FUEL)
    instance.begin("configure", (Settings("", POINTS, options),), FUEL)
    instance.advance()
    assert instance.result().ok, instance.result()
    yield instance
    instance.close()


readings = st.lists(
    st.builds(
        Reading,
        st.integers(0, 11),
        st.floats(0, 100),
        st.sampled_from([0, 0x80000000, 0x40940000]),
        st.integers(0, 2**64 - 1),
    ),
    max_size=12,
    unique_by=lambda reading: reading.point,
)
texts = st.lists(
    st.builds(
        TextReading,
        st.integers(0, 11),
        st.text(max_size=20),
        st.integers(0, 2**32 - 1),
        st.integers(0, 2**64 - 1),
    ),
    max_size=3,
)


@settings(max_examples=60, deadline=None)
@given(readings=readings, texts=texts)
def test_a_batch_reads_the_same_in_place_and_by_type(
    host: Host, readings: list[Reading], texts: list[TextReading]
) -> None:
    with open_stage(host, "normalize", "transform", []) as stage:
        stage.begin("transform-readings", (Origin("d", 1), (readings, texts, [])), FUEL)
        stage.advance()
        decoded = stage.result().value
        lists = batch_in(stage.result_at)
        assert lists is not None
        assert lists[0] == len(readings)
        assert lists[2] == len(texts)
        in_place = read_batch(lists)
        assert (
            list(zip(*in_place[:4], strict=True))
            == [tuple(reading) for reading in decoded.readings]
            == [tuple(reading) for reading in readings]
        )
        assert (
            [tuple(text) for text in in_place.texts]
            == [tuple(text) for text in decoded.texts]
            == [tuple(text) for text in texts]
        )


@pytest.mark.parametrize("count", [0, 1, 500, 501, 700])
def test_a_batch_of_any_length(host: Host, count: int) -> None:
    points = [PointConfig(i, f"p{i}", "holding:0", "", 1.0, 0.0, None, None) for i in range(count)]
    instance = host.instantiate(
        host.link(host.load(WASM / "normalize.wasm", "transform"), ["log"]), {}, 100 * FUEL
    )
    instance.begin("configure", (Settings("", points, []),), 100 * FUEL)
    instance.advance()
    assert instance.result().ok
    instance.begin(
        "transform-readings",
        (Origin("d", 1), ([Reading(i, float(i), 0, 7) for i in range(count)], [], [])),
        100 * FUEL,
    )
    instance.advance()
    lists = batch_in(instance.result_at)
    assert lists is not None
    assert read_batch(lists).points == tuple(range(count))
    instance.close()


def test_argument_blocks_are_what_the_codec_writes(host: Host) -> None:
    batch = ([Reading(3, 1.5, 0, 7)], [], [])
    state = LinkState(True, 11, 12, 13, 0.5)
    with (
        open_stage(host, "normalize", "transform", []) as transform,
        open_stage(host, "route", "policy", [("down", "drop"), ("lane", "2")]) as policy,
    ):
        transform.begin("transform-readings", (Origin("presses/1", 5), batch), FUEL)
        transform.advance()
        block = StageArguments("presses/1")
        lists = batch_in(transform.result_at)
        assert lists is not None
        transform.take_result(block.held)
        assert block.set_batch(5, lists, policy.linked.knows_integers) == 0
        block.set_link(*state)
        policy.begin("decide", (Origin("presses/1", 5), batch, state), FUEL)
        fuel_typed = policy.advance()
        typed = policy.result()
        policy.begin("decide", (), FUEL, block.word)
        assert policy.advance() == fuel_typed
        assert policy.result() == typed
        assert forward_lane(policy.result_at) == 2
        block.set_link(False, 0, 0, 0, 0.0)
        assert policy.call_at("decide", block.word, FUEL) > 0
        assert policy.result().value[0].tag == "drop"
        assert forward_lane(policy.result_at) == -1
        block.held.release()
        block.held.release()


def test_strings_numbers_and_nothing_survive_both_ways(host: Host) -> None:
    """settings hold nested lists, tuples, options, strings: the guest reads them all and names the option it
    refuses."""
    instance = host.instantiate(host.link(host.load(WASM / "route.wasm", "policy"), []), {}, FUEL)
    points = [PointConfig(0, "grüß", "holding:0", "°C", -1.5, 2.0**60, None, float("inf"))]
    instance.begin("configure", (Settings("gerät/1", points, [("bögus", "1")]),), FUEL)
    instance.advance()
    assert instance.result() == (False, ("unknown-option", "bögus"))
    instance.close()


@pytest.mark.parametrize("value", [("holding",), (1, 2, 3)])
def test_values_of_a_wrong_shape_are_refused_before_the_call(host: Host, value: tuple[object, ...]) -> None:
    instance = host.instantiate(host.link(host.load(WASM / "route.wasm", "policy"), []), {}, FUEL)
    instance.begin("configure", value, FUEL)
    with pytest.raises((TypeError, ValueError, AttributeError)):
        instance.advance()
    instance.close()


@given(
    st.integers(0, (1 << 64) - 2),
    st.tuples(*[st.sampled_from((0, 0, 3))] * 7),
    st.booleans(),
    st.tuples(st.booleans(), *[st.integers(0, (1 << 63) - 1)] * 3, st.floats(0, 1)),
)
def test_words_in_c_are_written_the_same(
    sequence: int, lists: Any, knows_integers: bool, link: tuple[bool, int, int, int, float]
) -> None:
    """Batches that have to be made anew are Python's both ways: here it only says that it was asked."""
    compiled = compiled_part().crossing
    compiled.bind_stage(StageWords.set_batch)
    written = []
    try:
        for words in (StageWords(), type("Words", (compiled.StageWords,), {})()):
            place = (c_uint64 * 64)()
            words._fields_at, words._sequence_at = addressof(place), addressof(place) + 16
            words._link_at = addressof(place) + 24
            rare = (knows_integers and not lists[6]) or (not knows_integers and lists[5])
            if rare:
                compiled.bind_stage(lambda *asked: asked[1:])
                asked = (sequence, lists, knows_integers)
                assert type(words) is StageWords or words.set_batch(*asked) == asked
            else:
                assert words.set_batch(sequence, lists, knows_integers) == 0
            words.set_link(*link)
            written.append(bytes(place))
    finally:
        compiled.bind_stage(StageWords.set_batch)
    assert written[0] == written[1]
    assert any(written[0]) or not (sequence or any(lists) or any(link))


def test_words_in_c_refuse_what_are_none() -> None:
    compiled_part().crossing.bind_stage(StageWords.set_batch)
    words, place = compiled_part().crossing.StageWords(), (c_uint64 * 64)()
    with pytest.raises(RuntimeError, match="where"):
        words.set_batch(1, (0,) * 7, False)
    with pytest.raises(RuntimeError, match="where"):
        words.set_link(True, 0, 0, 0, 0.0)
    words._fields_at = words._sequence_at = words._link_at = addressof(place)
    for wrong in ((), (1, (1,), True), (-1, (0,) * 7, False), ("k", (0,) * 7, False)):
        with pytest.raises((TypeError, OverflowError)):
            words.set_batch(*wrong)
    for wrong in (
        (),
        (True, -1, 0, 0, 0.0),
        (True, 0, 1.5, 0, 0.0),
        (True, 0, 0, 0, "full"),
        (True, 0, 0, 0, 1e300),
    ):
        with pytest.raises((TypeError, OverflowError)):
            words.set_link(*wrong)
