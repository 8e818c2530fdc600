"""A scenario's devices on real sockets, as long as a block of Python lasts: ``async with
twinloop.serve(scenario) as served``.

Belongs here: opening and closing. Never: sockets (devices/live), turns (wire.py), the command (cli/serve.py).
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from twinloop.components.host.host import Host
from twinloop.scenarios.checking import refusal
from twinloop.scenarios.front import Scenario, load
from twinloop.scenarios.planning.plan import Planner
from twinloop.scenarios.text.errors import ScenarioError
from twinloop.scenarios.wire.wire import Endpoint, Wire, served
from twinloop.sim.kernel.invariants import DeviceRefused
from twinloop.sim.kernel.pacer import Pacer
from twinloop.sim.serving.plant import ServedPlant

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Served:
    """A field that is open to clients. ``endpoints``: device -> where it is; ``left_out``: what of the
    scenario isn't served, in words."""

    endpoints: Mapping[str, Endpoint]
    left_out: tuple[str, ...]
    _wire: Wire

    @property
    def requests(self) -> int:
        """Of clients, so far."""
        return self._wire.plant.requests

    @property
    def limits(self) -> dict[str, int]:
        """Named limits that clients have met, and how often."""
        return dict(self._wire.plant.limits)


@asynccontextmanager
async def serve(
    scenario: Scenario | Path | str,
    host: str = "127.0.0.1",
    port: int = 0,
    opcua_port: int = 0,
    broker: tuple[str, int] | None = None,
    seed: int | None = None,
) -> AsyncIterator[Served]:
    """Serve a scenario's devices, from now on, to whoever connects: Modbus TCP and RTU over TCP, RTU and
    ASCII on pseudo-terminals, OPC UA; MQTT devices publish to ``broker``.

    ``port``, ``opcua_port``: the first of each; 0: any that are free. Values move as in a run of the same
    ``seed``; the timeline's trouble happens.

    Raises:
        ScenarioError: for a mistake in the scenario, or a port that isn't to be had.
    """
    loaded = scenario if isinstance(scenario, Scenario) else load(scenario)
    own = Host()
    try:
        spec, left_out = served(Planner(loaded, own, seed).world(), broker is not None)
    finally:
        own.close()
    if broker is None and all(device.speaks.publishes for device in spec.devices):
        raise ScenarioError(
            str(loaded.file), None, "", "all its devices publish: say where, with broker=(host, port)"
        )
    plant = ServedPlant(spec, time.time_ns())
    wire = Wire(plant, Pacer())
    try:
        try:
            with plant.field.inside():
                plant.boot()
        except DeviceRefused as refused:
            raise refusal(loaded, refused) from refused
        endpoints = await wire.open(host, port, opcua_port, broker)
        yield Served({endpoint.device: endpoint for endpoint in endpoints}, tuple(left_out), wire)
    finally:
        await wire.close()
        plant.close()
    if wire.failure is not None:
        raise wire.failure
