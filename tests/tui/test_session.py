"""Sessions from a file: keys, instants, what has to be seen, pictures; and what was done last is undone."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from rich.text import Text

from tests.scenarios.cli.test_cli import TINY
from twinloop.scenarios.judging.verdict import INTERNAL_ERROR
from twinloop.scenarios.text.errors import ScenarioError
from twinloop.tui.command import command
from twinloop.tui.terminal.session import KINDS, read_session


@pytest.fixture
def plant(tmp_path: Path) -> Path:
    file = tmp_path / "seen.yaml"
    file.write_text(TINY, encoding="utf-8")
    return file


def session(folder: Path, *steps: object) -> str:
    (folder / "session.yaml").write_text(yaml.safe_dump(list(steps)), encoding="utf-8")
    return str(folder / "session.yaml")


def test_a_session_is_played_and_draws_what_it_was_asked_for(
    plant: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    steps = session(
        tmp_path,
        {"press": "2"},
        {"see": "Fleet"},
        {"until": "1 s"},
        {"wait": "10 ms"},
        {"press": ["1", "question_mark"]},
        {"see": "back before what you did last"},
        {"press": "1"},
        {"picture": str(tmp_path / "seen.svg")},
    )
    assert command([str(plant), "--play", steps, "--size", "100x30"]) == 0
    assert capsys.readouterr().out.split() == [str(tmp_path / "seen.svg")]
    assert "<svg" in (tmp_path / "seen.svg").read_text()
    assert "@font-face" not in (tmp_path / "seen.svg").read_text()


def test_what_is_not_seen_is_told_and_ends_it(
    plant: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("twinloop.tui.terminal.session.SEEN_WITHIN_S", 0.2)
    steps = session(tmp_path, {"see": "no such words"}, {"picture": str(tmp_path / "never.svg")})
    assert command([str(plant), "--play", steps]) == 1
    assert 'step 1: "no such words" isn\'t on the screen' in capsys.readouterr().out
    assert not (tmp_path / "never.svg").exists()


def test_a_screen_that_breaks_ends_a_session_with_an_error(
    plant: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> list[Text]:
        raise AssertionError("a screen that breaks")

    monkeypatch.setattr("twinloop.tui.screens.device.frames", broken)
    steps = session(tmp_path, {"press": "3"}, {"see": "never there"})
    assert command([str(plant), "--play", steps, "--size", "100x30"]) == INTERNAL_ERROR
    assert "a mistake in twinloop itself" in capsys.readouterr().err


def test_what_was_done_last_by_hand_is_undone(plant: Path, tmp_path: Path) -> None:
    steps = session(
        tmp_path,
        {"until": "1 s"},
        {"press": "u"},
        {"see": "nothing was done by hand yet"},
        {"press": "colon"},
        {"type": "cut: cloud"},
        {"press": "enter"},
        {"until": "1500 ms"},
        {"see": "cut cloud"},
        {"press": "u"},
        {"see": "1 live command after it is undone"},
    )
    assert command([str(plant), "--play", steps]) == 0


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ({}, "expected a list of steps: press, type"),
        ([], "expected a list of steps: press, type"),
        (["f"], "step 1: expected a mapping of one key"),
        ([{"press": "f", "see": "x"}], "step 1: expected a mapping of one key"),
        ([{"see": "x"}, {"pres": "f"}], 'step 2: unknown step "pres"; did you mean "press"?'),
        ([{"until": "soon"}], "step 1: until"),
        ([{"wait": 3}], "step 1: wait"),
        ([{"press": []}], "step 1: press"),
        ([{"type": 7}], "step 1: type: expected a text"),
        ([{"see": ""}], "step 1: see: expected a text that has to be on the screen"),
    ],
)
def test_a_mistake_in_a_session_names_the_step(tmp_path: Path, steps: object, said: str) -> None:
    file = tmp_path / "session.yaml"
    file.write_text(yaml.safe_dump(steps), encoding="utf-8")
    with pytest.raises(ScenarioError) as found:
        read_session(file)
    assert said in str(found.value)
    assert "session.yaml" in str(found.value)


def test_yaml_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text("[", encoding="utf-8")
    with pytest.raises(ScenarioError, match=r"s\.yaml"):
        read_session(tmp_path / "s.yaml")


def test_flags_that_do_not_go_together(
    plant: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    steps = session(tmp_path, {"press": "f"})
    for arguments, said in (
        (["--play", steps], "--play: needs a scenario"),
        ([str(plant), "--play", steps, "--screenshot", "x.svg"], "takes its pictures itself"),
        ([str(plant), "--play", steps, "--at", "3 s"], "--at: goes with --screenshot"),
        ([str(plant), "--play", str(tmp_path / "none.yaml")], "none.yaml"),
    ):
        assert command(arguments) == 3
        assert said in capsys.readouterr().err


def test_every_kind_of_step_is_in_the_docs() -> None:
    page = (Path(__file__).parents[2] / "docs" / "terminal.md").read_text()
    for kind in KINDS:
        assert f"| `{kind}` |" in page
