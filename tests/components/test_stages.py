"""normalize, smooth, derive and route: what they do with readings."""

from __future__ import annotations

from typing import Any

import pytest

from tests.plants import WASM
from twinloop.components.contract.contract import LinkState, Origin, PointConfig, Reading, Settings
from twinloop.components.host.host import Host

FUEL = 100_000_000
POINTS = [
    PointConfig(0, "oven", "x", "degF", 1.0, 0.0, 32.0, 212.0),
    PointConfig(1, "pressure", "x", "bar", 1.0, 0.0, None, 16.0),
    PointConfig(2, "spare", "x", "", 1.0, 0.0, None, None),
]
BAD = 0x800A0000


def call(
    host: Host,
    name: str,
    role: str,
    options: dict[str, str],
    export: str,
    *calls: tuple[Any, ...],
    points: list[PointConfig] = POINTS,
) -> list[Any]:
    instance = host.instantiate(host.link(host.load(WASM / f"{name}.wasm", role), ["log"]), {}, FUEL)
    instance.begin("configure", (Settings("", points, list(options.items())),), FUEL)
    instance.advance()
    out = [instance.result()]
    if out[0].ok:
        out = []
        for arguments in calls:
            instance.begin(export, arguments, FUEL)
            instance.advance()
            out.append(instance.result())
    instance.close()
    return out


def transform(host: Host, options: dict[str, str], *readings: Reading, name: str = "normalize") -> list[Any]:
    (result,) = call(
        host, name, "transform", options, "transform-readings", (Origin("d", 0), (list(readings), [], []))
    )
    return [(r.point, r.value, r.status) for r in result.value.readings] if result.ok else [result.value]


def test_units_are_converted_exactly(host: Host) -> None:
    assert transform(
        host, {"convert": "degF->degC, bar->kPa"}, Reading(0, 212.0, 0, 0), Reading(1, 1.5, 0, 0)
    ) == [(0, 100.0, 0), (1, 150.0, 0)]


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("mark", [(1, 17.0, 0x40940000)]),
        ("clamp", [(1, 16.0, 0x40940000)]),
        ("drop", []),
        ("off", [(1, 17.0, 0)]),
    ],
)
def test_range_checks(host: Host, mode: str, expected: list[Any]) -> None:
    assert transform(host, {"range": mode}, Reading(1, 17.0, 0, 0)) == expected


def test_bad_readings_are_kept_or_dropped_and_never_converted(host: Host) -> None:
    bad = Reading(0, 212.0, BAD, 0)
    assert transform(host, {"convert": "degF->degC"}, bad) == [(0, 212.0, BAD)]
    assert transform(host, {"bad": "drop"}, bad) == []


def test_an_unknown_point_is_bad_input(host: Host) -> None:
    assert transform(host, {}, Reading(77, 1.0, 0, 0)) == [("bad-input", "unknown point")]


@pytest.mark.parametrize("options", [{"convert": "degF->parsec"}, {"range": "maybe"}, {"bogus": ""}])
def test_bad_options_are_refused(host: Host, options: dict[str, str]) -> None:
    (result,) = call(host, "normalize", "transform", options, "transform-readings")
    assert not result.ok


def test_smooth_gives_the_median_of_its_window_per_device(host: Host) -> None:
    batches = [
        (Origin(device, k), ([Reading(1, value, 0, 0)], [], []))
        for k, (device, value) in enumerate([("a", 1), ("a", 9), ("b", 50), ("a", 2), ("a", 3)])
    ]
    results = call(
        host, "smooth", "transform", {"window": "3", "passes": "2"}, "transform-readings", *batches
    )
    assert [r.value.readings[0].value for r in results] == [1.0, 5.0, 50.0, 2.0, 3.0]


DERIVED = [*POINTS, PointConfig(3, "load", "derived", "kbar", 1.0, 0.0, 0.0, 2.0)]
DERIVE = {"of": "load", "a": "oven", "b": "pressure", "factor": "0.001"}


@pytest.mark.parametrize(
    ("readings", "added"),
    [
        ([Reading(0, 100.0, 0, 5), Reading(1, 9.0, 0, 7)], [(3, 0.9, 0, 7)]),
        ([Reading(1, 9.0, 0, 7), Reading(2, 1.0, 0, 7), Reading(0, 100.0, 0, 9)], [(3, 0.9, 0, 9)]),
        ([Reading(0, 500.0, 0, 5), Reading(1, 9.0, 0, 5)], [(3, 4.5, 0x40940000, 5)]),
        ([Reading(0, -1.0, 0, 5), Reading(1, 10.0, 0, 5)], [(3, -0.01, 0x40940000, 5)]),
        ([Reading(0, 100.0, 0x40000000, 5), Reading(1, 9.0, BAD, 5)], [(3, 0.0, BAD, 5)]),
        ([Reading(0, 100.0, 0x40000000, 5), Reading(1, 9.0, 0, 5)], [(3, 0.9, 0x40000000, 5)]),
        ([Reading(0, 100.0, 0, 5)], []),
        ([Reading(2, 100.0, 0, 5)], []),
        ([], []),
    ],
)
def test_derive_adds_the_product(host: Host, readings: list[Reading], added: list[Any]) -> None:
    batch = (Origin("d", 0), (readings, [], []))
    (result,) = call(host, "derive", "transform", DERIVE, "transform-readings", batch, points=DERIVED)
    assert [tuple(one) for one in result.value.readings] == [*(tuple(one) for one in readings), *added]


@pytest.mark.parametrize("wrong", [{"of": "lode"}, {"a": "x"}, {"b": ""}, {"factor": "kilo"}, {"c": "oven"}])
def test_derive_refuses_options_that_name_nothing(host: Host, wrong: dict[str, str]) -> None:
    (result,) = call(host, "derive", "transform", {**DERIVE, **wrong}, "transform-readings", points=DERIVED)
    assert result == (False, ("unknown-option" if "c" in wrong else "bad-option", *wrong))
    (undeclared,) = call(host, "derive", "transform", DERIVE, "transform-readings")
    assert undeclared == (False, ("bad-option", "of"))


UP, DOWN = LinkState(True, 0, 0, 0, 0.0), LinkState(False, 0, 0, 0, 0.0)


@pytest.mark.parametrize(
    ("options", "state", "verdict", "exceptions"),
    [
        ({}, UP, ("forward", 1), []),
        ({"lane": "3"}, UP, ("forward", 3), []),
        ({"alert": "pressure > 8.5"}, UP, ("forward", 1), [(1, ("alert", "above its bound"))]),
        ({"alert": "pressure<9.5"}, UP, ("forward", 1), [(1, ("alert", "below its bound"))]),
        ({"drop": "spare"}, UP, ("forward", 1), [(2, ("drop", "listed"))]),
        ({"down": "cache"}, DOWN, ("cache", 1), []),
        ({"down": "drop"}, DOWN, ("drop", "link down"), []),
        ({"down": "drop"}, UP, ("forward", 1), []),
        ({"shed": "0.5"}, LinkState(True, 0, 0, 0, 0.75), ("drop", "shed"), []),
        ({"bad": "drop"}, UP, ("forward", 1), [(0, ("drop", "bad status"))]),
    ],
)
def test_route_decides_by_rules_and_link(
    host: Host, options: dict[str, str], state: LinkState, verdict: Any, exceptions: list[Any]
) -> None:
    status = BAD if "bad" in options else 0
    batch = ([Reading(0, 50.0, status, 0), Reading(1, 9.0, 0, 0), Reading(2, 0.0, 0, 0)], [], [])
    (result,) = call(host, "route", "policy", options, "decide", (Origin("d", 0), batch, state))
    assert result.ok
    assert tuple(result.value[0]) == verdict
    assert [(e[0], tuple(e[1])) for e in result.value[1]] == exceptions


def test_route_refuses_rules_for_points_that_do_not_exist(host: Host) -> None:
    (result,) = call(host, "route", "policy", {"alert": "presure>1"}, "decide")
    assert result == (False, ("bad-option", "alert"))
