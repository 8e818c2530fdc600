"""The command line as a user meets it: exit codes, clear errors without tracebacks, JSON, JUnit,
interruption."""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import jsonschema
import pytest
import yaml

from tests import processes
from tests.plants import WASM
from twinloop.scenarios.cli.main import main
from twinloop.scenarios.file.load import LIBRARY

ROOT = Path(__file__).parents[3]
TINY = """\
format: 2
name: tiny
seed: 7
duration: 5 s
grace: 10 s
fleets:
  presses: {device: press-sensor, protocol: modbus-tcp, count: 3, poll: 1 s, link: plant, gateway: gw, driver: modbus-driver}
links:
  plant: {preset: lan}
  cloud: {preset: lte}
components:
  modbus-driver: {wasm: modbus-driver.wasm, grants: [fieldbus, clock, log], limits: {cpu: 10 ms}, with: {timeout: 200 ms}}
  normalize: {wasm: normalize.wasm, grants: [log]}
  route: {wasm: route.wasm, grants: [log]}
gateways:
  gw: {board: raspberry-pi-4, transform: normalize, policy: route, uplink: {link: cloud}, store: {capacity: 1 MiB}}
expect:
  - p99(latency.gateway) <= 50 ms
  - count(samples.lost) == 0
"""


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    file = tmp_path / "tiny.yaml"
    file.write_text(TINY)
    return file


def changed(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))


def run_json(file: Path, *flags: str) -> tuple[int, dict[str, Any]]:
    out = file.with_suffix(".json")
    code = main(["run", str(file), "--json", str(out), *flags])
    document = json.loads(out.read_text())
    assert document["format"] == 1
    found: dict[str, Any] = document["results"][0]
    return code, found


def test_pass_is_0_and_the_json_has_the_contract(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, data = run_json(tiny)
    assert code == 0
    assert list(data)[:15] == [
        "kind",
        "file",
        "seed",
        "verdict",
        "code",
        "scenario",
        "clock",
        "digest",
        "scenario_digest",
        "components",
        "recordings",
        "versions",
        "expectations",
        "ledger",
        "quality",
    ]
    assert data["verdict"] == "PASS"
    assert set(data["ledger"]) == {
        "due",
        "open",
        "delivered",
        "cached",
        "dropped",
        "evicted",
        "missed",
        "lost",
        "duplicates",
        "misordered",
        "late",
        "derived",
    }
    assert {"count", "p50_ns", "p95_ns", "p99_ns", "max_ns"} <= set(data["latency"]["gateway"])
    assert {"cpu_ratio", "memory_peak_bytes", "faults"} <= set(data["gateways"]["gw"])
    assert {"simulated_ns", "wall_s", "polls", "speedup"} <= set(data["run"])
    assert data["expectations"][0] == {
        "expression": "p99(latency.gateway) <= 50 ms",
        "verdict": "PASS",
        "unit": "ns",
        "measured": data["latency"]["gateway"]["p99_ns"],
    }
    assert len(data["digest"]) == 64
    assert "x/÷ 2.5 (90 %)" in capsys.readouterr().out


def test_the_whole_object_is_equal_over_runs_hash_seeds_and_cpu_features(tiny: Path) -> None:
    objects = []
    settings: list[dict[str, str]] = [{"PYTHONHASHSEED": seed} for seed in ("0", "1", "random")]
    settings.append(
        {"NPY_DISABLE_CPU_FEATURES": "X86_V4 X86_V3", "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX2,-FMA"}
    )
    changed(tiny, "{preset: lan}", "{preset: lan, loss: 2 %}")
    for number, extra in enumerate(settings):
        out = tiny.with_suffix(f".{number}.json")
        subprocess.run(
            [sys.executable, "-m", "twinloop", "run", str(tiny), "--json", str(out)],
            cwd=ROOT,
            check=False,
            env={**os.environ, **extra},
            capture_output=True,
        )
        data = json.loads(out.read_text())["results"][0]
        del data["run"]["wall_s"], data["run"]["speedup"], data["versions"]
        objects.append(data)
    assert objects[0] == objects[1] == objects[2] == objects[3]


def test_fail_is_1_and_says_how_to_repeat(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    changed(tiny, "<= 50 ms", "<= 1 ms")
    code, data = run_json(tiny, "--seed", "9")
    assert code == 1
    assert data["verdict"] == "FAIL"
    assert "--seed 9" in data["reproduce"]
    out = capsys.readouterr().out
    assert "stage bus took" in " ".join(out.split())
    assert "reproduce: twinloop run" in out


def test_a_report_that_no_terminal_shows_is_not_wrapped(
    tiny: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    long = "count(samples.lost{gateway=gw, fleet=presses, phase=calm-before-the-storm}) == 0"
    changed(tiny, "count(samples.lost) == 0", f"{long}\n  - backlog == 0 within 10 ms after cut cloud")
    changed(
        tiny,
        "expect:",
        "phases:\n  - {name: calm-before-the-storm, for: 4 s}\ntimeline:\n  - {at: 2 s, cut: cloud, for: 2 s}\nexpect:",
    )
    changed(tiny, "<= 50 ms", "<= 1 ms")
    longer = tiny.parent / f"{'a-long-name-' * 10}.yaml"
    longer.write_text(tiny.read_text())
    assert main(["run", str(tiny), str(longer)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.startswith(f"✓  {long} ") and line.endswith("  0")]
    assert [line for line in lines if line.startswith("   ") and "stage bus took" in line]
    assert [line for line in lines if line.split()[:1] == ["FAIL"] and line.split()[1].endswith(longer.name)]
    assert not [line for line in lines if len(line) > 1000]


@pytest.mark.parametrize("command", ["run", "attach"])
def test_strict_says_all_that_it_does(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--help"]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert (
        "--strict exit with 1 for UNSURE, too, and for PASS beside something that no expectation speaks of"
        in told
    )


def test_no_data_is_4(tiny: Path) -> None:
    changed(tiny, "count(samples.lost) == 0", "p99(command.latency) <= 1 s")
    assert run_json(tiny)[0] == 4


def test_inside_the_band_is_unsure_and_strict_makes_it_1(tiny: Path) -> None:
    changed(tiny, "p99(latency.gateway) <= 50 ms", "p50(latency.stage{stage=driver}) <= 20 us")
    code, data = run_json(tiny)
    assert (code, data["verdict"]) == (0, "UNSURE")
    assert run_json(tiny, "--strict")[0] == 1


def test_another_board_is_chosen_by_flag(tiny: Path) -> None:
    _, pi4 = run_json(tiny)
    _, bbb = run_json(tiny, "--board", "gw=beaglebone-black")
    assert bbb["bands"]["gw"]["factor"] > pi4["bands"]["gw"]["factor"]
    one, other = (data["gateways"]["gw"]["components"]["modbus-driver"] for data in (bbb, pi4))
    assert one["fuel"] == other["fuel"]
    assert one["cpu_ns"] > 8 * other["cpu_ns"]
    assert one["fuel_ns"] > 100 * other["fuel_ns"]
    assert "--board gw=beaglebone-black" in bbb["reproduce"]


def test_several_files_take_the_worst_code_and_a_suite_each(tiny: Path, tmp_path: Path) -> None:
    bad, wrong = tmp_path / "bad.yaml", tmp_path / "wrong.yaml"
    bad.write_text(TINY.replace("<= 50 ms", "<= 1 ms").replace("name: tiny", "name: bad"))
    wrong.write_text(TINY.replace("raspberry-pi-4", "raspbery-pi-4"))
    junit = tmp_path / "j.xml"
    assert main(["run", str(tiny), str(bad), str(wrong), "--junit", str(junit)]) == 3
    root = ET.parse(junit).getroot()
    assert [suite.get("name") for suite in root] == ["tiny", "bad", "wrong"]
    assert [suite.get("failures") for suite in root] == ["0", "1", "0"]
    assert [suite.get("errors") for suite in root] == ["0", "0", "1"]
    assert main(["run", str(tiny), str(bad)]) == 1


def test_check_compares_two_runs_and_says_so(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_json(tiny, "--check")[0] == 0
    assert (
        len(
            re.findall(
                r"^checked: a second run had [1-9][0-9]+ events, the same$",
                capsys.readouterr().out,
                re.MULTILINE,
            )
        )
        == 1
    )
    assert run_json(tiny)[0] == 0
    assert "checked" not in capsys.readouterr().out.replace("150 of 150 checked against", "")


def test_a_paced_run_takes_its_time_and_is_the_same(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, virtual = run_json(tiny)
    code, paced = run_json(tiny, "--clock", "paced", "--speed", "12.5", "--check")
    assert code == 0
    assert (virtual["clock"], paced["clock"]) == ("virtual", "paced")
    assert paced["run"]["pace"]["speed"] == 12.5
    assert paced["run"]["pace"]["lag"]["count"] > 10
    assert paced["run"]["wall_s"] >= 4 / 12.5, "the last poll is at 4 s or later"
    assert "late by" in capsys.readouterr().out
    for data in (virtual, paced):
        del data["run"], data["clock"]
    assert virtual == paced


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--clock", "pacd"), 'unknown clock "pacd"; did you mean "paced"?'), (("--speed", "2"), "goes with --clock paced"),
        (("--clock", "paced", "--speed", "0"), "expected a number over 0"), (("--clock", "paced", "--speed", "1e9"), "expected a number over 0"),
        (("--clock", "paced", "--speed", "1000001"), "at most 1000000"), (("--clock", "paced", "--speed", "fast"), 'got "fast"'),
    ],
)  # fmt: skip
def test_a_pace_that_is_none_is_refused(
    tiny: Path, flags: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", str(tiny), *flags]) == 3
    assert message in capsys.readouterr().err


def test_out_leaves_result_trace_and_samples(tiny: Path, tmp_path: Path) -> None:
    assert main(["run", str(tiny), "--out", str(tmp_path / "o")]) == 0
    with sqlite3.connect(tmp_path / "o" / "run.sqlite") as db:
        assert db.execute("SELECT sum(points) FROM ends WHERE state = 'delivered'").fetchone() == (150,)
        assert db.execute("SELECT count(*) FROM events WHERE kind = 'due'").fetchone() == (15,)
        assert (
            json.loads(db.execute("SELECT json FROM result").fetchone()[0])["results"][0]["verdict"] == "PASS"
        )
    assert (tmp_path / "o" / "store-gw.sqlite").exists()


MISTAKES: dict[str, tuple[str, str, str]] = {
    "unknown key": (
        "poll: 1 s",
        "pol: 1 s",
        r'tiny.yaml:7: $.fleets.presses.pol: unknown key "pol"; did you mean "poll"?',
    ),
    "board": (
        "raspberry-pi-4",
        "raspbery-pi-4",
        'tiny.yaml:16: $.gateways.gw.board: unknown board "raspbery-pi-4"; did you mean "raspberry-pi-4"?',
    ),
    "component": (
        "policy: route",
        "policy: rout",
        'tiny.yaml:16: $.gateways.gw.policy: unknown component "rout"; did you mean "route"?',
    ),
    "device": (
        "press-sensor",
        "pres-sensor",
        'tiny.yaml:7: $.fleets.presses.device: unknown device "pres-sensor"; did you mean "press-sensor"?',
    ),
    "link": ("link: plant", "link: plnt", 'unknown link "plnt"; did you mean "plant"?'),
    "preset": (
        "preset: lte",
        "preset: lten",
        'tiny.yaml:10: $.links.cloud.preset: unknown preset "lten"; did you mean "lte"?',
    ),
    "metric": (
        "latency.gateway",
        "latency.gatway",
        'tiny.yaml:18: $.expect[0]: unknown metric "latency.gatway"; did you mean "latency.gateway"?',
    ),
    "statistic": ("p99(latency", "p98(latency", 'unknown statistic "p98"'),
    "statistic of another kind": (
        "count(samples.lost)",
        "p99(samples.lost)",
        "p99 does not go with samples.lost (a counter); allowed: count, ratio",
    ),
    "missing unit": ("poll: 1 s", "poll: 1", 'expected a duration with a unit, e.g. "50 ms", got 1'),
    "missing unit in an expectation": ("<= 50 ms", "<= 50", 'expected a duration, e.g. "50 ms"'),
    "superfluous unit": (
        "count(samples.lost) == 0",
        "count(samples.lost) == 0 ms",
        "expected a whole number without a unit",
    ),
    "wrong unit": ("cpu: 10 ms", "cpu: 10 MiB", 'got unit "MiB" in "10 MiB"'),
    "duplicate key": (
        "seed: 7",
        "seed: 7\nseed: 8",
        "tiny.yaml:4: $.seed: duplicate key, first given in line 3",
    ),
    "negative duration": ("poll: 1 s", "poll: -1 s", 'a duration can\'t be negative, got "-1 s"'),
    "YAML syntax": ("links:", "links: {", "YAML:"),
    "missing wasm": (
        "route.wasm",
        "nowhere.wasm",
        "$.components.route.wasm: nowhere.wasm: no such file (looked beside the scenario and among",
    ),
    "truncated wasm": ("route.wasm", "truncated.wasm", "truncated.wasm: does not compile"),
    "core module": ("route.wasm", "core.wasm", "core.wasm: expected a component, it is a core module"),
    "another world": (
        "wasm: route.wasm",
        "wasm: normalize.wasm",
        "normalize.wasm: expected a policy (export twinloop:gateway/policy@0.2.0), it is a transform",
    ),
    "not granted": (
        "[fieldbus, clock, log]",
        "[fieldbus]",
        "$.components.modbus-driver.grants: modbus-driver.wasm imports clock, log, which it is not granted",
    ),
    "option of a component": (
        "timeout: 200 ms",
        "timout: 200 ms",
        "$.components.modbus-driver.with: gw/driver/presses/1 refused its settings: unknown-option",
    ),
    "unused component": (
        "  route: {",
        "  spare: {wasm: route.wasm}\n  route: {",
        'component "spare" is used by no fleet and no gateway',
    ),
    "fleet of an expectation": (
        "latency.gateway)",
        "latency.gateway{fleet=press})",
        'unknown fleet "press"; did you mean "presses"?',
    ),
    "event": (
        "count(samples.lost) == 0",
        "backlog == 0 within 5 s after heal cloud",
        'unknown event "heal cloud"',
    ),
    "a number that is octal elsewhere": ("seed: 7", "seed: 010", "$.seed"),
    "a store of nothing": ("capacity: 1 MiB", "capacity: 0 B", 'expected a size over 0, got "0 B"'),
    "a ratio that is no number": (
        "count(samples.lost) == 0",
        "ratio(samples.lost) <= NaN %",
        'expected a percentage, e.g. "0.1 %", got "NaN %"',
    ),
    "a format that is true": ("format: 2", "format: true", "$.format"),
    "a YAML tag": ("seed: 7", "seed: !!int 0x10", "$.seed: the YAML tag"),
    "a huge number": ("seed: 7", f"seed: {'9' * 5000}", "$.seed: a number of more than 40 digits"),
    "deep nesting": ("seed: 7", f"seed: {'[' * 3000}", "nested deeper than 32"),
    "half of one in a key": ("seed: 7", 'seed: 7\n"\\ud800": 1', "half a surrogate pair"),
    "an escape out of range": ("seed: 7", 'seed: 7\ndescription: "\\UFFFFFFFF"', "out of range"),
    "half a surrogate pair": ("seed: 7", 'seed: 7\ndescription: "\\ud800"', "half a surrogate pair"),
    "a long file name": ("route.wasm", f"{'a' * 300}.wasm", "cannot be read: File name too long"),
    "an empty timeline": ("expect:", "timeline:\nexpect:", "$.timeline: expected a list, got nothing"),
    "a cause of a fault": (
        "count(samples.lost)",
        "count(component.faults{cause=out-of-feul})",
        'did you mean "out-of-fuel"?',
    ),
    "within without after": (
        "count(samples.lost) == 0",
        "backlog == 0 within 1 s",
        'expected "after" and an event, e.g. "after heal cloud" after "backlog == 0 within 1 s", got nothing more',
    ),
    "an option that is no text": (
        "timeout: 200 ms}",
        "timeout: 200 ms, retries: 1}",
        'tiny.yaml:12: $.components.modbus-driver.with.retries: option "retries"',
    ),
    "a store's preset": (
        "capacity: 1 MiB",
        "preset: greengras",
        'unknown store preset "greengras"; did you mean "greengrass"?',
    ),
    "tries without an interval": ("capacity: 1 MiB", "retries: 3", '"retries" needs "retry"'),
    "flash of a store in memory": (
        "capacity: 1 MiB",
        "medium: memory, flash: 1 MB/s",
        '"flash" does not go with a store in memory',
    ),
    "a commit of a store in memory": (
        "capacity: 1 MiB",
        "preset: greengrass, commit: 1 s",
        '"commit" does not go with a store in memory',
    ),
    "a limit of what isn't granted": (
        "limits: {cpu: 10 ms}",
        "limits: {state: 1 KiB}",
        "$.components.modbus-driver.limits.state: it limits what is granted as state",
    ),
    "an upgrade without a registry": (
        "uplink: {link: cloud}",
        "uplink: {link: cloud}, upgrade: {trial: 1 s}",
        "nothing can be upgraded without a registry",
    ),
    "a spin": (
        "uplink: {link: cloud}",
        "uplink: {link: cloud, keep-alive: 1 ns}",
        'expected at least 1 ms, got "1 ns"',
    ),
    "a drain without end": ("capacity: 1 MiB", "drain: 2000000000 /s", "expected 1 /s to 1000000 /s"),
    "a repetition beyond the end": (
        "expect:",
        "timeline:\n  - {every: 1 s, times: 99, cut: cloud, for: 1 ms}\nexpect:",
        "the last of 99 lies after the end",
    ),
    "a degradation of nothing": (
        "expect:",
        "timeline:\n  - {at: 1 s, degrade: cloud, to: {}}\nexpect:",
        "expected at least one figure that changes",
    ),
    "jitter over delay": (
        "expect:",
        "timeline:\n  - {at: 1 s, degrade: plant, to: {jitter: 5 ms}}\nexpect:",
        "is larger than the delay",
    ),
    "an override's driver": (
        "links:",
        "  presses/3: {driver: normalize}\nlinks:",
        "tiny.yaml:8: $.fleets.presses/3.driver",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_exit_3_and_one_clear_message(
    name: str, tiny: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new, message = MISTAKES[name]
    tiny.with_name("truncated.wasm").write_bytes((WASM / "route.wasm").read_bytes()[:9000])
    tiny.with_name("core.wasm").write_bytes(b"\0asm\x01\0\0\0")
    changed(tiny, old, new)
    assert main(["run", str(tiny)]) == 3
    err = capsys.readouterr().err
    assert message in err
    assert "Traceback" not in err
    assert len(err.strip().splitlines()) == 1
    assert main(["check", str(tiny)]) == 3, "check refuses all that run refuses"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "x.yaml", "--sed", "7"], "No such option: --sed"), (["runn"], 'unknown command "runn"; did you mean "run"?'),
        (["run", "quickstrat"], 'did you mean "quickstart"?'), (["run", "none.yaml"], "no such file"), (["run", "quickstart", "--seed", "x"], "seed"),
        (["run", "hundred-sensors", "--board", "gw"], "expected GATEWAY=BOARD"), (["run", "hundred-sensors", "--board", "gw=pi"], 'unknown board "pi"'),
        (["run", "hundred-sensors", "--board", "gv=raspberry-pi-4"], 'unknown gateway "gv"; did you mean "gw"?'), (["list", "boards"], "unknown kind"),
        (["run"], "Missing argument"),
    ],
)  # fmt: skip
def test_wrong_usage_is_exit_3(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 3
    err = capsys.readouterr().err
    assert message in err
    assert "Traceback" not in err


def test_an_alias_bomb_is_refused(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bomb = "a0: &a0 [x]\n" + "".join(
        f"a{i + 1}: &a{i + 1} [{', '.join([f'*a{i}'] * 10)}]\n" for i in range(8)
    )
    tiny.write_text(bomb + TINY)
    assert main(["check", str(tiny)]) == 3
    assert "more than 200000 values" in capsys.readouterr().err


def test_a_folder_with_other_files_is_never_written_into(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "store-inventory.sqlite").write_text("precious")
    assert main(["run", str(tiny), "--out", str(folder)]) == 3
    assert (folder / "store-inventory.sqlite").read_text() == "precious"
    assert "holds other files" in capsys.readouterr().err
    assert main(["run", str(tiny), "--out", str(tmp_path / "new")]) == 0
    assert main(["run", str(tiny), "--out", str(tmp_path / "new")]) == 0, "our own folder is replaced"


@pytest.mark.parametrize("flag", ["--json", "--junit"])
def test_a_report_that_can_not_be_written_is_said_before_the_run(
    tiny: Path, flag: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", str(tiny), flag, str(tiny.parent / "nowhere" / "x")]) == 3
    captured = capsys.readouterr()
    assert "no such folder" in captured.err
    assert "polls" not in captured.out


def test_two_files_of_one_name_can_not_share_a_folder(tiny: Path, tmp_path: Path) -> None:
    other = tmp_path / "sub" / "tiny.yaml"
    other.parent.mkdir()
    other.write_text(TINY)
    assert main(["run", str(tiny), str(other), "--out", str(tmp_path / "o")]) == 3


def test_an_override_changes_the_scenarios_digest(tiny: Path) -> None:
    before = run_json(tiny)[1]["scenario_digest"]
    changed(tiny, "links:", "  presses/3: {poll: 2 s}\nlinks:")
    assert run_json(tiny)[1]["scenario_digest"] != before


def test_fleets_that_share_a_line_share_its_unit_ids(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    changed(tiny, "  plant: {preset: lan}", "  plant: {serial: 19200 Bd}")
    changed(tiny, "modbus-tcp", "modbus-rtu")
    other = "  others: {device: press-sensor, protocol: modbus-rtu, count: 245, poll: 1 h, link: plant, gateway: gw, driver: modbus-driver}\nlinks:"
    changed(tiny, "links:", other)
    assert main(["check", str(tiny)]) == 3
    assert "a line has 247 unit ids" in capsys.readouterr().err


def test_ctrl_c_is_130_aborted_and_leaves_files_that_open(tiny: Path, tmp_path: Path) -> None:
    changed(tiny, "duration: 5 s", "duration: 50 h")
    out = tmp_path / "o"
    process = processes.twinloop("run", str(tiny), "--out", str(out), "--json", str(tmp_path / "r.json"))
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not (
        (out / "run.sqlite").exists() and (out / "run.sqlite").stat().st_size > 100_000
    ):
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stderr
    assert "ABORTED" in stdout
    data = json.loads((tmp_path / "r.json").read_text())["results"][0]
    assert data["verdict"] == "ABORTED"
    assert data["ledger"]["open"] == 0
    assert data["ledger"]["due"] == data["ledger"]["delivered"] + sum(data["ledger"]["lost"].values()) + sum(
        data["ledger"]["missed"].values()
    )
    with sqlite3.connect(out / "run.sqlite") as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert db.execute("SELECT count(*) FROM events").fetchone()[0] > 0
    with sqlite3.connect(out / "store-gw.sqlite") as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_ctrl_c_during_the_imports_is_no_traceback() -> None:
    code = """
import os, signal, sys
class Interrupts:
    def find_spec(self, name, path, target=None):
        if name == "twinloop.scenarios.cli.main":
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Interrupts())
from twinloop.scenarios.cli.start import script
script()
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "interrupted before it began\n")


@pytest.mark.parametrize(("where", "said"), [("parse_args", "began"), ("resolve_command", "was done")])
def test_ctrl_c_before_a_run_leaves_a_word(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], where: str, said: str
) -> None:
    def interrupted(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(f"typer.core.TyperGroup.{where}", interrupted)
    assert main(["run", "quickstart"]) == 130
    assert capsys.readouterr().err == f"interrupted before it {said}\n"


def test_the_schema_accepts_the_library_and_refuses_a_wrong_key(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema"]) == 0
    schema = json.loads(capsys.readouterr().out)
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    for file in sorted(LIBRARY.rglob("*.yaml")):
        validator.validate(yaml.safe_load(file.read_text()))
    wrong = yaml.safe_load(TINY)
    wrong["fleets"]["presses"]["pol"] = "1 s"
    with pytest.raises(jsonschema.ValidationError):
        validator.validate(wrong)


@pytest.mark.parametrize(
    "kind", ["scenarios", "devices", "links", "components", "metrics", "troubles", "stores"]
)
def test_lists(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", kind]) == 0
    assert len(capsys.readouterr().out.splitlines()) >= 3


def test_boards_print_source_and_band_with_every_figure(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["boards"]) == 0
    rows = [
        line
        for line in capsys.readouterr().out.splitlines()
        if line.startswith("  ") and "default instances" not in line
    ]
    assert len(rows) == 10 * 13
    assert not [row for row in rows if "e+" in row.split("x/÷")[0]]
    assert any("16800 us" in row for row in rows)
    assert all("x/÷" in row and len(row.split("x/÷")[1].split()) > 1 for row in rows)
