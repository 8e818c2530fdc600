"""The blocks of a component in a scenario file: its file, its grants, its limits.

Belongs here: shapes. Never: whether a component needs what it is granted (scenarios/planning/components.py).
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag, model_validator
from pydantic_core import PydanticCustomError

from twinloop.components.compose.joining import PARTS_MAX
from twinloop.components.contract.contract import IMPORTS
from twinloop.components.wasi.interfaces import ALWAYS
from twinloop.scenarios.file.block import Block, as_yaml
from twinloop.scenarios.text.errors import unknown
from twinloop.scenarios.text.quantities import Name, PositiveDuration, PositiveSize, Size, Version

NAMES = (*IMPORTS, "wasi:clocks", *ALWAYS)
"""grants that are a name"""
BLOCKS = {
    "wasi:filesystem": "{wasi:filesystem: {/data: {quota: 64 KiB}}}",
    "wasi:sockets": "{wasi:sockets: ['tcp://device:502']}",
}
"""grants that say more than their name, each with an example"""
NO_HTTP = (
    "wasi:http can't be granted yet: no simulated host speaks HTTP; a component may import it without a "
    "grant, and each request is denied (HTTP-request-denied)"
)
REMOTE = r"(tcp|udp)://([^:\s]+):([0-9]{1,5})"
"""transport, host and port that a driver may reach"""


class Folder(Block):
    """A folder of the component on the gateway's flash."""

    quota: PositiveSize = 64 << 10
    """How many bytes the files in it may have together, and 64 bytes for each file or folder. More is refused
    with WASI's error `quota`."""
    read_only: bool = Field(default=False, alias="read-only")
    """If true, the component can't change what is in it."""
    source: str | None = Field(default=None, alias="from")
    """A folder beside the scenario, whose files lie in it from the beginning. Left out: it is empty."""


def _folder(value: Any) -> Any:
    words = {"read-only": {"read-only": True}, "read-write": {}}
    if isinstance(value, str):
        if value not in words:
            text = f"expected read-only, read-write or a mapping (quota, read-only, from), got {value!r}"
            raise PydanticCustomError("quantity", "{text}", {"text": text})
        return words[value]
    return value


def _folder_path(value: str) -> str:
    if not re.fullmatch(r"(/[^/\x00]{1,255}){1,16}", value) or {".", ".."} & {*value.split("/")}:
        text = f'"{value}" is no folder of a component: expected an absolute path such as /data'
        raise PydanticCustomError("quantity", "{text}", {"text": text})
    return value


FolderPath = Annotated[str, BeforeValidator(_folder_path)]


class FilesystemGrant(Block):
    """Folders that a component may use, by their paths as it sees them."""

    folders: dict[FolderPath, Annotated[Folder, BeforeValidator(_folder)]] = Field(
        alias="wasi:filesystem", min_length=1, max_length=16
    )
    """Path, such as `/data`, and what the component may do there: `read-only`, `read-write` or a block."""

    @property
    def package(self) -> str:
        """Of WASI."""
        return "wasi:filesystem"


def _remote(value: Any) -> Any:
    match = re.fullmatch(REMOTE, value) if isinstance(value, str) else None
    if match is None or not 0 < int(match[3]) < 1 << 16:
        udp = isinstance(value, str) and value.startswith("udp:")
        text = f"{value!r} is no host and port to connect to: expected {'udp' if udp else 'tcp'}://device:502"
        raise PydanticCustomError("quantity", "{text}", {"text": text})
    return value


class SocketsGrant(Block):
    """Hosts that a driver may reach with sockets of its own."""

    remotes: tuple[Annotated[str, BeforeValidator(_remote)], ...] = Field(
        alias="wasi:sockets", min_length=1, max_length=64, strict=False
    )
    """`tcp://HOST:PORT`, or `udp://HOST:PORT` for Modbus over UDP. HOST is `device`, the driver's own device,
    or that device's full name, such as `presses/1`. The device listens at that port, whichever it is."""

    @property
    def package(self) -> str:
        """Of WASI."""
        return "wasi:sockets"


def _grant(value: Any) -> Any:
    if value == "wasi:http" or (isinstance(value, dict) and "wasi:http" in value):
        raise PydanticCustomError("quantity", "{text}", {"text": NO_HTTP})
    if isinstance(value, str) and value not in NAMES:
        text = unknown("grant", value, [*NAMES, *BLOCKS])
        if value in BLOCKS:
            text = f"{value} needs to say what of it, as in {BLOCKS[value]}"
        raise PydanticCustomError("quantity", "{text}", {"text": text})
    if isinstance(value, dict) and (len(value) != 1 or next(iter(value)) not in BLOCKS):
        text = f"expected a mapping with one key, {' or '.join(BLOCKS)}, got {', '.join(map(str, value))}"
        raise PydanticCustomError("quantity", "{text}", {"text": text})
    if not isinstance(value, str | dict | Block):
        text = f"expected a name or a mapping, got {value!r}"
        raise PydanticCustomError("quantity", "{text}", {"text": text})
    return value


def _which(value: Any) -> str:
    if isinstance(value, str):
        return "[name]"
    return "[sockets]" if isinstance(value, SocketsGrant) or "wasi:sockets" in value else "[filesystem]"


Grant = Annotated[
    Annotated[
        Literal["fieldbus", "clock", "log", "state", "wasi:clocks", "wasi:cli", "wasi:io", "wasi:random"],
        Tag("[name]"),
    ]
    | Annotated[FilesystemGrant, Tag("[filesystem]")]
    | Annotated[SocketsGrant, Tag("[sockets]")],
    Discriminator(_which),
    BeforeValidator(_grant),
]
"""one thing that a component may use"""


class Limits(Block):
    """Limits of one instance of a component: time of one call, memory, stored state."""

    cpu: PositiveDuration | None = None
    """CPU time of one call on the simulated board; a call that needs more ends with a fault (`out-of-fuel`).
    Left out: only `deadline` limits it (1 s for drivers that wait for news)."""
    deadline: PositiveDuration | None = None
    """Longest time of one call, waiting included; then it ends with a fault. Left out: drivers have their
    device's poll period (MQTT,
    `sampling`: 60 s), others the gateway's shortest."""
    memory: PositiveSize = 32 << 20
    """Largest linear memory of one instance. More is refused, and a component that fails because of that ends
    with a fault (`memory-limit`)."""
    start: PositiveDuration = 1_000_000_000
    """CPU time on the simulated board that its start code may take, before it is configured; more ends the
    start with a fault (`out-of-fuel`), and the same time with waiting included ends it with `deadline`."""
    state: Size = 64 << 10
    """How many bytes, keys and values together, one instance may store with the `state` interface; more is
    refused. Needs `state` in `grants`."""


class DerivedPoint(Block):
    """A point that a transform adds to what was read. No device has it."""

    unit: str = ""
    """Unit in which the transform gives it: the component is told, and expectations on its values must be in
    it. Left out: no unit."""
    low: float | None = None
    """Lowest value that it should have. The component is told; what it does beyond it is its own. Left out:
    no such bound."""
    high: float | None = None
    """Highest value that it should have. The component is told; what it does beyond it is its own. Left out:
    no such bound."""

    @model_validator(mode="after")
    def _in_order(self) -> DerivedPoint:
        if self.low is not None and self.high is not None and self.low > self.high:
            raise PydanticCustomError("quantity", "{text}", {"text": "low is larger than high"})
        return self


def _files(value: Any) -> Any:
    if isinstance(value, list | tuple) and not 2 <= len(value) <= PARTS_MAX:
        text = f"expected one file, or a list of 2 to {PARTS_MAX}, got a list of {len(value)}"
        raise PydanticCustomError("quantity", "{text}", {"text": text})
    return value


Files = Annotated[
    Annotated[str, Tag("[file]")] | Annotated[tuple[str, ...], Field(strict=False), Tag("[files]")],
    Discriminator(lambda value: "[files]" if isinstance(value, list | tuple) else "[file]"),
    BeforeValidator(_files),
]
"""one component, or several that become one"""


class Component(Block):
    """A WebAssembly component: its file, what it may use, its limits, its options."""

    wasm: Files | None = None
    """File of the component, relative to the scenario; if it isn't there, the name of a shipped component
    such as `route.wasm`. A list of 2 to 8 becomes one component: the first has the role, and what one of them
    imports comes from the one that exports it. Required without `rego`."""
    rego: str | None = None
    """In place of `wasm`, for a policy: a file or folder in Rego, relative to the scenario (needs `opa` on
    the path), or what `opa build -t wasm` made of it, `policy.wasm` or the bundle (needs nothing)."""
    version: Version | None = None
    """Version of this file, as in `1.0.0`. Required if the component is upgraded in this scenario. Left out:
    the version is unknown."""
    grants: tuple[Grant, ...] = Field(default=(), strict=False)
    """What the component may use. `fieldbus` (its device), `clock`, `log`, `state`: if it imports one that
    isn't listed, the scenario is refused. `wasi:clocks`, `{wasi:filesystem: {/data: {quota: 64 KiB}}}`,
    `{wasi:sockets: ['tcp://device:502']}` (drivers only: their own device, over `tcp` or `udp`): WASI that
    isn't listed may be imported, and a call of it is denied. `wasi:cli`, `wasi:io` and `wasi:random` need no
    grant."""
    env: dict[str, str] = {}
    """Environment variables of the component, as WASI gives them to it. All values are text, so quote
    numbers. Left out: none."""
    args: tuple[str, ...] = Field(default=(), strict=False)
    """Arguments of the component, as WASI gives them to it after its name. Left out: none."""
    limits: Limits = Limits.unsaid()
    """Limits for each instance of the component."""
    options: dict[str, str] = Field(default={}, alias="with")
    """Options of the component itself; all values are text, so quote numbers. `twinloop list components`
    lists those of shipped components."""
    derives: dict[Name, DerivedPoint] = Field(default={}, max_length=64)
    """Points that a transform adds to what was read, by name, such as `power: {unit: kW}`. They travel in the
    same messages and are no samples: they are counted beside them (`derived.delivered`). Left out: a new
    point is a fault (`contract`)."""

    @model_validator(mode="after")
    def _one_source(self) -> Component:
        if (self.wasm is None) == (self.rego is None):
            text = "expected wasm or rego, one of them" if self.wasm else 'missing key "wasm"'
            raise PydanticCustomError("quantity", "{text}", {"text": text})
        return self

    @property
    def source(self) -> str:
        """Its file, or its files, as they were given."""
        return " + ".join(self.files) or self.rego or ""

    @property
    def files(self) -> tuple[str, ...]:
        """Of ``wasm``."""
        return (self.wasm,) if isinstance(self.wasm, str) else self.wasm or ()

    @property
    def granted(self) -> tuple[str, ...]:
        """The names of what it is granted."""
        return tuple(grant if isinstance(grant, str) else grant.package for grant in self.grants)

    @model_validator(mode="before")
    @classmethod
    def _options_are_text(cls, data: Any) -> Any:
        for block, what in (("with", "option"), ("env", "variable")):
            pairs = data.get(block) if isinstance(data, dict) else None
            for key, value in pairs.items() if isinstance(pairs, dict) else ():
                if not isinstance(value, str):
                    text = f'{what} "{key}": expected text (a component reads it), write "{as_yaml(value)}"'
                    raise PydanticCustomError("option", "{text}", {"text": text, "key": (block, key)})
        return data
