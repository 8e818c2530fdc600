"""``twinloop components new``: a component to begin from, in a language and for a role.

Belongs here: copying a starter, with its name and the WIT. Never: what a starter does
(components/starters/BEHAVIOUR.md), building it (its Makefile).
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from twinloop.scenarios.text.errors import ScenarioError, unknown

COMPONENTS = Path(__file__).parents[2] / "components"
STARTERS = COMPONENTS / "starters"
BINDINGS = COMPONENTS / "guests" / "bindings"
"""of each world for C, generated (components/build.py says by which command)"""
WORLDS = {"driver": "device-driver", "transform": "reading-transform", "policy": "routing-policy"}
"""role -> the world of components/wit that its starters are of"""
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_TEXTS_MAX = 1 << 20


def languages() -> list[str]:
    """Those that there are starters in."""
    return sorted(folder.name for folder in STARTERS.iterdir() if (folder / "Makefile").exists())


def roles(language: str) -> list[str]:
    """Those that the language has starters for."""
    return [role for role in WORLDS if list((STARTERS / language).glob(f"{role}.*"))]


def begin(language: str, role: str, name: str, folder: Path) -> list[Path]:
    """Write the starter into ``folder``, which must not exist yet; returns its files. Raises
    ScenarioError."""

    def error(text: str) -> ScenarioError:
        return ScenarioError("components new", None, "", text)

    if language not in languages():
        raise error(unknown("language", language, languages()))
    if role not in roles(language):
        if role not in WORLDS:
            raise error(unknown("role", role, list(WORLDS)))
        raise error(f"no starter for a {role} in {language}; there is one for {', '.join(roles(language))}")
    if not _NAME.fullmatch(name) or len(name) > 64:
        raise error(f'"{name}" is no name: expected small letters, digits, single hyphens')
    if folder.exists():
        raise error(f"{folder} exists already; nothing was written")
    words = {"@NAME@": name, "@ROLE@": role, "@WORLD@": WORLDS[role]}
    others = [other for other in WORLDS if other != role]
    source = STARTERS / language
    written = []
    try:
        for file in sorted(source.rglob("*")):
            relative = file.relative_to(source)
            if not file.is_file() or relative.name.split(".")[0] in others or "__pycache__" in relative.parts:
                continue
            written.append(_copy(file, folder / relative, words))
        for file in sorted((COMPONENTS / "wit").glob("*.wit")):
            written.append(_copy(file, folder / "wit" / file.name, {}))
        if language == "c":
            for file in sorted(BINDINGS.glob(f"{WORLDS[role].replace('-', '_')}*")):
                written.append(_copy(file, folder / "bindings" / file.name, {}))
        cases = STARTERS / "cases" / f"{role}.yaml"
        written.append(_copy(cases, folder / f"{name}.cases.yaml", words))
    except OSError as failure:
        raise error(f"{folder}: {failure.strerror}") from failure
    return written


def _copy(file: Path, to: Path, words: dict[str, str]) -> Path:
    to.parent.mkdir(parents=True, exist_ok=True)
    data = file.read_bytes()
    try:
        text = data.decode() if words and len(data) <= _TEXTS_MAX else None
    except UnicodeDecodeError:
        text = None
    if text is not None:
        for mark, word in words.items():
            text = text.replace(mark, word)
        data = text.encode()
    to.write_bytes(data)
    shutil.copymode(file, to)
    return to
