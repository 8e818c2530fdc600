"""``twinloop registry``: keys, and a folder of signed component releases for upgrades over the air."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from twinloop.scenarios.text.errors import ScenarioError

app = typer.Typer(
    no_args_is_help=True, help="Keys, and a folder of signed component releases.", rich_markup_mode=None
)

_Folder = Annotated[Path, typer.Argument(help="the registry's folder", metavar="REGISTRY")]


@app.command("keygen")
def keygen(
    stem: Annotated[Path, typer.Argument(help="makes STEM.key (private) and STEM.pub", metavar="STEM")],
) -> int:
    """Make an Ed25519 key pair; nothing is overwritten."""
    from twinloop.components.releases.keys import read_public_key, write_keys
    from twinloop.components.releases.registry import RegistryError, key_id

    try:
        private, public = write_keys(stem)
        print(
            f"{private}: private, keep it; {public}: public, gateways trust it; id "
            f"{key_id(read_public_key(public))}"
        )
    except RegistryError as error:
        raise ScenarioError("registry keygen", None, "", str(error)) from error
    return 0


@app.command("add")
def add(
    registry: _Folder,
    wasm: Annotated[Path, typer.Argument(help="the component", metavar="WASM")],
    version: Annotated[str, typer.Option("--version", help="like 1.2.3")],
    key: Annotated[Path, typer.Option("--key", help="the private key that signs it")],
    name: Annotated[str | None, typer.Option("--name", help="default: the file's name")] = None,
) -> int:
    """Sign a component and put it into the registry; a version that is there never changes."""
    from twinloop.components.contract.contract import EXPORTS
    from twinloop.components.host.component import ComponentRefused, read_component
    from twinloop.components.host.host import Host
    from twinloop.components.releases.keys import read_private_key
    from twinloop.components.releases.registry import Registry, RegistryError, Version

    host = Host()
    try:
        data, refusals = read_component(wasm), []
        for role in EXPORTS:
            try:
                host.load(data, role)
            except ComponentRefused as error:
                refusals.append(str(error))
        if len(refusals) == len(EXPORTS):
            raise ScenarioError("registry add", None, "", f"{wasm}: fits no role: {refusals[0]}")
        into, called, number = Registry(registry), name or wasm.stem, Version.parse(version)
        known = into.folder(called, number).exists()
        release = into.add(called, number, data, read_private_key(key))
    except ComponentRefused as error:
        raise ScenarioError("registry add", None, "", f"{wasm}: {error}") from error
    except RegistryError as error:
        raise ScenarioError("registry add", None, "", str(error)) from error
    except ValueError as error:
        raise ScenarioError("registry add", None, "", f"--version: {error}") from error
    finally:
        host.close()
    print(
        f"{release.name} {release.version}  {release.size_bytes} bytes  sha256 {release.sha256}  key "
        f"{release.key}{'  (nothing is new: the same bytes were there already)' if known else ''}"
    )
    return 0


@app.command("list")
def list_(registry: _Folder) -> int:
    """Every release: name, version, size, SHA-256, key; nothing is verified."""
    from twinloop.components.releases.registry import Registry, RegistryError

    at = Registry(registry)
    try:
        for name in at.names():
            for version in at.versions(name):
                try:
                    release, _ = at.read(name, version)
                    print(
                        f"{name} {version}  {release.size_bytes} bytes  sha256 {release.sha256[:12]}  key "
                        f"{release.key}"
                    )
                except RegistryError as error:
                    print(f"{name} {version}  unreadable: {error}")
    except RegistryError as error:
        raise ScenarioError("registry list", None, "", str(error)) from error
    return 0


@app.command("verify")
def verify(
    registry: _Folder,
    keys: Annotated[list[Path], typer.Option("--key", help="a public key that is trusted; repeat for more")],
) -> int:
    """Verify signature, size and digest of every release; exits with 1 when one must not be used."""
    from twinloop.components.releases.keys import read_public_key, trust
    from twinloop.components.releases.registry import Registry, RegistryError

    at, bad, seen = Registry(registry), 0, 0
    try:
        trusted = trust(*(read_public_key(key) for key in keys))
        for name in at.names():
            for version in at.versions(name):
                seen += 1
                fault = at.fault(name, version, trusted)
                bad += bool(fault)
                print(f"{name} {version}  {fault or 'ok'}")
    except RegistryError as error:
        raise ScenarioError("registry verify", None, "", str(error)) from error
    if not seen:
        raise ScenarioError("registry verify", None, "", f"{registry}: holds no release")
    if bad:
        print(f"{bad} of {seen} releases must not be used", file=sys.stderr)
    return 1 if bad else 0
