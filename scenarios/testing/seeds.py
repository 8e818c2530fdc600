"""Seeds as an option names them: ``1..5``, ``7``, ``1,7,20..29``.

Belongs here: reading them. Never: an import that takes long (plugin.py).
"""

from __future__ import annotations

import re

SEED_MAX = 2**63 - 1
SEEDS_MAX = 10_000
"""of one session and scenario"""
_PART = re.compile(r"(\d{1,19})(?:\.\.(\d{1,19}))?")


def seeds_of(text: str) -> tuple[int, ...]:
    """Each seed once, in the order in which it was named; raises ValueError with what was expected and what
    came."""
    found: dict[int, None] = {}
    for part in text.split(","):
        match = _PART.fullmatch(part.strip())
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if first > last or last > SEED_MAX:
            raise ValueError(f'expected seeds such as 1..5 or 1,7,20..29, from 0 to {SEED_MAX}, got "{text}"')
        if last - first + 1 + len(found) > SEEDS_MAX:
            raise ValueError(f'expected at most {SEEDS_MAX} seeds, got "{text}"')
        found.update(dict.fromkeys(range(first, last + 1)))
    return tuple(found)
