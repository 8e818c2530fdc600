"""Every shipped scenario: its .expect holds, its trace is the one that is committed, conservation holds in
the closed form.

One run each: that it equals another run, of another day and machine, is what the committed digest says.
Whoever changes timing on purpose looks at what has changed and writes them anew with ``python -m
tests.scenarios.test_library``.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.scenarios.expected import SHIPPED, differences, figure, read_expect
from tests.scenarios.file.keys import BY_CLASS
from tests.scenarios.shipped_runs import ShippedRuns
from twinloop.components.host.host import Host
from twinloop.devices.model import misbehaviour, overlay
from twinloop.scenarios.file.load import LIBRARY, library_names, load
from twinloop.scenarios.file.schema import VERBS
from twinloop.scenarios.judging.verdict import exit_code
from twinloop.scenarios.planning.feasibility import warnings
from twinloop.scenarios.planning.plan import Planner
from twinloop.scenarios.planning.verbs import value_of
from twinloop.scenarios.runner import Options, run

DIGESTS = Path(__file__).parents[1] / "golden" / "library.json"


@pytest.mark.parametrize("name", library_names())
def test_a_shipped_scenario_is_what_it_says_and_its_trace_is_that_of_before(
    host: Host, shipped_runs: ShippedRuns, name: str
) -> None:
    loaded = load(LIBRARY / f"{name}.yaml")
    expected = read_expect(SHIPPED / f"{name}.expect")
    result = shipped_runs(name)
    foreseen = "\n".join(warnings(Planner(loaded, host).world()))
    assert not differences(expected, result.data, exit_code(result.verdict), result.printed, foreseen)
    assert result.data["digest"] == json.loads(DIGESTS.read_text())[name]
    ledger = result.data["ledger"]
    ended = sum(
        value if isinstance(value, int) else sum(value.values())
        for key, value in ledger.items()
        if key in ("delivered", "cached", "dropped", "evicted", "missed", "lost")
    )
    assert ledger["due"] == ended
    assert ledger["open"] == 0
    assert result.data["run"]["polls"] <= 15_000
    assert result.data["reproduce"] == f"twinloop run {name} --seed {loaded.scenario.seed}"


def test_every_kind_of_trouble_is_in_a_shipped_scenario() -> None:
    shown: dict[str, None] = {}
    for name in library_names():
        scenario = load(LIBRARY / f"{name}.yaml").scenario
        for deed in [
            *scenario.timeline,
            *(deed for block in scenario.random_faults for deed in block.actions),
        ]:
            for verb in VERBS:
                if value_of(deed, verb) is not None:
                    shown[verb] = None
            if value_of(deed, "kind") is not None:
                shown[f"fault {value_of(deed, 'kind')}"] = None
    wanted = [
        *(verb for verb in VERBS if verb not in BY_CLASS),
        *(f"fault {kind}" for kind in [*overlay.KINDS, *misbehaviour.KINDS]),
    ]
    assert [one for one in wanted if one not in shown] == []


def test_a_figure_is_found_by_path() -> None:
    assert figure({"lines": {"a/1": {"busy": 0.5}}, "x": 3}, "lines.a/1.busy") == 0.5
    assert figure({"x": 3}, "x") == 3
    assert figure({"x": 3}, "y.z") is None


if __name__ == "__main__":
    own = Host()
    found = {
        name: run(load(LIBRARY / f"{name}.yaml"), Options(), own).data["digest"] for name in library_names()
    }
    DIGESTS.write_text(json.dumps(found, indent=1) + "\n")
    own.close()
