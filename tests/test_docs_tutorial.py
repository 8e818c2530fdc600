"""The tutorial's way through the terminal: its keys lead from a PASS to the FAIL that it tells of, and from
there to a PASS."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from textual.widgets import Input

import twinloop
from tests.tui.scene import inline, text_of, until, with_app
from twinloop.components.host.host import Host
from twinloop.tui.terminal.app import Twinloop

PAGE = (Path(__file__).parents[1] / "docs" / "tutorial.md").read_text()
STORE = "store: {capacity: 1 MiB}"


def over(app: Twinloop) -> bool:
    return app.view is not None and app.view.mode == "over"


@pytest.fixture
def plant(tmp_path: Path) -> Path:
    file = tmp_path / "my-plant.yaml"
    file.write_text(PAGE.split("# my-plant.yaml: PASS\n")[1].split("```")[0])
    return file


def test_the_steps_in_the_terminal(host: Host, plant: Path) -> None:
    for step in (
        "press `g`",
        "type `20 s`",
        "Press `:`, type `cut: cloud, for: 15 s`",
        "Press `f`",
        "`3620 lost`",
        "Press `w`",
        "Press `q`",
        "press `r`",
    ):
        assert step.lower() in PAGE.lower(), step

    async def typed(app: Twinloop, pilot: Any, text: str) -> None:
        app.base.query_one("#ask", Input).value = text
        await pilot.press("enter")

    async def fails(app: Twinloop, pilot: Any) -> None:
        await pilot.press("g")
        await typed(app, pilot, "20 s")
        await until(
            pilot,
            lambda: (
                app.view is not None
                and app.view.snapshot.now_ns >= 19_000_000_000
                and app.view.mode == "paused"
            ),
        )
        await pilot.press("colon")
        await typed(app, pilot, "cut: cloud, for: 15 s")
        await until(pilot, lambda: app.prompt.said[0].startswith("cut cloud at "))
        await pilot.press("f")
        await until(pilot, lambda: over(app))
        assert "FAIL" in text_of(app)
        assert "3620 lost" in text_of(app)
        await pilot.press("w", "enter")
        await until(pilot, lambda: "1 live command" in app.prompt.said[0])

    with_app(plant, fails, start=inline(host))
    saved = plant.with_name("my-plant-live.yaml")
    assert twinloop.run(saved).verdict is twinloop.Verdict.FAIL

    async def passes(app: Twinloop, pilot: Any) -> None:
        data = yaml.safe_load(saved.read_text())
        data["gateways"]["gw"] |= yaml.safe_load(STORE)
        assert f"`{STORE}`" in PAGE
        saved.write_text(yaml.safe_dump(data, sort_keys=False))
        await pilot.press("r")
        await until(pilot, lambda: app.view is not None and app.view.mode == "paused")
        await pilot.press("f")
        await until(pilot, lambda: over(app))
        assert "PASS" in text_of(app)

    with_app(saved, passes, start=inline(host))
    assert twinloop.run(saved).verdict is twinloop.Verdict.PASS
