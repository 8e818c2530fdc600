"""``twinloop run --otlp`` against the OpenTelemetry Collector: it takes protobuf and our JSON, and what its
file exporter writes is what we write."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.scenarios.cli.test_cli import TINY
from tests.scenarios.export.spans import Read, read
from twinloop.scenarios.cli.main import main

pytest.importorskip(
    "opentelemetry.proto", reason="needs twinloop[otlp]: make test-tools, or pip install 'twinloop[otlp]'"
)
COLLECTOR = shutil.which("otelcol-contrib") or shutil.which("otelcol")
BEGIN_S = 30
CONFIG = """\
receivers:
  otlp: {{protocols: {{http: {{endpoint: "127.0.0.1:{port}"}}}}}}
exporters:
  file: {{path: "{out}", format: json}}
service:
  telemetry: {{metrics: {{level: none}}}}
  pipelines:
    traces: {{receivers: [otlp], exporters: [file]}}
    metrics: {{receivers: [otlp], exporters: [file]}}
"""


class Collector(NamedTuple):
    url: str
    out: Path
    process: subprocess.Popen[bytes]

    def stop(self) -> Read:
        """It writes what it has when it is stopped."""
        self.process.terminate()
        assert self.process.wait(30) == 0
        return read(self.out)


@pytest.fixture
def collector(tmp_path: Path) -> Iterator[Collector]:
    if COLLECTOR is None:
        pytest.skip("no otelcol or otelcol-contrib on PATH")
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    config = tmp_path / "collector.yaml"
    config.write_text(CONFIG.format(port=port, out=tmp_path / "collected"))
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen([COLLECTOR, "--config", str(config)], stdout=log, stderr=log)
    try:
        until = time.monotonic() + BEGIN_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                assert process.poll() is None, (tmp_path / "log").read_text()
                assert time.monotonic() < until, "the collector doesn't listen"
                time.sleep(0.1)
        yield Collector(f"http://127.0.0.1:{port}", tmp_path / "collected", process)
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def crashed(tmp_path: Path) -> str:
    file = tmp_path / "tiny.yaml"
    file.write_text(TINY + "timeline:\n  - {at: 2 s, crash: gw, for: 1 s}\n")
    return str(file)


def plain(requests: list[Any]) -> list[Any]:
    """The collector writes an empty status and empty buckets where there are none, and signals in their own
    order."""
    for request in requests:
        for group in getattr(request, "resource_spans", ()):
            for span in group.scope_spans[0].spans:
                if not span.status.ByteSize():
                    span.ClearField("status")
        for group in getattr(request, "resource_metrics", ()):
            for metric in group.scope_metrics[0].metrics:
                for point in (
                    metric.exponential_histogram.data_points
                    if metric.HasField("exponential_histogram")
                    else ()
                ):
                    for buckets in ("positive", "negative"):
                        if not getattr(point, buckets).ByteSize():
                            point.ClearField(buckets)
    return sorted(requests, key=lambda one: one.DESCRIPTOR.name)


def test_the_collector_takes_all_of_it(
    collector: Collector, crashed: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = main(["run", crashed, "--otlp", str(tmp_path / "ours")])
    assert code == main(["run", crashed, "--otlp", collector.url])
    assert "refused" not in capsys.readouterr().err
    ours, theirs = read(tmp_path / "ours"), collector.stop()
    assert len(ours.traces) > 10
    assert plain(theirs.requests) == plain(ours.requests)


def test_the_collector_reads_our_lines(collector: Collector, crashed: str, tmp_path: Path) -> None:
    main(["run", crashed, "--otlp", str(tmp_path / "ours")])
    for line in (tmp_path / "ours").read_bytes().splitlines():
        signal = "traces" if line.startswith(b'{"resourceSpans"') else "metrics"
        request = urllib.request.Request(
            f"{collector.url}/v1/{signal}", line, {"Content-Type": "application/json"}, method="POST"
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            assert answer.status == 200
            assert answer.read() in (b"{}", b'{"partialSuccess":{}}')
    ours, theirs = read(tmp_path / "ours"), collector.stop()
    assert plain(theirs.requests) == plain(ours.requests)
