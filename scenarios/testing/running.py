"""A scenario run inside a test, and what the test says of it.

Belongs here: which outcome fails, and its text. Never: pytest (plugin.py), the order of a run (runner.py).
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from twinloop.components.contract.errors import HostLimitError
from twinloop.scenarios import front, runner
from twinloop.scenarios.file.load import LIBRARY, Loaded
from twinloop.scenarios.judging.verdict import Verdict, exit_code
from twinloop.scenarios.report.console import beside, measured_text
from twinloop.scenarios.report.plain import plain
from twinloop.scenarios.report.result import Result
from twinloop.scenarios.report.total import words_of
from twinloop.scenarios.text.errors import ScenarioError, machine_error, printable
from twinloop.sim.kernel.invariants import DeviceRefused
from twinloop.sim.world import World


@dataclass(frozen=True)
class Ran:
    """What came of a scenario. ``text``: the whole report, or the error; ``doubt``: what is to be said of one
    that passed; ``line``: of the first expectation that doesn't hold."""

    failed: bool
    text: str
    doubt: str = ""
    line: int | None = None
    result: Result | None = None
    properties: list[tuple[str, object]] = field(default_factory=list)


def of_file(file: Path, seed: int | None, strict: bool) -> Ran:
    """Run a scenario file. Its mistakes and this machine's limits are failures with a text of their own;
    raises KeyboardInterrupt when the run was broken off."""
    try:
        return _ran(front.load(file), runner.Options(seed=seed, strict=strict))
    except ScenarioError as error:
        return Ran(True, "\n".join(f"ERROR: {printable(str(one))}" for one in error.all), line=error.line)
    except (DeviceRefused, HostLimitError) as error:
        return Ran(True, f"ERROR: {printable(': '.join(map(str, error.args)))}")
    except Exception as error:
        found = machine_error(error)
        if found is None:
            raise  # a mistake in twinloop: its traceback is what its authors need
        return Ran(True, f"ERROR: this machine: {found}")


def of_test(scenario: Any, folder: Path, seed: int | None, boards: dict[str, str], strict: bool) -> Ran:
    """Run what a test names (``scenario_of``). Raises ScenarioError, HostLimitError, MachineError, and
    KeyboardInterrupt when the run was broken off."""
    return _ran(scenario_of(scenario, folder), runner.Options(seed=seed, boards=boards, strict=strict))


def scenario_of(given: Any, folder: Path) -> front.Scenario:
    """A scenario as a test names it: a Scenario; plain data; YAML of several lines; a file, relative to
    ``folder``; a shipped one by its name. Raises ScenarioError."""
    if isinstance(given, front.Scenario):
        return given
    if isinstance(given, Mapping):
        return front.Scenario.of(given, folder)
    if not isinstance(given, str | Path):
        raise ScenarioError(
            type(given).__name__,
            None,
            "",
            "expected a file, the name of a shipped scenario, YAML text, a dictionary or a Scenario",
        )
    if isinstance(given, str) and "\n" in given:
        return front.load_text(given, folder / "written-in-a-test.yaml")
    if isinstance(given, Path) or Path(given).suffix or (folder / given).is_file():
        return front.load(folder / given)
    shipped = LIBRARY / f"{given}.yaml"
    return front.load(shipped) if shipped.is_file() else front.load(given)  # which says what there is


def _ran(loaded: Loaded, options: runner.Options) -> Ran:
    result = _stoppable(loaded, options)
    code = exit_code(result.verdict, options.strict, bool(result.data["unspoken"]))
    judged = [one for one in result.judged if one.verdict is not Verdict.PASS]
    word, why = words_of(result, code)
    head = f"{word}: {why}" if why else word
    if judged and why == judged[0].expectation.text:
        head += f": measured {measured_text(judged[0])}"
    told = plain(result, loaded.file)
    if code and "\nreproduce: " not in told:  # a report of a PASS has none
        told += f"reproduce: {result.reproduce}\n"
    doubt = ""
    if not code and result.verdict is Verdict.UNSURE:
        doubt = f"{head}: {judged[0].why}{beside(result.unspoken, result.verdict)}"
    elif not code and result.unspoken:
        doubt = head
    properties: list[tuple[str, object]] = [
        ("twinloop-verdict", result.verdict.value),
        ("twinloop-seed", result.seed),
        ("twinloop-digest", result.digest),
        ("twinloop-reproduce", result.reproduce),
    ]
    line = judged[0].expectation.line if judged else None
    return Ran(bool(code), f"{head}\n\n{told}", doubt, line, result, properties)


def _stoppable(loaded: Loaded, options: runner.Options) -> Result:
    """Ctrl-C stops the world between two events, for inside a component's call nobody hears an exception;
    then it is a KeyboardInterrupt, which ends pytest's session."""
    worlds: list[World] = []

    def heard(number: int, frame: object) -> None:
        if not worlds or worlds[-1].env.stopped:
            raise KeyboardInterrupt
        worlds[-1].stop()

    mine = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGINT, heard) if mine else None
    try:
        result = runner.run(loaded, replace(options, started=worlds.append))
    finally:
        if mine:
            signal.signal(signal.SIGINT, before)
    if result.verdict is Verdict.ABORTED:
        raise KeyboardInterrupt
    return result
