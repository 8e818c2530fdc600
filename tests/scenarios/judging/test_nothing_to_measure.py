"""What wasn't there can't have held: expectations about commands, upgrades, pairs, stores and components of
which there were none; and what a PASS says of things that went wrong beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.scenarios.cases import result, text_of
from twinloop.components.host.host import Host
from twinloop.scenarios.judging.expressions import ExpressionError, parse
from twinloop.scenarios.judging.verdict import Verdict

UPLINK = {"board": "raspberry-pi-4", "transform": "normalize", "policy": "route", "uplink": {"link": "cloud"}}


@pytest.mark.parametrize(
    ("expectation", "why"),
    [
        ("count(commands.failed) == 0", "no such command was issued"),
        ("count(commands.wrong{fleet=m}) == 0", "no such command was issued"),
        ("count(commands.done{device=m/1}) <= 3", "no such command was issued"),
        ("count(upgrades.failed{component=normalize}) == 0", "no such upgrade was ordered"),
        ("count(upgrades.done) <= 1", "no such upgrade was ordered"),
        ("count(upgrade.downtime) == 0", "no such upgrade was ordered"),
        ("count(command.latency) == 0", "no such command was issued"),
        ("count(failover.split-brain) == 0", "there is no such pair"),
        ("backlog == 0", "no gateway that is meant has a store"),
        ("never backlog > 5", "no gateway that is meant has a store"),
        ("max(backlog{gateway=gw}) <= 5", "no gateway that is meant has a store"),
    ],
)
def test_an_expectation_about_nothing_has_no_data(
    tmp_path: Path, host: Host, expectation: str, why: str
) -> None:
    found = result(tmp_path, host, duration="3 s", gateways={"gw": UPLINK}, expect=[expectation])
    assert [(one.verdict, one.measured, one.why) for one in found.judged] == [(Verdict.NO_DATA, None, why)]
    assert found.verdict is Verdict.NO_DATA


def test_a_component_that_was_never_called_had_no_chance_to_fail(tmp_path: Path, host: Host) -> None:
    """A cold standby that is never promoted calls none."""
    beside = {
        **UPLINK,
        "store": {},
        "standby": {
            "of": "gw",
            "mode": "cold",
            "heartbeat": {"link": "beat", "every": "200 ms", "misses": 3},
        },
    }
    links = {"plant": {"preset": "lan"}, "beat": {"preset": "lan"}, "cloud": {}}
    expect = ["count(component.faults{gateway=gw-b}) == 0", "count(component.faults{gateway=gw}) == 0"]
    found = result(
        tmp_path,
        host,
        duration="3 s",
        gateways={"gw": {**UPLINK, "store": {}}, "gw-b": beside},
        links=links,
        expect=expect,
    )
    assert [(one.verdict, one.why) for one in found.judged] == [
        (Verdict.NO_DATA, "no such component was called"),
        (Verdict.PASS, ""),
    ]


def test_what_was_there_is_measured(tmp_path: Path, host: Host) -> None:
    expect = [
        "count(commands.issued) == 0",
        "count(upgrades.ordered) == 0",
        "backlog == 0",
        "count(component.faults{component=normalize}) == 0",
    ]
    found = result(tmp_path, host, duration="3 s", expect=expect)
    assert [one.verdict for one in found.judged] == [Verdict.PASS] * 4


def commanded(tmp_path: Path, host: Host, **changes: Any) -> Any:
    """Two writes: one that is done, one that the device refuses, between two polls."""
    timeline = [
        {"at": "1.5 s", "write": "m/1", "point": "setpoint", "value": 6},
        {"at": "2.5 s", "write": "m/1", "point": "setpoint", "value": 7},
        {"at": "2.4 s", "device-fault": "m/1", "kind": "exception", "code": 4, "for": "300 ms"},
    ]
    return result(tmp_path, host, duration="5 s", timeline=timeline, **changes)


def test_a_command_that_failed_stands_beside_a_pass(tmp_path: Path, host: Host) -> None:
    found = commanded(tmp_path, host)
    assert found.verdict is Verdict.PASS
    assert found.data["unspoken"] == {"commands_failed": 1}
    told = text_of(found)
    assert "beside it 1 failed command of which no expectation speaks" in told
    assert "commands  2 issued · 1 done · 1 failed: rejected" in told


@pytest.mark.parametrize(
    ("spoken", "left"),
    [
        ("count(commands.failed) == 1", {}),
        ("count(commands.failed{cause=rejected}) == 1", {}),
        ("count(commands.done{device=m/1}) == 1", {}),
        ("max(command.latency) >= 1 ms", {}),
        ("count(command.latency) >= 1", {"commands_failed": 1}),
        ("min(command.latency) <= 5 s", {"commands_failed": 1}),
        ("count(commands.done) >= 1", {"commands_failed": 1}),
        ("count(commands.failed{cause=timeout}) == 0", {"commands_failed": 1}),
        ("count(commands.issued) == 2", {"commands_failed": 1}),
    ],
)
def test_unless_an_expectation_speaks_of_it(
    tmp_path: Path, host: Host, spoken: str, left: dict[str, int]
) -> None:
    found = commanded(tmp_path, host, expect=[spoken])
    assert found.verdict is Verdict.PASS
    assert found.data["unspoken"] == left


def test_what_went_wrong_is_told_without_expectations_too(tmp_path: Path, host: Host) -> None:
    found = commanded(tmp_path, host, expect=None)
    assert (found.verdict, found.data["unspoken"]) == (Verdict.NO_DATA, {"commands_failed": 1})


def test_a_value_after_an_event_that_nothing_was_due_after(tmp_path: Path, host: Host) -> None:
    """The cable heals half a second before the end, polls are every two seconds: of a value after it nothing
    can be said."""
    timeline = [{"at": "3 s", "cut": "plant", "for": "16.5 s"}]
    expect = ["value{point=pressure} >= -1000 bar within 30 s after heal plant"]
    found = result(tmp_path, host, fleet={"poll": "2 s"}, timeline=timeline, expect=expect)
    assert [(one.verdict, one.why) for one in found.judged] == [
        (Verdict.NO_DATA, "nothing was due of 1 of 1 devices after the event")
    ]
    timeline = [{"at": "3 s", "cut": "plant", "for": "14.5 s"}]
    found = result(tmp_path, host, fleet={"poll": "2 s"}, timeline=timeline, expect=expect)
    assert found.verdict is Verdict.PASS


SILENT = {"device-fault": "m/1", "kind": "silent"}


@pytest.mark.parametrize(
    ("timeline", "bound", "why"),
    [
        ([("3 s", "1 s"), ("15 s", "4.5 s")], "1000 bar", "1 device had no value after the event"),
        ([("3 s", "100 ms"), ("15 s", "4.5 s")], "-1000 bar", "later than the span"),
        ([("3 s", "1 s")], "1000 bar", "it never held"),
    ],
)
def test_a_late_event_excuses_no_earlier_one(
    tmp_path: Path, host: Host, timeline: list[tuple[str, str]], bound: str, why: str
) -> None:
    cuts = [{"at": at, "cut": "plant", "for": length} for at, length in timeline]
    trouble = [*cuts, {**SILENT, "at": "3.2 s", "for": "8 s"}] if why == "later than the span" else cuts
    expect = [f"value{{point=pressure}} >= {bound} within 2 s after heal plant"]
    found = result(tmp_path, host, fleet={"poll": "2 s"}, timeline=trouble, expect=expect)
    assert found.verdict is Verdict.FAIL
    assert found.judged[0].why.startswith(why)


@pytest.mark.parametrize(("silent", "verdict"), [(True, Verdict.FAIL), (False, Verdict.NO_DATA)])
def test_a_device_that_wasnt_asked_excuses_no_silent_one(
    tmp_path: Path, host: Host, silent: bool, verdict: Verdict
) -> None:
    base = {
        "device": "press-sensor",
        "protocol": "modbus-tcp",
        "link": "plant",
        "gateway": "gw",
        "driver": "modbus-driver",
    }
    timeline: list[dict[str, Any]] = [{"at": "3 s", "cut": "plant", "for": "1 s"}]
    timeline += [{**SILENT, "at": "3 s", "for": "17 s"}] if silent else []
    fleets = {"m": {**base, "poll": "1 s"}, "slow": {**base, "poll": "100 s"}}
    found = result(
        tmp_path,
        host,
        fleets=fleets,
        timeline=timeline,
        expect=["value{point=pressure} >= -1000 bar within 2 s after heal plant"],
    )
    assert found.verdict is verdict, found.judged


def test_a_bound_beyond_all_numbers_is_refused() -> None:
    """It would be infinity, and every value below it."""
    with pytest.raises(ExpressionError, match="a number that a float can hold"):
        parse("max(value{point=pressure}) <= 1e400 bar")
