"""Gateways of a scenario: board, uplink, store, supervision, how much memory the instances reserve.

Belongs here: what a gateway's block says. Never: pairs (pairs.py), upgrades (upgrades.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from twinloop.scenarios.file import schema
from twinloop.scenarios.file.boards.programs import (
    BY_HAND,
    default_host,
    hosts,
    other_host,
    runtimes,
    why_not,
)
from twinloop.scenarios.file.load import Loaded
from twinloop.scenarios.planning import upgrades
from twinloop.scenarios.planning.names import named
from twinloop.scenarios.planning.pairs import standby_spec
from twinloop.scenarios.planning.pools import PoolPlanner
from twinloop.scenarios.text.document import Location
from twinloop.scenarios.text.errors import unknown
from twinloop.scenarios.text.words import number_of
from twinloop.sim.model.boards import (
    SMALL_GUARDS_BYTES,
    SMALL_RESERVATION_BYTES,
    Board,
    HostProgram,
    Runtime,
    memories_that_fit,
)
from twinloop.sim.model.pool import Pool
from twinloop.sim.model.spec import DeviceSpec, GatewaySpec, RestartSpec, StoreSpec, UplinkSpec
from twinloop.sim.model.store_presets import STORE_PRESETS

NO_MEMORIES: Mapping[str, int] = {}


class GatewayPlanner:
    """Of one scenario; errors carry the place in the file. ``boards``: other ones for some gateways, from the
    command line. ``notes``: what a reader of the result should know."""

    def __init__(self, loaded: Loaded, boards: dict[str, str]) -> None:
        self._loaded = loaded
        self._scenario = loaded.scenario
        self._boards = boards
        self.notes: list[str] = []

    def parts(self, name: str, gateway: schema.Gateway) -> list[Callable[[], object]]:
        """What can be wrong with it, each for itself, and then the whole of it."""
        at: Location = ("gateways", name)
        store, standby = gateway.store, gateway.standby
        parts: list[Callable[[], object]] = [
            partial(self._board, name, gateway),
            partial(self._program, name, gateway),
            partial(self._uplink_link, gateway, at),
            *(
                partial(
                    named,
                    self._loaded,
                    "component",
                    getattr(gateway, role),
                    self._scenario.components,
                    (*at, role),
                )
                for role in ("transform", "policy")
            ),
        ]
        if store is not None:
            parts.append(partial(self._store, store, (*at, "store")))
        if standby is not None:
            parts.append(partial(standby_spec, self._loaded, name, standby))
        return [*parts, partial(self.gateway, name, gateway, [])]

    def gateway(
        self,
        name: str,
        gateway: schema.Gateway,
        devices: list[DeviceSpec],
        memories_of: Mapping[str, int] = NO_MEMORIES,
    ) -> GatewaySpec:
        """One of them; ``devices``: of the whole scenario; ``memories_of``: of one instance, by component,
        where it isn't one. Raises ScenarioError."""
        at: Location = ("gateways", name)
        board = self._board(name, gateway)
        program, runtime = self._program(name, gateway)
        self._uplink_link(gateway, at)
        uplink, retry, restart = gateway.uplink, gateway.uplink.retry, gateway.supervision
        spans = (
            ("retry", ("uplink", "retry"), retry.first, retry.max),
            ("supervision", ("supervision",), restart.first, restart.max),
        )
        for what, where, first, largest in spans:
            if first > largest:
                raise self._loaded.document.error((*at, *where), f"{what}: first is larger than max")
        if "upgrade" in gateway.model_fields_set and self._scenario.registry is None:
            raise self._loaded.document.error(
                (*at, "upgrade"),
                "nothing can be upgraded without a registry: add registry: {path: ..., trust: [....pub]}",
            )
        store = gateway.store
        standby = None if gateway.standby is None else standby_spec(self._loaded, name, gateway.standby)
        polled = name if standby is None else standby.of
        slots = [device.driver for device in devices if device.gateway == polled]
        memories = sum(memories_of.get(one, 1) for one in (*slots, gateway.transform, gateway.policy))
        beside = upgrades.beside(self._loaded, name)
        memories += beside
        small, fits, pool = self._memories(
            name, gateway, (board, runtime), memories, [*slots, gateway.transform, gateway.policy], beside
        )
        return GatewaySpec(
            name=name,
            board=board,
            program=program,
            doubt=other_host() if gateway.host is None and runtime.components else None,
            runtime=None if runtime is board.runtime else runtime,
            transform=gateway.transform,
            policy=gateway.policy,
            uplink=UplinkSpec(
                uplink.link,
                uplink.window,
                retry.first,
                retry.max,
                retry.jitter,
                uplink.keep_alive,
                uplink.user_timeout,
            ),
            store=None if store is None else self._store(store, (*at, "store")),
            restart=RestartSpec(
                restart.first,
                restart.max,
                *restart.quarantine,
                restart.jitter,
                restart.status,
                restart.watchdog,
            ),
            small_reservation=small,
            memories_max=fits,
            pool=pool,
            files=gateway.max_open_files,
            standby=standby,
            upgrade=upgrades.upgrade_spec(gateway.upgrade),
        )

    def _board(self, name: str, gateway: schema.Gateway) -> Board:
        if name in self._boards:
            return self._loaded.boards.of(self._boards[name], None)
        return self._loaded.boards.of(gateway.board, ("gateways", name, "board"))

    def _program(self, name: str, gateway: schema.Gateway) -> tuple[HostProgram, Runtime]:
        """Its host program and what executes its components."""
        at: Location = ("gateways", name)
        board, error = self._board(name, gateway), self._loaded.document.error
        if gateway.runtime is not None and gateway.runtime not in runtimes():
            raise error((*at, "runtime"), unknown("runtime", gateway.runtime, runtimes()))
        if gateway.host is not None and gateway.host not in hosts():
            raise error((*at, "host"), unknown("host", gateway.host, hosts()))
        runtime = board.runtime if gateway.runtime is None else runtimes()[gateway.runtime]
        usual = default_host() if runtime.components else hosts()[BY_HAND]
        program = usual if gateway.host is None else hosts()[gateway.host]
        wrong = why_not(program, runtime, board.isa)
        if wrong:
            raise error((*at, "runtime" if gateway.host is None else "host"), wrong)
        if not runtime.metered:
            for component in self._scenario.components.values():
                if component.limits.cpu is not None:
                    raise error(
                        (*at, "runtime"), f"{runtime.title} counts no fuel: limits: {{cpu}} can't hold"
                    )
        if gateway.host is None and not runtime.components:
            self.notes.append(
                f"gateway {name}: {runtime.title} runs no components; priced as core modules whose values "
                f"the host lifts and lowers itself (host: {BY_HAND})"
            )
        return program, runtime

    def _uplink_link(self, gateway: schema.Gateway, at: Location) -> None:
        link = named(self._loaded, "link", gateway.uplink.link, self._scenario.links, (*at, "uplink", "link"))
        if link.serial is not None:
            raise self._loaded.document.error(
                (*at, "uplink", "link"), "an uplink needs a network link, this one is serial"
            )

    def _store(self, store: schema.Store, at: Location) -> StoreSpec:
        if store.preset is not None and store.preset not in STORE_PRESETS:
            raise self._loaded.document.error(
                (*at, "preset"), unknown("store preset", store.preset, STORE_PRESETS)
            )
        spec = StoreSpec() if store.preset is None else STORE_PRESETS[store.preset].spec
        given: dict[str, Any] = {
            "capacity_bytes": store.capacity,
            "drain_per_s": store.drain,
            "commit_ns": store.commit,
            "ttl_ns": store.ttl,
            "retry_ns": store.retry,
            "volatile": None if store.medium is None else store.medium == "memory",
            "refuse": None if store.evict is None else store.evict == "none",
            "retries": store.retries,
            "flash_bytes_per_s": store.flash,
        }
        spec = replace(spec, **{name: value for name, value in given.items() if value is not None})
        if spec.retries is not None and spec.retry_ns is None:
            raise self._loaded.document.error(
                (*at, "retries"), '"retries" needs "retry": how often what waits is tried'
            )
        for key, value in (("flash", store.flash), ("commit", store.commit)):
            if spec.volatile and value is not None:
                raise self._loaded.document.error(
                    (*at, key),
                    f'"{key}" does not go with a store in memory: nothing of it is written to flash',
                )
        return spec

    def _memories(
        self,
        name: str,
        gateway: schema.Gateway,
        on: tuple[Board, Runtime],
        memories: int,
        components: list[str],
        beside: int,
    ) -> tuple[bool, int | None, Pool | None]:
        """Do memories reserve 64 MiB only, how many fit, and the pool out of which they come, if there is
        one. ``components``: of each instance; ``beside``: instances of upgrades."""
        if gateway.pool is None:
            return (*self._reservation(name, gateway, on, memories, len(components) + beside), None)
        known = self._scenario.components
        used = {one: known[one] for one in components if one in known}
        found = PoolPlanner(self._loaded, name, gateway.pool, *on).planned(memories, used)
        self.notes += found.notes
        return found.small, found.pool.memories, found.pool

    def _reservation(
        self,
        name: str,
        gateway: schema.Gateway,
        on: tuple[Board, Runtime],
        memories: int,
        instances: int,
    ) -> tuple[bool, int | None]:
        """Do memories reserve 64 MiB only, and how many fit (None: they reserve nothing, RAM decides)?"""
        board, runtime = on
        reserves = runtime.reserves(board.isa)
        if not reserves:
            return False, None
        fits = memories_that_fit(board, reserves)
        small = memories_that_fit(board, SMALL_RESERVATION_BYTES + SMALL_GUARDS_BYTES)
        if gateway.reservation == "64 MiB":
            if not runtime.components:
                raise self._loaded.document.error(
                    ("gateways", name, "reservation"),
                    f"what a memory reserves is a setting of wasmtime; {runtime.title} has none",
                )
            return True, small
        if memories <= fits:
            return False, fits
        of = "" if memories == instances else f" with {memories} memories"
        needs = (
            f"gateway {name}: {number_of(instances, 'instance')}{of} reserve {memories * reserves >> 30} GiB "
            f"of addresses, {board.name} holds {fits} ({board.va_bits} bits)"
        )
        price = "guest code costs " + ("the same" if runtime.interpreter else "x1.7 (x1.3 to x2.2)")
        if gateway.reservation == "4 GiB" or not runtime.components:
            lifts = f"; reservation: 64 MiB lifts it to {small}, and {price}" if runtime.components else ""
            self.notes.append(f"{needs}: {memories - fits} of them can't be made{lifts}")
            return False, fits
        self.notes.append(f"{needs}: memories reserve 64 MiB instead, {price}")
        return True, small
