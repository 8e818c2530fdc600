"""A scenario with all files that it names, as it is sent to a machine without them and unpacked there.

Belongs here: which files these are, where they lie there, how they are named in what comes back. Never: how
it travels (cluster.py). Files lie under the names that the scenario has for them, so that it is loaded there
as it is here; the texts that come back name the files of the machine that sent them.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from twinloop.records import dataclass
from twinloop.scenarios.file.load import Loaded, of_document
from twinloop.scenarios.file.named import MODELS, named_files
from twinloop.scenarios.text.document import Document
from twinloop.scenarios.text.errors import ScenarioError, shown_path

_ABOVE = "above"
"""a folder above the scenario's that has no name"""


@dataclass(frozen=True)
class Sent:
    """One scenario: what stands in it, its files and folders by their names relative to it.

    ``above``: names of the folders above it that its files lie in, the outermost first; ``files``: name ->
    SHA-256; ``told``: names as texts of this machine show them, the longest first.
    """

    document: Document
    old_words: tuple[str, ...]
    above: tuple[str, ...]
    folders: tuple[str, ...]
    files: dict[str, str]
    told: tuple[tuple[str, str], ...]
    needs_opa: bool


@dataclass(frozen=True)
class Parcel:
    """Scenarios, and the bytes of their files by SHA-256: each is sent once."""

    scenarios: tuple[Sent, ...]
    contents: dict[str, bytes]


def packed(scenarios: tuple[Loaded, ...], more: Iterable[str] = ()) -> Parcel:
    """Read all files that the scenarios name, and ``more``: names as theirs, from a command line.

    Raises:
        ScenarioError: for one that has an absolute name, which would be another file elsewhere, or that
            can't be read any more.
    """
    contents: dict[str, bytes] = {}
    more = tuple(more)
    return Parcel(tuple(_sent(loaded, more, contents) for loaded in scenarios), contents)


def _sent(loaded: Loaded, more: tuple[str, ...], contents: dict[str, bytes]) -> Sent:
    home = loaded.file.parent
    shipped = {name for block in loaded.scenario.components.values() for name in block.files}
    named = [
        name
        for name in dict.fromkeys([*named_files(loaded), *more])
        if name not in shipped or (home / name).exists()
    ]
    files: dict[str, str] = {}
    folders: dict[str, None] = {}
    for name in named:
        if Path(name).is_absolute():
            raise ScenarioError(
                shown_path(loaded.file), None, "", f'"{name}" is an absolute name, and may be another file '
                f"on a cluster's machines: put it beside the scenario, and name it relative to that"
            )  # fmt: skip
        for each in _below(home, name, folders):
            try:
                data = (home / each).read_bytes()
            except OSError as error:
                text = f"{shown_path(home / each)}: {error.strerror}"
                raise ScenarioError(shown_path(loaded.file), None, "", text) from error
            files[each] = hashlib.sha256(data).hexdigest()
            contents[files[each]] = data
    up = max([_levels_up(name) for name in (*files, *folders)], default=0)
    names = home.resolve().parts[1:]
    above = (*[_ABOVE] * max(0, up - len(names)), *(names[-up:] if up else ()))
    return Sent(
        loaded.document,
        loaded.old_words,
        above,
        tuple(folders),
        files,
        _told(loaded, named),
        any(_is_rego(home, block.rego) for block in loaded.scenario.components.values()),
    )


def _told(loaded: Loaded, named: list[str]) -> tuple[tuple[str, str], ...]:
    """How errors name the scenario and its files: models.py shows them as the user knows them."""
    home = loaded.file.parent
    told = {loaded.file.name: shown_path(loaded.file)}
    told |= {name: shown_path(home / name) if name.startswith(MODELS) else str(home / name) for name in named}
    return tuple(sorted(told.items(), key=lambda pair: -len(pair[0])))


def _below(home: Path, name: str, folders: dict[str, None]) -> Iterator[str]:
    """The file of that name, or all in the folder of that name; folders are noted."""
    path = home / name
    if not path.is_dir():
        if path.exists():
            yield name
        return
    folders[name] = None
    for each in sorted(path.rglob("*")):
        below = f"{name}/{each.relative_to(path).as_posix()}"
        if each.is_dir():
            folders[below] = None
        elif each.is_file():
            yield below


def _is_rego(home: Path, name: str | None) -> bool:
    """Is it a source, which opa makes a component of where it is run?"""
    return name is not None and ((home / name).is_dir() or name.endswith(".rego"))


def _levels_up(name: str) -> int:
    """How far above its scenario a name leads on its way."""
    depth = least = 0
    for part in Path(name).parts:
        depth += -1 if part == ".." else 1
        least = min(least, depth)
    return -least


class Unpacked:
    """A parcel in a temporary folder of this machine, its scenarios loaded from there. ``inside``: the folder
    that it is made in, None: the system's own for such."""

    def __init__(self, parcel: Parcel, inside: Path | None = None) -> None:
        self._root = Path(tempfile.mkdtemp(prefix="twinloop-seeds-", dir=inside)).resolve()
        self._parcel = parcel
        try:
            self._homes = [self._lay(index, sent) for index, sent in enumerate(parcel.scenarios)]
            self.scenarios = tuple(
                of_document(replace(sent.document, file=home / sent.document.file.name), sent.old_words)
                for sent, home in zip(parcel.scenarios, self._homes, strict=True)
            )
        except BaseException:
            self.remove()
            raise

    def _lay(self, index: int, sent: Sent) -> Path:
        home = self._root.joinpath(str(index), *sent.above)
        home.mkdir(parents=True)
        for folder in sent.folders:
            _make(home, folder)
        for name, digest in sent.files.items():
            data = self._parcel.contents[digest]
            if hashlib.sha256(data).hexdigest() != digest:
                raise ValueError(f"{name} came damaged: its SHA-256 isn't {digest}")
            _make(home, os.path.dirname(name))
            (home / name).write_bytes(data)
        return home

    def as_sent(self, index: int, value: Any) -> Any:
        """What came of a scenario, with files named as they are on the machine that sent it."""
        sent, home = self._parcel.scenarios[index], self._homes[index]
        places = [str(home)]
        if home.is_relative_to(Path.cwd()):
            places.append(str(home.relative_to(Path.cwd())))
        here = sent.document.file.parent

        def renamed(text: str) -> str:
            for place in places:
                if place not in text:
                    continue
                for name, shown in sent.told:
                    text = text.replace(f"{place}/{name}", shown)
                text = text.replace(f"{place}/", "" if str(here) == "." else f"{here}/").replace(
                    place, str(here)
                )
            return text

        return _changed(value, renamed)

    def remove(self) -> None:
        """The folder goes, with all that lies in it."""
        shutil.rmtree(self._root, ignore_errors=True)


def _changed(value: Any, change: Any) -> Any:
    """Plain data with each text in it changed."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {key: _changed(one, change) for key, one in value.items()}
    if isinstance(value, list):
        return [_changed(one, change) for one in value]
    return value


def _make(home: Path, name: str) -> None:
    """A folder, each on the way to it as it is named: ``a/../b`` needs ``a``, too."""
    at = home
    for part in Path(name).parts:
        at /= part
        if part != "..":
            at.mkdir(exist_ok=True)
