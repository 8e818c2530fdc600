"""WASI 0.2 of one component's place, put together: what each import does there, or how it is denied.

Belongs here: the table of handlers, by what is granted. Never: what a function does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twinloop.components.contract.contract import Result
from twinloop.components.contract.errors import GuestEnded
from twinloop.components.wasi.interfaces import PARKING, harmless, package, signatures
from twinloop.sim.kernel.random import RandomStream
from twinloop.sim.model.wasi import WasiSpec
from twinloop.sim.wasi.basics import Cli, Clocks, Random
from twinloop.sim.wasi.datagrams import DatagramSockets
from twinloop.sim.wasi.files import Files
from twinloop.sim.wasi.filesystem import Filesystem
from twinloop.sim.wasi.guest import Guest, Handler, Part
from twinloop.sim.wasi.http import Http
from twinloop.sim.wasi.network import Network
from twinloop.sim.wasi.open_sockets import OpenSockets
from twinloop.sim.wasi.sockets import Sockets
from twinloop.sim.wasi.streams import Streams
from twinloop.sim.wasi.waiting import Waiting

_REFUSALS = ("access-denied", "access", "HTTP-request-denied")
"""WASI's own words for a denial, the fitting one of each package"""


class System:
    """Of one component's place. ``called`` and ``denied``: interface#function -> how often, since the run
    began."""

    def __init__(
        self,
        guest: Guest,
        component: str,
        spec: WasiSpec,
        imported: dict[str, list[str]],
        stream: Callable[[str], RandomStream],
    ) -> None:
        """``imported``: interface -> its functions that the component imports; ``stream``: a stream of random
        numbers by its purpose."""
        self._guest, self._spec, self._component = guest, spec, component
        self._coins = stream
        self.files = Files(spec.folders)
        self.called: dict[str, int] = {}
        self.denied: dict[str, int] = {}
        waiting = Waiting(guest)
        self._cli = Cli(guest, spec.environment, [component, *spec.arguments])
        some = OpenSockets(guest)
        self._sockets = Sockets(guest, spec, self._refuse, some)
        self._datagrams = DatagramSockets(guest, spec, self._refuse, some)
        parts: list[Part] = [
            waiting,
            Streams(guest, waiting),
            Clocks(guest),
            Random(guest, lambda: stream("random")),
            self._cli,
            Filesystem(guest, self.files),
            Network(guest, spec, self._refuse),
            self._sockets,
            self._datagrams,
            Http(),
        ]
        now: dict[str, Handler] = {}
        later: dict[str, Callable[..., Any]] = {}
        for part in parts:
            now.update(part.now)
            later.update(part.later)
        self.handlers: dict[str, Handler] = {}
        """what answers at once"""
        self.tasks: dict[str, Callable[..., Any]] = {}
        """what parks: with its arguments and the instant at which the call's time is over"""
        for interface, functions in imported.items():
            for function in functions:
                name = f"{interface}#{function}"
                if name in PARKING:
                    self.tasks[name] = self._counted(name, later[name])
                else:
                    self.handlers[name] = self._crossing(
                        self._counted(name, self._answer(interface, name, now))
                    )

    # ---- granted or not --------------------------------------------------------------------------
    def _answer(self, interface: str, name: str, now: dict[str, Handler]) -> Handler:
        if self._spec.grants(package(interface)) or harmless(name):
            found = now.get(name)
            return self._unknown(name) if found is None else found
        refusal = _refusal(signatures().get(name, ""))
        grant = package(interface)

        def deny(*arguments: Any) -> Result:
            self._denied(name)
            if refusal is None:
                raise GuestEnded(
                    "denied", f"wasi:{name} is not granted; add {grant} to the grants of {self._component}"
                )
            return False, refusal

        return deny

    def _denied(self, name: str) -> None:
        self.denied[name] = self.denied.get(name, 0) + 1
        self._guest.limit("denied", 1)

    def _refuse(self, name: str) -> Result:
        """Of a function that is granted for others than who it was called for."""
        self._denied(name)
        return False, "access-denied"

    def _unknown(self, name: str) -> Handler:
        def unknown(*arguments: Any) -> Result:
            self._denied(name)
            raise GuestEnded("denied", f"wasi:{name} is not offered by this host")

        return unknown

    def _crossing(self, answer: Handler) -> Handler:
        crossed = self._guest.crossed

        def crossing(*arguments: Any) -> Any:
            crossed()
            return answer(*arguments)

        return crossing

    def _counted(self, name: str, answer: Callable[..., Any]) -> Callable[..., Any]:
        called = self.called

        def counted(*arguments: Any) -> Any:
            called[name] = called.get(name, 0) + 1
            return answer(*arguments)

        return counted

    # ---- instances come and go -------------------------------------------------------------------
    @property
    def stderr(self) -> str:
        """The end of what the instance has written to standard error."""
        return self._cli.error.tail.decode(errors="replace")

    def instance_gone(self) -> None:
        """What it had begun to say is said, and its sockets are closed."""
        self._cli.end()
        self._sockets.instance_gone()
        self._datagrams.instance_gone()

    def machine_down(self, power: bool, orderly: bool) -> None:
        """The gateway is down; what files have survived depends on how."""
        if orderly:
            self.files.sync_all()
        elif not power and self.files.trees:
            torn = self.files.cut_power(self._coins("torn"))
            if torn:
                self._guest.limit("unsynced-files", torn)


def _refusal(signature: str) -> Any:
    """WASI's own error for a denial by a function of that type; None where its type has none."""
    _, _, result = signature.rpartition(")->result<")
    if not result:
        return None
    for word in _REFUSALS:
        if f"{{{word}," in result or f",{word}," in result or f",{word}}}" in result:
            return (word, None) if word.startswith("HTTP") else word
    return None
