"""Random trouble of a scenario file to single actions in time, drawn from the seed when the run is planned.

Belongs here: ``faults`` blocks. Never: what a verb takes (sim/trouble/). Load and trouble are the same kind
of block: what is drawn here is an entry like those that a file spells out, and the trace doesn't tell them
apart.
"""

from __future__ import annotations

from twinloop.scenarios.file import schema
from twinloop.scenarios.file.load import Loaded
from twinloop.scenarios.planning.phases import healed_ns, stretch
from twinloop.scenarios.planning.timeline import OCCURRENCES_MAX, drawn, happening
from twinloop.scenarios.planning.verbs import find
from twinloop.scenarios.text.document import Location
from twinloop.sim.kernel.random import RandomStreams
from twinloop.sim.model.spec import Action


def random_actions(loaded: Loaded, seed: int) -> list[Action]:
    """One renewal process a block: exponential times to failure (``mtbf``) and to repair (``mttr``), one of
    ``do`` each time.

    A block's next failure counts from the end of its last; raises ScenarioError.
    """
    return [
        one
        for index in range(len(loaded.scenario.random_faults))
        for one in block_actions(loaded, seed, index)
    ]


def block_actions(loaded: Loaded, seed: int, index: int) -> list[Action]:
    """The same of one block."""
    out: list[Action] = []
    error, block = loaded.document.error, loaded.scenario.random_faults[index]
    at: Location = ("random-faults", index)
    found = [find(loaded, deed, (*at, "actions", i)) for i, deed in enumerate(block.actions)]
    for i, verb in enumerate(found):
        if verb.must_end and block.mttr is None:
            raise error((*at, "actions", i), f'{verb.name} needs "mttr"')
    if block.mttr is not None and not any(verb.lasts for verb in found):
        raise error((*at, "mttr"), f'"mttr" does not go with {found[0].name}: it has no end')
    now, until = _span(loaded, block, at)
    if now >= until:
        raise error(
            (*at, "from" if block.from_ is not None else "until"), "no time is left between from and until"
        )
    if (until - now) // block.mtbf > OCCURRENCES_MAX:
        raise error((*at, "mtbf"), f"happens more than {OCCURRENCES_MAX} times")
    draws = RandomStreams(seed).stream(f"faults/{index}")
    while True:
        now += 1 + int(draws.exponential() * block.mtbf)
        if now >= until:
            break
        verb = found[draws.below(len(block.actions))]
        lasts = None if block.mttr is None or not verb.lasts else 1 + int(draws.exponential() * block.mttr)
        out.append(happening(drawn(loaded, verb, draws), now, lasts))
        now += lasts or 0
    return out


def _span(loaded: Loaded, block: schema.Trouble, at: Location) -> tuple[int, int]:
    """From when to when; what must converge is left alone, unless the block says otherwise."""
    if block.phase is not None:
        for key, value in (("from", block.from_), ("until", block.until)):
            if value is not None:
                raise loaded.document.error((*at, key), f'"{key}" does not go with "phase"')
        return stretch(loaded, block.phase, at)
    until = healed_ns(loaded) if block.until is None else min(block.until, loaded.scenario.duration)
    return block.from_ or 0, until
