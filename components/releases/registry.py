"""A registry: a folder of signed component releases, and everything that can be wrong with one.

Belongs here: what a release states, its signature, the folder. Never: what a gateway does with a release
(sim/upgrade/upgrades.py).

A release is ``NAME/VERSION/`` with ``NAME.wasm`` and ``release.json``. Signed, by Ed25519 (RFC 8032), is the
statement (``Release.statement``): name, version, size and SHA-256 of the bytes; so a release can't be
renamed, renumbered or changed.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from twinloop.components.host.component import COMPONENT_BYTES_MAX
from twinloop.records import dataclass

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

FORMAT = 1
STATEMENT_BYTES_MAX = 64 << 10
"""of a release.json"""
NAME = re.compile(r"[a-z][a-z0-9-]{0,62}")
VERSION = re.compile(r"(0|[1-9][0-9]{0,8})\.(0|[1-9][0-9]{0,8})\.(0|[1-9][0-9]{0,8})")
_HEX = re.compile(r"[0-9a-f]{64}")
_KEY_ID = re.compile(r"[0-9a-f]{16}")

BAD_SIGNATURE, UNKNOWN_KEY = "bad-signature", "unknown-key"
TRUNCATED, TOO_LONG, WRONG_DIGEST = "truncated", "too-long", "wrong-digest"


class RegistryError(ValueError):
    """Something about a registry, a release or a key file; the message begins with its path."""


class Version(NamedTuple):
    """major.minor.patch, compared as numbers (semver.org 2.0.0 sections 2 and 11; no pre-releases)."""

    major: int
    minor: int
    patch: int

    @classmethod
    def parse(cls, text: str) -> Version:
        """Raises ValueError with what was expected."""
        if not VERSION.fullmatch(text):
            raise ValueError(f'expected a version like "1.2.3", got {json.dumps(text)}')
        return cls(*(int(part) for part in text.split(".")))

    def __str__(self) -> str:
        return ".".join(map(str, self))


@dataclass(frozen=True, slots=True)
class Release:
    """What a release states of itself. ``key``: id of the key that signed it; ``signature``: 64 bytes."""

    name: str
    version: Version
    size_bytes: int
    sha256: str
    key: str
    signature: bytes

    def statement(self) -> bytes:
        """The bytes that are signed."""
        return (
            f"twinloop release {FORMAT}\nname: {self.name}\nversion: {self.version}\nsize: "
            f"{self.size_bytes}\nsha256: {self.sha256}\n"
        ).encode()

    def to_json(self) -> str:
        """The text of its release.json."""
        data = {
            "format": FORMAT,
            "name": self.name,
            "version": str(self.version),
            "size": self.size_bytes,
            "sha256": self.sha256,
            "key": self.key,
            "signature": base64.b64encode(self.signature).decode(),
        }
        return json.dumps(data, indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Release:
        """Raises ValueError with what was expected."""
        try:
            data = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"is no JSON: {error}") from error
        keys = ("format", "name", "version", "size", "sha256", "key", "signature")
        if not isinstance(data, dict) or sorted(data) != sorted(keys):
            raise ValueError(f"expected an object with {', '.join(keys)}")
        name, version, size, sha256, key, signature = (data[name] for name in keys[1:])
        if data["format"] != FORMAT:
            raise ValueError(f"expected format {FORMAT}, got {data['format']!r}")
        for field, value, pattern in (("name", name, NAME), ("sha256", sha256, _HEX), ("key", key, _KEY_ID)):
            if not isinstance(value, str) or not pattern.fullmatch(value):
                raise ValueError(f"{field}: expected {pattern.pattern}, got {value!r}")
        if type(size) is not int or not 0 < size <= COMPONENT_BYTES_MAX:
            raise ValueError(f"size: expected 1 to {COMPONENT_BYTES_MAX}, got {size!r}")
        try:
            raw = base64.b64decode(signature, validate=True)
        except (binascii.Error, TypeError, ValueError) as error:
            raise ValueError("signature: expected base64") from error
        return cls(name, Version.parse(str(version)), size, sha256, key, raw)


Keys = Mapping[str, "Ed25519PublicKey"]
"""key id -> public key: whom one trusts"""


def signature_fault(release: Release, trusted: Keys) -> str:
    """The cause for which a statement isn't believed; empty when it is."""
    key = trusted.get(release.key)
    if key is None:
        return UNKNOWN_KEY
    from cryptography.exceptions import InvalidSignature  # who trusts somebody has loaded it (keys.py)

    try:
        key.verify(release.signature, release.statement())
    except InvalidSignature:
        return BAD_SIGNATURE
    return ""


def bytes_fault(release: Release, data: bytes) -> str:
    """The cause for which bytes aren't those of a release; empty when they are."""
    if len(data) < release.size_bytes:
        return TRUNCATED
    if len(data) > release.size_bytes:
        return TOO_LONG
    return "" if hashlib.sha256(data).hexdigest() == release.sha256 else WRONG_DIGEST


def read_file(path: Path, limit: int) -> bytes:
    """At most so many bytes; raises RegistryError."""
    if "\0" in str(path):
        raise RegistryError(f"{str(path)!r}: is no file's name")
    try:
        strange = path.exists() and not path.is_file()
        data = b""
        if not strange:
            with path.open("rb") as file:
                data = file.read(limit + 1)
    except OSError as error:
        raise RegistryError(f"{path}: {error.strerror}") from error
    if strange:
        raise RegistryError(f"{path}: expected a file")
    if len(data) > limit:
        raise RegistryError(f"{path}: larger than {limit} bytes")
    return data


def key_id(key: Ed25519PublicKey) -> str:
    """The first 16 hexadecimal digits of the SHA-256 of the 32 bytes of a public key."""
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()[:16]


def sign(name: str, version: Version, data: bytes, key: Ed25519PrivateKey) -> Release:
    """A release of these bytes."""
    unsigned = Release(
        name, version, len(data), hashlib.sha256(data).hexdigest(), key_id(key.public_key()), b""
    )
    return replace(unsigned, signature=key.sign(unsigned.statement()))


# ---- the folder ----------------------------------------------------------------------------------
class Registry:
    """A folder of releases."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def names(self) -> list[str]:
        """Names that have a folder; raises RegistryError when there is no registry."""
        return self._folders(self.path)

    def versions(self, name: str) -> list[Version]:
        """Versions of a name, the oldest first."""
        if not (self.path / name).is_dir():
            return []
        return sorted(
            Version.parse(version)
            for version in self._folders(self.path / name)
            if VERSION.fullmatch(version)
        )

    def _folders(self, path: Path) -> list[str]:
        try:
            return sorted(
                entry.name for entry in path.iterdir() if entry.is_dir() and not entry.name.startswith(".")
            )
        except OSError as error:
            raise RegistryError(f"{path}: {error.strerror}") from error

    def folder(self, name: str, version: Version) -> Path:
        """Where a release lies."""
        return self.path / name / str(version)

    def read(self, name: str, version: Version) -> tuple[Release, bytes]:
        """A release and its bytes as they lie there, unverified; raises RegistryError when they can't be read
        as one."""
        folder = self.folder(name, version)
        try:
            release = Release.from_json(read_file(folder / "release.json", STATEMENT_BYTES_MAX).decode())
        except UnicodeDecodeError as error:
            raise RegistryError(f"{folder / 'release.json'}: is no UTF-8") from error
        except RegistryError:
            raise
        except ValueError as error:
            raise RegistryError(f"{folder / 'release.json'}: {error}") from error
        if (release.name, release.version) != (name, version):
            raise RegistryError(
                f"{folder / 'release.json'}: is of {release.name} {release.version}, and lies where {name} "
                f"{version} should"
            )
        return release, read_file(folder / f"{name}.wasm", COMPONENT_BYTES_MAX)

    def add(self, name: str, version: Version, data: bytes, key: Ed25519PrivateKey) -> Release:
        """Sign and store a release, whole or not at all; raises RegistryError when the version has other
        bytes or another key already."""
        if not NAME.fullmatch(name):
            raise RegistryError(f'{self.path}: expected a name like "modbus-driver", got "{name}"')
        release, folder = sign(name, version, data, key), self.folder(name, version)
        try:
            if folder.exists():
                if self.read(name, version) == (release, data):
                    return release
                text = (
                    "is there already with other bytes or another key; a released version never changes, "
                    "give this one a new number"
                )
                raise RegistryError(f"{folder}: {text}")
            folder.parent.mkdir(parents=True, exist_ok=True)
            made = Path(tempfile.mkdtemp(prefix=".adding-", dir=folder.parent))
            try:
                (made / f"{name}.wasm").write_bytes(data)
                (made / "release.json").write_text(release.to_json())
                made.chmod(0o755)
                made.rename(folder)
            except BaseException:
                shutil.rmtree(made, ignore_errors=True)
                raise
        except OSError as error:
            raise RegistryError(f"{error.filename or folder}: {error.strerror}") from error
        return release

    def fault(self, name: str, version: Version, trusted: Keys) -> str:
        """Why a release must not be used; empty when it may."""
        try:
            release, data = self.read(name, version)
        except RegistryError as error:
            return str(error)
        return signature_fault(release, trusted) or bytes_fault(release, data)
