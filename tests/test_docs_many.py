"""What docs/many-runs.md shows is what its commands print."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from twinloop.scenarios.cli.main import main

PAGE = (Path(__file__).parents[1] / "docs" / "many-runs.md").read_text(encoding="utf-8")
SHOWN = re.findall(r"^```text\n\$ twinloop ([^\n]*)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def test_there_are_commands() -> None:
    assert len(SHOWN) >= 6


@pytest.mark.parametrize(("line", "shown"), SHOWN, ids=lambda text: text[:40].split("\n")[0])
def test_a_command_prints_what_stands_below_it(
    line: str,
    shown: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, text in re.findall(r"^```yaml\n# (\S+): \S+\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL):
        (tmp_path / name).write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert main(shlex.split(line)) in (0, 1)
    printed = [line.rstrip() for line in capsys.readouterr().out.rstrip().splitlines()]
    assert shown.splitlines() == printed
