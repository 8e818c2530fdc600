"""What ``device:`` may name: shipped models, SunSpec by number, recordings; and every way in which a
recording can be wrong."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from twinloop.devices.catalogue import catalog
from twinloop.devices.catalogue.recording import RecordingError, parse
from twinloop.devices.catalogue.sunspec_any import sunspec_model, sunspec_named
from twinloop.devices.catalogue.sunspec_layout import load_model, published
from twinloop.devices.model.device import Device
from twinloop.devices.model.nodes import NodeImage
from twinloop.scenarios.cli.main import main
from twinloop.scenarios.file.datasheet.reading import read_model
from twinloop.scenarios.file.datasheet.writing import write_model
from twinloop.scenarios.file.load import load_text
from twinloop.scenarios.text.errors import ScenarioError

S = 1_000_000_000
RECORDING = """ns,point,value,status,unit
1000,flow,1.5,,l/s
1000,level,2,0,m
2000001000,flow,,0x808C0000,l/s
3000001000,flow,2.5,,l/s
"""
SCENARIO = """format: 2
name: named
seed: 7
duration: 5 s
grace: 10 s
fleets:
  presses: {device: DEVICE, protocol: modbus-tcp, count: 2, poll: 1 s, link: plant, gateway: gw, driver: modbus-driver}
links:
  plant: {preset: lan}
  cloud: {preset: lte}
components:
  modbus-driver: {wasm: modbus-driver.wasm, grants: [fieldbus, clock, log]}
  normalize: {wasm: normalize.wasm, grants: [log]}
  route: {wasm: route.wasm, grants: [log]}
gateways:
  gw: {board: raspberry-pi-4, transform: normalize, policy: route, uplink: {link: cloud}, store: {}}
expect:
  - count(samples.lost) == 0
"""


def scenario(tmp_path: Path, device: str, recording: str = RECORDING) -> Path:
    (tmp_path / "recording").mkdir(exist_ok=True)
    (tmp_path / "recording" / "x.csv").write_text(recording)
    file = tmp_path / "named.yaml"
    file.write_text(SCENARIO.replace("DEVICE", device))
    return file


@pytest.mark.parametrize(
    "device", ["recording/x.csv", "sunspec/103", "sunspec/701", "sunspec/705:2x3:live:texts", "tank"]
)
def test_they_run(tmp_path: Path, device: str, capsys: pytest.CaptureFixture[str]) -> None:
    file = scenario(tmp_path, device)
    assert main(["run", str(file), "--check", "--json", "-"]) == 0
    result = json.loads(capsys.readouterr().out)["results"][0]
    assert result["ledger"]["delivered"] == result["ledger"]["due"] > 0
    assert list(result["recordings"]) == (["recording/x.csv"] if device.startswith("recording") else [])


def test_another_recording_is_another_scenario(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    digests = []
    for text in (RECORDING, RECORDING.replace("2.5", "2.6")):
        assert main(["run", str(scenario(tmp_path, "recording/x.csv", text)), "--json", "-"]) == 0
        digests.append(json.loads(capsys.readouterr().out)["results"][0])
    assert digests[0]["scenario_digest"] != digests[1]["scenario_digest"]
    assert digests[0]["digest"] != digests[1]["digest"]


def test_a_recording_shows_what_it_showed() -> None:
    device = Device(
        model=parse(RECORDING.splitlines()).model("recording/x.csv"), name="d/1", unit_id=1, key=5
    )
    image = NodeImage(device)
    assert [point.unit for point in device.model.points] == ["l/s", "m"]
    assert device.model.lasts_ns == 3 * S
    shown = [[image.read(i, int(t * S)) for i in (0, 1)] for t in (0, 1.999, 2, 2.5, 3, 100)]
    assert [one[0].status for one in shown] == [0, 0, 0x808C0000, 0x808C0000, 0, 0]
    assert [one[0].value for one in (shown[0], shown[1], shown[4], shown[5])] == [1.5, 1.5, 2.5, 2.5]
    assert [one[1].value for one in shown] == [2.0] * 6
    assert image.read(0, S).value == 1.5, "looking back, too"


def test_a_short_recording_is_foreseen(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(scenario(tmp_path, "recording/x.csv"))]) == 0
    assert (
        "recording/x.csv lasts 3 s, the scenario 5 s: then its last values are held"
        in capsys.readouterr().err
    )


WRONG: dict[str, tuple[str, int, str]] = {
    "nothing": ("", 1, "expected the header ns,point,value,status[,unit[,took_ns]], got nothing"),
    "another header": ("time,point,value,status\n", 1, "got time,point,value,status"),
    "no rows": ("ns,point,value,status\n", 1, "no rows"),
    "a column too few": ("ns,point,value,status\n1,a,2\n", 2, "expected 4 columns, got 3"),
    "time goes back": ("ns,point,value,status\n2,a,2,\n1,a,2,\n", 3, "time goes back, from 2 to 1"),
    "time is no number": ("ns,point,value,status\n1.5,a,2,\n", 2, "ns '1.5': not a number"),
    "value is no number": ("ns,point,value,status\n1,a,x,\n", 2, "value 'x': not a number"),
    "value isn't finite": ("ns,point,value,status\n1,a,nan,\n", 2, "a Good value is a finite number"),
    "status": ("ns,point,value,status\n1,a,1,0x1FFFFFFFF\n", 2, "status '0x1FFFFFFFF': not a number"),
    "a point's name": (
        "ns,point,value,status\n1,a.b,1,\n",
        2,
        "point 'a.b': expected letters, digits, - and _",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_recording_that_is_none_is_refused_with_its_line(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text, line, message = WRONG[name]
    with pytest.raises(RecordingError) as raised:
        parse(text.splitlines())
    assert raised.value.line == line
    assert main(["check", str(scenario(tmp_path, "recording/x.csv", text))]) == 3
    err = capsys.readouterr().err
    assert f"x.csv:{line}: " in err
    assert message in err


@pytest.mark.parametrize(
    ("device", "message"),
    [
        ("sunspec/9999", 'unknown SunSpec model "9999"'), ("sunspec/x", 'unknown SunSpec model "x"'), ("sunspec/302:0", "has no numbers in its fixed block, only in its repeating groups"),
        ("sunspec/103:liv", 'unknown option of sunspec/103 "liv"; did you mean "live"?'), ("sunspec/103:2", "sunspec/103:2: SunSpec model 103 has no repeating groups, so it has no instances"),
        ("sunspec/160:2x3", "model 160 has 1 level of repeating groups (module), and instances of 2 were given"), ("sunspec/705:2x3x4", "2 levels of repeating groups (Pt of Crv)"),
        ("sunspec/160:60", "has 543 points in 1210 registers; a device has at most 500 points"), ("sunspec/160:60", "at most sunspec/160:55"),
        ("sunspec/705:2x0", "only the outermost may have 0"), ("sunspec/160:-1", 'unknown option of sunspec/160 "-1"'), ("sunspec/705:2x300", "choose fewer of each"), ("sunspec/64020:99999", "at most sunspec/64020:"),
        ("recording/none.csv", "none.csv: No such file or directory"), ("recording/", "Is a directory"), ("tnak", 'did you mean "tank"?'),
    ],
)  # fmt: skip
def test_a_model_that_does_not_exist_is_named(
    tmp_path: Path, device: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", str(scenario(tmp_path, device))]) == 3
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("protocol: modbus-tcp", "protocol: mqtt", '"poll" does not go with mqtt here: such a device publishes'),
        ("poll: 1 s", "publish: 1 s", '"publish" does not go with modbus-tcp here: such a device is polled'),
        ("poll: 1 s, ", "", 'missing key "poll": how often a device is polled'),
        ("protocol: modbus-tcp, count: 2, poll: 1 s", "protocol: mqtt, count: 2", 'missing key "publish"'),
        ("poll: 1 s", "poll: 1 s, mqtt: {qos: 1}", '"mqtt" does not go with modbus-tcp'),
        ("protocol: modbus-tcp, count: 2, poll: 1 s", "protocol: mqtt, count: 2, publish: 1 s, mqtt: {qos: 2}", "$.fleets.presses.mqtt.qos"),
        ("plant: {preset: lan}", "plant: {serial: 9600 Bd, parity: even, stop: 2}", "a character has a parity bit or a second stop bit"),
        ("plant: {preset: lan}", "plant: {preset: lan, turnaround: 1 ms}", "turnaround belongs to a serial line"),
        ("poll: 1 s", "sampling: 1 s", '"sampling" does not go with modbus-tcp here: such a device is polled'),
        ("modbus-tcp, count: 2, poll: 1 s", "opcua, count: 2, poll: 1 s, sampling: 1 s", '"poll" does not go with opcua here: such a device is sampled'),
        ("modbus-tcp, count: 2, poll: 1 s", "opcua, count: 2, opcua: {publishing: 1 s}", 'missing key "sampling"'),
        ("modbus-tcp, count: 2, poll: 1 s", "opcua, count: 2, sampling: 1500 us", "expected whole milliseconds"),
        ("expect:", "timeline:\n  - {at: 1 s, device-fault: presses, kind: session-kill}\nexpect:", "session-kill is a fault of opcua, presses speaks modbus-tcp"),
        ("expect:", "timeline:\n  - {at: 1 s, device-fault: presses/1, kind: bad-status, point: level, status: BadSensorFailure}\nexpect:", "bad-status is a fault of opcua"),
        ("expect:", "timeline:\n  - {at: 1 s, cut: plant, leg: broker, for: 1 s}\nexpect:", 'unknown leg of plant "broker"'),
    ],
)  # fmt: skip
def test_keys_of_another_protocol_are_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    from twinloop.components.host.host import Host
    from twinloop.scenarios.planning.plan import Planner

    text = SCENARIO.replace("DEVICE", "tank").replace(old, new)
    host = Host()
    try:
        with pytest.raises(ScenarioError) as raised:
            Planner(load_text(text, tmp_path / "named.yaml"), host).world()
    finally:
        host.close()
    assert message in str(raised.value)


@pytest.mark.parametrize("status", ["BadSensorFailur", "Badly"])
def test_a_status_code_has_a_name(tmp_path: Path, status: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = (
        SCENARIO.replace("DEVICE", "tank")
        .replace("modbus-tcp", "opcua")
        .replace("modbus-driver", "opcua-driver")
    )
    file = tmp_path / "named.yaml"
    file.write_text(
        text.replace(
            "expect:",
            f"timeline:\n  - {{at: 1 s, device-fault: presses/1, kind: bad-status, point: level, status: {status}, for: 1 s}}\nexpect:",
        )
    )
    assert main(["check", str(file)]) == 3
    assert f'unknown StatusCode "{status}"' in capsys.readouterr().err


# ---- SunSpec -------------------------------------------------------------------------------------
@pytest.mark.parametrize("number", published())
def test_every_published_model_lies_where_sunspec_says(number: int) -> None:
    """What stands behind its fixed block, tests/scenarios/wire/test_sunspec.py has SunSpec's own client say."""
    model = sunspec_model(number)
    at, where = 40_070, {}
    for raw in load_model(number)["group"]["points"]:
        where[at] = raw
        at += raw["size"]
    device = Device(model=model, name="s/1", unit_id=1, key=5)
    device.advance(10 * S)
    words = device.image.read_words("holding", 40_070, at - 40_070)
    assert words is not None
    assert words[0] == number
    assert device.image.read_words("holding", 40_000, 2) == [0x5375, 0x6E53]
    assert device.image.read_words("holding", 40_072 + words[1], 2) == [0xFFFF, 0]
    for raw in where.values():
        if raw["name"] == "L" and "value" in raw:
            assert words[1] == raw["value"], "some models say themselves how long they are"
    for point in model.points:
        if point.address >= at:
            continue
        raw = where[point.address]
        assert raw["size"] == point.width
        factor = raw.get("sf")
        if isinstance(
            factor, str
        ):  # what a client computes with the factor that it reads is the engineering value
            place = next(address for address, one in where.items() if one["name"] == factor)
            exponent = words[place - 40_070] - (0x10000 if words[place - 40_070] & 0x8000 else 0)
            assert point.scale == pytest.approx(10.0**exponent)


def test_a_sunspec_device_written_as_a_model_file_is_that_device(tmp_path: Path) -> None:
    """All that have a point of a kind that none before them had; the others would only be slow."""
    seen: set[tuple[object, ...]] = set()
    for name in [f"sunspec/{number}{options}" for options in (":live:texts", "") for number in published()]:
        model = sunspec_named(name)
        kinds = {
            (p.type, p.scale, p.writable, bool(p.nan), p.signal.kind, p.power is None) for p in model.points
        }
        if kinds <= seen:
            continue
        seen |= kinds
        read = read_model(write_model(model), tmp_path / "m.yaml", model.name)
        assert replace(read, vendor=model.vendor) == model


def test_no_value_of_a_sunspec_device_is_its_types_sentinel_by_accident() -> None:
    """Values that outgrow their type end at its largest number, which SunSpec reserves."""
    for number in published():
        model = sunspec_model(number)
        device = Device(model=model, name="s/1", unit_id=1, key=5)
        for now_s in (0, 10):
            device.advance(now_s * S)
            for index, point in enumerate(model.points):
                cell, data = (
                    device.image.cell(index),
                    device.image.read_raw("holding", point.address, point.width),
                )
                assert cell is not None
                assert data is not None
                assert not cell.is_none(data), (model.name, point.name, now_s)
                if not cell.floating:
                    assert abs(cell.raw(data)) < cell.high, (model.name, point.name, now_s)


def test_scale_factors_that_move() -> None:
    """What is written or counts keeps its factor; of all others the raw number and its factor change together,
    and the value stays what it is, to the coarser factor's half."""
    model = sunspec_named("sunspec/103:live")
    factors = {point.name: point for point in model.points if point.name.endswith("-sf")}
    assert factors["wh-sf"].signal.kind == "constant"
    assert factors["w-sf"].signal.kind == factors["v-sf"].signal.kind == "square"
    assert sunspec_named("sunspec/123:live").points[-1].signal.kind == "constant", "of what is written"
    device = Device(model=model, name="s/1", unit_id=1, key=5)
    plain = Device(model=sunspec_model(103), name="s/1", unit_id=1, key=5)
    index, power = model.index("ph-vph-a"), model.index("v-sf")
    assert index is not None
    assert power is not None
    point = model.points[index]
    seen: dict[int, int] = {}
    for step in range(0, 1200, 100):
        device.advance(step * 100_000_000)
        words = device.image.read_words("holding", point.address, 1)
        assert words is not None
        exponent = round(device.image.value(power))
        seen[exponent] = words[0]
        assert words[0] * 10.0**exponent == pytest.approx(device.image.value(index))
        assert device.image.value(index) == pytest.approx(230.0, abs=5.0)
    assert sorted(seen) == [-1, 0]
    assert seen[-1] > 2000
    assert seen[0] < 300
    assert plain.model.points[0].power is None


def test_the_catalog_names_what_ships() -> None:
    assert {"tank", "motor", "heater", "meter", "pv-day", "press-sensor"} <= {*catalog.names()}


MQTT = ("mqtt, count: 2, publish", "mqtt-driver")
SUBSCRIBED = ("opcua, count: 2, sampling", "opcua-driver")


@pytest.mark.parametrize(
    ("fleet", "old", "new", "message"),
    [
        (MQTT, "publish: 1 s", "publish: 1 s, mqtt: {keep-alive: 100000 s}", "expected whole seconds, 1 s to 65535 s"),
        (MQTT, "publish: 1 s", "publish: 1 s, mqtt: {keep-alive: 1 ms}", "expected whole seconds"),
        (MQTT, "grants: [fieldbus, clock, log]}", 'grants: [fieldbus, clock, log], with: {client: mine}}', '"client" is each device\'s own'),
        (MQTT, "links:", "  presses/1: {response: 5 ms}\nlinks:", '"response" does not go with mqtt'),
        (MQTT, "links:", "  presses/1: {poll: 5 s}\nlinks:", '"poll" does not go with mqtt'),
        (SUBSCRIBED, "grants: [fieldbus, clock, log]}", "grants: [fieldbus, clock, log], with: {mode: read}}", "opcua-driver.with.mode: the fleet says that"),
        (SUBSCRIBED, "sampling: 1 s", "sampling: 1 ms, opcua: {publishing: 100 s, queue: 1000}", "may bring 10000 values of a device, 5000 are taken"),
        (SUBSCRIBED, "sampling: 1 s", "sampling: 1 s, opcua: {publishing: 1500 us}", "expected whole milliseconds"),
    ],
)  # fmt: skip
def test_what_a_fleet_that_speaks_unasked_can_not_have(
    tmp_path: Path,
    fleet: tuple[str, str],
    old: str,
    new: str,
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = (
        SCENARIO.replace("DEVICE", "tank")
        .replace("modbus-tcp, count: 2, poll", fleet[0])
        .replace("modbus-driver", fleet[1])
    )
    file = tmp_path / "named.yaml"
    file.write_text(text)
    assert main(["check", str(file)]) == 0
    file.write_text(text.replace(old, new, 1))
    assert main(["check", str(file)]) == 3
    assert message in capsys.readouterr().err


def test_a_driver_of_another_protocol_and_a_deadline_that_kills_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = SCENARIO.replace("DEVICE", "tank").replace("modbus-tcp, count: 2, poll", "mqtt, count: 2, publish")
    file = tmp_path / "named.yaml"
    file.write_text(text)
    assert main(["run", str(file)]) == 3
    assert "refused its settings: bad-option 'protocol' (it doesn't speak mqtt)" in capsys.readouterr().err
    limits = "grants: [fieldbus, clock, log], limits: {deadline: 8 s}, with: {wait: 9 s}}"
    file.write_text(
        text.replace("modbus-driver", "mqtt-driver").replace("grants: [fieldbus, clock, log]}", limits)
    )
    assert main(["check", str(file)]) == 0
    assert (
        "it waits 9 s for news, its calls' deadline is 8 s: it is killed waiting; a shorter wait, or"
        in capsys.readouterr().err
    )
    file.write_text(
        text.replace("modbus-driver", "mqtt-driver").replace(
            "grants: [fieldbus, clock, log]}", limits.replace(", with: {wait: 9 s}", "")
        )
    )
    assert main(["check", str(file)]) == 0
    assert "killed" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f"ns,point,value,status\n{'9' * 400},a,1,\n", "beyond what a clock says"), (f"ns,point,value,status\n1,a,{'1' * 140_000},\n", "field larger than"),
        ("ns,point,value,status\n1,a," + "x" * 500 + ",\n", "not a number"),
    ],
)  # fmt: skip
def test_an_absurd_recording_is_one_clear_line(
    tmp_path: Path, text: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", str(scenario(tmp_path, "recording/x.csv", text))]) == 3
    err = capsys.readouterr().err
    assert message in err
    assert len(err.strip().splitlines()) == 1
    assert len(err) < 400


def test_a_byte_order_mark_is_no_part_of_a_recording(tmp_path: Path) -> None:
    assert main(["check", str(scenario(tmp_path, "recording/x.csv", "\ufeff" + RECORDING))]) == 0


def test_a_file_lies_in_its_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(scenario(tmp_path, "recording/../named.yaml"))]) == 3
    assert "leaves its folder" in capsys.readouterr().err
