"""A checked scenario to a world's description: names resolved, files loaded, defaults that depend on others
filled in.

Belongs here: the order in which the parts of a plan are made, and all of their mistakes. Never: one part, or
running.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from twinloop.components.host.host import Host
from twinloop.scenarios.file.links import link_spec
from twinloop.scenarios.file.load import Loaded
from twinloop.scenarios.planning import upgrades
from twinloop.scenarios.planning.components import ComponentPlanner
from twinloop.scenarios.planning.converters import converters
from twinloop.scenarios.planning.fleets import FleetPlanner
from twinloop.scenarios.planning.gateways import GatewayPlanner
from twinloop.scenarios.planning.phases import phases
from twinloop.scenarios.planning.random_trouble import block_actions, random_actions
from twinloop.scenarios.planning.timeline import actions, entry_actions, possible_events
from twinloop.scenarios.text.errors import ScenarioError, unknown
from twinloop.sim.model.spec import WorldSpec


class Planner:
    """One scenario on its way to a WorldSpec; errors carry the place in the file."""

    def __init__(
        self, loaded: Loaded, host: Host, seed: int | None = None, boards: dict[str, str] | None = None
    ) -> None:
        self.loaded, self.host = loaded, host
        self.scenario = loaded.scenario
        self.seed = self.scenario.seed if seed is None else seed
        self.boards = boards or {}
        self.notes: list[str] = []
        """what a reader of the result should know about how the plan was made"""

    def world(self) -> WorldSpec:
        """Everything resolved; raises ScenarioError."""
        scenario = self.scenario
        links = [link_spec(self.loaded, name, link) for name, link in scenario.links.items()]
        devices = FleetPlanner(self.loaded, self.seed).devices()
        behind = converters(self.loaded)
        component_planner = ComponentPlanner(self.loaded, self.host)
        components = component_planner.components()
        planner = GatewayPlanner(self.loaded, self.boards)
        memories = {one.name: one.component.memories for one in components}
        gateways = [
            planner.gateway(name, gateway, devices, memories) for name, gateway in scenario.gateways.items()
        ]
        for name in self.boards:
            if name not in scenario.gateways:
                raise ScenarioError("--board", None, "", unknown("gateway", name, scenario.gateways))
        self.notes += [*component_planner.notes, *planner.notes]
        timeline, reactions = actions(self.loaded, self.seed)
        return WorldSpec(
            seed=self.seed,
            duration_ns=scenario.duration,
            settle_ns=scenario.grace,
            fleets=tuple(scenario.fleets),
            devices=tuple(devices),
            links=tuple(links),
            components=tuple(components),
            gateways=tuple(gateways),
            timeline=(*timeline, *random_actions(self.loaded, self.seed)),
            reactions=tuple(reactions),
            phases=tuple(phases(self.loaded)),
            offers=upgrades.offers(self.loaded),
            trusted=upgrades.trusted(self.loaded),
            converters=behind,
        )

    def mistakes(self) -> list[ScenarioError]:
        """Everything that is wrong, as far as one mistake doesn't hide another; nothing when ``world`` comes
        to a plan."""
        parts = self._parts()
        found: list[ScenarioError] = []
        for part in parts:
            try:
                part()
            except ScenarioError as error:
                found.append(error)
            except KeyError:
                if not found:  # a name that another part has missed
                    raise
        if not found:
            try:
                Planner(self.loaded, self.host, self.seed, self.boards).world()
            except ScenarioError as error:
                found.append(error)
        unlike: dict[str, ScenarioError] = {}
        for mistake in found:
            unlike.setdefault(str(mistake), mistake)
        return list(unlike.values())

    def _parts(self) -> list[Callable[[], object]]:
        """What can be wrong, each for itself."""
        scenario, loaded = self.scenario, self.loaded
        events = possible_events(loaded)
        fleets = FleetPlanner(loaded, self.seed)
        components = ComponentPlanner(loaded, self.host)
        gateways = GatewayPlanner(loaded, self.boards)
        parts: list[Callable[[], object]] = [
            partial(link_spec, loaded, name, link) for name, link in scenario.links.items()
        ]
        for index, (name, fleet) in enumerate(scenario.fleets.items()):
            parts += fleets.parts(index, name, fleet)
        parts += [partial(converters, loaded), fleets.devices, *components.parts(), components.components]
        for name, gateway in scenario.gateways.items():
            parts += gateways.parts(name, gateway)
        parts += [
            partial(entry_actions, loaded, self.seed, index, events)
            for index in range(len(scenario.timeline))
        ]
        parts += [
            partial(block_actions, loaded, self.seed, index) for index in range(len(scenario.random_faults))
        ]
        return [*parts, lambda: phases(loaded)]
