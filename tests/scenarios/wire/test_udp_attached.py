"""A driver that polls over UDP, attached to a real server of that protocol: pymodbus's own, on a socket of this
machine."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pymodbus.server import ModbusUdpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from tests.scenarios.cases import scenario
from tests.scenarios.test_udp import components, settings
from twinloop.components.host.host import Host
from twinloop.scenarios.file.load import load_text
from twinloop.scenarios.judging.verdict import Verdict
from twinloop.scenarios.runner import Options, run

REGISTERS = [0, 7, 0x10000 - 125, 0x3EC0, 0]
"""count 7, level -12.5, flow 0.375"""


@contextmanager
def answering() -> Iterator[int]:
    """pymodbus's server, at the port that it yields."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    loop = asyncio.new_event_loop()
    up = threading.Event()

    async def serve() -> ModbusUdpServer:
        device = SimDevice(1, [SimData(0, values=REGISTERS, datatype=DataType.REGISTERS)])
        server = ModbusUdpServer(device, address=("127.0.0.1", port))
        await server.serve_forever(background=True)
        return server

    def body() -> None:
        server = loop.run_until_complete(serve())
        up.set()
        loop.run_forever()
        loop.run_until_complete(server.shutdown())

    thread = threading.Thread(target=body)
    thread.start()
    try:
        assert up.wait(20)
        yield port
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(20)
        loop.close()


@pytest.mark.parametrize("there", [True, False])
def test_a_real_server_is_asked_over_udp(tmp_path: Path, host: Host, there: bool) -> None:
    own = components(timeout=200)  # four tries are within its deadline, on a machine with much to do
    text = scenario(
        tmp_path, **settings(components=own, duration="2 s", pace={"tolerance": "30 s"}, expect=None)
    )
    with answering() as port:
        place = f"tcp://127.0.0.1:{port if there else 1}/1"
        found = run(load_text(text, tmp_path / "case.yaml"), Options(places={"m/1": place}), host)
    ledger = found.data["ledger"]
    assert ledger["due"] == 6
    assert ledger["delivered"] == (6 if there else 0), found.notes
    truth = found.data["truth"]
    assert truth["wrong"] == 0
    assert truth["checked"] == ledger["delivered"]
    assert found.verdict is not Verdict.ABORTED
