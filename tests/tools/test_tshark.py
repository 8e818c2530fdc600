"""``--pcap``, read by tshark with the options that docs/pcap.md tells: what it counts by protocol, function and
device is what the run's books say; nothing is malformed but what a fault has made so, nothing is left undissected."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.scenarios.cases import scenario
from tests.scenarios.export import captures
from tests.scenarios.export.captures import OUTBOUND, Read
from tests.scenarios.export.test_pcap import LINES, recorded
from tests.scenarios.export.traces import shipped
from tests.scenarios.test_udp import settings as udp_settings
from twinloop.components.host.host import Host
from twinloop.devices.mqtt.device import topic_of
from twinloop.scenarios.file.load import LIBRARY
from twinloop.scenarios.report.result import Result
from twinloop.sim.kernel.trace import Record
from twinloop.sim.world import World

pytestmark = pytest.mark.skipif(
    shutil.which("tshark") is None, reason="needs tshark (Debian: apt install tshark)"
)
PAGE = (Path(__file__).parents[2] / "docs" / "pcap.md").read_text()
OPTIONS = re.findall(r"-o (\S+:\S+)", PAGE.split("## Options for tshark", 1)[1].split("\n## ", 1)[0])
CHECKS = (
    "tcp.check_checksum:TRUE",
    "udp.check_checksum:TRUE",
    "ip.check_checksum:TRUE",
    "mbrtu.crc_verification:TRUE",
)
SEEN = (
    "frame.interface_name", "frame.protocols", "frame.comment", "_ws.malformed", "ip.checksum.status",
    "tcp.checksum.status", "udp.checksum.status", "mbrtu.crc16.status", "exported_pdu.src_port", "tcp.len",
    "tcp.analysis.flags", "tcp.analysis.ack_lost_segment", "tcp.segment_data", "tcp.reassembled_in",
)  # fmt: skip
READ, CREATE_SESSION = "631", "461"
"""numbers of the requests' encodings (OPC 10000-6 annex A.3)"""
SHIPPED = [
    "quickstart",
    "chaos-and-heal",
    "gateway-incidents",
    "mqtt-troubles",
    "opcua-troubles",
    "failover-hot",
]
SHORTER = {
    "quickstart": {
        "duration": "40 s",
        "expect": ["count(samples.lost) == 0"],
        "timeline": [
            {"at": "10 s", "cut": "cloud", "for": "10 s"},
            {"at": "20 s", "write": "presses/3", "point": "setpoint", "value": 42.0},
            {"at": "25 s", "degrade": "plant", "to": {"loss": "5 %"}, "for": "5 s"},
        ],
    }
}


@dataclass
class Case:
    name: str
    result: Result
    world: World
    records: list[Record]
    path: Path
    capture: Read

    def device(self, index: int) -> str:
        return self.world.spec.devices[index].name

    def of(self, kind: str, place: int) -> Counter[str]:
        """How many records of a kind the trace has, by the device at that place."""
        return Counter(self.device(record[place]) for record in self.records if record[1] == kind)

    def tshark(self, *arguments: str) -> str:
        options = [part for option in (*dict.fromkeys(OPTIONS), *CHECKS) for part in ("-o", option)]
        done = subprocess.run(
            ["tshark", "-r", str(self.path), "-N", "n", *options, *arguments],
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout

    def fields(self, display_filter: str, *names: str) -> list[list[str]]:
        """A row a frame; a field that occurs more than once is one text with commas."""
        asked = [part for name in names for part in ("-e", name)]
        text = self.tshark("-Y", display_filter, "-T", "fields", *asked)
        return [line.split("\t") for line in text.splitlines()]

    def number(self, display_filter: str) -> int:
        return len(self.fields(display_filter, "frame.number"))


@pytest.fixture(scope="module", params=[*SHIPPED, "lines", "datagrams"])
def case(request: pytest.FixtureRequest, host: Host, tmp_path_factory: pytest.TempPathFactory) -> Case:
    name = request.param
    folder = tmp_path_factory.mktemp(name)
    file = LIBRARY / f"{name}.yaml"
    if name == "lines":
        text = LINES
    elif name == "datagrams":
        lossy = {"plant": {"preset": "lan", "loss": "20 %"}, "cloud": {}}
        text, file = scenario(folder, **udp_settings(duration="20 s", links=lossy)), folder / "x.yaml"
    else:
        text = shipped(name, **SHORTER.get(name, {}))
    result, world, records = recorded(host, text, folder / "x.pcapng", file=file)
    return Case(name, result, world, records, folder / "x.pcapng", captures.read(folder / "x.pcapng"))


def test_the_page_tells_the_options() -> None:
    assert sorted(dict.fromkeys(OPTIONS)) == ["mbrtu.tcp.port:5020", "tcp.reassemble_out_of_order:TRUE"]


def test_every_frame_is_read_and_none_is_malformed(case: Case) -> None:
    """What has content has a dissector; checksums hold; a CRC is wrong where the line has damaged a frame."""
    rows = case.fields("frame", *SEEN)
    frames = [dict(zip(SEEN, row, strict=True)) for row in rows]
    assert Counter(one["frame.interface_name"] for one in frames) == {
        name: count for name, (count, _, _) in case.capture.told.items() if count
    }
    assert {one["_ws.malformed"] for one in frames} == {""}
    assert {one["tcp.analysis.ack_lost_segment"] for one in frames} == {""}
    for layer in ("ip", "tcp", "udp"):
        assert {one[f"{layer}.checksum.status"] for one in frames} <= {"", "1"}
    for one in frames:
        layers = one["frame.protocols"].split(":")
        assert "data" not in layers, one
        if layers[0] == "exported_pdu":
            assert "mbrtu" in layers
            damaged = one["frame.comment"] == "damaged on the line" and one["exported_pdu.src_port"] == "5020"
            assert (one["mbrtu.crc16.status"] == "0") == damaged
        elif layers[-1] == "tcp" and one["tcp.len"] != "0":
            # sent again, or a piece of what is read where it is whole
            assert one["tcp.analysis.flags"] or one["tcp.segment_data"] or one["tcp.reassembled_in"], one


def test_modbus_tcp_by_device_and_function(case: Case) -> None:
    """As the small reader counts, which the suite holds against what streams were given; and as the trace does."""
    asked, answered = captures.modbus_counts(
        [one for one in case.capture.frames if one.link_type == 101 and one.data[9] == 6], case.capture.names
    )
    if not asked:
        pytest.skip(f"{case.name} has no Modbus TCP")
    found: dict[bool, Counter[tuple[str, int]]] = {True: Counter(), False: Counter()}
    for source, target, port, codes in case.fields("mbtcp", "ip.src_host", "ip.dst_host", "tcp.dstport", "modbus.func_code"):  # fmt: skip
        request = port == "502"
        found[request].update((target if request else source, int(code)) for code in codes.split(","))
    assert found[True] == asked
    assert found[False] == answered
    assert answered <= asked
    if case.name == "quickstart":
        # each poll is one request, and one more for each error of the bus but the last of a poll that is given up
        due, errors = case.of("due", 2), case.of("bus-error", 2)
        missed = {
            (record[2], record[3])
            for record in case.records
            if record[1:2] == ("end",) and record[5] == "missed"
        }
        given_up = Counter(case.device(index) for index, _ in missed)
        assert errors.total() > 20
        for device in (one for one in case.world.spec.devices if one.protocol == "modbus-tcp"):
            name = device.name
            assert asked[name, 3] == due[name] + errors[name] - given_up[name]
        assert {key: count for key, count in asked.items() if key[1] != 3} == {("presses/3", 16): 1}


def test_lines_by_unit(case: Case) -> None:
    if not case.result.data["lines"]:
        pytest.skip(f"{case.name} has no serial line")
    units = {
        (f"{device.link}/{device.line}", device.unit_id): device.name for device in case.world.spec.devices
    }
    asked: Counter[str] = Counter()
    for line, unit, code in case.fields("mbrtu && exported_pdu.dst_port == 5020", "frame.interface_name", "mbrtu.unit_id", "modbus.func_code"):  # fmt: skip
        assert code == "3"
        asked[units[line, int(unit)]] += 1
    for line, books in case.result.data["lines"].items():
        mine = sum(count for (where, _), name in units.items() if where == line for count in [asked[name]])
        assert mine == books["exchanges"]
    late = case.number("exported_pdu.dst_port == 5020 && frame.comment")
    lost = sum(
        missing for name, (_, missing, _) in case.capture.told.items() if name in case.result.data["lines"]
    )
    assert case.number("exported_pdu.src_port == 5020") == sum(asked.values()) - late - lost


def test_datagrams_by_device(case: Case) -> None:
    if case.name != "datagrams":
        pytest.skip("polled over TCP or a line")
    requests = case.fields("mbudp && udp.dstport == 502", "ip.dst_host", "modbus.func_code")
    answers = case.fields("mbudp && udp.srcport == 502", "ip.src_host", "modbus.func_code")
    assert Counter(map(tuple, requests)) == {("m/1", "3"): len(case.capture.on("plant", OUTBOUND))}
    books = case.result.data["links"]["plant"]
    assert len(requests) + len(answers) == books["offered"] - case.capture.told["plant"][1]
    assert {*map(tuple, answers)} == {("m/1", "3")}


def test_opcua_by_device(case: Case) -> None:
    devices = [device.name for device in case.world.spec.devices if device.protocol == "opcua"]
    if not devices:
        pytest.skip(f"{case.name} has no OPC UA")
    asked = Counter(
        map(tuple, case.fields("opcua.servicenodeid.numeric", "ip.dst_host", "opcua.servicenodeid.numeric"))
    )
    due, errors = case.of("due", 2), case.of("bus-error", 2)
    assert {name for name, kind in asked if kind == READ} == {*devices}
    for device in devices:
        # whom trouble hits tries again, or opens another session
        if not errors[device] and device != "presses/3":
            assert asked[device, CREATE_SESSION] == 1
            # each poll is one Read; nodes that a file describes have namespaces, which are asked for first
            assert asked[device, READ] == due[device] + device.startswith("mixers/")


def test_mqtt_by_topic(case: Case) -> None:
    """What went up, and what devices said to their broker, as the trace has both."""
    to_cloud: Counter[str] = Counter()
    to_broker: Counter[str] = Counter()
    accepted = 0
    for source, target, kinds, topics in case.fields("mqtt", "ip.src_host", "ip.dst_host", "mqtt.msgtype", "mqtt.topic"):  # fmt: skip
        said = iter(topics.split(","))
        for kind in kinds.split(","):
            topic = next(said).removeprefix("twinloop/") if kind in ("3", "8") else ""
            if kind == "3" and target == "cloud":
                to_cloud[topic] += 1
            elif kind == "3" and target.startswith("broker") and topic == topic_of(source):
                to_broker[source] += 1
            accepted += kind == "2" and source == "cloud"
            if kind == "8":
                break  # of a SUBSCRIBE's topics the first is taken, and it goes alone
    devices = {device.name for device in case.world.spec.devices}
    assert {name: count for name, count in to_cloud.items() if name in devices} == case.of("publish", 3)
    assert accepted == sum(one["uplink"]["sessions"] for one in case.result.data["gateways"].values())
    spoken = case.of("published", 2)
    assert {*to_broker} == {*spoken}
    assert to_broker <= spoken
    if spoken:  # two are cut off for ten seconds, and those of the third are half a payload
        calm = {name for name in spoken if name not in ("presses/1", "weather/1")}
        assert {name: to_broker[name] for name in calm} == {name: spoken[name] for name in calm}


SHOWN = re.findall(r"^\$ (tshark .*)\n((?:(?!\$|```).*\n)+)", PAGE, re.MULTILINE)


@pytest.fixture(scope="module")
def shown_run(host: Host, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run that the page is about."""
    folder = tmp_path_factory.mktemp("page")
    file = LIBRARY / "quickstart.yaml"
    recorded(host, file.read_text(), folder / "run.pcapng", file=file)
    return folder


def test_the_page_shows_commands() -> None:
    assert len(SHOWN) == 5


@pytest.mark.parametrize(("line", "shown"), SHOWN, ids=lambda text: text[:60])
def test_a_command_of_the_page_prints_what_stands_below_it(line: str, shown: str, shown_run: Path) -> None:
    done = subprocess.run(line, shell=True, cwd=shown_run, capture_output=True, text=True, check=True)
    assert done.stdout == shown
