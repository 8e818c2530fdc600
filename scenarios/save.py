"""A scenario and what was done to it live, as a scenario: stamped commands become entries of its timeline.

Belongs here: the file's text. Never: sessions. The file lies beside the scenario that it came from, or anywhere if that names no files of its own.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from scenarios.errors import ScenarioError, shown_path
from scenarios.load import Loaded, load


def as_text(loaded: Loaded, seed: int, entries: list[dict[str, Any]]) -> str:
    """The file. ``entries`` are as in a file, with ``at`` in ns."""
    data = {**loaded.document.data, "seed": seed}
    data["timeline"] = [*(data.get("timeline") or []), *entries]
    return f"# {shown_path(loaded.file)} and what was done to it live\n" + yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=120)


def save(loaded: Loaded, seed: int, entries: list[dict[str, Any]], target: Path) -> None:
    """Write it, and read it again; raises ScenarioError when it can't be written, or isn't a scenario there."""
    text = as_text(loaded, seed, entries)
    try:
        with target.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise ScenarioError(shown_path(target), None, "", error.strerror or str(error)) from error
    try:
        load(target)
    except ScenarioError:
        target.unlink()
        raise
