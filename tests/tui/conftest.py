"""The scenario as a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tui.scene import SCENARIO


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "seen.yaml"
    path.write_text(SCENARIO, encoding="utf-8")
    return path
