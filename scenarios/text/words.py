"""Words for people that depend on how many there are.

Belongs here: counting in words. Never: quantities with units (units.py).
"""

from __future__ import annotations


def number_of(count: int, one: str, many: str = "") -> str:
    """``1 warning``, ``2 warnings``, ``1 entry``; ``many`` where it isn't ``one`` with an s, up to a whole
    phrase: ``3 messages wait``."""
    return f"{count} {one if count == 1 else many or one + 's'}"
