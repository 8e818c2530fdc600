"""A run at the ends of its bands: what could turn a verdict is run, and turns it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

import twinloop
from tests.scenarios.file.test_boards import FIGURE, text
from twinloop.scenarios.cli.main import main
from twinloop.scenarios.judging.verdict import Verdict
from twinloop.scenarios.report.console import shown_text
from twinloop.scenarios.runner import Options

SCENARIO = """\
format: 2
name: banded
duration: 10 s
fleets:
  presses: {device: press-sensor, protocol: modbus-tcp, count: COUNT, poll: 1 s, link: plant, gateway: gw, driver: modbus-driver}
links:
  plant: {preset: lan}
  cloud: {preset: lan}
components:
  modbus-driver: {wasm: modbus-driver.wasm, grants: [fieldbus, clock, log]}
  normalize: {wasm: normalize.wasm, grants: [log]}
  route: {wasm: route.wasm, grants: [log]}
gateways:
  gw: {board: ./own.yaml, HOST, transform: normalize, policy: route, uplink: {link: cloud}}
expect: ["EXPECT"]
"""
NOTHING: Mapping[str, object] = {}
STAGE = "max(latency.stage{stage=transform})"


def run(
    folder: Path,
    expect: str,
    host: str = "host: rust-typed",
    count: int = 1,
    fuel: str = "1 ns",
    more: str = "",
    board: Mapping[str, object] = NOTHING,
    **options: str,
) -> twinloop.Result:
    """All figures of the board have a band of 2, but those in ``board``; ``more``: lines of the scenario."""
    figure = {**FIGURE, "value": fuel}
    own = text(**{"fuel": figure, "metered-fuel": figure, **board})
    (folder / "own.yaml").write_text(own, encoding="utf-8")
    said = SCENARIO.replace("EXPECT", expect).replace("HOST, ", f"{host}, " if host else "")
    (folder / "s.yaml").write_text(said.replace("COUNT", str(count)) + more, encoding="utf-8")
    return twinloop.run(twinloop.load(folder / "s.yaml"), Options(**options))


def transform_ns(result: twinloop.Result) -> float:
    (one,) = result.judged
    assert one.measured is not None
    return one.measured


def test_the_high_end_turns_what_holds_into_unsure(tmp_path: Path) -> None:
    """A stage of guest code and crossings takes at the ends what its parts take there: fuel at half and twice
    its price, crossings by the host program's band, too."""
    nominal = run(tmp_path, f"{STAGE} <= 1 s", band="always")
    (one,) = nominal.judged
    meter, band = nominal.data["gateways"]["gw"]["components"]["normalize"], nominal.data["bands"]["gw"]
    ends = dict(one.ends)
    assert list(ends) == ["low", "high"], "the host program is stated: nothing else may be meant"
    fuel_ns = band["fuel_ps"] / 1000 * meter["fuel"] / meter["calls"]
    assert ends["high"] is not None
    assert ends["high"] > 2 * fuel_ns
    assert nominal.verdict is Verdict.PASS
    between = f"{STAGE} <= {int((transform_ns(nominal) + ends['high']) / 2)} ns"
    unsure = run(tmp_path, between)
    assert unsure.verdict is Verdict.UNSURE
    assert unsure.judged[0].why == "it doesn't hold at the high end of the bands"
    assert "not calibrated)" in shown_text(unsure.judged[0])
    assert unsure.data["expectations"][0]["ends"]["high"] == ends["high"]
    assert unsure.digest == nominal.digest, "the nominal run is the run"


def test_only_fuel_is_doubled_exactly(tmp_path: Path) -> None:
    """Guest code so dear that nothing else counts: to the nanosecond twice at the high end, half at the low."""
    result = run(tmp_path, f"{STAGE} <= 100 s", fuel="1 us", band="always")
    (one,) = result.judged
    ends = dict(one.ends)
    assert ends["high"] == pytest.approx(2 * transform_ns(result), rel=3e-3)
    assert ends["low"] == pytest.approx(transform_ns(result) / 2, rel=3e-3)


def test_nominal_beyond_the_limit_is_fail_whatever_the_band(tmp_path: Path) -> None:
    nominal = transform_ns(run(tmp_path, f"{STAGE} <= 1 s"))
    for band in ("auto", "always", "never"):
        result = run(tmp_path, f"{STAGE} <= {int(nominal * 0.9)} ns", band=band)
        assert result.verdict is Verdict.FAIL
        why = result.judged[0].why
        assert ("it would hold at the low end" if band == "always" else "it could be") in why


def test_what_only_queues_can_turn_is_found(tmp_path: Path) -> None:
    """30 devices whose polls take two thirds of the core's time: no analytic bound of a count says that
    at twice the price samples are missed."""
    busy = {"count": 30, "fuel": "3.6 us"}
    result = run(tmp_path, "count(samples.missed) == 0", **busy)
    assert 0.55 < result.data["gateways"]["gw"]["cpu_ratio"] < 0.95
    assert result.verdict is Verdict.UNSURE, result.judged
    (one,) = result.judged
    assert one.measured == 0
    assert dict(one.ends)["low"] == 0
    assert dict(one.ends)["high"]


def test_a_burst_that_averages_hide_is_found(tmp_path: Path) -> None:
    """For 5 of 60 s the board is a thousand times slower: polls of 3 devices then take most of their second, and
    more than that at the high end."""
    (tmp_path / "own.yaml").write_text(
        text(**{"fuel": {**FIGURE, "value": "45 ns"}, "metered-fuel": {**FIGURE, "value": "45 ns"}})
    )
    said = SCENARIO.replace("EXPECT", "count(samples.missed) == 0").replace("HOST", "host: rust-typed")
    said = said.replace("COUNT", "3").replace("duration: 10 s", "duration: 60 s")
    said += "timeline: [{at: 20500 ms, throttle: gw, speed: 0.1 %, for: 5 s}]\n"
    (tmp_path / "s.yaml").write_text(said, encoding="utf-8")
    result = twinloop.run(twinloop.load(tmp_path / "s.yaml"))
    assert result.data["gateways"]["gw"]["cpu_ratio"] < 0.1
    assert result.judged[0].measured == 0
    assert result.verdict is Verdict.UNSURE, result.pressing


def test_a_host_program_that_nobody_stated_is_in_doubt(tmp_path: Path) -> None:
    """What holds under typed bindings, and wouldn't under the C API, is UNSURE until somebody says which."""
    result = run(tmp_path, f"{STAGE} <= 1 s", host="", band="always")
    ends = dict(result.judged[0].ends)
    assert list(ends) == ["low", "high", "c-api"]
    assert ends["high"] is not None
    assert ends["c-api"] is not None
    assert ends["c-api"] > ends["high"], "the C API takes many times as long"
    bound = f"{STAGE} <= {int((ends['high'] + ends['c-api']) / 2)} ns"
    assert run(tmp_path, bound).verdict is Verdict.PASS
    doubted = run(tmp_path, bound, host="")
    assert doubted.verdict is Verdict.UNSURE
    assert doubted.judged[0].why == "it doesn't hold with host: c-api"
    assert run(tmp_path, bound, host="host: c-api").verdict is Verdict.FAIL


def test_a_share_of_the_cores_that_only_another_host_program_breaks_is_in_doubt(tmp_path: Path) -> None:
    """The cores' time is no time of a sample, and far from full: a bound on it between both host programs."""
    free = run(tmp_path, "gateway.cpu <= 100 %", host="", band="always")
    ends = dict(free.judged[0].ends)
    assert free.judged[0].measured is not None
    assert ends["high"] is not None
    assert ends["c-api"] is not None
    assert ends["c-api"] > ends["high"]
    bound = f"gateway.cpu <= {50 * (ends['high'] + ends['c-api']):.9f} %"
    result = run(tmp_path, bound, host="")
    assert result.verdict is Verdict.UNSURE
    assert result.judged[0].why == "it doesn't hold with host: c-api"
    assert run(tmp_path, bound).verdict is Verdict.PASS


def test_never_leaves_the_analytic_bound(tmp_path: Path) -> None:
    nominal = transform_ns(run(tmp_path, f"{STAGE} <= 1 s"))
    result = run(tmp_path, f"{STAGE} <= {int(nominal * 1.2)} ns", band="never")
    assert result.verdict is Verdict.UNSURE
    assert "could be" in result.judged[0].why
    assert not result.judged[0].ends
    assert "--band never" in result.reproduce


def test_nothing_is_run_twice_where_nothing_can_turn(tmp_path: Path) -> None:
    result = run(tmp_path, f"{STAGE} <= 1 s", host="")
    assert not result.judged[0].ends
    assert result.pressing == ()


def test_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(tmp_path, f"{STAGE} <= 1 s")
    assert main(["run", str(tmp_path / "s.yaml"), "--band", "always"]) == 0
    assert "not calibrated)" in capsys.readouterr().out
    assert main(["run", str(tmp_path / "s.yaml"), "--band", "both"]) == 3
    assert 'expected auto, always or never, got "both"' in capsys.readouterr().err


def test_each_stage_says_what_was_fuel_and_what_the_host(tmp_path: Path) -> None:
    """The parts are the whole, and the driver's, transform's and policy's are all there is."""
    result = run(tmp_path, f"{STAGE} <= 1 s")
    gateway = result.data["gateways"]["gw"]
    for stage, name in (("driver", "modbus-driver"), ("transform", "normalize"), ("policy", "route")):
        spent, meter = gateway["spent"][stage], gateway["components"][name]
        assert spent["fuel_ns"] + spent["crossings_ns"] == meter["cpu_ns"]
        assert spent["fuel_ns"] == meter["fuel"] * result.data["bands"]["gw"]["fuel_ps"] // 1000
        assert spent["crossings_ns"] > 0
    assert gateway["spent"]["uplink"] == {"fuel_ns": 0, "crossings_ns": 0, "host_ns": gateway["host_ns"]}


SLOW = "timeline:\n  - {at: 1 ms, throttle: gw, speed: 10 %, for: 1 min}\n"


def test_a_throttled_cpu_hides_no_dearer_host_program(tmp_path: Path) -> None:
    """Under another host program the run's calls cost several times as much, throttled or not; a bound between
    what both take isn't passed for sure."""
    often = run(tmp_path, f"{STAGE} <= 1 s", host="", more=SLOW, band="always")
    ends = dict(often.judged[0].ends)
    assert ends["c-api"] is not None
    assert ends["high"] is not None
    assert ends["c-api"] > 1.5 * ends["high"], "the host program makes more of a difference than the bands"
    between = f"{STAGE} <= {int(ends['c-api'] * 0.95)} ns"
    assert run(tmp_path, between, host="", more=SLOW).verdict is Verdict.UNSURE


def test_how_long_a_start_takes_may_turn_a_boot(tmp_path: Path) -> None:
    """Only the price of an instance is in doubt: a hundredfold."""
    figure = {**FIGURE, "value": "10 ms", "band": 100}
    found = run(tmp_path, "max(gateway.boot) <= 500 ms", board={"instantiate": figure})
    assert found.verdict is Verdict.UNSURE


@pytest.mark.parametrize(("said", "pressed"), [("", True), (", flash: 10 MB/s", False)])
def test_how_fast_the_flash_is_may_turn_what_a_power_cut_takes(
    tmp_path: Path, said: str, pressed: bool
) -> None:
    """Unless the scenario states it."""
    host = f"host: rust-typed, store: {{capacity: 1 MiB, commit: 100 ms{said}}}"
    cut = "timeline:\n  - {at: 5 s, power-cut: gw}\n  - {at: 6 s, restart: gw}\n"
    found = run(tmp_path, "count(samples.lost) <= 100", host=host, more=cut)
    assert ("what gw has on its flash when its power goes" in found.pressing) is pressed
