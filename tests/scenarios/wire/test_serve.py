"""``twinloop serve`` with real clients: sockets, pseudo-terminals, signals. Nothing here depends on how fast
this machine is."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import signal
import socket
import termios
import time
import tty
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from asyncua import Client, ua
from pymodbus.client import AsyncModbusTcpClient
from pymodbus.framer import FramerRTU

import twinloop.devices.live.pty
import twinloop.devices.live.tcp
from tests import processes
from twinloop.components.host.host import Host
from twinloop.devices.mqtt.packet import Connect, PacketReader, Publish, Subscribe, encode
from twinloop.devices.opcua.limits import SUBSCRIPTIONS_A_SESSION_MAX
from twinloop.scenarios.cli.main import main
from twinloop.scenarios.file.load import find, load, load_text
from twinloop.scenarios.planning.plan import Planner
from twinloop.scenarios.wire.wire import Endpoint, Wire, served
from twinloop.sim.kernel.pacer import Pacer
from twinloop.sim.kernel.wallclock import EPOCH_NS
from twinloop.sim.serving.plant import ServedPlant

SCENARIO = """\
format: 2
name: served
duration: 60 s
fleets:
  presses: {device: press-sensor, protocol: modbus-tcp, count: 3, poll: 1 s, link: plant, gateway: gw, driver: modbus-driver}
  meters: {device: meter, protocol: modbus-rtu, count: 2, poll: 1 s, link: line, gateway: gw, driver: modbus-driver}
  tanks: {device: tank, protocol: opcua, count: 2, poll: 1 s, link: plant, gateway: gw, driver: opcua-driver}
  roofs: {device: pv-day, protocol: mqtt, count: 2, publish: 1 s, link: plant, gateway: gw, driver: mqtt-driver}
links:
  plant: {preset: lan}
  line: {serial: 19200 Bd}
  cloud: {preset: lan}
components:
  modbus-driver: {wasm: modbus-driver.wasm, grants: [fieldbus, clock, log]}
  opcua-driver: {wasm: opcua-driver.wasm, grants: [fieldbus, clock, log]}
  mqtt-driver: {wasm: mqtt-driver.wasm, grants: [fieldbus, clock, log]}
  normalize: {wasm: normalize.wasm, grants: [log]}
  route: {wasm: route.wasm, grants: [log]}
gateways:
  gw: {board: raspberry-pi-4, transform: normalize, policy: route, uplink: {link: cloud}}
timeline:
  - {at: 1 ms, device-fault: presses/2, kind: exception, code: 4}
  - {at: 1 s, crash: gw, for: 1 s}
  - {at: 1 s, cut: cloud, for: 1 s}
  - {at: 1 s, device-fault: roofs, kind: silent, for: 1 s}
  - {at: 1 s, write: tanks/1, point: pump, value: 1}
expect: [count(samples.lost) == 0]
"""


@asynccontextmanager
async def on_the_wire(plant: ServedPlant) -> AsyncIterator[tuple[Wire, dict[str, Endpoint]]]:
    wire = Wire(plant, Pacer())
    try:
        yield wire, {endpoint.device: endpoint for endpoint in await wire.open("127.0.0.1", 0, 0)}
    finally:
        await wire.close()
    assert wire.failure is None


def serving(
    host: Host, body: Callable[[Wire, dict[str, Endpoint]], Awaitable[None]], text: str = SCENARIO
) -> None:
    """Run ``body`` against the scenario, served in this process; it has a minute."""
    spec, _ = served(Planner(load_text(text, Path("served.yaml")), host).world(), False)
    plant = ServedPlant(spec, EPOCH_NS)

    async def all_of_it() -> None:
        async with asyncio.timeout(60), on_the_wire(plant) as (wire, found):
            await body(wire, found)

    try:
        with plant.field.inside():
            plant.boot()
            asyncio.run(all_of_it())
    finally:
        plant.close()


def port_of(endpoint: Endpoint) -> tuple[int, int]:
    """(port, unit) of ``tcp://host:port/unit``."""
    port, _, unit = endpoint.url.removeprefix("tcp://127.0.0.1:").partition("/")
    return int(port), int(unit or 0)


def test_pymodbus_reads_and_writes(host: Host) -> None:
    async def body(wire: Wire, found: dict[str, Endpoint]) -> None:
        port, unit = port_of(found["presses/3"])
        assert unit == 3
        client = AsyncModbusTcpClient("127.0.0.1", port=port)
        assert await client.connect()
        device = wire.plant.field.servers[2].device
        point = device.model.points[9]
        assert not (await client.write_registers(point.address, [0x4060, 0], device_id=3)).isError()
        assert (await client.read_holding_registers(point.address, count=2, device_id=3)).registers == [
            0x4060,
            0,
        ]
        assert (await client.read_holding_registers(9999, count=1, device_id=3)).exception_code == 2
        assert (await client.read_holding_registers(0, count=1, device_id=4)).exception_code == 11
        assert (await client.read_holding_registers(0, count=1, device_id=2)).exception_code == 4, (
            "its fault, of the timeline"
        )
        many = await asyncio.gather(
            *(client.read_holding_registers(0, count=10, device_id=1 + 2 * (i % 2)) for i in range(40))
        )
        assert all(len(answer.registers) == 10 for answer in many)
        client.close()
        assert wire.plant.requests == 45
        assert wire.pacer.lag.count > 0

    serving(host, body)


def test_whoever_opens_the_terminal_is_on_the_line(host: Host) -> None:
    def exchange(path: str, *pieces: bytes) -> bytes:
        port = os.open(path, os.O_RDWR | os.O_NOCTTY)
        try:
            tty.setraw(port)
            for piece in pieces:
                os.write(port, piece)
            answer = os.read(port, 3)
            while len(answer) < answer[2] + 5:
                answer += os.read(port, 256)
            return answer
        finally:
            os.close(port)

    async def body(wire: Wire, found: dict[str, Endpoint]) -> None:
        path, unit = found["meters/2"].url.removeprefix("rtu://").split("?unit=")
        assert found["meters/1"].url == f"rtu://{path}?unit=1"
        asked = bytes((int(unit), 3, 0, 0, 0, 2))
        frame = asked + FramerRTU.compute_CRC(asked).to_bytes(2, "big")
        for pieces in ((frame,), (frame[:3], frame[3:]), (frame,)):  # the client may close and come again
            answer = await asyncio.to_thread(exchange, path, *pieces)
            assert answer[:3] == bytes((2, 3, 4))
            assert FramerRTU.compute_CRC(answer[:-2]).to_bytes(2, "big") == answer[-2:]

    serving(host, body)


def test_a_client_that_comes_later_reads_its_own_answer(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """What nobody reads is nobody's: RTU has no transaction id. And who claimed the line alone (TIOCEXCL) and
    left has it no more."""
    monkeypatch.setattr(twinloop.devices.live.pty, "FREED_S", 0.1)

    async def body(wire: Wire, found: dict[str, Endpoint]) -> None:
        path = found["meters/1"].url.removeprefix("rtu://").partition("?")[0]

        def ask(address: int, answer: bool) -> bytes:
            asked = bytes((1, 4, 0, address, 0, 2))
            port = os.open(path, os.O_RDWR | os.O_NOCTTY)
            try:
                tty.setraw(port, termios.TCSANOW)
                fcntl.ioctl(port, termios.TIOCEXCL)
                os.write(port, asked + FramerRTU.compute_CRC(asked).to_bytes(2, "big"))
                if not answer:
                    time.sleep(0.2)
                return os.read(port, 9) if answer else b""
            finally:
                os.close(port)

        await asyncio.to_thread(ask, 2, False)
        await asyncio.sleep(0.5)
        answer = await asyncio.to_thread(ask, 40, True)
        assert answer[:3] == bytes((1, 0x84, 2)), "its own: there is no such register"

    serving(host, body)


def test_a_stranger_gets_no_subscription_that_would_take_the_field_away(host: Host) -> None:
    async def body(wire: Wire, found: dict[str, Endpoint]) -> None:
        class Deaf:
            def datachange_notification(self, node: Any, value: Any, data: Any) -> None:
                """Nothing."""

        async with Client(found["tanks/1"].url) as client:
            for wanted, revised in ((0.5, 50.0), (49.0, 50.0), (70.0, 70.0)):
                subscription = await client.create_subscription(wanted, Deaf())
                inner = wire.plant.field.servers[5]._server.iserver.subscription_service.subscriptions  # type: ignore[attr-defined]
                assert inner[subscription.subscription_id].data.RevisedPublishingInterval == revised
            for _ in range(SUBSCRIPTIONS_A_SESSION_MAX - 3):
                await client.create_subscription(1000, Deaf())
            with pytest.raises(ua.UaStatusCodeError, match="BadTooManySubscriptions"):
                await client.create_subscription(1000, Deaf())

    serving(host, body)


def test_asyncua_reads_writes_browses_and_subscribes(host: Host) -> None:
    class Heard:
        def __init__(self) -> None:
            self.values: asyncio.Queue[Any] = asyncio.Queue()

        def datachange_notification(self, node: Any, value: Any, data: Any) -> None:
            self.values.put_nowait(value)

    async def body(wire: Wire, found: dict[str, Endpoint]) -> None:
        assert len({found[name].url for name in ("tanks/1", "tanks/2")}) == 2
        async with Client(found["tanks/2"].url) as client:
            (endpoint,) = await client.get_endpoints()
            assert endpoint.EndpointUrl == found["tanks/2"].url
            folders = {
                (await child.read_browse_name()).Name: child
                for child in await client.nodes.objects.get_children()
            }
            folder = folders["tanks/2"]
            nodes = {(await node.read_browse_name()).Name: node for node in await folder.get_children()}
            assert set(nodes) == {point.name for point in wire.plant.spec.devices[5].model.points}
            heard = Heard()
            subscription = await client.create_subscription(50, heard)
            await subscription.subscribe_data_change(nodes["level"])
            first = await heard.values.get()
            writable = next(point for point in wire.plant.spec.devices[5].model.points if point.writable)
            node = nodes[writable.name]
            kind = (await node.read_data_value()).Value.VariantType
            await node.write_value(type(await node.read_value())(1), kind)
            assert await node.read_value() == 1
            assert await heard.values.get() != first, "a tank's level moves"
            moment = (await node.read_data_value()).SourceTimestamp
            assert abs(moment.timestamp() * 1e9 - EPOCH_NS - wire.pacer.position_ns()) < 10e9, (
                "the epoch that was asked for"
            )

    serving(host, body)


PUBLISHING = """\
format: 2
name: publishing
duration: 60 s
fleets:
  roofs: {device: pv-day, protocol: mqtt, count: 3, publish: 50 ms, link: plant, gateway: gw, driver: mqtt-driver}
links: {plant: {preset: lan}, cloud: {preset: lan}}
components:
  mqtt-driver: {wasm: mqtt-driver.wasm, grants: [fieldbus, clock, log]}
  normalize: {wasm: normalize.wasm, grants: [log]}
  route: {wasm: route.wasm, grants: [log]}
gateways:
  gw: {board: raspberry-pi-4, transform: normalize, policy: route, uplink: {link: cloud}}
expect: [count(samples.lost) == 0]
"""


def test_devices_publish_to_a_broker_that_nobody_here_wrote(host: Host) -> None:
    """amqtt's on a socket: it is down at first, comes, and a client hears every device."""
    from amqtt.broker import Broker as Amqtt

    spec, left_out = served(Planner(load_text(PUBLISHING, Path("served.yaml")), host).world(), True)
    assert left_out == []
    plant = ServedPlant(spec, EPOCH_NS)
    plant.boot()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]

    async def all_of_it() -> None:
        wire = Wire(plant, Pacer())
        found = await wire.open("127.0.0.1", 0, 0, ("127.0.0.1", port))
        assert [endpoint.url for endpoint in found] == [
            f"mqtt://127.0.0.1:{port}/plant/roofs/{i}" for i in (1, 2, 3)
        ]
        while not plant.limits.get("broker-refused"):
            await asyncio.sleep(0.01)
        config = {
            "listeners": {"default": {"type": "tcp", "bind": f"127.0.0.1:{port}"}},
            "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {}},
        }
        broker = Amqtt(config)
        await broker.start()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(encode(Connect("watcher", True, 0)) + encode(Subscribe(1, (("plant/+/+", 0),))))
        packets, heard = PacketReader(), dict[str, set[int]]()
        while len(heard) < 3 or min(map(len, heard.values())) < 10:
            for one in packets.feed(await reader.read(65_536)):
                if isinstance(one, Publish):
                    heard.setdefault(one.topic, set()).add(json.loads(one.payload)["ts"])
        writer.close()
        await wire.close()
        await broker.shutdown()
        assert wire.failure is None
        assert sorted(heard) == ["plant/roofs/1", "plant/roofs/2", "plant/roofs/3"]

    async def within_a_minute() -> None:
        async with asyncio.timeout(60):
            await all_of_it()

    try:
        asyncio.run(within_a_minute())
    finally:
        plant.close()


def test_strangers_are_sent_away_and_nobody_else_hears_of_it(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(twinloop.devices.live.tcp, "CONNECTIONS_MAX", 5)

    async def body(wire: Wire, found: dict[str, Endpoint]) -> None:
        port, _ = port_of(found["presses/1"])
        ask = b"\0\1\0\0\0\6\1\3\0\0\0\1"
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        others = [await asyncio.open_connection("127.0.0.1", port) for _ in range(6)]
        ended = 0
        for theirs, mine in others:
            mine.write(b"GET / HTTP/1.1\r\n\r\n")
            try:
                assert await theirs.read() == b""
            except ConnectionResetError:
                ended += 1
            mine.close()
        assert ended <= 2, "those beyond the limit"
        writer.write(ask)
        assert len(await reader.readexactly(11)) == 11
        writer.close()
        assert wire.plant.limits == {"connections": 2, "not-modbus": 4}
        ua = int(found["tanks/1"].url.removeprefix("opc.tcp://127.0.0.1:").rstrip("/"))
        theirs, mine = await asyncio.open_connection("127.0.0.1", ua)
        mine.write(b"GET / HTTP/1.1\r\n\r\n")
        assert await theirs.read() == b""
        assert wire.plant.limits["not-opcua"] == 1

    serving(host, body)


def test_what_can_not_be_served_is_named(host: Host) -> None:
    spec, left_out = served(Planner(load_text(SCENARIO, Path("served.yaml")), host).world(), False)
    assert [action.verb for action in spec.timeline] == ["device-fault"]
    assert left_out == [
        "2 mqtt devices: they need --broker",
        "crash gw at 1 s: it happens to a gateway, or beyond one",
        "cut cloud at 1 s: it happens to a gateway, or beyond one",
        "device-fault roofs at 1 s: its devices aren't served",
        "write tanks/1 at 1 s: it happens to a gateway, or beyond one",
    ]


def test_every_shipped_scenario_with_a_field_can_be_served(host: Host) -> None:
    """Planned, booted and closed: the plant alone, whatever trouble it has."""
    for name in ("quickstart", "mixed-plant-troubles", "opcua-troubles", "random-trouble"):
        spec, _ = served(Planner(load(find(name)), host).world(), False)
        plant = ServedPlant(spec, EPOCH_NS)
        try:
            plant.boot()
            plant.run_to(spec.duration_ns)
        finally:
            plant.close()


# ---- the command ---------------------------------------------------------------------------------
def command(file: Path, *flags: str) -> processes.Forked:
    return processes.twinloop("serve", str(file), "--port", "0", "--opcua-port", "0", *flags)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_close_it_cleanly(tmp_path: Path, number: int) -> None:
    file, found = tmp_path / "served.yaml", tmp_path / "map.json"
    file.write_text(SCENARIO)
    with command(file, "--map", str(found)) as process:
        table = [process.stdout.readline().split() for _ in range(7)]
        data = json.loads(found.read_text()) if found.exists() else None
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0
    assert out == ""
    assert [name for name, _ in table] == [
        "presses/1",
        "presses/2",
        "presses/3",
        "meters/1",
        "meters/2",
        "tanks/1",
        "tanks/2",
    ]
    assert "Traceback" not in err
    assert "left out: 2 mqtt devices" in err
    assert "served " in err
    assert data is None or {name: entry["url"] for name, entry in data.items()} == dict(table)


def test_it_ends_after_a_while_and_writes_its_map(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, found = tmp_path / "served.yaml", tmp_path / "map.json"
    file.write_text(SCENARIO)
    assert (
        main(["serve", str(file), "--port", "0", "--opcua-port", "0", "--map", str(found), "--for", "10 ms"])
        == 0
    )
    assert json.loads(found.read_text())["presses/1"]["protocol"] == "modbus-tcp"
    assert "tanks/2    opc.tcp://127.0.0.1:" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--host", "192.0.2.1"), "--port: 192.0.2.1:5020: "), (("--for", "10"), "--for: "), (("--map", "/nowhere/map.json"), "no such folder"),
        (("--broker", "127.0.0.1"), "expected mqtt://HOST[:PORT]"), (("--broker", "mqtts://x"), "without TLS"), (("--broker", "mqtt://x:y"), "--broker: "),
        (("--port", "65536"), "65535"), (("--port", "x"), "--port"),
    ],
)  # fmt: skip
def test_mistakes_are_refused(
    tmp_path: Path, flags: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "served.yaml"
    file.write_text(SCENARIO)
    assert main(["serve", str(file), "--opcua-port", "0", *flags]) == 3
    assert message in capsys.readouterr().err


def test_a_port_that_is_taken_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "served.yaml"
    file.write_text(SCENARIO)

    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert main(["serve", str(file), "--port", str(taken.getsockname()[1]), "--opcua-port", "0"]) == 3
    assert "ddress already in use" in capsys.readouterr().err
