"""A driver with sockets of its own (Rust's standard library) in small worlds: it reads what its device shows, whatever
happens on the way, and reaches nobody else."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.plants import component, offer, paired, plant, upgradable
from twinloop.components.host.host import Host
from twinloop.sim.accounts.latency import BUS, DRIVER
from twinloop.sim.accounts.rows import End
from twinloop.sim.kernel.clock import MS, S
from twinloop.sim.model.spec import Action, ComponentSpec, WorldSpec
from twinloop.sim.model.wasi import Remote, WasiSpec
from twinloop.sim.trouble.verbs import act
from twinloop.sim.world import World

GUEST = Path(__file__).parents[2] / "guests" / "rust-socket-driver" / "rust-socket-driver.wasm"
POINTS = 10
OWN = WasiSpec(("wasi:sockets", "wasi:clocks"), remotes=(Remote("device", 502),))


@cache
def guest_bytes() -> bytes:
    """Of the driver."""
    return GUEST.read_bytes()


def driver(component_host: Host, wasi: WasiSpec = OWN, **options: Any) -> ComponentSpec:
    """With these options."""
    return component(
        component_host, "rust-socket-driver", "driver", ("clock", "log", *wasi.packages), guest_bytes(), wasi=wasi,
        options=tuple((name, str(value)) for name, value in options.items()), deadline_ns=S,
    )  # fmt: skip


def polled(host: Host, own: ComponentSpec, count: int = 2, **changes: Any) -> WorldSpec:
    """Devices that are read by it."""
    return plant(host, count=count, drivers=dict.fromkeys(range(1, count + 1), own), **changes)


def ran(spec: WorldSpec, host: Host) -> tuple[World, list[Any]]:
    """To the end; and what it has told."""
    world = World(spec, host)
    records: list[Any] = []
    world.trace.sinks.append(records.extend)
    try:
        world.run()
    finally:
        world.close()
    world.ledger.require_balance()
    return world, records


def lines(records: list[Any]) -> list[str]:
    """What drivers have written."""
    return [record[5] for record in records if record[1] == "log" and record[4] == "stdout"]


def limits(records: list[Any]) -> list[tuple[str, int]]:
    """Those that were hit."""
    return [record[3:] for record in records if record[1] == "limit"]


def count(world: World, end: End, cause: str = "") -> int:
    """Points that ended so."""
    return world.ledger.count(end, cause, range(len(world.spec.devices)))


# ---- all is well ---------------------------------------------------------------------------------
def test_it_reads_what_the_devices_show_and_waits_for_the_bus(host: Host) -> None:
    world, records = ran(polled(host, driver(host)), host)
    assert count(world, End.DELIVERED) == 2 * 5 * POINTS
    assert lines(records) == []
    assert limits(records) == []
    assert world.books.truth.wrong == 0
    poller = world.gateways[0].pollers[0]
    exchange_ns = 2 * 200 * 1000 + MS  # there and back, and the response
    assert (
        POINTS * (exchange_ns - 200 * 1000) < poller.times.spent_ns[BUS] < POINTS * (exchange_ns + 300 * 1000)
    )
    assert poller.times.spent_ns[DRIVER] < MS


def test_two_runs_are_the_same(host: Host) -> None:
    spec = polled(host, driver(host), loss=0.1)
    first, second = (ran(spec, host)[0].trace.digest() for _ in range(2))
    assert first == second


@pytest.mark.parametrize("keep", ["yes", "no"])
def test_no_socket_is_left_open(host: Host, keep: str) -> None:
    world, _ = ran(polled(host, driver(host, keep=keep), count=1), host)
    assert count(world, End.DELIVERED) == 5 * POINTS
    files = world.gateways[0].machine.budget.files
    assert files.peak <= 6
    poller = world.gateways[0].pollers[0]
    assert poller.slot.imports.wasi is not None
    made = poller.slot.imports.wasi.called["sockets/tcp-create-socket#create-tcp-socket"]
    assert made == (1 if keep == "yes" else 5 * POINTS)


# ---- trouble -------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("trouble", "cause"),
    [
        (act(2 * S, "cut", "plant", 5 * S), "timeout"),
        (act(2 * S, "device-fault", "presses/1", 5 * S, kind="silent"), "timeout"),
        (act(2 * S, "device-fault", "presses/1", 5 * S, kind="slow", delay_ns=400 * MS), "timeout"),
        (act(2 * S, "crash", "gw", 5 * S), "gateway-down"),
        (act(2 * S, "restart", "gw"), ""),
        (act(2 * S, "fault-component", "gw/driver/presses/1", kind="unreachable"), ""),
    ],
    ids=["cut", "silent", "slow", "crash", "restart", "fault"],
)
def test_after_trouble_it_reads_again(host: Host, trouble: Action, cause: str) -> None:
    world, records = ran(polled(host, driver(host), duration_ns=10 * S, timeline=(trouble,)), host)
    assert world.books.truth.wrong == 0
    delivered = count(world, End.DELIVERED)
    assert delivered >= 2 * 6 * POINTS
    if cause:
        assert count(world, End.MISSED, cause) >= 2 * POINTS
    if cause == "timeout":
        assert any("TimedOut" in line or "WouldBlock" in line for line in lines(records))
    faults = {("rust-socket-driver", "unreachable"): 1} if "FaultComponent" in repr(trouble) else {}
    assert world.gateways[0].supervisor.faults == faults


def test_lost_packets_cost_time_and_nothing_else(host: Host) -> None:
    world, _ = ran(polled(host, driver(host, timeout=900), loss=0.02, duration_ns=20 * S), host)
    assert count(world, End.DELIVERED) > 2 * 15 * POINTS
    assert world.books.truth.wrong == 0


def test_without_a_timeout_of_its_own_its_call_ends_at_its_deadline(host: Host) -> None:
    cut = act(int(1.2 * S), "cut", "plant", 4 * S)
    world, _ = ran(polled(host, driver(host, timeout=0), count=1, duration_ns=10 * S, timeline=(cut,)), host)
    assert count(world, End.MISSED, "deadline") == POINTS
    assert world.gateways[0].supervisor.faults == {("rust-socket-driver", "deadline"): 1}
    assert count(world, End.DELIVERED) >= 5 * POINTS
    assert world.gateways[0].machine.budget.files.open <= 5


def test_an_instance_that_dies_while_it_waits_is_unwound(host: Host) -> None:
    """Its device is silent, and it waits for 900 ms; the board's memory goes meanwhile."""
    silent = act(int(1.5 * S), "device-fault", "presses/1", 5 * S, kind="silent")
    squeezed = act(int(2.2 * S), "limit-memory", "gw", int(2.3 * S), size_bytes=1 << 20)
    spec = polled(host, driver(host, timeout=900), count=1, duration_ns=10 * S, timeline=(silent, squeezed))
    world, _ = ran(spec, host)
    assert world.gateways[0].supervisor.faults[("rust-socket-driver", "memory-limit")] >= 1
    assert count(world, End.DELIVERED) >= 3 * POINTS


# ---- what the driver may not do ------------------------------------------------------------------
@pytest.mark.parametrize(
    ("what", "says", "hit"),
    [
        ("listen", "PermissionDenied: Permission denied (os error 2)", ("denied", 1)),
        ("bind", "PermissionDenied: Permission denied (os error 2)", ("denied", 1)),
        ("udp", "PermissionDenied: Permission denied (os error 2)", ("denied", 1)),
        ("many", "9 open, then No file descriptors available (os error 33)", ("open-sockets", 10)),
        ("flood", "Err(Uncategorized)", ("socket-buffer", 1)),
    ],
)
def test_limits_and_denials_are_its_errors(host: Host, what: str, says: str, hit: tuple[str, int]) -> None:
    """Each in its own words; and it reads on."""
    world, records = ran(polled(host, driver(host, do=what), count=1, duration_ns=3 * S), host)
    assert count(world, End.DELIVERED) == 3 * POINTS
    assert lines(records)[-1] == says
    assert hit in limits(records)


@pytest.mark.parametrize(
    ("what", "says"),
    [
        ("half", "11 bytes, then the end"),
        ("garbage", "Err(Uncategorized) 0 bytes"),
        ("addresses", "10.255.255.254:49153 to 10.0.0.1:502"),
    ],
)
def test_ends_and_addresses(host: Host, what: str, says: str) -> None:
    _, records = ran(polled(host, driver(host, do=what), count=1, duration_ns=S), host)
    assert lines(records)[0] == says


@pytest.mark.parametrize(
    "options", [{"host": "example.com"}, {"host": "10.0.0.2"}, {"host": "presses/2"}, {"port": 503}]
)
def test_it_reaches_its_own_device_and_nobody_else(host: Host, options: dict[str, Any]) -> None:
    world, records = ran(polled(host, driver(host, **options), duration_ns=2 * S), host)
    mine = [
        device for device in range(2) if options in ({"host": "presses/2"}, {"host": "10.0.0.2"}) and device
    ]
    assert world.ledger.count(End.DELIVERED, "", [0]) == 0
    assert world.ledger.count(End.DELIVERED, "", [1]) == len(mine) * 2 * POINTS
    assert ("denied", 1) in limits(records)
    assert all("PermissionDenied" in line for line in lines(records))


def test_without_a_grant_it_is_denied(host: Host) -> None:
    world, records = ran(polled(host, driver(host, WasiSpec(("wasi:clocks",))), duration_ns=2 * S), host)
    assert count(world, End.DELIVERED) == 0
    assert count(world, End.MISSED, "disconnected") == 2 * 2 * POINTS
    assert world.gateways[0].supervisor.faults == {}
    assert {*lines(records)} == {"PermissionDenied: Permission denied (os error 2)"}


# ---- pairs and upgrades --------------------------------------------------------------------------
def test_a_standby_has_its_own_connections(host: Host) -> None:
    crash = act(3 * S, "crash", "gw", 7 * S)
    spec = paired(polled(host, driver(host), duration_ns=12 * S, timeline=(crash,)), "hot")
    world, _ = ran(spec, host)
    assert count(world, End.DELIVERED) >= 2 * 9 * POINTS
    assert world.books.truth.wrong == 0


def test_an_upgrade_from_fieldbus_to_sockets_reads_on(host: Host) -> None:
    """What is new has its own connection; what was reached by the one before is reached by it."""
    own = component(
        host, "modbus-driver", "driver", ("fieldbus", "clock", "log", *OWN.packages), wasi=OWN,
        options=(("timeout", "200 ms"),), deadline_ns=S,
    )  # fmt: skip
    upgrade = act(2 * S, "upgrade", "gw/modbus-driver", version="1.1.0")
    spec = polled(host, own, duration_ns=20 * S, timeline=(upgrade,))
    world, records = ran(upgradable(spec, offer("modbus-driver", "1.1.0", guest_bytes())), host)
    assert count(world, End.DELIVERED) >= 2 * 18 * POINTS, world.ledger.count(End.MISSED)
    wasi = world.gateways[0].pollers[0].slot.imports.wasi
    assert wasi is not None
    assert wasi.called["sockets/tcp#[method]tcp-socket.start-connect"] >= 1
    assert [record[2:] for record in records if record[1] == "bus-error"] == []
