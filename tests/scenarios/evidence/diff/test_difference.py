"""twinloop diff on real runs: what was planted is found, what is noise isn't."""

from __future__ import annotations

import copy
import json
import math
import os
import random
import re
import subprocess
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.plants import WASM
from tests.scenarios.evidence.diff.rates import most_of
from twinloop.components.host.host import Host
from twinloop.scenarios.cli.main import main
from twinloop.scenarios.evidence.diff import difference
from twinloop.scenarios.evidence.diff.changes import Difference, How, Mark
from twinloop.scenarios.evidence.diff.data import as_json
from twinloop.scenarios.evidence.diff.difference import compared
from twinloop.scenarios.evidence.diff.documents import Run, Side
from twinloop.scenarios.evidence.diff.significance import ALPHA
from twinloop.scenarios.evidence.diff.told import change_texts
from twinloop.scenarios.file.load import load_text
from twinloop.scenarios.report.document import entry, text
from twinloop.scenarios.runner import Options, run

SMALL = """\
format: 2
name: small
duration: 20 s
grace: 5 s
fleets:
  presses: {device: press-sensor, protocol: modbus-tcp, count: 8, poll: 1 s, phase: spread, link: plant, gateway: gw, driver: modbus-driver}
links:
  plant: {preset: lan, loss: 0.5 %}
  cloud: {preset: lte}
components:
  modbus-driver: {wasm: modbus-driver.wasm, grants: [fieldbus, clock, log]}
  normalize: {wasm: normalize.wasm, grants: [log]}
  route: {wasm: route.wasm, grants: [log]}
gateways:
  gw: {board: raspberry-pi-4, transform: normalize, policy: route, uplink: {link: cloud}, store: {}}
expect:
  - p50(latency.gateway) <= 1600 us
  - count(samples.lost) == 0
"""
SLOW = SMALL.replace("preset: lan, loss", "preset: lan, delay: 290 us, loss")
"""about a tenth more latency at the gateway"""
SOAK = "TWINLOOP_SOAK" in os.environ
POOL = 400 if SOAK else 40
"""seeds of one and the same thing"""
PAIRS = 200 if SOAK else 40
"""of results that are compared, which share the pool, for speed"""
SWAPPED = re.compile(
    r"^( +local\.get \S+\n)( +local\.get \S+\n)( +\w+\.(?:add|mul|and|or|eq|ne)\n)", re.MULTILINE
)
"""two operands of an operator that doesn't mind their order"""

Entry = dict[str, Any]


def entries(host: Host, scenario: str, seeds: range, out: Path | None = None) -> list[Entry]:
    loaded = load_text(scenario, Path("small.yaml"))
    found = []
    for seed in seeds:
        result = run(loaded, Options(seed=seed, out=None if out is None else out / f"seed-{seed}"), host)
        found.append(json.loads(text([entry(loaded.file, result, 0)]))["results"][0])
    return found


@pytest.fixture(scope="module")
def same(host: Host) -> list[Entry]:
    """Seeds 1 to POOL."""
    return entries(host, SMALL, range(1, POOL + 1))


@pytest.fixture(scope="module")
def slow(host: Host) -> list[Entry]:
    """Seeds 1 to 8 with the slower link."""
    return entries(host, SLOW, range(1, 9))


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., str]:
    """A document in a file."""

    def write(name: str, results: list[Entry], key: str = "results") -> str:
        (tmp_path / name).write_text(json.dumps({"format": 1, key: results}))
        return str(tmp_path / name)

    return write


def side(results: list[Entry]) -> Side:
    return Side(["x"], [Run("x", one) for one in results])


def reseeded(results: list[Entry], first: int = 1) -> list[Entry]:
    """As if they had been run under other seeds."""
    return [{**one, "seed": first + i} for i, one in enumerate(results)]


def regressions(found: Difference) -> dict[str, None]:
    return dict.fromkeys(change.name for one in found.scenarios for change in one.marked(Mark.REGRESSION))


def test_a_tenth_more_latency_is_found_by_seed(
    same: list[Entry], slow: list[Entry], written: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    before, after = written("a.json", same[:8]), written("b.json", slow, "runs")
    assert main(["diff", before, after]) == 1
    told = capsys.readouterr().out
    assert "seeds 1 to 8 on both sides, paired by seed" in told
    assert "the scenario itself changed" in told
    assert "at most 5 % of such reports raise a false alarm about figures" in told
    found = compared(side(same[:8]), side(slow))
    assert {"latency gateway p50", "latency gateway p95", "stage bus p50"} <= regressions(found).keys()
    assert not any("fuel" in name or "cloud" in name for name in regressions(found))
    change = next(one for one in found.scenarios[0].figures if one.name == "latency gateway p50")
    assert change.p is not None
    assert change.p <= 2 / 256
    assert change.ratio == pytest.approx(1.12, abs=0.03)
    assert found.scenarios[0].figures == sorted(  # the marks don't disturb the table's order
        found.scenarios[0].figures, key=found.scenarios[0].figures.index
    )


def test_it_is_found_between_other_seeds_too_and_better_is_told(same: list[Entry], slow: list[Entry]) -> None:
    found = compared(side(same[8:16]), side(slow))
    assert found.scenarios[0].how is How.UNPAIRED
    assert "latency gateway p50" in regressions(found)
    back = compared(side(slow), side(same[8:16]))
    assert not back.regressions
    assert "latency gateway p50" in [one.name for one in back.scenarios[0].marked(Mark.IMPROVEMENT)]


def test_within_the_margin_it_is_none(same: list[Entry], slow: list[Entry]) -> None:
    found = compared(side(same[:8]), side(slow), margin=0.3)
    assert not regressions(found)
    assert found.regressions == len(found.scenarios[0].findings) == 2  # but the promise is broken


def test_no_alarms_between_seeds_of_the_same_thing(same: list[Entry]) -> None:
    """Pairs of eight seeds each, with no margin: each report may raise an alarm in 5 % of the cases."""
    dice = random.Random(1)
    alarms = 0
    for _ in range(PAIRS):
        chosen = dice.sample(same, 16)
        found = compared(side(chosen[:8]), side(chosen[8:]), margin=0.0)
        assert found.scenarios[0].how is How.UNPAIRED
        alarms += bool(found.regressions)
    print(f"{alarms} alarms in {PAIRS} reports of two groups")
    assert alarms <= most_of(PAIRS, ALPHA)


def rewritten(component: Path) -> bytes:
    """A component that does the same at the same cost, with other instructions."""
    tool = Path(sysconfig.get_path("scripts")) / "wasm-tools"
    told = subprocess.run([tool, "print", component], capture_output=True, text=True, check=True).stdout
    told, places = SWAPPED.subn(r"\2\1\3", told)
    assert places > 10
    return subprocess.run([tool, "parse", "-"], input=told.encode(), capture_output=True, check=True).stdout


def test_no_alarms_from_a_component_that_is_written_anew_and_costs_the_same(
    host: Host, same: list[Entry], tmp_path: Path
) -> None:
    """Other bytes of one of the components, other seeds, no margin: that it is another one is told, and no
    figure is called worse more often than stated."""
    (tmp_path / "anew.wasm").write_bytes(rewritten(WASM / "normalize.wasm"))
    anew = SMALL.replace("wasm: normalize.wasm", "wasm: anew.wasm")
    loaded = load_text(anew, tmp_path / "small.yaml")

    def one(seed: int) -> Entry:
        return json.loads(text([entry(loaded.file, run(loaded, Options(seed=seed), host), 0)]))["results"][0]

    assert one(1)["digest"] == same[0]["digest"]  # to the last event: it costs the same
    pool = [one(1000 + i) for i in range(POOL // 2)]
    dice = random.Random(3)
    alarms = 0
    for _ in range(PAIRS):
        found = compared(side(dice.sample(same, 8)), side(dice.sample(pool, 8)), margin=0.0)
        assert found.scenarios[0].how is How.UNPAIRED
        assert any(one.startswith("component normalize: ") for one in found.scenarios[0].changed)
        alarms += bool(found.regressions)
    print(f"{alarms} alarms in {PAIRS} reports of a component written anew")
    assert alarms <= most_of(PAIRS, ALPHA)


def test_no_alarms_between_pairs_of_the_same_thing(same: list[Entry]) -> None:
    """The same where seeds are paired, whose draws nothing has in common any more."""
    dice = random.Random(2)
    alarms = 0
    for _ in range(PAIRS):
        chosen = dice.sample(same, 16)
        found = compared(side(reseeded(chosen[:8])), side(reseeded(chosen[8:])), margin=0.0)
        assert found.scenarios[0].how is How.PAIRED
        alarms += bool(regressions(found))
    print(f"{alarms} alarms in {PAIRS} reports of pairs")
    assert alarms <= most_of(PAIRS, ALPHA)


def test_samples_of_two_folders(host: Host, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Blocks of time: a slower link is found in one run a side; runs whose draws differ raise no more alarms
    than they may."""
    entries(host, SMALL, range(1, 9), tmp_path / "a")
    entries(host, SLOW, range(1, 2), tmp_path / "b")
    assert main(["diff", str(tmp_path / "a" / "seed-1"), str(tmp_path / "b" / "seed-1")]) == 1
    told = capsys.readouterr().out
    assert "samples paired by device and number, in 6 blocks of time" in told
    assert "latency gateway p50" in told
    assert main(["diff", str(tmp_path / "a" / "seed-1"), str(tmp_path / "a" / "seed-1")]) == 0
    assert "both sides are the same to the last event" in capsys.readouterr().out
    assert main(["diff", str(tmp_path / "a"), str(tmp_path / "a")]) == 0
    assert "seeds 1 to 8: both sides" in capsys.readouterr().out
    folders = sorted((tmp_path / "a").iterdir())
    reports = alarms = 0
    for i, one in enumerate(folders):
        for other in folders[i + 1 :]:
            runs = [
                Side(
                    [],
                    [Run("x", {**json.loads((at / "result.json").read_text())["results"][0], "seed": 7}, at)],
                )
                for at in (one, other)
            ]
            found = compared(*runs, margin=0.0)
            assert found.scenarios[0].how is How.BLOCKS
            reports += 1
            alarms += any(
                change.p is not None and change.mark is Mark.REGRESSION
                for change in found.scenarios[0].figures
            )
    print(f"{alarms} alarms in {reports} reports of blocks")
    assert alarms <= most_of(reports, ALPHA)


def one_seed(before: Entry, change: Callable[[Entry], None], **options: float) -> Difference:
    after = copy.deepcopy(before)
    after["digest"] = "0" * 64
    change(after)
    return compared(side([before]), side([after]), **options)


def test_one_pair_says_that_it_cannot_tell(
    same: list[Entry], slow: list[Entry], written: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["diff", "--against", written("a.json", same[:1]), written("b.json", slow[:1])]) == 1
    told = capsys.readouterr().out
    assert "One pair of figures can't tell noise from change" in told
    assert "Too few seeds to tell: at least 5 on each side" in told
    assert "not tested" in told
    found = compared(side(same[:4]), side(slow[:4]))
    assert (found.scenarios[0].how, found.scenarios[0].needed) == (How.MARGIN, 5)
    assert compared(side(same[:2]), side(slow[2:4])).scenarios[0].needed == 3


def test_fuel_is_exact(same: list[Entry]) -> None:
    def dearer(after: Entry) -> None:
        after["gateways"]["gw"]["components"]["route"]["fuel"] *= 1.1
        after["components"]["route"] = "f" * 64

    found = one_seed(same[0], dearer)
    assert regressions(found) == {"gw route fuel a call": None}
    assert any(one.startswith("component route: ") for one in found.scenarios[0].changed)
    assert not one_seed(same[0], dearer, margin=0.11).regressions


def test_books_and_verdicts(same: list[Entry]) -> None:
    def lossy(after: Entry) -> None:
        after["ledger"]["lost"] = {"no-store": 3}
        after["verdict"] = "FAIL"
        after["expectations"][1].update(verdict="FAIL", measured=3)
        after["truth"]["wrong"] = 1

    found = one_seed(same[0], lossy)
    assert found.scenarios[0].findings == [
        "verdict FAIL where it was PASS (seed 1)",
        "it held and doesn't any more: count(samples.lost) == 0 (seed 1)",
        "3 samples lost with the cause no-store; before, none was",
        "1 reading isn't what the device showed; before, all were",
    ]
    worse = found.scenarios[0].expectations[1]
    assert (worse.before, worse.after, worse.held, worse.runs) == (0, 3, (1, 0), (1, 1))
    assert {"samples lost no-store", "readings wrong"} == regressions(found).keys()
    broken = copy.deepcopy(same[0])
    lossy(broken)
    back = one_seed(broken, lambda after: after.update(same[0], digest="1" * 64))
    assert not back.regressions
    assert [(one.before, one.after, one.worse) for one in back.scenarios[0].verdicts] == [
        ("FAIL", "PASS", False)
    ]


def test_a_new_cause_of_the_field_is_tested_and_one_of_the_gateway_is_not(same: list[Entry]) -> None:
    for cause, found_by_rule in (("timeout", 0), ("driver-fault", 1)):
        after = copy.deepcopy(same[8:16])
        after[0]["ledger"]["missed"] = {cause: 10}
        found = compared(side(reseeded(same[:8])), side(reseeded(after)))
        assert found.scenarios[0].how is How.PAIRED
        assert len(found.scenarios[0].findings) == found_by_rule
        assert f"samples missed {cause}" not in regressions(found)  # one seed of eight
        for one in after:
            one["ledger"]["missed"] = {cause: 10}
        found = compared(side(reseeded(same[:8])), side(reseeded(after)))
        assert f"samples missed {cause}" in regressions(found)
    alone = one_seed(same[0], lambda after: after["ledger"].update(missed={"timeout": 1}))
    assert alone.scenarios[0].findings == ["1 sample missed with the cause timeout; before, none was"]


def test_a_rank_that_never_comes_is_worse_than_any(same: list[Entry]) -> None:
    def never(after: Entry) -> None:
        after["latency"]["cloud"].update(never=10**6, p99_ns=None)

    found = one_seed(same[0], never)
    assert regressions(found) == {"latency cloud p99": None}
    before, after = copy.deepcopy(same[:8]), copy.deepcopy(same[8:16])
    for one in after[1:]:
        never(one)
    found = compared(side(reseeded(before)), side(reseeded(after)))
    assert regressions(found) == {"latency cloud p99": None}
    (change,) = found.scenarios[0].marked(Mark.REGRESSION)
    assert change_texts(change)[1] == "never in 7 runs"
    assert change.before < change.after < math.inf
    assert (change.ratio, change.size) == (None, math.inf)


def test_broken_expectations_of_other_seeds_are_tested(same: list[Entry]) -> None:
    after = copy.deepcopy(same[8:16])
    for one in after[:1]:
        one["verdict"] = one["expectations"][0]["verdict"] = "FAIL"
    assert not compared(side(same[:8]), side(after)).regressions  # one seed of eight: chance
    for one in after:
        one["verdict"] = one["expectations"][0]["verdict"] = "FAIL"
    found = compared(side(same[:8]), side(after))
    assert {"runs that didn't pass", "broken: p50(latency.gateway) <= 1600 us"} <= regressions(found).keys()
    assert [one.whose for one in found.scenarios[0].verdicts] == ["all runs"]


def test_several_scenarios_are_corrected_together(same: list[Entry], slow: list[Entry]) -> None:
    first = [{**one, "scenario": name} for name in ("a", "b", "c") for one in same[:5]]
    second = [{**one, "scenario": name} for name in ("a", "b", "c") for one in slow[:5]]
    found = compared(side(first), side(second))
    assert [(one.how, one.needed) for one in found.scenarios] == [(How.MARGIN, 6)] * 3  # 3/32 is over 5 %
    assert compared(side(first[:5]), side(second[:5])).scenarios[0].how is How.PAIRED
    some = compared(side(first), side([*second[5:], {**slow[7], "scenario": "d"}]))
    assert some.only == (["a"], ["d"])


def test_what_cannot_be_run_any_more_is_a_regression(
    same: list[Entry], written: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    error = {
        "kind": "error",
        "file": "other.yaml",
        "seed": None,
        "verdict": None,
        "code": 3,
        "error": "$.x: no",
    }
    before, after = written("a.json", same[:1]), written("b.json", [*same[:1], error])
    assert main(["diff", before, after]) == 1
    assert "other.yaml can't be run: $.x: no" in capsys.readouterr().out
    assert main(["diff", after, after]) == 0


def test_seeds_of_one_side_alone_are_left_out_and_told(same: list[Entry], slow: list[Entry]) -> None:
    found = compared(side(same[:8]), side([*slow[2:], {**same[30], "seed": 99}]))
    assert len(found.scenarios[0].before) == len(found.scenarios[0].after) == 6
    assert found.scenarios[0].changed[:2] == [
        "only A has the seeds 1, 2: they are left out, the others are paired",
        "only B has the seeds 99: they are left out, the others are paired",
    ]


def test_its_document_fits_the_schema(same: list[Entry], slow: list[Entry]) -> None:
    """Each way of comparing, values that never came, what can't be run, what one side alone has."""
    schema = json.loads((Path(difference.__file__).with_name("difference.schema.json")).read_text())
    never = copy.deepcopy(slow[:1])
    never[0]["latency"]["cloud"].update(never=10**6, p99_ns=None)
    gone = side(slow[:8])
    gone.errors.append(("other.yaml", "$.x: no"))
    lone = [{**one, "scenario": "lone"} for one in same[:1]]
    found = [
        compared(side(same[:8]), gone),
        compared(side(same[8:16]), side([*slow, *lone])),
        compared(side(same[:1]), side(never)),
        compared(side(same[:1]), side(same[:1])),
    ]
    assert [one.scenarios[0].how for one in found] == [How.PAIRED, How.UNPAIRED, How.MARGIN, How.SAME]
    for one in found:
        document = json.loads(json.dumps(as_json(one), allow_nan=False))
        jsonschema.validate(document, schema)
        extra = copy.deepcopy(document)
        extra["scenarios"][0]["more"] = 1
        with pytest.raises(jsonschema.ValidationError, match="more"):
            jsonschema.validate(extra, schema)
    assert (found[0].errors, found[1].only) == (["other.yaml can't be run: $.x: no"], ([], ["lone"]))
