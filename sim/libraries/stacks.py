"""Protocol libraries as field devices: a world's own event loop for them, and connections that they accept.

Belongs here: who runs a library's server within a world. Never: the loop (event_loop.py), a gateway's port to
it (sim/field/opcua_port.py), bytes' meaning. Loaded only by worlds that need it: a library of some megabytes
hangs on it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import AbstractContextManager, nullcontext
from contextvars import Context, copy_context
from typing import Any

from twinloop.sim.kernel.clock import Environment
from twinloop.sim.kernel.invariants import InvariantError
from twinloop.sim.kernel.random import RandomStreams
from twinloop.sim.kernel.wallclock import EPOCH_NS
from twinloop.sim.libraries.clocks_and_entropy import PatchedLibraries
from twinloop.sim.libraries.event_loop import EventLoop
from twinloop.sim.libraries.transport import HERE, Network

GOODBYES_MAX = 10
"""rounds of ending what is left when a world is over"""


class Stacks:
    """One world's libraries. Whoever steps the timeline does so ``inside``: there they see its clock and its
    entropy."""

    def __init__(self, env: Environment, streams: RandomStreams, epoch_ns: int = EPOCH_NS) -> None:
        self.network = Network(env)
        self.loop = EventLoop(env, self.network)
        self._patched = PatchedLibraries(env, streams, epoch_ns=epoch_ns)
        self.closed = False
        """nothing that happens from now on has an effect"""

    def inside(self) -> AbstractContextManager[Any]:
        """While it lasts, libraries belong to this world."""
        return nullcontext() if self._patched.active else self._patched

    def start(self, host: str, coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run it as a task on a host."""
        context = copy_context()
        context.run(HERE.set, host)
        task: asyncio.Task[Any] = self.loop.create_task(coroutine, context=context)
        return task

    def accept(
        self,
        host: str,
        port: int,
        answer: Callable[[bytes], None],
        hang_up: Callable[[bool], None],
        peer: str,
        name: tuple[str, int] | None = None,
    ) -> Accepted | None:
        """A client's connection has come to a host (which knows itself by ``name``): who serves it, None when
        nobody listens."""
        listener = self.network.listeners.get((host, port))
        if listener is None:
            return None
        return Accepted(
            loop=self.loop,
            factory=listener.factory,
            context=listener.context,
            name=name or (host, port),
            peer=(peer, self.network.next_port()),
            answer=answer,
            hang_up=hang_up,
        )

    def close(self) -> None:
        """The world is over: what lay on its timeline is dropped, tasks end, the libraries have their clocks
        again."""
        if self.closed:
            return
        self.closed = self.loop.leaving = True
        # a task that is about to go on can only be ended so
        self.loop.env.drop(lambda occurrence: isinstance(occurrence, asyncio.Handle))
        with self.inside():
            for _ in range(GOODBYES_MAX):  # a task that ends may start another, to clear up
                tasks = list(asyncio.all_tasks(self.loop))
                if not tasks:
                    break
                for task in tasks:
                    task.cancel()
                self.loop.run_until_complete(asyncio.wait(tasks))
        self.loop.close()


class Accepted(asyncio.Transport):
    """A server's end of a connection whose other end is a gateway's port: what it writes goes to
    ``answer``."""

    def __init__(
        self,
        *,
        loop: EventLoop,
        factory: Callable[[], Any],
        context: Context,
        name: tuple[str, int],
        peer: tuple[str, int],
        answer: Callable[[bytes], None],
        hang_up: Callable[[bool], None],
    ) -> None:
        super().__init__({"sockname": name, "peername": peer})
        self._loop, self._context, self._answer, self._hang_up = loop, context, answer, hang_up
        self._protocol: Any = None
        self._closing = self._gone = False
        self._soon(self._made, factory)

    def _soon(self, callback: Callable[..., Any], *arguments: Any) -> None:
        self._loop.call_soon(callback, *arguments, context=self._context.copy())

    def _made(self, factory: Callable[[], Any]) -> None:
        self._protocol = factory()
        self._protocol.connection_made(self)

    def received(self, data: bytes) -> None:
        """Bytes from the gateway, in turn."""
        self._soon(self._read, data)

    def _read(self, data: bytes) -> None:
        if self.is_closing():
            return
        try:
            self._protocol.data_received(data)
        except Exception:  # noqa: BLE001  # a library that trips over a client's bytes loses that connection, as under asyncio's own transports
            self.abort()

    def gone(self) -> None:
        """The gateway's end is no more; the server hears of it, in turn, once."""
        if not self._gone:
            self._gone = True
            self._soon(self._told)

    def _told(self) -> None:
        self._protocol.connection_lost(None)

    # ---- asyncio's face --------------------------------------------------------------------------
    def write(self, data: Any) -> None:
        """To the gateway."""
        if not self.is_closing() and data:
            self._answer(bytes(data))

    def is_closing(self) -> bool:
        """Closed, at either end."""
        return self._closing or self._gone

    def close(self) -> None:
        """After what was written."""
        if not self.is_closing():
            self._closing = True
            self._hang_up(False)
            self.gone()

    def abort(self) -> None:
        """At once."""
        if not self.is_closing():
            self._closing = True
            self._hang_up(True)
            self.gone()

    def get_write_buffer_size(self) -> int:
        """Nothing waits here: a stream has it."""
        return 0

    def get_protocol(self) -> Any:
        """Who speaks here."""
        return self._protocol


def finished(task: asyncio.Task[Any], what: str) -> None:
    """A server's start must be over by now; raises InvariantError with what it died of."""
    if not task.done():
        raise InvariantError(f"{what} did not come up")
    error = task.exception()
    if error is not None:
        raise InvariantError(f"{what} did not come up: {error}") from error
