"""What metrics read a world by: the devices that an expectation means, merged histograms, statistics, shares
of time.

Belongs here: what more than one kind of metric needs. Never: a metric (metrics/), bounds and verdicts
(thresholds.py).
"""

from __future__ import annotations

from typing import Any

from twinloop.scenarios.judging.expectation import Expectation
from twinloop.scenarios.judging.run import Run
from twinloop.sim.accounts.latency import BUS, STAGES, Latency
from twinloop.sim.cloud.messages import Command
from twinloop.sim.cloud.orders import Upgrade
from twinloop.sim.kernel.histogram import NEVER, Histogram

PERMILLE = {"p50": 500, "p90": 900, "p95": 950, "p99": 990, "p99.9": 999}
"""percentile statistics, by nearest rank"""


def modelled(latency: Latency, name: str, only: int | None = None) -> float:
    """How much of a statistic of the gateway's latency (of one stage ``only``) is modelled CPU time: all but
    the bus, and queues for it."""
    latency.fold()
    parts = [
        statistic(latency.stages[stage], name) or 0.0
        for stage in range(len(STAGES))
        if stage != BUS and only in (None, stage)
    ]
    outside = Histogram()
    outside.merge(latency.outside)
    if latency.gateway.count > outside.count:
        outside.add(0, latency.gateway.count - outside.count)
    return max(0.0, sum(parts) - (statistic(outside, name) or 0.0))


class Measures:
    """Made before the run (it listens to commands), asked after it."""

    def __init__(self, world: Run) -> None:
        self.world = world
        self.commands_of: dict[int, Histogram] = {}
        """device -> how long each of its commands took"""
        self.failed: list[tuple[int, str]] = []
        """(device, cause) of each command that was not done"""
        self._chosen: dict[tuple[tuple[str, str], ...], dict[int, None] | None] = {}
        """keys of an expectation -> the devices that they select: asked for with each look at a run"""
        self._fleets: dict[tuple[tuple[str, str], ...], list[int]] = {}
        """the same, their fleets"""
        world.commands.on_done.append(self._command_done)

    def devices(self, expectation: Expectation) -> dict[int, None] | None:
        """Indices of the devices that the keys select; None: all."""
        asked = tuple(expectation.keys)
        if asked not in self._chosen:
            self._chosen[asked] = self._choose(dict(asked))
        return self._chosen[asked]

    def _choose(self, keys: dict[str, str]) -> dict[int, None] | None:
        spec = self.world.spec
        if not any(key in keys for key in ("fleet", "device", "gateway")):
            return None
        standbys = {
            gateway.standby.of: (gateway.name,) for gateway in spec.gateways if gateway.standby is not None
        }
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
        took = self.world.env.now - command.issued_ns
        self.commands_of.setdefault(command.device, Histogram()).add(took)

    def latency(self, expectation: Expectation) -> Latency:
        """The merged histograms of the selected devices."""
        latencies, keys = self.world.latencies, dict(expectation.keys)
        if "device" in keys:
            return latencies.of(devices=self.devices(expectation))
        chosen, asked = self.devices(expectation), tuple(expectation.keys)
        if chosen is None:
            return latencies.of()
        if asked not in self._fleets:
            self._fleets[asked] = sorted(dict.fromkeys(self.world.spec.devices[d].fleet for d in chosen))
        return latencies.of(fleets=self._fleets[asked])

    def failed_upgrades(self) -> list[Upgrade]:
        """Orders that weren't carried out; of a world that orders none, none."""
        return [one for one in self.world.rollout.orders if one.state != "done"]

    def none_due(self, expectation: Expectation) -> bool:
        """Was no sample due of all that it is about?"""
        ledger, devices, keys = self.world.ledger, self.devices(expectation), dict(expectation.keys)
        if "phase" in keys:
            return not any(
                points for (phase, device, _, _), points in self.world.ends.in_phase.items()
                if phase == keys["phase"] and (devices is None or device in devices)
            )  # fmt: skip
        return not any(
            ledger.due_of[device] for device in (range(len(ledger.names)) if devices is None else devices)
        )


def cpu_ratio(world: Run, gateway: Any) -> float:
    """Share of all cores' time from t = 0 to the end of the duration (or to now, before it) that was used;
    boot and settling left out."""
    elapsed = elapsed_ns(world)
    if not elapsed:
        return 0.0
    busy = gateway.machine.busy_in_run_ns
    return float(
        (gateway.machine.busy_total_ns() - gateway.machine.boot_busy_ns if busy is None else busy)
        / (elapsed * gateway.machine.board.cores)
    )


def elapsed_ns(world: Run) -> int:
    """How much of the duration is over; 0 of a run that hasn't come to its beginning."""
    return (
        world.spec.duration_ns if world.duration_over else max(0, min(world.env.now, world.spec.duration_ns))
    )


def busy_ratio(world: Run, line: Any) -> float:
    """Share of the duration, as far as it is over, in which a serial line was occupied."""
    elapsed = elapsed_ns(world)
    busy = (
        line.occupancy.busy_until(world.env.now)
        if line.occupancy.busy_in_run_ns is None
        else line.occupancy.busy_in_run_ns
    )
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
