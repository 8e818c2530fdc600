"""A checked scenario to a world's description: names resolved, files loaded, defaults that depend on others
filled in.

Belongs here: everything that needs two blocks of a scenario, or a file, to check. Never: running.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from twinloop.components.host.component import Component, ComponentRefused
from twinloop.components.host.host import Host
from twinloop.components.releases.registry import Version
from twinloop.devices.model.device import DeviceModel
from twinloop.scenarios.file import schema
from twinloop.scenarios.file.links import link_spec
from twinloop.scenarios.file.load import NAME_BYTES_MAX, Loaded
from twinloop.scenarios.planning import upgrades
from twinloop.scenarios.planning.feasibility import exchanges
from twinloop.scenarios.planning.pairs import standby_spec
from twinloop.scenarios.planning.phases import phases
from twinloop.scenarios.planning.random_trouble import block_actions, random_actions
from twinloop.scenarios.planning.timeline import actions, entry_actions, possible_events
from twinloop.scenarios.text.document import Location
from twinloop.scenarios.text.errors import ScenarioError, unknown
from twinloop.sim.kernel.random import RandomStreams
from twinloop.sim.model.boards import BOARDS, RESERVATION_DEFAULT_BYTES, Board, instances_that_fit
from twinloop.sim.model.spec import (
    ComponentSpec,
    DeviceSpec,
    GatewaySpec,
    MqttSpec,
    OpcUaSpec,
    RestartSpec,
    StoreSpec,
    UplinkSpec,
    WorldSpec,
)  # fmt: skip
from twinloop.sim.model.store_presets import STORE_PRESETS

SHIPPED = Path(__file__).parents[2] / "components" / "wasm"
"""the components that ship"""
KEEP_ALIVE_MAX_S = 65_535
PUBLISH_VALUES_MAX = 5000
"""of one publishing interval: about what fits into the 256 KiB that opcua-driver takes of one message"""
_SUBSCRIBED = ("mode", "sampling", "publishing", "queue")
"""options of opcua-driver that a subscribed fleet sets"""
_PERIODS = {
    "polled": ("poll", "is polled", ("poll", "response", "overrun")),
    "mqtt": ("publish", "publishes", ("publish", "mqtt")),
    "subscribed": ("sampling", "is sampled", ("sampling", "opcua", "response")),
}
"""how a device comes to be read -> (the key of its period, in words, the keys that go with it)"""
UNIT_IDS = 247
"""MODBUS over Serial Line V1.02 section 2.2: addresses 1 to 247"""


class Planner:
    """One scenario on its way to a WorldSpec; errors carry the place in the file."""

    def __init__(
        self, loaded: Loaded, host: Host, seed: int | None = None, boards: dict[str, str] | None = None
    ) -> None:
        self.loaded, self.host = loaded, host
        self.scenario = loaded.scenario
        self.seed = self.scenario.seed if seed is None else seed
        self.boards = boards or {}
        self.models = loaded.models
        self._unit_ids: dict[tuple[str, int], int] = {}
        """(serial link, line) -> the last unit id given"""
        self.notes: list[str] = []
        """what a reader of the result should know about how the plan was made"""

    def error(self, location: Location, text: str) -> ScenarioError:
        """A mistake at a place."""
        return self.loaded.document.error(location, text)

    def world(self) -> WorldSpec:
        """Everything resolved; raises ScenarioError."""
        scenario = self.scenario
        links = [link_spec(self.loaded, name, link) for name, link in scenario.links.items()]
        devices = self._devices()
        components = self._components()
        gateways = [self._gateway(name, gateway, devices) for name, gateway in scenario.gateways.items()]
        for name in self.boards:
            if name not in scenario.gateways:
                raise ScenarioError("--board", None, "", unknown("gateway", name, scenario.gateways))
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
        )

    def mistakes(self) -> list[ScenarioError]:
        """Everything that is wrong, as far as one mistake doesn't hide another; nothing when ``world`` comes
        to a plan."""
        scenario = self.scenario
        events = possible_events(self.loaded)
        parts: list[Callable[[], object]] = [
            *(partial(link_spec, self.loaded, name, link) for name, link in scenario.links.items()),
            *(
                part
                for index, (name, fleet) in enumerate(scenario.fleets.items())
                for part in self._parts_of_fleet(index, name, fleet)
            ),
            self._devices,
            *self._parts_of_components(),
            self._components,
            *(
                part
                for name, gateway in scenario.gateways.items()
                for part in self._parts_of_gateway(name, gateway)
            ),
            *(
                partial(entry_actions, self.loaded, self.seed, index, events)
                for index in range(len(scenario.timeline))
            ),
            *(
                partial(block_actions, self.loaded, self.seed, index)
                for index in range(len(scenario.random_faults))
            ),
            lambda: phases(self.loaded),
        ]
        found: list[ScenarioError] = []
        for part in parts:
            try:
                part()
            except ScenarioError as error:
                found.append(error)
            except KeyError:
                if not found:  # a name that another part has missed
                    raise
        self._unit_ids.clear()
        self.notes.clear()
        if not found:
            try:
                self.world()
            except ScenarioError as error:
                found.append(error)
            self._unit_ids.clear()
            self.notes.clear()
        unlike: dict[str, ScenarioError] = {}
        for mistake in found:
            unlike.setdefault(str(mistake), mistake)
        return list(unlike.values())

    def _parts_of_fleet(self, index: int, name: str, fleet: schema.Fleet) -> list[Callable[[], object]]:
        """What can be wrong with a fleet, each for itself, and then the whole of it."""
        at: Location = ("fleets", name)
        named = (
            ("link", fleet.link, self.scenario.links),
            ("gateway", fleet.gateway, self.scenario.gateways),
        )
        return [
            partial(self._model, fleet, at),
            *(partial(self._named, kind, one, known, (*at, kind)) for kind, one, known in named),
            partial(self._named, "component", fleet.driver, self.scenario.components, (*at, "driver")),
            partial(self._period, fleet, at),
            partial(self._fleet, index, name, fleet),
        ]

    def _parts_of_components(self) -> list[Callable[[], object]]:
        try:
            roles = self._roles()
        except ScenarioError:
            return []  # the whole says so
        return [
            partial(self._component, name, component, roles)
            for name, component in self.scenario.components.items()
        ]

    def _parts_of_gateway(self, name: str, gateway: schema.Gateway) -> list[Callable[[], object]]:
        at: Location = ("gateways", name)
        store, standby = gateway.store, gateway.standby
        parts: list[Callable[[], object]] = [
            partial(self._board, name, gateway),
            partial(self._uplink_link, gateway, at),
            *(
                partial(self._checked_component, getattr(gateway, role), (*at, role))
                for role in ("transform", "policy")
            ),
        ]
        if store is not None:
            parts.append(partial(self._store, store, (*at, "store")))
        if standby is not None:
            parts.append(partial(standby_spec, self.loaded, name, standby))
        return [*parts, partial(self._gateway, name, gateway, [])]

    # ---- devices ---------------------------------------------------------------------------------
    def _devices(self) -> list[DeviceSpec]:
        devices: list[DeviceSpec] = []
        for fleet_index, (name, fleet) in enumerate(self.scenario.fleets.items()):
            devices += self._fleet(fleet_index, name, fleet)
        known = {device.name: i for i, device in enumerate(devices)}
        for name, override in self.scenario.overrides.items():
            at: Location = ("fleets", name)
            if name not in known:
                raise self.error(at, unknown("device", name, known))
            device = devices[known[name]]
            listened_to = device.protocol == "mqtt" or device.subscribed is not None
            for key in ("poll", "response") if listened_to else ():
                if getattr(override, key) is not None:
                    does = "publishes" if device.protocol == "mqtt" else "is sampled"
                    raise self.error(
                        (*at, key), f'"{key}" does not go with {device.protocol} here: such a device {does}'
                    )
            if override.driver is not None:
                self._named("component", override.driver, self.scenario.components, (*at, "driver"))
            devices[known[name]] = replace(
                device,
                poll_ns=override.poll or device.poll_ns,
                driver=override.driver or device.driver,
                response_ns=device.response_ns if override.response is None else override.response,
                phase_ns=min(device.phase_ns, (override.poll or device.poll_ns) - 1),
                model=self._own(override, device, at),
            )
        return devices

    def _own(self, override: schema.Override, device: DeviceSpec, at: Location) -> DeviceModel:
        """A device's own beginning instead of its fleet's."""
        if override.twin is None:
            return device.model
        model = self.models.of(self.scenario.fleets[device.name.partition("/")[0]].device, at)
        return self.models.twin(model, override.twin, (*at, "twin"))

    def _fleet(self, index: int, name: str, fleet: schema.Fleet) -> list[DeviceSpec]:
        at: Location = ("fleets", name)
        model = self._model(fleet, at)
        link = self._named("link", fleet.link, self.scenario.links, (*at, "link"))
        self._named("gateway", fleet.gateway, self.scenario.gateways, (*at, "gateway"))
        self._named("component", fleet.driver, self.scenario.components, (*at, "driver"))
        period = self._period(fleet, at)
        serial = link.serial is not None
        if serial != (fleet.protocol == "modbus-rtu"):
            wants = "a serial line (serial: ...)" if fleet.protocol == "modbus-rtu" else "a network link"
            raise self.error(
                (*at, "link"),
                f'{fleet.protocol} needs {wants}, "{fleet.link}" is {"serial" if serial else "none"}',
            )
        lines = link.lines or 1
        response = fleet.response
        if response is None:
            response = model.serial_response_ns if serial else model.response_ns
        streams = RandomStreams(self.seed)
        out = []
        for i in range(fleet.count):
            line = i % lines + 1
            unit = self._unit_ids[fleet.link, line] = (
                self._unit_ids.get((fleet.link, line), 0) + 1 if serial else 1
            )
            if unit > UNIT_IDS:
                raise self.error(
                    (*at, "count"),
                    f'more than {UNIT_IDS} devices on line {line} of "{fleet.link}"; a line has {UNIT_IDS} '
                    f"unit ids",
                )
            phase = {"spread": i * period // fleet.count, "aligned": 0}.get(fleet.phase)
            if phase is None:
                phase = streams.stream(f"phase/{name}").below(period)
            out.append(
                DeviceSpec(
                    name=f"{name}/{i + 1}",
                    fleet=index,
                    model=model,
                    protocol=fleet.protocol,
                    unit_id=unit,
                    poll_ns=period,
                    phase_ns=phase,
                    overrun=fleet.overrun,
                    link=fleet.link,
                    line=line,
                    gateway=fleet.gateway,
                    driver=fleet.driver,
                    response_ns=response,
                    mqtt=self._mqtt(fleet, at),
                    subscribed=self._subscribed(fleet, at),
                    exchanges=exchanges(
                        model, fleet.protocol, tuple(self.scenario.components[fleet.driver].options.items())
                    ),
                )
            )
        return out

    def _period(self, fleet: schema.Fleet, at: Location) -> int:
        """How often its devices are polled, publish, or are sampled."""
        subscribed = fleet.protocol == "opcua" and (
            "sampling" in fleet.model_fields_set or "opcua" in fleet.model_fields_set
        )
        kind = "subscribed" if subscribed else "mqtt" if fleet.protocol == "mqtt" else "polled"
        wanted, does, allowed = _PERIODS[kind]
        for key in ("poll", "publish", "sampling", "mqtt", "opcua", "response", "overrun"):
            if key in fleet.model_fields_set and key not in allowed:
                raise self.error(
                    (*at, key), f'"{key}" does not go with {fleet.protocol} here: such a device {does}'
                )
        period: int | None = getattr(fleet, wanted)
        if period is None:
            raise self.error(at, f'missing key "{wanted}": how often a device {does}, e.g. "1 s"')
        return period

    def _subscribed(self, fleet: schema.Fleet, at: Location) -> OpcUaSpec | None:
        if fleet.sampling is None:
            given = self.scenario.components[fleet.driver].options if fleet.protocol == "opcua" else {}
            for key in _SUBSCRIBED:
                if key in given and (key, given[key]) != ("mode", "read"):
                    text = (
                        f"its devices are polled (fleet {at[-1]}): who wants to subscribe says sampling "
                        f"there, in place of poll"
                    )
                    raise self.error(("components", fleet.driver, "with", key), text)
            return None
        block = fleet.opcua or schema.OpcUa()
        for where, value in (
            ((*at, "sampling"), fleet.sampling),
            ((*at, "opcua", "publishing"), block.publishing),
        ):
            if value % 1_000_000 or value < 1_000_000:
                raise self.error(where, "expected whole milliseconds (OPC 10000-4 section 7.6, Duration)")
        for key in _SUBSCRIBED:
            if key in self.scenario.components[fleet.driver].options:
                raise self.error(
                    ("components", fleet.driver, "with", key),
                    f"the fleet says that: its devices are subscribed to ({fleet.driver})",
                )
        model = self._model(fleet, at)
        values = min(block.queue, -(-block.publishing // max(fleet.sampling, model.step_ns))) * len(
            model.points
        )
        if values > PUBLISH_VALUES_MAX:
            many = (
                f"a publishing interval may bring {values} values of a device, {PUBLISH_VALUES_MAX} are taken"
            )
            raise self.error((*at, "opcua"), f"{many}: publish more often, or shorten the queue")
        return OpcUaSpec(block.publishing, block.queue)

    def _mqtt(self, fleet: schema.Fleet, at: Location) -> MqttSpec:
        block = fleet.mqtt or schema.Mqtt()
        seconds, rest = divmod(block.keep_alive, 1_000_000_000)
        if rest or not 1 <= seconds <= KEEP_ALIVE_MAX_S:
            raise self.error(
                (*at, "mqtt", "keep-alive"),
                f"expected whole seconds, 1 s to {KEEP_ALIVE_MAX_S} s (MQTT 3.1.1 section 3.1.2.10)",
            )
        given = self.scenario.components[fleet.driver].options if fleet.protocol == "mqtt" else {}
        for key in ("client", "topic"):
            if key in given:
                raise self.error(
                    ("components", fleet.driver, "with", key),
                    f'"{key}" is each device\'s own: samples are known by it',
                )
        return MqttSpec(block.qos, block.retain, seconds)

    def _model(self, fleet: schema.Fleet, at: Location) -> DeviceModel:
        model = self.models.of(fleet.device, (*at, "device"))
        if fleet.protocol not in model.protocols:
            raise self.error(
                (*at, "protocol"),
                f"a {fleet.device} speaks {', '.join(model.protocols)}, not {fleet.protocol}",
            )
        return model if fleet.twin is None else self.models.twin(model, fleet.twin, (*at, "twin"))

    def _named(self, kind: str, name: str, known: Any, at: Location) -> Any:
        if name not in known:
            raise self.error(at, unknown(kind, name, known))
        return known[name]

    # ---- components ------------------------------------------------------------------------------
    def _roles(self) -> dict[str, tuple[str, Location]]:
        """component -> (role, where it is used so)."""
        roles: dict[str, tuple[str, Location]] = {}

        def use(name: str, role: str, at: Location) -> None:
            before = roles.setdefault(name, (role, at))
            if before[0] != role:
                raise self.error(at, f'component "{name}" is used as {before[0]} and as {role}')

        for name, fleet in self.scenario.fleets.items():
            use(fleet.driver, "driver", ("fleets", name, "driver"))
        for name, gateway in self.scenario.gateways.items():
            for role in ("transform", "policy"):
                use(
                    self._checked_component(getattr(gateway, role), ("gateways", name, role)),
                    role,
                    ("gateways", name, role),
                )
        for name, override in self.scenario.overrides.items():
            if override.driver is not None:
                use(override.driver, "driver", ("fleets", name, "driver"))
        return roles

    def _checked_component(self, name: str, at: Location) -> str:
        self._named("component", name, self.scenario.components, at)
        return name

    def _components(self) -> list[ComponentSpec]:
        roles = self._roles()
        return [
            self._component(name, component, roles) for name, component in self.scenario.components.items()
        ]

    def _component(
        self, name: str, component: schema.Component, roles: dict[str, tuple[str, Location]]
    ) -> ComponentSpec:
        at: Location = ("components", name)
        if name not in roles:
            raise self.error(at, f'component "{name}" is used by no fleet and no gateway')
        loaded = self._load(component.wasm, roles[name][0], (*at, "wasm"))
        try:
            self.host.link(loaded, component.grants)
        except ComponentRefused as error:
            raise self.error((*at, "grants"), f"{component.wasm} {error}") from error
        limits = component.limits
        if "state" in limits.model_fields_set and "state" not in component.grants:
            raise self.error(
                (*at, "limits", "state"),
                "it limits what is granted as state, and that isn't: add state to grants",
            )
        return ComponentSpec(
            name=name,
            role=roles[name][0],
            component=loaded,
            grants=tuple(component.grants),
            options=tuple(component.options.items()),
            cpu_ns=limits.cpu,
            deadline_ns=limits.deadline,
            memory_bytes=limits.memory,
            state_bytes=limits.state,
            version=None if component.version is None else Version.parse(component.version),
        )

    def _load(self, wasm: str, role: str, at: Location) -> Component:
        if len(wasm) > NAME_BYTES_MAX:
            raise self.error(at, f"a file name of more than {NAME_BYTES_MAX} characters")
        beside = self.loaded.file.parent / wasm
        path = beside if beside.exists() or not (SHIPPED / wasm).exists() else SHIPPED / wasm
        try:
            return self.host.load(path, role)
        except ComponentRefused as error:
            shipped = sorted(file.name for file in SHIPPED.glob("*.wasm"))
            hint = (
                f" (looked beside the scenario and among the shipped: {', '.join(shipped)})"
                if not path.exists()
                else ""
            )
            raise self.error(at, f"{wasm}: {error}{hint}") from error

    # ---- gateways --------------------------------------------------------------------------------
    def _gateway(self, name: str, gateway: schema.Gateway, devices: list[DeviceSpec]) -> GatewaySpec:
        at: Location = ("gateways", name)
        board = self._board(name, gateway)
        self._uplink_link(gateway, at)
        uplink, retry, restart = gateway.uplink, gateway.uplink.retry, gateway.supervision
        spans = (
            ("retry", ("uplink", "retry"), retry.first, retry.max),
            ("supervision", ("supervision",), restart.first, restart.max),
        )
        for what, where, first, largest in spans:
            if first > largest:
                raise self.error((*at, *where), f"{what}: first is larger than max")
        if "upgrade" in gateway.model_fields_set and self.scenario.registry is None:
            raise self.error(
                (*at, "upgrade"),
                "nothing can be upgraded without a registry: add registry: {path: ..., trust: [....pub]}",
            )
        store = gateway.store
        standby = None if gateway.standby is None else standby_spec(self.loaded, name, gateway.standby)
        polled = name if standby is None else standby.of
        instances = (
            sum(device.gateway == polled for device in devices) + 2 + upgrades.beside(self.loaded, name)
        )
        return GatewaySpec(
            name=name,
            board=board,
            transform=gateway.transform,
            policy=gateway.policy,
            uplink=UplinkSpec(
                uplink.link,
                uplink.window,
                retry.first,
                retry.max,
                retry.jitter,
                uplink.keep_alive,
                uplink.user_timeout,
            ),
            store=None if store is None else self._store(store, (*at, "store")),
            restart=RestartSpec(
                restart.first,
                restart.max,
                *restart.quarantine,
                restart.jitter,
                restart.status,
                restart.watchdog,
            ),
            small_reservation=self._small_reservation(name, gateway, board, instances),
            files=gateway.max_open_files,
            standby=standby,
            upgrade=upgrades.upgrade_spec(gateway.upgrade),
        )

    def _board(self, name: str, gateway: schema.Gateway) -> Board:
        board_name = self.boards.get(name, gateway.board)
        if board_name in BOARDS:
            return BOARDS[board_name]
        if name in self.boards:
            raise ScenarioError("--board", None, "", unknown("board", board_name, BOARDS))
        raise self.error(("gateways", name, "board"), unknown("board", board_name, BOARDS))

    def _uplink_link(self, gateway: schema.Gateway, at: Location) -> None:
        link = self._named("link", gateway.uplink.link, self.scenario.links, (*at, "uplink", "link"))
        if link.serial is not None:
            raise self.error((*at, "uplink", "link"), "an uplink needs a network link, this one is serial")

    def _store(self, store: schema.Store, at: Location) -> StoreSpec:
        if store.preset is not None and store.preset not in STORE_PRESETS:
            raise self.error((*at, "preset"), unknown("store preset", store.preset, STORE_PRESETS))
        spec = StoreSpec() if store.preset is None else STORE_PRESETS[store.preset].spec
        given: dict[str, Any] = {
            "capacity_bytes": store.capacity,
            "drain_per_s": store.drain,
            "commit_ns": store.commit,
            "ttl_ns": store.ttl,
            "retry_ns": store.retry,
            "volatile": None if store.medium is None else store.medium == "memory",
            "refuse": None if store.evict is None else store.evict == "none",
            "retries": store.retries,
            "flash_bytes_per_s": store.flash,
        }
        spec = replace(spec, **{name: value for name, value in given.items() if value is not None})
        if spec.retries is not None and spec.retry_ns is None:
            raise self.error((*at, "retries"), '"retries" needs "retry": how often what waits is tried')
        for key, value in (("flash", store.flash), ("commit", store.commit)):
            if spec.volatile and value is not None:
                raise self.error(
                    (*at, key),
                    f'"{key}" does not go with a store in memory: nothing of it is written to flash',
                )
        return spec

    def _small_reservation(self, name: str, gateway: schema.Gateway, board: Board, instances: int) -> bool:
        fits = instances_that_fit(board)
        if gateway.reservation == "64 MiB" or instances <= fits:
            return gateway.reservation == "64 MiB"
        needs = (
            f"{instances} instances reserve {instances * RESERVATION_DEFAULT_BYTES >> 30} GiB of addresses"
        )
        if gateway.reservation == "4 GiB" or board.runtime == "pulley":
            text = f"{needs}; {board.name} has {board.va_bits} bits of them and holds {fits}: use 64 MiB"
            raise self.error(("gateways", name, "reservation"), text)
        self.notes.append(
            f"gateway {name}: {needs}, {board.name} holds {fits} ({board.va_bits} bits): "
            "memories reserve 64 MiB instead, guest code costs x1.7 (x1.3 to x2.2)"
        )
        return True
