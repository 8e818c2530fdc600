"""Which scenario? Searched as it is typed, by groups, with those of this folder and those opened lately."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from textual.widgets import OptionList, Static

from tests.scenarios.cli.test_cli import TINY
from twinloop.scenarios.file.load import LIBRARY, library_names
from twinloop.tui.screens import choices
from twinloop.tui.screens.choices import HERE, OTHERS, RECENT, SUBJECTS, Choice, files_in, subject
from twinloop.tui.terminal.chooser import Chooser


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """A short list, so that no file is read."""
    made = [
        Choice(HERE, "own.yaml", "a plant of mine", ("2 devices",)),
        Choice(HERE, "broken.yaml", "can't be opened", wrong="broken.yaml:3: expected a duration"),
        Choice("First steps", "quickstart", "the first verdict", ("expects all",)),
        Choice("Pairs that take over", "failover-warm", "an outage of the leader"),
    ]
    monkeypatch.setattr("twinloop.tui.terminal.chooser.choices", lambda folder: made)


def used(body: Callable[[Chooser, Any], Awaitable[None]], size: tuple[int, int] = (120, 40)) -> str | None:
    async def run() -> str | None:
        app = Chooser(Path())
        async with app.run_test(size=size) as pilot:
            await body(app, pilot)
        return app.return_value

    return asyncio.run(run())


def listed(app: Chooser) -> list[str]:
    options = app.query_one("#list", OptionList).options
    return [str(one.prompt).split()[0] for one in options if one.id is not None]


def about(app: Chooser) -> str:
    return f"{app.query_one('#about').border_title} {app.query_one('#about', Static).content}"


@pytest.mark.usefixtures("few")
def test_the_first_is_looked_at_and_opened() -> None:
    async def body(app: Chooser, pilot: Any) -> None:
        assert listed(app) == ["own.yaml", "broken.yaml", "quickstart", "failover-warm"]
        assert "a plant of mine" in about(app)
        assert "2 devices" in about(app)
        await pilot.press("enter")

    assert used(body) == "own.yaml"


@pytest.mark.usefixtures("few")
def test_words_are_looked_for_in_names_descriptions_and_groups() -> None:
    async def body(app: Chooser, pilot: Any) -> None:
        await pilot.press(*"pairs outage")
        assert listed(app) == ["failover-warm"]
        await pilot.press("enter")

    assert used(body) == "failover-warm"


@pytest.mark.usefixtures("few")
def test_what_is_not_found_says_so_and_escape_brings_all_back() -> None:
    async def body(app: Chooser, pilot: Any) -> None:
        await pilot.press(*"xyzzy")
        assert listed(app) == []
        assert "No scenario has all of these words" in about(app)
        await pilot.press("enter")
        assert app.is_running
        await pilot.press("escape")
        assert len(listed(app)) == 4
        await pilot.press("escape")

    assert used(body) is None


@pytest.mark.usefixtures("few")
def test_what_cannot_be_opened_says_why_and_the_list_stays() -> None:
    async def body(app: Chooser, pilot: Any) -> None:
        await pilot.press("down")
        assert "expected a duration" in about(app)
        await pilot.press("enter")
        assert app.is_running
        await pilot.press("down", "down", "down", "up", "enter")

    assert used(body) == "quickstart"


@pytest.mark.usefixtures("few")
def test_a_narrow_screen_has_the_list_alone() -> None:
    async def body(app: Chooser, pilot: Any) -> None:
        assert not app.query_one("#about").display
        await pilot.press("enter")

    assert used(body, (80, 24)) == "own.yaml"


def test_every_shipped_scenario_is_there_with_its_subject(tmp_path: Path) -> None:
    found = choices.choices(tmp_path)
    assert sorted(one.name for one in found) == library_names()
    assert all(one.description and not one.wrong for one in found)
    groups = list(dict.fromkeys(one.group for one in found))
    assert groups == [*(title for title, _ in SUBJECTS[:-2]), OTHERS, *(title for title, _ in SUBJECTS[-2:])]
    assert next(one.name for one in found if one.group == "First steps") == "quickstart"
    assert subject("failover-cold") == "Pairs that take over"


def test_files_of_a_folder_are_scenarios_alone(tmp_path: Path) -> None:
    (tmp_path / "plants").mkdir()
    (tmp_path / ".git").mkdir()
    for name in ("own.yaml", "plants/deep.yml", ".git/hidden.yaml"):
        (tmp_path / name).write_text(TINY, encoding="utf-8")
    (tmp_path / "other.yaml").write_text("just: yaml\n", encoding="utf-8")
    assert [str(one.relative_to(tmp_path)) for one in files_in(tmp_path)] == ["own.yaml", "plants/deep.yml"]
    here = [one for one in choices.choices(tmp_path) if one.group == HERE]
    assert [one.name for one in here] == ["own.yaml", "plants/deep.yml"]
    (tmp_path / "own.yaml").write_text(TINY.replace("duration:", "duraton:"), encoding="utf-8")
    (broken, _) = [one for one in choices.choices(tmp_path) if one.group == HERE]
    assert "duraton" in broken.wrong


def test_what_was_opened_comes_first_the_last_one_on_top(tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text(TINY, encoding="utf-8")
    for file in (own, LIBRARY / "quickstart.yaml", own):
        choices.opened(file)
    assert choices.recent() == [own.resolve(), (LIBRARY / "quickstart.yaml").resolve()]
    (first, second) = [one for one in choices.choices(tmp_path / "state") if one.group == RECENT]
    assert first.name.endswith("own.yaml")
    assert second.name == "quickstart"
    own.unlink()
    assert [one.name for one in choices.choices(tmp_path / "state") if one.group == RECENT] == ["quickstart"]


def test_a_list_that_was_spoilt_is_none(state: Path) -> None:
    (state / "twinloop").mkdir(parents=True)
    for text in ("{", json.dumps({"a": 1}), json.dumps([1, None])):
        (state / "twinloop" / "opened.json").write_text(text)
        assert choices.recent() == []
    choices.opened(LIBRARY / "quickstart.yaml")
    assert len(choices.recent()) == 1


def test_a_list_that_cannot_be_written_stops_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    choices.opened(LIBRARY / "quickstart.yaml")
    assert choices.recent() == []
