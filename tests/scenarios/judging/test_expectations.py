"""Quantities, the grammar of expectations, and how they are judged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.scenarios.cli.test_cli import TINY
from twinloop.components.host.host import Host
from twinloop.scenarios.file.load import load_text
from twinloop.scenarios.judging.expectation import Expectation
from twinloop.scenarios.judging.expressions import ExpressionError, parse
from twinloop.scenarios.judging.verdict import Verdict, exit_code, overall, worst
from twinloop.scenarios.report.result import Result
from twinloop.scenarios.runner import Options, run
from twinloop.scenarios.text import units
from twinloop.scenarios.text.units import show_ratio
from twinloop.sim.accounts.ledger import Ledger


@pytest.mark.parametrize(
    ("read", "text", "value"),
    [
        (units.duration, "50 ms", 50_000_000), (units.duration, "30s", 30 * 10**9), (units.duration, "1.5 min", 90 * 10**9),
        (units.duration, "0 s", 0), (units.size, "64 MiB", 64 << 20), (units.size, "1 kB", 1000), (units.ratio, "0.1 %", 0.001),
        (units.baud, "9600 Bd", 9600), (units.per_second, "200 /s", 200), (units.bit_rate, "10 Mbit/s", 10**7),
        (units.faults_in_window, "5 in 60 s", (5, 60 * 10**9)),
    ],
)  # fmt: skip
def test_quantities(read: Any, text: str, value: Any) -> None:
    assert read(text) == value


@pytest.mark.parametrize(
    ("read", "text"),
    [
        (units.duration, 50), (units.duration, "50"), (units.duration, "-1 s"), (units.duration, "0.3 ns"), (units.duration, "1 s 2 ms"),
        (units.positive_duration, "0 s"), (units.size, "64 mib"), (units.ratio, 0.1), (units.ratio, "101 %"), (units.baud, "9600"),
        (units.per_second, "0 /s"), (units.faults_in_window, "5 per minute"), (units.duration, "99999999999 d"),
    ],
)  # fmt: skip
def test_quantities_that_are_refused(read: Any, text: Any) -> None:
    with pytest.raises(ValueError):
        read(text)


def test_the_grammar() -> None:
    found = parse("p99.9(latency.stage{stage=bus, fleet=presses}) <= 20 ms")
    assert (found.statistic, found.metric, dict(found.keys), found.bound) == (
        "p99.9",
        "latency.stage",
        {"stage": "bus", "fleet": "presses"},
        20e6,
    )
    within = parse("backlog{gateway=gw} == 0 within 60 s after heal cloud")
    assert (within.within_ns, within.event, within.statistic) == (60 * 10**9, "heal cloud", "")
    assert parse("never backlog > 1000").never
    assert parse("p99(latency.gateway) <= 50 ms over 10 s").over_ns == 10**10
    assert parse("ratio(samples.lost) < 1 %").unit == "ratio"
    assert parse("max(gateway.memory) <= 64 MiB").bound == 64 << 20


@pytest.mark.parametrize(
    "text",
    [
        "", "p99(latency.gateway)", "latency.gateway <= 1 ms", "p99(latency.stage) <= 1 ms", "p99(latency.stage{stage=buss}) <= 1 ms",
        "p99(latency.gateway{board=x}) <= 1 ms", "max(gateway.cpu) <= 1 %", "backlog == 0 within 5 after heal cloud", "never backlog > 1 ms",
        "never p99(latency.gateway) > 1 ms", "count(samples.lost) == 0 over 10 s", "p99(latency.gateway{fleet=a,fleet=b}) <= 1 ms",
        "backlog == 1.5", "p99(latency.gateway) =< 1 ms",
    ],
)  # fmt: skip
def test_expectations_that_are_refused(text: str) -> None:
    with pytest.raises(ExpressionError):
        parse(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "backlog == 0 in 60 s after heal cloud",
            'expected "0 within 60 s after heal cloud", got "0 in 60 s after heal cloud"',
        ),
        ("p99(latency.gateway) < = 5 ms", 'expected "<=" after "p99(latency.gateway)", got "< = 5 ms"'),
        ("p99(latency.gateway) =< 5 ms", 'expected "<=" after "p99(latency.gateway)", got "=< 5 ms"'),
        ("count(samples.lost) = 0", 'expected "==" after "count(samples.lost)", got "= 0"'),
        (
            "p99 latency.gateway <= 5 ms",
            'expected "(" and a metric after "p99", got "latency.gateway <= 5 ms"',
        ),
        ("p99(latency.gateway <= 5 ms", 'expected ")" after "p99(latency.gateway", got "<= 5 ms"'),
        (
            "p99(latency.gateway{fleet}) <= 5 ms",
            'expected "=" after "p99(latency.gateway{fleet", got "}) <= 5 ms"',
        ),
        (
            "p99(latency.gateway)",
            'expected one of <= >= == != < > after "p99(latency.gateway)", got nothing more',
        ),
        (
            "p99(latency.gateway) <= 5 ms over",
            'expected a duration, e.g. "60 s" after "p99(latency.gateway) <= 5 ms over", got nothing more',
        ),
        (
            "",
            'expected a statistic and a metric, e.g. "p99(latency.gateway)" or a metric, e.g. "backlog", got nothing more',
        ),
        ("p99(latency.gatway) <= 5 ms", 'unknown metric "latency.gatway"; did you mean "latency.gateway"'),
    ],
)
def test_a_mistake_says_what_could_stand_there(text: str, message: str) -> None:
    with pytest.raises(ExpressionError) as raised:
        parse(text)
    assert message in str(raised.value)


@pytest.mark.parametrize(
    "name", ["left-over", "over", "within", "never", "after", "within/1", "p99", "a b", "x(y", "1", "über"]
)
def test_a_name_may_be_a_word_of_the_grammar(name: str) -> None:
    found = parse(f"p99(latency.gateway{{ gateway=gw , fleet = {name} }}) <= 5 ms over 1 min")
    assert (dict(found.keys), found.over_ns) == ({"gateway": "gw", "fleet": name}, 60 * 10**9)
    assert parse(f"backlog == 0 within 60 s after heal {name}").event == f"heal {name}"
    assert parse(f"max(value{{device={name},point={name}}}) < 3 m3/h").bound_unit == "m3/h"


def judged(host: Host, *expectations: str, **changes: str) -> Result:
    text = TINY.split("expect:")[0]
    for old, new in changes.items():
        text = text.replace(f"{old}: ", f"{old}: {new} # ", 1)
    text += "expect:\n" + "".join(f"  - {line}\n" for line in expectations)
    return run(load_text(text, Path("t.yaml")), Options(), host)


def test_values_of_every_kind_are_measured(host: Host) -> None:
    result = judged(
        host,
        "count(latency.gateway) == 150",
        "min(latency.gateway{device=presses/2}) >= 1 ms",
        "max(latency.cloud{fleet=presses}) <= 1 s",
        "count(samples.due{device=presses/1}) == 50",
        "ratio(samples.delivered) == 100 %",
        "count(samples.missed{cause=timeout}) == 0",
        "backlog == 0",
        "never backlog > 5",
        "max(backlog) == 0",
        "gateway.cpu{gateway=gw} <= 5 %",
        "gateway.memory <= 64 MiB",
        "max(gateway.boot) <= 100 ms",
        "count(component.faults{cause=deadline}) == 0",
        "count(commands.issued) == 0",
        "mean(latency.stage{stage=driver}) <= 1 ms",
        "p99(latency.gateway) <= 50 ms over 2 s",
    )
    assert [
        (one.expectation.text, one.verdict.value) for one in result.judged if one.verdict is not Verdict.PASS
    ] == []


def test_a_window_that_breaks_is_named(host: Host) -> None:
    (one,) = judged(host, "p50(latency.gateway) <= 1 ms over 2 s").judged
    assert one.verdict is Verdict.FAIL
    assert one.why == "worst in the window that begins at 0 s"


def test_who_spent_a_broken_budget_is_named(host: Host) -> None:
    (one,) = judged(host, "gateway.cpu <= 0.0001 %").judged
    assert one.verdict is Verdict.FAIL
    assert one.why.startswith("gw's work outside WASM spent")


def test_what_selects_nothing_measures_nothing(host: Host) -> None:
    (one,) = judged(host, "p99(latency.gateway{fleet=presses, device=presses/1}) <= 1 s").judged
    assert one.verdict is Verdict.PASS
    text = TINY.replace(
        "  gw: {",
        "  spare: {board: raspberry-pi-4, transform: normalize, policy: route, uplink: {link: cloud}}\n  gw: {",
    )
    text = text.split("expect:")[0] + "expect:\n  - p99(latency.gateway{gateway=spare}) <= 1 ms\n"
    (one,) = run(load_text(text, Path("t.yaml")), Options(), host).judged
    assert one.verdict is Verdict.NO_DATA


def test_later_than_any_bound_counts_for_every_statistic(host: Host) -> None:
    result = judged(
        host,
        "max(latency.gateway) <= 1 s",
        "mean(latency.gateway) <= 1 s",
        "min(latency.gateway) <= 1 s",
        plant="{preset: lan, loss: 100 %}",
    )
    assert [one.verdict for one in result.judged] == [Verdict.FAIL] * 3
    assert "missed{timeout}" in result.judged[0].why


def test_never_sees_the_value_it_starts_with(host: Host) -> None:
    (one,) = judged(host, "never backlog == 0").judged
    assert one.verdict is Verdict.FAIL


def test_a_count_is_not_modelled_and_has_no_band(host: Host) -> None:
    wrong, right = judged(host, "count(gateway.boot) >= 2", "count(gateway.boot) == 1").judged
    assert (wrong.verdict, right.verdict) == (Verdict.FAIL, Verdict.PASS)


def test_the_band_holds_for_every_statistic_of_time(host: Host) -> None:
    result = judged(
        host, "max(latency.stage{stage=driver}) <= 20 us", "mean(latency.stage{stage=driver}) <= 20 us"
    )
    assert [one.verdict for one in result.judged] == [Verdict.UNSURE] * 2


def test_windows_without_samples_count_as_none(host: Host) -> None:
    (one,) = judged(
        host,
        "count(latency.gateway) >= 1 over 500 ms",
        presses="{device: press-sensor, protocol: modbus-tcp, count: 1, poll: 2 s, link: plant, gateway: gw, driver: modbus-driver}",
    ).judged
    assert (one.verdict, one.measured) == (Verdict.FAIL, 0)


def test_verdicts_in_order_and_their_codes() -> None:
    assert overall([]) is Verdict.NO_DATA
    assert overall([Verdict.PASS, Verdict.UNSURE, Verdict.NO_DATA]) is Verdict.NO_DATA
    assert overall([Verdict.PASS, Verdict.FAIL, Verdict.NO_DATA]) is Verdict.FAIL
    assert [exit_code(v) for v in Verdict] == [2, 130, 5, 1, 1, 4, 0, 0]
    assert exit_code(Verdict.UNSURE, strict=True) == 1
    assert worst([0, 1, 4]) == 1
    assert worst([0, 4, 3]) == 3
    assert worst([]) == 0


def test_a_broken_ledger_is_broken_with_the_first_sample(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    close = Ledger.close

    def forgets(self: Ledger, row: Any, mask: int, end: Any, cause: str = "") -> int:
        return 0 if row.k == 2 and row.device == 1 else close(self, row, mask, end, cause)

    monkeypatch.setattr(Ledger, "close", forgets)
    result = judged(host, "count(samples.lost) == 0")
    assert result.verdict is Verdict.BROKEN
    assert exit_code(result.verdict) == 2
    assert "presses/2 k=2 point pressure" in result.error
    assert result.data["broken"] == result.error


def test_a_run_that_differs_is_shown_with_its_first_event(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    from twinloop.sim.kernel.random import RandomStreams

    calls = iter(range(10**9))
    key = RandomStreams.key
    monkeypatch.setattr(RandomStreams, "key", lambda self, name: key(self, name) + next(calls))
    text = TINY.replace("seed: 7", "seed: 8")
    result = run(load_text(text, Path("t.yaml")), Options(check=True), host)
    assert result.verdict is Verdict.BROKEN
    assert "is the first that differs" in result.divergence
    assert " s publish gateway=0, device=0, k=0, bytes=" in result.divergence


def test_a_share_that_is_not_the_whole_never_reads_as_it() -> None:
    assert [show_ratio(one) for one in (1.0, 0.99992, 0.9996, 0.99949, 0.5, 0.0, 1.0001, 2.5, 1 - 1e-15)] == [
        "100 %", "99.99 %", "99.96 %", "99.9 %", "50 %", "0 %", "100.01 %", "250 %", "99.9999999999999 %",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("operator", "value", "bound", "holds"),
    [
        ("==", 333 * 0.1, 33.3, True),  # 33.300000000000004
        ("<=", 333 * 0.1, 33.3, True),
        ("<", 333 * 0.1, 33.3, False),
        ("!=", 333 * 0.1, 33.3, False),
        (">=", 0.7 - 0.1, 0.6, True),  # 0.6 and 0.5999999999999999778
        ("==", 33.3000001, 33.3, False),
        ("==", float("inf"), 33.3, False),
        ("<=", float("inf"), 33.3, False),
        ("==", float("nan"), 33.3, False),
        ("==", 2.0**53, 2**53 + 1, False),
        ("==", 2**53 + 2, 2**53 + 1, False),
        ("<", 2**60, 2**60 + 1, True),
        ("==", 1_000_000_000_000, 1_000_000_000_001, False),
        ("==", 1e14, 100_000_000_000_001, False),
        ("==", 1e-300, 2e-300, False),
        ("==", 0.0, 1e-300, False),
    ],
)
def test_a_number_is_compared_to_what_a_double_can_tell(
    operator: str, value: float, bound: float, holds: bool
) -> None:
    assert Expectation("", "last", "value", (), operator, bound).holds(value) is holds
