"""A link of a scenario file as a world has it, and what it degrades to.

Belongs here: that translation. Never: presets (sim/network/presets.py).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from twinloop.devices.model.protocols import ASCII, PROTOCOLS
from twinloop.scenarios.file import schema
from twinloop.scenarios.file.load import Loaded
from twinloop.scenarios.text.document import Location
from twinloop.scenarios.text.errors import unknown
from twinloop.sim.model.spec import LinkSpec
from twinloop.sim.network.link import GilbertElliott, LinkModel
from twinloop.sim.network.presets import PRESETS

_FIELDS = {
    "delay": "delay_ns",
    "jitter": "jitter_ns",
    "loss": "loss",
    "correlation": "correlation",
    "bursts": "bursts",
    "duplicate": "duplicate",
    "reorder": "reorder",
    "corrupt": "corrupt",
    "rate": "rate_bps",
    "queue": "queue_bytes",
}
"""key of a link in the file -> field of LinkModel"""


def model_changes(block: schema.Degradation) -> dict[str, Any]:
    """Fields of LinkModel that a block of the file sets."""
    changes: dict[str, Any] = {}
    for key, field in _FIELDS.items():
        value = getattr(block, key)
        if isinstance(value, schema.Bursts):
            value = GilbertElliott(value.p, value.r, value.bad, value.good)
        if value is not None:
            changes[field] = value
    return changes


def link_model(link: schema.Link) -> LinkModel:
    """The model of a network link: its preset (which exists) with its own changes."""
    base = LinkModel() if link.preset is None else PRESETS[link.preset].model
    return replace(base, **model_changes(link))


def not_on_a_line(block: schema.Degradation) -> list[str]:
    """Keys of a block that mean nothing on a serial line."""
    return [
        key
        for key in ("delay", "jitter", "rate", "queue", "duplicate", "reorder")
        if getattr(block, key) is not None
    ]


def idle_keys(block: schema.Degradation, model: LinkModel) -> list[tuple[str, str]]:
    """(key, why) of the keys of a block that would change nothing in the model that comes of it."""
    out = []
    if block.correlation and not model.loss:
        out.append(("correlation", "correlation is of random loss, and this link has none: add loss"))
    if block.reorder and not model.delay_ns:
        out.append(
            ("reorder", "packets that are reordered skip the delay, and this link has none: add delay")
        )
    if block.queue is not None and not model.rate_bps:
        out.append(("queue", "what waits in the queue waits for the rate, and this link has none: add rate"))
    return out


def _data_bits(loaded: Loaded, name: str, link: schema.Link) -> tuple[int, bool]:
    """(of a character, do its devices speak ASCII?); raises ScenarioError when bytes don't fit."""
    found = [fleet.protocol for fleet in loaded.scenario.fleets.values() if fleet.link == name]
    speaks_ascii = bool(found) and PROTOCOLS[found[0]].framing == ASCII
    bits = link.bits or (7 if speaks_ascii else 8)
    if bits == 7 and not speaks_ascii:
        raise loaded.document.error(
            ("links", name, "bits"),
            "a character of 7 data bits has no room for a byte of modbus-rtu; 7 is for lines whose devices "
            "speak modbus-ascii: 8, or leave it out",
        )
    return bits, speaks_ascii


def _serial_spec(loaded: Loaded, name: str, link: schema.Link, rate_bd: int) -> LinkSpec:
    """Serial lines; raises ScenarioError."""
    at: Location = ("links", name)
    if link.preset is not None:
        raise loaded.document.error(
            (*at, "preset"), "a serial line has no preset; leave preset or serial out"
        )
    for key in not_on_a_line(link):
        raise loaded.document.error(
            (*at, key), f"a serial line has no {key}; only loss, correlation, bursts and corrupt apply"
        )
    checked = link.parity in ("even", "odd")
    if checked and link.stop == 2:
        raise loaded.document.error(
            (*at, "stop"),
            "a character has a parity bit or a second stop bit (MODBUS over Serial Line V1.02 section 2.5.1)",
        )
    data_bits, speaks_ascii = _data_bits(loaded, name, link)
    bits = data_bits + (2 if not checked and link.stop == 1 else 3)
    model = replace(LinkModel(), **model_changes(link))
    for key, why in idle_keys(link, model):
        raise loaded.document.error((*at, key), why)
    letter = {"even": "E", "odd": "O", "none": "N"}.get(
        link.parity or ("even" if link.stop is None else "none")
    )
    # nothing said: even parity (sections 2.5.1, 2.5.2)
    framing = f"{data_bits}{letter}{1 if letter != 'N' or bits == data_bits + 2 else 2}"
    return LinkSpec(
        name, model, rate_bd, link.lines or 1, bits, link.turnaround or 0, checked, framing, speaks_ascii
    )


def link_spec(loaded: Loaded, name: str, link: schema.Link) -> LinkSpec:
    """A link of a world; raises ScenarioError."""
    at: Location = ("links", name)
    if link.serial is not None:
        return _serial_spec(loaded, name, link, link.serial)
    for key in ("bits", "parity", "stop", "turnaround", "lines"):
        if getattr(link, key) is not None:
            raise loaded.document.error(
                (*at, key), f'{key} belongs to a serial line; add serial: "9600 Bd" or leave it out'
            )
    if link.preset is not None and link.preset not in PRESETS:
        raise loaded.document.error((*at, "preset"), unknown("preset", link.preset, PRESETS))
    model = link_model(link)
    if model.jitter_ns > model.delay_ns:
        raise loaded.document.error(
            (*at, "jitter"), f"jitter {model.jitter_ns} ns is larger than the delay of {model.delay_ns} ns"
        )
    for key, why in idle_keys(link, model):
        raise loaded.document.error((*at, key), why)
    return LinkSpec(name, model)
