"""A small field whose gateway is judged, for the tests of its books.

Belongs here: the plant, and what a client says to it. Never: assertions.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from twinloop.devices.model.device import DeviceModel
from twinloop.devices.model.points import Point
from twinloop.devices.model.signal import Signal
from twinloop.sim.kernel.clock import MS, S
from twinloop.sim.model.spec import DeviceSpec, LinkSpec, PhaseSpec, WorldSpec
from twinloop.sim.network.link import LinkModel
from twinloop.sim.serving.judged_plant import ObservedPlant

POINTS = (
    Point("p", "holding", 0, signal=Signal("constant", 3.0)),
    Point("q", "holding", 1, signal=Signal("constant", 4.0), nan=(0xFFFF,)),
    Point("sample", "holding", 10, "u32"),
)
MODEL = DeviceModel("judged", "two points and their counter", "ours", ("modbus-tcp", "opcua"), POINTS)
INPUTS = replace(MODEL, name="judged-too", points=tuple(replace(point, table="input") for point in POINTS))
BAD, WORSE, UNCERTAIN = 0x80000000, 0x808C0000, 0x40000000
BOTH = 0b11


def plant(
    *models: DeviceModel,
    duration_ns: int = 3 * S,
    phases: tuple[PhaseSpec, ...] = (),
    protocol: str = "modbus-tcp",
    **changes: Any,
) -> ObservedPlant:
    """One device of each model: due at 100, 1100, 2100 ms; the second 200 ms later."""
    devices = tuple(
        replace(
            DeviceSpec(
                name=f"d/{i + 1}",
                fleet=0,
                model=model,
                protocol=protocol,
                unit_id=1,
                poll_ns=S,
                phase_ns=100 * MS + i * 200 * MS,
                overrun="skip",
                link="plant",
                line=1,
                gateway="gw",
                driver="driver",
                response_ns=MS,
            ),
            **changes,
        )
        for i, model in enumerate(models or (MODEL,))
    )
    found = ObservedPlant(
        WorldSpec(
            1,
            duration_ns,
            S,
            ("d",),
            devices,
            (LinkSpec("plant", LinkModel(delay_ns=MS)),),
            (),
            (),
            phases=phases,
        ),
        0,
    )
    found.boot()
    return found


def to(found: ObservedPlant, at_ns: int) -> None:
    """It is that instant now."""
    found.at(at_ns, lambda: None)


def shown(found: ObservedPlant, index: int = 0) -> int:
    device = found.field.servers[index].device
    return int(device.image.value(2))


def ask(first: int, count: int, code: int = 3) -> bytes:
    return bytes((code, first >> 8, first & 255, 0, count))


def answer(code: int, *registers: int) -> bytes:
    return bytes((code, 2 * len(registers))) + b"".join(register.to_bytes(2, "big") for register in registers)


def arrives(found: ObservedPlant, index: int, k: int, mask: int, marks: dict[int, int] | None = None) -> None:
    """A client has read that sample, and it arrives."""
    found.got(index, [k])
    found.arrived(index, k, mask, marks)
