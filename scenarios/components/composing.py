"""``twinloop components compose``: several components as one file.

Belongs here: reading the files and writing the whole. Never: composing (components/compose).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from twinloop.components.compose.adapting import Whole, joined, load_whole, role_of
from twinloop.components.host.component import binary_of, read_component
from twinloop.components.host.host import Host


def written(files: Sequence[Path], out: Path) -> Whole:
    """Make one of them, see that it fits its role, write it; raises ComponentRefused and OSError."""
    parts = [(file.name, binary_of(read_component(file))) for file in files]
    host = Host()
    try:
        whole = load_whole(host, parts, role_of(joined(parts)))
    finally:
        host.close()
    out.write_bytes(whole.data)
    return whole
