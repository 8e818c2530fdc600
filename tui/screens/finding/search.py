"""A search in everything that has a name: devices, gateways, links, components, expectations, entries of the
timeline, lines of the log.

Belongs here: what there is to find, and which of it comes first. Never: the box in which it is typed
(search_box.py), what is done with what was found (terminal/).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from twinloop.tui.drawing.text import clock_text
from twinloop.tui.engine.messages import Ready, View

WORDS_MAX, LETTERS_MAX = 8, 200
"""words of a search that are looked for, and letters that are read"""
SHOWN_MAX = 8
"""of a group that are shown; the others are counted"""
GROUPS = ("Devices", "Gateways", "Links", "Components", "Expectations", "Timeline", "Log")
_DEVICE, _GATEWAY, _LINK, _COMPONENT, _EXPECTATION, _ENTRY, _LINE = GROUPS


@dataclass(frozen=True, slots=True)
class Thing:
    """Something to be found. ``group``: of GROUPS; ``number``: of a device or a gateway its place in the
    plan, of an entry and a line its instant (ns, -1: none yet); ``words``: where is looked, in small letters,
    the name first."""

    group: str
    name: str
    detail: str
    number: int
    words: str


@dataclass(frozen=True, slots=True)
class Found:
    """Of one group: how many there are, and the best of them."""

    group: str
    count: int
    best: tuple[Thing, ...]


def things(plan: Ready, view: View) -> list[Thing]:
    """All there is to find, in the order of GROUPS."""
    return [*_devices(plan), *_plant(plan, view), *_happening(plan, view)]


def _thing(group: str, name: str, detail: str, number: int = -1) -> Thing:
    return Thing(group, name, detail, number, f"{name}\n{detail}".lower())


def _devices(plan: Ready) -> Iterator[Thing]:
    for i, one in enumerate(plan.devices):
        yield _thing(_DEVICE, one.name, f"{one.fleet}  {one.protocol}  {one.link} to {one.gateway}", i)


def _plant(plan: Ready, view: View) -> Iterator[Thing]:
    for i, gateway in enumerate(plan.gateways):
        pair = f"  standby of {gateway.standby_of}" if gateway.standby_of else ""
        yield _thing(_GATEWAY, gateway.name, f"{gateway.board}  uplink {gateway.uplink}{pair}", i)
    to_cloud: dict[str, list[str]] = {}
    for gateway in plan.gateways:
        to_cloud.setdefault(gateway.uplink, []).append(gateway.name)
    read: dict[str, int] = {}
    for device in plan.devices:
        read[device.link] = read.get(device.link, 0) + 1
    for name in dict.fromkeys((*read, *to_cloud, *(name for name, _ in view.snapshot.links))):
        devices = f"{read[name]} devices" if name in read else ""
        uplink = f"uplink of {', '.join(to_cloud[name])}" if name in to_cloud else ""
        yield _thing(_LINK, name, "  ".join(part for part in (devices, uplink) if part))
    names = [gateway.name for gateway in plan.gateways]
    for one in view.instances:
        number = names.index(one.gateway) if one.gateway in names else -1
        yield _thing(_COMPONENT, one.component, f"on {one.gateway}", number)


def _happening(plan: Ready, view: View) -> Iterator[Thing]:
    for one in view.verdicts:
        yield _thing(_EXPECTATION, one.text, f"{one.verdict}  {one.measured}", one.number)
    by_hand = dict(view.entries.stamped)
    entries = {(at_ns, by_hand.get(at_ns, what)): None for at_ns, what in view.entries.happened}
    entries.update(dict.fromkeys((*view.entries.stamped, *plan.coming, *view.entries.due)))
    for at_ns, what in sorted(entries):
        yield _thing(_ENTRY, what, clock_text(at_ns), at_ns)
    for text, left in zip(plan.reactions, view.entries.left, strict=False):
        if left:
            yield _thing(_ENTRY, text, "waits for an event")
    for line in reversed(view.log):
        yield _thing(_LINE, line.text, f"{clock_text(line.at_ns)}  {line.kind}", max(0, line.at_ns))


def search(known: list[Thing], typed: str) -> list[Found]:
    """What has all the words, by groups, the one with the best match first; in a group the best first: what
    is called so, what begins so, what has it in its name, what has it anywhere else."""
    words = typed[:LETTERS_MAX].lower().split()[:WORDS_MAX]
    if not words:
        return []
    whole = " ".join(words)
    groups: dict[str, list[tuple[int, Thing]]] = {}
    for thing in known:
        text = thing.words
        for word in words:
            if word not in text:
                break
        else:
            groups.setdefault(thing.group, []).append((_rank(thing, whole, words), thing))
    found = []
    for group, some in groups.items():
        some.sort(key=lambda one: one[0])
        best = tuple(thing for _, thing in some[:SHOWN_MAX])
        found.append((some[0][0], GROUPS.index(group), Found(group, len(some), best)))
    return [one for _, _, one in sorted(found, key=lambda one: one[:2])]


def _rank(thing: Thing, whole: str, words: list[str]) -> int:
    name = thing.words.partition("\n")[0]
    if name == whole:
        return 0
    if name.startswith(whole):
        return 1
    return 2 if all(word in name for word in words) else 3
