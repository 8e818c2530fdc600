"""``--pcap-of NAME``: what of a plant is captured.

Belongs here: names and what they choose. Never: frames.
"""

from __future__ import annotations

from twinloop.scenarios.export.addresses import Pair
from twinloop.scenarios.text.errors import ScenarioError, unknown
from twinloop.sim.model.spec import DeviceSpec, LinkSpec
from twinloop.sim.network.serial_line import Line
from twinloop.sim.world import World

FLAG = "--pcap-of"


def line_of(device: DeviceSpec) -> str:
    """The name of the serial line on which a device would sit."""
    return device.line_name


class Wanted:
    """What of a world is chosen by names; no name chooses everything. Of several kinds of things with one
    name all are meant. Raises ScenarioError for a name that nothing has."""

    def __init__(self, world: World, names: tuple[str, ...]) -> None:
        spec = world.spec
        self.everything = not names
        self._links = {link.name for link in spec.links if link.name in names}
        self._lines = {name for name in world.field.lines if name in names}
        self._uplinks = {gateway.index for gateway in world.gateways if gateway.name in names}
        self._devices = {
            index
            for index, device in enumerate(spec.devices)
            if device.name in names or spec.fleets[device.fleet] in names
        }
        self._spec = spec
        known = dict.fromkeys(
            [link.name for link in spec.links]
            + [*world.field.lines]
            + [gateway.name for gateway in world.gateways]
            + [*spec.fleets]
            + [device.name for device in spec.devices]
        )
        for name in names:
            if name not in known:
                raise ScenarioError(
                    FLAG, None, "", unknown("link, line, gateway, fleet or device", name, known)
                )

    def link(self, link: LinkSpec) -> bool:
        """Is something on it chosen?"""
        return (
            self.whole(link)
            or any(self._spec.devices[index].link == link.name for index in self._devices)
            or any(self._spec.gateways[index].uplink.link == link.name for index in self._uplinks)
        )

    def whole(self, link: LinkSpec) -> bool:
        """Is everything on it chosen?"""
        return self.everything or link.name in self._links

    def connection(self, link: str, pair: Pair) -> bool:
        """Is one of its connections, or of its datagrams' ways?"""
        if self.everything or link in self._links:
            return True
        return pair.gateway in self._uplinks if pair.device is None else pair.device in self._devices

    def units(self, line: Line) -> set[int]:
        """Unit ids of a line's devices that are chosen: the frames to and from these are captured."""
        mine = {
            device.unit_id: index
            for index, device in enumerate(self._spec.devices)
            if line_of(device) == line.name and device.unit_id in line.devices
        }
        link = line.name.rpartition("/")[0]
        if self.everything or line.name in self._lines or link in self._links:
            return set(mine)
        return {unit for unit, index in mine.items() if index in self._devices}
