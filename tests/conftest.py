"""Fixtures that several rooms' tests share: one component host a session, small worlds wired in Python."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

from twinloop.components.host.host import Host

settings.register_profile("suite", derandomize="TWINLOOP_SOAK" not in os.environ)
"""the suite tries the same examples each time, the soak new ones"""
settings.load_profile("suite")


@pytest.fixture(scope="session")
def host() -> Iterator[Host]:
    """Compiling a component takes longer than most tests: one host serves them all; worlds close their own instances."""
    found = Host()
    yield found
    assert found.live == 0, "a test left component instances open"
    found.close()
