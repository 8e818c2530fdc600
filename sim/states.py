"""The tables of states, together, and the figure that docs/states.md shows: ``python -m twinloop.sim.states``
prints it.

Belongs here: gathering and printing. Never: a transition (machine.py, slot.py, uplink.py, member.py,
orders.py have them).
"""

from __future__ import annotations

from twinloop.sim.cloud import orders
from twinloop.sim.gateway import slot
from twinloop.sim.machine import machine
from twinloop.sim.north import uplink
from twinloop.sim.redundancy import member

TABLES = (
    machine.TRANSITIONS,
    slot.TRANSITIONS,
    uplink.TRANSITIONS,
    member.TRANSITIONS,
    orders.TRANSITIONS,
)
"""what has states"""


def figure() -> str:
    """One line a state: its events and where they lead."""
    return "\n".join(table.figure() for table in TABLES)


if __name__ == "__main__":
    print(figure())
