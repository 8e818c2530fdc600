"""Modbus ASCII and Modbus RTU over TCP on all arms: the same body against simulated devices, served ones and
ones that are attached; pymodbus's own clients; the shipped driver, its values held against what the devices
show; what makes no sense."""

from __future__ import annotations

import asyncio
import json
import os
import select
import socket
import time
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pymodbus import FramerType
from pymodbus.client import AsyncModbusTcpClient, ModbusSerialClient, ModbusTcpClient
from pymodbus.framer import FramerRTU

from tests.scenarios.wire.test_attach import serving as other_process
from tests.scenarios.wire.test_serve import serving
from tests.steady import steady
from twinloop.components.host.codec import Case
from twinloop.components.host.host import Host
from twinloop.devices.modbus.frames import answer_bytes, ascii_body
from twinloop.scenarios.cli.main import main
from twinloop.scenarios.file.load import load_text
from twinloop.scenarios.planning.plan import Planner
from twinloop.scenarios.runner import Options, run
from twinloop.scenarios.wire.places import attached, places
from twinloop.scenarios.wire.sockets import Sockets
from twinloop.scenarios.wire.wire import Endpoint, Wire
from twinloop.sim.field.field import Field
from twinloop.sim.field.files import Client, Files
from twinloop.sim.kernel.clock import Environment, Event, S
from twinloop.sim.kernel.random import RandomStreams
from twinloop.sim.kernel.trace import Trace
from twinloop.sim.model.spec import WorldSpec
from twinloop.sim.network.link import Link
from twinloop.sim.truth.witness import ModbusWitness

SCENARIO = """\
format: 2
name: framings
duration: 3 s
pace: {tolerance: 30 s}  # no test depends on how fast this machine is
fleets:
  scales: {device: press-sensor, protocol: modbus-ascii, count: 2, poll: 1 s, link: line, gateway: gw, driver: modbus-driver}
  pumps: {device: press-sensor, protocol: modbus-rtu-over-tcp, count: 2, poll: 500 ms, link: plant, gateway: gw, driver: modbus-driver}
links:
  plant: {preset: lan}
  line: {serial: 9600 Bd}
  cloud: {preset: lan}
components:
  modbus-driver: {wasm: modbus-driver.wasm, grants: [fieldbus, clock, log]}
  normalize: {wasm: normalize.wasm, grants: [log]}
  route: {wasm: route.wasm, grants: [log]}
gateways:
  gw: {board: raspberry-pi-4, transform: normalize, policy: route, uplink: {link: cloud}}
expect: [count(samples.lost) == 0, count(samples.missed) == 0, "p99(latency.gateway) < 30 s"]
"""
DEVICES = ("scales/2", "pumps/2")
PATIENCE_S, SILENCE_S = 20.0, 0.3
"""how long an answer is waited for that comes, and one that doesn't: longer than half a request is kept"""


def planned(host: Host, text: str = SCENARIO) -> WorldSpec:
    return Planner(load_text(text, Path("s.yaml")), host).world()


# ---- frames by hand ------------------------------------------------------------------------------
def in_ascii(body: bytes) -> bytes:
    return b":" + (body + bytes((-sum(body) & 0xFF,))).hex().upper().encode() + b"\r\n"


def in_rtu(body: bytes) -> bytes:
    return body + FramerRTU.compute_CRC(body).to_bytes(2, "big")


class Said:
    """A device by its name; ``exchange``: bytes there, the answer's bytes back, or None after so many
    seconds."""

    def __init__(self, name: str, unit: int, exchange: Callable[[bytes, float], bytes | None]) -> None:
        self.ascii, self.unit, self.exchange = name.startswith("scales"), unit, exchange

    def framed(self, body: bytes) -> bytes:
        return in_ascii(body) if self.ascii else in_rtu(body)

    def ask(self, pdu: str) -> str:
        """An answer that must come."""
        answer = self.exchange(self.framed(bytes((self.unit,)) + bytes.fromhex(pdu)), PATIENCE_S)
        assert answer is not None, pdu
        body = ascii_body(answer) if self.ascii else answer[:-2]
        assert body is not None, answer
        assert answer == self.framed(body)
        assert body[0] == self.unit
        return body[1:].hex()

    def silent(self, sent: bytes) -> None:
        """No answer comes."""
        assert self.exchange(sent, SILENCE_S) is None


def whole(data: bytes, ascii_frames: bool) -> bool:
    if ascii_frames:
        return data.endswith(b"\r\n")
    return len(data) >= 5 and len(data) >= answer_bytes(data)


READ = "03000e0002"


def body(device: Said) -> None:
    """What every device says to the same bytes, whoever carries them. Registers 14 and 15 are a setpoint."""
    assert device.ask("10000e0002044060" + "0000") == "10000e0002"
    assert device.ask(READ) == "030440600000"
    assert device.ask("0303e70001") == "8302"
    assert device.ask("0300000080") == "8303", "more than 125 registers"
    assert device.ask("41") == "c101"
    right = device.framed(bytes((device.unit,)) + bytes.fromhex(READ))
    spoilt = right[:-3] + bytes((right[-3] ^ 1,)) + right[-2:] if device.ascii else right[:-1] + b"\0"
    device.silent(device.framed(b"\x09" + bytes.fromhex(READ)))  # another unit
    device.silent(spoilt)  # a wrong check sum
    assert device.ask(READ) == "030440600000"
    device.silent(b"\xff\xfe nothing that is Modbus \x00")
    assert device.ask(READ) == "030440600000"
    device.silent(right[:6])  # half a frame
    assert device.ask(READ) == "030440600000"
    device.silent(device.framed(bytes.fromhex("00 06 000e 4080")))  # to all of them
    assert device.ask(READ) == "030440800000"


# ---- three arms ----------------------------------------------------------------------------------
class Ports:
    """The ports that drivers of a scenario have. ``outside``: of real devices."""

    def __init__(self, spec: WorldSpec, outside: Sockets | None = None) -> None:
        self.env, self.spec, self.outside = Environment(), spec, outside
        streams = RandomStreams(3)
        self.trace = Trace(self.env)
        links = {link.name: Link(link.name, link.model, streams) for link in spec.links}
        self.field = Field(
            env=self.env, trace=self.trace, streams=streams, spec=spec, links=links, outside=outside
        )
        if outside is not None:
            world: Any = SimpleNamespace(env=self.env, trace=self.trace)
            outside.begin(world)
            outside.pacer.begin()

    def device(self, name: str) -> Said:
        index = next(i for i, one in enumerate(self.spec.devices) if one.name == name)
        spec = self.spec.devices[index]
        port = self.field.port(Client("gw", Files(None), lambda: True), index, spec)

        def exchange(sent: bytes, patience_s: float) -> bytes | None:
            timeout_ns = round(patience_s * S)
            if name.startswith("scales"):
                found = self._until(port.transact(sent, Case("until", b"\r\n"), timeout_ns, timeout_ns))
                return found[1] if found[0] else None
            ok, head = self._until(port.transact(sent, Case("exactly", 5), timeout_ns, timeout_ns))
            if not ok:
                return None
            rest = answer_bytes(head) - len(head)
            if not rest:
                return head
            ok, tail = self._until(port.receive(Case("exactly", rest), timeout_ns))
            assert ok
            return head + tail

        return Said(name, spec.unit_id, exchange)

    def _until(self, event: Event) -> Any:
        while not event.fired:
            next_ns = self.env.next_ns
            if self.outside is None or (next_ns is not None and next_ns <= self.outside.pacer.position_ns()):
                self.env.step()
            else:
                left_ns = 10_000_000 if next_ns is None else next_ns - self.outside.pacer.position_ns()
                self.outside._sleep(max(1, min(left_ns, 10_000_000)))
        return event.value


@contextmanager
def over_socket(name: str, url: str) -> Iterator[Said]:
    """A client from outside: a socket, or whatever opens the terminal."""
    path, _, unit = url.partition("://")[2].partition("?unit=")
    if unit:
        file = os.open(path, os.O_RDWR | os.O_NOCTTY)
        tty.setraw(file)
    else:
        host, _, rest = url.partition("://")[2].partition(":")
        port, _, unit = rest.partition("/")
        connection = socket.create_connection((host, int(port)), PATIENCE_S)
        file = connection.detach()

    def exchange(sent: bytes, patience_s: float) -> bytes | None:
        os.write(file, sent)
        ends, data = time.monotonic() + patience_s, b""
        while not whole(data, name.startswith("scales")):
            if not select.select([file], [], [], max(0.0, ends - time.monotonic()))[0]:
                assert not data
                return None
            data += os.read(file, 600)
        return data

    try:
        yield Said(name, int(unit), exchange)
    finally:
        os.close(file)


@pytest.mark.parametrize("name", DEVICES)
def test_simulated(host: Host, name: str) -> None:
    ports = Ports(planned(host))
    body(ports.device(name))


@pytest.mark.parametrize("name", DEVICES)
def test_served_and_attached(host: Host, name: str) -> None:
    """Against one field that is served: first bytes of our own, then the port that a simulated driver has to
    a real device."""

    def attach(url: str) -> None:
        spec, _ = attached(planned(host), places([f"{name}={url}"], None))
        sockets = Sockets()
        try:
            body(Ports(spec, sockets).device(name))
        finally:
            sockets.close()

    def client(url: str) -> None:
        with over_socket(name, url) as device:
            body(device)

    async def clients(wire: Wire, found: dict[str, Endpoint]) -> None:
        assert found[name].url.startswith("ascii:///dev/" if name == "scales/2" else "rtu+tcp://127.0.0.1:")
        assert found[name].url.endswith("?unit=2" if name == "scales/2" else "/1")
        await asyncio.to_thread(client, found[name].url)
        await asyncio.to_thread(attach, found[name].url)
        limits = wire.plant.limits
        assert set(limits) <= {"not-modbus"}
        assert ("not-modbus" in limits) is (name == "pumps/2")

    serving(host, clients, SCENARIO)


# ---- clients of others ---------------------------------------------------------------------------
def test_pymodbus_reads_and_writes(host: Host) -> None:
    """Its serial ASCII client and its TCP client with RTU frames, as they are."""

    def registers(client: Any, unit: int) -> None:
        assert client.connect()
        assert not client.write_registers(14, [0x4060, 0], device_id=unit).isError()
        assert client.read_holding_registers(14, count=2, device_id=unit).registers == [0x4060, 0]
        assert client.read_holding_registers(999, count=2, device_id=unit).exception_code == 2
        assert len(client.read_holding_registers(0, count=16, device_id=unit).registers) == 16
        client.close()

    told: list[tuple[int, bytes, bytes]] = []

    async def clients(wire: Wire, found: dict[str, Endpoint]) -> None:
        wire.plant.on_answer = lambda *answer: told.append(answer)
        path = found["scales/1"].url.removeprefix("ascii://").partition("?")[0]
        serial = ModbusSerialClient(path, framer=FramerType.ASCII, baudrate=9600, timeout=PATIENCE_S)
        await asyncio.to_thread(registers, serial, 1)
        port = int(found["pumps/1"].url.rpartition(":")[2].partition("/")[0])
        stream = ModbusTcpClient("127.0.0.1", port=port, framer=FramerType.RTU, timeout=PATIENCE_S)
        await asyncio.to_thread(registers, stream, 1)
        other = AsyncModbusTcpClient("127.0.0.1", port=port, framer=FramerType.RTU, timeout=PATIENCE_S)
        assert await other.connect()
        answer = await other.read_holding_registers(14, count=2, device_id=1)
        assert answer.registers == [0x4060, 0], "a client that comes later"
        other.close()
        assert wire.plant.requests == 9
        read = bytes.fromhex(READ), bytes.fromhex("030440600000")
        assert told.count((0, *read)) == 1
        assert told.count((2, *read)) == 2, "a judge is told PDUs, whatever is around them"

    serving(host, clients, SCENARIO)


# ---- the shipped driver --------------------------------------------------------------------------
FAULTS = "".join(
    f"  - {{at: {2 + 2 * number} s, device-fault: {fleet}, {fault}, for: 1 s}}\n"
    for fleet in ("scales", "pumps")
    for number, fault in enumerate(
        (
            "kind: silent", "kind: slow, delay: 300 ms", "kind: busy", "kind: exception, code: 4",
            "kind: truncated", "kind: wrong-unit", "kind: length-lie", "kind: bad-crc",
        )
    )
)  # fmt: skip


def test_values_are_right_under_every_fault(host: Host) -> None:
    """A fault costs the samples of its own second, under a cause of its own; none is wrong, and all others
    come."""
    quick = SCENARIO.replace("modbus-driver.wasm, ", "modbus-driver.wasm, with: {timeout: 100 ms}, ")
    quick = quick.replace("duration: 3 s", "duration: 20 s").replace("count(samples.missed) == 0, ", "")
    data = run(load_text(f"{quick}timeline:\n{FAULTS}", Path("s.yaml")), Options(), host).data
    assert data["ledger"]["due"] == (2 * 20 + 2 * 40) * 10
    assert data["truth"]["wrong"] == 0
    assert data["ledger"]["delivered"] == data["ledger"]["due"] - (2 * 8 + 2 * 16) * 10
    missed = {cause: count for cause, count in data["ledger"]["missed"].items() if count}
    # silence of the device, slow, half a frame; in a stream an answer that is shorter than it says, too
    timeouts, rejected = 3 * (2 + 4) * 10 + 4 * 10, 2 * (2 + 4) * 10
    malformed = 2 * (2 + 4) * 10 + 2 * 10
    assert missed == {"timeout": timeouts, "rejected": rejected, "malformed": malformed}


@steady
def test_attached_the_driver_reads_what_the_other_process_serves(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with other_process(tmp_path, SCENARIO, 4) as (at, _):
        told = json.loads(at.read_text(encoding="utf-8"))
        assert told["pumps/1"]["protocol"] == "modbus-rtu-over-tcp"
        result = tmp_path / "r.json"
        command = ["attach", str(tmp_path / "s.yaml"), "--json", str(result)]
        code = main([*command, "--map", str(at)])
        assert code == 0, capsys.readouterr().out
        found = json.loads(result.read_text(encoding="utf-8"))["results"][0]
    assert found["ledger"]["due"] == found["ledger"]["delivered"] == (2 * 3 + 2 * 6) * 10
    truth = found["truth"]
    assert truth["wrong"] == 0
    assert truth["checked"] == found["ledger"]["delivered"]


# ---- what makes no sense -------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("count: 2, poll: 1 s, link: line", "count: 2, poll: 1 s, link: plant",
         'modbus-ascii needs a serial line (serial: ...), "plant" is none; devices there speak modbus-tcp or modbus-rtu-over-tcp'),
        ("poll: 500 ms, link: plant", "poll: 500 ms, link: line",
         'modbus-rtu-over-tcp needs a network link, "line" is serial; devices there speak modbus-rtu or modbus-ascii'),
        ("protocol: modbus-rtu-over-tcp, count: 2, poll: 500 ms, link: plant", "protocol: modbus-rtu, count: 2, poll: 500 ms, link: line",
         'the devices of scales speak modbus-ascii on "line"; all devices of a line have one transmission mode'),
        ("serial: 9600 Bd", "serial: 9600 Bd, bits: 9", "bits"),
        ("plant: {preset: lan}", "plant: {preset: lan, bits: 7}", "bits belongs to a serial line"),
        ("protocol: modbus-ascii", "protocol: modbus-rtu", None),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_said_before_the_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], old: str, new: str, message: str | None
) -> None:
    file = tmp_path / "s.yaml"
    file.write_text(SCENARIO.replace(old, new), encoding="utf-8")
    assert main(["check", str(file)]) == (0 if message is None else 3)
    if message is not None:
        assert message in capsys.readouterr().err
        return
    file.write_text(SCENARIO.replace(old, new).replace("9600 Bd", "9600 Bd, bits: 7"), encoding="utf-8")
    assert main(["check", str(file)]) == 3
    assert "a character of 7 data bits has no room for a byte of modbus-rtu" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        ("pumps/1=tcp://127.0.0.1:4001/1", "pumps/1 speaks modbus-rtu-over-tcp, not modbus-tcp"),
        ("pumps/1=rtu+tcp://127.0.0.1/1", "expected a port: modbus-rtu-over-tcp has no registered one"),
        ("pumps/1=rtu+tcp://127.0.0.1:4001/0", 'unit "0": expected 1 to 247'),
        ("scales/1=rtu:///dev/ttyS0", "scales/1 speaks modbus-ascii, not modbus-rtu"),
        ("scales/1=ascii://host/dev/ttyS0", "expected tcp://"),
        ("scales/1=ascii:///dev/ttyS0?unit=248", 'unit "248": expected 1 to 247'),
    ],
)
def test_what_is_no_place_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], pair: str, message: str
) -> None:
    (tmp_path / "s.yaml").write_text(SCENARIO, encoding="utf-8")
    assert main(["attach", str(tmp_path / "s.yaml"), "--device", pair]) == 3
    assert message in capsys.readouterr().err


def test_a_witness_hears_a_real_devices_answers_and_no_damaged_ones(host: Host) -> None:
    spec = planned(host)
    device = Ports(spec).field.servers[3].device
    asked, said = bytes.fromhex("01" + READ), bytes.fromhex("01 03 04 40600000")
    look = asked[1:], said[1:]
    witness = ModbusWitness(device, True)
    witness.heard_ascii(in_ascii(asked), b"\xff" + in_ascii(said))
    witness.heard_ascii(in_ascii(asked), in_ascii(said)[:-4] + b"00\r\n")
    witness.heard_ascii(in_ascii(asked), in_ascii(b"\2" + said[1:]))
    witness.heard_ascii(in_ascii(asked), b"\r\n")
    assert witness.looks == [look]
    whole, request = in_rtu(said), in_rtu(asked)
    witness.heard_rtu_tcp(request, whole[:5])
    again = in_rtu(asked)
    witness.heard_rtu_tcp(again, whole[:5])
    assert witness.looks == [look], "the first was given up"
    witness.heard_rtu_tcp(again, whole[5:])
    assert witness.looks == [look, look]
    third = in_rtu(asked)
    witness.heard_rtu_tcp(third, whole[:-1] + b"\0")
    witness.heard_rtu_tcp(in_rtu(asked), in_rtu(bytes.fromhex("018302")))
    assert witness.looks == [look, look, (asked[1:], b"\x83\x02")]


def test_places(host: Host) -> None:
    spec, _ = attached(
        planned(host),
        places(["pumps/2=rtu+tcp://10.0.0.9:4001/17", "scales/1=ascii:///dev/ttyUSB7?unit=4"], None),
    )
    told = {one.name: (one.unit_id, one.place) for one in spec.devices if one.place is not None}
    assert told["pumps/2"][0] == 17
    assert (told["pumps/2"][1].host, told["pumps/2"][1].port) == ("10.0.0.9", 4001)  # type: ignore[union-attr]
    assert (told["scales/1"][0], told["scales/1"][1].path) == (4, "/dev/ttyUSB7")  # type: ignore[union-attr]
    (line,) = (link for link in spec.links if link.name == "line")
    assert (line.framing, line.character_bits, line.ascii) == ("7E1", 10, True)


@pytest.mark.parametrize(
    ("keys", "framing", "bits"),
    [("", "7E1", 10), (", parity: odd", "7O1", 10), (", parity: none", "7N2", 10), (", stop: 1", "7N1", 9),
     (", bits: 8", "8E1", 11), (", bits: 8, stop: 1", "8N1", 10), (", bits: 8, parity: none", "8N2", 11)],
)  # fmt: skip
def test_characters_of_a_line(host: Host, keys: str, framing: str, bits: int) -> None:
    """MODBUS over Serial Line V1.02 section 2.5.2: start, seven data bits, parity or a second stop bit,
    stop."""
    spec = planned(host, SCENARIO.replace("9600 Bd", f"9600 Bd{keys}"))
    (line,) = (link for link in spec.links if link.name == "line")
    assert (line.framing, line.character_bits) == (framing, bits)
    assert line.timing is not None
    assert line.timing.data_bits == int(framing[0])
