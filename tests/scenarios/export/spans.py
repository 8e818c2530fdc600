"""What tests of ``--otlp`` share: its lines read with the package's own classes, and spans held against the
books of their run."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from twinloop.sim.accounts.latency import STAGES
from twinloop.sim.accounts.rows import CAUSES, End
from twinloop.sim.kernel.wallclock import EPOCH_NS
from twinloop.sim.world import World

IDS = ("traceId", "spanId", "parentSpanId")


@dataclass
class Read:
    """Requests in order, spans by trace (the root first), metrics by name: (service, metric)."""

    requests: list[Any] = field(default_factory=list)
    traces: dict[bytes, list[tuple[str, Any]]] = field(default_factory=dict)
    metrics: dict[str, list[tuple[str, Any]]] = field(default_factory=dict)

    def add(self, request: Any) -> None:
        self.requests.append(request)
        for group in getattr(request, "resource_spans", ()):
            service = attributes(group.resource)["service.name"]
            for scope in group.scope_spans:
                assert scope.scope.name == "twinloop"
                for span in scope.spans:
                    self.traces.setdefault(span.trace_id, []).append((service, span))
        for group in getattr(request, "resource_metrics", ()):
            service = attributes(group.resource)["service.name"]
            for scope in group.scope_metrics:
                for metric in scope.metrics:
                    self.metrics.setdefault(metric.name, []).append((service, metric))

    def sorted(self) -> Read:
        """The root first, which may be of another gateway than what stands before it; the others by time."""
        for spans in self.traces.values():
            spans.sort(key=lambda one: (one[1].parent_span_id != b"", one[1].start_time_unix_nano))
            assert [span.parent_span_id for _, span in spans[:2]].count(b"") == 1
        return self


def value_of(value: Any) -> Any:
    kind = value.WhichOneof("value")
    found = getattr(value, kind)
    return [value_of(one) for one in found.values] if kind == "array_value" else found


def attributes(holder: Any) -> dict[str, Any]:
    found = {one.key: value_of(one.value) for one in holder.attributes}
    assert len(found) == len(holder.attributes), "a key stands there twice"
    return found


def as_protobuf(data: Any) -> Any:
    """OTLP's JSON as protobuf's: identifiers are base64 there."""
    if isinstance(data, list):
        return [as_protobuf(one) for one in data]
    if isinstance(data, dict):
        return {
            key: base64.b64encode(bytes.fromhex(one)).decode() if key in IDS else as_protobuf(one)
            for key, one in data.items()
        }
    return data


def read_line(line: str) -> Any:
    """Raises when a line has anything that isn't OTLP."""
    from google.protobuf import json_format
    from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2
    from opentelemetry.proto.collector.trace.v1 import trace_service_pb2

    data = json.loads(line)
    kind = (
        trace_service_pb2.ExportTraceServiceRequest
        if "resourceSpans" in data
        else metrics_service_pb2.ExportMetricsServiceRequest
    )
    return json_format.ParseDict(as_protobuf(data), kind())


def read(path: Path) -> Read:
    found = Read()
    for line in path.read_text().splitlines():
        found.add(read_line(line))
    return found.sorted()


def hold(found: Read, world: World, untimed: int | None = 0) -> None:
    """All that the books know of samples: how they ended, how long they took, and in which stages.
    ``untimed``: samples with a verdict whose stages have no spans, None: as many as there are."""
    ledger, whole = world.ledger, world.latencies.of()
    ends: dict[tuple[str, str], int] = {}
    stages, gateway_ns, cloud_ns, without = [0] * len(STAGES), 0, 0, 0
    numbers: dict[bytes, None] = {}
    firsts = {(trace, spans[0][1].span_id): spans[0][1] for trace, spans in found.traces.items()}
    for spans in found.traces.values():
        _, root = spans[0]
        said = attributes(root)
        points, key = said["twinloop.points"], (said["twinloop.end"], said.get("twinloop.cause", ""))
        ends[key] = ends.get(key, 0) + points
        assert root.parent_span_id == b""
        assert root.name == "sample"
        assert (root.status.code == 2) == (key[0] in ("missed", "lost", "evicted") or "twinloop.late" in said)
        for link in root.links:
            other = attributes(firsts[link.trace_id, link.span_id])
            assert (other["twinloop.device"], other["twinloop.k"]) == (
                said["twinloop.device"],
                said["twinloop.k"],
            )
        at = {service: root.start_time_unix_nano for service, _ in spans}
        spent = [0] * len(STAGES)
        for service, span in spans:
            assert span.span_id not in numbers
            numbers[span.span_id] = None
            assert root.start_time_unix_nano <= span.start_time_unix_nano <= span.end_time_unix_nano
            assert span.end_time_unix_nano <= root.end_time_unix_nano
            if span is root:
                continue
            assert span.parent_span_id == root.span_id
            assert at[service] <= span.start_time_unix_nano < span.end_time_unix_nano, "spans overlap"
            at[service] = span.end_time_unix_nano
            if span.name in STAGES:
                spent[STAGES.index(span.name)] += span.end_time_unix_nano - span.start_time_unix_nano
            else:
                assert span.name in ("store", "sending")
        latency = said.get("twinloop.latency.gateway_ns")
        if latency is not None:
            gateway_ns += latency * points
            if sum(spent) == latency:
                pieces = [span for _, span in spans if span.name in STAGES]
                assert pieces[0].start_time_unix_nano == root.start_time_unix_nano
                assert pieces[-1].end_time_unix_nano == root.start_time_unix_nano + latency
                for stage, time_ns in enumerate(spent):
                    stages[stage] += time_ns * points
            else:
                assert sum(spent) == 0
                without += points
        if key[0] == "delivered":
            cloud_ns += (root.end_time_unix_nano - root.start_time_unix_nano) * points
    assert ends == {
        (end.value, cause): ledger.count(end, cause)
        for end in End
        for cause in CAUSES[end]
        if ledger.count(end, cause)
    }
    assert gateway_ns == whole.gateway.total
    assert cloud_ns == whole.cloud.total
    assert untimed is None or without == untimed
    if not without:
        assert stages == [stage.total for stage in whole.stages]
    for spans in found.traces.values():
        assert EPOCH_NS <= spans[0][1].start_time_unix_nano < EPOCH_NS + world.spec.duration_ns
