"""A starter as it is copied for a user: ``starter.py LANGUAGE ROLE NAME FOLDER``.

Belongs here: the copy, so that guests for tests are built as a user builds them. Files that are named for another role
stay behind; in the others @NAME@, @ROLE@ and @WORLD@ are filled in, and the WIT lies beside them.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

COMPONENTS = Path(__file__).parents[2] / "components"
WORLDS = {"driver": "device-driver", "transform": "reading-transform", "policy": "routing-policy"}
BUILT = (".venv", "node_modules", "__pycache__")
"""what a build in the starter's own folder may have left"""


def copy(language: str, role: str, name: str, folder: Path) -> None:
    """Copy it; ``folder`` may be there already, what was built in it stays."""
    source = COMPONENTS / "starters" / language
    for path in sorted(walk(source)):
        inside = path.relative_to(source)
        if {*BUILT} & {*inside.parts} or (path.stem in WORLDS and path.stem != role):
            continue
        target = folder / inside
        target.parent.mkdir(parents=True, exist_ok=True)
        data = path.read_bytes()
        if b"\0" not in data:
            for mark, value in (("@NAME@", name), ("@ROLE@", role), ("@WORLD@", WORLDS[role])):
                data = data.replace(mark.encode(), value.encode())
        if not target.exists() or target.read_bytes() != data:
            target.write_bytes(data)
    shutil.copytree(COMPONENTS / "wit", folder / "wit", dirs_exist_ok=True)


def walk(folder: Path) -> list[Path]:
    """All files below, in linked folders too."""
    return [
        file for path in folder.iterdir() for file in (walk(path) if path.is_dir() else [path]) if file.is_file()
    ]


if __name__ == "__main__":
    copy(sys.argv[1], sys.argv[2], sys.argv[3], Path(sys.argv[4]))
