"""Small worlds wired in Python, for tests of the engine that need no scenario file."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from twinloop.components.host.host import Host
from twinloop.components.releases.demo_registry import DEMO_KEY, marked
from twinloop.components.releases.keys import trust
from twinloop.components.releases.registry import Version, sign
from twinloop.devices.catalogue.catalog import model
from twinloop.scenarios.file.boards import reading as boards
from twinloop.scenarios.file.boards.programs import hosts
from twinloop.sim.kernel.clock import MS, US, S
from twinloop.sim.model.spec import (
    Action,
    ComponentSpec,
    DeviceSpec,
    GatewaySpec,
    LinkSpec,
    OfferSpec,
    StandbySpec,
    StoreSpec,
    UpgradeSpec,
    UplinkSpec,
    WorldSpec,
)
from twinloop.sim.network.link import LinkModel
from twinloop.sim.trouble.links import Cut, Flap
from twinloop.sim.world import World

STORE = StoreSpec()
WASM = Path(__file__).parent.parent / "components" / "wasm"


@cache
def shipped(name: str) -> bytes:
    """Of a component that is built from guests/: read once."""
    return (WASM / f"{name}.wasm").read_bytes()


def component(
    host: Host, name: str, role: str, grants: tuple[str, ...], wasm: bytes | None = None, **changes: Any
) -> ComponentSpec:
    """A shipped component by file name, or inline text."""
    loaded = host.load(shipped(name) if wasm is None else wasm, role)
    return ComponentSpec(name, role, loaded, grants, **changes)


def driver(host: Host, **changes: Any) -> ComponentSpec:
    """modbus-driver as the quickstart has it."""
    settings = {"options": (("timeout", "200 ms"), ("retries", "1")), "cpu_ns": 10 * MS, "deadline_ns": S}
    return component(host, "modbus-driver", "driver", ("fieldbus", "clock", "log"), **{**settings, **changes})


def plant(
    host: Host,
    count: int = 5,
    duration_ns: int = 5 * S,
    poll_ns: int = S,
    timeline: tuple[Action, ...] = (),
    board: str = "raspberry-pi-4",
    loss: float = 0.0,
    seed: int = 7,
    store: StoreSpec | None = STORE,
    uplink: UplinkSpec | None = None,
    settle_ns: int = 60 * S,
    drivers: dict[int, ComponentSpec] | None = None,
    transform: ComponentSpec | None = None,
    policy: ComponentSpec | None = None,
    serial_bd: int | None = None,
    device: str = "press-sensor",
    **device_changes: Any,
) -> WorldSpec:
    """``count`` devices of one fleet ``presses`` over a link ``plant``, one gateway ``gw``, one cloud behind a link ``cloud``.

    ``drivers``: device number from 1 -> another driver component. ``timeline``: actions as ``act`` makes them, e.g.
    ``act(2 * S, "cut", "cloud", 3 * S)``. ``serial_bd``: the devices share a serial line of that rate. What else a device is given goes
    into its DeviceSpec by name. ``paired``, ``upgradable`` and ``run`` take what this returns.
    """
    usual = driver(host)
    own = drivers or {}
    transform = transform or component(host, "normalize", "transform", ("log",))
    policy = policy or component(host, "route", "policy", ("log",))
    devices = tuple(
        replace(
            DeviceSpec(
                name=f"presses/{i + 1}",
                fleet=0,
                model=model(device),
                protocol="modbus-tcp" if serial_bd is None else "modbus-rtu",
                unit_id=1 if serial_bd is None else i + 1,
                poll_ns=poll_ns,
                phase_ns=i * poll_ns // count,
                overrun="skip",
                link="plant",
                line=1,
                gateway="gw",
                driver=own[i + 1].name if i + 1 in own else usual.name,
                response_ns=MS,
            ),
            **device_changes,
        )
        for i in range(count)
    )
    field = LinkModel(delay_ns=200 * US, jitter_ns=50 * US, loss=loss, rate_bps=100_000_000)
    links = (
        LinkSpec("plant", field if serial_bd is None else LinkModel(loss=loss), serial_bd),
        LinkSpec("cloud", LinkModel(delay_ns=30 * MS, jitter_ns=8 * MS, loss=0.002, rate_bps=10_000_000)),
    )
    gateway = GatewaySpec(
        "gw",
        boards.shipped(board),
        hosts()["rust-typed"],
        transform.name,
        policy.name,
        uplink or UplinkSpec("cloud"),
        store,
        small_reservation=count > 120,
    )
    unique = {spec.name: spec for spec in (usual, transform, policy, *own.values())}
    return WorldSpec(
        seed,
        duration_ns,
        settle_ns,
        ("presses",),
        devices,
        links,
        tuple(unique.values()),
        (gateway,),
        timeline,
    )


def paired(
    spec: WorldSpec, mode: str = "hot", arbiter: str = "cloud", loss: float = 0.0, **changes: Any
) -> WorldSpec:
    """The same plant with a second gateway, ``gw-b``, that stands by for the first over a link ``hb``, and
    has an uplink of its own."""
    first = spec.gateways[0]
    standby = StandbySpec(
        "gw", "hb", mode, arbiter=arbiter, **{"every_ns": 200 * MS, "lease_ns": S, **changes}
    )
    second = replace(first, name="gw-b", standby=standby, uplink=replace(first.uplink, link="cloud-b"))
    links = (
        *spec.links,
        replace(spec.links[1], name="cloud-b"),
        LinkSpec("hb", LinkModel(delay_ns=300 * US, jitter_ns=50 * US, loss=loss)),
    )
    return replace(spec, gateways=(first, second), links=links)


def offer(name: str, version: str, data: bytes) -> OfferSpec:
    """A good release."""
    return OfferSpec(sign(name, Version.parse(version), data, DEMO_KEY), data)


@cache
def usual_offer(name: str) -> OfferSpec:
    """Release 1.1.0 of a shipped component, signed once."""
    return offer(name, "1.1.0", marked(shipped(name), "1.1.0"))


def upgradable(spec: WorldSpec, *offers: OfferSpec, **upgrade: Any) -> WorldSpec:
    """The same plant with 1.0.0 of everything installed, a registry, and the usual ``marked`` releases 1.1.0
    of the shipped components."""
    usual = [usual_offer(name) for name in ("modbus-driver", "normalize", "route")]
    components = tuple(replace(one, version=Version(1, 0, 0)) for one in spec.components)
    gateways = tuple(
        replace(one, upgrade=UpgradeSpec(**{"trial_ns": 2 * S, **upgrade})) for one in spec.gateways
    )
    return replace(
        spec,
        components=components,
        gateways=gateways,
        offers=(*usual, *offers),
        trusted=trust(DEMO_KEY.public_key()),
    )


def run(spec: WorldSpec, host: Host) -> World:
    """Run to the end and close; the world's figures stay readable."""
    world = World(spec, host)
    try:
        world.run()
    finally:
        world.close()
    return world


def on_lines(timeline: tuple[Action, ...]) -> tuple[Action, ...]:
    """The same where a plant's link is a serial line: that has no legs, and one pair of wires."""
    return tuple(
        replace(one, deed=replace(one.deed, up=None, leg="")) if isinstance(one.deed, Cut | Flap) else one
        for one in timeline
    )
