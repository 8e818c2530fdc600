"""Files that commands about runs write.

Belongs here: can it be written, what stands there from before, and writing it. Never: what stands in one.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from twinloop.scenarios.text.errors import MachineError, ScenarioError


def writable(flag: str, target: Path | None) -> None:
    """Before anything runs: can it be written? Raises ScenarioError with the flag."""
    if target is not None and (target.is_dir() or not target.parent.is_dir()):
        why = "it is a folder" if target.is_dir() else f"no such folder: {target.parent}"
        raise ScenarioError(flag, None, "", f"{target}: {why}")


def apart(named: dict[str, Path | None], scenarios: Sequence[str]) -> None:
    """No two outputs are one file, and none is a scenario. ``named``: flag -> file. Raises ScenarioError."""
    taken = {Path(name).resolve(): f"the scenario {name}" for name in scenarios if Path(name).is_file()}
    for flag, target in named.items():
        if target is None or (target.exists() and not target.is_file()):  # such as /dev/null
            continue
        if str(target) == "-":
            raise ScenarioError(flag, None, "", "expected a file: - (stdout) is for --json alone")
        at = target.resolve()
        if at in taken:
            raise ScenarioError(flag, None, "", f"{target}: it is {taken[at]}, which it would overwrite")
        taken[at] = f"the file of {flag}"


def cleared(*targets: Path | None) -> None:
    """What an earlier run left there goes: it must not stand in for one that is refused or broken off.
    Raises MachineError."""
    for target in targets:
        if target is None or not target.is_file():
            continue
        try:
            target.write_bytes(b"") if target.is_symlink() else target.unlink()
        except OSError as error:
            raise MachineError(f"{target}: {error.strerror}") from error


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
