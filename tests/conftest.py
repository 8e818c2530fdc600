"""Fixtures that several rooms' tests share: one component host a session, small worlds wired in Python."""

from __future__ import annotations

import concurrent.futures.process  # noqa: F401 # a session inside of this one forgets what it imports
import gc
import os
import shutil
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests import processes
from tests.long import long_tests
from tests.scenarios.shipped_runs import ShippedRuns
from twinloop.components.host.cache import FOLDER_VARIABLE
from twinloop.components.host.host import Host
from twinloop.scenarios import collector

settings.register_profile(
    "suite", deadline=None, derandomize="TWINLOOP_SOAK" not in os.environ
)  # machines are busy
"""the suite tries the same examples each time, the soak new ones"""
settings.load_profile("suite")

_code: str | None = None
if "PYTEST_XDIST_WORKER" not in os.environ:
    # one folder for a run, its workers and all processes they start: equal bytes are compiled once
    _code = os.environ[FOLDER_VARIABLE] = tempfile.mkdtemp(prefix="twinloop-tests-")
os.environ.pop(
    "PYTHONDONTWRITEBYTECODE", None
)  # else each process that a test starts compiles all of twinloop for itself
collector.GROWTH_BYTES = 512 << 20
"""a whole collection looks at all tests and at all that libraries have loaded: half a second, a hundred times
in a suite"""
gc.disable()
_GROWN_BYTES = 256 << 20
_clean_bytes = [collector.resident_bytes() or 0]


def pytest_addoption(parser: pytest.Parser) -> None:
    """What long.py makes its list of."""
    parser.addoption("--cpu-times", help="a file that gets the CPU time of each test, a line each")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Those on the list are long."""
    long = long_tests()
    for item in items:
        if item.nodeid in long:
            item.add_marker(pytest.mark.long)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Tell its CPU time, that of the processes that it has started and that have ended included."""
    told = item.config.getoption("--cpu-times")
    if told is None:
        return (yield)
    before = os.times()
    result = yield
    seconds = sum(os.times()[:4]) - sum(before[:4])
    with Path(told).open("a", encoding="utf-8") as file:
        file.write(f"{seconds:.2f}\t{item.nodeid}\n")
    return result


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown() -> None:
    """Garbage is looked for between tests, when so much more lies in memory than after it was looked for
    last."""
    if (collector.resident_bytes() or 0) - _clean_bytes[0] > _GROWN_BYTES:
        gc.collect()
        _clean_bytes[0] = collector.resident_bytes() or 0


@pytest.hookimpl(trylast=True)
def pytest_unconfigure() -> None:
    """What this run compiled goes with it."""
    if _code is not None:
        shutil.rmtree(_code, ignore_errors=True)


@pytest.fixture(scope="session", autouse=True)
def _forks() -> Iterator[None]:
    """What was started for tests ends with them."""
    yield
    processes.close()


@pytest.fixture(scope="session")
def host() -> Iterator[Host]:
    """Compiling a component takes longer than most tests: one host serves them all; worlds close their own
    instances."""
    found = Host()
    yield found
    assert found.live == 0, "a test left component instances open"
    found.close()


@pytest.fixture(scope="session")
def shipped_runs(host: Host, tmp_path_factory: pytest.TempPathFactory) -> ShippedRuns:
    """A shipped scenario's name -> what it came to in this suite."""
    own = tmp_path_factory.getbasetemp()
    folder = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "shipped-runs"
    folder.mkdir(exist_ok=True)
    return ShippedRuns(folder, host)
