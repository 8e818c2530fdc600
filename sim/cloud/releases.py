"""Releases as the cloud keeps them: the bytes of each, handed out block by block.

Belongs here: blocks, and what lies there. Never: what a gateway asks for next (sim/upgrade/download.py).
Blocks travel in the session's own stream, beside acknowledgements and at the link's rate.
"""

from __future__ import annotations

from typing import NamedTuple

BLOCK_BYTES = 16 << 10
"""what a TLS record holds (RFC 8446 section 5.1)"""


class BlockRequest(NamedTuple):
    """The bytes of a release from ``offset`` on."""

    upgrade: int
    name: str
    version: str
    offset: int


class ReleaseBlock(NamedTuple):
    """Its answer; shorter than BLOCK_BYTES at the end of what the registry has."""

    upgrade: int
    offset: int
    data: bytes


class ReleaseStore:
    """The cloud's end: release -> the bytes that lie there."""

    def __init__(self) -> None:
        self.bytes_of: dict[tuple[str, str], bytes] = {}

    def block(self, request: BlockRequest) -> ReleaseBlock:
        """The answer to a request."""
        data = self.bytes_of.get((request.name, request.version), b"")
        return ReleaseBlock(
            request.upgrade, request.offset, data[request.offset : request.offset + BLOCK_BYTES]
        )
