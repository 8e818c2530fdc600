"""Mosquitto as a bridge to the broker, in each level that it speaks: what an industrial gateway often is.
Skipped where it isn't installed."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from paho.mqtt import client as paho

from tests.devices.mqtt.test_paho import Served, served, soon

__all__ = ["served"]  # a fixture
pytestmark = pytest.mark.skipif(shutil.which("mosquitto") is None, reason="mosquitto isn't installed")
CONFIG = """\
listener {port} 127.0.0.1
allow_anonymous true
connection twin
address 127.0.0.1:{broker}
bridge_protocol_version {version}
bridge_attempt_unsubscribe false
keepalive_interval 10
restart_timeout 1
cleansession false
topic plant/# out 1
topic orders/# in 1
topic both/# both 1
"""


@contextmanager
def bridged(folder: Path, broker: int, version: str) -> Iterator[int]:
    """Mosquitto, bridged to that port; its own."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    (folder / "m.conf").write_text(CONFIG.format(port=port, broker=broker, version=version), encoding="utf-8")
    process = subprocess.Popen(
        ["mosquitto", "-c", str(folder / "m.conf")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield port
    finally:
        process.terminate()
        process.wait(20)


@contextmanager
def at(port: int, *topics: str) -> Iterator[tuple[paho.Client, list[tuple[str, bytes]]]]:
    """A client of 3.1.1 there, and what has come to it."""
    client = paho.Client(paho.CallbackAPIVersion.VERSION2)
    came = list[tuple[str, bytes]]()
    listening = list[bool]()
    client.on_message = lambda client, data, message: came.append((message.topic, message.payload))
    client.on_subscribe = lambda *_: listening.append(True)
    for _ in range(400):
        try:
            client.connect("127.0.0.1", port)
            break
        except OSError:
            time.sleep(0.05)
    client.loop_start()
    client.subscribe([(topic, 1) for topic in topics])
    soon(lambda: listening)
    try:
        yield client, came
    finally:
        client.disconnect()
        client.loop_stop()


@pytest.mark.parametrize("version", ["mqttv31", "mqttv311", "mqttv50"])
def test_a_bridge_carries_both_ways_and_echoes_nothing(tmp_path: Path, served: Served, version: str) -> None:
    with (
        at(served.port, "plant/#", "both/#") as (north, heard),
        bridged(tmp_path, served.port, version) as port,
        at(port, "orders/#", "both/#") as (south, told),
    ):
        soon(lambda: any("twin" in client for client in served.broker.sessions))
        soon(lambda: any("orders/#" in session.filters for session in served.broker.sessions.values()))
        for k in range(20):
            south.publish(f"plant/{k}", b"%d" % k, 1, retain=k == 0).wait_for_publish(20)
            north.publish(f"orders/{k}", b"%d" % k, 1).wait_for_publish(20)
        south.publish("both/s", b"from the south", 1).wait_for_publish(20)
        north.publish("both/n", b"from the north", 1).wait_for_publish(20)
        soon(lambda: len(heard) >= 22 and len(told) >= 22)
        time.sleep(0.3)  # an echo would come now
        assert sorted(heard) == sorted(
            [(f"plant/{k}", b"%d" % k) for k in range(20)]
            + [("both/s", b"from the south"), ("both/n", b"from the north")]
        )
        assert sorted(told) == sorted(
            [(f"orders/{k}", b"%d" % k) for k in range(20)]
            + [("both/s", b"from the south"), ("both/n", b"from the north")]
        )
        assert served.broker.broken_by == {}
        assert served.broker.kept.messages["plant/0"].payload == b"0"


def test_what_a_bridge_keeps_comes_when_the_broker_is_back(tmp_path: Path, served: Served) -> None:
    """The connection is broken off three times while it sends: all comes, at least once."""
    with (
        at(served.port, "plant/#") as (_, heard),
        bridged(tmp_path, served.port, "mqttv50") as port,
        at(port, "none") as (south, _),
    ):
        soon(lambda: any("orders/#" in session.filters for session in served.broker.sessions.values()))
        for k in range(60):
            south.publish(f"plant/{k}", b"%d" % k, 1).wait_for_publish(20)
            if k % 20 == 10:
                with served.lock:  # or it is away already
                    for session in [
                        one for one in served.broker.sessions.values() if "orders/#" in one.filters
                    ]:
                        if session.connection is not None:
                            session.connection.hang_up()
        soon(lambda: len(dict(heard)) == 60)
        assert served.broker.broken_by == {}
