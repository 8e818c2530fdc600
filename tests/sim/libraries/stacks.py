"""Unmodified protocol stacks in simulated time, as programs: ``python -m tests.sim.libraries.stacks modbus``
prints what crossed the wire, hashed.

Belongs here: one run of each library, for tests that compare processes. Never: assertions.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import sys
from collections.abc import Callable, Coroutine
from typing import Any

from twinloop.sim.kernel.clock import MS, US, Environment
from twinloop.sim.kernel.random import RandomStreams
from twinloop.sim.libraries.clocks_and_entropy import neutralised
from twinloop.sim.libraries.event_loop import EventLoop
from twinloop.sim.libraries.transport import HERE, Network, Transport
from twinloop.sim.network.link import Link, LinkModel


class Field:
    """A hub and some hosts on one link, a loop, and everything that crossed the wire."""

    def __init__(
        self, hosts: tuple[str, ...], seed: int = 7, user_timeout_ns: int = 10_000 * MS, **figures: Any
    ) -> None:
        self.env, self.streams = Environment(), RandomStreams(seed)
        self.link = Link(
            "plant", LinkModel(**{"delay_ns": MS, "jitter_ns": 100 * US, **figures}), self.streams
        )
        self.network = Network(self.env, user_timeout_ns)
        self.loop = EventLoop(self.env, self.network)
        self.wire = hashlib.sha256()
        self.log: list[Any] = []
        for host in hosts:
            self.network.attach(host, self.link)

    def run(self, program: Callable[[Field], Coroutine[Any, Any, Any]]) -> Any:
        """Until the program is over; every instant on the way is an int."""
        step = self.env.step

        def checked() -> None:
            step()
            assert type(self.env.now) is int

        self.env.step = checked  # type: ignore[method-assign]
        arrived, field = Transport.arrived, self

        def heard(end: Transport, content: Any) -> None:
            field.wire.update(
                f"{field.env.now} {end.get_extra_info('sockname')} {content if isinstance(content, bytes) else 'end'!r}".encode()
            )
            arrived(end, content)

        Transport.arrived = heard  # type: ignore[method-assign]
        try:
            with neutralised(self.env, self.streams):
                return self.loop.run_until_complete(program(self))
        finally:
            Transport.arrived = arrived  # type: ignore[method-assign]
            self.loop.close()


async def on(host: str, coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine as a task of that host."""

    async def there() -> Any:
        HERE.set(host)
        return await coroutine

    return await asyncio.get_running_loop().create_task(there())


async def modbus(field: Field) -> None:
    from pymodbus.client import AsyncModbusTcpClient
    from pymodbus.server import ModbusTcpServer
    from pymodbus.simulator import DataType, SimData, SimDevice

    async def serve(host: str, value: int) -> Any:
        device = SimDevice(id=1, simdata=[SimData(0, count=20, values=value, datatype=DataType.REGISTERS)])
        server = ModbusTcpServer(device, address=(host, 502))
        await server.serve_forever(background=True)
        return server

    async def poll(host: str) -> None:
        client = AsyncModbusTcpClient(host, port=502, timeout=1)
        await client.connect()
        for k in range(10):
            answer = await client.read_holding_registers(k, count=10, device_id=1)
            field.log.append((field.env.now, host, answer.registers))
            await asyncio.sleep(1)
        client.close()

    hosts = ("plc-1", "plc-2", "plc-3")
    servers = [await on(host, serve(host, i)) for i, host in enumerate(hosts)]
    await asyncio.gather(*[poll(host) for host in hosts])
    for server in servers:
        await server.shutdown()


async def opcua(field: Field) -> None:
    from asyncua import Client, Server, ua
    from asyncua.server.internal_session import InternalSession

    for name in (
        "_counter",
        "_auth_counter",
        "_current_connections",
    ):  # class attributes: of the process, not of a run
        setattr(
            InternalSession, name, {"_counter": 10, "_auth_counter": 1000, "_current_connections": 0}[name]
        )

    async def serve() -> Any:
        server = Server()
        await server.init()
        server.set_endpoint("opc.tcp://plc-1:4840/")
        server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
        namespace = await server.register_namespace("urn:twinloop")
        node = await server.nodes.objects.add_variable(namespace, "temperature", 0.0)
        await server.start()
        return server, node

    class Changes:
        def datachange_notification(self, node: Any, value: Any, data: Any) -> None:
            field.log.append((field.env.now, value))

    server, node = await on("plc-1", serve())
    async with Client("opc.tcp://plc-1:4840/") as client:
        subscription = await client.create_subscription(500, Changes())
        await subscription.subscribe_data_change(client.get_node(node.nodeid))
        for k in range(10):
            await asyncio.sleep(0.7)
            await node.write_value(float(k))
        field.log.append((field.env.now, await client.get_node(node.nodeid).read_value()))
    await server.stop()


async def mqtt(field: Field) -> None:
    from amqtt.broker import Broker
    from amqtt.client import MQTTClient
    from amqtt.mqtt.constants import QOS_1

    settings = {
        "listeners": {"default": {"type": "tcp", "bind": "0.0.0.0:1883"}},
        "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
    }
    broker = Broker(settings)
    await on("broker", broker.start())
    reader, writer = MQTTClient(client_id="reader"), MQTTClient(client_id="writer")
    await reader.connect("mqtt://broker:1883/")
    await reader.subscribe([("plant/#", QOS_1)])
    await writer.connect("mqtt://broker:1883/")
    for k in range(5):
        await writer.publish("plant/press", str(k).encode(), qos=QOS_1)
        message = await reader.deliver_message()
        field.log.append(
            (
                field.env.now,
                message.data.decode() if isinstance(message.data, bytes) else bytes(message.data).decode(),
            )
        )
        await asyncio.sleep(1)
    await reader.disconnect()
    await writer.disconnect()
    await broker.shutdown()


async def crowd(field: Field) -> None:
    """400 tasks that asyncio keeps in sets: cancelled as a group, and waited for."""
    order: list[int] = []

    async def one(number: int) -> None:
        try:
            await asyncio.sleep(1 + number % 7)
            if number == 123:
                raise ValueError
        finally:
            order.append(number)

    try:
        async with asyncio.TaskGroup() as group:
            for number in range(400):
                group.create_task(one(number))
    except ExceptionGroup:
        field.log.append(tuple(order))
    done, _ = await asyncio.wait(
        [asyncio.ensure_future(asyncio.sleep(0.001, number)) for number in range(400)]
    )
    field.log.append(tuple(task.result() for task in done))


PROGRAMS: dict[str, tuple[Callable[[Field], Coroutine[Any, Any, Any]], tuple[str, ...]]] = {
    "modbus": (modbus, ("plc-1", "plc-2", "plc-3")),
    "opcua": (opcua, ("plc-1",)),
    "mqtt": (mqtt, ("broker",)),
    "crowd": (crowd, ()),
}


def digest(name: str, **figures: Any) -> tuple[str, list[Any]]:
    """Run a program; what crossed the wire and what it wrote down, hashed, and the latter."""
    logging.disable(logging.CRITICAL)
    program, hosts = PROGRAMS[name]
    for module in ("asyncua", "amqtt.client", "amqtt.broker", "pymodbus.client", "pymodbus.server"):
        __import__(module)
    field = Field(hosts, **{"loss": 0.02, **figures})
    field.run(program)
    field.wire.update(repr(field.log).encode())
    logging.disable(logging.NOTSET)
    return field.wire.hexdigest(), field.log


if __name__ == "__main__":
    print(*(digest(name)[0] for name in sys.argv[1:]))
