"""`twinloop components`: what is written, what is told, what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.plants import WASM
from tests.wasi_guest import GUEST
from twinloop.scenarios.cli.main import main
from twinloop.scenarios.components.audit import Audited, audited
from twinloop.scenarios.components.starters import WORLDS, languages, roles
from twinloop.scenarios.file.load import load
from twinloop.scenarios.judging.verdict import SCENARIO_ERROR
from twinloop.scenarios.runner import Options

BUILT = WASM.parent / "starters" / "built"
CASES = WASM.parent / "starters" / "cases"


def said(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    """What a command prints; errors go to standard error."""
    assert main(["components", *arguments]) == code
    printed = capsys.readouterr()
    return printed.out if code != SCENARIO_ERROR else printed.err


@pytest.mark.parametrize("language", languages())
def test_a_starter_is_whole(language: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for role in roles(language):
        out = said(capsys, "new", f"my-{role}", "--lang", language, "--role", role, "--into", str(tmp_path))
        folder = tmp_path / f"my-{role}"
        assert f"make -C {folder}" in out
        files = [file for file in folder.rglob("*") if file.is_file()]
        texts = [file.read_text() for file in files if file.suffix not in (".wasm", ".o")]
        assert not [text for text in texts if "@NAME@" in text or "@ROLE@" in text or "@WORLD@" in text]
        names = {file.relative_to(folder).as_posix() for file in files}
        assert {"Makefile", "README.md", f"my-{role}.cases.yaml", "wit/types.wit"} <= names
        assert [name for name in names if name.startswith(f"{role}.")]
        assert not [
            name for name in names for other in WORLDS if other != role and name.startswith(f"{other}.")
        ]


def test_what_cannot_be_begun(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    into = ("--into", str(tmp_path))
    assert 'did you mean "rust"' in said(
        capsys, "new", "x", "--lang", "rus", "--role", "driver", *into, code=SCENARIO_ERROR
    )
    assert "there is one for policy" in said(
        capsys, "new", "x", "--lang", "rego", "--role", "driver", *into, code=SCENARIO_ERROR
    )
    assert "is no name" in said(
        capsys, "new", "My_X", "--lang", "c", "--role", "driver", *into, code=SCENARIO_ERROR
    )
    assert "unknown role" in said(
        capsys, "new", "x", "--lang", "c", "--role", "pilot", *into, code=SCENARIO_ERROR
    )
    said(capsys, "new", "x", "--lang", "c", "--role", "driver", *into)
    assert "exists already" in said(
        capsys, "new", "x", "--lang", "c", "--role", "driver", *into, code=SCENARIO_ERROR
    )


@pytest.mark.parametrize("role", WORLDS)
@pytest.mark.parametrize("language", ["c", "rust", "rego"])
def test_recorded_calls_pass(language: str, role: str, capsys: pytest.CaptureFixture[str]) -> None:
    built = BUILT / f"{language}-{role}.wasm"
    if not built.exists():
        assert language == "rego"
        return
    out = said(capsys, "test", str(built), "--cases", str(CASES / f"{role}.yaml"))
    assert out.splitlines()[-1].startswith("PASS")
    assert "raspberry-pi-4" in out
    assert "start" in out


def test_a_difference_is_told_with_its_place(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "cases.yaml"
    file.write_text((CASES / "transform.yaml").read_text().replace("value: 6.5", "value: 7.5"))
    out = said(capsys, "test", str(BUILT / "c-transform.wasm"), "--cases", str(file), code=1)
    told = "differs  calls[4] (transform-readings): gives.ok.readings[0].value: expected 7.5, got 6.5"
    assert told in out.splitlines()
    assert out.splitlines()[-1].startswith("FAIL")
    driver = (CASES / "driver.yaml").read_text()
    file.write_text(driver.replace("sends: 0001 0000", "sends: 0009 0000"))
    out = said(capsys, "test", str(BUILT / "c-driver.wasm"), "--cases", str(file), code=1)
    assert "it sends 000100000006070300000002, expected 000900000006070300000002" in out


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[]", "expected a mapping with role and calls"),
        ("{role: pilot, calls: []}", 'unknown role "pilot"'),
        ("{role: policy, calls: [{call: decides}]}", 'did you mean "decide"'),
        ("{role: transform, calls: [{call: configure}]}", "calls[0].arguments.settings: expected a mapping"),
        (
            "{role: transform, calls: [{call: configure, arguments: {setings: {}}}]}",
            'did you mean "settings"',
        ),
        (
            "{role: transform, calls: [{call: configure, arguments: {settings: {device: 1}}}]}",
            "settings.device: expected string, got 1",
        ),
        ("{role: driver, calls: [{call: read-sensor, bus: [{sends: zz}]}]}", "calls[0].bus: expected"),
        ("{role: [", "while parsing"),
    ],
)
def test_a_file_of_calls_that_is_wrong(
    text: str, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "cases.yaml"
    file.write_text(text)
    role = "driver" if "driver" in text else "transform"
    assert told in said(
        capsys, "test", str(BUILT / f"c-{role}.wasm"), "--cases", str(file), code=SCENARIO_ERROR
    )


def test_a_component_is_looked_into(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = dict(
        line.split("  ", 1) for line in said(capsys, "inspect", str(WASM / "modbus-driver.wasm")).splitlines()
    )
    assert rows["role"].strip() == "driver, by the contract 0.2"
    assert rows["imports"].strip() == "fieldbus, clock, log"
    assert rows["may need"].strip() == "grants: [fieldbus, clock, log]"
    out = said(capsys, "inspect", str(GUEST))
    assert "wasi:filesystem" in out
    (tmp_path / "x.wasm").write_bytes(b"\0asm\x01\0\0\0")
    assert "x.wasm" in said(capsys, "inspect", str(tmp_path / "x.wasm"), code=SCENARIO_ERROR)
    assert "no such file" in said(capsys, "inspect", str(tmp_path / "y.wasm"), code=SCENARIO_ERROR)


def test_an_audit_names_the_least_that_suffices(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "audit.yaml"
    file.write_text(
        f"""format: 2
name: audit
duration: 3 s
fleets:
  presses: {{device: press-sensor, protocol: modbus-tcp, poll: 1 s, link: plant, gateway: gw, driver: modbus-driver}}
links:
  plant: {{preset: lan}}
components:
  modbus-driver: {{wasm: modbus-driver.wasm, grants: [fieldbus, clock, log, state]}}
  tells: {{wasm: {GUEST}, grants: [log, {{wasi:filesystem: {{/data: {{}}}}}}], with: {{do: stderr open}}}}
  route: {{wasm: route.wasm}}
gateways:
  gw: {{board: raspberry-pi-4, transform: tells, policy: route, uplink: {{link: plant}}}}
expect: [count(samples.due) >= 1]
"""
    )
    out = said(capsys, "audit", str(file))
    blocks = {block.splitlines()[0]: block for block in out.replace("\n  ", "\n\t").split("\n\n") if block}
    text = next(iter(blocks.values()))
    assert "\tspare    state" in text
    assert "least    grants: [fieldbus, clock, log]" in text
    assert "least    grants: [wasi:filesystem]" in text
    assert "\tspare    log" in text
    assert out.splitlines()[-1].startswith("PASS")


def test_an_audit_tells_components_of_one_file_apart(tmp_path: Path) -> None:
    """One polls five times in 5 s, the other one's device twice (at 0 and 3 s): each poll is an exchange."""
    points = "points: {a: {address: 0, type: u16, signal: {kind: constant, level: 1}}}"
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "m.yaml").write_text(
        f"format: 1\ntitle: m\nsource: ours\nstep: 1 s\n{points}\n", encoding="utf-8"
    )
    fleet = "device: model/m.yaml, protocol: modbus-tcp, link: plant, gateway: gw"
    file = tmp_path / "audit.yaml"
    file.write_text(
        f"""format: 2
name: audit
duration: 5 s
fleets:
  often: {{{fleet}, poll: 1 s, driver: one}}
  seldom: {{{fleet}, poll: 3 s, driver: other}}
links:
  plant: {{preset: lan}}
components:
  one: {{wasm: modbus-driver.wasm, grants: [fieldbus, clock, log]}}
  other: {{wasm: modbus-driver.wasm, grants: [fieldbus, clock, log, state]}}
  normalize: {{wasm: normalize.wasm, grants: [log]}}
  route: {{wasm: route.wasm, grants: [log]}}
gateways:
  gw: {{board: raspberry-pi-4, transform: normalize, policy: route, uplink: {{link: plant}}}}
expect: [count(samples.missed) == 0]
""",
        encoding="utf-8",
    )
    _, found = audited(load(file), Options())
    of = {one.name: one for one in found}
    assert [of[name].used["fieldbus.transact"] for name in ("one", "other")] == [5, 2]
    assert [of[name].spare() for name in ("one", "other")] == [[], ["state"]]


def test_several_become_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    guests = Path(__file__).parents[2] / "guests"
    logging, out = guests / "logging" / "logging.wasm", tmp_path / "whole.wasm"
    said(capsys, "compose", str(WASM / "modbus-driver.wasm"), str(logging), "-o", str(out))
    shown = said(capsys, "inspect", str(out)).split()
    assert shown[shown.index("role") + 1] == "driver,"
    text = said(capsys, "compose", str(guests / "example-device" / "example-device.wasm"), "-o", str(out))
    assert "exports example:device/sensor@0.1.0: an adapter makes it a driver" in text
    assert f"{out}: a driver, " in text
    shown = said(capsys, "inspect", str(out))
    assert "twinloop:gateway/driver@0.2.0" in shown
    shown = said(capsys, "inspect", str(guests / "example-device" / "example-device.wasm"))
    assert "driver, by an adapter for example:device/sensor@0.1.0" in shown
    problem = said(
        capsys, "compose", str(logging), str(WASM / "route.wasm"), "-o", str(out), code=SCENARIO_ERROR
    )
    assert "route.wasm is not used by anything" in problem
    problem = said(capsys, "compose", str(logging), "-o", str(out), code=SCENARIO_ERROR)
    assert "has no role: it exports twinloop:gateway/log@0.2.0" in problem


def test_a_folder_stands_for_the_component_in_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    assert "expected one NAME.wasm with NAME.cases.yaml beside it, found none" in said(
        capsys, "test", str(folder), code=SCENARIO_ERROR
    )
    (folder / "mine.wasm").write_bytes((BUILT / "c-policy.wasm").read_bytes())
    assert "no such file of recorded calls" in said(
        capsys, "test", str(folder / "mine.wasm"), code=SCENARIO_ERROR
    )
    (folder / "mine.cases.yaml").write_text((BUILT.parent / "cases" / "policy.yaml").read_text())
    assert "PASS  7 calls" in said(capsys, "test", str(folder))
    (folder / "other.wasm").write_bytes(b"")
    assert "PASS  7 calls" in said(capsys, "test", str(folder)), "it has no recorded calls"
    (folder / "other.cases.yaml").write_text("")
    assert "found mine.wasm, other.wasm" in said(capsys, "test", str(folder), code=SCENARIO_ERROR)


def test_what_a_component_may_need_can_be_written_so(capsys: pytest.CaptureFixture[str]) -> None:
    rows = dict(line.split("  ", 1) for line in said(capsys, "inspect", str(GUEST)).splitlines())
    assert "{wasi:filesystem: {/data: {quota: 64 KiB}}}" in rows["may need"]
    assert "sockets" not in rows["may need"], "a transform can't have them"


def test_an_audit_names_what_was_wanted() -> None:
    one = Audited("x", ["wasi:clocks"], [], {}, {"clocks/monotonic-clock#now": 3})
    assert one.wanted() == ["wasi:clocks"]
    assert one.least() == []
