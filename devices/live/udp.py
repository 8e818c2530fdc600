"""Datagrams to one address of the real world, and those that come back from it.

Belongs here: asyncio's protocol. Never: what the bytes mean, or when something happens. Nobody there is
silence: what the system says of that (ICMP) is of no account.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

from twinloop.devices.live.tcp import Enter

WAITING_MAX = 64
"""datagrams that wait: for the socket to open, for the system to take them, or for the run to take what has
come; one more is dropped (limit ``datagrams-waiting``)"""


class UdpCall(asyncio.DatagramProtocol):
    """One socket, as whoever has asked for it sees it: written to at once, even before it is open. ``heard``
    gets what comes from that address."""

    def __init__(
        self,
        *,
        loop: asyncio.AbstractEventLoop,
        at: tuple[str, int],
        heard: Callable[[bytes], None],
        enter: Enter,
        on_limit: Callable[[str], None],
    ) -> None:
        self._heard, self._enter, self._on_limit = heard, enter, on_limit
        self._transport: asyncio.DatagramTransport | None = None
        self._unsent: list[bytes] = []
        self._come = 0
        """and not yet heard: the run is behind"""
        self._stuck = self._over = False
        self._opening = loop.create_task(self._open(loop, at))

    async def _open(self, loop: asyncio.AbstractEventLoop, at: tuple[str, int]) -> None:
        try:
            await loop.create_datagram_endpoint(lambda: self, remote_addr=at)
        except (OSError, ValueError):  # a name that nobody has, or that can't be one
            self._unsent.clear()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is open."""
        self._transport = cast(asyncio.DatagramTransport, transport)
        if self._over:
            transport.close()
        unsent, self._unsent = self._unsent, []
        for data in unsent:
            self.write(data)

    def write(self, data: bytes) -> None:
        """To that address."""
        transport = self._transport
        if self._over or (transport is None and self._opening.done()):
            return
        if transport is None and len(self._unsent) < WAITING_MAX:
            self._unsent.append(data)
        elif transport is None or self._stuck:
            self._on_limit("datagrams-waiting")
        else:
            transport.sendto(data)

    def pause_writing(self) -> None:
        """The system takes no more (asyncio has 64 KiB of them by now)."""
        self._stuck = True

    def resume_writing(self) -> None:
        """It does again."""
        self._stuck = False

    def datagram_received(self, data: bytes, addr: object) -> None:
        """One has come."""
        if self._over:
            return
        if self._come >= WAITING_MAX:
            self._on_limit("datagrams-waiting")
            return
        self._come += 1
        self._enter(self._deliver, data)

    def _deliver(self, data: bytes) -> None:
        self._come -= 1
        if not self._over:
            self._heard(data)

    def error_received(self, error: Exception) -> None:
        """Nobody is at that port."""

    def hang_up(self) -> None:
        """``heard`` is told nothing any more."""
        self._over = True
        self._opening.cancel()
        if self._transport is not None:
            self._transport.close()
