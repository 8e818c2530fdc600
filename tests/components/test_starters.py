"""The starters that are committed as components do what components/starters/BEHAVIOUR.md says; none of it
needs WASI."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.components.starter_cases import Bus, Call, Start
from tests.components.starter_whole_numbers import ALL_CASES, policy_nearest_doubles
from twinloop.components.host.host import Host
from twinloop.components.host.instance import Instance

BUILT = Path(__file__).parents[2] / "components" / "starters" / "built"
FUEL = 1_000_000_000
EXACT = ("rego-policy", policy_nearest_doubles)
"""Rego compares decimal numbers, which are exact"""


@pytest.mark.parametrize(
    ("name", "role", "case"),
    [
        (path.stem, role, case)
        for role, cases in ALL_CASES.items()
        for path in sorted(BUILT.glob(f"*-{role}*.wasm"))
        for case in cases
        if (path.stem, case) != EXACT
    ],
)
def test_a_starter_does_what_is_written(
    host: Host, name: str, role: str, case: Callable[[Start], None]
) -> None:
    linked = host.link(
        host.load(BUILT / f"{name}.wasm", role), ["fieldbus", "clock"] if role == "driver" else []
    )

    opened: list[Instance] = []

    def start(bus: Bus) -> Call:
        instance = host.instantiate(linked, {"clock.now": lambda: bus("clock.now", ())}, FUEL)
        opened.append(instance)
        assert instance.fault is None

        def call(export: str, *arguments: Any) -> Any:
            instance.begin(export, arguments, FUEL)
            instance.advance()
            while instance.request is not None:
                instance.answer(bus(instance.request.name, tuple(instance.request.arguments)))
                instance.advance()
            assert instance.fault is None, instance.fault
            return instance.result()

        return call

    try:
        case(start)
    finally:
        for instance in opened:
            instance.close()
