"""asyncio inside SimPy: an event loop whose handles lie on the simulated timeline, so that unmodified
protocol stacks run in it.

Belongs here: the loop. Never: bytes on their way (transport.py), the clocks that libraries look at
(clocks_and_entropy.py). Every Handle and TimerHandle is itself an occurrence of sim/kernel/clock: one total
order (ns, priority, number) for coroutines, timers and everything else, no second queue, no polling. It runs
either way: under ``run_until_complete``, or when a World steps the timeline. ``loop.time()`` is ``now /
1e9``; ``call_at`` rounds up to a nanosecond: the only place where a float meets the timeline. Tasks and
futures hash by a creation number: asyncio keeps them in sets, whose order would else be that of addresses.
Relied on privately: ``BaseEventLoop._run_once``, ``Handle._run`` and ``_cancelled``, ``_set_running_loop``.
"""

from __future__ import annotations

import asyncio
from asyncio import events
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from twinloop.sim.kernel.clock import NORMAL, Environment, Event, S
from twinloop.sim.kernel.invariants import InvariantError
from twinloop.sim.libraries.transport import Network, SimulatedListener

TURNS_MAX = 1_000_000
"""things at one instant under ``run_until_complete``; more is a coroutine that spins"""
_Address = tuple[int, int, int, str, tuple[str, int]]
_INET, _STREAM, _TCP = 2, 1, 6
"""AF_INET, SOCK_STREAM and IPPROTO_TCP of Linux, as getaddrinfo reports them"""


def _happen(handle: asyncio.Handle, loop: EventLoop) -> None:
    """A handle's turn: asyncio code finds its loop running, whoever steps the timeline."""
    if handle._cancelled or loop.is_closed():
        return
    before = events._get_running_loop()
    events._set_running_loop(loop)
    try:
        handle._run()
    finally:
        events._set_running_loop(before)
    if loop.failure is not None:
        failure, loop.failure = loop.failure, None
        raise InvariantError(
            f"in the event loop: {failure.get('message', 'a callback failed')}"
        ) from failure.get("exception")


def _without_tls(ssl: Any) -> None:
    """What asyncio's loops raise for what they don't have: encryption isn't modelled."""
    if ssl:
        raise NotImplementedError("TLS isn't modelled inside the simulation: connect without ssl")


class _Soon(asyncio.Handle):
    """A callback, lying on the timeline."""

    __slots__ = ()

    def happen(self) -> None:
        """Its turn."""
        _happen(self, self._loop)  # type: ignore[attr-defined]


class _Later(asyncio.TimerHandle):
    """A timer, lying on the timeline. Cancelled, it stays there until due and does nothing."""

    __slots__ = ()

    def happen(self) -> None:
        """Its turn."""
        self._scheduled = False
        _happen(self, self._loop)  # type: ignore[attr-defined]


class SimulatedTask(asyncio.Task):
    """A task with a creation number for a hash."""

    def __init__(self, coroutine: Any, *, loop: EventLoop, **more: Any) -> None:
        loop.created += 1
        self._number = loop.created
        super().__init__(coroutine, loop=loop, **more)

    def __hash__(self) -> int:
        return self._number


class SimulatedFuture(asyncio.Future):
    """A future with a creation number for a hash."""

    def __init__(self, *, loop: EventLoop) -> None:
        loop.created += 1
        self._number = loop.created
        super().__init__(loop=loop)

    def __hash__(self) -> int:
        return self._number


class EventLoop(asyncio.BaseEventLoop):
    """asyncio over ``env``; its connections are those of ``network``. Close it when done."""

    def __init__(self, env: Environment, network: Network) -> None:
        super().__init__()
        self.env, self.network = env, network
        self.created = 0
        """tasks and futures so far"""
        self.failure: dict[str, Any] | None = None
        self.leaving = False
        """tasks are being ended: what they trip over then is of no consequence"""
        self._instant_ns, self._turns = -1, 0
        self.set_exception_handler(self._failed)

    def _failed(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """A callback raised: the run stops there. What is only noticed by the garbage collector comes at no
        simulated time: not our business."""
        if self.leaving:
            return
        if "handle" in context or "protocol" in context or "transport" in context:
            self.failure = self.failure or context

    # ---- time ------------------------------------------------------------------------------------
    def time(self) -> float:
        """Simulated seconds."""
        return self.env.now / S

    def call_soon(self, callback: Callable[..., Any], *arguments: Any, context: Any = None) -> asyncio.Handle:  # type: ignore[override]
        """At this instant, in turn."""
        self._check_closed()  # type: ignore[attr-defined]  # as BaseEventLoop does
        handle = _Soon(callback, arguments, self, context)
        self.env.expect(self.env.now, handle, NORMAL)  # type: ignore[arg-type]
        return handle

    call_soon_threadsafe = call_soon  # type: ignore[assignment]

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., Any], *arguments: Any, context: Any = None
    ) -> asyncio.TimerHandle:
        """At a simulated second, rounded up to a nanosecond; what is past is now."""
        return self._at(-int(-when * S // 1), when, callback, arguments, context)

    def call_later(  # type: ignore[override]
        self, delay: float, callback: Callable[..., Any], *arguments: Any, context: Any = None
    ) -> asyncio.TimerHandle:
        """After some seconds, rounded up to a nanosecond."""
        at_ns = self.env.now - int(-delay * S // 1)
        return self._at(at_ns, at_ns / S, callback, arguments, context)

    def _at(
        self, at_ns: int, when: float, callback: Callable[..., Any], arguments: tuple[Any, ...], context: Any
    ) -> asyncio.TimerHandle:
        self._check_closed()  # type: ignore[attr-defined]  # as BaseEventLoop does
        handle = _Later(when, callback, arguments, self, context)
        handle._scheduled = True
        self.env.expect(max(self.env.now, at_ns), handle, NORMAL)  # type: ignore[arg-type]
        return handle

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """It lies on the timeline until due."""

    def _run_once(self) -> None:
        """What ``run_forever`` does again and again: the next thing on the timeline."""
        if self.env.next_ns is None:
            raise InvariantError(
                "nothing is on the timeline any more, and somebody still waits: nobody can wake it"
            )
        if self.env.now != self._instant_ns:
            self._instant_ns, self._turns = self.env.now, 0
        self._turns += 1
        if self._turns > TURNS_MAX:
            raise InvariantError(
                f"more than {TURNS_MAX} things happened at {self.env.now} ns: somebody asks again and "
                f"again without waiting"
            )
        self.env.step()

    def _process_events(self, event_list: Any) -> None:
        """There is no selector."""

    def _write_to_self(self) -> None:
        """There is no other thread."""

    # ---- both ways -------------------------------------------------------------------------------
    def signal(self, coroutine: Coroutine[Any, Any, Any]) -> Event:
        """For a sim.clock task: ``value = yield loop.signal(client.read())``; fires with the result, or with
        the exception as its value."""
        signal, task = Event(self.env), self.create_task(coroutine)

        def over(done: asyncio.Task[Any]) -> None:
            signal.fire(asyncio.CancelledError() if done.cancelled() else done.exception() or done.result())

        task.add_done_callback(over)
        return signal

    def create_future(self) -> Any:
        """With a creation number for a hash."""
        return SimulatedFuture(loop=self)

    def create_task(  # type: ignore[override]
        self, coroutine: Any, *, name: str | None = None, context: Any = None, **more: Any
    ) -> Any:
        """With a creation number for a hash."""
        if context is not None:
            more["context"] = context
        return SimulatedTask(coroutine, loop=self, name=name or f"task-{self.created + 1}", **more)

    def run_in_executor(self, executor: Any, function: Callable[..., Any], *arguments: Any) -> Any:  # type: ignore[override]
        """At once, in no simulated time: there are no threads."""
        future = self.create_future()
        try:
            future.set_result(function(*arguments))
        except Exception as error:  # noqa: BLE001  # it is the caller's, who awaits the future
            future.set_exception(error)
        return future

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        """There is none."""

    # ---- the network -----------------------------------------------------------------------------
    async def getaddrinfo(self, host: Any, port: Any, **more: Any) -> list[_Address]:  # type: ignore[override]
        """Names are addresses."""
        return [(_INET, _STREAM, _TCP, "", (str(host), int(port or 0)))]

    async def create_server(  # type: ignore[override]
        self, factory: Callable[[], Any], host: Any = None, port: Any = None, *, ssl: Any = None, **more: Any
    ) -> SimulatedListener:
        """Listen on the network; raises OSError when somebody does already."""
        _without_tls(ssl)
        name = host[0] if isinstance(host, Sequence) and not isinstance(host, str) else host
        return self.network.listen(self, factory, name, int(port or 0))

    async def create_connection(  # type: ignore[override]
        self, factory: Callable[[], Any], host: Any = None, port: Any = None, *, ssl: Any = None, **more: Any
    ) -> Any:
        """Connect over the network: a handshake over the link, refused when nobody listens, a TimeoutError
        when nothing comes back."""
        _without_tls(ssl)
        transport = await self.network.connect(self, factory, str(host), int(port))
        return transport, transport.get_protocol()

    def close(self) -> None:
        """Nothing of it runs any more: what still waits is dropped."""
        self.network.close()
        super().close()
