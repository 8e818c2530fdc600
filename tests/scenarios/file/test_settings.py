"""``--set PATH=VALUE``: what a path may be, where a value comes to lie, what is refused and in which words."""

from __future__ import annotations

import copy
import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.scenarios.cases import SPARSE, scenario
from twinloop.scenarios.checking import checked
from twinloop.scenarios.file.load import LIBRARY, Loaded, library_names, load, load_text
from twinloop.scenarios.file.settings import Setting, parse_setting, path_of, with_settings
from twinloop.scenarios.report.result import scenario_digest
from twinloop.scenarios.text.document import Document, Location, parse_document
from twinloop.scenarios.text.errors import ScenarioError

TEXT = """\
format: 2
name: small
duration: 20 s
fleets:
  presses: {device: press-sensor, protocol: modbus-tcp, count: 3, poll: 1 s, link: plant, gateway: gw, driver: modbus-driver}
links:
  plant: {preset: lan}
  cloud: {preset: lte}
components:
  modbus-driver: {wasm: modbus-driver.wasm, grants: [fieldbus, clock, log], with: {timeout: 200 ms, a.b: "1"}}
  normalize: {wasm: normalize.wasm, grants: [log]}
  route: {wasm: route.wasm, grants: [log]}
gateways:
  gw: {board: raspberry-pi-4, transform: normalize, policy: route, uplink: {link: cloud}}
timeline:
  - {at: 3 s, cut: cloud, for: 1 s}
  - {at: 5 s, cut: plant, for: 1 s}
phases:
  - {name: before, for: 8 s}
  - {name: after, for: 8 s}
expect:
  - count(samples.lost) == 0
"""


def changed(*texts: str, text: str = TEXT) -> Loaded:
    return load_text(text, Path("small.yaml"), [parse_setting(one) for one in texts])


def refusal(*texts: str) -> str:
    with pytest.raises(ScenarioError) as refused:
        changed(*texts)
    return str(refused.value)


@pytest.mark.parametrize(
    ("text", "path", "value"),
    [
        ("fleets.presses.count=200", ("fleets", "presses", "count"), 200),
        ("fleets.presses.poll=2 s", ("fleets", "presses", "poll"), "2 s"),
        (" seed = 5", ("seed",), 5),
        (
            "expect[0]=p99(latency.gateway) <= 40 ms",
            ("expect", 0),
            "p99(latency.gateway) <= 40 ms",
        ),
        ("fleets.presses/3.driver=other", ("fleets", "presses/3", "driver"), "other"),
        ("timeline[2].at=30s", ("timeline", 2, "at"), "30s"),
        ("phases[after].for=1 s", ("phases", "after", "for"), "1 s"),
        ("phases.after.for=1 s", ("phases", "after", "for"), "1 s"),
        ("x['2'].y=", ("x", "2", "y"), None),
        ("with.'a.b = [c]'.\"d'e\"='1'", ("with", "a.b = [c]", "d'e"), "1"),
        ("with.'it''s'=null", ("with", "it's"), None),
        ('with."say ""no"""=true', ("with", 'say "no"'), True),
        ("x.wasi:filesystem./data.quota=64 KiB", ("x", "wasi:filesystem", "/data", "quota"), "64 KiB"),
        ("x=[1 s, 2 s]", ("x",), ["1 s", "2 s"]),
        ("x={quota: 64 KiB, deep: {a: [1.5]}}", ("x",), {"quota": "64 KiB", "deep": {"a": [1.5]}}),
        ("x=a=b", ("x",), "a=b"),
        ("x=yes", ("x",), "yes"),
        ("x=-1e3 # so much", ("x",), -1000.0),
    ],
)
def test_a_setting_is_read(text: str, path: Location, value: Any) -> None:
    assert parse_setting(text) == Setting(path, value, text)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "expected PATH=VALUE, such as fleets.presses.count=200"),
        ("seed", "expected PATH=VALUE, such as fleets.presses.count=200"),
        ("=5", "the path before = is empty; expected PATH=VALUE, such as fleets.presses.count=200"),
        ("fleets.=5", 'expected a key behind "fleets.", got ='),
        (".a=5", 'expected a key, got "." (a key with such a sign in it is written in quotes)'),
        ("a..b=5", 'expected a key behind "a.", got "." (a key with such a sign in it is written in quotes)'),
        (
            "a.[2]=5",
            'expected a key behind "a.", got "[" (a key with such a sign in it is written in quotes)',
        ),
        ("a[2=5", 'the bracket of "a[" isn\'t closed'),
        ("a[=5", 'the bracket of "a[" isn\'t closed'),
        ("a['b'=5", 'the bracket of "a[" isn\'t closed'),
        (
            "a[b.c]=5",
            'expected ] behind "a[b", got "." (a key with such a sign in it is written in quotes)',
        ),
        ("a[]=5", 'expected an index or a name behind "a[", got nothing'),
        ("a[1234567890]=5", "an index has at most 9 digits"),
        (
            "a]=5",
            'expected . or [ or = behind "a", got "]" (a key with such a sign in it is written in quotes)',
        ),
        (
            "a b=5",
            'expected . or [ or = behind "a ", got "b" (a key with such a sign in it is written in quotes)',
        ),
        ("a.'b=5", "the quote ' behind \"a.\" isn't closed"),
        ("'a=5'", "expected . or [ or = behind \"'a=5'\", got nothing"),
        ("format=2", '"format" can\'t be set: it says with which words the file is written'),
        ("'name'=x", '"name" can\'t be set: results are told by it'),
        ("x=[1, 2", "YAML: expected ',' or ']'"),
        ("x=*a", "YAML: found undefined alias 'a'"),
        ("x={a: 1, a: 2}", "$.x.a: duplicate key"),
        ("x={<<: {a: 1}}", "$.x: merge keys (<<) are not used here"),
        ("x=!!set {a}", "$.x: the YAML tag tag:yaml.org,2002:set is not used here"),
        ('x="\\UFFFFFFFF"', "YAML: an escape or a number out of range"),
        ("x=" + "[" * 40 + "]" * 40, "nested deeper than 32"),
        (".".join("x" * 33) + "=1", "nested deeper than 32"),
        ("x=" + "," * 200_001, "more than 200000 values"),
        ("x=\udcff", "it isn't UTF-8"),
    ],
)
def test_what_is_no_setting_is_refused(text: str, why: str) -> None:
    with pytest.raises(ScenarioError) as refused:
        parse_setting(text)
    assert str(refused.value).startswith(f"--set {text}: ")
    assert why in str(refused.value)
    assert refused.value.line is None


def test_values_come_to_lie_where_their_paths_say() -> None:
    found = changed(
        "fleets.presses.count=200",
        "fleets.presses.poll=2 s",
        "fleets.'presses/3'.poll=4 s",
        "fleets.presses/4.response=1 ms",
        "expect[0]=p99(latency.gateway) <= 40 ms",
        "gateways.gw.board=raspberry-pi-3",
        "gateways.gw.store.capacity=1 MiB",
        "gateways.gw.uplink.retry={first: 2 s}",
        "gateways.gw.uplink.retry.max=20 s",
        "links.cloud.delay=80ms",
        "links.new={delay: 1 ms}",
        "timeline[1].at=6s",
        "phases[before].for=7 s",
        "phases.after.name=later",
        "components.modbus-driver.with.'a.b'='2'",
        "components.modbus-driver.limits.cpu=3 ms",
        "observe={topic: 'x/{device}', sequence: $.seq}",
        "pace.tolerance=1 ms",
    ).scenario
    presses, gateway = found.fleets["presses"], found.gateways["gw"]
    assert (presses.count, presses.poll) == (200, 2_000_000_000)
    assert [(key, one.poll, one.response) for key, one in found.overrides.items()] == [
        ("presses/3", 4_000_000_000, None),
        ("presses/4", None, 1_000_000),
    ]
    assert found.expect == ("p99(latency.gateway) <= 40 ms",)
    assert gateway.board == "raspberry-pi-3"
    assert gateway.store is not None
    assert gateway.store.capacity == 1 << 20
    assert (gateway.uplink.retry.first, gateway.uplink.retry.max) == (2_000_000_000, 20_000_000_000)
    assert found.links["cloud"].delay == 80_000_000
    assert found.links["cloud"].preset == "lte"
    assert found.links["new"].delay == 1_000_000
    assert [entry.at for entry in found.timeline] == [3_000_000_000, 6_000_000_000]
    assert [(phase.name, phase.for_) for phase in found.phases] == [
        ("before", 7_000_000_000),
        ("later", 8_000_000_000),
    ]
    assert found.components["modbus-driver"].options == {"timeout": "200 ms", "a.b": "2"}
    assert found.components["modbus-driver"].limits.cpu == 3_000_000
    assert found.observe is not None
    assert found.pace.tolerance == 1_000_000


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (
            "fleets.presses.count=0",
            "$.fleets.presses.count: input should be greater than or equal to 1, got 0",
        ),
        ("fleets.presses.cuont=3", '$.fleets.presses.cuont: unknown key "cuont"; did you mean "count"?'),
        ("fleet=3", '$.fleet: unknown key "fleet"; did you mean "fleets"?'),
        ("settle=3 s", '$.settle: unknown key "settle", which is "grace" since format 2;'),
        ("gateways.gw.stor.capacity=1", '$.gateways.gw.stor: unknown key "stor"; did you mean "store"?'),
        ("gateways.gw.store={evict: newest}", "$.gateways.gw.store.evict: expected 'oldest' or 'none'"),
        ("links.new={delay: 1 ms, los: 2 %}", '$.links.new.los: unknown key "los"; did you mean "loss"?'),
        ("gateways.b={board: raspberry-pi-4}", '$.gateways.b: missing key "transform" (and 2 more)'),
        ("overrides.a.poll=1 s", '$.overrides: unknown key "overrides"; single devices are changed by'),
        (
            "fleets.press.count=3",
            '$.fleets.press: unknown fleet "press"; did you mean "presses"? known: presses (a new one is set as a '
            "whole)",
        ),
        ("fleets.press/3.poll=3 s", '$.fleets.press: unknown fleet "press"; did you mean "presses"?'),
        ("links.clod.delay=1 ms", '$.links.clod: unknown link "clod"; did you mean "cloud"?'),
        ("components.route.with.a.b='1'", '$.components.route.with.a: unknown option "a"; known: none'),
        (
            "components.normalize.derives.power.unit=kW",
            '$.components.normalize.derives.power: unknown point "power"; known: none',
        ),
        (
            "fleets.presses.count.x=3",
            "$.fleets.presses.count: nothing lies below it: it is 3, no mapping and no list",
        ),
        (
            "fleets.presses.response.x=3",
            "$.fleets.presses.response: nothing lies below it: it is a single value, no mapping and no list",
        ),
        ("components.route.wasm[0]=x", "$.components.route.wasm: nothing lies below it: it is route.wasm"),
        ("fleets[0].count=3", "$.fleets: it is a mapping and no list: expected a key of it, got [0]"),
        ("timeline[2].at=3 s", "$.timeline: no entry [2]: the list has 2 entries: expected 0 to 1"),
        ("expect[1]=x", "$.expect: no entry [1]: the list has 1 entry: expected 0"),
        ("random-faults[0].mtbf=3 s", "$.random-faults: no entry [0]: the list has no entries"),
        ("random-faults.x.mtbf=3 s", '$.random-faults: no entry "x": the list has no entries, without names'),
        (
            "timeline[-1].at=3 s",
            '$.timeline: no entry "-1": the list has 2 entries, without names; expected an index, 0 to 1, in '
            "brackets",
        ),
        (
            "phases.befor.for=1 s",
            '$.phases: unknown entry "befor"; did you mean "before"? known: after, before; or an index, 0 to 1',
        ),
    ],
)
def test_a_mistake_names_the_setting_and_no_line(text: str, why: str) -> None:
    assert refusal(text).startswith(f"small.yaml: --set {text}: {why}")


def test_of_several_mistakes_the_settings_come_first_and_each_is_told_for_itself() -> None:
    with pytest.raises(ScenarioError) as refused:
        changed("fleets.presses.count=0", "links.plant.dely=1 s", text=TEXT.replace("at: 5 s", "at: soon"))
    assert [str(one).partition(": $")[0] for one in refused.value.all] == [
        "small.yaml: --set fleets.presses.count=0",
        "small.yaml: --set links.plant.dely=1 s",
        "small.yaml:17",
    ]
    assert "and 2 more" in str(refused.value)


def test_a_mistake_elsewhere_has_its_line_and_says_what_was_set(tmp_path: Path) -> None:
    file = tmp_path / "case.yaml"
    file.write_text(scenario(tmp_path, links={"plant": {"delay": "2 ms", "jitter": "1 ms"}, "cloud": {}}))
    assert checked(file).errors == []
    line = [text.strip() for text in file.read_text().splitlines()].index("jitter: 1 ms") + 1
    found = checked(file, [parse_setting("links.plant.delay=0 s"), parse_setting("seed=2")])
    assert [str(one) for one in found.errors] == [
        f"{file}:{line}: $.links.plant.jitter: jitter 1000000 ns is larger than the delay of 0 ns "
        f"(with --set links.plant.delay=0 s --set seed=2)"
    ]


def test_names_are_looked_up_as_everywhere(tmp_path: Path) -> None:
    file = tmp_path / "case.yaml"
    file.write_text(scenario(tmp_path))
    texts = (
        "fleets.m/1.driver=other",
        "gateways.gw.board=raspbery-pi-4",
        "expect[0]=count(sample.lost) == 0",
    )
    found = checked(file, [parse_setting(text) for text in texts])
    told = {str(one).partition("; known")[0].partition(" known")[0] for one in found.errors}
    assert told == {
        f'{file}: --set {texts[0]}: $.fleets.m/1.driver: unknown component "other"',
        f'{file}: --set {texts[1]}: $.gateways.gw.board: unknown board "raspbery-pi-4"; did you mean '
        f'"raspberry-pi-4"?',
        f'{file}: --set {texts[2]}: $.expect[0]: unknown metric "sample.lost"; did you mean "samples.lost"?',
    }


def test_an_entry_of_two_of_one_name_is_found_by_its_index() -> None:
    text = TEXT.replace("name: after", "name: before")
    with pytest.raises(ScenarioError, match=r'phases: 2 entries have the name "before": expected an index'):
        changed("phases.before.for=1 s", text=text)


@pytest.mark.parametrize(
    "texts",
    [
        ("duration=1 s", "duration=1 s"),
        ("phases[0].for=1 s", "phases.before.for=2 s"),
        ("fleets.presses.count=2", "fleets={}"),
        ("gateways.gw.store.capacity=1 MiB", "gateways.gw.store={}"),
        ("links.plant={loss: 1 %}", "links.plant.loss=2 %"),
    ],
)
def test_no_setting_replaces_what_another_has_set(texts: tuple[str, str]) -> None:
    assert f"--set {texts[1]}: $." in refusal(*texts)
    assert f"--set {texts[0]} has set it: one of the two would be lost" in refusal(*texts)


def test_a_null_that_was_set_is_no_place_for_more() -> None:
    text = TEXT.replace("uplink: {link: cloud}", "uplink: {link: cloud}, store: null")
    assert changed("gateways.gw.store.evict=none", text=text).scenario.gateways["gw"].store is not None
    told = refusal("gateways.gw.store=null", "gateways.gw.store.evict=none")
    assert "$.gateways.gw.store: nothing lies below it: it is null" in told


def test_settings_that_add_to_one_another_are_put_one_after_the_other() -> None:
    store = (
        changed("gateways.gw.store={}", "gateways.gw.store.evict=none", "gateways.gw.store.capacity=1 MiB")
        .scenario.gateways["gw"]
        .store
    )
    assert store is not None
    assert (store.evict, store.capacity) == ("none", 1 << 20)


def test_neither_the_document_nor_a_value_is_changed_by_what_is_set_in_it() -> None:
    document = parse_document(TEXT, Path("small.yaml"))
    before = copy.deepcopy(document)
    outer, inner = parse_setting("links.plant={preset: lan}"), parse_setting("links.plant.loss=2 %")
    found = with_settings(document, [outer, inner, parse_setting("expect[0]=x"), parse_setting("fleets/a=1")])
    assert found.data["links"]["plant"] == {"preset": "lan", "loss": "2 %"}
    assert (document, outer.value) == (before, {"preset": "lan"})
    assert found.settings == (outer.text, inner.text, "expect[0]=x", "fleets/a=1")


def test_what_was_set_before_counts_for_what_is_set_later() -> None:
    once = with_settings(parse_document(TEXT, Path("small.yaml")), [parse_setting("duration=9 s")])
    with pytest.raises(ScenarioError, match="--set duration=9 s has set it"):
        with_settings(once, [parse_setting("duration=8 s")])


def test_a_file_of_format_1_is_set_in_the_words_of_today() -> None:
    text = TEXT.replace("format: 2", "format: 1").replace("expect:", "settle: 3 s\nexpect:")
    found = changed("grace=4 s", "gateways.gw.supervision.max=1 s", text=text)
    assert found.scenario.grace == 4_000_000_000
    assert found.old_words == ("format: 1", "settle")
    with pytest.raises(ScenarioError, match=r'--set settle=4 s: .* which is "grace" since format 2'):
        changed("settle=4 s", text=text)


def test_relative_paths_start_from_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "case.yaml"
    file.write_text(scenario(tmp_path, models={"sparse.yaml": SPARSE}))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    found = checked(file, [parse_setting("fleets.m.device=model/sparse.yaml")])
    assert found.errors == []
    assert found.spec is not None
    assert [point.name for point in found.spec.devices[0].model.points] == ["a", "b"]


def test_the_digest_is_of_the_values_and_not_of_where_they_stood() -> None:
    plain = scenario_digest(changed())
    same = ("duration=20 s", "fleets.presses={device: press-sensor, protocol: modbus-tcp, count: 3, poll: 1 s, "
            "link: plant, gateway: gw, driver: modbus-driver}", "grace=30 s", "expect=[count(samples.lost) == 0]")  # fmt: skip
    assert scenario_digest(changed(*same)) == plain
    different = ("duration=21 s", "fleets.presses/2.poll=3 s", "expect=[]", "gateways.gw.store={}", "seed=9")
    digests = {scenario_digest(changed(text)) for text in different}
    assert len(digests | {plain}) == len(different) + 1
    assert scenario_digest(changed("duration=21 s")) == scenario_digest(
        load_text(TEXT.replace("duration: 20 s", "duration: 21 s"))
    )


@cache
def shipped(name: str) -> tuple[Document, str, list[tuple[Location, Any]]]:
    """A shipped scenario: its document, its digest, its leaves."""
    loaded = load(LIBRARY / f"{name}.yaml")
    return loaded.document, scenario_digest(loaded), list(leaves(loaded.document.data, ()))


def leaves(value: Any, at: Location) -> list[tuple[Location, Any]]:
    if isinstance(value, dict | list) and value:
        inner = value.items() if isinstance(value, dict) else enumerate(value)
        return [leaf for key, one in inner for leaf in leaves(one, (*at, key))]
    return [(at, value)]


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(library_names()), st.data())
def test_a_leaf_that_is_set_to_its_own_value_changes_no_digest(name: str, data: st.DataObject) -> None:
    document, digest, found = shipped(name)
    place, value = data.draw(
        st.sampled_from([leaf for leaf in found if leaf[0] not in (("format",), ("name",))])
    )
    setting = parse_setting(f"{path_of(place)}={json.dumps(value, ensure_ascii=False)}")
    loaded = load(document.file, [setting])
    assert loaded.document.data == document.data
    assert list(loaded.document.data) == list(document.data)
    assert scenario_digest(loaded) == digest


@settings(deadline=None)
@given(
    st.lists(
        st.one_of(st.text(st.characters(exclude_categories=["Cs"])), st.integers(0, 10**9 - 1)),
        min_size=1,
        max_size=6,
    ).filter(lambda path: isinstance(path[0], str) and path[0] not in ("format", "name"))
)
def test_a_path_is_read_as_it_was_written(path: list[str | int]) -> None:
    assert parse_setting(f"{path_of(tuple(path))}=1").path == tuple(path)


WORDS = st.sampled_from([
    *"=.[]'\"{}:,#&*!|>%@ \n\t-0123", "fleets", "presses", "presses/3", "links", "cloud", "timeline", "at",
    "phases", "before", "expect", "gateways", "gw", "store", "components", "with", "wasm", "format", "null",
    "1 s", "true", "\ud800", "\x00", "é", "\\U00110000",
])  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(st.one_of(st.text(), st.lists(WORDS, max_size=12).map("".join)))
def test_whatever_is_set_the_mistake_is_the_users(text: str) -> None:
    try:
        found = changed(text)
    except ScenarioError as refused:
        told = str(refused)
    else:
        told = " ".join(f"--set {one}" for one in found.document.settings)
    assert f"--set {text}" in told


PLACES = st.sampled_from([
    "fleets", "fleets.presses", "fleets.presses.count", "fleets.presses/2", "links.cloud", "links.cloud.bursts.p",
    "timeline", "timeline[0]", "timeline[1].cut", "phases.after", "expect", "expect[0]", "gateways.gw.uplink",
    "gateways.gw.store.preset", "components.route.grants[0]", "components.route.with.x", "components.route.env",
    "components.route.derives", "observe", "registry.trust", "random-faults", "seed", "duration",
])  # fmt: skip
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=300, deadline=None)
@given(PLACES, VALUES)
def test_whatever_value_is_set_the_mistake_is_the_users(place: str, value: Any) -> None:
    try:
        whole = changed(f"{place}={json.dumps(value, ensure_ascii=False)}").document.data
    except ScenarioError as refused:
        told = str(refused)
    else:
        told = ""
    if told:
        assert f"--set {place}=" in told
        return
    for part in parse_setting(f"{place}=").path:
        if isinstance(whole, list) and isinstance(part, str):
            part = [item["name"] for item in whole].index(part)
        whole = whole[part]
    assert whole == value
