"""Upgrades in a scenario: registry, keys and releases read when it is planned, what became of each told when
a run is over.

Belongs here: what only upgrades have. Never: what a gateway does with a release (sim/upgrade/upgrades.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from twinloop.components.releases.registry import (
    Keys,
    Registry,
    RegistryError,
    Version,
)
from twinloop.scenarios.file import schema
from twinloop.scenarios.file.load import Loaded
from twinloop.scenarios.text.document import Location
from twinloop.scenarios.text.errors import ScenarioError, unknown
from twinloop.scenarios.text.units import show_duration
from twinloop.scenarios.text.words import number_of
from twinloop.sim.cloud.orders import Upgrade
from twinloop.sim.model.spec import OfferSpec, UpgradeSpec, WorldSpec

OUTCOMES = ("upgraded", "refused", "abandoned", "rolled-back")
"""events ``OUTCOME gateway/component`` that an upgrade can end with"""
STORIES_MAX = 12
_REGISTRY: Location = ("registry",)


def require_release(loaded: Loaded, gateway: str, component: str, version: str, at: Location) -> None:
    """A component of a gateway, with a version that is installed, to one that the registry has; raises
    ScenarioError."""
    error, scenario = loaded.document.error, loaded.scenario
    used = components_of(scenario, gateway)
    if component not in used:
        raise error((*at, "upgrade"), unknown(f"component of {gateway}", component, used))
    if scenario.registry is None:
        raise error(at, "upgrade needs a registry: add registry: {path: ..., trust: [....pub]}")
    if scenario.components[component].version is None:
        raise error(
            ("components", component),
            f'component "{component}" is upgraded: say which version is installed, e.g. version: 1.0.0',
        )
    _offer(loaded, component, version, (*at, "version"))


def ordered(loaded: Loaded) -> list[tuple[str, str, str, Location]]:
    """(gateway, component, version, where it stands) of each upgrade of the timeline and of random
    trouble."""
    entries: list[tuple[Location, schema.Deed]] = [
        (("timeline", i), entry) for i, entry in enumerate(loaded.scenario.timeline)
    ]
    for i, block in enumerate(loaded.scenario.random_faults):
        entries += [(("random-faults", i, "actions", j), deed) for j, deed in enumerate(block.actions)]
    found = []
    for at, deed in entries:
        said = deed.model_dump(include={"upgrade", "version"})
        if said["upgrade"] is not None:
            gateway, _, component = said["upgrade"].partition("/")
            found.append((gateway, component, str(said["version"]), at))
    return found


def components_of(scenario: schema.Scenario, gateway: str) -> list[str]:
    """Names of the components that a gateway runs."""
    block = scenario.gateways[gateway]
    return list(dict.fromkeys([block.transform, block.policy, *drivers_of(scenario, gateway)]))


def drivers_of(scenario: schema.Scenario, gateway: str) -> list[str]:
    """The driver of each device that a gateway polls."""
    standby = scenario.gateways[gateway].standby
    polled = gateway if standby is None else standby.of
    out = []
    for name, fleet in scenario.fleets.items():
        if fleet.gateway == polled:
            own = [scenario.overrides.get(f"{name}/{i + 1}") for i in range(fleet.count)]
            out += [fleet.driver if one is None or one.driver is None else one.driver for one in own]
    return out


def beside(loaded: Loaded, gateway: str) -> int:
    """How many instances the largest upgrade of a gateway has beside the old ones."""
    drivers = drivers_of(loaded.scenario, gateway)
    names = [component for of, component, _, _ in ordered(loaded) if of == gateway]
    return max((max(1, drivers.count(name)) for name in names), default=0)


def _registry(loaded: Loaded) -> Registry:
    assert loaded.scenario.registry is not None
    return Registry(loaded.file.parent / loaded.scenario.registry.path)


def _offer(loaded: Loaded, name: str, version: str, at: Location) -> OfferSpec:
    registry, error = _registry(loaded), loaded.document.error
    try:
        if name not in registry.names():
            raise error(at, unknown("release", name, registry.names()))
        known = registry.versions(name)
        if Version.parse(version) not in known:
            raise error(at, unknown(f"version of {name}", version, [str(one) for one in known]))
        return OfferSpec(*registry.read(name, Version.parse(version)))
    except RegistryError as problem:
        raise error((*_REGISTRY, "path"), str(problem)) from problem
    except ScenarioError:
        raise
    except ValueError as problem:
        raise error(at, str(problem)) from problem


def on_offer(loaded: Loaded) -> tuple[OfferSpec, ...]:
    """Every release in the registry that can be read, for what may be ordered while the scenario runs; none
    without a registry."""
    if loaded.scenario.registry is None:
        return ()
    registry, out = _registry(loaded), []
    try:
        known = [(name, str(version)) for name in registry.names() for version in registry.versions(name)]
    except RegistryError:
        return ()
    for name, version in known:
        try:
            out.append(_offer(loaded, name, version, _REGISTRY))
        except ScenarioError:
            continue  # whoever orders it is told why it can't be
    return tuple(out)


def offers(loaded: Loaded) -> tuple[OfferSpec, ...]:
    """Every release that the timeline asks for, read once; raises ScenarioError."""
    wanted: dict[tuple[str, str], OfferSpec] = {}
    for _, component, version, at in ordered(loaded):
        if (component, version) not in wanted:
            wanted[component, version] = _offer(loaded, component, version, (*at, "version"))
    return tuple(wanted.values())


def trusted(loaded: Loaded) -> Keys:
    """The public keys that the scenario's gateways believe; raises ScenarioError."""
    block = loaded.scenario.registry
    if block is None:
        return {}
    from twinloop.components.releases.keys import read_public_key, trust

    keys = []
    for index, name in enumerate(block.trust):
        try:
            keys.append(read_public_key(Path(loaded.file.parent / name)))
        except RegistryError as problem:
            raise loaded.document.error((*_REGISTRY, "trust", index), str(problem)) from problem
    return trust(*keys)


def upgrade_spec(block: schema.Upgrading) -> UpgradeSpec:
    """A gateway's way of taking upgrades."""
    return UpgradeSpec(block.trial, block.faults, block.failures, block.latency, block.fetch)


def warnings(spec: WorldSpec) -> list[str]:
    """What can be foreseen of upgrades."""
    out = []
    targets = dict.fromkeys(
        action.target.partition("/")[0] for action in spec.timeline if action.verb == "upgrade"
    )
    for gateway in spec.gateways:
        polled = gateway.name if gateway.standby is None else gateway.standby.of
        slowest = max((device.poll_ns for device in spec.devices if device.gateway == polled), default=0)
        if gateway.name in targets and gateway.upgrade.trial_ns < slowest:
            out.append(
                f"gateway {gateway.name}: a trial of {show_duration(gateway.upgrade.trial_ns)} ends before "
                f"each device was polled once, "
                f"the slowest every {show_duration(slowest)}"
            )
    return out


def stories(orders: Sequence[Upgrade]) -> list[str]:
    """What became of each upgrade, in words."""
    out = []
    for one in orders:
        text = f"upgrade of {one.target} {one.before or '?'} -> {one.release.version}"
        why = f"{{{one.cause}}}" if one.cause else ""
        detail = f": {one.detail}" if one.detail else ""
        if one.state == "done":
            text += f" done at {one.ended_ns / 1e9:g} s, down for {show_duration(one.downtime_ns or 0)}"
        elif one.state == "unfinished":
            text += f" unfinished, it was {one.stage} at the end"
        else:
            text += f" {one.state}{why} while {one.stage} at {one.ended_ns / 1e9:g} s{detail}"
        out.append(text)
    return (
        out
        if len(out) <= STORIES_MAX
        else [*out[:STORIES_MAX], f"and {number_of(len(out) - STORIES_MAX, 'more upgrade')}"]
    )


def figures(orders: Sequence[Upgrade]) -> list[dict[str, Any]]:
    """Upgrades in the result."""
    return [
        {
            "gateway": one.gateway,
            "component": one.component,
            "from": None if one.before is None else str(one.before),
            "to": str(one.release.version),
            "sha256": one.release.sha256,
            "state": one.state,
            "cause": one.cause,
            "stage": one.stage,
            "detail": one.detail,
            "issued_ns": one.issued_ns,
            "ended_ns": one.ended_ns,
            "downtime_ns": one.downtime_ns,
            "fetched_bytes": one.fetched_bytes,
            "sessions": one.sessions,
        }
        for one in orders
    ]
