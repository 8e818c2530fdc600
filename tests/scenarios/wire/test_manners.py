"""One file, one set of expectations, two arms: manners of simulated devices, and of devices that another process serves
and this one's gateway reads over sockets and a pseudo-terminal."""

from __future__ import annotations

import re
import socket
import threading
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
  asleep: {{{TCP}, driver: driver, manners: {{first-answer: 800 ms, asleep-after: 300 ms}}}}
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
  - count(samples.missed{{fleet=asleep}}) == 4
  - count(samples.missed{{fleet=single}}) == 0
  - count(samples.missed{{fleet=long}}) == 0
  - count(samples.missed{{fleet=echo}}) == 0
  - count(commands.failed) == 0
"""
"""Polls at 0, 1 and 2 s. quiet: those at 0 and 1 s, two points each. pause: the second block of each poll.
slow: the poll at 0 s. asleep: those at 0 and 2 s; at 1 s
its late answer of 0.8 s is only 200 ms old."""
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

BELIEVED = TWO.replace(
    "  b:", "  ghost: {address: 50, type: u16, signal: {kind: constant, level: 3}}\n  b:", 1
)
HOLED = """\
format: 1
title: registers that may not be touched between those that may
source: ours
step: 1 s
holes: refused
largest-read: 2
points:
  a: {address: 0, type: u16, signal: {kind: constant, level: 7}}
  b: {address: 2, type: u16, signal: {kind: constant, level: 8}}
  c: {address: 3, type: u16, signal: {kind: constant, level: 9}}
  d: {address: 4, type: u16, signal: {kind: constant, level: 10}}
"""
SHARES = f"""\
{HEAD.replace("  normalize", "  again: {wasm: modbus-driver.wasm, grants: [fieldbus, clock, log], limits: {deadline: 95 ms}, with: {timeout: 90 ms, busy-wait: 5 ms, retries: '5'}}" + chr(10) + "  normalize", 1)}fleets:
  all: {{{TCP}, driver: driver, manners: {{busy: 100 %}}}}
  half: {{{TCP.replace("poll: 1 s", "poll: 100 ms")}, driver: again, manners: {{busy: 50 %}}}}
  coin: {{{TCP.replace("poll: 1 s", "poll: 100 ms")}, driver: driver, manners: {{busy: 50 %}}}}
expect:
  - count(samples.missed{{fleet=all,cause=rejected}}) == 6
  - count(samples.missed{{fleet=half}}) <= 8
  - count(samples.missed{{fleet=coin,cause=rejected}}) >= 12
  - count(samples.missed{{fleet=coin}}) <= 48
"""
"""coin: 60 requests, each busy by half: 30, give or take 4.6 times their deviation of 3.9. half: 60 requests that are sent six times: 60 / 64, and never more than 8 (one in a million)."""
HOLES = f"""\
{HEAD}fleets:
  holed: {{{TCP.replace("two", "holed")}, driver: driver}}
  ghost: {{{TCP}, believes: model/believed.yaml, driver: driver}}
expect:
  - count(samples.missed{{fleet=holed}}) == 0
  - count(samples.missed{{fleet=ghost,cause=device}}) == 3
  - count(samples.missed{{fleet=ghost}}) == 3
  - last(value{{device=ghost/1,point=a}}) == 7
  - last(value{{device=ghost/1,point=b}}) == 8
"""
"""holed: a block over the hole is exception 02, one of three registers 03; the driver asks in pieces, in its first poll already. ghost: a point of the believed table that the device hasn't got: what its register holds is no value of it."""
BEHIND = f"""\
{HEAD.replace("lines: 2", "lines: 1")}converters:
  moxa: {{line: line, timeout: 100 ms}}
fleets:
  meters: {{{TCP}, behind: moxa, count: 3, driver: driver}}
  quiet: {{{TCP}, behind: moxa, driver: driver}}
timeline:
  - {{at: 0 s, device-fault: quiet/1, kind: silent}}
  - {{at: 1500 ms, write: meters/2, point: a, value: 12}}
expect:
  - count(samples.missed{{fleet=meters}}) == 0
  - count(samples.missed{{fleet=quiet,cause=rejected}}) == 6
  - count(commands.failed) == 0
  - last(value{{device=meters/2,point=a}}) == 12
  - last(value{{device=meters/3,point=a}}) == 7
"""
"""quiet: silence on the line is exception 0B of the converter, not of the driver's timeout."""

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
    ("text", "devices"),
    [(MANY, 11), (ALONE, 5), (SHARES, 3), (HOLES, 2), (BEHIND, 4), (faulty(), 10)],
    ids=["many", "alone", "shares", "holes", "behind", "faults"],
)
def test_the_same_on_both_arms(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, devices: int
) -> None:
    (tmp_path / "model").mkdir(exist_ok=True)
    for name, model in (("two", TWO), ("holed", HOLED), ("believed", BELIEVED)):
        (tmp_path / "model" / f"{name}.yaml").write_text(model, encoding="utf-8")
    with serving(tmp_path, text, devices) as (at, _):
        code = main(["attach", str(tmp_path / "s.yaml"), "--map", str(at)])
        out = capsys.readouterr().out
        assert code == 0, out
    code = main(["run", str(tmp_path / "s.yaml")])
    out = capsys.readouterr().out
    assert code == 0, out


DROPPED = f"""\
{HEAD.replace("timeout: 600 ms", "timeout: 200 ms, retries: '2'")}fleets:
  one: {{{TCP.replace("poll: 1 s", "poll: 250 ms")}, driver: driver, manners: {{connections: 1, more: drop-first}}}}
expect: [count(samples.missed) == 0]
"""
READ_A = bytes.fromhex("0001 0000 0006 01 03 0000 0001")
A = bytes.fromhex("0001 0000 0005 01 03 02 0007")


@steady
def test_a_second_client_drops_the_gateway_which_dials_anew(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Another client comes every 0.3 s, is answered, and is dropped in its turn when the driver dials."""
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "two.yaml").write_text(TWO, encoding="utf-8")
    over, heard, dropped = threading.Event(), [], []

    def intrude(port: int) -> None:
        while not over.wait(0.3):
            with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
                client.sendall(READ_A)
                heard.append(client.recv(64))
                client.settimeout(1)
                try:
                    dropped.append(client.recv(64))
                except TimeoutError:
                    continue

    with serving(tmp_path, DROPPED, 1) as (at, _):
        found = re.search(r"tcp://127\.0\.0\.1:(\d+)/1", at.read_text(encoding="utf-8"))
        assert found
        thread = threading.Thread(target=intrude, args=(int(found[1]),))
        thread.start()
        try:
            code = main(["attach", str(tmp_path / "s.yaml"), "--map", str(at)])
        finally:
            over.set()
            thread.join()
    assert code == 0, capsys.readouterr().out
    assert set(heard) == {A}
    assert len(dropped) >= 3
    assert set(dropped) == {b""}


REFUSED = f"""\
{HEAD}fleets:
  one: {{{TCP.replace("poll: 1 s", "poll: 500 ms")}, driver: driver, manners: {{connections: 1}}}}
expect: ["count(samples.missed{{fleet=one,cause=disconnected}}) == 12"]
"""
"""6 polls of two points, while another client has the only connection."""


@steady
def test_a_gateway_is_refused_while_another_client_has_the_only_connection(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "two.yaml").write_text(TWO, encoding="utf-8")
    with serving(tmp_path, REFUSED, 1) as (at, _):
        found = re.search(r"tcp://127\.0\.0\.1:(\d+)/1", at.read_text(encoding="utf-8"))
        assert found
        with socket.create_connection(("127.0.0.1", int(found[1])), timeout=5) as other:
            other.sendall(READ_A)
            assert other.recv(64) == A
            code = main(["attach", str(tmp_path / "s.yaml"), "--map", str(at)])
            other.sendall(READ_A)
            assert other.recv(64) == A, "it was never disturbed"
    assert code == 0, capsys.readouterr().out
