"""What reviews found: each once failed, in an interleaving that no other test made."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.components import guests
from tests.plants import component, driver, plant, run
from tests.sim.test_world import conserved, cut
from twinloop.components.contract.contract import PointConfig
from twinloop.components.host.batch import Batch
from twinloop.components.host.host import Host
from twinloop.components.host.outcome import Cause
from twinloop.sim.accounts.rows import End, Row
from twinloop.sim.cloud.messages import Body
from twinloop.sim.field.tcp_port import BUFFER_BYTES_MAX, FULL
from twinloop.sim.kernel.clock import MS, S
from twinloop.sim.model.spec import Action, ComponentSpec, LinkSpec, StoreSpec, UplinkSpec
from twinloop.sim.network.link import LinkModel
from twinloop.sim.trouble.verbs import act
from twinloop.sim.world import World


def traced(spec: Any, host: Host) -> tuple[World, list[Any]]:
    world = World(spec, host)
    records: list[Any] = []
    world.trace.sinks.append(records.extend)
    world.run()
    world.close()
    return world, records


@pytest.mark.parametrize("store", [StoreSpec(ttl_ns=3 * S), StoreSpec(capacity_bytes=2_000)])
@pytest.mark.parametrize("after_ms", [30, 40, 50, 60])
def test_a_message_whose_acknowledgement_alone_was_lost_is_not_evicted_from_the_ledger(
    host: Host, store: StoreSpec, after_ms: int
) -> None:
    lost_ack = act(2 * S + after_ms * MS, "cut", "cloud", 27 * S)
    conserved(run(plant(host, count=1, duration_ns=30 * S, timeline=(lost_ack,), store=store), host))


@pytest.mark.parametrize("late_ns", [-1, 0, 1, 100_000])
def test_a_crash_at_the_instant_of_a_deadline_ends_each_row_once(host: Host, late_ns: int) -> None:
    silent = act(-S, "cut", "plant")
    hasty = driver(host, deadline_ns=S, options=(("timeout", "5 s"),))
    crash = act(S + late_ns, "crash", "gw")
    spec = plant(
        host, count=1, duration_ns=3 * S, timeline=(replace(silent, at_ns=0), crash), drivers={1: hasty}
    )
    world, records = traced(spec, host)
    conserved(world)
    down = next(i for i, record in enumerate(records) if record[1:] == ("gateway", 0, "down"))
    assert not [record for record in records[down:] if record[1] == "bus-error"], (
        "a dead gateway asks and hears nothing"
    )


def test_a_device_slower_than_the_deadline_is_missed_every_time(host: Host) -> None:
    """The reply of a killed call must not answer the next one: its connection goes with its instance."""
    patient = driver(host, deadline_ns=S, options=(("timeout", "5 s"),))
    world = run(
        plant(host, count=1, duration_ns=8 * S, poll_ns=2 * S, drivers={1: patient}, response_ns=1500 * MS),
        host,
    )
    conserved(world)
    assert world.ledger.count(End.DELIVERED) == 0
    assert set(world.ledger.by_cause(End.MISSED)) <= {"deadline", "quarantined"}


def test_a_late_reply_on_a_line_answers_nobody(host: Host) -> None:
    """Response 300 ms, timeout 200 ms: RTU has no transaction id, so a late answer must be dropped where it
    arrives."""
    once = driver(host, options=(("timeout", "200 ms"),))
    world = run(
        plant(host, count=1, duration_ns=10 * S, serial_bd=9600, drivers={1: once}, response_ns=300 * MS),
        host,
    )
    conserved(world)
    assert world.ledger.by_cause(End.MISSED) == {"timeout": world.ledger.due}


def test_a_lost_reply_holds_the_line_for_the_whole_timeout(host: Host) -> None:
    spec = plant(
        host,
        count=1,
        duration_ns=20 * S,
        serial_bd=9600,
        drivers={1: driver(host, options=(("timeout", "200 ms"),))},
    )
    lossy = LinkSpec("plant", LinkModel(loss=0.5), 9600)
    _, records = traced(replace(spec, links=(lossy, spec.links[1])), host)
    due = {record[3]: record[0] for record in records if record[1] == "due"}
    waits = [record[0] % S for record in records if record[1] == "bus-error"]
    assert len(due) == 20
    assert waits
    assert min(waits) > 200 * MS


def test_on_a_crowded_line_a_call_still_ends_at_its_deadline(host: Host) -> None:
    hasty = {i + 1: driver(host, deadline_ns=S) for i in range(40)}
    world, records = traced(
        plant(host, count=40, duration_ns=6 * S, serial_bd=9600, phase_ns=0, drivers=hasty), host
    )
    conserved(world)
    opened = {(r[2], r[3]): r[0] for r in records if r[1] == "due"}
    ended = [r[0] - opened[r[2], r[3]] for r in records if r[1] == "end" and r[6] in ("deadline", "timeout")]
    assert ended
    assert max(ended) <= S + 10 * MS


def test_a_gateway_that_is_down_puts_nothing_on_its_lines(host: Host) -> None:
    crash = act(int(2.25 * S), "crash", "gw")
    spec = plant(
        host,
        count=20,
        duration_ns=6 * S,
        serial_bd=9600,
        phase_ns=0,
        timeline=(crash,),
        drivers={1: driver(host, deadline_ns=5 * S)},
    )
    world = World(spec, host)
    world.boot()
    world.advance(int(2.25 * S))
    exchanges = world.field.lines["plant/1"].exchanges
    world.finish()
    world.close()
    assert world.field.lines["plant/1"].exchanges == exchanges
    conserved(world)


@pytest.mark.parametrize(
    "trouble", [act(3 * S + 5 * MS, "cut", "cloud", 25 * S), act(3 * S + 5 * MS, "restart", "gw")]
)
def test_a_command_in_flight_when_its_session_breaks_is_sent_again(host: Host, trouble: Action) -> None:
    write = act(3 * S, "write", "presses/1", point="setpoint", value=3.0)
    world = run(plant(host, count=1, duration_ns=40 * S, timeline=(write, trouble)), host)
    assert world.commands.ended == {"done": 1}


def test_a_command_that_never_arrives_ends_with_the_run(host: Host) -> None:
    write = act(3 * S, "write", "presses/1", point="setpoint", value=3.0)
    world = run(plant(host, count=1, duration_ns=5 * S, settle_ns=0, timeline=(cut(1, 60), write)), host)
    assert world.commands.ended == {"end-of-run": 1}


def test_a_restart_does_not_double_the_drain(host: Host) -> None:
    restarts = tuple(act(at * S + 300 * MS, "restart", "gw") for at in (22, 23, 24))
    spec = plant(
        host,
        count=2,
        duration_ns=40 * S,
        timeline=(cut(1, 20), *restarts),
        store=StoreSpec(drain_per_s=1),
        uplink=UplinkSpec("cloud", window=1),
    )
    _, records = traced(spec, host)
    drained = [
        record[0] // (5 * S)
        for record in records
        if record[1] == "publish" and record[4] < 20 and 26 * S < record[0] < 41 * S
    ]
    assert drained
    assert max(drained.count(bucket) for bucket in drained) <= 6


def test_a_batch_that_can_never_fit_evicts_itself_only(host: Host) -> None:
    world = World(plant(host, count=1, store=StoreSpec(capacity_bytes=6_000)), host)
    store, ledger = world.gateways[0].outbox.store, world.ledger
    assert store is not None
    poller = world.gateways[0].pollers[0]
    world.boot()
    world.gateways[0].outbox.uplink.stop()

    def message(k: int, values: int) -> Any:
        row: Row = ledger.open_row(0, k, 0, 1)
        row.read = 1
        batch = Batch((0,) * values, (1.0,) * values, (0,) * values, (0,) * values, ())
        return world.gateways[0].pipeline.compose(poller, row, 1, 1, batch)

    for k in range(1000, 1010):
        store.put(message(k, 1))
    before = store.waiting
    store.put(message(2000, 1000))
    assert store.waiting == before
    assert ledger.by_cause(End.EVICTED) == {"capacity": 1}
    world.close()


def test_start_code_may_look_at_the_clock(host: Host) -> None:
    text = guests.clock_watching(1).replace(
        b'    (func (export "configure")',
        b'    (func $begin (drop (call $monotonic))) (start $begin)\n    (func (export "configure")',
    )
    starter: ComponentSpec = component(host, "starter", "driver", ("clock",), text, deadline_ns=S)
    world = run(plant(host, count=1, drivers={1: starter}), host)
    assert world.gateways[0].supervisor.faults == {}


def test_a_value_that_is_no_number_is_null_in_json() -> None:
    points = [PointConfig(i, name, "", "", 1.0, 0.0, None, None) for i, name in enumerate("abc")]
    batch = Batch((0, 1, 2), (float("nan"), float("inf"), 1.5), (0x80000000, 0, 0), (1, 1, 2), ())
    body = Body(points).of("d/1", 0, batch)
    assert (
        body
        == b'{"device":"d/1","seq":0,"t":1,"values":{"a":null,"b":null,"c":1.5},"status":{"a":2147483648},"times":{"c":2}}'
    )


def test_overlapping_degradations_and_cuts_end_one_by_one(host: Host) -> None:
    seen: list[Any] = []
    first = act(1 * S, "degrade", "plant", 5 * S, changes=(("delay_ns", 10 * MS),))
    second = act(3 * S, "degrade", "plant", 8 * S, changes=(("delay_ns", 50 * MS),))
    world = World(
        plant(host, count=1, duration_ns=12 * S, timeline=(first, second, cut(2, 4, "plant"))), host
    )
    world.on_happened.append(lambda event: seen.append((world.env.now, event)))
    for at in (4, 6, 9):
        world.env.call_at(at * S + 1, lambda: seen.append(world.links["plant"].model.delay_ns))
    world.run()
    world.close()
    assert [entry for entry in seen if isinstance(entry, int)] == [50 * MS, 50 * MS, 200_000]
    assert [entry for entry in seen if isinstance(entry, tuple) and "heal" in entry[1]] == [
        (8 * S, "heal plant")
    ]


@pytest.mark.parametrize(
    ("crashes", "up_at_s"),
    [(((2, 9), (3, 4)), 9), (((2, 4), (3, 8)), 8), (((2, 6), (4, None)), None)],
)
def test_overlapping_crashes_keep_it_down_until_the_last_ends(
    host: Host, crashes: Any, up_at_s: int | None
) -> None:
    timeline = tuple(
        act(at * S, "crash", "gw", None if until is None else until * S) for at, until in crashes
    )
    world = World(plant(host, count=1, duration_ns=12 * S, timeline=timeline), host)
    states: list[Any] = []
    world.trace.sinks.append(
        lambda records: states.extend((r[0], r[3]) for r in records if r[1] == "gateway" and r[0] > 0)
    )
    world.run()
    world.close()
    booting = [at // S for at, state in states if state == "booting"]
    assert booting == ([] if up_at_s is None else [up_at_s])


def test_an_entry_during_settle_happens(host: Host) -> None:
    world = run(
        plant(host, count=1, duration_ns=3 * S, settle_ns=5 * S, timeline=(act(6 * S, "crash", "gw"),)), host
    )
    assert world.gateways[0].state == "down"
    conserved(world)


def test_a_holder_of_an_instance_that_is_gone_gives_nothing_back(host: Host) -> None:
    """A call that ends after its instance was replaced must not free the new one, which serves another call
    by then."""
    world = World(plant(host, count=1), host)
    world.boot()
    slot = world.gateways[0].rack.transform
    slot.serving, old = True, slot.generation
    world.gateways[0].supervisor.fault_now(slot, Cause.CONTRACT, "on purpose")
    world.advance(S)
    assert slot.state == "ready"
    slot.serving = True
    slot.release(old)
    assert slot.serving
    slot.release(slot.generation)
    assert not slot.serving
    world.close()


def test_a_gateway_that_dies_while_a_component_configures_leaves_no_ghost(host: Host) -> None:
    """The segment under way ends with its gateway: the import that it led to doesn't act, nothing touches the
    store that is gone."""
    spin = "(local i32) (local.set 6 (i32.const 1000000)) (loop $q (local.set 6 (i32.sub (local.get 6) (i32.const 1))) (br_if $q (local.get 6)))"
    text = guests.driver_text(
        "EMPTY",
        guests.STATE,
        guests.STATE_ARGUMENTS,
        lowered=guests.STATE_LOWERED,
        configure=f"""{spin}
        (i32.store8 (i32.const 512) (i32.const 107))
        (call $set (i32.const 512) (i32.const 1) (i32.const 4096) (i32.const 8) (i32.const 704)) {guests.OK_AT_1024}""",
    )
    keeper = component(host, "keeper", "driver", ("state",), text, deadline_ns=S)
    restart, crash = act(2 * S, "restart", "gw"), act(2 * S + MS // 2, "crash", "gw")
    world = World(
        plant(host, count=1, duration_ns=4 * S, drivers={1: keeper}, timeline=(restart, crash)), host
    )
    world.boot()
    slot = world.gateways[0].pollers[0].slot
    assert slot.imports.values == {"k": bytes(8)}
    slot.imports.values.clear()
    world.advance(3 * S)
    assert (world.gateways[0].state, slot.imports.values) == ("down", {})
    world.finish()
    world.close()
    conserved(world)


@pytest.mark.parametrize("spin", range(890_000, 893_000, 300))
def test_a_deadline_that_ends_after_the_crash_kills_nothing_twice(host: Host, spin: int) -> None:
    turns = f"(local i32) (local.set 6 (i32.const {spin})) (loop $q (local.set 6 (i32.sub (local.get 6) (i32.const 1))) (br_if $q (local.get 6)))"
    text = guests.driver_text(
        "EMPTY",
        guests.CLOCK,
        guests.SLEEP_ARGUMENTS,
        configure=f"{turns} (call $sleep (i64.const 1000)) {guests.OK_AT_1024}",
    )
    sleeper = component(host, "sleeper", "driver", ("clock",), text, deadline_ns=MS)
    restart, crash = act(2 * S, "restart", "gw"), act(2 * S + 6 * MS // 10, "crash", "gw")
    world = run(
        plant(host, count=1, duration_ns=4 * S, drivers={1: sleeper}, timeline=(restart, crash)), host
    )
    conserved(world)
    assert world.gateways[0].machine.budget.memory_bytes == 0


def test_a_request_beyond_the_limit_is_refused_on_an_open_connection_too(host: Host) -> None:
    world = World(plant(host, count=1, duration_ns=3 * S), host)
    world.boot()
    world.advance(S)
    port = world.gateways[0].pollers[0].port
    signal = port.transact(bytes(BUFFER_BYTES_MAX + 1), ("silence", None), MS, MS)
    assert (signal.fired, signal.value) == (True, FULL)
    world.finish()
    world.close()
