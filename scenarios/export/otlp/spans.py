"""Spans and resources, as messages of OTLP and as OTLP's JSON.

Belongs here: the two ways to write a span, and the numbers that name it. Never: which spans there are
(ways.py), files (output.py). OTLP's JSON isn't protobuf's: identifiers are hexadecimal, enumerations are
numbers, 64-bit integers are texts.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from fractions import Fraction
from hashlib import blake2b
from typing import Any, NamedTuple

from twinloop.scenarios.export.extras import needed
from twinloop.scenarios.text.errors import printable

FLAG = "--otlp"
INTERNAL, CLIENT, PRODUCER = 1, 3, 4
"""kinds of spans"""
ERROR = 2
"""the status of a span"""
Value = str | int | float | bool | Sequence[str]
Attributes = Mapping[str, Value]
_WHOLE = 1 << 64


class Span(NamedTuple):
    """One span. Times in ns since 1970; ``error``: what went wrong, None: nothing; ``links``: (trace, span)
    of samples of the same poll."""

    trace: bytes
    number: bytes
    parent: bytes
    name: str
    kind: int
    begin_ns: int
    end_ns: int
    attributes: Attributes
    error: str | None = None
    links: tuple[tuple[bytes, bytes], ...] = ()


def hashed(size: int, *parts: object) -> bytes:
    """``size`` bytes that only these parts give; never all of them 0, which OTLP takes for none."""
    text = "\x1f".join(map(str, parts))
    return blake2b(text.encode("utf-8", "replace"), digest_size=size).digest()


def chosen(share: Fraction, *parts: object) -> bool:
    """Is the one that these parts name among that share? The same ones are in every run."""
    return share >= 1 or int.from_bytes(hashed(8, "share", *parts), "big") < share * _WHOLE


def plain(text: str) -> str:
    """What others have named, as a text that every reader takes."""
    return printable(text).encode("utf-8", "replace").decode()


# ---- as messages ---------------------------------------------------------------------------------
class Protos(NamedTuple):
    """The package's modules."""

    common: Any
    traces: Any
    metrics: Any
    trace_service: Any
    metrics_service: Any
    json_format: Any


def protos() -> Protos:
    """Raises ScenarioError when the package isn't installed."""
    return Protos(
        *needed(
            FLAG,
            "otlp",
            "opentelemetry.proto.common.v1.common_pb2",
            "opentelemetry.proto.trace.v1.trace_pb2",
            "opentelemetry.proto.metrics.v1.metrics_pb2",
            "opentelemetry.proto.collector.trace.v1.trace_service_pb2",
            "opentelemetry.proto.collector.metrics.v1.metrics_service_pb2",
            "google.protobuf.json_format",
        )
    )


def put(target: Any, attributes: Attributes) -> None:
    """Attributes into a repeated field of a message."""
    for key, value in attributes.items():
        entry = target.add()
        entry.key = key
        _set(entry.value, value)


def _set(target: Any, value: Value) -> None:
    if isinstance(value, bool):
        target.bool_value = value
    elif isinstance(value, int):
        target.int_value = value
    elif isinstance(value, float):
        target.double_value = value
    elif isinstance(value, str):
        target.string_value = plain(value)
    else:
        for one in value:
            target.array_value.values.add().string_value = plain(one)


def into(target: Any, span: Span) -> None:
    """One span into an empty message."""
    target.trace_id, target.span_id, target.parent_span_id = span.trace, span.number, span.parent
    target.name, target.kind = span.name, span.kind
    target.start_time_unix_nano, target.end_time_unix_nano = span.begin_ns, span.end_ns
    put(target.attributes, span.attributes)
    for trace, number in span.links:
        link = target.links.add()
        link.trace_id, link.span_id = trace, number
    if span.error is not None:
        target.status.code, target.status.message = ERROR, span.error


def request(modules: Protos, groups: Sequence[tuple[Attributes, Attributes, Sequence[Span]]]) -> Any:
    """An ExportTraceServiceRequest of (resource, scope, spans)."""
    whole = modules.trace_service.ExportTraceServiceRequest()
    for resource, scope, spans in groups:
        group = whole.resource_spans.add()
        put(group.resource.attributes, resource)
        scoped = group.scope_spans.add()
        scoped.scope.name, scoped.scope.version = str(scope["name"]), str(scope["version"])
        for span in spans:
            into(scoped.spans.add(), span)
    return whole


# ---- as JSON -------------------------------------------------------------------------------------
def _value(value: Value) -> dict[str, object]:
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    if isinstance(value, str):
        return {"stringValue": plain(value)}
    return {"arrayValue": {"values": [{"stringValue": plain(one)} for one in value]}}


def _attributes(attributes: Attributes) -> list[dict[str, object]]:
    return [{"key": key, "value": _value(value)} for key, value in attributes.items()]


def _span(span: Span) -> dict[str, object]:
    data: dict[str, object] = {"traceId": span.trace.hex(), "spanId": span.number.hex()}
    if span.parent:
        data["parentSpanId"] = span.parent.hex()
    data |= {
        "name": span.name,
        "kind": span.kind,
        "startTimeUnixNano": str(span.begin_ns),
        "endTimeUnixNano": str(span.end_ns),
        "attributes": _attributes(span.attributes),
    }
    if span.links:
        data["links"] = [{"traceId": trace.hex(), "spanId": number.hex()} for trace, number in span.links]
    if span.error is not None:
        data["status"] = {"message": span.error, "code": ERROR}
    return data


def line(groups: Sequence[tuple[Attributes, Attributes, Sequence[Span]]]) -> str:
    """The same request as one line of OTLP's JSON."""
    whole = {
        "resourceSpans": [
            {
                "resource": {"attributes": _attributes(resource)},
                "scopeSpans": [{"scope": dict(scope), "spans": [_span(span) for span in spans]}],
            }
            for resource, scope, spans in groups
        ]
    }
    return json.dumps(whole, ensure_ascii=False, separators=(",", ":"))
