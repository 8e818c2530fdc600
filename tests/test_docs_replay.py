"""What docs/replay.md shows is what its commands print."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest

from tests.scenarios.exchanges.recordings import MENDED, PLANTED
from twinloop.scenarios.cli.main import main

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "replay.md").read_text(encoding="utf-8")
STEPS = re.findall(r"^```sh\n(.*?)^```\n\n```text\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
FILES = re.findall(r"^```(?:yaml|text)\n(# (\S+)\n.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
CODES = {"run field.yaml": 1, "components replay modbus-driver.wasm gateway.jsonl": 1}


def test_the_example(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    # the shipped driver isn't in the folder: it is found by its name, as in a scenario
    for name, driver in {"my-driver": PLANTED, "mended": MENDED}.items():
        shutil.copy(driver, f"{name}.wasm")
    for text, name in FILES:
        Path(name).write_text(text, encoding="utf-8")
    assert len(STEPS) == 6
    for command, shown in STEPS:
        words = shlex.split(command)[1:]
        wanted = [code for begin, code in CODES.items() if " ".join(words).startswith(begin)]
        assert main(words) == sum(wanted), command
        printed = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
        assert [line for line in shown.splitlines() if " ".join(line.split()) not in printed] == [], command


def test_the_bug_has_its_places() -> None:
    source = (ROOT / "components" / "starters" / "c" / "driver.c").read_text(encoding="utf-8")
    assert "static bool configured, rtu, failing;" in source
    assert source.count("  if (!failing) return true;\n") == 1
    assert all(f"{key}" in PAGE for key in ("lost_permille = 1000", "static volatile unsigned lost_permille"))
