"""What docs/howto/your-device.md says of ``twinloop device``: the list, the map, the columns."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from twinloop.scenarios.cli.main import main
from twinloop.scenarios.learning.columns import COLUMNS

PAGE = (Path(__file__).parents[1] / "docs" / "howto" / "your-device.md").read_text()


def test_from_a_table_to_a_model_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    listed = re.search(r"^```text\n# (\S+\.csv)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert listed
    Path(listed[1]).write_text(listed[2])
    shown = re.findall(r"^```console\n\$ twinloop (device .*)\n((?:.*\n)*?)```", PAGE, re.MULTILINE)
    assert [command.split()[1] for command, _ in shown] == ["new", "show"]
    for command, expected in shown:
        assert main(command.split()) == 0
        out = capsys.readouterr().out
        assert expected in out, out


def test_every_column_is_told_as_it_is_read() -> None:
    table = PAGE.split("| column | meaning |\n|---|---|\n", 1)[1].split("\n\n", 1)[0]
    assert table.splitlines() == [f"| `{one.name}` | {one.meaning} |" for one in COLUMNS.values()]
