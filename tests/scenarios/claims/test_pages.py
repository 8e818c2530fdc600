"""docs/claims.md and the README say what measured.json says."""

from __future__ import annotations

import statistics
from typing import Any

import pytest

from benchmarks.claims import page
from benchmarks.claims.__main__ import PAGE, README
from twinloop.scenarios.claims.measured import measured

FOUND = measured()


def of(claim: str) -> dict[str, Any]:
    return next(one for one in FOUND["claims"] if one["id"] == claim)


def test_the_page_is_written_from_the_measure() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert page.page(text, FOUND) == text, "run python -m benchmarks.claims --write"


def test_the_readme_is_written_from_the_measure() -> None:
    text = README.read_text(encoding="utf-8")
    assert page.readme(text, FOUND) == text, "run python -m benchmarks.claims --write"
    for name in page.README_CLAIMS:
        assert of(name)["why"] in text


def test_another_measure_is_another_page() -> None:
    one = of("native")
    changed = {**FOUND, "claims": [{**one, "why": "It is quite different."}]}
    assert page.readme(README.read_text(encoding="utf-8"), changed) != README.read_text(encoding="utf-8")
    with pytest.raises(ValueError, match="expected one"):
        page.between("no markers", "x")


def test_figures_that_tools_measured_are_those_of_the_claims() -> None:
    kernels = FOUND["native"]["kernels"].values()
    mean = statistics.geometric_mean(one["wasm_ns"] / one["native_ns"] for one in kernels)
    assert of("native")["figures"][0]["value"] == pytest.approx(mean, rel=1e-5)
    runtimes = [name for name in ("crun", "runc") if "missing" not in FOUND["containers"][name]]
    for name in runtimes:
        ratio = FOUND["containers"][name]["start_ns"] / FOUND["containers"]["instance_ns"]
        values = [
            one["value"] for one in of("containers")["figures"] if one["what"].endswith(f"instance's, {name}")
        ]
        assert values == pytest.approx([ratio], rel=1e-5)


def test_ways_are_told_once_and_of_boards_by_name_where_they_differ() -> None:
    def figure(where: str, how: str) -> dict[str, str]:
        kind = "measured" if where == "here" else "modelled"
        return {"where": where, "kind": kind, "how": how}

    one, other, third = figure("here", "so"), figure("a", "thus"), figure("b", "thus")
    assert page._hows([one, other, third]) == ["Measured: so.  ", "Modelled: thus.  "]
    assert page._hows([other, figure("b", "else")]) == ["Modelled, a: thus.  ", "Modelled, b: else.  "]


def test_addresses_are_links() -> None:
    assert page.source("unchecked; https://a.example/b: so") == "unchecked; <https://a.example/b>: so"
    assert page.row("a|b", "c") == "| a\\|b | c |"


def test_what_was_not_measured_says_why() -> None:
    text = page.tables({**FOUND, "native": {"missing": "no compiler"}})
    assert text.endswith("### Kernels\n\nNot measured: no compiler\n")
