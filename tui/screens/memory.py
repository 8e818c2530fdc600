"""What the terminal remembers of its user: small files in a folder of his own.

Belongs here: where they lie, reading one, writing one whole or not at all. Never: what is in them
(choices.py, favourites.py).
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any

BYTES_MAX = 1 << 18
"""of a file that is read"""
BROKEN_MAX = 9
"""broken files of one name that are kept beside it"""


def place(name: str) -> Path:
    """The file of that name: in ``$XDG_STATE_HOME/twinloop``, or ``~/.local/state/twinloop``."""
    state = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(state) / "twinloop" / name


def read(name: str) -> Any:
    """What is in it; None when there is no such file.

    Raises:
        ValueError: it isn't JSON, or too large.
        OSError: it can't be read.
    """
    try:
        with place(name).open("rb") as file:
            data = file.read(BYTES_MAX + 1)
    except FileNotFoundError:
        return None
    if len(data) > BYTES_MAX:
        raise ValueError(f"it is larger than {BYTES_MAX >> 10} KiB")
    try:
        return json.loads(data)
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error


def write(name: str, data: Any) -> None:
    """All of it, in place of what was there, at one instant: whoever reads finds the old one or the new one.
    Raises OSError."""
    target = place(name)
    target.parent.mkdir(parents=True, exist_ok=True)
    number, beside = tempfile.mkstemp(prefix=f".{name}-", dir=target.parent)
    try:
        with os.fdopen(number, "w", encoding="utf-8") as file:
            json.dump(data, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(beside)
        raise


def put_aside(name: str) -> Path:
    """A broken file gets another name, so that nothing of it is lost; which. Raises OSError, and also when
    BROKEN_MAX of them lie there already."""
    source = place(name)
    for number in range(1, BROKEN_MAX + 1):
        target = source.with_name(f"{name}.broken-{number}")
        if not target.exists():
            os.rename(source, target)
            return target
    raise FileExistsError(f"{BROKEN_MAX} broken ones lie beside it already")
