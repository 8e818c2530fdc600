"""Verbs on gateways: crash, shutdown, power cut, restart, throttle, squeeze, fill, clock step and skew.

Belongs here: what happens to gateways. Never: what a gateway does about it (gateway.py, supervisor.py,
store.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from twinloop.records import dataclass
from twinloop.sim.gateway.gateway import Gateway
from twinloop.sim.kernel.clock import NEVER_NS, TROUBLE
from twinloop.sim.model.spec import WorldSpec
from twinloop.sim.trouble.verb import Mistake, Site, Undo, Unknown, Verb, WholeStage, key


@dataclass(frozen=True, slots=True, kw_only=True)
class _OnGateway(Verb):
    """What all of them have in common."""

    @classmethod
    def targets(cls, spec: WorldSpec) -> Sequence[str]:
        """Gateways."""
        return tuple(gateway.name for gateway in spec.gateways)

    def check(self, site: Site, given: Sequence[str]) -> None:
        """A gateway."""
        if self.target not in site.gateways:
            raise Unknown(None, "gateway", self.target, site.gateways)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Down(_OnGateway):
    """It goes down, and boots when the last of all that overlap has ended."""

    boots = True

    def down(self, stage: WholeStage, until_ns: int | None, how: Callable[[Gateway], None]) -> None:
        """Down until the latest end of all that overlap; one without an end keeps it down until a restart."""
        gateway = stage.gateway_of_name[self.target]
        until = NEVER_NS if until_ns is None else until_ns
        gateway.down_until_ns = (
            until if gateway.state in ("up", "booting") else max(gateway.down_until_ns, until)
        )
        how(gateway)
        if until != NEVER_NS:
            stage.env.call_at(until, self._boot_when_over, stage, priority=TROUBLE)

    def _boot_when_over(self, stage: WholeStage) -> None:
        gateway = stage.gateway_of_name[self.target]
        if gateway.down_until_ns > stage.env.now:
            return
        if gateway.state == "stopping":  # the time was too short for a clean end
            gateway.crash()
        if gateway.state == "down":
            gateway.boot()
            stage.happened(f"restart {self.target}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Crash(_Down):
    """a gateway's process dies; its files stay"""

    name = "crash"

    def begin(self, stage: WholeStage, until_ns: int | None) -> None:
        """Its memory is gone."""
        self.down(stage, until_ns, lambda gateway: gateway.crash())


@dataclass(frozen=True, slots=True, kw_only=True)
class Shutdown(_Down):
    """a gateway stops in an orderly way"""

    name = "shutdown"

    def begin(self, stage: WholeStage, until_ns: int | None) -> None:
        """Polls under way end, what is unacknowledged is stored."""
        self.down(stage, until_ns, lambda gateway: gateway.shutdown())


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerCut(_Down):
    """a gateway loses power, and what was written since the last sync"""

    name = "power-cut"

    def begin(self, stage: WholeStage, until_ns: int | None) -> None:
        """The power goes: also what was written since the last sync."""
        self.down(stage, until_ns, lambda gateway: gateway.crash(power=False))


@dataclass(frozen=True, slots=True, kw_only=True)
class RestartGateway(_OnGateway):
    """a gateway crashes and boots"""

    name = "restart"
    lasts = False

    def begin(self, stage: WholeStage, until_ns: int | None) -> None:
        """Crash if it is up, then boot."""
        gateway = stage.gateway_of_name[self.target]
        gateway.down_until_ns = stage.env.now
        gateway.restart()


@dataclass(frozen=True, slots=True, kw_only=True)
class Throttle(_OnGateway):
    """a gateway's CPU slows down"""

    name = "throttle"

    amount: float = key("speed", "share", "its speed, as a share of its full speed", "50 %", "10 %")
    """over 0, at most 1"""

    def begin(self, stage: WholeStage, until_ns: int | None) -> Undo:
        """It runs at a share of its speed."""
        return stage.gateway_of_name[self.target].throttle(self.amount)


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitMemory(_OnGateway):
    """other programs take a gateway's memory"""

    name = "limit-memory"

    size_bytes: int = key("leave", "size", "how much memory all components together may have", "8 MiB", "0 B")

    def begin(self, stage: WholeStage, until_ns: int | None) -> Undo:
        """Somebody else on the board takes the rest."""
        return stage.gateway_of_name[self.target].squeeze(self.size_bytes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fill(_OnGateway):
    """other programs fill a gateway's flash"""

    name = "fill"

    size_bytes: int = key("leave", "size", "how many bytes the store may still grow by", "8 MiB", "0 B")

    def check(self, site: Site, given: Sequence[str]) -> None:
        """A gateway with a store on flash."""
        _OnGateway.check(self, site, given)
        if not site.has_flash(self.target):
            raise Mistake(None, f"gateway {self.target} has no store on flash: nothing of it can be filled")

    def begin(self, stage: WholeStage, until_ns: int | None) -> Undo | None:
        """Somebody else fills the flash."""
        store = stage.gateway_of_name[self.target].outbox.store
        return None if store is None or store.spec.volatile else store.fill(self.size_bytes)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockStep(_OnGateway):
    """a gateway's wall clock jumps"""

    name = "clock-step"

    shift_ns: int = key("by", "shift", "how far it jumps, forward or back", "-2 s", "1 h")

    def begin(self, stage: WholeStage, until_ns: int | None) -> Undo:
        """It jumps; its end jumps back."""
        gateway = stage.gateway_of_name[self.target]
        gateway.step_clock(self.shift_ns)
        return lambda: gateway.step_clock(-self.shift_ns)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockSkew(_OnGateway):
    """a gateway's clocks run fast or slow"""

    name = "clock-skew"

    ppb: int = key("skew", "skew", "how fast they run, or how slow", "+50 ppm", "-5000 ppm")
    """billionths; slow when negative"""

    def begin(self, stage: WholeStage, until_ns: int | None) -> Undo:
        """They run fast or slow."""
        clock = stage.gateway_of_name[self.target].machine.clock
        clock.skew(stage.env.now, self.ppb)
        return lambda: clock.skew(stage.env.now, -self.ppb)
