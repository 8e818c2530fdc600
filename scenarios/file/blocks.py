"""The blocks of a plant in a scenario file: fleets, links, components, with every key, its type, its range,
its default, its meaning.

Belongs here: shapes of single blocks. Never: gateways (gateway_blocks.py), what happens and when (schema.py),
what needs two blocks to check (scenarios/planning/). Durations are integers of nanoseconds once read, sizes
bytes, ratios 0 to 1. The text below a key is its help: in editors, and in docs/reference/keys.md.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from twinloop.scenarios.file.block import Block
from twinloop.scenarios.file.manners_block import MannersBlock
from twinloop.scenarios.text.quantities import (
    Baud,
    Duration,
    Name,
    PositiveDuration,
    Rate,
    Ratio,
    Size,
)


class Override(Block):
    """Settings of one device that differ from those of its fleet; the key is `fleet/number`."""

    poll: PositiveDuration | None = None
    """How often this one device is polled. Left out: as its fleet. Not for devices that publish (MQTT) or are
    sampled (OPC UA)."""
    driver: Name | None = None
    """The component that drives this one device. Left out: the driver of its fleet."""
    response: Duration | None = None
    """How long this one device takes until it begins to answer a request. Left out: as its fleet. Not for
    devices that publish (MQTT) or are sampled (OPC UA)."""
    manners: MannersBlock | None = None
    """What this one Modbus device does that a gateway has to cope with. Each key that is given replaces that
    of its fleet or model; the others stay."""
    unit: Annotated[int, Field(ge=1, le=247)] | None = None
    """The unit id of this one device on its serial line, or behind its converter. Left out: devices of a line
    have 1, 2, 3 and so on. Two devices with one unit id both answer, and garble each other: `check` warns of
    it."""
    twin: str | None = None
    """A file `recording/FILE.csv` beside the scenario: this device starts with the state that the recording
    ends with. Left out: as its fleet."""


class Converter(Block):
    """A Modbus TCP to RTU converter (often called a gateway): one network address, and behind it a serial
    line with devices of the unit ids 1 to 247. Fleets name it with ``behind``. Requests of all connections
    wait in one queue, and one at a time is on the line. Requests for the units 0 and 255 mean the converter
    itself, which has no registers: it answers exception 01. Those for 248 to 254 are answered with exception
    0A.
    """

    line: Name
    """Name of the link with `serial` that is the line behind the converter. No fleet may have it as its
    `link`, and no second converter. `cut` and `degrade` of that link are the line's."""
    queue: Annotated[int, Field(ge=1, le=10_000)] = 32
    """How many requests may wait for the line. One more is answered with exception 06 at once, and counts as
    limit `converter-queue`."""
    timeout: PositiveDuration = 1_000_000_000
    """How long the converter waits for a device's answer, from the last character of the request. Then it
    answers exception 0B, and the next request goes out."""
    connections: Annotated[int, Field(ge=1, le=10_000)] | None = None
    """How many connections it holds at once. One more is closed again, and counts as limit
    `converter-connections`. Each driver instance has one of its own. Left out: any number."""
    silent: bool = False
    """If true, the converter answers nothing where others answer exception 0B or 06."""
    absent: Literal["ask", "refuse"] = "ask"
    """What it does with a unit id that none of its devices has. `ask`: the request goes out on the line, and
    ends with the timeout. `refuse`: it is answered with exception 0A at once."""


class Mqtt(Block):
    """How the devices of a fleet speak MQTT."""

    qos: Annotated[int, Field(ge=0, le=1)] = 1
    """MQTT quality of service of the devices' messages. 0: what is published without a connection is lost. 1:
    a device keeps it and sends it again. The driver subscribes with the same."""
    retain: bool = False
    """If true, the broker keeps the last message of each device and sends it to a client that subscribes
    later."""
    keep_alive: PositiveDuration = Field(default=30_000_000_000, alias="keep-alive")
    """Keep-alive time of each device's session, whole seconds from 1 s to 65535 s. The device pings twice in
    it; the broker closes a session that is silent for 1.5 times as long."""


class OpcUa(Block):
    """How the devices of a fleet are subscribed to."""

    publishing: PositiveDuration = 1_000_000_000
    """Publishing interval of the subscription: how often the server sends the changes that it has collected.
    Whole milliseconds."""
    queue: Annotated[int, Field(ge=1, le=1000)] = 10
    """How many changes of one point the server keeps between two notifications. When there are more, the
    oldest are discarded and count as missed (`unread`)."""


class Fleet(Block):
    """Devices of one kind: ``name/1`` to ``name/count``. They are polled every ``poll``; those that speak
    MQTT publish every ``publish``; OPC UA devices may be subscribed to instead, and then are looked at every
    ``sampling``. With a ``twin`` they begin where that recording ends.
    """

    device: str
    """The device model: a name of `twinloop list devices`, `sunspec/N`, or a file beside the scenario:
    `model/FILE.yaml`, `nodeset/FILE.xml`, `recording/FILE.csv`. `sunspec/160:3` has three instances of each
    repeating group (two if nothing is said), `sunspec/705:2x4` two that have four each; `:live` makes scale
    factors points, `:texts` strings."""
    believes: str | None = None
    """The device model whose point table the gateway and its drivers go by, if that isn't `device`: names as
    for `device`. Points are matched by name: what is believed wrongly (an address, a word order, a scale)
    shows as wrong readings and writes, and a point that the device hasn't got is missed. If its model file
    names a `unit`, that one is asked. Modbus only. `serve` serves the device as it is and doesn't use this;
    with `attach` it is the only table that counts."""
    twin: str | None = None
    """A file `recording/FILE.csv` beside the scenario: the devices start with the state that the recording
    ends with. Left out: the model's own start. Not if `device` is a recording."""
    protocol: Literal["modbus-tcp", "modbus-rtu", "modbus-ascii", "modbus-rtu-over-tcp", "opcua", "mqtt"]
    """The protocol that the devices speak; the device model must support it. `modbus-rtu` and `modbus-ascii`
    need a link with `serial`, the others need a network link. All devices of a serial line speak the same."""
    count: Annotated[int, Field(ge=1, le=20_000)] = 1
    """How many devices the fleet has. They are named `fleet/1` to `fleet/count`. One serial line holds at
    most 247 devices."""
    poll: PositiveDuration | None = None
    """How often the gateway polls each device. Required for Modbus, and for OPC UA without `sampling`; not
    allowed otherwise."""
    publish: PositiveDuration | None = None
    """How often each device publishes a message with all its points. Required for MQTT, not allowed
    otherwise."""
    mqtt: Mqtt | None = None
    """Settings of the devices' MQTT sessions. Only for `protocol: mqtt`. Left out: the defaults of that
    block."""
    sampling: PositiveDuration | None = None
    """OPC UA only, instead of `poll`: the driver subscribes, and the server checks the points this often.
    Only changed points are due. Whole milliseconds."""
    opcua: OpcUa | None = None
    """Settings of the OPC UA subscription. Only together with `sampling`. Left out: the defaults of that
    block."""
    phase: Literal["spread", "aligned", "random"] = "spread"
    """When devices are due within one period. `spread`: evenly one after the other; `aligned`: all at the
    same time; `random`: at times drawn from the seed."""
    overrun: Literal["skip", "queue"] = "skip"
    """What happens when a poll is due while the one before still runs. `skip`: it is missed; `queue`: one may
    wait, more are missed. Only for devices that are polled."""
    link: Name
    """Name of the link to the devices: one with `serial` for `modbus-rtu` and `modbus-ascii`, a network link
    for all other protocols. It can't be a link for heartbeats."""
    gateway: Name
    """Name of the gateway that reads the devices. For a pair, name the gateway that leads at the start, not
    the standby."""
    driver: Name
    """Name of the component that reads the devices. Each device has an instance of its own. The same
    component can't also be a `transform` or `policy`."""
    behind: Name | None = None
    """Name of the converter behind which the devices sit: `link` leads to the converter, and the devices
    share the serial line of its key `line`. Only for `modbus-tcp`. Left out: each device has a network
    address of its own."""
    response: Duration | None = None
    """How long a device takes from the last byte of a request to the first byte of its answer. Left out: the
    time of its model. Not for MQTT."""
    manners: MannersBlock | None = None
    """What the fleet's Modbus devices do that a gateway has to cope with. Each key that is given replaces
    that of the model; the others stay. Left out: as the model says."""


class Bursts(Block):
    """Losses in bursts: a link has a good and a bad state (Gilbert-Elliott model)."""

    p: Ratio
    """Chance per packet (on a serial line per frame) that the link changes from its good state to its bad
    state, where a burst of losses begins."""
    r: Ratio
    """Chance per packet (on a serial line per frame) that the link changes from its bad state back to its
    good state."""
    bad: Ratio = 1.0
    """Share of packets that are lost in the bad state, during a burst."""
    good: Ratio = 0.0
    """Share of packets that are lost in the good state, outside bursts."""


class Degradation(Block):
    """Figures of a link that can be changed while it runs."""

    delay: Duration | None = None
    """How long a packet travels in one direction. Not for serial lines."""
    jitter: Duration | None = None
    """The delay of each packet varies by up to this, shorter or longer (evenly distributed). At most as large
    as `delay`. Not for serial lines."""
    loss: Ratio | None = None
    """Share of packets (on a serial line: frames) that are lost at random. TCP sends lost packets again, so
    they arrive late."""
    correlation: Ratio | None = None
    """How strongly the loss of a packet depends on the packet before; 0 % is not at all. Losses then come in
    groups, and their share isn't exactly `loss` any more. Needs `loss`."""
    bursts: Bursts | None = None
    """Losses in bursts (Gilbert-Elliott model). They come in addition to `loss`."""
    duplicate: Ratio | None = None
    """Share of packets that arrive twice. TCP ignores the second copy, so only heartbeats between gateways
    show it. Not for serial lines."""
    reorder: Ratio | None = None
    """Share of packets that travel without delay and so overtake earlier ones; TCP still hands data over in
    order. Needs `delay`. Not for serial lines."""
    corrupt: Ratio | None = None
    """Share of packets with one wrong bit: TCP drops and repeats them. On a serial line the frame arrives
    with a wrong CRC, or not at all if `parity` is checked."""
    rate: Rate | None = None
    """Bit rate of the link, for each device or gateway on it and each direction separately. Not for serial
    lines."""
    queue: Size | None = None
    """How many bytes may wait for the rate, for each device or gateway and each direction; further packets
    are dropped. Needs a `rate`. Not for serial lines."""


class Link(Degradation):
    """A network link, or a group of serial lines (with ``serial``). A link may start from a ``preset``."""

    preset: Name | None = None
    """Start from the figures of this preset (`twinloop list links`); the other keys of the link replace
    single figures. Left out: no delay, no loss, no rate limit. Not for serial lines."""
    serial: Baud | None = None
    """Speed of the serial lines (RS-485, Modbus RTU or ASCII), 300 Bd to 4000 kBd. It makes the link a group
    of serial lines. Left out: the link is a network."""
    bits: Annotated[int, Field(ge=7, le=8)] | None = None
    """Number of data bits per character. 7 is for `modbus-ascii` alone. Left out: 7 for `modbus-ascii`, 8 for
    `modbus-rtu`. Needs `serial`."""
    parity: Literal["none", "even", "odd"] | None = None
    """Parity of each character. With `even` or `odd` a receiver discards a damaged frame silently. Left out
    or `none`: not checked, a damaged frame has a wrong check sum. Needs `serial`."""
    stop: Annotated[int, Field(ge=1, le=2)] | None = None
    """Number of stop bits per character. With 8 data bits, 1 without a checked `parity` makes a character 10
    bits long, otherwise it is 11; with 7 it is 9 or 10. 2 can't be combined with parity. Left out: 11 or 10
    bits. Needs `serial`."""
    turnaround: Duration | None = None
    """Extra time after the request and after the answer, in addition to the gap of 3.5 characters, which
    Modbus ASCII hasn't got. Left out:
    none. Needs `serial`."""
    lines: Annotated[int, Field(ge=1, le=1000)] | None = None
    """How many serial lines the link has. Devices are given to the lines in turn, at most 247 to one line.
    Left out: 1. Needs `serial`."""
