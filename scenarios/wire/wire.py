"""A served field on the wire: listeners and lines of devices/live, tied to a ServedPlant that is kept at the
wall's pace.

Belongs here: who is found where, and the turn that a client's bytes or the next thing that is due sets off.
Never: sockets or bytes.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from twinloop.devices.live.alarm import Alarm
from twinloop.devices.live.pty import SerialLine
from twinloop.devices.live.tcp import Dialer, TcpConnection, TcpListener
from twinloop.scenarios.text.errors import ScenarioError
from twinloop.scenarios.text.units import show_duration
from twinloop.scenarios.wire.hil import Hil, Observer
from twinloop.sim.kernel.pacer import Pacer
from twinloop.sim.model.spec import Action, WorldSpec
from twinloop.sim.serving.broker import North
from twinloop.sim.serving.converter import ConverterPort
from twinloop.sim.serving.mannered import ServedPort
from twinloop.sim.serving.modbus import LineCaller, ModbusCaller, RtuCaller
from twinloop.sim.serving.mqtt import Sender
from twinloop.sim.serving.opcua import OpcUaCaller
from twinloop.sim.serving.plant import ServedPlant
from twinloop.sim.serving.truth import Showing, TruthCaller
from twinloop.sim.trouble.verbs import VERBS

UNITS_MAX = 247
"""devices on one port: MODBUS Messaging on TCP/IP V1.0b section 4.4.2.3, unit identifiers 1 to 247"""
MODBUS_PORT, OPCUA_PORT = 5020, 4840
"""where to begin when nothing else is said: 502 wants privileges; 4840 is registered for OPC UA"""
LAST_PORT = 65_535
MQTT_PORT = 1883
"""registered for MQTT (IANA, mqtt)"""


@dataclass(frozen=True)
class Endpoint:
    """Where a device is found. ``url``: ``tcp://host:port/unit``, ``rtu:///dev/pts/3?unit=1``,
    ``ascii:///dev/pts/3?unit=1``, ``rtu+tcp://host:port/unit``, ``opc.tcp://host:port/`` or
    ``mqtt://host:port/topic``."""

    device: str
    protocol: str
    url: str


def served(spec: WorldSpec, broker: bool, uplink: str = "") -> tuple[WorldSpec, list[str]]:
    """The scenario without its gateways, and what of it can't be served, in words. ``broker``: is there one
    to publish to?

    ``uplink``: a link that is served, too.
    """
    links = {uplink, *(device.link for device in spec.devices), *(device.wires for device in spec.devices)}
    silent = [device for device in spec.devices if device.speaks.publishes and not broker]
    left_out = [f"{len(silent)} mqtt devices: they need --broker"] if silent else []
    mute = {device.name for device in silent} | {spec.fleets[device.fleet] for device in silent}

    for fleet in dict.fromkeys(device.fleet for device in spec.devices if device.believed is not None):
        left_out.append(f"believes of {spec.fleets[fleet]}: devices are served with their own table")

    def serves(action: Action, when: str) -> bool:
        on_link = (
            VERBS[action.verb].on_link and action.target in links and not getattr(action.deed, "via", "")
        )
        if on_link or (action.verb == "device-fault" and action.target not in mute):
            return True
        why = (
            "its devices aren't served"
            if action.verb == "device-fault"
            else "it happens to a gateway, or beyond one"
        )
        left_out.append(f"{action.verb} {action.target} {when}: {why}")
        return False

    timeline = tuple(
        action for action in spec.timeline if serves(action, f"at {show_duration(action.at_ns)}")
    )
    reactions = tuple(
        reaction for reaction in spec.reactions if serves(reaction.action, f"after {reaction.event}")
    )
    return replace(
        spec,
        devices=tuple(replace(device, believed=None) for device in spec.devices),
        gateways=(),
        components=(),
        timeline=timeline,
        reactions=reactions,
        offers=(),
        trusted={},
    ), left_out


def ports_of(own: Mapping[int, int | None]) -> list[dict[int, int]]:
    """Devices (index -> the unit id that its model names, None: any) to ports: of each, unit id -> device.

    A named unit is its device's, on the first port where nobody else has it; the others are units 1, 2, ...
    of what is left.
    """
    ports: list[dict[int, int]] = []

    def put(index: int, units: Sequence[int]) -> None:
        for port in (*ports, {}):
            free = next((unit for unit in units if unit not in port), None)
            if free is not None:
                port[free] = index
                if len(port) == 1:
                    ports.append(port)
                return

    for index, unit in own.items():
        if unit is not None:
            put(index, (unit,))
    for index, unit in own.items():
        if unit is None:
            put(index, range(1, UNITS_MAX + 1))
    return ports


class Wire:
    """Everything that is open to clients. ``open`` it inside a running loop, ``close`` it when done."""

    def __init__(self, plant: ServedPlant, pacer: Pacer) -> None:
        self.plant, self.pacer = plant, pacer
        self.failure: BaseException | None = None
        """what stopped it: a mistake of ours"""
        self.stopped = asyncio.Event()
        self._listeners: list[TcpListener] = []
        self._lines: list[SerialLine] = []
        self._dialers: list[Dialer] = []
        self._alarm = Alarm(self._rung)
        self._armed_ns: int | None = None

    @property
    def clients(self) -> int:
        """TCP connections that stand."""
        return sum(len(one.connections) for one in self._listeners) + sum(
            len(one.connections) for one in self._dialers
        )

    # ---- turns -----------------------------------------------------------------------------------
    def enter(self, action: Callable[..., None], *arguments: Any) -> None:
        """Something of the real world happens now: after what is due, which may take more than this turn."""
        if self.failure is None:
            self._turn(self.plant.put(self.pacer.position_ns(), action, *arguments))

    def _rung(self) -> None:
        self._armed_ns = None
        if self.failure is None:
            self._turn(self.pacer.position_ns())

    def _turn(self, until_ns: int) -> None:
        """Whatever is due in the plant, a turn of it; then the alarm is set for what is next: at once when
        there is more."""
        next_ns = self.plant.next_ns
        if next_ns is not None and next_ns <= until_ns:
            self.pacer.late(next_ns)
        try:
            self.plant.turn(until_ns)
        except Exception as error:  # noqa: BLE001  # asyncio would only log it: it ends the serving, and is raised there
            self.failure = error
            self.stopped.set()
            return
        next_ns = self.plant.next_ns
        if next_ns is not None and next_ns != self._armed_ns:
            self._armed_ns = next_ns
            self._alarm.set(*self.pacer.wall_at(next_ns))

    def _stray(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """An error without a place: a client for whom there is no file left is a limit; any other is a
        mistake of ours."""
        error = context.get("exception")
        if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
            self.plant.limit_met("files")
        else:
            loop.default_exception_handler(context)

    # ---- the truth -------------------------------------------------------------------------------
    async def open_showing(self, host: str) -> str:
        """Tell who asks what the devices show; returns where. Raises ScenarioError."""
        showing = Showing(self.plant)
        bound = await self._listen(
            lambda client: TruthCaller(showing, client.write, client.hang_up), host, 0, "--host"
        )
        return f"tcp://{_shown(host)}:{bound}"

    # ---- the north -------------------------------------------------------------------------------
    async def open_north(self, host: str, port: int, north: North) -> str:
        """Listen as its broker; returns where. Raises ScenarioError."""
        bound = await self._listen(
            lambda client: north.accept(client.write, client.hang_up), host, port, "--broker-port"
        )
        return f"mqtt://{_shown(host)}:{bound}"

    def observe(self, hil: Hil, host: str, port: int) -> None:
        """Listen at a broker that isn't ours."""
        observer = Observer(hil, lambda: dialer.dial(host, port))
        dialer = Dialer(
            lambda client: observer.opened(client.write, client.hang_up),
            observer.lost,
            self.enter,
            self.plant.limit_met,
        )
        self._dialers.append(dialer)
        dialer.dial(host, port)

    # ---- endpoints -------------------------------------------------------------------------------
    async def open(
        self, host: str, port: int, opcua_port: int, broker: tuple[str, int] | None = None
    ) -> list[Endpoint]:
        """Listen for everybody, from these ports on (0: any that are free), and call the broker; raises
        ScenarioError when a port isn't to be had."""
        asyncio.get_running_loop().set_exception_handler(self._stray)
        if not self.pacer.begun:
            self.pacer.begin(-self.plant.lead_ns)
        found = await self._open_modbus(host, port)
        found += self._open_lines()
        found += await self._open_opcua(host, opcua_port)
        found += self._call(*broker) if broker is not None else []
        order = self.plant.device_index
        self._turn(self.pacer.position_ns())
        return sorted(found, key=lambda endpoint: order[endpoint.device])

    def _of(self, protocol: str) -> list[int]:
        return [i for i, device in enumerate(self.plant.spec.devices) if device.protocol == protocol]

    async def _open_modbus(self, host: str, port: int) -> list[Endpoint]:
        found = []
        for units in ports_of(
            {
                i: self.plant.spec.devices[i].model.profile.unit
                for i in self._of("modbus-tcp")
                if not self.plant.spec.devices[i].behind
            }
        ):
            served = ServedPort(self.plant, units)

            def accept(client: TcpConnection, served: ServedPort = served) -> ModbusCaller:
                return served.accept(client.write, client.hang_up)

            bound = await self._listen(accept, host, port, "--port")
            port = port and bound + 1
            for unit, index in units.items():
                found.append(
                    Endpoint(
                        self.plant.spec.devices[index].name,
                        "modbus-tcp",
                        f"tcp://{_shown(host)}:{bound}/{unit}",
                    )
                )
        for converter in self.plant.spec.converters:
            port_of = ConverterPort(self.plant, converter.name)

            def accept_behind(client: TcpConnection, port_of: ConverterPort = port_of) -> ModbusCaller:
                return port_of.accept(client.write, client.hang_up)

            bound = await self._listen(accept_behind, host, port, "--port")
            port = port and bound + 1
            for index, unit in port_of.devices:
                url = f"tcp://{_shown(host)}:{bound}/{unit}"
                found.append(Endpoint(self.plant.spec.devices[index].name, "modbus-tcp", url))
        for index in self._of("modbus-rtu-over-tcp"):

            def accept_rtu(client: TcpConnection, index: int = index) -> RtuCaller:
                return RtuCaller(self.plant, index, client.write, client.hang_up)

            bound = await self._listen(accept_rtu, host, port, "--port")
            port = port and bound + 1
            device = self.plant.spec.devices[index]
            url = f"{device.speaks.scheme}://{_shown(host)}:{bound}/1"
            found.append(Endpoint(device.name, device.protocol, url))
        return found

    async def _open_opcua(self, host: str, port: int) -> list[Endpoint]:
        found = []
        for index in self._of("opcua"):

            def accept(client: TcpConnection, index: int = index) -> OpcUaCaller:
                return OpcUaCaller(
                    plant=self.plant,
                    index=index,
                    name=client.name,
                    peer=str(client.peer[0]),
                    write=client.write,
                    hang_up=client.hang_up,
                )

            bound = await self._listen(accept, host, port, "--opcua-port")
            port = port and bound + 1
            found.append(
                Endpoint(self.plant.spec.devices[index].name, "opcua", f"opc.tcp://{_shown(host)}:{bound}/")
            )
        return found

    async def _listen(self, accept: Callable[[TcpConnection], Any], host: str, port: int, flag: str) -> int:
        listener = TcpListener(accept, self.enter, self.plant.limit_met)
        if port > LAST_PORT:
            raise ScenarioError(
                flag, None, "", f"the devices need ports up to {port}, the last one is {LAST_PORT}"
            )
        try:
            bound = await listener.listen(host, port)
        except OSError as error:
            raise ScenarioError(
                flag, None, "", f"{_shown(host)}:{port}: {error.strerror or error}"
            ) from error
        self._listeners.append(listener)
        return bound

    def _open_lines(self) -> list[Endpoint]:
        lines: dict[tuple[str, int], list[int]] = {}
        for index in self._of("modbus-rtu") + self._of("modbus-ascii"):
            device = self.plant.spec.devices[index]
            lines.setdefault((device.link, device.line), []).append(index)
        found = []
        for some in lines.values():
            callers: list[LineCaller] = []
            wires = self.plant.field.line(self.plant.spec.devices[some[0]])
            line = SerialLine(partial(self._from_line, callers), self.plant.limit_met, wires.timing.ascii)
            callers.append(LineCaller(self.plant, wires, some, line.write))
            self._lines.append(line)
            for index in some:
                device = self.plant.spec.devices[index]
                url = f"{device.speaks.scheme}://{line.path}?unit={device.unit_id}"
                found.append(Endpoint(device.name, device.protocol, url))
        return found

    @staticmethod
    def _refused(senders: list[Sender]) -> None:
        senders[0].refused()

    def _from_line(self, callers: list[LineCaller], frame: bytes) -> None:
        self.enter(callers[0].received, frame)

    def _call(self, host: str, port: int) -> list[Endpoint]:
        """Devices that publish dial by themselves, and again."""
        found = []
        for index in self._of("mqtt"):
            senders: list[Sender] = []

            def accept(client: TcpConnection, senders: list[Sender] = senders) -> Any:
                return senders[0].opened(client.write, client.hang_up)

            refused = partial(self._refused, senders)
            dialer = Dialer(accept, refused, self.enter, self.plant.limit_met)
            senders.append(Sender(self.plant, index, partial(dialer.dial, host, port)))
            self._dialers.append(dialer)
            found.append(
                Endpoint(
                    self.plant.spec.devices[index].name,
                    "mqtt",
                    f"mqtt://{_shown(host)}:{port}/{senders[0].device.topic}",
                )
            )
        return found

    async def close(self) -> None:
        """Nobody can come any more, who is there is cut off."""
        for dialer in self._dialers:
            await dialer.close()
        for listener in self._listeners:
            await listener.close()
        for line in self._lines:
            line.close()
        self._alarm.close()


def _shown(host: str) -> str:
    return f"[{host}]" if ":" in host else host
