"""Figures over time and of all devices, worked out by hand: percentiles by window, loads of lines, cores and
links, levels, order, what a hand reads."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.tui.scene import S, engine, go, inline, text_of, until, view, with_app
from twinloop.components.host.host import Host
from twinloop.sim.kernel.clock import NEVER_NS
from twinloop.sim.kernel.random import RandomStreams
from twinloop.sim.network.link import Link, LinkModel
from twinloop.sim.snapshot import take
from twinloop.tui.drawing import plot
from twinloop.tui.engine.each_device import EachDevice
from twinloop.tui.engine.engine import Engine
from twinloop.tui.engine.figures import LATENCY, QUALITY, UNKNOWN, WRONG
from twinloop.tui.engine.messages import RunTo
from twinloop.tui.engine.over_time import WINDOWS_MAX, Busy, Percentiles, load_window_ns, window_ns
from twinloop.tui.screens import gateway, latency
from twinloop.tui.terminal.app import Twinloop

LINE = """\
format: 2
name: line
duration: 20 s
grace: 5 s
fleets:
  meters: {device: meter, protocol: modbus-rtu, count: 3, poll: 1 s, link: line, gateway: gw, driver: modbus-driver}
links:
  line: {serial: 9600 Bd}
  cloud: {delay: 10 ms, rate: 1 Mbit/s}
components:
  modbus-driver: {wasm: modbus-driver.wasm, grants: [fieldbus, clock, log]}
  normalize: {wasm: normalize.wasm, grants: [log]}
  route: {wasm: route.wasm, grants: [log]}
gateways:
  gw: {board: raspberry-pi-4, transform: normalize, policy: route, uplink: {link: cloud}, store: {}}
"""


def test_percentiles_by_window_are_ranked_anew_only_where_more_came() -> None:
    """Of 1, 2 ... 100 the nearest ranks are 50, 95 and 99; with as many again that never came 100 of 200."""
    found = Percentiles(10)
    values = np.array([*range(1, 101), 1000], np.int64)
    found.came(np.array([7] * 100 + [25]), values, np.array([1] * 100 + [4]))
    assert found.windows() == ((0, 50, 95, 99), (20, 1000, 1000, 1000))
    first = found.windows()
    found.never(0, 100, 3)
    again = found.windows()
    assert again[0] == (0, 100, -1, -1)
    assert again[1] is first[1], "nothing came: it isn't ranked again"


def test_a_longer_run_has_wider_windows_and_no_more_of_them() -> None:
    assert window_ns(20 * S) == S
    for seconds in (299, 300, 301, 3600, 86_400, 86_401):
        assert -(-seconds * S // window_ns(seconds * S)) <= WINDOWS_MAX


def test_loads_are_of_a_poll_period_where_there_are_enough_of_those() -> None:
    """90 s, and devices that are polled every 10 s: thirty times 3 s. An hour has windows of 12 s."""
    assert load_window_ns(90 * S, 10 * S) == 3 * S
    assert load_window_ns(90 * S, 2 * S) == 2 * S
    assert load_window_ns(3600 * S, S) == 12 * S
    assert load_window_ns(20 * S, S) == S


class World:
    """What ``Busy`` reads, with clocks and counters that are set by hand."""

    def __init__(self) -> None:
        self.env = self
        self.now = 0
        self.machine = self.board = self.occupancy = self.field = self
        self.name, self.cores, self.boot_busy_ns, self.total_ns, self.line_ns = "gw", 4, 0, 0, 0
        self.link = Link("line", LinkModel(), RandomStreams(1))
        self.gateways, self.lines = [self], {"line": self}
        cloud = Link("cloud", LinkModel(rate_bps=1_000_000), RandomStreams(1))
        self.links = {"cloud": cloud, "line": self.link}

    def busy_total_ns(self) -> int:
        return self.total_ns

    def busy_until(self, now_ns: int) -> int:
        return self.line_ns


def test_shares_are_of_the_stretch_between_two_readings() -> None:
    """Four cores that held 1 s of 1 s are busy for a quarter; the line for 30 %. 12 500 bytes are 100 ms at
    1 Mbit/s. A reading late, at 3.5 s, speaks of 2.5 s."""
    world: Any = World()
    world.total_ns, world.line_ns = 5 * S, 7 * S
    found = Busy(world, S)
    world.boot_busy_ns = 5 * S
    world.links["cloud"].legs("gw")[0].transit(125_000, -10 * S)
    found.booted()
    assert found.loads().from_ns == ()
    world.now, world.total_ns, world.line_ns = S, 6 * S, 7 * S + 300_000_000
    world.links["cloud"].legs("gw")[0].transit(12_500, 0)
    world.links["cloud"].legs("gw")[1].transit(1_250, 0)
    found.read()
    assert found.next_ns == 2 * S
    world.now = round(3.5 * S)
    found.read()
    assert found.next_ns == 4 * S
    loads = found.loads()
    assert loads.from_ns == (0, S)
    assert [(one.kind, one.name, one.shares) for one in loads.loads] == [
        ("cores", "gw", (0.25, 0.0)),
        ("line", "line", (0.3, 0.0)),
        ("link", "cloud", (0.1, 0.0)),
    ]
    assert loads.more == 0


def test_a_way_is_busy_as_long_as_its_packets_take_at_its_rate() -> None:
    """Two packets of 1 s each at once: after half a second half a second has been sent, after 3 s two."""
    up, _ = Link("cloud", LinkModel(rate_bps=8_000), RandomStreams(1)).legs("gw")
    up.transit(1_000, 0)
    up.transit(1_000, 0)
    assert [up.busy_until(at) for at in (0, S // 2, 2 * S, 3 * S)] == [0, S // 2, 2 * S, 2 * S]
    assert up.offer(500, 3 * S)
    assert up.busy_until(4 * S) == 2 * S + S // 2
    free, _ = Link("lan", LinkModel(), RandomStreams(1)).legs("gw")
    free.transit(1_000, 0)
    assert free.busy_until(S) == 0, "without a rate nothing takes time"


def run(host: Host, tmp_path: Path, until_s: float) -> Engine:
    file = tmp_path / "line.yaml"
    file.write_text(LINE, encoding="utf-8")
    one = engine(host, file)
    one.handle(RunTo(round(until_s * S)))
    go(one)
    return one


def test_the_load_of_a_serial_line_and_of_cores_by_hand(host: Host, tmp_path: Path) -> None:
    """Each second three meters are asked twice, at 9600 Bd with 11 bits a character: 8 bytes and 9, 8 and 29,
    with 3.5 characters of silence behind each frame and 5 ms to think. That is 263.75 ms. Cores are held for
    what the components' meters say, and for handing a message on and its acknowledgement."""
    one = run(host, tmp_path, 6.9)
    before = {row.component: row.cpu_ns for row in view(one).instances}
    one.handle(RunTo(round(10.9 * S)))
    go(one)
    seen = view(one, loads=True)
    loads = seen.figures.loads
    assert loads is not None
    by_kind = {load.kind: load for load in loads.loads}
    assert {load.name for load in loads.loads} == {"gw", "line/1", "cloud"}
    characters = 8 + 9 + 8 + 29 + 4 * 3.5
    exchanges_s = 3 * (characters * 11 / 9600 + 2 * 0.005)
    assert exchanges_s == pytest.approx(0.26375)
    assert by_kind["line"].shares[5:] == pytest.approx([exchanges_s] * len(by_kind["line"].shares[5:]), 1e-6)
    spent_ns = sum(row.cpu_ns - before[row.component] for row in seen.instances)
    prices = one.world.gateways[0].machine.budget.prices.work_ns
    spent_ns += 4 * 3 * (prices["publish"].value + prices["ack"].value)
    assert by_kind["cores"].shares[6:10] == pytest.approx([spent_ns / (4 * S) / 4] * 4, rel=1e-4)
    text = "\n".join(line.plain for line in gateway.load(one.plan, seen, 90, 14))
    assert "line/1 line 26.4 %" in text
    assert "gw cores 0.00489 %" in text
    one.world.close()


class Books:
    """What ``EachDevice`` reads."""

    def __init__(self, polls_ns: list[int]) -> None:
        self.spec = self
        self.devices = [type("Device", (), {"fleet": i % 2, "poll_ns": p})() for i, p in enumerate(polls_ns)]
        self.fleets, self.gateways = ("even", "odd"), []
        self.ledger = self
        count = len(polls_ns)
        self.due_of, self.good_of = [100] * count, [100] * count
        self.status_of: dict[tuple[int, int], int] = {}


def test_levels_of_all_devices() -> None:
    """By hand: 0, 1, 2, 11 and 60 of a hundred; 25, 26, 50 and 51 ms against 50 ms; half a poll period."""
    world: Any = Books([S] * 6)
    each = EachDevice(world)
    each.missed[1], each.missed[2], each.lost[3] = 1, 2, 11
    each.missed[4], each.lost[4] = 30, 30
    world.due_of[5] = 0
    assert list(each.levels(WRONG, 0)) == [0, 1, 2, 3, 4, UNKNOWN]
    assert each.by_fleet() == ((0 + 2 + 30, 1), (0 + 0 + 30, 11))
    for i, worst_ms in enumerate((25, 26, 50, 51)):
        each.worst_ns[i] = worst_ms * 1_000_000
    each.worst_ns[4] = NEVER_NS
    assert list(each.levels(LATENCY, 50_000_000)) == [0, 1, 1, 2, 3, UNKNOWN]
    assert list(each.levels(LATENCY, 0)) == [0, 0, 0, 0, 3, UNKNOWN], "of a second, which is the poll period"
    world.good_of[:] = [100, 199, 98, 89, 40, 0]
    world.status_of.update({(1, 0x40000000): 1, (2, 0x40000000): 1, (2, 0x80000000): 1, (3, 0x80000000): 11})
    world.status_of[4, 0x80000000] = 60
    assert list(each.levels(QUALITY, 0)) == [0, 1, 2, 3, 4, UNKNOWN]
    by_lost = each.order("lost", [])
    assert by_lost is not None
    assert by_lost.tolist() == [0, 0, 0, -11, -30, 0]
    assert each.order("device", []) is None


def test_columns_of_a_run_are_those_of_its_ledger(host: Host, file: Path) -> None:
    """With a cut uplink, and devices that don't answer for a while."""
    text = file.read_text(encoding="utf-8")
    more = "timeline:\n  - {at: 2 s, device-fault: presses/1, kind: silent, for: 3 s}\n"
    file.write_text(text.replace("timeline:\n", more), encoding="utf-8")
    one = engine(host, file)
    one.handle(RunTo(10 * S))
    go(one)
    columns, each = take(one.world).devices, one.watch.each
    assert columns.missed.sum() > 0
    assert (list(each.missed), list(each.lost)) == (columns.missed.tolist(), columns.lost.tolist())
    seen = view(one, rows=tuple(range(7)), levels=WRONG, sort="driver")
    assert [row.missed for row in seen.rows] == columns.missed.tolist()
    assert {row.state for row in seen.rows} == {"ready"}
    assert seen.figures.levels is not None
    assert seen.figures.levels.by_device[0] > 0
    assert seen.figures.order is not None
    assert seen.figures.order.figures.tolist() == [3] * 7, "ready comes fourth in the alphabet"
    one.world.close()


def test_a_hand_reads_what_holds_at_its_instant() -> None:
    values = [(0, 1.0), (10, 2.0), (20, math.nan), (30, 4.0)]
    assert [plot.value_at(values, at) for at in (0, 9.9, 10, 35)] == [1.0, 1.0, 2.0, 4.0]
    assert math.isnan(plot.value_at(values, -1))
    assert math.isnan(plot.value_at(values, 25))
    axes = plot.Axes(0, 40, lambda value: f"{value:g}", lambda at: f"{at}", hand_at=20.0, hand_ns=40)
    lines = [line.plain for line in plot.lines(values, axes, 49, 10)]
    column = plot.LABEL + 1 + 20 * 39 // 40
    assert lines[8][column] == "△"
    assert sum(line[column] == "╎" for line in lines[:8]) >= 6
    assert lines[8].endswith("▲")


def test_several_curves_have_dashes_and_signs_of_their_own() -> None:
    """Flat ones, over 102 columns of dots: all of them, three of six, one of two, four of six."""
    flat = [(0, 0.0), (1000, 0.0)]
    axes = plot.Axes(0, 1000, lambda value: f"{value:g}", lambda at: f"{at}")
    dots = []
    for number in range(plot.CURVES_MAX):
        curve = plot.Curve("", flat, number)
        (line,) = (
            one.plain
            for one in plot.curves([curve], axes, 60, 8)[:6]
            if any(c > "⠀" and c < "⣿" for c in one.plain)
        )
        cells = [ord(c) - 0x2800 for c in line[plot.LABEL + 1 :] if "⠀" <= c <= "⣿"]
        dots.append(sum(cell.bit_count() for cell in cells))
    assert dots == [102, 51, 51, 68]
    assert len({plot.Curve("", flat, i).sign for i in range(plot.CURVES_MAX)}) == plot.CURVES_MAX
    assert len(set(plot.STYLES)) == len(plot.STYLES) == plot.CURVES_MAX


def test_percentiles_are_named_and_in_a_small_pane_p99_is_alone(host: Host, file: Path) -> None:
    one = engine(host, file)
    one.handle(RunTo(5 * S))
    go(one)
    found = view(one)
    large, small = (latency.over_time(one.plan, found, *size)[0].plain for size in ((90, 12), (40, 12)))
    assert [name for name in ("p99", "p95", "p50") if name in large] == ["p99", "p95", "p50"]
    assert "p95" not in small
    at_2s = latency.over_time(one.plan, found, 90, 12, hand_at=2.5 * S)[0].plain
    window = next(one for one in found.latency if one[0] == 2 * S)
    assert latency.time_text_of(window[3]) in at_2s
    assert "at 0:02" in at_2s
    cloud = latency.over_time(one.plan, found, 90, 12, cloud=True)[0].plain
    assert "limit" not in cloud, "no expectation bounds it"
    assert latency.time_text_of(found.figures.cloud[-1][3]) in cloud
    one.world.close()


def test_keys_change_what_cells_say_and_whose_latency_is_drawn(host: Host, file: Path) -> None:
    async def body(app: Twinloop, pilot: Any) -> None:
        await until(pilot, lambda: "wrong: " in text_of(app))
        for head in ("worst: ", "not good: ", "wrong: "):
            await pilot.press("h")
            await until(pilot, lambda head=head: head in text_of(app))  # type: ignore[misc]
        await pilot.press("p")
        await until(pilot, lambda: "Latency to the cloud" in text_of(app))
        await pilot.press("p")
        await until(pilot, lambda: "Latency at the gateway" in text_of(app))

    with_app(file, body, (200, 60), inline(host))
