"""What a result says of derived readings: by point, how many were made and what became of them.

Belongs here: that part of the JSON contract, and its lines in the report. Never: samples (result.py).
"""

from __future__ import annotations

from typing import Any

from twinloop.sim.accounts.derived import Derived
from twinloop.sim.accounts.rows import CAUSES, End

_COUNTED = (End.DELIVERED, End.CACHED)
"""ends without a cause"""
_BY_CAUSE = (End.DROPPED, End.EVICTED, End.LOST)


def derived_figures(account: Derived) -> dict[str, Any]:
    """Name -> its unit, how many there could be, how many there were, and their ends."""
    return {name: {"unit": " or ".join(units), **_of(account, name)} for name, units in account.units.items()}


def _of(account: Derived, name: str) -> dict[str, Any]:
    ends = [
        (end, cause, quality, count)
        for (_, mine, end, cause, quality), count in account.ends.items()
        if mine == name
    ]
    quality = dict.fromkeys(("good", "uncertain", "bad"), 0)
    for end, _, how, count in ends:
        quality[how] += count if end is End.DELIVERED else 0
    return {
        "due": sum(account.due(device) for device, names in account.names_of.items() if name in names),
        "produced": sum(count for (_, mine, _), count in account.produced.items() if mine == name),
        **{end.value: sum(count for how, _, _, count in ends if how is end) for end in _COUNTED},
        **{
            end.value: {
                cause: total
                for cause in CAUSES[end]
                if (total := sum(count for how, why, _, count in ends if how is end and why == cause))
            }
            for end in _BY_CAUSE
        },
        "delivered_quality": quality,
    }


def derived_line(name: str, figures: dict[str, Any]) -> str:
    """One point in words."""
    parts = [f"{figures['produced']} produced", f"{figures['delivered']} delivered"]
    not_good = [
        f"{count} {how}" for how, count in figures["delivered_quality"].items() if count and how != "good"
    ]
    parts[-1] += f" ({', '.join(not_good)})" if not_good else ""
    parts += [f"{figures['cached']} cached"] if figures["cached"] else []
    for state in ("dropped", "evicted", "lost"):
        causes = figures[state]
        if causes:
            by_cause = ", ".join(f"{cause} {count}" for cause, count in causes.items())
            parts.append(f"{sum(causes.values())} {state} ({by_cause})")
    unit = f" ({figures['unit']})" if figures["unit"] else ""
    return f"{name}{unit}  {' · '.join(parts)}"
