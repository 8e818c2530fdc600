"""A view of an engine: everything that screens show, copied.

Belongs here: copying. Never: a change to what is looked at.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from twinloop.scenarios.report.standing import NOT_BEGUN, standing
from twinloop.sim.kernel.invariants import InvariantError
from twinloop.sim.model.spec import Action
from twinloop.sim.snapshot import take
from twinloop.tui.engine.expectation_view import expectation_view
from twinloop.tui.engine.explored import CloserView, Wanted
from twinloop.tui.engine.figures import LATENCY, Figures, Levels, Order
from twinloop.tui.engine.messages import (
    EntriesView,
    InstanceRow,
    LiveVerdict,
    Look,
    RewindView,
    Span,
    View,
)

if TYPE_CHECKING:
    from twinloop.scenarios.judging.judged import Judged
    from twinloop.tui.engine.engine import Engine


def view(engine: Engine, look: Look) -> View:
    """As it is now."""
    world, watch = engine.world, engine.watch
    now, count = max(0, world.env.now), len(world.spec.devices)
    over_time = watch.over_time
    watch.count()
    paced = engine.mode == "playing" and engine.speed is not None
    meters = [
        (gateway.name, name, meter)
        for gateway in world.gateways
        for name, meter in gateway.machine.budget.meters.items()
    ]
    return View(
        snapshot=take(world, each_device=False),
        mode=engine.mode,
        speed=float(engine.speed) if paced and engine.speed is not None else None,
        lag_ns=(engine.pacer.lag.percentile(990) or 0) if paced else 0,
        verdicts=tuple(
            live_verdict(engine, one, i) for i, one in enumerate(engine.judge.judge(reasons=False))
        ),
        log=watch.lines(look.line),
        carried_per_s=watch.carried.rates.per_s(now),
        delivered_per_s=watch.delivered.rates.per_s(now),
        restarts=tuple(gateway.supervisor.restarts for gateway in world.gateways),
        rows=tuple(watch.row(i) for i in look.rows if 0 <= i < count),
        latency=over_time.gateway.windows(),
        slowest=watch.standouts.slowest(),
        instances=tuple(
            InstanceRow(gateway, name, m.calls, m.fuel, m.cpu_ns, sum(m.faults.values()))
            for gateway, name, m in meters
        ),
        entries=EntriesView(
            stamped=tuple((action.at_ns, _shown(entry)) for action, entry in engine.live.entries),
            happened=tuple(watch.happened),
            due=tuple(one for one in watch.due if one[0] > world.env.now),
            spans=(*watch.spans, *(_span(action) for action, _ in engine.live.entries[engine.live.begun :])),
            left=world.timeline.left(),
            given=tuple(
                {key: value for key, value in entry.items() if key != "at"}
                for _, entry in engine.live.entries
            ),
        ),
        wrong=over_time.wrong(),
        figures=_figures(engine, look),
        verdict=f"{engine.verdict}: {engine.broken}" if engine.broken else engine.verdict,
        digest=engine.digest() if engine.mode == "over" and not engine.broken else "",
        rewind=RewindView(
            progress=engine.progress,
            goal_ns=engine.goal_ns,
            count=engine.rewinds,
            marks=() if engine.marks is None else tuple(mark.at_ns for mark in engine.marks.kept),
        ),
        closer=replace(
            CloserView() if look.closer is None else _closer(engine, look.closer),
            device=watch.device(look.device) if 0 <= look.device < count else None,
            longest=tuple(watch.standouts.longest),
        ),
    )


def _closer(engine: Engine, wanted: Wanted) -> CloserView:
    """What is behind a figure. A replay that isn't what was seen breaks the run."""
    judge, samples, sample = engine.judge, None, None
    known = 0 <= wanted.expectation < len(judge.expectations)
    if wanted.from_ns >= 0:
        devices = judge.measures.devices(judge.expectations[wanted.expectation]) if known else None
        samples = engine.watch.standouts.samples(wanted.from_ns, wanted.to_ns, devices)
    if wanted.sample is not None and 0 <= wanted.sample.device < len(engine.world.spec.devices):
        try:
            sample = engine.explorer.sample(engine, wanted.sample)
        except InvariantError as error:
            engine.broke(error)
    closer = expectation_view(engine, wanted.expectation) if known else None
    if closer is not None:
        closer = replace(
            closer, verdict=live_verdict(engine, judge.judge()[closer.number], closer.number).verdict
        )
    return CloserView(None, closer, samples, sample)


def live_verdict(engine: Engine, one: Judged, number: int) -> LiveVerdict:
    """How one expectation stands at this moment."""
    world = engine.world
    said = standing(one, world.spec, max(0, world.env.now), engine.mode == "over")
    if said[2] == NOT_BEGUN:
        return LiveVerdict(*said, number=number)
    return LiveVerdict(*said, one.measured, one.unit, one.expectation.bound_unit, number)


def _figures(engine: Engine, look: Look) -> Figures:
    """What costs something for each device, line or link only as far as it was asked for."""
    watch = engine.watch
    missed, lost = watch.each.by_fleet()
    read_ns = [read_ns for _, _, read_ns in watch.values] if look.sort == "age" else []
    order = watch.each.order(look.sort, read_ns)
    budget_ns = engine.plan.budget_ns if look.levels == LATENCY else 0
    return Figures(
        missed,
        lost,
        watch.over_time.cloud.windows(),
        None if order is None else Order(look.sort, order),
        Levels(look.levels, watch.each.levels(look.levels, budget_ns), budget_ns) if look.levels else None,
        watch.over_time.busy.loads() if look.loads else None,
        watch.each.due_by_fleet() if look.due else (),
    )


def _span(action: Action) -> Span:
    return Span(action.at_ns, -1 if action.until_ns is None else action.until_ns, action.verb, action.target)


def _shown(entry: dict[str, Any]) -> str:
    return ", ".join(f"{key}: {value}" for key, value in entry.items() if key != "at")
