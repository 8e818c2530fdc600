"""What the timeline can do to gateways and their components: crash, shutdown, power cut, restart, throttle, squeeze, fill,
clock step and skew, an injected fault. Each returns what ends it, or None when it ends otherwise (a boot) or never.

Belongs here: verbs on gateways. Never: what a gateway does about it (gateway.py, supervisor.py, store.py).
"""

from __future__ import annotations

from collections.abc import Callable

from twinloop.components.host.outcome import Cause, Fault
from twinloop.sim.gateway.gateway import Gateway
from twinloop.sim.kernel.clock import NEVER_NS, TROUBLE
from twinloop.sim.model.spec import Action
from twinloop.sim.trouble.stage import WholeStage

Undo = Callable[[], None]


def _down(world: WholeStage, action: Action, how: Callable[[Gateway], None]) -> None:
    """Down until the latest end of all that overlap; one without an end keeps it down until a restart."""
    gateway = world.gateway_of_name[action.target]
    until = NEVER_NS if action.until_ns is None else action.until_ns
    gateway.down_until_ns = until if gateway.state in ("up", "booting") else max(gateway.down_until_ns, until)
    how(gateway)
    if until != NEVER_NS:
        world.env.call_at(until, _boot_when_over, world, action.target, priority=TROUBLE)


def _boot_when_over(world: WholeStage, name: str) -> None:
    gateway = world.gateway_of_name[name]
    if gateway.down_until_ns > world.env._now:
        return
    if gateway.state == "stopping":  # the time was too short for a clean end
        gateway.crash()
    if gateway.state == "down":
        gateway.boot()
        world.happened(f"restart {name}")


def crash(world: WholeStage, action: Action) -> None:
    """The gateway's process dies; its files stay."""
    _down(world, action, lambda gateway: gateway.crash())


def shutdown(world: WholeStage, action: Action) -> None:
    """It stops in an orderly way: polls under way end, what is unacknowledged is stored."""
    _down(world, action, lambda gateway: gateway.shutdown())


def power_cut(world: WholeStage, action: Action) -> None:
    """The power goes: also what was written since the last sync."""
    _down(world, action, lambda gateway: gateway.crash(power=False))


def restart(world: WholeStage, action: Action) -> None:
    """Crash if it is up, then boot."""
    gateway = world.gateway_of_name[action.target]
    gateway.down_until_ns = world.env._now
    gateway.restart()


def throttle(world: WholeStage, action: Action) -> Undo:
    """The CPU runs at ``amount`` (0 to 1) of its speed."""
    return world.gateway_of_name[action.target].throttle(action.amount)


def squeeze(world: WholeStage, action: Action) -> Undo:
    """Somebody else on the board takes all RAM but ``size_bytes``."""
    return world.gateway_of_name[action.target].squeeze(action.size_bytes)


def fill(world: WholeStage, action: Action) -> Undo | None:
    """Somebody else fills the flash: ``size_bytes`` are left for the store to grow by."""
    store = world.gateway_of_name[action.target].outbox.store
    return None if store is None or store.spec.volatile else store.fill(action.size_bytes)


def clock_step(world: WholeStage, action: Action) -> Undo:
    """The wall clock jumps by ``shift_ns``; its end jumps back."""
    gateway = world.gateway_of_name[action.target]
    gateway.step_clock(action.shift_ns)
    return lambda: gateway.step_clock(-action.shift_ns)


def clock_skew(world: WholeStage, action: Action) -> Undo:
    """The gateway's clocks run fast by ``ppb`` billionths (slow when negative)."""
    clock = world.gateway_of_name[action.target].machine.clock
    clock.skew(world.env._now, action.ppb)
    return lambda: clock.skew(world.env._now, -action.ppb)


def upgrade(world: WholeStage, action: Action) -> None:
    """The cloud orders a gateway to install another version of a component."""
    world.rollout.order(action.target, action.version)


def inject(world: WholeStage, action: Action) -> None:
    """A component's instance dies now, as if by ``kind``: a call under way ends so, too."""
    gateway = world.gateway_of_name[action.target.partition("/")[0]]
    slot = next(slot for slot in gateway.rack.slots if slot.name == action.target)
    gateway.supervisor.fault(slot, Fault(Cause(action.kind), "injected by the timeline"))
