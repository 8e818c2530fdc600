"""``twinloop components audit``: what each component of a scenario imports, is granted, has used, was denied,
and the least that would have done.

Belongs here: the comparison after a run. Never: counting (the host and sim/wasi do that).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from twinloop.components.contract.contract import IMPORTS
from twinloop.components.host.host import Host
from twinloop.components.wasi.interfaces import ALWAYS, harmless, package
from twinloop.scenarios.file.load import Loaded
from twinloop.scenarios.report.result import Result
from twinloop.scenarios.runner import Options, run
from twinloop.sim.world import World


@dataclass(slots=True)
class Audited:
    """One component: calls by function. ``imported`` and ``granted``: interfaces of the contract, packages of
    WASI."""

    name: str
    imported: list[str]
    granted: list[str]
    used: dict[str, int] = field(default_factory=dict)
    denied: dict[str, int] = field(default_factory=dict)

    def used_grants(self) -> list[str]:
        """What of its grants it has made use of."""
        used = [name for name in self.used if name not in self.denied and not harmless(name)]
        return list(dict.fromkeys(_grant(name) for name in used))

    def least(self) -> list[str]:
        """The grants with which this run would have been the same: what it imports of the contract (a
        component whose import isn't granted isn't loaded), and what it has used of WASI."""
        ours = [name for name in self.imported if name in IMPORTS]
        return ours + [name for name in self.used_grants() if name not in (*IMPORTS, *ALWAYS)]

    def wanted(self) -> list[str]:
        """What it was denied for want of a grant."""
        names = dict.fromkeys(_grant(name) for name in self.denied)
        return [name for name in names if name not in self.granted]

    def spare(self) -> list[str]:
        """Grants without which the run would have been the same."""
        return [name for name in self.granted if name not in (*self.least(), *ALWAYS)]


def _grant(function: str) -> str:
    interface, hash_mark, _ = function.partition("#")
    return package(interface) if hash_mark else function.split(".", maxsplit=1)[0]


def audited(loaded: Loaded, options: Options) -> tuple[Result, list[Audited]]:
    """Run the scenario and look at what its components have called."""
    worlds: list[World] = []
    options = replace(options, started=worlds.append)
    host = Host()
    host.called = {}
    try:
        result = run(loaded, options, host)
        found = _collect(worlds[-1], host) if worlds else []
    finally:
        host.close()
    return result, found


def _collect(world: World, host: Host) -> list[Audited]:
    found: dict[str, Audited] = {}
    for gateway in world.gateways:
        for slot in gateway.rack.all():
            spec: Any = slot.spec
            component = spec.component
            one = found.get(spec.name)
            if one is None:
                imported = [*component.imports, *dict.fromkeys(map(package, component.wasi_functions()))]
                one = found[spec.name] = Audited(spec.name, imported, list(spec.grants))
                one.used.update((host.called or {}).get(spec.name, {}))
            if slot.imports.wasi is not None:
                for name, count in slot.imports.wasi.denied.items():
                    one.denied[name] = one.denied.get(name, 0) + count
    return list(found.values())
