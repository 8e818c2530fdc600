"""OPC UA servers in simulated time: 200 of asyncua's, each with a client that has a subscription with an
interval of 1 s.

Belongs here: building that and running on. Never: bounds (ratios.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import sys
from pathlib import Path
from typing import Any

from asyncua import Client, ua

from twinloop.devices.opcua.server import StandardSpace, fresh_counters, serve
from twinloop.sim.kernel.clock import MS, US, Environment
from twinloop.sim.kernel.random import RandomStreams
from twinloop.sim.libraries.clocks_and_entropy import neutralised
from twinloop.sim.libraries.event_loop import EventLoop
from twinloop.sim.libraries.transport import HERE, Network
from twinloop.sim.network.link import Link, LinkModel

CHANGES_PER_S = 4


def resident_kb() -> float:
    """This process's resident memory."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1024


class Servers:
    """A running fleet of ``count`` servers and clients; ``published`` counts data changes at the clients."""

    def __init__(self, count: int) -> None:
        logging.getLogger("asyncua").setLevel(logging.CRITICAL)
        self.count, self.published = count, 0
        env, streams = Environment(), RandomStreams(1)
        link, network = Link("plant", LinkModel(delay_ns=MS, jitter_ns=100 * US), streams), Network(env)
        for number in range(count):
            network.attach(f"plc-{number}", link)
        self.loop = EventLoop(env, network)
        self._inside = contextlib.ExitStack()
        self._inside.enter_context(neutralised(env, streams))
        fresh_counters()
        standard = StandardSpace()
        before = resident_kb()
        self.loop.run_until_complete(self._begin(standard))
        self.kb_each = (resident_kb() - before) / count
        """memory of this process for a server with its client"""

    async def _begin(self, standard: StandardSpace) -> None:
        for number in range(self.count):
            server, nodes = await self.loop.create_task(self._serve(standard, number))
            client = Client(f"opc.tcp://plc-{number}:4840/")
            await client.connect()
            subscription = await client.create_subscription(1000, self)
            await subscription.subscribe_data_change(
                [client.get_node(node.nodeid) for node in nodes.values()]
            )
            self.loop.create_task(self._change(server, list(nodes.values())))

    async def _serve(self, standard: StandardSpace, number: int) -> Any:
        HERE.set(f"plc-{number}")
        return await serve(
            standard,
            f"press-{number}",
            f"plc-{number}",
            4840,
            {f"point-{i}": 0.0 for i in range(CHANGES_PER_S)},
        )

    async def _change(self, server: Any, nodes: list[Any]) -> None:
        value = 0.0
        while True:
            for node in nodes:
                value += 1.0
                await server.write_attribute_value(
                    node.nodeid, ua.DataValue(ua.Variant(value, ua.VariantType.Double))
                )
                await asyncio.sleep(1 / CHANGES_PER_S)

    def datachange_notification(self, node: Any, value: Any, data: Any) -> None:
        """A client has been told of a value."""
        self.published += 1

    def run(self, seconds: int) -> int:
        """Run on; returns server-seconds."""
        self.loop.run_until_complete(asyncio.sleep(seconds))
        return self.count * seconds

    def close(self) -> None:
        """The libraries have their clocks again."""
        for task in asyncio.all_tasks(self.loop):
            task.cancel()
        self.loop.run_until_complete(asyncio.sleep(0))
        self.loop.close()
        self._inside.close()


if __name__ == "__main__":  # in a process of its own: nobody else's memory is in the figure
    servers = Servers(int(sys.argv[1]))
    print(servers.kb_each)
    servers.close()
