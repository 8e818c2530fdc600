"""``--otlp FILE``: spans and metrics are what the run's books say, and asking for them changes nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from tests.scenarios.cli.test_cli import TINY
from tests.scenarios.export.spans import Read, attributes, hold, read, read_line
from tests.scenarios.export.traces import shipped
from twinloop.components.host.host import Host
from twinloop.scenarios.cli.main import main
from twinloop.scenarios.file.load import LIBRARY, load_text
from twinloop.scenarios.judging.metrics.table import METRICS
from twinloop.scenarios.report.result import Result
from twinloop.scenarios.runner import Options, run
from twinloop.sim.accounts.rows import End
from twinloop.sim.kernel.histogram import Histogram
from twinloop.sim.kernel.wallclock import EPOCH_NS
from twinloop.sim.world import World

pytest.importorskip("opentelemetry.proto", reason="needs twinloop[otlp]")
S = 1_000_000_000
CASES = {
    "tiny": TINY,
    "serial and an outage": shipped(
        "quickstart", duration="10 s", timeline=[{"at": "3 s", "cut": "cloud", "for": "3 s"}]
    ),
    "crashes": TINY
    + "timeline:\n  - {at: 1 s, cut: cloud, for: 2 s}\n  - {at: 2 s, crash: gw, for: 1 s}\n"
    + "  - {at: 4200 ms, fault-component: gw/driver/presses/2, cause: unreachable}\n",
    "queues": shipped("hundred-sensors-slow", duration="3 s"),
    "pair": shipped("failover-hot", duration="60 s"),
    "mqtt": shipped("mqtt-troubles"),
    "subscriptions": shipped("opcua-subscriptions", duration="8 s", timeline=[]),
    "texts and lanes": shipped("derived-power", duration="10 s", timeline=[]),
}


def gathered(host: Host, text: str, path: Path, **wanted: Any) -> tuple[Result, World, list[str]]:
    from twinloop.scenarios.export.otlp.output import OtlpOutput, Wanted

    worlds: list[World] = []
    loaded = load_text(text, LIBRARY / "x.yaml")
    output = OtlpOutput(Wanted(target=path, loaded=lambda: loaded, **wanted))
    result = run(loaded, Options(watches=(output,), started=worlds.append), host)
    return result, worlds[-1], output.notes


def numbers(found: Read, name: str) -> list[tuple[str, Any]]:
    """(service, data point) of one metric."""
    return [
        (service, point)
        for service, metric in found.metrics.get(f"twinloop.{name}", [])
        for point in getattr(metric, metric.WhichOneof("data")).data_points
    ]


@pytest.mark.parametrize("text", CASES.values(), ids=CASES)
def test_spans_are_what_the_books_say(host: Host, text: str, tmp_path: Path) -> None:
    plain = run(load_text(text, LIBRARY / "x.yaml"), Options(), host)
    result, world, notes = gathered(host, text, tmp_path / "t")
    assert (result.digest, result.data["run"]["events"]) == (plain.digest, plain.data["run"]["events"])
    assert notes == []
    hold(found := read(tmp_path / "t"), world)
    check_metrics(found, world, result)


def check_metrics(found: Read, world: World, result: Result) -> None:
    """Sums, histograms and gauges agree with the result and with the books."""
    for end in End:
        last: dict[str, int] = {}
        for _, point in numbers(found, f"samples.{end.value}"):
            key = str(attributes(point))
            assert point.as_int >= last.get(key, 0), "a sum never falls"
            last[key] = point.as_int
        assert sum(last.values()) == world.ledger.count(end)
    assert sum(point.as_int for _, point in numbers(found, "samples.due")) == world.ledger.due
    whole = world.latencies.of()
    for name, histogram in (("latency.gateway", whole.gateway), ("latency.cloud", whole.cloud)):
        points = [point for _, point in numbers(found, name)]
        assert sum(point.count for point in points) == histogram.count
        assert sum(point.sum for point in points) == pytest.approx(histogram.total / S, rel=1e-12)
        assert max(point.max for point in points) == histogram.max / S
        for point in points:
            assert sum(point.positive.bucket_counts) + point.zero_count == point.count
            assert len(point.positive.bucket_counts) <= 160
        never = sum(point.as_int for _, point in numbers(found, f"{name}.never"))
        assert never == histogram.never
    for gateway in world.gateways:
        cpu = [point for service, point in numbers(found, "gateway.cpu") if service == gateway.name]
        lasted = [(point.time_unix_nano - point.start_time_unix_nano) for point in cpu]
        assert sum(lasted) == world.spec.duration_ns
        mean = sum(point.as_double * ns for point, ns in zip(cpu, lasted, strict=True)) / sum(lasted)
        assert mean == pytest.approx(result.data["gateways"][gateway.name]["cpu_ratio"], rel=1e-2, abs=1e-6)
        if gateway.outbox.store is not None:
            waiting = [point for service, point in numbers(found, "backlog") if service == gateway.name]
            assert max(point.as_double for point in waiting) >= gateway.outbox.store.waiting
    for name in world.field.lines:
        busy = [one for _, one in numbers(found, "line.busy") if attributes(one)["twinloop.line"] == name]
        assert 0 < max(point.as_double for point in busy) <= 1
    ((_, which),) = numbers(found, "run")
    assert attributes(which) == {
        "twinloop.digest": result.digest,
        "twinloop.events": result.data["run"]["events"],
    }


def test_every_metric_of_the_table_has_a_place() -> None:
    from twinloop.scenarios.export.otlp.numbers import UNITS

    for metric in METRICS.values():
        assert (metric.kind == "trend") == (metric.values is not None), metric.name
        assert metric.kind in ("trend", "counter", "gauge", "value")
        assert metric.kind == "value" or metric.unit in UNITS


def test_one_sample_from_due_to_the_cloud(host: Host, tmp_path: Path) -> None:
    """A plant in which nothing goes wrong: the stages of a poll in their order, and then the cloud."""
    _, world, _ = gathered(host, TINY, tmp_path / "t")
    found = read(tmp_path / "t")
    spans = next(
        spans
        for spans in found.traces.values()
        if attributes(spans[0][1])["twinloop.device"] == "presses/1"
        and attributes(spans[0][1])["twinloop.k"] == 2
    )
    names = [span.name for _, span in spans]
    assert names[0] == "sample"
    order = list(dict.fromkeys(name for name in names[1:] if name != "queue"))
    assert order == ["driver", "bus", "transform", "policy", "uplink", "sending"]
    root, said = spans[0][1], attributes(spans[0][1])
    device = next(one for one in world.spec.devices if one.name == "presses/1")
    assert root.start_time_unix_nano == EPOCH_NS + device.phase_ns + 2 * S
    assert said["twinloop.end"] == "delivered"
    assert said["twinloop.quality.good"] == said["twinloop.points"] == len(said["twinloop.point.names"])
    by_name = {span.name: attributes(span) for _, span in spans}
    assert by_name["transform"] == {"twinloop.component": "normalize"}
    assert by_name["sending"]["messaging.system"] == "mqtt"
    resource = attributes(found.requests[0].resource_spans[0].resource)
    assert resource["service.name"] == "gw"
    assert (resource["twinloop.scenario"], resource["twinloop.seed"]) == ("tiny", 7)


def test_the_same_run_writes_the_same_bytes_and_another_seed_other_numbers(
    host: Host, tmp_path: Path
) -> None:
    for name in ("a", "b"):
        gathered(host, CASES["crashes"], tmp_path / name)
    gathered(host, CASES["crashes"].replace("seed: 7", "seed: 8"), tmp_path / "c")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert not {*read(tmp_path / "a").traces} & {*read(tmp_path / "c").traces}


def test_what_has_no_spans_is_counted(host: Host, tmp_path: Path) -> None:
    _, world, _ = gathered(host, CASES["crashes"], tmp_path / "all")
    cases: dict[str, tuple[dict[str, Any], Callable[[str], bool]]] = {
        "share": ({"share": Fraction(1, 3)}, lambda note: "limit" not in note),
        "none": ({"share": Fraction(0)}, lambda note: "spans of 0 samples" in note),
        "limit": ({"limit": 30}, lambda note: "of them beyond the limit of 30 spans" in note),
    }
    for name, (wanted, told) in cases.items():
        _, _, (note,) = gathered(host, CASES["crashes"], tmp_path / name, **wanted)
        assert told(note), note
        part, whole = read(tmp_path / name), read(tmp_path / "all")
        assert {*part.traces} < {*whole.traces}
        left = {
            attributes(point)["twinloop.end"]: point.as_int for _, point in numbers(part, "spans.left_out")
        }
        for end in End:
            kept = sum(
                attributes(spans[0][1])["twinloop.points"]
                for spans in part.traces.values()
                if attributes(spans[0][1])["twinloop.end"] == end.value
            )
            assert kept + left.get(end.value, 0) == world.ledger.count(end)
        assert f"{sum(left.values())} samples without" in note


def test_a_line_says_what_a_message_says() -> None:
    """The file's JSON and the receiver's protobuf are written apart: they hold the same."""
    from twinloop.scenarios.export.otlp.spans import Span, line, protos, request

    strange = 'a "text" \x1b[31m of others \ud800 µ'
    values = {
        "text": strange,
        "yes": True,
        "no": False,
        "big": 1 << 53,
        "zero": 0,
        "part": 0.5,
        "list": ["a", strange],
    }
    trace, number = bytes(range(16)), bytes(range(8))
    spans = [
        Span(
            trace, number, b"", "sample", 1, EPOCH_NS, EPOCH_NS + 5, values, "lost: crash", ((trace, number),)
        ),
        Span(trace, number[::-1], number, "bus", 3, EPOCH_NS + 1, EPOCH_NS + 2, {}),
    ]
    groups = [({"service.name": "gw"}, {"name": "twinloop", "version": "1"}, spans)]
    text = line(groups)
    assert read_line(text) == request(protos(), groups)
    data = json.loads(text)["resourceSpans"][0]["scopeSpans"][0]["spans"][0]
    assert data["traceId"] == "000102030405060708090a0b0c0d0e0f"
    assert data["startTimeUnixNano"] == str(EPOCH_NS)
    assert data["kind"] == 1
    assert "\x1b" not in text


@pytest.mark.parametrize(
    ("value_ns", "scale", "index"),
    [
        (S, 0, -1),  # 1 s is the last value of (0.5, 1]
        (S + 1, 0, 0),
        (2 * S, 0, 0),
        (2 * S + 1, 0, 1),
        (1, 0, -30),  # 1e-9 lies in (2^-30, 2^-29]
        (1_500_000_000, 1, 1),  # (2^0.5, 2]
        (1_400_000_000, 1, 0),
        (250_000_000, 2, -9),  # 2^-2 exactly is the last value of its bucket
    ],
)
def test_buckets_are_those_of_the_specification(value_ns: int, scale: int, index: int) -> None:
    from twinloop.scenarios.export.otlp.numbers import index_of

    assert index_of(value_ns, scale) == index


def test_the_values_of_a_histogram_are_all_there() -> None:
    histogram = Histogram()
    for value in (0, 5, 5, 3_000_000):
        histogram.add(value)
    histogram.never = 2
    assert histogram.values() == [(0, 1), (5, 2), (2_999_296, 1)]  # the middle of 2 998 272 and 2048 more


def test_the_account_of_who_listens_is_corrected_and_the_pieces_follow() -> None:
    """A call began at 0 and waited; the sample was due at 40 and taken at 50; then came 5 of the driver, 7 in
    the queue and 3 of the transform."""
    from twinloop.scenarios.export.otlp.stages import Piece, RememberedTimes
    from twinloop.sim.accounts.latency import BUS, DRIVER, QUEUE, TRANSFORM
    from twinloop.sim.kernel.clock import Environment

    env = Environment()
    times = RememberedTimes(env)

    def at(now: int, stage: int, took: int) -> None:
        env.run(until=now)
        times.spent_ns[stage] += took

    at(10, DRIVER, 10)
    at(50, BUS, 40)
    at(55, DRIVER, 5)
    times.spent_ns[DRIVER] -= 10
    times.spent_ns[BUS] -= sum(times.spent_ns) - 5
    times.spent_ns[BUS] += 10
    env.run(until=62)
    times.waited(7, "core")
    at(65, TRANSFORM, 3)
    assert times.pieces() == [
        Piece(40, 50, BUS, ""),
        Piece(50, 55, DRIVER, ""),
        Piece(55, 62, QUEUE, "core"),
        Piece(62, 65, TRANSFORM, ""),
    ]


REFUSED = {
    "--otlp-samples": (["--otlp-samples", "5 %"], "goes with --otlp"),
    "--otlp-start": (["--otlp-start", "2026-01-01T00:00:00Z"], "goes with --otlp"),
    "share": (["--otlp", "t", "--otlp-samples", "101 %"], "expected 0 % to 100 %"),
    "zone": (["--otlp", "t", "--otlp-start", "2026-01-01"], "with time and zone"),
    "scheme": (["--otlp", "grpc://here:4317"], "begins with http:// or https://"),
    "host": (["--otlp", "http://:4318"], "it names no host"),
    "port": (["--otlp", "http://here:99999"], "its port is no number"),
    "secret": (["--otlp", "http://me:secret@here:4318"], "OTEL_EXPORTER_OTLP_HEADERS"),
    "path": (["--otlp", "http://here:4318/v1/traces"], "leave out /v1/"),
    "folder": (["--otlp", "none/t"], "no such folder"),
    "twice": (["--otlp", "t", "--check"], "runs a scenario twice"),
    "seeds": (["--otlp", "t", "--seeds", "1..2"], "--seed"),
    "two": (["quickstart", "--otlp", "t"], "2 scenarios are given"),
    "wire": (["--otlp", "t", "--clock", "wire"], "real sockets"),
}


@pytest.mark.parametrize(("flags", "told"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_meant_is_refused_before_anything_runs(
    flags: list[str],
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("tiny.yaml").write_text(TINY)
    assert main(["run", "tiny.yaml", *flags]) == 3
    printed = capsys.readouterr()
    assert told in printed.err
    assert "secret" not in printed.err.replace("secret@", "") or "me:secret" not in printed.err
    assert printed.out == ""
    assert not Path("t").exists()


def test_the_start_is_the_date_of_the_first_instant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("tiny.yaml").write_text(TINY)
    for name, start in (("a", []), ("b", ["--otlp-start", "2026-11-28T13:00:00.5+01:00"])):
        assert main(["run", "tiny.yaml", "--otlp", name, *start]) == 0
    begins = [
        min(spans[0][1].start_time_unix_nano for spans in read(Path(name)).traces.values())
        for name in ("a", "b")
    ]
    assert begins[1] - begins[0] == (331 * 86_400 + 12 * 3600) * S + S // 2


def test_a_run_without_a_result_says_that_the_file_is_not_whole(host: Host, tmp_path: Path) -> None:
    from twinloop.scenarios.export.otlp.output import OtlpOutput, Wanted

    loaded = load_text(TINY, LIBRARY / "x.yaml")
    output = OtlpOutput(Wanted(target=tmp_path / "t", loaded=lambda: loaded))

    def dies(world: World) -> None:
        world.env.call_at(2 * S, lambda: 1 // 0)

    with pytest.raises(ZeroDivisionError):
        run(loaded, Options(watches=(output,), started=dies), host)
    output.send()
    (note,) = output.notes
    assert "isn't whole" in note
