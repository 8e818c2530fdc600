"""The result of a run as plain data: the JSON contract, and what a console wants to say beside it.

Belongs here: the shape. Never: formatting (report/). All but ``run.wall_s``, ``run.speedup``, ``run.pace``,
``clock`` and ``versions`` is equal over repeats on any machine.
"""

from __future__ import annotations

import hashlib
import json
import platform
import time
from dataclasses import field
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from twinloop.components.native.choice import CHOICE
from twinloop.devices.model.statuses import quality, status_name
from twinloop.records import dataclass
from twinloop.scenarios.file.load import Loaded
from twinloop.scenarios.judging.judged import Judged
from twinloop.scenarios.judging.measure import busy_ratio
from twinloop.scenarios.judging.run import Run
from twinloop.scenarios.judging.thresholds import Judge
from twinloop.scenarios.judging.verdict import Verdict
from twinloop.scenarios.planning import pairs, upgrades
from twinloop.scenarios.report import converters, figures
from twinloop.scenarios.report.derived import derived_figures
from twinloop.scenarios.report.gateways import band, gateway_figures, link_figures
from twinloop.sim.accounts.latency import STAGES
from twinloop.sim.accounts.ledger import Ledger
from twinloop.sim.accounts.rows import End
from twinloop.sim.kernel.histogram import NEVER, Histogram
from twinloop.sim.truth.truth import Truth

FORMAT = 1
VALUELESS_MAX = 1000
"""points without a value that are listed by name"""
_PACKAGES = ("twinloop", "wasmtime", "simpy", "pymodbus", "numpy")


@dataclass(frozen=True)
class LineFigures:
    """A serial line after a run."""

    name: str
    busy_ratio: float
    exchanges: int
    timeouts: int
    longest_queue: int

    def as_json(self) -> dict[str, Any]:
        """The line's figures as they stand in the result, without its name, which is their key there."""
        return {
            "busy_ratio": self.busy_ratio,
            "exchanges": self.exchanges,
            "timeouts": self.timeouts,
            "longest_queue": self.longest_queue,
        }


@dataclass(frozen=True)
class Result:
    """The result of one run. ``data`` is the JSON object, ``judged`` each expectation with what was measured;
    figures are typed below."""

    verdict: Verdict
    data: dict[str, Any]
    judged: list[Judged]
    notes: list[str]
    lines: list[LineFigures] = field(default_factory=list)
    error: str = ""
    """what was broken, for BROKEN"""
    divergence: str = ""
    """the first differing event, with --check"""
    agreed: str = ""
    """that a second run was the same, with --check"""
    pressing: tuple[str, ...] = ()
    """why the ends of the bands have to be run, too"""
    ended: float = field(default_factory=time.time, compare=False)
    """when its figures were taken: seconds since 1970, of this machine's clock"""

    @property
    def passed(self) -> bool:
        """Every expectation held, and none was left without data."""
        return self.verdict is Verdict.PASS

    @property
    def name(self) -> str:
        """The scenario's."""
        return str(self.data["scenario"])

    @property
    def seed(self) -> int:
        """That was run."""
        return int(self.data["seed"])

    @property
    def digest(self) -> str:
        """Of the event trace: equal for equal runs, on any machine."""
        return str(self.data["digest"])

    @property
    def samples(self) -> figures.SampleCounts:
        """What became of every sample that was due."""
        return figures.samples(self.data["ledger"])

    @property
    def derived(self) -> dict[str, figures.DerivedCounts]:
        """What became of the points that transforms added, by name."""
        return {name: figures.DerivedCounts(**one) for name, one in self.data.get("derived", {}).items()}

    @property
    def latency(self) -> figures.LatencyFigures:
        """Of the samples that got there."""
        return figures.latency(self.data["latency"])

    @property
    def gateways(self) -> dict[str, figures.GatewayFigures]:
        """By name; none when a gateway that isn't ours was judged."""
        return {name: figures.gateway(one) for name, one in self.data["gateways"].items()}

    @property
    def links(self) -> dict[str, figures.LinkFigures]:
        """By name."""
        return {name: figures.link(one) for name, one in self.data["links"].items()}

    @property
    def commands(self) -> dict[str, int]:
        """Writes that came from the cloud: how many were ``issued``, were ``done``, or failed, by cause."""
        return dict(self.data["commands"])

    @property
    def truth(self) -> figures.TruthFigures | None:
        """What drivers returned against what devices showed; None when a gateway that isn't ours was
        judged."""
        return figures.truth(self.data.get("truth"))

    @property
    def unspoken(self) -> dict[str, int]:
        """What went wrong, and no expectation speaks of it."""
        return dict(self.data["unspoken"])

    @property
    def reproduce(self) -> str:
        """The command that repeats it."""
        return str(self.data["reproduce"])


def versions() -> dict[str, str]:
    """Of Python and of what decides a run; ``core``: compiled or pure, which decides how long it takes."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return {**found, "core": CHOICE.word}


def _books(ledger: Ledger, derived: int) -> dict[str, Any]:
    return {
        "due": ledger.due,
        "open": ledger.open,
        "delivered": ledger.count(End.DELIVERED),
        "cached": ledger.count(End.CACHED),
        **{end.value: ledger.by_cause(end) for end in (End.DROPPED, End.EVICTED, End.MISSED, End.LOST)},
        "duplicates": ledger.duplicates,
        "misordered": ledger.misordered,
        "late": ledger.late,
        "derived": derived,
    }


def _pace(world: Run, wall_s: float) -> dict[str, Any]:
    """How far it came, and how fast."""
    simulated_ns = max(0, world.env.now)
    figures = {
        "simulated_ns": simulated_ns,
        "wall_s": round(wall_s, 6),
        "polls": world.polls,
        "events": world.events,
        "speedup": round(simulated_ns / 1e9 / wall_s, 3) if wall_s else None,
    }
    if world.pacer is None:
        return figures
    return {**figures, "pace": {"speed": float(world.pacer.speed), "lag": _histogram(world.pacer.lag)}}


def collect(
    loaded: Loaded,
    world: Run,
    judge: Judge,
    judged: list[Judged],
    verdict: Verdict,
    notes: list[str],
    reproduce: str,
    wall_s: float,
) -> Result:
    """Everything of a run that has ended, copied out of its world."""
    ledger = world.ledger
    latency = world.latencies.of()
    truth, unspoken = world.truth, judge.unspoken()
    lines = [
        LineFigures(n, round(busy_ratio(world, x), 6), x.exchanges, x.timeouts, x.longest_queue)
        for n, x in world.field.lines.items()
    ]
    data: dict[str, Any] = {
        "format": FORMAT,
        "verdict": verdict.value,
        "scenario": loaded.scenario.name,
        "seed": world.spec.seed,
        "clock": "virtual" if world.pacer is None else "wire" if world.pacer.wire else "paced",
        "digest": world.trace.digest(),
        "scenario_digest": scenario_digest(loaded),
        "components": {component.name: component.component.sha256 for component in world.spec.components},
        "recordings": dict(loaded.models.digests),
        "versions": versions(),
        "expectations": [expectation_json(one) for one in judged],
        "ledger": _books(ledger, 0 if world.books is None else world.books.derived.total),
        "quality": _quality(ledger),
        **({} if truth is None else {"truth": _truth(truth)}),
        "unspoken": unspoken,
        "latency": {
            "gateway": _histogram(latency.gateway),
            "cloud": _histogram(latency.cloud),
            "stages": {name: _histogram(latency.stages[i]) for i, name in enumerate(STAGES)},
        },
        "gateways": {gateway.name: gateway_figures(world, gateway) for gateway in world.gateways},
        "lines": {line.name: line.as_json() for line in lines},
        "links": {name: link_figures(link.stats()) for name, link in world.links.items()},
        "commands": {"issued": len(world.commands.issued), **world.commands.ended},
        "bands": {gateway.name: band(gateway) for gateway in world.gateways},
        "notes": notes,
        "run": _pace(world, wall_s),
        "reproduce": reproduce,
    }
    places = {device.name: device.place.url for device in world.spec.devices if device.place is not None}
    if places:
        data["places"] = places
    if world.books is not None and world.books.derived.units:
        data["derived"] = derived_figures(world.books.derived)
    if world.field.converters:
        data["converters"] = converters.figures(world)
        notes = [*notes, *converters.stories(world)]
    if world.pairs:
        data["pairs"] = {pair.name: pairs.figures(pair) for pair in world.pairs}
        notes = [*notes, *(text for pair in world.pairs for text in pairs.stories(pair))]
    if world.rollout.orders:
        data["upgrades"] = upgrades.figures(world.rollout.orders)
        data["releases"] = {
            f"{o.release.name} {o.release.version}": hashlib.sha256(o.data).hexdigest()
            for o in world.spec.offers
        }
        notes = [*notes, *upgrades.stories(world.rollout.orders)]
    if loaded.scenario.incident is not None:
        data["incident"] = loaded.scenario.incident
    return Result(verdict, data, judged, notes, lines)


def scenario_digest(loaded: Loaded) -> str:
    """SHA-256 of the scenario as it was understood: comments and layout don't count."""
    overrides = {name: override.model_dump() for name, override in loaded.scenario.overrides.items()}
    understood = loaded.scenario.model_dump_json(by_alias=True) + json.dumps(overrides, sort_keys=True)
    if loaded.models.digests:
        understood += json.dumps(loaded.models.digests, sort_keys=True)
    return hashlib.sha256(understood.encode()).hexdigest()


def _quality(ledger: Ledger) -> dict[str, Any]:
    """What drivers returned, what of it was delivered without a value, and who never had one."""
    if not ledger.tells_quality:
        return {"known": False}
    readings: dict[str, Any] = {"good": sum(ledger.good_of), "uncertain": {}, "bad": {}}
    for (_, status), count in ledger.status_of.items():
        by_name = readings[quality(status)]
        by_name[status_name(status)] = by_name.get(status_name(status), 0) + count
    ends: dict[str, dict[str, int]] = {}
    for (_, end, cause, status), count in ledger.marked.items():
        named = ends.setdefault(f"{end.value}{{{cause}}}" if cause else end.value, {})
        named[status_name(status)] = named.get(status_name(status), 0) + count
    never = ledger.valueless()
    valueless = [
        f"{ledger.names[device]} {point}"
        for device, mask in never.items()
        for i, point in enumerate(ledger.points[device])
        if mask >> i & 1
    ]
    return {
        "known": True,
        "readings": readings,
        "ends": ends,
        "valueless": valueless[:VALUELESS_MAX],
        "valueless_count": len(valueless),
    }


def _truth(truth: Truth) -> dict[str, Any]:
    """How much was checked against what devices showed, and what was wrong."""
    return {
        "readings": truth.readings, "checked": truth.checked, "asked_elsewhere": truth.asked_elsewhere,
        "wrong": truth.wrong, "example": None if truth.first is None else str(truth.first),
        "commands_checked": truth.commands_checked, "commands_wrong": truth.wrong_writes,
        "command_example": None if truth.first_command is None else str(truth.first_command),
    }  # fmt: skip


def expectation_json(one: Judged) -> dict[str, Any]:
    """As it stands in the result."""
    out: dict[str, Any] = {
        "expression": one.expectation.text,
        "verdict": one.verdict.value,
        "measured": None if one.never else one.measured,
        "unit": one.unit,
    }
    if one.never:
        out["never"] = True
    if one.why:
        out["why"] = one.why
    if one.ends:
        out["ends"] = {name: "never" if one.is_never(value) else value for name, value in one.ends}
    return out


def _histogram(histogram: Histogram) -> dict[str, Any]:
    def rank(permille: int) -> int | None:
        value = histogram.percentile(permille)
        return None if value is None or value >= NEVER else value

    return {
        "count": histogram.count,
        "never": histogram.never,
        "p50_ns": rank(500),
        "p95_ns": rank(950),
        "p99_ns": rank(990),
        "max_ns": histogram.max if histogram.count else None,
    }
