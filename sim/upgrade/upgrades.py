"""Upgrades over the air: what a gateway does with a release that it is told to install, step by step, each
with its ways to end.

Belongs here: the steps and their order, the installed versions. Never: the download (releases.py), what is
watched after the swap (trial.py), how a release is signed (components/releases/registry.py).

The statement that comes with the order is checked first: signature, then version; the bytes are fetched, held
against it, written to flash, compiled, instantiated and configured BESIDE the old instances. Each slot is
swapped between two of its calls: who waits for the old instance is still served by it. The old instances live
until the trial is over and the new version is committed, which is one write that a sync makes durable;
whatever stops the gateway before, it comes back with the old version and the ``state`` that this had at the
swap. Going back takes the instances that were kept.
"""

from __future__ import annotations

import hashlib
from collections import deque

from twinloop.components.host.component import ComponentRefused
from twinloop.components.releases.registry import Keys, bytes_fault, signature_fault
from twinloop.sim.accounts.latency import DRIVER, StageTimes
from twinloop.sim.cloud.orders import ENDS, TRANSITIONS, Upgrade
from twinloop.sim.cloud.releases import ReleaseBlock
from twinloop.sim.gateway.call import call
from twinloop.sim.gateway.gateway import Gateway
from twinloop.sim.kernel.clock import S, Steps, Task
from twinloop.sim.kernel.random import RandomStream
from twinloop.sim.machine.machine import COMPILE_SLICE_NS
from twinloop.sim.model.spec import ComponentSpec, UpgradeSpec
from twinloop.sim.upgrade.download import Fetch
from twinloop.sim.upgrade.swap import Swap
from twinloop.sim.upgrade.trial import Trial

WAITING_MAX = 8
"""upgrades that wait for one gateway to finish another; more are refused (cause ``limit``)"""


class Upgrades:
    """Of one gateway. ``installed``: component -> (version, SHA-256 of its bytes), as its flash has it."""

    def __init__(
        self,
        gateway: Gateway,
        spec: UpgradeSpec,
        trusted: Keys,
        components: list[ComponentSpec],
        cuts: RandomStream,
    ) -> None:
        self._gateway, self._spec, self._trusted, self._cuts = gateway, spec, trusted, cuts
        self.installed = {
            one.name: (one.version, one.component.sha256) for one in components if one.version is not None
        }
        self.current: Upgrade | None = None
        self._waiting: deque[Upgrade] = deque()
        self._fetch: Fetch | None = None
        self._swapping: Swap | None = None
        self._trial: Trial | None = None
        self._committing = False

    # ---- orders ----------------------------------------------------------------------------------
    def move(self, upgrade: Upgrade, event: str, cause: str = "") -> None:
        """Take a transition of the table and trace it."""
        following = TRANSITIONS.after(upgrade.target, upgrade.state, event)
        gateway = self._gateway
        if following in ENDS:
            upgrade.stage, upgrade.ended_ns, upgrade.cause = upgrade.state, gateway.machine.env.now, cause
        upgrade.state = following
        gateway.machine.trace.emit(
            "upgrade", gateway.index, upgrade.component, str(upgrade.release.version), following, cause
        )
        if following in ENDS and event != "end-of-run":
            gateway.machine.on_event(f"{'upgraded' if following == 'done' else following} {upgrade.target}")

    def take_order(self, upgrade: Upgrade) -> None:
        """An order has come down: it waits its turn."""
        self.move(upgrade, "told")
        if len(self._waiting) >= WAITING_MAX:
            self._gateway.machine.trace.emit("limit", self._gateway.index, "upgrades", WAITING_MAX)
            self.move(upgrade, "refuse", "limit")
            return
        self._waiting.append(upgrade)
        self._next()

    def _next(self) -> None:
        if self.current is None and self._waiting:
            self.current = self._waiting.popleft()
            self.move(self.current, "begin")
            Task(self._gateway.machine.env, self._run(self.current, self._gateway.machine.epoch))

    def _run(self, upgrade: Upgrade, epoch: int) -> Steps:
        gateway = self._gateway
        known = self.installed.get(upgrade.component)
        upgrade.before = None if known is None else known[0]
        steps = (
            (self._check, "believed"),
            (self._download, "fetched"),
            (self._verify, "verified"),
            (self._write, "written"),
            (self._prepare, "prepared"),
            (self._swap, "swapped"),
            (self._try, "passed"),
            (self._commit, "committed"),
        )
        for step, event in steps:
            cause = yield from step(upgrade)
            if gateway.machine.epoch != epoch:
                return
            if cause:
                yield from self._give_up(upgrade, cause)
                break
            self.move(upgrade, event)
        if gateway.machine.epoch == epoch:
            self._over(upgrade)
            self._next()

    def _over(self, upgrade: Upgrade) -> None:
        if self._swapping is not None:
            upgrade.downtime_ns = self._swapping.downtime_ns()
            self._swapping.forget()
        self.current = self._fetch = self._swapping = self._trial = None

    # ---- steps: each returns the cause for which it goes no further ------------------------------
    def _check(self, upgrade: Upgrade) -> Steps:
        """Is the order signed by whom we trust, and newer than what we have?"""
        yield from self._gateway.machine.cores.hold(self._gateway.machine.budget.host("verify"))
        release, known = upgrade.release, self.installed.get(upgrade.component)
        fault = signature_fault(release, self._trusted)
        if fault or release.name != upgrade.component:
            return fault or "wrong-name"
        assert known is not None  # refused at load
        version, sha256 = known
        if release.version == version:
            return "installed" if release.sha256 == sha256 else "version-reused"
        return "downgrade" if release.version < version else ""

    def _download(self, upgrade: Upgrade) -> Steps:
        release = upgrade.release
        fetch = self._fetch = Fetch(
            gateway=self._gateway,
            upgrade=upgrade.number,
            name=release.name,
            version=str(release.version),
            size_bytes=release.size_bytes,
            limit_ns=self._spec.fetch_ns,
        )
        fetch.begin()
        cause = yield fetch.done
        upgrade.sessions = fetch.restarts + 1
        upgrade.fetched_bytes = len(fetch.data())
        return cause

    def _verify(self, upgrade: Upgrade) -> Steps:
        """Are these the bytes that were signed?"""
        assert self._fetch is not None
        data = self._fetch.data()
        yield from self._gateway.machine.cores.hold(
            self._gateway.machine.budget.host_many("digest_kib", _kib(data))
        )
        return bytes_fault(upgrade.release, data)

    def _write(self, upgrade: Upgrade) -> Steps:
        """To flash, beside the old one's file; nothing refers to it yet."""
        gateway, epoch = self._gateway, self._gateway.machine.epoch
        yield from gateway.machine.cores.hold(gateway.machine.budget.host("commit"))
        yield upgrade.fetched_bytes * S // gateway.machine.flash_bytes_per_s
        if gateway.machine.epoch == epoch:
            yield gateway.machine.on_flash()
        return ""

    def _prepare(self, upgrade: Upgrade) -> Steps:
        """Compile, link against the old one's grants, bring up beside the old instances, ask drivers how they
        are."""
        gateway = self._gateway
        assert self._fetch is not None
        data, epoch = self._fetch.data(), gateway.machine.epoch
        yield from gateway.machine.compile(hashlib.sha256(data).hexdigest(), len(data), COMPILE_SLICE_NS)
        if gateway.machine.epoch != epoch:
            return ""
        old = next(slot.spec for slot in gateway.rack.slots if slot.spec.name == upgrade.component)
        try:
            component = gateway.host.load(data, old.role)
        except ComponentRefused as refused:
            upgrade.detail = str(refused)
            return "not-a-component"
        try:
            linked = gateway.host.link(component, old.grants)
        except ComponentRefused as refused:
            upgrade.detail = str(refused)
            return "not-granted"
        self._swapping = Swap(gateway, old, component, linked, upgrade.release.version)
        return (yield from self._bring_up(upgrade, self._swapping, epoch))

    def _bring_up(self, upgrade: Upgrade, swap: Swap, epoch: int) -> Steps:
        gateway = self._gateway
        gateway.host.require_room(sum(slot.spec.component.memories for slot in swap.new))
        for place in range(len(swap.new)):  # one by one: polls need the cores, too
            yield swap.start(place)
            if gateway.machine.epoch != epoch:
                return ""
            if swap.fault:
                break
        for slot in swap.new if swap.new[0].spec.role == "driver" else []:
            if swap.fault:  # who was brought up first may have died since
                break
            fault = yield from call(gateway.machine, slot, "get-status", (), 0, StageTimes(), DRIVER)
            if gateway.machine.epoch != epoch:
                return ""
            if fault is not None:
                gateway.supervisor.fault(slot, fault)
                break
            assert slot.instance is not None
            status = slot.instance.result()
            if status.health == "failed":
                upgrade.detail = f"get-status: {status.detail}"
                return "unhealthy"
        upgrade.detail = swap.fault
        return swap.cause()

    def _swap(self, upgrade: Upgrade) -> Steps:
        assert self._swapping is not None
        yield self._swapping.forth()
        return ""

    def _try(self, upgrade: Upgrade) -> Steps:
        swap = self._swapping
        assert swap is not None
        trial = self._trial = Trial(self._gateway, self._spec, swap)
        cause = yield trial.done
        upgrade.detail = trial.detail
        return cause

    def _commit(self, upgrade: Upgrade) -> Steps:
        """The new version is the one that a boot takes, as soon as that is synced."""
        gateway, epoch = self._gateway, self._gateway.machine.epoch
        yield from gateway.machine.cores.hold(gateway.machine.budget.host("commit"))
        if gateway.machine.epoch != epoch:
            return ""
        self._committing = True
        yield gateway.machine.on_flash()
        if gateway.machine.epoch == epoch:
            self._commit_now(upgrade)
        return ""

    def _commit_now(self, upgrade: Upgrade) -> None:
        assert self._swapping is not None
        self._committing = False
        self.installed[upgrade.component] = upgrade.release.version, upgrade.release.sha256
        self._swapping.retire(self._swapping.old)

    def _give_up(self, upgrade: Upgrade, cause: str) -> Steps:
        """What was prepared goes; what was swapped is swapped back."""
        if upgrade.state in ("swapping", "trial", "committing"):
            epoch = self._gateway.machine.epoch
            assert self._swapping is not None
            yield from self._swapping.back()
            if self._gateway.machine.epoch != epoch:
                return
            self._swapping.retire(self._swapping.new)
            self.move(upgrade, "go-back", cause)
            return
        if self._swapping is not None:
            self._swapping.retire(self._swapping.new)
        self.move(upgrade, "refuse", cause)

    # ---- what else happens -----------------------------------------------------------------------
    def block(self, block: ReleaseBlock) -> None:
        """A block of the download has come."""
        if self._fetch is not None:
            self._fetch.arrived(block)

    def session_up(self) -> None:
        """The uplink stands again: the download goes on where it was."""
        if self._fetch is not None and not self._fetch.finished:
            self._fetch.begin()

    def stopped(self, cause: str) -> None:
        """The gateway is gone: an order that isn't committed comes to nothing, in one way or the other of a
        write that was under way."""
        upgrade, committing = self.current, self._committing
        self._committing = False
        if upgrade is not None:
            if self._fetch is not None:
                self._fetch.stop()
            if self._trial is not None:
                self._trial.stop()
            if committing and cause == "power-cut" and self._cuts.below(2):
                self._commit_now(upgrade)  # it was on the flash, and nobody lived to know
                self.move(upgrade, "committed")
            elif upgrade.state in ("swapping", "trial", "committing"):
                assert self._swapping is not None
                self._swapping.back_at_once()
                self.move(upgrade, "go-back", cause)
            else:
                self.move(upgrade, "give-up", cause)
            self._over(upgrade)
        waiting = list(self._waiting)
        self._waiting.clear()
        for one in waiting:
            self.move(one, "give-up", cause)

    def finish(self) -> None:
        """The run is over."""
        for upgrade in [*([self.current] if self.current is not None else []), *self._waiting]:
            self.move(upgrade, "end-of-run", "end-of-run")
            if upgrade is self.current and self._swapping is not None and self._swapping.swapped:
                upgrade.downtime_ns = self._swapping.downtime_ns()
        self.current = None
        self._waiting.clear()


def _kib(data: bytes) -> int:
    return -(-len(data) // 1024)
