"""Components whose world is typed async, in whole scenarios: what they wait for takes simulated time, two waits
that begin together take as long as the longer one, and only what they compute is charged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.scenarios.cases import COMPONENTS, SPARSE, scenario
from tests.scenarios.test_languages import GUESTS, ran
from twinloop.components.host.host import Host
from twinloop.scenarios.file.load import load_text
from twinloop.scenarios.report.result import Result
from twinloop.scenarios.runner import Options, run

ASYNC = GUESTS / "rust-async"
RAMP = "".join(SPARSE.splitlines(keepends=True)[:-1])
"""one point, in register 0: 10 at the beginning and 2 more each second"""
MS, S = 1_000_000, 1_000_000_000


def driven(tmp_path: Path, expect: list[str], count: int = 1, **options: str) -> dict[str, Any]:
    """A scenario of such devices, polled at 0, 5, 10 and 15 s by the async driver."""
    (tmp_path / "model").mkdir(exist_ok=True)
    (tmp_path / "model" / "m.yaml").write_text(RAMP, encoding="utf-8")
    driver = {
        "wasm": str(ASYNC / "driver.wasm"),
        "grants": ["fieldbus", "clock", "wasi:clocks"],
        "limits": {"deadline": "4 s"},
        "with": options,
    }
    fleet = {
        "device": "model/m.yaml",
        "protocol": "modbus-tcp",
        "count": count,
        "poll": "5 s",
        "link": "plant",
    }
    return {
        "format": 2,
        "name": "async",
        "duration": "20 s",
        "fleets": {"m": {**fleet, "gateway": "gw", "driver": "own"}},
        "links": {"plant": {"preset": "lan"}},
        "components": {"own": driver, "normalize": COMPONENTS["normalize"], "route": COMPONENTS["route"]},
        "gateways": {
            "gw": {
                "board": "raspberry-pi-4",
                "transform": "normalize",
                "policy": "route",
                "uplink": {"link": "plant"},
            }
        },
        "expect": [*expect, "count(component.faults) == 0", "count(samples.missed) == 0"],
    }


def values(first: int) -> list[str]:
    """Four values of the ramp, 10 apart."""
    four = {"min": first, "mean": first + 15, "max": first + 30}
    return [
        *(f"{name}(value{{point=a}}) == {one}" for name, one in four.items()),
        "count(value{point=a}) == 4",
    ]


@pytest.mark.parametrize(
    ("options", "waited_ns", "first"),
    [
        ({}, 0, 10),
        ({"sleep": "2500"}, 2500 * MS, 14),  # read at 2.5 s: what the device shows since 2 s
        ({"together": "2000 1000"}, 2 * S, 14),
        ({"together": "1000 2000 1500 2000 0"}, 2 * S, 14),
        ({"one-by-one": "2000 1000"}, 3 * S, 16),
        ({"sleep": "500", "together": "2000 1000", "one-by-one": "500"}, 3 * S, 16),
        ({"yields": "1000"}, 0, 10),
    ],
    ids=["nothing", "sleep", "together", "many", "one-by-one", "all", "yields"],
)
def test_a_driver_waits_in_simulated_time(
    tmp_path: Path, options: dict[str, str], waited_ns: int, first: int
) -> None:
    """The values are those that the device shows when the wait is over."""
    case = driven(tmp_path, values(first), **options)
    one = ran(tmp_path, case, "0")
    if len(options) > 1:  # all that the others do
        other = ran(tmp_path, case, "1")
        assert one["digest"] == other["digest"]
        used = [result["gateways"]["gw"]["components"]["own"] for result in (one, other)]
        assert used[0] == used[1]
    stage = one["latency"]["stages"]["driver"]
    assert waited_ns <= stage["p50_ns"] <= stage["max_ns"] < waited_ns + 100_000
    assert one["truth"]["wrong"] == 0
    assert one["truth"]["checked"] == 4


def result(tmp_path: Path, host: Host, **changes: Any) -> Result:
    """Of a scenario whose devices have that one point."""
    text = scenario(tmp_path, {"device": "model/m.yaml", **changes.pop("fleet", {})}, **changes)
    return run(load_text(text, tmp_path / "scenario.yaml"), Options(band="never"), host)


def with_own(role: str, wasm: str, **options: str) -> dict[str, Any]:
    """The components of a scenario, one of them async."""
    grants = ["clock", "wasi:clocks"] + (["fieldbus"] if role == "modbus-driver" else [])
    own = {"wasm": str(ASYNC / f"{wasm}.wasm"), "grants": grants, "with": options}
    return {**COMPONENTS, role: {**own, "limits": {"deadline": "4 s"}}}


def test_what_waits_costs_no_processor(tmp_path: Path, host: Host) -> None:
    """Twelve drivers that wait 2 s each, on four cores, are done after 2 s; a sleep costs two segments in place
    of one, and not the time between them."""
    case = driven(tmp_path, [], 12, together="2000 1000")
    stage = ran(tmp_path, case, "0")["latency"]["stages"]["driver"]
    assert 2 * S <= stage["p50_ns"] <= stage["max_ns"] < 2 * S + 100_000
    slept, awake = (
        result(
            tmp_path,
            host,
            fleet={"poll": "5 s"},
            models={"m.yaml": RAMP},
            components=with_own("modbus-driver", "driver", sleep=ms),
        ).data
        for ms in ("2500", "0")
    )
    cost, waited = (
        [found["gateways"]["gw"]["components"]["modbus-driver"]["cpu_ns"] for found in (slept, awake)],
        [found["latency"]["stages"]["driver"]["p50_ns"] for found in (slept, awake)],
    )
    # Four polls. Reading "2500" in place of "0" in configure is what else differs.
    assert abs((cost[0] - cost[1]) - 4 * (waited[0] - waited[1] - 2500 * MS)) < 1000
    assert 0 < cost[0] - cost[1] < 100_000


@pytest.mark.parametrize("wasm", ["transform", "transform-01"])
def test_a_transform_of_either_contract_waits_and_changes_values(
    tmp_path: Path, host: Host, bodies: list[Any], wasm: str
) -> None:
    """It adds 1 to what the driver has read: 10, 20, 30, 40."""
    found = result(
        tmp_path,
        host,
        fleet={"poll": "5 s"},
        models={"m.yaml": RAMP},
        components=with_own("normalize", wasm, together="2000 1000"),
    )
    stage = found.data["latency"]["stages"]["transform"]
    assert 2 * S <= stage["p50_ns"] <= stage["max_ns"] < 2 * S + 100_000
    assert found.data["ledger"]["delivered"] == found.data["ledger"]["due"] == 4
    assert [body["values"] for body in bodies] == [{"a": 11.0}, {"a": 21.0}, {"a": 31.0}, {"a": 41.0}]


def test_what_is_written_arrives(tmp_path: Path, host: Host) -> None:
    model = "format: 1\ntitle: m\nsource: ours\nstep: 1 s\npoints:\n  a: {address: 0, type: u16, writable: true, high: 100}\n"
    found = result(
        tmp_path,
        host,
        models={"m.yaml": model},
        components=with_own("modbus-driver", "driver", sleep="10"),
        timeline=[{"at": "7500 ms", "write": "m/1", "point": "a", "value": 42}],
        expect=["last(value{device=m/1,point=a}) == 42", "min(value{point=a}) == 0"],
    )
    assert found.verdict.value == "PASS", [one.why for one in found.judged]
    assert (found.data["truth"]["commands_checked"], found.data["truth"]["commands_wrong"]) == (1, 0)


def test_who_waits_beyond_the_deadline_is_ended_there(tmp_path: Path, host: Host) -> None:
    """4.5 s in all, one wait after the other, within a deadline of 4 s."""
    found = result(
        tmp_path,
        host,
        fleet={"poll": "5 s"},
        models={"m.yaml": RAMP},
        components=with_own("modbus-driver", "driver", **{"one-by-one": "2000 2500"}),
    )
    assert found.data["ledger"]["missed"] == {"deadline": 4}
    assert found.data["gateways"]["gw"]["faults"] == {"deadline": 4}
