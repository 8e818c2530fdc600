"""What a transform and a policy answered, as masks of points, held against the contract.

Belongs here: ids and verdicts -> masks, or what was broken, in words. Never: what follows from it
(pipeline.py). ``bits``: point id -> bit of a device's mask.
"""

from __future__ import annotations

from collections.abc import Sequence

from twinloop.components.contract.contract import Verdict

TO_ADD = 'a point that it adds must be declared under "derives" of its component'


def mask_within(ids: Sequence[int], bits: dict[int, int], allowed: int) -> int | str:
    """The mask of a transform's point ids; a text when one comes twice, or is none of those ``allowed``."""
    mask = 0
    for point in ids:
        bit = bits.get(point, 0)
        if mask & bit:
            return f"a batch with point {point} twice"
        if not bit & allowed:
            return f"a batch with point {point}, which wasn't in its input: {TO_ADD}"
        mask |= bit
    return mask


Decision = tuple[Verdict, list[tuple[int, Verdict]]]
"""a policy's answer: the whole batch's verdict, and points with another"""


def verdict_groups(decision: Decision, kept: int, bit_of: dict[int, int]) -> list[tuple[Verdict, int]] | str:
    """[(verdict, mask)] with equal verdicts together, the whole batch's first; a text when the contract is
    broken."""
    whole, exceptions = decision
    if whole[0] == "other":
        return f"verdict other({whole[1]!r})"
    if not exceptions:
        return [(whole, kept)]
    groups: dict[Verdict, int] = {}
    named = 0
    for point, verdict in exceptions:
        bit = bit_of.get(point, 0)
        if not bit & kept or bit & named:
            return f"a decision for point {point}, which is absent or named twice"
        if verdict[0] == "other":
            return f"verdict other({verdict[1]!r})"
        named |= bit
        groups[verdict] = groups.get(verdict, 0) | bit
    rest = kept & ~named
    if rest:
        groups[whole] = groups.get(whole, 0) | rest
    return list(groups.items())
