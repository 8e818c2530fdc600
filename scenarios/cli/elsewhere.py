"""Commands that live above this room or in other packages, found by entry point.

Belongs here: finding, listing and calling them, and what is said of those that can't be. Never: our own
commands (main.py), what a command does.
"""

from __future__ import annotations

import sys
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from typer.exceptions import TyperException

from twinloop.components.contract.errors import HostLimitError
from twinloop.devices.catalogue import packages
from twinloop.devices.catalogue.packages import PackageError
from twinloop.scenarios.collector import modules_are_there
from twinloop.scenarios.text.errors import ScenarioError, machine_error, printable
from twinloop.sim.kernel.invariants import DeviceRefused, InvariantError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

ENTRY_POINTS = "twinloop.commands"
"""a third room's command: a callable taking the arguments after its name and returning an exit code"""

_KNOWN_TO_MAIN = (
    ScenarioError,
    PackageError,
    DeviceRefused,
    HostLimitError,
    InvariantError,
    TyperException,
)
"""what twinloop, or the library of its command line, raises when such a command calls it: whose fault that is
stands in the type"""


def commands(ours: Collection[str]) -> dict[str, EntryPoint]:
    """Name -> the entry point of that command; ``ours`` are the names that twinloop has without one."""
    return packages.by_name(ENTRY_POINTS, ours)


def call(point: EntryPoint, arguments: list[str]) -> int:
    """Its exit code; raises PackageError when it can't be called, fails, or returns something else."""
    ours = packages.is_ours(point)
    function: Any = point.load() if ours else packages.loaded(point)
    modules_are_there()
    if ours:
        return int(function(arguments) or 0)
    try:
        found = function(arguments)
    except _KNOWN_TO_MAIN:
        raise
    except Exception as error:
        if machine_error(error) is not None:
            raise
        raise PackageError(f"{packages.named(point)} failed: {packages.told(error)}") from error
    if found is None:
        return 0
    if not isinstance(found, int):
        raise PackageError(
            f"{packages.named(point)} returned a value of type {type(found).__name__}, expected an exit code"
        )
    return found


def warn_of_ignored(name: str, ours: Collection[str]) -> None:
    """Say on stderr which entry points have the name of a command and aren't it."""
    for text in packages.ignored(ENTRY_POINTS, ours).get(name, ()):
        print(f"warning: {printable(text)}", file=sys.stderr)


def help_rows(ours: Collection[str]) -> list[tuple[str, str]]:
    """(name, what it is) for the help; another package's code isn't run for that."""
    return [(name, _about(point)) for name, point in commands(ours).items()]


def _about(point: EntryPoint) -> str:
    if not packages.is_ours(point):
        return f"Of {packages.package_of(point)}."
    return str(point.load().__doc__).partition("\n\n")[0]
