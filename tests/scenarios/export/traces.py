"""What tests of exports share: scenarios, and a Perfetto trace read back with the package's own classes."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from twinloop.scenarios.file.load import LIBRARY

BOOT_NS = 600_000_000_000
"""t = 0 of a scenario lies so long after boot began"""


def shipped(name: str, **changes: Any) -> str:
    """The text of a shipped scenario with other values for some keys."""
    scenario = yaml.safe_load((LIBRARY / f"{name}.yaml").read_text())
    return str(yaml.safe_dump({**scenario, **changes}, sort_keys=False))


@dataclass
class Track:
    """What lies on one track. Slices are (begin, end, name, notes), in order of their begin."""

    name: str
    parent: int
    process: int = 0
    slices: list[tuple[int, int, str, dict[str, Any]]] = field(default_factory=list)
    instants: list[tuple[int, str, dict[str, Any]]] = field(default_factory=list)
    values: list[tuple[int, int]] = field(default_factory=list)


def notes_of(event: Any) -> dict[str, Any]:
    return {
        one.name: one.int_value if one.HasField("int_value") else one.string_value
        for one in event.debug_annotations
    }


def read(path: Path) -> dict[int, Track]:
    """Track number -> track. Events are sorted by time, stably, as Perfetto does."""
    protos = pytest.importorskip(
        "perfetto.protos.perfetto.trace.perfetto_trace_pb2", reason="needs twinloop[perfetto]"
    )
    trace = protos.Trace.FromString(path.read_bytes())
    tracks: dict[int, Track] = {}
    events = []
    for packet in trace.packet:
        assert packet.trusted_packet_sequence_id == 1
        if packet.HasField("track_descriptor"):
            one = packet.track_descriptor
            assert one.uuid not in tracks
            name = one.name
            if one.HasField("process"):
                name = one.process.process_name
            elif one.HasField("thread"):
                name = one.thread.thread_name
            tracks[one.uuid] = Track(name, one.parent_uuid, one.process.pid or one.thread.pid)
        else:
            assert packet.track_event.track_uuid in tracks, "a track is described before it is used"
            events.append(packet)
    open_slices: dict[int, list[tuple[int, str, dict[str, Any]]]] = {}
    for packet in sorted(events, key=lambda one: one.timestamp):
        event = packet.track_event
        track = tracks[event.track_uuid]
        stack = open_slices.setdefault(event.track_uuid, [])
        at = packet.timestamp - BOOT_NS
        if event.type == protos.TrackEvent.TYPE_SLICE_BEGIN:
            stack.append((at, event.name, notes_of(event)))
            assert len(stack) == 1, f"slices of {track.name} overlap at {at}"
        elif event.type == protos.TrackEvent.TYPE_SLICE_END:
            began, name, notes = stack.pop()
            track.slices.append((began, at, name, notes))
        elif event.type == protos.TrackEvent.TYPE_INSTANT:
            track.instants.append((at, event.name, notes_of(event)))
        else:
            track.values.append((at, event.counter_value))
    assert not any(open_slices.values()), "a slice stays open"
    return tracks


def named(tracks: dict[int, Track], name: str) -> list[Track]:
    return [track for track in tracks.values() if track.name == name]


def busy_ns(
    tracks: dict[int, Track], process: int, until_ns: int | None = None, since_ns: int = -BOOT_NS
) -> int:
    """How long the cores of a process were held; with ends, of what lies between them."""
    last = until_ns if until_ns is not None else 1 << 62
    return sum(
        max(0, min(end, last) - max(begin, since_ns))
        for track in tracks.values()
        if track.process == process and track.name.startswith("core ")
        for begin, end, _, _ in track.slices
    )
