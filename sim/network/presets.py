"""Named links: what a preset's numbers are and where they come from.

Belongs here: numbers. ``ours`` marks an engineering estimate that nobody measured for this table.
"""

from __future__ import annotations

from twinloop.records import dataclass
from twinloop.sim.kernel.clock import MS, US
from twinloop.sim.network.link import GilbertElliott, LinkModel


@dataclass(frozen=True, slots=True)
class Preset:
    """A link model with its source."""

    model: LinkModel
    source: str


PRESETS: dict[str, Preset] = {
    "perfect": Preset(LinkModel(), "ours: no delay, no loss, no limit"),
    "lan": Preset(
        LinkModel(delay_ns=200 * US, jitter_ns=50 * US, rate_bps=100_000_000),
        "ours: switched 100 Mbit/s Ethernet, one hop",
    ),
    "wifi": Preset(
        LinkModel(
            delay_ns=3 * MS,
            jitter_ns=2 * MS,
            bursts=GilbertElliott(0.01, 0.3, 0.3, 0.001),
            rate_bps=20_000_000,
        ),
        "ours: 2.4 GHz in a hall, bursts of loss",
    ),
    "lte": Preset(
        LinkModel(delay_ns=30 * MS, jitter_ns=8 * MS, loss=0.002, rate_bps=10_000_000),
        "ours: LTE Cat 4 uplink, one way",
    ),
    "nb-iot": Preset(
        LinkModel(delay_ns=800 * MS, jitter_ns=300 * MS, loss=0.01, rate_bps=60_000),
        "ours: NB-IoT in coverage level 0",
    ),
    "dsl": Preset(
        LinkModel(delay_ns=12 * MS, jitter_ns=2 * MS, loss=0.0005, rate_bps=10_000_000), "ours: VDSL uplink"
    ),
    "satellite": Preset(
        LinkModel(delay_ns=280 * MS, jitter_ns=15 * MS, loss=0.005, rate_bps=2_000_000),
        "ours: geostationary, one way 36 000 km up and down",
    ),
    "flaky-3g": Preset(
        LinkModel(
            delay_ns=90 * MS,
            jitter_ns=60 * MS,
            bursts=GilbertElliott(0.02, 0.2, 0.6, 0.005),
            rate_bps=1_000_000,
        ),
        "ours: 3G at the edge of a cell, bursts of loss",
    ),
}
