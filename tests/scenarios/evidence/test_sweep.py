"""``twinloop sweep``: every combination is the run that it is alone."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from tests.scenarios.evidence.plant import scenario
from twinloop.scenarios.cli.main import main
from twinloop.scenarios.evidence.sweep import combinations, read_vary, value_of
from twinloop.scenarios.file.load import load
from twinloop.scenarios.file.settings import parse_setting
from twinloop.scenarios.runner import Options, run
from twinloop.scenarios.text.errors import ScenarioError


@pytest.fixture
def plant(tmp_path: Path) -> Path:
    """Of its seeds some miss no sample."""
    file = tmp_path / "lucky.yaml"
    file.write_text(scenario(missed=10), encoding="utf-8")
    return file


def test_every_combination_is_the_run_that_it_is_alone(
    plant: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table, data = tmp_path / "t.csv", tmp_path / "t.json"
    argv = [
        "sweep",
        str(plant),
        "--vary",
        "fleets.presses.poll=[1 s, 2 s]",
        "--vary",
        "links.plant.loss=[0 %, 2 %]",
    ]
    assert main([*argv, "--seeds", "1..3", "--jobs", "2", "--csv", str(table), "--json", str(data)]) == 0
    points = json.loads(data.read_text(encoding="utf-8"))["points"]
    assert [point["set"] for point in points] == [
        ["fleets.presses.poll=1 s", "links.plant.loss=0 %"],
        ["fleets.presses.poll=1 s", "links.plant.loss=2 %"],
        ["fleets.presses.poll=2 s", "links.plant.loss=0 %"],
        ["fleets.presses.poll=2 s", "links.plant.loss=2 %"],
    ]
    for point in points:
        alone = [
            run(load(plant, [parse_setting(text) for text in point["set"]]), Options(seed=seed))
            for seed in (1, 2, 3)
        ]
        assert point["held"] == sum(one.passed for one in alone)
        missed = sorted(float(one.judged[0].measured or 0) for one in alone)
        assert point["expectations"][0]["median"] == missed[1]
        assert point["expectations"][0]["worst"] == missed[2]
    rows = list(csv.DictReader(table.open(encoding="utf-8")))
    assert [row["fleets.presses.poll"] for row in rows] == ["1 s", "1 s", "2 s", "2 s"]
    assert [row["verdict"] for row in rows] == [point["verdict"] for point in points]
    assert rows[1]["count(samples.missed) <= 10 [count] worst"] == str(points[1]["expectations"][0]["worst"])
    out = capsys.readouterr().out
    assert "links.plant.loss" in out
    assert "0 %" in out


def test_boards_are_values_like_others(plant: Path, tmp_path: Path) -> None:
    data = tmp_path / "t.json"
    vary = "gateways.gw.board=[raspberry-pi-4, raspberry-pi-3]"
    assert main(["sweep", str(plant), "--vary", vary, "--jobs", "1", "--json", str(data)]) == 0
    assert len(json.loads(data.read_text(encoding="utf-8"))["points"]) == 2


@pytest.mark.parametrize(
    ("vary", "words"),
    [
        (["fleets.presses.poll=1 s"], "expected a list of values"),
        (["fleets.presses.poll=[]"], "expected a list of values"),
        (["fleets.presses.poll=[1 s, 1 s]"], "fleets.presses.poll=1 s is there twice"),
        (["fleets.presses.poll=[1 s]", "fleets.presses.poll=[2 s]"], "fleets.presses.poll is varied twice"),
        (["fleets.presses.poll=[1 s, soon]"], "fleets.presses.poll=soon"),
        (["fleets.presses.pol=[1 s]"], 'did you mean "poll"'),
        (["name=[a, b]"], '"name" can\'t be set'),
        (["nothing"], "--vary nothing"),
    ],
)
def test_what_can_not_be_varied(
    plant: Path, capsys: pytest.CaptureFixture[str], vary: list[str], words: str
) -> None:
    assert main(["sweep", str(plant), *(part for one in vary for part in ("--vary", one))]) == 3
    assert words in capsys.readouterr().err


def test_too_many_runs_are_refused() -> None:
    varies = [
        read_vary(f"fleets.presses.{key}=[{', '.join(map(str, range(1, 101)))}]") for key in ("count", "unit")
    ]
    assert len(combinations(varies, 10)) == 10_000
    with pytest.raises(ScenarioError, match="more than 100000 runs"):
        combinations(varies, 11)


def test_values_keep_their_kind() -> None:
    """What looks like another kind in YAML is quoted again."""
    found = read_vary("components.reader.with.retries=['0', \"1\", yes, '{a}']")
    assert [one.value for one in found][:2] == ["0", "1"]
    assert [parse_setting(one.text).value for one in found] == [one.value for one in found]
    assert value_of(found[0]) == "'0'"
