"""Names in expectations: do the fleets, phases, causes, points and versions exist that an expectation speaks
of?

Belongs here: what needs the scenario to check. Never: the grammar (expressions.py), values (values.py).
"""

from __future__ import annotations

from collections.abc import Iterable

from twinloop.components.releases.registry import Version
from twinloop.devices.model.device import DeviceModel
from twinloop.devices.model.statuses import is_status_name
from twinloop.scenarios.file.load import Loaded
from twinloop.scenarios.judging.expectation import Expectation
from twinloop.scenarios.judging.expressions import ExpressionError
from twinloop.scenarios.judging.metrics.table import METRICS
from twinloop.scenarios.judging.values import check_point
from twinloop.scenarios.planning.timeline import possible_events, wrong_event
from twinloop.scenarios.text.errors import unknown
from twinloop.sim.accounts.latency import STAGES

AT_WORK = {"driver": "driver", "bus": "driver", "transform": "transform", "policy": "policy"}
"""stage of latency.stage -> whose version it has"""


def check_names(loaded: Loaded, expectation: Expectation) -> None:
    """Raises ExpressionError for the first name that isn't known."""
    known = _known(loaded)
    for key, value in expectation.keys:
        causes = METRICS[expectation.metric].causes
        if key == "cause" and value not in causes:
            raise ExpressionError(unknown(f"cause of {expectation.metric}", value, causes))
        if key == "status":
            _check_status(expectation, value)
        if key == "version":
            _check_version(expectation, value)
        if key in known and value not in known[key]:
            raise ExpressionError(unknown(key, value, known[key]))
    if expectation.metric == "value":
        check_point(expectation, _meant(loaded, expectation))
    if expectation.metric.startswith("derived."):
        _check_derived(loaded, expectation)
    if expectation.event:
        wrong = wrong_event(loaded, expectation.event, possible_events(loaded))
        if wrong is not None:
            raise ExpressionError(wrong)


def _known(loaded: Loaded) -> dict[str, Iterable[str]]:
    scenario = loaded.scenario
    devices = dict.fromkeys(
        f"{name}/{i + 1}" for name, fleet in scenario.fleets.items() for i in range(fleet.count)
    )
    return {
        "fleet": scenario.fleets,
        "device": devices,
        "gateway": scenario.gateways,
        "component": scenario.components,
        "stage": STAGES,
        "phase": [phase.name for phase in scenario.phases],
        "quality": ("good", "uncertain", "bad"),
    }


def _check_status(expectation: Expectation, name: str) -> None:
    wanted = expectation.metric.removeprefix("readings.").capitalize()
    if not is_status_name(name) or not name.startswith(wanted):
        raise ExpressionError(
            f"status: expected the name of a StatusCode that is {wanted}, e.g. {wanted}SensorFailure, got "
            f'"{name}"'
        )


def _check_derived(loaded: Loaded, expectation: Expectation) -> None:
    """Does a transform of what is meant add such a point, each in the unit of the bound?"""
    keys, scenario = dict(expectation.keys), loaded.scenario
    named, point = keys.get("device", "").partition("/")[0] or keys.get("fleet"), keys.get("point")
    of = {
        name: (name, *(() if gateway.standby is None else (gateway.standby.of,)))
        for name, gateway in scenario.gateways.items()
    }
    meant = {
        name
        for names in of.values()
        for name in names
        if keys.get("gateway") is None or keys["gateway"] in names
    }
    fleets = [
        fleet for name, fleet in scenario.fleets.items() if named in (None, name) and fleet.gateway in meant
    ]
    read_by = {fleet.gateway for fleet in fleets}
    transforms = [scenario.gateways[name].transform for name, names in of.items() if read_by & {*names}]
    blocks = [scenario.components[name].derives for name in transforms if name in scenario.components]
    declared = [one for block in blocks for one in block.items()]
    if not declared:
        raise ExpressionError(
            "no transform that is meant adds a point: derives of its component declares what it adds"
        )
    if point is not None and point not in dict(declared):
        raise ExpressionError(unknown("derived point", point, dict(declared)))
    if expectation.metric != "derived.value":
        return
    for name, block in declared:
        if name == point and expectation.statistic != "count" and expectation.bound_unit != block.unit:
            means = f'in "{block.unit}"' if block.unit else "without a unit"
            raise ExpressionError(f'{point} is derived {means}, got "{expectation.bound_unit or "no unit"}"')
    many = sum(1 if "device" in keys else fleet.count for fleet in fleets)
    if expectation.statistic == "last" and many > 1:
        raise ExpressionError(f"last goes with one device, {many} are meant: add device=NAME")


def _check_version(expectation: Expectation, version: str) -> None:
    stage = dict(expectation.keys)["stage"]
    if stage not in AT_WORK:
        raise ExpressionError(
            f"version goes with the stages {', '.join(AT_WORK)}: no component works in {stage}"
        )
    try:
        Version.parse(version)
    except ValueError as error:
        raise ExpressionError(f"version: {error}") from error


def _meant(loaded: Loaded, expectation: Expectation) -> list[tuple[DeviceModel, int]]:
    """(model, how many devices of it) of what an expectation on values is about."""
    keys, out = dict(expectation.keys), []
    for name, fleet in loaded.scenario.fleets.items():
        of = keys.get("device", "").partition("/")[0] or keys.get("fleet")
        if of in (None, name) and keys.get("gateway") in (None, fleet.gateway):
            out.append(
                (
                    loaded.models.of(fleet.believes, ("fleets", name, "believes"))
                    if fleet.believes is not None
                    else loaded.models.of(fleet.device, ("fleets", name, "device")),
                    1 if "device" in keys else fleet.count,
                )
            )
    if not out:
        raise ExpressionError(
            "none of the fleets is meant: a device, a fleet and a gateway that don't belong together"
        )
    return out
