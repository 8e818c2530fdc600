"""Random valid scenarios (tests/soak) in small: the soak runs 2 000 of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.soak import __main__ as soak
from tests.soak.bands import differ
from tests.soak.plants import random_scenario
from tests.soak.trial import books_differ, folder_for, tried
from twinloop.components.host.host import Host


@pytest.mark.parametrize("seed", [1, 2, 3, 5, 6, 7, 10])
def test_a_random_scenario(seed: int, tmp_path: Path, host: Host) -> None:
    """Twice, and the first one paced in another folder, too."""
    found = tried(seed, folder_for(tmp_path), host)
    assert not found["wrong"], found
    assert found.get("paced", False) == (seed == 10)


def test_a_scenario_is_its_seed() -> None:
    assert random_scenario(7) == random_scenario(7) != random_scenario(8)


def test_books_that_do_not_add_up_are_found() -> None:
    books = {
        "due": 10,
        "open": 0,
        "delivered": 7,
        "cached": 0,
        "dropped": {},
        "evicted": {},
        "missed": {"timeout": 2},
        "lost": {"crash": 1},
    }
    assert not books_differ({"ledger": books, "commands": {"issued": 2, "done": 1, "failed": 1}})
    assert books_differ({"ledger": {**books, "delivered": 8}, "commands": {}})
    assert books_differ({"ledger": books, "commands": {"issued": 1}})


def test_a_soak_goes_on_where_it_was_stopped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Known is what this very tree has found good: not what was wrong, what another tree has found, what was
    cut off."""
    good = {"verdict": "PASS", "wrong": "", "due": 5, "tree": soak.tree()}
    lines = [
        {"seed": 1, **good},
        {"seed": 2, **good, "wrong": "odd"},
        {"seed": 3, **good, "tree": "another"},
        {"seed": 4, **good},
    ]
    texts = [json.dumps(line) for line in lines]
    (tmp_path / "results.jsonl").write_text("\n".join([*texts[:3], texts[3][:9]]))
    assert list(soak.known(tmp_path / "results.jsonl")) == [1]
    assert soak.main(["--count", "2", "--jobs", "1", "--folder", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert "2 scenarios, 1 known from before, 1 to run" in printed
    assert "2 of 2 scenarios" in printed
    assert sorted(soak.known(tmp_path / "results.jsonl")) == [1, 2]
    bad = [{"seed": 1, **good, "wrong": "odd"}, {"seed": 2, **good}]
    assert (soak.summary(bad, 2), soak.summary(bad[1:], 2), soak.summary(bad[1:], 1)) == (1, 1, 0)


@pytest.mark.parametrize("seed", [17])
def test_ends_of_bands_are_left_out_only_where_nothing_turns(seed: int, tmp_path: Path, host: Host) -> None:
    assert not differ(random_scenario(seed), seed, folder_for(tmp_path) / "x.yaml", host)
