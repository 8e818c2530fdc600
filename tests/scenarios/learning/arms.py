"""Ways to a device: its server asked directly, and over sockets and a pseudo-terminal with pymodbus's client."""

from __future__ import annotations

import os
import socket
import threading
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from twinloop.devices.live.asking import Answer, Client
from twinloop.devices.modbus.frames import rtu_body
from twinloop.devices.modbus.server import ModbusServer
from twinloop.devices.model.device import Device, DeviceModel
from twinloop.devices.model.protocols import MBAP, RTU
from twinloop.scenarios.file.datasheet.reading import read_model
from twinloop.scenarios.learning.asked import ranges
from twinloop.scenarios.learning.mapping import FUNCTIONS, Asker
from twinloop.scenarios.learning.probing import Probed, probe

S = 1_000_000_000


@dataclass
class Clock:
    """The device's time: it goes on only between two looks."""

    now_ns: int = 0

    def wait(self, ns: int) -> None:
        self.now_ns += ns


@dataclass
class Direct:
    """Asks the server's PDUs. ``said``: each request."""

    server: ModbusServer
    clock: Clock
    said: list[bytes] = field(default_factory=list)

    def _ask(self, pdu: bytes) -> bytes:
        self.said.append(pdu)
        return self.server.respond_pdu(pdu, self.clock.now_ns)

    def read(self, table: str, address: int, count: int) -> Answer:
        code = FUNCTIONS[table]
        answer = self._ask(bytes((code,)) + address.to_bytes(2, "big") + count.to_bytes(2, "big"))
        if answer[0] & 0x80:
            return Answer(None, answer[1], 1000)
        data = answer[2:]
        if table in ("coil", "discrete"):
            return Answer(tuple(data[i // 8] >> i % 8 & 1 for i in range(count)), 0, 1000)
        return Answer(tuple(int.from_bytes(data[2 * i : 2 * i + 2], "big") for i in range(count)), 0, 1000)

    def identity(self) -> tuple[dict[int, str], Answer]:
        answer = self._ask(bytes((43, 14, 2, 0)))
        if answer[0] & 0x80:
            return {}, Answer(None, answer[1], 1000)
        found, data = {}, answer[7:]
        while data:
            found[data[0]] = data[2 : 2 + data[1]].decode()
            data = data[2 + data[1] :]
        return found, Answer((), 0, 1000)


@contextmanager
def listening(respond: Callable[[bytes], list[bytes] | None]) -> Iterator[int]:
    """A port of this machine behind which that answers, one client after the other."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with suppress(OSError):
            while True:
                with listener.accept()[0] as client:
                    while data := client.recv(4096):
                        for answer in respond(data) or ():
                            client.sendall(answer)

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.close()


@contextmanager
def _line(server: ModbusServer, clock: Clock) -> Iterator[str]:
    """A pseudo-terminal with the device on it."""
    near, far = os.openpty()
    tty.setraw(far)

    def serve() -> None:
        heard = b""
        with suppress(OSError):
            while True:
                heard += os.read(near, 4096)
                if rtu_body(heard) is not None:
                    answer = server.respond_rtu(heard, clock.now_ns)
                    heard = b""
                    os.write(near, answer or b"")

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield os.ttyname(far)
    finally:
        os.close(far)
        thread.join(10)
        os.close(near)


ARMS = ("direct", "tcp", "rtu+tcp", "rtu")


@contextmanager
def asker(
    model: DeviceModel, arm: str, clock: Clock, unit: int = 1, timeout_s: float = 20.0
) -> Iterator[Asker]:
    """Who asks a device of that model; ``unit``: that it is asked by, its own is 1."""
    server = ModbusServer(Device(model, "d/1", 1, 7), framing=RTU if arm == "rtu+tcp" else MBAP)
    if arm == "direct":
        yield Direct(server, clock)
    elif arm == "rtu":
        with _line(server, clock) as path:
            client = Client(framing=RTU, unit=unit, path=path, rate_bd=115_200, timeout_s=timeout_s)
            assert client.connect()
            yield client
            client.close()
    else:
        with listening(lambda data: server.respond(data, clock.now_ns)) as port:
            client = Client(
                framing=server.framing, unit=unit, host="127.0.0.1", port=port, timeout_s=timeout_s
            )
            assert client.connect()
            yield client
            client.close()


def probed(
    model: DeviceModel, asked: str, arm: str = "direct", looks: int = 5, requests: int = 2000
) -> Probed:
    """A device of that model, probed, a second from look to look."""
    clock = Clock()
    with asker(model, arm, clock) as one:
        return probe(
            one,
            "tcp://device/1",
            ranges(asked),
            looks=looks,
            every_ns=S,
            wait=clock.wait,
            requests_max=requests,
        )


def model_of(points: str, head: str = "") -> DeviceModel:
    text = f"format: 1\ntitle: t\nsource: ours\nstep: 1 s\n{head}points:\n{points}"
    return read_model(text, Path("m.yaml"), "m")
