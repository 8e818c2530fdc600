"""Manners in files: of a model, a fleet, one device; what is refused and warned of; field cases with both."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.scenarios.cases import result, scenario
from tests.scenarios.cli.test_cli import TINY, run_json
from twinloop.components.host.host import Host
from twinloop.devices.model.manners import NONE, Manners
from twinloop.scenarios.file.datasheet.reading import read_model
from twinloop.scenarios.file.datasheet.writing import write_model
from twinloop.scenarios.file.load import load_text
from twinloop.scenarios.planning import feasibility
from twinloop.scenarios.planning.plan import Planner
from twinloop.scenarios.text.errors import ScenarioError
from twinloop.sim.kernel.clock import MS, S
from twinloop.sim.model.spec import WorldSpec

MODEL = """\
format: 1
title: one register, with manners
source: ours
step: 1 s
manners: {quiet-after-connect: 1 s, pause: 50 ms, connections: 1, more: drop-first, busy: 20 %, write-single: false}
points:
  a: {address: 0, type: u16, signal: {kind: constant, level: 7}}
"""
OF_MODEL = Manners(
    quiet_after_connect_ns=S,
    pause_ns=50 * MS,
    connections=1,
    more="drop-first",
    busy_share=0.2,
    write_single=False,
)
LINE = {"plant": {"serial": "9600 Bd"}, "cloud": {}}


def planned(tmp_path: Path, host: Host, fleet: dict[str, Any], **changes: Any) -> WorldSpec:
    text = scenario(tmp_path, fleet, {"own.yaml": MODEL}, **changes)
    return Planner(load_text(text, tmp_path / "s.yaml"), host).world()


def with_one(
    tmp_path: Path, host: Host, fleet: dict[str, Any], one: dict[str, Any], **changes: Any
) -> WorldSpec:
    """A fleet, and what its second device does otherwise."""
    import yaml

    data = yaml.safe_load(scenario(tmp_path, {"count": 3, **fleet}, {"own.yaml": MODEL}, **changes))
    data["fleets"]["m/2"] = one
    return Planner(load_text(yaml.safe_dump(data, sort_keys=False), tmp_path / "s.yaml"), host).world()


def test_a_model_file_says_them_and_keeps_them() -> None:
    model = read_model(MODEL, Path("own.yaml"), "model/own.yaml")
    assert model.manners == OF_MODEL
    assert read_model(write_model(model), Path("own.yaml"), "model/own.yaml") == model
    plain = read_model(MODEL.replace("manners:", "# manners:"), Path("own.yaml"), "model/own.yaml")
    assert plain.manners == NONE
    assert "\nmanners:" not in write_model(plain)


def test_a_fleet_and_a_device_replace_single_keys(tmp_path: Path, host: Host) -> None:
    own = {"device": "model/own.yaml", "manners": {"pause": "10 ms", "busy": "0 %"}}
    spec = with_one(tmp_path, host, own, {"manners": {"connections": 2, "write-single": True}})
    of_fleet = replace(OF_MODEL, pause_ns=10 * MS, busy_share=0.0)
    of_one = replace(of_fleet, connections=2, write_single=True)
    assert [device.manners for device in spec.devices] == [of_fleet, of_one, of_fleet]
    assert not any(device.manners for device in planned(tmp_path, host, {}).devices)


def test_what_a_model_does_a_fleet_can_take_away(tmp_path: Path, host: Host) -> None:
    none = {"quiet-after-connect": "0 s", "pause": "0 s", "connections": 0, "more": "refuse", "busy": "0 %"}
    fleet = {"device": "model/own.yaml", "manners": {**none, "write-single": True}}
    assert planned(tmp_path, host, fleet).devices[0].manners == NONE


@pytest.mark.parametrize(
    ("fleet", "links", "words"),
    [
        ({"manners": {"echo": True}}, None, 'fleets.m.manners.echo: "echo" does not go with modbus-tcp'),
        (
            {"manners": {"echo": True}, "protocol": "modbus-ascii"},
            LINE,
            '"echo" does not go with modbus-ascii',
        ),
        ({"manners": {"idle": "1 s"}, "protocol": "modbus-rtu"}, LINE, '"idle" does not go with modbus-rtu'),
        ({"manners": {"pause": "1 s"}, "protocol": "opcua"}, None, '"manners" does not go with opcua'),
        ({"manners": {"more": "drop-first"}}, None, '"more" does nothing without "connections"'),
        ({"manners": {"asleep-after": "1 s"}}, None, '"asleep-after" does nothing without "first-answer"'),
        ({"manners": {"quite-after-connect": "1 s"}}, None, 'did you mean "quiet-after-connect"'),
        ({"manners": {"pause": "1"}}, None, "fleets.m.manners.pause"),
    ],
)
def test_what_does_nothing_is_refused(
    tmp_path: Path, host: Host, fleet: dict[str, Any], links: Any, words: str
) -> None:
    with pytest.raises(ScenarioError) as error:
        planned(tmp_path, host, fleet, **({} if links is None else {"links": links}))
    assert words in str(error.value)


def test_a_unit_id_is_for_devices_on_a_line(tmp_path: Path, host: Host) -> None:
    with pytest.raises(ScenarioError, match="only lines have unit ids"):
        with_one(tmp_path, host, {}, {"unit": 3})
    spec = with_one(tmp_path, host, {"protocol": "modbus-rtu"}, {"unit": 3}, links=LINE)
    assert [device.unit_id for device in spec.devices] == [1, 3, 3]
    assert [one for one in feasibility.warnings(spec) if "unit id" in one] == [
        "line plant/1: m/2 and m/3 have the unit id 3: all of them answer, and garble each other"
    ]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"busy-wait": "400 ms", "retries": "3"}, "3 waits of 400 ms (busy-wait) are not over before"),
        ({"busy-wait": "300 ms", "retries": "3"}, ""),
    ],
)
def test_waits_that_end_at_the_deadline_are_warned_of(
    tmp_path: Path, host: Host, options: dict[str, str], words: str
) -> None:
    from tests.scenarios.cases import COMPONENTS

    driver = {**COMPONENTS["modbus-driver"], "with": {"timeout": "100 ms", **options}}
    found = feasibility.warnings(
        planned(tmp_path, host, {}, components={**COMPONENTS, "modbus-driver": driver})
    )
    assert any(words in one for one in found) if words else not found


def test_c2_silent_for_a_second_after_connect(tmp_path: Path, host: Host) -> None:
    """Polls at 0 and 1 s of 20 are swallowed; all others arrive."""
    found = result(tmp_path, host, fleet={"manners": {"quiet-after-connect": "1500 ms"}})
    assert found.data["ledger"]["due"] == 200
    assert found.data["ledger"]["missed"] == {"timeout": 20}


def test_c5_a_busy_device_costs_what_the_retries_leave(tmp_path: Path, host: Host) -> None:
    """200 polls of one point, 20 % busy, three retries: 200 * (1 - 0.2^4) = 199.7 are delivered; 197 or more in all but
    3 of 10 000 seeds."""
    from tests.scenarios.cases import COMPONENTS

    driver = {**COMPONENTS["modbus-driver"], "with": {"timeout": "200 ms", "retries": "3"}}
    fault = {"at": "0 s", "device-fault": "m", "kind": "busy", "share": "20 %"}
    found = result(
        tmp_path,
        host,
        fleet={
            "device": "model/own.yaml",
            "manners": {"busy": "0 %", "pause": "0 s", "quiet-after-connect": "0 s"},
        },
        models={"own.yaml": MODEL},
        duration="200 s",
        timeline=[fault],
        components={**COMPONENTS, "modbus-driver": driver},
    )
    assert found.data["ledger"]["due"] == 200
    assert found.data["ledger"]["delivered"] >= 197


def test_a_report_says_what_manners_have_done(tmp_path: Path) -> None:
    """Each of 15 requests finds its device busy."""
    text = TINY.replace("device: press-sensor,", "device: press-sensor, manners: {busy: 100 %},")
    (tmp_path / "s.yaml").write_text(text)
    _, document = run_json(tmp_path / "s.yaml")
    assert [note for note in document["notes"] if note.startswith("manners")] == [
        "manners of presses: busy 15, at 3 devices (a request was answered with exception 06)"
    ]
