"""JUnit XML of many seeds: a suite for each scenario, a case for each expectation over all seeds.

Belongs here: the mapping; whatever makes the exit code another than 0 is a failure or an error. Never: that
of single runs (scenarios/report/junit.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

from twinloop.scenarios.evidence.many import Seeded
from twinloop.scenarios.outcome import Ran
from twinloop.scenarios.report.junit import save
from twinloop.scenarios.text.units import show_ratio
from twinloop.scenarios.text.words import number_of


def write_seeds_junit(path: Path, done: Sequence[Seeded | Ran]) -> None:
    """Write one file; raises MachineError when it can't be written."""
    root = ET.Element("testsuites", name="twinloop")
    for one in done:
        suite = ET.SubElement(root, "testsuite", name=one.file.stem)
        if isinstance(one, Ran):
            case = ET.SubElement(suite, "testcase", classname=one.file.stem, name="scenario")
            ET.SubElement(case, "error", message=str(one.outcome) or type(one.outcome).__name__)
        else:
            _suite(suite, one.summary, one.entries)
    save(root, path)


def _suite(suite: ET.Element, summary: dict[str, Any], entries: list[dict[str, Any]]) -> None:
    name = summary["scenario"] or suite.get("name") or ""
    suite.set("name", name)
    suite.set("time", f"{sum(one['run']['wall_s'] for one in entries if one['kind'] == 'result'):.3f}")
    whole = ET.SubElement(suite, "testcase", classname=name, name=f"seeds {summary['asked']}")
    required = bool(summary["require"]) and summary["code"] == 0
    for row in summary["expectations"]:
        case = ET.SubElement(suite, "testcase", classname=name, name=row["expression"])
        if row["held"] == row["seeds"]:
            continue
        message = f"held in {row['held']} of {number_of(row['seeds'], 'seed')}"
        if row["verdict"] in ("FAIL", "UNSTABLE") and not required:
            ET.SubElement(case, "failure", message=message).text = summary.get("reproduce", "")
        elif row["verdict"] == "NO-DATA" and not required:
            ET.SubElement(case, "error", message=message).text = summary.get("reproduce", "")
        else:
            ET.SubElement(case, "skipped", message=message)
    if summary["code"]:
        held = f"{summary['held']} of {number_of(summary['seeds'], 'seed')} held"
        low = f", at least {show_ratio(summary['interval'][0])} are certain" if summary["require"] else ""
        kind = "failure" if summary["code"] == 1 else "error"
        text = f"{summary['verdict'] or 'ERROR'}: {held}{low}"
        ET.SubElement(whole, kind, message=text).text = summary.get("reproduce", "")
