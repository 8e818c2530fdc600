"""An entry of the timeline as what happens: its verb found, its keys read, checked against the plant that the
file describes.

Belongs here: from a block of the file to an instance of a verb's class. Never: when something happens
(timeline.py, random_trouble.py), a verb, its keys or what it does (sim/trouble/).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from twinloop.devices.model.device import DeviceModel
from twinloop.devices.model.protocols import PROTOCOLS
from twinloop.devices.model.statuses import STATUS_CODES
from twinloop.scenarios.file import schema
from twinloop.scenarios.file.links import idle_keys, link_model, model_changes, not_on_a_line
from twinloop.scenarios.file.load import Loaded
from twinloop.scenarios.planning import upgrades
from twinloop.scenarios.text.document import Location
from twinloop.scenarios.text.errors import unknown
from twinloop.sim.field.mqtt_site import BROKER_LEG
from twinloop.sim.model.store_presets import STORE_PRESETS
from twinloop.sim.network.presets import PRESETS
from twinloop.sim.trouble.verb import Mistake, Unknown, Verb
from twinloop.sim.trouble.verbs import VERBS, all_keys


def value_of(deed: schema.Deed, key: str) -> Any:
    """The value of a key as the file spells it."""
    return getattr(deed, key.replace("-", "_"))


def find(loaded: Loaded, deed: schema.Deed, at: Location) -> Verb:
    """What an entry says that happens, checked; raises ScenarioError. Its target may still be
    ``fleet/any``."""
    error = loaded.document.error
    found = [name for name in VERBS if value_of(deed, name) is not None]
    if len(found) != 1:
        got = " and ".join(found) if found else "none"
        raise error(at, f"expected exactly one of {', '.join(VERBS)}, got {got}")
    verb = VERBS[found[0]]
    given = [key.name for key in all_keys() if value_of(deed, key.name) is not None]
    own = {key.name: key for key in verb.own_keys()}
    for name in given:
        if name not in own:
            raise error(
                (*at, name),
                f'"{name}" does not go with {verb.name} (with it go: {", ".join(own) or "nothing"})',
            )
    for key in own.values():
        if key.needed and key.name not in given:
            raise error(at, f'{verb.name} needs "{key.name}"')
    field_of = verb.field_of()
    made = verb(
        target=str(value_of(deed, verb.name)),
        **{field_of[name]: _value(loaded, deed, verb, own[name].type, name, at) for name in given},
    )
    try:
        made.check(FileSite(loaded, at), given)
    except Unknown as wrong:
        raise error(_place(at, verb, wrong.key), unknown(wrong.what, wrong.name, wrong.known)) from wrong
    except Mistake as wrong:
        raise error(_place(at, verb, wrong.key), wrong.text) from wrong
    return made


def _place(at: Location, verb: type[Verb], key: str | None) -> Location:
    return at if key is None else (*at, key or verb.name)


def check_span(loaded: Loaded, verb: Verb, for_ns: int | None, at: Location) -> None:
    """Does that verb last, if it is to, and does one that must? Raises ScenarioError."""
    if for_ns is not None and not verb.lasts:
        raise loaded.document.error((*at, "for"), f'"for" does not go with {verb.name}: it has no end')
    if verb.must_end and for_ns is None:
        raise loaded.document.error(at or (verb.name,), f'{verb.name} needs "for"')


# ---- values --------------------------------------------------------------------------------------
def _value(loaded: Loaded, deed: schema.Deed, verb: type[Verb], type_: str, key: str, at: Location) -> Any:
    """A key's value as the verb's class has it."""
    value = value_of(deed, key)
    if type_ == "way":
        return value == "up"
    if type_ == "status":
        if value not in STATUS_CODES:
            raise loaded.document.error((*at, key), unknown("StatusCode", value, STATUS_CODES))
        return STATUS_CODES[value]
    if type_ == "change":
        link = loaded.scenario.links.get(str(value_of(deed, verb.name)))
        if link is not None:
            _check_change(loaded, link, value, (*at, key))
        return tuple(changes(value).items())
    return value


def changes(to: schema.Change) -> dict[str, Any]:
    """Fields of LinkModel: those of the preset, if there is one, then its own."""
    if to.preset not in PRESETS:
        return model_changes(to)
    model = PRESETS[str(to.preset)].model
    fields = {name: getattr(model, name) for name in _MODEL_FIELDS}
    return {**fields, **model_changes(to)}


_MODEL_FIELDS = (
    "delay_ns",
    "jitter_ns",
    "loss",
    "correlation",
    "bursts",
    "duplicate",
    "reorder",
    "corrupt",
    "rate_bps",
    "queue_bytes",
)


def _check_change(loaded: Loaded, link: schema.Link, to: schema.Change, at: Location) -> None:
    error = loaded.document.error
    if to.preset is not None and to.preset not in PRESETS:
        raise error((*at, "preset"), unknown("preset", to.preset, PRESETS))
    if link.serial is not None:
        for key in [*(["preset"] if to.preset else []), *not_on_a_line(to)]:
            raise error(
                (*at, key), f"a serial line has no {key}; only loss, correlation, bursts and corrupt apply"
            )
    changed = changes(to)
    if not changed:
        raise error(at, "expected at least one figure that changes, e.g. to: {loss: 2 %}")
    if link.serial is None and (link.preset is None or link.preset in PRESETS):
        model = replace(link_model(link), **changed)
        if model.jitter_ns > model.delay_ns:
            raise error(at, f"jitter {model.jitter_ns} ns is larger than the delay of {model.delay_ns} ns")
        for key, why in idle_keys(to, model):
            raise error((*at, key), why)


# ---- the plant of a file -------------------------------------------------------------------------
class FileSite:
    """What a scenario file describes, for the check of the entry that lies ``at``
    (``sim.trouble.verb.Site``)."""

    def __init__(self, loaded: Loaded, at: Location) -> None:
        self._loaded, self._scenario, self._at = loaded, loaded.scenario, at

    @property
    def links(self) -> Sequence[str]:
        """Names."""
        return tuple(self._scenario.links)

    @property
    def gateways(self) -> Sequence[str]:
        """Names."""
        return tuple(self._scenario.gateways)

    @property
    def pairs(self) -> Sequence[str]:
        """Names of gateways that are in a pair."""
        return [
            one
            for name, block in self._scenario.gateways.items()
            if block.standby is not None
            for one in (block.standby.of, name)
        ]

    def is_line(self, link: str) -> bool:
        """Is it a serial line?"""
        return self._scenario.links[link].serial is not None

    def legs(self, link: str) -> Sequence[str]:
        """Devices, gateways and the broker that hang on it by a leg of their own."""
        fleets, gateways = self._scenario.fleets, self._scenario.gateways
        legs = [
            f"{fleet}/{i + 1}"
            for fleet, block in fleets.items()
            if block.link == link and block.behind is None
            for i in range(block.count)
        ]
        legs += dict.fromkeys(
            block.behind for block in fleets.values() if block.behind and block.link == link
        )
        legs += [name for name, block in gateways.items() if block.uplink.link == link]
        legs += [
            name
            for name, block in gateways.items()
            if block.standby is not None and block.standby.heartbeat.link == link
        ]
        if any(block.link == link and PROTOCOLS[block.protocol].publishes for block in fleets.values()):
            legs.append(BROKER_LEG)
        return legs

    def pollers(self, link: str) -> Sequence[str]:
        """Gateways that poll over it."""
        polling = [fleet.gateway for fleet in self._scenario.fleets.values() if fleet.link == link]
        return [
            name
            for name, block in self._scenario.gateways.items()
            if (block.standby.of if block.standby else name) in polling
        ]

    def has_flash(self, gateway: str) -> bool:
        """Has it a store, and does that lie on flash?"""
        store = self._scenario.gateways[gateway].store
        preset = (
            None if store is None or store.preset not in STORE_PRESETS else STORE_PRESETS[store.preset].spec
        )
        in_memory = store is not None and (
            store.medium == "memory" or (store.medium is None and preset is not None and preset.volatile)
        )
        return store is not None and not in_memory

    def polled_by(self, device: str) -> tuple[str, ...]:
        """The gateways of a device: one, or a pair."""
        gateway = self._scenario.fleets[device.partition("/")[0]].gateway
        return gateway, *(
            name
            for name, block in self._scenario.gateways.items()
            if block.standby is not None and block.standby.of == gateway
        )

    def require_release(self, gateway: str, component: str, version: str) -> None:
        """Raises when the gateway can't be told to install that."""
        upgrades.require_release(self._loaded, gateway, component, version, self._at)

    def is_polled(self, target: str) -> bool:
        """Does a gateway ask that device or fleet, or does it speak by itself?"""
        return self._scenario.fleets[target.partition("/")[0]].poll is not None

    def device(self, target: str) -> tuple[str, DeviceModel]:
        """(protocol, model) of a device, a fleet or ``fleet/any``; raises Mistake or Unknown."""
        name, slash, number = target.partition("/")
        fleets = self._scenario.fleets
        if name not in fleets:
            raise Unknown("", "fleet", name, tuple(fleets))
        fleet = fleets[name]
        if slash and number != "any" and not 1 <= int(number) <= fleet.count:
            raise Mistake("", f'unknown device "{target}"; known: {name}/1 to {name}/{fleet.count}')
        return fleet.protocol, self._loaded.models.of(fleet.device, ("fleets", name, "device"))

    def table(self, target: str) -> DeviceModel:
        """What the gateway takes it for; raises as ``device``."""
        _, model = self.device(target)
        name = target.partition("/")[0]
        believes = self._scenario.fleets[name].believes
        return model if believes is None else self._loaded.models.of(believes, ("fleets", name, "believes"))


__all__ = ["FileSite", "check_span", "find", "value_of"]
