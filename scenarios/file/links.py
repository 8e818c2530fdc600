"""A link's figures in a scenario file to fields of sim.link.LinkModel.

Belongs here: that translation, for links and for ``degrade``. Never: presets (sim/network/presets.py).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from twinloop.scenarios.file import schema
from twinloop.sim.network.link import GilbertElliott, LinkModel
from twinloop.sim.network.presets import PRESETS

_FIELDS = {
    "delay": "delay_ns", "jitter": "jitter_ns", "loss": "loss", "correlation": "correlation", "bursts": "bursts", "duplicate": "duplicate",
    "reorder": "reorder", "corrupt": "corrupt", "rate": "rate_bps", "queue": "queue_bytes",
}  # fmt: skip
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
    return [key for key in ("delay", "jitter", "rate", "queue", "duplicate", "reorder") if getattr(block, key) is not None]


def idle_keys(block: schema.Degradation, model: LinkModel) -> list[tuple[str, str]]:
    """(key, why) of the keys of a block that would change nothing in the model that comes of it."""
    out = []
    if block.correlation and not model.loss:
        out.append(("correlation", "correlation is of random loss, and this link has none: add loss"))
    if block.reorder and not model.delay_ns:
        out.append(("reorder", "packets that are reordered skip the delay, and this link has none: add delay"))
    if block.queue is not None and not model.rate_bps:
        out.append(("queue", "what waits in the queue waits for the rate, and this link has none: add rate"))
    return out
