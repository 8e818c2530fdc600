"""A plan for the screens: names, addresses, what can be done to what.

Belongs here: that copy. Never: anything that changes while it runs.
"""

from __future__ import annotations

from twinloop.scenarios.file.load import Loaded
from twinloop.scenarios.judging.expectation import Expectation
from twinloop.scenarios.report.console import band_text
from twinloop.scenarios.report.gateways import band
from twinloop.scenarios.text.errors import shown_path
from twinloop.scenarios.text.units import show_duration
from twinloop.sim.gateway.gateway import Gateway
from twinloop.sim.model.spec import DeviceSpec, WorldSpec
from twinloop.sim.trouble.verbs import VERBS
from twinloop.sim.world import World
from twinloop.tui.engine.messages import DeviceInfo, FleetInfo, GatewayInfo, KeyInfo, Ready, Span, VerbInfo

FOR_EXAMPLE = "20 s"


def ready(loaded: Loaded, world: World, expectations: list[Expectation], kinds: list[str]) -> Ready:
    """All that doesn't change while it runs."""
    spec = world.spec
    coming = sorted((action.at_ns, f"{action.verb} {action.target}") for action in spec.timeline)
    reactions = tuple(
        f"{one.action.verb} {one.action.target} {_delay(one.delay_ns)}after {one.event}"
        for one in spec.reactions
    )
    budget_ns, budget = _tightest(expectations, "latency.gateway")
    cloud_budget_ns, cloud_budget = _tightest(expectations, "latency.cloud")
    gateways = tuple(
        GatewayInfo(
            g.name,
            g.board.name,
            g.board.cores,
            g.board.memory_bytes,
            g.uplink.link,
            "" if g.standby is None else g.standby.of,
            0 if g.store is None else g.store.capacity_bytes,
            _band(gateway),
        )
        for g, gateway in zip(spec.gateways, world.gateways, strict=True)
    )
    return Ready(
        loaded.scenario.name,
        shown_path(loaded.file),
        spec.seed,
        spec.duration_ns,
        tuple(_device(spec, device) for device in spec.devices),
        gateways,
        _verbs(spec),
        tuple(coming),
        reactions,
        tuple(kinds),
        budget_ns,
        budget,
        tuple(
            Span(action.at_ns, -1 if action.until_ns is None else action.until_ns, action.verb, action.target)
            for action in sorted(spec.timeline, key=lambda one: (one.at_ns, one.verb, one.target))
        ),
        _fleets(spec),
        cloud_budget_ns,
        cloud_budget,
    )


def _tightest(expectations: list[Expectation], metric: str) -> tuple[int, str]:
    """The tightest bound that is set to a latency, ns, and by which expectation; (0, ""): none is."""
    bounds = [
        one
        for one in expectations
        if one.metric == metric and one.operator in ("<", "<=") and one.unit == "ns"
    ]
    return min(((int(one.bound), one.text) for one in bounds), default=(0, ""))


def _fleets(spec: WorldSpec) -> tuple[FleetInfo, ...]:
    """Devices of a fleet mostly stand side by side: then it needs no list of them."""
    members: list[list[int]] = [[] for _ in spec.fleets]
    for i, device in enumerate(spec.devices):
        members[device.fleet].append(i)
    out = []
    for name, some in zip(spec.fleets, members, strict=True):
        if not some:
            out.append(FleetInfo(name, (), "", ""))
            continue
        first, whole = spec.devices[some[0]], range(some[0], some[-1] + 1)
        devices = whole if len(whole) == len(some) else tuple(some)
        out.append(FleetInfo(name, devices, first.link, first.gateway))
    return tuple(out)


def _device(spec: WorldSpec, device: DeviceSpec) -> DeviceInfo:
    def where(i: int) -> str:
        point = device.table.points[i]
        return device.speaks.shown(point)

    points = tuple((point.name, where(i), point.unit) for i, point in enumerate(device.table.points))
    return DeviceInfo(
        device.name,
        spec.fleets[device.fleet],
        device.protocol,
        device.link,
        device.gateway,
        device.poll_ns,
        points,
    )


def _delay(delay_ns: int) -> str:
    return f"{show_duration(delay_ns)} " if delay_ns else ""


def _band(gateway: Gateway) -> str:
    found = band(gateway)
    return f"{band_text(found)}; {found['source']}"


def _verbs(spec: WorldSpec) -> tuple[VerbInfo, ...]:
    out = []
    for name, verb in VERBS.items():
        keys = tuple(
            KeyInfo(
                key.name, key.needed, key.example, () if key.choices is None else tuple(key.choices(spec))
            )
            for key in verb.own_keys()
        )
        keys += (KeyInfo("for", verb.must_end, FOR_EXAMPLE, ()),) if verb.lasts else ()
        out.append(VerbInfo(name, verb.help(), keys, tuple(verb.targets(spec))))
    return tuple(out)
