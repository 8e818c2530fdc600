"""Keys of releases: Ed25519 pairs as files.

Belongs here: whatever needs ``cryptography``. Never: a release's statement, its signature, the folder
(registry.py). Only who makes keys or trusts somebody imports this: most runs don't, and the library takes
long to load.
"""

from __future__ import annotations

from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from twinloop.components.releases.registry import (
    STATEMENT_BYTES_MAX,
    RegistryError,
    key_id,
    read_file,
)


def write_keys(stem: Path, key: Ed25519PrivateKey | None = None) -> tuple[Path, Path]:
    """A new key pair as ``STEM.key`` (PKCS #8, readable by its owner only) and ``STEM.pub``; raises
    RegistryError, overwrites nothing."""
    if not stem.name:
        raise RegistryError(f"{stem}: expected a name for the key, this is a folder")
    private, public = stem.with_name(stem.name + ".key"), stem.with_name(stem.name + ".pub")
    key = key or Ed25519PrivateKey.generate()
    try:
        for path in (private, public):
            if path.exists():
                raise RegistryError(f"{path}: is there already; a key is never overwritten")
        stem.parent.mkdir(parents=True, exist_ok=True)
        private.touch(mode=0o600, exist_ok=False)
        private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    except OSError as error:
        raise RegistryError(f"{error.filename or stem}: {error.strerror}") from error
    return private, public


def read_private_key(path: Path) -> Ed25519PrivateKey:
    """Raises RegistryError."""
    data = read_file(path, STATEMENT_BYTES_MAX)
    try:
        key = load_pem_private_key(data, None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        what = "this is the public half" if b"PUBLIC KEY" in data else "not a PEM file of one"
        raise RegistryError(f"{path}: expected an Ed25519 private key without a password, {what}") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise RegistryError(f"{path}: expected an Ed25519 private key, it is another kind")
    return key


def read_public_key(path: Path) -> Ed25519PublicKey:
    """Raises RegistryError."""
    data = read_file(path, STATEMENT_BYTES_MAX)
    try:
        key = load_pem_public_key(data)
    except (ValueError, UnsupportedAlgorithm) as error:
        what = "this is the private half" if b"PRIVATE KEY" in data else "not a PEM file of one"
        raise RegistryError(f"{path}: expected an Ed25519 public key, {what}") from error
    if not isinstance(key, Ed25519PublicKey):
        raise RegistryError(f"{path}: expected an Ed25519 public key, it is another kind")
    return key


def trust(*keys: Ed25519PublicKey) -> dict[str, Ed25519PublicKey]:
    """Keys by id."""
    return {key_id(key): key for key in keys}
