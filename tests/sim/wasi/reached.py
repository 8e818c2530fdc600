"""A driver's place with a device at the end of a link, without a component: sockets called by name.

Belongs here: building it, and what a guest does in a segment. Never: assertions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.sim.wasi.place import Place
from twinloop.components.contract.contract import Result
from twinloop.devices.catalogue.catalog import model
from twinloop.devices.modbus.server import ModbusServer
from twinloop.devices.model.device import Device
from twinloop.sim.field.files import Client
from twinloop.sim.field.tcp_port import TcpPort
from twinloop.sim.kernel.clock import MS, S, Task
from twinloop.sim.kernel.random import RandomStreams
from twinloop.sim.model.wasi import Remote, WasiSpec
from twinloop.sim.network.link import Link, LinkModel
from twinloop.sim.network.rule import CutRule
from twinloop.sim.wasi.datagrams import DatagramSockets
from twinloop.sim.wasi.hosts import Hosts
from twinloop.sim.wasi.http import Http
from twinloop.sim.wasi.network import Network, NetworkHandle
from twinloop.sim.wasi.open_sockets import OpenSockets
from twinloop.sim.wasi.sockets import CREATE, TCP, Sockets

DELAY_NS, RESPONSE_NS = 10 * MS, 1 * MS
TRIP_NS = 2 * DELAY_NS
DEVICE = (10, 0, 0, 5)
"""of device number 4"""
NETWORK = NetworkHandle()
READ = bytes.fromhex("0001 0000 0006 01 03 0000 0002")
"""two holding registers; the answer has 13 bytes"""
ANSWER_BYTES = 13


class Reached(Place):
    """A place whose device is 20 ms away and back; ``denied``: what was."""

    def __init__(self, *remotes: Remote, loss: float = 0.0, **trouble: Any) -> None:
        super().__init__()
        self.spec = WasiSpec(("wasi:sockets",), remotes=remotes or (Remote("device", 502),))
        self.actions: list[Callable[[], None]] = []
        self.denied: list[str] = []
        self.link = Link("plant", LinkModel(delay_ns=DELAY_NS, loss=loss, **trouble), RandomStreams(7))
        self.server = ModbusServer(Device(model("press-sensor"), "presses/5", 1, 7))
        self.asked: list[Any] = []
        self.server.witnesses = (self.asked.append,)
        machine = self.machine
        self.port = TcpPort(
            env=self.env, trace=machine.trace, device=4, link=self.link, server=self.server, leg="presses/5",
            response_ns=RESPONSE_NS, client=Client("gw", machine.budget.files, machine.take_file),
        )  # fmt: skip
        self.hosts = Hosts(4, "presses/5", self.port)
        some = OpenSockets(self)
        self.sockets = Sockets(self, self.spec, self._refuse, some)
        self.datagrams = DatagramSockets(self, self.spec, self._refuse, some)
        parts = [Network(self, self.spec, self._refuse), self.sockets, self.datagrams, Http()]
        for part in parts:
            self.now.update(part.now)

    def _refuse(self, name: str) -> Result:
        self.denied.append(name)
        return False, "access-denied"

    def after(self, action: Callable[[], None]) -> None:
        """Noted, and done by ``ends``."""
        self.actions.append(action)

    # ---- what a guest does -----------------------------------------------------------------------
    def ends(self) -> None:
        """A segment's CPU time has passed."""
        actions, self.actions = self.actions, []
        for act in actions:
            act()

    def call(self, name: str, *arguments: Any) -> Any:
        """As Place's; who parks has ended a segment."""
        if name not in self.now:
            self.ends()
        return super().call(name, *arguments)

    def later_on(self, time_ns: int) -> None:
        """The segment ends, and so much time passes."""
        self.ends()
        until_ns = self.env.now + time_ns
        while (self.env.next_ns or 0) <= until_ns and self.env.next_ns is not None:
            self.env.step()
        self.env.now = until_ns

    def tcp(self, function: str, *arguments: Any) -> Any:
        """Of a socket."""
        return self.call(TCP + function, *arguments)

    def socket(self) -> Any:
        """A new one."""
        ok, socket = self.call(CREATE, "ipv4")
        assert ok, socket
        return socket

    def dial(self, socket: Any, address: tuple[int, ...] = DEVICE, port: int = 502) -> Any:
        """Begin to connect."""
        return self.tcp("start-connect", socket, NETWORK, ("ipv4", (port, address)))

    def connected(self) -> tuple[Any, Any, Any]:
        """Socket, input, output of a connection that stands."""
        socket = self.socket()
        assert self.dial(socket) == (True, None)
        self.later_on(TRIP_NS)
        ok, streams = self.tcp("finish-connect", socket)
        assert ok, streams
        return socket, *streams

    def write(self, out: Any, data: bytes = READ) -> Any:
        """To a connection."""
        return self.call("io/streams#[method]output-stream.write", out, data)

    def room(self, out: Any) -> Any:
        """How much it takes."""
        return self.call("io/streams#[method]output-stream.check-write", out)

    def read(self, stream: Any, count: int = 4096) -> Any:
        """What is there."""
        return self.call("io/streams#[method]input-stream.read", stream, count)

    def awaited(self, stream: Any, count: int = 4096) -> tuple[Any, int]:
        """What a blocking read brings, and when to the ns."""
        self.ends()
        task = Task(
            self.env,
            self.later["io/streams#[method]input-stream.blocking-read"](stream, count, self.env.now + 60 * S),
        )
        while not task.done:
            self.env.step()
        return task.value, self.env.now

    def cut(self, up: bool | None = None) -> Callable[[], None]:
        """Nothing passes, or not that way; returns what ends that."""
        rule = CutRule(up)
        self.link.rules.append(rule)
        return lambda: self.link.rules.remove(rule)
