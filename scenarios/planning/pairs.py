"""Pairs of gateways: checked when a scenario is read, told when a run is over.

Belongs here: what only pairs have. Never: who leads (sim/redundancy/member.py).
"""

from __future__ import annotations

from typing import Any

from twinloop.scenarios.file import schema
from twinloop.scenarios.file.load import Loaded
from twinloop.scenarios.text.document import Location
from twinloop.scenarios.text.errors import unknown
from twinloop.scenarios.text.units import show_duration
from twinloop.scenarios.text.words import number_of
from twinloop.sim.model.spec import StandbySpec, WorldSpec
from twinloop.sim.redundancy.member import QUESTIONS
from twinloop.sim.redundancy.pair import Pair

LEASE_BEATS = 2
"""a lease lasts so many times as long as a standby waits for heartbeats, if nothing else is said: long enough
for its promise to come"""
HANDOVER_NS = 5_000_000_000
STORIES_MAX = 8
RENEWALS = 2
"""a lease must last for so many round trips of the uplink: one until it is asked for again, one for the
answer"""


def standby_spec(loaded: Loaded, name: str, standby: schema.Standby) -> StandbySpec:
    """Checked against the other gateways and links; raises ScenarioError."""
    at: Location = ("gateways", name, "standby")
    error, scenario, beat = loaded.document.error, loaded.scenario, standby.heartbeat
    if standby.of not in scenario.gateways or standby.of == name:
        raise error(
            (*at, "of"), unknown("gateway", standby.of, [one for one in scenario.gateways if one != name])
        )
    if scenario.gateways[standby.of].standby is not None:
        raise error(
            (*at, "of"), f'"{standby.of}" stands by itself; a pair has one gateway that is no standby'
        )
    for other, gateway in scenario.gateways.items():
        if other != name and gateway.standby is not None and gateway.standby.of == standby.of:
            raise error(
                (*at, "of"), f'"{other}" already stands by for "{standby.of}"; a pair has two gateways'
            )
    for fleet, block in scenario.fleets.items():
        if block.gateway == name:
            raise error(
                ("fleets", fleet, "gateway"),
                f'"{name}" is a standby: name the gateway that it stands by for, "{standby.of}"',
            )
    if beat.link not in scenario.links:
        raise error((*at, "heartbeat", "link"), unknown("link", beat.link, scenario.links))
    if scenario.links[beat.link].serial is not None:
        raise error((*at, "heartbeat", "link"), "heartbeats need a network link, this one is serial")
    users = [
        f"the uplink of {other}"
        for other, gateway in scenario.gateways.items()
        if gateway.uplink.link == beat.link
    ]
    users += [f"fleet {fleet}" for fleet, block in scenario.fleets.items() if block.link == beat.link]
    if users:
        raise error(
            (*at, "heartbeat", "link"),
            f'heartbeats need a link of their own, "{beat.link}" is that of {users[0]}',
        )
    if standby.lease is not None and standby.arbiter == "none":
        raise error((*at, "lease"), "a lease needs an arbiter that grants it: arbiter: cloud")
    if standby.handover is not None and standby.mode != "hot":
        raise error(
            (*at, "handover"),
            f"a {standby.mode} standby reads nothing that it could hand over; only a hot one does",
        )
    promise_ns = beat.every * beat.misses
    return StandbySpec(
        standby.of,
        beat.link,
        standby.mode,
        beat.every,
        beat.misses,
        standby.arbiter,
        standby.lease or LEASE_BEATS * promise_ns,
        standby.handover or HANDOVER_NS,
        standby.preempt,
    )


def warnings(spec: WorldSpec) -> list[str]:
    """What can be foreseen of pairs."""
    out, devices = [], spec.devices
    models = {link.name: link.model for link in spec.links}
    uplinks = {gateway.name: gateway.uplink.link for gateway in spec.gateways}
    for gateway in spec.gateways:
        standby = gateway.standby
        if standby is None:
            continue
        promise_ns = standby.every_ns * standby.misses
        longest_ns = promise_ns if standby.arbiter == "none" else max(promise_ns, standby.lease_ns)
        if standby.mode == "hot" and standby.handover_ns <= longest_ns:
            out.append(
                f"gateway {gateway.name}: a handover of {show_duration(standby.handover_ns)} is no longer "
                f"than a takeover may take, "
                f"{show_duration(longest_ns)}: what is read in between may be lost"
            )
        for name in (standby.of, gateway.name) if standby.arbiter == "cloud" else ():
            model = models[uplinks[name]]
            round_trip_ns = 2 * (model.delay_ns + model.jitter_ns)
            if standby.lease_ns < RENEWALS * round_trip_ns:
                out.append(
                    f"gateway {name}: a lease of {show_duration(standby.lease_ns)} over an uplink with a "
                    f"round trip of up to "
                    f"{show_duration(round_trip_ns)} is renewed late: it will be given up again and again"
                )
        if standby.mode == "hot" and any(
            device.gateway == standby.of and device.speaks.serial for device in devices
        ):
            out.append(
                f"gateways {standby.of} and {gateway.name} both poll serial lines: their requests will "
                f"collide; a warm standby waits"
            )
        if standby.arbiter == "cloud" and standby.lease_ns // QUESTIONS <= standby.every_ns:
            text = "a promise of the standby may come after the lease has ended, when the cloud is away"
            out.append(
                f"gateway {gateway.name}: a lease of {show_duration(standby.lease_ns)} with heartbeats every "
                f"{show_duration(standby.every_ns)}: {text}"
            )
    return out


def stories(pair: Pair) -> list[str]:
    """What happened between the two, in words: who took over when, and when both led."""
    first, second = pair.names
    out = []
    for takeover in pair.takeovers:
        text = (
            f"{takeover.new} took over from {takeover.old}"
            if takeover.new != takeover.old
            else f"{takeover.new} leads again"
        )
        out.append(
            f"{text} at {takeover.led_ns / 1e9:g} s, {show_duration(takeover.led_ns - takeover.gone_ns)} "
            f"after it was gone"
        )
    if pair.gone_ns is not None:
        out.append(f"since {pair.gone_ns / 1e9:g} s neither {first} nor {second} leads")
    for split in pair.splits:
        out.append(
            f"split brain: {first} and {second} both led from {split.began_ns / 1e9:g} s to "
            f"{split.ended_ns / 1e9:g} s, "
            f"heartbeats over {pair.link.name} did not come and nobody arbitrates; "
            f"{number_of(split.duplicates, 'sample')} came twice"
        )
    return (
        out
        if len(out) <= STORIES_MAX
        else [*out[:STORIES_MAX], f"and {len(out) - STORIES_MAX} more of the like"]
    )


def figures(pair: Pair) -> dict[str, Any]:
    """A pair in the result."""
    return {
        "gateways": list(pair.names),
        "mode": pair.spec.mode,
        "arbiter": pair.spec.arbiter,
        "leaders": pair.leaders,
        "takeovers": [
            {
                "from": one.old,
                "to": one.new,
                "gone_ns": one.gone_ns,
                "led_ns": one.led_ns,
                "first_ns": None if one.first_ns < 0 else one.first_ns,
            }
            for one in pair.takeovers
        ],
        "splits": [
            {"began_ns": one.began_ns, "ended_ns": one.ended_ns, "duplicates": one.duplicates}
            for one in pair.splits
        ],
        "gone_ns": pair.gone_ns,
        "members": {member.gateway.name: _member(member) for member in pair.members},
    }


def _member(member: Any) -> dict[str, Any]:
    handover = member.handover
    return {
        "role": member.role,
        "term": member.term,
        "heartbeats_sent": member.sent,
        "heartbeats_heard": member.beats,
        "handover": None
        if handover is None
        else {"held": handover.held, "peak": handover.peak, "sent": handover.sent, "let_go": handover.let_go},
    }
