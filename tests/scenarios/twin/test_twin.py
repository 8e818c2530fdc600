"""``fit``, ``compare`` and ``twin:``: parameters that are known are recovered within what is said of them, a
device that drifts is named."""

from __future__ import annotations

import json
import random
import signal as signals
import time
from pathlib import Path

import numpy as np
import pytest

from tests import processes
from twinloop.components.host.host import Host
from twinloop.devices.catalogue import catalog
from twinloop.devices.catalogue.recording import Recording, parse
from twinloop.devices.model.device import Device
from twinloop.devices.model.signal import Signal
from twinloop.scenarios.cli.main import main
from twinloop.scenarios.file.datasheet.reading import read_model
from twinloop.scenarios.file.datasheet.writing import write_model
from twinloop.scenarios.file.load import load_text
from twinloop.scenarios.planning.plan import Planner
from twinloop.scenarios.runner import opened
from twinloop.scenarios.twin.alignment import best_phase, turned
from twinloop.scenarios.twin.compare import compare
from twinloop.scenarios.twin.fit import fit, model_of
from twinloop.scenarios.twin.recorder import Recorder, recordable
from twinloop.scenarios.twin.series import Series
from twinloop.scenarios.twin.shapes import all_shapes
from twinloop.scenarios.twin.twin import resumed, twin
from twinloop.sim.model.spec import WorldSpec

SCENARIO = """\
format: 2
name: twins
duration: 20 h
fleets:
  presses: {device: press-sensor, protocol: modbus-tcp, count: 3, poll: 19 s, link: plant, gateway: gw, driver: modbus-driver}
links:
  plant: {delay: 2 ms, jitter: 500 us, bursts: {p: 1 %, r: 40 %}}
  cloud: {preset: lan}
components:
  modbus-driver: {wasm: modbus-driver.wasm, grants: [fieldbus, clock, log]}
  normalize: {wasm: normalize.wasm, grants: [log]}
  route: {wasm: route.wasm, grants: [log]}
gateways:
  gw: {board: raspberry-pi-4, transform: normalize, policy: route, uplink: {link: cloud}}
timeline:
  - {at: 5 h, device-fault: presses/2, kind: drift, point: pressure, value: 0.00001}
  - {at: 9 h, device-fault: presses/3, kind: stuck, point: temperature}
"""

SHAPES = {
    "sine": lambda n: (
        Signal("sine", 6.0, 1.5, n, noise=0.05),
        0.0,
        {"level": 6.0, "swing": 1.5, "period_s": n, "noise": 0.05, "drift a day": 0.0},
    ),
    "square": lambda n: (
        Signal("square", 12.0, 240.0, n, 0.4, noise=1.2),
        0.0,
        {"level": 12.0, "swing": 240.0, "period_s": n, "noise": 1.2, "duty": 0.4},
    ),
    "ramp": lambda n: (Signal("ramp", 1.0, 240.0, n), 0.1, {"level": 1.0, "swing": 240.0, "period_s": n}),
    "reversion": lambda n: (
        Signal("reversion", 55.0, 0.3, duty=0.1),
        0.0,
        {"level": 55.0, "pull a step": 0.1, "swing a step": 0.3},
    ),
    "walk": lambda n: (Signal("walk", 3.0, 0.3), 0.0, {"swing a step": 0.3}),
    "counter": lambda n: (Signal("counter", 12.0, 0.4), 1.0, {"level": 12.0, "rate a second": 0.4}),
    "constant": lambda n: (
        Signal("constant", 6.0, noise=0.3, drift=0.001),
        0.0,
        {"level": 6.0, "noise": 0.3, "drift a day": 86.4},
    ),
    "step": lambda n: (
        Signal("step", 6.0, 3.0, 300, noise=0.3),
        0.0,
        {"level": 6.0, "swing": 3.0, "at_s": 300.0, "noise": 0.3},
    ),
}


def readings(signal: Signal, quantum: float, key: int, count: int) -> Series:
    shape = signal.build(key)
    y = np.array([shape(k) for k in range(count)])
    return Series(np.arange(count) * 1.0, np.rint(y / quantum) * quantum if quantum else y, 1.0)


@pytest.mark.parametrize("kind", SHAPES)
def test_known_parameters_are_recovered_within_what_is_said_of_them(kind: str) -> None:
    """Two standard errors are to hold 95 of 100 times; of 40 recordings here, at least 33 for each figure
    (binomial: less once in 2000)."""
    draws = random.Random(17)
    held: dict[str, int] = {}
    right = 0
    for _ in range(40):
        signal, quantum, truth = SHAPES[kind](draws.randrange(21, 100))
        series = readings(signal, quantum, draws.getrandbits(64), draws.choice((600, 1500)))
        shape = min(all_shapes(series), key=lambda one: one.criterion)
        right += shape.signal.kind == kind
        if shape.signal.kind == kind:
            for name, true in truth.items():
                held[name] = held.get(name, 0) + (
                    abs(shape.estimates[name].value - true) <= shape.estimates[name].error
                )
    assert right >= 38
    assert {name: count for name, count in held.items() if count < 33 * right / 40} == {}


def planned(host: Host, text: str = SCENARIO, folder: Path = Path()) -> WorldSpec:
    return Planner(load_text(text, folder / "s.yaml"), host).world()


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty hours of the scenario's presses."""
    folder = tmp_path_factory.mktemp("recorded")
    host = Host()
    try:
        spec = recordable(planned(host), 20 * 3600 * 10**9)
        with opened(spec, host) as world:
            recorder = Recorder(world, range(3), folder / "recording")
            try:
                assert world.run()
            finally:
                recorder.close()
    finally:
        host.close()
    return folder


def of(folder: Path, number: int) -> Recording:
    return parse((folder / "recording" / f"presses-{number}.csv").read_text(encoding="utf-8").splitlines())


def test_a_link_is_recovered_from_how_long_exchanges_took(recorded: Path) -> None:
    """Three legs of one link, each with draws of its own: two of three within two standard errors, all within
    four."""
    truth = {"delay_ns": 2e6, "jitter_ns": 5e5, "p": 0.01, "r": 0.4, "loss": 0.01 / 0.41}
    within = dict.fromkeys(truth, 0)
    for number in (1, 2, 3):
        fitted = fit(of(recorded, number), response_ns=1_000_000)
        link = fitted.link
        assert link is not None
        assert link.bursty
        assert fitted.step_ns == 19_000_000_000
        for name, true in truth.items():
            figure = getattr(link, name)
            within[name] += abs(figure.value - true) <= figure.error
            assert abs(figure.value - true) <= 2.0 * figure.error, (name, figure)
            assert figure.error < 0.5 * true
    assert min(within.values()) >= 2, within


def test_a_device_that_drifts_is_named_with_the_hour(
    recorded: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [str(recorded / "recording" / f"presses-{n}.csv") for n in (1, 2, 3)]
    (tmp_path / "s.yaml").write_text(SCENARIO, encoding="utf-8")
    code = main(
        [
            "compare",
            *files,
            "--scenario",
            str(tmp_path / "s.yaml"),
            "--fleet",
            "presses",
            "--json",
            str(tmp_path / "c.json"),
        ]
    )
    assert code == 1
    said = [line for line in capsys.readouterr().out.splitlines() if "LEFT" in line]
    assert len(said) == 2
    assert said[0].startswith("pressure ")
    assert "drifts by +0.8" in said[0]
    assert "a day since 4 h 5" in said[0] or "a day since 5 h 0" in said[0]
    assert said[1].startswith("temperature ")
    assert "stands still since 9 h 00 min" in said[1] or "stands still since 8 h 59 min" in said[1]
    found = json.loads((tmp_path / "c.json").read_text(encoding="utf-8"))
    sound = next(points for name, points in found.items() if name.endswith("presses-1.csv"))
    assert [point["left_ns"] for point in sound] == [None] * 10
    assert main(["compare", files[0], "--model", "press-sensor"]) == 0


def test_a_fitted_model_is_a_device_of_a_scenario(
    recorded: Path, tmp_path: Path, host: Host, capsys: pytest.CaptureFixture[str]
) -> None:
    """Written, read back, run, recorded: it shows what it was fitted to."""
    file = str(recorded / "recording" / "presses-1.csv")
    assert main(["fit", file, "--like", "press-sensor", "--out", str(tmp_path / "model" / "press.yaml")]) == 0
    out = capsys.readouterr().out
    assert "in a scenario: {delay: 1" in out or "in a scenario: {delay: 2" in out
    assert main(["fit", file, "--out", str(tmp_path / "model" / "press.yaml")]) == 3
    assert "File exists" in capsys.readouterr().err
    text = SCENARIO.replace("device: press-sensor", "device: model/press.yaml").split("timeline:")[0]
    spec = planned(host, text, tmp_path)
    model = spec.devices[0].model
    assert [point.address for point in model.points] == [
        point.address for point in catalog.model("press-sensor").points
    ]
    assert compare(of(recorded, 1), model)[0].left_ns is None
    assert (
        load_text(text, tmp_path / "s.yaml")
        .models.of("model/press.yaml", ())
        .source.startswith("fitted to presses-1.csv (sha256 ")
    )


def test_a_model_file_keeps_every_figure(tmp_path: Path) -> None:
    for name in ("press-sensor", "energy-meter", "battery"):
        model = catalog.model(name)
        again = read_model(write_model(model), tmp_path / "m.yaml", name)
        assert [
            (p.name, p.table, p.address, p.type, p.scale, p.unit, p.low, p.high, p.writable)
            for p in again.points
        ] == [
            (p.name, p.table, p.address, p.type, p.scale, p.unit, p.low, p.high, p.writable)
            for p in model.points
        ]
        for key in (1, 2):
            one = Device(model=model, name="d", unit_id=1, key=key)
            other = Device(model=again, name="d", unit_id=1, key=key)
            for step in (0, 3, 500):
                one.advance(step * model.step_ns)
                other.advance(step * model.step_ns)
                assert [one.image.value(i) for i in range(len(model.points))] == [
                    other.image.value(i) for i in range(len(model.points))
                ]
    with pytest.raises(ValueError, match="moves by physics"):
        write_model(catalog.model("tank"))


def test_what_is_no_model_file_is_refused_with_its_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = write_model(catalog.model("press-sensor"))
    cases = [
        ("format: 1", "format: 2", "expected 1"),
        ("type: f32", "type: f33", "expected 'u8'"),
        ("kind: sine", "kind: sinus", 'did you mean "sine"'),
        ("step: 500 ms", "step: 0 s", "over 0"),
        ("address: 2\n", "address: 1\n", "both lie at holding 1"),
        ("title:", "titel:", "titel"),
    ]
    for old, new, message in cases:
        assert old in good
        (tmp_path / "m.yaml").write_text(good.replace(old, new, 1), encoding="utf-8")
        assert main(["compare", str(tmp_path / "x.csv"), "--model", str(tmp_path / "m.yaml")]) == 3
        error = capsys.readouterr().err
        assert message in error, error
        assert "m.yaml:" in error


@pytest.mark.parametrize("signal", [
    Signal("sine", 6.0, 1.5, 300, noise=0.05), Signal("ramp", 2.0, -5.0, 97), Signal("square", 1.0, 3.0, 400, 0.3), Signal("sine", 0.0, 2.0, 9001),
])  # fmt: skip
def test_the_phase_of_a_recording_is_found(signal: Signal) -> None:
    for true in (0, 1, signal.period // 3, signal.period - 1):
        steps = np.arange(0, 2 * signal.period, 7)
        found = best_phase(signal, steps, turned(signal, steps + true))
        assert min((found - true) % signal.period, (true - found) % signal.period) <= 4


def test_a_twin_begins_where_the_recording_ends(recorded: Path) -> None:
    """Every kind of signal of a press: what it shows next is what the press shows next."""
    recording = of(recorded, 1)
    model = catalog.model("press-sensor")
    made = twin(model, recording, "recording/presses-1.csv")
    assert made.name == "press-sensor from recording/presses-1.csv"
    device = Device(model=made, name="twin", unit_id=1, key=5)
    device.advance(0)
    last = {name: track.values[-1] for name, track in recording.tracks.items()}
    shown = {point.name: device.image.value(i) for i, point in enumerate(made.points)}
    for name, tolerance in (
        ("pressure", 0.25),
        ("temperature", 1e-4),
        ("vibration", 0.011),
        ("oil-level", 0.11),
        ("cycles", 1.0),
        ("energy", 1.0),
        ("state", 0.0),
        ("setpoint", 0.0),
    ):
        value = shown[name]
        assert value is not None
        assert abs(value - last[name]) <= tolerance, name
    with pytest.raises(ValueError, match="it has no Good reading of meter's points"):
        twin(catalog.model("meter"), recording, "r")


def test_counters_and_writes_go_on_after_a_gap() -> None:
    track = parse(["ns,point,value,status", "0,a,5,0", "1000000000,a,6,0", "4000000000,b,1,0"]).tracks["a"]
    assert resumed(Signal("counter", 0.0, 1.0), track, 4_000_000_000, 1_000_000_000).level == 9.0
    assert resumed(Signal("constant", 2.0, noise=0.1), track, 4_000_000_000, 1_000_000_000).level == 5.5
    assert resumed(Signal("step", 2.0, 3.0, 9), track, 4_000_000_000, 1_000_000_000) == Signal(
        "constant", 6.0, 0.0, 9
    )


PHYSICS = """\
format: 2
name: physics
duration: 60 s
fleets:
  tanks: {device: tank, protocol: modbus-tcp, count: 1, poll: 1 s, link: plant, gateway: gw, driver: modbus-driver}
links: {plant: {preset: lan}, cloud: {preset: lan}}
components:
  modbus-driver: {wasm: modbus-driver.wasm, grants: [fieldbus, clock, log]}
  normalize: {wasm: normalize.wasm, grants: [log]}
  route: {wasm: route.wasm, grants: [log]}
gateways:
  gw: {board: raspberry-pi-4, transform: normalize, policy: route, uplink: {link: cloud}}
"""


def test_physics_goes_on_and_is_compared_with_the_inputs_that_were_recorded(
    tmp_path: Path, host: Host
) -> None:
    """The pump of a tank is switched off; its twin in a scenario begins at the level of then; beside the
    model it stays in its band."""

    def record(text: str, folder: str) -> Recording:
        with opened(recordable(planned(host, text, tmp_path), 120_000_000_000), host) as world:
            recorder = Recorder(world, [0], tmp_path / folder)
            try:
                assert world.run()
            finally:
                recorder.close()
        return parse((tmp_path / folder / "tanks-1.csv").read_text(encoding="utf-8").splitlines())

    off = PHYSICS + "timeline:\n  - {at: 40 s, write: tanks/1, point: pump, value: 0}\n"
    first = record(off, "recording")
    assert [point.point for point in compare(first, catalog.model("tank")) if point.left_ns is not None] == []
    second = record(PHYSICS.replace("device: tank,", "device: tank, twin: recording/tanks-1.csv,"), "again")
    assert abs(second.tracks["level"].values[0] - first.tracks["level"].values[-1]) < 0.01
    assert abs(second.tracks["level"].values[0] - 1.5) > 0.05, "where a tank begins otherwise"
    assert second.tracks["pump"].values[0] == 0.0
    leaking = {
        **first.tracks,
        "level": first.tracks["level"]._replace(
            values=[v - 0.0005 * i for i, v in enumerate(first.tracks["level"].values)]
        ),
    }
    (level,) = [
        point
        for point in compare(first._replace(tracks=leaking), catalog.model("tank"))
        if point.point == "level"
    ]
    assert level.left_ns is not None
    overridden = PHYSICS.replace("fleets:\n", "fleets:\n  tanks/1: {twin: recording/tanks-1.csv}\n")
    assert planned(host, overridden, tmp_path).devices[0].model.name == "tank from recording/tanks-1.csv"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("twin: press.csv", "a twin begins where a recording ends: expected recording/FILE.csv"),
        ("twin: recording/none.csv", "recording/none.csv: No such file"),
        ("twin: recording/../x.csv", "leaves its folder"),
        ("twin: recording/empty.csv", "no rows"),
        ("twin: recording/other.csv", "it has no Good reading of tank's points"),
    ],
)
def test_a_twin_that_cannot_be(
    tmp_path: Path, given: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "recording").mkdir()
    (tmp_path / "recording" / "empty.csv").write_text("ns,point,value,status\n", encoding="utf-8")
    (tmp_path / "recording" / "other.csv").write_text(
        "ns,point,value,status\n1,nothing,1,0\n", encoding="utf-8"
    )
    (tmp_path / "s.yaml").write_text(
        PHYSICS.replace("device: tank,", f"device: tank, {given},") + "expect: [count(samples.lost) == 0]\n",
        encoding="utf-8",
    )
    assert main(["check", str(tmp_path / "s.yaml")]) == 3
    assert message in capsys.readouterr().err


def test_commands_that_cannot_be(tmp_path: Path, recorded: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = str(recorded / "recording" / "presses-1.csv")
    (tmp_path / "short.csv").write_text("ns,point,value,status\n1,pressure,1,0\n", encoding="utf-8")
    (tmp_path / "wrong.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    cases = [
        (["compare", file], "say which model"),
        (["compare", file, "--fleet", "presses"], "say which model"),
        (["compare", file, "--model", "pres-sensor"], 'did you mean "press-sensor"'),
        (["compare", file, "--model", "meter"], "it has no point of meter"),
        (["compare", str(tmp_path / "none.csv"), "--model", "tank"], "none.csv: No such file"),
        (["compare", str(tmp_path / "wrong.csv"), "--model", "tank"], "wrong.csv:1: expected the header"),
        (["compare", file, "--scenario", "quickstart", "--fleet", "pressen"], 'unknown fleet "pressen"'),
        (["fit", str(tmp_path / "short.csv")], "no two Good readings of a point"),
        (["fit", file, "--like", "motor"], "motor has no point pressure"),
        (["fit", file, "--response", "fast"], "--response"),
        (["record", "quickstart", "--for", "soon"], "--for"),
    ]
    for arguments, message in cases:
        assert main(arguments) == 3, arguments
        assert message in capsys.readouterr().err, arguments


WIRE = """\
format: 2
name: wire
duration: 10 s
fleets:
  fast: {device: model/fast.yaml, protocol: modbus-tcp, count: 2, poll: 20 ms, link: plant, gateway: gw, driver: modbus-driver}
links: {plant: {}, cloud: {preset: lan}}
components:
  modbus-driver: {wasm: modbus-driver.wasm, grants: [fieldbus, clock, log]}
  normalize: {wasm: normalize.wasm, grants: [log]}
  route: {wasm: route.wasm, grants: [log]}
gateways:
  gw: {board: raspberry-pi-4, transform: normalize, policy: route, uplink: {link: cloud}}
timeline:
  - {at: 5 s, device-fault: fast/2, kind: drift, point: pressure, value: 0.5}
"""
FAST = """\
format: 1
title: A fast press
source: ours
step: 20 ms
points:
  pressure: {address: 0, type: f32, unit: bar, signal: {kind: sine, level: 6.0, swing: 1.5, period: 1260 ms, noise: 0.05}}
  flow: {address: 2, type: f32, unit: l/s, signal: {kind: constant, level: 3.0, noise: 0.2}}
"""


def test_a_served_device_is_recorded_fitted_and_compared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Over real sockets, from another process: parameters within four standard errors (which readings are
    taken isn't the same each time, and two hold 95 times of 100); the one that drifts is named, with the
    second."""
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "fast.yaml").write_text(FAST, encoding="utf-8")
    (tmp_path / "s.yaml").write_text(WIRE, encoding="utf-8")
    at = tmp_path / "map.json"
    process = processes.twinloop("serve", str(tmp_path / "s.yaml"), "--port", "0", "--map", str(at))
    try:
        assert process.stdout.readline()
        while not at.exists() or not at.read_text(encoding="utf-8").endswith("}\n"):
            assert process.poll() is None
            time.sleep(0.005)
        assert (
            main(
                [
                    "record",
                    str(tmp_path / "s.yaml"),
                    "--for",
                    "9 s",
                    "--map",
                    str(at),
                    "--out",
                    str(tmp_path / "recording"),
                ]
            )
            == 0
        )
    finally:
        process.send_signal(signals.SIGTERM)
        process.communicate(timeout=20)
    sound = parse((tmp_path / "recording" / "fast-1.csv").read_text(encoding="utf-8").splitlines())
    fitted = {point.name: point.shape for point in fit(sound).points}
    assert fitted["pressure"] is not None
    assert fitted["flow"] is not None
    assert fitted["pressure"].signal.kind == "sine"
    for shape, name, true in (
        (fitted["pressure"], "level", 6.0),
        (fitted["pressure"], "swing", 1.5),
        (fitted["flow"], "level", 3.0),
    ):
        assert abs(shape.estimates[name].value - true) <= 2.0 * shape.estimates[name].error, (
            name,
            shape.estimates[name],
        )
    assert abs(fitted["pressure"].estimates["period_s"].value - 1.26) < 0.01
    capsys.readouterr()
    files = [str(tmp_path / "recording" / f"fast-{n}.csv") for n in (1, 2)]
    assert main(["compare", *files, "--model", str(tmp_path / "model" / "fast.yaml")]) == 1
    left = [line for line in capsys.readouterr().out.splitlines() if "LEFT" in line or "beside" in line]
    assert "fast-1.csv" in left[0]
    assert "fast-2.csv" in left[1]
    assert left[2].startswith("pressure")
    assert len(left) == 3
    assert "drifts by +" in left[2]


def test_a_model_without_a_map_is_laid_out_anew(recorded: Path) -> None:
    model = model_of(fit(of(recorded, 1)), "m", "s", None)
    assert [(point.table, point.address, point.type) for point in model.points[:2]] == [
        ("holding", 0, "f64"),
        ("holding", 4, "f64"),
    ]
    assert len(model.points) == 10


@pytest.mark.parametrize(
    ("head", "row", "said"),
    [("", "", "it has no column took_ns"), (",unit,took_ns", ",,", "column took_ns is empty")],
)
def test_a_column_that_is_empty_is_not_called_missing(head: str, row: str, said: str) -> None:
    rows = [f"{i * 1_000_000_000},pressure,{100 + i % 3},0{row}" for i in range(100)]
    assert (
        f"how long exchanges took: {said}" in fit(parse([f"ns,point,value,status{head}", *rows])).why_no_link
    )
