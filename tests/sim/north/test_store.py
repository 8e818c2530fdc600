"""The store against physics: power that goes in the middle of a sync, flash that is slow, memory that
forgets, tries that run out."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import pytest

from tests.components import guests
from tests.plants import component, plant, run
from tests.sim.test_world import conserved, cut
from twinloop.components.host.host import Host
from twinloop.sim.accounts.rows import End
from twinloop.sim.kernel.clock import MS, S
from twinloop.sim.kernel.invariants import InvariantError
from twinloop.sim.kernel.random import RandomStream
from twinloop.sim.model.spec import Action, StoreSpec, UplinkSpec, WorldSpec
from twinloop.sim.model.store_presets import STORE_PRESETS
from twinloop.sim.north.flash import FlashFile, pages_for
from twinloop.sim.trouble.verbs import act
from twinloop.sim.world import World

NARROW = UplinkSpec("cloud", window=1)
SLOW = 40_000
"""bytes a second: a sync of a few batches takes a third of a second, so that a power cut often falls into
one"""


def storing(host: Host, *timeline: Action, store: StoreSpec, **changes: Any) -> WorldSpec:
    """Ten devices whose samples all go to the store, as the uplink is cut for the first 15 s."""
    return plant(
        host,
        **{"count": 10, "duration_ns": 20 * S, "uplink": NARROW, **changes},
        store=store,
        timeline=(cut(0, 15), *timeline),
    )


# ---- the power goes ------------------------------------------------------------------------------
def test_two_hundred_power_cuts_keep_every_acknowledged_batch_and_invent_none(host: Host) -> None:
    """At random instants, most of them in the middle of a sync: SQLite opens what is left of its log, and the
    list of acknowledged commits that is kept outside is there (FlashFile raises InvariantError when it
    isn't)."""
    instants = RandomStream(4711)
    cuts, torn, lost = 0, 0, 0
    for seed in range(24):
        troubles = tuple(
            act(at, "power-cut", "gw", at + 200 * MS)
            for at in sorted(S + instants.below(13 * S) // MS * MS for _ in range(10))
        )
        world = World(
            storing(host, *troubles, store=StoreSpec(commit_ns=50 * MS, flash_bytes_per_s=SLOW), seed=seed),
            host,
        )
        store = world.gateways[0].outbox.store
        assert store is not None
        file = store.file
        assert file is not None
        real, seen = file.cut_power, {"cuts": 0, "torn": 0}

        def counted(real: Any = real, file: FlashFile = file, seen: dict[str, int] = seen) -> dict[int, None]:
            seen["cuts"] += 1
            seen["torn"] += file.syncing
            return real()

        file.cut_power = counted  # type: ignore[method-assign]
        world.run()
        world.close()
        conserved(world)
        cuts, torn, lost = (
            cuts + seen["cuts"],
            torn + seen["torn"],
            lost + world.ledger.count(End.LOST, "power-cut"),
        )
    assert cuts >= 200, "of 240: one that falls while the gateway is down is none"
    assert torn > 80
    assert lost > 100


def test_a_store_that_acknowledges_before_its_sync_is_caught(host: Host) -> None:
    power = tuple(
        act(int((3 + i) * S) + 130 * MS, "power-cut", "gw", int((3 + i) * S) + 400 * MS) for i in range(8)
    )
    world = World(storing(host, *power, store=StoreSpec(commit_ns=50 * MS, flash_bytes_per_s=SLOW)), host)
    file = world.gateways[0].outbox.store.file  # type: ignore[union-attr]
    assert file is not None
    begin = file.begin_sync

    def hasty(size_bytes: int) -> int:
        to_write = begin(size_bytes)
        file._durable |= dict.fromkeys(
            row for row, there in file._writing or () if there
        )  # says that it is on the flash while it is being written
        return to_write

    file.begin_sync = hasty  # type: ignore[method-assign]
    with pytest.raises(
        InvariantError,
        match=r"store of gw: batch [0-9]+ was acknowledged as stored and is gone after a power cut",
    ):
        world.run()
    world.close()


def test_a_row_that_nobody_wrote_is_caught(host: Host) -> None:
    world = World(storing(host, act(5 * S, "power-cut", "gw", 6 * S), store=StoreSpec()), host)
    file = world.gateways[0].outbox.store.file  # type: ignore[union-attr]
    assert file is not None
    world.boot()
    world.advance(4 * S)
    file.db.execute("INSERT INTO batches VALUES (99999, 0, 'x', 0, '1', 0, 0, x'00')")
    with pytest.raises(InvariantError, match="batch 99999 is there after a power cut and was never written"):
        world.finish()
    world.close()


def test_a_log_that_is_long_is_copied_into_the_database_and_the_power_may_still_go(host: Host) -> None:
    power = act(14 * S, "power-cut", "gw", int(14.5 * S))
    spec = storing(host, power, store=StoreSpec(commit_ns=20 * MS), count=40, poll_ns=100 * MS)
    world = World(spec, host)
    file = world.gateways[0].outbox.store.file  # type: ignore[union-attr]
    assert file is not None
    world.boot()
    sizes = []
    for second in range(1, 14):
        world.advance(second * S)
        sizes.append(file._log_bytes())
    world.finish()
    world.close()
    conserved(world)
    assert any(later < earlier for earlier, later in itertools.pairwise(sizes)), "it was cut back"
    assert world.ledger.count(End.LOST, "power-cut") < 400


def test_what_a_component_kept_since_the_last_sync_is_gone_too(host: Host) -> None:
    keeper = component(host, "keeper", "driver", ("state",), guests.keeping(8), deadline_ns=S)
    power = act(5 * S + 10 * MS, "power-cut", "gw", 6 * S)
    world = World(
        plant(
            host,
            count=1,
            duration_ns=8 * S,
            drivers={1: keeper},
            timeline=(power,),
            poll_ns=10 * S,
            phase_ns=5 * S,
        ),
        host,
    )
    world.boot()
    slot = world.gateways[0].pollers[0].slot
    world.advance(5 * S + 5 * MS)
    assert slot.imports.values == {"k": bytes(8)}, "set, and parked until the sync"
    world.advance(int(5.5 * S))
    assert slot.imports.values == {}
    world.finish()
    world.close()
    conserved(world)


# ---- flash ---------------------------------------------------------------------------------------
def test_slow_flash_falls_behind_by_name(host: Host) -> None:
    slow = run(storing(host, store=StoreSpec(commit_ns=20 * MS, flash_bytes_per_s=20_000)), host)
    conserved(slow)
    assert slow.gateways[0].machine.budget.breaches["flash-behind"] > 10
    quick = run(storing(host, store=StoreSpec(commit_ns=20 * MS)), host)
    assert "flash-behind" not in quick.gateways[0].machine.budget.breaches
    store = quick.gateways[0].outbox.store
    assert store is not None
    assert store.flash_bytes >= 2 * 4096 * 2 * store.syncs, (
        "two pages at least, to the log and to the database"
    )


def test_fewer_syncs_wear_the_flash_less(host: Host) -> None:
    often, seldom = (
        run(storing(host, store=StoreSpec(commit_ns=every)), host).gateways[0].outbox.store
        for every in (20 * MS, 2 * S)
    )
    assert often is not None
    assert seldom is not None
    assert often.flash_bytes > 3 * seldom.flash_bytes


def test_pages() -> None:
    assert [pages_for(size) for size in (0, 1, 4096, 4097)] == [2, 3, 3, 4]


# ---- stores in the field -------------------------------------------------------------------------
def test_a_store_in_memory_forgets_and_one_on_flash_does_not(host: Host) -> None:
    crash = act(10 * S, "crash", "gw", 11 * S)
    memory = run(storing(host, crash, store=StoreSpec(volatile=True)), host)
    flash = run(storing(host, crash, store=StoreSpec()), host)
    conserved(memory)
    assert memory.ledger.count(End.LOST, "crash") > 900
    assert flash.ledger.count(End.LOST, "crash") <= 20
    shut = run(storing(host, act(10 * S, "shutdown", "gw", 11 * S), store=StoreSpec(volatile=True)), host)
    assert shut.ledger.count(End.LOST, "no-store") > 900
    store = memory.gateways[0].outbox.store
    assert store is not None
    assert (store.flash_bytes, store.syncs) == (0, 0)


def test_a_full_store_may_refuse_the_newcomer(host: Host) -> None:
    ends: dict[bool, list[int]] = {}
    for refuse in (True, False):
        world = World(storing(host, store=StoreSpec(capacity_bytes=20_000, refuse=refuse)), host)
        ks = ends[refuse] = []
        on_end = world.ledger.on_end
        assert on_end is not None

        def seen(row: Any, mask: int, end: End, cause: str, ks: list[int] = ks, on_end: Any = on_end) -> None:
            if end is End.EVICTED:
                ks.append(row.k)
            on_end(row, mask, end, cause)

        world.ledger.on_end = seen
        world.run()
        world.close()
        conserved(world)
    assert sorted(ends[True])[len(ends[True]) // 10] > 2, (
        "the first ones stayed (but for the one that was in flight)"
    )
    assert min(ends[False]) == 0, "the oldest ones went"


def test_a_store_that_retries_by_the_clock_gives_up_and_drains_late(host: Host) -> None:
    patient = run(storing(host, store=StoreSpec(retry_ns=4 * S, retries=10)), host)
    conserved(patient)
    assert patient.ledger.count(End.LOST) == 0
    assert patient.latencies.of().cloud.max >= 15 * S
    short = run(storing(host, store=StoreSpec(retry_ns=4 * S, retries=2)), host)
    conserved(short)
    given_up = short.ledger.by_cause(End.LOST)["retries"]
    assert 300 < given_up < 1400
    eager = run(storing(host, store=StoreSpec(drain_per_s=200)), host)
    assert eager.latencies.of().cloud.percentile(500) < patient.latencies.of().cloud.percentile(500)  # type: ignore[operator]


def test_what_is_in_flight_is_not_given_up_and_a_full_window_is_no_failed_try(host: Host) -> None:
    narrow = UplinkSpec("cloud", window=1, user_timeout_ns=S, retry_max_ns=S)
    spec = plant(
        host,
        count=10,
        duration_ns=10 * S,
        uplink=narrow,
        store=StoreSpec(retry_ns=20 * MS, retries=3),
        timeline=(cut(4, 4),),
    )
    world = World(spec, host)
    world.boot()
    store = world.gateways[0].outbox.store
    assert store is not None
    for step in range(100):
        world.advance(step * 100 * MS)
        assert 0 <= store.waiting <= len(store.messages())
        if step == 40:
            assert world.ledger.count(End.LOST) == 0, "a full window is no failed try"
    assert world.ledger.count(End.LOST, "retries") > 0, "of those that waited while the session was down"
    world.finish()
    world.close()
    conserved(world)


def test_what_a_crash_left_unsynced_is_on_the_flash_when_the_power_goes_much_later(host: Host) -> None:
    lives = (act(3_900 * MS, "crash", "gw", 5 * S), act(12 * S, "power-cut", "gw", 13 * S))
    world = run(storing(host, *lives, store=StoreSpec(commit_ns=4 * S)), host)
    conserved(world)
    alone = run(storing(host, lives[1], store=StoreSpec(commit_ns=4 * S)), host)
    assert world.ledger.count(End.LOST, "power-cut") <= alone.ledger.count(End.LOST, "power-cut")


def test_crash_then_shutdown_then_power_cut_leaves_no_phantoms(host: Host) -> None:
    quick = UplinkSpec("cloud", window=4, user_timeout_ns=2 * S, retry_max_ns=S)
    lives = tuple(
        act(int(at * S), verb, "gw", int((at + 0.5) * S))
        for at, verb in ((7, "crash"), (8.2, "shutdown"), (9, "power-cut"), (10, "power-cut"))
    )
    spec = plant(
        host,
        count=10,
        duration_ns=15 * S,
        uplink=quick,
        store=StoreSpec(commit_ns=3 * S, drain_per_s=20),
        timeline=(cut(1, 4), *lives),
    )
    conserved(run(spec, host))


def test_rows_that_come_back_keep_their_time_to_live(host: Host) -> None:
    quick = UplinkSpec("cloud", user_timeout_ns=2 * S, retry_max_ns=S)
    timeline = (cut(1, 8), act(int(11.05 * S), "power-cut", "gw", 13 * S))
    ends = {}
    for ttl_ns in (None, 7200 * S):
        world = run(
            plant(
                host,
                count=10,
                duration_ns=20 * S,
                store=StoreSpec(commit_ns=2 * S, ttl_ns=ttl_ns),
                uplink=quick,
                timeline=timeline,
            ),
            host,
        )
        ends[ttl_ns] = world.ledger.duplicates, world.ledger.count(End.EVICTED)
    assert ends[None] == ends[7200 * S]
    assert ends[None][0] > 0


def test_the_presets_are_what_is_documented() -> None:
    edge, greengrass, edgex = (STORE_PRESETS[name].spec for name in ("iot-edge", "greengrass", "edgex"))
    assert edge.ttl_ns == 7200 * S
    assert (greengrass.capacity_bytes, greengrass.volatile, greengrass.refuse) == (2_621_440, True, True)
    assert (edgex.retry_ns, edgex.retries) == (300 * S, 10)
    assert all("ours" in preset.source for preset in STORE_PRESETS.values())


def test_presets_differ_where_their_gateways_do(host: Host) -> None:
    crash = act(10 * S, "crash", "gw", 11 * S)
    lost = {
        name: run(storing(host, crash, store=preset.spec, settle_ns=900 * S), host).ledger.count(End.LOST)
        for name, preset in STORE_PRESETS.items()
    }
    assert lost["greengrass"] > 900
    assert lost["iot-edge"] <= 20
    assert lost["edgex"] <= 20


def test_a_store_keeps_its_figures_over_any_number_of_lives(host: Host) -> None:
    lives = tuple(
        replace(act(0, verb, "gw"), at_ns=at * S, until_ns=(at + 1) * S)
        for at, verb in ((3, "crash"), (6, "power-cut"), (9, "shutdown"))
    )
    world = run(storing(host, *lives, store=StoreSpec(capacity_bytes=100_000)), host)
    conserved(world)
    store = world.gateways[0].outbox.store
    assert store is not None
    assert store.used_bytes == sum(store._row_bytes(message) for message in store.messages())
    assert store.peak_bytes <= 100_000
