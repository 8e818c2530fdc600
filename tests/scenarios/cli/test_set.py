"""``--set`` at the commands: several scenarios, the command that repeats the run, the field that another
process serves."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from tests.scenarios.cli.test_cli import TINY, run_json
from twinloop.scenarios.cli.main import main
from twinloop.scenarios.cli.serve import scenario_of

SETTINGS = (
    "fleets.presses.count=4",
    "fleets.presses/2.poll=500 ms",
    'expect[0]=max(latency.gateway) <= 60 ms # what "the plant" needs',
    "components.modbus-driver.with.'timeout'='150 ms'",
)


def flags(*settings: str) -> list[str]:
    return [part for setting in settings for part in ("--set", setting)]


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    file = tmp_path / "it's tiny.yaml"
    file.write_text(TINY)
    return file


def same_of(data: dict[str, Any]) -> dict[str, Any]:
    return {
        key: data[key] for key in ("seed", "digest", "scenario_digest", "verdict", "expectations", "ledger")
    }


def test_the_command_that_repeats_a_run_has_what_was_set(tiny: Path) -> None:
    plain = run_json(tiny)[1]
    code, data = run_json(tiny, "--seed", "3", *flags(*SETTINGS))
    assert code == 0
    assert data["scenario_digest"] != plain["scenario_digest"]
    assert data["digest"] != run_json(tiny, "--seed", "3")[1]["digest"]
    assert data["expectations"][0]["expression"] == "max(latency.gateway) <= 60 ms"
    name, *arguments = shlex.split(data["reproduce"])
    assert name == "twinloop"
    assert arguments[2:] == ["--seed", "3", *flags(*SETTINGS)]
    again = tiny.with_name("again.json")
    assert main([*arguments, "--json", str(again)]) == 0
    assert same_of(json.loads(again.read_text())["results"][0]) == same_of(data)


def test_what_was_set_to_its_own_value_is_the_same_run(tiny: Path) -> None:
    own = flags("fleets.presses.count=3", "links.cloud.preset=lte", "seed=7", "timeline=[]")
    assert same_of(run_json(tiny, *own)[1]) == same_of(run_json(tiny)[1])


def test_two_runs_and_a_folder(tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert main(["run", str(tiny), "--check", "--out", str(out), *flags(*SETTINGS)]) == 0
    assert "a second run had" in capsys.readouterr().out
    data = json.loads((out / "result.json").read_text())["results"][0]
    assert flags(*SETTINGS) == shlex.split(data["reproduce"])[5:]


def test_a_shipped_scenario(tmp_path: Path) -> None:
    out = tmp_path / "result.json"
    code = main(
        ["run", "quickstart", "--json", str(out), *flags("duration=10 s", "timeline=[]", "expect=[]")]
    )
    data = json.loads(out.read_text())["results"][0]
    assert (code, data["verdict"], data["run"]["polls"]) == (4, "NO-DATA", 1060)
    assert "run quickstart --seed 7 --set 'duration=10 s' --set 'timeline=[]'" in data["reproduce"]


def test_settings_go_to_each_of_several_scenarios(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other, out = tmp_path / "other.yaml", tmp_path / "result.json"
    other.write_text(TINY.replace("presses", "pumps"))
    text = "fleets.presses.count=2"
    for command in (["run", "--json", str(out)], ["check"]):
        assert main([*command, str(other), str(tiny), "--set", text]) == 3
        assert (
            f'error: {other}: --set {text}: $.fleets.presses: unknown fleet "presses"; known: pumps (a new '
            f"one is set as a whole)"
        ) in capsys.readouterr().err.splitlines()
    broken, done = json.loads(out.read_text())["results"]
    assert (broken["kind"], done["verdict"], done["run"]["polls"]) == ("error", "PASS", 10)


@pytest.mark.parametrize(
    "command",
    ["run FILE FILE", "check FILE FILE", "serve FILE", "attach FILE --device presses/1=tcp://127.0.0.1"],
)
def test_what_is_no_setting_is_one_error(
    command: str, tiny: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [str(tiny) if word == "FILE" else word for word in command.split()]
    assert main([*words, "--set", "seed"]) == 3
    assert capsys.readouterr().err == (
        "error: --set seed: expected PATH=VALUE, such as fleets.presses.count=200\n"
    )


def test_what_is_served_is_what_was_set(tiny: Path) -> None:
    loaded, spec = scenario_of(str(tiny), None, ["fleets.presses.count=5"])
    assert len(spec.devices) == 5
    assert loaded.document.settings == ("fleets.presses.count=5",)


PAGE = (Path(__file__).parents[3] / "docs" / "scenario.md").read_text()
SHOWN = re.findall(r"^twinloop (?:run|check) (quickstart .*--set .*)$", PAGE, re.MULTILINE)


@pytest.mark.parametrize("command", SHOWN)
def test_what_the_page_shows_is_right(command: str) -> None:
    assert main(["check", *shlex.split(command)]) == 0


def test_the_page_shows_some() -> None:
    assert len(SHOWN) >= 5
