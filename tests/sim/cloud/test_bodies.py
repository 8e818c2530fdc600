"""Bodies of messages are the same bytes, whichever way they are written."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.components.ways import compiled_part
from twinloop.components.contract.contract import PointConfig
from twinloop.components.host.batch import Batch, TextReading
from twinloop.sim.cloud.messages import Body

POINTS = [
    PointConfig(i, name, "holding/0/u16", "", 1.0, 0.0, 0.0, 1.0)
    for i, name in ((3, "t"), (4, "100 %"), (900, "é"))
]
IDS = tuple(point.id for point in POINTS)
rows = st.tuples(
    st.one_of(st.floats(), st.floats(-1e5, 1e5), st.integers(-(1 << 63), (1 << 64) - 1)),
    st.sampled_from([0, 0, 0, 0x8000_0000]),
    st.sampled_from([5, 5, 5, (1 << 64) - 1]),
)


@settings(max_examples=500, deadline=None)
@given(
    st.lists(rows, min_size=3, max_size=3),
    st.sampled_from([IDS, IDS, IDS, IDS[::-1], (3, 3, 4)]),
    st.sampled_from([3, 3, 3, 2]),
    st.integers(0, 1 << 50),
    st.booleans(),
)
def test_both_ways_write_the_same(
    rows: list[Any], ids: tuple[int, ...], count: int, k: int, text: bool
) -> None:
    values, statuses, times = (column[:count] for column in zip(*rows, strict=True))
    texts = (TextReading(3, "on", 0, 5),) if text else ()
    batch = Batch(ids[:count], values, statuses, times, texts)
    bodies = [Body(POINTS, engine).of("d/ü 1", k, batch) for engine in (None, compiled_part().engine)]
    assert bodies[0] == bodies[1]
    assert json.loads(bodies[0])["seq"] == k


def test_what_isnt_well_is_left_to_python() -> None:
    """So that the twin's words are the only ones."""
    quick = compiled_part().engine.AllWell(IDS, ('"a":', '"b":', '"c":')).of
    well = Batch(IDS, (1.0, 2.5, -0.1), (0, 0, 0), (7, 7, 7), ())
    assert quick("d", 1, well) == b'{"device":"d","seq":1,"t":7,"values":{"a":1.0,"b":2.5,"c":-0.1}}'
    for wrong in (
        well._replace(values=(1.0, float("nan"), 2.0)), well._replace(values=(1.0, float("inf"), 2.0)),
        well._replace(values=(1, 2.0, 3.0)), well._replace(statuses=(0, 1, 0)), well._replace(times=(7, 8, 7)),
        well._replace(times=(7, 7)), well._replace(points=IDS[::-1]), well._replace(texts=(1,)), (), None,
    ):  # fmt: skip
        assert quick("d", 1, wrong) is None
    for bad in ((), ("d", 1), (b"d", 1, well), ("d", "1", well)):
        with pytest.raises(TypeError):
            quick(*bad)
    with pytest.raises(TypeError):
        compiled_part().engine.AllWell(IDS, ('"a":',))
