"""The way to the real devices of a run: while the world waits, they are heard.

Belongs here: the sockets' turn between two of the world's. Never: bytes (devices/live/), what a driver is
told (sim/field/real_port.py).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

from twinloop.devices.live.alarm import Alarm
from twinloop.devices.live.tcp import Call
from twinloop.devices.live.udp import UdpCall
from twinloop.scenarios.text.words import number_of
from twinloop.sim.kernel.pacer import Pacer
from twinloop.sim.model.spec import LinkSpec, PlaceSpec
from twinloop.sim.truth.elsewhere import Elsewhere

if TYPE_CHECKING:
    from twinloop.sim.field.real_port import Heard, Lost, Peer
    from twinloop.sim.world import World


ASK_S = 0.5
"""between two questions for a serving process's clock: what it showed is compared by then"""
UNKNOWN_NAMED = 5
FINISH_S, FINISH_LOOK_S = 2.0, 0.005
"""how long its last answer is waited for, and how often that is looked at"""


class Sockets:
    """The way to real devices, and their turn: while the world waits, they are heard. ``begin`` with the
    world and then run it; close it."""

    def __init__(self, shown: dict[str, str] | None = None) -> None:
        self._shown = shown or {}
        """device -> where the process that serves it tells what it shows"""
        self._serving: dict[str, Elsewhere] = {}
        self._loop = asyncio.new_event_loop()
        self._alarm = Alarm(self._loop.stop, self._loop)
        self.pacer = Pacer(sleep=self._sleep, wire=True)
        self._world: World | None = None
        self._open: WeakKeyDictionary[Peer, None] = WeakKeyDictionary()
        self.refused: dict[str, str] = {}
        """place -> why it couldn't be opened, the last time"""
        self.limits: dict[str, int] = {}

    def notes(self) -> list[str]:
        """What a reader of the result should know."""
        told = [f"{url}: {why}" for url, why in self.refused.items()]
        told += [
            f"{url} doesn't say what its devices show: {one.why}"
            for url, one in self._serving.items()
            if one.why
        ]
        for url, one in self._serving.items():
            named = [f"{device} {point}" for device, point in one.unknown]
            if named:
                more = ", ..." if named[UNKNOWN_NAMED:] else ""
                told.append(
                    f"{url} has no {', '.join(named[:UNKNOWN_NAMED])}{more}: what they showed isn't known"
                )
        told += [
            f"{url}: {number_of(one.left_out, 'sample or write', 'samples and writes')} found no room to "
            f"wait for it"
            for url, one in self._serving.items()
            if one.left_out
        ]
        return told + [
            f"limit {name} was met {number_of(count, 'time')} at real devices"
            for name, count in self.limits.items()
        ]

    def begin(self, world: World, begins_ns: int | None = None) -> None:
        """This world is kept at the wall's pace; ``begins_ns``: of the monotonic clock at t = 0, None: as
        soon as it is there."""
        self._world = world
        world.pacer = self.pacer
        if begins_ns is not None:
            self.pacer.begin_at(begins_ns)

    def _enter(self, action: Callable[..., None], *arguments: Any) -> None:
        """Something comes from outside: it happens now, in the world's next turn."""
        assert self._world is not None
        env = self._world.env
        env.call_at(max(self.pacer.position_ns(), env.now), action, *arguments)
        self._loop.stop()

    def _limit_met(self, limit: str) -> None:
        assert self._world is not None
        self._world.trace.emit("limit", "outside", limit, 1)
        self.limits[limit] = self.limits.get(limit, 0) + 1

    def _sleep(self, delay_ns: int) -> None:
        """Until then, or until something comes; what is there already is taken."""
        if delay_ns:
            self._alarm.set(delay_ns, time.monotonic_ns() + delay_ns)
        else:
            self._loop.call_soon(self._loop.stop)
        self._loop.run_forever()

    # ---- what sim/field/real_port.Outside asks for -----------------------------------------------
    def call(self, place: PlaceSpec, heard: Heard, lost: Lost) -> Peer:
        """Connect to a device."""
        far = Call(
            loop=self._loop,
            at=(place.host, place.port),
            heard=heard,
            lost=lost,
            enter=self._enter,
            on_limit=self._limit_met,
        )
        self._open[far] = None
        return far

    def open(self, place: PlaceSpec, link: LinkSpec, heard: Heard, lost: Lost) -> Peer | None:
        """Open a serial port; None (and ``refused`` says why) when it can't be."""
        from twinloop.devices.live.tty import Tty

        assert link.serial_bd is not None
        try:
            far = Tty(
                loop=self._loop,
                path=place.path,
                rate_bd=link.serial_bd,
                framing=link.framing,
                ascii=link.ascii,
                heard=lambda frame: self._enter(heard, frame),
                lost=lambda: self._enter(lost),
                on_limit=self._limit_met,
            )
        except OSError as error:
            self.refused[place.url] = error.strerror or str(error)
            return None
        self._open[far] = None
        return far

    def datagrams(self, place: PlaceSpec, heard: Heard) -> Peer:
        """Send to a device, over UDP."""
        far = UdpCall(
            loop=self._loop,
            at=(place.host, place.port),
            heard=heard,
            enter=self._enter,
            on_limit=self._limit_met,
        )
        self._open[far] = None
        return far

    # ---- what devices of our own showed ----------------------------------------------------------
    def serving(self, device: str) -> Elsewhere | None:
        """Who knows what it shows: the process of ours that serves it, called now if it isn't yet."""
        url = self._shown.get(device)
        if url is None:
            return None
        if url not in self._serving:
            parts = urlsplit(url)
            one = self._serving[url] = Elsewhere(self.pacer.position_ns)
            at = parts.hostname or "", parts.port or 0
            call = Call(
                loop=self._loop,
                at=at,
                heard=one.heard,
                lost=one.lost,
                enter=lambda action, *arguments: action(*arguments),
                on_limit=self._limit_met,
            )
            one.write = call.write
            self._open[call] = None
            self._loop.call_soon(self._ask, one)
        return self._serving[url]

    def _ask(self, one: Elsewhere) -> None:
        if self.pacer.begun:
            one.ask()
        if not one.why:
            self._loop.call_later(ASK_S, self._ask, one)

    def finish(self) -> None:
        """Nothing happens in the world any more; what was shown in it is still heard, for a while."""
        for one in self._serving.values():
            one.ask()
        for _ in range(round(FINISH_S / FINISH_LOOK_S)):
            if not any(one.waiting for one in self._serving.values()):
                return
            self._loop.call_later(FINISH_LOOK_S, self._loop.stop)
            self._loop.run_forever()

    def close(self) -> None:
        """Everybody is hung up."""
        for far in list(self._open):
            far.hang_up()
        self._alarm.close()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.call_soon(self._loop.stop)
        self._loop.run_forever()
        self._loop.close()
