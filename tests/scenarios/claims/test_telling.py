"""The table, the sentences and the document have every claim and every figure."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import pytest
from rich.console import Console

from tests.scenarios.claims.benches import Bench
from twinloop.scenarios.claims import computing, containers, density, reacting, starting, telling
from twinloop.scenarios.claims.claim import Bound, Figure, Finding
from twinloop.scenarios.claims.finding import CLAIMS

DOCS = Path(__file__).parents[3] / "docs"
ROOMS = (starting, density, reacting, containers)


def findings() -> list[Finding]:
    """All claims but limits', which runs guests, and crossing's, which measures."""
    bench = Bench("raspberry-pi-4", "imx6ull")
    claims = [one for room in ROOMS for one in room.CLAIMS] + list(computing.CLAIMS[:1])
    return [Finding(one, tuple(one.find(bench))) for one in claims]


@pytest.mark.parametrize("width", [80, 150, 100_000])
def test_the_table_has_all_claims(width: int) -> None:
    out = io.StringIO()
    found = findings()
    telling.tell(Console(file=out, width=width), found)
    text = " ".join(out.getvalue().split())
    for finding in found:
        assert f"{finding.claim.words}: {finding.verdict.value}. {finding.why}" in text
    assert max(len(line) for line in out.getvalue().splitlines()[:20]) <= max(
        150, width if width < 1000 else 0
    )
    assert "(kept): measured by `make claims`" in text


def test_claims_have_names_of_their_own_and_sources() -> None:
    assert len({one.id for one in CLAIMS}) == len(CLAIMS) == 10
    assert all(one.source.startswith(("https://", "unchecked")) for one in CLAIMS)


def test_what_is_modelled_in_a_cell() -> None:
    def figure(where: str, value: float, low: float, high: float) -> Figure:
        return Figure("x", where, value, "ns", Bound(most=1e6), low, high)

    one, other = figure("a", 2000, 1000, 4000), figure("b", 3000, 1500, 6000)
    assert telling.modelled_text([other, one]) == "2 us a to 3 us b; bands 1 us to 6 us"
    assert telling.modelled_text([one]) == "2 us (1 us ... 4 us) a"
    assert telling.modelled_text([figure("a", 5, 5, 5), figure("b", 6, 6, 6)]) == "5 ns a to 6 ns b"
    assert telling.modelled_text([figure("a", 5, 5, 5), figure("b", 5, 5, 5)]) == "5 ns"
    under = [
        Figure("x", "a", value, "ns", Bound(), value, value, host) for value, host in ((5, "p"), (6, "q"))
    ]
    assert telling.modelled_text(under) == "5 ns a under p to 6 ns a under q"
    assert telling.modelled_text([]) == telling.measured_text([]) == "-"


def test_the_document_is_json_and_documented() -> None:
    found = telling.document(findings(), "2026-11-29")
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    page = (DOCS / "claims.md").read_text()
    documented = set(re.findall(r"`(\w+)`", page[page.index("## The JSON document") :]))
    keys = {*found, *found["claims"][0]}
    for claim in found["claims"]:
        keys |= {key for figure in claim["figures"] for key in figure}
    assert keys - documented == set()


def test_what_never_ends_is_a_word() -> None:
    figure = Figure("x", "imx6ull", 1.0, "ns", Bound(most=2), 0.5, float("inf"))
    (entry,) = telling.entry(Finding(CLAIMS[0], (figure,)))["figures"]
    assert (entry["value"], entry["low"], entry["high"], entry["holds"]) == (1.0, 0.5, "never", "band")
