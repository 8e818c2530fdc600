"""What is installed: one package, whole, whether the wheel comes from the tree or from the source
distribution, beside folders of any name."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def ran(*command: str, cwd: Path = ROOT, **environment: str) -> str:
    done = subprocess.run(
        command, cwd=cwd, env=os.environ | environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the wheel of the source distribution puts into an environment."""
    folder = tmp_path_factory.mktemp("package")
    ran(sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", str(folder))
    (source,) = folder.glob("*.tar.gz")
    ran(
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        str(folder),
        str(source),
    )
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as packed:
        assert {name.split("/")[0] for name in packed.namelist()} == {"twinloop", "twinloop-0.1.0.dist-info"}
        guests = [name for name in packed.namelist() if "/guests/" in name]
        assert guests
        assert not [name for name in guests if "/guests/bindings/" not in name]
        packed.extractall(folder / "site")
    return folder / "site"


def test_it_runs_beside_folders_of_the_same_names_as_its_rooms(installed: Path, tmp_path: Path) -> None:
    for room in ("sim", "devices", "components", "scenarios", "tui"):
        (tmp_path / room).mkdir()
        (tmp_path / room / "__init__.py").write_text("raise RuntimeError('somebody else')\n")
    where = ran(
        sys.executable,
        "-c",
        "import twinloop; print(twinloop.__file__)",
        cwd=tmp_path,
        PYTHONPATH=str(installed),
    )
    assert Path(where.strip()).is_relative_to(installed)
    told = ran(
        sys.executable,
        "-m",
        "twinloop",
        "run",
        "field/faster-than-the-line-fixed",
        cwd=tmp_path,
        PYTHONPATH=str(installed),
    )
    assert "PASS" in told.splitlines()[-1]
    picture = tmp_path / "seen.svg"
    ran(
        sys.executable,
        "-m",
        "twinloop",
        "tui",
        "quickstart",
        "--screenshot",
        str(picture),
        "--at",
        "5s",
        cwd=tmp_path,
        PYTHONPATH=str(installed),
    )
    assert picture.read_text().startswith("<svg")


def test_it_carries_what_a_report_page_is_made_of(installed: Path) -> None:
    for name in ("style.css", "script.js"):
        assert (installed / "twinloop" / "scenarios" / "page" / name).read_text() == (
            ROOT / "scenarios" / "page" / name
        ).read_text()


def test_it_says_which_version_it_is() -> None:
    said = ran(sys.executable, "-m", "twinloop", "--version", TWINLOOP_PURE="1")
    assert said.strip() == "twinloop 0.1.0 (pure)"


def test_the_starters_are_whole(installed: Path) -> None:
    """What a copy of one needs is there, links followed."""
    starters = installed / "twinloop" / "components" / "starters"
    for path in (
        "c/text.h",
        "../guests/bindings/device_driver.h",
        "js/driver.wit",
        "python/Makefile",
        "rego/policy.rego",
    ):
        assert (starters / path).is_file(), path
        assert not (starters / path).is_symlink(), path
    assert (starters.parent / "rego" / "template.wasm").is_file()
