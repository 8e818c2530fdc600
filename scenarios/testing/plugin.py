"""The pytest plugin: scenario files are tests, and tests in Python run and serve scenarios.

Belongs here: hooks, options, items, fixtures. Never: running (running.py), serving (served.py); nothing that
takes long to import before a scenario runs, for pytest loads this with every session of whoever has twinloop.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from twinloop.scenarios.testing.seeds import seeds_of

if TYPE_CHECKING:
    from twinloop.scenarios.report.result import Result
    from twinloop.scenarios.testing.served import ServedScenario

ENTRY_POINT = "twinloop"
"""in the group pytest11: what ``-p no:twinloop`` turns off"""
FILES = "*.twinloop.yaml"
_SEEDS = pytest.StashKey[tuple[int, ...]]()


class TwinloopWarning(pytest.PytestWarning):
    """Of a scenario that passed, and not beyond doubt: UNSURE, or beside something that no expectation speaks
    of."""


# ---- the session ---------------------------------------------------------------------------------
def pytest_plugin_registered(plugin: object, manager: pytest.PytestPluginManager) -> None:
    """An installed twinloop is a plugin by its entry point, and may be named with ``-p`` as well: whichever
    of the two names comes first, the other one does nothing."""
    if plugin is sys.modules[__name__]:
        names = (ENTRY_POINT, __name__)
        mine = manager.get_name(plugin)
        for name in names:
            if name != mine:
                manager.set_blocked(name)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Flags, and keys of pytest's own configuration file."""
    group = parser.getgroup("twinloop", "scenario files of twinloop")
    group.addoption(
        "--twinloop-seeds",
        metavar="SEEDS",
        help="one test for each of these seeds instead of the scenario's own, e.g. 1..5 or 1,7,20..29",
    )
    group.addoption(
        "--twinloop-strict",
        action="store_true",
        help="what is UNSURE fails, and so does a PASS beside something that no expectation speaks of",
    )
    parser.addini(
        "twinloop_files",
        type="args",
        default=[],
        help=f"patterns of further scenario files beside {FILES}; one with a / is for the path below rootdir",
    )
    parser.addini("twinloop_seeds", default="", help="as --twinloop-seeds, which goes before it")


def pytest_configure(config: pytest.Config) -> None:
    """Raises UsageError for seeds that are none."""
    config.addinivalue_line("markers", "twinloop: a scenario of twinloop, collected from its file")
    flag = config.getoption("--twinloop-seeds")
    text = config.getini("twinloop_seeds") if flag is None else flag
    try:
        config.stash[_SEEDS] = seeds_of(text) if flag is not None or text else ()
    except ValueError as error:
        where = "twinloop_seeds" if flag is None else "--twinloop-seeds"
        raise pytest.UsageError(f"{where}: {error}") from error


# ---- scenario files ------------------------------------------------------------------------------
def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> ScenarioFile | None:
    """Scenario files by their names alone: what is in them is read when they run."""
    if not _is_scenario(file_path, parent.config):
        return None
    return ScenarioFile.from_parent(parent, path=file_path)


def _is_scenario(file: Path, config: pytest.Config) -> bool:
    if fnmatchcase(file.name, FILES):
        return True
    below = file.is_relative_to(config.rootpath)
    path = file.relative_to(config.rootpath).as_posix() if below else file.as_posix()
    return any(
        fnmatchcase(path if "/" in pattern else file.name, pattern)
        for pattern in config.getini("twinloop_files")
    )


class ScenarioFile(pytest.File):
    """A scenario file: one test, or one a seed."""

    def collect(self) -> Iterable[ScenarioItem]:
        """Named ``scenario``, or ``seed[3]``."""
        seeds = self.config.stash[_SEEDS]
        if not seeds:
            yield ScenarioItem.from_parent(self, name="scenario", seed=None)
        for seed in seeds:
            yield ScenarioItem.from_parent(self, name=f"seed[{seed}]", seed=seed)


class ScenarioItem(pytest.Item):
    """One run of a scenario. ``seed``: None is the file's own."""

    def __init__(self, *, seed: int | None, **given: Any) -> None:
        super().__init__(**given)
        self.seed = seed
        self.line: int | None = None
        """of the first expectation that doesn't hold"""
        self.add_marker("twinloop")

    def runtest(self) -> None:
        """Raises pytest's Failed with the report, and KeyboardInterrupt when the run was broken off."""
        from twinloop.scenarios.testing.running import of_file

        strict = bool(self.config.getoption("--twinloop-strict"))
        ran = of_file(self.path, self.seed, strict)
        self.user_properties += ran.properties
        self.line = ran.line
        if ran.failed:
            pytest.fail(ran.text, pytrace=False)
        if ran.doubt:
            self.warn(TwinloopWarning(ran.doubt))

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """The report. Its place is in the scenario file, not in this one."""
        if isinstance(excinfo.value, TwinloopWarning):  # pytest was told to make errors of warnings
            return str(excinfo.value)
        shown = super().repr_failure(excinfo, style)
        crash = getattr(shown, "reprcrash", None)
        if isinstance(excinfo.value, pytest.fail.Exception) and crash is not None:
            crash.path, crash.lineno = str(self.path), self.line or 1
        return shown

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """Where it stands, and its name in headings. It must not be the end of its id: of dots there pytest
        would make ``::``."""
        return self.path, 0, f"{self.path.name}: {self.name}"


# ---- fixtures ------------------------------------------------------------------------------------
@pytest.fixture
def twinloop_run(request: pytest.FixtureRequest) -> Callable[..., Result]:
    """``twinloop_run(scenario, seed=…, boards={gateway: board}, strict=False)`` runs a scenario and returns
    its Result, whatever the verdict.

    The scenario is a file relative to the test's folder, a shipped one by its name, YAML text of several
    lines, a dictionary or a ``twinloop.Scenario``. With ``strict`` the test fails at once, with the report,
    unless ``twinloop run --strict`` would exit with 0. It raises ``twinloop.ScenarioError`` for a mistake in
    the scenario.
    """
    from twinloop.scenarios.testing.running import of_test

    folder = request.path.parent

    def run(
        scenario: Any, *, seed: int | None = None, boards: dict[str, str] | None = None, strict: bool = False
    ) -> Result:
        ran = of_test(scenario, folder, seed, boards or {}, strict)
        assert ran.result is not None
        if strict and ran.failed:
            pytest.fail(ran.text, pytrace=False)
        return ran.result

    return run


@pytest.fixture
def twinloop_serve(request: pytest.FixtureRequest) -> Iterator[Callable[..., ServedScenario]]:
    """``twinloop_serve(scenario, seed=…, broker=(host, port))`` serves a scenario's devices on free ports, in
    a process of its own, and returns once they can be reached: ``served["presses/1"].port``.

    The scenario is given as to ``twinloop_run``. Serving ends with the test, whatever its outcome. It raises
    ``twinloop.ScenarioError`` for a mistake in the scenario.
    """
    from twinloop.scenarios.testing.served import ServedScenario

    folder = request.path.parent
    with contextlib.ExitStack() as stack:

        def serve(
            scenario: Any, *, seed: int | None = None, broker: tuple[str, int] | None = None
        ) -> ServedScenario:
            served = ServedScenario(scenario, folder, seed, broker)
            stack.callback(served.stop)
            return served

        yield serve
