"""Which seeds: ``1..200``, ``1,4,9..12``, and which of them are a shard's.

Belongs here: the words of --seeds and --shard. Never: running them (workers.py).
"""

from __future__ import annotations

import re

from twinloop.records import dataclass
from twinloop.scenarios.text.errors import ScenarioError

SEEDS_MAX = 100_000
"""of one scenario in one command"""
SEED_MAX = 2**63 - 1
_PART = re.compile(r"(\d{1,19})(?:\.\.(\d{1,19}))?")


@dataclass(frozen=True)
class Shard:
    """The ``number``-th of ``count`` parts, from 1: every ``count``-th seed."""

    number: int
    count: int

    def __str__(self) -> str:
        """As it is written: ``3/8``."""
        return f"{self.number}/{self.count}"

    def of(self, seeds: list[int]) -> list[int]:
        """Its seeds; all shards together have each seed once."""
        return seeds[self.number - 1 :: self.count]


def read_seeds(text: str) -> list[int]:
    """The seeds of ``1..200`` or ``1,4,9..12``, ascending.

    Raises:
        ScenarioError: for what is no such list, a seed that is named twice, more than SEEDS_MAX.
    """
    found: dict[int, None] = {}
    for part in text.split(","):
        match = _PART.fullmatch(part.strip())
        if match is None:
            raise _error(f'expected seeds such as 1..200 or 1,4,9..12, got "{text}"')
        first, last = int(match[1]), int(match[2] or match[1])
        if last > SEED_MAX:
            raise _error(f"a seed is 0 to {SEED_MAX}, got {last}")
        if last < first:
            raise _error(f'"{part.strip()}" counts down: write {last}..{first}')
        if len(found) + last - first + 1 > SEEDS_MAX:
            raise _error(f'"{text}" names more than {SEEDS_MAX} seeds')
        for seed in range(first, last + 1):
            if seed in found:
                raise _error(f"seed {seed} is named twice: it would count twice")
            found[seed] = None
    return sorted(found)


def read_shard(text: str) -> Shard:
    """The shard of ``3/8``; raises ScenarioError."""
    match = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text.strip())
    if match is None or not 1 <= int(match[1]) <= int(match[2]):
        raise ScenarioError("--shard", None, "", f'expected a part of so many, such as 3/8, got "{text}"')
    return Shard(int(match[1]), int(match[2]))


def _error(text: str) -> ScenarioError:
    return ScenarioError("--seeds", None, "", text)
