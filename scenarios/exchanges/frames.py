"""Frames that somebody else has seen on a wire: cut out of streams of bytes.

Belongs here: a frame with its time and direction, Modbus TCP frames out of a TCP stream whose segments come
twice, late or never. Never: files (packets.py, logs.py), what belongs together (conversing.py).
"""

from __future__ import annotations

from typing import NamedTuple

from twinloop.scenarios.exchanges.modbus import ADU_TCP_BYTES_MAX, MBAP_BYTES

AHEAD_MAX = 64
"""segments that wait for one that is missing; with more the missing one is given up"""
_HALF = 1 << 31
_WRAP = 1 << 32


class Seen(NamedTuple):
    """One frame. ``server``: who was asked, as ADDRESS:PORT, or the name of a line; ``asked``: it is a
    request; ``talk``: numbers the connection; ``at_ns``: since 1970, None where nobody wrote it down."""

    at_ns: int | None
    asked: bool
    data: bytes
    server: str
    talk: int = 0


class Stream:
    """One direction of one TCP connection: segments in, whole Modbus TCP frames out. ``missing``: gaps that
    were never filled; ``again``: segments that had come before; ``strange``: bytes that begin no frame."""

    def __init__(self) -> None:
        self._next: int | None = None
        self._ahead: dict[int, tuple[int, bytes]] = {}
        self._buffer = b""
        self.missing = self.again = self.strange = 0

    def opened(self, sequence: int) -> None:
        """A SYN: the first byte has the next number."""
        self._next, self._buffer = (sequence + 1) % _WRAP, b""
        self._ahead.clear()

    def came(self, at_ns: int, sequence: int, data: bytes) -> list[tuple[int, bytes]]:
        """(when it was whole, frame) of each frame that a segment completes."""
        if not data:
            return []
        if self._next is None:  # the capture began in the middle
            self._next = sequence
        behind = (self._next - sequence) % _WRAP
        if behind < _HALF:
            if behind >= len(data):
                self.again += 1
                return []
            return self._taken(at_ns, data[behind:])
        if sequence in self._ahead:
            self.again += 1
        self._ahead[sequence] = (at_ns, data)
        return self._skipped() if len(self._ahead) > AHEAD_MAX else []

    def over(self) -> list[tuple[int, bytes]]:
        """The capture ends: what waits for a segment that never came."""
        found: list[tuple[int, bytes]] = []
        while self._ahead:
            found += self._skipped()
        return found

    def _taken(self, at_ns: int, data: bytes) -> list[tuple[int, bytes]]:
        assert self._next is not None
        self._next = (self._next + len(data)) % _WRAP
        found = [(at_ns, frame) for frame in self._cut(data)]
        for sequence in list(self._ahead):
            behind = (self._next - sequence) % _WRAP
            if behind < _HALF:
                _, more = self._ahead.pop(sequence)
                if behind < len(more):
                    return found + self._taken(at_ns, more[behind:])  # whole when the late one came
        return found

    def _skipped(self) -> list[tuple[int, bytes]]:
        """The missing segment is given up: what follows begins anew."""
        assert self._next is not None
        first = min(self._ahead, key=lambda one: (one - (self._next or 0)) % _WRAP)
        self.missing += 1
        self._next, self._buffer = first, b""
        at_ns, data = self._ahead.pop(first)
        return self._taken(at_ns, data)

    def _cut(self, data: bytes) -> list[bytes]:
        self._buffer += data
        found = []
        while len(self._buffer) >= MBAP_BYTES:
            size = 6 + int.from_bytes(self._buffer[4:6])
            if self._buffer[2:4] != b"\0\0" or not MBAP_BYTES < size <= ADU_TCP_BYTES_MAX:
                self.strange += len(self._buffer)
                self._buffer = b""
                break
            if len(self._buffer) < size:
                break
            found.append(self._buffer[:size])
            self._buffer = self._buffer[size:]
        return found
