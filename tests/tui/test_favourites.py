"""Favourites of trouble: kept, broken, too many; done again, or into the form."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from textual.widgets import Input, OptionList, Static

from tests.tui.scene import Inline, engine, inline, text_of, until, with_app
from twinloop.components.host.host import Host
from twinloop.tui.engine.messages import Do, Ready
from twinloop.tui.screens import memory
from twinloop.tui.screens.forms.favourite_list import FavouriteList, NameBox
from twinloop.tui.screens.forms.favourites import (
    ENTRY_MAX,
    FAVOURITES_MAX,
    FILE,
    NAME_MAX,
    Favourite,
    FavouritesError,
    favourites,
    forget,
    keep,
    why_not,
)
from twinloop.tui.screens.forms.trouble_form import TroubleForm
from twinloop.tui.terminal.app import Twinloop


def spoil(text: str) -> Path:
    place = memory.place(FILE)
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(text, encoding="utf-8")
    return place


def test_they_are_kept_in_their_order_and_one_name_means_one() -> None:
    assert favourites() == []
    assert (
        keep(Favourite(" an  outage ", "cut: cloud, for: 20 s"))
        == '"an outage" is kept: cut: cloud, for: 20 s'
    )
    keep(Favourite("Müll 🗑", "crash: gw"))
    assert keep(Favourite("an outage", "cut: cloud")) == '"an outage" now means cut: cloud'
    assert favourites() == [Favourite("Müll 🗑", "crash: gw"), Favourite("an outage", "cut: cloud")]
    forget("an outage")
    assert [one.name for one in favourites()] == ["Müll 🗑"]
    assert [one.name for one in memory.place(FILE).parent.iterdir()] == [FILE], "nothing lies beside it"


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "7",
        '[{"name": "a"}]',
        '[{"name": "", "entry": "cut: cloud"}]',
        "[null]",
        "[" * 100_000,
        json.dumps([{"name": str(i), "entry": "cut: cloud"} for i in range(FAVOURITES_MAX + 1)]),
        json.dumps("x" * memory.BYTES_MAX),
    ],
    ids=["no JSON", "no list", "no entry", "no name", "null", "deep", "many", "large"],
)
def test_a_broken_file_is_told_of_and_not_lost(text: str) -> None:
    place = spoil(text)
    with pytest.raises(FavouritesError, match=r"favourites\.json"):
        favourites()
    with pytest.raises(FavouritesError):
        forget("a")
    assert place.read_text(encoding="utf-8") == text, "whoever only looks changes nothing"
    said = keep(Favourite("mine", "cut: cloud"))
    assert said.endswith(f"; the file that couldn't be read is now {place}.broken-1")
    assert Path(f"{place}.broken-1").read_text(encoding="utf-8") == text
    assert favourites() == [Favourite("mine", "cut: cloud")]


def test_what_cannot_be_kept_says_why(state: Path) -> None:
    for one, why in (
        (Favourite(" ", "cut: cloud"), f"1 to {NAME_MAX} letters"),
        (Favourite("x" * (NAME_MAX + 1), "cut: cloud"), f"1 to {NAME_MAX} letters"),
        (Favourite("a", "cut: " + "x" * ENTRY_MAX), f"at most {ENTRY_MAX}"),
        (Favourite("a", "crsh: gw"), 'did you mean "crash"'),
        (Favourite("a", "["), "YAML: expected the node content"),
    ):
        with pytest.raises(FavouritesError, match=why):
            keep(one)
    for number in range(FAVOURITES_MAX):
        keep(Favourite(str(number), "cut: cloud"))
    with pytest.raises(FavouritesError, match="50 favourites are kept already"):
        keep(Favourite("one more", "cut: cloud"))
    keep(Favourite("7", "crash: gw"))
    for number in range(1, memory.BROKEN_MAX + 2):
        place = spoil("{")
        if number <= memory.BROKEN_MAX:
            keep(Favourite("a", "cut: cloud"))
    with pytest.raises(FavouritesError, match="9 broken ones lie beside it already"):
        keep(Favourite("a", "cut: cloud"))
    assert place.read_text() == "{"


def test_a_folder_that_cannot_be_written_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    with pytest.raises(FavouritesError, match="can't be"):
        keep(Favourite("a", "cut: cloud"))


def test_a_write_that_fails_leaves_the_old_file(monkeypatch: pytest.MonkeyPatch) -> None:
    keep(Favourite("old", "cut: cloud"))

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("twinloop.tui.screens.memory.os.fsync", full)
    with pytest.raises(FavouritesError, match="No space left on device"):
        keep(Favourite("new", "cut: cloud"))
    assert [one.name for one in favourites()] == ["old"]
    assert [one.name for one in memory.place(FILE).parent.iterdir()] == [FILE]


@pytest.fixture
def plan(host: Host, file: Path) -> Any:
    one = engine(host, file)
    one.world.close()
    return one.plan


def test_it_is_said_why_one_cannot_be_done_here(plan: Ready) -> None:
    def why(entry: str) -> str:
        return why_not(Favourite("a", entry), plan)

    assert why("cut: cloud, for: 20 s") == why("device-fault: presses/any, kind: silent") == ""
    assert why("cut: uplink") == 'there is no "uplink" here that cut can be done to'
    assert why("device-fault: pumps/any") == 'there is no "pumps/1" here that device-fault can be done to'
    assert why("failover: gw").startswith('unknown verb "failover"')


def test_the_form_keeps_one_and_the_list_does_it_again(host: Host, file: Path) -> None:
    async def body(app: Twinloop, pilot: Any) -> None:
        assert isinstance(app.feed, Inline)
        await pilot.press("i")
        form = app.screen
        assert isinstance(form, TroubleForm)
        await until(pilot, lambda: bool(form.query("#key-for")))
        form.query_one("#target", Input).value = "cloud"
        form.query_one("#key-for", Input).value = "3 s"
        await pilot.pause()
        await pilot.press("ctrl+t")
        box = app.screen
        assert isinstance(box, NameBox)
        assert box.query_one(Input).value == "cut: cloud, for: 3 s"
        box.query_one(Input).value = "no uplink"
        await pilot.press("enter")
        assert app.screen is form
        await pilot.pause()
        assert '"no uplink" is kept' in str(form.query_one("#refusal", Static).render())
        await pilot.press("ctrl+t", "escape", "escape")
        assert favourites() == [Favourite("no uplink", "cut: cloud, for: 3 s")]
        keep(Favourite("elsewhere", "crash: gw-9"))
        await pilot.press("v", "down")
        assert isinstance(app.screen, FavouriteList)
        await pilot.pause()
        assert '○ elsewhere                there is no "gw-9" here' in text_of(app)
        await pilot.press("enter")
        await pilot.pause()
        assert isinstance(app.screen, FavouriteList)
        assert '✗ there is no "gw-9" here that crash can be done to' in text_of(app)
        await pilot.press("x", "e")
        assert [one.name for one in favourites()] == ["no uplink"]
        form = app.screen
        assert isinstance(form, TroubleForm)
        await until(pilot, lambda: form.entry_text() == "cut: cloud, for: 3 s")
        await pilot.press("escape", "v", "enter")
        assert app.feed.sent[-1] == Do({"cut": "cloud", "for": "3 s"})
        await until(pilot, lambda: app.prompt.said[0].startswith("cut cloud at "))
        spoil("{")
        await pilot.press("v")
        await pilot.pause()
        assert "can't be read" in text_of(app)
        assert app.screen.query_one("#kept", OptionList).option_count == 0
        await pilot.press("x", "e", "v")
        assert app.screen is app.base

    with_app(file, body, start=inline(host))


def test_one_without_what_it_needs_is_not_kept(host: Host, file: Path) -> None:
    async def body(app: Twinloop, pilot: Any) -> None:
        await pilot.press("3", "i")
        form = app.screen
        assert isinstance(form, TroubleForm)
        await until(pilot, lambda: bool(form.query("#key-kind")))
        await pilot.press("ctrl+t")
        await pilot.pause()
        assert app.screen is form
        assert "needs kind" in str(form.query_one("#refusal", Static).render())
        await pilot.press("escape")

    with_app(file, body, start=inline(host))
