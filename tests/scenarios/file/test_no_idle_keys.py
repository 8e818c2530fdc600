"""No key that does nothing: two values that ought to differ give another trace or another printed figure, or
the second is refused.

Each key by itself here, and each figure over some presets; over all of them, and each pair of keys of a
block, in `make soak`.
"""

from __future__ import annotations

import json
import os
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

from tests.scenarios.file import keys
from tests.scenarios.file.keys import DEGRADATION, TABLE, VERBS, Key, text
from twinloop.components.host.host import Host
from twinloop.scenarios.file import schema
from twinloop.scenarios.file.load import load_text
from twinloop.scenarios.runner import Options, run
from twinloop.scenarios.text.errors import ScenarioError
from twinloop.sim.model.store_presets import STORE_PRESETS
from twinloop.sim.network.presets import PRESETS

FILE = Path(__file__).parents[3] / "scenarios" / "library" / "keys.yaml"
"""beside the library's registry"""
SOAK = "TWINLOOP_SOAK" in os.environ
PLANNED = ("scenario_digest", "notes", "reproduce", "expectations", "versions")
"""of a result: what speaks of the file, not of what happened"""
seen: dict[str, str] = {}


def outcome(host: Host, scenario: str) -> str:
    """Everything that is printed of a run, its digest among it; or why it is refused."""
    if scenario not in seen:
        try:
            result = run(load_text(scenario, FILE), Options(), host)
        except ScenarioError as error:
            seen[scenario] = f"refused: {error}"
        else:
            data = {key: value for key, value in result.data.items() if key not in PLANNED}
            data["run"] = {
                key: value for key, value in data["run"].items() if key not in ("wall_s", "speedup")
            }
            seen[scenario] = json.dumps(data, sort_keys=True)
    return seen[scenario]


def compare(host: Host, base: Any, path: tuple[Any, ...], name: str, key: Key, *context: Any) -> str:
    """Empty, or why the key does nothing."""
    one, other = (
        outcome(host, text(base, path, *context, key.beside, {name: value})) for value in (key.one, key.other)
    )
    beside = f" beside {context}" if context else ""
    if key.refused:
        return (
            ""
            if other.startswith("refused") and name in other and not one.startswith("refused")
            else f"{name}: expected a refusal, got {other[:200]}"
        )
    for value, came in ((key.one, one), (key.other, other)):
        if came.startswith("refused"):
            return f"{name}: {value!r} is {came}"
    return "" if one != other else f"{name}: {key.one!r} and {key.other!r} come to the same{beside}"


def test_the_table_knows_every_key_of_the_file() -> None:
    """So that a new one without an entry is noticed."""
    walked: dict[str, dict[str, None]] = {}
    for label, (_, _, table) in TABLE.items():
        walked.setdefault(label.partition(",")[0], {}).update(dict.fromkeys(table))
    walked["Entry"] = dict.fromkeys(
        [*schema.VERBS, "at", *(key for _, table in VERBS.values() for key in table)]
    )
    blocks = [
        one
        for one in vars(schema).values()
        if isinstance(one, type) and issubclass(one, schema.Block) and one not in (schema.Block, schema.Deed)
    ]
    missing = []
    for block in blocks:
        known = walked.get(block.__name__, {}).keys() | keys.NOT_WALKED.get(block.__name__, {}).keys()
        missing += [
            f"{block.__name__}.{field.alias or name}"
            for name, field in block.model_fields.items()
            if (field.alias or name) not in known
        ]
    assert not missing


@pytest.mark.parametrize("block", TABLE)
def test_each_key_does_something(host: Host, block: str) -> None:
    base, path, table = TABLE[block]
    idle = [found for name, key in table.items() if (found := compare(host, base, path, name, key))]
    assert not idle, idle


def at_nine(verb: str) -> tuple[Any, tuple[Any, ...]]:
    """A plant in which the verb's entry lies last in the timeline."""
    entry, _ = VERBS[verb]
    base = keys.plant()
    base["timeline"].append({"at": "9 s", **entry})
    return base, ("timeline", len(base["timeline"]) - 1)


@pytest.mark.parametrize("verb", VERBS)
def test_each_key_of_a_verb_does_something(host: Host, verb: str) -> None:
    base, path = at_nine(verb)
    idle = [found for name, key in VERBS[verb][1].items() if (found := compare(host, base, path, name, key))]
    assert not idle, idle


@pytest.mark.parametrize("preset", PRESETS if SOAK else ["wifi", "nb-iot"])
def test_each_figure_of_a_link_does_something_over_each_preset(host: Host, preset: str) -> None:
    base = keys.plant()
    base["links"]["cloud"] = {"preset": preset}
    idle = [
        found
        for name, key in DEGRADATION.items()
        if (found := compare(host, base, ("links", "cloud"), name, key))
    ]
    assert not idle, idle


@pytest.mark.parametrize("preset", STORE_PRESETS)
def test_each_figure_of_a_store_does_something_over_each_preset(host: Host, preset: str) -> None:
    base, path, table = TABLE["Store"]
    figures = {name: key for name, key in table.items() if name != "preset"}
    if STORE_PRESETS[preset].spec.volatile:
        figures |= {name: Key(keys.ABSENT, figures[name].other, refused=True) for name in ("commit", "flash")}
    idle = [
        found
        for name, key in figures.items()
        if (found := compare(host, base, path, name, key, {"preset": preset}))
    ]
    assert not idle, idle


@pytest.mark.skipif(not SOAK, reason="make soak: each pair of keys of each block")
@pytest.mark.parametrize("block", [*TABLE, *VERBS])
def test_each_key_does_something_beside_each_other(host: Host, block: str) -> None:
    base, path, table = TABLE[block] if block in TABLE else (*at_nine(block), VERBS[block][1])
    idle = []
    for first, second in permutations(table, 2):
        context = {**table[first].beside, first: table[first].other}
        known = outcome(host, text(base, path, context))
        if (
            table[first].deadly
            or table[first].refused
            or table[second].beside.keys() & context.keys()
            or known.startswith("refused")
        ):
            continue
        found = compare(host, base, path, second, table[second], context)
        if found and " is refused" not in found and not table[second].refused:
            idle.append(found)
    assert not idle, idle
