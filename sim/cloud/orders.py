"""Upgrades as orders: what the cloud tells a gateway to install, and what became of it.

Belongs here: an order's states, the causes of its end. Never: the steps (sim/upgrade/upgrades.py), who orders
(sim/upgrade/rollout.py).
"""

from __future__ import annotations

from twinloop.components.releases.registry import Release, Version
from twinloop.sim.kernel.state_machine import StateMachine

TRANSITIONS = StateMachine(
    "upgrade",
    {
        ("ordered", "told"): "waiting",
        ("waiting", "begin"): "checking",
        ("checking", "believed"): "fetching",
        ("fetching", "fetched"): "verifying",
        ("verifying", "verified"): "writing",
        ("writing", "written"): "preparing",
        ("preparing", "prepared"): "swapping",
        ("swapping", "swapped"): "trial",
        ("trial", "passed"): "committing",
        ("committing", "committed"): "done",
        **{
            (state, "refuse"): "refused"
            for state in ("ordered", "waiting", "checking", "fetching", "verifying", "writing", "preparing")
        },
        **{
            (state, "give-up"): "abandoned"
            for state in ("waiting", "checking", "fetching", "verifying", "writing", "preparing")
        },
        **{(state, "go-back"): "rolled-back" for state in ("swapping", "trial", "committing")},
        **{
            (state, "end-of-run"): "unfinished"
            for state in (
                "ordered",
                "waiting",
                "checking",
                "fetching",
                "verifying",
                "writing",
                "preparing",
                "swapping",
                "trial",
                "committing",
            )
        },
    },
)
"""(state, event) -> state of an upgrade on a gateway"""
ENDS = ("done", "refused", "abandoned", "rolled-back", "unfinished")
CAUSES = (
    "limit",
    "wrong-name",
    "unknown-key",
    "bad-signature",
    "installed",
    "version-reused",
    "downgrade",
    "fetch-timeout",
    "truncated",
    "too-long",
    "wrong-digest",
    "not-a-component",
    "not-granted",
    "memory",
    "configure",
    "unhealthy",
    "faults",
    "failures",
    "latency",
    "crash",
    "power-cut",
    "shutdown",
    "end-of-run",
)
"""why an upgrade doesn't end as done; a fault while it is brought up beside the old one is named by its own
cause"""


class Upgrade:
    """One order, from its issue to its end. Times in ns; ``release`` is what the order states."""

    def __init__(self, number: int, gateway: str, component: str, release: Release, issued_ns: int) -> None:
        self.number = number
        self.gateway = gateway
        self.component = component
        self.release = release
        self.issued_ns = issued_ns
        self.state = "ordered"
        self.cause = self.detail = ""
        self.stage = ""
        """the state in which it ended"""
        self.before: Version | None = None
        self.ended_ns = -1
        self.downtime_ns: int | None = None
        """the longest that one of its slots could not serve, from the swap to the end; None when there was no
        swap"""
        self.fetched_bytes = self.sessions = 0

    @property
    def target(self) -> str:
        """``gw/route``"""
        return f"{self.gateway}/{self.component}"
