"""Loading what a scenario names: one component, several that become one, or one that an adapter of ours makes
a driver.

Belongs here: which exports have an adapter, and which build of it fits. Never: files and scenarios. Adapters
are components like any other (``guests/example-device``, ``guests/driver-stream``), and lie in
``adapters/``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from twinloop.components.binary.reader import SectionsError
from twinloop.components.binary.sections import read_sections
from twinloop.components.compose.joining import composed
from twinloop.components.compose.polling import with_polls
from twinloop.components.compose.types import ComposeError
from twinloop.components.contract.contract import EXPORTS, interface
from twinloop.components.host.component import (
    ADAPTED,
    Component,
    ComponentRefused,
    binary_of,
    exported_as,
    served,
)
from twinloop.components.host.host import Host

FOLDER = Path(__file__).parent / "adapters"


class Adapter(NamedTuple):
    """What makes a driver of another interface. ``package``: how an export's name begins that it is for;
    ``builds``: files, the one for the commonest types first; ``wants``: the interface that they import;
    ``shape``: in words."""

    package: str
    wants: str
    builds: tuple[str, ...]
    shape: str


def _of_streams(track: str, build: str) -> Adapter:
    """The adapter for streams of one contract. What is of 0.1 stays of 0.1: the types of what it hands over
    are that contract's, and the host serves both."""
    wants = interface("driver-stream", f"{track}.0")
    return Adapter(
        f"{ADAPTED[1]}{track}.", wants, (build,), f"the functions of {wants} as the contract has them"
    )


ADAPTERS = (
    Adapter(
        ADAPTED[0],
        "example:device/sensor@0.1.0",
        ("example-device", "example-device-read", "example-device-configure", "example-device-both"),
        "read-sensor: func() -> reading or result<reading, string>, with record reading { value: f32, "
        "timestamp: u64, unit: string }, and configure: func(interval: u32), which may return result<_, "
        "string>",
    ),
    _of_streams("0.2", "driver-stream"),
    _of_streams("0.1", "driver-stream-0.1"),
)


class Whole(NamedTuple):
    """A component as it was loaded. ``note``: what was added to it, empty for nothing; ``data``: its
    bytes."""

    component: Component
    note: str
    data: bytes


def load_whole(host: Host, parts: Sequence[tuple[str, bytes]], role: str) -> Whole:
    """Load one component, or several as one, each a name (for messages) and its bytes; raises
    ComponentRefused."""
    label = " + ".join(name for name, _ in parts)
    data, note = with_polls(label, joined(parts))
    note = note and f"{label}: {note}"
    adapter, export = _adapter(binary_of(data)) if role == "driver" else (None, "")
    if adapter is None:
        return Whole(host.load(data, role), note, data)
    problem = ""
    for build in adapter.builds:
        made = (FOLDER / f"{build}.wasm").read_bytes()
        try:
            adapted = composed([(build, made), (label, binary_of(data))], {adapter.wants: export})
            said = f"{label} exports {export}: an adapter makes it a driver"
            return Whole(host.load(adapted, role), f"{said}; {note}" if note else said, adapted)
        except ComposeError as error:
            raise ComponentRefused(str(error)) from error
        except ComponentRefused as error:
            if "type mismatch for import" not in str(error):
                raise
            problem = problem or str(error)
    raise ComponentRefused(
        f"exports {export}, and an adapter would make it a driver, were its types others: expected "
        f"{adapter.shape} ({problem.removeprefix('does not compile: ')})"
    )


def role_of(data: bytes) -> str:
    """The role that a component has by its exports; raises ComponentRefused for none."""
    try:
        exports = [one.name for one in read_sections(binary_of(data)).exports]
    except SectionsError as error:
        raise ComponentRefused(f"is no component that can be read: {error}") from error
    roles = [role for role in EXPORTS if exported_as(role, exports) is not None]
    if not roles and any(name.startswith(ADAPTED) for name in exports):
        roles = ["driver"]
    if not roles:
        raise ComponentRefused(f"has no role: it exports {', '.join(exports) or 'nothing'}")
    return roles[0]


def joined(parts: Sequence[tuple[str, bytes]]) -> bytes:
    """The bytes of one component, or of the one that several make; raises ComponentRefused."""
    if len(parts) == 1:
        return parts[0][1]
    binaries = []
    for name, data in parts:
        try:
            binaries.append((name, binary_of(data)))
        except ComponentRefused as error:
            raise ComponentRefused(f"{name}: {error}") from error
    try:
        return composed(binaries)
    except ComposeError as error:
        raise ComponentRefused(str(error)) from error


def _adapter(binary: bytes) -> tuple[Adapter | None, str]:
    """The adapter for what a component exports, and the export that it is for; none for a driver."""
    try:
        exports = [one.name for one in read_sections(binary).exports if one.kind == "instance"]
    except SectionsError:
        return None, ""
    if exported_as("driver", exports) is None:
        for adapter in ADAPTERS:
            found = [name for name in exports if name.startswith(adapter.package)]
            if len(found) > 1:
                raise ComponentRefused(f"exports {' and '.join(found)}: an adapter is for one of them")
            if found:
                return adapter, found[0]
        for name in exports:
            if name.startswith(ADAPTED):
                raise ComponentRefused(f"exports {name}, for which there is no adapter; {served()}")
    return None, ""
