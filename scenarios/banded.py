"""A run at the ends of its bands: modelled prices are off by a factor that is known only as a band, so what
holds at the nominal prices is held against the same run at the lowest and at the highest of all of them, and,
where a gateway's host program isn't stated, under another one.

Belongs here: which runs there are, and what they make of a verdict. Never: prices (sim/model/boards.py), when
they have to be run (judging/pressing.py).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from twinloop.scenarios.judging.judged import Judged
from twinloop.scenarios.judging.unspoken import unspoken_text
from twinloop.scenarios.judging.verdict import BANDS, Verdict, overall
from twinloop.scenarios.report.result import Result, expectation_json
from twinloop.scenarios.text.errors import ScenarioError
from twinloop.sim.model.boards import End
from twinloop.sim.model.spec import GatewaySpec, WorldSpec

AUTO, ALWAYS, NEVER = BANDS
Again = Callable[[WorldSpec], Result]
"""runs that world, and judges it by nothing but what it measures"""


def ends(spec: WorldSpec) -> dict[str, WorldSpec]:
    """The same world at the ends of its bands, by name."""

    def at(end: End) -> WorldSpec:
        return replace(spec, gateways=tuple(replace(gateway, end=end) for gateway in spec.gateways))

    found = {end.value: at(end) for end in (End.LOW, End.HIGH)}
    for name in dict.fromkeys(gateway.doubt.name for gateway in spec.gateways if gateway.doubt is not None):
        found[name] = replace(spec, gateways=tuple(_under(gateway) for gateway in spec.gateways))
    return found


def _under(gateway: GatewaySpec) -> GatewaySpec:
    return gateway if gateway.doubt is None else replace(gateway, program=gateway.doubt)


def settled(spec: WorldSpec, nominal: Result, again: Again) -> Result:
    """The nominal result with the verdict that the ends leave it."""
    if nominal.verdict not in (Verdict.PASS, Verdict.UNSURE, Verdict.FAIL, Verdict.NO_DATA):
        return nominal
    found: dict[str, Result] = {}
    told: list[str] = []
    turned = False
    for name, world in ends(spec).items():
        try:
            result = found[name] = again(world)
        except ScenarioError as error:  # a component that doesn't come up at these prices
            told.append(f"{_at(name)}: {error}")
            turned = True
            continue
        if result.verdict in (Verdict.BROKEN, Verdict.ABORTED):
            ended = {**nominal.data, "verdict": result.verdict.value}
            return replace(nominal, verdict=result.verdict, error=result.error, data=ended)
        more = {what: n for what, n in result.unspoken.items() if not nominal.unspoken.get(what)}
        if more:
            told.append(f"{_at(name)} beside it {unspoken_text(more)}")
            turned = turned or "wrong" in more
    judged = [
        _judged(one, [(name, result.judged[i]) for name, result in found.items()])
        for i, one in enumerate(nominal.judged)
    ]
    verdicts = [one.verdict for one in judged]
    if nominal.unspoken.get("wrong"):
        verdicts.append(Verdict.FAIL)
    verdict = overall([*verdicts, Verdict.UNSURE] if turned and verdicts else verdicts)
    notes = [*nominal.notes, *told]
    data = {
        **nominal.data,
        "verdict": verdict.value,
        "expectations": [expectation_json(one) for one in judged],
        "notes": notes,
    }
    return replace(nominal, verdict=verdict, judged=judged, notes=notes, data=data)


def _at(name: str) -> str:
    return f"at the {name} end of the bands" if name in (End.LOW, End.HIGH) else f"with host: {name}"


def _judged(nominal: Judged, others: list[tuple[str, Judged]]) -> Judged:
    """One expectation: what it measured at each end, and whether that turns it."""
    measured = tuple((name, other.measured) for name, other in others)
    if nominal.verdict is Verdict.NO_DATA:
        return nominal
    holds = nominal.verdict is not Verdict.FAIL
    against = [name for name, other in others if (other.verdict is Verdict.PASS) != holds]
    if not against:
        verdict = Verdict.PASS if holds else Verdict.FAIL
        return replace(nominal, verdict=verdict, why="" if holds else nominal.why, ends=measured)
    where = " and ".join(_at(name) for name in against)
    if holds:
        return replace(nominal, verdict=Verdict.UNSURE, why=f"it doesn't hold {where}", ends=measured)
    return replace(
        nominal, why="; ".join(filter(None, [nominal.why, f"it would hold {where}"])), ends=measured
    )
