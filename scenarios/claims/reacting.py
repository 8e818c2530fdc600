"""Claims about time limits: a hundred sensors end to end, and a decision of the policy.

Belongs here: those two claims. Never: the plants (plants.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from twinloop.scenarios.claims.claim import (
    HERE,
    Bound,
    Claim,
    Figure,
    Holds,
    boards_where,
    here,
    of_what,
    some,
    where_interpreted,
)
from twinloop.scenarios.claims.plants import SENSORS, Banded
from twinloop.scenarios.claims.workbench import REGO_SENSORS, Workbench, tried
from twinloop.sim.kernel.histogram import NEVER

MS = 1e6
_SOON, _DECIDED = Bound(most=50 * MS), Bound(most=1 * MS)
END_TO_END = f"p99 of {SENSORS} sensors, from due until handled"
BUS = "of it: p99 on the network and in the devices"
POLICY = "a decision of route.wasm"
REGO = "a decision of a policy in Rego"


def _modelled(what: str, board: str, found: Banded, bound: Bound, host: str, how: str) -> Figure:
    return Figure(what, board, found.value, "ns", bound, found.low, found.high, host, how)


def sensors(bench: Workbench) -> list[Figure]:
    """The plant of a hundred sensors on each board."""
    how = f"a run of {SENSORS} press sensors over Modbus TCP on a LAN, through shipped components"
    found = [
        Figure(
            END_TO_END,
            HERE,
            None,
            "ns",
            _SOON,
            how="nothing here is a gateway with a plant; `serve --judge` measures one that you have",
        )
    ]
    for board in bench.each_board():
        for program in bench.programs(board):
            bench.say(f"100 sensors on {board.name} under {program.name}")
            ran = bench.ran(board.name, program.name)
            found.append(_modelled(END_TO_END, board.name, ran.latency, _SOON, program.name, how))
            found.append(_modelled(BUS, board.name, ran.bus, Bound(), program.name, how))
    return found


def why_sensors(figures: Sequence[Figure]) -> str:
    """The reason of the verdict."""
    found = of_what(figures, END_TO_END, measured=False)
    if not found:
        return "No board was asked for."
    late = boards_where(found, Holds.NO, Holds.BAND)
    slowest = max(found, key=lambda one: one.high or 0)
    words = f"The slowest is {slowest.where} under {slowest.host}: {slowest.text}."
    if late:
        return f"Not on {some(late)}. {words}"
    bus = [one for one in of_what(figures, BUS) if (one.where, one.host) == (slowest.where, slowest.host)]
    if bus:
        words += f" {bus[0].text} of it is the time on the network and in the devices."
    return words


def policy(bench: Workbench) -> list[Figure]:
    """A decision by the shipped policy and by one in Rego, here and on boards."""
    found = []
    for rego, what in ((False, POLICY), (True, REGO)):
        how = "CPU time for a batch of 10 readings, its lists lowered by the Python host"
        found.append(here(what, tried(partial(bench.decide_ns, rego)), "ns", _DECIDED, how))
    for board in bench.each_board():
        for program in bench.programs(board):
            bench.say(f"policies on {board.name} under {program.name}")
            for rego, what in ((False, POLICY), (True, REGO)):
                ran = bench.ran(board.name, program.name, rego)
                how = f"p99 of a run with {REGO_SENSORS if rego else SENSORS} press sensors"
                found.append(_modelled(what, board.name, ran.policy, _DECIDED, program.name, how))
    return found


def why_policy(figures: Sequence[Figure]) -> str:
    """The reason of the verdict."""
    words = []
    for what, short in ((POLICY, "The shipped policy, in C,"), (REGO, "A policy in Rego")):
        found = of_what(figures, what, measured=False)
        if not found:
            continue
        late, unsure = boards_where(found, Holds.NO), boards_where(found, Holds.BAND)
        slowest = max(found, key=lambda one: min(one.high or 0, NEVER))
        if not late and not unsure:
            words.append(f"{short} holds it on every board: {slowest.text} on {slowest.where} at the most.")
            continue
        if late:
            words.append(
                f"{short} takes too long on {some(late)}{where_interpreted(late)}: {slowest.text} on "
                f"{slowest.where}."
            )
        if unsure:
            words.append(f"On {some(unsure)} the band decides.")
    return " ".join(words) or "No board was asked for."


CLAIMS = (
    Claim(
        "hundred-sensors",
        "100 sensors are handled end to end in less than 50 ms",
        "unchecked",
        sensors,
        why_sensors,
    ),
    Claim(
        "policy",
        "A policy, in Rego as well, decides in less than 1 ms",
        "https://openpolicyagent.org/docs/latest/policy-performance: such a decision "
        '"might have a budget in the order of 1 millisecond"',
        policy,
        why_policy,
    ),
)
