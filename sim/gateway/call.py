"""One call of a component: guest code runs when it gets a core, holds it for what it costs, and only then its
import acts.

Belongs here: the order of charge and effect, imports that park. Never: what a call is for (pipeline.py), what
a board costs (budget.py). Cause before effect: a segment of guest code runs at the instant at which it gets a
core; the core is held for the time that the segment's fuel, crossings and values cost; only then does the
import that it led to act. The compiled part (sim/native/calls.c) has what is called ``plain_`` here, start
code aside.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from twinloop.components.contract.errors import GuestEnded
from twinloop.components.host.batch import BATCH_BYTES_MAX, Lists, batch_bytes
from twinloop.components.host.call_state import Request
from twinloop.components.host.capi import Word
from twinloop.components.host.crossing import batch_in
from twinloop.components.host.instance import Instance
from twinloop.components.host.outcome import Cause, Fault
from twinloop.components.native.choice import CHOICE
from twinloop.sim.accounts.latency import BUS, StageTimes
from twinloop.sim.field.tcp_port import Port
from twinloop.sim.gateway.slot import Imports, Slot
from twinloop.sim.kernel.clock import Steps
from twinloop.sim.machine.budget import Meter
from twinloop.sim.machine.cores import Cores
from twinloop.sim.machine.machine import Machine
from twinloop.sim.wasi.waiting import waits_outside

CONSTANT_VALUES = 4
"""lifted or lowered around the lists of a call: results, records, tags"""
START = "start"
"""in place of an export: its start code"""
READING_VALUES = 5
"""a reading is a record of four scalars"""


def plain_call(
    machine: Machine,
    slot: Slot,
    export: str,
    arguments: Sequence[Any],
    values: int,
    times: StageTimes,
    stage: int,
    port: Port | None = None,
    returns_batch: bool = False,
    arguments_at: Word | None = None,
) -> Steps:
    """Run one call of an instance (or START); returns a Fault, or None with the result in it. ``arguments``:
    Python values, or C values at ``arguments_at``, that lower ``values``. Work is noted in ``times``."""
    env, cores, starts = machine.env, machine.cores, export is START
    meter, imported, instance = slot.meter, slot.imports, slot.instance
    assert instance is not None
    within_ns = slot.spec.start_ns if starts else slot.deadline_ns
    charge = meter.charge_start if starts else meter.charge
    spent, deadline_at, calls, exchanges, carried = times.spent_ns, 0, 0 if starts else 1, 0, 0
    while True:
        if cores.free:
            cores.free -= 1
        elif not (yield from handed_over(cores, instance, times)):
            return instance.fault
        imported.segment_start_ns = env.now
        if not exchanges:  # its first segment
            deadline_at, imported.left_ns = env.now + within_ns, within_ns if starts else slot.fuel_limit_ns
            if starts:
                instance.begin_start(meter.profile.fuel_for(within_ns))
            else:
                instance.begin(export, arguments, slot.fuel_limit, arguments_at)
        fuel, request = instance.advance(), instance.request
        if request is None and not starts:
            values += CONSTANT_VALUES + (_lifted(instance, times) if returns_batch else 0)
        cost = charge(fuel, calls, imported.crossings, exchanges, values, carried + imported.bytes_carried)
        imported.crossings = imported.bytes_carried = 0
        if cost:
            yield cost
        cores.busy_ns += cost  # ``Cores.release`` written out
        if cores.waiters:
            cores.waiters.popleft()()
        else:
            cores.free += 1
        spent[stage] += cost
        if instance.closed:  # it died meanwhile: what this segment led to doesn't happen
            return instance.fault
        if imported.logged:
            imported.flush_log()
        if request is None:
            return None if instance.fault is None else fuel_or_deadline(slot, instance.fault, starts)
        parked, cpu_left_ns = env.now, imported.left_ns - cost
        imported.left_ns, left_ns = cpu_left_ns, deadline_at - parked
        if cpu_left_ns < 0 or left_ns <= 0:
            return _too_late(instance, slot, request, within_ns, starts)
        name, given = request
        if name == "fieldbus.transact" and port is not None:
            frame, framing, timeout_ns = given
            reply = yield port.transact(frame, framing, min(timeout_ns, left_ns), left_ns)
            spent[BUS] += env.now - parked
            carried = len(frame) + len(reply[1]) if type(reply[1]) is bytes else len(frame)  # _bytes_between
        else:
            reply, carried = yield from _answered(machine, slot, port, request, left_ns, spent, stage)
        if instance.fault is not None:
            return instance.fault
        if env.now >= deadline_at:
            return _waited(instance, request, within_ns)
        if starts or deadline_at - env.now < slot.fuel_limit_ns:
            _limit_fuel(instance, meter, deadline_at - env.now)
        instance.answer(reply)
        calls, exchanges, values = 0, 1, 0


def plain_call_at_once(
    slot: Slot, instance: Instance, export: str, values: int, times: StageTimes, returns_batch: bool, at: Word
) -> int:
    """``call`` in one segment, of an instance none of whose imports parks, with C values at ``at``. Instance
    and core must be the caller's; returns for how many ns the core is held, after which ``at_once_over``
    has the rest."""
    imported = slot.imports
    imported.segment_start_ns, imported.left_ns = imported.machine.env.now, slot.fuel_limit_ns
    fuel = instance.call_at(export, at, slot.fuel_limit)
    values += CONSTANT_VALUES
    if returns_batch and instance.fault is None:  # ``_lifted`` written out
        lists = times.lists = batch_in(instance.result_at)
        if lists:
            count = lists[0] + lists[5]
            if lists[2] or count > LOOKED_AT:
                limit_batch(instance, lists)
            values += READING_VALUES * count
    if imported.crossings or imported.bytes_carried:
        cost = slot.meter.charge(fuel, 1, imported.crossings, 0, values, imported.bytes_carried)
        imported.crossings = imported.bytes_carried = 0
        return cost
    return slot.meter.charge_call(fuel, values)


def plain_stage_at_once(
    slot: Slot, cores: Cores, export: str, values: int, times: StageTimes, returns_batch: bool, at: Word
) -> int:
    """``call_at_once`` of a slot's instance that nobody has, with a core that is free: both are taken. -1,
    and nothing is done, where there is something to wait for."""
    if slot.serving or slot.linked.parks or slot.state != "ready" or not cores.free:
        return -1
    slot.serving = True
    cores.free -= 1
    assert slot.instance is not None
    return plain_call_at_once(slot, slot.instance, export, values, times, returns_batch, at)


def plain_at_once_over(
    slot: Slot, instance: Instance, cores: Cores, cost_ns: int, times: StageTimes, stage: int
) -> Fault | None:
    """The CPU time of such a call has passed: its core is given back, and what it said is a fact."""
    cores.busy_ns += cost_ns  # ``Cores.release`` written out
    if cores.waiters:
        cores.waiters.popleft()()
    else:
        cores.free += 1
    times.spent_ns[stage] += cost_ns
    if slot.imports.logged and not instance.closed:
        slot.imports.flush_log()
    return None if instance.fault is None else fuel_or_deadline(slot, instance.fault)


def handed_over(cores: Cores, instance: Instance, times: StageTimes) -> Steps:
    """Wait for a core; False when the instance has died meanwhile."""
    asked = cores.env.now
    yield cores.wait()
    times.waited(cores.env.now - asked, "core")
    if instance.closed:
        cores.release(0)
        return False
    return True


def _answered(
    machine: Machine,
    slot: Slot,
    port: Port | None,
    request: Request,
    left_ns: int,
    spent: list[int],
    stage: int,
) -> Steps:
    """``_serve``, its time noted; returns the result and how many bytes the import has carried."""
    parked = machine.env.now
    reply = yield from _serve(machine, slot, port, request, left_ns)
    at_bus = request.name[:8] == "fieldbus" or _outside(request)
    spent[BUS if at_bus else stage] += machine.env.now - parked
    return reply, _bytes_between(request, reply)


def _outside(request: Request) -> bool:
    """Was it WASI, and something outside that it waited for?"""
    return "#" in request.name and waits_outside(request.arguments)


def _too_late(
    instance: Instance, slot: Slot, request: Request, within_ns: int, starts: bool = False
) -> Fault:
    """A call ends at an import: its CPU time is used up, or else its deadline has come."""
    if slot.imports.left_ns < 0 and (starts or slot.fuel_limit_ns == slot.spec.cpu_ns):
        return instance.kill(Cause.OUT_OF_FUEL, _too_long(slot, starts))
    return instance.kill(Cause.DEADLINE, f"{request.name} after {said(within_ns)}")


def _waited(instance: Instance, request: Request, within_ns: int) -> Fault:
    """Its deadline has come while it was parked."""
    return instance.kill(Cause.DEADLINE, f"waited in {request.name}, {said(within_ns)} in all")


def _limit_fuel(instance: Instance, meter: Meter, left_ns: int) -> None:
    """What is left of its time is less than its CPU time."""
    instance.limit_fuel(meter.profile.fuel_for(left_ns))


def _bytes_between(request: Request, reply: Any) -> int:
    """How many bytes an import that parked has carried, out and back."""
    if "#" in request.name:
        out = sum(len(value) for value in request.arguments if type(value) is bytes)
    else:
        out = len(request.arguments[0]) if request.name in _SENDING else 0
    return out + len(reply[1]) if type(reply) is tuple and type(reply[1]) is bytes else out


def _lifted(instance: Instance, times: StageTimes) -> int:
    """The batch that a finished call returned is noted in ``times``; how many values it has to lift."""
    if instance.fault is not None:
        return 0
    lists = times.lists = batch_in(instance.result_at)
    if not lists:
        return 0
    if lists[2] or lists[0] + lists[5] > LOOKED_AT:
        limit_batch(instance, lists)
    return READING_VALUES * (lists[0] + lists[5])


def limit_batch(instance: Instance, lists: Lists) -> None:
    """An instance that returned more than the host carries has its fault then. Only for a batch that has
    texts, or more readings than LOOKED_AT: others are never too large."""
    size = batch_bytes(lists)
    if size > BATCH_BYTES_MAX:
        text = f"it returned a batch of {size} bytes; at most {BATCH_BYTES_MAX} are carried"
        instance.kill(Cause.TRANSFER_LIMIT, text)


LOOKED_AT = 1000
"""readings of a batch; more may be too many bytes"""


_SENDING = ("fieldbus.transact", "fieldbus.send")


def fuel_or_deadline(slot: Slot, fault: Fault, starts: bool = False) -> Fault:
    """Out of fuel because of the deadline, not of the CPU limit, is a deadline."""
    if fault.cause is not Cause.OUT_OF_FUEL:
        return fault
    cpu_ns, within_ns = slot.spec.cpu_ns, slot.deadline_ns
    if starts:
        cpu_ns = within_ns = slot.spec.start_ns
    by_imports = fault.message.endswith(" imports") and (starts or slot.fuel_limit_ns == cpu_ns)
    if by_imports or (cpu_ns is not None and fault.fuel_used >= slot.meter.profile.fuel_for(cpu_ns)):
        return replace(fault, message=_too_long(slot, starts))
    text = f"computed until its deadline of {said(within_ns)}"
    return replace(fault, cause=Cause.DEADLINE, message=text)


def _too_long(slot: Slot, starts: bool) -> str:
    if starts:
        return f"more than {said(slot.spec.start_ns)} of CPU time (limit start)"
    assert slot.spec.cpu_ns is not None
    return f"more than {said(slot.spec.cpu_ns)} of CPU time in one call"


def _serve(machine: Machine, slot: Slot, port: Port | None, request: Request, left_ns: int) -> Steps:
    """Let a parked import other than transact act, for at most ``left_ns``; returns its result. An instance
    that it ends has its fault then."""
    name, arguments = request
    if name in slot.imports.tasks:
        try:
            return (yield from slot.imports.tasks[name](*arguments, machine.env.now + left_ns))
        except GuestEnded as end:
            assert slot.instance is not None
            return slot.instance.kill(Cause(end.cause), str(end))
    if name == "fieldbus.receive" and port is not None:
        return (yield port.receive(arguments[0], min(arguments[1], left_ns)))
    if name == "fieldbus.send" and port is not None:
        return (yield port.send(arguments[0], min(arguments[1], left_ns)))
    if name == "fieldbus.reset" and port is not None:
        port.reset()
        return None
    if name == "clock.sleep":
        yield min(arguments[0], left_ns)
        return None
    if name == "state.set":
        result = slot.imports.write_state(arguments[0], arguments[1])
        if result[0]:
            durable = machine.on_flash()
            machine.env.call_in(left_ns, durable.fire)
            yield durable
        return result
    if name == "state.delete":
        slot.imports.delete_state(arguments[0])
        return None
    return False, ("other", f"{name}: there is no line to it")


def said(time_ns: int) -> str:
    """A duration in the largest unit in which it is whole: a limit as its author wrote it."""
    for unit, size in (("s", 1_000_000_000), ("ms", 1_000_000), ("us", 1000)):
        if time_ns % size == 0:
            return f"{time_ns // size} {unit}"
    return f"{time_ns} ns"


def bind(engine: Any, meter: type = Meter) -> None:
    """Tell the compiled part what it needs: classes, what it leaves to us, figures."""
    classes = Slot, Imports, Cores, StageTimes, Instance, meter
    rare = (
        batch_in, limit_batch, fuel_or_deadline, handed_over, _answered, _too_late, _waited, _limit_fuel,
        START, plain_call,
    )  # fmt: skip
    engine.bind_calls(classes, rare, (BUS, CONSTANT_VALUES, READING_VALUES, LOOKED_AT))


call, call_at_once, at_once_over = plain_call, plain_call_at_once, plain_at_once_over
stage_at_once = plain_stage_at_once
if not TYPE_CHECKING and CHOICE.engine is not None:
    bind(CHOICE.engine)
    call, call_at_once = CHOICE.engine.call, CHOICE.engine.call_at_once
    at_once_over, stage_at_once = CHOICE.engine.at_once_over, CHOICE.engine.stage_at_once
