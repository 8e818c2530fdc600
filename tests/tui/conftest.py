"""The scenario as a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tui.forked_engine import Context
from tests.tui.scene import SCENARIO


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "seen.yaml"
    path.write_text(SCENARIO, encoding="utf-8")
    return path


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nothing was opened or kept before, and the user's own files aren't touched."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state"


@pytest.fixture(autouse=True)
def _forked_engines(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever starts an engine's process gets a fork; test_feed.py starts the real one."""
    if request.module.__name__ != "tests.tui.test_feed":
        monkeypatch.setattr("twinloop.tui.engine.feed.multiprocessing.get_context", lambda method: Context)
