"""What a datasheet says of a Modbus device beside its points: functions, block sizes, holes, identity, how
long answers take.

Belongs here: these figures. Never: points (points.py), answering (devices/modbus/server.py).
"""

from __future__ import annotations

from itertools import pairwise

from twinloop.records import dataclass

READ_MAX = 125
"""registers of one read (MODBUS Application Protocol V1.1b3 sections 6.3 and 6.4)"""
IDENTITY = (
    "vendor",
    "product",
    "revision",
    "url",
    "product-name",
    "model",
    "application",
)
"""objects of Read Device Identification, from number 0 on (section 6.21)"""
IDENTITY_BYTES_MAX = 244
"""of one object: what fits into an answer"""
QUANTILES = ("min", "p50", "p95", "p99", "max")
_PARTS = (0, 5_000, 9_500, 9_900, 10_000)
"""of ten thousand answers, so many are as quick as a quantile or quicker"""


@dataclass(frozen=True, slots=True)
class Response:
    """How long answers take: quantiles in ns, straight lines between them. ``max_ns``: none takes longer."""

    min_ns: int
    p50_ns: int
    p95_ns: int
    p99_ns: int
    max_ns: int

    def at(self, part: int) -> int:
        """The time in ns that ``part`` of 2^64 answers don't exceed; 0 <= part < 2^64."""
        known = (self.min_ns, self.p50_ns, self.p95_ns, self.p99_ns, self.max_ns)
        scaled = part * _PARTS[-1]
        for i in range(len(_PARTS) - 1):
            begin, end = _PARTS[i] << 64, _PARTS[i + 1] << 64
            if scaled < end:
                return known[i] + (known[i + 1] - known[i]) * (scaled - begin) // (end - begin)
        return self.max_ns

    def check(self) -> None:
        """Raises ValueError unless the quantiles rise."""
        known = (self.min_ns, self.p50_ns, self.p95_ns, self.p99_ns, self.max_ns)
        if self.min_ns < 0 or any(a > b for a, b in pairwise(known)):
            raise ValueError(f"{', '.join(QUANTILES)} rise, got {', '.join(map(str, known))} ns")


@dataclass(frozen=True, slots=True)
class Profile:
    """``holes``: registers and coils that nothing describes don't exist (exception 02), else they read 0.
    ``functions``: those that it knows, the others are exception 01; empty: all that twinloop serves.
    ``read_max``: registers of one read, more are exception 03. ``identity``: (number of the object, text);
    empty: the model's vendor and name. ``unit``: its unit id, None: 1 over TCP, on a line the next one that
    is free. ``response``: None: the model's response time, always."""

    holes: bool = False
    functions: tuple[int, ...] = ()
    read_max: int = READ_MAX
    identity: tuple[tuple[int, str], ...] = ()
    unit: int | None = None
    response: Response | None = None


PLAIN = Profile()
"""of a device of which nothing of this is said"""
