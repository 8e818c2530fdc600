"""A link: datagrams in, datagrams out later, or never. Sans-IO: ``offer(packet, now) -> [(deliver_at,
packet)]``.

Belongs here: delay, jitter, loss, duplicates, reordering, corruption, rate and queue, in netem's words
(tc-netem(8)).
Never: retransmission (tcp.py) or timers. One random stream per leg and purpose, so that switching one trouble
on moves no draw of another. A star: each device has a leg of its own to the gateway, made on first use.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from dataclasses import field, replace
from typing import TYPE_CHECKING, Any

from twinloop.components.native.choice import CHOICE
from twinloop.records import dataclass
from twinloop.sim.kernel.clock import NEVER_NS, S
from twinloop.sim.kernel.random import RandomStream, RandomStreams, probability_word
from twinloop.sim.network.rule import DROP, PASS, Delay, Packet, Rule


@dataclass(frozen=True, slots=True)
class GilbertElliott:
    """Two-state burst loss: ``p`` good to bad and ``r`` bad to good per packet, ``bad`` and ``good`` loss in
    each state.

    Gilbert 1960, Elliott 1963. tc-netem's gemodel is given 1-h and 1-k; here both are plain loss ratios, 0 to
    1.
    """

    p: float
    r: float
    bad: float = 1.0
    good: float = 0.0


@dataclass(frozen=True, slots=True)
class LinkModel:
    """How a link treats packets. Ratios 0 to 1, times ns, ``rate_bps`` bits per second (0: unlimited)."""

    delay_ns: int = 0
    jitter_ns: int = 0
    """uniform, plus or minus"""
    loss: float = 0.0
    correlation: float = 0.0
    """of loss: each draw leans on the one before"""
    bursts: GilbertElliott | None = None
    duplicate: float = 0.0
    reorder: float = 0.0
    """share of packets that skip the delay"""
    corrupt: float = 0.0
    """share of packets with one flipped bit; a stream's checksum turns that into loss"""
    rate_bps: int = 0
    queue_bytes: int = 1 << 20
    """waiting for the rate; what doesn't fit is dropped (limit ``link-queue``)"""

    plain: bool = field(init=False, default=True)
    """delay, jitter, random loss and rate only: what ``Way.transit`` does by itself"""

    def __post_init__(self) -> None:
        other = self.correlation or self.bursts or self.duplicate or self.reorder or self.corrupt
        object.__setattr__(self, "plain", not other)


@dataclass(slots=True)
class LegStats:
    """What one way of a leg did, in packets."""

    offered: int = 0
    lost: int = 0
    queue_full: int = 0
    ruled_out: int = 0
    corrupted: int = 0
    duplicated: int = 0


class Link:
    """A named link: its model, the rules on it, its legs."""

    def __init__(self, name: str, model: LinkModel, streams: RandomStreams) -> None:
        self.name, self.model, self.streams = name, model, streams
        self.healthy = model
        self.rules: list[Rule] = []
        self.watched: Callable[[Any], None] | None = None
        """told of each TcpStream and UdpPath that is made over it (tap.py), if somebody looks on"""
        self._legs: dict[tuple[str, str], tuple[Way, Way]] = {}
        self._degraded: dict[int, dict[str, Any]] = {}
        self._last = 0

    def legs(self, name: str, via: str = "", second: bool = False) -> tuple[Way, Way]:
        """(up, down) of the leg to that peer; up leaves the gateway. ``via``: which gateway; ``second``: of
        two, with a way of its own."""
        key = name, via if second else ""
        if key not in self._legs:
            self._legs[key] = Way(self, name, True, via, second), Way(self, name, False, via, second)
        return self._legs[key]

    def degrade(self, changes: dict[str, Any]) -> int:
        """Change figures of the model; returns a number for ``restore``. What is degraded later wins where
        two overlap."""
        self._last += 1
        self._degraded[self._last] = changes
        self._rebuild()
        return self._last

    def restore(self, number: int) -> None:
        """Take one degradation back; the others stay."""
        del self._degraded[number]
        self._rebuild()

    def _rebuild(self) -> None:
        model = self.healthy
        for changes in self._degraded.values():
            model = replace(model, **changes)
        self.model = model

    def busy_ns(self, now_ns: int) -> list[int]:
        """Of each way, in the order in which legs were made: for how long until now it was sending, at the
        rate that it had then; 0 without a rate."""
        return [way.busy_until(now_ns) for legs in self._legs.values() for way in legs]

    @property
    def troubled(self) -> bool:
        """A rule is on it, or it is degraded."""
        return bool(self.rules or self._degraded)

    def stats(self, leg: str | None = None) -> LegStats:
        """Sum over both ways of one leg, or of all."""
        total = LegStats()
        if leg is not None:
            self.legs(leg)
        for legs in [legs for (name, _), legs in self._legs.items() if leg in (None, name)]:
            for way in legs:
                for name in LegStats.__slots__:
                    setattr(total, name, getattr(total, name) + getattr(way.stats, name))
        return total


_NO_COIN = RandomStream(0)
"""stands where a model needs none; never drawn from"""


EIGHT_S = 8 * S
"""bits a byte times ns a second"""


class Figures:
    """What a way needs to know of its model while that is plain. The compiled part (sim/native/streams.c) has
    it by the same name."""

    __slots__ = (
        "_booked_ns",
        "_free_at_ns",
        "_jitter_coin",
        "_jitter_words",
        "_least_ns",
        "_loss_coin",
        "_loss_threshold",
        "_model",
        "_rate_bps",
        "_span",
        "link",
        "stats",
    )
    link: Link
    stats: LegStats
    _booked_ns: int
    """how long all packets take that it was ever given to send"""
    _free_at_ns: int
    _model: LinkModel | None
    _least_ns: int
    _loss_threshold: int
    _rate_bps: int
    _span: int
    _loss_coin: RandomStream
    _jitter_coin: RandomStream
    _jitter_words: array[int]

    def _adopt(self, model: LinkModel) -> bool:
        """Another model from now on; is it plain?"""
        raise NotImplementedError

    def _queue_full(self, model: LinkModel, now_ns: int) -> bool:
        """Has the rate's queue no room for what comes now?"""
        raise NotImplementedError

    def offer(self, size_bytes: int, now_ns: int) -> list[tuple[int, bool]]:
        """Offer a datagram."""
        raise NotImplementedError

    def transit(self, size_bytes: int, now_ns: int) -> int:
        """A stream's segment, offered at ``now_ns``: when it comes, NEVER_NS when it doesn't (damaged ones
        are dropped by checksum).

        A second copy means nothing to a stream.
        """
        link = self.link
        if (link.model is not self._model and not self._adopt(link.model)) or link.rules:
            arrivals = self.offer(size_bytes, now_ns)
            return arrivals[0][0] if arrivals and not arrivals[0][1] else NEVER_NS
        self.stats.offered += 1
        rate_bps = self._rate_bps
        if rate_bps:
            free_ns = self._free_at_ns
            if now_ns < free_ns:
                if self._queue_full(link.model, now_ns):
                    return NEVER_NS
                now_ns = free_ns
            takes_ns = EIGHT_S * size_bytes // rate_bps
            self._booked_ns += takes_ns
            now_ns = self._free_at_ns = now_ns + takes_ns
        if self._loss_threshold and self._loss_coin.word() < self._loss_threshold:
            self.stats.lost += 1
            return NEVER_NS
        span = self._span
        if not span:
            return now_ns + self._least_ns
        words = self._jitter_words  # ``RandomStream.word`` written out: four in each poll
        delay = self._least_ns + ((words.pop() if words else self._jitter_coin.word()) * span >> 64)
        return now_ns + delay if delay > 0 else now_ns


if TYPE_CHECKING or CHOICE.engine is None:
    _Figures = Figures
else:
    _Figures = CHOICE.engine.Figures


class Way(_Figures):
    """One direction of a leg."""

    __slots__ = ("_bad", "_coins", "_last_loss", "leg", "second", "up", "via")

    def __init__(self, link: Link, leg: str, up: bool, via: str = "", second: bool = False) -> None:
        self.link, self.leg, self.up, self.via, self.second = link, leg, up, via, second
        self.stats = LegStats()
        self._coins: dict[str, RandomStream] | None = None
        """purpose -> stream, of those beside jitter"""
        self._free_at_ns = -NEVER_NS
        self._booked_ns = 0
        self._bad = False
        self._last_loss = 0.0
        self._model: LinkModel | None = None
        self._loss_threshold = self._rate_bps = self._least_ns = self._span = 0
        self._loss_coin = self._jitter_coin = _NO_COIN
        self._jitter_words = _NO_COIN.words

    def _coin(self, purpose: str) -> RandomStream:
        if purpose == "jitter":
            return self._jitter()
        if self._coins is None:
            self._coins = {}
        found = self._coins.get(purpose)
        if found is None:
            found = self._coins[purpose] = self._stream(purpose)
        return found

    def _jitter(self) -> RandomStream:
        if self._jitter_coin is _NO_COIN:
            self._jitter_coin = self._stream("jitter")
            self._jitter_words = self._jitter_coin.words
        return self._jitter_coin

    def _stream(self, purpose: str) -> RandomStream:
        return self.link.streams.stream(f"{self._name}/{purpose}")

    @property
    def _name(self) -> str:
        leg = f"{self.leg}@{self.via}" if self.second else self.leg
        return f"link/{self.link.name}/{leg}/{'up' if self.up else 'down'}"

    def _happens(self, purpose: str, ratio: float) -> bool:
        return ratio > 0.0 and self._coin(purpose).word() < probability_word(ratio)

    def busy_until(self, now_ns: int) -> int:
        """For how long it was sending until now. What waits is sent without a gap, so what isn't sent yet is
        what lies between now and when it will be free."""
        return self._booked_ns - max(0, self._free_at_ns - now_ns)

    def passes(self, size_bytes: int, now_ns: int) -> int | None:
        """What the rules say of a packet now: extra delay in ns, None when it is gone."""
        for rule in self.link.rules:
            verdict = rule.on_packet(Packet(self.link.name, self.leg, self.up, size_bytes, self.via), now_ns)
            if verdict is PASS:
                continue
            if isinstance(verdict, Delay):
                return verdict.delay_ns
            if verdict is DROP:
                self.stats.ruled_out += 1
                return None
        return 0

    def _adopt(self, model: LinkModel) -> bool:
        """Another model from now on; its figures are kept as ``transit`` needs them, when it is plain. Is
        it?"""
        if not model.plain:
            self._model = None
            return False
        self._model, self._loss_threshold = model, probability_word(model.loss)
        self._rate_bps, self._least_ns = model.rate_bps, model.delay_ns - model.jitter_ns
        self._span = 2 * model.jitter_ns + 1 if model.jitter_ns else 0
        if model.loss:
            self._loss_coin = self._coin("loss")
        if model.jitter_ns:
            self._jitter()
        return True

    def _queue_full(self, model: LinkModel, now_ns: int) -> bool:
        if (self._free_at_ns - now_ns) * model.rate_bps <= 8 * model.queue_bytes * S:
            return False
        self.stats.queue_full += 1
        return True

    def offer(self, size_bytes: int, now_ns: int) -> list[tuple[int, bool]]:
        """Offer a datagram: [(deliver_at_ns, damaged)], none when lost, two when duplicated."""
        model, stats = self.link.model, self.stats
        stats.offered += 1
        extra = 0
        if self.link.rules:
            verdict = self.passes(size_bytes, now_ns)
            if verdict is None:
                return []
            extra = verdict
        leave = now_ns
        if model.rate_bps:
            leave = max(now_ns, self._free_at_ns)
            if leave > now_ns and self._queue_full(model, now_ns):
                return []
            takes_ns = EIGHT_S * size_bytes // model.rate_bps
            self._booked_ns += takes_ns
            leave = self._free_at_ns = leave + takes_ns
        if self._lost(model):
            stats.lost += 1
            return []
        damaged = self._happens("corrupt", model.corrupt)
        stats.corrupted += damaged
        copies = 2 if self._happens("duplicate", model.duplicate) else 1
        stats.duplicated += copies - 1
        return [(leave + extra + self._delay(model), damaged) for _ in range(copies)]

    def _delay(self, model: LinkModel) -> int:
        if self._happens("reorder", model.reorder):
            return 0
        if not model.jitter_ns:
            return model.delay_ns
        return max(0, model.delay_ns + self._coin("jitter").spread(model.jitter_ns))

    def _lost(self, model: LinkModel) -> bool:
        """Bursts and random loss are independent causes: together they lose 1 - (1 - a)(1 - b). Each has
        coins of its own."""
        bursts = model.bursts
        if bursts is None:
            return self._lost_alone(model, "loss")
        self._bad = not self._happens("burst", bursts.r) if self._bad else self._happens("burst", bursts.p)
        in_burst = self._happens("loss", bursts.bad if self._bad else bursts.good)
        return self._lost_alone(model, "random-loss") or in_burst

    def _lost_alone(self, model: LinkModel, coin: str) -> bool:
        """Random loss, each draw leaning on the one before if it is correlated."""
        if not model.loss:
            return False
        if not model.correlation:
            return self._coin(coin).word() < probability_word(model.loss)
        self._last_loss = (
            model.correlation * self._last_loss + (1.0 - model.correlation) * self._coin(coin).uniform()
        )
        return self._last_loss < model.loss
