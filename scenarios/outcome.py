"""What came of one scenario: a result, or what it died of.

Belongs here: whose mistake an error was, as an exit code. Never: telling it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from twinloop.components.contract.errors import HostLimitError
from twinloop.scenarios.judging.verdict import ABORTED, INTERNAL_ERROR, MACHINE, SCENARIO_ERROR
from twinloop.scenarios.text.errors import ScenarioError, machine_error
from twinloop.sim.kernel.invariants import DeviceRefused

if TYPE_CHECKING:
    from twinloop.scenarios.report.result import Result


@dataclass(frozen=True)
class Ran:
    """What came of one scenario: a result, or what it died of."""

    file: Path
    outcome: Result | Exception
    code: int


def died(file: Path, error: BaseException) -> Ran:
    """What came of a scenario that has no result, and its exit code: whose mistake it was is in the type."""
    if isinstance(error, KeyboardInterrupt):
        return Ran(file, RuntimeError("interrupted before it began"), ABORTED)
    assert isinstance(error, Exception)
    if isinstance(error, ScenarioError | DeviceRefused):
        return Ran(file, error, SCENARIO_ERROR)
    found = error if isinstance(error, HostLimitError) else machine_error(error)
    return Ran(file, error, INTERNAL_ERROR) if found is None else Ran(file, found, MACHINE)
