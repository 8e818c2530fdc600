"""Who opens the terminal for the first time finds a fault, its cause and the cure with twelve keys at most."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.tui import first_fault
from tests.tui.scene import inline, with_app
from twinloop.components.host.host import Host
from twinloop.tui.terminal.app import Twinloop


@pytest.mark.parametrize("size", [(80, 24), first_fault.SIZE])
def test_from_a_fail_to_its_cause_to_a_pass(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int]
) -> None:
    file, drawn = tmp_path / "outage.yaml", []
    file.write_text(first_fault.SCENARIO, encoding="utf-8")
    monkeypatch.setenv("VISUAL", first_fault.editor(tmp_path))

    async def body(app: Twinloop, pilot: Any) -> None:
        await first_fault.walk(app, pilot, lambda name, svg: drawn.append((name, svg)))

    with_app(file, body, start=inline(host), size=size)
    assert [name for name, _ in drawn] == ["fails", "why", "sample", "passes"]
    assert first_fault.STORE in file.read_text(encoding="utf-8")
    assert len(first_fault.KEYS) <= first_fault.KEYS_MAX


def test_the_tutorial_says_those_keys() -> None:
    """In its table, in that order, and shows each picture."""
    table = first_fault.PAGE.split("## 7. From a FAIL to its cause")[1]
    said = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    keys = [part for cell in said for part in cell.split("`")[1::2]]
    assert keys == first_fault.KEYS
    for stop in first_fault.STOPS:
        if stop.picture:
            assert f"](pictures/first-fault-{stop.picture}.svg)" in table
            picture = first_fault.DOCS / "pictures" / f"first-fault-{stop.picture}.svg"
            assert picture.stat().st_size > 10_000
