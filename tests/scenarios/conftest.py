"""What the tests of scenarios share."""

from __future__ import annotations

import os

import pytest

from tests.scenarios.shipped_runs import ShippedRuns
from twinloop.components.host.host import Host


@pytest.fixture(scope="session")
def shipped_runs(host: Host, tmp_path_factory: pytest.TempPathFactory) -> ShippedRuns:
    """A shipped scenario's name -> what it came to in this suite."""
    own = tmp_path_factory.getbasetemp()
    folder = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "shipped-runs"
    folder.mkdir(exist_ok=True)
    return ShippedRuns(folder, host)
