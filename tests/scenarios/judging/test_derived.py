"""Expectations on derived points: counts, shares and values; and what must not pass."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.components.guests import adding_transform
from tests.scenarios.cases import COMPONENTS, result, scenario, text_of
from twinloop.components.host.host import Host
from twinloop.scenarios.file.load import load_text
from twinloop.scenarios.judging.thresholds import expectation_errors
from twinloop.scenarios.judging.verdict import Verdict
from twinloop.scenarios.planning.plan import Planner
from twinloop.scenarios.report.result import Result
from twinloop.scenarios.text.errors import ScenarioError

POWER = 10
"""the id of the derived point: press sensors have ten of their own"""
BAD, UNCERTAIN = 0x80050000, 0x40940000


def components(**derive: Any) -> dict[str, Any]:
    return {**COMPONENTS, "normalize": {"wasm": "adding.wasm", **derive}}


DECLARED = components(derives={"power": {"unit": "kW"}})


def run(
    tmp_path: Path, host: Host, *readings: tuple[int, str, int], samples: int = 1 << 30, **changes: Any
) -> Result:
    (tmp_path / "adding.wasm").write_bytes(adding_transform(*readings, samples=samples))
    return result(tmp_path, host, **{"components": DECLARED, "duration": "10 s", **changes})


def verdicts(found: Result) -> list[tuple[str, float | None, str]]:
    return [(one.verdict.value, one.measured, one.why) for one in found.judged]


def test_counts_shares_and_values(tmp_path: Path, host: Host) -> None:
    found = run(
        tmp_path, host, (POWER, "3.5", 0), fleet={"count": 2},
        expect=[
            "count(derived.produced{point=power}) == 20", "count(derived.delivered{point=power}) >= 20",
            "count(derived.delivered{device=m/2}) == 10", "ratio(derived.delivered) >= 100 %",
            "ratio(derived.produced{fleet=m}) >= 100 %", "count(derived.lost) == 0",
            "count(derived.evicted{cause=ttl}) == 0", "count(derived.delivered{quality=bad}) == 0",
            "max(derived.value{point=power}) <= 3.5 kW", "count(derived.value{point=power,device=m/1}) == 10",
            "never derived.value{point=power} > 4 kW", "last(derived.value{point=power,device=m/1}) == 3.5 kW",
            "derived.value{point=power} >= 3 kW within 5 s after heal cloud",
        ],
        timeline=[{"at": "2 s", "cut": "cloud", "for": "2 s"}],
    )  # fmt: skip
    assert found.verdict is Verdict.PASS, verdicts(found)
    assert found.data["ledger"]["derived"] == 20
    assert found.data["derived"] == {
        "power": {
            "unit": "kW", "due": 20, "produced": 20, "delivered": 20, "cached": 0, "dropped": {}, "evicted": {},
            "lost": {}, "delivered_quality": {"good": 20, "uncertain": 0, "bad": 0},
        }
    }  # fmt: skip
    assert "derived  power (kW)  20 produced · 20 delivered" in text_of(found)


def test_who_adds_it_once_has_no_share(tmp_path: Path, host: Host) -> None:
    expect = ["ratio(derived.delivered{point=power}) >= 99 %", "count(derived.delivered) >= 1"]
    found = run(tmp_path, host, (POWER, "3.5", 0), samples=1, expect=expect)
    assert verdicts(found)[0][:2] == ("FAIL", 0.1)
    assert verdicts(found)[1][:2] == ("PASS", 1)


@pytest.mark.parametrize(("value", "status"), [("1", BAD), ("nan", 0), ("inf", 0)])
def test_what_has_no_value_is_none(tmp_path: Path, host: Host, value: str, status: int) -> None:
    found = run(
        tmp_path, host, (POWER, value, status),
        expect=[
            "count(derived.produced) >= 1", "count(derived.delivered) >= 1", "ratio(derived.delivered) > 0 %",
            "count(derived.delivered{quality=good}) >= 1", "count(derived.delivered{quality=bad}) == 10",
            "max(derived.value{point=power}) <= 5 kW",
        ],
    )  # fmt: skip
    assert [one[0] for one in verdicts(found)] == ["FAIL", "FAIL", "FAIL", "FAIL", "PASS", "NO-DATA"]
    assert verdicts(found)[-1][2] == "no value was derived"
    assert "10 delivered (10 bad)" in text_of(found)


def test_an_uncertain_value_is_one(tmp_path: Path, host: Host) -> None:
    expect = ["count(derived.delivered) == 10", "count(derived.delivered{quality=uncertain}) == 10"]
    assert run(tmp_path, host, (POWER, "1", UNCERTAIN), expect=expect).verdict is Verdict.PASS


@pytest.mark.parametrize(
    "expectation",
    [
        "count(derived.lost) == 0", "ratio(derived.delivered{point=power}) <= 5 %", "count(derived.produced) == 0",
        "count(derived.value{point=power}) == 0", "never derived.value{point=power} > 4 kW",
    ],
)  # fmt: skip
def test_nothing_derived_is_no_data(tmp_path: Path, host: Host, expectation: str) -> None:
    found = run(tmp_path, host, expect=[expectation])
    assert found.verdict is Verdict.NO_DATA


def test_of_two_gateways_only_what_is_meant_counts(tmp_path: Path, host: Host) -> None:
    """A fleet whose gateway derives nothing is in no share, and can't be asked for."""
    gateway = {"board": "raspberry-pi-4", "policy": "route", "uplink": {"link": "cloud"}, "store": {}}
    fleet = {
        "device": "press-sensor", "protocol": "modbus-tcp", "poll": "1 s", "link": "plant",
        "driver": "modbus-driver",
    }  # fmt: skip
    changes: dict[str, Any] = {
        "components": {**DECLARED, "plain": {"wasm": "normalize.wasm", "grants": ["log"]}},
        "gateways": {"gw": {**gateway, "transform": "normalize"}, "gx": {**gateway, "transform": "plain"}},
        "fleets": {"m": {**fleet, "gateway": "gw"}, "n": {**fleet, "gateway": "gx"}},
    }
    found = run(tmp_path, host, (POWER, "1", 0), expect=["ratio(derived.delivered) >= 100 %"], **changes)
    assert found.verdict is Verdict.PASS
    with pytest.raises(ScenarioError, match="no transform that is meant adds a point"):
        run(tmp_path, host, (POWER, "1", 0), expect=["count(derived.lost{fleet=n}) == 0"], **changes)


def test_two_units_of_one_name_are_never_compared(tmp_path: Path, host: Host) -> None:
    """5 kW is no bound for a gateway whose transform gives W, unless one of the gateways is named."""
    gateway = {"board": "raspberry-pi-4", "policy": "route", "uplink": {"link": "cloud"}, "store": {}}
    fleet = {
        "device": "press-sensor", "protocol": "modbus-tcp", "poll": "1 s", "link": "plant",
        "driver": "modbus-driver",
    }  # fmt: skip
    changes: dict[str, Any] = {
        "components": {**DECLARED, "other": {"wasm": "adding.wasm", "derives": {"power": {"unit": "W"}}}},
        "gateways": {"gw": {**gateway, "transform": "normalize"}, "gx": {**gateway, "transform": "other"}},
        "fleets": {"m": {**fleet, "gateway": "gw"}, "n": {**fleet, "gateway": "gx"}},
    }
    named = [
        "max(derived.value{point=power,gateway=gw}) <= 5 kW", "last(derived.value{point=power,fleet=n}) <= 5 W",
    ]  # fmt: skip
    found = run(tmp_path, host, (POWER, "1", 0), expect=named, **changes)
    assert found.verdict is Verdict.PASS
    assert found.derived["power"].unit == "kW or W"
    with pytest.raises(ScenarioError, match='power is derived in "W", got "kW"'):
        run(tmp_path, host, (POWER, "1", 0), expect=["max(derived.value{point=power}) <= 5 kW"], **changes)


@pytest.mark.parametrize(
    ("expectation", "error"),
    [
        ("count(derived.lost{point=pwer}) == 0", 'unknown derived point "pwer"; did you mean "power"?'),
        ("max(derived.value{point=power}) <= 5 W", 'power is derived in "kW", got "W"'),
        ("max(derived.value) <= 5 kW", "derived.value needs a point"),
        ("derived.value{point=power} <= 5 kW", "derived.value needs a statistic"),
        ("last(derived.value{point=power}) <= 5 kW", "last goes with one device, 2 are meant"),
        ("count(derived.lost{cause=boredom}) == 0", 'unknown cause of derived.lost "boredom"'),
        ("p99(derived.lost) <= 5", "p99 does not go with derived.lost"),
    ],
)
def test_mistakes_in_expectations(tmp_path: Path, host: Host, expectation: str, error: str) -> None:
    text = scenario(tmp_path, components=DECLARED, fleet={"count": 2}, expect=[expectation])
    (found,) = expectation_errors(load_text(text, tmp_path / "case.yaml"))
    assert error in str(found)


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"normalize": {"wasm": "adding.wasm", "derives": {"pressure": {}}}}, '"pressure" is a point of press-sensor'),
        ({"route": {"wasm": "route.wasm", "grants": ["log"], "derives": {"x": {}}}}, "only a transform adds points"),
        ({"normalize": {"wasm": "adding.wasm", "derives": {"x": {"low": 2, "high": 1}}}}, "low is larger than high"),
        ({"normalize": {"wasm": "adding.wasm", "derives": {"x": {"unti": "kW"}}}}, 'did you mean "unit"?'),
        ({"normalize": {"wasm": "adding.wasm", "derives": {"a b": {}}}}, "derives"),
    ],
)  # fmt: skip
def test_mistakes_in_blocks(tmp_path: Path, host: Host, changed: dict[str, Any], error: str) -> None:
    (tmp_path / "adding.wasm").write_bytes(adding_transform())
    text = scenario(tmp_path, components={**DECLARED, **changed})
    with pytest.raises(ScenarioError) as caught:
        Planner(load_text(text, tmp_path / "case.yaml"), host).world()
    assert error in str(caught.value)


def test_the_result_fits_its_schema(tmp_path: Path, host: Host) -> None:
    found = run(tmp_path, host, (POWER, "1", 0), expect=["count(derived.delivered) >= 1"])
    schema = json.loads((Path(__file__).parents[3] / "scenarios/report/result.schema.json").read_text())
    part = schema["$defs"]["result"]["properties"]["derived"]
    jsonschema.validate(found.data["derived"], {**part, "$defs": schema["$defs"]})
