"""One file, one set of expectations, two arms: manners of simulated devices, and of devices that another process serves
and this one's gateway reads over sockets and a pseudo-terminal."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.scenarios.wire.test_attach import serving
from tests.steady import steady
from twinloop.scenarios.cli.main import main

TWO = """\
format: 1
title: two registers far apart
source: ours
step: 1 s
points:
  a: {address: 0, type: u16, writable: true, signal: {kind: constant, level: 7}}
  b: {address: 100, type: u16, signal: {kind: constant, level: 8}}
"""
HEAD = """\
format: 2
name: manners
duration: 3 s
pace: {tolerance: 30 s}  # no test depends on how fast this machine is
links:
  plant: {preset: lan}
  line: {serial: 19200 Bd, lines: 2}
  cloud: {preset: lan}
components:
  driver: {wasm: modbus-driver.wasm, grants: [fieldbus, clock, log], limits: {deadline: 950 ms}, with: {timeout: 600 ms}}
  normalize: {wasm: normalize.wasm, grants: [log]}
  route: {wasm: route.wasm, grants: [log]}
gateways:
  gw: {board: raspberry-pi-4, transform: normalize, policy: route, uplink: {link: cloud}}
"""
TCP = "device: model/two.yaml, protocol: modbus-tcp, poll: 1 s, link: plant, gateway: gw"
SERIAL = "device: model/two.yaml, protocol: modbus-rtu, poll: 1 s, link: line, gateway: gw"
PATIENT = """\
  patient: {wasm: modbus-driver.wasm, grants: [fieldbus, clock, log], limits: {deadline: 950 ms}, with: {timeout: 600 ms, pause: 60 ms}}
"""
MANY = f"""\
{HEAD.replace("  normalize", PATIENT + "  normalize", 1)}fleets:
  quiet: {{{TCP}, driver: driver, manners: {{quiet-after-connect: 1500 ms}}}}
  pause: {{{TCP}, driver: driver, manners: {{pause: 50 ms}}}}
  paused: {{{TCP}, driver: patient, manners: {{pause: 50 ms}}}}
  slow: {{{TCP}, driver: driver, manners: {{first-answer: 800 ms}}}}
  single: {{{TCP}, driver: driver, manners: {{write-single: false}}}}
  long: {{{TCP}, driver: driver, manners: {{write-takes: 30 ms}}}}
  echo: {{{SERIAL}, count: 4, driver: driver, manners: {{echo: true}}}}
timeline:
  - {{at: 1200 ms, write: single/1, point: a, value: 12}}
  - {{at: 1200 ms, write: long/1, point: a, value: 13}}
expect:
  - count(samples.missed{{fleet=quiet}}) == 4
  - count(samples.missed{{fleet=pause}}) == 3
  - count(samples.missed{{fleet=paused}}) == 0
  - count(samples.missed{{fleet=slow}}) == 2
  - count(samples.missed{{fleet=single}}) == 0
  - count(samples.missed{{fleet=long}}) == 0
  - count(samples.missed{{fleet=echo}}) == 0
  - count(commands.failed) == 0
"""
"""Polls at 0, 1 and 2 s. quiet: those at 0 and 1 s, two points each. pause: the second block of each poll.
slow: the poll at 0 s."""
ALONE = f"""\
{HEAD}fleets:
  idle: {{{TCP}, driver: driver, manners: {{idle: 400 ms, connections: 1}}}}
  twins: {{{SERIAL}, count: 4, driver: driver}}
  twins/3: {{unit: 1}}
expect:
  - count(samples.missed{{fleet=idle}}) == 0
  - count(samples.missed{{device=twins/1}}) == 6
  - count(samples.missed{{device=twins/3}}) == 6
  - count(samples.missed{{device=twins/2}}) == 0
  - count(samples.missed{{device=twins/4}}) == 0
"""
"""twins: two lines with two devices each, those of the first with one unit id. idle: each poll finds its connection closed, and dials anew: the old one has gone by then, so one is enough."""

FAULTS = {
    "silent": "timeout",
    "slow, delay: 800 ms": "timeout",
    "busy": "rejected",
    "exception, code: 4": "rejected",
    "truncated": "timeout",
    "wrong-transaction": "malformed",
    "wrong-unit": "malformed",
    "length-lie": "malformed",
}
"""kind with its keys -> what becomes of every sample"""


def faulty() -> str:
    """A fleet a fault of Modbus TCP, and two on lines: three polls of two points each."""
    fleets, entries, expected = [], [], []
    for number, (fault, cause) in enumerate(FAULTS.items()):
        fleets.append(f"  f{number}: {{{TCP}, driver: driver}}")
        entries.append(f"  - {{at: 0 s, device-fault: f{number}, kind: {fault}}}")
        expected.append(f"  - count(samples.missed{{fleet=f{number},cause={cause}}}) == 6")
    for name, fault, cause in (("crc", "bad-crc", "malformed"), ("half", "truncated", "malformed")):
        fleets.append(f"  {name}: {{{SERIAL}, driver: driver}}")
        entries.append(f"  - {{at: 0 s, device-fault: {name}, kind: {fault}}}")
        expected.append(f"  - count(samples.missed{{fleet={name},cause={cause}}}) == 6")
    parts = (HEAD, "fleets:", *fleets, "timeline:", *entries, "expect:", *expected)
    return "\n".join(parts) + "\n"


@steady
@pytest.mark.parametrize(
    ("text", "devices"), [(MANY, 10), (ALONE, 5), (faulty(), 10)], ids=["many", "alone", "faults"]
)
def test_the_same_on_both_arms(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, devices: int
) -> None:
    (tmp_path / "model").mkdir(exist_ok=True)
    (tmp_path / "model" / "two.yaml").write_text(TWO, encoding="utf-8")
    with serving(tmp_path, text, devices) as (at, _):
        code = main(["attach", str(tmp_path / "s.yaml"), "--map", str(at)])
        out = capsys.readouterr().out
        assert code == 0, out
    code = main(["run", str(tmp_path / "s.yaml")])
    out = capsys.readouterr().out
    assert code == 0, out
