"""``twinloop components inspect``: what a component's file says of itself, without compiling it.

Belongs here: the words. Never: reading the binary (components/host/sections.py).
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from twinloop.components.binary.reader import SectionsError
from twinloop.components.binary.sections import Contents, read_sections
from twinloop.components.contract.contract import EXPORTS, IMPORTS, contract_interface, interface
from twinloop.components.contract.options import stated_options
from twinloop.components.host.component import ADAPTED, ComponentRefused, exported_as, read_component
from twinloop.components.wasi.interfaces import ALWAYS, package, wasi_interface
from twinloop.scenarios.text.units import show_size
from twinloop.scenarios.text.words import number_of

PAGE_BYTES = 1 << 16
SAYING = {
    "wasi:filesystem": "{wasi:filesystem: {/data: {quota: 64 KiB}}}",
    "wasi:sockets": "{wasi:sockets: ['tcp://DEVICE:502']}",
}
"""grants that say what of it -> how one looks in a scenario"""


def inspected(path: Path) -> list[tuple[str, str]]:
    """(what, its value) in the order in which they are told; raises ComponentRefused."""
    data = read_component(path)
    try:
        contents = read_sections(data)
    except SectionsError as error:
        raise ComponentRefused(f"is no component that can be read: {error}") from error
    rows = [
        ("size", f"{show_size(len(data))} ({len(data)} bytes)"),
        ("sha256", hashlib.sha256(data).hexdigest()),
        ("role", _role(contents)),
        ("exports", ", ".join(one.name for one in contents.exports) or "nothing"),
    ]
    ours, others = [], []
    wasi: dict[str, list[str]] = {}
    for one in contents.imports:
        short = wasi_interface(one.name)
        if short is not None:
            wasi.setdefault(package(short), []).append(short.split("/")[1])
        elif (contract_interface(one.name) or ("", None))[0] in IMPORTS:
            ours += [name for name in (one.name.split("/")[1].split("@")[0],) if name not in ours]
        elif one.functions or one.kind != "instance":
            others.append(one.name)
    rows.append(("imports", ", ".join(ours) or "none of the contract's interfaces"))
    rows += [(name, ", ".join(interfaces)) for name, interfaces in wasi.items()]
    if others:
        rows.append(("not offered", ", ".join(others)))
    may = [name for name in wasi if name not in (*ALWAYS, "wasi:http")]
    if "driver" not in rows[2][1]:  # nobody else may have them
        may = [name for name in may if name != "wasi:sockets"]
    grants = [*ours, *(name for name in may if name not in SAYING)]
    saying = ", ".join(SAYING[name] for name in may if name in SAYING)
    needs = f"grants: [{', '.join(grants)}]" if grants else "no grant"
    rows.append(("may need", f"{needs}; if it uses them, {saying}" if saying else needs))
    rows.append(("made by", _makers(contents)))
    rows.append(("inside", _inside(contents)))
    if contents.uses_async or contents.uses_streams:
        rows.append(("async", "it uses async functions, futures or streams of WASI 0.3"))
    options = stated_options(data)
    if options is not None:
        rows.append(("options", ", ".join(option.name for option in options) or "none"))
    return rows


def _role(contents: Contents) -> str:
    exported = [one.name for one in contents.exports]
    roles = {role: found for role in EXPORTS if (found := exported_as(role, exported))}
    if roles:
        tracks = dict.fromkeys(one[1].track for one in map(contract_interface, roles.values()) if one)
        return f"{' and '.join(roles)}, by the contract {' and '.join(tracks)}"
    adapted = [name for name in exported if name.startswith(ADAPTED)]
    if adapted:
        return f"driver, by an adapter for {', '.join(adapted)}"
    near = [name for name in exported if name.startswith("twinloop:gateway/")]
    return (
        f"none: it exports {', '.join(near) or 'nothing of the contract'}; {interface('driver')} is a driver"
    )


def _makers(contents: Contents) -> str:
    told = [
        f"{name} {version}".strip()
        for field in ("language", "sdk", "processed-by")
        for name, version in contents.producers.get(field, ())
    ]
    return ", ".join(told) or "nobody says"


def _inside(contents: Contents) -> str:
    memories = [memory for module in contents.modules for memory in module.memories]
    pages = sum(memory.min_pages for memory in memories)
    named = sum(module.named_functions for module in contents.modules)
    held = number_of(len(memories), "memory", "memories")
    return (
        f"{number_of(len(contents.modules), 'core module')}, {held} "
        f"of {show_size(pages * PAGE_BYTES)} at the start, "
        + (f"names of {number_of(named, 'function')}" if named else "no names of functions")
    )
