"""What can be measured: metric -> kind, unit, keys, allowed statistics.

Belongs here: the table that the grammar, the evaluation and the documentation share. Never: values.
"""

from __future__ import annotations

from typing import NamedTuple


class Metric(NamedTuple):
    """A row. ``kind``: trend (many values), counter (how often), gauge (one value at a time),
    value (what points show). ``unit``: ns, bytes, count, ratio, or value (the point's own)."""

    kind: str
    unit: str
    keys: tuple[str, ...]
    statistics: tuple[str, ...]
    meaning: str


_TREND = ("count", "min", "mean", "max", "p50", "p90", "p95", "p99", "p99.9")
_COUNTER = ("count", "ratio")
_DEVICE = ("fleet", "device", "gateway")

_PHASED = (*_DEVICE, "phase")
_ENDED = (*_PHASED, "cause", "quality")

METRICS: dict[str, Metric] = {
    "latency.gateway": Metric("trend", "ns", _PHASED, _TREND, "due to verdict carried out"),
    "latency.cloud": Metric("trend", "ns", _PHASED, _TREND, "due to acknowledged by the cloud"),
    "latency.stage": Metric("trend", "ns", ("stage", *_PHASED, "version"), _TREND, "time in one stage; version: of the component at work there"),
    "samples.due": Metric("counter", "count", _PHASED, ("count",), "samples that were due"),
    "samples.delivered": Metric(
        "counter", "count", (*_PHASED, "quality"), _COUNTER, "acknowledged by the cloud; quality: the driver's, whatever a transform made of it"
    ),
    "samples.cached": Metric("counter", "count", (*_PHASED, "quality"), _COUNTER, "in a store at the end"),
    "samples.dropped": Metric("counter", "count", _ENDED, _COUNTER, "dropped by policy or transform"),
    "samples.evicted": Metric("counter", "count", _ENDED, _COUNTER, "evicted from a store"),
    "samples.missed": Metric("counter", "count", _ENDED, _COUNTER, "no value was read: there was no reading, or a Bad one of the driver's own"),
    "samples.lost": Metric("counter", "count", _ENDED, _COUNTER, "ended after a reading existed"),
    "samples.duplicates": Metric("counter", "count", _DEVICE, _COUNTER, "delivered again"),
    "samples.misordered": Metric("counter", "count", _DEVICE, _COUNTER, "delivered after younger ones of the device"),
    "samples.late": Metric("counter", "count", _DEVICE, _COUNTER, "verdict after the successor was due"),
    "readings.good": Metric("counter", "count", _DEVICE, _COUNTER, "readings that drivers returned with a Good status"),
    "readings.uncertain": Metric("counter", "count", (*_DEVICE, "status"), _COUNTER, "with an Uncertain status, or one of them by name"),
    "readings.bad": Metric("counter", "count", (*_DEVICE, "status"), _COUNTER, "with a Bad status, or one of them by name"),
    "readings.wrong": Metric("counter", "count", _DEVICE, ("count",), "values that drivers returned and that the device never showed"),
    "value": Metric(
        "value", "value", ("point", *_PHASED), ("count", "min", "mean", "max", "last"), "values of a point that drivers read, in its own unit"
    ),
    "backlog": Metric("gauge", "count", ("gateway",), ("max",), "messages that wait in the store"),
    "stuck": Metric(
        "gauge", "count", ("gateway",), (),
        "gateways not up, components not ready, uplinks down, stores not drained, links in trouble; looked at every 100 ms",
    ),
    "gateway.cpu": Metric("gauge", "ratio", ("gateway",), (), "share of all cores' time that was used"),
    "gateway.memory": Metric("gauge", "bytes", ("gateway",), ("max",), "instances and their linear memory"),
    "flash.written": Metric("gauge", "bytes", ("gateway",), (), "written to the store's flash, its wear (a model of SQLite's pages)"),
    "gateway.boot": Metric("trend", "ns", ("gateway",), ("count", "min", "max", "mean"), "power on to all components ready"),
    "failover.takeover": Metric("trend", "ns", ("gateway",), _TREND, "nobody of a pair leads any more to somebody leads"),
    "failover.gap": Metric("trend", "ns", ("gateway",), _TREND, "nobody of a pair leads any more to the new leader's first verdict"),
    "failover.split-brain": Metric("counter", "count", ("gateway",), ("count",), "how often both gateways of a pair came to lead"),
    "upgrade.downtime": Metric(
        "trend", "ns", ("gateway", "component"), _TREND, "the longest that one of an upgrade's slots could not serve, from swap to end"
    ),
    "upgrade.duration": Metric("trend", "ns", ("gateway", "component"), _TREND, "ordered to committed; never, of those that weren't"),
    "upgrades.ordered": Metric("counter", "count", ("gateway", "component"), ("count",), "upgrades that the cloud ordered"),
    "upgrades.done": Metric("counter", "count", ("gateway", "component"), ("count",), "upgrades that were committed"),
    "upgrades.failed": Metric(
        "counter", "count", ("gateway", "component", "cause"), ("count",), "upgrades that were refused, abandoned, rolled back, or not finished"
    ),
    "component.faults": Metric("counter", "count", ("gateway", "component", "cause"), ("count",), "component calls that ended in a Fault"),
    "command.latency": Metric("trend", "ns", ("fleet", "device"), _TREND, "issued to written to the device; never, of those that weren't"),
    "commands.issued": Metric("counter", "count", ("fleet", "device"), ("count",), "writes that came from the cloud"),
    "commands.done": Metric("counter", "count", ("fleet", "device"), ("count",), "writes that reached their device"),
    "commands.wrong": Metric("counter", "count", ("fleet", "device"), ("count",), "writes that drivers called done and that the device doesn't hold"),
    "commands.failed": Metric("counter", "count", ("fleet", "device", "cause"), ("count",), "writes that didn't"),
}  # fmt: skip

PERMILLE = {"p50": 500, "p90": 900, "p95": 950, "p99": 990, "p99.9": 999}
"""percentile statistics, by nearest rank"""

STATISTICS = tuple(dict.fromkeys(name for metric in METRICS.values() for name in metric.statistics))
