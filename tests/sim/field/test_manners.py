"""Manners of devices in simulated time, and what the shipped driver makes of them: each value counted by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.plants import driver, paired, plant, run
from tests.sim.test_world import conserved
from twinloop.components.host.host import Host
from twinloop.devices.model.device import DeviceModel
from twinloop.devices.model.manners import BITES, Manners
from twinloop.devices.model.points import Point
from twinloop.devices.model.protocols import EVERY
from twinloop.devices.model.signal import Signal
from twinloop.sim.accounts import rows
from twinloop.sim.field.connection import connection
from twinloop.sim.field.files import Client, Files
from twinloop.sim.field.tcp_port import TcpPort
from twinloop.sim.kernel.clock import MS, S
from twinloop.sim.trouble.verbs import act
from twinloop.sim.world import World

POINTS = 10


TWO = DeviceModel(
    "two",
    "two registers, far from each other",
    "ours",
    EVERY,
    tuple(
        Point(name, "holding", address, "u16", writable=True, signal=Signal("constant", 7))
        for name, address in (("a", 0), ("b", 100))
    ),
)


def world_of(host: Host, manners: Manners, options: dict[str, str] | None = None, **changes: Any) -> World:
    """One device, polled each second for 20 s with a timeout of 200 ms and no retries, unless it is said."""
    given = {"timeout": "200 ms", "retries": "0", **(options or {})}
    changes = {"count": 1, "duration_ns": 20 * S, **changes}
    usual = driver(host, options=tuple(given.items()))
    world = run(
        plant(host, drivers={i + 1: usual for i in range(changes["count"])}, own_manners=manners, **changes),
        host,
    )
    conserved(world)
    return world


def missed(world: World) -> int:
    """Polls of the first device that were missed."""
    count, rest = divmod(world.ledger.count(rows.End.MISSED, None, [0]), POINTS)
    assert not rest
    return count


def bites(world: World) -> dict[str, int]:
    assert {which for _, which in world.field.bites} <= set(BITES)
    return {which: count for (_, which), count in world.field.bites.items()}


@pytest.mark.parametrize(
    ("quiet_ns", "options", "lost"),
    [
        (1500 * MS, {}, 2),
        (5500 * MS, {}, 6),
        (9500 * MS, {}, 18),
        (9500 * MS, {"patience": "3"}, 10),
        (1500 * MS, {"connect-wait": "1500 ms"}, 2),
        (500 * MS, {"retries": "2"}, 1),
        (500 * MS, {"retries": "3"}, 0),
        (500 * MS, {"connect-wait": "500 ms", "timeout": "600 ms"}, 0),
    ],
)
def test_quiet_after_connect(host: Host, quiet_ns: int, options: dict[str, str], lost: int) -> None:
    """Polls at 0, 1, 2 ... s, over a connection that stands at about 0: those before the silence is over are missed,
    and no other, as long as the connection is kept (8 timeouts, with patience 3 twelve). With 9.5 s the first
    connection ends at its 8th timeout (poll at 7 s), and the second, from 8 s on, answers at 18 s: 18 are missed. Tries
    begin each 200 ms: the third, at 400 ms, is too early for half a second, the fourth is not."""
    world = world_of(host, Manners(quiet_after_connect_ns=quiet_ns), options)
    assert missed(world) == lost
    assert world.ledger.count(rows.End.MISSED, "timeout", [0]) == lost * POINTS


def test_a_pause_between_requests(host: Host) -> None:
    """Two blocks a poll, the second request half a millisecond after the first answer: it is not answered, and costs
    its point each time. A driver that waits for 50 ms loses none."""
    pause = Manners(pause_ns=50 * MS)
    world = world_of(host, pause, model=TWO)
    assert world.ledger.count(rows.End.MISSED, "timeout") == bites(world)["pause"] == 20
    world = world_of(host, pause, {"pause": "50 ms"}, model=TWO)
    assert world.ledger.count(rows.End.DELIVERED) == 40
    assert bites(world) == {}


def test_hanging_up_when_idle(host: Host) -> None:
    """After half a second, with a poll each second: each poll dials anew, and none is lost."""
    world = world_of(host, Manners(idle_ns=500 * MS))
    assert missed(world) == 0
    assert bites(world)["idle"] in (19, 20), "the last connection may outlive the run"


@pytest.mark.parametrize(("retries", "lost"), [("0", 20), ("1", 20), ("2", 0)])
def test_hanging_up_when_idle_and_quiet_after_connect(host: Host, retries: str, lost: int) -> None:
    """Each poll meets a new connection, which is deaf for 300 ms: the tries at 0 and 200 ms are lost, the third is not."""
    world = world_of(host, Manners(idle_ns=500 * MS, quiet_after_connect_ns=300 * MS), {"retries": retries})
    assert missed(world) == lost


@pytest.mark.parametrize(
    ("manners", "timeout", "lost"),
    [
        (Manners(first_answer_ns=300 * MS), "200 ms", 1),
        (Manners(first_answer_ns=300 * MS), "400 ms", 0),
        (Manners(first_answer_ns=300 * MS, asleep_after_ns=5 * S), "200 ms", 1),
        (Manners(first_answer_ns=300 * MS, asleep_after_ns=500 * MS), "200 ms", 20),
        (Manners(first_answer_ns=300 * MS, asleep_after_ns=500 * MS), "400 ms", 0),
    ],
)
def test_a_slow_first_answer(host: Host, manners: Manners, timeout: str, lost: int) -> None:
    """It comes too late, is put aside, and costs its own poll; a device that falls asleep between polls does it each
    time."""
    assert missed(world_of(host, manners, {"timeout": timeout})) == lost


@pytest.mark.parametrize(("retries", "low", "high"), [("0", 18, 62), ("1", 0, 20), ("3", 0, 3)])
def test_c5_a_busy_device(host: Host, retries: str, low: int, high: int) -> None:
    """20 % of requests are answered with exception 06: of 200 polls 200 * 0.2^(1 + retries) are missed on average, 40,
    8 and 0.32. The bounds leave out less than 1 in 1000 of the binomial distribution on either side."""
    world = world_of(host, Manners(busy_share=0.2), {"retries": retries}, duration_ns=200 * S)
    assert low <= missed(world) <= high
    assert world.ledger.count(rows.End.MISSED, "rejected") == missed(world) * POINTS


@pytest.mark.parametrize(
    ("manners", "options", "exchanges"),
    [
        (Manners(), {}, 1),
        (Manners(write_single=False), {}, 2),
        (Manners(write_single=False), {"write": "multiple"}, 1),
        (Manners(write_takes_ns=20 * MS), {}, 2),
        (Manners(write_takes_ns=70 * MS), {"retries": "1"}, 3),
    ],
)
def test_a_write(host: Host, manners: Manners, options: dict[str, str], exchanges: int) -> None:
    """It reaches its register: by function 16 after exception 01; after exception 05 by a look at the register, 50 ms
    later, and 50 ms after exception 06 again."""
    write = act(3500 * MS, "write", "presses/1", point="a", value=42.0)
    usual = driver(host, options=(("timeout", "400 ms"), *options.items()))
    spec = plant(
        host,
        count=1,
        drivers={1: usual},
        own_manners=manners,
        model=TWO,
        timeline=(write,),
        duration_ns=20 * S,
    )
    world, causes = World(spec, host), []
    world.commands.on_done.append(lambda command, cause: causes.append(cause))
    world.run()
    world.close()
    assert world.ledger.count(rows.End.DELIVERED) == 40
    assert causes == [None]
    expected = {"no-single-write": int(not manners.write_single and not options)}
    if manners.write_takes_ns:
        expected = {"acknowledged": 1, "busy": exchanges - 2}
    assert bites(world) == {which: count for which, count in expected.items() if count}


# ---- serial lines --------------------------------------------------------------------------------
def test_an_echo(host: Host) -> None:
    """Three devices at 9600 Bd, polled at the same instant: the line stays taken from the echo to the answer."""
    world = world_of(host, Manners(echo=True), count=3, serial_bd=9600, phase_ns=0)
    assert world.ledger.count(rows.End.MISSED) == 0
    line = world.field.lines["plant/1"]
    assert (line.exchanges, line.timeouts, line.collisions) == (60, 0, 0)


def test_an_echo_that_the_driver_does_not_expect(host: Host) -> None:
    world = world_of(host, Manners(echo=True), {"echo": "false"}, serial_bd=9600)
    assert world.ledger.count(rows.End.MISSED, "malformed", [0]) == 20 * POINTS


def test_two_devices_with_one_unit_id(host: Host) -> None:
    """Both answer each request: what is on the wires at once is garbled. The third device is well."""
    spec = plant(host, count=3, duration_ns=20 * S, serial_bd=9600)
    devices = tuple(replace(one, unit_id=max(2, one.unit_id)) for one in spec.devices)
    world = run(replace(spec, devices=devices), host)
    conserved(world)
    assert [world.ledger.count(rows.End.MISSED, None, [i]) for i in range(3)] == [200, 200, 0]
    assert world.field.lines["plant/1"].collisions >= 40


def test_a_slow_first_answer_on_a_line(host: Host) -> None:
    assert missed(world_of(host, Manners(first_answer_ns=300 * MS), serial_bd=9600)) == 1


def test_a_pause_on_a_line(host: Host) -> None:
    """It counts from the answer's last character."""
    pause = Manners(pause_ns=50 * MS)
    world = world_of(host, pause, model=TWO, serial_bd=9600)
    assert world.ledger.count(rows.End.MISSED, "timeout") == bites(world)["pause"] == 20
    assert world_of(host, pause, {"pause": "50 ms"}, model=TWO, serial_bd=9600).field.bites == {}


# ---- several clients -----------------------------------------------------------------------------
@pytest.mark.parametrize("more", ["refuse", "drop-first"])
def test_one_connection_at_a_time(host: Host, more: str) -> None:
    """A pair whose standby reads, too, at the same instants. It is refused each time, and the leader loses nothing; or
    each drops the other's connection while that waits for its answer, and one retry is not enough for peace."""
    usual = driver(host, options=(("timeout", "200 ms"), ("retries", "1")))
    spec = plant(
        host, count=1, duration_ns=20 * S, drivers={1: usual}, own_manners=Manners(connections=1, more=more)
    )
    world = run(paired(spec), host)
    conserved(world)
    lost = missed(world)
    assert world.ledger.count(rows.End.MISSED, "disconnected", [0]) == lost * POINTS
    assert lost == 0 if more == "refuse" else 0 < lost <= 20
    assert set(bites(world)) == {"refused" if more == "refuse" else "dropped"}


class End:
    """A driver's own socket."""

    def __init__(self) -> None:
        self.told: list[tuple[str, Any]] = []

    def opened(self) -> None:
        self.told.append(("opened", None))

    def came(self, data: bytes) -> None:
        self.told.append(("came", data[7:9].hex()))

    def sent(self, size_bytes: int) -> None:
        """What got through isn't asked here."""

    def ended(self) -> None:
        self.told.append(("ended", None))

    def lost(self, why: str) -> None:
        self.told.append(("lost", why))


def test_a_drivers_own_socket_meets_the_same_device(host: Host) -> None:
    """Quiet for 1 s, hangs up after 3 s, one connection, and the driver's port holds none: requests at 0.5 and 1.5 s."""
    manners = Manners(quiet_after_connect_ns=S, idle_ns=3 * S, connections=1)
    world = World(
        plant(host, count=1, duration_ns=20 * S, phase_ns=15 * S, poll_ns=20 * S, own_manners=manners), host
    )
    spec = world.spec.devices[0]
    port = world.field.port(Client("gw", Files(None), lambda: True), 0, spec)
    assert isinstance(port, TcpPort)
    ends = [End(), End()]
    first, second = (connection(port, end) for end in ends)
    world.env.call_at(0, first.dial)
    for at_ns in (500 * MS, 1500 * MS):
        world.env.call_at(at_ns, first.put, bytes.fromhex("000100000006010300000001"))
    world.env.call_at(2 * S, second.dial)
    world.run()
    world.close()
    assert ends[0].told == [("opened", None), ("came", "0302"), ("lost", "connection-reset")]
    assert ends[1].told == [("lost", "connection-refused")]
    assert {which for _, which in world.field.bites} >= {"quiet", "refused", "idle"}


# ---- faults --------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("kind", "keys", "cause", "serial"),
    [
        ("silent", {}, "timeout", False),
        ("slow", {"delay_ns": 700 * MS}, "timeout", False),
        ("busy", {}, "rejected", False),
        ("exception", {"code": 2}, "rejected", False),
        ("exception", {"code": 4}, "rejected", False),
        ("truncated", {}, "timeout", False),
        ("wrong-transaction", {}, "malformed", False),
        ("wrong-unit", {}, "malformed", False),
        ("length-lie", {}, "malformed", False),
        ("bad-crc", {}, "malformed", True),
        ("silent", {}, "timeout", True),
        ("truncated", {}, "malformed", True),
    ],
)
@pytest.mark.parametrize("retries", ["0", "2"])
def test_a_fault_costs_the_polls_that_it_meets_and_no_more(
    host: Host, kind: str, keys: dict[str, Any], cause: str, serial: bool, retries: str
) -> None:
    """From 4.5 to 9.5 s all answers are wrong: the polls at 5, 6, 7, 8 and 9 s are missed, with retries or without; the
    one at 10 s is read."""
    fault = act(4500 * MS, "device-fault", "presses/1", 9500 * MS, kind=kind, **keys)
    world = world_of(
        host, Manners(), {"retries": retries}, timeline=(fault,), serial_bd=19_200 if serial else None
    )
    assert missed(world) == 5
    assert world.ledger.count(rows.End.MISSED, cause, [0]) == 5 * POINTS
