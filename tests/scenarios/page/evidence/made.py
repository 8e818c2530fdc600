"""Entries of many seeds that no test has to run for, and what a page says, read back.

Belongs here: making and reading. Never: assertions.
"""

from __future__ import annotations

import json
import re
from html import escape
from typing import Any

from tests.scenarios.page.test_page import Read

MISSED, LATENCY = "count(samples.missed) <= 10", "p95(latency.gateway) <= 20 ms"


def entry(seed: int, missed: float | None = 0, latency: float | str | None = 3_000_000) -> dict[str, Any]:
    """A result as the document has it. ``latency``: ``never`` for one later than any bound."""
    judged: list[dict[str, Any]] = [
        {
            "expression": MISSED,
            "verdict": "NO-DATA" if missed is None else "PASS" if missed <= 10 else "FAIL",
            "measured": missed,
            "unit": "count",
        },
        {
            "expression": LATENCY,
            "verdict": "NO-DATA"
            if latency is None
            else "PASS"
            if isinstance(latency, int) and latency <= 20_000_000
            else "FAIL",
            "measured": None if latency == "never" else latency,
            "unit": "ns",
        },
    ]
    if latency == "never":
        judged[1]["never"] = True
    found = [one["verdict"] for one in judged]
    verdict = next((one for one in ("FAIL", "NO-DATA") if one in found), "PASS")
    return {
        "kind": "result", "file": "made.yaml", "seed": seed, "verdict": verdict, "code": {"PASS": 0, "FAIL": 1}.get(verdict, 4),
        "scenario": "made", "scenario_digest": "a" * 64, "components": {"route": "b" * 64}, "recordings": {"pump": "c" * 64},
        "expectations": judged, "unspoken": {}, "bands": {"gw": {"board": "raspberry-pi-4", "factor": 2.0}},
        "versions": {"twinloop": "0.1.0"}, "run": {"wall_s": 0.25}, "reproduce": f"twinloop run made.yaml --seed {seed} --set 'a b=1'",
    }  # fmt: skip


def failed(seed: int, code: int = 71, error: str = "no memory") -> dict[str, Any]:
    """A seed that ended in an error."""
    return {"kind": "error", "file": "made.yaml", "seed": seed, "verdict": None, "code": code, "error": error}


def carried(text: str) -> dict[str, Any]:
    """The figures that a page carries."""
    found = re.search(r'id="data">(.*?)</script>', text)
    assert found
    data: dict[str, Any] = json.loads(found[1])
    return data


def rows(text: str, caption: str) -> list[list[str]]:
    """The text of each cell of a table, by rows."""
    table = text[text.index(f"<caption>{escape(caption)}") :]
    table = table[: table.index("</table>")]
    cells = [
        re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.DOTALL)
        for row in re.findall(r"<tr>.*?</tr>", table, re.DOTALL)
    ]
    return [
        [" ".join("".join(text for _, text in Read(cell).texts).split()) for cell in row] for row in cells
    ]


def marks(text: str, name: str) -> list[tuple[str, str]]:
    """(shape and colour, height) of each mark of a picture that stands in it."""
    figure = text[text.index(f'<figure id="{name}"') :]
    figure = figure[: figure.index("<ul")]
    return [
        (f"{tag} {colour}", cy or y or (d or "").partition(" ")[2])
        for tag, colour, cy, y, d in re.findall(
            r'<(circle|rect|path) class="m ?([a-z ]*)"(?: cx="[^"]*" cy="([^"]*)")?(?: x="[^"]*" y="([^"]*)")?(?: d="([^"]*)")?',
            figure,
        )
    ]
