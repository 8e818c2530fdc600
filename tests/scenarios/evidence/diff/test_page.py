"""docs/diff.md: its commands run as they stand there, and the last one says what the page shows."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from twinloop.scenarios.cli.main import main

PAGE = (Path(__file__).parents[4] / "docs" / "diff.md").read_text()


def words(text: str) -> list[str]:
    """Lines without the width of columns; digests of scenarios change with the format."""
    return [re.sub(r"\b[0-9a-f]{12}\b", "DIGEST", " ".join(line.split())) for line in text.splitlines()]


def test_the_example_is_what_happens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    scenario = re.search(r"^```yaml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert scenario
    (tmp_path / "gate.yaml").write_text(scenario[1])
    example = PAGE[: PAGE.index("## What counts as worse")]
    commands = re.findall(r"^twinloop (.*)$", example, re.MULTILINE)
    assert len(commands) == 3
    codes = []
    for command in commands:
        capsys.readouterr()
        codes.append(main(shlex.split(command)))
    assert codes == [0, 0, 1]
    shown = re.findall(r"^```text\n(.*?)^```", example, re.MULTILINE | re.DOTALL)[-1]
    assert words(capsys.readouterr().out) == words(shown)


def test_every_option_of_the_page_is_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diff", "--help"]) == 0
    told = capsys.readouterr().out
    for option in re.findall(r"^twinloop diff.*$", PAGE, re.MULTILINE):
        assert all(flag in told for flag in re.findall(r"--[a-z]+", option))
