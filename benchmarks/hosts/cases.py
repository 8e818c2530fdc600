"""The cases that each host is counted with, and how many values and bytes cross in each.

Belongs here: cases. Never: how they are counted (counting.py), what follows (fitting.py).

Values are counted as a simulated gateway counts them (``sim/gateway``): five for a reading, one way; three
for a transform's and nine for a policy's other arguments; four around each result. The functions of the probe
have none but the list or text that is asked of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
WASM = HERE.parents[1] / "components" / "wasm"
READING_VALUES, CONSTANT_VALUES, TRANSFORM_VALUES, POLICY_VALUES = 5, 4, 3, 9
READINGS = (0, 1, 2, 5, 10, 20, 40, 80)
BYTES = (8, 64, 250, 1000)


@dataclass(frozen=True, slots=True)
class Case:
    """One export with one size: readings, bytes, characters or imports. ``step``: registers from one point to
    the next."""

    guest: str
    export: str
    size: int = 0
    step: int = 1

    @property
    def word(self) -> str:
        """As the hosts' command lines have it."""
        return f"{self.export}:{self.size}:{self.step}"

    @property
    def values(self) -> int:
        """What a simulated gateway would count."""
        readings = READING_VALUES * self.size
        match self.export:
            case "transform":
                return 2 * readings + TRANSFORM_VALUES + CONSTANT_VALUES
            case "decide":
                return readings + POLICY_VALUES + CONSTANT_VALUES
            case "poll":
                return readings + CONSTANT_VALUES
        return 0

    @property
    def characters(self) -> int:
        """Of a text, one way."""
        return self.size if self.export in {"hear", "say"} else 0


CASES = (
    *(Case("normalize", "transform", size) for size in READINGS),
    *(Case("route", "decide", size) for size in READINGS),
    # registers side by side: one frame of 11 to 249 bytes
    *(Case("modbus-driver", "poll", size) for size in (1, 2, 10, 40, 120)),
    # few points in large frames: the driver reads the registers between them, too
    *(Case("modbus-driver", "poll", size, 33) for size in (2, 4, 16)),
    # each point in a frame of its own
    *(Case("modbus-driver", "poll", size, 200) for size in (4, 10, 40)),
    Case("probe", "nothing"),
    *(Case("probe", "ask", times) for times in (1, 10, 100)),
    *(Case("probe", export, size) for export in ("send", "take", "give", "hear", "say") for size in BYTES),
)
