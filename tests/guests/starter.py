"""A starter as it is copied for a user, into a folder that may be there: ``starter.py LANGUAGE ROLE NAME FOLDER``.

Belongs here: leaving alone what hasn't changed, so that make builds no more than it must. Never: what is copied
(scenarios/components/starters.py).
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from twinloop.scenarios.components.starters import begin


def copy(language: str, role: str, name: str, folder: Path) -> None:
    """Copy it; what was built in the folder stays."""
    with tempfile.TemporaryDirectory() as scratch:
        fresh = Path(scratch) / name
        for path in begin(language, role, name, fresh):
            target, data = folder / path.relative_to(fresh), path.read_bytes()
            if not target.exists() or target.read_bytes() != data:
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(data)


if __name__ == "__main__":
    copy(sys.argv[1], sys.argv[2], sys.argv[3], Path(sys.argv[4]))
