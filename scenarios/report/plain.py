"""The report for people as plain text, for files and for other programs' reports.

Belongs here: that it has neither colours nor a width. Never: its words (console.py).
"""

from __future__ import annotations

import io
from pathlib import Path

from rich.console import Console

from twinloop.scenarios.report.console import UNWRAPPED, report
from twinloop.scenarios.report.result import Result
from twinloop.scenarios.text.errors import shown_path


def plain(result: Result, file: Path) -> str:
    """The whole report of a scenario that lies in ``file``."""
    told = io.StringIO()
    report(Console(file=told, width=UNWRAPPED, highlight=False, soft_wrap=True), result, shown_path(file))
    return told.getvalue()
