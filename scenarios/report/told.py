"""What a gateway's components had to be told of, for the JSON result: faults, errors, limits, denials.

Belongs here: these, by component and instance. Never: how many there were of a cause (result.py), keeping
them (sim/gateway/complaints.py, sim/machine/budget.py).
"""

from __future__ import annotations

from typing import Any

from twinloop.sim.gateway.gateway import Gateway


def told(gateway: Gateway) -> dict[str, Any]:
    """Faults and errors, each kind once; limits of their own that components have hit; what of WASI was
    denied to them."""
    complaints = gateway.supervisor.complaints
    return {
        "faults": [
            {
                "component": note.component,
                "instance": note.slot,
                "instances": len(note.instances),
                "cause": note.fault.cause.value,
                "message": note.fault.message,
                "functions": list(note.fault.functions),
                "fuel": note.fault.fuel_used,
                "stderr": note.stderr,
                "first_ns": note.first_ns,
                "count": note.count,
            }
            for note in complaints.faults
        ],
        "errors": [
            {
                "component": note.component,
                "device": note.device,
                "error": note.text,
                "first_ns": note.first_ns,
                "count": note.count,
            }
            for note in complaints.errors
        ],
        "other_faults": complaints.other_faults,
        "other_errors": complaints.other_errors,
        "limits": [
            {"component": component, "instance": place, "limit": limit, "count": count}
            for (component, place, limit), count in gateway.machine.budget.hits.items()
        ],
        "denied": [
            {"component": slot.spec.name, "instance": slot.name, "function": f"wasi:{name}", "count": count}
            for slot in gateway.rack.slots
            if slot.imports.wasi is not None
            for name, count in slot.imports.wasi.denied.items()
        ],
    }
