"""A link's figures in a scenario file to fields of sim.link.LinkModel.

Belongs here: that translation, for links and for ``degrade``. Never: presets (sim/presets.py).
"""

from __future__ import annotations

from typing import Any

from scenarios import schema
from sim.link import GilbertElliott

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
