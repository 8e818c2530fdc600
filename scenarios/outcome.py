"""What came of one scenario: a result, or what it died of.

Belongs here: whose mistake an error was, as an exit code and on stderr. Never: reports of results.
"""

from __future__ import annotations

import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

from twinloop.components.contract.errors import HostLimitError
from twinloop.records import dataclass
from twinloop.scenarios.judging.verdict import ABORTED, INTERNAL_ERROR, MACHINE, SCENARIO_ERROR
from twinloop.scenarios.text.errors import ScenarioError, machine_error, printable, shown_path
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


def tell(ran: Ran) -> Ran:
    """What a scenario died of, on stderr."""
    assert isinstance(ran.outcome, Exception)
    if ran.code == SCENARIO_ERROR:
        print(f"error: {printable(str(ran.outcome))}", file=sys.stderr)
    elif ran.code == MACHINE:
        print(f"error: this machine: {shown_path(ran.file)}: {printable(str(ran.outcome))}", file=sys.stderr)
    elif ran.code == ABORTED:
        print(f"{shown_path(ran.file)}: {ran.outcome}", file=sys.stderr)
    elif ran.code == INTERNAL_ERROR:
        traceback.print_exception(ran.outcome)
        print(
            f"error: {shown_path(ran.file)}: a mistake in twinloop itself, please report it with the lines "
            f"above",
            file=sys.stderr,
        )
    return ran
