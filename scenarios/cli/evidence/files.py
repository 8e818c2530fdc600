"""Files that commands about runs write.

Belongs here: can it be written, what stands there from before, and writing it. Never: what stands in one.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from twinloop.scenarios.text.errors import MachineError, ScenarioError


def writable(flag: str, target: Path | None) -> None:
    """Before anything runs: can it be written? Raises ScenarioError with the flag."""
    if target is None:
        return
    why = ""
    if os.path.isdir(target):
        why = "it is a folder"
    elif not os.path.isdir(target.parent):
        why = f"no such folder: {target.parent}"
    else:
        try:
            os.stat(target)
        except FileNotFoundError:
            return  # it will be there
        except OSError as error:  # such as a name longer than the file system takes
            why = error.strerror or str(error)
    if why:
        raise ScenarioError(flag, None, "", f"{target}: {why}")


def apart(named: dict[str, Path | None], scenarios: Sequence[str]) -> None:
    """No two outputs are one file, and none is a scenario or a file that one names. ``named``: flag -> file.
    Raises ScenarioError."""
    taken = {Path(name).resolve(): f"the scenario {name}" for name in scenarios if os.path.isfile(name)}
    if any(target is not None and os.path.isfile(target) for target in named.values()):
        for name in scenarios:
            taken = {file.resolve(): f"a file that the scenario {name} names" for file in _of(name)} | taken
    for flag, target in named.items():
        if target is None or (os.path.exists(target) and not os.path.isfile(target)):  # such as /dev/null
            continue
        if str(target) == "-":
            raise ScenarioError(flag, None, "", "expected a file: - (stdout) is for --json alone")
        at = target.resolve()
        if at in taken:
            raise ScenarioError(flag, None, "", f"{target}: it is {taken[at]}, which it would overwrite")
        taken[at] = f"the file of {flag}"


def _of(scenario: str) -> list[Path]:
    """The files that a scenario names; none of what isn't one, which whoever reads it says."""
    from twinloop.scenarios.file.load import load  # --help must not wait for it
    from twinloop.scenarios.file.named import named_files
    from twinloop.scenarios.text.document import SUFFIXES

    if not scenario.endswith(SUFFIXES):
        return []
    file = Path(scenario)
    try:
        return [file.parent / name for name in named_files(load(file))]
    except ScenarioError:
        return []


def cleared(*targets: Path | None) -> None:
    """What an earlier run left there goes: it must not stand in for one that is refused or broken off.
    Raises MachineError."""
    for target in targets:
        if target is None or not os.path.isfile(target):
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
