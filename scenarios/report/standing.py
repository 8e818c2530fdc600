"""How an expectation stands while a run goes on, in words.

Belongs here: what may be said before the end. Never: a verdict of a run that is over (judging/).
"""

from __future__ import annotations

from twinloop.scenarios.judging.expectation import Expectation
from twinloop.scenarios.judging.judged import Judged
from twinloop.scenarios.judging.verdict import Verdict
from twinloop.scenarios.report.console import measured_text
from twinloop.sim.model.spec import WorldSpec

OPEN = "OPEN"
"""what is said of an expectation that nothing has broken and that can't hold yet"""
NOT_BEGUN = "not begun"
"""what is said in place of a value while its phase is to come"""


def standing(one: Judged, spec: WorldSpec, now_ns: int, over: bool) -> tuple[str, str, str]:
    """(its text, verdict or OPEN, what was measured). Nothing can be said yet of a phase that hasn't begun,
    and a count that is too low can still grow while the run goes on."""
    text, measured = one.expectation.text, measured_text(one)
    if not over and _starts_ns(one.expectation, spec) > now_ns:
        return text, OPEN, NOT_BEGUN
    grows = one.expectation.statistic == "count" and one.expectation.operator in (">=", ">", "==")
    too_low = one.measured is not None and one.measured < one.expectation.bound
    if not over and grows and too_low and one.verdict is Verdict.FAIL:
        return text, OPEN, measured
    return text, one.verdict.value, measured


def _starts_ns(expectation: Expectation, spec: WorldSpec) -> int:
    """When the phase begins of which it speaks; 0: it speaks of the whole run."""
    named = dict(expectation.keys).get("phase") or expectation.event.partition("phase ")[2]
    return next((phase.start_ns for phase in spec.phases if phase.name == named), 0)
