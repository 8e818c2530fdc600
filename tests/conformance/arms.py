"""The two arms: a device behind the simulated network, and the same server behind a socket on 127.0.0.1.

Belongs here: how bytes (or a client's coroutines) get to a server. Never: assertions.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

from twinloop.components.host.codec import Case
from twinloop.devices.modbus.server import ModbusServer
from twinloop.devices.model.device import Device
from twinloop.devices.opcua.device import OpcUaServer
from twinloop.devices.opcua.server import fresh_counters, standard_space
from twinloop.sim.field.files import Client, Files
from twinloop.sim.field.serial_port import Master, SerialPort
from twinloop.sim.field.tcp_port import TcpPort
from twinloop.sim.kernel.clock import MS, Environment, Event, S
from twinloop.sim.kernel.random import RandomStreams
from twinloop.sim.kernel.trace import Trace
from twinloop.sim.kernel.wallclock import EPOCH_NS
from twinloop.sim.libraries.stacks import Stacks
from twinloop.sim.network.link import Link, LinkModel
from twinloop.sim.network.serial_line import Line, LineTiming

MBAP = Case("length-field", type("F", (), {"offset": 4, "size": 2, "big_endian": True, "adjust": 0})())
SILENCE = Case("silence", None)
Ask = Callable[[bytes], bytes | None]
"""a whole frame -> the whole answer, None for none"""


# ---- Modbus --------------------------------------------------------------------------------------
class _Balanced:
    def require_balance(self) -> None:
        """Nothing to balance."""

    def balanced(self) -> bool:
        return True


def _until(env: Environment, signal: Event) -> Any:
    while not signal.fired:
        env.step()
    return signal.value


@contextlib.contextmanager
def simulated_tcp(server: ModbusServer) -> Iterator[Ask]:
    """Over a link with delay and loss, through the port that a driver has."""
    env, streams = Environment(), RandomStreams(3)
    link = Link("plant", LinkModel(delay_ns=MS, loss=0.1), streams)
    port = TcpPort(
        env=env,
        trace=Trace(env),
        device=0,
        link=link,
        server=server,
        leg="d/1",
        response_ns=MS,
        client=Client("gw", Files(None), lambda: True),
    )

    def ask(frame: bytes) -> bytes | None:
        ok, value = _until(env, port.transact(frame, MBAP, 20 * S, 20 * S))
        return value if ok else None

    yield ask


@contextlib.contextmanager
def simulated_rtu(server: ModbusServer) -> Iterator[Ask]:
    """Over a serial line."""
    env, streams = Environment(), RandomStreams(3)
    line = Line(env, "line/1", LineTiming(19_200), Link("line", LinkModel(), streams), streams)
    port = SerialPort(
        env=env, trace=Trace(env), device=0, line=line, server=server, response_ns=MS, master=Master(line)
    )

    def ask(frame: bytes) -> bytes | None:
        ok, value = _until(env, port.transact(frame, SILENCE, S, S))
        return value if ok else None

    yield ask


class LoopbackServer:
    """A Modbus server behind a real socket, in a thread of its own; ``port`` is any that is free."""

    def __init__(self, server: ModbusServer) -> None:
        self._server = server
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                self._server.reset()
                while data := connection.recv(4096):
                    answers = self._server.respond_tcp(data, 0)
                    if answers is None:
                        break
                    for answer in answers:
                        connection.sendall(answer)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)


@contextlib.contextmanager
def loopback_tcp(server: ModbusServer) -> Iterator[Ask]:
    """Over a real socket."""
    served = LoopbackServer(server)
    client = socket.create_connection(("127.0.0.1", served.port), 5)

    def ask(frame: bytes) -> bytes | None:
        client.sendall(frame)
        head = b""
        while len(head) < 6:
            head += client.recv(6 - len(head))
        body = b""
        while len(body) < int.from_bytes(head[4:6], "big"):
            body += client.recv(300)
        return head + body

    try:
        yield ask
    finally:
        client.close()
        served.close()


# ---- OPC UA --------------------------------------------------------------------------------------
Program = Callable[[str, OpcUaServer], Coroutine[Any, Any, None]]
"""(endpoint, server) -> what a client does"""


def simulated_opcua(device: Device, program: Program) -> None:
    """In simulated time, over a link."""
    env, streams = Environment(), RandomStreams(3)
    stacks = Stacks(env, streams)
    stacks.network.attach("plc", Link("plant", LinkModel(delay_ns=MS), streams))
    logging.disable(logging.CRITICAL)

    async def both() -> None:
        server = OpcUaServer(device, standard_space(), lambda: env.now, EPOCH_NS)
        server.listens_at = "plc", 4840
        await stacks.start("plc", server.start())
        await program("opc.tcp://plc:4840/", server)
        await server.stop()

    try:
        fresh_counters()
        with stacks.inside():
            stacks.loop.run_until_complete(both())
    finally:
        stacks.close()
        logging.disable(logging.NOTSET)


def loopback_opcua(device: Device, program: Program) -> None:
    """On a stock event loop, over 127.0.0.1."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    logging.disable(logging.CRITICAL)

    async def both() -> None:
        began = time.monotonic_ns()
        server = OpcUaServer(device, standard_space(), lambda: time.monotonic_ns() - began, EPOCH_NS)
        server.listens_at = "127.0.0.1", port
        await server.start()
        await program(f"opc.tcp://127.0.0.1:{port}/", server)
        await server.stop()

    try:
        fresh_counters()
        asyncio.run(both())
    finally:
        logging.disable(logging.NOTSET)
