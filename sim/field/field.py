"""The field of a world: its devices, what serves each, and the ports through which gateways reach them.

Belongs here: which protocol has which server and port. Never: bytes, timing (tcp_port.py, serial_line.py,
stacks.py), when a device is polled.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, Protocol

from twinloop.devices.modbus.mannered import server_of
from twinloop.devices.modbus.server import ModbusServer
from twinloop.devices.model.device import Device
from twinloop.devices.model.fleet import FleetMember, make_devices
from twinloop.devices.model.manners import BITES
from twinloop.devices.model.nodes import News, NodeImage
from twinloop.devices.mqtt.device import MqttDevice, topic_of
from twinloop.sim.field.converter_port import ConverterPort
from twinloop.sim.field.files import Client
from twinloop.sim.field.mannered_port import ManneredTcpPort
from twinloop.sim.field.mqtt_site import BrokerSite, MqttPort, Publisher
from twinloop.sim.field.real_line import AttachedLine, AttachedSerialPort
from twinloop.sim.field.real_port import Absent, AttachedPort, RealWorld, untouched
from twinloop.sim.field.serial_port import Master, SerialPort
from twinloop.sim.field.tcp_port import Port, TcpPort
from twinloop.sim.kernel.clock import MS, Environment, S
from twinloop.sim.kernel.invariants import DeviceRefused
from twinloop.sim.kernel.random import RandomStreams
from twinloop.sim.kernel.trace import Trace
from twinloop.sim.kernel.wallclock import EPOCH_NS
from twinloop.sim.model.spec import ConverterSpec, DeviceSpec, PlaceSpec, WorldSpec
from twinloop.sim.network.converter import Converter
from twinloop.sim.network.link import Link
from twinloop.sim.network.serial_line import Line

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from twinloop.devices.model.misbehaviour import Misbehaviour
    from twinloop.sim.libraries.stacks import Stacks


def client_of(gateway: str, device: str) -> str:
    """The client identifier of a gateway's driver at a broker."""
    return f"{gateway}:{device}"


AFOOT = 4
"""publishing intervals, each a second longer, whose news may be on their way at once: of them it is known
what they said"""
WAIT_NS = 10 * S
"""for how long one call of a subscribed driver waits for news"""


def waits(deadline_ns: int | None) -> tuple[tuple[str, str], ...]:
    """For how long one call of a driver waits for news, if its component sets a deadline: a call that only
    waits is over before that."""
    return () if deadline_ns is None else (("wait", f"{max(1, min(WAIT_NS, deadline_ns // 2) // MS)} ms"),)


class Server(Protocol):
    """What trouble needs to know of whoever answers for a device."""

    device: Device

    def misbehave(self, fault: Misbehaviour) -> Callable[[], None]:
        """A fault of the protocol begins; returns what ends it."""
        ...


class Field:
    """Devices in the order of the spec: ``servers[i]`` answers for device i. Without ``own_brokers`` somebody
    else lets MQTT devices speak.

    A device with a place is real, and reached through ``outside``.
    """

    def __init__(
        self,
        *,
        env: Environment,
        trace: Trace,
        streams: RandomStreams,
        spec: WorldSpec,
        links: dict[str, Link],
        epoch_ns: int = EPOCH_NS,
        own_brokers: bool = True,
        outside: RealWorld | None = None,
    ) -> None:
        self._env, self._trace, self._streams, self._spec, self._links = env, trace, streams, spec, links
        self._epoch_ns, self._own_brokers, self._outside = epoch_ns, own_brokers, outside
        self._wires: dict[str, Link] = {}
        self._real_lines: dict[str, AttachedLine] = {}
        self._masters: dict[tuple[str, str], Master] = {}
        """(gateway, line) -> its end of it"""
        self._timing = {link.name: link.timing for link in spec.links}
        self.lines: dict[str, Line] = {}
        self.stacks: Stacks | None = None
        """protocol libraries, if a device needs one"""
        self._starts: list[tuple[str, asyncio.Task[Any]]] = []
        made = self._make()
        self.servers: list[Server] = []
        self.news_of: dict[int, News] = {}
        """subscribed device -> which of its points are news at an instant"""
        self.sites: dict[str, BrokerSite] = {}
        """link -> the broker on it"""
        self.bites: dict[tuple[int, str], int] = {}
        """(device, manner that bit) -> how often"""
        for index, device in enumerate(spec.devices):
            self.servers.append(self._server(index, device, made[device.name]))
        self.converters: dict[str, Converter] = {one.name: self._converter(one) for one in spec.converters}

    def _make(self) -> dict[str, Device]:
        """Fleets are made fleet by fleet: their devices may move together."""
        fleets: dict[tuple[int, str, int], list[DeviceSpec]] = {}
        for spec in self._spec.devices:
            fleets.setdefault((spec.fleet, spec.model.name, spec.poll_ns), []).append(spec)
        made: dict[str, Device] = {}
        for some in fleets.values():
            members = [
                FleetMember(spec.name, spec.unit_id, self._streams.key(f"device/{spec.name}"))
                for spec in some
            ]
            made.update(
                (device.name, device) for device in make_devices(some[0].model, members, some[0].poll_ns)
            )
        return made

    def _server(self, index: int, spec: DeviceSpec, device: Device) -> Server:
        if spec.place is not None:
            return Absent(device)
        if spec.speaks.registers:
            return server_of(
                device,
                spec.manners,
                spec.response_ns,
                self._streams.key(f"manners/{spec.name}") if spec.manners else 0,
                lambda which: self.bitten(index, which),
                spec.speaks.framing,
            )
        if not spec.speaks.publishes:
            return self._opcua(device, spec)
        speaker = MqttDevice(device, spec.mqtt.qos, spec.mqtt.retain, spec.mqtt.keep_alive_s, self._epoch_ns)
        if not self._own_brokers:
            return speaker
        if spec.link not in self.sites:
            self.sites[spec.link] = BrokerSite(self._env, self._trace, self._links[spec.link])
        Publisher(self.sites[spec.link], index, speaker)
        return speaker

    def bitten(self, index: int, which: str) -> None:
        """A manner of a device has bitten: traced, and counted."""
        self._trace.emit("manner", index, which)
        self.bites[index, which] = self.bites.get((index, which), 0) + 1

    def bites_told(self) -> list[str]:
        """What manners have done, fleet by fleet, in words."""
        found: dict[tuple[int, str], list[int]] = {}
        for (index, which), times in self.bites.items():
            found.setdefault((self._spec.devices[index].fleet, which), []).append(times)
        return [
            f"manners of {self._spec.fleets[fleet]}: {which} {sum(counts)}, at {len(counts)} "
            f"device{'s' if len(counts) > 1 else ''} ({BITES[which]})"
            for (fleet, which), counts in found.items()
        ]

    # ---- libraries -------------------------------------------------------------------------------
    def _opcua(self, device: Device, spec: DeviceSpec) -> Server:
        from twinloop.devices.opcua.device import OpcUaServer, host_of
        from twinloop.devices.opcua.server import fresh_counters, standard_space

        if self.stacks is None:
            from twinloop.devices.opcua.items import Items
            from twinloop.sim.libraries.stacks import Stacks

            Items.on_trouble = staticmethod(
                lambda what: self._trace.emit("limit", "opcua", "monitored-item", 1)
            )

            self.stacks = Stacks(self._env, self._streams, self._epoch_ns)
            fresh_counters()
        with self.stacks.inside():
            afoot = (
                0
                if spec.subscribed is None
                else AFOOT * -(-(spec.subscribed.publishing_ns + S) // spec.poll_ns)
            )
            server = OpcUaServer(device, standard_space(), lambda: self._env.now, self._epoch_ns, afoot)
            self._starts.append((device.name, self.stacks.start(host_of(device.name), server.start())))
        return server

    def inside(self) -> AbstractContextManager[Any]:
        """Whoever steps the timeline does so in here."""
        return nullcontext() if self.stacks is None else self.stacks.inside()

    def require_started(self) -> None:
        """All servers are up by now; raises InvariantError, or DeviceRefused for one that a file
        describes."""
        from twinloop.sim.libraries.stacks import finished

        described = {device.name: device.model for device in self._spec.devices}
        for name, task in self._starts:
            error = task.exception() if task.done() and not task.cancelled() else None
            if error is not None and described[name].nodeset:  # the file came from outside
                raise DeviceRefused(
                    name, f"{described[name].name}: no server can be made of it: {error!r}"
                ) from error
            finished(task, f"the server of {name}")
        self._starts.clear()

    def meet_strangers(self) -> None:
        """Clients that aren't ours may come: servers of libraries limit what one of them can ask for."""
        from twinloop.devices.opcua.device import OpcUaServer

        for server in self.servers if self.stacks is not None else ():
            if isinstance(server, OpcUaServer):
                server.limit()

    def count_samples(self) -> None:
        """OPC UA servers, which are up, keep what each answer says of their device's last point."""
        from twinloop.devices.opcua.device import OpcUaServer

        for server in self.servers if self.stacks is not None else ():
            if isinstance(server, OpcUaServer):
                server.count(len(server.device.model.points) - 1)

    def close(self) -> None:
        """Libraries are left."""
        if self.stacks is not None:
            self.stacks.close()

    # ---- ports -----------------------------------------------------------------------------------
    def broker_port(self, client: Client, index: int, spec: DeviceSpec) -> MqttPort:
        """A gateway's own way to the broker to which a device speaks."""
        return MqttPort(self._env, self._trace, index, self.sites[spec.link], client)

    def options(self, gateway: str, spec: DeviceSpec, deadline_ns: int | None) -> tuple[tuple[str, str], ...]:
        """What a driver is told of its device beside its points; ``deadline_ns``: of its calls, if its
        component sets one."""
        if spec.protocol == "opcua":
            from twinloop.devices.opcua.device import endpoint

            at = endpoint(spec.name) if spec.place is None else spec.place.url
            told: tuple[tuple[str, str], ...] = (("protocol", spec.protocol), ("endpoint", at))
            if spec.subscribed is not None:
                told += (
                    ("mode", "subscribe"),
                    ("sampling", f"{spec.poll_ns} ns"),
                    ("publishing", f"{spec.subscribed.publishing_ns} ns"),
                )
                told += (("queue", str(spec.subscribed.queue)),)
                told += waits(deadline_ns)
            return told
        if spec.protocol == "mqtt":
            told = (
                ("protocol", spec.protocol),
                ("topic", topic_of(spec.name)),
                ("qos", str(spec.mqtt.qos)),
                ("client", client_of(gateway, spec.name)),
            )
            return told + waits(deadline_ns)
        return ("protocol", spec.protocol), ("unit", str(spec.asked_unit_id))

    def source(self, index: int, spec: DeviceSpec) -> Callable[[int], None] | None:
        """What a sample that is due sets off at the device."""
        if spec.speaks.publishes:
            return self.sites[spec.link].publishers[index].publish
        if spec.subscribed is None:
            return None
        from twinloop.devices.opcua.device import OpcUaServer, host_of

        server, stacks = self.servers[index], self.stacks
        assert isinstance(server, OpcUaServer)
        assert stacks is not None
        server.sampled_from_outside = True
        host = host_of(spec.name)

        def sample(k: int) -> None:
            if self.news_of[index].fresh:
                stacks.start(host, server.sample())

        return sample

    def news(self, index: int, spec: DeviceSpec) -> Callable[[int], int] | None:
        """Which points of a device are due at an instant: of a subscribed one those that have changed; None
        for all."""
        if spec.subscribed is None:
            return None
        news = self.news_of[index] = News(NodeImage(self.servers[index].device))
        return news.mask

    def port(self, client: Client, index: int, spec: DeviceSpec) -> Port:
        """A gateway's own way to a device that it polls, or subscribes to."""
        link = self._links[spec.link]
        if spec.place is not None:
            return self._real(client, index, spec, spec.place)
        server = self.servers[index]
        if spec.protocol == "opcua":
            from twinloop.devices.opcua.device import PORT, OpcUaServer, host_of
            from twinloop.sim.field.opcua_port import StackPort

            assert self.stacks is not None
            assert isinstance(server, OpcUaServer)
            return StackPort(
                env=self._env,
                trace=self._trace,
                device=index,
                link=link,
                served=server,
                stacks=self.stacks,
                at=(host_of(spec.name), PORT),
                leg=spec.name,
                response_ns=spec.response_ns,
                client=client,
            )
        assert isinstance(server, ModbusServer)
        if spec.behind:
            return ConverterPort(
                self.converters[spec.behind],
                env=self._env,
                trace=self._trace,
                device=index,
                link=link,
                server=server,
                leg=spec.behind,
                response_ns=0,
                client=client,
            )
        if self._timing[spec.link] is None:
            if client.second:
                server = server.beside()
            return (ManneredTcpPort if server.mannered else TcpPort)(
                env=self._env,
                trace=self._trace,
                device=index,
                link=link,
                server=server,
                leg=spec.name,
                response_ns=spec.response_ns,
                client=client,
            )
        line = self.line(spec)
        if (client.name, line.name) not in self._masters:
            self._masters[client.name, line.name] = Master(line)
        return SerialPort(
            env=self._env,
            trace=self._trace,
            device=index,
            line=line,
            server=server,
            response_ns=spec.response_ns,
            master=self._masters[client.name, line.name],
        )

    def _real(self, client: Client, index: int, spec: DeviceSpec, place: PlaceSpec) -> Port:
        """The way to a device that isn't simulated."""
        assert self._outside is not None
        if spec.link not in self._wires:
            self._wires[spec.link] = untouched(self._links[spec.link], self._streams)
        wire = self._wires[spec.link]
        if not place.path:
            return AttachedPort(
                self._outside,
                place,
                env=self._env,
                trace=self._trace,
                device=index,
                link=wire,
                server=None,
                leg=spec.name,
                response_ns=0,
                client=client,
            )
        if place.path not in self._real_lines:
            of = next(link for link in self._spec.links if link.name == spec.link)
            self._real_lines[place.path] = AttachedLine(
                env=self._env,
                name=f"{spec.link}/{spec.line}",
                outside=self._outside,
                place=place,
                spec=of,
                link=wire,
            )
        return AttachedSerialPort(
            self._env, self._trace, index, self._real_lines[place.path], spec.manners.echo
        )

    def _converter(self, spec: ConverterSpec) -> Converter:
        """A converter and the devices on its line, those apart that are real."""
        behind = [(i, one) for i, one in enumerate(self._spec.devices) if one.behind == spec.name]
        line = self.line(behind[0][1])
        for index, device in behind:
            server = self.servers[index]
            if isinstance(server, ModbusServer):
                self.line(device).add_device(server, device.response_ns, index)
        return Converter(self._env, self._trace, spec.name, spec.model, line)

    def line(self, spec: DeviceSpec) -> Line:
        """The serial line on which a device sits."""
        name, timing = spec.line_name, self._timing[spec.wires]
        assert timing is not None
        if name not in self.lines:
            self.lines[name] = Line(self._env, name, timing, self._links[spec.wires], self._streams)
        self.lines[name].occupancy.window_ns = max(self.lines[name].occupancy.window_ns, spec.poll_ns)
        return self.lines[name]
