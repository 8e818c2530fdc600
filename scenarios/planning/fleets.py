"""Fleets to the devices of a plan: models, periods, phases, unit ids, what one device does otherwise.

Belongs here: what a fleet's block and its overrides say. Never: components (components.py), gateways
(gateways.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial

from twinloop.devices.model.device import DeviceModel
from twinloop.devices.model.manners import Manners
from twinloop.devices.model.protocols import PROTOCOLS
from twinloop.scenarios.file import schema
from twinloop.scenarios.file.load import Loaded
from twinloop.scenarios.file.manners_block import idle_key
from twinloop.scenarios.planning.converters import serial_link
from twinloop.scenarios.planning.feasibility import exchanges
from twinloop.scenarios.planning.names import named
from twinloop.scenarios.text.document import Location
from twinloop.scenarios.text.errors import ScenarioError, unknown
from twinloop.sim.kernel.random import RandomStreams
from twinloop.sim.model.spec import DeviceSpec, MqttSpec, OpcUaSpec, Reached

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


class FleetPlanner:
    """Of one scenario; errors carry the place in the file."""

    def __init__(self, loaded: Loaded, seed: int) -> None:
        self._loaded = loaded
        self._scenario = loaded.scenario
        self._seed = seed
        self._unit_ids: dict[tuple[str, int], dict[int, str]] = {}
        """(serial link, line) -> unit id -> the device that has it; those that model files name, before all
        others"""

    def parts(self, index: int, name: str, fleet: schema.Fleet) -> list[Callable[[], object]]:
        """What can be wrong with a fleet, each for itself, and then the whole of it."""
        at: Location = ("fleets", name)
        named = (
            ("link", fleet.link, self._scenario.links),
            ("gateway", fleet.gateway, self._scenario.gateways),
        )
        return [
            partial(self._model, fleet, at),
            *(partial(self._known, kind, one, known, (*at, kind)) for kind, one, known in named),
            partial(self._known, "component", fleet.driver, self._scenario.components, (*at, "driver")),
            partial(self._period, fleet, at),
            partial(self._fleet, index, name, fleet),
        ]

    def devices(self) -> list[DeviceSpec]:
        """All of them; raises ScenarioError."""
        self._unit_ids.clear()
        devices: list[DeviceSpec] = []
        for fleet_index, (name, fleet) in enumerate(self._scenario.fleets.items()):
            devices += self._fleet(fleet_index, name, fleet)
        known = {device.name: i for i, device in enumerate(devices)}
        for name, override in self._scenario.overrides.items():
            at: Location = ("fleets", name)
            if name not in known:
                raise self._loaded.document.error(at, unknown("device", name, known))
            device = devices[known[name]]
            listened_to = device.listened_to
            for key in ("poll", "response") if listened_to else ():
                if getattr(override, key) is not None:
                    does = "publishes" if device.speaks.publishes else "is sampled"
                    raise self._loaded.document.error(
                        (*at, key), f'"{key}" does not go with {device.protocol} here: such a device {does}'
                    )
            if override.driver is not None:
                named(self._loaded, "component", override.driver, self._scenario.components, (*at, "driver"))
            devices[known[name]] = replace(
                device,
                poll_ns=override.poll or device.poll_ns,
                driver=override.driver or device.driver,
                response_ns=device.response_ns if override.response is None else override.response,
                phase_ns=min(device.phase_ns, (override.poll or device.poll_ns) - 1),
                model=self._own(override, device, at),
                unit_id=self._unit(override, device, at),
                own_manners=device.own_manners
                if override.manners is None
                else self._manners(
                    override.manners, device.manners, device.protocol, at, bool(device.behind)
                ),
            )
        return devices

    def _unit(self, override: schema.Override, device: DeviceSpec, at: Location) -> int:
        """A device's own unit id."""
        if override.unit is None:
            return device.unit_id
        if not device.speaks.serial and not device.behind:
            raise self._loaded.document.error(
                (*at, "unit"),
                f'"unit" does not go with {device.protocol}: only lines have unit ids, those behind a '
                f"converter, too",
            )
        return override.unit

    def _manners(
        self,
        given: schema.MannersBlock | None,
        otherwise: Manners,
        protocol: str,
        at: Location,
        behind: bool = False,
    ) -> Manners:
        """What is given over what would hold otherwise; raises ScenarioError for what does nothing."""
        if given is None:
            return otherwise
        speaks = PROTOCOLS[protocol]
        if not speaks.registers:
            raise self._loaded.document.error(
                (*at, "manners"), f'"manners" does not go with {protocol}: they are those of Modbus devices'
            )
        unfit = given.unfit(speaks.serial) or (given.unfit(True) if behind else None)
        if protocol == "modbus-ascii" and given.echo:
            unfit = "echo"  # a line of text brings back what drivers take for an answer
        if unfit is not None:
            where = "a device behind a converter" if behind else protocol
            raise self._loaded.document.error((*at, "manners", unfit), f'"{unfit}" does not go with {where}')
        found = given.over(otherwise)
        missing = idle_key(found)
        if missing is not None:
            raise self._loaded.document.error(
                (*at, "manners"), f'"{missing[0]}" does nothing without "{missing[1]}"'
            )
        return found

    def _known(self, kind: str, name: str, known: Mapping[str, object], at: Location) -> None:
        named(self._loaded, kind, name, known, at)

    def _own(self, override: schema.Override, device: DeviceSpec, at: Location) -> DeviceModel:
        """A device's own beginning instead of its fleet's."""
        if override.twin is None:
            return device.model
        model = self._loaded.models.of(self._scenario.fleets[device.name.partition("/")[0]].device, at)
        return self._loaded.models.twin(model, override.twin, (*at, "twin"))

    def _fleet(self, index: int, name: str, fleet: schema.Fleet) -> list[DeviceSpec]:
        at: Location = ("fleets", name)
        model = self._model(fleet, at)
        believed = self._believed(fleet, at)
        link = named(self._loaded, "link", fleet.link, self._scenario.links, (*at, "link"))
        named(self._loaded, "gateway", fleet.gateway, self._scenario.gateways, (*at, "gateway"))
        named(self._loaded, "component", fleet.driver, self._scenario.components, (*at, "driver"))
        period = self._period(fleet, at)
        serial = link.serial is not None
        self._medium(name, fleet, serial)
        self._give_own_units()
        wires = serial_link(self._loaded, name, fleet)
        on_line = serial or bool(wires)
        lines = link.lines or 1
        response = fleet.response
        if response is None:
            response = model.serial_response_ns if on_line else model.response_ns
        streams = RandomStreams(self._seed)
        manners = self._manners(fleet.manners, model.manners, fleet.protocol, at, bool(wires))
        out = []
        for i in range(fleet.count):
            line = i % lines + 1
            phase = {"spread": i * period // fleet.count, "aligned": 0}.get(fleet.phase)
            if phase is None:
                phase = streams.stream(f"phase/{name}").below(period)
            out.append(
                DeviceSpec(
                    name=f"{name}/{i + 1}",
                    fleet=index,
                    model=model,
                    protocol=fleet.protocol,
                    unit_id=self._unit_id(
                        f"{name}/{i + 1}", fleet, model, wires or fleet.link, line if on_line else 0
                    ),
                    poll_ns=period,
                    phase_ns=phase,
                    overrun=fleet.overrun,
                    link=fleet.link,
                    line=line,
                    gateway=fleet.gateway,
                    driver=fleet.driver,
                    response_ns=response,
                    own_manners=None if fleet.manners is None else manners,
                    believed=believed,
                    reached=Reached(fleet.behind or "", wires),
                    mqtt=self._mqtt(fleet, at),
                    subscribed=self._subscribed(fleet, at),
                    exchanges=exchanges(
                        believed or model,
                        fleet.protocol,
                        tuple(self._scenario.components[fleet.driver].options.items()),
                    ),
                )
            )
        return out

    def _medium(self, name: str, fleet: schema.Fleet, serial: bool) -> None:
        """Does the protocol go over that link, and with who else is on it?"""
        at: Location = ("fleets", name)
        speaks = PROTOCOLS[fleet.protocol]
        if serial != speaks.serial:
            wants = "a serial line (serial: ...)" if speaks.serial else "a network link"
            framed = [one.name for one in PROTOCOLS.values() if one.framing and one.serial == serial]
            cure = f"; devices there speak {' or '.join(framed)}" if speaks.framing else ""
            raise self._loaded.document.error(
                (*at, "link"),
                f'{fleet.protocol} needs {wants}, "{fleet.link}" is {"serial" if serial else "none"}{cure}',
            )
        for other, block in self._scenario.fleets.items() if serial else ():
            if other == name:
                break
            if block.link == fleet.link and block.protocol != fleet.protocol:
                raise self._loaded.document.error(
                    (*at, "protocol"),
                    f'the devices of {other} speak {block.protocol} on "{fleet.link}"; all devices of a line '
                    f"have one transmission mode (MODBUS over Serial Line V1.02 section 2.5): say "
                    f"{block.protocol} here, or another link",
                )

    def _unit_id(self, device: str, fleet: schema.Fleet, model: DeviceModel, link: str, line: int) -> int:
        """By which a device is known over its connection (``line`` 0), or among those of its line."""
        own = model.profile.unit
        if not line:
            return 1 if own is None else own
        taken = self._unit_ids.setdefault((link, line), {})
        at: Location = ("fleets", device.partition("/")[0])
        if own is None:
            own = next((unit for unit in range(1, UNIT_IDS + 1) if unit not in taken), None)
            if own is None:
                raise self._loaded.document.error(
                    (*at, "count"),
                    f'more than {UNIT_IDS} devices on line {line} of "{link}"; a line has {UNIT_IDS} '
                    f"unit ids",
                )
        if not 1 <= own <= UNIT_IDS:
            raise self._loaded.document.error(
                (*at, "device"),
                f"{fleet.device} says unit: {own}; on a serial line a device has 1 to {UNIT_IDS} (MODBUS "
                f"over Serial Line V1.02 section 2.2)",
            )
        if taken.setdefault(own, device) != device:
            raise self._loaded.document.error(
                (*at, "device"),
                f'{taken[own]} and {device} are both unit {own} on line {line} of "{link}", as '
                f"{fleet.device} says: give each a line of its own (lines: ... of the link), or leave unit "
                f"out of the model file",
            )
        return own

    def _give_own_units(self) -> None:
        """Unit ids that model files name are their devices' before others are given out; what is wrong with
        such a fleet is told when its devices are made."""
        if self._unit_ids:
            return
        for name, fleet in self._scenario.fleets.items():
            with suppress(ScenarioError):
                wires = serial_link(self._loaded, name, fleet) or fleet.link
                link = self._scenario.links.get(wires)
                if link is None or link.serial is None or not PROTOCOLS[fleet.protocol].registers:
                    continue
                model = self._model(fleet, ("fleets", name))
                for i in range(fleet.count if model.profile.unit is not None else 0):
                    self._unit_id(f"{name}/{i + 1}", fleet, model, wires, i % (link.lines or 1) + 1)

    def _period(self, fleet: schema.Fleet, at: Location) -> int:
        """How often its devices are polled, publish, or are sampled."""
        speaks = PROTOCOLS[fleet.protocol]
        subscribed = speaks.subscribable and (
            "sampling" in fleet.model_fields_set or "opcua" in fleet.model_fields_set
        )
        kind = "subscribed" if subscribed else "mqtt" if speaks.publishes else "polled"
        wanted, does, allowed = _PERIODS[kind]
        for key in ("poll", "publish", "sampling", "mqtt", "opcua", "response", "overrun"):
            if key in fleet.model_fields_set and key not in allowed:
                raise self._loaded.document.error(
                    (*at, key), f'"{key}" does not go with {fleet.protocol} here: such a device {does}'
                )
        period: int | None = getattr(fleet, wanted)
        if period is None:
            raise self._loaded.document.error(
                at, f'missing key "{wanted}": how often a device {does}, e.g. "1 s"'
            )
        return period

    def _subscribed(self, fleet: schema.Fleet, at: Location) -> OpcUaSpec | None:
        if fleet.sampling is None:
            given = (
                self._scenario.components[fleet.driver].options
                if PROTOCOLS[fleet.protocol].subscribable
                else {}
            )
            for key in _SUBSCRIBED:
                if key in given and (key, given[key]) != ("mode", "read"):
                    text = (
                        f"its devices are polled (fleet {at[-1]}): who wants to subscribe says sampling "
                        f"there, in place of poll"
                    )
                    raise self._loaded.document.error(("components", fleet.driver, "with", key), text)
            return None
        block = fleet.opcua or schema.OpcUa()
        for where, value in (
            ((*at, "sampling"), fleet.sampling),
            ((*at, "opcua", "publishing"), block.publishing),
        ):
            if value % 1_000_000 or value < 1_000_000:
                raise self._loaded.document.error(
                    where, "expected whole milliseconds (OPC 10000-4 section 7.6, Duration)"
                )
        for key in _SUBSCRIBED:
            if key in self._scenario.components[fleet.driver].options:
                raise self._loaded.document.error(
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
            raise self._loaded.document.error(
                (*at, "opcua"), f"{many}: publish more often, or shorten the queue"
            )
        return OpcUaSpec(block.publishing, block.queue)

    def _mqtt(self, fleet: schema.Fleet, at: Location) -> MqttSpec:
        block = fleet.mqtt or schema.Mqtt.unsaid()
        seconds, rest = divmod(block.keep_alive, 1_000_000_000)
        if rest or not 1 <= seconds <= KEEP_ALIVE_MAX_S:
            raise self._loaded.document.error(
                (*at, "mqtt", "keep-alive"),
                f"expected whole seconds, 1 s to {KEEP_ALIVE_MAX_S} s (MQTT 3.1.1 section 3.1.2.10)",
            )
        given = self._scenario.components[fleet.driver].options if PROTOCOLS[fleet.protocol].publishes else {}
        for key in ("client", "topic"):
            if key in given:
                raise self._loaded.document.error(
                    ("components", fleet.driver, "with", key),
                    f'"{key}" is each device\'s own: samples are known by it',
                )
        return MqttSpec(block.qos, block.retain, seconds)

    def _believed(self, fleet: schema.Fleet, at: Location) -> DeviceModel | None:
        """The table that the gateway goes by, if that isn't the device's own."""
        if fleet.believes is None:
            return None
        at = (*at, "believes")
        if not PROTOCOLS[fleet.protocol].registers:
            raise self._loaded.document.error(
                at, f"a table of registers is believed over Modbus, and the fleet speaks {fleet.protocol}"
            )
        found = self._loaded.models.of(fleet.believes, at)
        if fleet.protocol not in found.protocols:
            speaks = ", ".join(found.protocols)
            raise self._loaded.document.error(at, f"a {fleet.believes} speaks {speaks}, not {fleet.protocol}")
        return None if fleet.believes == fleet.device else found

    def _model(self, fleet: schema.Fleet, at: Location) -> DeviceModel:
        model = self._loaded.models.of(fleet.device, (*at, "device"))
        if fleet.protocol not in model.protocols:
            raise self._loaded.document.error(
                (*at, "protocol"),
                f"a {fleet.device} speaks {', '.join(model.protocols)}, not {fleet.protocol}",
            )
        return model if fleet.twin is None else self._loaded.models.twin(model, fleet.twin, (*at, "twin"))
