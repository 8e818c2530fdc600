"""normalize, smooth, derive and route with whole numbers of 64 bits: limits at and around 2^53, and what passes as
it is."""

from __future__ import annotations

from typing import Any

import pytest

from tests.components.test_stages import BAD, DERIVE, DERIVED, FUEL, UP, call
from tests.plants import WASM
from twinloop.components.contract.contract import (
    IntegerReading,
    Origin,
    PointConfig,
    Reading,
    Settings,
    TextReading,
)
from twinloop.components.host.host import Host

OUTSIDE = 0x40940000
"""Uncertain_EngineeringUnitsExceeded"""


def cases(value: int) -> list[tuple[str, int]]:
    """The WIT's integers that are this value: up to 2^63 - 1 there are two of a positive one."""
    return [("signed", value)] * (value < 2**63) + [("unsigned", value)] * (value >= 0)


def limited(low: float | None, high: float | None, unit: str = "") -> list[PointConfig]:
    return [
        PointConfig(0, "n", "x", unit, 1.0, 0.0, low, high),
        PointConfig(1, "m", "x", "", 1.0, 0.0, None, None),
    ]


def transformed(
    host: Host,
    points: list[PointConfig],
    options: dict[str, str],
    integers: list[IntegerReading],
    readings: tuple[Reading, ...] = (),
    name: str = "normalize",
) -> Any:
    batch = (list(readings), [TextReading(9, "t", 0, 0)], integers)
    calls = (Origin("d", 0), batch)
    (result,) = call(host, name, "transform", options, "transform-readings", calls, points=points)
    assert result.ok, result
    assert [tuple(text) for text in result.value.texts] == [(9, "t", 0, 0)]
    return result.value


@pytest.mark.parametrize(
    ("low", "high", "value", "inside"),
    [
        (None, 2.0**53, 2**53, True), (None, 2.0**53, 2**53 + 1, False), (None, 2.0**53, 2**53 - 1, True), (None, 2.0**53, 2**64 - 1, False),
        (2.0**53, None, 2**53, True), (2.0**53, None, 2**53 - 1, False), (2.0**53, None, 2**53 + 1, True), (2.0**53 + 2, None, 2**53 + 1, False),
        (-(2.0**53), None, -(2**53), True), (-(2.0**53), None, -(2**53) - 1, False), (None, -(2.0**53) - 2, -(2**53) - 1, False),
        (None, -(2.0**53), -(2**53) - 1, True), (None, 2.0**63, 2**63, True), (None, 2.0**63, 2**63 + 1, False), (2.0**63, None, 2**63 - 1, False),
        (None, 2.0**64, 2**64 - 1, True), (2.0**64, None, 2**64 - 1, False), (None, 2.0**64 - 2048, 2**64 - 1, False), (None, 2.0**64 - 2048, 2**64 - 2048, True),
        (-(2.0**63), None, -(2**63), True), (None, -(2.0**63), -(2**63), True), (None, -(2.0**63), -(2**63) + 1, False),
        (-1e300, 1e300, 2**64 - 1, True), (1e300, None, 2**64 - 1, False), (None, -1e300, -(2**63), False), (-1e300, None, -(2**63), True),
        (0.5, None, 0, False), (0.5, None, 1, True), (None, 0.5, 1, False), (None, 0.5, 0, True), (-0.5, None, -1, False), (-0.5, None, 0, True),
        (None, -0.5, 0, False), (None, -0.5, -1, True), (-0.0, 0.0, 0, True), (None, None, 2**64 - 1, True),
        (float("-inf"), float("inf"), 2**63, True), (float("nan"), float("nan"), -1, True),
    ],
)  # fmt: skip
def test_limits_are_exact(
    host: Host, low: float | None, high: float | None, value: int, inside: bool
) -> None:
    for case in cases(value):
        one = IntegerReading(0, case, 0, 7)
        (kept,) = transformed(host, limited(low, high), {}, [one]).integers
        assert tuple(kept) == tuple(one._replace(status=0 if inside else OUTSIDE))
        assert bool(transformed(host, limited(low, high), {"range": "drop"}, [one]).integers) == inside
        (kept,) = transformed(host, limited(low, high), {"range": "off"}, [one]).integers
        assert tuple(kept) == tuple(one)


@pytest.mark.parametrize(
    ("low", "high", "value", "clamped"),
    [
        (None, 2.0**53, 2**53 + 1, 2**53), (0.5, None, -(2**63), 1), (None, 0.5, 2**64 - 1, 0), (-0.5, None, -1, 0), (None, -0.5, 3, -1),
        (2.0**63, None, 5, 2**63), (None, -(2.0**63), 5, -(2**63)), (1e300, None, 5, 2**64 - 1), (None, -1e300, 5, -(2**63)), (0.0, 9.0, 7, 7),
    ],
)  # fmt: skip
def test_clamped_it_is_the_nearest_whole_number_within(
    host: Host, low: float | None, high: float | None, value: int, clamped: int
) -> None:
    for case in cases(value):
        batch = transformed(host, limited(low, high), {"range": "clamp"}, [IntegerReading(0, case, 0, 7)])
        ((point, (_, kept), status, _),) = batch.integers
        assert (point, kept, status) == (0, clamped, 0 if clamped == value else OUTSIDE)


def test_order_and_bad_ones(host: Host) -> None:
    points = [PointConfig(n, f"n{n}", "x", "", 1.0, 0.0, None, 100.0) for n in range(4)]
    given = [
        IntegerReading(3, ("unsigned", 2**64 - 1), BAD, 1),
        IntegerReading(1, ("signed", -1), 0, 2),
        IntegerReading(2, ("unsigned", 101), 0, 3),
    ]
    readings = (Reading(0, 5.0, 0, 4),)
    batch = transformed(host, points, {}, given, readings)
    assert [tuple(one) for one in batch.integers] == [
        tuple(given[0]),
        tuple(given[1]),
        tuple(given[2]._replace(status=OUTSIDE)),
    ]
    assert [tuple(one) for one in batch.readings] == [tuple(readings[0])]
    batch = transformed(host, points, {"bad": "drop", "range": "drop"}, given, readings)
    assert [tuple(one) for one in batch.integers] == [tuple(given[1])]
    unknown = (Origin("d", 0), ([], [], [IntegerReading(77, ("signed", 1), 0, 0)]))
    (result,) = call(host, "normalize", "transform", {}, "transform-readings", unknown, points=points)
    assert result == (False, ("bad-input", "unknown point"))


@pytest.mark.parametrize("count", [0, 1, 3])
def test_converted_it_is_a_double_behind_the_readings(host: Host, count: int) -> None:
    points = [PointConfig(n, f"n{n}", "x", "Wh" if n % 2 else "", 1.0, 0.0, None, None) for n in range(10)]
    readings = tuple(Reading(n, 5.0, 0, 1) for n in range(0, 2 * count, 2))
    given = [
        IntegerReading(7, ("unsigned", 1000), 0, 2),
        IntegerReading(8, ("unsigned", 2**63), 0, 3),
        IntegerReading(9, ("signed", -2000), OUTSIDE, 4),
        IntegerReading(5, ("signed", 1), BAD, 5),
    ]
    batch = transformed(host, points, {"convert": "Wh->kWh"}, given, readings)
    assert [tuple(one) for one in batch.readings] == [
        *(tuple(one) for one in readings),
        (7, 1.0, 0, 2),
        (9, -2.0, OUTSIDE, 4),
    ]
    assert [tuple(one) for one in batch.integers] == [tuple(given[1]), tuple(given[3])]


def test_smooth_and_derive_let_them_pass(host: Host) -> None:
    given = [IntegerReading(2, ("unsigned", 2**64 - 1), 0, 2), IntegerReading(3, ("signed", -5), BAD, 3)]
    for _ in range(2):
        batch = transformed(
            host, limited(None, None), {"window": "3"}, given, (Reading(0, 1.0, 0, 1),), "smooth"
        )
        assert [tuple(one) for one in batch.integers] == [tuple(one) for one in given]
        assert [one.value for one in batch.readings] == [1.0]
    batch = transformed(host, DERIVED, DERIVE, given[:1], name="derive")
    assert [tuple(one) for one in batch.integers] == [tuple(given[0])]
    assert not batch.readings


@pytest.mark.parametrize("whole", [(0,), (1,), (0, 1)])
def test_derive_multiplies_them_as_doubles(host: Host, whole: tuple[int, ...]) -> None:
    given = [IntegerReading(point, ("unsigned", (100, 9)[point]), 0, 5 + point) for point in whole]
    readings = tuple(Reading(p, (100.0, 9.0)[p], 0, 5 + p) for p in range(2) if p not in whole)
    batch = transformed(host, DERIVED, DERIVE, given, readings, "derive")
    assert [tuple(one) for one in batch.readings] == [*(tuple(one) for one in readings), (3, 0.9, 0, 6)]
    assert [tuple(one) for one in batch.integers] == [tuple(one) for one in given]


@pytest.mark.parametrize(
    ("options", "value", "verdict"),
    [
        ({"alert": "n>9007199254740992"}, 2**53, None), ({"alert": "n>9007199254740992"}, 2**53 + 1, ("alert", "above its bound")),
        ({"alert": "n<9007199254740992"}, 2**53 - 1, ("alert", "below its bound")), ({"alert": "n<9007199254740992"}, 2**53, None),
        ({"alert": "n<-9007199254740992"}, -(2**53) - 1, ("alert", "below its bound")), ({"alert": "n<0.5"}, 0, ("alert", "below its bound")),
        ({"alert": "n>-0.5"}, 0, ("alert", "above its bound")), ({"alert": "n>1e19"}, 2**64 - 1, ("alert", "above its bound")),
        ({"alert": "m>0"}, 2**64 - 1, None), ({"drop": "n"}, 5, ("drop", "listed")),
    ],
)  # fmt: skip
def test_route_looks_at_them_as_at_readings(
    host: Host, options: dict[str, str], value: int, verdict: tuple[str, str] | None
) -> None:
    for case in cases(value):
        batch = ([Reading(1, 0.0, 0, 0)], [], [IntegerReading(0, case, 0, 0)])
        assert decided(host, options, batch) == ([] if verdict is None else [(0, verdict)])


def decided(host: Host, options: dict[str, str], batch: Any) -> list[Any]:
    arguments = (Origin("d", 0), batch, UP)
    (result,) = call(host, "route", "policy", options, "decide", arguments, points=limited(None, None))
    assert result.ok, result
    assert tuple(result.value[0]) == ("forward", 1)
    return [(point, tuple(verdict)) for point, verdict in result.value[1]]


def test_route_tells_bad_ones_and_all_that_depart(host: Host) -> None:
    bad = IntegerReading(0, ("unsigned", 2**63), BAD, 0)
    assert decided(host, {"bad": "drop", "alert": "n>1"}, ([], [], [bad])) == [(0, ("drop", "bad status"))]
    batch = ([Reading(1, 5.0, 0, 0)], [], [bad._replace(status=0)])
    assert decided(host, {"alert": "n>1, m>1"}, batch) == [
        (1, ("alert", "above its bound")),
        (0, ("alert", "above its bound")),
    ]
    unknown = (Origin("d", 0), ([], [], [bad._replace(point=77)]), UP)
    (result,) = call(host, "route", "policy", {}, "decide", unknown)
    assert result == (False, ("bad-input", "unknown point"))


@pytest.mark.parametrize(
    ("name", "role", "options"),
    [
        ("normalize", "transform", {"convert": "Wh->kWh", "range": "drop"}), ("smooth", "transform", {"window": "3"}),
        ("derive", "transform", {"of": "p", "a": "n", "b": "m"}), ("route", "policy", {"alert": "n>1, m>1"}),
    ],
)  # fmt: skip
def test_memory_is_flat(host: Host, name: str, role: str, options: dict[str, str]) -> None:
    points = [
        *limited(None, 1000.0, "Wh"),
        PointConfig(2, "p", "derived", "", 1.0, 0.0, None, None),
    ]
    instance = host.instantiate(host.link(host.load(WASM / f"{name}.wasm", role), ["log"]), {}, FUEL)

    def run(export: str, *arguments: Any) -> Any:
        instance.begin(export, arguments, FUEL)
        instance.advance()
        assert instance.fault is None
        return instance.result()

    assert run("configure", Settings("", points, list(options.items()))).ok
    batches = [
        ([Reading(1, 5.0, 0, 0)], [], [IntegerReading(0, ("unsigned", 2), 0, 0)]),
        ([Reading(0, 2000.0, 0, 0)], [TextReading(1, "t" * 50, 0, 0)], []),
        ([], [], [IntegerReading(0, ("unsigned", 2000), 0, 0), IntegerReading(1, ("signed", -1), 0, 0)]),
        ([Reading(77, 1.0, 0, 0)], [], [IntegerReading(0, ("unsigned", 2), 0, 0)]),
        ([], [], []),
    ]

    def rounds(count: int) -> None:
        for k in range(count):
            batch = batches[k % len(batches)]
            if role == "policy":
                run("decide", Origin("d/1", k), batch, UP)
            else:
                run("transform-readings", Origin("d/1", k), batch)

    rounds(100)
    before = instance.memory_bytes
    rounds(5000)
    assert instance.memory_bytes == before
    instance.close()
