"""A Modbus TCP to RTU converter on two arms, a driver's own connection in simulated time and a client of the
served field: one body, instants and answers by hand.

9600 Bd, 8E1: 11 bits a character. A read of six registers is 8 characters, 9 166 666 ns; its answer 17, 19 479 166 ns;
3.5 characters of silence are 4 010 416 ns. Devices think for 1 ms. So an exchange is 9 166 666 + 4 010 416 +
1 000 000 + 19 479 166 + 4 010 416 = 37 666 664 ns.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.plants import plant
from tests.sim.serving.test_served import bare, read, registers
from twinloop.components.host.host import Host
from twinloop.devices.model.manners import Manners
from twinloop.devices.model.misbehaviour import Misbehaviour
from twinloop.sim.field.connection import Connection, connection
from twinloop.sim.field.files import Client, Files
from twinloop.sim.field.tcp_port import TcpPort
from twinloop.sim.kernel.clock import MS, US, S
from twinloop.sim.kernel.wallclock import EPOCH_NS
from twinloop.sim.model.spec import ConverterSpec, LinkSpec, Reached, WorldSpec
from twinloop.sim.network.converter import Converter, ConverterModel
from twinloop.sim.network.link import LinkModel
from twinloop.sim.serving.converter import ConverterCaller, ConverterPort
from twinloop.sim.serving.plant import ServedPlant
from twinloop.sim.trouble.verbs import act

REQUEST_NS, GAP_NS, ANSWER_NS, THINKS_NS = 9_166_666, 4_010_416, 19_479_166, MS
EXCHANGE_NS = 37_666_664
DELAY_NS = 300 * US
TIMEOUT_NS = 500 * MS
ARMS = ("simulated", "served")


def behind(host: Host, count: int, *timeline: Any, **model: Any) -> WorldSpec:
    """``count`` devices behind the converter ``moxa``."""
    spec = bare(plant(host, count=count), *timeline, delay_ns=DELAY_NS)
    devices = tuple(
        replace(one, unit_id=i + 1, reached=Reached("moxa", "rs485")) for i, one in enumerate(spec.devices)
    )
    return replace(
        spec,
        devices=devices,
        links=(*spec.links, LinkSpec("rs485", LinkModel(), 9600, parity=True)),
        converters=(
            ConverterSpec("moxa", "plant", "rs485", ConverterModel(**{"timeout_ns": TIMEOUT_NS, **model})),
        ),
    )


class Guest:
    """One connection of an arm: what has come, and when; how it ended."""

    def __init__(self, arm: Arm) -> None:
        self._arm = arm
        self.heard: list[tuple[int, bytes]] = []
        self.stands = self.over = False
        self.way: Connection | ConverterCaller

    # what a Connection tells its end, and a caller its client
    def opened(self) -> None:
        self.stands = True

    def came(self, data: bytes) -> None:
        self.heard.append((self._arm.plant.env.now, data))

    def sent(self, size_bytes: int) -> None:
        pass

    def ended(self) -> None:
        self.over = True

    def lost(self, why: str = "") -> None:
        self.over = True

    def say(self, at_ns: int, data: bytes) -> None:
        """These bytes leave at that instant, when all before has happened."""
        way = self.way
        self._arm.plant.at(at_ns, way.put if isinstance(way, Connection) else way.received, data)

    def leave(self, at_ns: int) -> None:
        """It closes."""
        way = self.way
        self._arm.plant.at(at_ns, way.reset if isinstance(way, Connection) else way.lost)

    def answers(self) -> dict[int, tuple[int, str]]:
        """Transaction -> when its answer came, and unit and PDU (of a long one the first bytes)."""
        return {int.from_bytes(d[:2], "big"): (at, d[6:9].hex()) for at, d in self.heard}


class Arm:
    """A plant whose converter is reached in one of two ways."""

    def __init__(self, kind: str, spec: WorldSpec) -> None:
        self.kind = kind
        self.plant = ServedPlant(spec, EPOCH_NS)
        self.plant.boot()
        self.converter: Converter = self.plant.field.converters["moxa"]
        self._port = ConverterPort(self.plant, "moxa")
        self._files = Client("gw", Files(None), lambda: True)

    def guest(self) -> Guest:
        """Connected by now, or refused."""
        guest = Guest(self)
        plant = self.plant
        if self.kind == "served":
            guest.way = self._port.accept(guest.came, guest.lost)
            return guest
        port = plant.field.port(self._files, 0, plant.spec.devices[0])
        assert isinstance(port, TcpPort)
        guest.way = connection(port, guest)
        guest.way.dial()
        plant.run_to(plant.env.now + 2 * DELAY_NS)
        return guest

    def run_to(self, at_ns: int) -> None:
        self.plant.run_to(at_ns)
        books = self.converter.books
        assert books.requests == books.ended + self.converter.inside
        if self.kind == "served":
            assert self.plant.requests <= books.requests

    def spoil(self, index: int, fault: Misbehaviour) -> Callable[[], None]:
        return self.plant.field.servers[index].misbehave(fault)


@pytest.mark.parametrize("kind", ARMS)
def test_ten_at_once_wait_for_one_another(host: Host, kind: str) -> None:
    """Each on a connection of its own, all at one instant: the k-th answer comes after k exchanges."""
    arm = Arm(kind, behind(host, 10))
    guests = [arm.guest() for _ in range(10)]
    for unit, guest in enumerate(guests, 1):
        guest.say(S, read(100 + unit, unit))
    arm.run_to(3 * S)
    for unit, guest in enumerate(guests, 1):
        [(at_ns, answer)] = guest.heard
        assert at_ns == S + unit * EXCHANGE_NS + 2 * DELAY_NS
        assert answer[:9] == (100 + unit).to_bytes(2, "big") + b"\0\0\0\x0f" + bytes((unit, 3, 12))
        heard_ns = S + DELAY_NS + (unit - 1) * EXCHANGE_NS + REQUEST_NS + GAP_NS
        assert answer[9:] == registers(arm.plant.field.servers[unit - 1].device, heard_ns)
    line = arm.converter.line
    assert (line.exchanges, line.timeouts, line.collisions, line.longest_queue) == (10, 0, 0, 9)
    assert line.occupancy.busy_ns == 10 * EXCHANGE_NS
    assert arm.converter.books.answered == 10


@pytest.mark.parametrize("kind", ARMS)
@pytest.mark.parametrize("silent", [False, True])
def test_a_full_queue(host: Host, kind: str, silent: bool) -> None:
    """One on the line, two wait, the others are refused at once: exception 06, or nothing."""
    arm = Arm(kind, behind(host, 5, queue=2, silent=silent))
    guest = arm.guest()
    guest.say(S, b"".join(read(unit, unit) for unit in range(1, 6)))
    arm.run_to(3 * S)
    found = guest.answers()
    assert {k: v for k, v in found.items() if k <= 3} == {
        k: (S + k * EXCHANGE_NS + 2 * DELAY_NS, bytes((k, 3, 12)).hex()) for k in (1, 2, 3)
    }
    refused = {k: (S + 2 * DELAY_NS, bytes((k, 0x83, 6)).hex()) for k in (4, 5)}
    assert {k: v for k, v in found.items() if k > 3} == ({} if silent else refused)
    assert (arm.converter.books.refused, arm.converter.books.answered) == (2, 3)
    assert arm.plant.limits == {"converter-queue": 2}
    if kind == "served":
        assert arm.plant.requests == 5, "what falls isn't waited for"


@pytest.mark.parametrize("kind", ARMS)
@pytest.mark.parametrize("silent", [False, True])
def test_a_silent_device_costs_its_timeout_and_no_more(host: Host, kind: str, silent: bool) -> None:
    """0B half a second after its request's last character; the next request goes out a gap later, and its
    answer is its own."""
    arm = Arm(kind, behind(host, 3, silent=silent))
    arm.spoil(1, Misbehaviour("silent", 1))
    guest = arm.guest()
    guest.say(S, read(1, 1) + read(2, 2) + read(3, 3))
    arm.run_to(3 * S)
    over_ns = S + EXCHANGE_NS + REQUEST_NS + TIMEOUT_NS + 2 * DELAY_NS
    want = {
        1: (S + EXCHANGE_NS + 2 * DELAY_NS, "01030c"),
        2: (over_ns, "02830b"),
        3: (over_ns + GAP_NS + EXCHANGE_NS, "03030c"),
    }
    if silent:
        del want[2]
    assert guest.answers() == want
    assert (arm.converter.books.timeouts, arm.converter.line.timeouts) == (1, 1)


@pytest.mark.parametrize("kind", ARMS)
def test_unit_ids(host: Host, kind: str) -> None:
    """0 and 255 are the converter's own, 248 to 254 are reserved; 9 isn't there."""
    arm = Arm(kind, behind(host, 2))
    guest = arm.guest()
    guest.say(S, b"".join(read(unit, unit) for unit in (0, 255, 248, 254, 9)))
    arm.run_to(3 * S)
    at_once = S + 2 * DELAY_NS
    assert guest.answers() == {
        0: (at_once, "008301"),
        255: (at_once, "ff8301"),
        248: (at_once, "f8830a"),
        254: (at_once, "fe830a"),
        9: (at_once + REQUEST_NS + TIMEOUT_NS, "09830b"),
    }
    books = arm.converter.books
    assert (books.own, books.no_path, books.timeouts, arm.converter.line.exchanges) == (2, 2, 1, 1)


@pytest.mark.parametrize("kind", ARMS)
def test_who_knows_its_devices_refuses_others_at_once(host: Host, kind: str) -> None:
    arm = Arm(kind, behind(host, 2, refuse_absent=True))
    guest = arm.guest()
    guest.say(S, read(1, 9) + read(2, 2))
    arm.run_to(3 * S)
    assert guest.answers() == {
        1: (S + 2 * DELAY_NS, "09830a"),
        2: (S + EXCHANGE_NS + 2 * DELAY_NS, "02030c"),
    }


@pytest.mark.parametrize("kind", ARMS)
def test_an_answer_that_comes_too_late_is_put_aside(host: Host, kind: str) -> None:
    """600 ms late: 0B, then the line is free when it comes. 500 ms late: it comes into another's request, and
    garbles it; that device hears nothing, and its request ends with 0B, not with the other's answer."""
    arm = Arm(kind, behind(host, 2))
    guest = arm.guest()
    end = arm.spoil(0, Misbehaviour("slow", 1, 600 * MS))
    guest.say(S, read(1, 1))
    arm.run_to(2 * S)
    assert [v[1] for v in guest.answers().values()] == ["01830b"]
    assert arm.converter.books.strays == 1
    end()
    guest.say(2 * S, read(2, 1))
    arm.run_to(3 * S)
    assert guest.answers()[2] == (2 * S + EXCHANGE_NS + 2 * DELAY_NS, "01030c")
    end = arm.spoil(0, Misbehaviour("slow", 2, 500 * MS))
    guest.say(3 * S, read(3, 1) + read(4, 2))
    arm.run_to(5 * S)
    assert [guest.answers()[k][1] for k in (3, 4)] == ["01830b", "02830b"]
    assert arm.converter.line.collisions == 1


@pytest.mark.parametrize("kind", ARMS)
def test_an_answer_to_another_unit_is_no_answer(host: Host, kind: str) -> None:
    """Unit 1 answers while unit 2 still thinks: the converter waits on, and takes unit 2's."""
    arm = Arm(kind, behind(host, 2))
    guest = arm.guest()
    first, second = (
        arm.spoil(0, Misbehaviour("slow", 1, 560 * MS)),
        arm.spoil(1, Misbehaviour("slow", 2, 100 * MS)),
    )
    guest.say(S, read(1, 1) + read(2, 2))
    arm.run_to(3 * S)
    over_ns = S + REQUEST_NS + TIMEOUT_NS + 2 * DELAY_NS
    assert guest.answers() == {
        1: (over_ns, "01830b"),
        2: (over_ns + GAP_NS + EXCHANGE_NS + 100 * MS, "02030c"),
    }
    assert (arm.converter.books.strays, arm.converter.line.collisions) == (1, 0)
    first()
    second()


@pytest.mark.parametrize("kind", ARMS)
def test_connections_too_many_are_refused(host: Host, kind: str) -> None:
    arm = Arm(kind, behind(host, 3, connections=2))
    one, two, three = arm.guest(), arm.guest(), arm.guest()
    assert (one.over, two.over, three.over) == (False, False, True)
    assert arm.converter.books.turned_away == 1
    assert arm.plant.limits == {"converter-connections": 1}
    two.leave(S)
    arm.run_to(2 * S)
    again = arm.guest()
    again.say(3 * S, read(5, 3))
    arm.run_to(4 * S)
    assert again.answers() == {5: (3 * S + EXCHANGE_NS + 2 * DELAY_NS, "03030c")}


@pytest.mark.parametrize("kind", ARMS)
def test_who_leaves_takes_what_waits_along(host: Host, kind: str) -> None:
    """Its first request is on the line and goes on there, two more are dropped; who stays is next."""
    arm = Arm(kind, behind(host, 4))
    goes, stays = arm.guest(), arm.guest()
    goes.say(S, read(1, 1) + read(2, 2) + read(3, 3))
    stays.say(S, read(4, 4))
    goes.leave(S + 10 * MS)
    arm.run_to(3 * S)
    assert goes.heard == []
    assert stays.answers() == {4: (S + 2 * EXCHANGE_NS + 2 * DELAY_NS, "04030c")}
    books = arm.converter.books
    assert (books.requests, books.answered, books.left) == (4, 2, 2)


@pytest.mark.parametrize("kind", ARMS)
def test_what_is_no_modbus_ends_the_connection(host: Host, kind: str) -> None:
    arm = Arm(kind, behind(host, 1))
    guest = arm.guest()
    guest.say(S, b"GET / HTTP/1.1\r\n\r\n")
    arm.run_to(2 * S)
    assert guest.over
    assert arm.converter.books.requests == 0


@pytest.mark.parametrize("kind", ARMS)
def test_the_line_is_cut(host: Host, kind: str) -> None:
    """By its own name: nobody answers, and the converter says so."""
    arm = Arm(kind, behind(host, 1, act(S, "cut", "rs485", 2 * S + 600 * MS)))
    guest = arm.guest()
    guest.say(2 * S, read(1, 1))
    guest.say(3 * S, read(2, 1))
    arm.run_to(5 * S)
    assert guest.answers() == {
        1: (2 * S + REQUEST_NS + TIMEOUT_NS + 2 * DELAY_NS, "01830b"),
        2: (3 * S + EXCHANGE_NS + 2 * DELAY_NS, "01030c"),
    }


@pytest.mark.parametrize("kind", ARMS)
def test_manners_of_a_device_behind_it(host: Host, kind: str) -> None:
    """Its first answer takes 200 ms longer; a converter's line is its device's line."""
    spec = behind(host, 1)
    own = replace(spec.devices[0], own_manners=Manners(first_answer_ns=200 * MS))
    arm = Arm(kind, replace(spec, devices=(own,)))
    guest = arm.guest()
    guest.say(S, read(1, 1))
    guest.say(2 * S, read(2, 1))
    arm.run_to(3 * S)
    assert guest.answers() == {
        1: (S + EXCHANGE_NS + 200 * MS + 2 * DELAY_NS, "01030c"),
        2: (2 * S + EXCHANGE_NS + 2 * DELAY_NS, "01030c"),
    }


@settings(max_examples=25, deadline=None)
@given(
    kind=st.sampled_from(ARMS),
    silent=st.booleans(),
    queue=st.integers(1, 4),
    said=st.lists(
        st.tuples(st.integers(0, 1500), st.integers(0, 2), st.sampled_from((0, 1, 2, 3, 4, 250, 255))),
        max_size=25,
    ),
    leaves=st.integers(0, 1500),
)
def test_books_are_closed(
    host: Host, kind: str, silent: bool, queue: int, said: list[tuple[int, int, int]], leaves: int
) -> None:
    """Whatever is asked, whoever leaves: each request ends once, and each answer is to its own request."""
    arm = Arm(kind, behind(host, 3, queue=queue, silent=silent, timeout_ns=100 * MS))
    arm.spoil(2, Misbehaviour("silent", 3))
    guests = [arm.guest() for _ in range(3)]
    gone = False
    asked: dict[int, tuple[int, int]] = {}
    for number, (at_ms, who, unit) in enumerate(sorted(said)):
        if at_ms >= leaves and not gone:
            guests[0].leave(S + leaves * MS)
            gone = True
        if gone and not who:
            continue
        guests[who].say(S + at_ms * MS, read(number, unit))
        asked[number] = who, unit
        arm.run_to(S + at_ms * MS)
    arm.run_to(60 * S)
    books = arm.converter.books
    assert arm.converter.inside == 0
    assert books.ended == books.requests <= len(asked)
    assert gone or books.requests == len(asked)
    for who, guest in enumerate(guests):
        assert len(guest.heard) == len(guest.answers())
        for number, (_, answer) in guest.answers().items():
            assert asked[number] == (who, int(answer[:2], 16))
    if kind == "served":
        assert arm.plant.requests == len(asked)
