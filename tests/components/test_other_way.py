"""What is tested of the component host is as true the other way: by the compiled part in a tree without one, in
Python alone in a tree that has one. The bodies are those of their own files, with another host."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.components import (
    test_batch,
    test_causes,
    test_codec,
    test_component,
    test_contracts,
    test_exchange,
    test_faults,
    test_resources,
    test_wasi,
)
from tests.components.ways import other_way
from twinloop.components.host import crossing
from twinloop.components.host import host as hosting
from twinloop.components.host.host import Host

LEFT_OUT = (
    "test_difference_sees_differences",
    "test_the_random_types_are_of_every_kind_and_beyond_every_limit",
)
"""they ask no host"""
for _module in (
    test_batch, test_causes, test_codec, test_component, test_contracts, test_exchange, test_faults, test_resources,
    test_wasi,
):  # fmt: skip
    for _name, _body in vars(_module).items():
        fixture = type(_body).__name__ == "FixtureFunctionDefinition" or hasattr(
            _body, "_pytestfixturefunction"
        )
        if (_name.startswith("test_") and callable(_body) and _name not in LEFT_OUT) or fixture:
            assert globals().get(_name, _body) is _body, f"two bodies are called {_name}"
            globals()[_name] = _body


@pytest.fixture(scope="module", autouse=True)
def way() -> Iterator[crossing.Way]:
    """That of every host that is made meanwhile."""
    other = other_way()
    patch = pytest.MonkeyPatch()
    patch.setattr(hosting, "way_of_process", lambda: other)
    yield other
    patch.undo()


@pytest.fixture(scope="module")
def host(way: crossing.Way) -> Iterator[Host]:
    """In place of the session's."""
    found = Host()
    assert found.words is way.words
    yield found
    assert found.live == 0, "a test left component instances open"
    found.close()
