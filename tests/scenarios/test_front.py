"""Scenarios in Python: what is built or changed there stands in no file, and nothing says that it does."""

from __future__ import annotations

from pathlib import Path

import pytest

import twinloop


def test_a_mistake_has_a_place_and_no_line_of_a_file_in_which_it_isnt() -> None:
    with pytest.raises(twinloop.ScenarioError) as refused:
        twinloop.load("quickstart").changed(duration="soon")
    assert (refused.value.line, refused.value.path) == (None, "$.duration")
    assert "quickstart-changed-in-python.yaml" in str(refused.value)


def test_the_command_that_repeats_a_run_is_not_another_runs() -> None:
    changed = twinloop.load("quickstart").changed(
        duration="2 s", timeline=[], expect=["count(samples.lost) == 0"]
    )
    again = changed.changed(seed=3)
    assert again.file == changed.file
    result = twinloop.run(again)
    assert "quickstart-changed-in-python.yaml --seed 3" in result.reproduce


def test_what_is_no_plain_data_is_refused() -> None:
    with pytest.raises(twinloop.ScenarioError, match="expected plain data"):
        twinloop.Scenario.of({"format": 2, "name": {1, 2}})


def test_keys_go_into_each_other_go_and_are_replaced() -> None:
    first = twinloop.load("quickstart")
    changed = first.changed({"links": {"plant": {"loss": "1 %"}}, "description": None}, expect=[])
    assert changed.data["links"]["plant"] == {**first.data["links"]["plant"], "loss": "1 %"}
    assert changed.data["links"]["cloud"] == first.data["links"]["cloud"]
    assert "description" not in changed.data
    assert twinloop.load_text(changed.text(), Path("x.yaml")).data == changed.data
