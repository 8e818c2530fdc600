"""MQTT 3.1.1 on two arms: our broker model, and amqtt's broker in simulated time. The same clients say the
same packets and must hear the same.

Where amqtt 0.12.1 departs from the standard, ``DEPARTS`` names it and the body expects it there.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from twinloop.devices.mqtt.broker import Broker
from twinloop.devices.mqtt.packet import (
    Connack,
    Connect,
    Disconnect,
    Packet,
    PacketReader,
    Pingreq,
    Pingresp,
    Puback,
    Publish,
    Suback,
    Subscribe,
    Unsuback,
    Unsubscribe,
    Will,
    encode,
)
from twinloop.sim.kernel.clock import MS, Environment
from twinloop.sim.kernel.random import RandomStreams
from twinloop.sim.libraries.stacks import Stacks
from twinloop.sim.network.link import Link, LinkModel

DEPARTS = (
    "a message is delivered with the subscription's QoS, even if it was published with a lower one (3.8.4: the lower of the two)",
    "what was published while a client was away doesn't come when its session is resumed, and Session Present is 0 (3.2.2.2, 4.1)",
    "a connection whose first packet is no CONNECT stays open (3.1.0-1)",
)
"""amqtt's: the first is expected in its arm, bodies of the other two run on the model's arm only"""


class Client(asyncio.Protocol):
    """One connection; ``say`` sends packets and gives what has come within a moment."""

    def __init__(self) -> None:
        self.reader, self.came = PacketReader(), []
        self.closed = False
        self.transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.came += self.reader.feed(data)

    def connection_lost(self, error: Exception | None) -> None:
        self.closed = True

    async def say(self, *packets: Packet) -> list[Packet]:
        self.came.clear()
        for packet in packets:
            self.transport.write(encode(packet))
        return await self.hear()

    async def hear(self) -> list[Packet]:
        await asyncio.sleep(0.5)
        came, self.came = self.came, []
        return came

    async def cut(self) -> None:
        self.transport.abort()
        await asyncio.sleep(0.5)


class Modelled(asyncio.Protocol):
    """Our broker behind asyncio's face."""

    def __init__(self, broker: Broker, now: Callable[[], int]) -> None:
        self._broker, self._now = broker, now

    def connection_made(self, transport: Any) -> None:
        self._connection = self._broker.connection(
            lambda data, tag, packet: transport.write(data), transport.close, self._now()
        )

    def data_received(self, data: bytes) -> None:
        self._connection.received(data, self._now())

    def connection_lost(self, error: Exception | None) -> None:
        self._connection.lost(self._now())


Program = Callable[[Callable[[], Coroutine[Any, Any, Client]]], Coroutine[Any, Any, None]]


def run(kind: str, program: Program) -> None:
    env, streams = Environment(), RandomStreams(3)
    stacks = Stacks(env, streams)
    stacks.network.attach("broker", Link("plant", LinkModel(delay_ns=MS), streams))
    logging.disable(logging.CRITICAL)
    from amqtt.broker import Broker as Amqtt

    async def dial() -> Client:
        _, client = await stacks.loop.create_connection(Client, "broker", 1883)
        return client  # type: ignore[no-any-return]

    async def both() -> None:
        if kind == "model":
            broker = Broker()

            async def serve() -> None:
                await stacks.loop.create_server(lambda: Modelled(broker, lambda: env.now), "broker", 1883)

            async def tick() -> None:
                while True:
                    await asyncio.sleep(5)
                    broker.tick(env.now)

            await stacks.start("broker", serve())
            stacks.start("broker", tick())
            await program(dial)
            return
        plugins = {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}}
        theirs = Amqtt(
            {"listeners": {"default": {"type": "tcp", "bind": "0.0.0.0:1883"}}, "plugins": plugins}
        )
        await stacks.start("broker", theirs.start())
        await program(dial)
        await theirs.shutdown()

    try:
        with stacks.inside():
            stacks.loop.run_until_complete(both())
    finally:
        stacks.close()
        logging.disable(logging.NOTSET)


@pytest.fixture(params=["model", "amqtt"])
def arm(request: pytest.FixtureRequest) -> Callable[[Program], None]:
    return lambda program: run(request.param, lambda dial: program(dial, request.param == "amqtt"))


async def connected(
    dial: Any, name: str, clean: bool = True, *filters: tuple[str, int], **rest: Any
) -> Client:
    client: Client = await dial()
    assert await client.say(Connect(name, clean, **rest)) == [Connack(False)]
    if filters:
        assert await client.say(Subscribe(1, filters)) == [Suback(1, tuple(qos for _, qos in filters))]
    return client


def payloads(came: list[Packet]) -> list[tuple[bytes, int, bool]]:
    return [(packet.payload, packet.qos, packet.retain) for packet in came if isinstance(packet, Publish)]


def test_publish_and_subscribe_at_both_qualities(arm: Any) -> None:
    async def program(dial: Any, amqtt: bool) -> None:
        reader = await connected(dial, "reader", True, ("plant/+/x", 1))
        plain = await connected(dial, "plain", True, ("plant/#", 0))
        writer = await connected(dial, "writer")
        assert await writer.say(Publish("plant/a/x", b"1", 1, packet=5)) == [Puback(5)]
        came = await reader.hear()
        assert payloads(came) == [(b"1", 1, False)]
        await reader.say(Puback(came[0].packet))  # type: ignore[union-attr]
        assert payloads(await plain.hear()) == [(b"1", 0, False)]
        assert await writer.say(Publish("plant/a/x", b"2")) == []
        assert payloads(await reader.hear()) == [(b"2", 1 if amqtt else 0, False)]
        assert await reader.say(Unsubscribe(3, ("plant/+/x",))) == [Unsuback(3)]
        await writer.say(Publish("plant/a/x", b"3"))
        assert await reader.hear() == []
        assert await writer.say(Pingreq()) == [Pingresp()]

    arm(program)


def test_retained_messages(arm: Any) -> None:
    async def program(dial: Any, amqtt: bool) -> None:
        writer = await connected(dial, "writer")
        await writer.say(Publish("state", b"on", 1, True, packet=1))
        late = await dial()
        await late.say(Connect("late"))
        came = await late.say(Subscribe(1, (("state", 1),)))
        assert Suback(1, (1,)) in came
        assert payloads(came) == [(b"on", 1, True)]
        await late.say(*[Puback(packet.packet) for packet in came if isinstance(packet, Publish)])
        await writer.say(Publish("state", b"", 1, True, packet=2))
        other = await dial()
        await other.say(Connect("other"))
        assert payloads(await other.say(Subscribe(1, (("state", 1),)))) == []

    arm(program)


def test_a_will_is_published_for_who_is_lost_and_not_for_who_leaves(arm: Any) -> None:
    async def program(dial: Any, amqtt: bool) -> None:
        watcher = await connected(dial, "watcher", True, ("d/status", 0))
        dying = await connected(dial, "d", will=Will("d/status", b"offline"))
        await dying.cut()
        assert payloads(await watcher.hear()) == [(b"offline", 0, False)]
        leaving = await connected(dial, "d", will=Will("d/status", b"offline"))
        await leaving.say(Disconnect())
        assert await watcher.hear() == []

    arm(program)


def test_a_kept_session_gets_what_it_missed() -> None:
    async def program(dial: Any) -> None:
        reader = await connected(dial, "reader", False, ("t", 1))
        await reader.say(Disconnect())
        writer = await connected(dial, "writer")
        for k in range(3):
            assert await writer.say(Publish("t", b"%d" % k, 1, packet=k + 1)) == [Puback(k + 1)]
        again = await dial()
        came = await again.say(Connect("reader", False))
        assert came[0] == Connack(True)
        assert [payload for payload, _, _ in payloads(came)] == [b"0", b"1", b"2"]

    run("model", program)


def test_what_is_no_mqtt_ends_the_connection() -> None:
    async def program(dial: Any) -> None:
        for said in (
            b"GET / HTTP/1.1\r\n\r\n",
            encode(Pingreq()),
            b"\x10\x0c\x00\x04MQTX\x04\x02\x00\x0a\x00\x00",
        ):
            client = await dial()
            client.transport.write(said)
            await asyncio.sleep(30)
            assert client.closed, said

    run("model", program)
