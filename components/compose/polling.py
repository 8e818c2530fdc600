"""What an async component needs to wait for several things at once: a part in between, which calls
``wasi:io/poll`` for it.

Belongs here: who needs it. Why: in a call out of an engine with concurrency support, wasmtime 50 loses count
when a second handle is lent to the host that the caller owns ("deferred host scope has no call context": the
first one makes the scope in which lent handles are noted, the second one is looked for where it was missing).
What the part in between lends was lent to it, so nothing is noted. tests/components/test_polling.py says when
it isn't needed any more.
"""

from __future__ import annotations

from pathlib import Path

import wasmtime

from twinloop.components.binary.reader import SectionsError
from twinloop.components.binary.sections import read_sections
from twinloop.components.compose.joining import composed
from twinloop.components.compose.types import ComposeError
from twinloop.components.host.component import ComponentRefused, binary_of
from twinloop.components.wasi.interfaces import wasi_interface

TEXT = Path(__file__).parent / "adapters" / "poll.wat"
POLL = "io/poll"
NOTE = "its polls of WASI go by way of a part of ours (wasmtime can't lend the host several handles at once)"


def needs_a_part(binary: bytes) -> str:
    """The full name of the interface for which a component needs a part in between; empty for none."""
    try:
        contents = read_sections(binary)
    except SectionsError:
        return ""
    if not (contents.uses_async or contents.uses_streams):
        return ""
    polls = [one for one in contents.imports if wasi_interface(one.name) == POLL]
    # Of two versions each part would be given for the other, too: such a component keeps to one pollable.
    return polls[0].name if len(polls) == 1 and "poll" in (polls[0].functions or ()) else ""


def with_polls(label: str, data: bytes) -> tuple[bytes, str]:
    """The component, and nothing; or the one that it makes with the part in between, and a note that says
    so."""
    try:
        binary = binary_of(data)
    except ComponentRefused:
        return data, ""
    interface = needs_a_part(binary)
    if not interface:
        return data, ""
    text = TEXT.read_text(encoding="utf-8").replace("VERSION", interface.partition("@")[2])
    try:
        whole = composed([(label, binary), (interface, bytes(wasmtime.wat2wasm(text)))])
    except ComposeError:
        return data, ""
    return whole, NOTE
