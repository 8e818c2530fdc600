"""The least calls that there are: they are made, and take some time."""

from __future__ import annotations

from twinloop.components.probes.least_call import KINDS, components_ns, host_ns


def test_a_call_of_another_component_takes_time_and_bytes_take_more() -> None:
    found = components_ns(rounds=5, times=5000)
    assert tuple(found) == KINDS
    assert 0 < found["inside"] < found["bytes"]
    assert found["scalar"] < found["bytes"]


def test_an_empty_function_is_called_or_the_machine_was_too_busy() -> None:
    found = host_ns(rounds=20, times=500)
    assert found is None or 0 < found < 100_000
