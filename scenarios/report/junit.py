"""JUnit XML: a suite for each scenario, a case for each expectation, and one for the run itself.

Belongs here: the mapping. FAIL and BROKEN are failures, scenario errors are errors, NO-DATA is an error,
UNSURE a skip unless strict. Whatever makes the exit code another than 0 is one of them: if no expectation is,
the run itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree as ET

from twinloop.scenarios.judging.verdict import Verdict, exit_code
from twinloop.scenarios.report.console import measured_text
from twinloop.scenarios.report.result import Result
from twinloop.scenarios.report.total import why
from twinloop.scenarios.text.errors import MachineError

_FAILURES = (Verdict.FAIL, Verdict.BROKEN, Verdict.INVALID)


def write_junit(path: Path, results: Sequence[tuple[Path, Result | Exception]], strict: bool) -> None:
    """Write one file with a suite for each scenario; raises ScenarioError when it can't be written."""
    root = ET.Element("testsuites", name="twinloop")
    for file, result in results:
        suite = ET.SubElement(root, "testsuite")
        if isinstance(result, Exception):
            suite.set("name", file.stem)
            case = ET.SubElement(suite, "testcase", classname=file.stem, name="scenario")
            ET.SubElement(case, "error", message=str(result) or type(result).__name__)
        else:
            _suite(suite, result, strict)
    save(root, path)


def save(root: ET.Element, path: Path) -> None:
    """Count each suite's cases and write the file; raises MachineError when it can't be written."""
    for suite in root:
        for kind, tag in (
            ("tests", "testcase"),
            ("failures", "testcase/failure"),
            ("errors", "testcase/error"),
            ("skipped", "testcase/skipped"),
        ):
            suite.set(kind, str(len(suite.findall(tag))))
    for element in root.iter():
        for name, value in element.attrib.items():
            element.set(name, _printable(value))
        element.text = _printable(element.text) if element.text else element.text
    ET.indent(root)
    try:
        ET.ElementTree(root).write(path, encoding="utf-8", xml_declaration=True)
    except OSError as error:
        raise MachineError(f"--junit {path}: {error.strerror}") from error


def _printable(text: str) -> str:
    """XML 1.0 has no way to write most control characters."""
    return "".join(letter if letter >= " " or letter in "\t\n" else "\ufffd" for letter in text)


def _suite(suite: ET.Element, result: Result, strict: bool) -> None:
    data = result.data
    suite.set("name", data["scenario"])
    suite.set("time", f"{data['run']['wall_s']:.3f}")
    properties = ET.SubElement(suite, "properties")
    for name in ("seed", "digest", "scenario_digest", "reproduce"):
        ET.SubElement(properties, "property", name=name, value=str(data[name]))
    run = ET.SubElement(suite, "testcase", classname=data["scenario"], name="run")
    if result.verdict in (Verdict.BROKEN, Verdict.ABORTED):
        text = "; ".join(filter(None, [result.verdict.value, result.error, result.divergence]))
        ET.SubElement(run, "error", message=text).text = data["reproduce"]
    for one in result.judged:
        case = ET.SubElement(suite, "testcase", classname=data["scenario"], name=one.expectation.text)
        message = f"measured {measured_text(one)}" + (f": {one.why}" if one.why else "")
        if one.verdict in _FAILURES or (one.verdict is Verdict.UNSURE and strict):
            ET.SubElement(case, "failure", message=message).text = data["reproduce"]
        elif one.verdict is Verdict.NO_DATA:
            ET.SubElement(case, "error", message=message).text = data["reproduce"]
        elif one.verdict is Verdict.UNSURE:
            ET.SubElement(case, "skipped", message=f"inside the board's band, {message}")
    code = exit_code(result.verdict, strict, bool(data["unspoken"]))
    if code and not (suite.findall("testcase/failure") or suite.findall("testcase/error")):
        kind = "error" if result.verdict is Verdict.NO_DATA else "failure"
        ET.SubElement(
            run, kind, message=f"{result.verdict.value}: {why(result) or f'exit code {code}'}"
        ).text = data["reproduce"]
