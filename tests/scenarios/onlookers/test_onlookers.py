"""Who looks on at a served field: over real sockets of this machine, what is told is what was asked, and
nobody who looks on can hold the field up."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from asyncua import Client
from pymodbus.client import AsyncModbusTcpClient

import twinloop.scenarios.onlookers.door as door_module
import twinloop.scenarios.onlookers.state as state_module
from tests import processes
from tests.scenarios.wire.test_serve import SCENARIO, port_of, serving
from twinloop.components.host.host import Host
from twinloop.scenarios.cli.main import main
from twinloop.scenarios.file.load import load_text
from twinloop.scenarios.onlookers.door import CONNECTIONS_MAX, Door
from twinloop.scenarios.onlookers.state import State
from twinloop.scenarios.onlookers.tally import FRAMES_MAX, LOOKED_AT_MAX, Tally, _code_at, _refuses
from twinloop.scenarios.planning.plan import Planner
from twinloop.scenarios.wire.wire import Endpoint, Wire, served
from twinloop.sim.kernel.pacer import Pacer
from twinloop.sim.kernel.wallclock import EPOCH_NS
from twinloop.sim.serving.modbus import ModbusCaller
from twinloop.sim.serving.plant import ServedPlant

READ = bytes.fromhex("0001 0000 0006 01 03 0000 0001")
"""of unit 1: one holding register from 0 on"""


async def ask(url: str, path: str = "/state", method: str = "GET", **more: object) -> tuple[int, Any]:
    """(status, what the JSON says)."""
    place, _, query = url.removeprefix("http://").partition("/?")
    asked = "&".join([query, *(f"{key}={value}" for key, value in more.items())])
    return await raw(place, f"{method} {path}?{asked} HTTP/1.1\r\nHost: {place}\r\n\r\n".encode())


async def raw(place: str, request: bytes) -> tuple[int, Any]:
    reader, writer = await asyncio.open_connection(*place.split(":"))
    writer.write(request)
    said = await reader.read()
    writer.close()
    head, _, body = said.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)


def looked_at(
    host: Host, body: Callable[[Wire, dict[str, Endpoint], str, State], Awaitable[None]], text: str = SCENARIO
) -> None:
    """Run ``body`` with the URL of the door of a served scenario."""

    async def inside(wire: Wire, found: dict[str, Endpoint]) -> None:
        state = State(wire, "served", None, None)
        state.found(found.values())
        door = Door(state)
        try:
            await body(wire, found, await door.open(0), state)
        finally:
            await door.close()

    serving(host, inside, text)


def test_ten_requests_are_ten(host: Host) -> None:
    async def body(wire: Wire, found: dict[str, Endpoint], url: str, state: State) -> None:
        port, _ = port_of(found["presses/1"])
        _, first = await ask(url, device=0)  # from now on its frames are kept
        assert [first["devices"][0][key] for key in ("connections", "requests", "answers", "value")] == [
            0, 0, 0, None,
        ]  # fmt: skip
        client = AsyncModbusTcpClient("127.0.0.1", port=port)
        assert await client.connect()
        for _ in range(10):
            assert not (await client.read_holding_registers(0, count=2, device_id=1)).isError()
        assert (await client.read_holding_registers(0, count=1, device_id=2)).exception_code == 4
        assert (await client.read_holding_registers(9999, count=1, device_id=3)).exception_code == 2
        status, now = await ask(url, device=0, after=0)
        while now["requests"] < 12 or now["devices"][0]["requests"] == 0:  # told again until it is made anew
            status, now = await ask(url, device=0, after=0)
        assert (status, now["format"], now["over"], now["requests"]) == (200, 1, False, 12)
        one, two, three = now["devices"][:3]
        assert [one[key] for key in ("connections", "requests", "answers", "exceptions", "faults")] == [
            1, 10, 10, 0, [],
        ]  # fmt: skip
        assert [two[key] for key in ("requests", "exceptions", "faults", "value")] == [
            1,
            1,
            ["exception"],
            None,
        ]
        assert (three["requests"], three["exceptions"]) == (1, 1)
        assert one["value"] == pytest.approx(wire.plant.field.servers[0].device.image.value(0))
        assert 0 <= one["asked_ns"] <= now["clock"]["now_ns"]
        assert now["devices"][3]["asked_ns"] is None, "nobody has asked"
        assert (now["samples"], now["expectations"], now["verdict"]) == (None, None, None), "nobody judges"
        ways = [(way, data[14:]) for _, way, data in now["device"]["frames"]]
        assert [way for way, _ in ways] == [">", "<"] * 10
        assert ways[0][1] == "0300000002", "function 3, from 0 on, two registers"
        assert ways[1][1][:4] == "0304", "and four bytes"
        points = wire.plant.spec.devices[0].model.points
        assert len(now["device"]["values"]) == len(points)
        client.close()

    looked_at(host, body)


def test_opc_ua_is_counted_and_says_of_exceptions_nothing(host: Host) -> None:
    async def body(wire: Wire, found: dict[str, Endpoint], url: str, state: State) -> None:
        async with Client(found["tanks/1"].url) as client:
            await client.get_node("ns=2;s=level").read_value()
        row = state._row(5)
        assert row["requests"] > 0
        assert row["answers"] > 0
        assert (row["exceptions"], row["connections"]) == (None, None)

    looked_at(host, body)


def test_the_plan_says_where_everything_is(host: Host) -> None:
    async def body(wire: Wire, found: dict[str, Endpoint], url: str, state: State) -> None:
        status, plan = await ask(url, "/plan")
        assert (status, plan["format"], plan["name"], plan["judged"]) == (200, 1, "served", False)
        urls = [one["url"] for one in plan["devices"]]
        assert urls == [*(found[one["name"]].url for one in plan["devices"][:7]), "", ""], "without a broker"
        assert plan["devices"][0]["points"][0] == {
            "name": "pressure",
            "at": "holding:0:f32:be",
            "unit": "bar",
        }
        assert plan["duration_ns"] == 60_000_000_000

    looked_at(host, body)


def test_only_who_has_the_token_sees_anything_and_nobody_changes_anything(host: Host) -> None:
    async def body(wire: Wire, found: dict[str, Endpoint], url: str, state: State) -> None:
        place, _, token = url.removeprefix("http://").partition("/?token=")
        assert len(token) == 32
        for wrong in (
            f"http://{place}/?token={token}x",
            f"http://{place}/?",
            f"http://{place}/?token=%C3%A4",
        ):
            for path in ("/", "/plan", "/state", "/nothing"):
                status, said = await ask(wrong, path)
                assert (status, list(said)) == (403, ["error"])
        assert (await ask(url, "/"))[0] == 200
        assert (await ask(url, "/nothing"))[0] == 404
        for method in ("POST", "PUT", "DELETE", "HEAD", "OPTIONS"):
            assert (await ask(url, method=method))[0] == 405
        assert (await ask(url, after="x"))[0] == 400
        assert (await ask(url, device=99))[1]["device"] is None
        assert (await ask(url, device=-7))[1]["device"] is None
        for request in (
            b"\r\n\r\n",
            b"GET\r\n\r\n",
            b"\x16\x03\x01 \0 \xff\r\n\r\n",
            b"GET //[ HTTP/1.1\r\n\r\n",
        ):
            assert (await raw(place, request))[0] == 400

    looked_at(host, body)


def test_a_request_that_is_too_long_or_too_slow_is_dropped(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(door_module, "REQUEST_S", 0.2)

    async def body(wire: Wire, found: dict[str, Endpoint], url: str, state: State) -> None:
        place = url.removeprefix("http://").partition("/")[0]
        for long in (b"GET /" + b"x" * 9000, b"GET / HTTP/1.1\r\nA: " + b"x" * 9000 + b"\r\n\r\n"):
            reader, writer = await asyncio.open_connection(*place.split(":"))
            writer.write(long)
            with contextlib.suppress(ConnectionResetError):  # it was closed before all of it was read
                assert (await reader.read())[:12] in (b"HTTP/1.1 431", b"")
            writer.close()
        reader, writer = await asyncio.open_connection(*place.split(":"))
        writer.write(b"GET /sta")
        assert await reader.read() == b""
        writer.close()
        assert (await ask(url))[0] == 200

    looked_at(host, body)


def test_onlookers_that_stand_still_hold_nobody_up(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many as there may be, some of which say nothing and some of which don't read; then they are gone."""
    monkeypatch.setattr(door_module, "ANSWER_S", 0.3)
    many = SCENARIO.replace("count: 3", "count: 700")  # more than the system keeps for who doesn't read

    async def body(wire: Wire, found: dict[str, Endpoint], url: str, state: State) -> None:
        place, _, query = url.removeprefix("http://").partition("/?")
        address, port = place.split(":")
        deaf = []
        for i in range(CONNECTIONS_MAX):
            one = socket.socket()
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            one.setblocking(False)
            await asyncio.get_running_loop().sock_connect(one, (address, int(port)))
            if i % 2:
                one.send(f"GET /plan?{query} HTTP/1.1\r\n\r\n".encode())
            deaf.append(one)
        reader, writer = await asyncio.open_connection("127.0.0.1", port_of(found["presses/1"])[0])
        for _ in range(20):
            writer.write(READ)
            assert len(await reader.readexactly(11)) == 11
        assert state.tally.requests[0] == 20, "a client of the field is served all the same"
        answers = [await ask(url) for _ in range(2)]
        while any(status == 503 for status, _ in answers):  # until those who don't read are cut off
            await asyncio.sleep(0.05)
            answers = list(await asyncio.gather(ask(url), ask(url)))
        assert [status for status, _ in answers] == [200, 200], "two onlookers at a time"
        assert answers[0][1]["devices"][0]["requests"] == 20
        for one in deaf:
            one.close()
        writer.close()

    looked_at(host, body, many)


def test_a_copy_is_told_to_all_who_ask_for_a_while(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state_module, "FRESH_S", 60.0)
    made = list[int]()

    async def body(wire: Wire, found: dict[str, Endpoint], url: str, state: State) -> None:
        def row(self: State, index: int) -> dict[str, Any]:
            made.append(index)
            return {}

        monkeypatch.setattr(State, "_row", row)
        for _ in range(3):
            assert (await ask(url))[0] == 200
        assert len(made) == len(wire.plant.spec.devices), "of each device once"
        state.end()
        assert (await ask(url))[1]["over"] is True, "but the end is told at once"

    looked_at(host, body)


def planned(host: Host) -> ServedPlant:
    spec, _ = served(Planner(load_text(SCENARIO, Path("served.yaml")), host).world(), False)
    plant = ServedPlant(spec, EPOCH_NS)
    plant.boot()
    return plant


def test_looking_on_changes_nothing(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same requests at the same instants: answers and trace are the same, byte for byte."""
    monkeypatch.setattr(state_module, "FRESH_S", 0.0)
    monkeypatch.setattr(state_module, "REST", 0)

    async def play(plant: ServedPlant, watched: bool) -> list[bytes]:
        wire, heard = Wire(plant, Pacer()), list[bytes]()
        state = State(wire, "served", None, None) if watched else None
        caller = ModbusCaller(plant, {1: 0, 2: 1}, heard.append, lambda: None)
        for k in range(20):
            plant.at(k * 100_000_000, caller.received, READ[:6] + bytes((1 + k % 2,)) + READ[7:])
            if state is not None:
                await state.now(0, k % len(plant.spec.devices))
        plant.run_to(3_000_000_000)
        if state is not None:
            assert state.tally.requests[:3] == [10, 10, 0]
            assert state.tally.exceptions[:3] == [0, 10, 0]
            assert [(line["at_ns"], line["text"]) for line in state.news.lines(0)] == [
                (1_000_000, "device-fault presses/2 begin exception")
            ]
            assert state.news.lines(1) == [], "those that are younger"
            assert json.loads(await state.now(0, -1))["begun"] == [
                {"at_ns": 1_000_000, "until_ns": None, "verb": "device-fault", "target": "presses/2"}
            ]
        await wire.close()
        return heard

    def played(watched: bool) -> tuple[list[bytes], str]:
        plant = planned(host)
        try:
            return asyncio.run(play(plant, watched)), plant.trace.digest()
        finally:
            plant.close()

    assert played(True) == played(False)


def test_frames_are_kept_of_a_few_devices(host: Host) -> None:
    plant = planned(host)
    try:
        tally = Tally(plant)
        for index in range(7):
            assert tally.frames(index) == ()
        assert plant.on_frame is not None
        for k in range(FRAMES_MAX + 5):
            plant.on_frame(0, ">", bytes((k,)) * 1000)
        kept = tally.frames(0)
        assert len(kept) == FRAMES_MAX
        assert kept[-1][2] == bytes((FRAMES_MAX + 4,)) * 600, "cut off"
        assert len(tally._frames) <= LOOKED_AT_MAX
    finally:
        plant.close()


@pytest.mark.parametrize(
    ("protocol", "frame", "refuses"),
    [
        ("modbus-tcp", "000100000003018302", True), ("modbus-tcp", "00010000000501030200ff", False),
        ("modbus-rtu", "0183020000", True), ("modbus-rtu-over-tcp", "010302ffff0000", False),
        ("modbus-ascii", b":0183027A\r\n".hex(), True), ("modbus-ascii", b":010302FFFFFC\r\n".hex(), False),
        ("opcua", "ffffffffffffffffff", False), ("modbus-tcp", "0001", False), ("modbus-ascii", b":01".hex(), False),
    ],
)  # fmt: skip
def test_what_an_exception_is(protocol: str, frame: str, refuses: bool) -> None:
    assert _refuses(bytes.fromhex(frame), _code_at(protocol)) is refuses


# ---- the command ---------------------------------------------------------------------------------
def test_serve_prints_the_url_and_tells_of_its_end(tmp_path: Path) -> None:
    file = tmp_path / "served.yaml"
    file.write_text(SCENARIO)
    with processes.twinloop(
        "serve", str(file), "--port", "0", "--opcua-port", "0", "--watch-port", "0"
    ) as process:
        line = process.stdout.readline()
        assert line.startswith("watch   twinloop tui --attach 'http://127.0.0.1:")
        url = line.split("'")[1]
        assert asyncio.run(ask(url, who="me"))[1]["over"] is False
        process.send_signal(signal.SIGTERM)
        said = asyncio.run(ask(url, who="me"))[1]
        while not said["over"]:  # it waits for who looks on
            said = asyncio.run(ask(url, who="me"))[1]
        process.communicate(timeout=60)
    assert process.returncode == 0


def test_a_port_that_is_taken_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "served.yaml"
    file.write_text(SCENARIO)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert main(["serve", str(file), "--port", "0", "--opcua-port", "0", "--watch-port", port]) == 3
    assert f"--watch-port: 127.0.0.1:{port}: " in capsys.readouterr().err
