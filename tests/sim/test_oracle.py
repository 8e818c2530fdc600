"""A second opinion (tests/oracle): random small plants, whose books a plain model works out by itself, end as
it says."""

from __future__ import annotations

import ast
import os
from collections import Counter
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests import plants
from tests.oracle import model
from tests.oracle.plants import MS, Books, Cloud, Device, Plant, S, Store, Wire
from tests.oracle.subscription import Subscribed, may_become
from twinloop.components.host.host import Host
from twinloop.components.native.choice import CHOICE
from twinloop.devices.model.device import DeviceModel
from twinloop.devices.model.points import Point
from twinloop.devices.model.signal import Signal
from twinloop.sim.accounts.rows import End, Row
from twinloop.sim.model.spec import Action, LinkSpec, OpcUaSpec, StoreSpec, UplinkSpec, WorldSpec
from twinloop.sim.network import tcp
from twinloop.sim.network.link import LinkModel
from twinloop.sim.trouble.verbs import act
from twinloop.sim.world import World

ROOMS = ("components", "devices", "scenarios", "sim", "tui")
PRICE_MAX_NS = 12 * MS
"""of a step of the gateway's own: more than any costs on the board below"""
PRICE_USUAL_NS = 150_000
"""of most of its steps: at most so much"""
GUESSES = 4
"""of each kind"""


class Script:
    """Instead of a stream of random numbers: the packets of a list are lost, by their number."""

    def __init__(self, lost: frozenset[int]) -> None:
        self.lost, self.count = lost, 0

    def word(self) -> int:
        """The next packet's."""
        self.count += 1
        return 0 if self.count - 1 in self.lost else 2**64 - 1


def device_model(device: Device) -> DeviceModel:
    points = [
        Point(f"p{block}-{i}", "holding", 200 * block + i, signal=Signal("constant", 5.0))
        for block, count in enumerate(device.points)
        for i in range(count)
    ]
    return DeviceModel(
        f"oracle-{device.points}", "of the oracle", "ours", ("modbus-tcp", "modbus-rtu"), tuple(points)
    )


def spec_of(host: Host, plant: Plant) -> WorldSpec:
    """The same plant for twinloop."""
    cloud, serial = plant.cloud, plant.line_bd is not None
    drivers = {
        i + 1: plants.driver(
            host,
            options=(("timeout", f"{device.timeout_ns // MS} ms"), ("retries", str(device.retries))),
            cpu_ns=S,
            deadline_ns=3600 * S,
        )
        for i, device in enumerate(plant.devices)
    }
    drivers = {i: replace(one, name=f"driver-{i}") for i, one in drivers.items()}
    store = cloud.store and StoreSpec(
        cloud.store.capacity_bytes,
        cloud.store.drain_per_s,
        ttl_ns=cloud.store.ttl_ns,
        refuse=cloud.store.refuses,
    )
    uplink = UplinkSpec(
        "cloud",
        cloud.window,
        cloud.retry_first_ns,
        cloud.retry_max_ns,
        0.0,
        36_000 * S,
        cloud.user_timeout_ns,
    )
    north = [*cuts_of("cloud", cloud.cuts), *slowed("cloud", cloud.slow)]
    spec = plants.plant(
        host,
        count=len(plant.devices),
        duration_ns=plant.duration_ns,
        settle_ns=plant.settle_ns,
        store=store,
        uplink=uplink,
        drivers=drivers,
        timeline=(*north, *cuts_of("plant", plant.field_cuts)),
        serial_bd=plant.line_bd,
    )
    devices = tuple(
        replace(
            spec.devices[i],
            name=one.name,
            model=device_model(one),
            poll_ns=one.period_ns,
            phase_ns=one.phase_ns,
            response_ns=one.response_ns,
            overrun="queue" if one.queues else "skip",
        )
        for i, one in enumerate(plant.devices)
    )
    links = tuple(
        LinkSpec(f"plant-{i}", LinkModel(one.wire.delay_ns, loss=0.5)) for i, one in enumerate(plant.devices)
    )
    if not serial:
        devices = tuple(replace(one, link=f"plant-{i}") for i, one in enumerate(devices))
        south = [
            action
            for link in links
            for action in (*cuts_of(link.name, plant.field_cuts), *slowed(link.name, plant.field_slow))
        ]
        spec = replace(spec, timeline=(*north, *south))
    line = LinkSpec("plant", LinkModel(loss=0.5), plant.line_bd)
    return replace(
        spec,
        devices=devices,
        links=((line,) if serial else links) + (LinkSpec("cloud", LinkModel(cloud.delay_ns)),),
    )


def cuts_of(link: str, spans: tuple[tuple[int, int], ...]) -> list[Action]:
    return [act(since, "cut", link, until) for since, until in spans]


def slowed(link: str, spans: tuple[tuple[int, int, int], ...]) -> list[Action]:
    return [
        act(since, "degrade", link, until, changes=(("delay_ns", delay_ns),))
        for since, until, delay_ns in spans
    ]


def ends_of(world: World) -> list[tuple[Row, int, str]]:
    """Runs a world: (row, point, how it ended) of each sample."""
    found: list[tuple[Row, int, str]] = []
    usual = world.ledger.on_end

    def told(row: Row, mask: int, end: End, cause: str) -> None:
        found.extend(
            (row, point, f"{end.value} {cause}".strip())
            for point in range(mask.bit_length())
            if mask >> point & 1
        )
        if usual is not None:
            usual(row, mask, end, cause)

    world.ledger.on_end = told
    try:
        world.run()
    finally:
        world.close()
    return found


def run(host: Host, plant: Plant) -> Books:
    """What twinloop's books hold."""
    world = World(spec_of(host, plant), host)
    for i, device in enumerate(plant.devices):
        if plant.line_bd is None:
            script(world.links[f"plant-{i}"].legs(device.name), device.wire)
    if plant.line_bd is not None:
        script(world.links["plant"].legs("plant/1"), plant.line)
    found = {(plant.devices[row.device].name, row.k, point): how for row, point, how in ends_of(world)}
    return Books(found, world.ledger.duplicates)


def script(ways: Any, wire: Wire) -> None:
    for way, lost in zip(ways, (wire.lost_up, wire.lost_down), strict=True):
        way._coins = {"loss": Script(lost)}


def opinions(plant: Plant) -> Books | None:
    """The oracle's books; None when only the price of CPU time could tell: they differ between guesses at it,
    or two events lie too near."""
    guesses = [
        (Random(seed), most_ns) for seed in range(GUESSES) for most_ns in (PRICE_MAX_NS, PRICE_USUAL_NS)
    ]
    drawn = [lambda draw=draw, most_ns=most_ns: draw.randrange(most_ns) for draw, most_ns in guesses]  # type: ignore[misc]
    prices = [lambda: 0, lambda: PRICE_MAX_NS, lambda: PRICE_USUAL_NS // 4, *drawn]
    first = model.books(plant, prices[0])
    if first.close_calls:
        return None
    return first if all(model.books(plant, price) == first for price in prices[1:]) else None


# ---- random plants -------------------------------------------------------------------------------
ODD_NS, ODDER_NS = 13_000, 107_000
"""added to delays and to response times: no sum of a few of them is a timeout to the nanosecond, where the
order of two events would be anybody's guess"""


RESENT_MS = (200, 600, 1400)
"""after a request it is sent again: no driver's timeout ends at that very instant"""


def spans(draw: Random, last_ms: int, longest_ms: int) -> tuple[tuple[int, int], ...]:
    """Up to two cuts, apart."""
    cuts: list[tuple[int, int]] = []
    for _ in range(draw.choice((0, 0, 1, 2))):
        since = draw.randrange(last_ms) * MS
        cut = since, since + draw.randint(200, longest_ms) * MS
        if not cuts or cut[0] > cuts[0][1] + 5 * S or cut[1] + 5 * S < cuts[0][0]:
            cuts.append(cut)
    return tuple(sorted(cuts))


def slow_spans(draw: Random) -> tuple[tuple[int, int, int], ...]:
    """Up to two times in which a way takes longer, or less long, than it does else; always less than the 200
    ms after which a segment is sent again: of a copy beside one that is still on its way sim/network/tcp.py
    knows nothing, and says so."""
    return tuple(
        (since, until, draw.choice((0, 3, 60, 110, 180)) * MS + ODD_NS)
        for since, until in spans(draw, 30_000, 12_000)
    )


def losses(draw: Random) -> frozenset[int]:
    """None, some here and there, or a run of them."""
    kind = draw.randrange(3)
    if kind == 1:
        return frozenset(draw.sample(range(60), draw.randint(1, 15)))
    first = draw.randrange(30)
    return frozenset(range(first, first + draw.randint(1, 9))) if kind else frozenset()


def store_of(draw: Random) -> Store | None:
    rate = draw.choice((5, 50, 200))
    kind = draw.randrange(4)
    if kind == 0:
        return None
    if kind == 1:
        return Store(draw.randint(100, 4000), rate, refuses=draw.random() < 0.4)
    return Store(64 << 20, rate, None if kind == 2 else draw.randint(3, 30) * S + 230 * MS)


def device_of(draw: Random, index: int, serial: bool, one_block: bool) -> Device:
    period_ms, response_ms = draw.randint(300, 6000), draw.choice((1, 20, 90) if serial else (1, 20, 90, 450))
    timeout_ms = draw.randint(response_ms + 170, 900) if serial else draw.randint(60, 2500)
    timeout_ms += timeout_ms in RESENT_MS
    wire = Wire() if serial else Wire(draw.choice((1, 7, 40, 110)) * MS + ODD_NS, losses(draw), losses(draw))
    points = tuple(draw.randint(1, 6) for _ in range(1 if one_block else draw.randint(1, 3)))
    return Device(
        f"d{index}",
        draw.randrange(period_ms) * MS,
        period_ms * MS,
        response_ms * MS + ODDER_NS,
        timeout_ms * MS,
        draw.randint(0, 2),
        points,
        draw.random() < 0.5,
        wire,
    )


def random_plant(seed: int) -> Plant:
    draw = Random(seed)
    line_bd, store = draw.choice((None, None, 9600, 38_400)), store_of(draw)
    cloud = Cloud(
        draw.choice((5, 33, 140)) * MS + ODD_NS,
        draw.choice((4, 10)) * S,
        draw.choice((1, 3)) * S,
        draw.choice((8, 30)) * S,
        draw.choice((1, 4, 32)),
        spans(draw, 40_000, 60_000),
        store,
    )
    one_block = (
        store is not None and store.capacity_bytes < 1 << 20
    )  # then messages are as long as JSON says, whatever is measured when
    devices = tuple(device_of(draw, i, line_bd is not None, one_block) for i in range(draw.randint(1, 4)))
    later = Random(~seed)
    cloud = replace(cloud, slow=slow_spans(later))
    return Plant(
        draw.randint(10, 45) * S,
        draw.choice((15, 30, 60)) * S,
        devices,
        cloud,
        () if line_bd else spans(draw, 30_000, 8000),
        line_bd,
        Wire(0, losses(draw), losses(draw)) if line_bd else Wire(),
        field_slow=() if line_bd else slow_spans(later),
    )


@lru_cache(maxsize=1000)
def expected_of(seed: int) -> Books | None:
    """What the oracle holds of ``random_plant(seed)``, worked out once for all tests of the suite; nobody
    changes it."""
    return opinions(random_plant(seed))


COMPARED = 10_000 if "TWINLOOP_SOAK" in os.environ else 150
"""plants; those of which only CPU time could tell aren't counted, and are no more than half"""
WANTED = (
    "delivered",
    "missed timeout",
    "missed disconnected",
    "missed overrun",
    "lost no-store",
    "evicted capacity",
    "evicted ttl",
    "cached",
    "duplicates",
)


def test_the_books_hold_what_a_plain_model_works_out(host: Host) -> None:
    """The suite tries the same plants each time, the soak new ones: a seed that fails is named, and
    ``random_plant`` of it is the plant."""
    tally: Counter[str] = Counter()
    seed = int.from_bytes(os.urandom(4), "big") << 20 if "TWINLOOP_SOAK" in os.environ else 0
    while tally["compared"] < COMPARED:
        seed += 1
        plant, expected = random_plant(seed), expected_of(seed)
        if expected is None:
            tally["unclear"] += 1
            continue
        found = run(host, plant)
        differ = {
            key: (how, found.ends.get(key))
            for key, how in expected.ends.items()
            if found.ends.get(key) != how
        }
        assert not differ, f"seed {seed}, (expected, found): {dict(list(differ.items())[:5])}"
        assert found == expected, (
            f"seed {seed}: {expected.duplicates} duplicates expected, {found.duplicates} found"
        )
        tally.update(
            {"compared": 1, "duplicates": found.duplicates > 0, **dict.fromkeys(found.ends.values(), 1)}
        )
    assert tally["unclear"] < tally["compared"], tally
    assert not [how for how in WANTED if not tally[how]], f"some of these occur in no plant: {tally}"


def subscribed(draw: Random) -> Subscribed:
    sampling_ms = draw.choice((100, 250, 500, 1000))
    cuts = tuple((since, until) for since, until in spans(draw, 25_000, 9000) if since > 3 * S)
    return Subscribed(
        "presses/1",
        draw.randrange(sampling_ms) * MS,
        sampling_ms * MS,
        draw.choice((100, 200, 500, 1500)) * MS,
        draw.choice((200, 500, 1000)) * MS,
        tuple(draw.choice((1, 1, 2, 5)) for _ in range(draw.randint(1, 5))),
        cuts,
    )


def subscribed_spec(host: Host, device: Subscribed, duration_ns: int) -> WorldSpec:
    """The same for twinloop: square waves, high in the first half of their period."""
    opcua = plants.component(
        host,
        "opcua-driver",
        "driver",
        ("fieldbus", "clock", "log"),
        options=(("timeout", "300 ms"),),
        cpu_ns=S,
        deadline_ns=60 * S,
    )
    points = [
        Point(f"p{i}", "holding", 4 * i, "u16", signal=Signal("square", 0.0, 1.0, 2 * steps, phase=0))
        for i, steps in enumerate(device.every_steps)
    ]
    spec = plants.plant(
        host,
        count=1,
        duration_ns=duration_ns,
        settle_ns=40 * S,
        drivers={1: opcua},
        name=device.name,
        phase_ns=device.phase_ns,
        poll_ns=device.sampling_ns,
        protocol="opcua",
        model=DeviceModel(
            f"oracle-{device.every_steps}",
            "of the oracle",
            "ours",
            ("opcua",),
            tuple(points),
            step_ns=device.step_ns,
        ),
        subscribed=OpcUaSpec(device.publishing_ns, 1000),
        timeline=tuple(act(since, "cut", "plant", until) for since, until in device.cuts),
    )
    return replace(
        spec, links=(LinkSpec("plant", LinkModel(2 * MS + ODD_NS)), LinkSpec("cloud", LinkModel(30 * MS)))
    )


def test_subscriptions_end_as_a_plain_model_says(host: Host) -> None:
    """Which samples are due is said exactly; how they end, wherever no connection was about to break or to
    come back."""
    tally: Counter[str] = Counter()
    first = int.from_bytes(os.urandom(4), "big") << 20 if "TWINLOOP_SOAK" in os.environ else 0
    for seed in range(first, first + COMPARED // 10):
        device, duration_ns = subscribed(Random(seed)), 40 * S
        expected = may_become(device, duration_ns)
        world = World(subscribed_spec(host, device, duration_ns), host)
        found: dict[tuple[int, int], str] = {}
        for row, point, how in ends_of(world):
            found[row.due_ns, point] = how
        assert found.keys() == expected.keys(), (
            f"seed {seed}, due: {sorted(found.keys() ^ expected.keys())[:5]}"
        )
        differ = {key: (sorted(may), found[key]) for key, may in expected.items() if found[key] not in may}
        assert not differ, f"seed {seed}, (expected, found): {dict(list(differ.items())[:5])}"
        tally.update(how for key, how in found.items() if len(expected[key]) == 1)
        tally["either"] += sum(len(may) > 1 for may in expected.values())
    assert tally["delivered"] > 3 * tally["either"]
    assert tally["missed disconnected"] >= COMPARED // 10


def test_the_oracle_shares_no_code_with_twinloop() -> None:
    for file in (Path(__file__).parents[1] / "oracle").glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = (
                [node.module or ""]
                if isinstance(node, ast.ImportFrom)
                else [one.name for one in node.names]
                if isinstance(node, ast.Import)
                else []
            )
            assert not [
                name
                for name in names
                if name.split(".")[0] in ROOMS
                or (name.startswith("tests") and not name.startswith("tests.oracle"))
            ], file


@pytest.mark.parametrize(
    ("where", "wrong"),
    [
        ("twinloop.sim.network.half.RTO_NS", 300 * MS),
        ("twinloop.sim.field.tcp_port.BUS_USER_TIMEOUT_NS", 5 * S),
        ("twinloop.sim.north.store.ROW_OVERHEAD_BYTES", 90),
        ("twinloop.sim.network.tcp.SYN_RTO_NS", 3 * S),
    ],
)
def test_the_oracle_notices_what_is_wrong(
    request: pytest.FixtureRequest, host: Host, monkeypatch: pytest.MonkeyPatch, where: str, wrong: int
) -> None:
    """A figure of the engine's is changed: within the suite's plants some book differs."""
    monkeypatch.setattr(where, wrong)
    if where.endswith(".half.RTO_NS") and CHOICE.engine is not None:  # C was told
        tcp.bind(CHOICE.engine, tcp._Half, tcp.Way, wrong)
        request.addfinalizer(lambda: tcp.bind(CHOICE.engine, tcp._Half, tcp.Way))
    for seed in range(1, 350):
        expected = expected_of(seed)
        if expected is not None and run(host, random_plant(seed)) != expected:
            return
    pytest.fail("nobody has noticed")
