"""``twinloop components replay``: a failure of the field comes back with the same driver, and not with a
mended one; what the field was never asked is said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.scenarios.exchanges.recordings import (
    MENDED,
    PLANTED,
    SHIPPED,
    field,
    of,
    recorded,
    replay,
    rewritten,
    verdicts,
)
from twinloop.components.host.host import Host
from twinloop.scenarios.cli.main import main
from twinloop.scenarios.exchanges.comparing import DIFFERS, EQUAL
from twinloop.scenarios.exchanges.comparing import MENDED as NO_LONGER


@pytest.fixture(scope="module")
def failed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What was recorded where the planted driver met a busy device, at 2 s and 3 s."""
    path = tmp_path_factory.mktemp("field") / "field.jsonl"
    own = Host()
    recorded(own, field(), path)
    own.close()
    return path


def test_the_same_driver_fails_as_it_did(failed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, calls = replay(PLANTED, failed)
    assert set(verdicts(calls)) == {EQUAL}
    faults = [one for one in calls if one.came.fault is not None]
    assert [one.call.at_ns for one in faults] == [2_000_000_000, 3_000_000_000]
    assert faults[0].came.fault == faults[0].call.fault
    assert faults[0].came.fault["message"] == "wasm trap: integer divide by zero"
    assert main(["components", "replay", str(PLANTED), str(failed)]) == 0
    out = capsys.readouterr().out
    assert "failed as in the field: unreachable: wasm trap: integer divide by zero" in out
    assert "in <wasm function 14>, called by <wasm function 38>" in out


def test_a_mended_driver_passes_and_that_is_said(failed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    json_file = failed.parent / "found.json"
    assert main(["components", "replay", str(MENDED), str(failed), "--json", str(json_file)]) == 0
    out = capsys.readouterr().out
    why = "failed in the field (unreachable: wasm trap: integer divide by zero); now it gives rejected: 6"
    assert f"presses/1 read-sensor at 2 s: {why}" in out
    assert out.splitlines()[-1] == "PASS  12 calls: 10 equal, 2 failed in the field and no longer"
    data = json.loads(json_file.read_text())
    assert data["passed"]
    assert data["calls"]["presses/1"]["read-sensor"] == {"equal": 4, "mended": 2}
    assert data["recorded_drivers"] != [data["driver"]["sha256"]]
    assert data["recording"]["end"] == "finished"


def test_other_blocks_are_answered_from_registers(failed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The planted driver asks for each point by itself, the shipped one for all 16 registers at once; where
    the device was busy, it is."""
    found, calls = replay(SHIPPED, failed)
    assert found.counts.composed == 6
    assert (found.counts.reused, found.counts.never) == (0, 0)
    assert verdicts(calls).count(NO_LONGER) == 2
    assert of(calls, NO_LONGER)[0].texts[0].endswith("now it gives rejected: 6")
    main(["components", "replay", str(SHIPPED), str(failed)])
    assert "6 answered from recorded registers" in capsys.readouterr().out


def test_what_the_field_was_never_asked_is_silence(host: Host, tmp_path: Path) -> None:
    """The recorded driver read the first 16 registers in one block; a register behind them nobody knows."""
    path = tmp_path / "x.jsonl"
    recorded(host, field(SHIPPED, ""), path)

    def elsewhere(line: Any) -> Any:
        if "settings" in line:
            line["settings"]["points"][-1]["address"] = "holding:90:u16:be"
        return line

    found, calls = replay(MENDED, rewritten(path, elsewhere))
    assert found.counts.never == 6
    assert found.counts.composed == 6 * 9
    polls = [one for one in calls if one.call.export == "read-sensor"]
    assert {one.compared.verdict for one in polls} == {DIFFERS}
    assert polls[0].compared.texts == ["point setpoint: gave 6.0 Good; now BadTimeout"]
    assert polls[0].heard.never == ["000a000000060103005a0001"]


def test_a_value_that_is_otherwise_is_a_difference(
    failed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(failed.read_bytes())
    seen: list[int] = []

    def otherwise(line: Any) -> Any:
        if line.get("call") == "read-sensor" and "gives" in line and not seen:
            line["gives"]["ok"]["readings"][1]["value"] += 1
            line["gives"]["ok"]["readings"][2]["status"] = 0x80050000
            seen.append(1)
        return line

    rewritten(path, otherwise)
    assert main(["components", "replay", str(PLANTED), str(path), "--json", "-"]) == 1
    captured = capsys.readouterr()
    assert "point temperature: gave 56.0 Good; now 55.0 Good" in captured.err
    assert "point force: gave BadCommunicationError; now" in captured.err
    data = json.loads(captured.out)
    assert not data["passed"]
    assert data["found"][0]["call"] == "read-sensor"


def test_a_value_in_the_place_of_a_refusal_is_a_difference(host: Host, tmp_path: Path) -> None:
    """What the device would have said to a driver that asks again the recording doesn't know."""
    path = tmp_path / "x.jsonl"
    recorded(host, field(SHIPPED), path)

    def answered(line: Any) -> Any:
        for one in line.get("bus", ()):
            if one["gets"][14:16] == "83":
                one["gets"] = one["gets"][:8] + "0023" + "010320" + "00" * 32
        return line

    _, calls = replay(SHIPPED, rewritten(path, answered))
    assert [one.texts[0] for one in of(calls, DIFFERS)] == ["gave rejected: 6; now 10 readings"] * 2


@pytest.mark.parametrize(("behind", "status"), [(0, "Good"), (1, "BadTimeout")])
def test_transactions_are_matched_by_their_difference(
    host: Host, tmp_path: Path, behind: int, status: str
) -> None:
    """A driver that counts otherwise gets an answer as right, or as late, as the recorded one was."""
    path = tmp_path / "x.jsonl"
    recorded(host, field(SHIPPED, ""), path)

    def counted(line: Any) -> Any:
        for one in line.get("bus", ()):
            number = int(one["asks"][:4], 16) + 500
            one["asks"] = f"{number:04x}{one['asks'][4:]}"
            one["gets"] = f"{number - behind:04x}{one['gets'][4:]}"
        return line

    _, calls = replay(SHIPPED, rewritten(path, counted))
    polls = [one for one in calls if one.call.export == "read-sensor"]
    if behind:
        assert {one.compared.verdict for one in polls} == {DIFFERS}
        assert "bus: timeout" in polls[0].compared.texts[0]
    else:
        assert {one.compared.verdict for one in polls} == {EQUAL}


def test_retries_and_patience_of_another_driver(host: Host, tmp_path: Path) -> None:
    """The recorded driver gave up after 100 ms, when the answer was 30 ms away; a patient one never asked the
    field again, so the replay can't know what it would have got."""
    slow = "timeline:\n  - {at: 2 s, device-fault: presses/1, kind: slow, delay: 130 ms, for: 1 s}\n"
    path = tmp_path / "x.jsonl"
    recorded(host, field(SHIPPED, slow), path)
    found, calls = replay(SHIPPED, path, options={"timeout": "300 ms", "retries": "1"})
    assert of(calls, DIFFERS) == []
    assert found.counts.composed == 1, "the retry is answered as the field was silent"


HOSTILE = Path(__file__).parents[3] / "scenarios" / "library" / "hostile" / "hostile-driver.wasm"
CAUSES = {
    "trap": "unreachable",
    "wild": "out-of-bounds",
    "recurse": "stack",
    "loop": "out-of-fuel",
    "grow": "memory-limit",
    "bad-utf8": "abi",
    "double": "contract",
    "hold-bus": "deadline",
    "sleep-wasi": "deadline",
    "exit": "exit",
    "hoard": "quota",
    "fail": "unhealthy",
    "fill": "",
    "nan": "",
}
"""what the hostile driver does in its third poll -> what that is"""


@pytest.mark.parametrize("deed", CAUSES)
def test_whatever_a_driver_dies_of_it_dies_of_again(host: Host, tmp_path: Path, deed: str) -> None:
    grants = "clock, wasi:clocks, {wasi:filesystem: {/data: {quota: 64 KiB}}}, log]"
    limits = "limits: {cpu: 20 ms, memory: 4 MiB}, with:"
    text = field(HOSTILE, "").replace("clock, log], with:", f"{grants}, {limits}")
    text = text.replace("100 ms}}", f"100 ms, do: {deed}}}}}").replace(
        "{link: cloud}}", "{link: cloud}, supervision: {status: 1 s}}"
    )
    path = tmp_path / "x.jsonl"
    recorded(host, text, path)
    _, calls = replay(HOSTILE, path)
    assert set(verdicts(calls)) <= {EQUAL, "skipped"}, [one.compared for one in calls if one.compared.texts]
    causes = {(one.came.fault or one.came.then or {"cause": ""})["cause"] for one in calls}
    assert causes - {""} == {CAUSES[deed]} - {""}


def test_who_reads_what(failed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Mistakes of who calls it: exit code 3, and what to do."""
    for arguments, said in {
        (str(PLANTED), "nobody.jsonl"): "no such file; expected one that twinloop run",
        ("nobody.wasm", str(failed)): "nobody.wasm: ",
        (str(SHIPPED.with_name("route.wasm")), str(failed)): "route.wasm: ",
        (str(PLANTED), str(failed), "--device", "presse"): 'unknown device "presse"; did you mean',
        (str(PLANTED), str(failed), "--json", str(failed)): "would be overwritten",
        (str(PLANTED), str(failed), "--json", str(tmp_path)): "it is a folder",
    }.items():
        assert main(["components", "replay", *arguments]) == 3, arguments
        assert said in capsys.readouterr().err
    assert main(["components", "replay", str(PLANTED), str(failed), "--device", "presses"]) == 0
