"""The pages of a sweep and of a size: what they say is what their documents have; places of marks by hand."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from tests.scenarios.evidence.plant import scenario
from tests.scenarios.page.evidence.made import MISSED, carried, entry, failed, marks, rows
from tests.scenarios.page.test_page import HOSTILE, SIZE_MAX, Read, require_self_contained
from twinloop.scenarios.cli.main import main
from twinloop.scenarios.evidence.points import Point
from twinloop.scenarios.evidence.summary import Asked, summary
from twinloop.scenarios.evidence.sweep import document
from twinloop.scenarios.file.settings import Setting
from twinloop.scenarios.page.evidence.size import size_page
from twinloop.scenarios.page.evidence.sweep import sweep_page
from twinloop.scenarios.page.evidence.versus import TABLES_MAX, numbers_of


def point(settings: dict[str, str], *entries: dict[str, Any]) -> Point:
    return Point(
        tuple(Setting((path,), text, f"{path}={text}") for path, text in settings.items()),
        list(entries),
        summary(entries, Asked(f"1..{len(entries)}")),
    )


def test_its_figures_are_those_of_the_document(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, target, data = tmp_path / "lucky.yaml", tmp_path / "page.html", tmp_path / "data.json"
    file.write_text(scenario(missed=10))
    vary = ["--vary", "fleets.presses.poll=[1 s, 2 s]", "--seeds", "1..2", "--jobs", "1"]
    assert main(["sweep", str(file), *vary, "--html", str(target), "--json", str(data)]) == 0
    first, found = target.read_text(), json.loads(data.read_text())
    page = carried(first)
    assert page["points"] == found["points"]
    for i, text in enumerate(page["expressions"]):
        chart = page["charts"][f"expectation-{i}"]
        assert chart["at"] == ["1 s", "2 s"]
        assert chart["x"] == [1e9, 2e9]
        for key, name in (("values", "median"), ("low", "p5"), ("high", "p95"), ("verdicts", "verdict")):
            assert chart[key] == [one["expectations"][i][name] for one in found["points"]]
        assert found["points"][0]["expectations"][i]["expression"] == text
    again = shlex.split(page["command"])[1:]
    assert main([*again, "--jobs", "2", "--html", str(target)]) == 0
    capsys.readouterr()
    lines = zip(first.splitlines(), target.read_text().splitlines(), strict=True)
    assert all('id="machine"' in a for a, b in lines if a != b)


def test_marks_stand_where_their_values_are() -> None:
    """1, 2 and 5 of one unit: the second a quarter of the way. Without a number they stand in even steps."""
    values = {"1 s": entry(1), "2 s": entry(1, missed=30), "5 s": entry(1, missed=None)}
    text = sweep_page([point({"poll": name}, one) for name, one in values.items()], "again")
    places = [float(one) for one in re.findall(r'data-x="([^"]*)"', text)[0].split(",")]
    assert (places[1] - places[0]) / (places[2] - places[0]) == pytest.approx(0.25, abs=0.001)
    assert [shape for shape, _ in marks(text, "expectation-0")] == [
        "circle good",
        "path bad",
        "rect open doubt",
    ]
    letters = re.findall(r'class="letter"[^>]*>(\w)<', text)
    assert letters[:3] == ["P", "F", "N"]
    named = {"one": entry(1), "two": entry(1), "three": entry(1)}
    text = sweep_page([point({"board": name}, one) for name, one in named.items()], "again")
    places = [float(one) for one in re.findall(r'data-x="([^"]*)"', text)[0].split(",")]
    assert places[1] - places[0] == pytest.approx(places[2] - places[1], abs=0.11)
    assert "in even steps, in the order in which they were given" in text


def test_numbers_of_one_unit() -> None:
    assert numbers_of(["100 ms", "1 s"]) == [10**8, 10**9]
    assert numbers_of(["1 KiB", "2 KiB"]) == [1024, 2048]
    assert numbers_of(["0 %", "2.5 %"]) == [0, 0.025]
    assert numbers_of(["3", "1"]) == [3, 1]
    assert numbers_of(["1 s", "1 KiB"]) is None
    assert numbers_of(["1 s", "1000 ms"]) is None, "two marks would stand on each other"
    assert numbers_of(["true", "false"]) is None


def test_two_places_have_a_table_of_shades() -> None:
    """By hand: four values, the largest has the strongest shade, never the same as the largest."""
    missed = {("a", "x"): 0.0, ("a", "y"): 10.0, ("b", "x"): 20.0, ("b", "y"): 30.0}
    points = [point({"down": d, "across": a}, entry(1, missed=m)) for (d, a), m in missed.items()]
    text = sweep_page(points, "again")
    assert carried(text)["charts"] == {}
    assert rows(text, "down down, across across")[:3] == [
        ["down", "x", "y"], ["a", "0 P", "10 P"], ["b", "20 F", "30 F"],
    ]  # fmt: skip
    shades = re.findall(r'class="heat h(\d)"', text[: text.index("p95(latency")])
    assert shades == ["0", "1", "2", "4"]


def test_of_more_places_the_last_two_and_what_is_left_out_is_said() -> None:
    points = [
        point({"first": str(i), "down": d, "across": a}, entry(1))
        for i in range(15)
        for d in "ab"
        for a in "xy"
    ]
    text = sweep_page(points, "again")
    assert text.count("<caption>down down, across across, first = 3<") == 2
    assert text.count("<caption>down down") == 2 * TABLES_MAX
    assert "3 more such tables: all values are in the table below." in text
    assert len(rows(text, "What was set")) == 61


def test_errors_and_what_goes_wrong_beside_are_told() -> None:
    lost = {**entry(2), "unspoken": {"lost": 3}}
    text = sweep_page([point({"poll": "1 s"}, failed(1)), point({"poll": "2 s"}, lost)], "again")
    told = rows(text, "What was set")
    assert told[1] == ["1 s", "ERROR", "0 of 1", "-", "-", "no memory"]
    assert told[2][-1] == "3 lost samples of which no expectation speaks"
    assert "2 combinations: 1 PASS, 1 ERROR." in text


def hostile(suffix: str) -> str:
    ones = [{**entry(1, missed=m), "reproduce": suffix, "unspoken": {suffix: 1}} for m in (0, 30)]
    for one in ones:
        one["scenario"] = one["file"] = suffix
        one["components"] = {suffix: suffix}
    ends = [point({"p": f"a{suffix}"}, ones[0]), point({"p": f"b{suffix}"}, ones[1])]
    return sweep_page([*ends, point({"p": suffix}, failed(1, error=suffix))], f"again {suffix}")


def test_nothing_of_the_users_becomes_markup() -> None:
    read, plain = (
        Read(hostile(HOSTILE)),
        Read(hostile("harmless but rather long, longer than a label may be")),
    )
    assert hostile(HOSTILE).count("onerror") > 15
    assert [tag for tag, _ in read.elements] == [tag for tag, _ in plain.elements]
    require_self_contained(read, hostile(HOSTILE))


def test_100_points_are_below_2_mb() -> None:
    """Of 20 expectations, under 20 seeds each."""
    points = []
    for i in range(100):
        entries = [entry(seed, missed=seed % 5) for seed in range(1, 21)]
        for one in entries:
            first = one["expectations"][0]
            one["expectations"] = [
                {**first, "expression": f"count(samples.missed{{fleet=f{n}}}) <= 10"} for n in range(20)
            ]
        points.append(point({"delay": f"{i + 1} ms"}, *entries))
    text = sweep_page(points, "again")
    assert len(text.encode()) < SIZE_MAX
    assert len(document(points)["points"]) == 100 == len(marks(text, "expectation-0"))


# ---- size ----------------------------------------------------------------------------------------
LINE = """\
format: 2
name: line
duration: 10 s
grace: 5 s
fleets:
  m: {device: press-sensor, protocol: modbus-rtu, count: 8, poll: 2 s, response: 160 ms, link: line, gateway: gw, driver: reader}
links:
  line: {serial: 9600 Bd, parity: even, lines: 1}
  cloud: {delay: 10 ms}
components:
  reader: {wasm: modbus-driver.wasm, grants: [fieldbus, clock, log], limits: {deadline: 10 s}, with: {timeout: 500 ms}}
  normalize: {wasm: normalize.wasm, grants: [log]}
  route: {wasm: route.wasm, grants: [log]}
gateways:
  gw: {board: raspberry-pi-4, transform: normalize, policy: route, uplink: {link: cloud}, store: {}}
expect:
- count(samples.missed) == 0
"""


def test_a_size_has_a_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its answer is that of the terminal and of the document."""
    file, target, data = tmp_path / "line.yaml", tmp_path / "page.html", tmp_path / "data.json"
    file.write_text(LINE)
    ends = ["--from", "4 s", "--to", "1 s", "--step", "500 ms"]
    flags = ["size", str(file), "--vary", "fleets.m.poll", *ends, "--json", str(data), "--html", str(target)]
    assert main(flags) == 0
    told, text = capsys.readouterr().out, target.read_text()
    found, page = json.loads(data.read_text()), carried(text)
    assert {key: page[key] for key in found} == found
    assert found["unit"] == "ns"
    (answer,) = re.findall(r"smallest that holds: (.*)", told)
    assert f"<strong>{answer}</strong>Smallest that holds: {answer}." in text
    tried = rows(text, "Each value that was tried")[1:]
    assert [row[:2] for row in tried] == [
        [b, a] for a, b in re.findall(r"^  (PASS|FAIL) +(\S+ \S+)  ", told, re.MULTILINE)
    ]
    assert [row[-1] for row in tried if row[-1] != "-"] == ["the last that holds", "the first that doesn't"]
    assert len(marks(text, "expectation-0")) == len(tried) == len(found["tried"])
    assert text.count('class="named"') == 1
    assert page["command"] == shlex.join(["twinloop", *flags[:-4]])
    require_self_contained(Read(text), text)


def test_no_answer_has_a_page_that_says_so() -> None:
    tried = {
        "value": 3, "text": "3", "verdict": "FAIL", "seeds": 1, "held": 0, "interval": [0, 0.79], "beside": "",
        "reproduce": f"run {HOSTILE}", "expectations": summary([entry(1, missed=30)], Asked("1..1"))["expectations"],
    }  # fmt: skip
    last = {**tried, "value": 9, "text": "9"}
    data = {
        "scenario": HOSTILE, "path": HOSTILE, "unit": "count", "expectations": [MISSED], "from": 3, "to": 9, "step": 1, "found": None,
        "nominal": None, "problem": "start", "first_bad": None, "holds_again": [], "limits": {}, "band": "", "tried": [tried, last],
    }  # fmt: skip
    text = size_page(data, HOSTILE, [entry(1, missed=30)])
    assert "<strong>NO ANSWER</strong>No answer: it doesn&#x27;t hold with 3 (--from)" in text
    read = Read(text)
    require_self_contained(read, text)
