"""The page as a browser would read it: nothing from elsewhere, nothing of the user's as markup, small, and the
same each time."""

from __future__ import annotations

import hashlib
import json
import re
from base64 import b64encode
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from tests.scenarios.page.plant import TEXT, Seen, loaded_text, seen
from twinloop.components.host.host import Host
from twinloop.scenarios.cli.main import main
from twinloop.scenarios.judging.verdict import Verdict
from twinloop.scenarios.page.figures import LINES_MAX
from twinloop.scenarios.page.gathering import Gathering
from twinloop.scenarios.page.page import embedded, page
from twinloop.scenarios.page.scales import Scale, label, upright
from twinloop.scenarios.runner import Options, run
from twinloop.sim.world import World

HOSTILE = '</script><img src=x onerror=alert(1)><svg/onload=1>"\' onmouseover="x&lt;'
VOID = ("meta", "img", "br", "input", "link")
SIZE_MAX = 2_000_000


class Read(HTMLParser):
    """Elements with their attributes, text by element, and whether all that was opened was closed."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append((self._open[-1] if self._open else "", data))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def found(host: Host) -> Seen:
    return seen(TEXT, host)


@pytest.fixture(scope="module")
def read(found: Seen) -> Read:
    return Read(found.text)


def test_nothing_comes_from_elsewhere(read: Read, found: Seen) -> None:
    require_self_contained(read, found.text)


def require_self_contained(read: Read, text: str) -> None:
    """Nothing is loaded, nothing runs but the page's own script."""
    for tag, attributes in read.elements:
        for name, value in attributes.items():
            assert not name.startswith("on"), (tag, name)
            assert name not in ("src", "srcset", "action", "style", "xlink:href"), (tag, name)
            assert name != "href" or (value or "").startswith("#"), value
    assert not re.search(r"https?:|//[a-z]|url\(|@import|fetch\(|XMLHttp|import\(", text)
    assert {tag for tag, _ in read.elements}.isdisjoint(("img", "link", "iframe", "object", "base", "form"))


def test_the_policy_forbids_all_but_its_own_script_and_style(read: Read) -> None:
    (policy,) = [
        one["content"] or "" for one in read.all("meta") if one.get("http-equiv") == "Content-Security-Policy"
    ]
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    (style,) = [text for tag, text in read.texts if tag == "style"]
    script = [text for tag, text in read.texts if tag == "script"][-1]
    for directive, text in (("style-src", style), ("script-src", script)):
        digest = b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{directive} 'sha256-{digest}'" in policy


def test_it_is_made_for_phones_and_for_screen_readers(read: Read) -> None:
    assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in read.all("meta")
    assert read.all("html") == [{"lang": "en"}]
    levels = [int(tag[1]) for tag, _ in read.elements if re.fullmatch(r"h[1-6]", tag)]
    assert levels.count(1) == 1
    assert all(after <= before + 1 or before == 1 for before, after in pairwise(levels))
    pictures = [one for one in read.all("svg") if "aria-hidden" not in one]
    assert len(pictures) >= 15
    assert all(one["role"] == "img" and one["aria-label"] for one in pictures)
    assert len(read.all("figure")) == len(read.all("figcaption")) == len(pictures)
    assert all(one.get("scope") in ("col", "row") for one in read.all("th"))
    assert len(read.all("table")) == len(read.all("caption"))
    ids = [one["id"] for _, one in read.elements if "id" in one]
    assert len(ids) == len(dict.fromkeys(ids))
    targets = [(one["href"] or "")[1:] for one in read.all("a")]
    assert [one for one in targets if one not in ids] == []
    (style,) = [text for tag, text in read.texts if tag == "style"]
    assert "prefers-color-scheme: dark" in style
    assert "prefers-reduced-motion: reduce" in style


def test_its_data_are_the_figures(read: Read, found: Seen) -> None:
    (text,) = [text for tag, text in read.texts if tag == "script"][:1]
    data = json.loads(text)
    assert data == json.loads(json.dumps(found.data))
    assert data["ledger"] == found.result.data["ledger"]
    assert data["latency"] == found.result.data["latency"]
    charts = [one["id"] for one in read.all("figure")]
    assert sorted(charts) == sorted([*data["charts"], "ranks"])


def test_verdict_and_expectations_are_said(read: Read, found: Seen) -> None:
    said = [text for _, text in read.texts]
    assert "FAIL" in said
    for one in found.result.judged:
        assert one.expectation.text in said
    assert any("Shaded: 1 cut cloud, from 6 s to 10 s; 2 cut plant" in text for text in said)
    assert found.result.reproduce in said


def hostile(value: Any, key: str = "") -> Any:
    """Every text of the figures, keys as well, with markup in it, but those that are words of ours."""
    if isinstance(value, dict):
        ours = key in ("", "charts", "ledger", "latency") or key.startswith(("expectation-", "latency-"))
        return {
            name if ours or name.isidentifier() else name + HOSTILE: hostile(one, name)
            for name, one in value.items()
        }
    if isinstance(value, list):
        return [hostile(one, key) for one in value]
    return (
        value + HOSTILE
        if isinstance(value, str) and value and key not in ("unit", "chart", "values")
        else value
    )


def test_nothing_of_the_users_becomes_markup(found: Seen) -> None:
    data = {**found.data, "incident": "somebody's", "notes": ["one"], "recordings": {"one": "two"}}
    read, text = Read(page(data, "once")), page(hostile(data), HOSTILE)
    assert text.count("onerror") > 100
    attacked = Read(text)
    assert [tag for tag, _ in attacked.elements] == [tag for tag, _ in read.elements]
    for (tag, attributes), (_, before) in zip(attacked.elements, read.elements, strict=True):
        assert list(attributes) == list(before) or tag in ("p", "td", "details"), tag
        assert attributes.keys() <= before.keys() | {"class"}
    assert sum(tag == "script" for tag, _ in attacked.elements) == 2


def test_a_scenario_may_say_such_things(host: Host) -> None:
    """An address of an incident is told, and neither followed nor markup."""
    address = "https://x/</script><img/src=x/onerror=alert(1)>"
    attacked = Read(seen(f"incident: {json.dumps(address)}\n{TEXT}", host).text)
    assert {tag for tag, _ in attacked.elements}.isdisjoint(("img",))
    assert f"What happened in the field: {address}" in [text for _, text in attacked.texts]


def test_nothing_ends_a_script_element_that_holds_data() -> None:
    text = embedded({"name": "</script><!--<script>&\u2028"})
    assert not re.search("[<>&\u2028]", text)
    assert json.loads(text) == {"name": "</script><!--<script>&\u2028"}


def test_two_runs_have_one_page_but_for_a_line(found: Seen, host: Host) -> None:
    again = seen(TEXT, host).text.splitlines()
    first = found.text.splitlines()
    differing = [(a, b) for a, b in zip(first, again, strict=True) if a != b]
    assert all('id="machine"' in a and 'id="machine"' in b for a, b in differing)
    assert sum('id="machine"' in line for line in first) == 1
    assert found.result.data["versions"]["wasmtime"] in next(line for line in first if 'id="machine"' in line)


def test_a_page_does_not_grow_with_the_plant(host: Host, found: Seen) -> None:
    """Of 5 000 devices it takes longer than a test may: that page has 63 kB."""
    text = TEXT.replace("count: 6, poll: 1 s", "count: 300, poll: 10 s")
    assert len(seen(text, host).text) < 1.2 * len(found.text)


def test_the_largest_page_is_below_2_mb(found: Seen) -> None:
    """300 windows, as many lines in each picture as there can be, 40 pictures of expectations."""
    at_ns = [number * 10**9 for number in range(300)]
    values = [10**9 + number * 7919 * 1009 % 987_654_321 for number in range(300)]
    lines = [{"name": f"gateway-{number}", "values": values} for number in range(LINES_MAX)]
    full = {"at_ns": at_ns, "lines": lines, "unit": "ns", "limit": {"value": 2 * 10**9, "text": "<= 2 s"}}
    one = {**full, "lines": lines[:1]}
    charts = dict.fromkeys(
        ("latency-gateway", "latency-cloud", "ends", "cpu", "memory", "backlog", "lines"), full
    )
    charts |= {f"expectation-{number}": one for number in range(40)}
    judged = [{**found.data["expectations"][0], "chart": f"expectation-{number}"} for number in range(40)]
    trouble = [{**found.data["trouble"][0], "begin_ns": number * 10**9} for number in range(200)]
    data = {
        **found.data,
        "charts": charts,
        "expectations": judged,
        "trouble": trouble,
        "end_ns": 300 * 10**9,
        "slowest": found.data["slowest"][:1] * 20,
    }
    assert len(page(data, "").encode()) < SIZE_MAX


# ---- axes ----------------------------------------------------------------------------------------
def test_axes_have_round_values() -> None:
    assert [label(tick, "ns") for tick in Scale(0, 120 * 10**9, 0, 600, "ns").ticks()] == [
        "0 s", "30 s", "60 s", "90 s", "2 min",
    ]  # fmt: skip
    assert Scale(0, 2500, 0, 600, "count").ticks() == [0, 500, 1000, 1500, 2000, 2500]
    assert Scale(0, 1, 0, 600, "count").ticks() == [0, 1]
    assert [label(tick, "bytes") for tick in Scale(0, 60 << 20, 0, 600, "bytes").ticks()][-1] == "48 MiB"
    assert [label(tick, "ratio") for tick in Scale(0, 1, 0, 600, "ratio").ticks()][1] == "20 %"


def test_times_that_lie_far_apart_have_a_logarithmic_axis() -> None:
    far = upright([10**6, 10**9], "ns", 200, 0)
    assert far.log
    assert far.at(10**6) > far.at(10**7) > far.at(10**8) > far.at(10**9)
    assert far.at(10**6) - far.at(10**7) == pytest.approx(far.at(10**8) - far.at(10**9))
    assert far.at(0) == 200
    assert not upright([10**6, 2 * 10**6], "ns", 200, 0).log
    assert upright([], "count", 200, 0).at(0) == 200
    assert upright([0.0, 0.0], "ratio", 200, 0).ticks()


# ---- the command ---------------------------------------------------------------------------------
@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "page.yaml"
    file.write_text(TEXT.replace("duration: 20 s", "duration: 18 s"))
    return file


def test_run_writes_it(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "report.html"
    assert main(["run", str(file), "--html", str(target), "--json", str(tmp_path / "with.json")]) == 1
    assert main(["run", str(file), "--json", str(tmp_path / "without.json")]) == 1
    capsys.readouterr()
    Read(target.read_text(encoding="utf-8"))
    with_page, without = (
        json.loads((tmp_path / f"{name}.json").read_text())["results"][0] for name in ("with", "without")
    )
    for one in (with_page, without):
        del one["run"]
    assert with_page == without


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["quickstart", "--seeds", "1..3"], "a page is of one scenario, and 2 were given"),
        (["--check"], "--html and --check don't go together"),
        (["--clock", "wire"], "--html and --clock wire don't go together"),
        (["quickstart"], "a page is of one scenario, and 2 were given"),
    ],
)
def test_what_does_not_go_with_it_is_refused(
    file: Path, tmp_path: Path, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "report.html"
    assert main(["run", str(file), *arguments, "--html", str(target)]) == 3
    told = capsys.readouterr().err
    assert said in told
    assert "Traceback" not in told
    assert not target.exists()


@pytest.mark.parametrize("where", ["", "nowhere/report.html"])
def test_a_place_that_cannot_be_is_refused_before_the_run(
    file: Path, tmp_path: Path, where: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", str(file), "--html", str(tmp_path / where)]) == 3
    assert "--html" in capsys.readouterr().err


def test_a_page_that_cannot_be_written_costs_no_report(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    assert main(["run", str(file), "--html", str(tmp_path / "report.html")]) == 71
    told = capsys.readouterr()
    assert "FAIL" in told.out
    assert "report.html: No space left on device" in told.err
    assert "Traceback" not in told.err


def test_a_run_that_is_stopped_has_a_page(host: Host) -> None:
    loaded, gathering = loaded_text(TEXT), Gathering()
    gathering.loaded(loaded)

    def started(world: World) -> None:
        gathering.started(world)
        world.on_happened.append(lambda event: world.stop() if event == "cut plant" else None)

    result = run(loaded, Options(started=started), host)
    assert result.verdict is Verdict.ABORTED
    said = [text for _, text in Read(gathering.text(result)).texts]
    assert "ABORTED" in said
    assert any("1 cut cloud, from 6 s to 10 s" in text for text in said)


@pytest.mark.parametrize(
    ("error", "words"),
    [("", "The scenario expects nothing"), ("the books don't add up", "The run broke")],
)
def test_a_run_without_judgement_says_why(found: Seen, error: str, words: str) -> None:
    text = page({**found.data, "expectations": [], "error": error}, "")
    assert text.count(f"{words}, so nothing was judged.") == 2
