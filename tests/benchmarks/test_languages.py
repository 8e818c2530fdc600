"""The price of a language: what is there is measured, what isn't is named, and the page says what is measured."""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path

import pytest

from benchmarks import languages
from benchmarks.languages import LANGUAGES, Measured, files_table, measure, roles_table, shown, tables

PAGE = (Path(__file__).parents[2] / "docs" / "languages.md").read_text()
COMMITTED = ("c", "rust", "rust-wasip2", "rego")
PLANT = ((10, 60),)


@cache
def measured(name: str) -> Measured:
    return measure(LANGUAGES[name], PLANT)


@pytest.mark.parametrize("name", COMMITTED)
def test_a_committed_language_is_measured_on_both_boards(name: str) -> None:
    found = measured(name)
    assert {key: data["verdict"] for key, data in found.runs.items()} == {
        (board, 10): "PASS" for board in languages.BOARDS
    }
    assert found.needs == []
    assert found.compile_s > 0
    for role in languages.ROLES:
        assert found.roles[role]["call"] > 0
        assert found.roles[role]["memory"] % (64 << 10) == 0


def test_fuel_of_all_calls_is_that_of_the_result() -> None:
    """What is heard call by call is what the books say in all."""
    listening = languages.Listening()
    host = languages.Host(fibers=False)
    try:
        scenario = languages.plant(LANGUAGES["c"], languages.BOARDS[0], 3, 5)
        data = languages._run(host, scenario, listening)
    finally:
        host.close()
    for role in languages.ROLES:
        ones = [one for one in listening.heard if one.slot.spec.name == role]
        books = data["gateways"]["gw"]["components"][role]
        assert sum(sum(one.calls) for one in ones) == books["fuel"]
        assert sum(len(one.calls) for one in ones) == books["calls"]
        assert sum(one.start for one in ones) == books["start_fuel"]


@pytest.mark.parametrize("name", COMMITTED)
def test_the_page_has_the_figures_that_are_measured(name: str) -> None:
    """Those that are equal on any machine, of components that are committed."""
    rows = shown(roles_table([measured(name)]), markdown=True).splitlines()
    assert rows[-1] in PAGE, "run python -m benchmarks.languages --markdown"
    size = " | ".join(files_table([measured(name)])[1][:4])
    assert f"| {size} |" in PAGE


def test_the_page_has_all_languages_in_each_table() -> None:
    titles = [title for title, _ in tables([])]
    assert len(titles) == 6
    for title in titles:
        rows = PAGE.partition(f"**{title}**")[2].strip().partition("\n\n")[0].splitlines()[2:]
        assert [row.split("|")[1].strip() for row in rows] == [one.name for one in LANGUAGES.values()]


def test_what_is_not_built_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    absent = languages.Language("Pascal", {"driver": tmp_path / "pascal-driver.wasm"})
    monkeypatch.setitem(LANGUAGES, "pascal", absent)
    monkeypatch.setenv(languages.FOLDER_VARIABLE, "off")
    monkeypatch.setattr(sys, "argv", ["languages", "pascal"])
    languages.main()
    assert "Pascal: not built (pascal-driver.wasm; make guests-all)" in capsys.readouterr().out


def test_an_unknown_language_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["languages", "cobol"])
    with pytest.raises(SystemExit):
        languages.main()
    assert "cobol: expected one of c, rust" in capsys.readouterr().err
