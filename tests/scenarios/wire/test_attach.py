"""``twinloop attach`` and ``record``: the simulated gateway against devices that ``serve`` exposes in another
process."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from asyncua import Server

from tests import processes
from tests.steady import steady
from twinloop.components.host.host import Host
from twinloop.devices.catalogue.recording import Recording, parse
from twinloop.devices.model.device import Device
from twinloop.devices.opcua.nodeset import nodeset_model
from twinloop.scenarios.cli.main import main
from twinloop.scenarios.file.load import load, load_text
from twinloop.scenarios.judging.verdict import Verdict
from twinloop.scenarios.planning.plan import Planner
from twinloop.scenarios.runner import Options, opened, run
from twinloop.scenarios.text.errors import ScenarioError
from twinloop.scenarios.twin.recorder import Recorder, recordable
from twinloop.scenarios.wire.places import attached, places
from twinloop.sim.accounts.rows import End
from twinloop.sim.kernel.random import RandomStreams
from twinloop.sim.model.spec import PlaceSpec, WorldSpec

MIXER = Path(__file__).parents[3] / "scenarios" / "library" / "nodeset" / "mixer.xml"
SCENARIO = """\
format: 2
name: attached
duration: 3 s
pace: {tolerance: 30 s}  # no test depends on how fast this machine is
fleets:
  presses: {device: press-sensor, protocol: modbus-tcp, count: 3, poll: 250 ms, link: plant, gateway: gw, driver: modbus-driver}
  meters: {device: meter, protocol: modbus-rtu, count: 2, poll: 500 ms, link: line, gateway: gw, driver: modbus-driver}
  tanks: {device: tank, protocol: opcua, count: 2, sampling: 500 ms, link: plant, gateway: gw, driver: opcua-driver}
links:
  plant: {preset: lan}
  line: {serial: 19200 Bd}
  cloud: {preset: lan}
components:
  modbus-driver: {wasm: modbus-driver.wasm, grants: [fieldbus, clock, log]}
  opcua-driver: {wasm: opcua-driver.wasm, grants: [fieldbus, clock, log]}
  normalize: {wasm: normalize.wasm, grants: [log]}
  route: {wasm: route.wasm, grants: [log]}
gateways:
  gw: {board: raspberry-pi-4, transform: normalize, policy: route, uplink: {link: cloud}}
expect: [count(samples.lost) == 0, count(samples.missed) == 0, "p99(latency.gateway) < 30 s"]
"""
WRITES = """\
timeline:
  - {at: 1 s, write: presses/1, point: setpoint, value: 4.5}
  - {at: 2 s, write: tanks/1, point: speed, value: 40}
"""
BELIEVED = """\
format: 1
title: another scale for the force
source: ours
step: 500 ms
points:
  pressure: {address: 0, type: f32, signal: {kind: constant, level: 6}}
  force: {address: 4, type: f32, scale: 10, signal: {kind: constant, level: 12}}
"""


@contextmanager
def serving(folder: Path, text: str = SCENARIO, devices: int = 7) -> Iterator[tuple[Path, processes.Forked]]:
    """The scenario's field in a process of its own: (its map, the process)."""
    (folder / "s.yaml").write_text(text, encoding="utf-8")
    at = folder / "map.json"
    process = processes.twinloop(
        "serve", str(folder / "s.yaml"), "--port", "0", "--opcua-port", "0", "--map", str(at)
    )
    try:
        for _ in range(devices):
            assert process.stdout.readline(), process.stderr.read()
        while not at.exists() or not at.read_text(encoding="utf-8").endswith("}\n"):
            assert process.poll() is None
            time.sleep(0.005)
        yield at, process
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)


def planned(host: Host, text: str = SCENARIO) -> WorldSpec:
    return Planner(load_text(text, Path("s.yaml")), host).world()


def shown(spec: WorldSpec, name: str, recording: Recording, point: str) -> int | None:
    """By how many steps the device that was served is ahead of the readings: every one of them is what its
    model shows then, or within a quarter of a step after that (a request takes its time on a busy machine,
    and the next step may have begun)."""
    device = next(device for device in spec.devices if device.name == name)
    index = device.model.index(point)
    assert index is not None
    model = Device(
        model=device.model, name=name, unit_id=1, key=RandomStreams(spec.seed).key(f"device/{name}")
    )
    values = []
    for step in range(2000):
        model.advance(step * device.model.step_ns)
        values.append(model.image.value(index))
    track = recording.tracks[point]
    for ahead in range(1500):
        for early in (0, device.model.step_ns // 4, device.model.step_ns // 2, 3 * device.model.step_ns // 4):
            begins = [ahead * device.model.step_ns + early + ns for ns in track.at_ns]
            may = [
                {
                    values[ns // device.model.step_ns],
                    values[(ns + device.model.step_ns // 4) // device.model.step_ns],
                }
                for ns in begins
            ]
            if all(
                any(abs(one - value) <= 1e-5 * max(1.0, abs(value)) for one in shows)
                for shows, value in zip(may, track.values, strict=True)
            ):
                return ahead
    return None


@steady
def test_readings_are_what_the_other_process_serves(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Modbus TCP, RTU on a pseudo-terminal, OPC UA: recorded by one process, served by another, equal to the
    model's values."""
    with serving(tmp_path) as (at, _):
        assert (
            main(
                [
                    "record",
                    str(tmp_path / "s.yaml"),
                    "--for",
                    "3 s",
                    "--map",
                    str(at),
                    "--out",
                    str(tmp_path / "rec"),
                ]
            )
            == 0
        )
        said = capsys.readouterr()
        assert "tanks/1 is polled, not subscribed to" in said.err
        (tmp_path / "s.yaml").write_text(SCENARIO + WRITES, encoding="utf-8")
        code = main(
            ["attach", str(tmp_path / "s.yaml"), "--map", str(at), "--json", str(tmp_path / "r.json")]
        )
        out = capsys.readouterr().out
        assert code == 0, out
    result = json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))["results"][0]
    assert result["clock"] == "wire"
    assert result["places"]["presses/2"].startswith("tcp://127.0.0.1:")
    assert result["ledger"]["due"] == result["ledger"]["delivered"] == 3 * 12 * 10 + 2 * 6 * 7 + 2 * 6 * 10
    assert result["reproduce"].startswith("twinloop attach ")
    assert result["reproduce"].endswith(f" --map {at}")
    truth = result["truth"]
    assert (truth["wrong"], truth["commands_wrong"], truth["commands_checked"]) == (0, 0, 2)
    assert truth["asked_elsewhere"] >= 300, (
        "all but what was read before the other process had said what time it is"
    )
    assert "of them by asking the process that serves them" in out
    host = Host()
    try:
        spec = planned(host)
    finally:
        host.close()
    for name, point in (
        ("presses/2", "pressure"),
        ("presses/3", "temperature"),
        ("meters/2", "voltage"),
        ("tanks/1", "level"),
    ):
        recording = parse(
            (tmp_path / "rec" / f"{name.replace('/', '-')}.csv").read_text(encoding="utf-8").splitlines()
        )
        assert len(recording.tracks[point].values) == (12 if name[0] == "p" else 6)
        least = {"p": 12, "m": 0, "t": 5}[
            name[0]
        ]  # a line has no network; OPC UA's first poll takes several exchanges
        assert least <= len(recording.exchanges) <= least + (name[0] == "t")
        assert shown(spec, name, recording, point) is not None, (name, point)


PRESSES = "\n".join(
    line
    for line in SCENARIO.splitlines()
    if not line.startswith(("  meters:", "  tanks:", "  line:", "  opcua-driver:", "expect:"))
)
PRESSES = PRESSES.replace("poll: 250 ms", "poll: 500 ms") + "\nexpect: [count(samples.lost) == 0]\n"
"""how many samples a busy machine misses isn't asked: a run fails for values that are wrong, or for nothing"""


@steady
def test_a_gateway_that_believes_another_table_is_told_by_the_process_that_serves(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its own table can't say so: read by that, every value is right. A device that somebody else puts
    elsewhere isn't asked for."""
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "press.yaml").write_text(BELIEVED, encoding="utf-8")

    def attached_by(*where: str) -> dict[str, Any]:
        command = ["attach", str(tmp_path / "s.yaml"), *where, "--json", str(tmp_path / "r.json")]
        codes.append(main(command))
        found: dict[str, Any] = json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))["results"][0]
        return found

    codes: list[int] = []
    with serving(tmp_path, PRESSES, 3) as (at, _):
        text = PRESSES.replace("device: press-sensor", "device: model/press.yaml")
        (tmp_path / "s.yaml").write_text(text, encoding="utf-8")
        told = attached_by("--map", str(at))["truth"]
        places = {name: entry["url"] for name, entry in json.loads(at.read_text(encoding="utf-8")).items()}
        assert sorted(places) == ["presses/1", "presses/2", "presses/3"]
        alone = attached_by(*(part for name in places for part in ("--device", f"{name}={places[name]}")))
    assert codes == [1, 0], capsys.readouterr().out
    assert told["asked_elsewhere"] == 2 * told["wrong"] >= 6, "one of two points, each time"
    assert told["example"].startswith("presses/")
    assert " force, sample " in told["example"]
    assert told["example"].endswith("(looks like another scale)")
    assert alone["ledger"]["delivered"] >= 6
    assert (alone["truth"]["wrong"], alone["truth"]["asked_elsewhere"]) == (0, 0)


PLATE = """\
format: 1
title: a name plate
source: ours
step: 500 ms
points:
  serial: {address: 0, type: text, length: 2, text: AB12}
  batch: {address: 2, type: text, length: 2, text: CD34}
"""


@steady
def test_a_text_that_is_believed_elsewhere_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two texts of the believed table have changed places: what stands there are texts, and others."""
    (tmp_path / "model").mkdir()
    model = tmp_path / "model" / "plate.yaml"
    text = PRESSES.replace("device: press-sensor", "device: model/plate.yaml")
    out, truths = tmp_path / "r.json", []
    model.write_text(PLATE, encoding="utf-8")
    with serving(tmp_path, text, 3) as (at, _):
        for believed in (
            PLATE,
            PLATE.replace("serial:", "x:").replace("batch:", "serial:").replace("x:", "batch:"),
        ):
            model.write_text(believed, encoding="utf-8")
            code = main(["attach", str(tmp_path / "s.yaml"), "--map", str(at), "--json", str(out)])
            found = json.loads(out.read_text(encoding="utf-8"))["results"][0]
            assert found["ledger"]["delivered"] >= 6, capsys.readouterr().out
            truths.append((code, found["truth"]))
    (right, agreed), (wrong, told) = truths
    assert (right, agreed["wrong"]) == (0, 0)
    assert agreed["asked_elsewhere"] >= 6
    assert wrong == 1
    assert told["asked_elsewhere"] == told["wrong"] >= 6
    said = told["example"].partition(": ")[2]
    assert said in ("read 'CD34', the device showed 'AB12'", "read 'AB12', the device showed 'CD34'")


LINE = "\n".join(
    line
    for line in SCENARIO.splitlines()
    if not line.startswith(("  presses:", "  tanks:", "  plant:", "  opcua-driver:"))
)
LINE = LINE.replace("19200 Bd", "9600 Bd").replace("count(samples.missed) == 0", "count(samples.missed) >= 0")


@steady
def test_a4_a_served_line_and_a_simulated_one_agree_on_what_is_too_late(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A whole answer takes more than 15 ms at 9600 Bd: over a real pseudo-terminal, too, 6 ms are too few for
    it, and 400 ms enough."""
    with serving(tmp_path, LINE, 2) as (at, _):
        for timeout, delivered, cause in (("6 ms", 0, "timeout"), ("400 ms", 84, "")):
            text = LINE.replace(
                "grants: [fieldbus, clock, log]}",
                f"grants: [fieldbus, clock, log], with: {{timeout: {timeout}}}}}",
            )
            (tmp_path / "t.yaml").write_text(text, encoding="utf-8")
            for command in (["run"], ["attach", "--map", str(at)]):
                main([command[0], str(tmp_path / "t.yaml"), *command[1:], "--json", str(tmp_path / "r.json")])
                ledger = json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))["results"][0]["ledger"]
                assert ledger["delivered"] == delivered, (command, timeout, capsys.readouterr().out)
                assert ledger["missed"] == ({cause: 84} if cause else {})


@steady
def test_a_server_that_is_pulled_is_an_outage_in_the_ledger(tmp_path: Path, host: Host) -> None:
    """Its samples are missed, with a cause; nothing else is harmed, and the ledger adds up."""
    with serving(tmp_path) as (at, process):
        spec, _ = attached(planned(host), places([], at))
        with opened(spec, host, None, True) as world:
            world.env.call_at(1_400_000_000, process.terminate)
            assert world.run()
            causes = world.ledger.by_cause(End.MISSED)
            delivered = world.ledger.count(End.DELIVERED)
            assert world.ledger.due == 564
            assert sum(causes.values()) + delivered == 564
            assert delivered >= 180
            assert sum(causes.values()) >= 180
            assert not [cause for cause in causes if cause not in ("disconnected", "timeout", "overrun")], (
                causes
            )
            assert all(gateway.state == "up" and not gateway.supervisor.faults for gateway in world.gateways)


def test_nobody_there(host: Host) -> None:
    """A refused connection, one that is never answered, a terminal that doesn't exist."""
    with socket.create_server(("127.0.0.1", 0)) as deaf, socket.create_server(("127.0.0.1", 0)) as shut:
        free, mute = shut.getsockname()[1], deaf.getsockname()[1]
        shut.close()
        found = {
            "presses/1": f"tcp://127.0.0.1:{free}",
            "presses/2": f"tcp://127.0.0.1:{mute}/9",
            "meters/1": "rtu:///dev/ttyNone?unit=7",
        }
        spec, notes = attached(planned(host), found)
        assert notes == []
        assert spec.devices[1].unit_id == 9
        assert spec.devices[3].place == PlaceSpec("rtu:///dev/ttyNone?unit=7", path="/dev/ttyNone")
        with opened(spec, host, None, True) as world:
            assert world.run()
            by_device = {
                name: {cause: n for (d, end, cause), n in world.ledger.ends.items() if d == i}
                for i, name in enumerate(world.ledger.names)
            }
        assert by_device["presses/1"] == {"disconnected": 120}
        assert set(by_device["presses/2"]) <= {
            "timeout",
            "overrun",
            "disconnected",
            "deadline",
            "driver-fault",
        }
        assert by_device["meters/1"] == {"disconnected": 42}
        assert by_device["meters/2"] == {"": 42}


def test_a_cut_acts_on_real_devices(tmp_path: Path, host: Host) -> None:
    """In front of their sockets; afterwards they are polled again."""
    text = SCENARIO.replace("250 ms", "500 ms") + "timeline:\n  - {at: 400 ms, cut: plant, for: 1 s}\n"
    with serving(tmp_path) as (at, _):
        spec, _ = attached(
            planned(host, text),
            {name: url for name, url in places([], at).items() if name.startswith("presses")},
        )
        with opened(spec, host, None, True) as world:
            later: list[int] = []
            world.latencies.watch_windows(
                True,
                lambda device, points, ns, due_ns: later.append(due_ns) if not device else None,
                lambda *_: None,
            )
            assert world.run()
            # the poll at 500 ms of each; the one at 1 s may be answered when the cut is over, at 1.4 s
            assert world.ledger.count(End.MISSED, devices=[0, 1, 2]) >= 3 * 10
            assert world.ledger.count(End.MISSED, devices=[3, 4]) == 0
            assert later[0] == 0
            assert later[-1] >= 2_000_000_000


@pytest.mark.parametrize(
    ("pair", "text"),
    [
        ("presses/3", 'expected DEVICE=URL, got "presses/3"'),
        ("presses/9=tcp://h", 'unknown device "presses/9"; did you mean'),
        ("presses/3=opc.tcp://h", "presses/3 speaks modbus-tcp, not opcua"),
        ("presses/3=http://h", "presses/3=http://h: expected tcp://"),
        ("presses/3=tcp://h:502/256", 'unit "256": expected 0 to 255'),
        ("presses/3=tcp://h:99999", "Port out of range"),
        ("presses/3=tcp:///1", "expected tcp://"),
        ("meters/1=rtu://host/dev/tty", "expected tcp://"),
        ("meters/1=rtu:///dev/ttyS0?unit=x", 'unit "x": expected 1 to 247'),
        ("tanks/1=opc.tcp://u:p@h", "without user or fragment"),
    ],
)
def test_places_that_cannot_be(pair: str, text: str, host: Host) -> None:
    with pytest.raises(ScenarioError) as error:
        attached(planned(host), places([pair], None))
    assert text in str(error.value)
    assert "--device" in str(error.value)


def test_two_in_one_place_and_nothing_at_all(host: Host, tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match='"presses/2" and "presses/1" are in one place'):
        attached(planned(host), places(["presses/1=tcp://h", "presses/2=tcp://h:502/1"], None))
    with pytest.raises(ScenarioError, match='"presses/1" is given twice'):
        places(["presses/1=tcp://h", "presses/1=tcp://i"], None)
    with pytest.raises(ScenarioError, match="nothing is attached"):
        places([], None)
    (tmp_path / "m.json").write_text("[1]", encoding="utf-8")
    with pytest.raises(ScenarioError, match="no map that twinloop serve has written"):
        places([], tmp_path / "m.json")


def test_what_cannot_be_done_to_a_real_device_is_said(host: Host) -> None:
    text = (
        SCENARIO
        + "timeline:\n  - {at: 1 s, device-fault: presses, kind: silent, for: 1 s}\n  - {at: 1 s, degrade: plant, to: {delay: 5 ms}, for: 1 s}\n"
    )
    spec, notes = attached(planned(host, text), {"presses/3": "tcp://h"})
    assert notes == [
        "device-fault presses at 1 s: nothing happens to presses/3: real devices",
        "degrade plant at 1 s: nothing happens to real devices, which have a network of their own",
    ]
    assert len(spec.timeline) == 2


def test_a_recording_of_the_model_itself_and_missed_samples(host: Host, tmp_path: Path) -> None:
    """Nothing is attached: as fast as possible; what was missed is a row with a Bad status."""
    text = (
        SCENARIO
        + "timeline:\n  - {at: 1 s, device-fault: presses/1, kind: silent, for: 1 s}\n  - {at: 1 s, cut: cloud, for: 1 s}\n"
    )
    spec = recordable(planned(host, text), 4_000_000_000)
    assert [action.verb for action in spec.timeline] == ["device-fault"]
    with opened(spec, host) as world:
        recorder = Recorder(world, [0, 5], tmp_path)
        try:
            assert world.run()
        finally:
            recorder.close()
    recording = parse((tmp_path / "presses-1.csv").read_text(encoding="utf-8").splitlines())
    statuses = recording.tracks["pressure"].statuses
    assert 0 < sum(status >> 31 for status in statuses) < len(statuses) == 16
    assert sum(took >= 0 for _, took in recording.exchanges) == statuses.count(0)
    assert (
        0
        < sum(took < 0 for _, took in recording.exchanges)
        == sum(status == 0x800A0000 for status in statuses)
    )
    with opened(spec, host) as world, pytest.raises(ScenarioError, match=r"presses-1\.csv: File exists"):
        Recorder(world, [0], tmp_path)


def test_the_clock_of_a_run_with_real_devices_is_the_walls(host: Host, tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(SCENARIO.replace("duration: 3 s", "duration: 500 ms"), encoding="utf-8")
    result = run(load(tmp_path / "s.yaml"), Options(places={"presses/1": "tcp://127.0.0.1:1"}), host)
    assert result.verdict is Verdict.FAIL
    assert result.data["clock"] == "wire"
    assert result.data["run"]["wall_s"] >= 0.5
    assert result.data["ledger"]["missed"]["disconnected"] == 20


def test_a_machine_that_is_too_late_measures_nothing(host: Host, tmp_path: Path) -> None:
    text = SCENARIO.replace("duration: 3 s", "duration: 200 ms").replace("tolerance: 30 s", "tolerance: 1 ns")
    (tmp_path / "s.yaml").write_text(text, encoding="utf-8")
    result = run(load(tmp_path / "s.yaml"), Options(places={"presses/1": "tcp://127.0.0.1:1"}), host)
    assert result.verdict is Verdict.INVALID
    assert any("later than pace.tolerance" in note for note in result.notes)


MIXERS = """\
format: 2
name: mixers
duration: 2 s
pace: {tolerance: 30 s}
fleets:
  mixers: {device: nodeset/mixer.xml, protocol: opcua, count: 1, poll: 500 ms, link: plant, gateway: gw, driver: opcua-driver}
links: {plant: {preset: lan}, cloud: {preset: lan}}
components:
  opcua-driver: {wasm: opcua-driver.wasm, grants: [fieldbus, clock, log]}
  normalize: {wasm: normalize.wasm, grants: [log]}
  route: {wasm: route.wasm, grants: [log]}
gateways:
  gw: {board: raspberry-pi-4, transform: normalize, policy: route, uplink: {link: cloud}}
expect: ["ratio(samples.delivered{quality=good}) == 100 %"]
"""


@contextmanager
def mixer_elsewhere(nodes: bool) -> Iterator[str]:
    """asyncua's own server with a namespace of somebody else's before the mixer's; without ``nodes`` it has
    that one only. Gives its URL."""
    loop, started, ended = asyncio.new_event_loop(), threading.Event(), asyncio.Event()
    url: list[str] = []

    async def serve() -> None:
        server = Server()
        await server.init()
        with socket.create_server(("127.0.0.1", 0)) as free:
            url.append(f"opc.tcp://127.0.0.1:{free.getsockname()[1]}/")
        server.set_endpoint(url[0])
        await server.register_namespace("urn:somebody:else")
        if nodes:
            await server.import_xml(xmlstring=nodeset_model(MIXER.read_text(), "m").nodeset)
        async with server:
            started.set()
            await ended.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    try:
        assert started.wait(30)
        yield url[0]
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join()


@steady
def test_b5_a_server_with_other_namespace_indexes_is_read_by_uri(
    tmp_path: Path, host: Host, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "nodeset").mkdir()
    (tmp_path / "nodeset" / "mixer.xml").write_bytes(MIXER.read_bytes())
    (tmp_path / "s.yaml").write_text(MIXERS)
    with mixer_elsewhere(True) as url:
        result = run(load(tmp_path / "s.yaml"), Options(places={"mixers/1": url}), host)
    assert result.verdict is Verdict.PASS, result.data["quality"]
    assert result.data["ledger"]["delivered"] == result.data["ledger"]["due"] == 20
    with mixer_elsewhere(False) as url:
        assert main(["attach", str(tmp_path / "s.yaml"), "--device", f"mixers/1={url}"]) == 3
    said = " ".join(capsys.readouterr().err.split())
    assert (
        f"mixers/1: the server at {url} has 0 of 5 nodes; it doesn't know nsu=urn:twinloop:mixer;i=6001"
        in said
    )
