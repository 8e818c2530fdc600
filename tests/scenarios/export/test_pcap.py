"""``--pcap``: what is in the file is what the run's books say, and asking for it changes nothing."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.scenarios.cases import scenario
from tests.scenarios.cli.test_cli import TINY
from tests.scenarios.export import captures
from tests.scenarios.export.captures import INBOUND, OUTBOUND, accounted, left_out
from tests.scenarios.export.traces import shipped
from tests.scenarios.test_udp import settings as udp_settings
from twinloop.components.host.host import Host
from twinloop.devices.modbus.frames import RtuRequests, ascii_body
from twinloop.devices.mqtt.device import topic_of
from twinloop.scenarios.cli.main import main
from twinloop.scenarios.export import addresses
from twinloop.scenarios.export.capture import Capture
from twinloop.scenarios.export.frames import RTU_PORT
from twinloop.scenarios.file.load import load_text
from twinloop.scenarios.report.result import Result
from twinloop.scenarios.runner import Options, run
from twinloop.scenarios.text.errors import ScenarioError
from twinloop.sim.cloud.messages import TLS_RECORD_BYTES
from twinloop.sim.kernel.clock import Environment
from twinloop.sim.kernel.random import RandomStreams
from twinloop.sim.kernel.trace import Record
from twinloop.sim.kernel.wallclock import EPOCH_NS
from twinloop.sim.network.link import Link, LinkModel
from twinloop.sim.network.tcp import TcpStream, _Half
from twinloop.sim.world import World

S = 1_000_000_000
WORSE = TINY.replace(
    "plant: {preset: lan}",
    "plant: {preset: lan, delay: 5 ms, jitter: 4 ms, loss: 10 %, duplicate: 10 %, corrupt: 5 %}",
)
LINES = """\
format: 2
name: lines
seed: 3
duration: 10 s
grace: 5 s
fleets:
  meters: {device: energy-meter, protocol: modbus-rtu, count: 4, poll: 1 s, link: bus, gateway: gw, driver: modbus-driver}
links:
  bus: {serial: 9600 Bd, parity: none, lines: 2, loss: 5 %, corrupt: 5 %}
  cloud: {}
components:
  modbus-driver: {wasm: modbus-driver.wasm, grants: [fieldbus, clock, log], with: {timeout: 100 ms}}
  normalize: {wasm: normalize.wasm, grants: [log]}
  route: {wasm: route.wasm, grants: [log]}
gateways:
  gw: {board: raspberry-pi-4, transform: normalize, policy: route, uplink: {link: cloud}, store: {}}
expect:
  - count(samples.lost) == 0
"""


def recorded(
    host: Host, text: str, path: Path, *of: str, file: Path = Path("x.yaml")
) -> tuple[Result, World, list[Record]]:
    worlds: list[World] = []
    records: list[Record] = []

    def started(world: World) -> None:
        worlds.append(world)
        world.trace.sinks.append(records.extend)

    options = Options(watches=(Capture(path, of),), started=started, band="never")
    return run(load_text(text, file), options, host), worlds[-1], records


def cut(text: str, *entries: str) -> str:
    return text + "timeline:\n" + "".join(f"  - {{{one}}}\n" for one in entries)


CASES: dict[str, str] = {
    "tiny": TINY,
    "worse": WORSE,
    "cut": cut(TINY, "at: 1 s, cut: plant, for: 1500 ms", "at: 2 s, flap: cloud, down: 100 ms, up: 50 ms, for: 2 s"),
    "crashes": cut(TINY, "at: 2 s, crash: gw, for: 1 s", "at: 1 s, device-fault: presses/1, kind: slow, delay: 500 ms, for: 2 s"),
    "lines": LINES,
    "pair": shipped("failover-hot", duration="6 s", timeline=[{"at": "2 s", "crash": "gw", "for": "2 s"}]),
    "mqtt": shipped("mqtt-troubles", duration="6 s", timeline=[{"at": "2 s", "cut": "plant", "leg": "presses/1", "for": "2 s"}], expect=["count(samples.lost) == 0"]),
    "opcua": shipped("opcua-troubles", duration="3 s", timeline=[], expect=["count(samples.lost) == 0"], fleets={"presses": {"device": "press-sensor", "protocol": "opcua", "count": 3, "poll": "1 s", "link": "plant", "gateway": "gw", "driver": "opcua-driver"}}),
}  # fmt: skip


class Seen(dict[str, tuple[Result, World, list[Record], Path]]):
    """Each case is run when a test of this process asks for it first."""

    def __init__(self, host: Host, folder: Path) -> None:
        super().__init__()
        self._host, self._folder = host, folder

    def __missing__(self, name: str) -> tuple[Result, World, list[Record], Path]:
        path = self._folder / f"{name}.pcapng"
        found = self[name] = *recorded(self._host, CASES[name], path), path
        return found


@pytest.fixture(scope="module")
def seen(host: Host, tmp_path_factory: pytest.TempPathFactory) -> Seen:
    return Seen(host, tmp_path_factory.mktemp("captures"))


@pytest.mark.parametrize("name", CASES)
def test_asking_changes_nothing(seen: Seen, host: Host, name: str) -> None:
    plain = run(load_text(CASES[name], Path("x.yaml")), Options(), host)
    result = seen[name][0]
    assert (result.digest, result.data["run"]["events"]) == (plain.digest, plain.data["run"]["events"])
    assert result.data["links"] == plain.data["links"]


@pytest.mark.parametrize("name", CASES)
def test_every_packet_of_a_link_is_there_or_counted(seen: Seen, name: str) -> None:
    """The links' own account: all that was offered, and all that was lost."""
    result, world, _, path = seen[name]
    capture = captures.read(path)
    for link, books in result.data["links"].items():
        mine = [one for one in capture.interfaces if one[0].split("/")[0] == link]
        assert mine
        lost = 0
        for interface, _, _ in mine:
            _, missing, told = capture.told[interface]
            commented = [one for one in capture.on(interface, OUTBOUND) if one.comment.startswith("lost")]
            assert f"lost afterwards: {len(commented)}." in told or world.field.lines
            lost += missing + len(commented)
        assert accounted(capture, link) == books["offered"]
        fates = books["lost"] + books["queue_full"] + books["ruled_out"] + books["corrupted"]
        if link not in uplinks(world) and not world.field.lines and not left_out(told, "heartbeats"):
            assert lost == fates


def uplinks(world: World) -> set[str]:
    return {gateway.uplink.link for gateway in world.spec.gateways}


@pytest.mark.parametrize("name", CASES)
def test_packets_are_whole_and_connections_hold_together(seen: Seen, name: str) -> None:
    """Checksums and lengths hold; a number that is acknowledged was seen before; what is sent again is the same;
    a connection begins with its handshake."""
    capture = captures.read(seen[name][3])
    opened: dict[Any, list[str]] = {}
    reached: dict[Any, int] = {}
    for frame in capture.frames:
        if frame.link_type != 101 or captures.ip(frame.data).protocol != 6:
            continue
        segment = captures.tcp(frame.data)
        flow = segment.flow
        back = flow[2:] + flow[:2]
        size = len(segment.data) + ("S" in segment.flags) + ("F" in segment.flags)
        reached[flow] = max(reached.get(flow, 0), segment.number + size)
        opened.setdefault(flow, []).append(segment.flags)
        if "A" in segment.flags:
            assert segment.heard <= reached[back], "nobody acknowledges what nobody sent"
        assert flow[0] in capture.names
        assert flow[2] in capture.names
    for flow, flags in opened.items():
        assert flags[0] == ("S" if flow[3] in (502, 1883, 4840) else "SA")
    captures.streams([one for one in capture.frames if one.link_type == 101 and one.data[9] == 6])


def test_a_poll_is_one_request_and_one_answer(seen: Seen) -> None:
    """By hand: three devices are polled five times, at 0, 1, 2, 3 and 4 s, with one function each time."""
    _, _, _, path = seen["tiny"]
    capture = captures.read(path)
    asked, answered = captures.modbus_counts(capture.on("plant"), capture.names)
    assert asked == answered == {(f"presses/{number}", 3): 5 for number in (1, 2, 3)}
    first = next(one for one in capture.on("plant", OUTBOUND) if b"\x03" in captures.tcp(one.data).data)
    assert 0 <= first.at_ns - EPOCH_NS < S // 10
    published = captures.streams(capture.on("cloud", OUTBOUND)).values()
    topics = Counter(topic for said in published for kind, topic in captures.mqtt(said) if kind == 3)
    assert topics == {f"twinloop/presses/{number}": 5 for number in (1, 2, 3)}
    assert "plain MQTT" in {one[0]: one[2] for one in capture.interfaces}["cloud"]
    assert capture.names["10.0.0.1"] == "presses/1"
    assert capture.names["10.255.255.254"] == "gw"


@pytest.mark.parametrize("name", ["worse", "cut", "crashes", "pair"])
def test_requests_are_what_drivers_have_sent(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Told by the stream itself, below the drivers: each thing that was given to it, once, by device."""
    given: Counter[str] = Counter()
    plain = _Half.send

    def send(self: Any, payload: Any, size: int, at_ns: int, *more: int) -> int:
        if payload is not None and self.way.up and self.way.link.name == "plant":
            given[self.way.leg] += 1
        return plain(self, payload, size, at_ns, *more)

    monkeypatch.setattr(_Half, "send", send)
    recorded(host, CASES[name], tmp_path / "x")
    capture = captures.read(tmp_path / "x")
    asked, answered = captures.modbus_counts(capture.on("plant"), capture.names)
    found: Counter[str] = Counter()
    for (device, _), count in asked.items():
        found[device] += count
    assert found == given
    assert answered <= asked


@pytest.mark.parametrize("name", ["tiny", "worse", "cut", "crashes", "pair", "mqtt", "opcua"])
def test_what_went_up_is_what_the_trace_says(seen: Seen, name: str) -> None:
    result, world, records, path = seen[name]
    capture = captures.read(path)
    told = Counter(
        f"twinloop/{world.spec.devices[record[3]].name}" for record in records if record[1] == "publish"
    )
    found: Counter[str] = Counter()
    accepted = 0
    for link in uplinks(world):
        for (_, _, _, port), said in captures.streams(capture.on(link)).items():
            packets = captures.mqtt(said)
            if port == 1883:
                found.update(topic for kind, topic in packets if kind == 3 and topic in told)
            else:
                accepted += sum(kind == 2 for kind, _ in packets)
    assert found == told
    assert accepted == sum(one["uplink"]["sessions"] for one in result.data["gateways"].values())


def test_a_line_shows_what_its_ends_hear(seen: Seen) -> None:
    """Requests are the line's exchanges, whole; answers come whole or damaged, and lost ones are missing."""
    result, _, _, path = seen["lines"]
    capture = captures.read(path)
    damaged = 0
    for name, books in result.data["lines"].items():
        requests = [captures.rtu(one) for one in capture.on(name, OUTBOUND)]
        answers = [(one, captures.rtu(one)) for one in capture.on(name, INBOUND)]
        assert all(asks for asks, _ in requests)
        assert len(requests) == books["exchanges"] > 20
        assert all(captures.crc_holds(frame) for _, frame in requests)
        for one, (asks, frame) in answers:
            assert not asks
            assert captures.crc_holds(frame) == (one.comment == "")
            damaged += one.comment == "damaged on the line"
        late = sum(one.comment != "" for one in capture.on(name, OUTBOUND))
        assert len(requests) - late - capture.told[name][1] == len(answers)
        assert books["timeouts"] >= late
        units = Counter(frame[0] for _, frame in requests)
        assert sorted(units) == [1, 2]
        mine = {one[0]: one[2] for one in capture.interfaces}[name]
        assert all(f"unit {unit} is meters/" in mine for unit in units)
    assert damaged > 0


def test_a_line_in_ascii_and_rtu_over_tcp(host: Host, tmp_path: Path) -> None:
    """Frames of a line are there with the characters that it carries, as data; a stream without MBAP is at the
    port that Wireshark is told to take for RTU."""
    pumps = LINES.splitlines()[6].replace("meters:", "pumps:").replace("modbus-rtu", "modbus-rtu-over-tcp")
    text = LINES.replace("modbus-rtu", "modbus-ascii").replace("loss: 5 %, corrupt: 5 %", "loss: 2 %")
    text = text.replace("links:", f"{pumps.replace('link: bus', 'link: plant')}\nlinks:\n  plant: {{}}", 1)
    result, _, _ = recorded(host, text, tmp_path / "a.pcapng")
    capture = captures.read(tmp_path / "a.pcapng")
    for name, books in result.data["lines"].items():
        requests = [captures.rtu(one, b"data") for one in capture.on(name, OUTBOUND)]
        answers = [captures.rtu(one, b"data") for one in capture.on(name, INBOUND)]
        assert len(requests) == books["exchanges"] > 15
        assert {asks for asks, _ in requests} == {True}
        assert {asks for asks, _ in answers} == {False}
        units = {ascii_body(frame)[0] for _, frame in requests + answers}  # type: ignore[index]
        assert units == {1, 2}, "each is a whole frame with a right LRC"
    streams = captures.streams(capture.on("plant"))
    assert len(streams) == 2 * 4
    assert {key[1] if key[1] < 32768 else key[3] for key in streams} == {5020}
    for (_, port, _, _), said in streams.items():
        if port != 5020:
            assert b"".join(RtuRequests().feed(said, 0)) == said != b""


def test_devices_that_publish_call_their_broker(seen: Seen) -> None:
    _, world, records, path = seen["mqtt"]
    capture = captures.read(path)
    told = Counter(world.spec.devices[record[2]].name for record in records if record[1] == "published")
    found: Counter[str] = Counter()
    for (source, _, target, port), said in captures.streams(capture.on("plant")).items():
        if port == 1883 and capture.names[source] != "gw":
            assert capture.names[target] == "broker-of-plant"
            device = capture.names[source]
            found[device] += captures.mqtt(said).count((3, topic_of(device)))
    # what was sent and lost with its connection never came to the broker, where this is captured
    assert found <= told
    calm = {device: count for device, count in told.items() if device != "presses/1"}
    assert {device: found[device] for device in calm} == calm


def test_datagrams_are_there_each_time_they_come(host: Host, tmp_path: Path) -> None:
    changes = udp_settings(duration="20 s", links={"plant": {"preset": "lan", "loss": "20 %", "duplicate": "20 %"}, "cloud": {}})  # fmt: skip
    text = scenario(tmp_path, **changes)
    plain = run(load_text(text, tmp_path / "x.yaml"), Options(), host)
    result, _, _ = recorded(host, text, tmp_path / "x", file=tmp_path / "x.yaml")
    assert result.digest == plain.digest
    capture, books = captures.read(tmp_path / "x"), result.data["links"]["plant"]
    inbound, outbound = capture.on("plant", INBOUND), capture.on("plant", OUTBOUND)
    for frame in inbound + outbound:
        packet = captures.ip(frame.data)
        assert packet.protocol == 17
        assert captures.words(captures.pseudo(frame.data) + packet.payload) == 0xFFFF
    gone = [one for one in outbound if one.comment.startswith("lost")]
    assert len(gone) + capture.told["plant"][1] == books["lost"] > 0
    doubled = len(inbound) - len({one.data for one in inbound})
    assert 0 < doubled <= books["duplicated"]
    assert len(outbound) + len(inbound) - doubled + capture.told["plant"][1] == books["offered"]


def test_large_datagrams_go_in_fragments() -> None:
    from twinloop.scenarios.export import frames

    near, far = frames.Host(bytes((10, 0, 0, 1)), 40_000), frames.Host(bytes((10, 0, 0, 2)), 502)
    data = bytes(range(256)) * 16
    found = [captures.ip(one) for one in frames.udp(near, far, number=7, data=data)]
    assert [one.fragment for one in found] == [0x2000, 0x2000 | 185, 370]  # 1480 bytes are 185 times 8
    whole = b"".join(one.payload for one in found)
    assert whole[8:] == data
    assert captures.words(near.address + far.address + bytes((0, 17)) + len(whole).to_bytes(2, "big") + whole) == 0xFFFF  # fmt: skip


@pytest.mark.parametrize(
    ("data", "right"),
    [
        (bytes.fromhex("0001f203f4f5f6f7"), 0x220D),  # RFC 1071 section 3: the sum is ddf2
        (b"\xff\xff", 0),
        (b"\0\0", 0xFFFF),
        (b"\x01", 0xFEFF),
    ],
)
def test_checksums_by_hand(data: bytes, right: int) -> None:
    from twinloop.scenarios.export.frames import checksum

    assert checksum(data) == right


@pytest.mark.parametrize(
    ("of", "interfaces", "devices"),
    [
        (("plant",), ["plant"], {"presses/1", "presses/2", "presses/3"}),
        (("presses/2",), ["plant"], {"presses/2"}),
        (("presses",), ["plant"], {"presses/1", "presses/2", "presses/3"}),
        (("gw",), ["cloud"], set()),
        (("gw", "presses/3"), ["plant", "cloud"], {"presses/3"}),
    ],
)
def test_what_is_chosen_is_all_there_is(
    host: Host, tmp_path: Path, of: tuple[str, ...], interfaces: list[str], devices: set[str]
) -> None:
    recorded(host, TINY, tmp_path / "x", *of)
    capture = captures.read(tmp_path / "x")
    assert [one[0] for one in capture.interfaces] == interfaces
    assert {one.interface for one in capture.frames} == set(interfaces)
    asked, _ = captures.modbus_counts(capture.on("plant"), capture.names)
    assert asked == {(device, 3): 5 for device in devices}


@pytest.mark.parametrize(("of", "lines"), [("bus", ["bus/1", "bus/2"]), ("bus/2", ["bus/2"]), ("meters/2", ["bus/2"])])  # fmt: skip
def test_a_line_or_a_device_of_it_is_chosen(host: Host, tmp_path: Path, of: str, lines: list[str]) -> None:
    recorded(host, LINES, tmp_path / "x", of)
    capture = captures.read(tmp_path / "x")
    assert [one[0] for one in capture.interfaces] == lines
    units = {captures.rtu(one)[1][0] for one in capture.frames if not one.comment}
    assert units == ({1} if of == "meters/2" else {1, 2})


def test_an_unknown_name_is_told_with_what_there_is(host: Host, tmp_path: Path) -> None:
    with pytest.raises(
        ScenarioError, match='unknown link, line, gateway, fleet or device "plan"; did you mean "plant"'
    ):
        recorded(host, TINY, tmp_path / "x", "plan")
    assert not (tmp_path / "x").exists()


def test_two_runs_write_the_same_bytes(host: Host, seen: Seen, tmp_path: Path) -> None:
    for name in ("worse", "opcua"):
        recorded(host, CASES[name], tmp_path / name)
        assert (tmp_path / name).read_bytes() == seen[name][3].read_bytes()


def test_what_waits_in_memory_is_what_is_on_its_way(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from twinloop.scenarios.export import capture

    most = 0
    plain = capture.Shown.put

    def put(self: Any, *arguments: Any, **named: Any) -> Any:
        nonlocal most
        frame = plain(self, *arguments, **named)
        most = max(most, len(self._waiting))
        return frame

    monkeypatch.setattr(capture.Shown, "put", put)
    recorded(host, TINY.replace("duration: 5 s", "duration: 60 s"), tmp_path / "x")
    assert len(captures.read(tmp_path / "x").frames) > 700
    assert 0 < most < 30


@pytest.mark.parametrize(
    ("flags", "why"),
    [
        (["--pcap", "x", "--check"], "--pcap: --check runs a scenario twice, and a capture shows one run"),
        (["--pcap", "x", "tiny.yaml"], "--pcap: a capture shows one run, and 2 scenarios are given; give one"),
        (["--pcap", "x", "--clock", "wire"], "--pcap: --clock wire has real sockets: capture them with tcpdump"),
        (["--pcap", "x", "--seeds", "1..2"], "--pcap and --seeds don't go together"),
        (["--pcap-of", "gw"], "--pcap-of: it goes with --pcap FILE"),
        (["--pcap", "no/x"], "--pcap: no/x: no such folder: no"),
        (["--pcap", "x", "--pcap-of", "presses/4"], '--pcap-of: unknown link, line, gateway, fleet or device "presses/4"'),
    ],
)  # fmt: skip
def test_what_does_not_go_together_is_told(
    flags: list[str],
    why: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "tiny.yaml").write_text(TINY)
    monkeypatch.chdir(tmp_path)
    assert main(["run", "tiny.yaml", *flags]) == 3
    told = capsys.readouterr().err
    assert why in " ".join(told.split())
    assert "Traceback" not in told
    assert not (tmp_path / "x").exists()


def test_a_stream_that_nobody_watches_is_a_plain_one() -> None:
    link = Link("plant", LinkModel(), RandomStreams(1))

    def stream() -> TcpStream:
        return TcpStream(env=Environment(), link=link, leg="a", near=print, far=print, lost=print)

    assert type(stream().up) is type(stream().down) is _Half
    made: list[Any] = []
    link.watched = made.append
    watched = stream()
    assert made == [watched]


def test_the_page_tells_ports_and_sizes() -> None:
    page = (Path(__file__).parents[3] / "docs" / "pcap.md").read_text()
    assert f"mbrtu.tcp.port:{RTU_PORT}" in page
    assert f"{TLS_RECORD_BYTES} bytes of TLS around each message" in page
    assert f"from {addresses.FIRST_PORT}" in page
    told = [addresses.device_address(1), addresses.gateway_address(1), addresses.uplink_address(1)]
    told += [addresses.broker_address(1), addresses.CLOUD]
    assert [one for one in map(captures.address, told) if one not in page] == []


def test_no_two_have_one_address() -> None:
    """A fleet has up to 20 000 devices; the bytes of an address hold, whatever the number."""
    found = [addresses.device_address(number) for number in range(60_000)]
    for of in (addresses.gateway_address, addresses.uplink_address, addresses.broker_address):
        found += [of(number) for number in range(2000)]
    found.append(addresses.CLOUD)
    assert len(dict.fromkeys(found)) == len(found)


def test_a_full_disk_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "tiny.yaml").write_text(TINY)
    assert main(["run", str(tmp_path / "tiny.yaml"), "--pcap", "/dev/full"]) == 71
    told = capsys.readouterr().err
    assert "--pcap /dev/full: No space left on device; the capture ends there" in " ".join(told.split())
    assert "Traceback" not in told
