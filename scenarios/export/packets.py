"""A file of Perfetto's trace packets: tracks, slices, instants and counters, written in chunks.

Belongs here: packets and their bytes, and the limit of events. Never: what is shown (perfetto.py). A slice is
written when it has ended, so none stays open; Perfetto sorts by time, and slices of one track come in order.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twinloop.scenarios.export.extras import needed
from twinloop.scenarios.export.growing import GrowingFile
from twinloop.scenarios.text.errors import printable
from twinloop.sim.kernel.wallclock import BOOT_HORIZON_NS

FLAG = "--perfetto"
EVENTS_MAX = 5_000_000
"""slices, instants and counter values of one trace; what comes after them is counted and left out"""
CHUNK_PACKETS = 4096
"""packets that wait in memory to be written together"""
SEQUENCE = 1
"""all packets are of one writer"""
Note = str | int


def protos() -> Any:
    """The module with Perfetto's messages; raises ScenarioError when its package isn't installed."""
    return needed(FLAG, "perfetto", "perfetto.protos.perfetto.trace.perfetto_trace_pb2")[0]


class PacketFile:
    """One trace under way. Times are ns of the run's clock (0 is the start of the scenario, boot lies before
    it) and are written as ns since boot began. Raises ScenarioError when the file can't be made."""

    def __init__(self, path: Path, messages: Any, limit: int = EVENTS_MAX) -> None:
        self._messages = messages
        self._event = messages.TrackEvent
        self._limit = limit
        self.events = self.dropped = 0
        """events that are in the file, and those that came after the limit"""
        self._tracks = 0
        self._chunk = messages.Trace()
        self._began = False
        self._file = GrowingFile(path, FLAG, "trace")

    # ---- tracks ----------------------------------------------------------------------------------
    def process(self, name: str, number: int) -> int:
        """A group of tracks with a name of its own; returns its track."""
        track = self._described(None)
        described = track.process
        described.pid, described.process_name = number, _text(name)
        return int(track.uuid)

    def thread(self, process: int, number: int, name: str) -> int:
        """A track below the process of that ``process`` number."""
        track = self._described(None)
        described = track.thread
        described.pid, described.tid, described.thread_name = process, number, _text(name)
        return int(track.uuid)

    def track(self, name: str, parent: int | None = None) -> int:
        """A track below another one, or at the top."""
        track = self._described(parent)
        track.name = _text(name)
        return int(track.uuid)

    def counter(self, name: str, parent: int, unit: str) -> int:
        """A track of numbers in ``unit`` (``bytes``, or a word)."""
        track = self._described(parent)
        track.name = _text(name)
        counted = track.counter
        if unit == "bytes":
            counted.unit = self._messages.CounterDescriptor.UNIT_SIZE_BYTES
        else:
            counted.unit_name = unit
        return int(track.uuid)

    def _described(self, parent: int | None) -> Any:
        self._tracks += 1
        track = self._packet().track_descriptor
        track.uuid = self._tracks
        if parent is not None:
            track.parent_uuid = parent
        return track

    # ---- events ----------------------------------------------------------------------------------
    def slice(self, track: int, begin_ns: int, end_ns: int, name: str, category: str, **notes: Note) -> None:
        """Something that lasted from then until then."""
        if self._counted():
            event = self._at(track, begin_ns, self._event.TYPE_SLICE_BEGIN)
            self._named(event, name, category, notes)
            self._at(track, end_ns, self._event.TYPE_SLICE_END)

    def instant(self, track: int, at_ns: int, name: str, category: str, **notes: Note) -> None:
        """Something that happened then."""
        if self._counted():
            self._named(self._at(track, at_ns, self._event.TYPE_INSTANT), name, category, notes)

    def value(self, track: int, at_ns: int, value: int) -> None:
        """A counter's value from then on."""
        if self._counted():
            self._at(track, at_ns, self._event.TYPE_COUNTER).counter_value = value

    def note(self, track: int, at_ns: int, name: str, **notes: Note) -> None:
        """What must be said whatever the limit."""
        self._named(self._at(track, at_ns, self._event.TYPE_INSTANT), name, "twinloop", notes)

    def _counted(self) -> bool:
        if self.events >= self._limit:
            self.dropped += 1
            return False
        self.events += 1
        return True

    def _at(self, track: int, at_ns: int, kind: int) -> Any:
        packet = self._packet()
        packet.timestamp = BOOT_HORIZON_NS + at_ns
        event = packet.track_event
        event.type, event.track_uuid = kind, track
        return event

    @staticmethod
    def _named(event: Any, name: str, category: str, notes: dict[str, Note]) -> None:
        event.name = _text(name)
        event.categories.append(category)
        for key, value in notes.items():
            note = event.debug_annotations.add()
            note.name = key
            if isinstance(value, int):
                note.int_value = value
            else:
                note.string_value = _text(value)

    # ---- bytes -----------------------------------------------------------------------------------
    def _packet(self) -> Any:
        packets = self._chunk.packet
        if len(packets) >= CHUNK_PACKETS:
            self._write()
            packets = self._chunk.packet
        packet = packets.add()
        packet.trusted_packet_sequence_id = SEQUENCE
        if not self._began:
            self._began = True
            packet.first_packet_on_sequence = True
            packet.sequence_flags = self._messages.TracePacket.SEQ_INCREMENTAL_STATE_CLEARED
        return packet

    def _write(self) -> None:
        """A trace is its packets one after the other: pieces of it can be written alone."""
        data = self._chunk.SerializeToString(deterministic=True)
        self._chunk = self._messages.Trace()
        self._file.write(data)

    def close(self) -> None:
        """Write what waits, close the file; raises MachineError as every write does that finds no room."""
        try:
            self._write()
        finally:
            self._file.close()


def _text(text: str) -> str:
    """What others have named, as a text that every reader takes: control characters are shown, half
    characters replaced."""
    return printable(text).encode("utf-8", "replace").decode()
