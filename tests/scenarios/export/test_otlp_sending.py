"""``--otlp URL``: what a receiver gets, and what becomes of a run when it doesn't take it. The receiver here
reads requests with the package's own classes."""

from __future__ import annotations

import gzip
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.scenarios.cli.test_cli import TINY
from tests.scenarios.export.spans import Read, read
from twinloop.scenarios.cli.main import main
from twinloop.scenarios.export.otlp import sending
from twinloop.scenarios.text.errors import MachineError, ScenarioError

pytest.importorskip("opentelemetry.proto", reason="needs twinloop[otlp]")
CLIPPED = 5


class Receiver(HTTPServer):
    """Answers in turn as ``answers`` says, then well: (code, headers, body)."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: list[tuple[int, dict[str, str], bytes]] = []
        self.got: list[tuple[str, dict[str, str], bytes]] = []
        self.url = f"http://127.0.0.1:{self.server_address[1]}"

    def read(self) -> Read:
        from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2
        from opentelemetry.proto.collector.trace.v1 import trace_service_pb2

        kinds = {
            "/v1/traces": trace_service_pb2.ExportTraceServiceRequest,
            "/v1/metrics": metrics_service_pb2.ExportMetricsServiceRequest,
        }
        found = Read()
        for path, headers, body in self.got:
            assert headers["content-type"] == "application/x-protobuf"
            found.add(kinds[path].FromString(gzip.decompress(body)))
        return found.sorted()


class Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        code, headers, answer = self.server.answers.pop(0) if self.server.answers else (200, {}, b"")
        if code < 300:
            named = {name.lower(): value for name, value in self.headers.items()}
            self.server.got.append((self.path, named, body))
        self.send_response(code)
        for name, value in {**headers, "Content-Length": str(len(answer))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(answer)

    def do_GET(self) -> None:
        """Who follows a redirect comes with this."""
        self.do_POST()

    def log_message(self, *arguments: Any) -> None:
        """Nothing."""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    found = Receiver()
    thread = threading.Thread(target=found.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield found
    found.shutdown()
    thread.join()
    found.server_close()


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(sending, "WAIT_FIRST_S", 0.0)
    monkeypatch.chdir(tmp_path)
    Path("tiny.yaml").write_text(TINY)
    return "tiny.yaml"


def partial(signal: str, refused: int, message: str) -> bytes:
    from opentelemetry.proto.collector.trace.v1 import trace_service_pb2

    answer = trace_service_pb2.ExportTraceServiceResponse()
    answer.partial_success.rejected_spans, answer.partial_success.error_message = refused, message
    return bytes(answer.SerializeToString())


def test_a_receiver_gets_what_a_file_holds(
    receiver: Receiver, tiny: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "x-key=a%20b, other=c")
    assert main(["run", tiny, "--otlp", "t"]) == 0
    capsys.readouterr()
    assert main(["run", tiny, "--otlp", receiver.url + "/"]) == 0
    printed = capsys.readouterr()
    assert "PASS" in printed.out
    got, written = receiver.read(), read(Path("t"))
    assert got.requests == written.requests
    assert [path for path, _, _ in receiver.got] == ["/v1/traces", "/v1/metrics"]
    assert receiver.got[0][1]["x-key"] == "a b"
    assert receiver.got[0][1]["other"] == "c"
    spans = sum(map(len, got.traces.values()))
    assert f"{spans} of {spans} spans accepted" in printed.err


def test_a_busy_receiver_is_asked_again_and_what_it_refuses_is_told(
    receiver: Receiver, tiny: str, capsys: pytest.CaptureFixture[str]
) -> None:
    receiver.answers = [
        (503, {"Retry-After": "0"}, b"later"),
        (429, {}, b""),
        (200, {"Content-Type": "application/x-protobuf"}, partial("traces", CLIPPED, "too old \x1b")),
    ]
    assert main(["run", tiny, "--otlp", receiver.url]) == 0
    told = capsys.readouterr().err
    spans = sum(map(len, receiver.read().traces.values()))
    assert f"{spans - CLIPPED} of {spans} spans accepted, {CLIPPED} refused" in told
    assert "the receiver says: too old" in told
    assert "\x1b" not in told


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ((400, {}, b"no such tenant"), "it answered 400 Bad Request: no such tenant"),
        ((302, {"Location": "/elsewhere"}, b""), "it answered 302"),
        ((503, {"Retry-After": "3600"}, b""), "it answered 503"),
    ],
)
def test_what_is_not_taken_is_told_after_the_verdict(
    receiver: Receiver,
    tiny: str,
    answer: tuple[int, dict[str, str], bytes],
    told: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    receiver.answers = [(200, {}, b""), answer]
    assert main(["run", tiny, "--otlp", receiver.url]) == 71
    printed = capsys.readouterr()
    assert "PASS" in printed.out
    assert f"{receiver.url}/v1/metrics" in printed.err
    assert told in printed.err
    assert "0 of " in printed.err.partition("spans accepted")[2], "data points"
    assert len(receiver.got) == 1


def test_nobody_there_is_this_machines_and_names_the_cure(
    tiny: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        assert main(["run", tiny, "--otlp", url]) == 71
        told = capsys.readouterr()
        assert "PASS" in told.out
        assert f"--otlp {url}/v1/traces: Connection refused (3 times)" in told.err
        assert "--otlp FILE" in told.err
        assert "Traceback" not in told.err
        Path("fail.yaml").write_text(TINY.replace("<= 50 ms", "<= 1 us"))
        assert main(["run", "fail.yaml", "--otlp", url]) == 71


def test_tries_wait_longer_each_time_and_end(receiver: Receiver) -> None:
    from twinloop.scenarios.export.otlp.spans import protos

    waited: list[float] = []
    sender = sending.Sender(receiver.url, protos(), waited.append)
    receiver.answers = [
        (503, {}, b""),
        (503, {"Retry-After": "7"}, b""),
        (502, {}, b""),
        (504, {}, b""),
        (429, {}, b""),
    ]
    with pytest.raises(MachineError, match="429"):
        sender.send([sending.Parcel("traces", b"", 1)])
    assert waited == [1.0, 7.0, 14.0, 28.0]
    assert receiver.got == []


def test_an_answer_in_json_or_of_something_else_is_read(receiver: Receiver) -> None:
    from twinloop.scenarios.export.otlp.spans import protos

    sender = sending.Sender(receiver.url, protos())
    receiver.answers = [
        (
            200,
            {"Content-Type": "application/json"},
            b'{"partialSuccess":{"rejectedDataPoints":"2","errorMessage":"m"}}',
        ),
        (200, {"Content-Type": "text/html"}, b"<p>hello"),
    ]
    sender.send([sending.Parcel("metrics", b"", 3)])
    with pytest.raises(MachineError, match="its answer is text/html, so it is no receiver of OTLP"):
        sender.send([sending.Parcel("metrics", b"", 1)])
    account = sender.accounts["metrics"]
    assert (account.sent, account.refused) == (1, 2)


def test_headers_that_are_none_are_named_without_their_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "a=b,secret")
    with pytest.raises(ScenarioError, match="entry 2") as raised:
        sending.headers()
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize("pair", ["authorization=secret%0Axyz", "authorization=secret€", "a%20b=secret"])
def test_headers_that_cannot_be_sent_are_refused_before(monkeypatch: pytest.MonkeyPatch, pair: str) -> None:
    monkeypatch.setenv(sending.HEADERS_VARIABLE, f"good=1,{pair}")
    with pytest.raises(ScenarioError) as caught:
        sending.headers()
    assert "entry 2 can't stand in a header" in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "http://[::1",
        "http://localhost:9/ü",
        "http://127.0.0.1:9/a b",
        f"http://{'a' * 70}.de",
        "http://x\n:9",
    ],
)
def test_an_address_that_cannot_be_meant_is_refused_before(url: str) -> None:
    with pytest.raises(ScenarioError, match="--otlp"):
        sending.checked(url)
