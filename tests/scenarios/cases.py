"""Scenarios of the field cases: a base, completed by what a case is about, and run to its result.

Belongs here: building. Never: assertions.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console

from twinloop.components.host.host import Host
from twinloop.scenarios.file.load import load_text
from twinloop.scenarios.report.console import report
from twinloop.scenarios.report.result import Result
from twinloop.scenarios.runner import Options, run

COMPONENTS: dict[str, Any] = {
    "modbus-driver": {
        "wasm": "modbus-driver.wasm",
        "grants": ["fieldbus", "clock", "log"],
        "with": {"timeout": "200 ms"},
    },
    "normalize": {"wasm": "normalize.wasm", "grants": ["log"]},
    "route": {"wasm": "route.wasm", "grants": ["log"]},
}
SPARSE = """\
format: 1
title: two registers far apart
source: ours
step: 1 s
points:
  a: {address: 0, type: u16, signal: {kind: ramp, level: 10, swing: 100, period: 50 s, phase: 0 s}}
  b: {address: 100, type: u16, signal: {kind: ramp, level: 10, swing: 100, period: 50 s}}
"""


def scenario(
    tmp_path: Path, fleet: dict[str, Any] | None = None, models: dict[str, str] | None = None, **changes: Any
) -> str:
    """The base of section A: a fleet ``m`` on Modbus TCP through the shipped components, a perfect uplink, a
    store."""
    (tmp_path / "model").mkdir(exist_ok=True)
    for name, text in (models or {}).items():
        (tmp_path / "model" / name).write_text(text, encoding="utf-8")
    fleet = {
        "device": "press-sensor",
        "protocol": "modbus-tcp",
        "poll": "1 s",
        "link": "plant",
        "gateway": "gw",
        "driver": "modbus-driver",
        **(fleet or {}),
    }
    whole: dict[str, Any] = {
        "format": 2,
        "name": "case",
        "duration": "20 s",
        "grace": "20 s",
        "fleets": {"m": {key: value for key, value in fleet.items() if value is not None}},
        "links": {"plant": {"preset": "lan"}, "cloud": {}},
        "components": COMPONENTS,
        "gateways": {
            "gw": {
                "board": "raspberry-pi-4",
                "transform": "normalize",
                "policy": "route",
                "uplink": {"link": "cloud"},
                "store": {},
            }
        },
        "expect": ["count(samples.missed) == 0"],
    }
    whole.update(changes)
    return yaml.safe_dump({key: value for key, value in whole.items() if value is not None}, sort_keys=False)


def result(tmp_path: Path, host: Host, *, options: Options | None = None, **changes: Any) -> Result:
    """What a case comes to."""
    return run(load_text(scenario(tmp_path, **changes), tmp_path / "case.yaml"), options or Options(), host)


def text_of(found: Result) -> str:
    """Its report, as on a wide terminal."""
    out = io.StringIO()
    report(Console(file=out, width=200), found, "case.yaml")
    return out.getvalue()
