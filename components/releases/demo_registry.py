"""The registry of the shipped scenarios: good releases, and every kind of bad one. Written by ``python -m
components.build``.

Belongs here: which releases there are and how each is spoiled. Its key is made from a sentence that everybody
can read here: it signs nothing that ships, and nobody may trust it beyond these scenarios.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from twinloop.components.releases.registry import Registry, Release, Version, sign

PUBLIC_KEY = "demo.pub"
Spoil = Callable[[Release, bytes], tuple[Release, bytes]]


def _key(sentence: str) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(hashlib.sha256(sentence.encode()).digest())


DEMO_KEY = _key("twinloop's demonstration key: public on purpose, trust it nowhere else")
STRANGERS_KEY = _key("twinloop's stranger: a key that no scenario trusts")


def marked(data: bytes, text: str) -> bytes:
    """The same component with a custom section that says so: other bytes, equal behaviour (core
    specification, section 5.5.3)."""
    name, body = b"release", text.encode()
    section = bytes([len(name)]) + name + body
    return data + b"\x00" + bytes([len(section)]) + section


def _signed_by_a_stranger(release: Release, data: bytes) -> tuple[Release, bytes]:
    return sign(release.name, release.version, data, STRANGERS_KEY), data


def _forged(release: Release, data: bytes) -> tuple[Release, bytes]:
    """The stranger's signature under the name of the key that is trusted."""
    return replace(release, signature=STRANGERS_KEY.sign(release.statement())), data


def _altered(release: Release, data: bytes) -> tuple[Release, bytes]:
    middle = len(data) // 2
    return release, data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


def _cut(release: Release, data: bytes) -> tuple[Release, bytes]:
    return release, data[: len(data) - 1000]


def _as_signed(release: Release, data: bytes) -> tuple[Release, bytes]:
    return release, data


RELEASES: tuple[tuple[str, str, str, Spoil], ...] = (
    ("normalize", "0.9.0", "normalize", _as_signed),
    ("normalize", "1.0.0", "normalize", _as_signed),
    ("normalize", "1.1.0", "normalize", _as_signed),
    ("normalize", "1.2.0", "normalize", _signed_by_a_stranger),
    ("normalize", "1.3.0", "normalize", _forged),
    ("normalize", "1.4.0", "normalize", _altered),
    ("normalize", "1.5.0", "normalize", _cut),
    ("normalize", "1.6.0", "", _as_signed),
    ("route", "1.1.0", "route", _as_signed),
    ("route", "1.2.0", "unfit-trapping", _as_signed),
    ("route", "1.3.0", "unfit-slow", _as_signed),
    ("route", "1.4.0", "unfit-faulty", _as_signed),
    ("route", "1.5.0", "unfit-greedy", _as_signed),
    ("modbus-driver", "1.1.0", "modbus-driver", _as_signed),
    ("modbus-driver", "1.2.0", "unfit-deaf", _as_signed),
)
"""(name, version, guest it is built from, what happens to it after it was signed); installed everywhere is
the shipped one as 1.0.0"""


def write(into: Path, bytes_of: Callable[[str], bytes]) -> None:
    """Write the whole registry; ``bytes_of(guest)`` gives a guest's bytes."""
    registry = Registry(into)
    for name, version, guest, spoil in RELEASES:
        data = marked(bytes_of(guest), f"{name} {version}") if guest else b"signed, and no component at all\n"
        release, data = spoil(sign(name, Version.parse(version), data, DEMO_KEY), data)
        folder = registry.folder(name, release.version)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.wasm").write_bytes(data)
        (folder / "release.json").write_text(release.to_json())
    (into / PUBLIC_KEY).write_bytes(
        DEMO_KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
