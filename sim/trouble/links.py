"""Verbs on links: cut (a way, a leg), flap, partition, degrade.

Belongs here: what happens to links. Never: how a link treats packets (link.py), what a rule is (rule.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twinloop.records import dataclass
from twinloop.sim.kernel.clock import TROUBLE
from twinloop.sim.model.spec import WorldSpec
from twinloop.sim.network.link import Link
from twinloop.sim.network.presets import PRESETS
from twinloop.sim.network.rule import CutRule
from twinloop.sim.trouble.verb import Mistake, Site, Stage, Undo, Unknown, Verb, WholeStage, key


def _links(spec: WorldSpec) -> Sequence[str]:
    return tuple(link.name for link in spec.links)


def _ways(spec: WorldSpec) -> Sequence[str]:
    return "up", "down"


def _legs(spec: WorldSpec) -> Sequence[str]:
    return (
        *(device.name for device in spec.devices),
        *(converter.name for converter in spec.converters),
        *(gateway.name for gateway in spec.gateways),
    )


def _gateways(spec: WorldSpec) -> Sequence[str]:
    return tuple(gateway.name for gateway in spec.gateways)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Broken(Verb):
    """What a link that carries nothing has in common. ``up`` and so on: None or empty for all."""

    on_link = True

    up: bool | None = key(
        "direction",
        "way",
        "only what goes up (to the gateway, the cloud), or only what goes down",
        "up",
        "down",
        None,
        _ways,
    )
    leg: str = key(
        "leg",
        "text",
        "only what this device, converter or gateway sends and hears",
        "presses/1",
        "presses/2",
        "",
        _legs,
    )
    via: str = key(
        "gateway",
        "name",
        "only at the port of this gateway, of two that poll over the link",
        "gw",
        "gw-b",
        "",
        _gateways,
    )

    @classmethod
    def targets(cls, spec: WorldSpec) -> Sequence[str]:
        """Links."""
        return _links(spec)

    def check(self, site: Site, given: Sequence[str]) -> None:
        """A link, with what hangs on it."""
        if self.target not in site.links:
            raise Unknown(None, "link", self.target, site.links)
        if site.is_line(self.target):
            for one in ("direction", "leg", "gateway"):
                if one in given:
                    raise Mistake(
                        one,
                        f'"{self.target}" is a serial line: one pair of wires, it is cut for all and both '
                        f"ways",
                    )
        if self.leg and self.leg not in site.legs(self.target):
            raise Unknown("leg", f"leg of {self.target}", self.leg, site.legs(self.target))
        if self.via and self.via not in site.pollers(self.target):
            raise Unknown(
                "gateway", f"gateway that polls over {self.target}", self.via, site.pollers(self.target)
            )

    def rule(self) -> CutRule:
        """What the link is told."""
        return CutRule(self.up, self.leg or None, self.via or None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut(_Broken):
    """a link carries nothing"""

    name = "cut"

    def begin(self, stage: Stage, until_ns: int | None) -> Undo:
        """Nothing passes."""
        link, rule = stage.links[self.target], self.rule()
        link.rules.append(rule)
        return lambda: link.rules.remove(rule)


@dataclass(frozen=True, slots=True, kw_only=True)
class Flap(_Broken):
    """a link is cut and whole in turns"""

    name = "flap"
    must_end = True

    down_ns: int = key("down", "interval", "how long it is cut each time", "1 s", "2 s")
    up_ns: int = key("up", "interval", "how long it is whole in between", "4 s", "1 s")

    def begin(self, stage: Stage, until_ns: int | None) -> Undo:
        """Cut, whole, cut, whole, from now on."""
        return _Flapping(stage, stage.links[self.target], self).end


class _Flapping:
    """A bad contact: down, up, down, up, from now until it is ended."""

    def __init__(self, stage: Stage, link: Link, flap: Flap) -> None:
        self._stage, self._link, self._flap = stage, link, flap
        self._rule = flap.rule()
        self._down = False
        self._over = False
        self._turn()

    def _turn(self) -> None:
        if self._over:
            return
        self._down = not self._down
        if self._down:
            self._link.rules.append(self._rule)
        else:
            self._link.rules.remove(self._rule)
        self._stage.trace.emit("link", self._link.name, "down" if self._down else "up", "flap")
        lasts_ns = self._flap.down_ns if self._down else self._flap.up_ns
        self._stage.env.call_at(self._stage.env.now + lasts_ns, self._turn, priority=TROUBLE)

    def end(self) -> None:
        """The contact is good again."""
        self._over = True
        if self._down:
            self._link.rules.remove(self._rule)


@dataclass(frozen=True, slots=True, kw_only=True)
class Partition(Verb):
    """the two gateways of a pair don't hear each other"""

    name = "partition"

    up: bool | None = key(
        "direction",
        "way",
        "only what the standby says (up), or only what it hears (down)",
        "up",
        "down",
        None,
        _ways,
    )

    @classmethod
    def targets(cls, spec: WorldSpec) -> Sequence[str]:
        """Gateways of a pair."""
        standbys = [gateway for gateway in spec.gateways if gateway.standby is not None]
        return (
            *(one.name for one in standbys),
            *(one.standby.of for one in standbys if one.standby is not None),
        )

    def check(self, site: Site, given: Sequence[str]) -> None:
        """A gateway of a pair."""
        if not site.pairs:
            raise Mistake("", f'"{self.target}" is no gateway of a pair; the scenario has no standby')
        if self.target not in site.pairs:
            raise Unknown("", "gateway of a pair", self.target, site.pairs)

    def begin(self, stage: WholeStage, until_ns: int | None) -> Undo:
        """The two don't hear each other (or one doesn't hear the other); their other links are as they
        are."""
        pair = next(pair for pair in stage.pairs if self.target in pair.names)
        rule = CutRule(self.up, pair.names[1])
        pair.link.rules.append(rule)
        return lambda: pair.link.rules.remove(rule)


@dataclass(frozen=True, slots=True, kw_only=True)
class Degrade(Verb):
    """a link has other figures, or a preset's"""

    name = "degrade"
    on_link = True

    changes: tuple[tuple[str, Any], ...] = key(
        "to",
        "change",
        "the figures that it has then: those of a link, or a preset",
        "loss: 2 %",
        "loss: 20 %",
        choices=lambda spec: tuple(f"preset: {name}" for name in PRESETS),
    )
    """fields of LinkModel and their values"""

    @classmethod
    def targets(cls, spec: WorldSpec) -> Sequence[str]:
        """Links."""
        return _links(spec)

    def check(self, site: Site, given: Sequence[str]) -> None:
        """A link; its new figures were checked when they were read."""
        if self.target not in site.links:
            raise Unknown(None, "link", self.target, site.links)

    def begin(self, stage: Stage, until_ns: int | None) -> Undo:
        """Other figures for a while."""
        link = stage.links[self.target]
        number = link.degrade(dict(self.changes))
        return lambda: link.restore(number)

    @property
    def detail(self) -> str:
        """Which figures."""
        return " ".join(name for name, _ in self.changes)
