"""From what stands on a command line to scenario files: files, folders of them, shipped ones by name; and to
what is set in them.

Belongs here: which files of a folder are scenarios. Never: what is in them.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from twinloop.scenarios.text.errors import ScenarioError, shown_path

if TYPE_CHECKING:
    from twinloop.scenarios.file.settings import Setting

FILES_MAX = 10_000
"""of one folder that are looked at"""
SET_HELP = "a value in place of the file's, or beside it, as in fleets.presses.count=200; may be repeated"
"""of the flag ``--set``"""


def settings_of(texts: list[str] | None) -> tuple[Setting, ...]:
    """What ``--set`` was given, in that order; raises ScenarioError."""
    from twinloop.scenarios.file.settings import parse_setting  # --help must not wait for it

    return tuple(parse_setting(text) for text in texts or ())


def expand(names: list[str]) -> list[Path]:
    """Files, the scenarios of folders, shipped scenarios by name; what isn't a scenario in a folder is named
    on stderr. Raises ScenarioError."""
    from twinloop.scenarios.file.load import find

    out: list[Path] = []
    for name in names:
        path = find(name)
        out += scenarios_in(path, name) if os.path.isdir(path) else [path]
    return out


def scenarios_in(folder: Path, name: str) -> list[Path]:
    """The files of a folder whose top level has two of ``format``, ``fleets`` and ``gateways``; links to
    folders aren't followed."""
    from twinloop.scenarios.text.document import SUFFIXES, looks_like_a_scenario  # --help must not wait

    found: list[Path] = []
    for at, folders, files in os.walk(folder, followlinks=False):
        folders.sort()
        found += [Path(at, file) for file in sorted(files) if file.endswith(SUFFIXES)]
        if len(found) > FILES_MAX:
            raise ScenarioError(
                name, None, "", f"more than {FILES_MAX} YAML files in this folder; name the scenarios"
            )
    scenarios = [path for path in sorted(found) if looks_like_a_scenario(path)]
    skipped = [path for path in sorted(found) if path not in scenarios]
    if not scenarios:
        raise ScenarioError(
            name,
            None,
            "",
            f"no scenario in this folder: none of its {len(found)} YAML files has two of format, fleets and "
            f"gateways at its top level",
        )
    for path in skipped:
        print(
            f"skipped: {shown_path(path)}: no scenario (it has not two of format, fleets and gateways)",
            file=sys.stderr,
        )
    return scenarios
