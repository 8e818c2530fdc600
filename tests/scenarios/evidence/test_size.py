"""``twinloop size``: what is found agrees with hand computations; the search by itself."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.scenarios.evidence.plant import scenario
from twinloop.scenarios.cli.main import main
from twinloop.scenarios.evidence.size import read_ends, size
from twinloop.scenarios.file.load import load
from twinloop.scenarios.file.settings import parse_setting
from twinloop.scenarios.runner import Options, run
from twinloop.scenarios.text.errors import ScenarioError

SERIAL = """\
format: 2
name: line
duration: 60 s
grace: 5 s
fleets:
  m:
    {{device: press-sensor, protocol: modbus-rtu, count: {count}, poll: 2 s, response: 160 ms, link: line,
     gateway: gw, driver: reader}}
links:
  line: {{serial: 9600 Bd, parity: even, lines: 1}}
  cloud: {{delay: 10 ms}}
components:
  reader:
    {{wasm: modbus-driver.wasm, grants: [fieldbus, clock, log], limits: {{deadline: 10 s}},
     with: {{timeout: 500 ms}}}}
  normalize: {{wasm: normalize.wasm, grants: [log]}}
  route: {{wasm: route.wasm, grants: [log]}}
gateways:
  gw: {{board: raspberry-pi-4, transform: normalize, policy: route, uplink: {{link: cloud}}, store: {{}}}}
expect:
- count(samples.missed) == 0
"""
OUTAGE = """\
format: 2
name: outage
duration: 100 s
grace: 0 s
fleets:
  m: {device: model/one.yaml, protocol: modbus-tcp, count: 1, poll: 1 s, link: plant, gateway: gw, driver: reader}
links:
  plant: {delay: 1 ms}
  cloud: {delay: 10 ms}
components:
  reader: {wasm: modbus-driver.wasm, grants: [fieldbus, clock, log]}
  normalize: {wasm: normalize.wasm, grants: [log]}
  route: {wasm: route.wasm, grants: [log]}
gateways:
  gw: {board: raspberry-pi-4, transform: normalize, policy: route, uplink: {link: cloud}, store: {}}
timeline:
- {at: 5500 ms, cut: cloud, for: 94 s}
expect:
- count(samples.evicted) == 0
"""
ONE = """\
format: 1
title: one register that stands
source: ours
step: 1 s
points:
  a: {address: 0, type: u16, signal: {kind: constant, level: 10}}
"""


def found(argv: list[str], tmp_path: Path) -> tuple[int, dict[str, object]]:
    """The exit code and what was found."""
    file = tmp_path / "size.json"
    code = main(["size", *argv, "--jobs", "1", "--json", str(file)])
    return code, json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}


def test_how_many_devices_a_serial_line_carries(tmp_path: Path) -> None:
    """By hand: at 9600 Bd with parity a character is 11 bits, 1.1458 ms. A press sensor has 16 registers in one
    block: a request of 8 characters, an answer of 5 + 2 x 16 = 37, 3.5 characters of silence after each, 160 ms
    until it begins to answer: (8 + 3.5 + 37 + 3.5) x 1.1458 + 160 = 219.58 ms. In 2 s that is 9.108 times."""
    file = tmp_path / "line.yaml"
    file.write_text(SERIAL.format(count=1), encoding="utf-8")
    character_ms = 11 / 9600 * 1000
    exchange_ms = (8 + 3.5 + 5 + 2 * 16 + 3.5) * character_ms + 160
    code, data = found([str(file), "--vary", "fleets.m.count", "--from", "1", "--to", "20"], tmp_path)
    assert code == 0
    assert data["found"] == data["nominal"] == int(2000 / exchange_ms) == 9
    assert data["limits"] == {"line line/1": pytest.approx(1.0, abs=0.01)}


def test_how_often_a_serial_line_can_be_asked(tmp_path: Path) -> None:
    """The same the other way round: 8 devices take 8 x 219.58 ms = 1.757 s."""
    file = tmp_path / "line.yaml"
    file.write_text(SERIAL.format(count=8), encoding="utf-8")
    argv = ["--vary", "fleets.m.poll", "--from", "4 s", "--to", "1 s", "--step", "100 ms"]
    code, data = found([str(file), *argv], tmp_path)
    exchange_ms = (8 + 3.5 + 5 + 2 * 16 + 3.5) * 11 / 9600 * 1000 + 160
    assert code == 0
    assert 8 * exchange_ms <= int(str(data["found"])) / 1e6 < 8 * exchange_ms + 100


def test_the_smallest_store_for_an_outage(tmp_path: Path) -> None:
    """By hand: from 5.5 s on nothing leaves; the samples of 6 s to 99 s wait. A stored message takes its body
    and 48 bytes; a body is ``{"device":"m/1","seq":6,"t":1767225606003007555,"values":{"a":10.0}}``, 68 bytes,
    one more from seq 10 on: 4 x 116 + 90 x 117 = 10 994."""
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "one.yaml").write_text(ONE, encoding="utf-8")
    file = tmp_path / "outage.yaml"
    file.write_text(OUTAGE, encoding="utf-8")
    argv = ["--vary", "gateways.gw.store.capacity", "--from", "64 KiB", "--to", "1 KiB", "--step", "1 B"]
    code, data = found([str(file), *argv], tmp_path)
    body = len('{"device":"m/1","seq":6,"t":1767225606003007555,"values":{"a":10.0}}')
    by_hand = sum(48 + body + (k >= 10) for k in range(6, 100))
    assert code == 0
    assert data["found"] == by_hand == 10_994
    assert data["limits"] == {"store of gw": 1.0}


HOST = "gateways.gw.host=rust-typed"


def test_the_band_is_on_the_safe_side(tmp_path: Path) -> None:
    """By hand: a poll takes the link there and back, 1 ms until the device answers, and c of CPU time, or h at the
    high end of the bands. So 2 d + 1 ms + c <= 22 ms holds nominally, 2 d + 1 ms + h <= 22 ms for sure. c and h
    are measured with d = 1 ms."""
    text = scenario(missed=1_000_000, loss="0 %")
    file = tmp_path / "lucky.yaml"
    file.write_text(text, encoding="utf-8")
    judged = run(load(file, [parse_setting(HOST)]), Options(band="always")).judged[-1]
    measured, most = judged.measured, dict(judged.ends)["high"]
    assert measured is not None
    assert most is not None
    cpu_ns, high_ns = measured - 3_000_000, most - 3_000_000
    assert 1.5 * cpu_ns < high_ns < 4 * cpu_ns
    argv = ["--vary", "links.plant.delay", "--from", "1 ms", "--to", "40 ms", "--step", "10 us"]
    argv += ["--while", "p50(latency.gateway) <= 22 ms", "--set", HOST]
    code, data = found([str(file), *argv], tmp_path)
    assert code == 0
    assert int(str(data["nominal"])) == pytest.approx((21_000_000 - cpu_ns) / 2, abs=10_000)
    assert int(str(data["found"])) == pytest.approx((21_000_000 - high_ns) / 2, abs=10_000)


def test_what_nobody_speaks_of_is_told_beside_the_answer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The latency holds although samples are missed: whoever asks only for it must hear of them."""
    file = tmp_path / "lucky.yaml"
    file.write_text(scenario(loss="2 %"), encoding="utf-8")
    argv = ["--vary", "links.plant.delay", "--from", "1 ms", "--to", "40 ms", "--step", "1 ms"]
    code, _ = found([str(file), *argv, "--while", "p50(latency.gateway) <= 22 ms"], tmp_path)
    assert code == 0
    assert re.search(r"beside it \d+ missed samples of which no expectation speaks", capsys.readouterr().out)
    vary = ["--vary", "fleets.presses.count=[2, 3]", "--set", "expect=[p50(latency.gateway) <= 22 ms]"]
    assert main(["sweep", str(file), *vary, "--jobs", "1"]) == 0
    assert re.search(r"beside fleets.presses.count=2  \d+ missed samples of which", capsys.readouterr().out)


def test_ends_that_do_not_hold_or_fail(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "line.yaml"
    file.write_text(SERIAL.format(count=1), encoding="utf-8")
    code, data = found([str(file), "--vary", "fleets.m.count", "--from", "50", "--to", "60"], tmp_path)
    assert (code, data["found"], data["problem"]) == (1, None, "start")
    assert "it doesn't hold with 50 (--from)" in capsys.readouterr().out
    code, data = found([str(file), "--vary", "fleets.m.count", "--from", "1", "--to", "3"], tmp_path)
    assert (code, data["problem"]) == (1, "end")
    assert "it holds with 3 (--to), too" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--vary", "fleets.m.count", "--from", "1", "--to", "2 s"], "--from and --to of one kind"),
        (["--vary", "fleets.m.count", "--from", "1", "--to", "1"], "--from and --to are both 1"),
        (
            ["--vary", "fleets.m.count", "--from", "1", "--to", "9", "--step", "1 s"],
            "expected a whole number",
        ),
        (["--vary", "fleets.m.count", "--from", "1", "--to", "9", "--step", "0"], "expected more than 0"),
        (["--vary", "fleets.m.coutn", "--from", "1", "--to", "9"], 'did you mean "count"'),
        (["--vary", "fleets.m.poll", "--from", "1", "--to", "9"], "expected a duration"),
        (["--vary", "fleets.m.count", "--from", "1", "--to", "9", "--while", "p99(x) <= 1"], "x"),
    ],
)
def test_what_can_not_be_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], argv: list[str], words: str
) -> None:
    file = tmp_path / "line.yaml"
    file.write_text(SERIAL.format(count=1), encoding="utf-8")
    assert main(["size", str(file), *argv]) == 3
    assert words in capsys.readouterr().err


def verdicts(good: Callable[[int], bool], unsure: Callable[[int], bool] = lambda _: False):  # type: ignore[no-untyped-def]
    """A world in which these values hold."""
    return lambda values: {
        value: "PASS" if good(value) else "UNSURE" if unsure(value) else "FAIL" for value in values
    }


@given(st.integers(0, 5000), st.integers(1, 5000), st.integers(1, 60), st.integers(0, 5000), st.booleans())
def test_the_last_that_holds(start: int, length: int, step: int, off: int, down: bool) -> None:
    """Against looking at every value."""
    step, knee = min(step, length), off % length
    sign = -1 if down else 1
    end = start + sign * length
    got = size(start, end, step, verdicts(lambda value: sign * (value - start) <= knee))
    steps = [start + sign * i for i in range(0, length, step)]
    assert got.knee == [value for value in steps if sign * (value - start) <= knee][-1]
    assert got.problem == ""
    assert got.beyond == []
    assert got.next_bad is not None
    assert abs(got.next_bad - start) > knee


def test_where_more_is_not_always_worse() -> None:
    """It holds up to 20 and again from 60 to 70: a probe beyond 20 finds it."""
    got = size(0, 100, 1, verdicts(lambda value: value <= 20 or 55 <= value <= 65))
    assert got.knee in (20, 65)
    got = size(0, 1000, 1, verdicts(lambda value: value <= 200 or 390 <= value <= 410))
    assert (got.knee, got.beyond) == (200, [400])


def test_the_two_ends_of_the_band() -> None:
    got = size(0, 100, 1, verdicts(lambda value: value <= 30, lambda value: value <= 47))
    assert (got.knee, got.nominal, got.next_bad) == (30, 47, 31)
    got = size(0, 100, 1, verdicts(lambda value: value <= 30, lambda value: True))
    assert (got.problem, got.knee) == ("end", None)


def test_few_values_are_tried() -> None:
    got = size(1, 1_000_000, 1, verdicts(lambda value: value <= 123_456))
    assert got.knee == 123_456
    assert len(got.tried) <= 2 + 20 + 3


def test_kinds_of_ends() -> None:
    assert read_ends("1", "60", "")[1:] == (1, 60, 1)
    assert read_ends("4 s", "500 ms", "")[1:] == (4_000_000_000, 500_000_000, 3_500_000)
    assert read_ends("64 KiB", "1 KiB", "1 B")[1:] == (65536, 1024, 1)
    with pytest.raises(ScenarioError, match="of one kind"):
        read_ends("1 s", "1 KiB", "")
