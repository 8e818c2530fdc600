"""When each event of a plan can happen at the earliest, and what waits for one that can't happen before the
run has ended.

Belongs here: arithmetic on the plan. Never: simulation. Where other things decide (a pair's leader, the
watchdog, trouble that waits for an event) an event is taken to come as early as it possibly can: what is said
here not to happen doesn't.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from twinloop.scenarios.planning.upgrades import OUTCOMES
from twinloop.scenarios.text.units import show_duration
from twinloop.sim.model.spec import Action, PhaseSpec, WorldSpec
from twinloop.sim.trouble.verbs import VERBS

Times = dict[str, int]
"""event -> ns"""


def in_vain(spec: WorldSpec, awaited: Iterable[tuple[str, str]]) -> list[str]:
    """What to say of those who wait for an event that can't happen before the run has ended. ``awaited``:
    (who waits, the event); entries of the timeline that wait are told of, too."""
    entries = [f"{one.action.verb} {one.action.target} after {one.event}" for one in spec.reactions]
    waiting = [*zip(entries, [one.event for one in spec.reactions], strict=True), *awaited]
    if not waiting:
        return []
    times, ends_ns = earliest(spec), spec.duration_ns + spec.settle_ns
    return [
        f'{who}: "{event}" {_why(times.get(event), ends_ns, spec.seed)}'
        for who, event in dict.fromkeys(waiting)
        if times.get(event, ends_ns + 1) > ends_ns
    ]


def _why(at_ns: int | None, ends_ns: int, seed: int) -> str:
    if at_ns is None:
        return f"doesn't happen: nothing of the timeline comes to it with seed {seed}"
    return (
        f"can't happen before {show_duration(at_ns)}, and the run, its grace included, ends at "
        f"{show_duration(ends_ns)} at the latest"
    )


def earliest(spec: WorldSpec) -> Times:
    """Event -> when it can happen at the earliest; what isn't in it never happens."""
    found = _of_others(spec)
    _take(found, _of_actions(spec.timeline, spec.phases, overlapping=not spec.reactions))
    settled = False
    while not settled:  # one that waits may wait for what another one causes
        before = dict(found)
        for reaction in spec.reactions:
            if reaction.event not in found:
                continue
            at_ns = found[reaction.event] + reaction.delay_ns
            until_ns = None if reaction.for_ns is None else at_ns + reaction.for_ns
            action = Action(at_ns, reaction.action.deed, until_ns)
            _take(found, _of_actions([action], spec.phases, overlapping=False))
        settled = found == before
    return found


def _take(found: Times, others: Times) -> None:
    for event, at_ns in others.items():
        found[event] = min(found.get(event, at_ns), at_ns)


def _of_others(spec: WorldSpec) -> Times:
    """What no entry of the timeline makes happen."""
    found = {f"phase {phase.name}": phase.start_ns for phase in spec.phases}
    for gateway in spec.gateways:
        if gateway.restart.watchdog_ns is not None:
            found[f"restart {gateway.name}"] = 0
        if gateway.standby is not None:
            of = gateway.standby.of
            found[f"split-brain {of}"] = 0
            for one in (of, gateway.name):
                found[f"promote {one}"] = found[f"step-down {one}"] = 0
    return found


def _of_actions(actions: Sequence[Action], phases: Sequence[PhaseSpec], overlapping: bool) -> Times:
    """What entries at known times make happen. ``overlapping``: they are all that there are, so a target is
    healed only when none of them stands any more; else the first that ends may heal it."""
    found: Times = {}
    spans: dict[str, list[tuple[int, float]]] = {}
    for action in actions:
        verb = VERBS[action.verb]
        _take(found, {f"{verb.name} {action.target}": action.at_ns})
        if verb.name == "upgrade":
            _take(found, {f"{outcome} {action.target}": action.at_ns for outcome in OUTCOMES})
        if verb.lasts:
            event = f"{'restart' if verb.boots else 'heal'} {action.target}"
            spans.setdefault(event, []).append((action.at_ns, _ends(action, phases)))
    for event, known in spans.items():
        # a restart ends what keeps a gateway down, whatever its span says
        at_ns = _first_free(known) if overlapping and event not in found else min(end for _, end in known)
        if at_ns != _NEVER:
            _take(found, {event: int(at_ns)})
    return found


_NEVER = float("inf")


def _ends(action: Action, phases: Sequence[PhaseSpec]) -> float:
    """When an entry's trouble ends: by itself, or when a phase begins that must recover."""
    ends = [phase.start_ns for phase in phases if phase.heals and phase.start_ns >= action.at_ns]
    return min([_NEVER if action.until_ns is None else action.until_ns, *ends])


def _first_free(spans: list[tuple[int, float]]) -> float:
    """When the first run of spans that overlap or touch has ended."""
    end = -_NEVER
    for begin, until in sorted(spans):
        if end != -_NEVER and begin > end:
            break
        end = max(end, until)
    return end
