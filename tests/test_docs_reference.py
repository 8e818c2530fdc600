"""Hand-written reference pages name what the code has: causes, keys of model files, entry points; nothing can
be forgotten there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Literal, get_args, get_origin

import pytest
from pydantic import BaseModel

import twinloop
from tests.scenarios.shipped_runs import ShippedRuns
from twinloop.components.host.outcome import Cause
from twinloop.devices.catalogue import catalog
from twinloop.devices.model.device import POINTS_MAX, DeviceModel
from twinloop.devices.model.points import SENTINELS_MAX
from twinloop.devices.model.signal import KINDS, Signal
from twinloop.scenarios.cli import elsewhere
from twinloop.scenarios.file.datasheet.blocks import (
    ORDERS,
    IdentityBlock,
    ModelFile,
    PointBlock,
    ResponseBlock,
    SignalBlock,
)
from twinloop.scenarios.file.datasheet.reading import read_model
from twinloop.scenarios.judging.verdict import EXIT_CODES
from twinloop.sim.accounts.rows import CAUSES, End
from twinloop.sim.states import TABLES

DOCS = Path(__file__).parents[1] / "docs"
CAUSES_PAGE = (DOCS / "causes.md").read_text()


def rows(text: str, heading: str) -> list[list[str]]:
    """The cells of the first table below a heading, without its head."""
    section = text.split(f"\n{heading}\n", 1)[1].split("\n## ", maxsplit=1)[0]
    table = section[section.index("\n|") + 1 :].split("\n\n", maxsplit=1)[0].splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table[2:]]


def named(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


@pytest.mark.parametrize("end", [end for end, causes in CAUSES.items() if causes != ("",)], ids=str)
def test_every_cause_of_a_state_is_explained(end: End) -> None:
    found = rows(CAUSES_PAGE, f"## Causes of `{end.value}`")
    assert [named(row[0])[0] for row in found] == list(CAUSES[end])
    assert all(all(row[1:4]) for row in found)


def test_every_state_and_every_fault_is_explained() -> None:
    assert sorted(named(row[0])[0] for row in rows(CAUSES_PAGE, "## The states")) == sorted(
        end.value for end in End
    )
    assert sorted(
        name for row in rows(CAUSES_PAGE, "## Faults of components") for name in named(row[0])
    ) == sorted(one.value for one in Cause)


SEEN_IN: dict[str, list[tuple[str, str]]] = {}
for state in ("missed", "lost", "evicted", "dropped"):
    for row in rows(CAUSES_PAGE, f"## Causes of `{state}`"):
        for scenario in named(row[4]):
            SEEN_IN.setdefault(scenario, []).append((state, named(row[0])[0]))


@pytest.mark.parametrize("scenario", SEEN_IN)
def test_a_cause_is_seen_in_the_scenario_that_its_row_names(shipped_runs: ShippedRuns, scenario: str) -> None:
    ledger = shipped_runs(scenario).data["ledger"]
    assert [(state, cause) for state, cause in SEEN_IN[scenario] if not ledger[state].get(cause)] == []


def test_a_samples_way_names_every_cause() -> None:
    """The figure of how-it-works.md, and the sentences below it."""
    section = (DOCS / "how-it-works.md").read_text().split("\n## A sample's way\n")[1].split("\n## ")[0]
    assert [cause for causes in CAUSES.values() for cause in causes if cause not in section] == []


MODEL_PAGE = (DOCS / "model-file.md").read_text()


def key_rows(heading: str) -> dict[str, tuple[str, str]]:
    """Key -> (type, default) of the table that begins with ``key`` below a heading."""
    section = MODEL_PAGE.split(f"\n{heading}\n", 1)[1].split("\n## ", 1)[0]
    table = section.split("| key | type | default | meaning |\n|---|---|---|---|\n", 1)[1].split("\n\n", 1)[0]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
    assert all(row[3] for row in cells)
    return {named(row[0])[0]: (row[1], row[2]) for row in cells}


@pytest.mark.parametrize(
    ("heading", "block"),
    [
        ("## The file", ModelFile),
        ("## A point", PointBlock),
        ("## A signal", SignalBlock),
        ("## How long answers take", ResponseBlock),
        ("## Identity", IdentityBlock),
    ],
)
def test_every_key_of_a_model_file_is_explained(heading: str, block: type[BaseModel]) -> None:
    told = key_rows(heading)
    fields = {field.alias or name: field for name, field in block.model_fields.items()}
    assert list(told) == list(fields)
    for key, field in fields.items():
        kind, default = told[key]
        assert (default == "needed") == field.is_required(), key
        if get_origin(field.annotation) is Literal:
            assert named(kind) == [str(one) for one in get_args(field.annotation)], key
        if not field.is_required() and default.startswith("`") and named(default)[0] not in fields:
            assert default.strip("`") == (
                str(field.default).lower() if isinstance(field.default, bool) else str(field.default)
            ), key


def test_every_type_and_every_order_is_explained() -> None:
    types = [name for row in rows(MODEL_PAGE, "### Types") for name in named(row[0])]
    assert sorted(types) == sorted(get_args(PointBlock.model_fields["type"].annotation))
    told = {word: word for row in rows(MODEL_PAGE, "### Orders") for word in named(row[0])}
    told |= {letters: named(row[0])[0] for row in rows(MODEL_PAGE, "### Orders") for letters in named(row[1])}
    assert told == ORDERS


def test_every_kind_of_signal_is_explained() -> None:
    assert [named(row[0])[0] for row in rows(MODEL_PAGE, "## A signal")] == list(
        get_args(SignalBlock.model_fields["kind"].annotation)
    )
    assert sorted(KINDS) == sorted(get_args(SignalBlock.model_fields["kind"].annotation))


@pytest.mark.parametrize("page", ["model-file.md", "howto/your-device.md"])
def test_a_model_file_is_read_and_polled(page: str, tmp_path: Path) -> None:
    found = re.findall(
        r"^```yaml\n# (model/\S+\.yaml)\n(.*?)^```", (DOCS / page).read_text(), re.MULTILINE | re.DOTALL
    )
    assert len(found) == 1
    name, text = found[0]
    read_model(text, Path(name), name)
    (tmp_path / "model").mkdir()
    (tmp_path / name).write_text(text)
    fleet = {"device": name, "protocol": "modbus-tcp", "count": 2, "poll": "1 s"}
    tutorial = (DOCS / "tutorial.md").read_text().split("# my-plant.yaml: PASS\n")[1].split("```")[0]
    plant = twinloop.load_text(tutorial).changed({"fleets": {"presses": fleet}}, duration="10 s")
    result = twinloop.run(twinloop.Scenario.of(plant.data, tmp_path))
    assert result.verdict is twinloop.Verdict.PASS
    assert not result.data["quality"]["valueless_count"]


MODEL_DEFAULTS = Signal()


def test_defaults_that_are_told_in_words() -> None:
    assert MODEL_DEFAULTS.period == 600
    assert (
        read_model(
            MODEL_PAGE.split("# model/pump.yaml\n")[1].split("```")[0].replace("like: press-sensor\n", ""),
            Path("x"),
            "x",
        ).response_ns
        == 1_000_000
    )
    assert DeviceModel.__dataclass_fields__["serial_response_ns"].default == 5_000_000
    assert (POINTS_MAX, SENTINELS_MAX) == (500, 4)


PACKAGE_PAGE = (DOCS / "howto" / "your-package.md").read_text()


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package of the page, built and installed into a folder of its own."""
    folder = tmp_path_factory.mktemp("package")
    files = re.findall(r"^```(?:toml|py|yaml)\n# (\S+)\n(.*?)^```", PACKAGE_PAGE, re.MULTILINE | re.DOTALL)
    assert [name for name, _ in files] == [
        "pyproject.toml",
        "acme_twinloop/devices.py",
        "acme_twinloop/points.py",
        "cooling.yaml",
    ]
    (folder / "acme_twinloop").mkdir()
    (folder / "acme_twinloop" / "__init__.py").touch()
    for name, text in files:
        (folder / name).write_text(text)
    pip = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-build-isolation",
        "--no-deps",
        "--no-index",
        "--target",
        str(folder / "site"),
        str(folder),
    ]
    subprocess.run(pip, check=True)
    return folder


def twinloop_command(installed: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    search = os.pathsep.join([str(installed / "site"), str(DOCS.parent)])
    command = [sys.executable, "-m", "twinloop", *arguments]
    return subprocess.run(
        command,
        cwd=installed,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": search},
    )


def test_a_package_of_ones_own_brings_a_device_and_a_command(installed: Path) -> None:
    assert "cooling-tower  " in twinloop_command(installed, "list", "devices").stdout
    told = twinloop_command(installed, "points", "cooling-tower")
    assert told.returncode == 0
    assert told.stdout in PACKAGE_PAGE
    assert twinloop_command(installed, "points").returncode == 3
    ran = twinloop_command(installed, "run", "cooling.yaml")
    assert "PASS" in ran.stdout, ran.stdout + ran.stderr
    assert ran.returncode == 0


def test_the_groups_of_entry_points_are_those_of_the_code() -> None:
    assert [named(row[0])[0] for row in rows(f"\n## All\n{PACKAGE_PAGE}", "## All")] == [
        catalog.ENTRY_POINTS,
        elsewhere.ENTRY_POINTS,
    ]


def test_every_state_of_the_figure_is_explained() -> None:
    page = (DOCS / "states.md").read_text()
    headings = {
        "gateway": "## Gateway",
        "component": "## Component",
        "uplink session": "## Uplink session",
        "role in a pair": "## Role in a pair",
        "upgrade": "## Upgrade",
    }
    assert list(headings) == [table.of for table in TABLES]
    for name, heading in headings.items():
        known = {
            state
            for (origin, _), to in next(table for table in TABLES if table.of == name).items()
            for state in (origin, to)
        }
        assert sorted(named(row[0])[0] for row in rows(page, heading)) == sorted(known), name


def test_the_readmes_verdicts_are_those_of_the_program() -> None:
    told = {
        row[0]: row[1]
        for row in rows((DOCS.parent / "README.md").read_text(), "## The verdict")
        if row[0] != "(error)"
    }
    assert told == {verdict.value: str(code) for verdict, code in EXIT_CODES.items()}
