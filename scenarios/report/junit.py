"""JUnit XML: a suite for each scenario, a case for each expectation, and one for the run itself.

Belongs here: the mapping. FAIL and BROKEN are failures, scenario errors are errors, NO-DATA is an error,
UNSURE a skip unless strict. Whatever makes the exit code another than 0 is one of them: if no expectation is,
the run itself.

Elements and attributes are those of Jenkins' junit-10.xsd, in its order, but for two attributes of a case:
``file`` and ``line``, as pytest writes them. GitLab and actions of GitHub link to the file by them. Jenkins'
step ``junit`` reads name, classname and time and passes over others; its xUnit plugin checks a report against
that schema, which hasn't got the two, and refuses it.

Never: words of the report for people (console.py).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree as ET

from twinloop.scenarios.judging.judged import Judged
from twinloop.scenarios.judging.verdict import Verdict, exit_code
from twinloop.scenarios.report.console import measured_text
from twinloop.scenarios.report.plain import plain
from twinloop.scenarios.report.result import Result
from twinloop.scenarios.report.total import why
from twinloop.scenarios.text.errors import MachineError, ScenarioError, shown_path

_FAILURES = (Verdict.FAIL, Verdict.BROKEN, Verdict.INVALID)
_COUNTS = (
    ("tests", "testcase"),
    ("failures", "testcase/failure"),
    ("errors", "testcase/error"),
    ("skipped", "testcase/skipped"),
)
_NO_TIME = "0.000"


def write_junit(path: Path, results: Sequence[tuple[Path, Result | Exception]], strict: bool) -> None:
    """Write one file with a suite for each scenario; raises MachineError when it can't be written."""
    root = ET.Element("testsuites", name="twinloop")
    for file, result in results:
        suite = ET.SubElement(root, "testsuite")
        if isinstance(result, Exception):
            _refused(suite, file, result)
        else:
            _suite(suite, file, result, strict)
    save(root, path)


def save(root: ET.Element, path: Path) -> None:
    """Count each suite's cases and write the file; raises MachineError when it can't be written."""
    for suite in root:
        for kind, tag in _COUNTS:
            suite.set(kind, str(len(suite.findall(tag))))
    for kind, tag in _COUNTS[:-1]:  # the schema has no sum of what was skipped
        root.set(kind, str(len(root.findall(f"testsuite/{tag}"))))
    root.set("time", f"{sum(float(suite.get('time', _NO_TIME)) for suite in root):.3f}")
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
    """XML 1.0 has no way to write most control characters, halves of surrogate pairs, U+FFFE and U+FFFF."""
    return "".join(
        "\ufffd"
        if (letter < " " and letter not in "\t\n")
        or "\ud800" <= letter <= "\udfff"
        or letter in "\ufffe\uffff"
        else letter
        for letter in text
    )


def _refused(suite: ET.Element, file: Path, error: Exception) -> None:
    """A scenario that has no result."""
    _head(suite, file.stem, file, time.time(), _NO_TIME)
    if not isinstance(error, ScenarioError):
        case = _case(suite, file.stem, "scenario", file, None, _NO_TIME)
        _outcome(case, "error", type(error).__name__, str(error) or type(error).__name__)
        return
    for one in error.all:
        name = one.path if error.more and one.path else "scenario"
        elsewhere = Path(one.file) if one.line else file  # a model's file, which the scenario names
        case = _case(suite, file.stem, name, elsewhere, one.line, _NO_TIME)
        _outcome(case, "error", type(one).__name__, str(one))


def _suite(suite: ET.Element, file: Path, result: Result, strict: bool) -> None:
    data = result.data
    name, wall_s, again = data["scenario"], data["run"]["wall_s"], data["reproduce"]
    _head(suite, name, file, result.ended - wall_s, f"{wall_s:.3f}")
    properties = ET.SubElement(suite, "properties")
    for key in ("seed", "digest", "scenario_digest", "reproduce"):
        ET.SubElement(properties, "property", name=key, value=str(data[key]))
    # all expectations are judged by one run: its time is told once, so that sums over cases are right
    run = _case(suite, name, "run", file, None, f"{wall_s:.3f}")
    if result.verdict in (Verdict.BROKEN, Verdict.ABORTED):
        text = "; ".join(filter(None, [result.verdict.value, result.error, result.divergence]))
        _outcome(run, "error", result.verdict.value, text, again)
    for one in result.judged:
        _judged(
            _case(suite, name, one.expectation.text, file, one.expectation.line, _NO_TIME), one, strict, again
        )
    code = exit_code(result.verdict, strict, bool(data["unspoken"]))
    if code and not (suite.findall("testcase/failure") or suite.findall("testcase/error")):
        kind = "error" if result.verdict is Verdict.NO_DATA else "failure"
        text = f"{result.verdict.value}: {why(result) or f'exit code {code}'}"
        _outcome(run, kind, result.verdict.value, text, again)
    ET.SubElement(suite, "system-out").text = plain(result, file)


def _head(suite: ET.Element, name: str, file: Path, began: float, time_s: str) -> None:
    """``began``: seconds since 1970. The timestamp is UTC without a zone, as JUnit's own tools write it."""
    suite.set("name", name)
    suite.set("timestamp", datetime.fromtimestamp(began, UTC).strftime("%Y-%m-%dT%H:%M:%S"))
    suite.set("time", time_s)
    suite.set("file", shown_path(file))


def _case(
    suite: ET.Element, classname: str, name: str, file: Path, line: int | None, time_s: str
) -> ET.Element:
    case = ET.SubElement(
        suite, "testcase", classname=classname, name=name, time=time_s, file=shown_path(file)
    )
    if line is not None:
        case.set("line", str(line))
    return case


def _judged(case: ET.Element, one: Judged, strict: bool, again: str) -> None:
    message = f"measured {measured_text(one)}" + (f": {one.why}" if one.why else "")
    if one.verdict in _FAILURES or (one.verdict is Verdict.UNSURE and strict):
        _outcome(case, "failure", one.verdict.value, message, again)
    elif one.verdict is Verdict.NO_DATA:
        _outcome(case, "error", one.verdict.value, message, again)
    elif one.verdict is Verdict.UNSURE:
        _outcome(case, "skipped", one.verdict.value, f"inside the board's band, {message}", again)
    ET.SubElement(case, "system-out").text = message


def _outcome(case: ET.Element, tag: str, kind: str, message: str, again: str = "") -> None:
    """The message stands in the text, too: of an element that has text GitLab shows nothing else."""
    text = f"{message}\nreproduce: {again}" if again else message
    ET.SubElement(case, tag, type=kind, message=message).text = text
