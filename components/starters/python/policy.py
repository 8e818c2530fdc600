"""@NAME@: a routing policy. Batches go out while the uplink is up, and are kept while it isn't; a point above
its high limit is an alert.

`configure` is called first; then `decide` for each batch. One instance serves a whole gateway.
Each call gets a new object, so what is kept between two calls is kept outside of it.
"""

import math

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports.policy import (
    Decision,
    LinkState,
    Verdict_Alert,
    Verdict_Cache,
    Verdict_Forward,
)
from wit_world.exports.policy import (
    Exception as Exempt,
)
from wit_world.imports.types import (
    Batch,
    ConfigError_UnknownOption,
    Origin,
    PolicyError_NotConfigured,
    Settings,
)

BAD = 0x80000000
LANE = 1


class Kept:
    """What is kept between two calls. `high_of`: the limit of each point that has one."""

    high_of: dict[int, float] | None = None


class Policy(exports.Policy):
    """What the gateway calls."""

    def configure(self, settings: Settings) -> None:
        """Take the points' limits; there are no options."""
        Kept.high_of = None
        for name, _ in settings.options:
            raise Err(ConfigError_UnknownOption(name))
        Kept.high_of = {point.id: point.high for point in settings.points if point.high is not None}

    def decide(self, source: Origin, input: Batch, uplink: LinkState) -> Decision:
        """Where a batch goes, and which of its points raise an alert."""
        high_of = Kept.high_of
        if high_of is None:
            raise Err(PolicyError_NotConfigured())
        values = [(one.point, one.status, one.value) for one in input.readings]
        values += [(one.point, one.status, float(one.value.value)) for one in input.integers]
        alerts = [
            Exempt(point, Verdict_Alert("above its high limit"))
            for point, status, value in values
            if status < BAD and math.isfinite(value) and value > high_of.get(point, math.inf)
        ]
        return Decision(Verdict_Forward(LANE) if uplink.up else Verdict_Cache(LANE), alerts)
