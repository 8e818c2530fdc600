"""What a run's own records say, as slices and instants: trouble, links, instances, gateways.

Belongs here: records of the event trace as events of a Perfetto trace. Never: what no record tells (cores,
lines, counters: perfetto.py).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from twinloop.scenarios.export.packets import Note, PacketFile
from twinloop.sim.kernel.trace import Record
from twinloop.sim.model.spec import Action
from twinloop.sim.trouble.verbs import VERBS
from twinloop.sim.world import World


class Lanes:
    """Tracks of one name for slices that may overlap: each goes onto the first one that is free."""

    def __init__(self, file: PacketFile, name: str, parent: int) -> None:
        self._file, self._name, self._parent = file, name, parent
        self._tracks: list[int] = []
        self._until: list[int] = []

    def put(self, begin_ns: int, end_ns: int, name: str, category: str, **notes: Note) -> None:
        """One slice; they come in order of their ends. Nothing lasts no time: that is an instant."""
        free = [lane for lane, until_ns in enumerate(self._until) if until_ns <= begin_ns]
        lane = max(free, key=lambda one: self._until[one]) if free else self._more()
        self._until[lane] = max(end_ns, self._until[lane])
        if end_ns > begin_ns:
            self._file.slice(self._tracks[lane], begin_ns, end_ns, name, category, **notes)
        else:
            self._file.instant(self._tracks[lane], begin_ns, name, category, **notes)

    def _more(self) -> int:
        number = len(self._tracks) + 1
        name = self._name if number == 1 else f"{self._name} ({number})"
        self._tracks.append(self._file.track(name, self._parent))
        self._until.append(-(1 << 63))
        return number - 1


class Happenings:
    """Of one run. ``groups``: each gateway's group of tracks."""

    def __init__(self, world: World, file: PacketFile, groups: list[int]) -> None:
        self._file = file
        trouble, links = file.track("trouble"), file.track("links")
        self._names = {gateway.index: gateway.name for gateway in world.gateways}
        self._gateways = [file.track("gateway", group) for group in groups]
        self._instances = [file.track("instances", group) for group in groups]
        self._slots = {slot.name: gateway.index for gateway in world.gateways for slot in gateway.rack.all()}
        self._trouble = Lanes(file, "timeline", trouble)
        self._links = {name: Lanes(file, f"link {name}", links) for name in world.links}
        self._flaps: dict[str, int] = {}
        """link -> since when a flap has it down"""
        self._begun: deque[Action] = deque()
        """entries whose record hasn't come yet"""
        self._open: list[tuple[int, Action]] = []
        """(since when, which) of entries that stand"""
        self._tell: dict[str, Callable[..., None]] = {
            "trouble": self._on_trouble, "link": self._on_link, "component": self._on_component,
            "fault": self._on_fault, "gateway": self._on_gateway, "phase": self._on_phase,
        }  # fmt: skip
        world.timeline.on_begin.append(self._begun.append)
        world.trace.sinks.append(self._take)

    def _take(self, records: list[Record]) -> None:
        tell = self._tell
        for record in records:
            if record[1] in tell:
                tell[record[1]](record[0], *record[2:])

    # ---- trouble ---------------------------------------------------------------------------------
    def _on_trouble(self, now: int, verb: str, target: str, event: str, detail: str) -> None:
        if event == "begin":
            self._begin(now)
        else:
            self._end(now, target, verb)

    def _on_link(self, now: int, link: str, event: str, detail: str) -> None:
        if event in ("heal", "relief"):
            self._end(now, link, None)
        elif detail == "flap" and event in ("down", "up"):
            self._flapped(now, link, event)
        else:
            self._begin(now)

    def _flapped(self, now: int, link: str, event: str) -> None:
        if event == "down":
            self._flaps.setdefault(link, now)
        elif link in self._flaps:
            self._links[link].put(self._flaps.pop(link), now, "down", "link")

    def _begin(self, now: int) -> None:
        action = self._begun.popleft()
        if VERBS[action.verb].lasts:
            self._open.append((now, action))
        else:
            self._put(now, now, action)

    def _end(self, now: int, target: str, verb: str | None) -> None:
        """Of those that stand there the one whose time has come, else the first: then all of them end now."""
        standing = [
            one for one in self._open
            if one[1].target == target
            and (VERBS[one[1].verb].on_link if verb is None else one[1].verb == verb)
        ]  # fmt: skip
        ended = next((one for one in standing if one[1].until_ns == now), standing[0] if standing else None)
        if ended is not None:
            self._open.remove(ended)
            self._put(ended[0], now, ended[1])
            if ended[1].verb == "flap":
                self._flapped(now, target, "up")

    def _put(self, begin_ns: int, end_ns: int, action: Action, **notes: Note) -> None:
        verb, target = action.verb, action.target
        said: dict[str, Note] = {"detail": action.deed.detail} if action.deed.detail else {}
        self._trouble.put(begin_ns, end_ns, f"{verb} {target}", "trouble", **said, **notes)
        if VERBS[verb].on_link and target in self._links:
            self._links[target].put(begin_ns, end_ns, verb, "link", **said, **notes)

    # ---- gateways and instances ------------------------------------------------------------------
    def _on_gateway(self, now: int, gateway: int, state: str) -> None:
        self._file.instant(self._gateways[gateway], now, state, "gateway")
        if state == "booting":  # the end of what has switched it off
            name = self._names[gateway]
            off = [one for one in self._open if VERBS[one[1].verb].boots and one[1].target == name]
            for one in off:
                self._open.remove(one)
                self._put(one[0], now, one[1])

    def _on_component(self, now: int, gateway: int, slot: str, state: str, cause: str) -> None:
        self._slots[slot] = gateway
        said: dict[str, Note] = {"cause": cause} if cause else {}
        self._file.instant(self._instances[gateway], now, f"{slot} {state}", "instance", **said)

    def _on_fault(self, now: int, slot: str, cause: str, message: str, fuel: int) -> None:
        track = self._instances[self._slots.get(slot, 0)]
        self._file.instant(track, now, f"{slot} fault", "fault", cause=cause, message=message, fuel=fuel)

    def _on_phase(self, now: int, name: str) -> None:
        self._trouble.put(now, now, f"phase {name}", "phase")

    def finish(self, now: int) -> None:
        """Entries that still stand last until now."""
        for link in list(self._flaps):
            self._flapped(now, link, "up")
        for begin_ns, action in self._open:
            self._put(begin_ns, max(begin_ns, now), action, until="the end of the run")
        self._open.clear()
