"""A small plant with trouble of each kind that a page shows, run with somebody who listens for the page."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from twinloop.components.host.host import Host
from twinloop.scenarios.file.load import Loaded, load_text
from twinloop.scenarios.page.figures import figures
from twinloop.scenarios.page.gathering import Gathering
from twinloop.scenarios.page.series import Series
from twinloop.scenarios.page.watched import Curve, Watched
from twinloop.scenarios.report.result import Result
from twinloop.scenarios.runner import Options, run
from twinloop.sim.world import World

TEXT = """\
format: 2
name: page
seed: 7
duration: 20 s
grace: 20 s
fleets:
  presses: {device: press-sensor, protocol: modbus-tcp, count: 6, poll: 1 s, link: plant, gateway: gw, driver: modbus-driver}
  meters: {device: energy-meter, protocol: modbus-rtu, count: 3, poll: 2 s, link: line, gateway: gw, driver: modbus-driver}
links:
  plant: {preset: lan, loss: 5 %}
  line: {serial: 9600 Bd}
  cloud: {preset: lte}
components:
  modbus-driver: {wasm: modbus-driver.wasm, grants: [fieldbus, clock, log], with: {timeout: 200 ms}}
  normalize: {wasm: normalize.wasm, grants: [log]}
  route: {wasm: route.wasm, grants: [log]}
gateways:
  gw: {board: raspberry-pi-4, transform: normalize, policy: route, uplink: {link: cloud}, store: {capacity: 1 MiB}}
timeline:
  - {at: 6 s, cut: cloud, for: 4 s}
  - {at: 12 s, cut: plant, for: 3 s}
  - {at: 16 s, write: presses/3, point: setpoint, value: 42.0}
expect:
  - p99(latency.gateway{fleet=presses}) <= 50 ms
  - p95(latency.cloud) <= 1 s over 5 s
  - max(latency.stage{stage=bus}) <= 1 s
  - count(samples.missed) == 0
  - ratio(samples.delivered) >= 50 %
  - gateway.cpu <= 50 %
  - max(gateway.memory) <= 64 MiB
  - backlog == 0 within 10 s after heal cloud
  - max(backlog) <= 100
"""


@dataclass(frozen=True)
class Seen:
    """A run, and what was gathered of it."""

    result: Result
    world: World
    series: Series
    curves: dict[int, Curve]
    data: dict[str, Any]
    text: str


def seen(text: str, host: Host) -> Seen:
    """Run a scenario's text with somebody who listens, twice over: for the page, and for what is behind it."""
    loaded = loaded_text(text)
    gathering, kept = Gathering(), list[tuple[World, Series, Watched]]()
    gathering.loaded(loaded)

    def started(world: World) -> None:
        from twinloop.scenarios.judging.thresholds import read_expectations

        gathering.started(world)
        series = Series(world)
        kept.append((world, series, Watched(series, read_expectations(loaded))))

    result = run(loaded, Options(started=started), host)
    world, series, watched = kept[-1]
    curves = watched.curves()
    return Seen(
        result, world, series, curves, figures(result, series, curves, "page.yaml"), gathering.text(result)
    )


def loaded_text(text: str) -> Loaded:
    """A scenario that is nowhere on disk."""
    return load_text(text, Path("page.yaml"))
