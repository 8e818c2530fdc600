"""Files of exchanges that aren't whole, or aren't any."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.scenarios.exchanges.recordings import SHIPPED, field, recorded, replay, verdicts
from twinloop.components.host.exchange import LengthField
from twinloop.components.host.host import Host
from twinloop.scenarios.exchanges.lines import Exchange, frame_data, frame_of
from twinloop.scenarios.exchanges.reading import Recorded, _exchange
from twinloop.scenarios.text.errors import ScenarioError


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("whole") / "x.jsonl"
    own = Host()
    recorded(own, field(SHIPPED, ""), path)
    own.close()
    return path.read_bytes()


def test_a_file_that_breaks_off_is_read_as_far_as_it_goes(whole: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    ends = [whole.index(b'"end"') - 1, len(whole) - 40, len(whole) - 1000]
    for at in ends:
        path.write_bytes(whole[:at])
        found, calls = replay(SHIPPED, path)
        assert found.recorded.end == ""
        assert set(verdicts(calls)) == {"equal"}
        assert len(calls) >= 6


CHANGES: list[tuple[int, Any, str]] = [
    (1, {"twinloop": "trace"}, 'x.jsonl:1: expected a first line with "twinloop": "exchanges"'),
    (1, {"version": 2}, "x.jsonl:1: $.version: format 2; this twinloop reads format 1"),
    (1, {"epoch_ns": "today"}, "x.jsonl:1: $.epoch_ns: expected ns since 1970"),
    (2, {"terms": None}, "x.jsonl:2: the line of a place that can't be read"),
    (2, {"settings": {"device": "a", "points": [{}], "options": []}}, 'x.jsonl:2: "sentinels" is missing'),
    (3, {"call": "read_sensor"}, 'unknown function "read_sensor"; did you mean "read-sensor"'),
    (3, {"place": 7}, "no line before it describes place 7 (0 so far)"),
    (3, {"at_ns": 1.5}, "expected a whole number, got 1.5"),
    (3, {"cut": 5}, "$.cut: expected a text"),
    (5, {"bus": [{"op": "ask"}]}, '$.bus[0]: no exchange that can be read (unknown operation "ask"'),
    (5, {"bus": [{"op": "reset", "at_ns": 0}]}, '$.bus[0]: "after_ns" is missing'),
    (5, {"bus": {}}, "$.bus: expected a list of exchanges"),
    (5, {"call": None, "end": "never"}, "$.call: "),
]


@pytest.mark.parametrize(("line", "change", "said"), CHANGES)
def test_a_line_that_is_none_is_named(
    whole: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: int, change: Any, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    found = whole.splitlines()
    found[line - 1] = json.dumps(json.loads(found[line - 1]) | change).encode()
    Path("x.jsonl").write_bytes(b"\n".join(found) + b"\n")
    with pytest.raises(ScenarioError) as refused:
        list(Recorded(Path("x.jsonl")).calls())
    assert said in str(refused.value)
    assert str(refused.value).startswith(f"x.jsonl:{line}: ")
    assert "record it again" in str(refused.value) or "writes one" in str(refused.value)


@pytest.mark.parametrize("text", ["", "no JSON\n", "[]\n", "\0\0\0", '{"twinloop": 5}\n'])
def test_what_is_no_recording(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text(text)
    with pytest.raises(ScenarioError, match=r"x\.jsonl:1: "):
        Recorded(path)
    for other in (tmp_path, tmp_path / "nobody", Path("/dev/zero")):
        with pytest.raises(ScenarioError, match=r"it is no file|no such file"):
            Recorded(other)


def test_a_line_in_the_middle_that_is_no_json(whole: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(whole.replace(b'{"call":"read-sensor"', b'{"call":"read-sensor', 1))
    with pytest.raises(ScenarioError, match=r"x\.jsonl:5: no JSON: "):
        list(Recorded(path).calls())


FRAMES = st.one_of(
    st.just(("silence", None)),
    st.tuples(st.just("exactly"), st.integers(0, 1 << 16)),
    st.tuples(st.just("some"), st.integers(0, 1 << 16)),
    st.tuples(st.just("until"), st.binary(min_size=1, max_size=16)),
    st.tuples(
        st.just("length-field"),
        st.builds(
            LengthField, st.integers(0, 255), st.sampled_from((1, 2, 4, 8)), st.booleans(), st.integers(-9, 9)
        ),
    ),
)
ERRORS = st.sampled_from(
    [("timeout", None), ("disconnected", None), ("too-long", 65536), ("other", "no line")]
)


@given(
    st.sampled_from(("transact", "receive")),
    st.binary(max_size=40),
    FRAMES,
    st.integers(0, 1 << 62),
    st.one_of(st.none(), st.tuples(st.just(True), st.binary()), st.tuples(st.just(False), ERRORS)),
)
def test_an_exchange_is_read_as_it_was_written(
    op: str, asks: bytes, frame: Any, time_ns: int, gets: Any
) -> None:
    one = Exchange(op, asks if op == "transact" else b"", frame, time_ns, 5, gets, time_ns)
    assert _exchange(json.loads(json.dumps(one.data()))) == one
    assert frame_of(json.loads(json.dumps(frame_data(frame)))) == frame
