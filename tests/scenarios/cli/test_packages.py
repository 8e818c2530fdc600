"""What other packages bring and break: a line that names them, never a traceback, and nobody else's
trouble."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.scenarios.cli.test_cli import TINY
from twinloop.devices.catalogue.packages import told
from twinloop.scenarios.cli.main import main
from twinloop.scenarios.file.recordings import model_named
from twinloop.scenarios.text.errors import ScenarioError

CODE = """\
def nothing(): return None
def fails(): raise ValueError("no register list")
def leaves(arguments): raise SystemExit(4)
def breaks(arguments): return {}["x"]
def texts(arguments): return "done"
def fine(arguments): return 0
def asks(arguments):
    from twinloop.scenarios.text.errors import ScenarioError
    raise ScenarioError("plant.yaml", 3, "$.x", "expected y")
"""
Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Puts a package with these lines of entry points into the environment."""
    site = tmp_path / "site"

    def put(group: str, *lines: str, package: str = "acme") -> None:
        info = site / f"{package}-1.2.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.2\n")
        (info / "entry_points.txt").write_text("\n".join([f"[{group}]", *lines]) + "\n")
        (site / "acme_things.py").write_text(CODE)
        monkeypatch.syspath_prepend(str(site))

    return put


BROKEN = {
    "nothere = nomodule:f": "can't be imported: ModuleNotFoundError: No module named 'nomodule'",
    "noname = acme_things:absent": "can't be imported: AttributeError: module 'acme_things' has no attribute 'absent'",
    "notmade = acme_things:nothing": "returned nothing, expected a DeviceModel",
    "notcalled = acme_things:__name__": "is a value of type str, expected a function",
    "failing = acme_things:fails": "failed: ValueError: no register list (acme_things.py:2)",
}


@pytest.mark.parametrize("line", BROKEN)
def test_a_broken_device_is_named_and_costs_no_other(
    line: str, install: Install, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    install("twinloop.devices", line)
    name = line.partition(" ")[0]
    told = f'the entry point "{line}" in twinloop.devices of the package acme 1.2 {BROKEN[line]}'
    assert main(["list", "devices"]) == 0
    out, err = capsys.readouterr()
    assert "press-sensor  " in out
    assert "sunspec/N" in out
    assert f"left out: {name}: {told}" in err
    file = tmp_path / "x.yaml"
    file.write_text(TINY.replace("press-sensor", name))
    for command in ("check", "run"):
        assert main([command, str(file)]) == 3
        err = capsys.readouterr().err
        assert f"x.yaml:7: $.fleets.presses.device: {told}" in err
        assert "Traceback" not in err
        assert "mistake in twinloop" not in err
    with pytest.raises(ScenarioError) as wrong:
        model_named(name, "--like")
    assert str(wrong.value) == f"--like: $: {told}"
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "m.yaml").write_text(
        f"format: 1\ntitle: t\nsource: s\nstep: 1 s\nlike: {name}\npoints: {{a: {{table: input, address: 0}}}}\n"
    )
    file.write_text(TINY.replace("press-sensor", "model/m.yaml"))
    assert main(["check", str(file)]) == 3
    assert f"m.yaml:5: $.like: {told}" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("nomodule:f", "can't be imported: ModuleNotFoundError"),
        ("acme_things:breaks", "failed: KeyError: 'x' (acme_things.py:4)"),
        ("acme_things:texts", "returned a value of type str, expected an exit code"),
    ],
)  # fmt: skip
def test_a_broken_command_is_named(
    value: str, message: str, install: Install, capsys: pytest.CaptureFixture[str]
) -> None:
    install("twinloop.commands", f"points = {value}")
    assert main(["points"]) == 3
    err = capsys.readouterr().err
    assert (
        f'error: the entry point "points = {value}" in twinloop.commands of the package acme 1.2 {message}'
        in err
    )
    assert len(err.splitlines()) == 1


def test_whose_fault_it_is_stays_known_when_a_command_calls_twinloop(
    install: Install, capsys: pytest.CaptureFixture[str]
) -> None:
    install("twinloop.commands", "points = acme_things:asks")
    assert main(["points"]) == 3
    assert capsys.readouterr().err == "error: plant.yaml:3: $.x: expected y\n"


def test_a_command_may_leave_as_it_likes(install: Install) -> None:
    install("twinloop.commands", "points = acme_things:leaves")
    with pytest.raises(SystemExit, match="4"):
        main(["points"])


def test_a_name_that_is_taken_is_told(
    install: Install, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    install("twinloop.devices", "press-sensor = acme_things:nothing")
    told = 'the entry point "press-sensor = acme_things:nothing" in twinloop.devices of the package acme 1.2 isn\'t used: the name "press-sensor" is twinloop\'s own'
    assert main(["list", "devices"]) == 0
    assert f"warning: {told}" in capsys.readouterr().err
    file = tmp_path / "x.yaml"
    file.write_text(TINY)
    assert main(["check", str(file)]) == 0
    assert f"x.yaml: {told}" in capsys.readouterr().err
    assert main(["run", str(file)]) == 0
    assert told in " ".join(capsys.readouterr().out.split())
    file.write_text(TINY.replace("press-sensor", "energy-meter"))
    assert main(["check", str(file)]) == 0
    assert "isn't used" not in capsys.readouterr().err


@pytest.mark.parametrize(("name", "arguments"), [("boards", []), ("tui", ["--help"])])
def test_a_command_of_ours_stays_ours_and_says_so(
    name: str, arguments: list[str], install: Install, capsys: pytest.CaptureFixture[str]
) -> None:
    install("twinloop.commands", f"{name} = acme_things:breaks")
    assert main([name, *arguments]) == 0
    assert f"isn't used: the name \"{name}\" is twinloop's own" in capsys.readouterr().err


def test_of_two_packages_the_first_by_name_is_used(
    install: Install, capsys: pytest.CaptureFixture[str]
) -> None:
    install("twinloop.commands", "points = acme_things:breaks", package="zeta")
    install("twinloop.commands", "points = acme_things:fine")
    assert main(["points"]) == 0
    assert (
        'of the package zeta 1.2 isn\'t used: the name "points" is that of the package acme 1.2'
        in capsys.readouterr().err
    )


def test_the_help_lists_commands_of_other_rooms_and_packages(
    install: Install, capsys: pytest.CaptureFixture[str]
) -> None:
    install("twinloop.commands", "points = nomodule:f")
    assert main(["--help"]) == 0
    rows = {" ".join(line.split()) for line in capsys.readouterr().out.splitlines()}
    assert "tui See the plant, hold the clock, cause the trouble." in rows
    assert "points Of the package acme 1.2." in rows


@pytest.mark.parametrize("folder", ["importlib", "importlib/metadata", "importlib_metadata", "acme"])
def test_an_importer_s_own_frames_are_nobody_s_mistake(folder: str) -> None:
    """Where another package has brought ``importlib_metadata``, its entry points are found by that."""
    raised = compile("raise ImportError('nothing there')", f"/somewhere/{folder}/__init__.py", "exec")
    with pytest.raises(ImportError) as caught:
        exec(raised, {})  # one line of this test
    where = " (__init__.py:1)" if folder == "acme" else ""
    here = caught.value.with_traceback(caught.tb.tb_next)
    assert told(here) == f"ImportError: nothing there{where}"
