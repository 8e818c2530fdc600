"""Components of a scenario: in which role each is used, its bytes, whether its grants will do.

Belongs here: what a component's block says. Never: calling one.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

from twinloop.components.compose.adapting import load_whole
from twinloop.components.contract.contract import GRANTABLE
from twinloop.components.host.component import Component, ComponentRefused, read_component
from twinloop.components.host.host import Host
from twinloop.components.rego.compiling import rego_to_wasm
from twinloop.components.rego.splice import PolicyRefused, component_of
from twinloop.components.releases.registry import Version
from twinloop.scenarios.file import schema
from twinloop.scenarios.file.load import Loaded
from twinloop.scenarios.planning.names import named
from twinloop.scenarios.planning.remotes import remotes
from twinloop.scenarios.text.document import Location
from twinloop.scenarios.text.errors import ScenarioError
from twinloop.sim.model.spec import ComponentSpec, DerivedSpec
from twinloop.sim.model.wasi import ENTRY_BYTES, Folder, Remote, WasiSpec

FOLDER_FILES_MAX, FOLDER_BYTES_MAX = 1000, 16 << 20
"""of a folder that a component begins with"""
SHIPPED = Path(__file__).parents[2] / "components" / "wasm"
"""the components that ship"""


class ComponentPlanner:
    """Of one scenario; errors carry the place in the file. ``notes``: what a reader of the result should
    know."""

    def __init__(self, loaded: Loaded, host: Host) -> None:
        self._loaded = loaded
        self._scenario = loaded.scenario
        self._host = host
        self.notes: list[str] = []

    def parts(self) -> list[Callable[[], object]]:
        """What can be wrong with them, each for itself; nothing where a role is wrong: the whole says so."""
        try:
            roles = self.roles()
        except ScenarioError:
            return []
        return [
            partial(self._component, name, component, roles)
            for name, component in self._scenario.components.items()
        ]

    def roles(self) -> dict[str, tuple[str, Location]]:
        """component -> (role, where it is used so)."""
        roles: dict[str, tuple[str, Location]] = {}

        def use(name: str, role: str, at: Location) -> None:
            before = roles.setdefault(name, (role, at))
            if before[0] != role:
                raise self._loaded.document.error(
                    at, f'component "{name}" is used as {before[0]} and as {role}'
                )

        for name, fleet in self._scenario.fleets.items():
            use(fleet.driver, "driver", ("fleets", name, "driver"))
        for name, gateway in self._scenario.gateways.items():
            for role in ("transform", "policy"):
                use(
                    self._known(getattr(gateway, role), ("gateways", name, role)),
                    role,
                    ("gateways", name, role),
                )
        for name, override in self._scenario.overrides.items():
            if override.driver is not None:
                use(override.driver, "driver", ("fleets", name, "driver"))
        return roles

    def components(self) -> list[ComponentSpec]:
        """All of them; raises ScenarioError."""
        roles = self.roles()
        return [
            self._component(name, component, roles) for name, component in self._scenario.components.items()
        ]

    def _component(
        self, name: str, component: schema.Component, roles: dict[str, tuple[str, Location]]
    ) -> ComponentSpec:
        at: Location = ("components", name)
        if name not in roles:
            raise self._loaded.document.error(at, f'component "{name}" is used by no fleet and no gateway')
        if component.wasm is None:
            loaded = self._load_rego(component.source, roles[name][0], (*at, "rego"))
        else:
            loaded = self._load(name, component, roles[name][0], (*at, "wasm"))
        try:
            self._host.link(loaded, component.granted)
        except ComponentRefused as error:
            raise self._loaded.document.error((*at, "grants"), f"{component.source} {error}") from error
        self._check_grants(component, roles[name][0], (*at, "grants"))
        limits = component.limits
        if "state" in limits.model_fields_set and "state" not in component.granted:
            raise self._loaded.document.error(
                (*at, "limits", "state"),
                "it limits what is granted as state, and that isn't: add state to grants",
            )
        return ComponentSpec(
            name=name,
            role=roles[name][0],
            component=loaded,
            grants=component.granted,
            wasi=self._wasi(name, component, roles[name][0], (*at, "grants")),
            start_ns=limits.start,
            options=tuple(component.options.items()),
            cpu_ns=limits.cpu,
            deadline_ns=limits.deadline,
            memory_bytes=limits.memory,
            state_bytes=limits.state,
            version=None if component.version is None else Version.parse(component.version),
            derives=self._derives(name, component, roles[name][0]),
        )

    def _derives(self, name: str, component: schema.Component, role: str) -> tuple[DerivedSpec, ...]:
        """What it adds; a name that a device has would be two points of one name in a message."""
        at: Location = ("components", name, "derives")
        if component.derives and role != "transform":
            raise self._loaded.document.error(at, f"only a transform adds points, and this is a {role}")
        for fleet, block in self._scenario.fleets.items() if component.derives else ():
            key, named = ("device", block.device) if block.believes is None else ("believes", block.believes)
            model = self._loaded.models.of(named, ("fleets", fleet, key))
            for point in model.points:
                if point.name in component.derives and self._transforms(name, block.gateway):
                    text = f'"{point.name}" is a point of {model.name} (fleet {fleet})'
                    raise self._loaded.document.error(
                        (*at, point.name), f"{text}: a new point needs a new name"
                    )
        return tuple(
            DerivedSpec(point, block.unit, block.low, block.high)
            for point, block in component.derives.items()
        )

    def _transforms(self, component: str, of: str) -> bool:
        """Does a component transform what a gateway, or its standby, reads?"""
        return any(
            gateway.transform == component
            for name, gateway in self._scenario.gateways.items()
            if of in (name, None if gateway.standby is None else gateway.standby.of)
        )

    def _check_grants(self, component: schema.Component, role: str, at: Location) -> None:
        known = GRANTABLE[role]
        for index, grant in enumerate(component.granted):
            if grant not in known and not grant.startswith("wasi:"):
                text = f"a {role} can't be granted {grant}; what it can be granted: {', '.join(known)}"
                raise self._loaded.document.error((*at, index), text)

    def _wasi(self, name: str, component: schema.Component, role: str, at: Location) -> WasiSpec:
        folders: dict[str, Folder] = {}
        reached: tuple[Remote, ...] = ()
        for index, grant in enumerate(component.grants):
            if isinstance(grant, schema.SocketsGrant):
                reached = remotes(self._loaded, name, grant, role, (*at, index), reached)
            if not isinstance(grant, schema.FilesystemGrant):
                continue
            for path, folder in grant.folders.items():
                place = (*at, index, "wasi:filesystem", path)
                if path in folders:
                    raise self._loaded.document.error(place, f"{path} is granted twice")
                content = () if folder.source is None else self._content(folder.source, (*place, "from"))
                folders[path] = Folder(path, folder.read_only, folder.quota, content)
                used = sum(ENTRY_BYTES + len(data) for _, data in content)
                if used > folder.quota and not folder.read_only:
                    raise self._loaded.document.error(
                        place, f"what lies in it from the beginning needs {used} bytes of {folder.quota}"
                    )
        return WasiSpec(
            packages=tuple(dict.fromkeys(name for name in component.granted if name.startswith("wasi:"))),
            folders=tuple(folders.values()),
            remotes=reached,
            environment=tuple(component.env.items()),
            arguments=component.args,
        )

    def _content(self, source: str, at: Location) -> tuple[tuple[str, bytes], ...]:
        """The files of a folder beside the scenario, in the order of their names."""
        error = self._loaded.document.error
        root = self._loaded.file.parent / source
        if ".." in source.split("/") or source.startswith("/"):
            raise error(at, f'"{source}" is not beside the scenario')
        if not os.path.isdir(root):
            raise error(at, f'no folder "{source}" beside the scenario')
        files = sorted(file for file in root.rglob("*") if file.is_file())
        if len(files) > FOLDER_FILES_MAX:
            raise error(at, f"{source} has {len(files)} files, at most {FOLDER_FILES_MAX} are read")
        if sum(file.stat().st_size for file in files) > FOLDER_BYTES_MAX:
            raise error(at, f"the files of {source} are larger than {FOLDER_BYTES_MAX} bytes together")
        content = []
        for file in files:
            if not file.resolve().is_relative_to(root.resolve()):
                raise error(at, f"{source}/{file.relative_to(root).as_posix()} is a link out of the folder")
            try:
                data = file.read_bytes()
            except OSError as failure:
                raise error(at, f"{source}/{file.name}: {failure.strerror}") from failure
            name = file.relative_to(root).as_posix()
            self._loaded.models.digests[f"{source}/{name}"] = hashlib.sha256(data).hexdigest()
            content.append((name, data))
        return tuple(content)

    def _known(self, name: str, at: Location) -> str:
        named(self._loaded, "component", name, self._scenario.components, at)
        return name

    def _load_rego(self, source: str, role: str, at: Location) -> Component:
        error = self._loaded.document.error
        if role != "policy":
            raise error(at, f"Rego makes policies, and this component is a {role}")
        path = self._loaded.file.parent / source
        try:
            in_rego = os.path.isdir(path) or path.suffix == ".rego"
            data = rego_to_wasm(path) if in_rego else component_of(read_component(path))
            return self._host.load(data, role)
        except (PolicyRefused, ComponentRefused) as refused:
            raise error(at, f"{source}: {refused}") from refused

    def _load(self, name: str, component: schema.Component, role: str, at: Location) -> Component:
        several = not isinstance(component.wasm, str)
        parts = [
            (file, self._read(file, (*at, index) if several else at))
            for index, file in enumerate(component.files)
        ]
        try:
            whole = load_whole(self._host, parts, role)
        except ComponentRefused as error:
            raise self._loaded.document.error(at, f"{component.source}: {error}") from error
        if whole.note:
            self.notes.append(f"component {name}: {whole.note}")
        return whole.component

    def _read(self, file: str, at: Location) -> bytes:
        beside = self._loaded.file.parent / file
        path = beside if os.path.exists(beside) or not os.path.exists(SHIPPED / file) else SHIPPED / file
        try:
            return read_component(path)
        except ComponentRefused as error:
            shipped = sorted(one.name for one in SHIPPED.glob("*.wasm"))
            hint = (
                f" (looked beside the scenario and among the shipped: {', '.join(shipped)})"
                if not os.path.exists(path)
                else ""
            )
            raise self._loaded.document.error(at, f"{file}: {error}{hint}") from error
