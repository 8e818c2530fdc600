"""Fixtures that several rooms' tests share: one component host a session, small worlds wired in Python."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from components.host import Host


@pytest.fixture(scope="session")
def host() -> Iterator[Host]:
    """Compiling a component takes longer than most tests: one host serves them all; worlds close their own instances."""
    found = Host()
    yield found
    assert found.live == 0, "a test left component instances open"
    found.close()
