"""Upgrades in a scenario file, and the registry's commands: what is refused, what a result tells."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.plants import WASM
from tests.scenarios.shipped_runs import ShippedRuns
from twinloop.components.host.host import Host
from twinloop.scenarios.cli.main import main
from twinloop.scenarios.file.load import LIBRARY, load_text
from twinloop.scenarios.planning.feasibility import warnings
from twinloop.scenarios.planning.plan import Planner
from twinloop.scenarios.planning.timeline import possible_events
from twinloop.sim.kernel.clock import S

TEXT = (
    (LIBRARY / "upgrade.yaml")
    .read_text()
    .replace("path: registry", f"path: {LIBRARY}/registry")
    .replace("[registry/", f"[{LIBRARY}/registry/")
)
ENTRY = "{at: 20 s, upgrade: gw/normalize, version: 1.1.0}"

MISTAKES: dict[str, tuple[str, str, str]] = {
    "a gateway": (
        ENTRY,
        "{at: 20 s, upgrade: gx/normalize, version: 1.1.0}",
        '$.timeline[0].upgrade: unknown gateway "gx"; did you mean "gw"?',
    ),
    "a component": (
        ENTRY,
        "{at: 20 s, upgrade: gw/normalise, version: 1.1.0}",
        'unknown component of gw "normalise"; did you mean "normalize"?',
    ),
    "no version": (ENTRY, "{at: 20 s, upgrade: gw/normalize}", 'upgrade needs "version"'),
    "a version that is none": (
        ENTRY,
        "{at: 20 s, upgrade: gw/normalize, version: v2}",
        "$.timeline[0].version",
    ),
    "a version that isn't there": (
        ENTRY,
        "{at: 20 s, upgrade: gw/normalize, version: 7.0.0}",
        'unknown version of normalize "7.0.0"',
    ),
    "a span": (
        ENTRY,
        "{at: 20 s, upgrade: gw/normalize, version: 1.1.0, for: 1 s}",
        '"for" does not go with upgrade: it has no end',
    ),
    "nothing installed": (
        "normalize: {wasm: normalize.wasm, version: 1.0.0,",
        "normalize: {wasm: normalize.wasm,",
        "say which version is installed",
    ),
    "no registry": ("registry: {", "# registry: {", "upgrade needs a registry"),
    "a registry that isn't there": (f"path: {LIBRARY}/registry", "path: nowhere", "$.registry.path: "),
    "a key that isn't there": ("demo.pub", "dome.pub", "$.registry.trust[0]: "),
    "a key that is none": (
        "registry/demo.pub",
        "registry/route/1.1.0/route.wasm",
        "expected an Ed25519 public key",
    ),
    "nobody to trust": (f"[{LIBRARY}/registry/demo.pub]", "[]", "$.registry.trust"),
    "a trial": ("trial: 15 s", "trial: soon", "$.gateways.gw.upgrade.trial"),
    "an event": (ENTRY, "{after: upgraded gw/rout, crash: gw}", 'did you mean "upgraded gw/route"?'),
    "a cause": (
        "count(upgrades.done) == 3",
        "count(upgrades.failed{cause=downgraded}) == 0",
        'did you mean "downgrade"?',
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_exit_3_and_named(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old, new, message = MISTAKES[name]
    assert old in TEXT
    file = tmp_path / "t.yaml"
    file.write_text(TEXT.replace(old, new, 1))
    assert main(["check", str(file)]) == 3
    err = capsys.readouterr().err
    assert message in err
    assert "t.yaml:" in err
    assert "Traceback" not in err


def test_a_statement_that_can_not_be_read_is_named_with_its_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "registry" / "normalize" / "1.1.0"
    folder.mkdir(parents=True)
    (folder / "release.json").write_text("{")
    file = tmp_path / "t.yaml"
    file.write_text(TEXT.replace(f"path: {LIBRARY}/registry", "path: registry"))
    assert main(["check", str(file)]) == 3
    err = capsys.readouterr().err
    assert "normalize/1.1.0/release.json: is no JSON" in err
    assert "$.registry.path" in err


def test_a_driver_that_no_device_uses_is_none_of_the_gateways(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its fleet names it, but each device has another one."""
    overrides = "\n".join(f"  presses/{i + 1}: {{driver: other}}" for i in range(20))
    other = "  other: {wasm: modbus-driver.wasm, version: 1.0.0, grants: [fieldbus, clock, log]}\n"
    text = TEXT.replace("\nlinks:", f"{overrides}\n\nlinks:", 1).replace(
        "  normalize: {wasm", other + "  normalize: {wasm", 1
    )
    file = tmp_path / "t.yaml"
    file.write_text(text)
    assert main(["check", str(file)]) == 3
    assert 'unknown component of gw "modbus-driver"' in capsys.readouterr().err


def test_instances_beside_count_towards_the_boards_addresses(host: Host) -> None:
    crowded = TEXT.replace("count: 20", "count: 80")
    planner = Planner(load_text(crowded, Path("t.yaml")), host)
    assert planner.world().gateways[0].small_reservation, "80 drivers fit, 160 don't"
    assert any("162 instances" in note or "instances reserve" in note for note in planner.notes)


def test_events_of_an_upgrade_are_known() -> None:
    events = possible_events(load_text(TEXT, Path("t.yaml")))
    assert [one for one in events if one.endswith("gw/route")] == [
        "upgrade gw/route",
        "upgraded gw/route",
        "refused gw/route",
        "abandoned gw/route",
        "rolled-back gw/route",
    ]


def test_a_trial_that_is_shorter_than_a_poll_is_foreseen(host: Host) -> None:
    slow = TEXT.replace("poll: 1 s", "poll: 20 s")
    assert any(
        "a trial of 15 s ends before each device was polled once" in text
        for text in warnings(Planner(load_text(slow, Path("t.yaml")), host).world())
    )
    assert not [
        text for text in warnings(Planner(load_text(TEXT, Path("t.yaml")), host).world()) if "trial" in text
    ]


def test_what_is_not_said_has_a_default(host: Host) -> None:
    short = TEXT.replace("    upgrade: {trial: 15 s, faults: 2, latency: 20 ms}\n", "")
    assert short != TEXT
    spec = Planner(load_text(short, Path("t.yaml")), host).world().gateways[0].upgrade
    assert (spec.trial_ns, spec.faults, spec.failures, spec.latency_ns, spec.fetch_ns) == (
        30 * S,
        2,
        0.2,
        None,
        600 * S,
    )


def test_a_result_has_every_upgrade_with_its_cause(shipped_runs: ShippedRuns) -> None:
    data = shipped_runs("upgrade-refused").data
    assert [
        (one["component"], one["to"], one["state"], one["cause"], one["stage"]) for one in data["upgrades"]
    ][:4] == [
        ("normalize", "0.9.0", "refused", "downgrade", "checking"),
        ("normalize", "1.0.0", "refused", "version-reused", "checking"),
        ("normalize", "1.2.0", "refused", "unknown-key", "checking"),
        ("normalize", "1.3.0", "refused", "bad-signature", "checking"),
    ]
    assert len(data["releases"]) == 9
    assert all(one["issued_ns"] < one["ended_ns"] for one in data["upgrades"])


def test_a_failing_expectation_says_what_became_of_the_upgrade(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "t.yaml"
    file.write_text(TEXT.replace("version: 1.1.0}", "version: 1.4.0}", 1))
    assert main(["run", str(file)]) == 1
    out = " ".join(capsys.readouterr().out.split())
    assert "upgrade of gw/normalize 1.0.0 -> 1.4.0 refused{wrong-digest} while verifying" in out


# ---- twinloop registry ---------------------------------------------------------------------------
def test_from_a_key_to_a_run_with_the_commands_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key, registry = tmp_path / "keys" / "plant", tmp_path / "registry"
    assert main(["registry", "keygen", str(key)]) == 0
    add = ["registry", "add", str(registry), str(WASM / "normalize.wasm"), "--key", f"{key}.key"]
    assert main([*add, "--version", "1.1.0"]) == 0
    assert main([*add, "--version", "2.0.0"]) == 0
    capsys.readouterr()
    assert main(["registry", "list", str(registry)]) == 0
    assert [line.split("  ")[0] for line in capsys.readouterr().out.splitlines()] == [
        "normalize 1.1.0",
        "normalize 2.0.0",
    ]
    assert main(["registry", "verify", str(registry), "--key", f"{key}.pub"]) == 0
    assert capsys.readouterr().out == "normalize 1.1.0  ok\nnormalize 2.0.0  ok\n"
    file = tmp_path / "t.yaml"
    text = TEXT.replace(f"path: {LIBRARY}/registry", "path: registry").replace(
        f"[{LIBRARY}/registry/demo.pub]", "[keys/plant.pub]"
    )
    lines = [
        line
        for line in text.splitlines()
        if "upgrade: gw/route" not in line
        and "upgrade: gw/modbus" not in line
        and "upgrades.done" not in line
    ]
    file.write_text("\n".join(lines))
    assert main(["run", str(file)]) == 0
    assert "upgrade of gw/normalize 1.0.0 -> 1.1.0 done" in capsys.readouterr().out
    (registry / "normalize" / "2.0.0" / "normalize.wasm").write_bytes(b"x")
    assert main(["registry", "verify", str(registry), "--key", f"{key}.pub"]) == 1
    caught = capsys.readouterr()
    assert "normalize 2.0.0  truncated" in caught.out
    assert "1 of 2 releases must not be used" in caught.err


@pytest.mark.parametrize(("arguments", "message"), [
    (["add", "R", "route.wasm", "--version", "1", "--key", "K.key"], 'expected a version like "1.2.3", got "1"'),
    (["add", "R", "nowhere.wasm", "--version", "1.0.0", "--key", "K.key"], "nowhere.wasm: no such file"),
    (["add", "R", "K.pub", "--version", "1.0.0", "--key", "K.key"], "fits no role"),
    (["add", "R", "route.wasm", "--version", "1.0.0", "--key", "K.pub"], "this is the public half"),
    (["add", "R", "route.wasm", "--version", "1.0.0", "--key", "K.key", "--name", "Route"], 'expected a name like "modbus-driver", got "Route"'),
    (["add", "R", "route.wasm", "--version", "1.0.0"], "Missing option '--key'"),
    (["keygen", "K"], "a key is never overwritten"),
    (["list", "nowhere"], "nowhere: No such file or directory"),
    (["verify", "R", "--key", "K.key"], "this is the private half"),
    (["verify", "E", "--key", "K.pub"], "holds no release"),
    (["very", "R"], "No such command 'very'"),
])  # fmt: skip
def test_a_wrong_use_is_exit_3(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "route.wasm").write_bytes((WASM / "route.wasm").read_bytes())
    (tmp_path / "R").mkdir()
    (tmp_path / "E").mkdir()
    main(["registry", "keygen", "K"])
    capsys.readouterr()
    assert main(["registry", *arguments]) == 3
    caught = capsys.readouterr()
    assert message in caught.err
    assert "Traceback" not in caught.err
