"""Converters of a scenario: which network leads to each, and which line is behind it.

Belongs here: what a converter's block and the fleets behind it must agree in. Never: devices (fleets.py).
"""

from __future__ import annotations

from twinloop.scenarios.file import schema
from twinloop.scenarios.file.load import Loaded
from twinloop.scenarios.planning.names import named
from twinloop.scenarios.text.document import Location
from twinloop.sim.model.spec import ConverterSpec
from twinloop.sim.network.converter import ConverterModel


def serial_link(loaded: Loaded, name: str, fleet: schema.Fleet) -> str:
    """The link of the line on which a fleet's devices sit behind their converter, empty without one; raises
    ScenarioError."""
    at: Location = ("fleets", name)
    if fleet.behind is None:
        for other, block in loaded.scenario.converters.items():
            if block.line == fleet.link:
                raise loaded.document.error(
                    (*at, "link"),
                    f'the line "{fleet.link}" is behind the converter {other}, which is its only master; say '
                    f"protocol: modbus-tcp, behind: {other}, and as link the network that leads to it",
                )
        return ""
    if fleet.protocol != "modbus-tcp":
        raise loaded.document.error(
            (*at, "behind"),
            f'"behind" does not go with {fleet.protocol}: drivers speak modbus-tcp to a converter',
        )
    return named(loaded, "converter", fleet.behind, loaded.scenario.converters, (*at, "behind")).line


def converters(loaded: Loaded) -> tuple[ConverterSpec, ...]:
    """All of them; raises ScenarioError."""
    scenario, error = loaded.scenario, loaded.document.error
    found: dict[str, ConverterSpec] = {}
    for name, block in scenario.converters.items():
        at: Location = ("converters", name)
        link = named(loaded, "link", block.line, scenario.links, (*at, "line"))
        if link.serial is None:
            raise error(
                (*at, "line"),
                f'"{block.line}" is a network link; the line behind a converter is a link with serial, e.g. '
                f"{{serial: 9600 Bd, parity: even}}",
            )
        if (link.lines or 1) > 1:
            raise error(
                (*at, "line"),
                f'"{block.line}" has {link.lines} lines; a converter is the master of one: lines: 1',
            )
        for other in found.values():
            if other.serial_link == block.line:
                raise error(
                    (*at, "line"), f'"{block.line}" is the line of {other.name}; a line has one master'
                )
        networks = dict.fromkeys(one.link for one in scenario.fleets.values() if one.behind == name)
        if not networks:
            raise error(
                at, f"no fleet is behind it; say behind: {name} in a fleet, or leave the converter out"
            )
        first, *more = networks
        if more:
            raise error(at, f"its fleets name the links {first} and {more[0]}; one link leads to a converter")
        model = ConverterModel(
            block.queue, block.timeout, block.connections or 0, block.silent, block.absent == "refuse"
        )
        found[name] = ConverterSpec(name, first, block.line, model)
    return tuple(found.values())
