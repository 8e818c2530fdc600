"""Who reads a device for a gateway: a poller, or a listener to what speaks by itself, each with its port and
its witness.

Belongs here: which protocol is read how. Never: the reading (poller.py, listener.py, subscriber.py), servers
and ports (sim/field/).
"""

from __future__ import annotations

from typing import Any

from twinloop.devices.model.protocols import ASCII, MBAP
from twinloop.devices.mqtt.device import MqttDevice
from twinloop.sim.field.field import Field, client_of
from twinloop.sim.field.files import Client
from twinloop.sim.field.real_line import AttachedSerialPort
from twinloop.sim.field.real_port import AttachedPort
from twinloop.sim.field.serial_port import SerialPort
from twinloop.sim.field.tcp_port import Port, TcpPort
from twinloop.sim.gateway.gateway import Gateway
from twinloop.sim.gateway.listener import PushReader
from twinloop.sim.gateway.poller import Poller
from twinloop.sim.gateway.reader import PointTable
from twinloop.sim.gateway.slot import Slot
from twinloop.sim.kernel.clock import S
from twinloop.sim.model.spec import ComponentSpec, DeviceSpec
from twinloop.sim.truth.believed import BelievedWitness
from twinloop.sim.truth.mqtt_witness import MessageWitness
from twinloop.sim.truth.truth import Witness
from twinloop.sim.truth.witness import ModbusWitness, NodeWitness, NoticeWitness, Plan, ServerWords
from twinloop.sim.wasi.hosts import Hosts

DEFAULT_TIMEOUT_NS = 1 * S
"""of the shipped drivers that poll"""
INTERVAL_MAX_NS = 3600 * S
"""the longest time that components in C read"""


def patience(driver: ComponentSpec, deadline_ns: int, exchanges: int) -> tuple[tuple[str, str], ...]:
    """The ``timeout`` for a driver that states such an option and isn't given one: nothing when the shipped
    drivers' default will do, else so little that all tries are over in half the time of a call, or of many
    ``exchanges`` all but the last. So a device that is silent or slow costs its own samples, and no
    driver."""
    own = {option.name: option for option in driver.component.options or ()}
    if "timeout" not in own or own["timeout"].type != "duration" or "timeout" in dict(driver.options):
        return ()
    tries = 1 + int(
        dict(driver.options).get("retries", "0")
        if dict(driver.options).get("retries", "0").isdecimal()
        else 0
    )
    longest_ns = deadline_ns // ((2 if exchanges == 1 else exchanges + 2) * tries)
    return (("timeout", f"{max(1, longest_ns)} ns"),) if longest_ns < DEFAULT_TIMEOUT_NS else ()


def rhythm(driver: ComponentSpec, poll_ns: int) -> tuple[tuple[str, str], ...]:
    """The ``interval`` for a driver that states such an option, with ``the poll`` as its default, and isn't
    given one."""
    own = {option.name: option for option in driver.component.options or ()}
    if "interval" not in own or own["interval"].default != "the poll" or "interval" in dict(driver.options):
        return ()
    return (("interval", f"{min(poll_ns, INTERVAL_MAX_NS)} ns"),)


class Readers:
    """Of one world's field. ``epoch_ns``: ns since 1970 at t = 0."""

    def __init__(self, field: Field, epoch_ns: int) -> None:
        self._field, self._epoch_ns = field, epoch_ns
        self._clients: dict[tuple[str, bool], Client] = {}
        self._plans: dict[int, dict[bytes, Plan]] = {}
        """identity of a model's points -> what witnesses of its devices know of requests"""

    def make(self, gateway: Gateway, index: int, spec: DeviceSpec, slot: Slot, table: PointTable) -> Poller:
        """Who reads a device for a gateway; the plan of a device that speaks by itself must tell its
        ``source`` of each sample."""
        machine = gateway.machine
        second = gateway.name != spec.gateway
        client = self._clients.get((gateway.name, second))
        if client is None:
            client = Client(gateway.name, machine.budget.files, machine.take_file, second)
            self._clients[gateway.name, second] = client
        if spec.speaks.publishes:
            return self._listener(gateway, client, index, spec, slot, table)
        port = self._field.port(client, index, spec)
        if spec.subscribed is not None:
            return self._subscriber(gateway, port, index, spec, slot, table)
        if isinstance(port, TcpPort):
            slot.imports.hosts = Hosts(index, spec.name, port)
        polled = Poller(pipeline=gateway.pipeline, index=index, spec=spec, slot=slot, port=port, table=table)
        polled.witness = self._witness(index, spec, port)
        return polled

    def _subscriber(
        self, gateway: Gateway, port: Port, index: int, spec: DeviceSpec, slot: Slot, table: PointTable
    ) -> Poller:
        from twinloop.sim.field.opcua_port import StackPort
        from twinloop.sim.gateway.subscriber import Subscriber

        assert isinstance(port, StackPort)
        subscriber = Subscriber(
            pipeline=gateway.pipeline,
            index=index,
            spec=spec,
            slot=slot,
            port=port,
            table=table,
            news=self._field.news_of[index],
            epoch_ns=self._epoch_ns,
        )
        image, looks = self._node_looks(index)
        subscriber.witness = NoticeWitness(image, looks, self._epoch_ns)
        return subscriber

    def _listener(
        self, gateway: Gateway, client: Client, index: int, spec: DeviceSpec, slot: Slot, table: PointTable
    ) -> Poller:
        site, name = self._field.sites[spec.link], client_of(gateway.name, spec.name)
        broker = self._field.broker_port(client, index, spec)
        receiver = PushReader(
            pipeline=gateway.pipeline,
            index=index,
            spec=spec,
            slot=slot,
            port=broker,
            table=table,
            client=name,
            holds=lambda k: site.holds(name, index, k),
        )
        site.add_receiver(index, name, receiver)
        speaker = self._field.servers[index]
        assert isinstance(speaker, MqttDevice)
        receiver.witness = MessageWitness(gateway.machine.env, speaker, lambda: site.owes(speaker))
        return receiver

    def _node_looks(self, index: int) -> Any:
        server: Any = self._field.servers[index]
        return server.image, server.looks

    def _witness(self, index: int, spec: DeviceSpec, port: Port) -> Witness:
        """Who knows what a polled device shows on that way to it."""
        if not spec.speaks.registers:
            if isinstance(port, AttachedPort):
                words = ServerWords()
                port.on_exchange, port.stateful = words.heard, True
                return words
            return NodeWitness(*self._node_looks(index))
        device = self._field.servers[index].device
        plans = self._plans.setdefault(id(device.model.points), {})
        witness = ModbusWitness(device, spec.place is not None, plans)
        if isinstance(port, AttachedPort):
            port.on_exchange = witness.heard_tcp if spec.speaks.framing == MBAP else witness.heard_rtu_tcp
        elif isinstance(port, AttachedSerialPort):
            port.on_exchange = witness.heard_ascii if spec.speaks.framing == ASCII else witness.heard_rtu
        else:
            assert isinstance(port, TcpPort | SerialPort)
            port.server.witnesses = (*port.server.witnesses, witness.looks.append)
        return witness if spec.believed is None else BelievedWitness(witness, spec.believed)
