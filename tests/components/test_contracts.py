"""Two contracts side by side: what a batch of one is for a receiver of the other, and who is refused."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.plants import WASM
from twinloop.components.contract.contract import (
    CONTRACTS,
    IntegerReading,
    Origin,
    PointConfig,
    Reading,
    Settings,
    TextReading,
    as_integer,
    contract_interface,
)
from twinloop.components.host.batch import StageArguments, batch_bytes, batch_in, read_batch
from twinloop.components.host.component import ComponentRefused
from twinloop.components.host.host import Host
from twinloop.components.host.instance import Instance

OLD = Path(__file__).parent.parent / "guests" / "contract-0.1"
"""the shipped components of before 0.2, as they were committed"""
FUEL = 50_000_000
POINTS = [PointConfig(i, f"p{i}", "holding:0", "bar", 1.0, 0.0, None, None) for i in range(12)]
UNCERTAIN = 0x4000_0000
BAD = 0x8000_0000


@contextmanager
def normalizing(host: Host, folder: Path) -> Iterator[Instance]:
    linked = host.link(host.load(folder / "normalize.wasm", "transform"), ["log"])
    instance = host.instantiate(linked, {}, FUEL)
    instance.begin("configure", (Settings("", POINTS, []).of(linked.component.contract),), FUEL)
    instance.advance()
    assert instance.result().ok, instance.result()
    yield instance
    instance.close()


def through(first: Instance, second: Instance, batch: Any) -> tuple[Any, int]:
    """What the second transform makes of what the first one made of a batch, and how many were rounded."""
    first.begin("transform-readings", (Origin("d", 1), batch), FUEL)
    first.advance()
    lists = batch_in(first.result_at)
    assert lists is not None
    block = StageArguments("d")
    first.take_result(block.held)
    rounded = block.set_batch(1, lists, second.linked.knows_integers)
    assert second.call_at("transform-readings", block.word, FUEL) > 0
    assert second.fault is None
    found = batch_in(second.result_at)
    assert found is not None
    decoded = second.result().value
    in_place = read_batch(found)
    by_type = [tuple(one) for one in decoded.readings]
    by_type += [(one[0], one[1].value, *one[2:]) for one in getattr(decoded, "integers", ())]
    assert list(zip(*in_place[:4], strict=True)) == by_type
    assert [tuple(one) for one in in_place.texts] == [tuple(one) for one in decoded.texts]
    block.held.release()
    return in_place, rounded


whole = st.one_of(
    st.integers(-(1 << 63), (1 << 64) - 1),
    st.sampled_from([0, -1, 1 << 53, (1 << 53) + 1, -(1 << 53) - 1, (1 << 63) - 1, 1 << 63, (1 << 64) - 1, -(1 << 63)]),
)  # fmt: skip
statuses = st.sampled_from([0, BAD, 0x4094_0000])
instants = st.integers(0, 2**64 - 1)


@st.composite
def batches(draw: st.DrawFn) -> tuple[list[Reading], list[TextReading], list[IntegerReading]]:
    ids = draw(st.lists(st.integers(0, 11), unique=True))
    cut, other = sorted((draw(st.integers(0, len(ids))), draw(st.integers(0, len(ids)))))
    readings = [Reading(i, draw(st.floats(-1e9, 1e9)), draw(statuses), draw(instants)) for i in ids[:cut]]
    texts = [
        TextReading(i, draw(st.text(max_size=9)), draw(statuses), draw(instants)) for i in ids[cut:other]
    ]
    integers = [
        IntegerReading(i, as_integer(draw(whole)), draw(statuses), draw(instants)) for i in ids[other:]
    ]
    return readings, texts, integers


@settings(max_examples=150, deadline=None)
@given(batch=batches())
def test_integers_are_exact_from_0_2_to_0_2(host: Host, batch: Any) -> None:
    readings, texts, integers = batch
    with normalizing(host, WASM) as first, normalizing(host, WASM) as second:
        found, rounded = through(first, second, batch)
    rows = [*readings, *((one.point, one.value[1], one.status, one.measured) for one in integers)]
    assert rounded == 0
    assert list(zip(*found[:4], strict=True)) == [tuple(row) for row in rows]
    assert [type(value) for value in found.values] == [float] * len(readings) + [int] * len(integers)
    assert list(found.texts) == texts


@settings(max_examples=150, deadline=None)
@given(batch=batches())
def test_to_0_1_integers_are_readings_and_what_an_f64_rounds_is_uncertain(host: Host, batch: Any) -> None:
    readings, texts, integers = batch
    with normalizing(host, WASM) as first, normalizing(host, OLD) as second:
        assert not second.linked.knows_integers
        found, rounded = through(first, second, batch)
    lossy = [one for one in integers if int(float(one.value[1])) != one.value[1]]
    expected = [
        (
            one.point,
            float(one.value[1]),
            UNCERTAIN if one in lossy and not one.status else one.status,
            one.measured,
        )
        for one in integers
    ]
    assert rounded == len(lossy)
    assert list(zip(*found[:4], strict=True)) == [*map(tuple, readings), *expected]
    assert all(type(value) is float for value in found.values)
    assert list(found.texts) == texts


@settings(max_examples=80, deadline=None)
@given(batch=batches())
def test_from_0_1_there_are_no_integers(host: Host, batch: Any) -> None:
    readings, texts, _ = batch
    with normalizing(host, OLD) as first, normalizing(host, WASM) as second:
        found, rounded = through(first, second, (readings, texts))
    assert rounded == 0
    assert list(zip(*found[:4], strict=True)) == [tuple(one) for one in readings]
    assert list(found.texts) == texts


def test_how_large_a_batch_is_counts_its_integers(host: Host) -> None:
    """Canonical ABI: 32 bytes a reading, 32 and the text a text, an integer-reading 40 (2, a variant of 16
    at 8, 4, 8 at 32)."""
    batch = (
        [Reading(0, 1.0, 0, 0)],
        [TextReading(1, "grün", 0, 0)],
        [IntegerReading(i, as_integer(i), 0, 0) for i in (2, 3, 4)],
    )
    with normalizing(host, WASM) as instance:
        instance.begin("transform-readings", (Origin("d", 1), batch), FUEL)
        instance.advance()
        lists = batch_in(instance.result_at)
        assert lists is not None
        assert batch_bytes(lists) == 32 + 32 + 5 + 3 * 40


def test_settings_for_0_1_have_the_sentinels_in_the_address_as_then() -> None:
    point = PointConfig(7, "v", "input:0:u16:be", "V", 0.1, 0.0, None, 400.0, (0xFFFF, 0x8000))
    plain = PointConfig(8, "x", "coil:3", "", 1.0, 0.0, None, None)
    given = Settings("m/1", [point, plain], [("unit", "3")])
    assert given.of(CONTRACTS["0.2"]) is given
    assert given.of(CONTRACTS["0.1"]) == (
        "m/1",
        [
            (7, "v", "input:0:u16:be:nan=0xffff:nan=0x8000", "V", 0.1, 0.0, None, 400.0),
            (8, "x", "coil:3", "", 1.0, 0.0, None, None),
        ],
        [("unit", "3")],
    )


@pytest.mark.parametrize(
    ("name", "track"),
    [
        ("twinloop:gateway/driver@0.1.0", "0.1"), ("twinloop:gateway/driver@0.1.17", "0.1"), ("twinloop:gateway/clock@0.2.0", "0.2"),
        ("twinloop:gateway/driver@0.3.0", None), ("twinloop:gateway/driver@1.2.0", None), ("twinloop:gateway/driver", None),
        ("twinloop:gateway/driver@0.20.0", None), ("example:gateway/driver@0.1.0", None), ("twinloop:gateway/driver@0.1.0-rc1", None),
    ],
)  # fmt: skip
def test_which_versions_are_served(name: str, track: str | None) -> None:
    found = contract_interface(name)
    assert (found[1].track if found else None) == track


@pytest.mark.parametrize("version", ["0.3.0", "0.0.9", "1.0.0"])
def test_another_version_is_refused_with_what_changed(host: Host, version: str) -> None:
    """Of what it exports, and of what it imports."""
    data = (WASM / "route.wasm").read_bytes().replace(b"@0.2.0", f"@{version}".encode())
    with pytest.raises(
        ComponentRefused, match=r"0\.2\.x and 0\.1\.x of twinloop:gateway \(0\.2\.0 has integers of 64 bits"
    ):
        host.load(data, "policy")
    text = f'(component (import "twinloop:gateway/clock@{version}" (instance (export "now" (func (result u64))))))'
    with pytest.raises(
        ComponentRefused, match=r"which no gateway offers; this host serves 0\.2\.x and 0\.1\.x"
    ):
        host.load(text.encode(), "policy")


def test_an_interface_of_0_2_with_the_types_of_0_1_is_refused(host: Host) -> None:
    """What the WIT says of it counts, not its name."""
    data = (OLD / "route.wasm").read_bytes().replace(b"@0.1.0", b"@0.2.0")
    with pytest.raises(ComponentRefused, match="#configure: expected func"):
        host.load(data, "policy")
