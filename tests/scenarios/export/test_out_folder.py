"""docs/out-folder.md explains every file, table, column and kind of event that a run writes: it is compared
with what one writes. docs/perfetto.md names the tracks that there are."""

from __future__ import annotations

import json
import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.scenarios.export.traces import shipped
from tests.test_docs_reference import named, rows
from twinloop.components.host.host import Host
from twinloop.scenarios.export import samples
from twinloop.scenarios.export.packets import EVENTS_MAX
from twinloop.scenarios.file.load import load_text
from twinloop.scenarios.runner import Options, run
from twinloop.sim.accounts.rows import End
from twinloop.sim.kernel.trace import KINDS

DOCS = Path(__file__).parents[3] / "docs"
PAGE = (DOCS / "out-folder.md").read_text()


@pytest.fixture(scope="module")
def out(host: Host, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run") / "out"
    short = shipped("quickstart", duration="20 s", timeline=[{"at": "5 s", "cut": "cloud", "for": "5 s"}])
    run(load_text(short), Options(out=folder), host)
    return folder


def explained(table: str) -> list[tuple[str, str]]:
    """(column, type) of a table, as the page has it."""
    found = rows(PAGE, f"### `{table}`")
    assert all(one[2] for one in found)
    return [(named(one[0])[0], one[1]) for one in found]


def tables(file: Path) -> dict[str, list[tuple[str, str]]]:
    with closing(sqlite3.connect(file)) as db:
        names = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {
            name: [(column[1], column[2]) for column in db.execute(f"PRAGMA table_info({name})")]
            for name in names
        }


def section(title: str) -> str:
    return PAGE.split(f"\n## {title}\n", 1)[1].split("\n## ", maxsplit=1)[0]


@pytest.mark.parametrize("file", ["run.sqlite", "store-gw.sqlite"])
def test_every_table_and_column_is_explained(out: Path, file: str) -> None:
    title = f"Tables of `{file.replace('-gw', '-GATEWAY')}`"
    found = tables(out / file)
    assert re.findall(r"^### `(\w+)`$", section(title), re.MULTILINE) == list(found)
    assert {table: explained(table) for table in found} == found


def test_every_file_is_named(out: Path) -> None:
    listed = re.findall(r"^\| `([\w.-]+)` \|", PAGE.split("\n## ", maxsplit=1)[0], re.MULTILINE)
    written = sorted(file.name.replace("-gw", "-GATEWAY") for file in out.iterdir() if file.name[0] != ".")
    assert sorted(listed) == sorted([*written, samples.NAME])


def test_every_kind_of_event_is_explained(out: Path) -> None:
    found = {named(one[0])[0]: tuple(named(one[1])) for one in rows(PAGE, "## Kinds of events")}
    assert found == KINDS
    with closing(sqlite3.connect(out / "run.sqlite")) as db:
        for kind, fields in db.execute("SELECT kind, fields FROM events GROUP BY kind"):
            assert tuple(json.loads(fields)) == found[kind]


def test_the_ends_add_up_to_the_result(out: Path) -> None:
    books = json.loads((out / "result.json").read_text())["results"][0]["ledger"]
    with closing(sqlite3.connect(out / "run.sqlite")) as db:
        assert db.execute("SELECT sum(points) FROM ends").fetchone() == (books["due"],)
        states = dict(db.execute("SELECT state, sum(points) FROM ends GROUP BY state"))
        assert db.execute("SELECT json FROM result").fetchone()[0] == (out / "result.json").read_text()
    assert {*states} <= {end.value for end in End}
    assert states["delivered"] == books["delivered"]


def test_every_column_of_the_samples_is_explained() -> None:
    kinds = {"name": "text (dictionary)", "int64": "int64"}
    assert [tuple(one) for one in ([named(r[0])[0], *r[1:]] for r in rows(PAGE, "## `samples.parquet`"))] == [
        (name, kinds[kind], meaning) for name, (kind, meaning) in samples.COLUMNS.items()
    ]


def test_the_pages_tell_the_limits() -> None:
    assert f"{EVENTS_MAX:,}".replace(",", " ") in (DOCS / "perfetto.md").read_text()
    assert f"{samples.ROWS_PER_GROUP:,}".replace(",", " ") in PAGE
