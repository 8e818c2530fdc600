"""``observe``: topics, paths into payloads, and which message says which sample."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.scenarios.wire.test_judge import SCENARIO, observed, read
from twinloop.components.host.host import Host
from twinloop.devices.model.overlay import ValueFault
from twinloop.devices.model.statuses import STATUS_CODES
from twinloop.scenarios.cli.main import main
from twinloop.scenarios.file.load import load_text
from twinloop.scenarios.judging.verdict import Verdict
from twinloop.scenarios.planning.plan import Planner
from twinloop.scenarios.wire.json_path import NOTHING, SEVERAL, json_path, with_point
from twinloop.scenarios.wire.observation import Observation, counted
from twinloop.sim.accounts.rows import End

MEASURED = {
    "readings": [
        {"name": "flow", "v": 1.5},
        {"name": "it's", "v": 2.5},
        {"name": "twice", "v": 3},
        {"name": "twice", "v": 4},
    ]
}


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("$.readings[?@.name == 'flow'].v", 1.5),
        ("$.readings[-1].v", 4),
        ("$['readings'][0]['name']", "flow"),
        ("$.readings[?@.name == 'twice'].v", SEVERAL),
        ("$..v", SEVERAL),
        ("$.readings[?@.name == 'none'].v", NOTHING),
        ("$.readings[9].v", NOTHING),
        ("$.readings.name", NOTHING),
    ],
)
def test_a_path_leads_to_one_value(path: str, found: object) -> None:
    """RFC 9535, sections 2.3.3 (index), 2.3.5 (filter), 2.5.2 (descendants)."""
    assert json_path(path).of(MEASURED) == found


def test_a_point_stands_in_a_path_whatever_it_is_called() -> None:
    for point in ("flow", "it's", "a.b", "a]['b", "back\\slash", "{point}"):
        assert json_path(with_point("$.values.{point}", point)).of({"values": {point: 5}}) == 5
        assert (
            json_path(with_point("$[?@.name == '{point}'].v", point)).of(
                [{"name": point, "v": 5}, {"name": "x", "v": 6}]
            )
            == 5
        )


def test_a_message_that_is_nested_deeply_is_strange() -> None:
    deep: object = 1
    for _ in range(900):
        deep = [deep]
    with pytest.raises(ValueError, match="nested too deeply"):
        json_path("$..v").of(deep)


def test_text_that_looks_like_json_is_text() -> None:
    assert json_path("$.seq").of('{"seq": 3}') is NOTHING
    assert json_path("$").of('{"seq": 3}') == '{"seq": 3}'


def test_several_values_are_strange(host: Host) -> None:
    def reads(observe: str, payload: str) -> Any:
        loaded = load_text(
            SCENARIO.replace('{topic: "plant/{device}", sequence: $.seq, value: $.v}', observe),
            Path("s.yaml"),
        )
        spec, _ = counted(loaded, Planner(loaded, host).world())
        return Observation(loaded, spec).read("p/presses/1", payload.encode())

    usual = '{topic: "p/{device}", sequence: $.seq, value: "$.list[?@.v > 0].v", status: "$.list[*].q"}'
    assert reads(usual, '{"seq": 3, "list": [{"v": 1, "q": "Good"}]}') == [(0, 3, (1 << 10) - 1, {})]
    assert reads(usual, '{"seq": 3, "list": [{"v": 1}, {"v": 2}]}') == [
        "topic p/presses/1: more than one value where one is to be"
    ]
    assert reads(usual, '{"seq": 3, "list": [{"v": 1, "q": 0}, {"v": 0, "q": 0}]}') == [
        "topic p/presses/1: more than one value where the status is to be"
    ]
    many = '{topic: "p/{device}", sequence: "$..seq", value: $.v}'
    assert reads(many, '{"seq": 3, "v": {"seq": 4}}') == [
        "topic p/presses/1: more than one value where the sequence is to be"
    ]


def test_a_status_that_cannot_be_looked_for_is_not_good(host: Host) -> None:
    observe = '{topic: "p/{device}", sequence: $.seq, value: $.v, status: "$..q"}'
    loaded = load_text(
        SCENARIO.replace('{topic: "plant/{device}", sequence: $.seq, value: $.v}', observe), Path("s.yaml")
    )
    spec, _ = counted(loaded, Planner(loaded, host).world())
    deep = '{"seq": 3, "v": 1, "x": ' + "[" * 500 + "]" * 500 + "}"
    (said,) = Observation(loaded, spec).read("p/presses/1", deep.encode())
    assert said == "topic p/presses/1: it is nested too deeply to look for $..['q']"


def test_paths_and_payloads(host: Host) -> None:
    assert json_path("$").of(7) == 7
    assert json_path("$.a.b-c[3].d").of({"a": {"b-c": [0, 0, 0, {"d": 5}]}}) == 5
    assert json_path("$.a[1].b").of({"a": [1, {"b": 2}]}) == 2
    for wrong in (
        "",
        "a",
        "$a",
        "$.",
        "$[x]",
        "$.a b",
        "$[?@.n ==]",
        "$[?match(@.n, '(a+)+')]",
        "$" + "[?@" * 300,
    ):
        with pytest.raises(ValueError, match="expected a path"):
            json_path(wrong)

    def reads(observe: str, topic: str, payload: str) -> Any:
        loaded = load_text(
            SCENARIO.replace('{topic: "plant/{device}", sequence: $.seq, value: $.v}', observe),
            Path("s.yaml"),
        )
        spec, _ = counted(loaded, Planner(loaded, host).world())
        return Observation(loaded, spec).read(topic, payload.encode())

    assert reads(
        '{topic: "p/{device}/{point}", sequence: "$[0]", value: "$[1]"}',
        "p/presses/2/temperature",
        "[7, 1.5]",
    ) == [(1, 7, 2, {})]
    assert reads(
        '{topic: "p/{device}/{point}", sequence: "$[0]", value: "$[1]"}',
        "p/presses/2/temperature",
        "[7, null]",
    ) == [(1, 7, 0, {})]
    assert reads(
        '{topic: "p/{device}", sequence: $.k, value: "$.values.{point}"}',
        "p/presses/1",
        '{"k": 1, "values": {"force": 1, "state": 0, "x": 1}}',
    ) == [(0, 1, 1 << 2 | 1 << 8, {})]
    assert reads(
        '{topic: "p/{device}", each: $.all, sequence: $.k}', "p/tanks/1", '{"all": [{"k": 1}, {"k": 2}]}'
    ) == [(2, 1, 1023, {}), (2, 2, 1023, {})]
    assert reads('{topic: "p/{device}", each: $.all, sequence: $.k}', "p/tanks/1", '{"all": 3}')[0].endswith(
        "no list where each sample is to be"
    )
    parts = reads(
        '{topic: "p/{device}", each: $.all, sequence: $.k}',
        "p/tanks/1",
        '{"all": [{"k": 1}, {"k": "2"}, {"k": 3}]}',
    )
    assert [part if isinstance(part, str) else part[1] for part in parts] == [
        1,
        "topic p/tanks/1: no whole number where the sequence is to be",
        3,
    ]
    assert reads('{topic: "p/{device}", sequence: $.k, value: $.v}', "p/tanks/1", '{"k": 1, "v": NaN}') == [
        (2, 1, 0, {})
    ]
    marked = '{topic: "p/{device}", sequence: $.k, value: "$.v.{point}", status: "$.s.{point}"}'
    bad, worst = 1 << 31, STATUS_CODES["BadSensorFailure"]
    assert reads(
        marked,
        "p/presses/1",
        '{"k": 1, "v": {"pressure": 1, "force": null}, "s": {"force": "BadSensorFailure", "pressure": "good"}}',
    ) == [(0, 1, 0b101, {worst: 0b100})]
    assert reads(
        marked, "p/presses/1", '{"k": 1, "v": {"pressure": 1}, "s": {"pressure": "Bad", "force": 2156724224}}'
    )[0][3] == {bad: 1, 2156724224: 0b100}
    assert "is no status" in reads(marked, "p/presses/1", '{"k": 1, "v": {}, "s": {"pressure": "fine"}}')[0]


def test_quality_where_the_gateway_tells_it(host: Host) -> None:
    """A Bad reading of a point that had a value is missed; of one whose device had none it is delivered as
    Bad; without status nothing is known."""
    text = SCENARIO.replace("value: $.v", 'value: "$.v.{point}", status: "$.s.{point}"').replace(
        "expect:",
        "expect:\n  - count(samples.delivered{quality=bad}) == 1\n  - count(samples.missed{cause=bad}) == 1",
    )
    plant, hil = observed(host, text)
    try:
        with plant.field.inside():
            plant.boot()
            plant.run_to(100_000_000)
            read(plant, 0)
            device = plant.field.servers[0].device
            end = device.lie(ValueFault("nan", 0), 100_000_000)
            values = ", ".join(f'"{name}": 1' for name in plant.points[0])
            said = f'{{"seq": 0, "v": {{{values}}}, "s": {{"pressure": "BadSensorFailure", "state": "BadNoData", "stroke": "UncertainLastUsableValue"}}}}'
            plant.at(110_000_000, hil._heard, "plant/presses/1", said.encode())
            end()
            assert plant.ledger.count(End.DELIVERED) == 9
            assert plant.ledger.by_cause(End.MISSED) == {"bad": 1}
            marked = {(how, status): count for (_, how, _, status), count in plant.ledger.marked.items()}
            assert marked == {
                (End.DELIVERED, STATUS_CODES["BadSensorFailure"]): 1,
                (End.MISSED, STATUS_CODES["BadNoData"]): 1,
                (End.DELIVERED, STATUS_CODES["UncertainLastUsableValue"]): 1,
            }
            assert plant.ledger.good_of[0] == 7
            assert plant.ledger.valueless() == {0: 1 << 0 | 1 << 8}, (
                "pressure and state: nothing else is blamed"
            )
            result = hil.result([], 1.0)
        assert result.data["quality"]["readings"]["bad"] == {"BadSensorFailure": 1, "BadNoData": 1}
        by_text = {one.expectation.text: one.verdict for one in result.judged}
        assert by_text["count(samples.delivered{quality=bad}) == 1"] is Verdict.PASS
    finally:
        plant.close()
    plain, judge = observed(
        host, SCENARIO.replace("expect:", "expect:\n  - count(samples.delivered{quality=bad}) == 0")
    )
    try:
        with plain.field.inside():
            plain.boot()
            plain.run_to(100_000_000)
            result = judge.result([], 1.0)
        assert (
            next(one.verdict for one in result.judged if "quality" in one.expectation.text) is Verdict.NO_DATA
        )
    finally:
        plain.close()


@pytest.mark.parametrize(
    ("observe", "message"),
    [
        ('{topic: "plant", sequence: $.k}', "expected a topic with {device} in it"),
        ('{topic: "plant/+/{device}", sequence: $.k}', "without wildcards"),
        ('{topic: "{device}", sequence: k}', "expected a path like $.seq"),
        ('{topic: "{device}", sequence: $.k, value: "$.{point}.{"}', "expected a path"),
        ('{topic: "{device}/{point}", sequence: $.k, value: "$.{point}"}', "{point} is in the topic already"),
        ('{topic: "{device}", sequence: $.k, sample: 15}', "both lie at holding 15"),
        ('{topic: "{device}", sequence: $.k, sample: 65535}', "65534"),
        ('{topic: "{device}", sequenze: $.k}', 'did you mean "sequence"'),
    ],
)
def test_an_observation_that_cannot_be(
    tmp_path: Path, observe: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "s.yaml").write_text(
        SCENARIO.replace('{topic: "plant/{device}", sequence: $.seq, value: $.v}', observe), encoding="utf-8"
    )
    assert main(["serve", str(tmp_path / "s.yaml"), "--judge", "--port", "0", "--broker-port", "0"]) == 3
    assert message in capsys.readouterr().err
