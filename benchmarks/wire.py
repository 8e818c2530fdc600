"""``twinloop serve`` under load: 100 Modbus TCP devices, 100 clients, 1000 requests a second together.

Belongs here: the clients, and reading what the server spent. Never: bounds (ratios.py). The server is another
process; lateness is what it says of itself (something was due on the wire, and happened that much later), its
CPU time what the kernel says (proc(5), stat).
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

CLIENTS, REQUESTS_PER_S, LASTS_S = 100, 1000, 8
SCENARIO = """\
format: 2
name: wire
duration: 60 s
fleets:
  presses:
    {device: press-sensor, protocol: modbus-tcp, count: 100, poll: 1 s, link: plant, gateway: gw,
     driver: modbus-driver}
links: {plant: {preset: lan}, cloud: {preset: lan}}
components:
  modbus-driver: {wasm: modbus-driver.wasm, grants: [fieldbus, clock, log]}
  normalize: {wasm: normalize.wasm, grants: [log]}
  route: {wasm: route.wasm, grants: [log]}
gateways:
  gw: {board: raspberry-pi-4, transform: normalize, policy: route, uplink: {link: cloud}}
expect: [count(samples.lost) == 0]
"""


class Load(NamedTuple):
    """What a served field did."""

    requests: int
    round_trip_ms: float
    """median, as the clients see it"""
    late: str
    """p50 and p99, as the server says"""
    cores: float
    """of CPU time per second of the wall"""


def cpu_seconds(process: int) -> float:
    """User and system time of a process so far."""
    fields = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def _client(port: int, unit: int, round_trips: list[float]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    pause = CLIENTS / REQUESTS_PER_S
    begun = time.perf_counter() + pause * unit / CLIENTS
    for number in range(LASTS_S * REQUESTS_PER_S // CLIENTS):
        await asyncio.sleep(begun + number * pause - time.perf_counter())
        asked = time.perf_counter()
        writer.write(struct.pack(">HHHBBHH", number, 0, 6, unit, 3, 0, 16))
        await reader.readexactly(9 + 32)
        round_trips.append(time.perf_counter() - asked)
    writer.close()


async def _all(port: int, round_trips: list[float]) -> None:
    await asyncio.gather(*(_client(port, unit, round_trips) for unit in range(1, CLIENTS + 1)))


def serve() -> Load:
    """Serve, ask, stop."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "wire.yaml"
        file.write_text(SCENARIO)
        arguments = [sys.executable, "-m", "twinloop", "serve", str(file), "--port", "0"]
        with subprocess.Popen(
            arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            found = re.search(r":(\d+)/1$", process.stdout.readline().strip())
            assert found is not None, "the first line says where the first device is"
            round_trips: list[float] = []
            before, began = cpu_seconds(process.pid), time.perf_counter()
            try:
                asyncio.run(_all(int(found[1]), round_trips))
                cores = (cpu_seconds(process.pid) - before) / (time.perf_counter() - began)
            finally:
                process.send_signal(signal.SIGTERM)
            _, said = process.communicate(timeout=60)
    late = re.search(r"late by (.*? p50, .*? p99)", said)
    assert late is not None, said
    round_trips.sort()
    return Load(len(round_trips), 1000 * round_trips[len(round_trips) // 2], late[1], cores)
