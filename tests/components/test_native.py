"""How the compiled part is built and chosen: what isn't for this twinloop isn't used, and never silently; without a
compiler everything is as it was, in words."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

import twinloop
from tests.components.ways import compiled_part
from twinloop.components.native import choice, compiling, hook

ROOT = Path(__file__).parents[2]
NOT_OURS = (".venv", "build", "node_modules", "mutants", ".git", "out", "dist", ".mypy_cache")
LIBRARIES = (".so", ".pyd", ".dylib")


def test_no_library_lies_in_the_tree() -> None:
    found = []
    for at, folders, files in os.walk(ROOT):
        folders[:] = [one for one in folders if one not in NOT_OURS]
        found += [os.path.join(at, file) for file in files if file.endswith(LIBRARIES)]
    assert found == []


@pytest.fixture
def built() -> Path:
    """The folder of the libraries that are tried."""
    return Path(compiled_part().crossing.__file__).parent


@pytest.fixture(params=sorted(compiling.MODULES))
def other(request: pytest.FixtureRequest, built: Path, tmp_path: Path) -> Path:
    """One library of a copy of them all."""
    for file in compiling.FILES.values():
        shutil.copy(built / file, tmp_path / file)
    return tmp_path / compiling.FILES[request.param]


def test_what_was_built_for_this_twinloop_is_used(built: Path) -> None:
    found = choice.found(built, {})
    assert (found.word, found.why) == ("compiled", "")
    for name in compiling.MODULES:
        assert compiling.stamp(twinloop.__version__) == getattr(found, name).STAMP
    assert choice.found(built, {compiling.PURE: "0"}).word == "compiled"


def test_it_can_be_done_without(built: Path, tmp_path: Path) -> None:
    assert choice.found(built, {compiling.PURE: "1"}) == choice.none("TWINLOOP_PURE is set")
    assert choice.found(tmp_path / "none", {}) == choice.none("nothing was compiled")
    assert choice.found(tmp_path, {}).word == "pure"


def test_each_module_has_sources_that_are_there() -> None:
    """And no source is forgotten: what isn't compiled is in no stamp."""
    listed = {
        (compiling.ROOMS / source).resolve() for sources in compiling.MODULES.values() for source in sources
    }
    there = {path for path in ROOT.glob("*/native/*") if path.suffix in (".c", ".h")}
    assert listed == there
    assert [Path(sources[0]).stem for sources in compiling.MODULES.values()] == list(compiling.MODULES)
    assert choice.Choice._fields == (*compiling.MODULES, "why")


def test_of_some_libraries_none_is_used(other: Path) -> None:
    other.unlink()
    with pytest.warns(RuntimeWarning, match=r"is missing beside its others and isn't used; build it anew"):
        assert choice.found(other.parent, {}).word == "pure"


def test_what_was_built_for_another_is_refused_in_words(other: Path) -> None:
    old = compiling.stamp(twinloop.__version__).encode()
    data = other.read_bytes()
    assert data.count(old) == 1
    other.unlink()  # a file that is loaded keeps its bytes
    other.write_bytes(data.replace(old, old[:-1] + bytes([old[-1] ^ 1])))
    with pytest.warns(
        RuntimeWarning, match=r"was built for another twinloop and isn't used; build it anew: make compiled"
    ):
        found = choice.found(other.parent, {})
    assert found.word == "pure"
    assert str(other) in found.why


def test_what_is_no_library_is_refused_in_words(other: Path) -> None:
    other.write_bytes(b"\x7fELF and then nothing")
    with pytest.warns(RuntimeWarning, match="can't be loaded"):
        assert choice.found(other.parent, {}).word == "pure"


def test_the_word_isnt_in_the_way_of_a_comparison() -> None:
    """versions is what results of two machines may differ in."""
    from twinloop.scenarios.report.result import versions

    assert versions()["core"] == choice.CHOICE.word


@pytest.mark.parametrize("word", ["compiled", "pure"])
def test_twinloop_says_which_it_is(built: Path, word: str) -> None:
    """From a tree; a tree without one is pure as well."""
    wanted = (
        word if all((compiling.place() / file).is_file() for file in compiling.FILES.values()) else "pure"
    )
    environment = {**os.environ, compiling.PURE: "1" if word == "pure" else "0"}
    done = subprocess.run(
        [sys.executable, "-m", "twinloop", "--version"],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == f"twinloop {twinloop.__version__} ({wanted})\n"


# ---- building ------------------------------------------------------------------------------------
def test_without_a_compiler_it_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    with pytest.raises(compiling.NotCompiled, match="there is no C compiler"):
        compiling.compiled(tmp_path, "1")
    assert list(tmp_path.iterdir()) == []


def test_without_pythons_headers_it_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CC", "true")
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path))
    with pytest.raises(compiling.NotCompiled, match=r"there is no Python\.h in "):
        compiling.compiled(tmp_path, "1")


@pytest.mark.parametrize(
    ("compiler", "said"),
    [
        ("false", "false refused crossing.c"),
        ("true", "true refused crossing.c"),
        ("/dev/null", "there is no C"),
    ],
)
def test_a_compiler_that_fails_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, compiler: str, said: str
) -> None:
    if not (Path(sysconfig.get_path("include")) / "Python.h").is_file():
        pytest.skip("there is no Python.h")
    monkeypatch.setenv("CC", compiler)
    if compiler == "/dev/null":
        monkeypatch.setenv("PATH", "")
    with pytest.raises(compiling.NotCompiled, match=said):
        compiling.compiled(tmp_path, "1")
    assert list(tmp_path.iterdir()) == []


def _ran(*command: str, cwd: Path = ROOT, **environment: str) -> str:
    done = subprocess.run(
        command, cwd=cwd, env=os.environ | environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def _wheel(into: Path, **environment: str) -> tuple[Path, str]:
    said = _ran(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(into), **environment)
    (wheel,) = into.glob("*.whl")
    return wheel, said


def _native(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as packed:
        names = packed.namelist()
    assert {name.split("/")[0] for name in names} == {
        "twinloop",
        f"twinloop-{twinloop.__version__}.dist-info",
    }
    for sources in compiling.MODULES.values():  # the stamp is taken of them
        assert {f"twinloop/{source}" for source in sources} <= {*names}
    return sorted(name for name in names if name.endswith(LIBRARIES))


def test_without_a_compiler_a_wheel_is_pure_with_a_warning(tmp_path: Path) -> None:
    (tmp_path / "no-tools").mkdir()
    wheel, said = _wheel(tmp_path, PATH=str(tmp_path / "no-tools"), CC="")
    assert wheel.name.endswith("-py3-none-any.whl")
    assert _native(wheel) == []
    assert "a pure wheel" in said
    assert "there is no C compiler" in said


def test_a_wheel_that_is_to_be_pure_is(tmp_path: Path) -> None:
    wheel, said = _wheel(tmp_path, TWINLOOP_PURE="1")
    assert (wheel.name.endswith("-py3-none-any.whl"), _native(wheel), "pure" in said) == (True, [], False)


@pytest.mark.parametrize("source", ["tree", "sdist"])
def test_a_clean_environment_gets_the_compiled_part(built: Path, tmp_path: Path, source: str) -> None:
    """Of a wheel from the tree, and of one from the source distribution; it is used, and nothing lies in the tree."""
    if source == "tree":
        wheel, _ = _wheel(tmp_path)
    else:
        _ran(sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", str(tmp_path))
        (archive,) = tmp_path.glob("*.tar.gz")
        _ran(
            sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", str(tmp_path), str(archive)
        )  # fmt: skip
        (wheel,) = tmp_path.glob("*.whl")
    assert _native(wheel) == sorted(f"{hook.INTO}/{file}" for file in compiling.FILES.values())
    assert "py3-none-any" not in wheel.name
    clean = tmp_path / "clean"
    venv.create(clean, with_pip=False, symlinks=True)
    site = Path(sysconfig.get_path("purelib", vars={"base": str(clean), "platbase": str(clean)}))
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(site)
    (site / "others.pth").write_text(f"{sysconfig.get_path('purelib')}\n")  # what twinloop needs
    python = str(clean / "bin" / "python")
    assert _ran(python, "-m", "twinloop", "--version", cwd=tmp_path) == "twinloop 0.1.0 (compiled)\n"
    where = _ran(
        python,
        "-c",
        "from twinloop.components.native import choice; print(choice.CHOICE.crossing.__file__)",
        cwd=tmp_path,
    )
    assert Path(where.strip()).is_relative_to(site)
    command = (python, "-m", "twinloop", "run", "field/faster-than-the-line-fixed")
    ways = [_ran(*command, cwd=tmp_path, TWINLOOP_PURE=pure) for pure in ("0", "1")]
    traces = [next(line for line in way.splitlines() if "trace" in line).split("python")[0] for way in ways]
    assert traces[0] == traces[1]
    assert ["core compiled" in ways[0], "core pure" in ways[1]] == [True, True]
    library = site / hook.INTO / compiling.FILES["engine"]
    library.write_bytes(library.read_bytes().replace(f"{twinloop.__version__} ".encode(), b"9.9.9 ", 1))
    stale = _ran(python, "-m", "twinloop", "--version", cwd=tmp_path)
    assert "twinloop 0.1.0 (pure)" in stale
    assert "was built for another twinloop" in stale
