"""An OPC UA server at the other end of a driver under test: asyncua's own, at one instant of simulated time,
or its answers, replayed."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable
from typing import Any

from tests.plants import WASM
from twinloop.components.contract.contract import PointConfig, Settings
from twinloop.components.host.host import Host
from twinloop.components.host.instance import Instance
from twinloop.devices.catalogue.catalog import model
from twinloop.devices.model.device import Device, DeviceModel
from twinloop.devices.model.nodes import node_id
from twinloop.devices.opcua.device import PORT, OpcUaServer, endpoint, host_of
from twinloop.devices.opcua.server import fresh_counters, standard_space
from twinloop.sim.kernel.clock import Environment
from twinloop.sim.kernel.random import RandomStreams
from twinloop.sim.kernel.wallclock import EPOCH_NS
from twinloop.sim.libraries.stacks import Accepted, Stacks

FUEL = 200_000_000
DEVICE = "presses/1"
POLICY_BYTES = 4 + 47
OPN_SEQUENCE_AT = 12 + POLICY_BYTES + 8


class Peer:
    """A device's server, asked byte by byte: ``talk`` gives all that comes back within ``wait_s`` of
    simulated time."""

    def __init__(self, kind: DeviceModel | None = None) -> None:
        self.env = Environment()
        self.stacks = Stacks(self.env, RandomStreams(7))
        fresh_counters()
        self.heard: list[bytes] = []
        self.hung_up = False
        self.device = Device(model=kind or model("press-sensor"), name=DEVICE, unit_id=1, key=5)
        with self.stacks.inside():
            self.server = OpcUaServer(self.device, standard_space(), lambda: self.env.now, EPOCH_NS)
            self.stacks.loop.run_until_complete(self.stacks.start(host_of(DEVICE), self.server.start()))
        self.connection: Accepted | None = None

    def connect(self) -> None:
        """A new connection; the one before is lost."""
        if self.connection is not None:
            self.connection.gone()
        self.hung_up = False
        made: list[Accepted | None] = []
        self.connection = self.stacks.accept(
            host_of(DEVICE), PORT, self.heard.append, lambda at_once: self._gone(made[0]), "gw"
        )
        made.append(self.connection)

    def _gone(self, connection: Accepted | None) -> None:
        """The server has closed it: one that nobody speaks over any more doesn't count."""
        if connection is self.connection:
            self.hung_up = True

    def talk(self, data: bytes, wait_s: float = 0.001) -> bytes:
        """Send, and collect what comes."""
        if self.connection is None or self.hung_up or data[:3] == b"HEL":
            self.connect()
        assert self.connection is not None
        self.heard.clear()
        with self.stacks.inside():
            self.connection.received(data)
            self.stacks.loop.run_until_complete(asyncio.sleep(wait_s))
        return b"".join(self.heard)

    def close(self) -> None:
        self.stacks.close()


def frames(data: bytes) -> list[bytes]:
    """Cut where the headers say."""
    out = []
    while len(data) >= 8:
        size = int.from_bytes(data[4:8], "little")
        out.append(data[:size])
        data = data[size:]
    return out


def driver(
    host: Host,
    kind: DeviceModel | None = None,
    points: list[PointConfig] | None = None,
    clock: dict[str, Any] | None = None,
    **options: str,
) -> Instance:
    """A configured opcua-driver. Its clock says 42 s, unless it is given one (``clock``: imports by name)."""
    kind = kind or model("press-sensor")
    if points is None:
        points = [
            PointConfig(i, p.name, node_id(p), p.unit, 1.0, 0.0, p.low, p.high)
            for i, p in enumerate(kind.points)
        ]
    handlers = {
        "clock.now": lambda: EPOCH_NS + 42_000_000_000,
        "clock.monotonic": lambda: 42_000_000_000,
        "log.log": lambda level, text: None,
        **(clock or {}),
    }
    instance = host.instantiate(
        host.link(host.load(WASM / "opcua-driver.wasm", "driver"), ["fieldbus", "clock", "log"]),
        handlers,
        FUEL,
    )
    given = {"protocol": "opcua", "endpoint": endpoint(DEVICE), "timeout": "1 s", **options}
    instance.begin("configure", (Settings(DEVICE, points, list(given.items())),), FUEL)
    instance.advance()
    return instance


class Bus:
    """What `fieldbus` does for a driver whose bytes go to ``talk`` (request -> bytes that come back; None:
    nothing does)."""

    def __init__(self, talk: Callable[[bytes], bytes | None]) -> None:
        self.talk, self.unread, self.sent = talk, b"", b""
        self.resets = 0

    def answer(self, request: Any) -> Any:
        name, arguments = request
        if name == "fieldbus.reset":
            self.unread, self.resets = b"", self.resets + 1
            return None
        if name in ("fieldbus.transact", "fieldbus.send"):
            self.unread += self.talk(arguments[0]) or b""
            if name == "fieldbus.send":
                return True, None
        size = int.from_bytes(self.unread[4:8], "little") if len(self.unread) >= 8 else 1 << 40
        if 8 <= size <= len(self.unread):
            frame, self.unread = self.unread[:size], self.unread[size:]
            return True, frame
        if size < 8 or 65_536 < size < 1 << 40:
            return False, ("too-long", 65_536)
        return False, ("timeout", None)


def ask(instance: Instance, bus: Bus, export: str = "read-sensor", arguments: tuple[Any, ...] = ()) -> Any:
    """One call; a Fault is returned as it is."""
    instance.begin(export, arguments, FUEL)
    instance.advance()
    while instance.request is not None:
        instance.answer(bus.answer(instance.request))
        instance.advance()
    return instance.fault if instance.fault is not None else instance.result()


class Replay:
    """Answers that a real server gave, by the kind of request, with the numbers of the request that is
    answered now."""

    def __init__(self, peer: Peer, host: Host) -> None:
        self.answers: dict[bytes, bytes] = {}
        instance = driver(host)
        bus = Bus(lambda data: self._record(data, peer.talk(data)))
        first = ask(instance, bus)
        assert first.ok, first
        self.values = first.value
        instance.close()
        self.sequence = self.closed = 0
        self.spoil: Callable[[bytes], bytes | None] = lambda answer: answer

    @staticmethod
    def kind(request: bytes) -> bytes:
        """What tells requests apart."""
        return request[:3] + (request[24:28] if request[:3] == b"MSG" else b"")

    def _record(self, request: bytes, answer: bytes) -> bytes:
        self.answers[self.kind(request)] = answer
        return answer

    def talk(self, request: bytes) -> bytes | None:
        """The answer to a request, spoilt."""
        if self.kind(request) == b"MSG\x01\x00\xd9\x01":  # CloseSession: nobody waits for the answer
            self.closed += 1
            return None
        answer = bytearray(self.answers[self.kind(request)])
        if request[:3] == b"HEL":
            self.sequence = 0
        else:
            at = OPN_SEQUENCE_AT if request[:3] == b"OPN" else 16
            self.sequence += 1
            struct.pack_into("<I", answer, at, self.sequence)
            answer[at + 4 : at + 8] = request[at + 4 : at + 8]
            token = 2 if request[at + 12 : at + 14] == b"\0\0" else 4  # the null token is of two bytes
            handle = at + 8 + 4 + token + 8
            answer[at + 8 + 4 + 8 : at + 8 + 4 + 12] = request[handle : handle + 4]
        return self.spoil(bytes(answer))
