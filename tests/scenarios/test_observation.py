"""``observe``: topics, paths into payloads, and which message says which sample."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from components.host import Host
from scenarios.cli.main import main
from scenarios.load import load_text
from scenarios.observation import Observation, at_path, counted, json_path
from scenarios.plan import Planner
from tests.scenarios.test_judge import SCENARIO


def test_paths_and_payloads(host: Host) -> None:
    assert json_path("$") == ()
    assert json_path("$.a.b-c[3].d") == ("a", "b-c", 3, "d")
    assert at_path({"a": [1, {"b": 2}]}, json_path("$.a[1].b")) == 2
    for wrong in ("", "a", "$a", "$.", "$[x]", "$..a", "$[-1]", "$.a b"):
        with pytest.raises(ValueError, match="expected a path"):
            json_path(wrong)

    def reads(observe: str, topic: str, payload: str) -> Any:
        loaded = load_text(SCENARIO.replace('{topic: "plant/{device}", sequence: $.seq, value: $.v}', observe), Path("s.yaml"))
        spec, _ = counted(loaded, Planner(loaded, host).world())
        return Observation(loaded, spec).read(topic, payload.encode())

    assert reads('{topic: "p/{device}/{point}", sequence: "$[0]", value: "$[1]"}', "p/presses/2/temperature", "[7, 1.5]") == [(1, 7, 2)]
    assert reads('{topic: "p/{device}/{point}", sequence: "$[0]", value: "$[1]"}', "p/presses/2/temperature", "[7, null]") == [(1, 7, 0)]
    assert reads('{topic: "p/{device}", sequence: $.k, value: "$.values.{point}"}', "p/presses/1", '{"k": 1, "values": {"force": 1, "state": 0, "x": 1}}') == [
        (0, 1, 1 << 2 | 1 << 8)
    ]
    assert reads('{topic: "p/{device}", each: $.all, sequence: $.k}', "p/tanks/1", '{"all": [{"k": 1}, {"k": 2}]}') == [(2, 1, 1023), (2, 2, 1023)]
    assert reads('{topic: "p/{device}", each: $.all, sequence: $.k}', "p/tanks/1", '{"all": 3}')[0].endswith("no list where each sample is to be")
    parts = reads('{topic: "p/{device}", each: $.all, sequence: $.k}', "p/tanks/1", '{"all": [{"k": 1}, {"k": "2"}, {"k": 3}]}')
    assert [part if isinstance(part, str) else part[1] for part in parts] == [1, "topic p/tanks/1: no whole number where the sequence is to be", 3]
    assert reads('{topic: "p/{device}", sequence: $.k, value: $.v}', "p/tanks/1", '{"k": 1, "v": NaN}') == [(2, 1, 0)]


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
def test_an_observation_that_cannot_be(tmp_path: Path, observe: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "s.yaml").write_text(SCENARIO.replace('{topic: "plant/{device}", sequence: $.seq, value: $.v}', observe), encoding="utf-8")
    assert main(["serve", str(tmp_path / "s.yaml"), "--judge", "--port", "0", "--broker-port", "0"]) == 3
    assert message in capsys.readouterr().err
