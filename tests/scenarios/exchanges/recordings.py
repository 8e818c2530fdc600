"""Scenarios that are recorded, and their replays. Belongs here: running and reading. Never: assertions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.plants import WASM
from twinloop.components.host.host import Host
from twinloop.scenarios.exchanges.comparing import Compared
from twinloop.scenarios.exchanges.reading import Recorded
from twinloop.scenarios.exchanges.replaying import Replay, Replayed, replayed
from twinloop.scenarios.export.exchanges import ExchangesFile
from twinloop.scenarios.file.load import load_text
from twinloop.scenarios.report.result import Result
from twinloop.scenarios.runner import Options, run

HERE = Path(__file__).parent
PLANTED = HERE / "planted-driver.wasm"
MENDED = WASM.parent / "starters" / "built" / "c-driver.wasm"
SHIPPED = WASM / "modbus-driver.wasm"
FIELD = """\
format: 2
name: field
duration: 6 s
fleets:
  presses: {device: press-sensor, protocol: modbus-tcp, count: 1, poll: 1 s, link: plant, gateway: gw, driver: own}
links:
  plant: {preset: lan}
  cloud: {preset: lte}
components:
  own: {wasm: DRIVER, grants: [fieldbus, clock, log], with: {timeout: 100 ms}}
  normalize: {wasm: normalize.wasm, grants: [log]}
  route: {wasm: route.wasm, grants: [log]}
gateways:
  gw: {board: raspberry-pi-4, transform: normalize, policy: route, uplink: {link: cloud}}
expect:
  - count(samples.lost) == 0
"""
BUSY = """\
timeline:
  - {at: 2 s, device-fault: presses/1, kind: exception, code: 6, for: 1500 ms}
"""


def field(driver: Path = PLANTED, trouble: str = BUSY) -> str:
    """A press-sensor behind a driver, and what happens to it."""
    return FIELD.replace("DRIVER", str(driver)) + trouble


def recorded(host: Host, text: str, path: Path, *of: str, file: Path = Path("x.yaml")) -> Result:
    watch = ExchangesFile(path, of, lambda: ("x", "d"))
    return run(load_text(text, file), Options(watches=(watch,)), host)


def replay(
    driver: Path, path: Path, device: str | None = None, options: dict[str, str] | None = None
) -> tuple[Replay, list[Replayed]]:
    calls: list[Replayed] = []
    return replayed(driver, Recorded(path), device, calls.append, options), calls


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def rewritten(path: Path, change: Any) -> Path:
    """The file with each of its lines as ``change`` returns it; None leaves one out."""
    found = [change(line) for line in lines(path)]
    text = "".join(json.dumps(line) + "\n" for line in found if line is not None)
    path.write_text(text, encoding="utf-8")
    return path


def verdicts(calls: list[Replayed]) -> list[str]:
    return [one.compared.verdict for one in calls]


def of(calls: list[Replayed], verdict: str) -> list[Compared]:
    return [one.compared for one in calls if one.compared.verdict == verdict]
