"""A driver that polls over UDP (Rust's standard library) in small worlds: it reads what its device shows, asks again
itself when something is lost, and reaches nobody else."""

from __future__ import annotations

from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.plants import component, paired, plant
from tests.sim.wasi.test_socket_driver import count, limits, lines, ran
from twinloop.components.host.host import Host
from twinloop.sim.accounts.latency import BUS, DRIVER
from twinloop.sim.accounts.rows import End
from twinloop.sim.kernel.clock import MS, S
from twinloop.sim.model.spec import Action, ComponentSpec, WorldSpec
from twinloop.sim.model.wasi import Remote, WasiSpec
from twinloop.sim.trouble.verbs import act

GUEST = Path(__file__).parents[2] / "guests" / "rust-udp-driver" / "rust-udp-driver.wasm"
POINTS = 10
OWN = WasiSpec(("wasi:sockets", "wasi:clocks"), remotes=(Remote("device", 502, "udp"),))


@cache
def guest_bytes() -> bytes:
    """Of the driver."""
    return GUEST.read_bytes()


def driver(component_host: Host, wasi: WasiSpec = OWN, **options: Any) -> ComponentSpec:
    """With these options."""
    return component(
        component_host, "rust-udp-driver", "driver", ("clock", "log", *wasi.packages), guest_bytes(), wasi=wasi,
        options=tuple((name, str(value)) for name, value in options.items()), deadline_ns=S,
    )  # fmt: skip


def polled(host: Host, own: ComponentSpec, devices: int = 2, **changes: Any) -> WorldSpec:
    """Devices that are read by it."""
    return plant(host, count=devices, drivers=dict.fromkeys(range(1, devices + 1), own), **changes)


def tries(records: list[Any]) -> list[str]:
    """What it says of requests that it has sent again."""
    return [line for line in lines(records) if line.startswith("try ")]


# ---- all is well ---------------------------------------------------------------------------------
@pytest.mark.parametrize("connect", ["yes", "no"])
def test_it_reads_what_the_devices_show_and_waits_for_the_bus(host: Host, connect: str) -> None:
    world, records = ran(polled(host, driver(host, connect=connect)), host)
    assert count(world, End.DELIVERED) == 2 * 5 * POINTS
    assert lines(records) == []
    assert limits(records) == []
    truth = world.books.truth
    assert truth.wrong == 0
    assert truth.checked == 2 * 5 * POINTS
    poller = world.gateways[0].pollers[0]
    exchange_ns = 2 * 200 * 1000 + MS  # there and back, and the response
    assert (
        POINTS * (exchange_ns - 200 * 1000) < poller.times.spent_ns[BUS] < POINTS * (exchange_ns + 300 * 1000)
    )
    assert poller.times.spent_ns[DRIVER] < 2 * MS
    assert world.links["plant"].stats().offered == 2 * 5 * POINTS * 2, "no handshake, no acknowledgements"


@pytest.mark.parametrize("keep", ["yes", "no"])
def test_no_socket_is_left_open(host: Host, keep: str) -> None:
    world, _ = ran(polled(host, driver(host, keep=keep), devices=1), host)
    assert count(world, End.DELIVERED) == 5 * POINTS
    assert world.gateways[0].machine.budget.files.peak <= 6
    wasi = world.gateways[0].pollers[0].slot.imports.wasi
    assert wasi is not None
    assert wasi.called["sockets/udp-create-socket#create-udp-socket"] == (1 if keep == "yes" else 5 * POINTS)


# ---- trouble -------------------------------------------------------------------------------------
def test_what_is_lost_it_asks_again(host: Host) -> None:
    """One exchange in 1 - 0.8 * 0.8 = 0.36 needs another try, which comes when its 50 ms are over."""
    own = driver(host, tries=8, timeout=50)
    world, records = ran(polled(host, own, duration_ns=20 * S, loss=0.2), host)
    again = tries(records)
    exchanges = 2 * 20 * POINTS
    assert exchanges * 0.36 / 0.64 * 0.8 < len(again) < exchanges * 0.36 / 0.64 * 1.2
    assert count(world, End.DELIVERED) > exchanges * 0.95
    assert world.books.truth.wrong == 0
    waits = []
    for slot in {record[2] for record in records if record[1] == "log"}:
        told = [(record[3], record[5].split()) for record in records if record[1:3] == ("log", slot)]
        for (at, before), (then, after) in pairwise(told):
            if before[0] == after[0] == "try" and int(after[1]) == int(before[1]) + 1:
                waits.append(then - at)
    assert len(waits) > 50
    assert all(50 * MS <= wait < 52 * MS for wait in waits), "its clock, in simulated time"


def test_copies_and_late_answers_are_told_apart(host: Host) -> None:
    """Half of all packets come twice, each up to 40 ms late: what is an answer to another request is no answer
    to this one."""
    figures = (("duplicate", 0.5), ("delay_ns", 20 * MS), ("jitter_ns", 20 * MS))
    trouble = act(0, "degrade", "plant", 30 * S, changes=figures)
    own = driver(host, tries=4, timeout=50)
    world, records = ran(polled(host, own, devices=1, duration_ns=20 * S, timeline=(trouble,)), host)
    assert any(line.startswith("stray: ") for line in lines(records))
    assert tries(records)
    assert count(world, End.DELIVERED) >= 15 * POINTS
    assert world.books.truth.wrong == 0


@pytest.mark.parametrize(
    ("trouble", "cause"),
    [
        (act(2 * S, "cut", "plant", 5 * S), "timeout"),
        (act(2 * S, "device-fault", "presses/1", 5 * S, kind="silent"), "timeout"),
        (act(2 * S, "device-fault", "presses/1", 5 * S, kind="slow", delay_ns=400 * MS), "timeout"),
        (act(2 * S, "device-fault", "presses/1", 5 * S, kind="truncated"), "timeout"),
        (act(2 * S, "device-fault", "presses/1", 5 * S, kind="exception", code=4), "disconnected"),
        (act(2 * S, "crash", "gw", 5 * S), "gateway-down"),
        (act(2 * S, "power-cut", "gw", 5 * S), "gateway-down"),
        (act(2 * S, "restart", "gw"), ""),
        (act(2 * S, "fault-component", "gw/driver/presses/1", kind="unreachable"), ""),
    ],
    ids=["cut", "silent", "slow", "truncated", "exception", "crash", "power", "restart", "fault"],
)
def test_after_trouble_it_reads_again(host: Host, trouble: Action, cause: str) -> None:
    world, _ = ran(polled(host, driver(host), duration_ns=10 * S, timeline=(trouble,)), host)
    assert world.books.truth.wrong == 0
    assert count(world, End.DELIVERED) >= 2 * 5 * POINTS
    if cause:
        assert count(world, End.MISSED, cause) >= 2 * POINTS
    faults = {("rust-udp-driver", "unreachable"): 1} if "FaultComponent" in repr(trouble) else {}
    assert world.gateways[0].supervisor.faults == faults
    assert world.gateways[0].machine.budget.files.open <= 6


def test_waiting_past_its_deadline_it_ends(host: Host) -> None:
    cut = act(int(1.2 * S), "cut", "plant", 4 * S)
    own = driver(host, timeout=5000)
    world, _ = ran(polled(host, own, devices=1, duration_ns=10 * S, timeline=(cut,)), host)
    assert world.gateways[0].supervisor.faults[("rust-udp-driver", "deadline")] >= 1
    assert count(world, End.MISSED, "deadline") >= POINTS
    assert count(world, End.DELIVERED) >= 5 * POINTS
    assert world.gateways[0].machine.budget.files.open <= 5


# ---- what the driver may not do ------------------------------------------------------------------
@pytest.mark.parametrize(
    ("what", "says", "hit"),
    [
        ("bind", "PermissionDenied: Permission denied (os error 2)", ("denied", 1)),
        ("many", "9 open, then No file descriptors available (os error 33)", ("open-sockets", 10)),
    ],
)
def test_limits_and_denials_are_its_errors(host: Host, what: str, says: str, hit: tuple[str, int]) -> None:
    """Each in its own words; and it reads on."""
    world, records = ran(polled(host, driver(host, do=what), devices=1, duration_ns=3 * S), host)
    assert count(world, End.DELIVERED) == 3 * POINTS
    assert lines(records)[-1] == says
    assert hit in limits(records)


@pytest.mark.parametrize(
    ("what", "says"),
    [
        ("addresses", "10.255.255.254:49153 to 10.0.0.1:502"),
        ("large", "65507, [Err(Some(35)), Err(Some(35))]"),
        ("twice", "[(11, 2), (11, 1)]"),
    ],
)
def test_sizes_and_addresses(host: Host, what: str, says: str) -> None:
    _, records = ran(polled(host, driver(host, do=what), devices=1, duration_ns=S), host)
    assert lines(records)[0] == says


def test_a_flood_meets_the_limits_and_nothing_breaks(host: Host) -> None:
    """3000 requests: what is on its way is bounded, and what is not read in time."""
    world, records = ran(polled(host, driver(host, do="flood"), devices=1, duration_ns=S), host)
    (said,) = lines(records)
    assert said.endswith(" answers")
    assert 0 < int(said.split()[0]) < 3000
    assert {name for name, _ in limits(records)} & {"datagrams-afoot", "datagram-queue"}
    assert count(world, End.DELIVERED) == POINTS


@pytest.mark.parametrize("connect", ["yes", "no"])
@pytest.mark.parametrize(
    "options", [{"host": "example.com"}, {"host": "10.0.0.2"}, {"host": "presses/2"}, {"port": 503}]
)
def test_it_reaches_its_own_device_and_nobody_else(host: Host, options: dict[str, Any], connect: str) -> None:
    spec = polled(host, driver(host, connect=connect, **options), duration_ns=2 * S)
    world, records = ran(spec, host)
    theirs = 2 * POINTS if options in ({"host": "presses/2"}, {"host": "10.0.0.2"}) else 0
    assert world.ledger.count(End.DELIVERED, "", [0]) == 0
    assert world.ledger.count(End.DELIVERED, "", [1]) == theirs
    assert ("denied", 1) in limits(records)
    assert all("PermissionDenied" in line for line in lines(records))


@pytest.mark.parametrize(
    "wasi",
    [
        WasiSpec(("wasi:clocks",)),
        WasiSpec(("wasi:clocks", "wasi:sockets"), remotes=(Remote("device", 502),)),
    ],
    ids=["no sockets", "tcp only"],
)
def test_without_a_grant_it_is_denied(host: Host, wasi: WasiSpec) -> None:
    world, records = ran(polled(host, driver(host, wasi), duration_ns=2 * S), host)
    assert count(world, End.DELIVERED) == 0
    assert count(world, End.MISSED, "disconnected") == 2 * 2 * POINTS
    assert world.gateways[0].supervisor.faults == {}
    assert {*lines(records)} == {"PermissionDenied: Permission denied (os error 2)"}


# ---- pairs ---------------------------------------------------------------------------------------
def test_a_standby_has_its_own_way(host: Host) -> None:
    crash = act(3 * S, "crash", "gw", 7 * S)
    spec = paired(polled(host, driver(host), duration_ns=12 * S, timeline=(crash,)), "hot")
    world, _ = ran(spec, host)
    assert count(world, End.DELIVERED) >= 2 * 9 * POINTS
    assert world.books.truth.wrong == 0


def test_two_runs_are_the_same(host: Host) -> None:
    spec = polled(host, driver(host), loss=0.1)
    first, second = (ran(spec, host)[0].trace.digest() for _ in range(2))
    assert first == second
