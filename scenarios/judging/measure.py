"""Values of a run that has ended: what an expectation's metric, keys and statistic come to.

Belongs here: reading a world. Never: bounds and verdicts (thresholds.py).
"""

from __future__ import annotations

from typing import Any

from twinloop.devices.model.statuses import quality, status_name
from twinloop.scenarios.judging.expressions import Expectation
from twinloop.scenarios.judging.metrics import PERMILLE
from twinloop.sim.accounts.latency import BUS, STAGES, Latency
from twinloop.sim.accounts.ledger import End
from twinloop.sim.cloud.messages import Command
from twinloop.sim.cloud.orders import Upgrade
from twinloop.sim.kernel.histogram import NEVER, Histogram
from twinloop.sim.trouble.stuck import stuck
from twinloop.sim.world import World


def modelled(latency: Latency, name: str, only: int | None = None) -> float:
    """How much of a statistic of the gateway's latency (of one stage ``only``) is modelled CPU time: all but the bus, and queues for it."""
    latency.fold()
    parts = [statistic(latency.stages[stage], name) or 0.0 for stage in range(len(STAGES)) if stage != BUS and only in (None, stage)]
    outside = Histogram()
    outside.merge(latency.outside)
    if latency.gateway.count > outside.count:
        outside.add(0, latency.gateway.count - outside.count)
    return max(0.0, sum(parts) - (statistic(outside, name) or 0.0))


SAMPLE_ENDS = {f"samples.{end.value}": end for end in End}


class Measures:
    """Made before the run (it listens to commands), asked after it."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._commands_of: dict[int, Histogram] = {}
        self.failed: list[tuple[int, str]] = []
        """(device, cause) of each command that was not done"""
        world.on_command_done.append(self._command_done)

    def devices(self, expectation: Expectation) -> dict[int, None] | None:
        """Indices of the devices that the keys select; None: all."""
        spec = self.world.spec
        keys = dict(expectation.keys)
        if not any(key in keys for key in ("fleet", "device", "gateway")):
            return None
        standbys = {gateway.standby.of: (gateway.name,) for gateway in spec.gateways if gateway.standby is not None}
        return dict.fromkeys(
            i
            for i, device in enumerate(spec.devices)
            if keys.get("fleet") in (None, spec.fleets[device.fleet])
            and keys.get("device") in (None, device.name)
            and keys.get("gateway") in (None, device.gateway, *standbys.get(device.gateway, ()))
        )

    def _command_done(self, command: Command, cause: str | None) -> None:
        if cause is not None:
            self.failed.append((command.device, cause))
            return
        took = self.world.env._now - command.issued_ns
        self._commands_of.setdefault(command.device, Histogram()).add(took)

    def measure(self, expectation: Expectation) -> float | None:
        """The value of an expectation that needs no watcher, in its unit; None without data."""
        metric = expectation.metric
        if metric.startswith("latency."):
            latency = self.latency(expectation)
            if metric == "latency.stage":
                return statistic(latency.stages[STAGES.index(dict(expectation.keys)["stage"])], expectation.statistic)
            return statistic(latency.gateway if metric == "latency.gateway" else latency.cloud, expectation.statistic)
        if metric.startswith("samples."):
            return self._samples(expectation)
        if metric.startswith("readings."):
            return self._readings(expectation)
        if metric.startswith("failover."):
            return self._failover(expectation)
        if metric.startswith("upgrade"):
            return self._upgrades(expectation)
        if metric.startswith("command"):
            return self._command_value(expectation)
        return self._gateway_value(expectation)

    def latency(self, expectation: Expectation) -> Latency:
        """The merged histograms of the selected devices."""
        latencies, keys = self.world.latencies, dict(expectation.keys)
        if "device" in keys:
            return latencies.of(devices=self.devices(expectation))
        chosen = self.devices(expectation)
        if chosen is None:
            return latencies.of()
        return latencies.of(fleets=sorted(dict.fromkeys(self.world.spec.devices[d].fleet for d in chosen)))

    def nothing_to_measure(self, expectation: Expectation) -> str:
        """Why there is nothing that an expectation could be about: what wasn't there can't have held. Empty when there is."""
        metric, keys = expectation.metric, dict(expectation.keys)
        if metric.startswith(("samples.", "latency.", "readings.")) and metric != "samples.due" and self.none_due(expectation):
            return "none of these samples was due"
        if metric in ("command.latency", "commands.done", "commands.failed", "commands.wrong") and not self._issued(expectation):
            return "no such command was issued"
        if metric.startswith("upgrade") and metric != "upgrades.ordered" and not self._ordered(expectation):
            return "no such upgrade was ordered"
        if metric.startswith("failover.") and not self._pairs(expectation):
            return "there is no such pair"
        mine = [gateway for gateway in self.world.gateways if keys.get("gateway") in (None, gateway.name)]
        if metric == "backlog" and expectation.within_ns is None and all(gateway.outbox.store is None for gateway in mine):
            return "no gateway that is meant has a store"
        if metric == "component.faults" and not self._called(mine, keys.get("component")):
            return "no such component was called"
        return ""

    @staticmethod
    def _called(gateways: list[Any], component: str | None) -> bool:
        """Was a component (None: any) called, or tried to be made?"""
        return any(
            meter.calls or meter.instantiate_ns or meter.faults for gateway in gateways for name, meter in gateway.machine.budget.meters.items()
            if component in (None, name)
        )  # fmt: skip

    def _issued(self, expectation: Expectation) -> int:
        return sum(self._commanded(expectation, command.device) for command in self.world.commands_issued)

    def _commanded(self, expectation: Expectation, device: int) -> bool:
        keys, spec = dict(expectation.keys), self.world.spec
        return keys.get("device") in (None, spec.devices[device].name) and keys.get("fleet") in (None, spec.fleets[spec.devices[device].fleet])

    def _ordered(self, expectation: Expectation) -> list[Upgrade]:
        keys = dict(expectation.keys)
        return [
            one for one in self.world.rollout.orders
            if keys.get("gateway") in (None, one.gateway) and keys.get("component") in (None, one.component)
        ]  # fmt: skip

    def failed_upgrades(self) -> list[Upgrade]:
        """Orders that weren't carried out; of a world that orders none, none."""
        rollout = getattr(self.world, "rollout", None)
        return [] if rollout is None else [one for one in rollout.orders if one.state != "done"]

    def _pairs(self, expectation: Expectation) -> list[Any]:
        name = dict(expectation.keys).get("gateway")
        return [pair for pair in self.world.pairs if name in (None, *pair.names)]

    def none_due(self, expectation: Expectation) -> bool:
        """Was no sample due of all that it is about?"""
        ledger, devices, keys = self.world.ledger, self.devices(expectation), dict(expectation.keys)
        if "phase" in keys:
            return not any(
                points for (phase, device, _, _), points in self.world.ends_in_phase.items()
                if phase == keys["phase"] and (devices is None or device in devices)
            )  # fmt: skip
        return not any(ledger.due_of[device] for device in (range(len(ledger.names)) if devices is None else devices))

    def _readings(self, expectation: Expectation) -> float | None:
        ledger, devices, keys = self.world.ledger, self.devices(expectation), dict(expectation.keys)
        if expectation.metric == "readings.wrong":
            wrong = self.world.truth.wrong_of
            return sum(count for device, count in wrong.items() if devices is None or device in devices)
        chosen = range(len(ledger.names)) if devices is None else devices
        good = sum(ledger.good_of[device] for device in chosen)
        others = {key: count for key, count in ledger.status_of.items() if devices is None or key[0] in devices}
        wanted = expectation.metric.removeprefix("readings.")
        named = keys.get("status")
        count = good if wanted == "good" else sum(
            count for (_, status), count in others.items() if quality(status) == wanted and named in (None, status_name(status))
        )  # fmt: skip
        if expectation.statistic == "ratio":
            total = good + sum(others.values())
            return count / total if total else None
        return count

    def _samples(self, expectation: Expectation) -> float | None:
        ledger, devices = self.world.ledger, self.devices(expectation)
        if "phase" in dict(expectation.keys):
            return self._samples_in_phase(expectation, devices)
        chosen = range(len(ledger.names)) if devices is None else devices
        due = sum(ledger.due_of[d] for d in chosen)
        name = expectation.metric.removeprefix("samples.")
        if name == "due":
            count = due
        elif name in ("duplicates", "misordered", "late"):
            by_device: dict[int, int] = getattr(ledger, f"{name}_of")
            count = sum(by_device.get(d, 0) for d in chosen)
        else:
            end, cause, wanted = SAMPLE_ENDS[expectation.metric], dict(expectation.keys).get("cause"), dict(expectation.keys).get("quality")
            if wanted is not None and not ledger.tells_quality:
                return None
            count = ledger.count(end, cause, devices)
            if wanted is not None:
                marked = [
                    (status, points) for (device, how, why, status), points in ledger.marked.items()
                    if how is end and cause in (None, why) and (devices is None or device in devices)
                ]  # fmt: skip
                count = _of_quality(wanted, 0 if end is End.MISSED else count, marked)
        if expectation.statistic == "ratio":
            return count / due if due else None
        return count

    def _samples_in_phase(self, expectation: Expectation, devices: dict[int, None] | None) -> float | None:
        keys = dict(expectation.keys)
        mine = [
            (end, why, points) for (phase, device, end, why), points in self.world.ends_in_phase.items()
            if phase == keys["phase"] and (devices is None or device in devices)
        ]  # fmt: skip
        due = sum(points for _, _, points in mine)
        if expectation.metric == "samples.due":
            return due
        wanted, cause = SAMPLE_ENDS[expectation.metric], keys.get("cause")
        count = sum(points for end, why, points in mine if end is wanted and cause in (None, why))
        if "quality" in keys:
            if not self.world.ledger.tells_quality:
                return None
            marked = [
                (status, points) for (phase, device, end, why, status), points in self.world.marked_in_phase.items()
                if phase == keys["phase"] and end is wanted and cause in (None, why) and (devices is None or device in devices)
            ]  # fmt: skip
            count = _of_quality(keys["quality"], 0 if wanted is End.MISSED else count, marked)
        if expectation.statistic == "ratio":
            return count / due if due else None
        return count

    def _command_value(self, expectation: Expectation) -> float | None:
        keys = dict(expectation.keys)

        def mine(device: int) -> bool:
            return self._commanded(expectation, device)

        if expectation.metric == "command.latency":
            total = Histogram()
            for device, histogram in self._commands_of.items():
                if mine(device):
                    total.merge(histogram)
            total.never += sum(mine(device) for device, _ in self.failed)
            return statistic(total, expectation.statistic)
        if expectation.metric == "commands.wrong":
            return sum(count for device, count in self.world.truth.wrong_commands.items() if mine(device))
        if expectation.metric == "commands.issued":
            return self._issued(expectation)
        if expectation.metric == "commands.done":
            return sum(histogram.count for device, histogram in self._commands_of.items() if mine(device))
        return sum(mine(device) and keys.get("cause") in (None, cause) for device, cause in self.failed)

    def _failover(self, expectation: Expectation) -> float | None:
        pairs = self._pairs(expectation)
        if expectation.metric == "failover.split-brain":
            return sum(len(pair.splits) for pair in pairs)
        times, gap = Histogram(), expectation.metric == "failover.gap"
        for pair in pairs:
            for takeover in pair.takeovers:
                ends_ns = takeover.first_ns if gap else takeover.led_ns
                if ends_ns < 0 and takeover.led_ns >= self.world.spec.duration_ns:
                    continue  # nothing was due any more
                if ends_ns < 0:
                    times.never += 1
                else:
                    times.add(ends_ns - takeover.gone_ns)
            times.never += pair.gone_ns is not None
        return statistic(times, expectation.statistic)

    def _upgrades(self, expectation: Expectation) -> float | None:
        keys, metric = dict(expectation.keys), expectation.metric
        mine = self._ordered(expectation)
        if metric == "upgrades.ordered":
            return len(mine)
        done = [one for one in mine if one.state == "done"]
        if metric == "upgrades.done":
            return len(done)
        if metric == "upgrades.failed":
            return sum(one.state != "done" and keys.get("cause") in (None, one.cause) for one in mine)
        times = Histogram()
        for one in mine:
            if metric == "upgrade.downtime" and one.downtime_ns is not None:
                times.add(one.downtime_ns)
            elif metric == "upgrade.duration" and one.state == "done":
                times.add(one.ended_ns - one.issued_ns)
            elif metric == "upgrade.duration":
                times.never += 1
        return statistic(times, expectation.statistic)

    def _gateway_value(self, expectation: Expectation) -> float | None:
        keys = dict(expectation.keys)
        gateways = [g for g in self.world.gateways if keys.get("gateway") in (None, g.name)]
        metric = expectation.metric
        if metric == "component.faults":
            return sum(
                count for g in gateways for (component, cause), count in g.supervisor.faults.items()
                if keys.get("component") in (None, component) and keys.get("cause") in (None, cause)
            )  # fmt: skip
        if metric == "gateway.boot":
            boots = Histogram()
            for g in gateways:
                for boot_ns in g.boots:
                    boots.add(boot_ns)
                boots.never += g.state == "booting"
            return statistic(boots, expectation.statistic)
        if metric == "flash.written":
            return sum(g.outbox.store.flash_bytes for g in gateways if g.outbox.store is not None)
        if metric == "stuck":
            return len(stuck(self.world, gateways))
        if metric == "gateway.cpu":
            return max(cpu_ratio(self.world, g) for g in gateways)
        if metric == "gateway.memory":
            return max(g.machine.budget.memory_peak_bytes if expectation.statistic else g.machine.budget.memory_bytes for g in gateways)
        return max((g.outbox.store.waiting_peak if g.outbox.store else 0) if expectation.statistic else g.outbox.backlog for g in gateways)


def _of_quality(wanted: str, count: int, marked: list[tuple[int, int]]) -> int:
    """Of ``count`` points, of which ``marked`` (StatusCode, points) weren't Good, those of one quality."""
    if wanted == "good":
        return max(0, count - sum(points for _, points in marked))
    return sum(points for status, points in marked if quality(status) == wanted)


def cpu_ratio(world: World, gateway: Any) -> float:
    """Share of all cores' time from t = 0 to the end of the duration (or to now, before it) that was used; boot and settling left out."""
    elapsed = elapsed_ns(world)
    if not elapsed:
        return 0.0
    busy = gateway.machine.busy_in_run_ns
    return float((gateway.machine.busy_total_ns() - gateway.machine.boot_busy_ns if busy is None else busy) / (elapsed * gateway.machine.board.cores))


def elapsed_ns(world: World) -> int:
    """How much of the duration is over; 0 of a run that hasn't come to its beginning."""
    return world.spec.duration_ns if getattr(world, "duration_over", False) else max(0, min(world.env._now, world.spec.duration_ns))


def busy_ratio(world: World, line: Any) -> float:
    """Share of the duration, as far as it is over, in which a serial line was occupied."""
    elapsed = elapsed_ns(world)
    busy = line.busy_until(world.env._now) if line.busy_in_run_ns is None else line.busy_in_run_ns
    return busy / elapsed if elapsed else 0.0


def statistic(histogram: Histogram, name: str) -> float | None:
    """A statistic of a histogram: NEVER for ranks that never came, None without data."""
    if name == "count":
        return histogram.count
    if name in PERMILLE:
        return histogram.percentile(PERMILLE[name])
    if not histogram.count + histogram.never:
        return None
    if name == "min":
        return histogram.min if histogram.count else NEVER
    if histogram.never:
        return NEVER
    return histogram.max if name == "max" else histogram.mean()
