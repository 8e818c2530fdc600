"""One sample's way through a gateway, top to bottom: driver, transform, policy, verdict.

Belongs here: one poll, one write, what a call's result means for a sample. Never: how a call is charged (call.py), when a poll is due.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twinloop.components.host.batch import Batch, Lists, batch_in, forward_lane, read_batch
from twinloop.components.host.outcome import Cause, Fault
from twinloop.sim.accounts.latency import DRIVER, POLICY, TRANSFORM, UPLINK, Clockwork
from twinloop.sim.accounts.ledger import End, Row
from twinloop.sim.accounts.quality import assess
from twinloop.sim.gateway.call import CONSTANT_VALUES, READING_VALUES, call, fuel_or_deadline
from twinloop.sim.kernel.clock import Steps

if TYPE_CHECKING:
    from twinloop.sim.cloud.messages import Message
    from twinloop.sim.gateway.gateway import Gateway
    from twinloop.sim.gateway.poller import Poller
    from twinloop.sim.gateway.slot import Slot

_MISSED = {"rejected": "rejected", "malformed": "malformed", "other": "device", "no-such-point": "device", "not-configured": "driver-fault"}
_BUS_MISSED = {"timeout": "timeout", "disconnected": "disconnected", "too-long": "malformed", "other": "disconnected"}


def missed_cause(error: Any) -> str:
    """The ledger's cause for a driver-error."""
    tag, payload = error
    return _BUS_MISSED[payload[0]] if tag == "bus" else _MISSED[tag]


def poll(gateway: Gateway, poller: Poller, row: Row) -> Steps:
    """From the due instant to the verdict carried out; every point of ``row`` then has ended or is in the uplink's care."""
    clockwork, now = poller.clockwork, gateway.env._now
    if now > row.due_ns:
        clockwork.behind(now - row.due_ns, poller.before, "the poll before")
    generation = poller.slot.generation
    poller.witness.begin()
    fault = yield from call(gateway, poller.slot, "read-sensor", (), 0, clockwork, DRIVER, poller.port, returns_batch=True)
    lists = accepted(gateway, poller, row, fault, generation)
    if lists is not None:
        yield from carry(gateway, poller, row, lists)


def carry(gateway: Gateway, poller: Poller, row: Row, lists: Lists) -> Steps:
    """From the driver's batch to the verdict carried out."""
    clockwork, arguments = poller.clockwork, poller.arguments
    assert poller.slot.instance is not None
    poller.lend(poller.slot.instance, row)
    arguments.set_batch(row.k, lists)
    values = READING_VALUES * row.read.bit_count() + 3
    slot = gateway.transform  # an upgrade may put another one in its place meanwhile
    watched = gateway.latencies.stages_watched
    if watched:
        clockwork.at_work = {"driver": poller.slot.spec, "transform": slot.spec, "policy": gateway.policy.spec}
    outcome = yield from _stage(gateway, poller, slot, "transform-readings", values, TRANSFORM)
    poller.give_back()
    batch, kept = _transformed(gateway, poller, slot, row, outcome)
    if kept:
        arguments.set_link(*gateway.link_state())
        values = READING_VALUES * kept.bit_count() + 9
        slot = gateway.policy
        if watched:
            clockwork.at_work["policy"] = slot.spec
        outcome = yield from _stage(gateway, poller, slot, "decide", values, POLICY)
        for verdict, part in _decided(gateway, poller, slot, row, kept, outcome):
            message = _composed(gateway, poller, row, part, verdict, batch)
            if message is None:
                continue
            if not gateway.sends:
                gateway.hold(poller, row, verdict, message)
                continue
            uplink, cores = gateway.uplink, gateway.cores
            direct = verdict[0] != "cache" and uplink.ready()
            work_ns = gateway.budget.host("publish" if direct else "store")
            if cores.free:  # ``Cores.hold`` written out
                cores.free -= 1
            else:
                asked = gateway.env._now
                yield cores.wait()
                clockwork.waited(gateway.env._now - asked, "core")
            yield work_ns
            cores.release(work_ns)
            clockwork.spent_ns[UPLINK] += work_ns
            if not gateway.sends:  # it has stepped down meanwhile
                gateway.hold(poller, row, verdict, message)
                continue
            gateway.alert(row, part, verdict)
            gateway.carried(poller, row, part, verdict[0])
            if direct and uplink.ready():
                uplink.publish(message)
            else:
                gateway.keep(message)
    arguments.held.release()


def accepted(gateway: Gateway, poller: Poller, row: Row, fault: Fault | None, generation: int) -> Lists | None:
    """What the driver's call has brought, held against the contract: the batch where it lies, None when there is nothing to go on with."""
    ledger, slot = gateway.ledger, poller.slot
    if fault is not None:
        ledger.close(row, row.open, End.MISSED, "deadline" if fault.cause is Cause.DEADLINE else "driver-fault")
        gateway.truth.trouble(poller)
        gateway.supervisor.fault(slot, fault, generation)
        return None
    instance = slot.instance
    assert instance is not None
    lists = poller.clockwork.lists
    if lists is None:
        error = instance.result().value
        if error[0] == "rejected":
            gateway.trace.emit("rejected", poller.index, row.k, error[1])
        ledger.close(row, row.open, End.MISSED, missed_cause(error))
        gateway.truth.trouble(poller)
        return None
    batch = read_batch(lists)
    ids = batch.points if not batch.texts else (*batch.points, *(text.point for text in batch.texts))
    mask = poller.table.mask if ids == poller.table.ids else poller.mask_of(ids)
    if mask is None:
        ledger.close(row, row.open, End.MISSED, "driver-fault")
        gateway.supervisor.fault(slot, instance.kill(Cause.CONTRACT, f"a batch with an unknown or double point: {ids[:8]}"))
        return None
    row.read = mask
    if row.open & ~mask:
        ledger.close(row, row.open & ~mask, End.MISSED, "device")
    total = sum(batch.values)
    if any(batch.statuses) or total - total != 0.0 or batch.texts:
        assess(poller, row, batch)
    else:
        ledger.good_of[row.device] += mask.bit_count()
        ledger.valued[row.device] |= mask
    if poller.unchecked:
        poller.unchecked -= 1
    else:
        gateway.truth.look(poller, row, batch)
    if gateway.on_readings:
        for told in gateway.on_readings:
            told(poller, row, batch)
    return lists if mask else None


def _stage(gateway: Gateway, poller: Poller, slot: Slot, export: str, values: int, stage: int) -> Steps:
    """One call of a shared instance with the poller's arguments: wait for it, call. Returns None, a Fault, or NOT_UP.

    On None the result is in the instance, which is still ours: take it, then ``slot.release``. An instance none of whose
    imports park is called here, in one segment; else by ``call``.
    """
    env, clockwork = gateway.env, poller.clockwork
    if slot.serving:
        asked = env._now
        yield slot.wait()
        clockwork.waited(env._now - asked, slot.name)
    slot.serving = True
    generation = slot.generation
    if slot.state != "ready":
        slot.release(generation)
        return NOT_UP
    if slot.linked.parks:
        fault = yield from call(gateway, slot, export, (), values, clockwork, stage, None, stage == TRANSFORM, poller.arguments.at)
        if fault is not None:
            gateway.supervisor.fault(slot, fault, generation)
            slot.release(generation)
        return fault
    cores, instance = gateway.cores, slot.instance
    assert instance is not None
    if cores.free:
        cores.free -= 1
    else:
        asked = env._now
        yield cores.wait()
        clockwork.waited(env._now - asked, "core")
        if instance.closed:
            cores.release(0)
            slot.release(generation)
            return instance.fault
    slot.segment_start_ns = env._now
    fuel = instance.call_at(export, poller.arguments.at, slot.fuel_limit)
    values += CONSTANT_VALUES
    if stage == TRANSFORM and instance.fault is None:
        lists = clockwork.lists = batch_in(instance.result_at)
        values += READING_VALUES * lists[0] if lists else 0
    cost = slot.meter.charge(fuel, 1, slot.crossings, values)
    slot.crossings = 0
    if cost:
        yield cost
    cores.release(cost)
    clockwork.spent_ns[stage] += cost
    if slot.logged and not instance.closed:
        slot.flush_log()
    if instance.fault is None:
        return None
    fault = fuel_or_deadline(slot, instance.fault)
    gateway.supervisor.fault(slot, fault, generation)
    slot.release(generation)
    return fault


NOT_UP = "not up"


def _transformed(gateway: Gateway, poller: Poller, slot: Slot, row: Row, outcome: Fault | str | None) -> tuple[Batch, int]:
    """What the transform has made of the readings, held against the contract: its batch and the mask of what goes on (0: nothing)."""
    ledger, mask = gateway.ledger, row.read
    if outcome is not None:
        ledger.close(row, row.open & mask, End.LOST, _stage_cause(slot, outcome, "transform-fault"))
        return NOTHING
    assert slot.instance is not None
    lists = poller.clockwork.lists
    slot.instance.take_result(poller.arguments.held)
    slot.release(slot.generation)
    if lists is None:
        ledger.close(row, row.open & mask, End.LOST, "transform-error")
        return NOTHING
    batch = read_batch(lists)
    if batch.points == poller.table.ids and not batch.texts:
        kept: int | None = poller.table.mask
    else:
        kept = poller.mask_of([*batch.points, *(text.point for text in batch.texts)])
    if kept is None or kept & ~mask:
        ledger.close(row, row.open & mask, End.LOST, "transform-fault")
        gateway.supervisor.fault_now(slot, Cause.CONTRACT, "a batch with a point that was not in its input, or twice")
        return NOTHING
    if mask & ~kept:
        gateway.carried(poller, row, mask & ~kept, "drop")
        ledger.close(row, row.open & mask & ~kept, End.DROPPED, "transform")
    poller.arguments.set_batch(row.k, lists)
    return batch, kept


NOTHING = Batch((), (), (), (), ()), 0


def _decided(
    gateway: Gateway, poller: Poller, slot: Slot, row: Row, kept: int, outcome: Fault | str | None,
) -> list[tuple[Any, int]]:  # fmt: skip
    """What the policy has decided, held against the contract: verdicts and the points that they are about."""
    ledger = gateway.ledger
    if outcome is not None:
        ledger.close(row, row.open & kept, End.LOST, _stage_cause(slot, outcome, "policy-fault"))
        return []
    instance = slot.instance
    assert instance is not None
    lane = forward_lane(instance.result_at)
    if lane >= 0:
        slot.release(slot.generation)
        return [(("forward", lane), kept)]
    result = instance.result()
    slot.release(slot.generation)
    if not result.ok:
        ledger.close(row, row.open & kept, End.LOST, "policy-error")
        return []
    groups = verdict_groups(result.value, kept, poller.table.bit_of)
    if isinstance(groups, str):
        ledger.close(row, row.open & kept, End.LOST, "policy-fault")
        gateway.supervisor.fault_now(slot, Cause.CONTRACT, groups)
        return []
    return groups


def _stage_cause(slot: Slot, outcome: Fault | str, otherwise: str) -> str:
    if isinstance(outcome, str):
        return "quarantined" if slot.state == "quarantined" else otherwise
    return "deadline" if outcome.cause is Cause.DEADLINE else otherwise


def verdict_groups(decision: Any, kept: int, bit_of: dict[int, int]) -> list[tuple[Any, int]] | str:
    """[(verdict, mask)] with equal verdicts together, the whole batch's first; a text when the contract is broken."""
    whole, exceptions = decision
    if whole[0] == "other":
        return f"verdict other({whole[1]!r})"
    if not exceptions:
        return [(whole, kept)]
    groups: dict[Any, int] = {}
    named = 0
    for point, verdict in exceptions:
        bit = bit_of.get(point, 0)
        if not bit & kept or bit & named:
            return f"a decision for point {point}, which is absent or named twice"
        if verdict[0] == "other":
            return f"verdict other({verdict[1]!r})"
        named |= bit
        groups[verdict] = groups.get(verdict, 0) | bit
    rest = kept & ~named
    if rest:
        groups[whole] = groups.get(whole, 0) | rest
    return list(groups.items())


def _composed(gateway: Gateway, poller: Poller, row: Row, mask: int, verdict: Any, batch: Batch) -> Message | None:
    """What the policy said with these points, as a message to be handed on; None when they are dropped, which is done at once."""
    tag, payload = verdict
    if tag == "drop":
        gateway.carried(poller, row, mask, "drop")
        gateway.ledger.close(row, mask & row.open, End.DROPPED, "policy")
        return None
    return gateway.compose(poller, row, mask, 3 if tag == "alert" else min(payload, 3), batch)


def write(gateway: Gateway, poller: Poller, point: int, value: float) -> Steps:
    """One write-register; returns None when it was done, else the cause."""
    slot = poller.slot
    generation = slot.generation
    poller.witness.begin()
    fault = yield from call(gateway, slot, "write-register", (point, value), 2, Clockwork(), DRIVER, poller.port)
    if fault is not None:
        gateway.supervisor.fault(slot, fault, generation)
        return "driver-fault"
    assert slot.instance is not None
    result = slot.instance.result()
    return None if result.ok else missed_cause(result.value)


def status(gateway: Gateway, poller: Poller) -> Steps:
    """One get-status: what the driver says of itself goes to the supervisor."""
    slot = poller.slot
    generation = slot.generation
    fault = yield from call(gateway, slot, "get-status", (), 0, Clockwork(), DRIVER)
    if fault is not None:
        gateway.supervisor.fault(slot, fault, generation)
        return
    assert slot.instance is not None
    gateway.supervisor.said(slot, slot.instance.result())
