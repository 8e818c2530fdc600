"""The plant as a drawing: fleets to the left, their links, the gateways that read them, the way to the cloud.

Belongs here: those lines. Never: figures of the whole plant (overview.py). A sample goes from left to right;
an arrow moves where points go at this moment.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from rich.text import Text

from twinloop.scenarios.text.words import number_of
from twinloop.sim.redundancy.member import LEADING
from twinloop.sim.snapshot import GatewayRow
from twinloop.tui.drawing.look import BAD, GOOD, LATE, OFF, Token
from twinloop.tui.drawing.text import BARS, DIM, HEAD, count_text, fit, rate_text, size_text
from twinloop.tui.engine.messages import GatewayInfo, Ready, View

HEADS = ("fleet", "count", "wrong", "points/s", "link", "gateway", "uplink")
COUNT, WRONG, RATE = 5, 6, 8
"""cells of a fleet's figures"""
FIXED = 2 + 1 + COUNT + 1 + WRONG + 1 + RATE + 1 + 6
"""cells of a line that don't depend on its width: signs, figures, joints"""
SPARK_WINDOWS = 12
"""windows of latency that a fleet's curve of wrong points goes back"""
_JOINTS = {
    "lr": "─", "l": "─", "r": "─", "ud": "│", "u": "│", "d": "│", "lud": "┤", "rud": "├", "ld": "╮",
    "lu": "╯", "rd": "╭", "ru": "╰", "lrd": "┬", "lru": "┴", "lrud": "┼", "": " ",
}  # fmt: skip
"""sides on which something joins -> the sign"""


@dataclass(frozen=True, slots=True)
class Columns:
    """Cells of each part of the drawing."""

    name: int
    spark: int
    link: int
    gateway: int
    cloud: int

    @property
    def fleet(self) -> int:
        """Of a fleet's part: sign, name, devices, curve, wrong points, points a second."""
        spark = self.spark + 1 if self.spark else 0
        return FIXED - 6 + self.name + spark


@dataclass(slots=True)
class Fleet:
    """One fleet as it is now."""

    name: str
    devices: int
    missed: int
    lost: int
    read_per_s: float
    link: str
    wrong: list[int]
    """points by window, the last one last"""
    trouble: str = ""
    """a verb that is on it now"""


@dataclass(slots=True)
class Block:
    """A gateway, or a pair of which the first is the one that leads, and who is read by it."""

    gateways: list[tuple[GatewayInfo, GatewayRow]]
    links: dict[str, list[Fleet]] = field(default_factory=dict)


def lines(plan: Ready, view: View, width: int, height: int) -> list[Text]:
    """A line of heads, then block after block; those in trouble are kept where there isn't room for all."""
    columns = _columns(width)
    blocks, more = _cut(_blocks(plan, view), max(1, height - 1))
    out = [_heads(columns)]
    shown = [_block(block, plan, view, columns, tight=bool(more)) for block in blocks]
    free = height - 1 - sum(map(len, shown)) - (1 if more else 0)
    for i, block in enumerate(shown):
        if i and free >= len(shown) - 1:
            out.append(Text(""))
        out += block
    if more:
        out = [
            *out[: height - 1],
            Text(f"  and {number_of(more, 'more fleet')}: 2 shows all devices", style=DIM),
        ]
    return out[:height]


def wanted(plan: Ready) -> int:
    """Lines that show every fleet."""
    blocks: dict[str, int] = {}
    for fleet in plan.fleets:
        if fleet.devices:
            blocks[fleet.gateway] = blocks.get(fleet.gateway, 0) + 1
    standby = [one.standby_of for one in plan.gateways if one.standby_of]
    return len(blocks) + sum(max(fleets, 2, 1 + standby.count(name)) for name, fleets in blocks.items())


def fleet_cells(width: int) -> int:
    """Cells of a fleet's part of a line."""
    return _columns(width).fleet


def is_line_of(line: str, fleet: str, width: int) -> bool:
    """Is that drawn line the one of a fleet?"""
    cells = _columns(width).name
    return line[2 : 2 + cells] == fit(fleet, cells) and line[:1] in {GOOD.sign, LATE.sign, BAD.sign}


def leader(plan: Ready, gateways: dict[str, GatewayRow], name: str) -> GatewayRow:
    """Who sends what the devices of that gateway show: of a pair the one that leads, or is about to; the
    gateway itself while nobody does."""
    pair = [gateways[name], *(gateways[one.name] for one in plan.gateways if one.standby_of == name)]
    return next((one for role in LEADING for one in pair if one.role == role), pair[0])


def active(plan: Ready, view: View) -> dict[str, str]:
    """Target -> the verb of the trouble that is on it now and has an end, the youngest."""
    now = view.snapshot.now_ns
    spans = [*view.entries.spans]
    return {one.target: one.verb for one in spans if one.at_ns <= now < one.until_ns}


def _columns(width: int) -> Columns:
    """All cells that there are: what is over beside the least goes to the curve first, then to names."""
    spare = width - FIXED - 10 - 12 - 12 - 8
    if spare < 0:
        return Columns(max(6, 10 + spare), 0, 12, 12, 8)
    spark = 0 if spare < 9 else min(SPARK_WINDOWS, 6 + (spare - 9) // 6)
    spare -= spark + 1 if spark else 0
    name = min(6, spare // 4)
    link = (spare - name) // 3
    gateway = min(20, (spare - name - link) // 2)
    return Columns(10 + name, spark, 12 + link, 12 + gateway, 8 + spare - name - link - gateway)


def _heads(columns: Columns) -> Text:
    count, wrong, rate = HEADS[1:4]
    spark = fit("lately", columns.spark) + " " if columns.spark else ""
    fleet = f"  {fit(HEADS[0], columns.name)} {count:>{COUNT}} {spark}{wrong:>{WRONG}} {rate:>{RATE}} "
    rest = f"{'':4}{fit(HEADS[4], columns.link)}{fit(HEADS[5], columns.gateway)}  {HEADS[6]}"
    return Text(fleet + rest, style=f"{HEAD} {DIM}")


# ---- what there is -------------------------------------------------------------------------------
def _blocks(plan: Ready, view: View) -> list[Block]:
    snapshot = view.snapshot
    rows = {gateway.name: gateway for gateway in snapshot.gateways}
    infos = {gateway.name: gateway for gateway in plan.gateways}
    troubles = active(plan, view)
    blocks: dict[str, Block] = {}
    for gateway in plan.gateways:
        if not gateway.standby_of:
            pair = [gateway.name, *(one.name for one in plan.gateways if one.standby_of == gateway.name)]
            leads = leader(plan, rows, gateway.name).name
            pair.sort(key=lambda name: name != leads)
            blocks[gateway.name] = Block([(infos[name], rows[name]) for name in pair])
    for number, info in enumerate(plan.fleets):
        if not info.devices:
            continue
        fleet = Fleet(
            info.name,
            len(info.devices),
            view.figures.missed[number],
            view.figures.lost[number],
            view.carried_per_s[number],
            info.link,
            _wrong(view, number),
            next((verb for target, verb in troubles.items() if target.partition("/")[0] == info.name), ""),
        )
        blocks[info.gateway].links.setdefault(info.link, []).append(fleet)
    return list(blocks.values())


def _wrong(view: View, number: int) -> list[int]:
    """Points that went wrong in the last windows."""
    starts = [window[0] for window in view.latency[-SPARK_WINDOWS:]]
    by_start = {start: counts[number] for start, counts in view.wrong}
    return [by_start.get(start, 0) for start in starts]


def _cut(blocks: list[Block], room: int) -> tuple[list[Block], int]:
    """As many fleets as there is room for, those in trouble before others; how many aren't there."""
    fleets = [fleet for block in blocks for some in block.links.values() for fleet in some]
    if sum(max(1, sum(map(len, block.links.values()))) for block in blocks) <= room:
        return blocks, 0
    order = sorted(
        fleets, key=lambda one: (not one.lost, not one.trouble, not sum(one.wrong), not one.missed)
    )
    kept = order[: max(1, room - 1)]
    left = []
    for block in blocks:
        links = {
            name: [one for one in some if any(one is other for other in kept)]
            for name, some in block.links.items()
        }
        links = {name: some for name, some in links.items() if some}
        if links:
            left.append(Block(block.gateways, links))
    return left, len(fleets) - len(kept)


# ---- drawing -------------------------------------------------------------------------------------
def _block(block: Block, plan: Ready, view: View, columns: Columns, tight: bool) -> list[Text]:
    """The fleets of a gateway by link, joined to it; of a pair the other one below. ``tight``: no line more
    than fleets and gateways need."""
    troubles, broken = active(plan, view), dict(view.snapshot.links)
    left: list[tuple[Text, Text, bool]] = []
    """(a fleet and its way to the link, the link if it is drawn on that line, is it?)"""
    for link, fleets in block.links.items():
        at = (len(fleets) - 1) // 2
        for i, fleet in enumerate(fleets):
            sides = "r" * (i == at) + "u" * (i > 0) + "d" * (i < len(fleets) - 1)
            joint = _JOINTS["l" + sides] if sides != "r" else "─"
            way = (
                _way(link, columns.link, broken[link], _flows(fleets, block), troubles.get(link, ""), view)
                if i == at
                else Text(" " * columns.link)
            )
            left.append(
                (Text.assemble(_fleet(fleet, block, broken, columns), (f"─{joint}", DIM)), way, i == at)
            )
    card = _card(block, view, columns)
    card = card[: max(len(left), len(block.gateways))] if tight else card
    rows = max(len(left), len(card), 1)
    middles = [i for i, (_, _, drawn) in enumerate(left) if drawn]
    first = max(0, min((middles[0] + middles[-1]) // 2 if middles else 0, rows - len(card)))
    blank = (Text(" " * (columns.fleet + 2)), Text(" " * columns.link), False)
    top, bottom = min([*middles, first]), max([*middles, first])
    out = []
    for i in range(rows):
        feeds, way, drawn = left[i] if i < len(left) else blank
        sides = "l" * drawn + "r" * (i == first) + "u" * (top < i <= bottom) + "d" * (top <= i < bottom)
        right = card[i - first] if first <= i < first + len(card) else Text("")
        out.append(Text.assemble(feeds, (("─" if drawn else " "), DIM), way, (_JOINTS[sides], DIM), right))
    return out


def _flows(fleets: list[Fleet], block: Block) -> bool:
    return block.gateways[0][1].state == "up" and any(fleet.read_per_s > 0 for fleet in fleets)


def _fleet(fleet: Fleet, block: Block, broken: dict[str, bool], columns: Columns) -> Text:
    gateway = block.gateways[0][1]
    token = _state(fleet, gateway, broken)
    wrong = fleet.missed + fleet.lost
    spark = ""
    if columns.spark:
        some = fleet.wrong[-columns.spark :]
        most = max(some, default=0)
        spark = "".join(
            BARS[0 if not one else max(1, round(one / most * 8))] if most else "·" for one in some
        )
        spark = spark.rjust(columns.spark, "·") + " "
    return Text.assemble(
        (f"{token.sign} ", token.style),
        (fit(fleet.name, columns.name), token.style if token is not GOOD else ""),
        f" {count_text(fleet.devices):>{COUNT}} ",
        (spark, BAD.style if any(fleet.wrong) else DIM),
        (
            f"{count_text(wrong) if wrong else '0':>{WRONG}}",
            BAD.style if fleet.lost else LATE.style if wrong else DIM,
        ),
        f" {rate_text(fleet.read_per_s):>{RATE}} ",
    )


def _state(fleet: Fleet, gateway: GatewayRow, broken: dict[str, bool]) -> Token:
    """How it is now: bad when nothing comes of it, late when something on its way isn't as it should be."""
    if gateway.state != "up" or (any(fleet.wrong[-2:]) and not fleet.read_per_s):
        return BAD
    if broken[fleet.link] or fleet.trouble or any(fleet.wrong[-2:]):
        return LATE
    return GOOD


def _way(name: str, width: int, troubled: bool, flows: bool, verb: str, view: View) -> Text:
    """A link: its name, and a line with an arrow that moves while something goes over it."""
    if troubled:
        said = f" {name} {BAD.sign} {verb}".rstrip()
        if len(said) > width:
            said = f" {fit(name, min(len(name), width - 4))} {BAD.sign}"
        return Text(fit(said, width), style=BAD.style)
    named = fit(name, min(len(name), width - 3))
    room = width - len(named) - 2
    dashes = ["─" if flows else "╌"] * room
    if flows and room:
        dashes[view.snapshot.now_ns // 250_000_000 % room] = "▸"
    return Text.assemble((f" {named} ", ""), ("".join(dashes), GOOD.style if flows else DIM))


def _card(block: Block, view: View, columns: Columns) -> list[Text]:
    """Each gateway with its uplink; how it is loaded stands below when it is alone."""
    out = []
    broken = dict(view.snapshot.links)
    elapsed = max(1, view.snapshot.now_ns)
    for i, (info, gateway) in enumerate(block.gateways):
        up, first = gateway.state == "up", i == 0
        token = GOOD if up and first else OFF if up else LATE if gateway.state == "booting" else BAD
        role = " ◆" if gateway.role in LEADING else ""
        name = fit(
            info.name, max(2, min(len(info.name), columns.gateway - len(gateway.state) - len(role) - 5))
        )
        box = Text.assemble(
            ("[", DIM),
            (f"{name} ", HEAD),
            (f"{token.sign} {gateway.state}", token.style),
            (role, ""),
            ("]", DIM),
        )
        box.pad_right(max(0, columns.gateway - box.cell_len))
        dead = broken[info.uplink] or gateway.uplink != "up"
        sends = gateway.role in ("", *LEADING) and gateway.state == "up"
        verb = "" if broken[info.uplink] else gateway.uplink if dead else ""
        way = _way(info.uplink, columns.cloud, dead, sends, verb, view)
        out.append(
            Text.assemble(box, (("─" if sends else " "), DIM), way, ("▸", DIM if dead else GOOD.style))
        )
        if len(block.gateways) == 1:
            load = 100 * gateway.busy_ns / (elapsed * gateway.cores)
            waits = f"{count_text(gateway.backlog)} wait" if gateway.backlog else "none wait"
            kept = f", {size_text(gateway.store_bytes)}" if gateway.store_bytes else ""
            kept = kept if len(waits + kept) <= columns.cloud else ""
            out.append(
                Text.assemble(
                    (fit(f"  cpu {load:.1f} %", columns.gateway), DIM),
                    (fit(f"  {waits}{kept}", columns.cloud + 2), LATE.style if gateway.backlog else DIM),
                )
            )
    return out
