"""Every Python block of docs/ runs, each in a process of its own, as a reader would copy it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from twinloop.scenarios.cli.reference import pages

DOCS = Path(__file__).parents[1] / "docs"
BLOCKS = [
    pytest.param(found[1], id=f"{page.stem}-{number}")
    for page in sorted(DOCS.rglob("*.md"))
    for number, found in enumerate(re.finditer(r"^```python\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL), 1)
]


@pytest.mark.parametrize("code", BLOCKS)
def test_a_block_runs(code: str, tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr


def test_there_are_blocks() -> None:
    assert len(BLOCKS) >= 6


@pytest.mark.parametrize("name", pages())
def test_reference_pages_are_what_the_program_prints(name: str) -> None:
    assert (DOCS / "reference" / name).read_text() == pages()[name], "run python -m twinloop.scenarios.cli.reference"
