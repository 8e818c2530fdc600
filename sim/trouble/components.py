"""Verbs on components: an instance dies, a release is ordered.

Belongs here: what happens to components. Never: what a gateway does about it (supervisor.py, sim/upgrade/).
"""

from __future__ import annotations

from collections.abc import Sequence

from twinloop.components.host.outcome import Cause, Fault
from twinloop.records import dataclass
from twinloop.sim.model.spec import WorldSpec
from twinloop.sim.trouble.verb import Mistake, Site, Unknown, Verb, WholeStage, key

CAUSES = tuple(cause.value for cause in Cause)


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultComponent(Verb):
    """a component's instance (gw/transform, gw/policy, gw/driver/presses/3) dies of a cause"""

    name = "fault-component"
    takes = "slot"
    lasts = False

    kind: str = key(
        "cause",
        "cause",
        "the cause of the fault; left out: unreachable",
        "out-of-fuel",
        "dead",
        "unreachable",
        lambda spec: CAUSES,
    )

    @classmethod
    def targets(cls, spec: WorldSpec) -> Sequence[str]:
        """Places of components."""
        shared = tuple(
            f"{gateway.name}/{place}" for gateway in spec.gateways for place in ("transform", "policy")
        )
        return shared + tuple(f"{device.gateway}/driver/{device.name}" for device in spec.devices)

    def check(self, site: Site, given: Sequence[str]) -> None:
        """A gateway's transform or policy, or the driver of a device that it polls."""
        gateway, _, place = self.target.partition("/")
        if gateway not in site.gateways:
            raise Unknown("", "gateway", gateway, site.gateways)
        if place.startswith("driver/"):
            device = place.removeprefix("driver/")
            site.device(device)
            polled_by = site.polled_by(device)
            if gateway not in polled_by:
                raise Mistake("", f'{device} is polled by "{polled_by[0]}", not by "{gateway}"')
        if self.kind not in CAUSES:
            raise Unknown("cause", "cause", self.kind, CAUSES)

    def begin(self, stage: WholeStage, until_ns: int | None) -> None:
        """It dies now: a call under way ends so, too."""
        gateway = stage.gateway_of_name[self.target.partition("/")[0]]
        slot = next(slot for slot in gateway.rack.slots if slot.name == self.target)
        gateway.supervisor.fault(slot, Fault(Cause(self.kind), "injected by the timeline"))

    @property
    def detail(self) -> str:
        """The cause."""
        return self.kind


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderUpgrade(Verb):
    """the cloud orders a gateway to install another version of a component"""

    name = "upgrade"
    takes = "component"
    lasts = False

    version: str = key(
        "version", "version", "which release of the registry", "1.1.0", "1.2.0",
        choices=lambda spec: tuple(dict.fromkeys(str(offer.release.version) for offer in spec.offers)),
    )  # fmt: skip

    @classmethod
    def targets(cls, spec: WorldSpec) -> Sequence[str]:
        """``gateway/component``."""
        found: dict[str, None] = {}
        for gateway in spec.gateways:
            polled = gateway.name if gateway.standby is None else gateway.standby.of
            used = [
                gateway.transform,
                gateway.policy,
                *(device.driver for device in spec.devices if device.gateway == polled),
            ]
            found |= dict.fromkeys(f"{gateway.name}/{component}" for component in used)
        return tuple(found)

    def check(self, site: Site, given: Sequence[str]) -> None:
        """A component of a gateway, to a version that the registry has."""
        gateway, _, component = self.target.partition("/")
        if gateway not in site.gateways:
            raise Unknown("", "gateway", gateway, site.gateways)
        site.require_release(gateway, component, self.version)

    def begin(self, stage: WholeStage, until_ns: int | None) -> None:
        """The cloud sends an order."""
        stage.rollout.order(self.target, self.version)
