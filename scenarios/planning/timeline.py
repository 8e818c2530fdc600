"""The timeline of a scenario file to single actions in time: repetition written out, targets drawn, events
named.

Belongs here: when entries happen. Never: what a verb takes or does (sim/trouble/).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from twinloop.scenarios.file import schema
from twinloop.scenarios.file.load import Loaded
from twinloop.scenarios.planning.phases import stretch
from twinloop.scenarios.planning.upgrades import OUTCOMES
from twinloop.scenarios.planning.verbs import check_span, find, value_of
from twinloop.scenarios.text import units
from twinloop.scenarios.text.document import Location
from twinloop.scenarios.text.errors import ScenarioError, unknown
from twinloop.sim.kernel.random import RandomStream, RandomStreams
from twinloop.sim.model.spec import Action, Reaction
from twinloop.sim.trouble.verb import Verb
from twinloop.sim.trouble.verbs import VERBS

OCCURRENCES_MAX = 1_000_000
"""of one entry"""
_AFTER = re.compile(r"^\s*(?P<event>[a-z][a-z-]* [a-z][a-z0-9/-]*)\s*(?:\+\s*(?P<delay>.+))?$")


def actions(loaded: Loaded, seed: int) -> tuple[list[Action], list[Reaction]]:
    """All occurrences of all entries, in the order of the file, and what waits for an event; raises
    ScenarioError."""
    out: list[Action] = []
    waiting: list[Reaction] = []
    events = possible_events(loaded)
    for index in range(len(loaded.scenario.timeline)):
        found, reactions = entry_actions(loaded, seed, index, events)
        out += found
        waiting += reactions
    return out, waiting


def entry_actions(
    loaded: Loaded, seed: int, index: int, events: list[str]
) -> tuple[list[Action], list[Reaction]]:
    """The same of one entry. ``events``: ``possible_events``."""
    entry, at = loaded.scenario.timeline[index], ("timeline", index)
    verb = find(loaded, entry, at)
    check_span(loaded, verb, entry.for_, at)
    draws = RandomStreams(seed).stream(f"timeline/{index}")
    if entry.every is None and entry.after is not None:
        return [], [_reaction(loaded, entry, verb, at, events, draws)]
    return [
        happening(drawn(loaded, verb, draws), instant, entry.for_) for instant in _instants(loaded, entry, at)
    ], []


def happening(verb: Verb, at_ns: int, for_ns: int | None) -> Action:
    """A verb at an instant, for a while (None: nothing ends it)."""
    return Action(at_ns, verb, None if for_ns is None else at_ns + for_ns)


def drawn(loaded: Loaded, verb: Verb, draws: RandomStream) -> Verb:
    """With ``presses/any`` as one of its devices; any other target as it is."""
    head, slash, tail = verb.target.rpartition("/")
    if tail != "any":
        return verb
    fleet = head.rpartition("/")[2]
    return replace(verb, target=f"{head}{slash}{draws.below(loaded.scenario.fleets[fleet].count) + 1}")


def _reaction(
    loaded: Loaded, entry: schema.Entry, verb: Verb, at: Location, events: list[str], draws: RandomStream
) -> Reaction:
    error = loaded.document.error
    if entry.at is not None:
        raise error((*at, "after"), '"after" goes with "every", or stands alone with an event; not with "at"')
    if entry.phase is not None:
        raise error((*at, "phase"), '"phase" goes with "at" and "every"; an event comes when it comes')
    found = _AFTER.match(str(entry.after))
    if not found:
        text = (
            f'expected an event, e.g. "heal cloud" or "heal cloud + 5 s" (with "every" a duration), got '
            f'"{entry.after}"'
        )
        raise error((*at, "after"), text)
    wrong = wrong_event(loaded, found["event"], events)
    if wrong is not None:
        raise error((*at, "after"), wrong)
    try:
        delay = 0 if found["delay"] is None else units.duration(found["delay"])
    except ValueError as problem:
        raise error((*at, "after"), str(problem)) from problem
    return Reaction(
        found["event"], delay, entry.times or 1, entry.for_, happening(drawn(loaded, verb, draws), 0, None)
    )


def _instants(loaded: Loaded, entry: schema.Entry, at: Location) -> Iterator[int]:
    error = loaded.document.error
    if (entry.at is None) == (entry.every is None):
        raise error(at, 'expected "at", or "every" (with "after" and "times"), or "after" an event')
    start, end = stretch(loaded, entry.phase, at)
    whole = "the run" if entry.phase is None else f"phase {entry.phase}"
    if entry.at is not None:
        for key in ("after", "times"):
            if getattr(entry, key) is not None:
                raise error((*at, key), f'"{key}" goes with "every", not with "at"')
        if start + entry.at > end or (entry.phase is not None and start + entry.at == end):
            raise error((*at, "at"), f"lies after the end of {whole}")
        yield start + entry.at
        return
    assert entry.every is not None
    try:
        first = start + (entry.every if entry.after is None else units.duration(entry.after))
    except ValueError as problem:
        raise error((*at, "after"), str(problem)) from problem
    last = min(end, loaded.scenario.duration) if entry.phase is None else end - 1
    times = entry.times or max(0, (last - first) // entry.every + 1)
    if times > OCCURRENCES_MAX:
        raise error((*at, "every"), f"happens {times} times; at most {OCCURRENCES_MAX} are allowed")
    if entry.times is not None and first + (times - 1) * entry.every > (end if entry.phase is None else last):
        raise error((*at, "times"), f"the last of {times} lies after the end of {whole}")
    if first > last:
        raise error((*at, "after" if entry.after is not None else "every"), f"lies after the end of {whole}")
    for i in range(times):
        yield first + i * entry.every


def possible_events(loaded: Loaded) -> list[str]:
    """Names of what a scenario's timeline and random trouble can make happen: ``cut cloud``, ``heal cloud``,
    ``restart gw``..."""
    out: dict[str, None] = {f"phase {phase.name}": None for phase in loaded.scenario.phases}
    deeds: list[tuple[schema.Deed, bool]] = [
        (entry, entry.for_ is not None) for entry in loaded.scenario.timeline
    ]
    deeds += [
        (deed, block.mttr is not None) for block in loaded.scenario.random_faults for deed in block.actions
    ]
    if any(phase.recover_within is not None for phase in loaded.scenario.phases):
        deeds = [(deed, True) for deed, _ in deeds]  # when that phase begins, whatever lasts ends
    if any(gateway.supervision.watchdog is not None for gateway in loaded.scenario.gateways.values()):
        out |= {
            f"restart {name}": None
            for name, gateway in loaded.scenario.gateways.items()
            if gateway.supervision.watchdog is not None
        }
    for name, gateway in loaded.scenario.gateways.items():
        if gateway.standby is not None:
            of = gateway.standby.of
            out |= {f"{event} {one}": None for one in (of, name) for event in ("promote", "step-down")} | {
                f"split-brain {of}": None
            }
    for deed, ends in deeds:
        for verb in VERBS.values():
            target = value_of(deed, verb.name)
            if target is None:
                continue
            for name in _spelled_out(loaded, target):
                out[f"{verb.name} {name}"] = None
                if verb.name == "upgrade":
                    out |= {f"{outcome} {name}": None for outcome in OUTCOMES}
                if verb.boots and ends:
                    out[f"restart {name}"] = None
                elif verb.lasts and ends:
                    out[f"heal {name}"] = None
    return list(out)


def wrong_event(loaded: Loaded, event: str, events: list[str]) -> str | None:
    """What is wrong with the name of an event. Nothing is while an entry or a pair isn't sound: it might be
    what the event comes from, and its own mistake is told of. ``events``: ``possible_events``."""
    if event in events or not _sound(loaded):
        return None
    return unknown("event", event, events)


def _sound(loaded: Loaded) -> bool:
    """Can all that events come from be understood?"""
    scenario = loaded.scenario
    deeds: list[tuple[schema.Deed, Location]] = [
        (entry, ("timeline", index)) for index, entry in enumerate(scenario.timeline)
    ]
    for index, block in enumerate(scenario.random_faults):
        at: Location = ("random-faults", index, "actions")
        deeds += [(deed, (*at, number)) for number, deed in enumerate(block.actions)]
    try:
        for deed, place in deeds:
            find(loaded, deed, place)
    except (ScenarioError, KeyError):  # a name that is missing is told of where it stands
        return False
    pairs = [gateway.standby.of for gateway in scenario.gateways.values() if gateway.standby is not None]
    return all(of in scenario.gateways for of in pairs)


def _spelled_out(loaded: Loaded, target: str) -> list[str]:
    head, slash, tail = target.rpartition("/")
    fleet = loaded.scenario.fleets.get(head.rpartition("/")[2])
    if tail != "any" or fleet is None:
        return [target]
    return [f"{head}{slash}{i + 1}" for i in range(fleet.count)]
