"""What docs/ shows is what happens: Python runs as a reader would copy it, each whole scenario has the
verdict that its first line says and prints what stands below it."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from rich.console import Console

from twinloop.components.host.host import Host
from twinloop.scenarios.cli.reference import pages
from twinloop.scenarios.file.load import load_text
from twinloop.scenarios.judging.verdict import EXIT_CODES
from twinloop.scenarios.report.console import report
from twinloop.scenarios.runner import Options, run

DOCS = Path(__file__).parents[1] / "docs"
BLOCKS = [
    pytest.param(found[1], id=f"{page.stem}-{number}")
    for page in sorted(DOCS.rglob("*.md"))
    for number, found in enumerate(
        re.finditer(r"^```python\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL), 1
    )
]


@pytest.mark.parametrize("code", BLOCKS)
def test_a_block_runs(code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "page.py", "exec"), {"__name__": "__main__"})


def test_there_are_blocks() -> None:
    assert len(BLOCKS) >= 6


@pytest.mark.parametrize("name", pages())
def test_reference_pages_are_what_the_program_prints(name: str) -> None:
    assert (DOCS / "reference" / name).read_text() == pages()[name], (
        "run python -m twinloop.scenarios.cli.reference"
    )


SCENARIOS = [
    pytest.param(found[3], found[2], found[4] or "", id=f"{page.stem}-{found[1]}")
    for page in sorted(DOCS.rglob("*.md"))
    for found in re.finditer(
        r"^```yaml\n(?=# (\S+)\.yaml: (\S+)\n)(.*?)^```\n(?:\n(?:(?!```|#)[^\n]*\n)*```text\n(.*?)^```)?",
        page.read_text(),
        re.MULTILINE | re.DOTALL,
    )
]


@pytest.mark.parametrize(("text", "verdict", "shown"), SCENARIOS)
def test_a_scenario_is_judged_as_its_page_says(host: Host, text: str, verdict: str, shown: str) -> None:
    result = run(load_text(text, Path("page.yaml")), Options(), host)
    assert result.verdict.value == verdict
    words = []
    for width in (120, 200):
        told = io.StringIO()
        report(Console(file=told, width=width), result, "page.yaml")
        words += [" ".join(line.split()) for line in told.getvalue().splitlines()]
    assert [line for line in shown.splitlines() if " ".join(line.split()) not in words] == []
    assert shown


def test_exit_codes_are_those_of_the_program() -> None:
    page = (DOCS / "howto" / "ci.md").read_text()
    rows = re.findall(r"^\| (\d+) \| ([A-Z-]+)(?:, or ([A-Z-]+))?", page, re.MULTILINE)
    told = {verdict: int(code) for code, *verdicts in rows for verdict in verdicts if verdict}
    assert told == {verdict.value: code for verdict, code in EXIT_CODES.items()}
