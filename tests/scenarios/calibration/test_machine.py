"""What a calibration asks this machine, and what it says when it can't."""

from __future__ import annotations

import os
import platform
import signal
import sys
from pathlib import Path
from typing import NoReturn

import pytest

from twinloop.components.host.host import Host
from twinloop.scenarios.calibration import calibrate, components, machine, programs
from twinloop.scenarios.calibration.shapes import Shape
from twinloop.scenarios.calibration.timing import TimedInstance
from twinloop.scenarios.cli.main import main
from twinloop.scenarios.file.load import find, load, load_text
from twinloop.scenarios.runner import run
from twinloop.scenarios.text.errors import MachineError, ScenarioError

SMALL = """\
format: 2
name: small
duration: 3 s
fleets:
  presses: {device: press-sensor, protocol: modbus-tcp, count: 2, poll: 1 s, link: plant, gateway: gw, driver: modbus-driver}
links:
  plant: {preset: lan}
  cloud: {preset: lan}
components:
  modbus-driver: {wasm: modbus-driver.wasm, grants: [fieldbus, clock, log]}
  normalize: {wasm: normalize.wasm, grants: [log]}
  route: {wasm: route.wasm, grants: [log]}
gateways:
  gw: {board: raspberry-pi-4, transform: normalize, policy: route, uplink: {link: cloud}}
expect: ["count(samples.missed) == 0"]
"""


def test_user_addresses_are_those_of_a_kernel() -> None:
    assert machine.address_bits() in range(38, 58)


def test_a_machine_that_no_board_file_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    with pytest.raises(MachineError, match="riscv64"):
        machine.facts()


def test_flash_is_written_and_nothing_is_left(tmp_path: Path) -> None:
    found = machine.flash(tmp_path, 2 << 20, lambda text: None)
    assert found.bytes_per_s > 0
    assert found.sync_ns >= found.sync_cpu_ns > 0
    assert list(tmp_path.iterdir()) == []


def test_flash_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(MachineError, match="can't be measured"):
        machine.flash(tmp_path / "missing", 1 << 20, lambda text: None)


@pytest.mark.parametrize("text", ["rust-typed", "python=x", "by-hand=x", "rust=x", "=x"])
def test_a_host_program_is_named_as_hosts_are(text: str) -> None:
    with pytest.raises(ScenarioError, match="expected NAME=PATH with NAME one of rust-typed, c-api"):
        programs.given(text)


def test_a_host_program_has_to_be_one(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("")
    with pytest.raises(ScenarioError, match="no program that can be run"):
        programs.given(f"rust-typed={tmp_path / 'x'}")


FAKE = """\
import sys
runs = int(sys.argv[3])
for word in sys.argv[4:]:
    print(2, 60, 500)
    print("spent", 1_000_000 + 3_000 * runs, 1_000_000 + 9_000 * runs)
"""


def fake(folder: Path, text: str) -> programs.Program:
    file = folder / "host.py"
    file.write_text(text)
    return programs.Program("c-api", (sys.executable, str(file)))


def test_a_program_is_asked_until_its_calls_last_and_its_start_does_not_count(tmp_path: Path) -> None:
    """It says 1 ms and 3 us a call: 3 us are the call's."""
    (one,) = programs.measured(fake(tmp_path, FAKE), 2, [programs.CALLS[6]])
    assert one.took_ns == pytest.approx(3_000)
    assert one.shape == Shape(1, 1, 1, programs.CALLS[6].values, 60, 500), "one import in two waits"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("raise SystemExit('no such device')", "ended with 1: no such device"),
        ("print('1 2 3')", "expected for each call a line of imports"),
        ("print('hello')\nprint('spent 1 2')", "expected for each call a line of imports"),
        ("", "expected for each call a line of imports"),
    ],
)
def test_a_program_that_says_something_else(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(MachineError, match=said):
        programs.measured(fake(tmp_path, text), 1, [programs.CALLS[0]])


def test_components_of_a_scenario_have_the_shapes_that_its_result_tells() -> None:
    """All calls but the first, which configures: fuel, values and the rest are what the meters say."""
    loaded = load_text(SMALL)
    found = {one.name: one for one in components.measured(loaded, 2, lambda text: None)}
    host = Host(fibers=False)
    try:
        told = run(loaded, components.Options(band="never"), host).data["gateways"]["gw"]["components"]
    finally:
        host.close()
    assert list(found) == ["modbus-driver", "normalize", "route"]
    for name, one in found.items():
        shape = one.shape
        assert shape.calls == len(one.calls) == told[name]["calls"] - (2 if name == "modbus-driver" else 1)
        assert 0 < shape.fuel < told[name]["fuel"]
        assert one.took_ns > 0
    assert found["modbus-driver"].fiber
    assert not found["normalize"].fiber
    assert found["modbus-driver"].shape.exchanges == found["modbus-driver"].shape.calls


def test_a_scenario_with_an_upgrade_is_refused() -> None:
    """The calls of both releases are charged on one meter."""
    with pytest.raises(ScenarioError, match="calls of two releases can't be told apart"):
        components.measured(load(find("upgrade")), 1, lambda text: None)


def test_a_timed_instance_is_an_instance() -> None:
    host = Host()
    host.makes = TimedInstance
    try:
        result = run(load_text(SMALL), components.Options(band="never"), host)
    finally:
        host.close()
    assert result.digest == run(load_text(SMALL), components.Options(band="never")).digest


def test_calibrate_writes_a_new_file_only(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "own.yaml").write_text("mine")
    assert main(["calibrate", str(tmp_path / "own.yaml")]) == 3
    assert "it is there already" in capsys.readouterr().err
    assert main(["calibrate", str(tmp_path / "no" / "own.yaml")]) == 3
    assert "no folder" in capsys.readouterr().err
    for clock in ("fast", "0 GHz"):
        assert main(["calibrate", str(tmp_path / "b.yaml"), "--clock", clock]) == 3
        assert "--clock" in capsys.readouterr().err
    assert main(["calibrate", str(tmp_path / "b.yaml"), "--scenario", "quickstrat"]) == 3
    assert "quickstart" in capsys.readouterr().err
    assert main(["calibrate", str(tmp_path / "b.yaml"), "--title", "x" * 501]) == 3
    assert "--title: expected at most 500" in capsys.readouterr().err
    assert not (tmp_path / "b.yaml").exists()


def measures_nothing(plan: object) -> NoReturn:
    raise AssertionError("it began to measure")


def test_a_scenario_that_cannot_run_is_told_before_anything_is_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calibrate, "calibrated", measures_nothing)
    (tmp_path / "s.yaml").write_text(SMALL.replace("policy: route", "policy: rout"))
    assert main(["calibrate", str(tmp_path / "b.yaml"), "--scenario", str(tmp_path / "s.yaml")]) == 3
    assert 'unknown component "rout"; did you mean "route"?' in capsys.readouterr().err


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_folder_that_takes_no_file_is_told_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calibrate, "calibrated", measures_nothing)
    tmp_path.chmod(0o500)
    assert main(["calibrate", str(tmp_path / "b.yaml")]) == 3
    assert "no file can be written into this folder" in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    """As when the connection to the board ends while its flash is measured."""

    def ended(plan: calibrate.Plan) -> NoReturn:
        machine.flash(plan.flash, 1 << 20, lambda text: signal.raise_signal(number))
        raise AssertionError("the signal wasn't heard")

    monkeypatch.setattr(calibrate, "calibrated", ended)
    assert main(["calibrate", str(tmp_path / "b.yaml")]) == 130
    assert not list(tmp_path.iterdir())


def test_this_machine_is_calibrated_and_its_file_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "here.yaml"
    (tmp_path / "s.yaml").write_text(SMALL.replace("raspberry-pi-4", "./here.yaml"))
    (tmp_path / "small.yaml").write_text(SMALL)
    assert main(["calibrate", str(out), "--quick", "--scenario", str(tmp_path / "small.yaml")]) == 0
    said = capsys.readouterr().out
    assert "a unit of fuel" in said
    assert "fuel of normalize: the board's" in said
    assert main(["boards", "check", str(out)]) == 0
    assert "calibrated on the board" in capsys.readouterr().out
    assert main(["run", str(tmp_path / "s.yaml")]) == 0
