"""``serve --judge``: small gateways over sockets, messages, books; what a gateway that isn't ours is told
apart by."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from amqtt.broker import Broker

from tests import processes
from tests.steady import steady
from twinloop.components.host.host import Host
from twinloop.devices.model.misbehaviour import Misbehaviour
from twinloop.devices.mqtt.listener import MqttListener
from twinloop.devices.mqtt.packet import (
    Connack,
    Connect,
    Packet,
    PacketReader,
    Pingresp,
    Puback,
    Publish,
    Suback,
    Subscribe,
    encode,
)
from twinloop.scenarios.cli.main import main
from twinloop.scenarios.file.load import load_text
from twinloop.scenarios.judging.verdict import Verdict
from twinloop.scenarios.planning.plan import Planner
from twinloop.scenarios.text.errors import ScenarioError
from twinloop.scenarios.wire.hil import Hil
from twinloop.scenarios.wire.observation import counted
from twinloop.scenarios.wire.wire import served
from twinloop.sim.accounts.rows import End
from twinloop.sim.field.tcp_port import BUS_USER_TIMEOUT_NS
from twinloop.sim.kernel.wallclock import EPOCH_NS
from twinloop.sim.network.rule import CutRule
from twinloop.sim.serving.judged_plant import NO_SAMPLE, ObservedPlant
from twinloop.sim.serving.modbus import ModbusCaller

SCENARIO = """\
format: 2
name: judged
duration: 2500 ms
pace: {tolerance: 30 s}  # no test depends on how fast this machine is
grace: 2 s
fleets:
  presses: {device: press-sensor, protocol: modbus-tcp, count: 2, poll: 250 ms, link: plant, gateway: gw, driver: modbus-driver}
  tanks: {device: tank, protocol: opcua, count: 1, sampling: 500 ms, link: plant, gateway: gw, driver: opcua-driver}
  roofs: {device: pv-day, protocol: mqtt, count: 1, publish: 1 s, link: plant, gateway: gw, driver: mqtt-driver}
links:
  plant: {preset: lan}
  cloud: {preset: lan}
components:
  modbus-driver: {wasm: modbus-driver.wasm, grants: [fieldbus, clock, log]}
  opcua-driver: {wasm: opcua-driver.wasm, grants: [fieldbus, clock, log]}
  mqtt-driver: {wasm: mqtt-driver.wasm, grants: [fieldbus, clock, log]}
  normalize: {wasm: normalize.wasm, grants: [log]}
  route: {wasm: route.wasm, grants: [log]}
gateways:
  gw: {board: raspberry-pi-4, transform: normalize, policy: route, uplink: {link: cloud}}
observe: {topic: "plant/{device}", sequence: $.seq, value: $.v}
timeline:
  - {at: 1 s, cut: cloud, for: 1 s}
  - {at: 1 s, device-fault: roofs/1, kind: silent, for: 1 s}
  - {at: 1 s, crash: gw, for: 1 s}
expect:
  - count(samples.lost) == 0
  - count(samples.missed) == 0
  - p50(latency.cloud) < 10 s
  - p99(latency.gateway) < 50 ms
"""


def serve(folder: Path, *more: str) -> processes.Forked:
    (folder / "s.yaml").write_text(SCENARIO, encoding="utf-8")
    flags = [
        "--judge",
        "--port",
        "0",
        "--opcua-port",
        "0",
        "--map",
        str(folder / "map.json"),
        "--json",
        str(folder / "r.json"),
        "--junit",
        str(folder / "r.xml"),
        *more,
    ]
    return processes.twinloop("serve", str(folder / "s.yaml"), *flags)


def gateway(folder: Path, port: int, kind: str) -> processes.Forked:
    return processes.Forked(
        "tests.scenarios.wire.gateways", (str(folder / "map.json"), str(port), kind, "14")
    )


def told(process: processes.Forked) -> int:
    """The broker's port, when the map is there."""
    port = int(process.stdout.readline().rpartition(":")[2])
    assert [process.stdout.readline().split()[0] for _ in range(3)] == ["presses/1", "presses/2", "tanks/1"]
    return port


@pytest.mark.parametrize(("kind", "code"), [("keeps", 0), ("forgets", 1)])
@steady
def test_a_gateway_that_loses_its_buffer_fails_and_one_that_keeps_it_passes(
    tmp_path: Path, kind: str, code: int
) -> None:
    judge = serve(tmp_path, "--broker-port", "0", "--lead", "3 s")
    other = gateway(tmp_path, told(judge), kind)
    try:
        out, errors = judge.communicate(timeout=60)
    finally:
        other.kill()
        other.wait()
    assert judge.returncode == code, out + errors
    assert "left out: 1 devices: mqtt devices publish by themselves" in errors
    assert "left out: crash gw at 1 s" in errors
    assert "latency.gateway: NO-DATA, and doesn't count: a gateway that isn't ours doesn't tell" in out
    result = json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))["results"][0]
    assert result["clock"] == "wire"
    assert [one["verdict"] for one in result["expectations"]][1:] == ["PASS", "PASS", "NO-DATA"]
    ledger, lost = result["ledger"], result["observed"]["lost"]
    assert ledger["due"] == 2 * 10 * 10 + 5 * 10
    assert result["observed"]["strange"] == 0
    if kind == "keeps":
        assert result["verdict"] == "PASS"
        assert ledger["delivered"] == ledger["due"]
        assert lost == []
        return
    assert result["verdict"] == "FAIL"
    assert ledger["lost"] == {"unseen": ledger["due"] - ledger["delivered"]}
    assert len(lost) * 10 == ledger["lost"]["unseen"]
    assert {one["device"] for one in lost} == {"presses/1", "presses/2", "tanks/1"}
    assert all(500_000_000 <= one["due_ns"] <= 2_500_000_000 for one in lost), "only of the outage"
    told_of = f"{ledger['lost']['unseen']} samples (of {len(lost)} instants at which a device had some due) were read and never arrived: presses/1 k="
    assert told_of in out


@steady
def test_a_broker_that_is_not_ours(tmp_path: Path) -> None:
    """An amqtt broker between them: what it brings is judged as well; retained messages and a former run's
    queue aren't."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]

    async def all_of_it() -> tuple[int, str, str]:
        broker = Broker({"listeners": {"default": {"type": "tcp", "bind": f"127.0.0.1:{port}"}}, "plugins": {
            "amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}}})  # fmt: skip
        await broker.start()
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(
                encode(Connect("somebody"))
                + encode(Publish("plant/presses/1", b'{"seq": 1, "v": 1}', 0, retain=True))
            )
            await reader.read(100)
            judge = serve(tmp_path, "--broker", f"mqtt://127.0.0.1:{port}", "--lead", "4 s")
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(None, judge.stdout.readline)
            other = gateway(tmp_path, port, "keeps")
            try:
                out, errors = await loop.run_in_executor(None, lambda: judge.communicate(timeout=60))
            finally:
                other.kill()
                other.wait()
            writer.close()
            return judge.returncode, out, errors
        finally:
            await broker.shutdown()

    code, out, errors = asyncio.run(all_of_it())
    assert code == 0, out + errors
    assert "left out: cut cloud at 1 s: it happens to a gateway, or beyond one" in errors
    result = json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))["results"][0]
    assert result["ledger"]["delivered"] == result["ledger"]["due"] == 250
    assert result["observed"]["strange"] == 0


def test_nobody_comes_and_somebody_stops_it(tmp_path: Path) -> None:
    judge = serve(tmp_path, "--broker-port", "0", "--lead", "0 s")
    told(judge)
    judge.send_signal(signal.SIGINT)
    out, errors = judge.communicate(timeout=30)
    assert judge.returncode == 130, out + errors
    assert "nothing arrived on plant/#" in out
    result = json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))["results"][0]
    assert result["verdict"] == "ABORTED"
    assert result["ledger"]["open"] == 0


def read(plant: ObservedPlant, index: int) -> None:
    """A client has just read the counter."""
    row = plant._watched[index].current
    assert row is not None
    plant.got(index, [row.k])


# ---- books ---------------------------------------------------------------------------------------
def observed(host: Host, text: str = SCENARIO) -> tuple[ObservedPlant, Hil]:
    loaded = load_text(text, Path("s.yaml"))
    kept, _ = counted(loaded, Planner(loaded, host).world())
    spec, _ = served(kept, False, "cloud")
    plant = ObservedPlant(spec, EPOCH_NS)
    hil = Hil(loaded, plant)
    return plant, hil


def test_what_is_read_and_what_arrives(host: Host) -> None:
    """Every end that a sample can have; what arrives twice, late, of nothing, or unread."""
    plant, hil = observed(host)
    try:
        with plant.field.inside():
            plant.boot()
            plant.run_to(100_000_000)  # k = 0 of presses/1 is due since 0, of presses/2 at 125 ms
            read(plant, 0)
            assert plant.ledger.rows[0, 0].read == (1 << 10) - 1
            plant.at(110_000_000, hil._heard, "plant/presses/1", b'{"seq": 0, "v": 1.5}')
            plant.at(120_000_000, hil._heard, "plant/presses/1", b'{"seq": 0, "v": 1.5}')
            assert plant.ledger.count(End.DELIVERED) == 10
            assert plant.ledger.duplicates == 10
            for topic, payload, why in (
                ("plant/presses/9", b"{}", "no device's"),
                ("plant/presses/1", b"{", "not JSON"),
                ("plant/presses/1", b'{"seq": 1.5}', "no whole number"),
                ("plant/presses/1", b'{"seq": true, "v": 1}', "no whole number"),
                ("plant/presses/1", b'{"seq": 7, "v": 1}', "isn't due yet, 1 were"),
                ("plant/presses/1", b"[" * 100_000, "not JSON"),
            ):
                before = plant.strange
                plant.at(120_000_000, hil._heard, topic, payload)
                assert plant.strange == before + 1
                assert why in plant.strangeness[-1]
            plant.at(120_000_000, hil._heard, "plant/presses/1", b'{"seq": %d, "v": 1}' % NO_SAMPLE)
            assert plant.strange == 6
            plant.run_to(600_000_000)  # k = 1 of presses/1 stood from 250 to 500 ms, and nobody has read it
            assert plant.ledger.by_cause(End.MISSED) == {}, "an answer with it may be on its way"
            read(plant, 0)
            plant.run_to(800_000_000)
            read(plant, 0)
            plant.at(800_000_000, hil._heard, "plant/presses/1", b'{"seq": 3, "v": 1}')
            plant.at(810_000_000, hil._heard, "plant/presses/1", b'{"seq": 2, "v": 1}')
            assert plant.ledger.misordered == 10
            read(plant, 1)
            read(plant, 2)
            plant.run_to(500_000_000 + BUS_USER_TIMEOUT_NS)
            assert plant.ledger.by_cause(End.MISSED) == {"unread": 30}, (
                "presses/1 k=1, presses/2 k=0, tanks/1 k=0: it can't come any more"
            )
            plant.at(3_600_000_000, hil._heard, "plant/presses/1", b'{"seq": 1, "v": 1}')
            assert "nobody has read it" in plant.strangeness[-1]
            plant.run_to(9_000_000_000)
            assert plant.complete() is False, "two samples were read and are on their way"
            result = hil.result([], 1.0)
        assert result.verdict is Verdict.FAIL
        assert result.data["ledger"]["lost"] == {"unseen": 20}
        assert [(one["device"], one["k"]) for one in result.data["observed"]["lost"]] == [
            ("presses/2", 2),
            ("tanks/1", 1),
        ]
        assert result.data["ledger"]["due"] == 250
        assert result.data["ledger"]["open"] == 0
    finally:
        plant.close()


def test_a_counter_is_behind_the_registers_and_is_seen_by_each_protocol(host: Host) -> None:
    plant, _ = observed(host)
    try:
        with plant.field.inside():
            plant.boot()
            server: Any = plant.field.servers[0]
            assert server.respond_pdu(bytes((3, 0, 16, 0, 2)), -1) == bytes((3, 4, 255, 255, 255, 255))
            plant.run_to(300_000_000)
            answer = server.respond_pdu(bytes((3, 0, 0, 0, 18)), 300_000_000)
            assert answer[-4:] == bytes((0, 0, 0, 1))
            plant._answered(0, bytes((3, 0, 0, 0, 17)), answer)
            assert not plant.ledger.rows[0, 1].read, "half of it isn't it"
            plant._answered(0, bytes((3, 0, 0, 0, 18)), bytes((0x83, 2)))
            assert not plant.ledger.rows[0, 1].read, "an exception shows nothing"
            plant._answered(0, bytes((3, 0, 0, 0, 18)), answer)
            assert plant.ledger.rows[0, 1].read
            plant.run_to(600_000_000)
            plant._answered(0, bytes((3, 0, 0, 0, 18)), answer)
            assert not plant.ledger.rows[0, 2].read, (
                "an answer that comes late is of the sample that it shows"
            )
    finally:
        plant.close()


def test_flags_that_cannot_be(tmp_path: Path, capsys: pytest.CaptureFixture[str], host: Host) -> None:
    (tmp_path / "s.yaml").write_text(SCENARIO, encoding="utf-8")
    (tmp_path / "n.yaml").write_text(
        SCENARIO.replace("observe:", "description:").replace(
            '{topic: "plant/{device}", sequence: $.seq, value: $.v}', "x"
        ),
        encoding="utf-8",
    )
    cases = [
        (["s.yaml", "--judge", "--for", "3 s"], "with --judge it lasts as long as"),
        (["s.yaml", "--json", "-"], "goes with --judge"),
        (["n.yaml", "--judge"], 'missing key "observe"'),
        (["s.yaml", "--judge", "--lead", "soon"], "--lead"),
        (["s.yaml", "--judge", "--json", str(tmp_path / "no" / "r.json")], "no such folder"),
    ]
    for arguments, message in cases:
        assert main(["serve", str(tmp_path / arguments[0]), *arguments[1:]]) == 3
        assert message in capsys.readouterr().err
    loaded = load_text(SCENARIO, Path("s.yaml"))
    spec = Planner(loaded, host).world()
    with pytest.raises(ScenarioError, match="no device of it can be judged"):
        counted(loaded, replace(spec, devices=spec.devices[3:]))


def test_the_listener_comes_back_whatever_happens() -> None:
    """A refusal, garbage, a broker that has forgotten it or doesn't answer: each ends the connection, none
    ends the listening."""
    heard: list[tuple[str, bytes]] = []
    sent: list[Packet] = []
    reader = PacketReader()
    listener = MqttListener("us", "plant/#", lambda topic, payload: heard.append((topic, payload)))

    def connect() -> None:
        sent.clear()
        listener.connected(lambda data: sent.extend(reader.feed(data)))

    connect()
    assert sent == [Connect("us", False, 30)]
    assert listener.received(encode(Connack(False)))
    assert sent[1:] == [Subscribe(1, (("plant/#", 1),))]
    assert not listener.listening
    assert listener.received(encode(Suback(1, (1,))))
    assert listener.listening
    assert listener.lost_session == 0
    assert listener.received(
        encode(Publish("plant/x", b"old", 0, retain=True)) + encode(Publish("plant/x", b"new", 1, packet=4))
    )
    assert heard == [("plant/x", b"new")]
    assert sent[-1] == Puback(4)
    assert listener.ping()
    assert listener.received(encode(Pingresp()))
    assert listener.ping()
    assert not listener.ping(), "the last one wasn't answered"
    assert listener.why == "it doesn't answer"
    for data, why in (
        (encode(Connack(False, 3)), "code 3"),
        (b"\xff\xff\xff\xff\xff", ""),
        (encode(Connack(True)) + encode(Suback(1, (0x80,))), "refuses the subs"),
    ):
        listener.lost()
        assert not listener.listening
        connect()
        assert not listener.received(data)
        assert why in listener.why
    assert listener.lost_session == 0
    listener.lost()
    connect()
    assert listener.received(encode(Connack(False)) + encode(Suback(1, (1,))))
    assert listener.lost_session == 1, "the broker had forgotten us"
    assert listener.farewell() == encode(Connect("us", True, 30))


def test_only_a_right_answer_that_arrives_is_a_reading(host: Host) -> None:
    """A spoilt one, one that was cut off on its way, one whose client is gone: the sample hasn't been
    read."""
    plant, _ = observed(host)
    request = bytes((0, 1, 0, 0, 0, 6, 1, 3, 0, 0, 0, 18))
    try:
        with plant.field.inside():
            plant.boot()
            plant.run_to(10_000_000)
            got: list[bytes] = []
            client = ModbusCaller(plant, {1: 0}, got.append, lambda: None)
            row = plant.ledger.rows[0, 0]
            wrong = plant.field.servers[0].misbehave(Misbehaviour("wrong-transaction", 1))
            plant.at(10_000_000, client.received, request)
            plant.run_to(30_000_000)
            assert len(got) == 1
            assert not row.read
            wrong()
            rule = CutRule(False, None, None)
            plant.at(40_000_000, client.received, request)
            plant.links["plant"].rules.append(rule)
            plant.run_to(60_000_000)
            assert (len(got), row.read) == (1, 0), "it is on its way"
            plant.links["plant"].rules.remove(rule)
            slow = plant.field.servers[0].misbehave(Misbehaviour("slow", 1, 5_000_000))
            plant.at(150_000_000, client.received, request)
            plant.run_to(249_000_000)
            assert row.read == (1 << 10) - 1
            slow()
            plant.run_to(260_000_000)
            client.received(request)
            client.lost()
            plant.run_to(400_000_000)
            assert not plant.ledger.rows[0, 1].read
    finally:
        plant.close()


def test_what_could_not_be_heard_makes_it_invalid(host: Host) -> None:
    plant, hil = observed(host)
    try:
        with plant.field.inside():
            plant.boot()
            plant.run_to(9_000_000_000)
            hil.listener.listening = hil.listener.has_listened = True
            hil.lost()
            hil.listener.lost_session = 1
            hil.hear_no_more(stopped=False)
            result = hil.result([], 1.0)
    finally:
        plant.close()
    assert result.verdict is Verdict.INVALID
    assert any(
        "the broker couldn't be heard for a while: the connection was lost" in note for note in result.notes
    )
    assert any("the broker had forgotten us 1 time:" in note for note in result.notes)
    assert any("at the end the broker couldn't be heard" in note for note in result.notes)


def test_a_stop_while_it_settles_is_aborted(host: Host) -> None:
    plant, hil = observed(host)
    try:
        with plant.field.inside():
            plant.boot()
            plant.run_to(10_000_000)
            read(plant, 0)
            plant.run_to(4_000_000_000)
            hil.hear_no_more(stopped=True)
            result = hil.result([], 1.0)
    finally:
        plant.close()
    assert result.verdict is Verdict.ABORTED
    assert result.data["ledger"]["lost"] == {"end-of-run": 10}


def test_b_what_keeps_it_from_judging_is_in_the_document(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A result of before must not stand in for it."""
    (tmp_path / "bad.yaml").write_text("format: 2\nname: x\n", encoding="utf-8")
    (tmp_path / "r.json").write_text("{}", encoding="utf-8")
    assert (
        main(
            [
                "serve",
                str(tmp_path / "bad.yaml"),
                "--judge",
                "--json",
                str(tmp_path / "r.json"),
                "--junit",
                str(tmp_path / "r.xml"),
            ]
        )
        == 3
    )
    (one,) = json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))["results"]
    assert (one["kind"], one["code"]) == ("error", 3)
    assert 'missing key "duration"' in one["error"]
    assert "missing key &quot;duration&quot;" in (tmp_path / "r.xml").read_text(encoding="utf-8")
