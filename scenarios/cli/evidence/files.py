"""Files that commands about many runs write.

Belongs here: can it be written, and writing it. Never: what stands in one.
"""

from __future__ import annotations

from pathlib import Path

from twinloop.scenarios.text.errors import MachineError, ScenarioError


def writable(flag: str, target: Path | None) -> None:
    """Before anything runs: can it be written? Raises ScenarioError with the flag."""
    if target is not None and (target.is_dir() or not target.parent.is_dir()):
        why = "it is a folder" if target.is_dir() else f"no such folder: {target.parent}"
        raise ScenarioError(flag, None, "", f"{target}: {why}")


def check_one(scenarios: int) -> None:
    """A page is of one scenario; raises ScenarioError when there are several."""
    if scenarios != 1:
        text = f"a page is of one scenario, and {scenarios} were given: run each with a page of its own"
        raise ScenarioError("--html", None, "", text)


def write(flag: str, target: Path, text: str) -> None:
    """A file that was asked for; raises MachineError when it can't be written."""
    try:
        target.write_text(text, encoding="utf-8")
    except OSError as error:
        raise MachineError(f"{flag} {target}: {error.strerror}") from error
