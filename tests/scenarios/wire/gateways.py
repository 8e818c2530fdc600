"""Two small gateways of a third kind, over sockets: one keeps what it couldn't send, one forgets it. What
``serve --judge`` tells apart.

``python -m tests.scenarios.wire.gateways MAP BROKER_PORT keeps|forgets SECONDS``: polls every device of a map
that serve has written.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections import deque
from pathlib import Path
from typing import Any

from asyncua import Client
from pymodbus.client import AsyncModbusTcpClient

from twinloop.devices.mqtt.packet import Connack, Connect, PacketReader, Puback, Publish, encode

NO_SAMPLE = (1 << 32) - 1
POLL_S, ANSWER_S = 0.03, 0.25
"""how often it reads, and for how long it waits for an acknowledgement before it gives a connection up"""


class Uplink:
    """One message at a time, acknowledged or sent again; a gateway that ``forgets`` drops what it has when
    its connection is lost."""

    def __init__(self, port: int, forgets: bool) -> None:
        self._port, self._forgets = port, forgets
        self.waiting: deque[tuple[str, bytes]] = deque()
        self._news = asyncio.Event()
        self._packet = 0

    def put(self, topic: str, payload: dict[str, Any]) -> None:
        self.waiting.append((topic, json.dumps(payload).encode()))
        self._news.set()

    async def run(self) -> None:
        while True:
            try:
                await self._session()
            except (OSError, EOFError, TimeoutError):
                if self._forgets:
                    self.waiting.clear()
                await asyncio.sleep(0.05)

    async def _session(self) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        packets = PacketReader()
        got: deque[Any] = deque()

        async def answer() -> Any:
            while not got:
                data = await asyncio.wait_for(reader.read(4096), ANSWER_S)
                if not data:
                    raise EOFError
                got.extend(
                    one for one in packets.feed(data) if not isinstance(one, Publish)
                )  # amqtt sends what nobody has asked for
            return got.popleft()

        try:
            writer.write(encode(Connect("gateway-under-test", clean=True)))
            assert isinstance(await answer(), Connack)
            while True:
                while not self.waiting:
                    self._news.clear()
                    await self._news.wait()
                topic, payload = self.waiting[0]
                self._packet = self._packet % 65_535 + 1
                writer.write(encode(Publish(topic, payload, 1, packet=self._packet)))
                assert await answer() == Puback(self._packet)
                self.waiting.popleft()
        finally:
            writer.close()


def send(uplink: Uplink, device: str, k: int, last: int, values: list[Any]) -> int:
    if k not in (NO_SAMPLE, last):
        uplink.put(f"plant/{device}", {"seq": k, "v": values[0], "all": {"first": values[0]}})
    return k


async def modbus(uplink: Uplink, devices: dict[str, dict[str, str]]) -> None:
    """All units of one port over one connection."""
    host, port = re.match(r"tcp://(.*):(\d+)/", next(iter(devices.values()))["url"]).groups()  # type: ignore[union-attr]
    client = AsyncModbusTcpClient(host, port=int(port))
    assert await client.connect()
    last = dict.fromkeys(devices, -1)
    while True:
        for device, entry in devices.items():
            address = int(entry["counter"].split()[1])
            answer = await client.read_holding_registers(
                0, count=address + 2, device_id=int(entry["url"].rpartition("/")[2])
            )
            words = answer.registers
            last[device] = send(
                uplink, device, words[address] << 16 | words[address + 1], last[device], words
            )
        await asyncio.sleep(POLL_S)


async def opcua(uplink: Uplink, device: str, entry: dict[str, str]) -> None:
    last = -1
    async with Client(entry["url"]) as client:
        counter, value = client.get_node("ns=2;s=sample"), client.get_node("ns=2;s=level")
        while True:
            k, level = await client.read_values([counter, value])
            last = send(uplink, device, int(k), last, [level])
            await asyncio.sleep(POLL_S)


async def main(map_file: str, port: int, kind: str, seconds: float) -> None:
    devices = json.loads(Path(map_file).read_text(encoding="utf-8"))
    uplink = Uplink(port, kind == "forgets")
    tasks = [asyncio.create_task(uplink.run())]
    tcp = {name: entry for name, entry in devices.items() if entry["protocol"] == "modbus-tcp"}
    if tcp:
        tasks.append(asyncio.create_task(modbus(uplink, tcp)))
    tasks += [
        asyncio.create_task(opcua(uplink, name, entry))
        for name, entry in devices.items()
        if entry["protocol"] == "opcua"
    ]
    done, _ = await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_EXCEPTION)
    for task in done:
        task.result()
    for task in tasks:
        task.cancel()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), sys.argv[3], float(sys.argv[4])))
