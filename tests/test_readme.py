"""What README and docs show is what there is: their scenario runs, their trouble is accepted, what they name
exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from twinloop.components.host.host import Host
from twinloop.components.releases.keys import read_private_key, write_keys
from twinloop.components.releases.registry import Registry, Version
from twinloop.devices.model.protocols import PROTOCOLS
from twinloop.scenarios.file.load import load_text
from twinloop.scenarios.judging.thresholds import read_expectations
from twinloop.scenarios.judging.verdict import Verdict
from twinloop.scenarios.planning.components import SHIPPED
from twinloop.scenarios.planning.plan import Planner
from twinloop.scenarios.runner import Options, run

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
README = "\n\n".join(page.read_text() for page in PAGES)
"""all that a user reads"""


def block(heading: str) -> str:
    """The first indented block after a heading."""
    rest = README[README.index(heading) :]
    found = re.search(r"\n\n((?:    .*\n|\n)+)", rest)
    assert found
    return "".join(line[4:] or "\n" for line in found.group(1).splitlines(keepends=True))


def test_every_whole_scenario_passes_as_it_stands(host: Host) -> None:
    """Copied and run, with nothing beside it that no expectation speaks of but what a lossy link costs."""
    blocks = [
        "".join(line[4:] or "\n" for line in found.splitlines(keepends=True))
        for found in re.findall(r"\n\n((?:    .*\n|\n)+)", README)
    ]
    whole = [text for text in blocks if text.startswith("format: 2")]
    assert len(whole) == README.count("    format: 2\n") >= 1
    for text in whole:
        result = run(load_text(text, Path("readme.yaml")), Options(), host)
        assert result.verdict is Verdict.PASS
        assert not result.data["unspoken"]


def test_its_expectations_on_values_hold_of_its_scenario(host: Host) -> None:
    scenario = block("# A scenario\n")
    expected = block("### Values\n").replace("expect:\n", "")
    result = run(
        load_text(scenario.replace("count: 100", "count: 5") + expected, Path("readme.yaml")), Options(), host
    )
    assert result.verdict is Verdict.PASS
    assert len(result.data["expectations"]) == 7


def test_its_pair_is_accepted(host: Host) -> None:
    pair = yaml.safe_load(block("### Pairs\n"))
    whole = yaml.safe_load(block("# A scenario\n"))
    whole["gateways"] = pair
    whole["links"] |= {name: {"preset": "lan"} for name in ("cloud-a", "cloud-b", "beat")}
    del whole["links"]["cloud"], whole["timeline"], whole["expect"]
    whole["timeline"] = [
        {"at": "1 s", "partition": "gw"},
        {"at": "2 s", "cut": "plant", "gateway": "gw"},
        {"after": "promote gw-b", "crash": "gw"},
    ]
    spec = Planner(load_text(yaml.safe_dump(whole), Path("readme.yaml")), host).world()
    assert spec.gateways[1].standby is not None


def test_its_upgrade_is_accepted(host: Host, tmp_path: Path) -> None:
    text = block("### Upgrades\n")
    upgrade = yaml.safe_load(text[text.index("components:") :])
    whole = yaml.safe_load(block("# A scenario\n"))
    whole["components"] |= upgrade.pop("components")
    whole = {**whole, **upgrade}
    Registry(tmp_path / "registry").add(
        "route",
        Version(1, 1, 0),
        (SHIPPED / "route.wasm").read_bytes(),
        read_private_key(write_keys(tmp_path / "keys" / "release")[0]),
    )
    spec = Planner(load_text(yaml.safe_dump(whole), tmp_path / "readme.yaml"), host).world()
    assert [offer.release.name for offer in spec.offers] == ["route"]
    assert spec.gateways[0].upgrade.latency_ns == 20_000_000


def test_its_field_is_accepted(host: Host) -> None:
    whole = yaml.safe_load(block("# A scenario\n"))
    whole["fleets"] = yaml.safe_load(block("### The field\n"))
    whole["links"]["line"] = {"serial": "19200 Bd", "parity": "even", "lines": 3}
    whole["links"]["old-line"] = {"serial": "9600 Bd"}
    for name in ("opcua-driver", "mqtt-driver"):
        whole["components"][name] = {"wasm": f"{name}.wasm", "grants": ["fieldbus", "clock", "log"]}
    spec = Planner(load_text(yaml.safe_dump(whole), Path("readme.yaml")), host).world()
    assert len(spec.devices) == 165
    assert {device.protocol for device in spec.devices} == set(PROTOCOLS)


def test_its_trouble_is_accepted(host: Host) -> None:
    scenario, trouble = block("# A scenario\n"), block("### Trouble\n")
    with_trouble = (
        scenario[: scenario.index("timeline:")].replace("duration: 2 min", "duration: 4 min") + trouble
    )
    loaded = load_text(with_trouble, Path("readme.yaml"))
    spec = Planner(loaded, host).world()
    assert len(spec.timeline) > 5
    assert [phase.name for phase in spec.phases] == ["warm-up", "chaos", "heal"]
    assert len(read_expectations(loaded)) == 3


def test_shipped_scenarios_that_it_names_exist() -> None:
    for name in re.findall(r"`twinloop run ([a-z/ -]+)`", README):
        for one in (word for word in name.split() if not word.startswith("-")):
            assert (Path(__file__).parents[1] / "scenarios" / "library" / f"{one}.yaml").exists(), one


def test_the_readme_is_short() -> None:
    assert (ROOT / "README.md").read_text().count("\n") < 150


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)[^)]*\)", page.read_text()):
        assert (page.parent / target).exists(), target
