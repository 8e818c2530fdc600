"""What a page knows over time is what the result says of the whole, and listening changes nothing."""

from __future__ import annotations

import pytest

from tests.scenarios.page.plant import TEXT, Seen, loaded_text, seen
from twinloop.components.host.host import Host
from twinloop.scenarios.page.figures import RANKS
from twinloop.scenarios.page.windows import SETTLING_MAX, WINDOWS_MAX, Windows
from twinloop.scenarios.runner import Options, run
from twinloop.sim.kernel.clock import S
from twinloop.sim.kernel.histogram import NEVER, Histogram
from twinloop.sim.model.spec import WorldSpec


@pytest.fixture(scope="module")
def found(host: Host) -> Seen:
    return seen(TEXT, host)


def merged(windows: dict[int, Histogram]) -> Histogram:
    whole = Histogram()
    for one in windows.values():
        whole.merge(one)
    return whole


def test_listening_changes_nothing(host: Host, found: Seen) -> None:
    alone = run(loaded_text(TEXT), Options(), host).data

    def same(data: dict[str, object]) -> dict[str, object]:
        return {key: value for key, value in data.items() if key != "run"}

    assert same(alone) == same(found.result.data)
    assert alone["digest"] == found.result.digest
    for key in ("simulated_ns", "polls", "events"):
        assert alone["run"][key] == found.result.data["run"][key]


def test_windows_of_latency_are_the_result_in_parts(found: Seen) -> None:
    for windows, name in ((found.series.gateway, "gateway"), (found.series.cloud, "cloud")):
        whole, said = merged(windows), found.result.data["latency"][name]
        assert len(windows) == 20
        assert (whole.count, whole.never, whole.max) == (said["count"], said["never"], said["max_ns"])
        assert whole.percentile(500) == said["p50_ns"]
        ranks = next(line for line in found.data["ranks"]["lines"] if line["name"] == name)
        assert ranks["values"][RANKS.index(500)] == said["p50_ns"]
        chart = found.data["charts"][f"latency-{name}"]
        assert [line["name"] for line in chart["lines"]] == ["p50", "p95", "p99"]
        assert chart["lines"][0]["values"][3] == windows[3].percentile(500)
        assert chart["at_ns"][3] == 3 * found.series.windows.size_ns


def test_what_never_came_is_said(found: Seen) -> None:
    assert found.result.data["latency"]["gateway"]["never"]
    assert "never" in found.data["charts"]["latency-gateway"]["lines"][2]["values"][12:15]


def test_stages_add_up_to_the_latency(found: Seen) -> None:
    stages = found.data["stages"]
    assert sum(one["total_ns"] for one in stages.values()) == merged(found.series.gateway).total
    for name, one in stages.items():
        said = found.result.data["latency"]["stages"][name]
        assert (one["p50_ns"], one["p99_ns"], one["max_ns"]) == (
            said["p50_ns"],
            said["p99_ns"],
            said["max_ns"],
        )


def test_ends_are_the_ledger(found: Seen) -> None:
    ledger = found.result.data["ledger"]
    rows = {(one["end"], one["cause"]): one["points"] for one in found.data["ends"]}
    assert rows["delivered", ""] == ledger["delivered"]
    assert {cause: points for (end, cause), points in rows.items() if end == "missed"} == ledger["missed"]
    assert sum(rows.values()) == ledger["due"]
    over_time = {line["name"]: sum(line["values"]) for line in found.data["charts"]["ends"]["lines"]}
    assert over_time == {"delivered": ledger["delivered"], "missed": sum(ledger["missed"].values())}


def test_shares_of_time_average_to_the_whole(found: Seen) -> None:
    def mean(spans: list[tuple[int, float]]) -> float:
        ends = [begin for begin, _ in spans[1:]] + [20 * S]
        parts = [(end - begin) * share for (begin, share), end in zip(spans, ends, strict=True)]
        return sum(parts) / (20 * S)

    gateway, line = found.result.gateways["gw"], found.result.lines[0]
    assert mean(found.series.cpu_shares()[0]) == pytest.approx(gateway.cpu_ratio, abs=1e-6)
    (shares,) = found.series.line_shares().values()
    assert mean(shares) == pytest.approx(line.busy_ratio, abs=1e-6)
    assert all(0 <= share <= 1.01 for _, share in shares)


def test_the_backlog_is_at_its_peak_after_the_cut(found: Seen) -> None:
    (values,) = [line["values"] for line in found.data["charts"]["backlog"]["lines"]]
    peak = found.result.data["gateways"]["gw"]["store"]["waiting_peak"]
    assert max(values) == peak
    assert 6 <= values.index(peak) <= 12
    assert values[4] == values[-1] == 0


def test_trouble_is_named_with_its_time(found: Seen) -> None:
    told = [(one["verb"], one["target"], one["begin_ns"], one["end_ns"]) for one in found.data["trouble"]]
    assert told == [
        ("cut", "cloud", 6 * S, 10 * S),
        ("cut", "plant", 12 * S, 15 * S),
        ("write", "presses/3", 16 * S, None),
    ]


def test_a_phase_that_heals_ends_trouble(host: Host) -> None:
    text = TEXT.replace("  - {at: 12 s, cut: plant, for: 3 s}\n", "  - {at: 12 s, cut: plant}\n")
    text += "phases:\n  - {name: bad, for: 14 s}\n  - {name: heal, for: 6 s, recover-within: 5 s}\n"
    assert [one["end_ns"] for one in seen(text, host).data["trouble"]] == [10 * S, 14 * S, None]


def test_slowest_samples_are_the_slowest(found: Seen) -> None:
    slowest = found.data["slowest"]
    times = [one["total_ns"] for one in slowest]
    assert times == sorted(times, reverse=True)
    assert times[0] == found.result.data["latency"]["gateway"]["max_ns"]
    assert all(sum(one["stages"].values()) == one["total_ns"] for one in slowest)


def test_devices_stand_out_by_what_the_ledger_counts(found: Seen) -> None:
    ledger = found.world.ledger
    assert [one["device"].split("/")[0] for one in found.data["devices"]][:3] == ["presses"] * 3
    for one in found.data["devices"]:
        device = ledger.names.index(one["device"])
        gone = sum(
            points for (d, end, _), points in ledger.ends.items() if d == device and end != "delivered"
        )
        assert (one["due"], one["gone"]) == (ledger.due_of[device], gone)


def test_expectations_over_time(found: Seen) -> None:
    """Each comes to, or is at its worst, what was measured."""
    judged, curves = found.result.judged, found.curves
    assert sorted(curves) == list(range(9))
    ends = [value for value in curves[1].values if value is not None]
    assert len(ends) == 4
    assert max(ends) == judged[1].measured
    assert max(value for value in curves[2].values if value is not None) == judged[2].measured
    assert curves[3].values[-1] == judged[3].measured
    assert curves[4].values[-1] == judged[4].measured
    assert max(value for value in curves[8].values if value is not None) == judged[8].measured
    assert NEVER in curves[0].values
    chart = found.data["charts"]["expectation-7"]
    assert chart["limit"] == {"value": 0, "text": "== 0"}
    assert found.data["expectations"][7]["limit"] == "within 10 s"


@pytest.mark.parametrize("duration_s", [1, 7, 100, 3600, 86_400 * 30])
@pytest.mark.parametrize("poll_s", [1, 60, 3600])
def test_windows_are_few_however_long_a_run_is(found: Seen, duration_s: int, poll_s: int) -> None:
    from dataclasses import replace

    devices = tuple(replace(one, poll_ns=poll_s * S) for one in found.world.spec.devices)
    spec: WorldSpec = replace(found.world.spec, duration_ns=duration_s * S, devices=devices)
    windows = Windows.of(spec)
    assert 1 <= windows.in_duration <= WINDOWS_MAX - SETTLING_MAX
    assert windows.number(10**18) < WINDOWS_MAX
    assert windows.number(-5) == 0
    assert windows.in_duration >= min(8, duration_s)
