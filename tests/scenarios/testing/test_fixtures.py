"""What tests of users get: ``twinloop_run`` and ``twinloop_serve``."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.scenarios.cases import scenario
from tests.scenarios.testing.test_plugin import BROKEN, CUT, HELD, NO_FAULTHANDLER, PLUGIN, ROOT, write
from twinloop.scenarios.testing import running, served  # noqa: F401  # an inner session forgets what it loads first
from twinloop.scenarios.testing.served import Address
from twinloop.scenarios.text.errors import ScenarioError

pytest_plugins = ["pytester"]

RUNS = """
import pytest
import twinloop
import yaml
from pathlib import Path

TEXT = (Path(__file__).parent / "plant.yaml").read_text()


def test_a_file_beside_the_test(twinloop_run):
    result = twinloop_run("plant.yaml")
    assert result.verdict is twinloop.Verdict.FAIL
    assert sum(result.samples.missed.values()) == 50
    assert twinloop_run(Path("plant.yaml"), seed=7).seed == 7


def test_overrides(twinloop_run):
    result = twinloop_run("plant.yaml", seed=4, boards={"gw": "beaglebone-black"})
    assert result.data["bands"]["gw"]["board"] == "beaglebone-black"
    assert result.reproduce.endswith("plant.yaml --seed 4 --board gw=beaglebone-black")


def test_text_data_and_objects_are_the_same(twinloop_run):
    digests = {
        twinloop_run(one).digest
        for one in (TEXT, yaml.safe_load(TEXT), twinloop.load_text(TEXT), twinloop.load(Path(__file__).with_name("plant.yaml")))
    }
    assert len(digests) == 1


def test_a_shipped_one(twinloop_run):
    assert twinloop_run("slow-line").name == "slow-line"


def test_mistakes(twinloop_run):
    with pytest.raises(twinloop.ScenarioError, match="none.yaml: no such file"):
        twinloop_run("none.yaml")
    with pytest.raises(twinloop.ScenarioError, match='did you mean "quickstart"'):
        twinloop_run("quikstart")
    with pytest.raises(twinloop.ScenarioError, match="int: expected a file, the name of a shipped scenario"):
        twinloop_run(7)
    with pytest.raises(TypeError, match="sead"):
        twinloop_run("plant.yaml", sead=7)


def test_strict_fails(twinloop_run):
    twinloop_run("plant.yaml", strict=True)
"""

SERVES = """
import socket
from pathlib import Path

import pytest
import twinloop

HERE = Path(__file__).parent


def registers(address):
    with socket.create_connection((address.host, address.port), timeout=10) as client:
        client.sendall(bytes.fromhex("0001 0000 0006") + bytes([address.unit]) + bytes.fromhex("03 0000 0002"))
        return client.recv(64)


def test_two_at_a_time(twinloop_serve):
    first, second = twinloop_serve("good.yaml"), twinloop_serve(twinloop.load(HERE / "good.yaml"), seed=3)
    assert first["m/1"].port != second["m/1"].port
    for address in (first["m/1"], second["m/1"]):
        assert registers(address)[7] == 3
    assert (first.requests, second.requests) == (1, 1)
    assert first.limits == {}
    with pytest.raises(KeyError, match="no device .m/9. is served; there are: m/1"):
        first["m/9"]
    second.stop()
    second.stop()
    with pytest.raises(twinloop.MachineError, match="the process that serves the devices has ended"):
        second.requests
    Path("port").write_text(str(first["m/1"].port))
    raise AssertionError("whatever the outcome")


def test_it_has_ended():
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", int(Path("port").read_text())), timeout=10)


def test_mistakes(twinloop_serve):
    with pytest.raises(twinloop.ScenarioError, match="none.yaml: no such file"):
        twinloop_serve("none.yaml")
"""


@pytest.fixture
def inner(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A user's folder of tests, with a scenario of which one expectation doesn't hold."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    tests = pytester.mkdir("tests")
    write(tests, "plant.yaml", timeline=CUT, expect=[HELD, BROKEN])
    return pytester


def test_scenarios_are_run(inner: pytest.Pytester) -> None:
    (inner.path / "tests" / "test_runs.py").write_text(RUNS)
    found = inner.runpytest_inprocess("-p", PLUGIN, "-p", "no:cacheprovider", *NO_FAULTHANDLER)
    found.assert_outcomes(passed=5, failed=1)
    found.stdout.fnmatch_lines(
        [f"*FAIL: {BROKEN}: measured 50", "reproduce: twinloop run tests/plant.yaml --seed 1 --strict"]
    )
    assert "plugin.py" not in found.stdout.str()


def test_devices_are_served_as_long_as_the_test_lasts(inner: pytest.Pytester) -> None:
    folder = inner.path / "tests"
    write(folder, "good.yaml")
    (folder / "test_serves.py").write_text(SERVES)
    (folder / "signal.py").write_text("raise AssertionError('Python has one')")
    found = inner.runpytest_inprocess("-p", PLUGIN, "-p", "no:cacheprovider", *NO_FAULTHANDLER)
    found.assert_outcomes(passed=2, failed=1)
    found.stdout.fnmatch_lines(["E*AssertionError: whatever the outcome"])


def test_places_of_mistakes_that_only_serving_finds(tmp_path: Path) -> None:
    text = scenario(tmp_path, fleet={"device": "model/none.yaml"})
    with pytest.raises(ScenarioError) as refused:
        served.ServedScenario(text, tmp_path)
    assert refused.value.path.startswith("$.fleets")
    assert refused.value.line is not None


def test_an_address_is_taken_apart() -> None:
    tcp = Address("m/1", "modbus-tcp", "tcp://127.0.0.1:5020/17")
    assert (tcp.host, tcp.port, tcp.unit) == ("127.0.0.1", 5020, 17)
    line = Address("m/1", "modbus-rtu", "rtu:///dev/pts/3?unit=4")
    assert (line.host, line.port, line.unit, line.path) == ("", 0, 4, "/dev/pts/3")
    opcua = Address("m/1", "opcua", "opc.tcp://127.0.0.1:4840/")
    assert (opcua.host, opcua.port, opcua.unit) == ("127.0.0.1", 4840, 0)
