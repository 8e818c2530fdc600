"""What a scenario gives a component of WASI: packages, folders, hosts, environment, arguments.

Belongs here: fields. Never: behaviour (sim/wasi).
"""

from __future__ import annotations

from twinloop.components.wasi.interfaces import ALWAYS
from twinloop.records import dataclass

ENTRY_BYTES = 64
"""that a file or folder takes of its quota beside its content, so that empty ones aren't endless (ours)"""


@dataclass(frozen=True, slots=True)
class Folder:
    """A granted folder. ``path`` is absolute, as in ``/data``; ``quota_bytes``: content and ENTRY_BYTES for
    each entry; ``content``: files that lie there from the beginning, by path below it."""

    path: str
    read_only: bool
    quota_bytes: int
    content: tuple[tuple[str, bytes], ...] = ()


OWN_DEVICE = "device"
"""the host name by which each driver knows its own device"""


@dataclass(frozen=True, slots=True)
class Remote:
    """Where a driver may connect or send to. ``host``: OWN_DEVICE, or a device's full name, which is there
    for its own driver only; ``transport``: tcp or udp."""

    host: str
    port: int
    transport: str = "tcp"


@dataclass(frozen=True, slots=True)
class WasiSpec:
    """What a scenario gives one component of WASI. ``packages``: those granted, as ``wasi:clocks``;
    ``remotes``: to whom ``wasi:sockets`` leads."""

    packages: tuple[str, ...] = ()
    folders: tuple[Folder, ...] = ()
    remotes: tuple[Remote, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()
    arguments: tuple[str, ...] = ()

    def grants(self, name: str) -> bool:
        """Is that package (``wasi:clocks``) there?"""
        return name in ALWAYS or name in self.packages


NO_WASI = WasiSpec()
"""nothing but what needs no grant"""
