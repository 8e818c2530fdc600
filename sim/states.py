"""The tables of states, together, and the figure that docs/states.md shows: ``python -m twinloop.sim.states``
prints it.

Belongs here: gathering and printing. Never: a transition (machine.py, slot.py, uplink.py, member.py,
orders.py have them).
"""

from __future__ import annotations

from twinloop.sim.cloud import orders
from twinloop.sim.gateway import slot, uplink
from twinloop.sim.machine import machine
from twinloop.sim.redundancy import member

TABLES: dict[str, dict[tuple[str, str], str]] = {
    "gateway": machine.TRANSITIONS, "component": slot.TRANSITIONS, "uplink session": uplink.TRANSITIONS,
    "role in a pair": member.TRANSITIONS, "upgrade": orders.TRANSITIONS,
}  # fmt: skip
"""what has states -> (state, event) -> state"""


def figure() -> str:
    """One line a state: its events and where they lead."""
    lines = []
    for name, table in TABLES.items():
        lines.append(name)
        states = dict.fromkeys(state for state, _ in table)
        width = max(len(state) for state in states)
        for state in states:
            steps = ", ".join(f"{event} -> {to}" for (origin, event), to in table.items() if origin == state)
            lines.append(f"  {state:<{width}}  {steps}")
    return "\n".join(lines)


if __name__ == "__main__":
    print(figure())
