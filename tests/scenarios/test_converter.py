"""Fleets behind a Modbus TCP to RTU converter, in whole scenarios: the shipped driver, times by hand, a silent
device, a full line and its reason, what makes no sense, and the port that is served."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.scenarios.cases import COMPONENTS, result, scenario
from twinloop.components.host.host import Host
from twinloop.scenarios.file.load import load_text
from twinloop.scenarios.judging.verdict import Verdict
from twinloop.scenarios.planning import feasibility
from twinloop.scenarios.planning.plan import Planner
from twinloop.scenarios.report.result import scenario_digest
from twinloop.scenarios.testing.served import ServedScenario
from twinloop.scenarios.text.errors import ScenarioError
from twinloop.scenarios.wire.places import attached
from twinloop.sim.model.spec import WorldSpec

LINKS: dict[str, Any] = {
    "plant": {},
    "rs485": {"serial": "9600 Bd", "parity": "even"},
    "cloud": {},
}
FLEET: dict[str, Any] = {
    "device": "energy-meter",
    "count": 10,
    "poll": "5 s",
    "behind": "moxa",
    "phase": "aligned",
}
READS_NS = (64_583_331, 30_208_331, 32_499_998)
"""the three reads of an energy meter (16 registers, 1, 2) on the wires, by hand: 8 characters there, 37, 7 or 9 back,
of 11 bits at 9600 Bd, twice 3.5 characters of silence, and the 5 ms after which a meter on a line answers"""
METER_NS = sum(READS_NS)


def described(**changes: Any) -> dict[str, Any]:
    """What ``scenario`` takes: ten meters behind moxa."""
    options = {"timeout": "3 s", **changes.pop("options", {})}
    components = {
        **COMPONENTS,
        "modbus-driver": {**COMPONENTS["modbus-driver"], "with": options},
    }
    return {
        "fleet": {**FLEET, **changes.pop("fleet", {})},
        "links": LINKS,
        "converters": {"moxa": {"line": "rs485", **changes.pop("moxa", {})}},
        "components": components,
        **changes,
    }


def planned(tmp_path: Path, host: Host, one: dict[str, Any] | None = None, **changes: Any) -> WorldSpec:
    data = yaml.safe_load(scenario(tmp_path, **described(**changes)))
    if one is not None:
        data["fleets"]["m/2"] = one
    return Planner(load_text(yaml.safe_dump(data, sort_keys=False), tmp_path / "s.yaml"), host).world()


def test_ten_meters_share_a_line(tmp_path: Path, host: Host) -> None:
    """All are due at one instant: the last is over after ten polls' time on the wires."""
    found = result(tmp_path, host, **described(duration="20 s"))
    assert found.verdict is Verdict.PASS, [one.why for one in found.judged]
    data = found.data
    assert data["truth"]["wrong"] == 0
    assert data["truth"]["checked"] == data["truth"]["readings"], "on a line nothing is left out"
    assert data["truth"]["checked"] == data["truth"]["readings"] == 4 * 10 * 10
    line = data["lines"]["rs485/1"]
    assert (line["exchanges"], line["timeouts"], line["longest_queue"]) == (120, 0, 9)
    assert line["busy_ratio"] == pytest.approx(40 * METER_NS / 20e9, abs=1e-6)
    assert data["converters"]["moxa"] == {
        "requests": 120, "answered": 120, "timeouts": 0, "refused": 0, "own": 0, "no_path": 0, "left": 0, "strays": 0,
        "turned_away": 0, "inside": 0,
    }  # fmt: skip
    bus = data["latency"]["stages"]["bus"]
    assert bus["max_ns"] == pytest.approx(10 * METER_NS, rel=0.02), "the queue is part of the exchange"


def test_a_silent_meter_is_bad_and_its_neighbours_are_right(tmp_path: Path, host: Host) -> None:
    """0B after the converter's 300 ms; no other meter's sample is missed, and nothing is mixed up."""
    fault = {"at": "7 s", "device-fault": "m/3", "kind": "silent", "for": "7 s"}
    found = result(
        tmp_path,
        host,
        **described(
            duration="20 s", moxa={"timeout": "300 ms"}, timeline=[fault],
            expect=["count(samples.missed{device=m/3}) == 10", "count(samples.missed) == 10"],
        ),
    )  # fmt: skip
    assert found.verdict is Verdict.PASS, [(one.why, one.measured) for one in found.judged]
    assert found.data["truth"]["wrong"] == 0
    books = found.data["converters"]["moxa"]
    assert books["requests"] == books["answered"] + books["timeouts"]
    assert books["timeouts"] == found.data["lines"]["rs485/1"]["timeouts"] >= 1
    assert any("converter moxa: " in note and "had no answer on its line" in note for note in found.notes)


def test_a_driver_that_gives_up_early_puts_late_answers_aside(tmp_path: Path, host: Host) -> None:
    """Its timeout is over before its turn comes: with or without its connection kept, no answer is taken for
    another's."""
    for patience in ("1", "3"):
        found = result(
            tmp_path,
            host,
            **described(duration="20 s", options={"timeout": "400 ms", "patience": patience}, expect=["count(samples.missed) >= 1"]),
        )  # fmt: skip
        assert found.verdict is Verdict.PASS, [(one.why, one.measured) for one in found.judged]
        assert found.data["truth"]["wrong"] == 0
        books = found.data["converters"]["moxa"]
        ended = ("answered", "timeouts", "refused", "own", "no_path", "left", "inside")
        assert books["requests"] == sum(books[key] for key in ended)


def test_a_line_without_room_is_foreseen_and_is_the_reason(tmp_path: Path, host: Host) -> None:
    changes = described(duration="20 s", fleet={"poll": "1 s"}, options={"timeout": "900 ms"})
    spec = planned(tmp_path, host, fleet={"poll": "1 s"}, options={"timeout": "900 ms"})
    assert feasibility.line_utilisation(spec) == {"rs485/1": pytest.approx(10 * METER_NS / 1e9, rel=0.02)}
    assert any(text.startswith("line rs485/1: 12") for text in feasibility.warnings(spec))
    found = result(tmp_path, host, **changes)
    assert found.verdict is Verdict.FAIL
    assert "line rs485/1 behind moxa had no room left" in found.judged[0].why


def test_a_converter_with_too_few_connections_is_warned_of(tmp_path: Path, host: Host) -> None:
    [text] = [
        one
        for one in feasibility.warnings(planned(tmp_path, host, moxa={"connections": 4}))
        if "holds 4" in one
    ]
    assert text.startswith("converter moxa: 10 drivers want a connection each")
    [text] = [
        one
        for one in feasibility.warnings(planned(tmp_path, host, moxa={"timeout": "3 s"}))
        if one.startswith("converter moxa: it waits 3 s")
    ]
    assert not [
        one for one in feasibility.warnings(planned(tmp_path, host)) if "moxa" in one or "rs485" in one
    ]


def test_a_silent_device_that_costs_the_others_their_polls_is_foreseen(tmp_path: Path, host: Host) -> None:
    """Three requests of a poll wait a second each: over after 3 s, of 2 s. A driver that isn't told of a timeout waits
    a fifth of 2 s, as all tries of three requests shall be over in time."""
    patient = {"fleet": {"poll": "2 s"}, "options": {"timeout": "1500 ms"}}
    untold = {**COMPONENTS, "modbus-driver": {**COMPONENTS["modbus-driver"], "with": {}}}
    for changes, says in (
        (patient, "for which 3 requests of a poll may have to wait in turn; calls of modbus-driver have a deadline of 2 s:"),
        ({**patient, "moxa": {"timeout": "666 ms"}}, None),
        ({"fleet": {"poll": "2 s"}, "components": untold}, "modbus-driver waits 400 ms for the converter:"),
        ({"fleet": {"poll": "2 s"}, "components": untold, "moxa": {"timeout": "300 ms"}}, None),
        ({**patient, "fleet": {"poll": "2 s", "count": 1}}, None),
    ):  # fmt: skip
        found = [one for one in feasibility.warnings(planned(tmp_path, host, **changes)) if "silent" in one]
        assert len(found) == (says is not None), (changes, found)
        assert says is None or says in found[0]


def test_unit_ids_are_of_the_line(tmp_path: Path, host: Host) -> None:
    assert [one.unit_id for one in planned(tmp_path, host).devices] == list(range(1, 11))
    spec = planned(tmp_path, host, {"unit": 77})
    assert [one.unit_id for one in spec.devices][:3] == [1, 77, 3]
    twice = planned(tmp_path, host, {"unit": 1})
    assert any("m/1 and m/2 have the unit id 1" in text for text in feasibility.warnings(twice))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fleet": {"behind": "mox"}}, 'mox.*moxa'),
        ({"fleet": {"protocol": "opcua"}}, "."),
        ({"moxa": {"line": "plant"}}, "is a network link; the line behind a converter is a link with serial"),
        ({"moxa": {"line": "rs48"}}, "rs48.*rs485"),
        ({"fleet": {"behind": None}}, "no fleet is behind it"),
        ({"fleet": {"protocol": "modbus-rtu", "link": "rs485", "behind": None}}, "is behind the converter moxa"),
        ({"fleet": {"manners": {"connections": 1}}}, '"connections" does not go with a device behind a converter'),
        ({"links": {**LINKS, "rs485": {"serial": "9600 Bd", "lines": 2}}}, "has 2 lines"),
        ({"converters": {"moxa": {"line": "rs485"}, "b": {"line": "rs485"}}}, "is the line of moxa"),
    ],
)  # fmt: skip
def test_what_makes_no_sense(tmp_path: Path, host: Host, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ScenarioError, match=message):
        planned(tmp_path, host, **changes)


def test_what_has_no_converter_keeps_its_digest(tmp_path: Path) -> None:
    """The new keys stand in no dump of a file that doesn't use them."""
    loaded = load_text(scenario(tmp_path), tmp_path / "s.yaml")
    dumped = loaded.scenario.model_dump_json(by_alias=True)
    assert '"behind"' not in dumped
    assert '"converters"' not in dumped
    with_one = load_text(scenario(tmp_path, **described()), tmp_path / "s.yaml")
    other = load_text(scenario(tmp_path, **described(moxa={"queue": 8})), tmp_path / "s.yaml")
    assert scenario_digest(with_one) != scenario_digest(other)


def test_two_with_one_unit_id_are_attached_in_one_place(tmp_path: Path, host: Host) -> None:
    """As on a line: the file wants just that. A third one, whose unit id is another, isn't there."""
    spec = planned(tmp_path, host, one={"unit": 1}, fleet={"count": 3})
    at = "tcp://127.0.0.1:502/1"
    found, _ = attached(spec, {"m/1": at, "m/2": at})
    assert [device.unit_id for device in found.devices if device.place] == [1, 1]
    with pytest.raises(ScenarioError, match='"m/3" and "m/1" are in one place'):
        attached(spec, {"m/1": at, "m/3": at})


def test_one_port_serves_them_all(tmp_path: Path) -> None:
    """Units 1 to 3 of one port; units 0 and 4 as the converter answers."""
    served = ServedScenario(
        scenario(tmp_path, **described(fleet={"count": 3}, moxa={"absent": "refuse"})), tmp_path
    )
    try:
        found = [served[f"m/{i}"] for i in (1, 2, 3)]
        assert len({one.port for one in found}) == 1
        assert [one.unit for one in found] == [1, 2, 3]
        with socket.create_connection((found[0].host, found[0].port), 10) as way:
            answers = []
            for unit in (1, 3, 0, 4):
                way.sendall(b"\0" + bytes((unit,)) + b"\0\0\0\6" + bytes((unit, 3)) + b"\0\0\0\2")
                answers.append(way.recv(260)[:8].hex())
        assert [one[:4] + one[12:16] for one in answers] == ["00010183", "00030383", "00000083", "00040483"]
        assert served.requests == 4
    finally:
        served.stop()
