"""Hand-written reference pages name what the code has: causes, keys of model files, entry points; nothing can be forgotten there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import twinloop
from twinloop.components.host.outcome import Cause
from twinloop.sim.accounts.ledger import CAUSES, End

DOCS = Path(__file__).parents[1] / "docs"
CAUSES_PAGE = (DOCS / "causes.md").read_text()


def rows(text: str, heading: str) -> list[list[str]]:
    """The cells of the first table below a heading, without its head."""
    section = text.split(f"\n{heading}\n", 1)[1].split("\n## ", maxsplit=1)[0]
    table = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table[2:]]


def named(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


@pytest.mark.parametrize("end", [end for end, causes in CAUSES.items() if causes != ("",)], ids=str)
def test_every_cause_of_a_state_is_explained(end: End) -> None:
    found = rows(CAUSES_PAGE, f"## Causes of `{end.value}`")
    assert [named(row[0])[0] for row in found] == list(CAUSES[end])
    assert all(all(row[1:4]) for row in found)


def test_every_state_and_every_fault_is_explained() -> None:
    assert sorted(named(row[0])[0] for row in rows(CAUSES_PAGE, "## The states")) == sorted(end.value for end in End)
    assert sorted(name for row in rows(CAUSES_PAGE, "## Faults of components") for name in named(row[0])) == sorted(one.value for one in Cause)


SEEN_IN: dict[str, list[tuple[str, str]]] = {}
for state in ("missed", "lost", "evicted", "dropped"):
    for row in rows(CAUSES_PAGE, f"## Causes of `{state}`"):
        for scenario in named(row[4]):
            SEEN_IN.setdefault(scenario, []).append((state, named(row[0])[0]))


@pytest.mark.parametrize("scenario", SEEN_IN)
def test_a_cause_is_seen_in_the_scenario_that_its_row_names(scenario: str) -> None:
    ledger = twinloop.run(scenario).data["ledger"]
    assert [(state, cause) for state, cause in SEEN_IN[scenario] if not ledger[state].get(cause)] == []


def test_a_samples_way_names_every_cause() -> None:
    """The figure of how-it-works.md, and the sentences below it."""
    section = (DOCS / "how-it-works.md").read_text().split("\n## A sample's way\n")[1].split("\n## ")[0]
    assert [cause for causes in CAUSES.values() for cause in causes if cause not in section] == []
