"""All claims, and finding what is true of them.

Belongs here: the list, in the order in which they are told. Never: a claim's own words and measures.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from twinloop.components.host.host import Host
from twinloop.scenarios.claims import computing, containers, density, limits, reacting, starting
from twinloop.scenarios.claims.claim import Claim, Finding
from twinloop.scenarios.claims.workbench import QUICK_BOARDS, Workbench, every_board
from twinloop.scenarios.text.errors import ScenarioError, unknown

CLAIMS: tuple[Claim, ...] = (
    *starting.CLAIMS,
    *density.CLAIMS,
    *reacting.CLAIMS,
    *limits.CLAIMS,
    *computing.CLAIMS,
    *containers.CLAIMS,
)


def boards_asked(asked: Sequence[str], quick: bool) -> tuple[str, ...]:
    """The boards that claims are tried on: those that were asked for, else all that ship, or two of them with
    ``quick``. Raises ScenarioError for a name that no shipped board has."""
    known = every_board()
    for name in asked:
        if name not in known:
            raise ScenarioError("--board", None, "", unknown("board", name, known))
    return tuple(dict.fromkeys(asked)) or (QUICK_BOARDS if quick else known)


def findings(
    boards: Sequence[str], quick: bool, say: Callable[[str], None], host: Host | None = None
) -> list[Finding]:
    """Every claim with its figures. ``say`` is told what is measured next. Takes half a minute, with
    ``quick`` a few seconds."""
    own = host or Host(fibers=False)
    try:
        bench = Workbench(own, tuple(boards), quick, say)
        found = []
        for claim in CLAIMS:
            say(claim.words)
            found.append(Finding(claim, tuple(claim.find(bench))))
        return found
    finally:
        if host is None:
            own.close()
