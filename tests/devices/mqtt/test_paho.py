"""paho's client of MQTT 5.0, which nobody here wrote, at the broker over loopback."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from paho.mqtt import client as paho
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from twinloop.devices.mqtt.broker import Broker


class Served:
    """The broker behind a socket of loopback, one thread for each client, one at a time."""

    def __init__(self) -> None:
        self.broker, self.lock = Broker(), threading.Lock()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        def hang_up() -> None:
            with suppress(OSError):  # it has gone by itself
                client.shutdown(socket.SHUT_RDWR)

        with client:
            with self.lock:
                connection = self.broker.connection(
                    lambda data, tag, number: client.sendall(data), hang_up, time.monotonic_ns()
                )
            try:
                while data := client.recv(4096):
                    with self.lock:
                        connection.received(data, time.monotonic_ns())
            except OSError:
                pass  # it has hung up
            with self.lock:
                connection.lost(time.monotonic_ns())


@pytest.fixture
def served() -> Iterator[Served]:
    one = Served()
    yield one
    one.listener.close()


def soon(happened: Callable[[], Any]) -> None:
    until = time.monotonic() + 20
    while not happened():
        assert time.monotonic() < until
        time.sleep(0.005)


@contextmanager
def pahos(served: Served, name: str, **connect: Any) -> Iterator[tuple[Any, list[Any]]]:
    """(client, what came); it is connected."""
    client = paho.Client(paho.CallbackAPIVersion.VERSION2, name, protocol=paho.MQTTv5)
    came: list[Any] = []
    codes: list[Any] = []
    client.on_message = lambda client, data, message: came.append(message)
    client.on_connect = lambda client, data, flags, code, properties: codes.append((flags, code, properties))
    client.on_disconnect = lambda client, data, flags, code, properties: codes.append(code)
    client.on_subscribe = lambda client, data, number, reasons, properties: codes.append(reasons)
    client.connect("127.0.0.1", served.port, **connect)
    client.loop_start()
    client.codes = codes
    try:
        soon(lambda: codes)
        yield client, came
    finally:
        client.disconnect()
        client.loop_stop()


def test_paho_is_at_home(served: Served) -> None:
    """Connect, subscribe with options, publish with every QoS and properties, be replaced: as its own code
    reads the answers."""
    with pahos(served, "reader") as (reader, came), pahos(served, "writer") as (writer, _):
        flags, code, properties = reader.codes[0]
        assert (flags.session_present, code.is_failure) == (False, False)
        assert (
            properties.ReceiveMaximum,
            properties.MaximumPacketSize,
            properties.SharedSubscriptionAvailable,
        ) == (1000, 262_144, 0)
        reader.subscribe(
            [
                ("plant/#", SubscribeOptions(qos=1, noLocal=True, retainAsPublished=True)),
                ("$share/g/x", SubscribeOptions(qos=1)),
            ]
        )
        soon(lambda: len(reader.codes) == 2)
        assert [code.value for code in reader.codes[1]] == [1, 0x9E]
        of_message = Properties(PacketTypes.PUBLISH)
        of_message.ContentType = "application/json"
        of_message.UserProperty = ("unit", "bar")
        of_message.ResponseTopic = "answers/1"
        for qos in range(3):
            writer.publish(
                f"plant/{qos}", b"%d" % qos, qos, retain=True, properties=of_message
            ).wait_for_publish(20)
        reader.publish("plant/own", b"x", 1).wait_for_publish(20)
        soon(lambda: len(came) == 3)
        assert [(one.topic, one.payload, one.qos, one.retain) for one in came] == [
            ("plant/0", b"0", 0, True), ("plant/1", b"1", 1, True), ("plant/2", b"2", 1, True)
        ]  # fmt: skip
        told = came[2].properties
        assert (told.ContentType, told.UserProperty, told.ResponseTopic) == (
            "application/json",
            [("unit", "bar")],
            "answers/1",
        )
        reader.unsubscribe("plant/#")
        with pahos(served, "writer"):
            soon(lambda: isinstance(writer.codes[-1], ReasonCode))
            assert writer.codes[-1].getName() == "Session taken over"
            writer.loop_stop()


def test_pahos_session_waits_for_it(served: Served) -> None:
    expires = Properties(PacketTypes.CONNECT)
    expires.SessionExpiryInterval = 60
    with pahos(served, "r", clean_start=True, properties=expires) as (reader, _):
        reader.subscribe("t", 1)
        soon(lambda: len(reader.codes) == 2)
    with pahos(served, "w") as (writer, _):
        soon(lambda: served.broker.sessions["r"].connection is None)
        writer.publish("t", b"later", 1).wait_for_publish(20)
    with pahos(served, "r", clean_start=False, properties=expires) as (reader, came):
        assert reader.codes[0][0].session_present
        soon(lambda: came)
        assert came[0].payload == b"later"
