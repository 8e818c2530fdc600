"""Connections of a driver's own making to what isn't a simulated Modbus device: a real one, a library's server."""

from __future__ import annotations

from typing import Any

from tests.plants import plant
from tests.sim.field.test_field import mixed
from tests.sim.wasi.reached import ANSWER_BYTES, DELAY_NS, READ, RESPONSE_NS, TRIP_NS, Reached
from twinloop.components.host.host import Host
from twinloop.sim.field.connection import Connection, connection
from twinloop.sim.field.files import Client
from twinloop.sim.field.opcua_port import StackPort
from twinloop.sim.field.real_port import AttachedPort, Heard, Lost
from twinloop.sim.field.tcp_port import TcpPort
from twinloop.sim.kernel.clock import MS, S
from twinloop.sim.model.spec import LinkSpec, PlaceSpec
from twinloop.sim.wasi.hosts import Hosts
from twinloop.sim.world import World

PLACE = PlaceSpec("tcp://plc.example:1502", "plc.example", 1502)
HELLO = b"HELF" + (32).to_bytes(4, "little") + bytes(4) + b"\0\0\1\0" * 2 + bytes(8) + b"\xff\xff\xff\xff"
"""OPC 10000-6 section 7.1.2.3: protocol version 0, buffers of 64 KiB, no limits, no endpoint"""


class Outside:
    """A real world with one device, which notes what comes."""

    def __init__(self) -> None:
        self.called: list[str] = []
        self.got: list[bytes] = []
        self.gone = 0
        self.heard: Heard = lambda data: None
        self.lost: Lost = lambda: None

    def call(self, place: PlaceSpec, heard: Heard, lost: Lost) -> Outside:
        """Somebody connects."""
        self.called.append(place.url)
        self.heard, self.lost = heard, lost
        return self

    def open(self, place: PlaceSpec, link: LinkSpec, heard: Heard, lost: Lost) -> None:
        """There is no line."""

    def datagrams(self, place: PlaceSpec, heard: Heard) -> Outside:
        """Somebody opens a UDP socket."""
        self.called.append(f"udp {place.url}")
        self.heard = heard
        return self

    def write(self, data: bytes) -> None:
        """Noted."""
        self.got.append(data)

    def hang_up(self) -> None:
        """Noted."""
        self.gone += 1

    def notes(self) -> list[str]:
        """None."""
        return []

    def finish(self) -> None:
        """Nothing is left."""


class Told:
    """An end that notes what it is told."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def opened(self) -> None:
        """Noted."""
        self.told.append("opened")

    def came(self, data: bytes) -> None:
        """Noted."""
        self.told.append(data)

    def sent(self, size_bytes: int) -> None:
        """Noted."""
        self.told.append(size_bytes)

    def ended(self) -> None:
        """Noted."""
        self.told.append("ended")

    def lost(self, why: str) -> None:
        """Noted."""
        self.told.append(why)


def attached() -> tuple[Reached, Outside, AttachedPort]:
    """A place whose device is real."""
    place, outside = Reached(), Outside()
    machine = place.machine
    port = AttachedPort(
        outside, PLACE, env=place.env, trace=machine.trace, device=4, link=place.link, server=None, leg="presses/5",
        response_ns=0, client=Client("gw", machine.budget.files, machine.take_file),
    )  # fmt: skip
    place.hosts = Hosts(4, "presses/5", port)
    return place, outside, port


def test_a_real_device_is_reached_at_its_place_and_its_witness_hears() -> None:
    place, outside, port = attached()
    heard: list[tuple[bytes, bytes]] = []
    port.on_exchange = lambda request, reply: heard.append((request, reply))
    socket, into, out = place.connected()
    assert outside.called == [PLACE.url]
    place.write(out)
    place.later_on(DELAY_NS)
    assert outside.got == [READ]
    outside.heard(b"\0\1answer")
    place.later_on(DELAY_NS)
    assert place.read(into) == (True, b"\0\1answer")
    assert heard == [(READ, b"\0\1answer")]
    for thing in (into, out, socket):
        thing.dropped()
    place.later_on(S)
    assert outside.gone == 1


def test_a_real_device_that_hangs_up_has_closed() -> None:
    place, outside, _ = attached()
    _, into, out = place.connected()
    outside.lost()
    place.later_on(DELAY_NS - 1)
    assert place.read(into) == (True, b"")
    place.later_on(1)
    assert place.read(into) == (False, ("closed", None))
    place.write(out)
    place.later_on(S)
    assert place.read(into)[1][0] == "last-operation-failed"


def test_two_connections_of_one_driver_do_not_mix() -> None:
    place = Reached()
    one, other = place.connected(), place.connected()
    place.write(one[2], READ[:7])
    place.write(other[2])
    place.later_on(TRIP_NS + RESPONSE_NS)
    assert place.read(one[1]) == (True, b"")
    assert len(place.read(other[1])[1]) == ANSWER_BYTES
    place.write(one[2], READ[7:])
    place.later_on(TRIP_NS + RESPONSE_NS)
    assert len(place.read(one[1])[1]) == ANSWER_BYTES


def test_a_fault_of_the_protocol_hits_connections_that_come_and_go() -> None:
    """Each has a server of its own beside the device's, and takes it away again."""
    place = Reached()
    for _ in range(3):
        things = place.connected()
        for thing in things:
            thing.dropped()
        place.later_on(S)
    assert place.server._connections == [place.server]
    kept = place.connected()
    assert len(place.server._connections) == 2
    assert kept[0].wire.connection.server.faults is place.server.faults


def test_a_library_s_server_answers(host: Host) -> None:
    """OPC UA's hello is acknowledged; then the driver goes, and the server knows."""
    world = World(mixed(host, ("opcua", "modbus-tcp"), duration_ns=4 * S), host)
    try:
        world.boot()
        with world.field.inside():
            port = world.gateways[0].pollers[0].port
            assert isinstance(port, StackPort)
            end = Told()
            made = connection(port, end)
            assert isinstance(made, Connection)
            assert isinstance(made, StackPort)
            made.dial()
            world.advance(world.env.now + 100 * MS)
            assert end.told == ["opened"]
            made.put(HELLO)
            world.advance(world.env.now + 100 * MS)
            assert end.told[1] == len(HELLO)
            assert end.told[2][:4] == b"ACKF"
            assert made._peer is not None
            made.close()
            world.advance(world.env.now + 100 * MS)
            assert made._peer is None
    finally:
        world.close()


def test_a_port_s_own_exchanges_go_on_beside_it(host: Host) -> None:
    """The same device, over `fieldbus` and over a socket at once."""
    world = World(plant(host, count=1, duration_ns=4 * S), host)
    try:
        world.boot()
        port = world.gateways[0].pollers[0].port
        assert isinstance(port, TcpPort)
        end = Told()
        made = connection(port, end)
        made.dial()
        world.advance(S)
        for _ in range(10):
            made.put(READ)
            world.advance(world.env.now + 300 * MS)
        assert sum(type(one) is bytes and len(one) == ANSWER_BYTES for one in end.told) == 10
    finally:
        world.close()
    assert world.books.truth.wrong == 0
