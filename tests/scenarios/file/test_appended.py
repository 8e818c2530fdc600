"""A session saved as a scenario keeps the file's comments, order and layout."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from twinloop.scenarios.file.appended import NoPlace, appended
from twinloop.scenarios.file.load import LIBRARY, library_names, load
from twinloop.scenarios.file.save import as_text
from twinloop.scenarios.text.document import parse_document

CUT = "{at: 3 s, cut: cloud}"


@pytest.mark.parametrize(
    ("text", "seed", "written"),
    [
        ("name: a\ntimeline:\n  # one\n  - {at: 1 s, cut: b}  # two\n\nexpect: []\n", None,
         f"name: a\ntimeline:\n  # one\n  - {{at: 1 s, cut: b}}  # two\n  - {CUT}\n\nexpect: []\n"),
        ("name: a\ntimeline:\n- at: 1 s\n  cut: b\nexpect: []\n", None,
         f"name: a\ntimeline:\n- at: 1 s\n  cut: b\n- {CUT}\nexpect: []\n"),
        ("name: a  # mine\ntimeline: [{at: 1 s, cut: b}]", 7,
         f"name: a  # mine\nseed: 7\ntimeline: [{{at: 1 s, cut: b}}, {CUT}]"),
        ("name: a\ntimeline: []\n", None, f"name: a\ntimeline: [{CUT}]\n"),
        ("name: a\ntimeline:\nexpect: []\n", None, f"name: a\ntimeline:\n  - {CUT}\nexpect: []\n"),
        ("name: a\ntimeline: null # none\n", None, f"name: a\ntimeline:  # none\n  - {CUT}\n"),
        ("seed: 3 # why\nname: a", 7, f"seed: 7 # why\nname: a\ntimeline:\n  - {CUT}\n"),
        ("name: a\r\ntimeline:\r\n  - {at: 1 s, cut: b}\r\n", None,
         f"name: a\r\ntimeline:\r\n  - {{at: 1 s, cut: b}}\r\n  - {CUT}\r\n"),
    ],
)  # fmt: skip
def test_entries_stand_at_the_end_of_the_timeline_and_nothing_else_moves(
    text: str, seed: int | None, written: str
) -> None:
    assert appended(text, [CUT], seed) == written


def test_nothing_was_done_and_nothing_changes() -> None:
    assert appended("name: a # b\n", [], None) == "name: a # b\n"


@pytest.mark.parametrize("text", ["{name: a}", "name: a\ntimeline: {a: 1}\n", "[1]"])
def test_a_layout_without_a_place_is_said(text: str) -> None:
    with pytest.raises(NoPlace):
        appended(text, [CUT], None)


def test_every_shipped_scenario_has_a_place(tmp_path: Path) -> None:
    """And the text is read as the same data with the entry and the seed."""
    entry: dict[str, Any] = {"at": "1.5 s", "cut": "cloud", "for": "20 s"}
    for name in library_names():
        file = LIBRARY / f"{name}.yaml"
        loaded = load(file)
        text = as_text(loaded, loaded.scenario.seed + 1, [entry])
        own = file.read_text(encoding="utf-8").splitlines()
        changed = [line for line in own if line not in text.splitlines()]
        assert len(changed) <= 2, (name, changed)
        data = loaded.document.data
        expected = {
            **data,
            "seed": loaded.scenario.seed + 1,
            "timeline": [*(data.get("timeline") or []), entry],
        }
        assert parse_document(text, tmp_path / name).data == expected, name


def test_a_file_that_has_changed_meanwhile_is_saved_as_it_was_read(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    text = (LIBRARY / "quickstart.yaml").read_text(encoding="utf-8")
    file.write_text(text, encoding="utf-8")
    loaded = load(file)
    file.write_text(text.replace("name: quickstart", "name: changed"), encoding="utf-8")
    saved = parse_document(as_text(loaded, loaded.scenario.seed, []), file).data
    assert saved == loaded.document.data
