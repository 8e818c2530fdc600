"""What can be said of a scenario before it runs: serial lines whose polls can't all be held, CPU that can't
suffice.

Belongs here: arithmetic on the plan. Never: simulation. A finding is a warning: the run is the judge.
"""

from __future__ import annotations

from twinloop.devices.model.device import DeviceModel
from twinloop.scenarios.planning import pairs, upgrades
from twinloop.scenarios.text.units import positive_duration, show_duration
from twinloop.scenarios.text.words import number_of
from twinloop.sim.gateway.listener import LISTEN_DEADLINE_NS
from twinloop.sim.gateway.readers import patience
from twinloop.sim.model.spec import ComponentSpec, ConverterSpec, DeviceSpec, WorldSpec
from twinloop.sim.network.serial_line import LineTiming

GAP_REGISTERS = 8
BLOCK_REGISTERS = 125
"""modbus-driver's defaults for ``gap`` and ``block``"""
_REQUEST_BYTES, _REPLY_BYTES = 6, 3
"""unit, function, address, count; unit, function, byte count around the data. In front of the check sum"""


def block_reads(model: DeviceModel, gap: int = GAP_REGISTERS, block: int = BLOCK_REGISTERS) -> list[int]:
    """Registers of each read that modbus-driver makes in one poll of a device (bits count as registers of
    16)."""
    reads: list[int] = []
    for table in ("coil", "discrete", "holding", "input"):
        limit = block if table in ("holding", "input") else 2000
        first = end = -1
        for point in sorted(
            (p for p in model.points if p.table == table and p.readable), key=lambda p: p.address
        ):
            upto = point.address + point.width
            if first >= 0 and point.address <= end + gap and upto - first <= limit:
                end = max(end, upto)
                continue
            if first >= 0:
                reads.append(_registers(table, end - first))
            first, end = point.address, upto
        if first >= 0:
            reads.append(_registers(table, end - first))
    return reads


def exchanges(device_model: DeviceModel, protocol: str, options: tuple[tuple[str, str], ...]) -> int:
    """How many exchanges one poll of a device takes, by modbus-driver's blocks; of other drivers one is
    reckoned with."""
    asked = dict(options)
    if not protocol.startswith("modbus"):
        return 1
    return max(
        1,
        len(
            block_reads(
                device_model,
                _number(asked.get("gap"), GAP_REGISTERS),
                _number(asked.get("block"), BLOCK_REGISTERS),
            )
        ),
    )


def _number(text: str | None, otherwise: int) -> int:
    """An option of the driver; what it would refuse counts as not given (the run says so)."""
    return int(text) if text is not None and text.strip().isdigit() and int(text) else otherwise


def _registers(table: str, count: int) -> int:
    return count if table in ("holding", "input") else -(-count // 16)


def poll_ns(timing: LineTiming, device: DeviceSpec, reads: list[int]) -> int:
    """How long one poll of a device occupies its line when nothing goes wrong."""
    return sum(
        timing.exchange_ns(
            timing.framed(_REQUEST_BYTES),
            timing.framed(_REPLY_BYTES + 2 * registers),
            device.response_at_ns("p50"),
        )
        for registers in reads
    )


def line_utilisation(spec: WorldSpec) -> dict[str, float]:
    """line -> share of its time that the poll plan asks for; over 1 the plan can't be held."""
    serial = {link.name: link.timing for link in spec.links}
    used: dict[str, float] = {}
    drivers = {component.name: dict(component.options) for component in spec.components}
    for device in spec.devices:
        timing = serial[device.wires]
        if timing is None:
            continue
        options = drivers.get(device.driver, {})  # a gateway that isn't ours has its own
        reads = block_reads(
            device.table,
            _number(options.get("gap"), GAP_REGISTERS),
            _number(options.get("block"), BLOCK_REGISTERS),
        )
        name = device.line_name
        used[name] = used.get(name, 0.0) + poll_ns(timing, device, reads) / device.poll_ns
    return used


def _impatient(spec: WorldSpec) -> list[str]:
    """Drivers whose timeouts can't be over before their calls' deadline: a silent device then counts as a
    fault of its driver."""
    out: dict[str, None] = {}
    links = {link.name: link for link in spec.links}
    drivers = {component.name: component for component in spec.components}
    for device in spec.devices:
        if device.listened_to or device.driver not in drivers:
            continue
        name = device.driver
        link = links[device.link]
        deadline_ns = drivers[device.driver].deadline_ns or device.poll_ns
        options = dict(drivers[name].options)
        try:
            timeout_ns = positive_duration(options.get("timeout", ""))
        except ValueError:
            continue  # none is given, or one that the component refuses
        tries = 1 + _number(options.get("retries"), 0)
        connecting_ns = 0 if device.speaks.serial else min(2 * link.model.delay_ns, timeout_ns)
        if connecting_ns + tries * timeout_ns >= deadline_ns:
            asked = f"{tries} times {show_duration(timeout_ns)}" if tries > 1 else show_duration(timeout_ns)
            first = (
                f", after up to {show_duration(connecting_ns)} for connecting over {link.name},"
                if tries * timeout_ns < deadline_ns
                else ""
            )
            out[
                f"component {name}: a timeout of {asked}{first} is not over before its calls' deadline of "
                f"{show_duration(deadline_ns)}: "
                "it is killed while it waits for a silent device; a shorter timeout, or limits: {deadline: "
                "...}"
            ] = None
    return list(out)


def _far(spec: WorldSpec) -> list[str]:
    """Polls that can't be over before their calls' deadline, by the way there and back alone: connecting,
    then one exchange after the other. And links so long that no connection is ever open within a driver's
    timeout."""
    out: dict[str, None] = {}
    links = {link.name: link for link in spec.links}
    drivers = {component.name: component for component in spec.components}
    for device in spec.devices:
        link = links[device.link]
        if device.speaks.serial or device.driver not in drivers:
            continue
        polled = not device.listened_to
        deadline_ns = drivers[device.driver].deadline_ns or device.poll_ns
        there_and_back_ns = 2 * link.model.delay_ns
        takes_ns = there_and_back_ns + device.exchanges * (there_and_back_ns + device.response_at_ns("p50"))
        fleet = spec.fleets[device.fleet]
        if polled and takes_ns >= deadline_ns:
            takes = (
                f"connecting and {number_of(device.exchanges, 'exchange')} take {show_duration(takes_ns)} "
                f"over {device.link}"
            )
            cure = "they are killed; a longer poll or deadline, or fewer blocks (gap, block)"
            out[f"fleet {fleet}: {takes}, its calls' deadline is {show_duration(deadline_ns)}: {cure}"] = None
        try:
            timeout_ns = positive_duration(dict(drivers[device.driver].options).get("timeout", ""))
        except ValueError:
            continue  # none is given, or one that the component refuses
        if there_and_back_ns + device.response_ns > timeout_ns:
            takes = (
                f"an answer takes {show_duration(there_and_back_ns + device.response_ns)} over {device.link}"
            )
            waited = f"the timeout of {device.driver} is {show_duration(timeout_ns)}"
            out[f"fleet {fleet}: {takes}, {waited}: no exchange ever ends well; a longer timeout"] = None
            continue
        for part, share in (("p50", 50), ("p95", 5), ("p99", 1)):
            takes_ns = there_and_back_ns + device.response_at_ns(part)
            if takes_ns > timeout_ns:
                takes = f"{share} % of answers take {show_duration(takes_ns)} or longer over {device.link}"
                waited = f"the timeout of {device.driver} is {show_duration(timeout_ns)}"
                out[f"fleet {fleet}: {takes}, {waited}; a longer timeout, or retries"] = None
                break
    return list(out)


def _waiting(spec: WorldSpec) -> list[str]:
    """Polls in which a driver sleeps, by its own options, until their calls' deadline."""
    out: dict[str, None] = {}
    drivers = {component.name: component for component in spec.components}
    for device in spec.devices:
        if device.listened_to or device.driver not in drivers:
            continue
        options = dict(drivers[device.driver].options)
        deadline_ns = drivers[device.driver].deadline_ns or device.poll_ns
        for key, times in (
            ("busy-wait", _number(options.get("retries"), 0)),
            ("pause", device.exchanges - 1),
        ):
            try:
                each_ns = positive_duration(options.get(key, ""))
            except ValueError:
                continue  # none is given, or one that the component refuses
            if times * each_ns >= deadline_ns:
                out[
                    f"component {device.driver}: {number_of(times, 'wait')} of {show_duration(each_ns)} "
                    f"({key}) are not over before its calls' deadline of {show_duration(deadline_ns)}: it is "
                    f"killed while it waits; a shorter {key}, or limits: {{deadline: ...}}"
                ] = None
    return list(out)


def _twice(spec: WorldSpec) -> list[str]:
    """Devices of one serial line with one unit id."""
    taken: dict[tuple[str, int, int], list[str]] = {}
    for device in spec.devices:
        if device.speaks.serial or device.behind:
            taken.setdefault((device.wires, device.line, device.unit_id), []).append(device.name)
    return [
        f"line {link}/{line}: {' and '.join(names)} have the unit id {unit}: all of them answer, and garble "
        f"each other"
        for (link, line, unit), names in taken.items()
        if len(names) > 1
    ]


def _behind(spec: WorldSpec) -> list[str]:
    """Converters with fewer connections than drivers, and those that wait longer for a device than a driver
    waits for them."""
    out: dict[str, None] = {}
    drivers = {component.name: component for component in spec.components}
    gateways = {one.name: one.standby.of if one.standby else one.name for one in spec.gateways}
    for converter in spec.converters:
        mine = [device for device in spec.devices if device.behind == converter.name and not device.place]
        wanted = sum(device.gateway == of for device in mine for of in gateways.values())
        model = converter.model
        if 0 < model.connections < wanted:
            out[
                f"converter {converter.name}: {number_of(wanted, 'driver')} want a connection each, it holds "
                f"{model.connections}: the others are refused; more connections, or fewer devices behind it"
            ] = None
        for device in mine:
            driver = drivers.get(device.driver)
            if driver is not None and len(mine) > 1:
                out |= dict.fromkeys(_outwaited(converter, driver, device))
    return list(out)


def _outwaited(converter: ConverterSpec, driver: ComponentSpec, device: DeviceSpec) -> list[str]:
    """What becomes of a device's polls while its converter waits for another device, which is silent: each
    of their requests may wait for one of that device's."""
    waits_ns = converter.model.timeout_ns
    deadline_ns = driver.deadline_ns or device.poll_ns
    waits = f"converter {converter.name}: it waits {show_duration(waits_ns)} for a silent device"
    try:
        timeout_ns = positive_duration(
            {**dict(patience(driver, deadline_ns, device.exchanges)), **dict(driver.options)}["timeout"]
        )
    except (KeyError, ValueError):
        timeout_ns = 0  # none is given, or one that the component refuses
    if 0 < timeout_ns <= waits_ns:
        return [
            f"{waits}, {driver.name} waits {show_duration(timeout_ns)} for the converter: one silent device "
            f"makes drivers of the others behind it give up, too; a shorter timeout of the converter"
        ]
    if timeout_ns and device.exchanges * waits_ns >= deadline_ns:
        return [
            f"{waits}, for which {number_of(device.exchanges, 'request')} of a poll may have to wait "
            f"in turn; calls of {driver.name} have a deadline of {show_duration(deadline_ns)}: one silent "
            f"device makes the others behind it miss theirs; a shorter timeout of the converter"
        ]
    return []


READ_FUNCTION = {"coil": 1, "discrete": 2, "holding": 3, "input": 4}
"""by which a table is read (Modbus Application Protocol 1.1b3, section 6)"""


def _units(spec: WorldSpec) -> list[str]:
    """A point that is believed in another unit: its numbers are right, and mean something else."""
    out = []
    for device in spec.devices:
        if device.believed is None:
            continue
        has = {point.name: point.unit for point in device.model.points}
        for point in device.believed.points:
            own = has.get(point.name, "")
            if own and point.unit and own != point.unit:
                fleet = spec.fleets[device.fleet]
                out.append(
                    f"{fleet}: {point.name} is believed in {point.unit}, and the device has it in {own}"
                )
    return list(dict.fromkeys(out))


def _deaf(spec: WorldSpec) -> list[str]:
    """A device that knows no function by which a table of its points could be read."""
    out = []
    for device in spec.devices:
        known = device.model.profile.functions
        if not known or not device.speaks.registers:
            continue
        for table in dict.fromkeys(point.table for point in device.table.points if point.readable):
            if READ_FUNCTION[table] not in known:
                out.append(
                    f"{spec.fleets[device.fleet]}: it doesn't know function {READ_FUNCTION[table]}, by which "
                    f"its points in {table} would be read"
                )
    return list(dict.fromkeys(out))


def warnings(spec: WorldSpec) -> list[str]:
    """Everything that can be foreseen, in words."""
    out = []
    for name, share in line_utilisation(spec).items():
        if share > 1:
            out.append(
                f"line {name}: {100 * share:.0f} % of its time is asked for, these polls can't all be held"
            )
        elif share > 0.8:
            out.append(
                f"line {name}: {100 * share:.0f} % of its time is asked for, one timeout delays its other "
                f"devices"
            )
    for model in {
        device.model.name: device.model for device in spec.devices if device.model.lasts_ns
    }.values():
        if model.lasts_ns < spec.duration_ns:
            out.append(
                f"{model.name} lasts {model.lasts_ns / 1e9:g} s, the scenario {spec.duration_ns / 1e9:g} "
                f"s: then its last values are held"
            )
    drivers = {component.name: component for component in spec.components}
    for driver in dict.fromkeys(device.driver for device in spec.devices if device.listened_to):
        deadline_ns = drivers[driver].deadline_ns or LISTEN_DEADLINE_NS
        try:
            wait_ns = positive_duration(dict(drivers[driver].options).get("wait", ""))
        except ValueError:
            continue  # none is given, or one that the component refuses
        if wait_ns >= deadline_ns:
            waits = (
                f"it waits {show_duration(wait_ns)} for news, its calls' deadline is "
                f"{show_duration(deadline_ns)}"
            )
            out.append(
                f"component {driver}: {waits}: it is killed waiting; a shorter wait, or limits: "
                f"{{deadline: ...}}"
            )
    for of in (_impatient, _far, _waiting, _twice, _behind, _units, _deaf):
        out += of(spec)
    out += pairs.warnings(spec)
    out += upgrades.warnings(spec)
    for link in spec.links:
        if link.serial_bd is not None and not any(device.wires == link.name for device in spec.devices):
            out.append(f"link {link.name} is used by no fleet")
    return out
