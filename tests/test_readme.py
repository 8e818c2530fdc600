"""What the README shows is what there is: its scenario runs, its trouble is accepted, its commands exist."""

from __future__ import annotations

import re
from pathlib import Path

from components.host import Host
from scenarios.load import load_text
from scenarios.plan import Planner
from scenarios.runner import Options, run
from scenarios.thresholds import read_expectations
from scenarios.verdict import Verdict

README = (Path(__file__).parents[1] / "README.md").read_text()


def block(heading: str) -> str:
    """The first indented block after a heading."""
    rest = README[README.index(heading) :]
    found = re.search(r"\n\n((?:    .*\n|\n)+)", rest)
    assert found
    return "".join(line[4:] or "\n" for line in found.group(1).splitlines(keepends=True))


def test_the_scenario_passes(host: Host) -> None:
    shorter = block("## A scenario\n").replace("count: 100", "count: 5")
    result = run(load_text(shorter, Path("readme.yaml")), Options(), host)
    assert result.verdict is Verdict.PASS


def test_its_trouble_is_accepted(host: Host) -> None:
    scenario, trouble = block("## A scenario\n"), block("### Trouble\n")
    with_trouble = scenario[: scenario.index("timeline:")].replace("duration: 2 min", "duration: 4 min") + trouble
    loaded = load_text(with_trouble, Path("readme.yaml"))
    spec = Planner(loaded, host).world()
    assert len(spec.timeline) > 5
    assert [phase.name for phase in spec.phases] == ["warm-up", "chaos", "heal"]
    assert len(read_expectations(loaded)) == 3


def test_shipped_scenarios_that_it_names_exist() -> None:
    for name in re.findall(r"`twinloop run ([a-z/ -]+)`", README):
        for one in (word for word in name.split() if not word.startswith("-")):
            assert (Path(__file__).parents[1] / "scenarios" / "library" / f"{one}.yaml").exists(), one
